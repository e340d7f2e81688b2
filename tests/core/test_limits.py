"""Provider windows: nothing is burnt against a closed one, and those that waited start one after the other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Exit, Limit, Observed, StartWorker, Submit
from ganger.core.ids import ItemId, RunId
from ganger.core.limits import resume_ms, window_refusal
from ganger.core.loop import Intent
from ganger.core.model import Again, EndKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.core.recovery import LIMITS_MAX
from ganger.testing.builders import BASE, NOW_MS, Story, spec

MINUTE_MS, DAY_MS = 60_000, 86_400_000
MIDNIGHT_MS = NOW_MS - NOW_MS % DAY_MS
UNTIL_MS = NOW_MS + 60 * MINUTE_MS
SHOP = Policy(providers=(("claude", "shop"), ("haiku", "shop")), stagger_ms=20_000)


def story_of(*agents: str, policy: Policy = SHOP) -> Story:
    items = (spec(f"i{n}", scope=(f"d{n}/**",), agent=agent) for n, agent in enumerate(agents))
    story = Story(*items, policy=policy)
    for n in range(len(agents)):
        story.started(f"i{n}")
    return story


def limit(story: Story, item: str, until_ms: int = UNTIL_MS) -> tuple[ev.Event, ...]:
    run = story.run(item)
    return story.do(cmd.RecordLimit(run.id, run.lease.token, until_ms, "too many requests"))


def not_before(events: tuple[ev.Event, ...]) -> list[int]:
    return [event.not_before_ms for event in events if isinstance(event, ev.TurnRepeated)]


def test_a_run_that_meets_a_limit_waits_and_its_provider_is_known_to_refuse() -> None:
    story = story_of("claude")
    run = story.run("i0")
    assert limit(story, "i0") == (
        ev.ProviderLimited("shop", UNTIL_MS, "too many requests", run.id),
        ev.TurnRepeated(run.id, 1, Again.limited, "too many requests", UNTIL_MS),
    )
    assert limit(story, "i0") == ()


def test_those_that_wait_for_one_provider_start_one_after_the_other() -> None:
    story = story_of("claude", "haiku", "claude", "codex")
    starts = [not_before(limit(story, f"i{n}"))[0] - UNTIL_MS for n in range(4)]
    assert starts == [0, 20_000, 40_000, 0]


def test_an_agent_without_a_provider_is_one_of_its_own() -> None:
    story = story_of("claude", "codex")
    limit(story, "i0")
    assert window_refusal(story.state, "codex", NOW_MS, SHOP) is None
    found = window_refusal(story.state, "haiku", NOW_MS, SHOP)
    assert found is not None
    assert (found.code.value, found.reason, found.holder, found.again_ms) == (
        "provider_limit",
        "provider shop has reached its limit: too many requests",
        "shop",
        UNTIL_MS,
    )
    assert window_refusal(story.state, "haiku", UNTIL_MS, SHOP) is None


HOURS = [
    ("inside", 60, ((0, 120),), 0, 60 * MINUTE_MS),
    ("outside", 180, ((0, 120),), 0, 24 * 60 * MINUTE_MS),
    ("outside, the second of them", 180, ((0, 120),), 1, 24 * 60 * MINUTE_MS + 20_000),
    ("outside, the third of them", 180, ((0, 120),), 2, 24 * 60 * MINUTE_MS + 40_000),
    ("the first fits, the second does not", 119, ((0, 120),), 3, 24 * 60 * MINUTE_MS),
]


@pytest.mark.parametrize(
    ("minute", "hours", "waiting", "expected"), [row[1:] for row in HOURS], ids=[r[0] for r in HOURS]
)
def test_never_outside_the_hours_and_spread_out_there_too(
    minute: int, hours: tuple[tuple[int, int], ...], waiting: int, expected: int
) -> None:
    policy = Policy(hours=hours, providers=SHOP.providers, stagger_ms=20_000)
    story = story_of(*["claude"] * waiting, policy=Policy(providers=SHOP.providers))
    for n in range(waiting):
        limit(story, f"i{n}")
    opens_ms = MIDNIGHT_MS + minute * MINUTE_MS
    assert resume_ms(story.state, "claude", opens_ms, MIDNIGHT_MS, policy) == MIDNIGHT_MS + expected


def test_a_window_that_is_open_already_has_the_turn_done_over_at_once() -> None:
    story = story_of("claude")
    assert not_before(limit(story, "i0", NOW_MS - 1)) == [NOW_MS]


def test_a_provider_that_refuses_again_after_its_instant_is_asked_ever_more_rarely() -> None:
    story = story_of("claude")
    run = story.run("i0")
    waits = []
    for turn in range(1, 5):
        (found,) = not_before(limit(story, "i0", story.now_ms - 1))
        waits.append(found - story.now_ms)
        assert (window_refusal(story.state, "claude", found - 1, SHOP) is None) == (turn == 1)
        story.do(cmd.RecordExit(run.id, run.lease.token, turn, 1))
        story.started("i0", turn + 1)
    assert waits == [0, 30_000, 60_000, 120_000]


@pytest.mark.parametrize(("backoff_ms", "expected"), [(30_000, [30_000, 60_000, 120_000]), (0, [1_000] * 3)])
def test_a_busy_provider_is_asked_again_after_a_back_off(backoff_ms: int, expected: list[int]) -> None:
    story = story_of("claude", policy=replace(SHOP, backoff_ms=backoff_ms))
    run = story.run("i0")
    waits = []
    for turn in range(1, 4):
        command = cmd.RecordLimit(run.id, run.lease.token, 0, "overloaded", overload=True)
        window, repeated = story.do(command)
        assert window == ev.ProviderLimited("shop", repeated.not_before_ms, "overloaded", run.id, overload=True)
        waits.append(repeated.not_before_ms - story.now_ms)
        story.do(cmd.RecordExit(run.id, run.lease.token, turn, 1))
        story.started("i0", turn + 1)
    assert waits == expected


def test_a_run_is_not_interrupted_by_its_provider_for_ever() -> None:
    story = story_of("claude")
    run = story.run("i0")
    for turn in range(1, LIMITS_MAX + 1):
        assert not_before(limit(story, "i0", story.now_ms))
        story.do(cmd.RecordExit(run.id, run.lease.token, turn, 1))
        story.started("i0", turn + 1)
    reason = f"provider shop has interrupted the run {LIMITS_MAX} times"
    assert limit(story, "i0", story.now_ms) == (ev.StopRequested(run.id, EndKind.limited, reason),)


def test_new_runs_of_a_provider_that_opened_start_one_after_the_other() -> None:
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",), agent="claude") for n in range(3)), policy=SHOP)
    story.append(ev.ProviderLimited("shop", UNTIL_MS, "too many requests"))
    starts = []
    for n in range(3):
        while isinstance(refusal := story.decide(cmd.GrantRun(ItemId(f"i{n}"), BASE)), Refusal):
            assert refusal.code is RefusalCode.provider_limit
            story.now_ms = refusal.again_ms
        starts.append(story.now_ms - UNTIL_MS)
        story.granted(f"i{n}")
    assert starts == [0, 20_000, 40_000]


def test_a_limit_without_an_end_ends_the_run_and_no_attempt_is_lost() -> None:
    story = story_of("claude")
    run = story.run("i0")
    reason = "provider shop refuses, and does not say until when: too many requests"
    assert limit(story, "i0", 0) == (
        ev.ProviderLimited("shop", NOW_MS + 1_800_000, "too many requests", run.id),
        ev.StopRequested(run.id, EndKind.limited, reason),
    )
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    (ended,) = story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.limited, reason))
    assert isinstance(ended, ev.RunEnded) and not ended.counts
    assert story.why_not(cmd.GrantRun(ItemId("i0"), BASE))[0] == "provider_limit"


def test_a_later_end_of_a_window_stands() -> None:
    story = story_of("claude", "claude")
    limit(story, "i0", UNTIL_MS)
    limit(story, "i1", UNTIL_MS - 1)
    assert story.state.windows["shop"].until_ms == UNTIL_MS


def test_a_worker_that_has_spoken_or_is_gone_meets_no_limit() -> None:
    story = story_of("claude")
    run = story.run("i0")
    story.do(cmd.ReportDone(run.id, run.lease.token))
    assert limit(story, "i0") == ()
    story = story_of("claude")
    run = story.run("i0")
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, None, lost=True))
    assert limit(story, "i0") == ()
    assert story.run("i0").lost


def look(story: Story, **seen: Any) -> list[Any]:
    observed = Observed(target=BASE, **seen)
    return list(reconcile(story.state, observed, story.now_ms, story.policy, Intent()))


def test_a_worker_that_dies_of_a_limit_has_not_failed() -> None:
    """Its end and what it said of the limit are seen at once; what it said goes first."""
    story = story_of("claude")
    run = RunId("i0.1")
    seen = {"exits": {run: Exit(1, 1)}, "limits": {run: Limit(UNTIL_MS, "too many requests")}}
    for effect in look(story, **seen):
        assert isinstance(effect, Submit)
        story.do(effect.command)
    assert story.run("i0").stop is None and story.run("i0").turn_due
    assert look(story) == []
    assert next_wake_ms(story.state, Observed(target=BASE), story.now_ms, story.policy) is not None


def test_an_outage_burns_no_attempt_and_all_go_on_after_it() -> None:
    """Five hours; every worker meets the limit, nothing is started meanwhile, and each goes on in its turn."""
    story = story_of("claude", "claude", "claude", policy=Policy(providers=SHOP.providers, lease_ttl_ms=DAY_MS))
    until_ms = NOW_MS + 300 * MINUTE_MS
    for n in range(3):
        limit(story, f"i{n}", until_ms)
        run = story.run(f"i{n}")
        story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    starts = {}
    while story.now_ms < until_ms + MINUTE_MS:
        for effect in look(story):
            if isinstance(effect, StartWorker):
                starts[effect.run] = story.now_ms - until_ms
                story.started(effect.run.partition(".")[0], effect.turn)
        woken = next_wake_ms(story.state, Observed(target=BASE), story.now_ms, story.policy)
        story.now_ms = min(woken or story.now_ms + MINUTE_MS, story.now_ms + MINUTE_MS)
    assert starts == {"i0.1": 0, "i1.1": 20_000, "i2.1": 40_000}
    assert [item.failures for item in story.state.items.values()] == [0, 0, 0]


def test_no_turn_is_started_against_a_closed_window_whatever_it_waited_for() -> None:
    story = story_of("claude", "claude")
    run = story.run("i0")
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.AnswerQuestion(next(iter(story.state.questions)), "this", "olga"))
    limit(story, "i1")
    assert StartWorker(run.id, 2) not in look(story)
    story.now_ms = UNTIL_MS
    assert StartWorker(run.id, 2) in look(story)
