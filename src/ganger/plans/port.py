"""What every plan source gives back, and the one function that reads a plan.

A source (`toml_file`, `markdown_file`, `beads_file`, or one of an installed package) turns a file into a
`draft.Draft`: raw values with the lines they stand on. `items` makes items of it, `contract` judges each, and `lint`
compares them with each other, so all sources mean the same and fail alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Budget, Check, ItemSpec, Lane, Rung
from ganger.core.patterns import PathRules
from ganger.errors import ConfigError
from ganger.plans.wording import harmless, nearest

if TYPE_CHECKING:
    from ganger.plans.draft import Draft

PLAN_BYTES_MAX = 8 * 1024 * 1024
"""A larger plan is refused before it is parsed."""
ROWS_MAX = 1_000
"""Most rows of one source that are listed one by one; the others are counted."""
SOURCE_LIMIT_S = 10.0
"""How long the source of an installed package may take."""
SUGGESTIONS_MAX = 20
"""How many faults of one file get a nearest known name: each costs a comparison with all names."""


class PlanItem(Struct, frozen=True):
    """One item as a plan says it."""

    spec: ItemSpec
    brief: str
    """What the worker is told, byte for byte; may hold control characters, so it is escaped where it is shown."""
    line: int
    """Where the item begins in its file, from 1."""


class Plan(Struct, frozen=True):
    """A named set of items, free of errors."""

    id: PlanId
    title: str
    path: str
    items: tuple[PlanItem, ...]
    """In the order of the file."""
    digest: str
    """SHA-256 in hexadecimal over what the items mean: equal for the same plan in another format or layout, another
    when a default or a named check that an item uses changes."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """What a tracker holds that could not be made an item: where it stands, and why."""
    still_open: tuple[ItemId, ...] = ()
    """Items that the tracker calls open; empty where the source keeps no such state."""


class Contract(StrEnum):
    """What becomes of an item that says too little or wants too much."""

    off = "off"
    """Nothing: nobody looks."""
    advised = "advised"
    """It is warned of."""
    required = "required"
    """It cannot be started."""


class Severity(StrEnum):
    """Whether a plan can be used in spite of a fault."""

    error = "error"
    """It cannot."""
    warning = "warning"
    """It can, but it is probably not what was meant."""


class Fault(Struct, frozen=True):
    """Something wrong in a plan or configuration file. Values from the file are shortened and escaped in it."""

    path: str
    line: int
    """From 1; 0 when it concerns the file as a whole."""
    message: str
    hint: str = ""
    """What to write instead; may be empty."""
    severity: Severity = Severity.error

    @property
    def text(self) -> str:
        """The fault on one line: `plan.toml:7: message (hint)`."""
        where = f"{harmless(self.path)}:{self.line}" if self.line else harmless(self.path)
        word = "warning: " if self.severity is Severity.warning else ""
        return f"{where}: {word}{self.message}" + (f" ({self.hint})" if self.hint else "")


class Known(Struct, frozen=True):
    """What a plan may refer to, and what an item gets that does not say."""

    checks: Mapping[str, Check] = {}
    """The checks of ganger.toml by name."""
    agents: frozenset[str] = frozenset()
    default_agent: str = "default"
    """The agent of an item that names none."""
    default_checks: tuple[str, ...] = ()
    """What to propose for an item without checks; it does not get them by itself, silence is an error."""
    rung: Rung = Rung.checked
    start_on: str = "landed"
    attempts_max: int = 3
    wall_max_ms: int = 2_700_000
    silence_max_ms: int = 600_000
    budget: Budget = Budget()
    budgets: Mapping[str, Budget] = {}
    """Of items of a kind, by its name, where that says another; a figure it does not say is that of `budget`."""
    reading: frozenset[str] = frozenset()
    """Kinds that write nothing: their items ask for no change, and are over with a report."""
    agents_of: Mapping[str, str] = {}
    """The agent of an item of a kind that names none, by the kind, where that has one of its own."""
    fleet_budget: Budget = Budget()
    """What a whole night may spend, to warn of items that could never spend what they may."""
    lanes: Mapping[str, Lane] = {}
    """The lanes of ganger.toml by name."""
    target: str = ""
    """The branch that landings move; empty: whatever a plan says of it is taken."""
    contract: Contract = Contract.off
    rules: PathRules = PathRules()
    tracked_paths: Callable[[], Iterable[str]] | None = None
    """The paths of the target's tree, to warn of scopes that match none of them; None: no such warnings."""
    other_items: Mapping[ItemId, PlanId] = {}
    """Items of the fleet's plans; those of the plan that is being read are ignored."""
    program_exists: Callable[[str], bool] = bool
    """Whether a check's first word can be started; the default says so of every word."""


