"""Does the night go on? Continue, or stop with exactly one reason; and what is left of the backlog, in one word."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from ganger.core import family
from ganger.core.admission import item_refusal, means_refusal, scope_refusal, wanted_by
from ganger.core.closing import awaited, is_waited_for, landed_by, lost
from ganger.core.facts import Item, PlanFacts, Run
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.model import QuestionKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State


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
    only: frozenset[ItemId] | None = None
    """With `run --select`: the items that are offered; None: no such limit."""
    granted_max: int | None = None
    """Runs that the fleet may have granted, all told; None: no such limit."""
    patience_ms: int | None = None
    """The longest wait for time alone that this night is worth; None: any."""


class StopReason(StrEnum):
    """Why a night ended."""

    complete = "complete"
    """Every item has landed, as the target shows, and is closed; or is finished."""
    drained = "drained"
    """Nothing can be offered any more, and some items did not land."""
    blocked = "blocked"
    """Everything that is left waits for a person's answer."""
    iteration_cap = "iteration_cap"
    """As many runs as asked for were granted."""
    once = "once"
    """The one item that was asked for is done with."""
    unclear_repeated = "unclear_repeated"
    """Several items or planner runs in a row came to nothing, so that going on would be throwing good after bad."""
    launch_failed = "launch_failed"
    """The workers of what is left cannot be started."""
    provider_limit = "provider_limit"
    """What is left waits for a provider, for longer than the night is worth."""
    budget = "budget"
    """What is left costs more than may still be spent."""
    pick_held = "pick_held"
    """A person, the plan or the driver holds everything that is left."""
    pick_cooldown = "pick_cooldown"
    """What is left waits for its time, for longer than the night is worth."""
    review_or_ci_unresolved = "review_or_ci_unresolved"
    """What is left is accepted, and its landing waits for a person; or it has landed, and CI has not said so."""
    interrupted = "interrupted"
    """A person ended it."""


class Gate(StrEnum):
    """What is left of the backlog."""

    live = "live"
    """Something can be worked on, now or when its time comes."""
    drained = "drained"
    """Nothing is left, and nobody who could find more has been left unasked."""
    stale = "stale"
    """Something has landed that its tracker still calls open."""
    blocked = "blocked"
    """Something is left, and none of it goes on by itself."""
    race = "race"
    """Runs are under way, whose end may change the answer."""


_BY_TIME = {
    RefusalCode.cooldown: StopReason.pick_cooldown,
    RefusalCode.predicate: StopReason.pick_cooldown,
    RefusalCode.provider_limit: StopReason.provider_limit,
}
_FOR_GOOD = {
    RefusalCode.budget: StopReason.budget,
    RefusalCode.held: StopReason.pick_held,
    RefusalCode.config: StopReason.pick_held,
    RefusalCode.depth_cap: StopReason.pick_held,
}


def stop_reason(state: State, now_ms: int, policy: Policy, intent: Intent) -> StopReason | None:
    """Tell why the night is over; None while there is something to do or to wait for.

    What waits for a person does not keep the night going; what waits for a cool-down, for a provider or for the
    allowed hours does, as long as the night is patient.
    """
    asleep = {run.id for run in state.runs.values() if _is_asleep(state, run, now_ms, intent)}
    if any(not waits_for_person(state, run_id) for run_id in state.runs if run_id not in asleep):
        return None
    if intent.stop:
        return StopReason.interrupted
    if is_waited_for(state, now_ms, policy, lambda item: wanted(item, intent), intent.patience_ms):
        return None
    if intent.once:
        return StopReason.once
    if intent.granted_max is not None and state.granted >= intent.granted_max:
        return StopReason.iteration_cap
    waits = [_wait(state, item_id, now_ms, policy, intent) for _, _, _, item_id in state.ready]
    if None in waits:
        return None
    if planner_due(state, policy, intent):
        return None
    if asleep and not state.questions:
        return StopReason.provider_limit
    return _why_over(state, policy, intent, [wait for wait in waits if wait is not None])


def goes_on(state: State, now_ms: int, policy: Policy, intent: Intent) -> bool:
    """Whether a run goes on by itself, or an item can be had now or when its time comes."""
    if any(not waits_for_person(state, run_id) for run_id in state.runs):
        return True
    return any(_wait(state, item_id, now_ms, policy, intent) is None for _, _, _, item_id in state.ready)


