"""The life of a plan: which commands it takes in which state, as data; schedules, planner runs and follow-up items."""

from __future__ import annotations

from enum import StrEnum

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, PlanId, name_fault
from ganger.core.lifecycle import find_run
from ganger.core.model import PLANNER, EndKind, Hold, ItemSpec, LeaseMode, Refusal, RefusalCode, Rung
from ganger.core.patterns import scope_fault
from ganger.core.policy import Policy
from ganger.core.state import State

Decided = tuple[ev.Event, ...] | Refusal
STEER_CHARS_MAX = 4_000
TITLE_CHARS_MAX = 200
FOLLOW_UPS_MAX = 20
"""Items that one item's workers may file."""
EVERY_MIN_MS = 60_000


class PlanStatus(StrEnum):
    """Where a plan is."""

    active = "active"
    """Its items are offered."""
    paused = "paused"
    """No more runs are granted; live ones go on."""
    stopped = "stopped"
    """A person ended it."""
    completed = "completed"
    """Every item of it has landed, or is finished."""


ALLOWED: dict[PlanStatus, tuple[str, ...]] = {
    PlanStatus.active: ("pause", "stop", "steer", "replan"),
    PlanStatus.paused: ("resume", "stop", "steer"),
    PlanStatus.stopped: ("resume",),
    PlanStatus.completed: ("replan",),
}
"""The verbs that a plan takes in each state."""
PLAN_EDGES: dict[PlanStatus, frozenset[PlanStatus]] = {
    PlanStatus.active: frozenset({PlanStatus.paused, PlanStatus.stopped, PlanStatus.completed}),
    PlanStatus.paused: frozenset({PlanStatus.active, PlanStatus.stopped, PlanStatus.completed}),
    PlanStatus.stopped: frozenset({PlanStatus.active, PlanStatus.completed}),
    PlanStatus.completed: frozenset({PlanStatus.active}),
}
"""Where a plan may get to from each state by one event: a completed one only by new items, or by one done again."""
VERBS = ("pause", "resume", "stop", "steer", "replan")


def plan_status(state: State, plan: PlanId) -> PlanStatus:
    """Derive where a plan is."""
    facts = state.plans[plan]
    if facts.stopped:
        return PlanStatus.stopped
    if facts.paused:
        return PlanStatus.paused
    items = [item for item in state.items.values() if item.spec.plan == plan and not item.withdrawn]
    done = bool(items) and all(item.landed or item.finished for item in items)
    return PlanStatus.completed if done else PlanStatus.active


def decide_control(state: State, command: cmd.ControlPlan, policy: Policy) -> Decided:
    """Carry out a verb on a plan, where its state takes it."""
    if command.plan not in state.plans:
        return Refusal(RefusalCode.unknown_ref, f"there is no plan {command.plan}", "ganger plan board")
    status = plan_status(state, command.plan)
    if command.verb not in VERBS:
        return Refusal(RefusalCode.invalid, f"{command.verb!r} is nothing that is done to a plan: {', '.join(VERBS)}")
    if command.verb not in ALLOWED[status]:
        legal = ", ".join(ALLOWED[status]) or "nothing"
        reason = f"plan {command.plan} is {status}: it takes {legal}, not {command.verb}"
        return Refusal(RefusalCode.wrong_state, reason)
    match command.verb:
        case "pause":
            return (ev.PlanPaused(command.plan),)
        case "resume":
            return (ev.PlanResumed(command.plan),)
        case "steer":
            if len(command.text) > STEER_CHARS_MAX:
                return Refusal(RefusalCode.invalid, f"a direction has at most {STEER_CHARS_MAX} characters")
            return (ev.PlanSteered(command.plan, command.text),)
        case "replan":
            return _replan(state, command.plan, policy)
        case _:
            return _stop(state, command.plan, command.text)


def _replan(state: State, plan: PlanId, policy: Policy) -> Decided:
    """Ask the planner at once, whatever is left of the plan; only one at a time."""
    for item in state.items.values():
        over = item.landed or item.finished or item.withdrawn or item.given_up
        if item.spec.plan == plan and item.spec.kind == PLANNER and not over:
            return Refusal(RefusalCode.wrong_state, f"{item.spec.id} asks the planner already", holder=item.spec.id)
    return decide_planner(state, cmd.AskPlanner(plan), policy)


def _stop(state: State, plan: PlanId, reason: str) -> tuple[ev.Event, ...]:
    events: list[ev.Event] = [ev.PlanStopped(plan, reason)]
    why = f"plan {plan} was stopped: {reason or 'no reason given'}"
    for run in state.runs.values():
        of_plan = run.item in state.items and state.items[run.item].spec.plan == plan
        landing = state.landing is not None and run.id in state.landing.runs
        if of_plan and run.stop is None and not landing:
            events.append(ev.StopRequested(run.id, EndKind.interrupted, why))
            events += [ev.QuestionWithdrawn(question, why) for question in run.questions]
    return tuple(events)


