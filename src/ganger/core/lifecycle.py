"""The life of a run and of an item: derived statuses, and what each report or observation changes.

A run is born by a grant, has one or more turns (one worker process each), and ends landed or otherwise. Ended is not
finished, finished not accepted, accepted not landed: each is a fact of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from typing import TypeVar

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import shown
from ganger.core.breaker import opened_by_end
from ganger.core.empty_turns import has_turn_left
from ganger.core.facts import Item, Run
from ganger.core.family import has_news, living, report_fault, writing
from ganger.core.ids import Commit, LeaseId, QuestionId, RunId, Token, is_question_id, item_of, question_id
from ganger.core.model import (
    SILENCE,
    EndKind,
    Evidence,
    Question,
    QuestionKind,
    Refusal,
    RefusalCode,
    Report,
    ReportKind,
    Rung,
    Todo,
    ToolUse,
    Verdict,
    VerdictKind,
)
from ganger.core.patterns import scope_matches
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.verdict import judge

Decided = tuple[ev.Event, ...] | Refusal
NOT_COUNTED = frozenset(
    {
        *(EndKind.stopped, EndKind.interrupted, EndKind.limited, EndKind.expired, EndKind.finished, EndKind.landed),
        *(EndKind.unfounded, EndKind.dismissed, EndKind.unsent),
    }
)
"""Ends that use up none of an item's attempts."""


class RunStatus(StrEnum):
    """Where a live run is."""

    starting = "starting"
    """Its worker is about to be started."""
    working = "working"
    """Its worker lives and has not reported."""
    asking = "asking"
    """It waits for an answer."""
    parked = "parked"
    """It waits for its children."""
    repeating = "repeating"
    """Its turn is about to be done over, now or when its provider lets it."""
    recovering = "recovering"
    """Its worker vanished, and what is left is being looked at."""
    rewinding = "rewinding"
    """Its workspace is being put back to a checkpoint."""
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
    awaiting_ci = "awaiting_ci"
    """It is on the target, and CI has not yet said something good of that."""
    landed = "landed"
    """It is on the target."""
    finished = "finished"
    """It was asked for no change, and has reported."""
    given_up = "given_up"
    """Its attempts are used up."""
    undone = "undone"
    """It had landed, and a person had that undone."""
    withdrawn = "withdrawn"
    """Its plan has it no longer."""


RUN_EDGES: dict[RunStatus, frozenset[RunStatus]] = {
    # Its worker runs; it may have reported or asked before its start could be recorded.
    RunStatus.starting: frozenset(
        {
            *(RunStatus.working, RunStatus.reported, RunStatus.asking, RunStatus.parked),
            *(RunStatus.rewinding, RunStatus.ending),
        }
    ),
    # It spoke, ended, fell silent, met with a limit, or vanished; a person may step in.
    RunStatus.working: frozenset(
        {
            *(RunStatus.reported, RunStatus.asking, RunStatus.repeating, RunStatus.recovering),
            *(RunStatus.starting, RunStatus.parked, RunStatus.rewinding, RunStatus.ending),
        }
    ),
    # Its children have ended, and its next turn is due.
    RunStatus.parked: frozenset({RunStatus.starting, RunStatus.rewinding, RunStatus.ending}),
    # The answer gives it its next turn, or says what becomes of its candidate.
    RunStatus.asking: frozenset({RunStatus.starting, RunStatus.reported, RunStatus.rewinding, RunStatus.ending}),
    # The next worker runs, or the one that was thought to hang has spoken after all, or the next one before its start
    # could be recorded.
    RunStatus.repeating: frozenset(
        {
            *(RunStatus.working, RunStatus.starting, RunStatus.reported, RunStatus.asking, RunStatus.parked),
            *(RunStatus.rewinding, RunStatus.ending),
        }
    ),
    # It goes on in its workspace, or what it left is judged.
    RunStatus.recovering: frozenset(
        {RunStatus.repeating, RunStatus.reported, RunStatus.rewinding, RunStatus.ending},
    ),
    # Its workspace holds the checkpoint.
    RunStatus.rewinding: frozenset({RunStatus.repeating, RunStatus.ending}),
    # The verdict: good, for a person to say, to be done again, or the last one; or a person says something to it; or
    # its worker ended without a word while its children live.
    RunStatus.reported: frozenset(
        {
            *(RunStatus.accepted, RunStatus.asking, RunStatus.starting, RunStatus.rejected),
            *(RunStatus.parked, RunStatus.repeating, RunStatus.rewinding, RunStatus.ending),
        }
    ),
    # Nothing is left but its end.
    RunStatus.rejected: frozenset({RunStatus.ending}),
    # The train passed with it, or it does not go together with the target.
    RunStatus.accepted: frozenset({RunStatus.landing, RunStatus.rewinding, RunStatus.ending}),
    # The target moved, or a person said no; otherwise it lands, and is no more.
    RunStatus.landing: frozenset({RunStatus.accepted}),
    # It ends, and is no more.
    RunStatus.ending: frozenset(),
}
"""Where a live run may get to from each status by one event, besides staying there. Only `landing` lands."""

