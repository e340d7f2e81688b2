"""What hooks asked before tools were used, counted by turn, beside what agents' output says of uses.

More uses than questions means that somebody switched the hooks off, or keeps them from the gate. Only turns are judged
that one gate has seen from their beginning: what was asked while there was none, nobody counted.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from ganger.core.effects import Silence
from ganger.core.ids import RunId
from ganger.worker_api.views import Asking


class Asked:
    """The counts of living turns. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[RunId, tuple[int, int]] = {}
        """The turn of each run that is counted, and which start of the gate it began with."""
        self._counts: dict[RunId, int] = {}

    def begin(self, run: RunId, turn: int, gate: int) -> None:
        """Count a turn from its beginning."""
        with self._lock:
            self._since[run], self._counts[run] = (turn, gate), 0

    def add(self, asking: Asking) -> None:
        """Hear of a question."""
        with self._lock:
            if self._since.get(asking.run, (0, 0))[0] == asking.turn:
                self._counts[asking.run] += 1

    def lacking(self, used: Mapping[RunId, tuple[int, int]], gate: int) -> dict[RunId, Silence]:
        """The runs with more uses in their turn than questions; `gate` is the start of the one that runs."""
        with self._lock:
            return {
                run: Silence(turn, uses, self._counts[run])
                for run, (turn, uses) in used.items()
                if self._since.get(run) == (turn, gate) and uses > self._counts[run]
            }

    def forget(self, but: Collection[RunId]) -> None:
        """Let go of all runs but these."""
        with self._lock:
            for run in self._since.keys() - set(but):
                del self._since[run], self._counts[run]
