"""Kinds that wait: nothing of them begins, whoever asks for it, and a person can read why."""

from __future__ import annotations

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import admit
from ganger.core.effects import Observed, Submit
from ganger.core.ids import ItemId
from ganger.core.loop import Intent
from ganger.core.model import Kind, Refusal, RefusalCode, Writes
from ganger.core.picking import Pick, pick, worth_noting
from ganger.core.policy import Policy
from ganger.core.reconcile import reconcile
from ganger.testing.builders import NOW_MS, TIP, Story, spec

WHY = "has changed, and a.1 began with it as it was"
POLICY = Policy(
    kinds=(Kind("patcher", spawn=("scout",)), Kind("scout", writes=Writes.none)),
    kinds_waiting=(("scout", WHY),),
    workers_max=8,
)
REFUSED = Refusal(RefusalCode.config, f"kind scout {WHY}", "ganger kinds show scout", "scout")


def picks(story: Story) -> list[Pick]:
    return list(pick(story.state, 4, NOW_MS, story.policy, Intent()))


def test_an_item_of_a_kind_that_waits_is_refused_and_the_others_go_on() -> None:
    story = Story(spec("a", kind="scout"), spec("b", scope=("docs/**",)), policy=POLICY)
    found = {one.item.spec.id: one.refusal for one in picks(story)}
    assert found == {"a": REFUSED, "b": None}
    assert admit(story.state, story.state.items[ItemId("a")], NOW_MS, story.policy) == REFUSED
    again = Story(spec("a", kind="scout"), policy=Policy(kinds=POLICY.kinds))
    assert [one.refusal for one in picks(again)] == [None], "it waits for nothing else"


@pytest.mark.parametrize("force", ["", "person:dana"])
def test_nobody_forces_it(force: str) -> None:
    story = Story(spec("a", kind="scout"), policy=POLICY)
    assert story.decide(cmd.GrantRun(ItemId("a"), TIP, "", force=force)) == REFUSED


def test_no_child_of_such_a_kind_is_born() -> None:
    story = Story(spec("a"), policy=POLICY)
    run = story.started("a")
    asked = cmd.SpawnChild(run.id, run.lease.token, "scout", "Look", "Look at it.")
    assert story.decide(asked) == REFUSED


def test_a_person_is_asked_where_whoever_answers_would_be_of_such_a_kind() -> None:
    policy = Policy(consult_agent="critic", kinds_waiting=(("consultant", WHY),))
    for waits, agent in ((policy, ""), (Policy(consult_agent="critic"), "critic")):
        story = Story(spec("a"), policy=waits)
        run = story.started("a")
        (asked, *born) = story.do(cmd.AskQuestion(run.id, run.lease.token, "which?", audience="consult"))
        assert isinstance(asked, ev.QuestionAsked)
        assert (asked.question.agent, bool(born)) == (agent, bool(agent))


def test_a_live_run_of_such_a_kind_goes_on() -> None:
    story = Story(spec("a", kind="scout"), policy=Policy(kinds=POLICY.kinds))
    story.granted("a")
    before, waiting = (
        reconcile(story.state, Observed(target=TIP), NOW_MS, policy, Intent()) for policy in (story.policy, POLICY)
    )
    assert before and waiting == before


def test_why_it_waits_is_noted_once() -> None:
    story = Story(spec("a", kind="scout"), policy=POLICY)
    (found,) = picks(story)
    assert worth_noting(found)
    (effect,) = reconcile(story.state, Observed(target=TIP), NOW_MS, POLICY, Intent())
    assert isinstance(effect, Submit) and isinstance(effect.command, cmd.RecordWait)
    assert effect.command == cmd.RecordWait(ItemId("a"), REFUSED.code, REFUSED.reason, REFUSED.holder)
    story.do(effect.command)
    (again,) = picks(story)
    assert again.refusal == REFUSED and not worth_noting(again)
    unknown = Refusal(RefusalCode.config, "there is no lane x")
    assert not worth_noting(Pick(found.item, unknown)), "what a start says is not noted"