_OPEN = frozenset({ItemStatus.waiting, ItemStatus.ready, ItemStatus.held, ItemStatus.cooling, ItemStatus.given_up})
ITEM_EDGES: dict[ItemStatus, frozenset[ItemStatus]] = {
    # What it waits for has landed; or its plan says something else of it.
    ItemStatus.waiting: _OPEN | {ItemStatus.withdrawn},
    # It is given to a run, or its plan says something else of it.
    ItemStatus.ready: _OPEN | {ItemStatus.running, ItemStatus.withdrawn},
    # A person or its plan lets it go; or a person forces a run.
    ItemStatus.held: _OPEN | {ItemStatus.running, ItemStatus.withdrawn},
    # Its time has come; or a person forces a run.
    ItemStatus.cooling: _OPEN | {ItemStatus.running, ItemStatus.withdrawn},
    # A person has it tried again or forces a run, or its plan allows more attempts.
    ItemStatus.given_up: _OPEN | {ItemStatus.running, ItemStatus.withdrawn},
    # Its run landed, reported what it was asked for, or ended; its plan may have dropped it meanwhile.
    ItemStatus.running: _OPEN | {ItemStatus.landed, ItemStatus.awaiting_ci, ItemStatus.finished, ItemStatus.withdrawn},
    # CI is green, or a person closed it all the same, or had it undone; or its plan drops it.
    ItemStatus.awaiting_ci: frozenset({ItemStatus.landed, ItemStatus.undone, ItemStatus.withdrawn}),
    # Its plan has it again; or it had been undone, and a person has that undone.
    ItemStatus.withdrawn: _OPEN | {ItemStatus.undone, ItemStatus.landed, ItemStatus.awaiting_ci},
    # For good, unless a person has it undone.
    ItemStatus.landed: frozenset({ItemStatus.undone, ItemStatus.withdrawn}),
    # A person has it done again, or its undoing undone; or its plan drops it.
    ItemStatus.undone: _OPEN | {ItemStatus.landed, ItemStatus.awaiting_ci, ItemStatus.withdrawn},
    # For good, unless a person has it done again.
    ItemStatus.finished: frozenset({ItemStatus.ready, ItemStatus.waiting}),
}
"""Where an item may get to from each status by one event, or by time alone, besides staying there."""

Status = TypeVar("Status", RunStatus, ItemStatus)


def edge_fault(before: Status, after: Status) -> str:
    """Say why a run or an item may not get from one status to the other by one event; empty when it may."""
    if isinstance(before, RunStatus) and isinstance(after, RunStatus):
        what, legal = "a run", after in RUN_EDGES[before]
    else:
        what, legal = "an item", after in ITEM_EDGES[ItemStatus(before)]
    return "" if legal or before == after else f"{what} that is {before} does not become {after}"


