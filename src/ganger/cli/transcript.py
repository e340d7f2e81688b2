"""What an agent printed as lines for a person: what it said, did and spent, in the same words for every program.

What an agent says stands two columns in, and what it prints besides behind a bar: no word of its own can pass for one
of ours. Nothing here is safe to show yet: `output.say` writes out whatever a terminal would act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from ganger.cli.output import clock
from ganger.drivers import port
from ganger.report.safe import printable, shortened

LINE_BYTES_MAX = 1 << 20
"""A longer line is no event, and only its beginning is shown."""
TARGET_CHARS_MAX, REASON_CHARS_MAX = 200, 400
_CUT = b" (cut)"


class Piece(Struct, frozen=True):
    """A part of an output that ends with a line, or with the output."""

    text: bytes
    events: tuple[port.DriverEvent, ...] = ()


class Transcript:
    """Reads the output of one turn, in pieces of any size."""

    def __init__(self, driver: port.Driver | None, settings: Mapping[str, str]) -> None:
        """Without a driver, or with one whose program prints no events, lines are shown as they are."""
        self._driver, self._settings = driver, settings
        self.tells = driver is not None and (driver.product is not None or _is_event_stream(driver, settings))
        self._part = b""
        self._session = ""
        self._spent = port.Usage()

    def piece(self, chunk: bytes, finished: bool) -> Piece:
        """The next bytes, up to the last whole line unless the output has `finished`, with what they mean."""
        text = self._part + chunk
        end = len(text) if finished else text.rfind(b"\n") + 1
        text, self._part = text[:end], text[end:]
        return Piece(text, tuple(event for line in text.split(b"\n") for event in self._events(line)))

    def lines(self, chunk: bytes, finished: bool) -> Iterator[str]:
        """The next lines to show."""
        *lines, self._part = (self._part + chunk).split(b"\n")
        if finished and self._part:
            lines, self._part = [*lines, self._part], b""
        for line in lines:
            if self.tells:
                yield from self._told(line)
            else:
                yield as_printed(line)

    def _events(self, line: bytes) -> tuple[port.DriverEvent, ...]:
        if self._driver is None or not self.tells or len(line) > LINE_BYTES_MAX:
            return ()
        return self._driver.events(line, self._settings)

    def _told(self, line: bytes) -> Iterator[str]:
        events = self._events(line)
        if not events and line.strip() and not line.lstrip().startswith(b"{"):
            yield f"| {as_printed(line if len(line) <= LINE_BYTES_MAX else line[:LINE_BYTES_MAX] + _CUT)}"
        for event in events:
            if isinstance(event, port.TurnEnded) and event.outcome is port.TurnOutcome.failed:
                # Only the program itself says why.
                yield f"| {shortened(as_printed(line), REASON_CHARS_MAX)}"
            yield from self._words(event)

    def _words(self, event: port.DriverEvent) -> Iterator[str]:
        match event:
            case port.Started(session=session, model=model):
                if session and session != self._session:
                    self._session = session
                    yield f"conversation {printable(session)}" + (f", model {printable(model)}" if model else "")
            case port.Message(text=text):
                yield from (f"  {line}" for line in text.strip("\n").split("\n")) if text.strip() else ()
            case port.ToolCall(name=name, target=target):
                yield f"uses {printable(name)}" + (f": {shortened(target, TARGET_CHARS_MAX)}" if target else "")
            case port.ToolResult(ok=ok):
                yield from () if ok else ("it did not work",)
            case port.Usage():
                self._spent = added(self._spent, event)
            case port.WaitingForPermission(tool=tool):
                yield f"waits for permission: {printable(tool)}"
            case port.RateLimited(reset_at_ms=until_ms, reason=reason):
                until = f" until {clock(until_ms)}" if until_ms else ""
                yield f"refused by its provider{until}: {printable(reason)}"
            case port.TurnEnded(outcome=outcome):
                yield f"turn {outcome.value}{spent_text(self._spent)}"


def added(spent: port.Usage, event: port.Usage) -> port.Usage:
    """What was spent, with one more event: totals stand in the place of what was summed up before."""
    if event.whole_turn or event.whole_conversation:
        return event
    usd = None if event.usd is None else (spent.usd or 0.0) + event.usd
    return port.Usage(spent.tokens_in + event.tokens_in, spent.tokens_out + event.tokens_out, usd)


def spent_text(spent: port.Usage) -> str:
    """What was spent, in words, as the program says it; empty where it said nothing."""
    tokens = spent.tokens_in + spent.tokens_out
    if not tokens:
        return ""
    whose = " of the whole conversation" if spent.whole_conversation else ""
    of_money = " of the whole conversation" if spent.usd_of_conversation else ""
    return f", {tokens:,} tokens{whose}" + (f", {spent.usd:.4f} USD{of_money}" if spent.usd is not None else "")


def as_printed(text: bytes) -> str:
    """Bytes of an output as text; what is no UTF-8 is written out."""
    return text.decode("utf-8", "backslashreplace")


def _is_event_stream(driver: port.Driver, settings: Mapping[str, str]) -> bool:
    """Whether a program without a product of its own prints events."""
    return driver.name == "acp" or settings.get("output") == "events"
