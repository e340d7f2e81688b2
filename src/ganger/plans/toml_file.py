"""Reads a plan written in TOML.

    [plan]
    id = "auth"
    title = "Sign-in"
    checks = ["unit"]             # for every item that names none; may be left out

    [[item]]
    id = "login"
    title = "Log in with a password"
    brief = \"\"\"…\"\"\"
    scope = ["src/auth/**", "tests/auth/**"]
    lane = "auth"                 # of ganger.toml, instead of a scope, or around it
    large = true                  # it is meant to touch more than half of all files
    acceptance = ["…"]            # how one sees that it is done, behind the brief; a text or a list
    not_in_scope = ["…"]          # what is not to be done here
    after = ["schema"]            # ids of items, of this plan or of others
    checks = ["unit", { run = "mypy src/auth", timeout = "3m", name = "types" }]
    kind = "patcher"
    agent = "claude"
    priority = 1                  # lower is sooner
    hold = "draft"                # draft | operator | { until = 2026-12-01T00:00:00Z }
    rung = "checked"              # committed | in-scope | checked | witnessed
    mode = "exclusive"            # exclusive | shared
    budget = { usd_max = 1.5, tokens_max = 500_000, attempts_max = 3, wall_max = "45m", silence_max = "10m" }

`id`, `title`, `scope` or `lane`, and checks (its own or the plan's) are required.
"""

from __future__ import annotations

import re
import tomllib
from functools import partial
from pathlib import Path

from ganger.plans.draft import Draft, Field, Table
from ganger.plans.port import PLAN_BYTES_MAX, Faults, Known
from ganger.plans.source import read_text
from ganger.plans.toml_lines import KeyPath, TomlLines
from ganger.plans.wording import harmless, listed, shown

SECTIONS = ("plan", "item")
_POSITION = re.compile(r" ?\(at (?:line ([0-9]+), column [0-9]+|end of document)\)")
_MESSAGE_CHARS_MAX = 160
KEY_PARTS_MAX = 100
_KEY_PART = re.compile(r"""[ \t]*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*""")


class TomlSource:
    """Plans whose name ends in `.toml`."""

    name = "toml"

    def reads(self, path: Path) -> bool:
        """Decide by the ending."""
        return path.suffix == ".toml"

    def read(self, path: Path, known: Known, faults: Faults) -> Draft | None:
        """Read the file."""
        return read(read_text(path, PLAN_BYTES_MAX), faults)


def read(text: str, faults: Faults) -> Draft | None:
    """Split a plan into its raw fields; None when it is not TOML, which is then the only fault."""
    data = parse(text, faults)
    if data is None:
        return None
    lines = TomlLines(text)
    for key in data:
        if key not in SECTIONS:
            hint = faults.suggest(key, SECTIONS) or f"known: {listed(SECTIONS)}"
            faults.error(lines.of(key), f"unknown field {shown(key)} beside [plan] and [[item]]", hint)
    return Draft(_plan(data, lines, faults), _items(data, lines, faults))


def parse(text: str, faults: Faults) -> dict[str, object] | None:
    """Parse TOML; a syntax error is recorded with its line and gives None."""
    if line := _endless_key(text):
        faults.error(line, f"holds a key of more than {KEY_PARTS_MAX} parts")
        return None
    try:
        return tomllib.loads(text)
    except RecursionError:
        faults.error(0, "is nested too deeply")
    except ValueError as error:
        # Besides syntax errors: numbers with thousands of digits are a plain ValueError.
        line, message = _syntax_error(text, str(error))
        faults.error(line, f"is not TOML: {message}")
    return None


def _endless_key(text: str) -> int:
    """Find a line with a dotted key of too many parts, 0 if there is none: the parser's time grows as their square."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") <= KEY_PARTS_MAX:
            continue
        run = 0
        for part in line.split("."):
            run = run + 1 if _KEY_PART.fullmatch(part) else 0
            if run > KEY_PARTS_MAX:
                return number
    return 0


def _syntax_error(text: str, message: str) -> tuple[int, str]:
    position = _POSITION.search(message)
    if position is None:
        line = 0
    elif position.group(1):
        line = int(position.group(1))
    else:
        line = text.count("\n") + (not text.endswith("\n"))
    return line, harmless(_POSITION.sub("", message))[:_MESSAGE_CHARS_MAX]


def _plan(data: dict[str, object], lines: TomlLines, faults: Faults) -> Table:
    raw = data.get("plan", {})
    if not isinstance(raw, dict):
        faults.error(lines.of("plan"), "`plan` must be a table", "write [plan] on a line of its own")
        raw = {}
    return _table(raw, ("plan",), lines)


def _items(data: dict[str, object], lines: TomlLines, faults: Faults) -> tuple[Table, ...]:
    raw = data.get("item", [])
    if not isinstance(raw, list):
        faults.error(lines.of("item"), "`item` must be a list of tables", "write [[item]] with two brackets")
        return ()
    tables = []
    for index, one in enumerate(raw):
        if isinstance(one, dict):
            tables.append(_table(one, ("item", index), lines))
        else:
            faults.error(lines.of("item", index), f"item {index + 1} must be a table", "write [[item]]")
    return tuple(tables)


def _table(raw: dict[str, object], path: KeyPath, lines: TomlLines) -> Table:
    fields = {key: Field(value, lines.of(*path, key), partial(lines.of, *path, key)) for key, value in raw.items()}
    return Table(fields, lines.of(*path))
