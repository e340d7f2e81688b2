"""Does the night go on? Exactly one reason when it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Observed, Submit
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.loop import Gate, Intent, StopReason, gate, planner_due, stop_reason
from ganger.core.model import Budget, EndKind, Hold, Kind, Outcome, RefusalCode, Usage
from ganger.core.policy import Policy
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, NOW_MS, TIP, Story, add_plan, spec


def land(story: Story) -> None:
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))


def ask(story: Story) -> None:
    run = story.started()
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))


def ask_alive(story: Story) -> None:
    run = story.started()
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))


def dirty(story: Story) -> None:
    story.landing()
    story.do(cmd.RecordLanding(TIP, "dirty", BASE, ("x",)))


def stop_asking(story: Story) -> None:
    ask(story)
    story.do(cmd.StopRun(RunId("login.1"), EndKind.stopped, "no"))


def withdraw(story: Story) -> None:
    story.do(add_plan(digest="2"))


def limited(story: Story) -> None:
    story.append(ev.ProviderLimited("default", NOW_MS + 60_000, "too many requests"))


def broken(launch: bool) -> Callable[[Story], Any]:
    return lambda story: story.append(ev.BreakerOpened("agent:default", "3 in a row", NOW_MS + 60_000, launch))


def refused_by_predicate(story: Story) -> None:
    story.do(cmd.RecordWait(ItemId("login"), RefusalCode.predicate, "no", "freeze", NOW_MS + 60_000))


def spent(story: Story) -> None:
    story.state.accounts["fleet"] = Usage(tokens=100)


def control(verb: str) -> Callable[[Story], Any]:
    return lambda story: story.do(cmd.ControlPlan(PlanId("plan"), verb))


END, STOP, ONCE = Intent(), Intent(offer=False, stop=True), Intent(once=ItemId("login"))
HASTY = Intent(patience_ms=59_999)
PATIENT = Intent(patience_ms=60_000)
ASK = Policy(landing_mode="ask")
POOR = Policy(fleet_budget=Budget(tokens=100))
ROWS: list[tuple[str, dict[str, Any], Callable[[Story], Any] | None, Intent, Policy, StopReason | None]] = [
    ("something is ready", {}, None, END, Policy(), None),
    ("a worker works", {}, Story.started, END, Policy(), None),
    ("a run starts", {}, Story.granted, END, Policy(), None),
    ("a candidate waits", {}, Story.accepted, END, Policy(), None),
    ("a landing is under way", {}, Story.landing, END, Policy(), None),
    ("everything landed", {}, land, END, Policy(), StopReason.complete),
    ("everything was withdrawn", {}, withdraw, END, Policy(), StopReason.complete),
    ("it cools", {}, Story.ended, END, Policy(), None),
    ("it cools too long", {}, Story.ended, Intent(patience_ms=29_999), Policy(), StopReason.pick_cooldown),
    ("it cools not too long", {}, Story.ended, Intent(patience_ms=30_000), Policy(), None),
    ("a predicate said no", {}, refused_by_predicate, END, Policy(), None),
    ("a predicate said no for too long", {}, refused_by_predicate, HASTY, Policy(), StopReason.pick_cooldown),
    ("its provider refuses", {}, limited, PATIENT, Policy(), None),
    ("its provider refuses for too long", {}, limited, HASTY, Policy(), StopReason.provider_limit),
    ("its agent comes to nothing", {}, broken(False), END, Policy(), StopReason.unclear_repeated),
    ("its agent cannot be started", {}, broken(True), END, Policy(), StopReason.launch_failed),
    ("nothing is left to spend", {}, spent, END, POOR, StopReason.budget),
    ("its lane is not there", {"lane": "gone"}, None, END, Policy(), StopReason.pick_held),
    ("it stands too deep", {"depth": 9}, None, END, Policy(), StopReason.pick_held),
    ("it is given up", {"attempts_max": 1}, Story.ended, END, Policy(), StopReason.drained),
    ("it is held", {"hold": Hold("draft")}, None, END, Policy(), StopReason.pick_held),
    ("it is held for a year", {"hold": Hold("until", 1 << 45)}, None, END, Policy(), StopReason.pick_held),
    ("its plan is paused", {}, control("pause"), END, Policy(), StopReason.pick_held),
    ("its plan is stopped", {}, control("stop"), END, Policy(), StopReason.pick_held),
    ("it asks", {}, ask, END, Policy(), StopReason.blocked),
    ("it asks and lives", {}, ask_alive, END, Policy(), None),
    ("it asked and is being stopped", {}, stop_asking, END, Policy(), None),
    ("the target is dirty", {}, dirty, END, Policy(), StopReason.review_or_ci_unresolved),
    ("a landing waits for a word", {}, Story.landing, END, ASK, StopReason.review_or_ci_unresolved),
    ("the night is ended", {}, None, STOP, Policy(), StopReason.interrupted),
    ("the night is ended with a worker", {}, Story.started, STOP, Policy(), None),
    ("the night is ended with a question", {}, ask, STOP, Policy(), StopReason.interrupted),
    ("the one item landed", {}, land, ONCE, Policy(), StopReason.once),
    ("the one item is under way", {}, Story.started, ONCE, Policy(), None),
    ("as many as asked for", {}, Story.ended, Intent(granted_max=1), Policy(), StopReason.iteration_cap),
    ("not yet as many as asked for", {}, Story.ended, Intent(granted_max=2), Policy(), None),
    ("the last of them is under way", {}, Story.started, Intent(granted_max=1), Policy(), None),
    ("another plan", {}, None, Intent(plan=PlanId("other")), Policy(), StopReason.complete),
    ("nothing is offered", {}, None, Intent(offer=False), Policy(), StopReason.pick_held),
    ("outside the hours", {}, None, END, Policy(hours=((0, 1),)), None),
    ("its kind is busy with what waits", {}, None, END, Policy(kinds=(Kind("patcher", 0),)), None),
]


@pytest.mark.parametrize(
    ("fields", "before", "intent", "policy", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_the_night(
    fields: dict[str, Any],
    before: Callable[[Story], Any] | None,
    intent: Intent,
    policy: Policy,
    reason: StopReason | None,
) -> None:
    story = Story(spec(**fields), policy=policy)
    if before is not None:
        before(story)
    assert over(story, intent) is reason


def over(story: Story, intent: Intent = END) -> StopReason | None:
    return stop_reason(story.state, story.now_ms, story.policy, intent)


def test_every_reason_is_reached() -> None:
    assert {row[-1] for row in ROWS} - {None} == set(StopReason)


def test_an_empty_fleet_is_complete() -> None:
    assert over(Story()) is StopReason.complete


def test_what_waits_for_the_scope_of_an_asking_run_waits_for_that_person() -> None:
    story = Story(spec(), spec("other"))
    ask(story)
    assert over(story) is StopReason.blocked


def test_what_is_free_goes_on_while_another_asks() -> None:
    story = Story(spec(), spec("other", scope=("docs/**",)))
    ask(story)
    assert over(story) is None


def test_something_that_waits_for_what_is_given_up() -> None:
    story = Story(spec(attempts_max=1), spec("after", after=("login",), scope=("docs/**",)))
    story.ended()
    assert over(story) is StopReason.drained


WORST = [
    ({"lane": "gone"}, limited, HASTY, StopReason.provider_limit),
    ({"lane": "gone"}, broken(True), END, StopReason.launch_failed),
    ({"lane": "gone"}, Story.ended, HASTY, None),
]


@pytest.mark.parametrize(("other", "before", "intent", "reason"), WORST)
def test_of_several_reasons_the_worst_is_told(
    other: dict[str, Any], before: Callable[[Story], Any], intent: Intent, reason: StopReason | None
) -> None:
    story = Story(spec("other", scope=("docs/**",), **other), spec())
    before(story)
    assert over(story, intent) is reason


# ── the planner ──

PLANNING = Policy(planner="claude", replans_max=2)


def quiet(story: Story) -> None:
    """A planner run that says nothing."""
    story.do(cmd.AskPlanner(PlanId("plan")))
    run = story.started(f"plan-replan-{story.state.plans[PlanId('plan')].replans}")
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.finished, ""))


def word(story: Story) -> None:
    """A planner run that says in plain words that nothing is missing."""
    story.do(cmd.AskPlanner(PlanId("plan")))
    run = story.started(f"plan-replan-{story.state.plans[PlanId('plan')].replans}")
    story.do(cmd.ReportDone(run.id, run.lease.token, Outcome.no_evidence))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.finished, ""))


def both(*steps: Callable[[Story], Any]) -> Callable[[Story], Any]:
    return lambda story: [step(story) for step in steps]


PLANNERS: list[tuple[str, dict[str, Any], Callable[[Story], Any], Intent, str | None, StopReason | None]] = [
    ("something is left", {}, lambda story: None, END, None, None),
    ("something is held", {"hold": Hold("draft")}, lambda story: None, END, None, StopReason.pick_held),
    ("nothing is left", {}, land, END, "plan", None),
    ("what is left is given up", {"attempts_max": 1}, Story.ended, END, "plan", None),
    ("silence is asked again", {}, both(land, quiet), END, "plan", None),
    ("silence too often", {}, both(land, quiet, quiet), END, None, StopReason.unclear_repeated),
    ("a plain word", {}, both(land, word), END, None, StopReason.complete),
    ("a plain word after silence", {}, both(land, quiet, word), END, None, StopReason.complete),
    ("nothing is offered", {}, land, Intent(offer=False), None, StopReason.complete),
    ("one item was asked for", {}, land, ONCE, None, StopReason.once),
    ("another plan was asked for", {}, land, Intent(plan=PlanId("other")), None, StopReason.complete),
    ("the plan is paused", {"hold": Hold("draft")}, both(control("pause"), withdraw), END, None, StopReason.complete),
]


@pytest.mark.parametrize(
    ("fields", "before", "intent", "due", "reason"), [r[1:] for r in PLANNERS], ids=[r[0] for r in PLANNERS]
)
def test_when_a_planner_is_asked(
    fields: dict[str, Any], before: Callable[[Story], Any], intent: Intent, due: str | None, reason: StopReason | None
) -> None:
    story = Story(spec(**fields), policy=PLANNING)
    before(story)
    assert planner_due(story.state, story.policy, intent) == due
    assert over(story, intent) is reason


def test_without_a_planner_none_is_asked() -> None:
    story = Story(spec())
    land(story)
    assert planner_due(story.state, story.policy, END) is None


def test_a_planner_that_is_due_is_asked_although_another_plan_is_paused() -> None:
    """Else the night would neither go on nor be over."""
    story = Story(spec(), policy=PLANNING)
    story.do(add_plan(replace(spec("b", scope=("b/**",)), plan=PlanId("other")), plan="other"))
    story.do(cmd.ControlPlan(PlanId("other"), "pause"))
    land(story)
    assert over(story) is None
    effects = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, END)
    assert effects == (Submit(cmd.AskPlanner(PlanId("plan"))),)


# ── the gate ──


def stale(story: Story) -> None:
    land(story)
    again = add_plan(spec(), digest="2")
    story.do(replace(again, still_open=(ItemId("login"), ItemId("unknown"))))


GATES: list[tuple[str, dict[str, Any], Callable[[Story], Any], Policy, Gate, str]] = [
    ("ready", {}, lambda story: None, Policy(), Gate.live, "1 can be worked on, now or when the time comes"),
    ("cooling", {}, Story.ended, Policy(), Gate.live, "1 can be worked on, now or when the time comes"),
    ("planning", {}, land, PLANNING, Gate.live, "nothing is left, and the planner has not said so yet"),
    ("under way", {}, Story.started, Policy(), Gate.race, "login.1 under way"),
    ("asking", {}, ask, Policy(), Gate.race, "login.1 under way"),
    ("landed", {}, land, Policy(), Gate.drained, "nothing is left"),
    ("said to be drained", {}, both(land, word), PLANNING, Gate.drained, "nothing is left"),
    ("withdrawn", {}, withdraw, Policy(), Gate.drained, "nothing is left"),
    ("stale", {}, stale, Policy(), Gate.stale, "login: landed, but the tracker says open"),
    ("held", {"hold": Hold("draft")}, lambda s: None, Policy(), Gate.blocked, "1 left, none goes on by itself: login"),
    ("given up", {"attempts_max": 1}, Story.ended, Policy(), Gate.blocked, "1 left, none goes on by itself: login"),
]


@pytest.mark.parametrize(
    ("fields", "before", "policy", "expected", "why"), [r[1:] for r in GATES], ids=[r[0] for r in GATES]
)
def test_the_gate(
    fields: dict[str, Any], before: Callable[[Story], Any], policy: Policy, expected: Gate, why: str
) -> None:
    story = Story(spec(**fields), policy=policy)
    before(story)
    assert gate(story.state, story.now_ms, story.policy, END) == (expected, why)


def test_every_gate_is_reached() -> None:
    assert {row[4] for row in GATES} == set(Gate)


def test_a_run_that_waits_for_its_provider_longer_than_the_night_is_worth_does_not_keep_it_going() -> None:
    story = Story(spec(agent="claude"))
    run = story.started()
    story.do(cmd.RecordLimit(run.id, run.lease.token, story.now_ms + 60_000, "too many requests"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    assert stop_reason(story.state, story.now_ms, story.policy, HASTY) is StopReason.provider_limit
    assert stop_reason(story.state, story.now_ms, story.policy, PATIENT) is None
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is None


def test_a_lease_of_somebody_else_is_waited_for_as_long_as_the_night_is_worth() -> None:
    story = Story(spec())
    story.do(cmd.AcquireLease("olga", scope=("src/**",), ttl_ms=60_000))
    assert stop_reason(story.state, story.now_ms, story.policy, HASTY) is StopReason.pick_cooldown
    assert stop_reason(story.state, story.now_ms, story.policy, PATIENT) is None


def test_what_could_not_be_read_as_an_item_is_not_complete() -> None:
    story = Story()
    story.do(replace(add_plan(), unreadable=(("beads.jsonl:3", "it has no scope"),)))
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is StopReason.pick_held
    assert gate(story.state, story.now_ms, story.policy, Intent())[0] is Gate.blocked
    story.do(add_plan(digest="2"))
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is StopReason.complete
