"""The picture of the night: who worked when, what came of it, and how the train landed it.

This module computes where everything goes, in the units of a drawing 1,200 wide; `timeline.svg.j2` draws it. A row is
a worker slot: each turn takes the first row that is free. What would be too small to see is drawn together.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo

from msgspec import Struct

from ganger.report.shape import ReportData, TrainSeen, TurnEnd, TurnSeen
from ganger.report.wording import count, duration

WIDTH, LEFT, RIGHT, TOP = 1200, 66, 28, 8
ROWS_MAX = 48
"""More slots than that share the last row."""
BARS_HEIGHT_MAX = 432
ROW_HEIGHT_MAX, ROW_HEIGHT_MIN = 26, 9
TRAIN_HEIGHT, AXIS_HEIGHT = 26, 34
BAR_MIN, MERGE_BELOW = 1.5, 3.0
"""The narrowest bar; narrower neighbours than `MERGE_BELOW` become one."""
CHAR_WIDTH = 6.3
TICKS_MAX = 10
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
STEPS_MS = (
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12, 24, 48, 168)),
)
_GRAVITY = (TurnEnd.failed, TurnEnd.rejected, TurnEnd.asked, TurnEnd.cut, TurnEnd.live, TurnEnd.good)
"""What a bar of several turns is coloured by: the first of these that is among them."""


class Bar(Struct, frozen=True, gc=False):
    """A rectangle with what it stands for."""

    x: float
    y: float
    width: float
    height: float
    look: str
    """The style: a name of `TurnEnd`, `passed`, `failed` or `check`."""
    title: str
    label: str = ""
    """Shown inside where there is room."""
    seq: int = 0
    """The entry it links to."""
    count: int = 1


class Mark(Struct, frozen=True, gc=False):
    """A point on the train's row: a landing or a candidate that did not merge."""

    x: float
    look: str
    title: str
    seq: int


class Tick(Struct, frozen=True, gc=False):
    """A time on the axis."""

    x: float
    text: str
    day: str
    """The day, where it is the first tick or another day begins."""


class Picture(Struct, frozen=True, gc=False):
    """Everything to be drawn."""

    height: float
    rows: tuple[tuple[float, str], ...]
    """Where each row's name stands, and the name."""
    row_height: float
    work: tuple[Bar, ...]
    checks: tuple[Bar, ...]
    trains: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    train_y: float
    axis_y: float
    legend: tuple[tuple[str, str], ...]
    """Style and words of what occurs."""
    summary: str
    """The picture in a sentence, for whoever does not see it."""


class _Scale:
    """From times to places."""

    def __init__(self, from_ms: int, to_ms: int) -> None:
        self.from_ms, self.to_ms = from_ms, max(to_ms, from_ms + _SECOND)
        self._unit = (WIDTH - LEFT - RIGHT) / (self.to_ms - self.from_ms)

    def x(self, ms: int) -> float:
        """The place of a time, kept inside the drawing."""
        return round(LEFT + (min(max(ms, self.from_ms), self.to_ms) - self.from_ms) * self._unit, 1)

    def bar(self, from_ms: int, to_ms: int) -> tuple[float, float]:
        """Where a bar begins and how wide it is: never too narrow to be seen."""
        x = self.x(from_ms)
        return x, round(max(self.x(to_ms) - x, BAR_MIN), 1)


def picture(data: ReportData, zone: tzinfo | None = None) -> Picture | None:
    """Lay out the night; None when no worker ran. `zone` None means this machine's local time."""
    if not data.turns:
        return None
    scale = _Scale(data.numbers.from_ms, max(data.numbers.to_ms, *(turn.ended_ms for turn in data.turns)))
    slots = assign_rows(data.turns)
    rows = min(max(slots) + 1, ROWS_MAX)
    height = min(max(BARS_HEIGHT_MAX / rows, ROW_HEIGHT_MIN), ROW_HEIGHT_MAX)
    train_y = TOP + rows * height + 8
    work = _work_bars(data.turns, slots, rows, height, scale)
    trains = _train_bars(data.trains, train_y, scale)
    axis_y = train_y + (TRAIN_HEIGHT if trains else 0)
    return Picture(
        height=axis_y + AXIS_HEIGHT,
        rows=_row_names(rows, max(slots) + 1, height),
        row_height=height,
        work=work,
        checks=_check_bars(data.turns, slots, rows, height, scale),
        trains=trains,
        marks=tuple(_marks(data.trains, scale)),
        ticks=ticks(scale.from_ms, scale.to_ms, scale.x, zone),
        train_y=train_y,
        axis_y=axis_y,
        legend=_legend(data),
        summary=_summary(data, max(slots) + 1),
    )