def run_status(state: State, run: Run) -> RunStatus:
    """Derive where a live run is."""
    if run.stop is not None:
        return RunStatus.ending
    if state.landing is not None and run.id in state.landing.runs:
        return RunStatus.landing
    if run.rewind:
        return RunStatus.rewinding
    if run.question:
        return RunStatus.asking
    if run.parked:
        return RunStatus.parked
    if run.repeat is not None:
        return RunStatus.repeating
    if run.turn_due:
        return RunStatus.starting
    if run.lost:
        return RunStatus.recovering
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
        return ItemStatus.landed if state.awaited_of(item) is None else ItemStatus.awaiting_ci
    if item.run:
        return ItemStatus.running
    if item.finished:
        return ItemStatus.finished
    if item.withdrawn:
        return ItemStatus.withdrawn
    if item.undone is not None:
        return ItemStatus.undone
    if item.given_up:
        return ItemStatus.given_up
    if (
        item.question
        or item.stopped
        or (item.hold is not None and (item.hold.reason != "until" or now_ms < item.hold.until_ms))
    ):
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
    if run.has_worker or command.turn != run.turn + 1 or not (run.turn_due or run.stop is not None or run.rewind):
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
    spoken = run.question or run.report or run.parked
    waited_for = not (spoken or run.stop or run.turn_due or run.repeat or run.rewind)
    if not waited_for or command.lost:
        return (exited,)
    if command.code == 0 and has_news(state, run):
        return (exited, ev.RunParked(run.id, run.turn))
    if command.code == 0:
        report = Report(ReportKind.done, summary="", source=SILENCE if command.must_speak else "exit")
        return (exited, ev.RunReported(run.id, run.turn, report))
    return (exited, ev.StopRequested(run.id, EndKind.failed, exit_text(command)))


def exit_text(command: cmd.RecordExit) -> str:
    """Say how a worker ended that did not end well."""
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
    why = f": {command.reason}" if command.reason.strip() else " without a reason"
    return (*said, ev.StopRequested(command.run, EndKind.failed, f"the worker gave up{why}"))


def _report(state: State, run_id: RunId, token: Token, report: Report) -> Decided:
    run = find_run(state, run_id, token)
    if isinstance(run, Refusal):
        return run
    if len(report.summary) > cmd.SUMMARY_CHARS_MAX:
        return _too_long("summary", len(report.summary), cmd.SUMMARY_CHARS_MAX)
    if fault := report_fault(run, report):
        return Refusal(RefusalCode.invalid, fault, "say less")
    if run.report == report:
        return ()
    if run.question:
        return Refusal(RefusalCode.wrong_state, f"{run.id} waits for the answer to {run.question}", "end the turn")
    if has_spoken(run):
        return Refusal(RefusalCode.conflict, f"{run.id} has already made its report for this turn", "end the turn")
    if report.kind is ReportKind.done and (at_work := writing(state, run)):
        names = ", ".join(child.id for child in at_work)
        return Refusal(RefusalCode.wrong_state, f"{run.id} has children that write: {names}", "ganger wait")
    return (ev.RunReported(run.id, run.turn_speaking, report),)


def has_spoken(run: Run) -> bool:
    """Whether the turn whose worker may speak is over: it reported, was answered, has ended, or is to be stopped."""
    if run.report is not None or run.parked or run.stop is not None or run.rewind:
        return True
    return (run.asked_turn == run.turn_speaking and not run.question) or (bool(run.exited_ms) and not run.turn_due)


def is_turn_over(run: Run) -> bool:
    """Whether the worker has said its last word for this turn: it reported, asked, was answered, or is to be redone."""
    return run.report is not None or bool(run.question) or run.parked or run.turn_due or bool(run.rewind)


def _too_long(what: str, length: int, most: int) -> Refusal:
    return Refusal(RefusalCode.invalid, f"the {what} has {length} characters, the most is {most}", "say less")


