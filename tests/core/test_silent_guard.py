"""A guard that was not asked is noted once in a turn, and ends the run where that is the policy."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Exit, Observed, Silence, Submit
from ganger.core.facts import Run
from ganger.core.loop import Intent
from ganger.core.model import EndKind
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, Story, spec


def at_work(silent_guard: str = "flag") -> tuple[Story, Run]:
    story = Story(spec())
    story.policy = replace(story.policy, silent_guard=silent_guard)
    return story, story.started()


def wanted(story: Story, seen: Observed) -> list[cmd.Command]:
    effects = reconcile(story.state, seen, story.now_ms, story.policy, Intent())
    return [effect.command for effect in effects if isinstance(effect, Submit)]


@pytest.mark.parametrize("over", [False, True])
def test_it_is_noted_while_the_worker_lives_or_with_its_end(over: bool) -> None:
    story, run = at_work()
    silent = {run.id: Silence(1, 3, 1)}
    living = Observed(target=BASE, alive=frozenset({run.id}), silent=silent)
    seen = replace(living, alive=frozenset(), exits={run.id: Exit(1, 0)}) if over else living
    note = cmd.RecordSilence(run.id, run.lease.token, 1, 3, 1)
    asked = wanted(story, seen)
    assert asked[0] == note, "before the end, with which the run can be over"
    assert [type(one) for one in asked[1:]] == ([cmd.RecordExit] if over else [])
    assert story.do(note) == (ev.GuardSilent(run.id, 1, 3, 1),)
    assert note not in wanted(story, seen)
    assert story.do(note) == () and story.run().stop is None


def test_the_next_turn_is_another_one() -> None:
    story, run = at_work()
    story.do(cmd.RecordSilence(run.id, run.lease.token, 1, 1, 0))
    assert story.do(cmd.RecordSilence(run.id, run.lease.token, 2, 1, 0)) == (), "there is no such turn yet"
    story.do(cmd.RepeatTurn(run.id, run.lease.token, 1, cmd.Again.hang, "it is silent"))
    assert story.run().unguarded == 1


def test_more_questions_than_uses_are_nothing() -> None:
    story, run = at_work()
    assert story.do(cmd.RecordSilence(run.id, run.lease.token, 1, 2, 2)) == ()
    assert story.why_not(cmd.RecordSilence(run.id, cmd.Token(99), 1, 2, 0))[0] == "stale_token"


@pytest.mark.parametrize(
    ("used", "asked", "text"),
    [
        (1, 0, "its guard was silent: of a use of a tool its hooks asked about none"),
        (7, 5, "its guard was silent: of 7 uses of tools its hooks asked about 5"),
    ],
)
def test_by_policy_the_run_ends_and_nothing_of_it_is_judged(used: int, asked: int, text: str) -> None:
    story, run = at_work("stop")
    found = story.do(cmd.RecordSilence(run.id, run.lease.token, 1, used, asked))
    assert found == (ev.GuardSilent(run.id, 1, used, asked), ev.StopRequested(run.id, EndKind.failed, text))