def _wait(state: State, item_id: ItemId, now_ms: int, policy: Policy, intent: Intent) -> StopReason | None:
    """Why an item that is ready is not worth waiting for; None when it is, or can be had at once."""
    item = state.items[item_id]
    if not wanted(item, intent):
        return StopReason.drained
    if not intent.offer:
        return StopReason.pick_held
    refusal = item_refusal(state, item, now_ms) or means_refusal(state, item, now_ms, policy)
    if refusal is None and _waits_for_tidying(state, item, now_ms, intent):
        return StopReason.pick_held
    if refusal is None:
        taken = scope_refusal(state, wanted_by(item.spec, policy), now_ms)
        if taken is not None and taken.holder in state.runs and waits_for_person(state, RunId(taken.holder)):
            return StopReason.blocked
        return StopReason.pick_cooldown if taken is not None and _is_too_late(taken, now_ms, intent) else None
    if refusal.code in _BY_TIME:
        return _BY_TIME[refusal.code] if _is_too_late(refusal, now_ms, intent) else None
    if refusal.code is RefusalCode.breaker_open:
        breaker = state.breakers.get(refusal.holder)
        return StopReason.launch_failed if breaker is not None and breaker.launch else StopReason.unclear_repeated
    if refusal.code in (RefusalCode.kind_cap, RefusalCode.lane_cap):
        return None
    return _FOR_GOOD.get(refusal.code, StopReason.pick_held)


def _waits_for_tidying(state: State, item: Item, now_ms: int, intent: Intent) -> bool:
    """Whether a target that a person is changing has kept an item waiting for longer than the night is worth."""
    if intent.patience_ms is None or item.waiting is None or item.waiting[0] is not RefusalCode.dirty_base:
        return False
    return now_ms - max(item.waiting_ms, state.night_ms) >= intent.patience_ms


def _waits_too_long(run: Run, now_ms: int, intent: Intent) -> bool:
    """Whether a live run waits for its provider for longer than the night is worth; it goes on in a later one."""
    repeat = run.repeat
    if intent.patience_ms is None or repeat is None:
        return False
    return repeat.not_before_ms - now_ms > intent.patience_ms


def _is_asleep(state: State, run: Run, now_ms: int, intent: Intent) -> bool:
    """Whether a run waits too long, or for children none of which goes on by itself in time."""
    if run.has_worker or run.stop is not None:
        return False
    if not run.parked:
        return _waits_too_long(run, now_ms, intent)
    children = family.living(state, run)
    return all(waits_for_person(state, one.id) or _is_asleep(state, one, now_ms, intent) for one in children)


def _is_too_late(refusal: Refusal, now_ms: int, intent: Intent) -> bool:
    """Whether waiting for what is refused takes longer than the night is worth."""
    return intent.patience_ms is not None and refusal.again_ms - now_ms > intent.patience_ms


_WORST_FIRST = (
    *(StopReason.blocked, StopReason.launch_failed, StopReason.unclear_repeated, StopReason.budget),
    *(StopReason.provider_limit, StopReason.pick_cooldown, StopReason.pick_held),
)


_ABOUT_WORK = (QuestionKind.worker, QuestionKind.no_lines)


def _why_over(state: State, policy: Policy, intent: Intent, waits: list[StopReason]) -> StopReason:
    """The one reason to report: what a person can do something about goes first."""
    if state.questions:
        work = any(question.kind in _ABOUT_WORK for question in state.questions.values())
        return StopReason.blocked if work else StopReason.review_or_ci_unresolved
    for reason in _WORST_FIRST:
        if reason in waits:
            return reason
    if any(plan.quiet_replans >= policy.replans_max > 0 for plan in _plans(state, policy, intent)):
        return StopReason.unclear_repeated
    if any(awaited(state, lambda item: wanted(item, intent))):
        return StopReason.review_or_ci_unresolved
    left = [item for item in state.items.values() if wanted(item, intent) and not item.withdrawn]
    if lost(state, lambda item: wanted(item, intent)):
        return StopReason.drained
    if all(item.landed or item.finished for item in left):
        return StopReason.pick_held if _unreadable(state, intent) else StopReason.complete
    if any(item.hold is not None and not item.given_up for item in left if not item.landed):
        return StopReason.pick_held
    return StopReason.drained


