"""Does the night go on? Exactly one reason when it does not."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from ganger.core.admission import item_refusal
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.model import RefusalCode
from ganger.core.state import Item, State


class Intent(Struct, frozen=True):
    """What the supervisor was told to do."""

    offer: bool = True
    """Whether ready items are given to new runs."""
    stop: bool = False
    """Whether live workers are to be stopped."""
    plan: PlanId = PlanId("")
    """The plan whose items are offered; empty: all."""
    once: ItemId = ItemId("")
    """With `run --once`: the only item that is offered; empty: no such limit."""


class StopReason(StrEnum):
    """Why a night ended."""

    complete = "complete"
    """Every item has landed."""
    drained = "drained"
    """Nothing can be offered any more, and some items did not land."""
    blocked = "blocked"
    """Everything that is left waits for a person."""
    once = "once"
    """The one item that was asked for is done with."""
    interrupted = "interrupted"
    """A person ended it."""


def stop_reason(state: State, now_ms: int, intent: Intent) -> StopReason | None:
    """Tell why the night is over; None while there is something to do or to wait for.

    What waits for a person does not keep the night going; what waits for a cool-down or for the allowed hours does.
    """
    if any(not waits_for_person(state, run_id) for run_id in state.runs):
        return None
    if intent.stop:
        return StopReason.interrupted
    if intent.once:
        return StopReason.once
    if intent.offer and any(_will_be_offered(state, item_id, now_ms, intent) for _, _, item_id in state.ready):
        return None
    if state.questions:
        return StopReason.blocked
    left = [item for item in state.items.values() if wanted(item, intent) and not item.withdrawn]
    if all(item.landed for item in left):
        return StopReason.complete
    return StopReason.drained


def waits_for_person(state: State, run_id: RunId) -> bool:
    """Whether a live run goes on only when a person has answered."""
    run = state.runs[run_id]
    if run.stop is not None or run.has_worker:
        return False
    return bool(run.question) or (state.landing is not None and bool(state.landing.question) and bool(run.accepted_seq))


def wanted(item: Item, intent: Intent) -> bool:
    """Whether this night is about the item."""
    return (not intent.plan or item.spec.plan == intent.plan) and (not intent.once or item.spec.id == intent.once)


def _will_be_offered(state: State, item_id: ItemId, now_ms: int, intent: Intent) -> bool:
    """Whether only time, room or a live run keeps the item from being offered; a scope held by a person's
    pace (a run that asks) counts as waiting for that person."""
    item = state.items[item_id]
    if not wanted(item, intent):
        return False
    refusal = item_refusal(state, item, now_ms)
    if refusal is not None:
        return refusal.code is RefusalCode.cooldown
    return not any(waits_for_person(state, holder) for holder in state.leases.overlapping(item.spec.scope))