def _unfit(what: str, text: str) -> Refusal | None:
    """Why a worker's words cannot be taken; None where they can."""
    if not text.strip():
        return Refusal(RefusalCode.invalid, f"the {what} is empty", "say it in words")
    return _too_long(what, len(text), cmd.NOTE_CHARS_MAX) if len(text) > cmd.NOTE_CHARS_MAX else None


QUESTIONS_MAX = 4
"""Questions that one turn may leave open."""


def decide_ask(state: State, command: cmd.AskQuestion, now_ms: int) -> Decided:
    """Take a worker's question; its turn is over until all that it asked in it is answered."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if refusal := _unfit("question", command.text):
        return refusal
    options = [option.strip() for option in command.options]
    if len(options) > 4 or len(set(options)) != len(options) or not all(options):
        return Refusal(RefusalCode.invalid, "a question has at most 4 options, each different and none empty")
    if command.recommend and command.recommend not in command.options:
        return Refusal(RefusalCode.invalid, f"the recommendation {command.recommend!r} is not one of the options")
    open_ = [state.questions[question] for question in run.questions]
    if any(question.text == command.text for question in open_):
        return ()
    if open_ and (len(open_) >= QUESTIONS_MAX or (run.exited_ms and not run.turn_due)):
        known = ", ".join(run.questions)
        return Refusal(RefusalCode.conflict, f"{run.id} already waits for {known}", "end the turn")
    if has_spoken(run):
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


ALLOW, REFUSE = "allow", "refuse"


def ask_leave(state: State, run: Run, evidence: Evidence, verdict: Verdict, now_ms: int) -> ev.QuestionAsked:
    """Ask a person about a candidate that weakens tests, or changes more than its scope.

    Exactly this commit is what the answer is about. Who holds what it changes besides is named as its risk.
    """
    outside = [path for path in evidence.changed if not scope_matches(run.lease.scope, path, state.rules)]
    holders = [shown(state, other) for other in _holders(state, outside) if other != run.id]
    return ev.QuestionAsked(
        Question(
            id=question_id(state.questions_asked + 1),
            kind=QuestionKind.off_plan if outside else QuestionKind.weakened,
            text=f"Accept {evidence.commit[:12]} of {run.id} all the same? It {'; '.join(verdict.reasons)}",
            options=(ALLOW, REFUSE),
            recommend=REFUSE,
            risk=f"{', '.join(holders)} may change that meanwhile" if holders else "",
            run=run.id,
            item=run.item,
            asked_ms=now_ms,
            subject=evidence.commit,
        )
    )


def _holders(state: State, paths: list[str]) -> Iterator[RunId | LeaseId]:
    """Who may change one of these paths now."""
    everyone: Iterable[RunId | LeaseId] = chain(state.runs, state.held)
    for holder in everyone:
        if any(scope_matches(state.lease_of(holder).scope, path, state.rules) for path in paths):
            yield holder


def answer_leave(state: State, question: Question, choice: str, by: str, policy: Policy) -> tuple[ev.Event, ...]:
    """Take a person's word on a candidate that weakens tests, or changes more than its scope."""
    answered = ev.QuestionAnswered(question.id, choice, by)
    run = state.runs.get(question.run)
    if run is None or run.verdict is None or run.evidence is None or run.evidence.commit != question.subject:
        return (answered,)
    if choice == ALLOW:
        item = state.items[run.item].spec
        found = judge(
            item, run.lease.scope, run.evidence, state.rules, weakened="allow", witness=policy.witness, off_plan="allow"
        )
        accepted = Verdict(VerdictKind.accepted, found.rung, by=by.removeprefix("person:"))
        return (answered, ev.VerdictGiven(run.id, run.evidence.commit, accepted, False))
    again = has_turn_left(run, policy)
    rejected = Verdict(VerdictKind.rejected, run.verdict.rung, (*run.verdict.reasons, f"{by} refuses it"))
    given = ev.VerdictGiven(run.id, run.evidence.commit, rejected, again)
    if again:
        return (answered, given)
    return (answered, given, ev.StopRequested(run.id, EndKind.rejected, "; ".join(rejected.reasons)))


