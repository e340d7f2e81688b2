"""What is said to a run, on its way to a worker that is at work: claimed in the journal first, then handed over."""

from __future__ import annotations

from pathlib import Path

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import RunId, Seq, Token
from ganger.journal.queries import MessageRow, Reader
from ganger.service.fleet import Accepted, Fleet
from ganger.service.place import JOURNAL

HEAD = "Said to you just now:"


def claim(fleet: Fleet, state_dir: Path, run: RunId, token: Token, turn: int) -> tuple[str, tuple[Seq, ...]]:
    """What the worker of a turn is to be told now, from here on handed to whoever called, and to nobody else.

    Empty where nothing waits, or the run is not in that turn.
    """
    reply = fleet.submit(cmd.GiveMessages(run, token, turn, at_work=True), fleet.acts_as)
    if not isinstance(reply, Accepted):
        return "", ()
    found = [seq for event in reply.events if isinstance(event, ev.MessagesDelivered) for seq in event.messages]
    if not found:
        return "", ()
    reader = Reader(state_dir / JOURNAL)
    try:
        rows = [row for row in reader.messages(run) if row.seq in found]
    finally:
        reader.close()
    return "\n".join((HEAD, *map(message_text, rows))), tuple(found)


def message_text(row: MessageRow) -> str:
    """How a worker is told a message."""
    return f"- from {row.by or 'ganger'}: {row.text}"