def _unreadable(state: State, intent: Intent) -> int:
    """How much of the plans' sources could not be made items: whoever wrote it wants it done, and nobody can."""
    return sum(facts.unreadable for plan, facts in state.plans.items() if intent.plan in ("", plan))


def _plans(state: State, policy: Policy, intent: Intent) -> list[PlanFacts]:
    return [facts for plan, facts in state.plans.items() if policy.planner and intent.plan in ("", plan)]


def planner_due(state: State, policy: Policy, intent: Intent) -> PlanId | None:
    """The plan for which a planner is to be asked now: nothing of it is left, and it was not said to be drained.

    Drained counts only after a planner run that said so in plain words; one that files items has the plan live again,
    and silence is asked again, a few times in a row at most.
    """
    if not policy.planner or not intent.offer or intent.once:
        return None
    for plan, facts in state.plans.items():
        if intent.plan not in ("", plan) or facts.drained or facts.paused or facts.stopped:
            continue
        if facts.quiet_replans < policy.replans_max and not _has_left(state, plan):
            return plan
    return None


def _has_left(state: State, plan: PlanId) -> bool:
    """Whether something of the plan is still to be done, by anybody."""
    return any(
        item.spec.plan == plan and not (item.landed or item.finished or item.withdrawn or item.given_up or item.undone)
        for item in state.items.values()
    )


def gate(state: State, now_ms: int, policy: Policy, intent: Intent) -> tuple[Gate, str]:
    """Tell what is left of the backlog, and why that is so."""
    stale = [
        i for facts in state.plans.values() for i in facts.still_open if i in state.items and state.items[i].landed
    ]
    if stale:
        return Gate.stale, f"{', '.join(stale[:5])}: landed, but the tracker says open"
    if state.runs:
        return Gate.race, f"{', '.join(sorted(state.runs)[:5])} under way"
    unclosed = [i for commit, _ in awaited(state, lambda i: wanted(i, intent)) for i in landed_by(state, commit)]
    if unclosed:
        open_ = is_waited_for(state, now_ms, policy, lambda item: wanted(item, intent), intent.patience_ms)
        names = ", ".join(item.spec.id for item in unclosed[:5])
        return Gate.race if open_ else Gate.blocked, f"landed, but CI has not closed it: {names}"
    waits = [_wait(state, item_id, now_ms, policy, intent) for _, _, _, item_id in state.ready]
    if None in waits:
        return Gate.live, f"{waits.count(None)} can be worked on, now or when the time comes"
    if planner_due(state, policy, intent):
        return Gate.live, "nothing is left, and the planner has not said so yet"
    left = [i for i in state.items.values() if wanted(i, intent) and not (i.landed or i.finished or i.withdrawn)]
    if not left and _unreadable(state, intent):
        return Gate.blocked, f"{_unreadable(state, intent)} left out of the plan, because it could not be made an item"
    if not left:
        silent = [facts.quiet_replans for facts in _plans(state, policy, intent) if facts.quiet_replans]
        if silent:
            return Gate.blocked, f"nothing is left, and the planner has said nothing, {max(silent)} times in a row"
        return Gate.drained, "nothing is left"
    return Gate.blocked, f"{len(left)} left, none goes on by itself: {', '.join(i.spec.id for i in left[:5])}"


def waits_for_person(state: State, run_id: RunId) -> bool:
    """Whether a live run goes on only when a person has answered."""
    run = state.runs[run_id]
    if run.stop is not None or run.has_worker or run.rewind:
        return False
    if run.parked:
        return all(waits_for_person(state, child.id) for child in family.living(state, run))
    held = bool(state.search.red) if state.landing is None else bool(state.landing.question)
    return bool(run.question) or (held and bool(run.accepted_seq))


def wanted(item: Item, intent: Intent) -> bool:
    """Whether this night is about the item."""
    if intent.only is not None and item.spec.id not in intent.only:
        return False
    return (not intent.plan or item.spec.plan == intent.plan) and (not intent.once or item.spec.id == intent.once)
