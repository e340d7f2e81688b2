"""What a fleet of a given size would need: the lists, the most that lanes allow, and the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core.effects import Clocks
from ganger.core.fleet_plan import FleetPlan, FleetVerdict, fleet_plan
from ganger.core.ids import RunId
from ganger.core.model import Hold, Lane, LeaseMode
from ganger.core.policy import Policy
from ganger.testing.builders import Story, spec

WIDE = Policy(workers_max=9, progress_ms=60_000)


def plan(story: Story, target: int, clocks: dict[RunId, Clocks] | None = None) -> FleetPlan:
    return fleet_plan(story.state, clocks or {}, target, story.now_ms, story.policy)


def apart(count: int, started: int = 0, policy: Policy = WIDE, **fields: Any) -> Story:
    """Items that do not overlap, some of them at work."""
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",), **fields) for n in range(count)), policy=policy)
    for n in range(started):
        story.started(f"i{n}")
    return story


VERDICTS = [
    ("as many as wanted", 4, 2, 2, FleetVerdict.at_target, ()),
    ("none wanted, none there", 0, 0, 0, FleetVerdict.at_target, ()),
    ("fewer than wanted", 4, 1, 3, FleetVerdict.filling, ("i1", "i2")),
    ("more than wanted", 4, 3, 1, FleetVerdict.over_target, ()),
    ("more wanted than there is", 4, 1, 5, FleetVerdict.target_unreachable, ("i1", "i2", "i3")),
]


@pytest.mark.parametrize(
    ("count", "live", "target", "verdict", "start"), [r[1:] for r in VERDICTS], ids=[r[0] for r in VERDICTS]
)
def test_verdicts(count: int, live: int, target: int, verdict: FleetVerdict, start: tuple[str, ...]) -> None:
    found = plan(apart(count, live), target)
    assert (found.verdict, found.target, found.live, found.start) == (verdict, target, live, start)
    assert (found.most, found.exact, found.stop, found.flag) == (count, True, (), ())


def test_every_verdict_is_reached() -> None:
    assert {row[4] for row in VERDICTS} == set(FleetVerdict)


def test_no_more_than_may_live_at_all() -> None:
    found = plan(apart(4, policy=Policy(workers_max=2)), 3)
    assert (found.verdict, found.most, found.start) == (FleetVerdict.target_unreachable, 2, ("i0", "i1"))


def test_scopes_that_overlap_are_counted_once_and_held_with_the_reason() -> None:
    story = Story(
        spec("wide"),
        spec("x", scope=("src/x/**",)),
        spec("y", scope=("src/y/**",)),
        spec("z", scope=("z",)),
        policy=WIDE,
    )
    found = plan(story, 4)
    assert (found.verdict, found.most, found.exact) == (FleetVerdict.target_unreachable, 3, True)
    assert found.start == ("wide", "z")
    assert found.hold == (
        ("x", "item x wants src/x/**, which overlaps src/**, and wide comes first"),
        ("y", "item y wants src/y/**, which overlaps src/**, and wide comes first"),
    )


def test_what_shares_a_scope_counts_beside_what_shares_it() -> None:
    shared = [spec(name, mode=LeaseMode.shared) for name in ("a", "b", "c")]
    assert plan(Story(*shared, policy=WIDE), 3).most == 3
    assert plan(Story(*shared, spec("alone"), policy=WIDE), 4).most == 3


def test_what_is_held_by_others_counts_for_nothing_until_it_is_free() -> None:
    story = apart(3)
    story.do(cmd.AcquireLease("olga", scope=("d0/x", "d1/x"), ttl_ms=5_000))
    assert plan(story, 3).most == 1
    story.now_ms += 5_000
    assert plan(story, 3).most == 3


def test_what_is_not_ready_or_may_not_be_had_counts_for_nothing() -> None:
    items = (spec("a"), spec("b", scope=("b",), hold=Hold("until", 1 << 45)), spec("c", scope=("c",), lane="gone"))
    assert plan(Story(*items, policy=WIDE), 3).most == 1


def test_who_runs_alone_is_counted_alone() -> None:
    lanes = (Lane("release", ("pkg/**",), exclusive=True),)
    policy = Policy(workers_max=9, lanes=lanes)
    items = [spec("all", lane="release", scope=("pkg/**",)), spec("a", scope=("a",)), spec("b", scope=("b",))]
    story = Story(*items, policy=policy)
    assert plan(story, 3).most == 2
    story.granted("all")
    found = plan(story, 3)
    assert (found.most, found.verdict, found.start) == (1, FleetVerdict.target_unreachable, ())
    story = Story(*items[:2], policy=policy)
    story.granted("a")
    assert plan(story, 2).most == 1


def test_the_stalled_are_stopped_the_spinning_flagged_and_the_healthy_left() -> None:
    story = apart(5, 4, silence_max_ms=30_000)
    story.now_ms += 60_000
    now_ms = story.now_ms
    clocks = {
        RunId("i0.1"): Clocks(heartbeat_ms=now_ms, artefact_ms=now_ms),
        RunId("i1.1"): Clocks(heartbeat_ms=now_ms),
        RunId("i2.1"): Clocks(output_ms=now_ms, artefact_ms=now_ms, same_calls=5),
    }
    found = plan(story, 1, clocks)
    assert found.stop == (("i3.1", "the worker showed no activity for 30 s"),)
    assert found.flag == (
        ("i1.1", "the worker is active, but changed no file and made no commit for 60 s"),
        ("i2.1", "the worker made the same call 5 times in a row"),
    )
    assert (found.verdict, found.live, found.start) == (FleetVerdict.over_target, 3, ())


def test_who_has_spoken_is_not_judged() -> None:
    story = apart(2, 2, silence_max_ms=30_000)
    story.do(cmd.ReportDone(RunId("i0.1"), story.token("i0")))
    story.do(cmd.AskQuestion(RunId("i1.1"), story.token("i1"), "which?"))
    story.now_ms += 60_000
    assert plan(story, 2).stop == ()


def test_a_group_that_is_too_large_has_a_bound() -> None:
    grid = [spec(f"s{r}-{c}", scope=(f"r{r}/**", f"c{c}/**")) for r in range(8) for c in range(8)]
    found = plan(Story(*grid, policy=Policy(workers_max=99)), 9)
    assert found.most >= 8 and (found.exact or found.most > len(found.start) - 1)
