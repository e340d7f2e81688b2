"""The life of a run and of an item: derived statuses, and what each report or observation changes.

A run is born by a grant, has one or more turns (one worker process each), and ends landed or otherwise. Ended is not
finished, finished not accepted, accepted not landed: each is a fact of its own.
"""

from __future__ import annotations

from enum import StrEnum

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import QuestionId, RunId, Token, item_of, question_id
from ganger.core.model import EndKind, Question, QuestionKind, Refusal, RefusalCode, Report, ReportKind, VerdictKind
from ganger.core.policy import Policy
from ganger.core.state import Item, Run, State

Decided = tuple[ev.Event, ...] | Refusal
NOT_COUNTED = {EndKind.stopped, EndKind.interrupted}


class RunStatus(StrEnum):
    """Where a live run is."""

    starting = "starting"
    """Its worker is about to be started."""
    working = "working"
    """Its worker lives and has not reported."""
    asking = "asking"
    """It waits for an answer."""
    reported = "reported"
    """Its worker reported or ended, and nothing is looked at yet."""
    rejected = "rejected"
    """Its candidate was refused and it is about to end."""
    accepted = "accepted"
    """Its candidate waits for the train."""
    landing = "landing"
    """Its candidate is in the landing under way."""
    ending = "ending"
    """It is being stopped."""


class ItemStatus(StrEnum):
    """Where an item is; a live run's status is shown instead while there is one."""

    waiting = "waiting"
    """Something must land before."""
    ready = "ready"
    """It can be offered."""
    held = "held"
    """Its plan or a person holds it."""
    cooling = "cooling"
    """It failed a short while ago."""
    running = "running"
    """It has a live run."""
    landed = "landed"
    """It is on the target."""
    given_up = "given_up"
    """Its attempts are used up."""
    withdrawn = "withdrawn"
    """Its plan has it no longer."""


def run_status(state: State, run: Run) -> RunStatus:
    """Derive where a live run is."""
    if run.stop is not None:
        return RunStatus.ending
    if state.landing is not None and run.id in state.landing.runs:
        return RunStatus.landing
    if run.question:
        return RunStatus.asking
    if run.turn_due:
        return RunStatus.starting
    if run.accepted_seq:
        return RunStatus.accepted
    if run.verdict is not None and run.verdict.kind is VerdictKind.rejected:
        return RunStatus.rejected
    if run.report is not None or run.exited_ms:
        return RunStatus.reported
    return RunStatus.working


def item_status(state: State, item: Item, now_ms: int) -> ItemStatus:
    """Derive where an item is at `now_ms`."""
    if item.landed:
        return ItemStatus.landed
    if item.run:
        return ItemStatus.running
    if item.withdrawn:
        return ItemStatus.withdrawn
    if item.given_up:
        return ItemStatus.given_up
    if item.stopped or (item.hold is not None and (item.hold.reason != "until" or now_ms < item.hold.until_ms)):
        return ItemStatus.held
    if state.unmet(item.spec):
        return ItemStatus.waiting
    return ItemStatus.cooling if now_ms < item.cool_until_ms else ItemStatus.ready


def find_run(state: State, run_id: RunId, token: Token) -> Run | Refusal:
    """The live run with this token, or why there is none."""
    run = state.runs.get(run_id)
    if run is None:
        return Refusal(
            RefusalCode.stale_token, f"run {run_id} is not live: it ended, or never was", "stop working on it"
        )
    if run.lease.token != token:
        return Refusal(RefusalCode.stale_token, f"token {token} is not that of {run_id}", "stop working on it")
    return run


def decide_start(state: State, command: cmd.RecordStart) -> Decided:
    """Take note of a worker that was started; the same worker twice changes nothing.

    A worker whose run was stopped meanwhile is noted as well, so that it is stopped like any other.
    """
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.worker == command.worker and run.turn == command.turn:
        return ()
    if run.has_worker or command.turn != run.turn + 1 or not (run.turn_due or run.stop is not None):
        return Refusal(RefusalCode.wrong_state, f"{run.id} is not due for turn {command.turn}")
    return (ev.WorkerStarted(run.id, command.turn, command.worker),)


