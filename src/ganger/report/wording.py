"""How numbers, lists and commands are put into sentences, the same on the page and in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from ganger.report.safe import printable

SECONDS_BELOW_MS = 600_000
"""A night shorter than this is told to the second."""


def duration(ms: int) -> str:
    """A length of time to two units: `850 ms`, `12 s`, `4 min 10 s`, `2 h 05 min`, `3 d 4 h`."""
    if ms < 1_000:
        return f"{max(ms, 0)} ms"
    seconds = ms // 1_000
    if seconds < 60:
        return f"{seconds} s" if seconds >= 10 else f"{ms / 1_000:.1f} s".replace(".0 s", " s")
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def count(number: int, one: str, many: str = "") -> str:
    """`1 item`, `3 items`, `1,200 items`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def named(names: Sequence[str], most: int = 5) -> str:
    """`a, b and c`, or `a, b, c, d, e and 7 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentence(text: str) -> str:
    """`text` with a capital first letter."""
    return text[:1].upper() + text[1:]


def command(*words: str) -> str:
    """A command line to type, each word quoted where a shell would read anything into it."""
    return " ".join(shlex.quote(printable(word)) for word in words)


class Clock:
    """Local times, as short as they can be told: `02:14` today, `Fri 22:04` this week, else `13 Nov 22:04`."""

    def __init__(self, now_ms: int, span_ms: int, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._form = "%H:%M:%S" if span_ms < SECONDS_BELOW_MS else "%H:%M"
        self._now = self.local(now_ms)
        self._known: dict[int, str] = {}

    def __call__(self, ms: int) -> str:
        """The time of day, with the day where it is another than the report's; empty for none."""
        if not ms:
            return ""
        if ms not in self._known:
            self._known[ms] = self._text(self.local(ms))
        return self._known[ms]

    def _text(self, when: datetime) -> str:
        time = when.strftime(self._form)
        days = (self._now.date() - when.date()).days
        if not days:
            return time
        return f"{when:%a} {time}" if 0 < days < 7 else f"{when.day} {when:%b} {time}"

    def date(self, ms: int) -> str:
        """Day and time in full."""
        when = self.local(ms)
        return f"{when:%A} {when.day} {when:%B %Y} {when.strftime(self._form)}"

    def offset(self) -> str:
        """The zone's offset at the time of the report: `UTC+01:00`."""
        text = self._now.strftime("%z")
        return f"UTC{text[:3]}:{text[3:5]}"

    def local(self, ms: int) -> datetime:
        """The instant in the zone of the report."""
        return datetime.fromtimestamp(ms / 1000, self._zone).astimezone(self._zone)


def iso(ms: int) -> str:
    """An instant in UTC for machines: `2026-11-21T02:14:05Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
