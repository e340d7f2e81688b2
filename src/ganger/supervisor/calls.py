"""What hooks told of tools that workers used, on its way into the journal: a few at a time, a second late at most."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.effects import Clocks
from ganger.core.ids import RunId, Token
from ganger.core.model import ToolUse
from ganger.errors import GangerError
from ganger.service.fleet import Fleet
from ganger.service.hidden import Hidden
from ganger.worker_api.views import Used

log = logging.getLogger("ganger.gate")
EVERY_S = 1.0
WAITING_MAX = 10_000
"""Uses that wait; of a flood the rest is not recorded."""


class CallLog:
    """Gathers tool uses and hands them in. Safe for threads."""

    def __init__(
        self,
        fleet: Fleet,
        targets: bool = True,
        monotonic_ms: Callable[[], int] | None = None,
        hidden: Hidden = Hidden(),  # noqa: B008 - never changes
    ) -> None:
        """Without `targets` it is kept that a tool was used, and not on what; what is `hidden` is not kept at all."""
        self._fleet, self._targets, self._hidden = fleet, targets, hidden
        self._monotonic_ms = monotonic_ms or (lambda: time.monotonic_ns() // 1_000_000)
        self._lock = threading.Lock()
        self._waiting: dict[tuple[RunId, Token], list[ToolUse]] = {}
        self._count = 0
        self._last: dict[RunId, int] = {}
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._hand_in_now_and_then, name="tool-uses", daemon=True)
        self._thread.start()

    def add(self, used: Used) -> None:
        """Take one in."""
        tool, target, why = map(self._hidden.text, (used.tool, used.target if self._targets else "", used.denied))
        use = ToolUse(tool, target, used.took_ms, used.failed, why)
        with self._lock:
            self._last[used.run] = self._monotonic_ms()
            if self._count < WAITING_MAX:
                self._waiting.setdefault((used.run, used.token), []).append(use)
                self._count += 1
        self._wake.set()

    def heard(self, clocks: Mapping[RunId, Clocks], now_ms: int) -> dict[RunId, Clocks]:
        """The clocks of workers, each of which was alive when its hooks last told of a tool."""
        at_ms = self._monotonic_ms()
        with self._lock:
            ago = {run: at_ms - last for run, last in self._last.items()}
            self._last = {run: last for run, last in self._last.items() if run in clocks}
        return {
            run: replace(clock, heartbeat_ms=max(clock.heartbeat_ms, now_ms - ago[run])) if run in ago else clock
            for run, clock in clocks.items()
        }

    def close(self) -> None:
        """Hand in what waits, and end."""
        self._over = True
        self._wake.set()
        self._thread.join(timeout=5)

    def _hand_in_now_and_then(self) -> None:
        while not self._over:
            self._wake.wait()
            if not self._over:
                time.sleep(EVERY_S)
            self._wake.clear()
            self.hand_in()

    def hand_in(self) -> None:
        """Hand in what waits now: of a run that has ended nothing is taken any more."""
        with self._lock:
            waiting, self._waiting, self._count = self._waiting, {}, 0
        for (run, token), uses in waiting.items():
            for at in range(0, len(uses), cmd.TOOL_USES_MAX):
                part = tuple(uses[at : at + cmd.TOOL_USES_MAX])
                try:
                    self._fleet.submit(cmd.RecordTools(run, token, part), self._fleet.acts_as)
                except GangerError as error:
                    log.warning("tool uses of %s: %s", run, error)