LOOK_AGAIN, GIVE_UP = "look again", "give up"


def decide_no_evidence(state: State, command: cmd.RecordNoEvidence, now_ms: int) -> Decided:
    """Store that nothing is known about a candidate: nothing follows from that, and a person says what is to be."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    over = run.evidence is not None or run.stop is not None or run.question or run.parked
    goes_on = run.report is None or run.has_worker or run.turn_due
    if command.turn != run.turn or over or goes_on:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is not waiting for evidence on turn {command.turn}")
    verdict = Verdict(VerdictKind.unknown, Rung.reported, (f"no evidence could be had: {command.reason}",))
    asked = Question(
        id=question_id(state.questions_asked + 1),
        kind=QuestionKind.no_evidence,
        text=f"No evidence could be had about {run.id}, so nobody knows whether it is good: {command.reason}",
        options=(LOOK_AGAIN, GIVE_UP),
        recommend=LOOK_AGAIN,
        run=run.id,
        item=run.item,
        asked_ms=now_ms,
    )
    return (ev.VerdictGiven(run.id, Commit(""), verdict, False), ev.QuestionAsked(asked))


def answer_no_evidence(state: State, question: Question, choice: str, by: str) -> tuple[ev.Event, ...]:
    """Take a person's word on a candidate of which nothing is known: it is looked at again, or the run is given up."""
    answered = ev.QuestionAnswered(question.id, choice, by)
    run = state.runs.get(question.run)
    if choice != GIVE_UP or run is None or run.stop is not None:
        return (answered,)
    reason = "; ".join(run.verdict.reasons) if run.verdict is not None else question.text
    return (answered, ev.StopRequested(run.id, EndKind.failed, reason))


def decide_note(state: State, command: cmd.AddNote) -> Decided:
    """Keep what a worker wants to be shown."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if refusal := _unfit("note", command.text):
        return refusal
    return (ev.NoteAdded(run.id, command.text),)


def decide_tools(state: State, command: cmd.RecordTools) -> Decided:
    """Keep which tools a worker used, cut to what a record may hold."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    most = cmd.TOOL_CHARS_MAX
    uses = tuple(
        ToolUse(use.tool[:most], use.target[:most], max(use.took_ms, 0), use.failed, use.denied[:most])
        for use in command.uses[: cmd.TOOL_USES_MAX]
    )
    return (ev.ToolsUsed(run.id, uses),) if uses else ()


def decide_silence(state: State, command: cmd.RecordSilence, policy: Policy) -> Decided:
    """Note, once in a turn, that a worker's guard does not work; have the run end where that is the policy."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if command.turn != run.turn or run.unguarded == run.turn or command.used <= command.asked:
        return ()
    found = ev.GuardSilent(run.id, run.turn, command.used, command.asked)
    if policy.silent_guard == "flag":
        return (found,)
    stopped = decide_stop(state, cmd.StopRun(run.id, EndKind.failed, silence_text(found)))
    return (found,) if isinstance(stopped, Refusal) else (found, *stopped)


def silence_text(found: ev.GuardSilent) -> str:
    """Say what speaks against a turn's guard."""
    uses = "a use of a tool" if found.used == 1 else f"{found.used} uses of tools"
    return f"its guard was silent: of {uses} its hooks asked about {found.asked or 'none'}"


