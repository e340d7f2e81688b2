"""Whether the children that a kind may have could do more than the kind itself: then nothing is started."""

from __future__ import annotations

from collections.abc import Iterable

from ganger.core.model import PLANNER, Kind, Writes
from ganger.jail.bounds import Bounds
from ganger.jail.port import Network
from ganger.service.layers import Layers

_REACH = (Network.none, Network.gateway, Network.open)
"""From the shortest to the farthest."""


def refuse_wider(layers: Layers, kinds: Iterable[Kind], bounds: Bounds) -> None:
    """Record each kind of children that may write more, or reach farther, than the kind whose children they are."""
    known = {kind.name: kind for kind in kinds}
    for kind in known.values():
        for name in kind.spawn:
            if fault := _fault(kind, known.get(name, Kind(name)), bounds):
                layers.error((("kinds", kind.name, "spawn"),), fault, "take it out, or give it no more")


def _fault(kind: Kind, child: Kind, bounds: Bounds) -> str:
    if child.name == PLANNER:
        return f"names {PLANNER}, whose workers plan for the whole fleet"
    if child.writes not in (Writes.none, kind.writes) and kind.writes is not Writes.scope:
        return f"names {child.name}, which may write more ({child.writes}) than {kind.name} ({kind.writes})"
    own, reach = bounds.network_of(kind.name), bounds.network_of(child.name)
    if _REACH.index(reach) > _REACH.index(own):
        return f"names {child.name}, which reaches farther (network {reach}) than {kind.name} ({own})"
    return ""