def decide_exit(state: State, command: cmd.RecordExit) -> Decided:
    """Take note of a worker that is gone, and conclude what it did not say itself."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if command.turn != run.turn or run.exited_ms or run.worker is None:
        return ()
    exited = ev.WorkerExited(run.id, run.turn, command.code, command.signal, command.lost, command.cpu_ms)
    if run.stop is not None or run.question or run.report is not None or run.turn_due:
        return (exited,)
    if command.code == 0:
        report = Report(ReportKind.done, summary="", source="exit")
        return (exited, ev.RunReported(run.id, run.turn, report))
    return (exited, ev.StopRequested(run.id, EndKind.failed, exit_text(command)))


def exit_text(command: cmd.RecordExit) -> str:
    """Say how a worker ended that did not end well."""
    if command.lost:
        return "the worker vanished: whoever watched it was killed as well"
    if command.signal is not None:
        return f"the worker was killed by signal {command.signal}"
    return f"the worker exited with status {command.code}"


def decide_done(state: State, command: cmd.ReportDone) -> Decided:
    """Take a worker's word that it is done; the same word twice is acknowledged twice and recorded once."""
    report = Report(
        kind=ReportKind.done,
        outcome=command.outcome,
        summary=command.summary,
        evidence=command.evidence,
        recommended=command.recommended,
        scope_confidence=command.scope_confidence,
    )
    return _report(state, command.run, command.token, report)


def decide_fail(state: State, command: cmd.ReportFail) -> Decided:
    """Take a worker's word that it gives up."""
    said = _report(state, command.run, command.token, Report(ReportKind.fail, summary=command.reason))
    if isinstance(said, Refusal) or not said:
        return said
    return (*said, ev.StopRequested(command.run, EndKind.failed, f"the worker gave up: {command.reason}"))


def _report(state: State, run_id: RunId, token: Token, report: Report) -> Decided:
    run = find_run(state, run_id, token)
    if isinstance(run, Refusal):
        return run
    if len(report.summary) > cmd.SUMMARY_CHARS_MAX:
        return _too_long("summary", len(report.summary), cmd.SUMMARY_CHARS_MAX)
    if run.report == report:
        return ()
    if run.question:
        return Refusal(RefusalCode.wrong_state, f"{run.id} waits for the answer to {run.question}", "end the turn")
    if _has_spoken(run):
        return Refusal(RefusalCode.conflict, f"{run.id} has already made its report for this turn", "end the turn")
    return (ev.RunReported(run.id, run.turn_speaking, report),)


def _has_spoken(run: Run) -> bool:
    """Whether the turn whose worker may speak is over: it reported, was answered, has ended, or is to be stopped."""
    if run.report is not None or run.stop is not None:
        return True
    return (run.asked_turn == run.turn_speaking and not run.question) or (bool(run.exited_ms) and not run.turn_due)


def _too_long(what: str, length: int, most: int) -> Refusal:
    return Refusal(RefusalCode.invalid, f"the {what} has {length} characters, the most is {most}", "say less")