def decide_schedule(state: State, command: cmd.SetSchedule, now_ms: int) -> Decided:
    """Have a plan file read again at set times."""
    if fault := name_fault(command.name):
        return Refusal(RefusalCode.invalid, f"a schedule's name {fault}")
    if command.every_ms and command.every_ms < EVERY_MIN_MS:
        return Refusal(RefusalCode.invalid, f"a schedule comes round every {EVERY_MIN_MS // 1000} s at most")
    if command.next_ms < now_ms:
        return Refusal(RefusalCode.invalid, f"schedule {command.name} would begin in the past")
    return (ev.ScheduleSet(command.name, command.path, command.every_ms, command.next_ms),)


def decide_firing(state: State, command: cmd.RecordFiring, now_ms: int) -> Decided:
    """Take note that a schedule's plan was read; times that were missed meanwhile are skipped, not made up for.

    Each time is used up once, and only by a reading that was begun for it: one that a person set meanwhile stands.
    """
    schedule = state.schedules.get(command.name)
    if schedule is None or schedule.next_ms != command.due_ms or command.due_ms > now_ms:
        return ()
    next_ms = 0
    if schedule.every_ms:
        missed = (now_ms - schedule.next_ms) // schedule.every_ms
        next_ms = schedule.next_ms + (missed + 1) * schedule.every_ms
    return (ev.ScheduleFired(command.name, next_ms, command.outcome, command.due_ms),)


def decide_drop(state: State, command: cmd.DropSchedule) -> Decided:
    """Forget a schedule."""
    if command.name not in state.schedules:
        return Refusal(RefusalCode.unknown_ref, f"there is no schedule {command.name}", "ganger schedule list")
    return (ev.ScheduleDropped(command.name),)


def decide_planner(state: State, command: cmd.AskPlanner, policy: Policy) -> Decided:
    """Add the item whose worker is asked for new items of a plan."""
    plan = state.plans.get(command.plan)
    if plan is None or not policy.planner:
        return Refusal(RefusalCode.config, "no planner is configured", "set loop.planner in ganger.toml")
    spec = ItemSpec(
        id=free_name(state, f"{command.plan[:48]}-replan-", plan.replans + 1),
        plan=command.plan,
        title=f"Plan what is left to do in {command.plan}",
        scope=("**",),
        mode=LeaseMode.shared,
        agent=policy.planner,
        kind=PLANNER,
        rung=Rung.reported,
        attempts_max=1,
    )
    brief = (
        "Nothing is left of this plan. Look at the repository and at what the plan wanted, and file each piece of work"
        " that is still missing with `ganger follow-up`. If nothing is missing, say so with"
        " `ganger done --outcome no_evidence`. Change nothing yourself: nothing you change is kept."
    )
    return (ev.ItemAdded(spec, brief),)


def decide_follow_up(state: State, command: cmd.FileFollowUp, policy: Policy) -> Decided:
    """File work that a worker came upon as a new item; its own item stays as it is.

    What a planner files is offered; what any other worker files waits for a person.
    """
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    parent = state.items[run.item].spec
    fault = _follow_up_fault(command, policy)
    if fault:
        return Refusal(RefusalCode.invalid, fault)
    filed = [item for item in state.items.values() if item.spec.parent == parent.id]
    if any(item.spec.title == command.title.strip() and item.spec.scope == command.scope for item in filed):
        return ()
    if len(filed) >= FOLLOW_UPS_MAX:
        return Refusal(RefusalCode.depth_cap, f"the workers of {parent.id} have filed {len(filed)} items already")
    planner = parent.kind == PLANNER
    depth = parent.depth + (not planner)
    if depth > policy.depth_max:
        reason = f"an item of {parent.id}'s would stand {depth} deep below its plan, {policy.depth_max} is the most"
        return Refusal(RefusalCode.depth_cap, reason, "say it in a note")
    like = (i.spec for i in state.items.values() if i.spec.plan == parent.plan and i.spec.kind != PLANNER)
    model = next(like, ItemSpec(parent.id, parent.plan, parent.title, parent.scope)) if planner else parent
    name = free_name(state, f"{parent.id[:56]}-f", len(filed) + 1)
    spec = ItemSpec(
        id=name,
        plan=parent.plan,
        title=command.title.strip(),
        scope=command.scope,
        checks=model.checks,
        agent=model.agent,
        kind=model.kind,
        rung=Rung.checked,
        hold=None if planner else Hold("operator"),
        attempts_max=model.attempts_max,
        wall_max_ms=model.wall_max_ms,
        silence_max_ms=model.silence_max_ms,
        parent=parent.id,
        depth=depth,
    )
    return (ev.ItemAdded(spec, command.brief),)


def free_name(state: State, stem: str, number: int) -> ItemId:
    """The first name of that stem, from `number` on, that no item has: a plan may have taken any of them."""
    while (name := ItemId(f"{stem}{number}")) in state.items:
        number += 1
    return name


def _follow_up_fault(command: cmd.FileFollowUp, policy: Policy) -> str:
    title = command.title.strip()
    if not title or len(title) > TITLE_CHARS_MAX or not title.isprintable():
        return f"a title has 1 to {TITLE_CHARS_MAX} printable characters on one line"
    if not command.brief.strip() or len(command.brief) > cmd.SUMMARY_CHARS_MAX:
        return f"a brief has 1 to {cmd.SUMMARY_CHARS_MAX} characters"
    if not command.scope:
        return "a follow-up needs a scope: the paths that it would change"
    return next((fault for pattern in command.scope if (fault := scope_fault(pattern, policy.paths))), "")
