"""A candidate that is good but for tests that it weakens waits for a person's word on exactly that commit."""

from __future__ import annotations

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import Run
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.model import EndKind, QuestionKind, VerdictKind, Weakened, Weakening
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, CANDIDATE, Story, evidence, spec

WEAK = evidence(weakened=(Weakened("tests/a.py", 3, Weakening.skipped, "test_a", "`pytest.skip()`"),))


def asked(**policy: object) -> tuple[Story, Run]:
    """A run whose candidate waits for the answer."""
    story = Story(spec(), policy=Policy(weakened="inbox", **policy))  # type: ignore[arg-type]
    run = story.reported()
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, WEAK))
    return story, story.run()


def test_the_question_names_the_commit_and_the_place() -> None:
    story, run = asked()
    (question,) = story.state.questions.values()
    assert run_status(story.state, run) is RunStatus.asking
    assert (question.kind, question.subject, question.options) == (
        QuestionKind.weakened,
        CANDIDATE,
        ("allow", "refuse"),
    )
    assert question.text == (
        f"Accept {CANDIDATE[:12]} of login.1 all the same? "
        "It weakens tests: tests/a.py:3: skipped of test_a: `pytest.skip()`"
    )


def test_allowed_by_name_it_waits_for_the_train() -> None:
    story, run = asked()
    events = story.do(cmd.AnswerQuestion(run.question, "allow", "olga"))
    assert isinstance(events[0], ev.QuestionAnswered) and events[0].by == "olga"
    assert run_status(story.state, story.run()) is RunStatus.accepted


def test_refused_it_goes_back_to_its_worker_while_it_has_turns() -> None:
    story, run = asked(turns_max=2)
    story.do(cmd.AnswerQuestion(run.question, "refuse", "olga"))
    assert run_status(story.state, story.run()) is RunStatus.starting
    verdict = story.run().verdict
    assert verdict is not None and verdict.kind is VerdictKind.rejected and verdict.reasons[-1] == "olga refuses it"


def test_refused_with_no_turn_left_it_ends() -> None:
    story, run = asked(turns_max=1)
    events = story.do(cmd.AnswerQuestion(run.question, "refuse", "olga"))
    assert isinstance(events[-1], ev.StopRequested) and events[-1].end is EndKind.rejected


def test_any_other_answer_is_none() -> None:
    story, run = asked()
    code, reason = story.why_not(cmd.AnswerQuestion(run.question, "maybe", "olga"))
    assert (code, reason) == ("invalid", "'maybe' is no answer to q1")


def test_evidence_on_another_base_is_refused() -> None:
    story = Story(spec())
    run = story.reported()
    wrong = cmd.RecordEvidence(run.id, run.lease.token, 1, replace(evidence(), base=CANDIDATE))
    assert story.why_not(wrong) == (
        "conflict",
        f"the base of login.1 is {BASE[:12]}, the evidence is on {CANDIDATE[:12]}",
    )