def decide_ask(state: State, command: cmd.AskQuestion, now_ms: int) -> Decided:
    """Take a worker's question; its turn is over until it is answered."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if not command.text.strip() or len(command.text) > cmd.NOTE_CHARS_MAX:
        return _too_long("question", len(command.text), cmd.NOTE_CHARS_MAX)
    if len(command.options) > 4 or len(set(command.options)) != len(command.options):
        return Refusal(RefusalCode.invalid, "a question has at most 4 options, each different")
    if command.recommend and command.recommend not in command.options:
        return Refusal(RefusalCode.invalid, f"the recommendation {command.recommend!r} is not one of the options")
    if run.question:
        same = state.questions[run.question].text == command.text
        return (
            () if same else Refusal(RefusalCode.conflict, f"{run.id} already waits for {run.question}", "end the turn")
        )
    if _has_spoken(run):
        return Refusal(RefusalCode.conflict, f"{run.id} has already made its report for this turn", "end the turn")
    question = Question(
        id=question_id(state.questions_asked + 1),
        kind=QuestionKind.worker,
        text=command.text,
        options=command.options,
        recommend=command.recommend,
        risk=command.risk,
        run=run.id,
        item=run.item,
        asked_ms=now_ms,
    )
    return (ev.QuestionAsked(question),)


def decide_note(state: State, command: cmd.AddNote) -> Decided:
    """Keep what a worker wants to be shown."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if len(command.text) > cmd.NOTE_CHARS_MAX:
        return _too_long("note", len(command.text), cmd.NOTE_CHARS_MAX)
    return (ev.NoteAdded(run.id, command.text),)


def decide_todos(state: State, command: cmd.SetTodos) -> Decided:
    """Keep a worker's board: the first twelve lines of it."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if any(todo.state not in ("pending", "in_progress", "completed") for todo in command.todos):
        return Refusal(RefusalCode.invalid, "the state of a todo is pending, in_progress or completed")
    return (ev.TodosSet(run.id, command.todos[: cmd.TODOS_MAX]),)


def decide_stop(state: State, command: cmd.StopRun) -> Decided:
    """Have a run end; the first reason given stands."""
    run = state.runs.get(command.run)
    if run is None:
        known = item_of(command.run) in state.items
        why = "has ended" if known else "is not known"
        return Refusal(RefusalCode.unknown_ref, f"run {command.run} {why}")
    if run.stop is not None:
        return ()
    if state.landing is not None and run.id in state.landing.runs:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is being landed", "ganger inbox")
    events: list[ev.Event] = [ev.StopRequested(run.id, command.end, command.reason)]
    if run.question:
        events.append(ev.QuestionWithdrawn(run.question, f"{run.id} was stopped"))
    return tuple(events)


def decide_end(state: State, command: cmd.RecordEnd, now_ms: int, policy: Policy) -> Decided:
    """End a run whose worker is gone and whose work is kept."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.has_worker:
        return Refusal(RefusalCode.wrong_state, f"the worker of {run.id} is not known to be gone")
    if state.landing is not None and run.id in state.landing.runs:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is being landed")
    counts = command.end not in NOT_COUNTED
    item = state.items.get(run.item)
    failures = (item.failures if item is not None else 0) + 1
    cools = counts and command.end is not EndKind.superseded
    cool_until_ms = now_ms + cooldown_ms(failures, policy) if cools else 0
    return (ev.RunEnded(run.id, command.end, command.reason, counts, cool_until_ms, command.kept),)


def cooldown_ms(failures: int, policy: Policy) -> int:
    """How long an item waits after its `failures`-th failed attempt (from 1); doubles, up to the policy's most."""
    return int(min(policy.backoff_ms * 2 ** (min(failures, 40) - 1), policy.backoff_max_ms))


def decide_retry(state: State, command: cmd.RetryItem) -> Decided:
    """Put an item back among those that are offered."""
    item = state.items.get(command.item)
    if item is None:
        return Refusal(RefusalCode.unknown_ref, f"there is no item {command.item}", "ganger plan board")
    if item.withdrawn:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} is in its plan no longer", "put it back there")
    if item.landed:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} has landed as {item.landed[:12]}")
    if item.run:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} is being worked on by {item.run}")
    return (ev.ItemRetried(command.item),)


def open_question(state: State, question: QuestionId) -> Question | Refusal:
    """The open question of that id, or why there is none."""
    found = state.questions.get(question)
    if found is not None:
        return found
    return Refusal(RefusalCode.unknown_ref, f"there is no open question {question}", "ganger inbox")
