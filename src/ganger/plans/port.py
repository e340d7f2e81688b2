"""What every plan reader gives back, and the one function that reads a plan.

A reader (`toml_file`, `markdown_file`) turns a file into a `draft.Draft`: raw values with the lines they stand on.
`items` makes items of it and `lint` compares the items with each other, so all formats mean the same and fail alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Check, ItemSpec, Rung
from ganger.core.patterns import PathRules
from ganger.errors import ConfigError
from ganger.plans.wording import harmless, nearest

PLAN_BYTES_MAX = 8 * 1024 * 1024
"""A larger plan is refused before it is parsed."""
SUFFIXES = (".toml", ".md")
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
    attempts_max: int = 3
    wall_max_ms: int = 2_700_000
    silence_max_ms: int = 600_000
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
        self._suggestions_left = SUGGESTIONS_MAX

    def error(self, line: int, message: str, hint: str = "") -> None:
        """Record something that makes the file unusable."""
        self.found.append(Fault(self.path, line, message, hint))

    def warning(self, line: int, message: str, hint: str = "") -> None:
        """Record something that is probably not meant."""
        self.found.append(Fault(self.path, line, message, hint, Severity.warning))

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


def read_plan(path: Path, known: Known) -> tuple[Plan | None, tuple[Fault, ...]]:
    """Read the plan at `path` and say everything that is wrong with it.

    The plan is None when any of the faults is an error. Nothing is raised for a file that is missing, unreadable,
    too large, not UTF-8 or of an unknown format: that too is a fault.
    """
    faults = Faults(str(path))
    try:
        plan = _read(path, known, faults)
    except ConfigError as error:
        faults.error(0, error.message, error.hint)
        plan = None
    return (None if faults.errors else plan), faults.in_order()


def _read(path: Path, known: Known, faults: Faults) -> Plan | None:
    # The readers need the types above.
    from ganger.plans import items, lint, markdown_file, toml_file
    from ganger.plans.source import read_text

    reader = {".toml": toml_file.read, ".md": markdown_file.read}.get(path.suffix)
    if reader is None:
        faults.error(0, "is not a plan", f"a plan's name ends in {' or '.join(SUFFIXES)}")
        return None
    draft = reader(read_text(path, PLAN_BYTES_MAX), faults)
    if draft is None:
        return None
    made = items.build(draft, known, faults)
    lint.check(made, known, faults)
    return made.plan
