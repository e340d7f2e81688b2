"""Which ready items get a run now, in which order.

Order: priority, then age (CONTRACTS §5). An item that waits for a scope reserves it, so that later items do not
overtake it for ever; not so one that waits for a person's answer, which may take all night.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from ganger.core.admission import hours_refusal, item_refusal, overlap_refusal
from ganger.core.ids import RunId, run_id
from ganger.core.loop import Intent, waits_for_person, wanted
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.core.patterns import ScopeIndex
from ganger.core.policy import Policy
from ganger.core.state import Item, State

Answer: TypeAlias = tuple[Refusal | None, bool]
"""Why a scope cannot be had now (None: it can), and whether that waits for a person."""
Answers: TypeAlias = dict[tuple[tuple[str, ...], LeaseMode], Answer]
"""The scopes that were refused in this tick."""


class Pick(Struct, frozen=True):
    """A ready item, and why it is not offered now (None: it is)."""

    item: Item
    refusal: Refusal | None


def pick(state: State, room: int, now_ms: int, policy: Policy, intent: Intent) -> Iterator[Pick]:
    """Go through the ready items of this night in order until `room` of them are offered.

    Ends early when no worker may be started at all, and after `pick_scan_max` items whose scopes had to be looked at,
    so that one tick stays short however many items are ready. What waits for its time or for a person does not count:
    it may do so all night, and others would never be looked at.
    """
    if room <= 0 or hours_refusal(now_ms, policy) is not None:
        return
    reserved: ScopeIndex[RunId] = ScopeIndex(state.rules)
    refused: Answers = {}
    looked = 0
    for _, _, item_id in state.ready:
        item = state.items[item_id]
        if not wanted(item, intent):
            continue
        refusal = item_refusal(state, item, now_ms)
        if refusal is None:
            refusal, for_person = _ask_for_scope(state, item, now_ms, reserved, refused)
            room -= refusal is None
            looked += not for_person
        yield Pick(item, refusal)
        if not room or looked >= policy.pick_scan_max:
            return


def _ask_for_scope(state: State, item: Item, now_ms: int, reserved: ScopeIndex[RunId], refused: Answers) -> Answer:
    """Answer for the scope, and reserve it where it is taken or waited for: within one tick that only grows."""
    scope, mode = item.spec.scope, item.spec.mode
    known = refused.get((scope, mode))
    if known is not None:
        return known
    refusal = overlap_refusal(state, item, now_ms, reserved)
    for_person = refusal is not None and _waits_for_person(state, item)
    if refusal is not None:
        refused[scope, mode] = refusal, for_person
    if not for_person:
        reserved.add(run_id(item.spec.id, item.attempts + 1), scope)
    return refusal, for_person


def _waits_for_person(state: State, item: Item) -> bool:
    """Whether a run that holds some of the item's scope goes on only when a person has answered."""
    return any(waits_for_person(state, holder) for holder in state.leases.overlapping(item.spec.scope))


def worth_noting(found: Pick) -> bool:
    """Whether the reason is one that a person wants to read later, and is not yet recorded."""
    refusal = found.refusal
    if refusal is None or refusal.code is not RefusalCode.overlap:
        return False
    return found.item.waiting != (refusal.code, refusal.holder)
