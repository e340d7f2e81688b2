"""Circuit breakers: several items in a row open one, one try at a time is let through, a good one closes it."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.breaker import breaker_refusal
from ganger.core.ids import ItemId
from ganger.core.model import CheckState, EndKind, Rung
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, NOW_MS, Story, evidence, result, spec

POLICY = Policy(breaker_max=3, breaker_ms=60_000, backoff_ms=0, turns_max=1, workers_max=9)
NAMES = "abcdef"


def story_of(**fields: Any) -> Story:
    return Story(*(spec(n, scope=(f"{n}/**",), attempts_max=9, **fields) for n in NAMES), policy=POLICY)


def opened(events: tuple[ev.Event, ...]) -> list[tuple[str, str, bool]]:
    return [(e.key, e.reason, e.launch) for e in events if isinstance(e, ev.BreakerOpened)]


def fail(
    story: Story, item: str, end: EndKind = EndKind.failed, *, started: bool = True
) -> list[tuple[str, str, bool]]:
    """A run of the item ends; what that opened."""
    run = story.started(item) if started else story.granted(item)
    if started:
        story.append(ev.WorkerExited(run.id, 1, 1))
    return opened(story.do(cmd.RecordEnd(run.id, run.lease.token, end, "it crashed")))


def judge(story: Story, item: str, **fields: Any) -> tuple[ev.Event, ...]:
    run = story.reported(item)
    return story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, evidence(changed=(f"{item}/x",), **fields)))


def refused(story: Story, item: str) -> tuple[str, str, int] | None:
    one = story.state.items[ItemId(item)].spec
    found = breaker_refusal(story.state, one, one.agent, story.now_ms, POLICY)
    return (found.holder, found.reason, found.again_ms) if found is not None else None


REASON = "3 items in a row came to nothing, the last one: it crashed"


def trip(story: Story) -> None:
    for item in "abc":
        fail(story, item)


def test_three_items_in_a_row_open_agent_and_kind() -> None:
    story = story_of()
    assert fail(story, "a") == fail(story, "b") == []
    assert fail(story, "c") == [("agent:default", REASON, False), ("kind:patcher", REASON, False)]
    expected = ("agent:default", f"agent default is not tried for a while: {REASON}", NOW_MS + 60_000)
    assert refused(story, "d") == expected
    story.now_ms += 59_999
    assert refused(story, "d") == expected


def test_one_hard_item_opens_nothing_however_often_it_fails() -> None:
    story = story_of()
    for _ in range(5):
        run = story.granted("a")
        assert opened(story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "it crashed"))) == []


COUNTED = [
    (EndKind.failed, True),
    (EndKind.stalled, True),
    (EndKind.timed_out, True),
    (EndKind.over_budget, True),
    (EndKind.rejected, False),
    (EndKind.superseded, False),
    (EndKind.stopped, False),
    (EndKind.interrupted, False),
    (EndKind.limited, False),
    (EndKind.expired, False),
]


@pytest.mark.parametrize(("end", "counts"), COUNTED)
def test_which_ends_count(end: EndKind, counts: bool) -> None:
    story = story_of()
    fail(story, "a", end), fail(story, "b", end)
    assert bool(fail(story, "c", end)) is counts


def test_a_rejection_counts_where_nothing_at_all_was_done() -> None:
    story = story_of()
    for item, more in (("a", []), ("b", []), ("c", ["agent:default", "kind:patcher"])):
        judge(story, item, commit=BASE)
        run = story.state.runs[story.state.items[ItemId(item)].run]
        assert run.verdict is not None and run.verdict.rung is Rung.reported
        found = opened(story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.rejected, "nothing")))
        assert [key for key, _, _ in found] == more


def test_an_acceptance_in_between_begins_the_count_anew() -> None:
    story = story_of()
    fail(story, "a"), fail(story, "b")
    judge(story, "d")
    assert fail(story, "c") == []


def test_workers_that_cannot_even_be_started_are_told_apart() -> None:
    story = story_of()
    fail(story, "a"), fail(story, "b")
    assert {launch for _, _, launch in fail(story, "c", started=False)} == {True}


def test_once_its_time_is_over_one_is_let_through() -> None:
    story = story_of()
    trip(story)
    story.now_ms += 60_000
    assert refused(story, "d") is None
    story.started("d")
    assert refused(story, "e") == ("agent:default", f"agent default is being tried once: {REASON}", 0)
    assert story.why_not(cmd.GrantRun(ItemId("e"), BASE))[0] == "breaker_open"


def test_a_try_that_fails_opens_it_again() -> None:
    story = story_of()
    trip(story)
    story.now_ms += 60_000
    assert [key for key, _, _ in fail(story, "d")] == ["agent:default", "kind:patcher"]
    found = refused(story, "e")
    assert found is not None and found[2] == story.now_ms + 60_000
    assert found[1].startswith("agent default is not tried for a while: 4 items in a row")


def test_a_try_that_is_accepted_closes_it() -> None:
    story = story_of()
    trip(story)
    story.now_ms += 60_000
    events = judge(story, "d")
    assert [e.key for e in events if isinstance(e, ev.BreakerClosed)] == ["agent:default", "kind:patcher"]
    assert refused(story, "e") is None
    assert fail(story, "e") == []


def test_another_agent_and_kind_go_on() -> None:
    story = Story(
        *(spec(n, scope=(f"{n}/**",)) for n in "abc"),
        spec("d", scope=("d/**",), agent="other", kind="fixer"),
        spec("e", scope=("e/**",), agent="other"),
        policy=POLICY,
    )
    trip(story)
    assert refused(story, "d") is None
    found = refused(story, "e")
    assert found is not None and found[0] == "kind:patcher"


def test_a_person_closes_a_breaker_by_name() -> None:
    story = story_of()
    assert story.why_not(cmd.CloseBreaker("agent:default")) == (
        "unknown_ref",
        "there is no open breaker agent:default (open: none)",
    )
    trip(story)
    story.do(cmd.CloseBreaker("agent:default"))
    story.do(cmd.CloseBreaker("kind:patcher"))
    assert refused(story, "d") is None and fail(story, "d") == []


def ending(story: Story, item: str, end: EndKind = EndKind.failed) -> None:
    """A run of the item is to end so, and what it left is being kept."""
    run = story.started(item)
    story.do(cmd.StopRun(run.id, end, "it crashed"))


ABOUT = "agent default is about to be given a rest: 3 items in a row come to nothing"


@pytest.mark.parametrize(("end", "counts"), COUNTED)
def test_what_is_being_ended_counts_before_it_is_over(end: EndKind, counts: bool) -> None:
    """No further item is given to an agent between the last fruitless result and the end of its run."""
    story = story_of()
    fail(story, "a"), fail(story, "b")
    ending(story, "c", end)
    assert refused(story, "d") == (("agent:default", ABOUT, 0) if counts else None)
    assert story.why_not(cmd.GrantRun(ItemId("d"), BASE))[0] == "breaker_open" if counts else True


def test_what_is_being_ended_counts_once() -> None:
    story = story_of()
    fail(story, "a"), fail(story, "b")
    ending(story, "c")
    run = story.run("c")
    story.append(ev.WorkerExited(run.id, 1, 1))
    found = opened(story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "it crashed")))
    assert found == [("agent:default", REASON, False), ("kind:patcher", REASON, False)], "three, not four"
    assert refused(story, "d") == (
        "agent:default",
        f"agent default is not tried for a while: {REASON}",
        NOW_MS + 60_000,
    )


def test_several_that_end_at_once_count_each() -> None:
    story = story_of()
    ending(story, "a"), ending(story, "b")
    assert refused(story, "d") is None
    ending(story, "c")
    assert refused(story, "d") == ("agent:default", ABOUT, 0)


def test_the_same_item_that_fails_again_is_still_one() -> None:
    story = story_of()
    fail(story, "a"), fail(story, "b")
    run = story.granted("b")
    story.do(cmd.StopRun(run.id, EndKind.failed, "it crashed"))
    assert refused(story, "d") is None


# ── checks ──

CRASHED, LATE = result(CheckState.crashed), result(CheckState.timed_out)
ENDS = [(CRASHED, "it crashed"), (LATE, "it timed out")]


@pytest.mark.parametrize(("seen", "how"), ENDS)
def test_a_check_that_cannot_be_run_to_an_end_is_not_tried_for_a_while(seen: Any, how: str) -> None:
    story = story_of()
    judge(story, "a", checks=(seen,)), judge(story, "b", checks=(seen,))
    events = judge(story, "c", checks=(seen,))
    assert opened(events) == [("check:unit", f"3 items in a row came to nothing, the last one: {how}", False)]
    found = refused(story, "d")
    assert found is not None and found[0] == "check:unit"


def test_a_check_that_fails_is_no_fault_of_the_check() -> None:
    story = story_of()
    failed = (result(CheckState.failed),)
    for item in "abcd":
        assert opened(judge(story, item, checks=failed)) == []


def test_a_check_that_runs_to_its_end_closes_its_breaker() -> None:
    story = story_of()
    for item in "abc":
        judge(story, item, checks=(CRASHED,))
        run = story.state.runs[story.state.items[ItemId(item)].run]
        story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.rejected, "crashed"))
    story.now_ms += 60_000
    events = judge(story, "d", checks=(result(CheckState.failed),))
    assert [e.key for e in events if isinstance(e, ev.BreakerClosed)] == ["check:unit"]
    assert opened(judge(story, "e", checks=(CRASHED,))) == []


def test_a_rejection_of_something_neither_counts_nor_opens() -> None:
    story = story_of()
    fail(story, "a"), fail(story, "b")
    judge(story, "c", checks=(result(CheckState.failed),))
    run = story.state.runs[story.state.items[ItemId("c")].run]
    assert opened(story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.rejected, "it fails"))) == []
