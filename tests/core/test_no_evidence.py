"""A candidate about which nothing can be observed is unknown, and a person says what becomes of it."""

from __future__ import annotations

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import CollectEvidence, Observed
from ganger.core.facts import Run
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent
from ganger.core.model import Again, EndKind, Rung, Verdict, VerdictKind, When
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, Story, evidence, spec

REASON = "git fetch exited 128"
UNKNOWN = Verdict(VerdictKind.unknown, Rung.reported, (f"no evidence could be had: {REASON}",))


def unseen() -> tuple[Story, Run]:
    story = Story(spec())
    run = story.reported()
    story.do(cmd.RecordNoEvidence(run.id, run.lease.token, 1, REASON))
    return story, story.run()


def collects(story: Story) -> bool:
    effects = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent())
    return any(isinstance(effect, CollectEvidence) for effect in effects)


def test_a_turn_that_goes_on_is_not_asked_about() -> None:
    """Somebody had a word for its worker meanwhile: what was looked at is not what it will hand in."""
    story = Story(spec())
    run = story.reported()
    story.do(cmd.TellRun(run.id, "use the new name", When.after_turn, "olga"))
    story.do(cmd.RepeatTurn(run.id, run.lease.token, 1, Again.told, "something was said to it"))
    assert story.why_not(cmd.RecordNoEvidence(run.id, run.lease.token, 1, REASON))[0] == "wrong_state"
    assert not story.state.questions and story.run().repeat is not None


def test_it_is_stored_as_unknown_and_asked_about() -> None:
    story, run = unseen()
    assert run.verdict == UNKNOWN and run_status(story.state, run) is RunStatus.asking
    (question,) = story.state.questions.values()
    assert question.text == f"No evidence could be had about login.1, so nobody knows whether it is good: {REASON}"
    assert (question.kind, question.options) == ("no_evidence", ("look again", "give up"))
    assert not collects(story), "it is not tried again and again meanwhile"
    assert story.why_not(cmd.RecordNoEvidence(run.id, run.lease.token, 1, REASON))[0] == "wrong_state"


def test_looked_at_again_it_is_judged_as_any() -> None:
    story, run = unseen()
    story.do(cmd.AnswerQuestion(run.question, "look again", "olga"))
    assert collects(story) and run_status(story.state, story.run()) is RunStatus.reported
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, evidence()))
    assert run_status(story.state, story.run()) is RunStatus.accepted


def test_given_up_it_ends() -> None:
    story, run = unseen()
    events = story.do(cmd.AnswerQuestion(run.question, "give up", "olga"))
    assert events[1] == ev.StopRequested(run.id, EndKind.failed, UNKNOWN.reasons[0])


def test_what_was_looked_at_is_not_unknown() -> None:
    story = Story(spec())
    run = story.accepted()
    assert story.why_not(cmd.RecordNoEvidence(run.id, run.lease.token, 1, REASON))[0] == "wrong_state"
