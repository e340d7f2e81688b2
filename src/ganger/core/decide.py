"""What does this command change? Events, or a refusal: a table of one line per command."""

from __future__ import annotations

from typing import TypeAlias

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core import landing, lifecycle
from ganger.core.admission import admit
from ganger.core.ids import ItemId, run_id
from ganger.core.model import EndKind, ItemSpec, Question, QuestionKind, Refusal, RefusalCode, VerdictKind
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.verdict import judge

Decision: TypeAlias = tuple[ev.Event, ...] | Refusal
"""Events to append, in order (none: it is so already), or why not."""


def decide(state: State, command: cmd.Command, now_ms: int, policy: Policy) -> Decision:
    """Decide `command` on `state` at `now_ms` (the store's clock). Pure; the caller appends the events."""
    match command:
        case cmd.AddPlan():
            return _add_plan(state, command)
        case cmd.GrantRun():
            return _grant(state, command, now_ms, policy)
        case cmd.RecordWait():
            return _wait(state, command)
        case cmd.RecordStart():
            return lifecycle.decide_start(state, command)
        case cmd.RecordExit():
            return lifecycle.decide_exit(state, command)
        case cmd.RenewLeases():
            return _renew(state, command)
        case cmd.ReportDone():
            return lifecycle.decide_done(state, command)
        case cmd.ReportFail():
            return lifecycle.decide_fail(state, command)
        case cmd.AskQuestion():
            return lifecycle.decide_ask(state, command, now_ms)
        case cmd.AddNote():
            return lifecycle.decide_note(state, command)
        case cmd.SetTodos():
            return lifecycle.decide_todos(state, command)
        case cmd.AnswerQuestion():
            return _answer(state, command)
        case cmd.RecordEvidence():
            return _evidence(state, command, policy)
        case cmd.RecordTrain():
            return landing.decide_train(state, command, now_ms, policy)
        case cmd.RecordLanding():
            return landing.decide_landing(state, command, now_ms, policy)
        case cmd.StopRun():
            return lifecycle.decide_stop(state, command)
        case cmd.RecordEnd():
            return lifecycle.decide_end(state, command, now_ms, policy)
        case cmd.RetryItem():
            return lifecycle.decide_retry(state, command)
        case cmd.RecordSupervisor():
            return _supervisor(command)


def _add_plan(state: State, command: cmd.AddPlan) -> Decision:
    if state.plans.get(command.plan) == command.digest:
        return ()
    wanted = {spec.id for spec, _ in command.items}
    refusal = _plan_refusal(state, command, wanted)
    if refusal is not None:
        return refusal
    events: list[ev.Event] = [ev.PlanAdded(command.plan, command.title, command.path, command.digest)]
    for item in list(state.items.values()):
        gone = item.spec.plan == command.plan and item.spec.id not in wanted
        if gone and not (item.landed or item.withdrawn):
            events.append(ev.ItemWithdrawn(item.spec.id))
    for spec, brief in command.items:
        events += _item_events(state, spec, brief)
    return tuple(events)


def _plan_refusal(state: State, command: cmd.AddPlan, wanted: set[ItemId]) -> Refusal | None:
    for spec, _ in command.items:
        present = state.items.get(spec.id)
        if present is not None and present.spec.plan != command.plan and not present.withdrawn:
            reason = f"item {spec.id} belongs to plan {present.spec.plan} already"
            return Refusal(RefusalCode.conflict, reason, "give it another id")
        unknown = [before for before in spec.after if before not in wanted and before not in state.items]
        if unknown:
            return Refusal(RefusalCode.invalid, f"item {spec.id} comes after {unknown[0]}, which there is not")
    return None


def _item_events(state: State, spec: ItemSpec, brief: str) -> list[ev.Event]:
    present = state.items.get(spec.id)
    if present is None:
        return [ev.ItemAdded(spec, brief)]
    if present.landed:
        return []
    return [ev.ItemRevised(spec, brief)]


def _grant(state: State, command: cmd.GrantRun, now_ms: int, policy: Policy) -> Decision:
    item = state.items.get(command.item)
    if item is None:
        return Refusal(RefusalCode.unknown_ref, f"there is no item {command.item}")
    refusal = admit(state, item, now_ms, policy)
    if refusal is not None:
        return refusal
    attempt = item.attempts + 1
    granted = ev.RunGranted(
        run=run_id(item.spec.id, attempt),
        item=item.spec.id,
        attempt=attempt,
        base=command.base,
        scope=item.spec.scope,
        mode=item.spec.mode,
        expires_ms=now_ms + max(policy.lease_ttl_ms, item.spec.silence_max_ms),
        agent=item.spec.agent,
    )
    return (granted,)


def _wait(state: State, command: cmd.RecordWait) -> Decision:
    item = state.items.get(command.item)
    if item is None or item.waiting == (command.code, command.holder):
        return ()
    return (ev.ItemWaited(command.item, command.code, command.reason, command.holder),)


def _renew(state: State, command: cmd.RenewLeases) -> Decision:
    """Extend the leases of live runs that are not being ended; a lease never gets shorter."""
    until = tuple(
        (run_id, until_ms)
        for run_id, until_ms in command.until
        if (run := state.runs.get(run_id)) is not None and run.stop is None and until_ms > run.lease.expires_ms
    )
    return (ev.LeasesRenewed(until),) if until else ()


def _answer(state: State, command: cmd.AnswerQuestion) -> Decision:
    question = lifecycle.open_question(state, command.question)
    if isinstance(question, Refusal):
        return question
    refusal = _choice_refusal(question, command.choice)
    if refusal is not None:
        return refusal
    if question.kind in (QuestionKind.approve_landing, QuestionKind.dirty_target):
        return landing.answer_landing(state, question, command.choice, command.by)
    return (ev.QuestionAnswered(question.id, command.choice, command.by),)


def _choice_refusal(question: Question, choice: str) -> Refusal | None:
    if not choice.strip():
        return Refusal(RefusalCode.invalid, f"the answer to {question.id} is empty")
    if question.kind is QuestionKind.worker or choice in question.options:
        return None
    return Refusal(
        RefusalCode.invalid, f"{choice!r} is no answer to {question.id}", f"one of: {' | '.join(question.options)}"
    )


def _evidence(state: State, command: cmd.RecordEvidence, policy: Policy) -> Decision:
    run = lifecycle.find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if command.turn != run.turn or run.evidence is not None or run.stop is not None:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is not waiting for evidence on turn {command.turn}")
    if run.report is None or run.has_worker:
        return Refusal(RefusalCode.wrong_state, f"{run.id} has not ended its turn")
    item = state.items[run.item]
    verdict = judge(item.spec, run.lease.scope, command.evidence, state.rules)
    again = verdict.kind is VerdictKind.rejected and run.rejections + 1 < policy.turns_max
    recorded = ev.EvidenceRecorded(run.id, run.turn, command.evidence)
    given = ev.VerdictGiven(run.id, command.evidence.commit, verdict, again)
    if verdict.kind is VerdictKind.rejected and not again:
        return (recorded, given, ev.StopRequested(run.id, EndKind.rejected, "; ".join(verdict.reasons)))
    return (recorded, given)


def _supervisor(command: cmd.RecordSupervisor) -> Decision:
    if command.reason:
        return (ev.SupervisorStopped(command.pid, command.reason),)
    return (ev.SupervisorStarted(command.pid, command.host, command.version),)
