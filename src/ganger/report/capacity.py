"""How long a plan would take with so many workers, as values and in words; `capacity_picture` draws the same."""

from __future__ import annotations

from msgspec import Struct

from ganger.report.wording import count, duration, named

WAITS_SHOWN = 5
LEFT_SHOWN = 10
PATH_SHOWN = 8


class TurnPlayed(Struct, frozen=True, gc=False):
    """One worker at work in a rehearsal; times (ms) count from its beginning."""

    run: str
    item: str
    slot: int
    """The lowest number, from 0, that no other worker had at the time."""
    from_ms: int
    to_ms: int
    verdict: str
    """`accepted`, `rejected`, or the `EndKind` by which the run was cut short."""


class Waited(Struct, frozen=True, gc=False):
    """Time lost by ready items while a worker was free, by what stood in the way."""

    what: str
    """`src/auth/**`, `src/** against src/auth/**`, `lane db`, `kind patcher`."""
    ms: int
    """Summed over the items."""
    items: tuple[str, ...]


class Row(Struct, frozen=True, gc=False):
    """The plan with another number of workers."""

    workers: int
    took_ms: int
    busy: float
    """Share of the workers' time in which they work."""
    saves_ms: int | None
    """What each worker more than in the row before saves; None in the first row."""


class NotLanded(Struct, frozen=True, gc=False):
    """An item that does not land."""

    item: str
    why: str
    held: bool
    """Whether that is so because a person or the plan holds it, or something that it comes after."""


class Capacity(Struct, frozen=True, gc=False):
    """What a plan would come to."""

    plan: str
    workers: int
    items: int
    """Open items of the plan."""
    landed: int
    took_ms: int
    """Until the last landing or end."""
    work_ms: int
    """All turns together."""
    busy: float
    peak: int
    """Most workers at one time."""
    most: int
    """How many the scopes let work at once, whatever comes after what."""
    most_is_exact: bool
    """Whether that is proven, or only known not to be exceeded."""
    critical: tuple[str, ...]
    """The items that follow each other for the longest time."""
    critical_ms: int
    waits: tuple[Waited, ...]
    """Longest first."""
    left: tuple[NotLanded, ...]
    stop: str
    """Why the night is over."""
    rows: tuple[Row, ...]
    turns: tuple[TurnPlayed, ...]
    limit_ms: int | None
    """The time there is; None when nobody said."""

    @property
    def ideal_ms(self) -> int:
        """No order of picking takes less: the critical path, or all work spread evenly, whichever is longer."""
        return max(self.critical_ms, self.work_ms // self.workers)

    @property
    def fits(self) -> bool:
        """Whether all that is not held lands, in the time there is."""
        return all(one.held for one in self.left) and (self.limit_ms is None or self.took_ms <= self.limit_ms)


def headline(found: Capacity) -> str:
    """The answer in a sentence."""
    workers = count(found.workers, "worker")
    if not found.items:
        return f"Nothing of plan {found.plan} is left to be done."
    did = f"{found.landed:,} of {count(found.items, 'item')} land in {duration(found.took_ms)} with {workers}"
    return f"{did}: busy {found.busy:.0%} of the time, at most {found.peak} at once."


def bounds(found: Capacity) -> tuple[str, ...]:
    """What limits it: the work, the order, the scopes."""
    most = "" if found.most_is_exact else " or fewer"
    path = named([*found.critical[:PATH_SHOWN], *(("…",) if len(found.critical) > PATH_SHOWN else ())], PATH_SHOWN + 1)
    spread = duration(found.work_ms // found.workers)
    lines = [
        f"Not less than {duration(found.ideal_ms)}: {duration(found.work_ms)} of work is {spread} for each worker,"
        f" and the critical path takes {duration(found.critical_ms)}.",
        *([f"Critical path, {count(len(found.critical), 'item')}: {path}."] if found.critical else []),
        f"The scopes let {found.most:,}{most} work at once, whatever comes after what.",
    ]
    return tuple(lines)


def rows(found: Capacity) -> tuple[tuple[str, ...], ...]:
    """The table: workers, how long, how busy, and what each worker more than in the line before saves."""
    return tuple(
        (
            f"{row.workers}{' *' if row.workers == found.workers else ''}",
            duration(row.took_ms),
            f"{row.busy:.0%}",
            "-" if row.saves_ms is None else _saved(row.saves_ms),
        )
        for row in found.rows
    )


def _saved(ms: int) -> str:
    if not ms:
        return "nothing"
    return duration(ms) if ms > 0 else f"{duration(-ms)} lost"


HEAD = ("WORKERS", "TAKES", "BUSY", "A WORKER MORE SAVES")


def waits(found: Capacity) -> tuple[str, ...]:
    """What was waited for while a worker was free, the longest first."""
    lines = [
        f"{one.what} kept {count(len(one.items), 'item')} waiting for {duration(one.ms)} in all"
        for one in found.waits[:WAITS_SHOWN]
    ]
    more = len(found.waits) - WAITS_SHOWN
    return (*lines, *([f"and {count(more, 'more', 'more')}"] if more > 0 else []))


def left(found: Capacity) -> tuple[str, ...]:
    """What does not land, and why."""
    lines = [f"{'held' if one.held else 'does not land'}: {one.item}: {one.why}" for one in found.left[:LEFT_SHOWN]]
    more = len(found.left) - LEFT_SHOWN
    return (*lines, *([f"and {count(more, 'more item')}"] if more > 0 else []))


def verdict(found: Capacity) -> str:
    """Whether it fits; empty when there is nothing to fit into and all lands."""
    missing = sum(not one.held for one in found.left)
    if missing:
        return f"{count(missing, 'item')} would not land."
    if found.limit_ms is None:
        return ""
    spare_ms = found.limit_ms - found.took_ms
    if spare_ms >= 0:
        return f"It fits into {duration(found.limit_ms)}, with {duration(spare_ms)} to spare."
    return f"It does not fit into {duration(found.limit_ms)}: it takes {duration(-spare_ms)} longer."
