"""May this run be born now? One decision, used by the picker, by the grant itself and by whoever asks.

Source of the rules: CONTRACTS §5, admission. The order of the questions is the order of usefulness of the answers:
what concerns the item alone first, what waits for others last.
"""

from __future__ import annotations

from ganger.core.ids import RunId, item_of
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.core.patterns import ScopeIndex, scope_overlap
from ganger.core.policy import Policy
from ganger.core.state import Item, State

MINUTE_MS = 60_000
DAY_MIN = 1_440


def admit(state: State, item: Item, now_ms: int, policy: Policy) -> Refusal | None:
    """Decide whether `item` may be given to a new run at `now_ms`; None admits it."""
    return (
        item_refusal(state, item, now_ms)
        or hours_refusal(now_ms, policy)
        or cap_refusal(state, policy)
        or overlap_refusal(state, item, now_ms)
    )


def item_refusal(state: State, item: Item, now_ms: int) -> Refusal | None:
    """Refuse what stands against the item itself, whoever else works."""
    name = item.spec.id
    if item.landed:
        return Refusal(RefusalCode.wrong_state, f"item {name} has landed as {item.landed[:12]}")
    if item.run:
        return Refusal(RefusalCode.wrong_state, f"item {name} is being worked on by {item.run}", holder=item.run)
    if item.withdrawn:
        return Refusal(RefusalCode.wrong_state, f"item {name} is in its plan no longer")
    if item.stopped:
        return Refusal(RefusalCode.held, f"item {name} was stopped: {item.stopped}", f"ganger retry {name}")
    if item.given_up:
        tries = f"{item.failures} attempt{'s' if item.failures != 1 else ''}"
        return Refusal(RefusalCode.exhausted, f"item {name} failed {tries}: {item.last_reason}", f"ganger retry {name}")
    unmet = state.unmet(item.spec)
    if unmet:
        return Refusal(RefusalCode.not_ready, f"item {name} waits for {', '.join(unmet)}")
    return _hold_refusal(item, now_ms)


def _hold_refusal(item: Item, now_ms: int) -> Refusal | None:
    hold = item.hold
    name = item.spec.id
    if hold is not None and hold.reason == "until":
        if now_ms < hold.until_ms:
            return Refusal(RefusalCode.held, f"item {name} is held until its date", again_ms=hold.until_ms)
    elif hold is not None:
        return Refusal(RefusalCode.held, f"item {name} is held: {hold.reason}", f"ganger retry {name}")
    if now_ms < item.cool_until_ms:
        reason = f"item {name} waits after a failed attempt: {item.last_reason}"
        return Refusal(RefusalCode.cooldown, reason, again_ms=item.cool_until_ms)
    return None


def hours_refusal(now_ms: int, policy: Policy) -> Refusal | None:
    """Refuse outside the hours in which workers may be started."""
    again_ms = hours_open_ms(now_ms, policy)
    if again_ms <= now_ms:
        return None
    return Refusal(RefusalCode.hours, "outside fleet.allowed_hours", again_ms=again_ms)


def hours_open_ms(now_ms: int, policy: Policy) -> int:
    """Tell when the hours are next open: `now_ms` itself when they are open now."""
    if not policy.hours:
        return now_ms
    minute = (now_ms // MINUTE_MS + policy.utc_offset_min) % DAY_MIN
    if any(_within(minute, start, end) for start, end in policy.hours):
        return now_ms
    wait = min((start - minute) % DAY_MIN for start, _ in policy.hours)
    return (now_ms // MINUTE_MS + wait) * MINUTE_MS


def _within(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start < end else minute >= start or minute < end


def cap_refusal(state: State, policy: Policy) -> Refusal | None:
    """Refuse when as many workers live as may."""
    busy = state.workers_busy
    if busy < policy.workers_max:
        return None
    return Refusal(RefusalCode.fleet_cap, f"{busy} of {policy.workers_max} workers are busy")


def overlap_refusal(state: State, item: Item, now_ms: int, reserved: ScopeIndex[RunId] | None = None) -> Refusal | None:
    """Refuse when a live lease, or a reservation, overlaps the item's scope and either side is exclusive.

    A lease that has run out still stands while its run does: a run ends when its worker is known to be gone, and
    only then is its scope free.
    """
    for holder in state.leases.overlapping(item.spec.scope):
        run = state.runs[holder]
        if LeaseMode.exclusive in (run.lease.mode, item.spec.mode):
            return _overlap(state, item, run.id, run.lease.scope)
    if reserved is not None:
        for holder in reserved.overlapping(item.spec.scope):
            what = _wanted(state, item, state.items[item_of(holder)].spec.scope)
            reason = f"item {item.spec.id} wants {what}, and {holder} comes first"
            return Refusal(RefusalCode.overlap, reason, holder=holder)
    return None


def _overlap(state: State, item: Item, holder: RunId, scope: tuple[str, ...]) -> Refusal:
    what = _wanted(state, item, scope)
    reason = f"item {item.spec.id} wants {what}, held by {holder}"
    return Refusal(RefusalCode.overlap, reason, f"wait for {holder}, or ganger stop {holder}", holder=holder)


def _wanted(state: State, item: Item, scope: tuple[str, ...]) -> str:
    """Say where the item's scope and another one meet."""
    pair = scope_overlap(item.spec.scope, scope, state.rules)
    mine, theirs = pair if pair is not None else (item.spec.scope[0], scope[0])
    return mine if mine == theirs else f"{mine}, which overlaps {theirs}"
