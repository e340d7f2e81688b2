"""The commands whose decisions stand in `decide` itself: plans, grants, waits, renewals, supervisors."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.model import EndKind, Hold, LeaseMode, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, NOW_MS, TIP, Story, add_plan, spec


def kinds(events: tuple[ev.Event, ...]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_plan_is_added_once() -> None:
    story = Story()
    plan = add_plan(spec("a"), spec("b", after=("a",)))
    assert kinds(story.do(plan)) == ["PlanAdded", "ItemAdded", "ItemAdded"]
    assert story.do(plan) == ()


def test_a_changed_plan_adds_revises_and_withdraws() -> None:
    story = Story(spec("a"), spec("b"))
    events = story.do(add_plan(spec("a", priority=1), spec("c"), digest="2"))
    assert kinds(events) == ["PlanAdded", "ItemWithdrawn", "ItemRevised", "ItemAdded"]
    assert story.state.items[ItemId("a")].spec.priority == 1
    assert story.state.items[ItemId("b")].withdrawn


def test_what_has_landed_is_left_as_it_is() -> None:
    story = Story(spec())
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert kinds(story.do(add_plan(spec(priority=1), digest="2"))) == ["PlanAdded"]
    assert kinds(story.do(add_plan(spec("x"), digest="3"))) == ["PlanAdded", "ItemAdded"]


def test_an_item_that_is_worked_on_is_withdrawn_too_and_not_offered_again() -> None:
    story = Story(spec())
    run = story.started()
    assert "ItemWithdrawn" in kinds(story.do(add_plan(spec("x"), digest="2")))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "crashed"))
    story.now_ms += 10**9
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE)) == ("wrong_state", "item login is in its plan no longer")


def test_a_live_run_goes_on_under_the_scope_it_was_granted() -> None:
    story = Story(spec())
    story.started()
    story.do(add_plan(spec(scope=("docs/**",)), digest="2"))
    assert story.run().lease.scope == ("src/**",)
    assert list(story.state.leases.overlapping(("docs/x",))) == []


def test_an_item_that_comes_back_is_offered_again() -> None:
    story = Story(spec())
    story.do(add_plan(spec("x"), digest="2"))
    story.do(add_plan(spec(), digest="3"))
    assert story.granted().id == "login.1"


def test_a_plan_may_take_over_what_another_one_dropped() -> None:
    story = Story(spec())
    story.do(add_plan(spec("x"), digest="2"))
    story.do(add_plan(replace(spec(), plan=PlanId("other")), plan="other"))
    assert story.state.items[ItemId("login")].spec.plan == "other"


PLANS = [
    (
        add_plan(replace(spec(), plan=PlanId("other")), plan="other"),
        "conflict",
        "item login belongs to plan plan already",
    ),
    (add_plan(spec("x", after=("y",)), digest="2"), "invalid", "item x comes after y, which there is not"),
]


@pytest.mark.parametrize(("command", "code", "reason"), PLANS)
def test_plans_that_are_refused_change_nothing(command: cmd.AddPlan, code: str, reason: str) -> None:
    story = Story(spec())
    assert story.why_not(command) == (code, reason)


def test_a_grant_is_run_lease_and_token_in_one() -> None:
    story = Story(spec(mode=LeaseMode.shared, agent="claude"))
    (event,) = story.do(cmd.GrantRun(ItemId("login"), BASE))
    assert event == ev.RunGranted(
        run=RunId("login.1"),
        item=ItemId("login"),
        attempt=1,
        base=BASE,
        scope=("src/**",),
        mode=LeaseMode.shared,
        expires_ms=NOW_MS + 600_000,
        agent="claude",
        kind="patcher",
        permit_ms=NOW_MS + 1_800_000,
    )
    assert story.token() == story.state.seq


def test_a_lease_is_not_shorter_than_the_silence_the_item_allows() -> None:
    story = Story(spec(silence_max_ms=900_000), policy=Policy(lease_ttl_ms=1_000))
    assert story.granted().lease.expires_ms == NOW_MS + 900_000


def test_tokens_and_numbers_only_grow() -> None:
    story = Story(spec(), policy=Policy(backoff_ms=0))
    seen = []
    for _ in range(2):
        seen.append((story.granted().id, story.state.seq))
        story.do(cmd.RecordEnd(seen[-1][0], seen[-1][1], EndKind.interrupted, ""))  # type: ignore[arg-type]
    assert seen == [("login.1", 3), ("login.2", 5)]


def test_an_item_that_there_is_not() -> None:
    assert Story(spec()).why_not(cmd.GrantRun(ItemId("x"), BASE)) == ("unknown_ref", "there is no item x")


def test_a_wait_is_noted_once_per_reason_and_holder() -> None:
    story = Story(spec())
    wait = cmd.RecordWait(ItemId("login"), RefusalCode.overlap, "busy", "a.1")
    assert kinds(story.do(wait)) == ["ItemWaited"]
    assert story.do(wait) == ()
    assert kinds(story.do(replace(wait, holder="b.1"))) == ["ItemWaited"]
    assert story.do(replace(wait, item=ItemId("gone"))) == ()


def test_a_lease_is_extended_never_shortened() -> None:
    story = Story(spec())
    run = story.started()
    later = run.lease.expires_ms + 1
    (event,) = story.do(cmd.RenewLeases(((run.id, later), (RunId("gone.1"), later))))
    assert event == ev.LeasesRenewed(((run.id, later),))
    assert story.do(cmd.RenewLeases(((run.id, later - 1),))) == ()


def test_a_run_that_is_being_ended_is_not_extended() -> None:
    story = Story(spec())
    run = story.started()
    story.do(cmd.StopRun(run.id, EndKind.stopped, "no"))
    assert story.do(cmd.RenewLeases(((run.id, run.lease.expires_ms + 1),))) == ()


def test_supervisors_come_and_go() -> None:
    story = Story()
    assert story.do(cmd.RecordSupervisor(7, "host", "1")) == (ev.SupervisorStarted(7, "host", "1"),)
    assert story.do(cmd.RecordSupervisor(7, "host", "1", "drained")) == (ev.SupervisorStopped(7, "drained"),)


def test_every_command_is_decided_on_an_empty_fleet() -> None:
    """No command raises whatever it names."""
    story = Story()
    known = {
        **dict.fromkeys(("token", "turn", "every_ms", "next_ms", "ttl_ms", "until_ms"), 1),
        **dict.fromkeys(("until", "items", "members", "todos", "classes", "scope"), ()),
    }
    for kind in get_args(cmd.Command):
        needed = kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
        decided = story.decide(kind(**{name: known.get(name, "x") for name in needed}))
        assert isinstance(decided, Refusal) or all(isinstance(event, ev.Fact) for event in decided)


def test_a_hold_that_a_person_lifted_comes_back_only_when_the_plan_says_something_else() -> None:
    story = Story(spec(hold=Hold("draft")))
    story.do(cmd.RetryItem(ItemId("login")))
    story.do(add_plan(spec(hold=Hold("draft"), priority=2), digest="2"))
    assert story.state.items[ItemId("login")].hold is None
    story.do(add_plan(spec(hold=Hold("operator"), priority=2), digest="3"))
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE)) == ("held", "item login is held: operator")


def test_a_plan_read_again_revises_only_what_says_something_else() -> None:
    one, two = spec(), spec("b", scope=("docs/**",))
    story = Story(one, two)
    assert kinds(story.do(add_plan(one, replace(two, title="Another"), digest="2"))) == ["PlanAdded", "ItemRevised"]
    brief = replace(
        add_plan(one, digest="3"), items=((one, "Do it otherwise."), (replace(two, title="Another"), "Do it."))
    )
    revised = story.do(brief)
    assert kinds(revised) == ["PlanAdded", "ItemRevised"]
    story.do(add_plan(one, digest="4"))
    assert kinds(story.do(add_plan(one, replace(two, title="Another"), digest="5"))) == ["PlanAdded", "ItemRevised"]


def test_a_wait_for_longer_is_noted_again() -> None:
    story = Story(spec())
    wait = cmd.RecordWait(ItemId("login"), RefusalCode.predicate, "no", "freeze", NOW_MS + 5)
    story.do(wait)
    assert story.do(replace(wait, again_ms=NOW_MS + 4)) == ()
    assert kinds(story.do(replace(wait, again_ms=NOW_MS + 6))) == ["ItemWaited"]
