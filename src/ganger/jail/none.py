"""Tier 0: no jail. The worker can do whatever the user who runs ganger can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class NoJail:
    """Starts programs as they are; what is asked to be kept out is not kept out, and the tier says so."""

    tier = "T0"

    def wrap(self, argv: Sequence[str], *, writable: tuple[Path, ...], network: str) -> tuple[str, ...]:
        """Return `argv` unchanged."""
        return tuple(argv)
