"""What commands print, and how: data to stdout, everything else to stderr, nothing of an agent's raw.

Imports little: `ganger status` uses it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganger.report.safe import printable

if TYPE_CHECKING:
    from ganger.core.model import Refusal

YES, NO, USAGE, FIRST, SECOND, BLOCKED, RACE, FAULT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 70, 130

JSON_COLUMNS = {
    "scope",
    "kept",
    "todos",
    "report",
    "verdict",
    "evidence",
    "options",
    "runs",
    "checks",
    "conflicts",
    "unreadable",
    "still_open",
    "reserved",
    "classes",
}


def say(text: str = "") -> None:
    """Print a line of data, made harmless."""
    sys.stdout.write(printable(text, keep_newlines=True) + "\n")


def tell(text: str) -> None:
    """Print a line for the person, made harmless."""
    sys.stderr.write(printable(text, keep_newlines=True) + "\n")


def say_json(kind: str, value: dict[str, Any]) -> None:
    """Print one JSON object; `kind` and its version come first, so that a reader knows what it holds."""
    assert not {"kind", "version"} & value.keys(), kind
    sys.stdout.write(json.dumps({"kind": kind, "version": 1, **value}, ensure_ascii=True) + "\n")


def plain(row: Any) -> dict[str, Any]:
    """A row of the tables as values for `say_json`: columns that hold JSON are read, and null where there is none."""
    return {name: _read(value) if name in JSON_COLUMNS else value for name, value in row._asdict().items()}


def _read(text: str) -> Any:
    return json.loads(text) if text else None


def hung_up() -> int:
    """The exit status when whoever read the output has gone; what is still to be written goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return YES


def tell_error(message: str, hint: str = "") -> None:
    """Say what is wrong, and after a blank line what to do."""
    tell(f"ganger: {message}")
    if hint:
        tell(f"\n{hint}")


def way_forward(refusal: Refusal) -> str:
    """What to do after a refusal, a line each: its way, what is free instead, and when to ask again."""
    lines = [refusal.way] if refusal.way else []
    lines += [f"free now: lane {', '.join(refusal.free)}"] if refusal.free else []
    return "\n".join([*lines, *([f"ask again at {clock(refusal.again_ms)}"] if refusal.again_ms else [])])


def table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = ()) -> None:
    """Print columns, aligned; the last one is not padded."""
    shown = [tuple(printable(cell) for cell in row) for row in (*((head,) if head and rows else ()), *rows)]
    if not shown:
        return
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        sys.stdout.write("  ".join((*cells, row[-1])).rstrip() + "\n")


def span(ms: int) -> str:
    """Write a duration as people say it: `8s`, `12m04s`, `3h20m`."""
    seconds = max(0, round(ms / 1000))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def clock(at_ms: int) -> str:
    """Write an instant in local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def plural(number: int, word: str) -> str:
    """Write a number with its word: `1 item`, `3 items`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
