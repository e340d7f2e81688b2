"""Tier 0: no jail. The worker can do whatever the user who runs ganger can do."""

from __future__ import annotations

from collections.abc import Sequence

from ganger.jail.kernel import rlimits
from ganger.jail.port import Confined, Reach, Wall


class NoJail:
    """Starts programs as they are; what is asked to be kept out is not kept out, and the tier says so."""

    tier = "T0"
    mechanism = "no containment"
    gaps = ("workers and checks can write, read and connect wherever you can",)

    def confine(self, argv: Sequence[str], reach: Reach) -> Confined:
        """Return `argv` unchanged; only limits are set."""
        return Confined(tuple(argv), Wall(limits=rlimits(reach.limits)))

    def sees(self, program: str, reach: Reach) -> bool:
        """Everything is in sight."""
        return True

    def joins(self, reach: Reach) -> bool:
        """Everything can be connected to."""
        return True
