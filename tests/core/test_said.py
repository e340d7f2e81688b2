"""What a worker says, by the acceptance of each word: the board, questions and their answers, one report a turn."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Observed, StartWorker
from ganger.core.ids import QuestionId, RunId
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent, waits_for_person
from ganger.core.model import EndKind, Outcome, Report, Todo
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, Story, evidence, spec

RUN = RunId("login.1")
FIRST, SECOND = QuestionId("q1"), QuestionId("q2")


def begun(*names: str) -> Story:
    story = Story(*(spec(name, scope=(f"{name}/**",)) for name in names or ("login",)))
    for name in names or ("login",):
        story.started(name)
    return story


def ask(story: Story, text: str, run: str = "login") -> tuple[ev.Event, ...]:
    return story.do(cmd.AskQuestion(RunId(f"{run}.1"), story.token(run), text))


def answer(story: Story, question: QuestionId, choice: str = "this") -> None:
    story.do(cmd.AnswerQuestion(question, choice, "person:olga"))


def starts(story: Story) -> list[RunId]:
    found = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent())
    return [effect.run for effect in found if isinstance(effect, StartWorker)]


# ── WP1: the board ──


def test_fifteen_lines_are_twelve() -> None:
    story = begun()
    (board,) = story.do(cmd.SetTodos(RUN, story.token(), tuple(Todo(f"{n}", "pending") for n in range(15))))
    assert isinstance(board, ev.TodosSet) and [todo.text for todo in board.todos] == [f"{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("pending", "pending"),
        ("todo", "pending"),
        ("In Progress", "in_progress"),
        ("in-progress", "in_progress"),
        ("doing", "in_progress"),
        ("done", "completed"),
        ("DONE", "completed"),
        ("finished", "completed"),
        ("soon", None),
        ("done?", None),
    ],
)
def test_other_agents_words_for_the_state_of_a_todo(said: str, kept: str | None) -> None:
    story = begun()
    command = cmd.SetTodos(RUN, story.token(), (Todo("a", said),))
    if kept is None:
        assert story.why_not(command) == ("invalid", "the state of a todo is pending, in_progress or completed")
    else:
        assert story.do(command) == (ev.TodosSet(RUN, (Todo("a", kept),)),)


# ── WP2: questions ──


def test_two_questions_open_and_one_answered_still_waits() -> None:
    story = begun()
    ask(story, "which?")
    assert ask(story, "and how?") and ask(story, "which?") == (), "the same question is asked once"
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert story.run().questions == (FIRST, SECOND)
    answer(story, FIRST)
    assert story.run().questions == (SECOND,)
    assert run_status(story.state, story.run()) is RunStatus.asking
    assert waits_for_person(story.state, RUN) and starts(story) == []
    assert story.why_not(cmd.AnswerQuestion(FIRST, "that", "person:olga"))[0] == "unknown_ref", "it binds to its id"
    answer(story, SECOND)
    assert run_status(story.state, story.run()) is RunStatus.starting and starts(story) == [RUN]


def test_answered_the_other_way_round_it_waits_as_well() -> None:
    story = begun()
    ask(story, "which?")
    ask(story, "and how?")
    answer(story, SECOND)
    assert story.run().questions == (FIRST,) and not story.run().turn_due
    answer(story, FIRST)
    assert story.run().turn_due


def test_the_answer_to_another_run_is_not_its_own() -> None:
    story = begun("login", "logout")
    ask(story, "which?", "login")
    ask(story, "which?", "logout")
    answer(story, SECOND)
    assert run_status(story.state, story.run("login")) is RunStatus.asking
    assert story.run("logout").turn_due


def test_a_turn_leaves_four_questions_at_most() -> None:
    story = begun()
    for text in "abcd":
        ask(story, text)
    refused = story.why_not(cmd.AskQuestion(RUN, story.token(), "e"))
    assert refused == ("conflict", "login.1 already waits for q1, q2, q3, q4")


def test_nothing_is_asked_by_a_turn_that_has_ended_or_was_answered() -> None:
    story = begun()
    ask(story, "which?")
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert story.why_not(cmd.AskQuestion(RUN, story.token(), "e")) == ("conflict", "login.1 already waits for q1")
    other = begun()
    ask(other, "which?")
    answer(other, FIRST)
    assert other.why_not(cmd.AskQuestion(RUN, other.token(), "e"))[1].startswith("login.1 has already made")


@pytest.mark.parametrize("how", ["stop", "rewind", "end"])
def test_whatever_ends_the_waiting_closes_all_questions(how: str) -> None:
    story = begun()
    ask(story, "which?")
    ask(story, "and how?")
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    command: dict[str, Any] = {
        "stop": cmd.StopRun(RUN, EndKind.stopped, "no"),
        "rewind": cmd.RewindRun(RUN, BASE, "", "olga"),
        "end": cmd.RecordEnd(RUN, story.token(), EndKind.failed, "it is over"),
    }
    events = story.do(command[how])
    assert story.state.questions == {}
    withdrawn = [event.question for event in events if isinstance(event, ev.QuestionWithdrawn)]
    assert withdrawn == ([] if how == "end" else [FIRST, SECOND]), "the end of a run closes what it asked by itself"
    if how != "end":
        assert story.run().questions == ()


# ── WP4, WP6: one report a turn ──


def said(story: Story, what: str, *, token: int = 0, run: str = RUN) -> cmd.Command:
    mine = (RunId(run), story.token() if not token else type(story.token())(token))
    return {
        "done": cmd.ReportDone(*mine, summary="it is done", evidence=("a.py:3",), scope_confidence="unclear"),
        "nothing": cmd.ReportDone(*mine, outcome=Outcome.no_evidence),
        "fail": cmd.ReportFail(*mine, "too hard"),
        "ask": cmd.AskQuestion(*mine, "which?"),
    }[what]


@pytest.mark.parametrize("what", ["done", "nothing", "fail", "ask"])
def test_the_same_word_again_changes_nothing(what: str) -> None:
    story = begun()
    assert story.do(said(story, what))
    seq = story.state.seq
    for _ in range(3):
        assert story.do(said(story, what)) == () if what != "fail" else story.decide(said(story, what)) == ()
    assert story.state.seq == seq


@pytest.mark.parametrize(
    ("what", "status", "report"),
    [
        ("done", RunStatus.reported, (Outcome.completed, "it is done")),
        ("nothing", RunStatus.reported, (Outcome.no_evidence, "")),
        ("fail", RunStatus.ending, (Outcome.completed, "too hard")),
        ("ask", RunStatus.asking, None),
    ],
)
def test_each_word_leaves_a_state_of_its_own(what: str, status: RunStatus, report: Any) -> None:
    story = begun()
    story.do(said(story, what))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    run = story.run()
    assert run_status(story.state, run) is status
    assert (run.report and (run.report.outcome, run.report.summary)) == report
    assert (run.stop.reason if run.stop else "") == ("the worker gave up: too hard" if what == "fail" else "")


def test_a_report_holds_all_that_was_said() -> None:
    story = begun()
    story.do(said(story, "done"))
    told = story.run().report
    assert isinstance(told, Report) and (told.evidence, told.scope_confidence) == (("a.py:3",), "unclear")


@pytest.mark.parametrize("what", ["done", "fail", "ask"])
@pytest.mark.parametrize(("token", "run"), [(999, RUN), (0, "login.2"), (0, "other.1")])
def test_another_token_or_run_is_not_heard(what: str, token: int, run: str) -> None:
    story = begun()
    assert story.why_not(said(story, what, token=token, run=run))[0] == "stale_token"


def test_a_report_of_the_next_turn_is_another_one() -> None:
    story = begun()
    story.do(said(story, "done"))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    story.do(cmd.RecordEvidence(RUN, story.token(), 1, evidence(descends=False)))
    story.started(turn=2)
    assert story.do(said(story, "done")), "the same words, of another turn"
