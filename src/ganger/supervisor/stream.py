"""Following what a worker prints: what its turn has spent so far, whether it repeats itself, and its provider's limit.

Only the events of a driver count; where there are none, nothing is concluded. Everything is a total over the turn, so
that a supervisor which takes over reads from the beginning and comes to the same.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.effects import Limit
from ganger.core.model import Usage
from ganger.drivers import port
from ganger.git.beneath import directory, open_regular

LINE_BYTES_MAX = 1 << 20
"""A longer line is passed over."""
LOOK_BYTES_MAX = 1 << 20
"""Most that is read of one output in one look."""
REASON_CHARS_MAX = 200
_CHUNK = 1 << 18

Price = tuple[float, float]
"""US dollars per million tokens, which is millionths of a dollar per token: of input, of output."""
Reads = Callable[[bytes], tuple[port.DriverEvent, ...]]


class Told(Struct, frozen=True, gc=False):
    """What the events of a turn come to."""

    usage: Usage = Usage()
    call: tuple[str, str] = ("", "")
    """Name and digest of the last tool call."""
    same_calls: int = 0
    """How often it was made in a row."""
    guarded: int = 0
    """Uses of tools that came back and about which hooks should have asked."""
    limit: Limit | None = None
    """The provider's last refusal, unless it has answered again since."""
    session: str = ""
    """The conversation, as the agent names it."""
    conversation: Usage = Usage()
    """What all of it used, earlier turns included, where the agent tells that."""


def nothing_before(session: str) -> Usage:
    """What earlier turns of a conversation used, where there are none."""
    return Usage()


def tell(
    told: Told,
    event: port.DriverEvent,
    price: Price | None,
    before: Callable[[str], Usage] = nothing_before,
) -> Told:
    """Take one more event into account; `before` is asked what earlier turns of a conversation used."""
    match event:
        case port.Started(session=session) if session:
            return replace(told, session=session)
        case port.Usage(whole_conversation=True):
            whole = _usage(event, price)
            usage = told.usage.at_least(whole.minus(before(told.session)))
            return replace(told, usage=usage, conversation=told.conversation.at_least(whole))
        case port.Usage():
            usage = _usage(event, price)
            if event.usd_of_conversation and event.usd is not None and price is None:
                whole = Usage(usd_micros=usage.usd_micros)
                usage = _since(usage, before(told.session))
                told = replace(told, conversation=told.conversation.at_least(whole))
            return replace(told, usage=told.usage.at_least(usage) if event.whole_turn else told.usage.plus(usage))
        case port.ToolCall():
            call = event.name, event.digest
            # Only a provider that answers lets a worker make its next call.
            return replace(told, call=call, same_calls=told.same_calls + 1 if call == told.call else 1, limit=None)
        case port.ToolResult(guarded=True):
            return replace(told, guarded=told.guarded + 1)
        case port.RateLimited():
            return replace(told, limit=_limit(told.limit, event))
        case port.TurnEnded(outcome=port.TurnOutcome.completed):
            return replace(told, limit=None)
        case _:
            return told


def _limit(before: Limit | None, event: port.RateLimited) -> Limit:
    """The limit as it is told now; that it has no end is no news of one whose end was told before."""
    until_ms = event.reset_at_ms
    if before is not None and not until_ms and before.overload is event.overload:
        until_ms = before.until_ms
    return Limit(until_ms, event.reason[:REASON_CHARS_MAX], event.overload)


def _since(usage: Usage, before: Usage) -> Usage:
    """What was used since so much money was; a conversation that was killed may have begun to count it anew."""
    micros = usage.usd_micros - before.usd_micros
    return replace(usage, usd_micros=micros) if micros >= 0 else usage


def _usage(event: port.Usage, price: Price | None) -> Usage:
    """What an event says, in whole millionths, rounded up; money from the price of its tokens where one is given."""
    tokens = event.tokens_in + event.tokens_out
    per_in, per_out = price or (0.0, 0.0)
    is_told = event.usd is not None and (price is None or not tokens)
    micros = (event.usd or 0.0) * 1e6 if is_told else event.tokens_in * per_in + event.tokens_out * per_out
    # Ten decimals are far below any price and far above the error of a sum of doubles.
    return Usage(usd_micros=math.ceil(round(micros, 10)), tokens=tokens)


class Stream:
    """The output of one turn, read on from where the last look ended."""

    def __init__(
        self,
        folder: Path,
        reads: Reads,
        price: Price | None = None,
        before: Callable[[str], Usage] = nothing_before,
    ) -> None:
        """`before` is asked what earlier turns used of the conversation of that name."""
        self._folder, self._reads, self._price, self._before = folder, reads, price, before
        self._offset, self._file = 0, (0, 0)
        self._part = b""
        self._skipping = False
        self.told = Told()

    def follow(self, bytes_max: int = LOOK_BYTES_MAX, *, ended: bool = False) -> bool:
        """Read what was added, at most so much; tell whether that was all.

        A last line without its end waits for it, unless its writer has `ended`. A file that was cut, or replaced by
        another, is read from its beginning; what was told before stays told.
        """
        try:
            with directory(self._folder) as at:
                handle = open_regular(at, "output.log")
        except OSError:
            return True
        try:
            caught_up = self._read_on(handle, bytes_max)
        finally:
            os.close(handle)
        if caught_up and ended and self._part:
            self._take(b"\n")
        return caught_up

    def _read_on(self, handle: int, bytes_max: int) -> bool:
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != self._file or found.st_size < self._offset:
            self._file, self._offset, self._part, self._skipping = (found.st_dev, found.st_ino), 0, b"", False
        until = min(found.st_size, self._offset + bytes_max)
        while self._offset < until and (chunk := os.pread(handle, min(_CHUNK, until - self._offset), self._offset)):
            self._offset += len(chunk)
            self._take(chunk)
        return until == found.st_size

    def _take(self, chunk: bytes) -> None:
        """Read the whole lines; the rest waits for its end, unless it is too long already."""
        *lines, rest = (self._part + chunk).split(b"\n")
        for line in lines:
            if not self._skipping and len(line) <= LINE_BYTES_MAX:
                self._tell(line)
            self._skipping = False
        self._skipping = self._skipping or len(rest) > LINE_BYTES_MAX
        self._part = b"" if self._skipping else rest

    def _tell(self, line: bytes) -> None:
        for event in self._reads(line):
            self.told = tell(self.told, event, self._price, self._before)


def read_out(folder: Path, reads: Reads, price: Price | None = None) -> Told:
    """What the whole output of a turn that is over comes to."""
    stream = Stream(folder, reads, price)
    while not stream.follow(ended=True):
        pass
    return stream.told
