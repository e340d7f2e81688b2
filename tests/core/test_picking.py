"""Which ready items get a run now, in which order, and why not the others."""

from __future__ import annotations

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId
from ganger.core.loop import Intent
from ganger.core.model import Hold, LeaseMode, RefusalCode
from ganger.core.picking import Pick, pick, worth_noting
from ganger.core.policy import Policy
from ganger.testing.builders import NOW_MS, Story, add_plan, spec


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
        ("b", "item b wants src/x/**, which overlaps src/**, and a.1 comes first"),
        ("c", ""),
    ]


def test_a_waiting_item_is_not_overtaken() -> None:
    story = Story(spec("holder", scope=("a/**",)), spec("wide", scope=("**",)), spec("later", scope=("b/**",)))
    story.granted("holder")
    assert picked(story) == [
        ("wide", "item wide wants **, which overlaps a/**, held by holder.1"),
        ("later", "item later wants b/**, which overlaps **, and wide.1 comes first"),
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
    assert picked(story)[1] == ("together", "item together wants src/**, and alone.1 comes first")


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
