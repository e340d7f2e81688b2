"""The store's clock: this machine's, made so that it never goes back and never stands still."""

from __future__ import annotations

import time
from collections.abc import Callable


def wall_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1_000_000


def mono_ms() -> int:
    """Milliseconds of a clock that is never set; it stands still while the machine sleeps."""
    return time.monotonic_ns() // 1_000_000


def _still() -> int:
    return 0


class StoreClock:
    """What the journal's times are taken from.

    It follows the machine's clock forward. When that is set back, or another machine wrote later times, it goes on
    from the latest time known, at the pace of the clock that is never set: otherwise no wait would end until the
    machine's clock had caught up.
    """

    def __init__(self, wall: Callable[[], int] = wall_ms, mono: Callable[[], int] | None = None) -> None:
        """`mono` may be left out for a given clock that is never set back."""
        self._wall = wall
        self._mono = mono or (mono_ms if wall is wall_ms else _still)
        self._known_ms, self._known_at = 0, self._mono()

    def now_ms(self, last_ms: int) -> int:
        """Milliseconds since the epoch: not before `last_ms`, nor before what it said earlier."""
        at = self._mono()
        now_ms = max(self._wall(), last_ms, self._known_ms + max(at - self._known_at, 0))
        self._known_ms, self._known_at = now_ms, at
        return now_ms
