"""What is said to a run, on its way to a worker that is at work: claimed in the journal first, then handed over.

The gate asks for it when the worker has used a tool, and says that it is read when the next hook comes after that.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import Run
from ganger.core.ids import Seq
from ganger.core.messages import AT_ONCE
from ganger.errors import GangerError
from ganger.journal.queries import Reader
from ganger.service.fleet import Accepted, Fleet
from ganger.service.place import JOURNAL
from ganger.supervisor.brief import message_text
from ganger.worker_api.views import AskNews, Heard

log = logging.getLogger("ganger.gate")
HEAD = "Said to you just now:"


def waiting(run: Run) -> Seq:
    """The number of the newest message that a worker at work is to be told; 0 for none."""
    return max((one.seq for one in run.messages if not one.turn and one.when in AT_ONCE), default=Seq(0))


class Post:
    """Claims and tells messages. Safe for threads."""

    def __init__(self, fleet: Fleet, state_dir: Path) -> None:
        self._fleet, self._state_dir = fleet, state_dir

    def claim(self, asked: AskNews) -> tuple[str, tuple[Seq, ...]]:
        """What the worker of a turn is to be told now, from here on handed to it alone; empty where nothing waits."""
        command = cmd.GiveMessages(asked.run, asked.token, asked.turn, at_work=True)
        reply = self._fleet.submit(command, self._fleet.acts_as)
        if not isinstance(reply, Accepted):
            return "", ()
        found = [seq for event in reply.events if isinstance(event, ev.MessagesDelivered) for seq in event.messages]
        if not found:
            return "", ()
        reader = Reader(self._state_dir / JOURNAL)
        try:
            rows = [row for row in reader.messages(asked.run) if row.seq in found]
        finally:
            reader.close()
        return "\n".join((HEAD, *map(message_text, rows))), tuple(found)

    def heard(self, heard: Heard) -> None:
        """Record that the worker went on after it had been told."""
        try:
            self._fleet.submit(cmd.RecordRead(heard.run, heard.token, heard.messages), self._fleet.acts_as)
        except GangerError as error:
            log.warning("what %s has read: %s", heard.run, error)
