"""Has the hub learn the target's history while other work goes on, so that `ganger verify` need not walk it."""

from __future__ import annotations

import logging
import threading

from ganger.core.ids import Commit
from ganger.errors import GangerError
from ganger.git.history_keeper import keep_up
from ganger.git.hub import Hub

log = logging.getLogger("ganger.supervisor")
EVERY_MS = 5_000
"""Between the beginnings of two looks, also when the last one failed."""


class Background:
    """Learns what is new of the target, in a thread of its own."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._thread: threading.Thread | None = None
        self._next_ms = 0
        self._known = Commit("")

    def nudge(self, tip: Commit, now_ms: int) -> None:
        """Begin to learn if the target has moved and the last look is over; returns at once.

        A process that ends meanwhile loses nothing: what was learnt is kept as a whole or not at all.
        """
        busy = self._thread is not None and self._thread.is_alive()
        if not tip or tip == self._known or now_ms < self._next_ms or busy:
            return
        self._next_ms = now_ms + EVERY_MS
        self._thread = threading.Thread(target=self._learn, args=(tip,), name="history", daemon=True)
        self._thread.start()

    def _learn(self, tip: Commit) -> None:
        try:
            keep_up(self._hub, tip)
        except (GangerError, OSError) as error:
            log.info("the history of the target was not learnt: %s", error)
        else:
            self._known = tip