def decide_todos(state: State, command: cmd.SetTodos) -> Decided:
    """Keep a worker's board: the first twelve lines of it, their states by the names that ganger uses."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    todos = [Todo(todo.text, todo_state(todo.state)) for todo in command.todos]
    if any(todo.state not in TODO_STATES for todo in todos):
        return Refusal(RefusalCode.invalid, f"the state of a todo is {', '.join(TODO_STATES[:2])} or {TODO_STATES[2]}")
    return (ev.TodosSet(run.id, tuple(todos[: cmd.TODOS_MAX])),)


TODO_STATES = ("pending", "in_progress", "completed")
_TODO_NAMES = {
    **dict.fromkeys(("pending", "todo", "open", "not_started", "queued", ""), "pending"),
    **dict.fromkeys(("in_progress", "active", "doing", "started", "working", "current"), "in_progress"),
    **dict.fromkeys(("completed", "complete", "done", "finished", "closed"), "completed"),
}


def todo_state(name: str) -> str:
    """The state of a todo that a word means, whichever agent's word it is; the word itself where it means none."""
    return _TODO_NAMES.get(name.strip().casefold().replace("-", "_").replace(" ", "_"), name)


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
    events += [ev.QuestionWithdrawn(question, f"{run.id} was stopped") for question in run.questions]
    return tuple(events)


def decide_end(state: State, command: cmd.RecordEnd, now_ms: int, policy: Policy) -> Decided:
    """End a run whose worker is gone and whose work is kept."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.has_worker:
        return Refusal(RefusalCode.wrong_state, f"the worker of {run.id} is not known to be gone")
    if children := living(state, run):
        return Refusal(RefusalCode.wrong_state, f"{children[0].id}, a child of {run.id}, has not ended")
    if state.landing is not None and run.id in state.landing.runs:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is being landed")
    counts = command.end not in NOT_COUNTED
    item = state.items.get(run.item)
    failures = (item.failures if item is not None else 0) + 1
    cools = counts and command.end is not EndKind.superseded
    cool_until_ms = now_ms + cooldown_ms(failures, policy) if cools else 0
    ended = ev.RunEnded(run.id, command.end, command.reason, counts, cool_until_ms, command.kept)
    return (ended, *opened_by_end(state, run, command.end, command.reason, now_ms, policy))


def cooldown_ms(failures: int, policy: Policy) -> int:
    """How long an item waits after its `failures`-th failed attempt (from 1); doubles, up to the policy's most."""
    return int(min(policy.backoff_ms * 2 ** (min(failures, 40) - 1), policy.backoff_max_ms))


def decide_retry(state: State, command: cmd.RetryItem) -> Decided:
    """Put an item back among those that are offered."""
    item = state.items.get(command.item)
    if item is None:
        return Refusal(RefusalCode.unknown_ref, f"there is no item {command.item}", "ganger plan board")
    if item.spec.question:
        reason = f"item {command.item} was there to answer {item.spec.question}, once"
        return Refusal(RefusalCode.wrong_state, reason, "ganger inbox")
    if item.spec.spawner:
        reason = f"item {command.item} was done for {item.spec.spawner}, whose worker may have it done again"
        return Refusal(RefusalCode.wrong_state, reason)
    if item.withdrawn:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} is in its plan no longer", "put it back there")
    if item.landed:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} has landed as {item.landed[:12]}")
    if item.run:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} is being worked on by {item.run}")
    if item.undone is not None and item.undone.commit in state.undos:
        return Refusal(RefusalCode.wrong_state, f"item {command.item} is about to be brought back", "ganger inbox")
    gone = item.finished or item.undone is not None
    if not (gone or item.failures or item.stopped or item.terminal or item.hold or item.again_ms):
        return ()
    return (ev.ItemRetried(command.item),)


def open_question(state: State, question: QuestionId) -> Question | Refusal:
    """The open question of that id, or why there is none."""
    found = state.questions.get(question)
    if found is not None:
        return found
    was_asked = is_question_id(question) and int(question[1:]) <= state.questions_asked
    way = f"ganger show {question} says what became of it" if was_asked else "ganger inbox"
    return Refusal(RefusalCode.unknown_ref, f"there is no open question {question}", way)
