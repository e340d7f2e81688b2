"""What is said to a run, handed over by the gate to a worker that is at work.

The gate asks for it when the worker has used a tool, and says that it is read when the next hook comes after that.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.ids import Seq
from ganger.core.messages import AT_ONCE
from ganger.errors import GangerError
from ganger.service import mail
from ganger.service.fleet import Fleet
from ganger.worker_api.views import AskNews, Heard

log = logging.getLogger("ganger.gate")


def waiting(run: Run) -> Seq:
    """The number of the newest message that a worker at work is to be told; 0 for none."""
    return max((one.seq for one in run.messages if not one.turn and one.when in AT_ONCE), default=Seq(0))


class Post:
    """Claims and tells messages. Safe for threads."""

    def __init__(self, fleet: Fleet, state_dir: Path) -> None:
        self._fleet, self._state_dir = fleet, state_dir

    def claim(self, asked: AskNews) -> tuple[str, tuple[Seq, ...]]:
        """What the worker of a turn is to be told now, from here on handed to it alone; empty where nothing waits."""
        return mail.claim(self._fleet, self._state_dir, asked.run, asked.token, asked.turn)

    def heard(self, heard: Heard) -> None:
        """Record that the worker went on after it had been told."""
        try:
            self._fleet.submit(cmd.RecordRead(heard.run, heard.token, heard.messages), self._fleet.acts_as)
        except GangerError as error:
            log.warning("what %s has read: %s", heard.run, error)
