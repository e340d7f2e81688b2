"""The board as a Markdown file beside the journal: for editors, wikis and whoever likes files.

It is written from the journal and never read: what somebody changes in it is gone with the next writing, which is also
what repairs it after a crash.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from threading import Event, Thread

from ganger.cli.items import shown_status
from ganger.errors import GangerError
from ganger.journal.clock import wall_ms
from ganger.journal.queries import ItemRow, Reader
from ganger.report.safe import printable
from ganger.service.place import JOURNAL, replace_file

BOARD = "board.md"
EVERY_S = 2.0
"""Between two looks at whether the journal grew."""
HEAD = "<!-- Written by ganger from its journal and never read: changes made here are lost. -->"


@contextmanager
def kept(state_dir: Path) -> Iterator[None]:
    """Keep the board's file up to date while the block runs; it is right when that begins and when it has ended.

    A board that cannot be written takes nothing away from the night.
    """
    over = Event()
    thread = Thread(target=_follow, args=(state_dir, over), daemon=True)
    _write_if_possible(state_dir)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _write_if_possible(state_dir)


def _follow(state_dir: Path, over: Event) -> None:
    seen = -1
    while not over.wait(EVERY_S):
        with suppress(GangerError, OSError), closing(Reader(state_dir / JOURNAL)) as reader:
            seq = reader.last_seq()
            if seq != seen:
                _write_if_possible(state_dir)
                seen = seq


def _write_if_possible(state_dir: Path) -> None:
    with suppress(GangerError, OSError):
        write(state_dir)


def write(state_dir: Path) -> None:
    """Write the board's file as the journal has it now."""
    with closing(Reader(state_dir / JOURNAL)) as reader:
        replace_file(state_dir / BOARD, board(reader, wall_ms()).encode())


def board(reader: Reader, now_ms: int) -> str:
    """All plans with their items: where each is, and why."""
    lines = [HEAD, ""]
    for plan, items in groupby(reader.items(), key=lambda item: item.plan):
        lines += [f"## {plan}", "", "| item | where it is | title | last word |", "| --- | --- | --- | --- |"]
        lines += [_row(item, shown_status(item, reader, now_ms)) for item in items]
        lines.append("")
    return "\n".join(lines)


def _row(item: ItemRow, status: str) -> str:
    last = f"`{item.landed[:12]}`" if item.landed else _cell(item.reason)
    return f"| `{item.id}` | {status.replace('_', ' ')} | {_cell(item.title)} | {last} |"


def _cell(text: str) -> str:
    """Words of plans and workers as plain text in a table."""
    plain = html.escape(printable(text).replace("\\", "\\\\").replace("|", "\\|"), quote=False)
    for mark in "`*_[]":
        plain = plain.replace(mark, f"\\{mark}")
    return plain
