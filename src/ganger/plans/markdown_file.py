"""Reads a plan written in Markdown: a front matter for the plan, a heading for each item.

    ---
    id: auth
    title: Sign-in
    checks: unit
    ---

    Whatever stands before the first item is for people.

    ## login: Log in with a password

    - scope: `src/auth/**`, `tests/auth/**`
    - after: schema
    - checks: ["unit", { run = "mypy src/auth", timeout = "3m" }]
    - budget: { wall_max = "30m" }

    The brief: everything up to the next item.

The front matter holds `key: value` lines as above, or TOML (`id = "auth"`). An item's heading is `## id: title` or
`## title {#id}`; other headings of the second level are faults, those of other levels belong to the brief, and so does
everything in fenced code or in a comment (`<!-- … -->` from the beginning of a line). Directly below the heading, or
behind blank lines, comes the list of fields, up to the next line that does not continue it (indented lines do); their
names and meanings are those of `toml_file`.

A value is plain text; lists are separated by commas outside of brackets, and each element may stand in back-quotes,
so that Markdown does not take `**` for bold. What begins with a quote is TOML, and so are lists like `["unit"]` and
`[]`, and tables in braces where a list is not wanted. Blank lines around the brief are not part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from ganger.plans.draft import Draft, Field, Table
from ganger.plans.port import PLAN_BYTES_MAX, Faults, Known
from ganger.plans.source import read_text
from ganger.plans.toml_file import parse
from ganger.plans.toml_lines import TomlLines
from ganger.plans.values import Unfit
from ganger.plans.wording import shown

LIST_FIELDS = frozenset({"scope", "after", "checks"})
NUMBER_FIELDS = frozenset({"priority"})
FLAG_FIELDS = frozenset({"large", "witness"})
HEADING_HINT = "write ## id: title, or ## title {#id}; use ### inside a brief"

_HEADING = re.compile(r" {0,3}##(?!#)[ \t]*(?P<text>.*)")
_ID_BEHIND = re.compile(r"(?P<title>.*)\{#(?P<id>[^{}]*)\}")
_ID_BEFORE = re.compile(r"(?P<id>[^\s:]+):[ \t]+(?P<title>.*)")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<info>.*)")
_COMMENT = re.compile(r" {0,3}<!--")
_ENTRY = re.compile(r"[-*+][ \t]+(?P<text>.*)")
_PAIR = re.compile(r"(?P<key>[^\s:=]+)[ \t]*:(?:[ \t\n]+(?P<value>.*))?", re.DOTALL)
_TOML_PAIR = re.compile(r"[^\s:=]+[ \t]*=")
_TOML_LIST = re.compile(r"""\[\s*(?:["']|\]$)|\[\s*\{\s*\w+\s*=""")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class MarkdownSource:
    """Plans whose name ends in `.md`."""

    name = "markdown"

    def reads(self, path: Path) -> bool:
        """Decide by the ending."""
        return path.suffix == ".md"

    def read(self, path: Path, known: Known, faults: Faults) -> Draft | None:
        """Read the file."""
        return read(read_text(path, PLAN_BYTES_MAX), faults)


def read(text: str, faults: Faults) -> Draft | None:
    """Split a plan into its raw fields; None when its front matter cannot be read at all."""
    lines = text.split("\n")
    end, plan = _front_matter(lines, faults)
    if plan is None:
        return None
    starts = list(_headings(lines, end))
    items = (_item(lines, start, stop, faults) for start, stop in pairwise([*starts, len(lines)]))
    return Draft(plan, tuple(item for item in items if item is not None))


def _front_matter(lines: list[str], faults: Faults) -> tuple[int, Table | None]:
    """Read the front matter; gives the index of the first line behind it. Without one, the plan has no fields."""
    if lines[0].rstrip() != "---":
        return 0, Table({}, 1)
    end = next((index for index in range(1, len(lines)) if lines[index].rstrip() == "---"), 0)
    if not end:
        faults.error(1, "the front matter is not closed", "end it with a line of three dashes, ---")
        return 0, None
    body = lines[1:end]
    if any(_TOML_PAIR.match(line) for line in body):
        return end + 1, _toml_table(body, faults)
    table = Table({}, 1, set())
    for number, line in enumerate(body, 2):
        if line.strip() and not line.startswith("#"):
            _add_pair(table, line.strip(), number, "plan", faults)
    return end + 1, table


def _toml_table(body: list[str], faults: Faults) -> Table | None:
    # One blank line in place of the dashes keeps the line numbers right.
    text = "\n".join(["", *body])
    data = parse(text, faults)
    if data is None:
        return None
    lines = TomlLines(text)
    return Table({key: Field(value, lines.of(key), partial(lines.of, key)) for key, value in data.items()}, 1)


def _headings(lines: list[str], begin: int) -> Iterator[int]:
    """Give the index of each heading of the second level that is not in fenced code or a comment."""
    fence = ""
    comment = False
    for index in range(begin, len(lines)):
        line = lines[index]
        match = _FENCE.fullmatch(line)
        if comment or (not fence and _COMMENT.match(line)):
            comment = "-->" not in line
        elif match and not fence:
            # Back-quotes behind a back-quote fence make it inline code.
            fence = "" if match["fence"][0] == "`" and "`" in match["info"] else match["fence"]
        elif match and match["fence"].startswith(fence) and not match["info"].strip():
            fence = ""
        elif not fence and _HEADING.fullmatch(line):
            yield index


def _item(lines: list[str], start: int, stop: int, faults: Faults) -> Table | None:
    """Read the item whose heading is line `start` (from 0); None when the heading names none."""
    heading = _HEADING.fullmatch(lines[start])
    text = heading["text"].rstrip(" \t") if heading else ""
    named = _ID_BEHIND.fullmatch(text) or _ID_BEFORE.fullmatch(text)
    if named is None:
        faults.error(start + 1, f"the heading {shown(text)} names no item", HEADING_HINT)
        return None
    fields = {key: Field(named[key].rstrip(" \t"), start + 1) for key in ("id", "title")}
    table = Table(fields, start + 1, set())
    at = _skip_blank(lines, start + 1, stop)
    for number, entry, behind in _entries(lines, at, stop):
        _add_pair(table, entry, number, f"item {shown(named['id'])}", faults)
        at = behind
    at = _skip_blank(lines, at, stop)
    while stop > at and not lines[stop - 1].strip():
        stop -= 1
    fields["brief"] = Field("\n".join(lines[at:stop]), at + 1)
    return table


def _skip_blank(lines: list[str], at: int, stop: int) -> int:
    while at < stop and not lines[at].strip():
        at += 1
    return at


def _entries(lines: list[str], at: int, stop: int) -> Iterator[tuple[int, str, int]]:
    """Give each entry of the list that begins at `at`: its line, its text, and the index behind it."""
    while at < stop and (match := _ENTRY.fullmatch(lines[at])):
        number, parts = at + 1, [match["text"]]
        at += 1
        while at < stop and lines[at].startswith(("  ", "\t")) and lines[at].strip():
            parts.append(lines[at])
            at += 1
        yield number, "\n".join(parts).strip(), at


def _add_pair(table: Table, entry: str, number: int, where: str, faults: Faults) -> None:
    """Read one `key: value` into `table`, or record why it cannot be."""
    pair = _PAIR.fullmatch(entry)
    if pair is None:
        hint = "write - key: value; the brief begins behind a blank line"
        faults.error(number, f"{where}: {shown(entry)} is not a field", hint)
    elif pair["key"] == "brief":
        faults.error(number, f"{where}: `brief` is the text below the fields")
    elif not table.lacks(pair["key"]):
        faults.error(number, f"{where}: {shown(pair['key'])} is given twice")
    else:
        try:
            table.fields[pair["key"]] = Field(_value(pair["key"], (pair["value"] or "").strip()), number)
        except Unfit as unfit:
            faults.error(number, f"{where}: {shown(pair['key'])} {unfit.message}", unfit.hint)
            table.unreadable.add(pair["key"])


def _value(key: str, text: str) -> object:
    """Give the raw value as TOML would have it."""
    if not text:
        raise Unfit("has no value", "write [] for an empty list" if key in LIST_FIELDS else "")
    if key in LIST_FIELDS:
        if _TOML_LIST.match(text):
            return _toml_value(text)
        if text[0] in "\"'":
            return _toml_value(f"[{text}]")
        return [_unquoted(part) for part in split_list(text)]
    if text[0] in "\"'{[":
        return _toml_value(text)
    if key in FLAG_FIELDS and text in ("true", "false"):
        return text == "true"
    return int(text) if key in NUMBER_FIELDS and _WHOLE_NUMBER.fullmatch(text) else _unquoted(text)


def _toml_value(text: str) -> object:
    faults = Faults("")
    data = parse(f"value = {text}", faults)
    if data is None:
        raise Unfit(faults.found[0].message)
    if set(data) != {"value"}:
        raise Unfit("holds more than one value")
    return data["value"]


def split_list(text: str) -> list[str]:
    """Split at commas that are not inside of brackets, braces or back-quotes."""
    parts, depth, quoted, begin = [], 0, False, 0
    for at, char in enumerate(text):
        if char == "`":
            quoted = not quoted
        elif not quoted and char in "[{":
            depth += 1
        elif not quoted and char in "]}":
            depth -= 1
        elif char == "," and not quoted and depth <= 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
    return [*parts, text[begin:].strip()]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "`" and "`" not in text[1:-1] else text
