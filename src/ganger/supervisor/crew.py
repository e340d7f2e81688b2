"""Threads that carry out slow effects, the important ones first.

Nothing is queued: an effect that finds no free thread is left, and the next tick asks for it again if it is still
wanted, in the order of what matters then. What can take minutes (checks) has threads of its own, so that starting and
stopping workers never waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from ganger.core.effects import (
    AskCi,
    CleanWorkspace,
    CollectEvidence,
    Effect,
    EndRun,
    Land,
    MakeBase,
    ReadPlan,
    ReadTarget,
    Recover,
    Rewind,
    StartWorker,
    StopWorker,
    TestTrain,
    TestUndo,
)

ORDER: tuple[type, ...] = (
    *(StopWorker, StartWorker, MakeBase, Recover, Rewind, Land, TestUndo, TestTrain, CollectEvidence),
    *(EndRun, ReadPlan, ReadTarget, AskCi, CleanWorkspace),
)
"""Most important first: what keeps workers busy, then what lets items land, then what only tidies up."""
LONG = (TestTrain, TestUndo, CollectEvidence)
HANDS = 4
HANDS_FOR_OTHERS = 2
"""Threads that tidying up, and asking others, leave free."""


class Crew:
    """The threads, and how many of them are busy."""

    def __init__(self, checks_max: int) -> None:
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="hand")
        self._checks = ThreadPoolExecutor(checks_max, thread_name_prefix="check")
        self._free = {True: checks_max, False: HANDS}
        self._lock = threading.Lock()

    @staticmethod
    def by_importance(effects: Iterable[Effect]) -> list[Effect]:
        """Sort slow effects, keeping the order among those of one kind."""
        return sorted(effects, key=lambda effect: ORDER.index(type(effect)))

    def has_room(self, effect: Effect) -> bool:
        """Whether a thread is free for it."""
        with self._lock:
            free = self._free[isinstance(effect, LONG)]
        return free > (HANDS_FOR_OTHERS if isinstance(effect, CleanWorkspace | AskCi) else 0)

    def start(self, effect: Effect, work: Callable[[Effect], None]) -> None:
        """Have a free thread call `work(effect)`; only when there is room."""
        is_long = isinstance(effect, LONG)
        with self._lock:
            self._free[is_long] -= 1

        def call() -> None:
            try:
                work(effect)
            finally:
                with self._lock:
                    self._free[is_long] += 1

        (self._checks if is_long else self._hands).submit(call)

    def leave(self, timeout_s: float | None) -> bool:
        """Take no more work and wait for what is under way, at most so long (None: to its end); tell if all is done."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        for pool in (self._hands, self._checks):
            pool.shutdown(wait=until is None)
            for thread in list(pool._threads):
                thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for pool in (self._hands, self._checks) for thread in pool._threads)