def assign_rows(turns: Sequence[TurnSeen]) -> list[int]:
    """Give each turn, in order of their start, the first row that is free then; rows from 0."""
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    rows = []
    for turn in turns:
        while busy and busy[0][0] <= turn.started_ms:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (max(turn.ended_ms, turn.started_ms + 1), row))
        rows.append(row)
    return rows


def _row_names(rows: int, slots: int, height: float) -> tuple[tuple[float, str], ...]:
    every = 1 if height >= 13 else 4
    names = [(TOP + (row + 0.5) * height, f"worker {row + 1}") for row in range(0, rows, every)]
    if slots > rows:
        names = [name for name in names if name[0] < TOP + (rows - 2) * height]
        names.append((TOP + (rows - 0.5) * height, f"{rows}–{slots}"))
    return tuple(names)


def _work_bars(
    turns: Sequence[TurnSeen], slots: Sequence[int], rows: int, height: float, scale: _Scale
) -> tuple[Bar, ...]:
    by_row: dict[int, list[tuple[TurnSeen, float, float]]] = {}
    for turn, slot in zip(turns, slots, strict=True):
        by_row.setdefault(min(slot, rows - 1), []).append((turn, *scale.bar(turn.started_ms, turn.ended_ms)))
    bars = []
    for row in sorted(by_row):
        y = round(TOP + row * height + 1, 1)
        for group in _groups(by_row[row]):
            bars.append(_work_bar(group, y, round(height * 0.72 - 1, 1)))
    return tuple(bars)


def _groups(placed: list[tuple[TurnSeen, float, float]]) -> Iterable[list[tuple[TurnSeen, float, float]]]:
    """Neighbours too narrow to be told apart, or bars on top of each other, belong together."""
    group: list[tuple[TurnSeen, float, float]] = []
    end = 0.0
    for one in sorted(placed, key=lambda one: one[1]):
        _, x, width = one
        small = bool(group) and width < MERGE_BELOW and all(other[2] < MERGE_BELOW for other in group)
        if group and not (x < end - MERGE_BELOW or (small and x - end < 1)):
            yield group
            group = []
        group.append(one)
        end = x + width if len(group) == 1 else max(end, x + width)
    if group:
        yield group


def _work_bar(group: list[tuple[TurnSeen, float, float]], y: float, height: float) -> Bar:
    first, x, width = group[0]
    if len(group) == 1:
        room = int((width - 8) / CHAR_WIDTH)
        name = first.run if first.turn == 1 else f"{first.run} ({first.turn})"
        label = name if len(name) <= room and height >= 13 else ""
        title = f"{first.run}, turn {first.turn}: {first.end.value}, {duration(first.ended_ms - first.started_ms)}"
        return Bar(x, y, width, height, first.end.name, title, label, first.source.seqs[0])
    ends = Counter(turn.end for turn, _, _ in group)
    look = next(end for end in _GRAVITY if end in ends)
    told = ", ".join(f"{ends[end]} {end.value}" for end in TurnEnd if end in ends)
    width = round(max(at + wide for _, at, wide in group) - x, 1)
    title = f"{count(len(group), 'turn')} from {first.run} on: {told}"
    return Bar(x, y, width, height, look.name, title, "", first.source.seqs[0], len(group))


def _check_bars(
    turns: Sequence[TurnSeen], slots: Sequence[int], rows: int, height: float, scale: _Scale
) -> tuple[Bar, ...]:
    """Thin bars below the work: ganger looking at what the turn left."""
    bars = []
    for turn, slot in zip(turns, slots, strict=True):
        start, end = turn.checking_ms
        x, width = scale.bar(start, end)
        if end <= start or width < 2 * BAR_MIN:
            continue
        y = round(TOP + min(slot, rows - 1) * height + height * 0.72 + 1, 1)
        title = f"checks of {turn.run}, turn {turn.turn}: {duration(end - start)}; {turn.found}"
        bars.append(Bar(x, y, width, max(round(height * 0.16, 1), 2), "check", title, "", turn.source.seqs[-1]))
    return tuple(bars)