class Faults:
    """Collects the faults of one file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.found: list[Fault] = []
        self.rows: list[tuple[str, str]] = []
        self._more_rows = 0
        self._suggestions_left = SUGGESTIONS_MAX

    def error(self, line: int, message: str, hint: str = "") -> None:
        """Record something that makes the file unusable."""
        self.found.append(Fault(self.path, line, message, hint))

    def warning(self, line: int, message: str, hint: str = "") -> None:
        """Record something that is probably not meant."""
        self.found.append(Fault(self.path, line, message, hint, Severity.warning))

    def leave_out(self, line: int, message: str, hint: str = "") -> None:
        """Record what cannot be made an item and is left out, while the rest of the plan can be used."""
        if len(self.rows) < ROWS_MAX:
            self.warning(line, f"left out: {message}", hint)
            why = message + (f" ({hint})" if hint else "")
            self.rows.append((f"{harmless(Path(self.path).name)}:{line}", why))
        else:
            self._more_rows += 1

    def listed_rows(self) -> tuple[tuple[str, str], ...]:
        """Give where and why something was left out, at most 1,000 places and the number of the others."""
        more = f"{self._more_rows:,} more could not be made items"
        return (*self.rows, (harmless(Path(self.path).name), more)) if self._more_rows else tuple(self.rows)

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """Word a hint that names the nearest of `known`; `""` when none is near or enough has been suggested."""
        if self._suggestions_left <= 0:
            return ""
        self._suggestions_left -= 1
        return nearest(word, known)

    @property
    def errors(self) -> bool:
        """Whether anything recorded makes the file unusable."""
        return any(fault.severity is Severity.error for fault in self.found)

    def in_order(self) -> tuple[Fault, ...]:
        """All faults in the order of the file."""
        return tuple(sorted(self.found, key=lambda fault: fault.line))


class Source(Protocol):
    """Where plans come from. One of an installed package is offered as entry point of the group `ganger.plan_sources`:
    something that is called without arguments and gives the source."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def reads(self, path: Path) -> bool:
        """Whether a plan at that path is for this source to read; decided by the name, the file may be missing."""
        ...

    def read(self, path: Path, known: Known, faults: Faults) -> Draft | None:
        """Read the raw fields; None when nothing can be read at all, which must then be among the faults.

        May raise ConfigError, whose message then lacks the path.
        """
        ...


def read_plan(path: Path, known: Known, limit_s: float = SOURCE_LIMIT_S) -> tuple[Plan | None, tuple[Fault, ...]]:
    """Read the plan at `path` and say everything that is wrong with it.

    The plan is None when any of the faults is an error. Nothing is raised for a file that is missing, unreadable,
    too large, not UTF-8 or of an unknown format, nor for a source of an installed package that crashes or takes longer
    than `limit_s`: that too is a fault.
    """
    faults = Faults(str(path))
    try:
        plan = _read(path, known, faults, limit_s)
    except ConfigError as error:
        faults.error(0, error.message, error.hint)
        plan = None
    return (None if faults.errors else plan), faults.in_order()


def _read(path: Path, known: Known, faults: Faults, limit_s: float) -> Plan | None:
    # The sources need the types above.
    from ganger.plans import contract, items, lint, prune, sources
    from ganger.plans.tracked import Tracked

    draft = sources.read(path, known, faults, limit_s)
    if draft is None:
        return None
    tracked = Tracked(known)
    made = items.build(draft, known, faults)
    made = contract.judge(made, known, tracked, faults)
    if draft.is_tracker:
        made = prune.leave_out_unordered(made, known, faults)
    lint.check(made, known, tracked, faults)
    return items.plan_of(made, draft, faults)
