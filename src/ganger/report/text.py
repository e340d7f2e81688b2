"""The report for a terminal: the same story as the page, plain text that can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from typing import TypeVar

from ganger.core.model import CheckState, Usage
from ganger.report.safe import cells, printable
from ganger.report.shape import (
    Anomaly,
    AnomalyKind,
    Attempt,
    Blocked,
    CheckSeen,
    Finished,
    GivenUp,
    HeldBack,
    ItemRef,
    Landed,
    Ready,
    ReportData,
    Source,
    Spent,
    StillOpen,
)
from ganger.report.wording import Clock, count, duration
from ganger.report.words import spent

Entry = TypeVar("Entry")
WIDTH_MIN = 40
SHOWN_MAX = 40
"""Entries of a section shown; of the rest only the number is told."""
HELD_UP_MAX = 6


def render_text(data: ReportData, width: int = 80, zone: tzinfo | None = None, *, colour: bool = False) -> str:
    """Draw the report in lines of at most `width` columns; only commands and names longer than that go beyond.

    `colour` sets headings in bold, for a terminal; without it there is not a single control character but the line
    feeds. The same data gives the same text.
    """
    page = _Page(max(width, WIDTH_MIN), Clock(data.now_ms, data.numbers.wall_ms, zone), colour)
    page.heading(data.headline)
    if data.containment:
        page.line(f"Containment: {data.containment}", indent=0)
    numbers = data.numbers
    page.line(
        f"{page.clock.date(numbers.from_ms)} to {page.clock(numbers.to_ms)} ({page.clock.offset()}),"
        f" entries {data.first_seq} to {data.last_seq} of the journal",
        0,
    )
    page.line(numbers.parallel, 0)
    page.line(f"Ganger ran {count(numbers.checks, 'check')} itself, {count(numbers.tests, 'test')} in them.", 0)
    if numbers.metered != Usage():
        page.line(f"The workers spent {spent(numbers.metered)}.", 0)
    _anomalies(page, data.anomalies)
    page.section("Landed", data.landed, _landed)
    page.section("Finished, with nothing to land", data.finished, _finished)
    page.section("Ready for you", data.ready, _ready)
    page.section("Blocked with one question", data.blocked, _blocked)
    page.section("Given up, and why", data.given_up, _given_up)
    page.section("What holds the fleet back", data.held_back, _held_back)
    page.section("Still open", data.still_open, _still_open)
    page.section("What was spent", _dearest(data), _spent)
    _waits(page, data)
    return page.text()


class _Page:
    """Lines being put together; every string goes through `printable` here and nowhere else."""

    def __init__(self, width: int, clock: Clock, colour: bool) -> None:
        self.width, self.clock, self._colour = width, clock, colour
        self._lines: list[str] = []

    def text(self) -> str:
        """All lines, each ended by a line feed."""
        return "\n".join(self._lines) + "\n"

    def heading(self, text: str) -> None:
        """A line that stands out."""
        for line in wrapped(printable(text), self.width):
            self._lines.append(f"\x1b[1m{line}\x1b[0m" if self._colour else line)

    def line(self, text: str, indent: int = 2, hang: int = 0) -> None:
        """A paragraph: broken between words, indented, `hang` more from its second line on."""
        for number, line in enumerate(wrapped(printable(text), self.width - indent - hang)):
            self._lines.append(" " * (indent + (hang if number else 0)) + line)

    def command(self, text: str, meaning: str, indent: int = 4) -> None:
        """A command to type: never broken."""
        self._lines.append(" " * indent + printable(text))
        if meaning:
            self.line(meaning, indent + 4)

    def title(self, heading: str, number: int) -> None:
        """The name of a section."""
        self._lines.append("")
        self.heading(f"{heading.upper()} ({number:,})")

    def section(self, heading: str, found: Sequence[Entry], draw: Callable[[_Page, Entry], None]) -> None:
        """A section of entries; nothing at all where there is none."""
        if not found:
            return
        self.title(heading, len(found))
        for one in found[:SHOWN_MAX]:
            draw(self, one)
        if len(found) > SHOWN_MAX:
            self.line(f"… and {len(found) - SHOWN_MAX:,} more; the page has them all")


def wrapped(text: str, width: int) -> Iterator[str]:
    """Break printable text between words into lines of at most `width` columns; a longer word is cut."""
    line, used = "", 0
    for word in text.split(" "):
        size = cells(word)
        if line and used + 1 + size > width:
            yield line
            line, used = "", 0
        while size > width:
            part = _fitting(word, width)
            yield part
            word = word[len(part) :]
            size = cells(word)
        line, used = (f"{line} {word}", used + 1 + size) if line else (word, size)
    yield line


def _fitting(word: str, width: int) -> str:
    used = 0
    for place, char in enumerate(word):
        used += cells(char)
        if used > width:
            return word[:place]
    return word


def evidence(source: Source) -> str:
    """The entries a statement rests on: `[#12 #15, train #14]`."""
    seqs = " ".join(f"#{seq}" for seq in source.seqs if seq and seq != source.train)
    train = f"train #{source.train}" if source.train else ""
    return f"[{', '.join(part for part in (seqs, train) if part)}]"


def _title(ref: ItemRef) -> str:
    child = f" (a child of {ref.child_of})" if ref.child_of else ""
    return f"{ref.id}: {ref.title}{child}" if ref.title else ref.id


def _check(check: CheckSeen) -> str:
    mark = "ok " if check.state is CheckState.passed else "NOT"
    parts = [f"{mark} {check.name} {check.state.value.replace('_', ' ')}"]
    if check.flaky:
        parts.append("after failing first")
    if check.exit_code is not None:
        parts.append(f"exit status {check.exit_code}")
    if check.executed is not None:
        parts.append(f"{count(check.executed, 'test')} executed")
    if check.log:
        parts.append(check.log)
    return ", ".join(parts)


def _checks(page: _Page, source: Source) -> None:
    for check in source.checks:
        page.line(_check(check), 4, 4)


def _held_up(page: _Page, names: Sequence[str]) -> None:
    if names:
        more = " …" if len(names) > HELD_UP_MAX else ""
        page.line(f"holds up {count(len(names), 'more item')}: {', '.join(names[:HELD_UP_MAX])}{more}", 4)


def _anomalies(page: _Page, found: Sequence[Anomaly]) -> None:
    if not found:
        return
    page.title("First, what is out of the ordinary", len(found))
    for kind in AnomalyKind:
        ones = [one for one in found if one.kind is kind]
        if ones:
            page.heading(f"{kind.value} ({len(ones):,})")
        for one in ones[:SHOWN_MAX]:
            page.line(f"{one.subject} {page.clock(one.at_ms)}  {one.text} {evidence(one.source)}", 2, 2)
            if one.said:
                page.line(f"it said: “{one.said}”", 4)
        if len(ones) > SHOWN_MAX:
            page.line(f"… and {len(ones) - SHOWN_MAX:,} more; the page has them all")


def _landed(page: _Page, one: Landed) -> None:
    page.line(_title(one.item), 2, 2)
    attempts = f", attempt {len(one.attempts)}" if len(one.attempts) > 1 else ""
    page.line(
        f"{page.clock(one.at_ms)} as {one.commit[:12]}, {duration(one.took_ms)} after it was started,"
        f" {count(one.changed, 'path')} changed by {one.run}{attempts} {evidence(one.source)}",
        4,
    )
    if one.ci:
        page.line(one.ci, 4)
    for claim in one.claims:
        page.line(f"claim: {claim}", 4)
    _checks(page, one.source)


def _ready(page: _Page, one: Ready) -> None:
    page.line(f"{one.question}: {', '.join(item.id for item in one.items) or 'a landing'}", 2, 2)
    page.line(f"{one.text} {evidence(one.source)}", 4)
    _checks(page, one.source)
    _held_up(page, one.held_up)
    for command, meaning in one.do:
        page.command(command, meaning)


def _blocked(page: _Page, one: Blocked) -> None:
    page.line(f"{one.question}: {_title(one.item) if one.item is not None else 'the fleet'}", 2, 2)
    page.line(f"“{one.text}” {evidence(one.source)}", 4)
    if one.recommend:
        page.line(f"{'ganger' if one.by == 'ganger' else 'it'} recommends: {one.recommend}", 4)
    if one.risk:
        page.line(f"risk it names: {one.risk}", 4)
    _held_up(page, one.held_up)
    for command, option in one.do:
        page.command(command, option if option not in command else "")


def _given_up(page: _Page, one: GivenUp) -> None:
    page.line(_title(one.item), 2, 2)
    if one.claim:
        page.line(one.claim, 4)
    for attempt in one.attempts:
        _attempt(page, attempt)
    _held_up(page, one.held_up)
    page.command(one.do, "to have it tried again")


def _finished(page: _Page, one: Finished) -> None:
    page.line(_title(one.item), 2, 2)
    filed = f", {count(one.filed, 'item')} filed" if one.filed else ""
    page.line(f"{page.clock(one.at_ms)} by {one.run}{filed}: {one.reason} {evidence(one.source)}", 4)


def _held_back(page: _Page, one: HeldBack) -> None:
    page.line(f"{one.subject}: {one.text} {evidence(one.source)}", 2, 2)
    if one.do:
        page.command(one.do, "")


def _dearest(data: ReportData) -> list[Spent]:
    """The items of which anything was metered, the dearest first."""
    metered = [one for one in data.spent if one.metered != Usage()]
    return sorted(metered, key=lambda one: (-one.metered.usd_micros, -one.metered.tokens, one.item.seq))


def _spent(page: _Page, one: Spent) -> None:
    page.line(f"{one.item.id}: {spent(one.metered)} in {count(one.attempts, 'run')} {evidence(one.source)}", 2, 2)


def _attempt(page: _Page, one: Attempt) -> None:
    again = f"; {one.again}" if one.again else ""
    page.line(f"{one.run} {one.ending.replace('_', ' ')}: {one.reason}{again} {evidence(one.source)}", 4, 2)
    for turn in one.turns:
        if turn.said:
            page.line(f"it said: “{turn.said}”", 8)
        for check in turn.source.checks:
            if check.state is not CheckState.passed:
                page.line(_check(check), 8, 4)
    for look in one.looks:
        page.command(look, "", 8)


def _still_open(page: _Page, one: StillOpen) -> None:
    page.line(f"{_title(one.item)} ({one.state})", 2, 2)
    page.line(f"{one.why} {evidence(one.source)}", 4)
    if one.claim:
        page.line(one.claim, 4)
    if one.do:
        page.command(one.do, "")


def _waits(page: _Page, data: ReportData) -> None:
    if not data.refused:
        return
    page.title("Why ready items had to wait", sum(one.times for one in data.refused))
    for one in data.refused:
        held = ", ".join(f"{holder} ({times})" for holder, times in one.holders)
        by = f", held by {held}" if held else ""
        page.line(f"{count(one.times, 'time')}: {one.meaning}{by} {evidence(one.source)}", 2, 2)