def _train_bars(trains: Sequence[TrainSeen], y: float, scale: _Scale) -> tuple[Bar, ...]:
    bars: list[Bar] = []
    for train in trains:
        x, width = scale.bar(train.from_ms, train.at_ms)
        look = "passed" if train.passed else "failed"
        last = bars[-1] if bars else None
        if last and width < MERGE_BELOW and last.width < 4 * MERGE_BELOW and x - last.x - last.width < 0.5:
            bars[-1] = _joined(last, x + width, look, train)
        else:
            bars.append(Bar(x, y, width, TRAIN_HEIGHT - 14, look, train.text, _size(train, width), train.seq))
    return tuple(bars)


def _joined(bar: Bar, end: float, look: str, train: TrainSeen) -> Bar:
    look = "failed" if "failed" in (look, bar.look) else "passed"
    title = f"{count(bar.count + 1, 'train')} up to #{train.seq}"
    return Bar(bar.x, bar.y, round(max(end - bar.x, bar.width), 1), bar.height, look, title, "", bar.seq, bar.count + 1)


def _size(train: TrainSeen, width: float) -> str:
    size = str(len(train.runs))
    return size if width >= len(size) * CHAR_WIDTH + 6 else ""


def _marks(trains: Sequence[TrainSeen], scale: _Scale) -> Iterable[Mark]:
    for train in trains:
        if train.conflicts:
            title = f"does not merge: {', '.join(train.conflicts[:5])}"
            yield Mark(scale.x(train.at_ms), "conflict", title, train.seq)
        if train.landed_ms:
            yield Mark(scale.x(train.landed_ms), "landing", f"landed: {', '.join(train.runs[:8])}", train.seq)


def ticks(from_ms: int, to_ms: int, place: Callable[[int], float], zone: tzinfo | None) -> tuple[Tick, ...]:
    """Round local times, at most ten or so, with the day where it is new."""
    span = to_ms - from_ms
    step = next((step for step in STEPS_MS if span / step <= TICKS_MAX), STEPS_MS[-1])
    offset_ms = _local(from_ms, zone).utcoffset()
    shift = int(offset_ms.total_seconds() * 1000) if offset_ms is not None else 0
    form = "%H:%M:%S" if step < _MINUTE else "%H:%M"
    found: list[Tick] = []
    day = ""
    at = -(-(from_ms + shift) // step) * step - shift
    while at <= to_ms and len(found) <= 4 * TICKS_MAX:
        when = _local(at, zone)
        today = f"{when:%a} {when.day} {when:%b}"
        found.append(Tick(place(at), f"{when:{form}}", today if today != day else ""))
        day = today
        at += step
    return tuple(found)


def _local(ms: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(ms / 1000, zone).astimezone(zone)


def _legend(data: ReportData) -> tuple[tuple[str, str], ...]:
    ends = {turn.end for turn in data.turns}
    found = [(end.name, end.value) for end in TurnEnd if end in ends]
    if any(turn.checking_ms[1] > turn.checking_ms[0] for turn in data.turns):
        found.append(("check", "being checked"))
    if any(train.passed for train in data.trains):
        found.append(("passed", "train passed"))
    if any(not train.passed for train in data.trains):
        found.append(("failed-train", "train failed"))
    if any(train.landed_ms for train in data.trains):
        found.append(("landing", "landed"))
    if any(train.conflicts for train in data.trains):
        found.append(("conflict", "did not merge"))
    return tuple(found)


def _summary(data: ReportData, slots: int) -> str:
    ends = Counter(turn.end for turn in data.turns)
    told = ", ".join(f"{ends[end]} {end.value}" for end in TurnEnd if end in ends)
    trains = f" {count(len(data.trains), 'train')} below." if data.trains else ""
    return f"{count(len(data.turns), 'turn')} of workers in {count(slots, 'row')}: {told}.{trains}"
