"""What the calls of one turn may still cost: the most is reserved before a call, what it did cost is charged after it.

The sum of what was charged and what is reserved never passes the limit, so no call can (RELIABILITY I-15 with X = 0).
Whoever forgets a call, because it died, has it charged with the most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct


class Cost(Struct, frozen=True, array_like=True):
    """Money in millionths of a US dollar, and tokens of every sort together."""

    usd_micros: int = 0
    tokens: int = 0

    def plus(self, other: Cost) -> Cost:
        """The sum."""
        return Cost(self.usd_micros + other.usd_micros, self.tokens + other.tokens)


class Limit(Struct, frozen=True):
    """What may be spent; None where there is no limit."""

    usd_micros: int | None = None
    tokens: int | None = None

    def fits(self, cost: Cost) -> bool:
        """Whether so much may be spent."""
        money = self.usd_micros is None or cost.usd_micros <= self.usd_micros
        return money and (self.tokens is None or cost.tokens <= self.tokens)

    def less(self, cost: Cost) -> Limit:
        """What is left of it; never below nothing."""
        return Limit(
            None if self.usd_micros is None else max(self.usd_micros - cost.usd_micros, 0),
            None if self.tokens is None else max(self.tokens - cost.tokens, 0),
        )


class Reserved(Struct, frozen=True, tag="reserved"):
    """A call is about to be sent on."""

    call: int
    most: Cost


class Charged(Struct, frozen=True, tag="charged"):
    """A call is over."""

    call: int
    cost: Cost
    announced: bool = True
    """Whether the provider said so; otherwise the call was cut off, and this is the most that it can cost."""


class Limited(Struct, frozen=True, tag="limited"):
    """The provider refused for now."""

    until_ms: int = 0
    """Milliseconds since the epoch; 0 when it does not say."""
    reason: str = ""
    overload: bool = False


class Refused(Struct, frozen=True, tag="refused"):
    """A call was not sent on, because it could have passed the limit, or for another reason of ours."""

    reason: str


Entry: TypeAlias = Reserved | Charged | Limited | Refused


class Account:
    """The calls of one turn."""

    def __init__(self, limit: Limit, entries: Iterable[Entry] = ()) -> None:
        """`entries` are what is known of calls before; those of them that are open are charged with the most."""
        self.limit = limit
        self.charged = Cost()
        self.calls = 0
        self._open: dict[int, Cost] = {}
        for entry in entries:
            self.take(entry)
        for most in self._open.values():
            self.charged = self.charged.plus(most)
        self._open.clear()

    def take(self, entry: Entry) -> None:
        """Follow what happened."""
        match entry:
            case Reserved(call, most):
                self._open[call] = most
                self.calls = max(self.calls, call)
            case Charged(call, cost):
                if self._open.pop(call, None) is not None:
                    self.charged = self.charged.plus(cost)
            case _:
                pass

    @property
    def reserved(self) -> Cost:
        """What open calls may still cost."""
        total = Cost()
        for most in self._open.values():
            total = total.plus(most)
        return total

    def open(self, call: int) -> Cost:
        """The most that an open call may cost."""
        return self._open[call]

    @property
    def is_busy(self) -> bool:
        """Whether a call is open: when it ends, more may be left."""
        return bool(self._open)

    @property
    def left(self) -> Limit:
        """What another call may cost."""
        return self.limit.less(self.charged.plus(self.reserved))

    def reserve(self, most: Cost) -> Reserved | None:
        """Set aside the most that a call can cost; None when that is more than is left."""
        if not self.left.fits(most):
            return None
        entry = Reserved(self.calls + 1, most)
        self.take(entry)
        return entry

    def charge(self, call: int, cost: Cost, *, announced: bool) -> Charged:
        """Give back what a call did not use. A provider that charges more than was reserved is taken at its word."""
        entry = Charged(call, cost, announced)
        self.take(entry)
        return entry
