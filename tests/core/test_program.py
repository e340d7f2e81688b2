"""The life of a plan: every verb in every state, schedules, planner runs, and work that workers file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Observed, ReadPlan, Submit
from ganger.core.ids import ItemId, PlanId, QuestionId, RunId
from ganger.core.loop import Intent
from ganger.core.model import PLANNER, Check, EndKind, Hold, LeaseMode, Outcome, Rung
from ganger.core.policy import Policy
from ganger.core.program import ALLOWED, VERBS, PlanStatus, plan_status
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.testing.builders import BASE, NOW_MS, TIP, Story, add_plan, spec

PLAN, RUN = PlanId("plan"), RunId("login.1")
PLANNING = Policy(planner="claude", depth_max=1)


def control(verb: str, text: str = "") -> cmd.ControlPlan:
    return cmd.ControlPlan(PLAN, verb, text)


def land(story: Story, item: str = "login") -> None:
    story.landing(item)
    story.do(cmd.RecordLanding(TIP, "landed", TIP))


# ── states and verbs ──

STATES: dict[PlanStatus, Callable[[Story], Any]] = {
    PlanStatus.active: lambda story: None,
    PlanStatus.paused: lambda story: story.do(control("pause")),
    PlanStatus.stopped: lambda story: story.do(control("stop", "wrong way")),
    PlanStatus.completed: land,
}
EVENTS = {
    "pause": ev.PlanPaused(PLAN),
    "resume": ev.PlanResumed(PLAN),
    "stop": ev.PlanStopped(PLAN, "why"),
    "steer": ev.PlanSteered(PLAN, "why"),
}
REFUSED = {
    (PlanStatus.active, "resume"): "plan plan is active: it takes pause, stop, steer, replan, not resume",
    (PlanStatus.paused, "pause"): "plan plan is paused: it takes resume, stop, steer, not pause",
    (PlanStatus.stopped, "pause"): "plan plan is stopped: it takes resume, not pause",
    (PlanStatus.stopped, "stop"): "plan plan is stopped: it takes resume, not stop",
    (PlanStatus.stopped, "steer"): "plan plan is stopped: it takes resume, not steer",
    (PlanStatus.paused, "replan"): "plan plan is paused: it takes resume, stop, steer, not replan",
    (PlanStatus.stopped, "replan"): "plan plan is stopped: it takes resume, not replan",
    (PlanStatus.completed, "pause"): "plan plan is completed: it takes replan, not pause",
    (PlanStatus.completed, "resume"): "plan plan is completed: it takes replan, not resume",
    (PlanStatus.completed, "stop"): "plan plan is completed: it takes replan, not stop",
    (PlanStatus.completed, "steer"): "plan plan is completed: it takes replan, not steer",
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", list(PlanStatus))
def test_every_verb_in_every_state(status: PlanStatus, verb: str) -> None:
    story = Story(spec(), policy=PLANNING)
    STATES[status](story)
    assert plan_status(story.state, PLAN) is status
    if (status, verb) in REFUSED:
        assert verb not in ALLOWED[status]
        assert story.why_not(control(verb, "why")) == ("wrong_state", REFUSED[status, verb])
    else:
        done = story.do(control(verb, "why"))
        assert done == (EVENTS[verb],) if verb in EVENTS else [type(event) for event in done] == [ev.ItemAdded]


OTHERS = [
    (cmd.ControlPlan(PlanId("x"), "pause"), "unknown_ref", "there is no plan x"),
    (control("burn"), "invalid", "'burn' is nothing that is done to a plan: pause, resume, stop, steer, replan"),
    (control("steer", "x" * 4_001), "invalid", "a direction has at most 4000 characters"),
]


@pytest.mark.parametrize(("command", "code", "reason"), OTHERS)
def test_what_is_no_verb(command: cmd.Command, code: str, reason: str) -> None:
    assert Story(spec()).why_not(command) == (code, reason)


def test_a_plan_is_completed_by_its_last_item_and_active_again_with_a_new_one() -> None:
    story = Story(spec(), spec("b", scope=("docs/**",)))
    land(story)
    assert plan_status(story.state, PLAN) is PlanStatus.active
    story.do(add_plan(spec(), digest="2"))
    assert plan_status(story.state, PLAN) is PlanStatus.completed
    story.do(add_plan(spec(), spec("c", scope=("docs/**",)), digest="3"))
    assert plan_status(story.state, PLAN) is PlanStatus.active


def test_a_plan_without_items_is_not_completed() -> None:
    story = Story()
    story.do(add_plan())
    assert plan_status(story.state, PLAN) is PlanStatus.active


def test_resuming_lifts_a_stop_and_the_pause_before_it() -> None:
    story = Story(spec())
    for verb in ("pause", "stop", "resume"):
        story.do(control(verb))
    assert plan_status(story.state, PLAN) is PlanStatus.active


def test_a_pause_keeps_runs_and_a_stop_ends_them() -> None:
    other = add_plan(spec("b", scope=("docs/**",)), plan="plan")
    story = Story(spec(), *(one for one, _ in other.items))
    story.started()
    story.started("b")
    story.do(cmd.AskQuestion(RUN, story.token(), "which?"))
    assert story.do(control("pause")) == (ev.PlanPaused(PLAN),)
    why = "plan plan was stopped: wrong way"
    assert story.do(control("stop", "wrong way")) == (
        ev.PlanStopped(PLAN, "wrong way"),
        ev.StopRequested(RUN, EndKind.interrupted, why),
        ev.QuestionWithdrawn(QuestionId("q1"), why),
        ev.StopRequested(RunId("b.1"), EndKind.interrupted, why),
    )
    assert story.state.questions == {}


def test_a_stop_leaves_what_is_being_landed_or_ended() -> None:
    story = Story(spec(), spec("b", scope=("docs/**",)))
    story.started("b")
    story.do(cmd.StopRun(RunId("b.1"), EndKind.timed_out, "slow"))
    story.landing()
    assert story.do(control("stop")) == (ev.PlanStopped(PLAN, ""),)


def test_a_direction_is_kept_and_taken_back() -> None:
    story = Story(spec())
    story.do(control("steer", "use the old API"))
    assert story.state.plans[PLAN].steer == "use the old API"
    story.do(add_plan(spec(priority=1), digest="2"))
    assert story.state.plans[PLAN].steer == "use the old API"
    story.do(control("steer"))
    assert story.state.plans[PLAN].steer == ""


# ── schedules ──

HOUR_MS = 3_600_000


def schedule(**fields: Any) -> cmd.SetSchedule:
    given = {"name": "nightly", "path": "plans/n.toml", "every_ms": HOUR_MS, "next_ms": NOW_MS + 5, **fields}
    return cmd.SetSchedule(**given)


SCHEDULES = [
    (
        {"name": "a b"},
        "a schedule's name may hold only letters, digits, `_` and `-`, and begins with a letter or digit",
    ),
    ({"every_ms": 59_999}, "a schedule comes round every 60 s at most"),
    ({"next_ms": NOW_MS - 1}, "schedule nightly would begin in the past"),
]


@pytest.mark.parametrize(("fields", "reason"), SCHEDULES)
def test_schedules_that_make_no_sense(fields: dict[str, Any], reason: str) -> None:
    assert Story().why_not(schedule(**fields)) == ("invalid", reason)


def reads(story: Story) -> list[ReadPlan]:
    effects = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent())
    return [effect for effect in effects if isinstance(effect, ReadPlan)]


def test_a_plan_is_read_at_its_time_and_what_was_missed_is_skipped() -> None:
    story = Story()
    story.do(schedule())
    due_ms, next_ms = NOW_MS + 5, NOW_MS + 5 + 4 * HOUR_MS
    assert reads(story) == []
    assert next_wake_ms(story.state, Observed(target=BASE), story.now_ms, story.policy) == due_ms
    assert story.do(cmd.RecordFiring("nightly", due_ms, "early")) == ()
    story.now_ms = due_ms + 3 * HOUR_MS + 1
    assert reads(story) == [ReadPlan("nightly", "plans/n.toml", due_ms)]
    fired = cmd.RecordFiring("nightly", due_ms, "2 added")
    assert story.do(fired) == (ev.ScheduleFired("nightly", next_ms, "2 added", due_ms),)
    assert reads(story) == []
    story.now_ms = next_ms
    again = ev.ScheduleFired("nightly", next_ms + HOUR_MS, "", next_ms)
    assert story.do(cmd.RecordFiring("nightly", next_ms, "")) == (again,)


def test_a_time_is_used_up_once_and_only_by_a_reading_that_was_begun_for_it() -> None:
    story = Story()
    story.do(schedule())
    story.now_ms = NOW_MS + 5
    (begun,) = reads(story)
    record = cmd.RecordFiring(begun.schedule, begun.due_ms, "read")
    story.do(schedule(next_ms=story.now_ms + 10))
    story.now_ms += 10
    assert story.do(record) == ()
    (anew,) = reads(story)
    assert anew.due_ms == story.now_ms
    story.do(cmd.RecordFiring(anew.schedule, anew.due_ms, "read"))
    assert story.do(cmd.RecordFiring(anew.schedule, anew.due_ms, "read")) == ()


def test_a_schedule_for_once_is_gone_after_it() -> None:
    story = Story()
    story.do(schedule(every_ms=0))
    story.now_ms += 5
    story.do(cmd.RecordFiring("nightly", NOW_MS + 5, ""))
    assert story.state.schedules["nightly"].next_ms == 0 and reads(story) == []
    assert story.do(cmd.RecordFiring("nightly", NOW_MS + 5, "")) == ()
    story.do(cmd.DropSchedule("nightly"))
    assert story.state.schedules == {}, "one that is over can be forgotten too"


def test_a_schedule_is_dropped_by_name() -> None:
    story = Story()
    assert story.why_not(cmd.DropSchedule("nightly")) == ("unknown_ref", "there is no schedule nightly")
    story.do(schedule())
    story.do(cmd.DropSchedule("nightly"))
    assert story.state.schedules == {}


# ── the planner ──


def ask_planner(story: Story) -> Any:
    story.do(cmd.AskPlanner(PLAN))
    number = story.state.plans[PLAN].replans
    return story.started(f"plan-replan-{number}")


def planner_ends(story: Story, run: Any, outcome: Outcome | None) -> None:
    if outcome is not None:
        story.do(cmd.ReportDone(run.id, run.lease.token, outcome))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.finished, "it says so"))


def test_a_planner_is_an_item_of_its_own_that_changes_nothing() -> None:
    story = Story(spec(), policy=PLANNING)
    (event,) = story.do(cmd.AskPlanner(PLAN))
    assert isinstance(event, ev.ItemAdded)
    one = event.spec
    assert (one.id, one.kind, one.agent, one.mode, one.scope) == (
        "plan-replan-1",
        PLANNER,
        "claude",
        LeaseMode.shared,
        ("**",),
    )
    assert (one.rung, one.attempts_max) == (Rung.reported, 1)


def test_nobody_is_asked_who_is_not_there() -> None:
    expected = ("config", "no planner is configured")
    assert Story(spec()).why_not(cmd.AskPlanner(PLAN)) == expected
    assert Story(spec(), policy=PLANNING).why_not(cmd.AskPlanner(PlanId("x"))) == expected


def test_a_planner_gets_the_next_name_that_no_item_has() -> None:
    story = Story(spec("plan-replan-1"), policy=PLANNING)
    (event,) = story.do(cmd.AskPlanner(PLAN))
    assert isinstance(event, ev.ItemAdded)
    assert event.spec.id == "plan-replan-2"


SAID = [
    (Outcome.no_evidence, True, 0),
    (Outcome.completed, False, 1),
    (Outcome.findings, False, 1),
    (None, False, 1),
]


@pytest.mark.parametrize(("outcome", "drained", "quiet"), SAID)
def test_only_a_plain_word_drains_a_plan(outcome: Outcome | None, drained: bool, quiet: int) -> None:
    story = Story(policy=PLANNING)
    story.do(add_plan())
    planner_ends(story, ask_planner(story), outcome)
    facts = story.state.plans[PLAN]
    assert (facts.drained, facts.quiet_replans, facts.replans) == (drained, quiet, 1)


def test_a_planner_that_files_items_has_the_plan_live_again() -> None:
    story = Story(policy=PLANNING)
    story.do(add_plan())
    planner_ends(story, ask_planner(story), None)
    run = ask_planner(story)
    story.do(cmd.FileFollowUp(run.id, run.lease.token, "More", "Do it.", ("docs/**",)))
    planner_ends(story, run, Outcome.no_evidence)
    facts = story.state.plans[PLAN]
    assert (facts.drained, facts.quiet_replans, facts.filed) == (False, 0, False)
    item = story.state.items[ItemId("plan-replan-2-f1")]
    assert (item.hold, item.spec.depth, item.spec.parent) == (None, 0, "plan-replan-2")
    assert (item.spec.kind, item.spec.agent) == ("patcher", "default")


def test_what_a_planner_files_is_like_the_other_items_of_its_plan() -> None:
    story = Story(spec(agent="codex", kind="fixer", attempts_max=5), policy=PLANNING)
    run = ask_planner(story)
    (event,) = story.do(cmd.FileFollowUp(run.id, run.lease.token, "More", "Do it.", ("docs/**",)))
    assert isinstance(event, ev.ItemAdded)
    one = event.spec
    assert (one.agent, one.kind, one.attempts_max, one.checks) == ("codex", "fixer", 5, spec().checks)


def test_a_plan_that_was_drained_is_so_no_longer_with_a_new_item() -> None:
    story = Story(policy=PLANNING)
    story.do(add_plan())
    planner_ends(story, ask_planner(story), Outcome.no_evidence)
    story.do(add_plan(spec(), digest="2"))
    assert not story.state.plans[PLAN].drained


def test_a_planners_report_ends_its_run_and_nothing_is_judged() -> None:
    story = Story(policy=PLANNING)
    story.do(add_plan())
    run = ask_planner(story)
    story.do(cmd.ReportDone(run.id, run.lease.token, Outcome.no_evidence, "all is there"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    effects = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent())
    assert [(type(e).__name__, getattr(e, "end", None)) for e in effects] == [("EndRun", EndKind.finished)]


def test_the_planner_is_asked_only_when_nothing_is_left_and_nothing_lives() -> None:
    def asks(story: Story) -> bool:
        effects = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent())
        return Submit(cmd.AskPlanner(PLAN)) in effects

    story = Story(spec(), policy=PLANNING)
    assert not asks(story)
    story.landing()
    assert not asks(story)
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert asks(story)
    story.do(cmd.AskPlanner(PLAN))
    assert not asks(story)


# ── follow-ups ──


def follow_up(story: Story, item: str = "login", **fields: Any) -> cmd.FileFollowUp:
    run = story.run(item)
    given = {"title": "More", "brief": "Do it.", "scope": ("docs/**",), **fields}
    return cmd.FileFollowUp(run.id, run.lease.token, **given)


def test_what_a_worker_files_is_linked_held_and_like_its_own_item() -> None:
    check = Check("mypy", ("mypy",))
    story = Story(spec(checks=(check,), agent="claude", kind="fixer", attempts_max=7))
    before = story.started()
    (event,) = story.do(follow_up(story, title=" More "))
    assert isinstance(event, ev.ItemAdded)
    one = event.spec
    assert (one.id, one.plan, one.title, one.parent, one.depth) == ("login-f1", "plan", "More", "login", 1)
    assert (one.hold, one.checks, one.agent, one.kind) == (Hold("operator"), (check,), "claude", "fixer")
    assert (one.scope, one.after, one.attempts_max) == (("docs/**",), (), 7)
    assert story.run() == before and story.state.items[ItemId("login")].spec == spec(
        checks=(check,), agent="claude", kind="fixer", attempts_max=7
    )


def test_the_same_twice_is_filed_once_and_numbers_go_on() -> None:
    story = Story(spec(), spec("login-f2", scope=("x/**",)))
    story.started()
    story.do(follow_up(story))
    assert story.do(follow_up(story)) == ()
    (event,) = story.do(follow_up(story, scope=("lib/**",)))
    assert isinstance(event, ev.ItemAdded) and event.spec.id == "login-f3"


FOLLOW_UPS = [
    ({"title": " "}, "a title has 1 to 200 printable characters on one line"),
    ({"title": "a\nb"}, "a title has 1 to 200 printable characters on one line"),
    ({"title": "x" * 201}, "a title has 1 to 200 printable characters on one line"),
    ({"brief": " "}, "a brief has 1 to 20000 characters"),
    ({"brief": "x" * 20_001}, "a brief has 1 to 20000 characters"),
    ({"scope": ()}, "a follow-up needs a scope: the paths that it would change"),
]


@pytest.mark.parametrize(("fields", "reason"), FOLLOW_UPS)
def test_follow_ups_that_make_no_sense(fields: dict[str, Any], reason: str) -> None:
    story = Story(spec())
    story.started()
    assert story.why_not(follow_up(story, **fields)) == ("invalid", reason)


def test_a_scope_that_cannot_be_read_is_not_filed() -> None:
    story = Story(spec())
    story.started()
    assert story.why_not(follow_up(story, scope=("a/../b",)))[0] == "invalid"


def test_items_do_not_stand_deeper_than_they_may() -> None:
    story = Story(spec(), policy=PLANNING)
    story.started()
    story.do(follow_up(story))
    story.do(cmd.RetryItem(ItemId("login-f1")))
    story.started("login-f1")
    reason = "an item of login-f1's would stand 2 deep below its plan, 1 is the most"
    assert story.why_not(follow_up(story, "login-f1", scope=("lib/**",))) == ("depth_cap", reason)


def test_one_item_files_so_many_and_no_more() -> None:
    story = Story(spec())
    story.started()
    for n in range(20):
        story.do(follow_up(story, title=f"More {n}"))
    expected = ("depth_cap", "the workers of login have filed 20 items already")
    assert story.why_not(follow_up(story, title="and more")) == expected
    assert story.do(follow_up(story, title="More 3")) == ()


def test_an_item_that_a_plan_drops_keeps_what_its_workers_filed() -> None:
    story = Story(spec())
    story.started()
    story.do(follow_up(story))
    story.do(add_plan(digest="2"))
    assert story.state.items[ItemId("login")].withdrawn
    assert not story.state.items[ItemId("login-f1")].withdrawn


def test_a_stale_worker_files_nothing() -> None:
    story = Story(spec())
    story.ended()
    command = cmd.FileFollowUp(RUN, story.state.seq, "More", "Do it.", ("docs/**",))  # type: ignore[arg-type]
    assert story.why_not(command)[0] == "stale_token"


def test_a_planner_is_asked_one_at_a_time() -> None:
    story = Story(spec(), policy=PLANNING)
    story.do(control("replan"))
    assert story.why_not(control("replan")) == ("wrong_state", "plan-replan-1 asks the planner already")
    assert Story(spec()).why_not(control("replan")) == ("config", "no planner is configured")
