"""Which ready items get a run now, in which order, and why not the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, PlanId
from ganger.core.loop import Intent
from ganger.core.model import Budget, EndKind, Hold, Kind, Lane, LeaseMode, RefusalCode, Usage
from ganger.core.picking import CURABLE, HoldReason, Pick, hold_of, pick, survey, worth_noting
from ganger.core.policy import Policy
from ganger.testing.builders import NOW_MS, TIP, Story, add_plan, spec


def picked(story: Story, room: int = 9, intent: Intent | None = None) -> list[tuple[str, str]]:
    """Item and reason, empty for those that are offered."""
    found = pick(story.state, room, story.now_ms, story.policy, intent or Intent())
    return [(one.item.spec.id, one.refusal.reason if one.refusal else "") for one in found]


def test_by_priority_then_age() -> None:
    story = Story(
        spec("late", scope=("a/**",), priority=200),
        spec("first", scope=("b/**",)),
        spec("second", scope=("c/**",)),
        spec("urgent", scope=("d/**",), priority=1),
    )
    assert [name for name, _ in picked(story)] == ["urgent", "first", "second", "late"]


def test_no_more_than_there_is_room_for() -> None:
    story = Story(spec("a", scope=("a/**",)), spec("b", scope=("b/**",)), spec("c", scope=("c/**",)))
    assert picked(story, 2) == [("a", ""), ("b", "")]
    assert picked(story, 0) == []


def test_none_outside_the_hours() -> None:
    assert picked(Story(spec("a"), policy=Policy(hours=((0, 1),)))) == []


def test_what_is_taken_in_this_tick_is_not_given_twice() -> None:
    story = Story(spec("a"), spec("b", scope=("src/x/**",)), spec("c", scope=("docs/**",)))
    assert picked(story) == [
        ("a", ""),
        ("b", "item b wants src/x/**, which overlaps src/**, and a comes first"),
        ("c", ""),
    ]


def test_a_waiting_item_is_not_overtaken() -> None:
    story = Story(spec("holder", scope=("a/**",)), spec("wide", scope=("**",)), spec("later", scope=("b/**",)))
    story.granted("holder")
    assert picked(story) == [
        ("wide", "item wide wants **, which overlaps a/**, held by holder.1"),
        ("later", "item later wants b/**, which overlaps **, and wide comes first"),
    ]


def test_what_waits_for_a_person_is_overtaken() -> None:
    story = Story(spec("asks", scope=("a/**",)), spec("wide", scope=("**",)), spec("later", scope=("b/**",)))
    run = story.started("asks")
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    assert picked(story) == [("wide", "item wide wants **, which overlaps a/**, held by asks.1"), ("later", "")]


def test_the_answer_for_one_mode_is_not_that_for_the_other() -> None:
    story = Story(
        spec("holder", mode=LeaseMode.shared), spec("alone"), spec("together", mode=LeaseMode.shared, scope=("src/**",))
    )
    story.granted("holder")
    assert [name for name, why in picked(story) if not why] == []
    assert picked(story)[1] == ("together", "item together wants src/**, and alone comes first")


def test_only_items_of_this_night() -> None:
    story = Story(spec("a"), spec("b", scope=("docs/**",)))
    assert picked(story, intent=Intent(once=ItemId("b"))) == [("b", "")]
    assert picked(story, intent=Intent(plan=PlanId("other"))) == []


def test_a_look_is_limited_but_not_by_what_only_time_can_change() -> None:
    policy = Policy(pick_scan_max=2)
    items = [spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(4)]
    assert len(picked(Story(*items, policy=policy))) == 2
    held = [spec(f"h{n}", hold=Hold("until", NOW_MS + 1)) for n in range(5)]
    assert picked(Story(*held, *items, policy=policy))[-2:] == [("i0", ""), ("i1", "")]


def test_a_look_is_not_used_up_by_what_waits_for_a_person() -> None:
    items = [spec("asks"), *(spec(f"w{n}", scope=(f"src/{n}/**",)) for n in range(5)), spec("free", scope=("docs/**",))]
    story = Story(*items, policy=Policy(pick_scan_max=2))
    run = story.started("asks")
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    assert picked(story)[-1] == ("free", "")


def test_a_reason_is_noted_once() -> None:
    story = Story(spec("a"), spec("b"))
    story.granted("a")
    (found,) = pick(story.state, 1, NOW_MS, story.policy, Intent())
    assert worth_noting(found) and found.refusal is not None
    story.do(cmd.RecordWait(ItemId("b"), found.refusal.code, found.refusal.reason, found.refusal.holder))
    (again,) = pick(story.state, 1, NOW_MS, story.policy, Intent())
    assert not worth_noting(again)


def test_only_a_taken_scope_is_worth_noting() -> None:
    story = Story(spec("a"))
    item = story.state.items[ItemId("a")]
    assert not worth_noting(Pick(item, None))
    story.ended("a")
    (found,) = pick(story.state, 1, NOW_MS, story.policy, Intent())
    assert found.refusal is not None and found.refusal.code is RefusalCode.cooldown
    assert not worth_noting(found)


def test_an_item_of_a_dropped_plan_is_not_offered() -> None:
    story = Story(spec("a"), spec("b", scope=("docs/**",)))
    story.do(add_plan(spec("b", scope=("docs/**",)), digest="2"))
    assert picked(story) == [("b", "")]


def test_what_is_refused_for_the_same_scope_is_refused_in_its_own_name() -> None:
    story = Story(spec("a"), spec("b"), spec("c"))
    story.granted("a")
    assert picked(story) == [
        ("b", "item b wants src/**, held by a.1"),
        ("c", "item c wants src/**, held by a.1"),
    ]


def test_who_runs_alone_is_not_answered_for_by_another_and_answers_for_none() -> None:
    lanes = (Lane("release", ("src/**",), exclusive=True),)
    items = (spec("a", scope=("a/**",)), spec("all", lane="release"), spec("b"), spec("c", scope=("c/**",)))
    story = Story(*items, policy=Policy(lanes=lanes))
    story.granted("a")
    assert picked(story) == [
        ("all", "item all runs alone, and a.1 is at work"),
        ("b", "item b wants src/**, and all comes first"),
        ("c", "item c wants c/**, and all comes first"),
    ]


CAPPED = Policy(
    workers_max=9,
    lanes=(Lane("auth", ("src/**",), workers_max=1), Lane("docs", ("docs/**",), workers_max=1)),
    kinds=(Kind("fixer", 1),),
)


def test_what_is_offered_in_this_tick_counts_for_its_own_kind_and_lane_only() -> None:
    items = (
        spec("a", lane="auth", scope=("src/a",)),
        spec("b", lane="auth", scope=("src/b",)),
        spec("c", lane="docs", scope=("docs/c",)),
        spec("d", kind="fixer", scope=("d",)),
        spec("e", kind="fixer", scope=("e",)),
    )
    assert picked(Story(*items, policy=CAPPED)) == [
        ("a", ""),
        ("b", "1 of 1 workers in lane auth are busy"),
        ("c", ""),
        ("d", ""),
        ("e", "1 of 1 workers of kind fixer are busy"),
    ]


def test_what_is_owed_to_turns_that_are_due_comes_before() -> None:
    story = Story(spec(kind="fixer"), policy=CAPPED)
    found = list(pick(story.state, 9, NOW_MS, story.policy, Intent(), ["kind:fixer"]))
    assert [one.refusal.reason if one.refusal else "" for one in found] == ["1 of 1 workers of kind fixer are busy"]


# ── holds ──


def in_flight(story: Story) -> None:
    story.granted()


def busy_scope(story: Story) -> None:
    story.do(cmd.AcquireLease("olga", scope=("src/x",)))


def alone(story: Story) -> None:
    story.append(ev.LeaseGranted("olga", ("z",), LeaseMode.exclusive, NOW_MS + 1_000, alone=True))


def broken(story: Story) -> None:
    story.append(ev.BreakerOpened("agent:default", "x", NOW_MS + 1_000))


def limited(story: Story) -> None:
    story.append(ev.ProviderLimited("default", NOW_MS + 1_000, "x"))


def predicate(story: Story) -> None:
    story.do(cmd.RecordWait(ItemId("login"), RefusalCode.predicate, "no", "freeze", NOW_MS + 1_000))


def control(verb: str) -> Callable[[Story], Any]:
    return lambda story: story.do(cmd.ControlPlan(PlanId("plan"), verb))


def spent(story: Story) -> None:
    story.state.accounts["fleet"] = Usage(tokens=9)


HOLDS: list[tuple[RefusalCode, dict[str, Any], Callable[[Story], Any] | None, Policy, HoldReason]] = [
    (RefusalCode.wrong_state, {}, in_flight, Policy(), HoldReason.in_flight),
    (RefusalCode.cooldown, {}, Story.ended, Policy(), HoldReason.cooldown),
    (RefusalCode.breaker_open, {}, broken, Policy(), HoldReason.cooldown),
    (RefusalCode.provider_limit, {}, limited, Policy(), HoldReason.cooldown),
    (RefusalCode.predicate, {}, predicate, Policy(), HoldReason.cooldown),
    (RefusalCode.hours, {}, None, Policy(hours=((0, 1),)), HoldReason.cooldown),
    (RefusalCode.overlap, {}, busy_scope, Policy(), HoldReason.scope_busy),
    (RefusalCode.exclusive_held, {}, alone, Policy(), HoldReason.scope_busy),
    (RefusalCode.fleet_cap, {}, None, Policy(workers_max=0), HoldReason.scope_busy),
    (RefusalCode.kind_cap, {}, None, Policy(kinds=(Kind("patcher", 0),)), HoldReason.scope_busy),
    (
        RefusalCode.lane_cap,
        {"lane": "l"},
        None,
        Policy(lanes=(Lane("l", ("src/**",), workers_max=0),)),
        HoldReason.scope_busy,
    ),
    (RefusalCode.held, {"hold": Hold("unparseable")}, None, Policy(), HoldReason.unparseable),
    (RefusalCode.held, {"hold": Hold("draft")}, None, Policy(), HoldReason.draft),
    (RefusalCode.held, {"hold": Hold("operator")}, None, Policy(), HoldReason.operator_gate),
    (RefusalCode.held, {"hold": Hold("until", NOW_MS + 1)}, None, Policy(), HoldReason.soak),
    (RefusalCode.held, {}, control("pause"), Policy(), HoldReason.operator_gate),
    (RefusalCode.held, {"hold": Hold("until", NOW_MS + 1)}, control("pause"), Policy(), HoldReason.operator_gate),
    (RefusalCode.held, {}, lambda s: s.ended(end=EndKind.stopped), Policy(), HoldReason.operator_gate),
    (RefusalCode.exhausted, {"attempts_max": 1}, Story.ended, Policy(), HoldReason.operator_gate),
    (RefusalCode.config, {"lane": "gone"}, None, Policy(), HoldReason.operator_gate),
    (RefusalCode.depth_cap, {"depth": 9}, None, Policy(), HoldReason.operator_gate),
    (RefusalCode.budget, {}, spent, Policy(fleet_budget=Budget(tokens=9)), HoldReason.operator_gate),
    (RefusalCode.not_ready, {"after": ("other",)}, None, Policy(), HoldReason.dependency),
]


@pytest.mark.parametrize(("code", "fields", "before", "policy", "expected"), HOLDS)
def test_why_an_item_is_held(
    code: RefusalCode,
    fields: dict[str, Any],
    before: Callable[[Story], Any] | None,
    policy: Policy,
    expected: HoldReason,
) -> None:
    story = Story(spec("other", hold=Hold("draft")), spec(**fields), policy=policy)
    if before is not None:
        before(story)
    found = {one.item.spec.id: one for one in survey(story.state, story.now_ms, story.policy, Intent())}
    refusal = found[ItemId("login")].refusal
    assert refusal is not None
    assert (refusal.code, hold_of(found[ItemId("login")].item, refusal)) == (code, expected)


def test_every_hold_is_reached_and_half_of_them_curable() -> None:
    assert {row[-1] for row in HOLDS} == set(HoldReason)
    assert {hold.value for hold in CURABLE} == {"in_flight", "cooldown", "scope_busy", "unparseable"}


# ── the survey ──


def test_a_survey_tells_of_every_open_item_in_order_and_of_none_that_is_over() -> None:
    story = Story(
        spec("landed", scope=("l/**",)),
        spec("late", scope=("a/**",), priority=200),
        spec("held", scope=("b/**",), hold=Hold("draft")),
        spec("works", scope=("c/**",)),
        spec("first", scope=("d/**",)),
        spec("second", scope=("e/**",)),
        policy=Policy(workers_max=2),
    )
    story.do(add_plan(*(one.spec for one in story.state.items.values()), spec("x"), digest="2"))
    story.do(add_plan(*(one.spec for one in story.state.items.values() if one.spec.id != "x"), digest="3"))
    run = story.reported("landed")
    story.append(ev.RunLanded(run.id, TIP))
    story.granted("works")
    found = survey(story.state, story.now_ms, story.policy, Intent())
    assert [(one.item.spec.id, one.refusal.reason if one.refusal else "") for one in found] == [
        ("held", "item held is held: draft"),
        ("works", "item works is being worked on by works.1"),
        ("first", ""),
        ("second", "1 of 2 workers are busy, and others come first"),
        ("late", "1 of 2 workers are busy, and others come first"),
    ]


def test_a_survey_and_a_pick_agree_on_what_is_offered() -> None:
    story = Story(
        spec("a"),
        spec("b"),
        spec("c", scope=("c/**",)),
        spec("d", scope=("**",)),
        spec("e", scope=("e",)),
        policy=CAPPED,
    )
    found = survey(story.state, story.now_ms, story.policy, Intent())
    offered = [one.item.spec.id for one in found if one.refusal is None]
    assert offered == [name for name, why in picked(story) if not why] == ["a", "c"]


def test_what_was_not_tried_yet_goes_before_what_failed() -> None:
    story = Story(spec("old"), spec("new", scope=("docs/**",)), policy=Policy(backoff_ms=0, backoff_max_ms=0))
    story.ended("old")
    assert [found.item.spec.id for found in pick(story.state, 1, story.now_ms, story.policy, Intent())] == ["new"]
    assert [found.item.spec.id for found in pick(story.state, 2, story.now_ms, story.policy, Intent())] == [
        "new",
        "old",
    ]
