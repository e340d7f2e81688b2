"""The checks of an item: names from ganger.toml, and commands of its own."""

from __future__ import annotations

from ganger.core.model import Check
from ganger.plans import values
from ganger.plans.draft import Fields, Table, nested
from ganger.plans.port import Faults, Known
from ganger.plans.values import HOUR_MS, MINUTE_MS, Unfit
from ganger.plans.wording import listed, shown

CHECK_FIELDS = ("run", "timeout", "name")
CHECK_MS = (100, 24 * HOUR_MS)
CHECK_DEFAULT_MS = 10 * MINUTE_MS
NOTHING: tuple[str, ...] = ()


class ChecksReader:
    """Reads `checks` lists: names of ganger.toml's checks and commands of their own."""

    def __init__(self, known: Known, faults: Faults, is_tracker: bool = False) -> None:
        self.known = known
        self.faults = faults
        self._is_tracker = is_tracker
        self.default: tuple[Check, ...] | None = None
        """Those of an item that names none; None: it must name some."""
        self._exists: dict[str, bool] = {}

    def of_item(self, table: Table, where: str) -> tuple[Check, ...]:
        """Read an item's checks; none at all is a fault, unless it is written down as `checks = []`."""
        if "checks" in table.fields:
            return self.read(table, where)
        if self.default is not None or not table.lacks("checks"):
            return self.default or ()
        names = self.known.default_checks or tuple(self.known.checks)
        proposed = ", ".join(f'"{name}"' for name in names[:8]) or '{ run = "…" }'
        hint = f"write checks = [{proposed}], or checks = [] to accept its work without any"
        self.faults.error(table.line, f"{where} has no checks", hint)
        return ()

    def read(self, table: Table, where: str) -> tuple[Check, ...]:
        """Read the field `checks`, which is there."""
        field = table.fields["checks"]
        if not isinstance(field.value, list):
            hint = 'as in ["unit", { run = "mypy src", timeout = "3m" }]'
            self.faults.error(field.line, f"{where}: `checks` must be a list", hint)
            return ()
        checks: dict[str, Check] = {}
        for index, one in enumerate(field.value):
            line = field.line_of(index)
            inner = nested(table, "checks", index)
            check = self._own(inner, where, checks) if inner is not None else self._named(one, line, where)
            if check is None:
                continue
            if check.name in checks:
                self.faults.error(line, f"{where}: the check {shown(check.name)} is listed twice")
            checks[check.name] = check
        return tuple(checks.values())

    def _named(self, value: object, line: int, where: str) -> Check | None:
        if not isinstance(value, str):
            self.faults.error(line, f"{where}: checks: {shown(value)} is neither a name nor a table")
            return None
        check = self.known.checks.get(value)
        if check is None:
            known = listed(self.known.checks) or "none"
            hint = self.faults.suggest(value, self.known.checks) or f"known: {known}"
            self.faults.error(line, f"{where}: there is no check {shown(value)} in ganger.toml", hint)
        else:
            self._must_exist(check, line, where)
        return check

    def _own(self, table: Table, where: str, others: dict[str, Check]) -> Check | None:
        take = Fields(table, f"{where}: checks", self.faults)
        take.refuse_unknown(CHECK_FIELDS)
        argv = take.required("run", values.command, NOTHING, 'as in { run = "mypy src" }')
        timeout_ms = take.take("timeout", values.duration(*CHECK_MS), CHECK_DEFAULT_MS)
        name = take.take("name", values.name, "")
        if not argv:
            return None
        check = Check(name or _name_for(argv, others), argv, timeout_ms)
        self._must_exist(check, table.line, where)
        return check

    def _must_exist(self, check: Check, line: int, where: str) -> None:
        program = check.argv[0]
        # Many items share a check: one look is enough, and so is one fault, unless each item is judged by itself.
        is_new = program not in self._exists
        if is_new:
            self._exists[program] = self.known.program_exists(program)
        if self._exists[program] or not (is_new or self._is_tracker):
            return
        hint = "no shell runs it: write env NAME=value …" if "=" in program else "install it, or correct the command"
        message = f"{where}: check {shown(check.name)}: there is no program {shown(program)}"
        self.faults.error(line, message, hint)


def _name_for(argv: tuple[str, ...], others: dict[str, Check]) -> str:
    """Name a check after its program: `mypy`, and `mypy-2` for the next."""
    base = argv[0].rpartition("/")[2]
    stem = "".join(char if char.isascii() and char.isalnum() else "-" for char in base).strip("-")[:40] or "check"
    if _is_reserved(stem):
        stem = f"check-{stem}"
    name, number = stem, 1
    while name in others:
        number += 1
        name = f"{stem}-{number}"
    return name


def _is_reserved(stem: str) -> bool:
    try:
        values.name(stem)
    except Unfit:
        return True
    return False
