"""What a fleet of a given size would need: which runs to start, stop, keep waiting and flag (CONTRACTS §5).

The same decisions as the supervisor's own: `picking` says what starts, `liveness` what is flagged or stopped. Healthy
workers are never stopped because there are more of them than wanted; they are not replaced when they end.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from ganger.core.admission import item_refusal, means_refusal, scope_refusal, wanted_by
from ganger.core.effects import Clocks
from ganger.core.ids import ItemId, RunId
from ganger.core.liveness import liveness
from ganger.core.loop import Intent
from ganger.core.model import LeaseMode, Liveness
from ganger.core.packing import conflict_masks, largest
from ganger.core.picking import pick
from ganger.core.policy import Policy
from ganger.core.state import State

EXACT_MAX = 40
"""Ready scopes that hang together by overlaps up to which the most is computed exactly."""


class FleetVerdict(StrEnum):
    """How a fleet stands to its target."""

    at_target = "at_target"
    """As many work as are wanted."""
    filling = "filling"
    """Fewer work than are wanted, and more can be started."""
    over_target = "over_target"
    """More work than are wanted; those that end are not replaced."""
    target_unreachable = "target_unreachable"
    """Not as many can work at once as are wanted: scopes overlap, or too little is ready."""


class FleetPlan(Struct, frozen=True):
    """What would bring the fleet to its target."""

    verdict: FleetVerdict
    target: int
    live: int
    most: int
    """How many could work at once, with the live ones: an upper bound where it is not `exact`."""
    exact: bool
    start: tuple[ItemId, ...]
    stop: tuple[tuple[RunId, str], ...]
    """Runs that are stalled, with the reason: recovery is asked before they end."""
    hold: tuple[tuple[ItemId, str], ...]
    """Ready items that are kept waiting, with the reason."""
    flag: tuple[tuple[RunId, str], ...]
    """Runs that spin, with the reason: for a person to look at."""


def fleet_plan(state: State, clocks: Mapping[RunId, Clocks], target: int, now_ms: int, policy: Policy) -> FleetPlan:
    """Plan for `target` workers at once, from what was seen of the living ones."""
    stop, flag = _judged(state, clocks, now_ms, policy)
    live = state.workers_busy - len(stop)
    room = max(min(target, policy.workers_max) - live, 0)
    picked = list(pick(state, room, now_ms, policy, Intent()))
    start = tuple(found.item.spec.id for found in picked if found.refusal is None)
    hold = tuple((found.item.spec.id, found.refusal.reason) for found in picked if found.refusal is not None)
    more, exact = _most(state, now_ms, policy)
    most = min(live + more, policy.workers_max)
    return FleetPlan(_verdict(target, live, most), target, live, most, exact, start, stop, hold, flag)


def _judged(
    state: State, clocks: Mapping[RunId, Clocks], now_ms: int, policy: Policy
) -> tuple[tuple[tuple[RunId, str], ...], tuple[tuple[RunId, str], ...]]:
    stop, flag = [], []
    for run in state.runs.values():
        if not run.has_worker or run.report is not None or run.question:
            continue
        judged = liveness(run, state.items[run.item].spec, clocks.get(run.id, Clocks()), now_ms, policy)
        if judged.liveness is Liveness.stalled:
            stop.append((run.id, judged.reason))
        elif judged.liveness is Liveness.spinning:
            flag.append((run.id, judged.reason))
    return tuple(stop), tuple(flag)


def _most(state: State, now_ms: int, policy: Policy) -> tuple[int, bool]:
    """How many ready items could be given to runs at once, whatever the order of picking; and whether that is exact."""
    scopes, shared = [], []
    # Scopes that cannot be shared and of which no more can work: an item with it is counted, or it is held.
    settled: set[tuple[str, ...]] = set()
    for _, _, _, item_id in state.ready:
        item = state.items[item_id]
        claim = wanted_by(item.spec, policy)
        scope = ("**",) if claim.alone else claim.scope
        may_share = claim.mode is LeaseMode.shared and not claim.alone
        if not may_share and scope in settled:
            continue
        if item_refusal(state, item, now_ms) or means_refusal(state, item, now_ms, policy):
            continue
        if not may_share:
            settled.add(scope)
        if scope_refusal(state, claim, now_ms) is None:
            scopes.append(scope)
            shared.append(may_share)
    packed = largest(conflict_masks(scopes, shared, state.rules), EXACT_MAX)
    return packed.most, packed.exact


def _verdict(target: int, live: int, most: int) -> FleetVerdict:
    if live == target:
        return FleetVerdict.at_target
    if live > target:
        return FleetVerdict.over_target
    return FleetVerdict.filling if most >= target else FleetVerdict.target_unreachable
