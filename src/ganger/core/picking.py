"""Which ready items get a run now, in which order, and why not each other.

Order: priority, then freshness, then age (CONTRACTS §5). An item that waits for a scope reserves it, so that later
items do not overtake it for ever; not so one that waits for a person's answer, which may take all night.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.admission import Wanted, item_refusal, means_refusal, own_cap_refusal, scope_refusal, wanted_by
from ganger.core.facts import Item
from ganger.core.hours import hours_refusal
from ganger.core.ids import ItemId, RunId
from ganger.core.loop import Intent, waits_for_person, wanted
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.core.patterns import ScopeIndex
from ganger.core.policy import Policy
from ganger.core.state import State

EVERYTHING = ("**",)
"""The scope of whoever must be alone."""
Answer: TypeAlias = tuple[Refusal | None, bool]
"""Why a scope cannot be had now (None: it can), and whether that waits for a person."""
Answers: TypeAlias = dict[tuple[tuple[str, ...], LeaseMode], tuple[str, Refusal, bool]]
"""The scopes that were refused in this tick: to whom first, why, and whether that waits for a person."""


class Pick(Struct, frozen=True):
    """A ready item, and why it is not offered now (None: it is)."""

    item: Item
    refusal: Refusal | None


def pick(
    state: State, room: int, now_ms: int, policy: Policy, intent: Intent, owed: Iterable[str] = ()
) -> Iterator[Pick]:
    """Go through the ready items of this night in order until `room` of them are offered.

    Ends early when no worker may be started at all, and after `pick_scan_max` items whose scopes had to be looked at,
    so that one tick stays short however many items are ready. What waits for its time or for a person does not count:
    it may do so all night, and others would never be looked at. `owed` are kinds and lanes (`kind:NAME`, `lane:NAME`)
    of turns that are due and come before.
    """
    if room <= 0 or hours_refusal(now_ms, policy) is not None:
        return
    reserved: ScopeIndex[ItemId] = ScopeIndex(state.rules)
    refused: Answers = {}
    offered = Counter(owed)
    looked = 0
    for _, _, _, item_id in state.ready:
        item = state.items[item_id]
        if not wanted(item, intent):
            continue
        refusal = item_refusal(state, item, now_ms) or _means_refusal(state, item, now_ms, policy, offered)
        if refusal is None:
            refusal, for_person = _ask_for_scope(state, item, now_ms, policy, reserved, refused)
            looked += not for_person
        if refusal is None:
            room -= 1
            offered.update((f"kind:{item.spec.kind}", f"lane:{item.spec.lane}"))
        yield Pick(item, refusal)
        if not room or looked >= policy.pick_scan_max:
            return


def _means_refusal(state: State, item: Item, now_ms: int, policy: Policy, offered: Counter[str]) -> Refusal | None:
    """Refuse what the item needs besides its scope, with what is offered before it in this tick counted as busy."""
    refusal = means_refusal(state, item, now_ms, policy)
    return refusal if refusal is not None or not offered else own_cap_refusal(state, item.spec, policy, offered)


def _ask_for_scope(
    state: State, item: Item, now_ms: int, policy: Policy, reserved: ScopeIndex[ItemId], refused: Answers
) -> Answer:
    """Answer for the scope, and reserve it where it is taken or waited for: within one tick that only grows."""
    scope, mode = item.spec.scope, item.spec.mode
    claim = wanted_by(item.spec, policy)
    known = None if claim.alone else refused.get((scope, mode))
    if known is not None:
        first, answer, waits = known
        return _answered_again(answer, first, claim.name), waits
    refusal = scope_refusal(state, claim, now_ms) or _reserved_refusal(state, claim, now_ms, reserved)
    for_person = refusal is not None and _waits_for_person(state, claim, refusal)
    if refusal is not None and not claim.alone:
        refused[scope, mode] = claim.name, refusal, for_person
    if not for_person:
        shared = mode is LeaseMode.shared and not claim.alone
        reserved.add(item.spec.id, EVERYTHING if claim.alone else scope, shared=shared)
    return refusal, for_person


def _answered_again(refusal: Refusal, first: str, name: str) -> Refusal:
    """The answer that another one got first, in the name of who asks for the same now."""
    if not refusal.reason.startswith(first):
        return refusal
    return replace(refusal, reason=name + refusal.reason.removeprefix(first))


def _reserved_refusal(state: State, claim: Wanted, now_ms: int, reserved: ScopeIndex[ItemId]) -> Refusal | None:
    """Refuse what an item that comes first holds or waits for in this tick; who must be alone wants everything."""
    if not claim.alone:
        return scope_refusal(state, claim, now_ms, reserved)
    first = next(reserved.overlapping(EVERYTHING), None)
    if first is None:
        return None
    return Refusal(RefusalCode.exclusive_held, f"{claim.name} runs alone, and {first} comes first", holder=first)


def _waits_for_person(state: State, claim: Wanted, refusal: Refusal) -> bool:
    """Whether a run that stands in the way goes on only when a person has answered."""
    in_the_way = chain((refusal.holder,), state.runs if claim.alone else state.leases.overlapping(claim.scope))
    return any(holder in state.runs and waits_for_person(state, RunId(holder)) for holder in in_the_way)


def worth_noting(found: Pick) -> bool:
    """Whether the reason is one that a person wants to read later, and is not yet recorded."""
    refusal = found.refusal
    if refusal is None:
        return False
    waits_for_kind = refusal.code is RefusalCode.config and bool(refusal.holder)
    noted = (RefusalCode.overlap, RefusalCode.exclusive_held, RefusalCode.budget)
    if refusal.code not in noted and not waits_for_kind:
        return False
    return found.item.waiting != (refusal.code, refusal.holder)


class HoldReason(StrEnum):
    """Why an item is not picked; another attempt may cure the first four, not the others."""

    in_flight = "in_flight"
    """A run works on it."""
    cooldown = "cooldown"
    """It failed a short while ago, or something it needs did, and waits for its time."""
    scope_busy = "scope_busy"
    """Its scope, or the room for its worker, is taken."""
    unparseable = "unparseable"
    """Its source could not be read as an item."""
    draft = "draft"
    """Its plan says that it is not ready."""
    operator_gate = "operator_gate"
    """A person holds or stopped it, or must decide something first."""
    soak = "soak"
    """It is held until a date."""
    dependency = "dependency"
    """Something must land before."""


CURABLE = frozenset({HoldReason.in_flight, HoldReason.cooldown, HoldReason.scope_busy, HoldReason.unparseable})

_HOLD_OF: dict[RefusalCode, HoldReason] = {
    RefusalCode.wrong_state: HoldReason.in_flight,
    RefusalCode.cooldown: HoldReason.cooldown,
    RefusalCode.breaker_open: HoldReason.cooldown,
    RefusalCode.provider_limit: HoldReason.cooldown,
    RefusalCode.predicate: HoldReason.cooldown,
    RefusalCode.hours: HoldReason.cooldown,
    RefusalCode.overlap: HoldReason.scope_busy,
    RefusalCode.exclusive_held: HoldReason.scope_busy,
    RefusalCode.fleet_cap: HoldReason.scope_busy,
    RefusalCode.kind_cap: HoldReason.scope_busy,
    RefusalCode.lane_cap: HoldReason.scope_busy,
    RefusalCode.not_ready: HoldReason.dependency,
}


def hold_of(item: Item, refusal: Refusal) -> HoldReason:
    """Sort a refusal into the reasons for which an item is held."""
    by_item = refusal.code is RefusalCode.held and not refusal.holder
    if by_item and item.hold is not None and not item.stopped:
        by_plan = {"draft": HoldReason.draft, "until": HoldReason.soak, "unparseable": HoldReason.unparseable}
        return by_plan.get(item.hold.reason, HoldReason.operator_gate)
    return _HOLD_OF.get(refusal.code, HoldReason.operator_gate)


def survey(state: State, now_ms: int, policy: Policy, intent: Intent) -> Iterator[Pick]:
    """For every open item, in the order of picking: whether it would be picked now, and if not, why.

    Unlike `pick` it looks at all of them, those that are not ready too, and does not stop when the room is used up.
    """
    closed = hours_refusal(now_ms, policy)
    room = policy.workers_max - state.workers_busy
    reserved: ScopeIndex[ItemId] = ScopeIndex(state.rules)
    refused: Answers = {}
    offered: Counter[str] = Counter()
    rows = (item for item in state.items.values() if wanted(item, intent) and not _is_over(item))
    for item in sorted(rows, key=lambda item: (item.spec.priority, item.failures, item.seq)):
        refusal = item_refusal(state, item, now_ms) or closed or _means_refusal(state, item, now_ms, policy, offered)
        if refusal is None:
            refusal, _ = _ask_for_scope(state, item, now_ms, policy, reserved, refused)
        if refusal is None and room <= 0:
            busy = f"{state.workers_busy} of {policy.workers_max} workers are busy, and others come first"
            refusal = Refusal(RefusalCode.fleet_cap, busy)
        if refusal is None:
            room -= 1
            offered.update((f"kind:{item.spec.kind}", f"lane:{item.spec.lane}"))
        yield Pick(item, refusal)


def _is_over(item: Item) -> bool:
    return bool(item.landed or item.finished or item.withdrawn or item.undone)
