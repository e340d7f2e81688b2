"""The picture of a plan's capacity: how long with how many workers, who would work when, and what waits for what.

This module computes where everything goes, in the units of a drawing 1,200 wide; `capacity.svg.j2` draws it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup
from msgspec import Struct

from ganger.report.capacity import WAITS_SHOWN, Capacity, Row, TurnPlayed, headline, verdict
from ganger.report.safe import printable
from ganger.report.timeline import (
    BARS_HEIGHT_MAX,
    CHAR_WIDTH,
    RIGHT,
    ROW_HEIGHT_MAX,
    ROWS_MAX,
    STEPS_MS,
    TICKS_MAX,
    WIDTH,
)
from ganger.report.wording import count, duration

LEFT = 96
LINE = 22
TOP = 64
TEXT_WIDTH = 250
"""Room for the words behind a bar."""
WAIT_WIDTH = 300
BAR_MIN = 1.0


class Bar(Struct, frozen=True, gc=False):
    """A rectangle with what it stands for."""

    x: float
    y: float
    width: float
    height: float
    look: str
    title: str
    label: str = ""


class Line(Struct, frozen=True, gc=False):
    """A bar between its name and its figures."""

    name: str
    bar: Bar
    text: str
    mark: float | None = None
    """Where on the bar the shortest possible time is."""


class Drawing(Struct, frozen=True, gc=False):
    """Everything to be drawn."""

    height: float
    headline: str
    verdict: str
    rows: tuple[Line, ...]
    rows_y: float
    work: tuple[Bar, ...]
    work_title: str
    work_y: float
    work_end: float
    ticks: tuple[tuple[float, str], ...]
    waits: tuple[Line, ...]
    waits_y: float
    summary: str


def drawing(found: Capacity) -> Drawing:
    """Lay out the picture."""
    rows_y = float(TOP + LINE)
    lines = _row_lines(found, rows_y)
    work_y = rows_y + LINE * len(lines) + 2 * LINE
    slots = min(max(found.peak, 1), ROWS_MAX)
    height = min(BARS_HEIGHT_MAX / slots, ROW_HEIGHT_MAX)
    work_end = work_y + slots * height
    waits_y = work_end + 3.5 * LINE
    waits = _wait_lines(found, waits_y)
    return Drawing(
        height=waits_y + LINE * len(waits) + LINE,
        headline=headline(found),
        verdict=verdict(found),
        rows=lines,
        rows_y=rows_y,
        work=_work_bars(found, work_y, height),
        work_title=f"Who would work when, {count(found.workers, 'worker')}",
        work_y=work_y,
        work_end=work_end,
        ticks=_ticks(found.took_ms),
        waits=waits,
        waits_y=waits_y,
        summary=f"{headline(found)} {verdict(found)}".strip(),
    )


def _row_lines(found: Capacity, y: float) -> tuple[Line, ...]:
    longest = max((row.took_ms for row in found.rows), default=0) or 1
    unit = (WIDTH - LEFT - RIGHT - TEXT_WIDTH) / longest
    return tuple(_row_line(found, row, y + LINE * at, unit) for at, row in enumerate(found.rows))


def _row_line(found: Capacity, row: Row, y: float, unit: float) -> Line:
    look = "chosen" if row.workers == found.workers else "other"
    text = f"{duration(row.took_ms)}, busy {row.busy:.0%}"
    bar = Bar(LEFT, round(y, 1), _wide(row.took_ms * unit), LINE - 6, look, f"{count(row.workers, 'worker')}: {text}")
    ideal_ms = max(found.critical_ms, found.work_ms // row.workers)
    return Line(count(row.workers, "worker"), bar, text, round(LEFT + ideal_ms * unit, 1))


def _wait_lines(found: Capacity, y: float) -> tuple[Line, ...]:
    shown = found.waits[:WAITS_SHOWN]
    unit = WAIT_WIDTH / max((one.ms for one in shown), default=1)
    return tuple(
        Line(
            one.what,
            Bar(LEFT, round(y + LINE * at, 1), _wide(one.ms * unit), LINE - 6, "wait", one.what, one.what),
            f"{count(len(one.items), 'item')}, {duration(one.ms)} in all",
        )
        for at, one in enumerate(shown)
    )


def _work_bars(found: Capacity, y: float, height: float) -> tuple[Bar, ...]:
    unit = (WIDTH - LEFT - RIGHT) / (found.took_ms or 1)
    critical = frozenset(found.critical)
    return tuple(_work_bar(turn, y, height, unit, turn.item in critical) for turn in found.turns)


def _work_bar(turn: TurnPlayed, y: float, height: float, unit: float, is_critical: bool) -> Bar:
    x, width = round(LEFT + turn.from_ms * unit, 1), _wide((turn.to_ms - turn.from_ms) * unit)
    good = "critical" if is_critical else "good"
    look = {"accepted": good, "rejected": "rejected"}.get(turn.verdict, "cut")
    on_path = ", on the critical path" if is_critical else ""
    title = f"{turn.run}: {turn.verdict}, {duration(turn.to_ms - turn.from_ms)}{on_path}"
    label = turn.run if len(turn.run) * CHAR_WIDTH + 8 <= width and height >= 13 else ""
    row = min(turn.slot, ROWS_MAX - 1)
    return Bar(x, round(y + row * height, 1), width, round(max(height - 1, 1), 1), look, title, label)


def _wide(width: float) -> float:
    return round(max(width, BAR_MIN), 1)


def _ticks(took_ms: int) -> tuple[tuple[float, str], ...]:
    """Round lengths of time since the beginning, ten or so."""
    step = next((step for step in STEPS_MS if took_ms / step <= TICKS_MAX), STEPS_MS[-1])
    unit = (WIDTH - LEFT - RIGHT) / (took_ms or 1)
    return tuple((round(LEFT + at * unit, 1), duration(at) if at else "0") for at in range(0, took_ms + 1, step))


def render_svg(found: Capacity) -> str:
    """Draw the picture, as a file of its own; the same values give the same bytes."""
    return _template().render(drawing=drawing(found), WIDTH=WIDTH, LEFT=LEFT, RIGHT=RIGHT, LINE=LINE)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("capacity.svg.j2")
