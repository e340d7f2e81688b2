"""What each report and observation changes in the life of a run, with the exact reason of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, QuestionId, RunId, Token
from ganger.core.lifecycle import ItemStatus, RunStatus, cooldown_ms, item_status, run_status
from ganger.core.model import (
    PLANNER,
    CheckState,
    EndKind,
    Hold,
    Outcome,
    Refusal,
    RefusalCode,
    Report,
    ReportKind,
    Todo,
    WorkerId,
)
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, NOW_MS, TIP, Story, add_plan, evidence, result, spec

RUN = RunId("login.1")
SPOKEN = ("conflict", "login.1 has already made its report for this turn")


def done(story: Story, summary: str = "") -> cmd.ReportDone:
    return cmd.ReportDone(RUN, story.token(), Outcome.completed, summary)


def ask(story: Story, text: str = "which?", **fields: Any) -> cmd.AskQuestion:
    return cmd.AskQuestion(RUN, story.token(), text, **fields)


def exit_(story: Story, code: int | None = 0, turn: int = 1, **fields: Any) -> cmd.RecordExit:
    return cmd.RecordExit(RUN, story.token(), turn, code, **fields)


def start(story: Story, turn: int = 1, pid: int = 101) -> cmd.RecordStart:
    return cmd.RecordStart(RUN, story.token(), turn, WorkerId(pid, NOW_MS))


def kinds(events: tuple[ev.Event, ...]) -> list[str]:
    return [type(event).__name__ for event in events]


# ── tokens ──

BY_TOKEN: list[Callable[[Token], cmd.Command]] = [
    lambda token: cmd.RecordStart(RUN, token, 1, WorkerId(1, 1)),
    lambda token: cmd.RecordExit(RUN, token, 1, 0),
    lambda token: cmd.ReportDone(RUN, token),
    lambda token: cmd.ReportFail(RUN, token, "no"),
    lambda token: cmd.AskQuestion(RUN, token, "which?"),
    lambda token: cmd.AddNote(RUN, token, "note"),
    lambda token: cmd.SetTodos(RUN, token, ()),
    lambda token: cmd.RecordEvidence(RUN, token, 1, evidence()),
    lambda token: cmd.RecordEnd(RUN, token, EndKind.failed, "over"),
]


@pytest.mark.parametrize("command", BY_TOKEN)
@pytest.mark.parametrize("off", [-1, 1])
def test_another_token_is_stale(command: Callable[[Token], cmd.Command], off: int) -> None:
    story = Story(spec())
    story.started()
    token = Token(story.token() + off)
    assert story.why_not(command(token)) == ("stale_token", f"token {token} is not that of login.1")


@pytest.mark.parametrize("command", BY_TOKEN)
def test_a_run_that_is_over_is_not_heard(command: Callable[[Token], cmd.Command]) -> None:
    story = Story(spec())
    story.ended()
    assert story.why_not(command(Token(3))) == ("stale_token", "run login.1 is not live: it ended, or never was")


# ── start and exit ──


def test_a_start_is_recorded_once() -> None:
    story = Story(spec())
    story.granted()
    assert kinds(story.do(start(story))) == ["WorkerStarted"]
    assert story.do(start(story)) == ()


STARTS = [(2, "login.1 is not due for turn 2"), (0, "login.1 is not due for turn 0")]


@pytest.mark.parametrize(("turn", "reason"), STARTS)
def test_a_turn_that_is_not_due(turn: int, reason: str) -> None:
    story = Story(spec())
    story.granted()
    assert story.why_not(start(story, turn)) == ("wrong_state", reason)


def test_a_second_worker_is_refused_while_the_first_lives() -> None:
    story = Story(spec())
    story.started()
    assert story.why_not(start(story, 1, pid=7)) == ("wrong_state", "login.1 is not due for turn 1")
    assert story.why_not(start(story, 2, pid=7)) == ("wrong_state", "login.1 is not due for turn 2")


def test_a_worker_of_a_run_that_was_stopped_meanwhile_is_known() -> None:
    story = Story(spec())
    story.granted()
    story.do(cmd.StopRun(RUN, EndKind.stopped, "no"))
    story.do(start(story))
    assert story.run().has_worker
    assert story.why_not(cmd.RecordEnd(RUN, story.token(), EndKind.stopped, "no")) == (
        "wrong_state",
        "the worker of login.1 is not known to be gone",
    )


EXITS: list[tuple[int | None, dict[str, Any], str]] = [
    (3, {}, "the worker exited with status 3"),
    (None, {"signal": 9}, "the worker was killed by signal 9"),
]


@pytest.mark.parametrize(("code", "fields", "reason"), EXITS)
def test_a_bad_end_without_a_report_ends_the_run(code: int | None, fields: dict[str, Any], reason: str) -> None:
    story = Story(spec())
    story.started()
    events = story.do(exit_(story, code, **fields))
    assert events[1:] == (ev.StopRequested(RUN, EndKind.failed, reason),)


def test_an_end_that_nobody_saw_says_nothing_yet() -> None:
    story = Story(spec())
    story.started()
    assert kinds(story.do(exit_(story, None, lost=True))) == ["WorkerExited"]
    assert story.run().lost and run_status(story.state, story.run()) is RunStatus.recovering


def test_a_good_end_without_a_report_is_a_report() -> None:
    story = Story(spec())
    story.started()
    events = story.do(exit_(story))
    assert kinds(events) == ["WorkerExited", "RunReported"]
    assert story.run().report == Report(ReportKind.done, source="exit")


@pytest.mark.parametrize("code", [0, 3, None])
def test_after_a_report_the_end_of_the_process_says_nothing(code: int | None) -> None:
    story = Story(spec())
    story.started()
    story.do(done(story))
    assert kinds(story.do(exit_(story, code))) == ["WorkerExited"]


def test_an_end_is_recorded_once_and_only_of_this_turn() -> None:
    story = Story(spec())
    story.started()
    assert story.do(exit_(story, turn=2)) == ()
    story.do(exit_(story))
    assert story.do(exit_(story)) == ()


# ── reports ──


def test_the_same_word_twice_is_recorded_once() -> None:
    story = Story(spec())
    story.started()
    assert kinds(story.do(done(story))) == ["RunReported"]
    assert story.do(done(story)) == ()
    assert story.why_not(done(story, "something else")) == SPOKEN
    assert story.why_not(cmd.ReportFail(RUN, story.token(), "no")) == SPOKEN
    assert story.why_not(ask(story)) == SPOKEN


def test_after_its_end_a_process_has_nothing_to_say() -> None:
    story = Story(spec())
    story.started()
    story.do(ask(story))
    story.do(exit_(story))
    assert story.why_not(done(story)) == ("wrong_state", "login.1 waits for the answer to q1")


def test_a_run_that_is_being_stopped_is_not_heard() -> None:
    story = Story(spec())
    story.started()
    story.do(cmd.StopRun(RUN, EndKind.stopped, "no"))
    assert story.why_not(done(story)) == SPOKEN


def test_giving_up_ends_the_run() -> None:
    story = Story(spec())
    story.started()
    events = story.do(cmd.ReportFail(RUN, story.token(), "too hard"))
    assert events[1:] == (ev.StopRequested(RUN, EndKind.failed, "the worker gave up: too hard"),)


def test_giving_up_without_a_reason_says_so() -> None:
    story = Story(spec())
    story.started()
    events = story.do(cmd.ReportFail(RUN, story.token(), " "))
    assert events[1:] == (ev.StopRequested(RUN, EndKind.failed, "the worker gave up without a reason"),)


LONG = [
    (lambda s: done(s, "x" * 20_001), "the summary has 20001 characters, the most is 20000"),
    (lambda s: ask(s, "x" * 4_001), "the question has 4001 characters, the most is 4000"),
    (lambda s: ask(s, "  "), "the question is empty"),
    (lambda s: cmd.AddNote(RUN, s.token(), " "), "the note is empty"),
    (lambda s: cmd.AddNote(RUN, s.token(), "x" * 4_001), "the note has 4001 characters, the most is 4000"),
    (lambda s: ask(s, options=tuple("abcde")), "a question has at most 4 options, each different and none empty"),
    (lambda s: ask(s, options=("a", "a")), "a question has at most 4 options, each different and none empty"),
    (lambda s: ask(s, options=("a", "a ")), "a question has at most 4 options, each different and none empty"),
    (lambda s: ask(s, options=("", "a")), "a question has at most 4 options, each different and none empty"),
    (lambda s: ask(s, options=("a",), recommend="b"), "the recommendation 'b' is not one of the options"),
    (
        lambda s: cmd.SetTodos(RUN, s.token(), (Todo("a", "soon"),)),
        "the state of a todo is pending, in_progress or completed",
    ),
]


@pytest.mark.parametrize(("command", "reason"), LONG)
def test_what_makes_no_sense_is_refused(command: Callable[[Story], cmd.Command], reason: str) -> None:
    story = Story(spec())
    story.started()
    assert story.why_not(command(story)) == ("invalid", reason)


def test_a_board_has_twelve_lines() -> None:
    story = Story(spec())
    story.started()
    (event,) = story.do(cmd.SetTodos(RUN, story.token(), (Todo("a", "pending"),) * 20))
    assert isinstance(event, ev.TodosSet) and len(event.todos) == 12


# ── what a worker says before it is recorded that it runs ──


def test_a_report_before_the_start_is_recorded_stays() -> None:
    story = Story(spec())
    story.granted()
    (event,) = story.do(done(story, "early"))
    assert isinstance(event, ev.RunReported) and event.turn == 1
    story.do(start(story))
    report = story.run().report
    assert report is not None and report.summary == "early" and story.run().reported_ms
    assert kinds(story.do(exit_(story, 3))) == ["WorkerExited"]
    assert run_status(story.state, story.run()) is RunStatus.reported


def test_an_early_report_of_the_second_turn_is_not_taken_for_that_of_the_first() -> None:
    story = Story(spec())
    run = story.reported()
    story.do(cmd.RecordEvidence(RUN, run.lease.token, 1, evidence(changed=("x",))))
    (event,) = story.do(done(story))
    assert isinstance(event, ev.RunReported) and event.turn == 2
    assert story.do(done(story)) == ()
    story.do(start(story, 2, pid=7))
    assert story.run().report is not None


def test_an_early_question_stays() -> None:
    story = Story(spec())
    story.granted()
    story.do(ask(story))
    story.do(start(story))
    assert story.run().question == "q1" and not story.run().turn_due
    assert kinds(story.do(exit_(story))) == ["WorkerExited"]


def test_an_early_question_that_was_answered_already_gives_the_next_turn() -> None:
    story = Story(spec())
    story.granted()
    story.do(ask(story))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "this", "olga"))
    story.do(start(story))
    assert story.run().turn_due
    assert kinds(story.do(exit_(story))) == ["WorkerExited"]
    story.do(start(story, 2, pid=7))
    assert not story.run().turn_due


# ── questions ──


def test_a_question_ends_the_turn_and_the_answer_begins_the_next() -> None:
    story = Story(spec())
    story.started()
    (event,) = story.do(ask(story, options=("a", "b"), recommend="a", risk="none"))
    assert isinstance(event, ev.QuestionAsked)
    assert (event.question.id, event.question.item, event.question.asked_ms) == ("q1", "login", NOW_MS)
    assert run_status(story.state, story.run()) is RunStatus.asking
    assert story.do(ask(story, options=("a", "b"))) == ()
    story.do(exit_(story))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "anything a person says", "olga"))
    assert run_status(story.state, story.run()) is RunStatus.starting


def test_a_worker_that_lingers_after_its_answer_is_not_heard_in_the_old_turn() -> None:
    story = Story(spec())
    story.started()
    story.do(ask(story))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "this", "olga"))
    assert story.why_not(done(story)) == SPOKEN
    assert story.why_not(ask(story, "and then?")) == SPOKEN


ANSWERS = [
    (cmd.AnswerQuestion(QuestionId("q7"), "x", "olga"), ("unknown_ref", "there is no open question q7")),
    (cmd.AnswerQuestion(QuestionId("q1"), " ", "olga"), ("invalid", "the answer to q1 is empty")),
    (
        cmd.AnswerQuestion(QuestionId("q1"), "x" * 20_001, "olga"),
        ("invalid", "the answer to q1 has 20001 characters, the most is 20000"),
    ),
]


@pytest.mark.parametrize(("command", "refusal"), ANSWERS)
def test_answers_that_are_none(command: cmd.Command, refusal: tuple[str, str]) -> None:
    story = Story(spec())
    story.started()
    story.do(ask(story))
    assert story.why_not(command) == refusal


def test_an_answer_is_given_once() -> None:
    story = Story(spec())
    story.started()
    story.do(ask(story))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "x", "olga"))
    assert story.why_not(cmd.AnswerQuestion(QuestionId("q1"), "y", "olga"))[0] == "unknown_ref"


# ── evidence ──


def test_evidence_is_taken_once_and_of_this_turn() -> None:
    story = Story(spec())
    run = story.reported()
    token = run.lease.token
    refusal = ("wrong_state", "login.1 is not waiting for evidence on turn 2")
    assert story.why_not(cmd.RecordEvidence(RUN, token, 2, evidence())) == refusal
    assert kinds(story.do(cmd.RecordEvidence(RUN, token, 1, evidence()))) == ["EvidenceRecorded", "VerdictGiven"]
    assert story.why_not(cmd.RecordEvidence(RUN, token, 1, evidence()))[0] == "wrong_state"


def test_no_evidence_while_the_worker_lives() -> None:
    story = Story(spec())
    story.started()
    story.do(done(story))
    assert story.why_not(cmd.RecordEvidence(RUN, story.token(), 1, evidence())) == (
        "wrong_state",
        "login.1 has not ended its turn",
    )


def test_a_rejection_goes_back_to_the_worker_until_its_turns_are_used_up() -> None:
    story = Story(spec(), policy=Policy(turns_max=2))
    bad = evidence(checks=(result(CheckState.failed),))
    story.reported()
    story.do(cmd.RecordEvidence(RUN, story.token(), 1, bad))
    assert run_status(story.state, story.run()) is RunStatus.starting
    story.reported(turn=2)
    events = story.do(cmd.RecordEvidence(RUN, story.token(), 2, bad))
    assert events[2:] == (ev.StopRequested(RUN, EndKind.rejected, "check unit failed with exit status 1"),)


# ── ends ──


def test_the_first_reason_to_stop_stands() -> None:
    story = Story(spec())
    story.started()
    story.do(cmd.StopRun(RUN, EndKind.stalled, "silent"))
    assert story.do(cmd.StopRun(RUN, EndKind.stopped, "no")) == ()
    stop = story.run().stop
    assert stop is not None and stop.end is EndKind.stalled


def test_stopping_takes_the_question_back() -> None:
    story = Story(spec())
    story.started()
    story.do(ask(story))
    events = story.do(cmd.StopRun(RUN, EndKind.stopped, "no"))
    assert events[1:] == (ev.QuestionWithdrawn(QuestionId("q1"), "login.1 was stopped"),)
    assert story.state.questions == {}


STOPS = [("login.7", "run login.7 has ended"), ("other.1", "run other.1 is not known")]


@pytest.mark.parametrize(("run", "reason"), STOPS)
def test_stopping_what_does_not_live(run: str, reason: str) -> None:
    assert Story(spec()).why_not(cmd.StopRun(RunId(run), EndKind.stopped, "no")) == ("unknown_ref", reason)


def test_a_run_that_is_being_landed_is_neither_stopped_nor_ended() -> None:
    story = Story(spec())
    story.landing()
    refusal = ("wrong_state", "login.1 is being landed")
    assert story.why_not(cmd.StopRun(RUN, EndKind.stopped, "no")) == refusal
    assert story.why_not(cmd.RecordEnd(RUN, story.token(), EndKind.stopped, "no")) == refusal


ENDS = [
    (EndKind.failed, True, 30_000),
    (EndKind.stalled, True, 30_000),
    (EndKind.timed_out, True, 30_000),
    (EndKind.rejected, True, 30_000),
    (EndKind.superseded, True, 0),
    (EndKind.over_budget, True, 30_000),
    (EndKind.stopped, False, 0),
    (EndKind.interrupted, False, 0),
    (EndKind.limited, False, 0),
    (EndKind.expired, False, 0),
    (EndKind.finished, False, 0),
]


@pytest.mark.parametrize(("end", "counts", "cools_ms"), ENDS)
def test_what_an_end_costs(end: EndKind, counts: bool, cools_ms: int) -> None:
    story = Story(spec())
    story.granted()
    (event,) = story.do(cmd.RecordEnd(RUN, story.token(), end, "why", ("refs/x",)))
    cool_until_ms = NOW_MS + cools_ms if cools_ms else 0
    assert event == ev.RunEnded(RUN, end, "why", counts, cool_until_ms, ("refs/x",))
    item = story.state.items[ItemId("login")]
    assert (item.failures, item.stopped) == (int(counts), "why" if end is EndKind.stopped else "")


def test_a_stop_without_a_reason_holds_the_item_as_well() -> None:
    story = Story(spec())
    story.ended(end=EndKind.stopped, reason="")
    assert story.state.items[ItemId("login")].stopped == "no reason given"


def test_the_pause_doubles_up_to_its_most() -> None:
    policy = Policy(backoff_ms=1_000, backoff_max_ms=5_000)
    assert [cooldown_ms(failures, policy) for failures in (1, 2, 3, 4, 400)] == [1_000, 2_000, 4_000, 5_000, 5_000]


# ── retry ──


def landed(story: Story) -> None:
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))


RETRIES: list[tuple[str, Any, tuple[str, str]]] = [
    ("other", None, ("unknown_ref", "there is no item other")),
    ("login", landed, ("wrong_state", f"item login has landed as {TIP[:12]}")),
    ("login", Story.granted, ("wrong_state", "item login is being worked on by login.1")),
    (
        "login",
        lambda story: story.do(add_plan(spec("x"), digest="2")),
        ("wrong_state", "item login is in its plan no longer"),
    ),
]


@pytest.mark.parametrize(("item", "before", "refusal"), RETRIES)
def test_what_cannot_be_tried_again(item: str, before: Any, refusal: tuple[str, str]) -> None:
    story = Story(spec())
    if before is not None:
        before(story)
    assert story.why_not(cmd.RetryItem(ItemId(item))) == refusal


@pytest.mark.parametrize("end", [EndKind.failed, EndKind.stopped])
def test_a_retry_forgets_failures_and_holds_but_not_numbers(end: EndKind) -> None:
    story = Story(spec(attempts_max=1))
    story.ended(end=end)
    assert isinstance(story.decide(cmd.GrantRun(ItemId("login"), BASE)), Refusal)
    story.do(cmd.RetryItem(ItemId("login")))
    assert story.granted().id == "login.2"


def test_a_retry_lifts_a_hold() -> None:
    story = Story(spec(hold=Hold("draft")))
    story.do(cmd.RetryItem(ItemId("login")))
    assert story.granted().id == "login.1"


# ── statuses ──

RUN_STATUSES: list[tuple[str, Callable[[Story], Any], RunStatus]] = [
    ("granted", Story.granted, RunStatus.starting),
    ("started", Story.started, RunStatus.working),
    ("reported", Story.reported, RunStatus.reported),
    ("accepted", Story.accepted, RunStatus.accepted),
    ("landing", Story.landing, RunStatus.landing),
    ("stopping", lambda s: (s.started(), s.do(cmd.StopRun(RUN, EndKind.stopped, "no"))), RunStatus.ending),
]


@pytest.mark.parametrize(("how", "status"), [row[1:] for row in RUN_STATUSES], ids=[row[0] for row in RUN_STATUSES])
def test_run_status(how: Callable[[Story], Any], status: RunStatus) -> None:
    story = Story(spec())
    how(story)
    assert run_status(story.state, story.run()) is status


ITEM_STATUSES: list[tuple[str, dict[str, Any], Any, ItemStatus]] = [
    ("ready", {}, None, ItemStatus.ready),
    ("waiting", {"after": ("x",)}, None, ItemStatus.waiting),
    ("held", {"hold": Hold("draft")}, None, ItemStatus.held),
    ("held until", {"hold": Hold("until", NOW_MS + 1)}, None, ItemStatus.held),
    ("held no longer", {"hold": Hold("until", NOW_MS)}, None, ItemStatus.ready),
    ("running", {}, Story.granted, ItemStatus.running),
    ("cooling", {}, Story.ended, ItemStatus.cooling),
    ("given up", {"attempts_max": 1}, Story.ended, ItemStatus.given_up),
    ("stopped", {}, lambda s: s.ended(end=EndKind.stopped), ItemStatus.held),
    ("landed", {}, landed, ItemStatus.landed),
    ("withdrawn", {}, lambda s: s.do(add_plan(spec("y"), digest="2")), ItemStatus.withdrawn),
]


@pytest.mark.parametrize(
    ("fields", "before", "status"), [row[1:] for row in ITEM_STATUSES], ids=[row[0] for row in ITEM_STATUSES]
)
def test_item_status(fields: dict[str, Any], before: Any, status: ItemStatus) -> None:
    story = Story(spec("x", hold=Hold("draft")), spec(**fields))
    if before is not None:
        before(story)
    assert item_status(story.state, story.state.items[ItemId("login")], story.now_ms) is status


def test_what_is_finished_is_done_again_when_a_person_says_so() -> None:
    story = Story(spec(kind=PLANNER))
    story.ended(end=EndKind.finished)
    assert story.state.ready == []
    assert kinds(story.do(cmd.RetryItem(ItemId("login")))) == ["ItemRetried"]
    assert story.granted().id == "login.2"


def test_a_retry_forgets_what_the_item_waited_for() -> None:
    story = Story(spec())
    story.do(cmd.RecordWait(ItemId("login"), RefusalCode.predicate, "no", "freeze", NOW_MS + 5))
    story.do(cmd.RetryItem(ItemId("login")))
    item = story.state.items[ItemId("login")]
    assert (item.waiting, item.again_ms) == (None, 0)
