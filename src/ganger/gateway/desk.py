"""One turn of one run at the gateway: what it was granted, and the record of its calls, written before they are made.

The supervisor writes `gateway.json` into the turn's folder before it starts the worker, and reads `gateway.jsonl`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.gateway.account import Account, Charged, Cost, Entry, Limit, Limited, Refused, Reserved
from ganger.gateway.apis import APIS, Api, Call
from ganger.gateway.prices import Price, Tokens, affordable, cost, most, price_of

GRANT, RECORD, LENT = "gateway.json", "gateway.jsonl", "gateway.lent"
"""`LENT` holds a `Cost`: what of the run's reservation is its children's by now, where that has changed in the turn."""
EXIT = "exit.json"
"""Is there once the worker of the turn has ended."""
CONTEXT_UNPRICED, OUTPUT_UNPRICED = 1_000_000, 32_000
OUTPUT_MIN = 256
"""A call is refused rather than cut to less than so many tokens of output."""
REFUSED_MAX = 1_000
"""Refusals that are recorded; whoever asks on and on must not fill the disk."""
WAIT_S = 120.0
"""How long a call waits for others of its turn to end, when it may fit then."""

_encode = msgspec.json.Encoder().encode


class Grant(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a turn may do."""

    run: str
    turn: int
    key: str
    """What the worker shows; worth nothing anywhere else."""
    api: str
    upstream: str = ""
    """Where the provider is; empty: where it is for everybody."""
    key_env: str = ""
    """The variable of the gateway's environment that holds the provider's key; empty: none is needed."""
    limit: Limit = Limit()
    prices: Mapping[str, Price] = {}
    lent: Cost = Cost()
    """What was the children's of the run already when this was granted: the limit is without it."""

    @property
    def speaks(self) -> Api:
        """The API; KeyError for a name that is none."""
        return APIS[self.api]


def key_for(run: str, turn: int, secret: str) -> str:
    """The key that a worker shows: it says whose turn it is, and nobody can guess it."""
    return f"ganger~{run}~{turn}~{secret}"


def folder_of(key: str) -> Path | None:
    """The folder of the turn that a key is of, below that of all runs; None when it is no such key."""
    found = re.fullmatch(r"ganger~([\w.-]{1,200})~(\d{1,6})~[\w-]{16,100}", key)
    return Path(found[1], f"turn-{found[2]}") if found and not found[1].startswith(".") else None


class TooMuch(Exception):
    """A call that could pass the limit; the message says what is left."""


class Granted(Struct, frozen=True):
    """A call that may be made."""

    call: int
    body: bytes
    price: Price | None
    kept: asyncio.Future[None]
    """Done when the record of it is on disk: no answer is passed on before."""


def record(folder: Path) -> Iterator[Entry]:
    """What the record of a turn says; a line that was cut off when a machine died is passed over."""
    try:
        text = (folder / RECORD).read_bytes()
    except FileNotFoundError:
        return
    yield from entries(text.split(b"\n"))


def entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Read lines of a record."""
    for line in lines:
        try:
            yield _decode(line)
        except msgspec.MsgspecError:
            continue


_decode = msgspec.json.Decoder(Reserved | Charged | Limited | Refused).decode


class Desk:
    """The calls of one turn, one account for all of them."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or msgspec.MsgspecError when there is no grant in the folder.

        BlockingIOError when another gateway, on its way out, still has the record: two would each spend what is left.
        """
        self.grant = msgspec.json.decode((folder / GRANT).read_bytes(), type=Grant)
        self.api = self.grant.speaks
        self._over, self._folder = folder / EXIT, folder
        self._file = os.open(
            folder / RECORD, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._account = Account(self.grant.limit, record(folder))
        except OSError:
            os.close(self._file)
            raise
        self._ended = asyncio.Condition()
        self._is_cut = True  # for all that is known of the last line of whoever had it before
        self._refused = 0
        self.held_bytes = 0
        """Of requests that are coming in, or under way."""
        self.askers = 0
        """Requests that have this desk in hand."""

    @property
    def is_over(self) -> bool:
        """Whether the worker has ended: what its turn has spent is settled, and nobody may spend more of it."""
        return self._over.exists()

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way."""
        return self._account.is_busy

    def close(self) -> None:
        """Leave the record."""
        os.close(self._file)

    async def reserve(self, path: str, call: Call) -> Granted:
        """Set aside the most that a call can cost, letting less come out of it where that makes it fit.

        Waits while other calls of the turn are open and it might fit after them. TooMuch when it does not fit.
        """
        if self._is_limited:
            call = call.plain()
        price = price_of(call.model, self.grant.prices)
        if price is None and self.grant.limit.usd_micros is not None:
            raise TooMuch(f"nobody knows what {call.model[:80]} costs, and money is limited: add it to [prices]")
        tokens_in = call.tokens_in_max(price.context if price else CONTEXT_UNPRICED)
        wanted = call.output_max or (price.output_max if price else OUTPUT_UNPRICED)
        until = asyncio.get_running_loop().time() + WAIT_S
        while True:
            self._account.limit = self._limit()
            output = min(wanted, self._fits(tokens_in, price, call.answers, wanted))
            if output >= min(wanted, OUTPUT_MIN):
                entry = self._account.reserve(most(tokens_in, output * call.answers, price))
                if entry is not None:
                    try:
                        self._note(entry)
                    except OSError:
                        self._account.charge(entry.call, Cost(), announced=True)
                        raise
                    bound = output if self._is_limited and output != call.output_max else None
                    # The disk and the provider are waited for side by side; a process that dies loses nothing written.
                    kept = asyncio.get_running_loop().run_in_executor(None, os.fdatasync, self._file)
                    return Granted(entry.call, self.api.bound(path, call, bound), price, kept)
            if not self._account.is_busy or asyncio.get_running_loop().time() >= until:
                raise TooMuch(self._too_much(most(tokens_in, min(wanted, OUTPUT_MIN) * call.answers, price)))
            async with self._ended:
                try:
                    await asyncio.wait_for(self._ended.wait(), until - asyncio.get_running_loop().time())
                except TimeoutError:
                    continue

    def _limit(self) -> Limit:
        """What the turn may spend: what was granted, less what its children were given since."""
        try:
            lent = msgspec.json.decode((self._folder / LENT).read_bytes(), type=Cost)
        except FileNotFoundError:
            return self.grant.limit
        before = self.grant.lent
        more = Cost(max(lent.usd_micros - before.usd_micros, 0), max(lent.tokens - before.tokens, 0))
        return self.grant.limit.less(more)

    @property
    def _is_limited(self) -> bool:
        return self.grant.limit != Limit()

    def _fits(self, tokens_in: int, price: Price | None, answers: int, wanted: int) -> int:
        left = self._account.left
        fitting = affordable(tokens_in, left.usd_micros, left.tokens, price)
        return wanted if fitting is None else fitting // answers

    def _too_much(self, least: Cost) -> str:
        left = self._account.left
        parts = []
        if left.usd_micros is not None:
            parts.append(f"${left.usd_micros / 1e6:.4f} (it may cost ${least.usd_micros / 1e6:.4f} or more)")
        if left.tokens is not None:
            parts.append(f"{left.tokens:,} tokens (it may use {least.tokens:,} or more)")
        return f"the budget of this run has {' and '.join(parts)} left"

    async def charge(self, granted: Granted, used: Tokens | None) -> None:
        """Charge a call with what it used; None: with the most that it can have, since nobody said."""
        paid = self._account.open(granted.call) if used is None else cost(used, granted.price)
        await self._charge(granted, paid, announced=used is not None)

    async def nothing(self, granted: Granted) -> None:
        """Charge nothing for a call that the provider did not carry out."""
        await self._charge(granted, Cost(), announced=True)

    async def _charge(self, granted: Granted, paid: Cost, *, announced: bool) -> None:
        try:
            self._note(self._account.charge(granted.call, paid, announced=announced))
        finally:
            async with self._ended:
                self._ended.notify_all()

    def note(self, entry: Limited | Refused) -> None:
        """Record what else became of a call."""
        self._refused += isinstance(entry, Refused)
        if isinstance(entry, Limited) or self._refused <= REFUSED_MAX:
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        """Write an entry; OSError when there is no room for all of it. What a line was cut off of ends before it."""
        line = (b"\n" if self._is_cut else b"") + _encode(entry) + b"\n"
        self._is_cut = True
        if os.write(self._file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_cut = False
