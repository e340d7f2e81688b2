"""What does this command change? Events, or a refusal: a table of one line per command."""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from ganger.core import (
    closing,
    consult,
    empty_turns,
    family,
    foundation,
    known,
    landing,
    leases,
    lifecycle,
    messages,
    program,
    recovery,
    spawning,
    undo,
)
from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import FORCEABLE, admit, permit_refusal, refusals, unweighed_refusal, wanted_by
from ganger.core.breaker import moved_by_evidence
from ganger.core.budget import in_full, overspent, reservation
from ganger.core.evolve import brief_crc
from ganger.core.facts import Item
from ganger.core.ids import Commit, ItemId, run_id
from ganger.core.model import (
    PLANNER,
    Again,
    EndKind,
    ItemSpec,
    Question,
    QuestionKind,
    Refusal,
    RefusalCode,
    Usage,
    VerdictKind,
)
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.verdict import judge

Decision: TypeAlias = tuple[ev.Event, ...] | Refusal
"""Events to append, in order (none: it is so already), or why not."""


def decide(state: State, command: cmd.Command, now_ms: int, policy: Policy) -> Decision:
    """Decide `command` on `state` at `now_ms` (the store's clock). Pure; the caller appends the events."""
    return consult.with_outcome(state, _decide(state, command, now_ms, policy), now_ms)


def _decide(state: State, command: cmd.Command, now_ms: int, policy: Policy) -> Decision:
    match command:
        case cmd.AddPlan():
            return _add_plan(state, command)
        case cmd.GrantRun():
            return _grant(state, command, now_ms, policy)
        case cmd.AcquireLease():
            return leases.decide_acquire(state, command, now_ms, policy)
        case cmd.RenewLease():
            return leases.decide_renew(state, command, now_ms)
        case cmd.ReleaseLease():
            return leases.decide_release(state, command)
        case cmd.SweepLeases():
            return leases.decide_sweep(state, now_ms)
        case cmd.AskPlanner():
            return program.decide_planner(state, command, policy)
        case cmd.FileFollowUp():
            return program.decide_follow_up(state, command, policy)
        case cmd.SpawnChild():
            return spawning.decide_spawn(state, command, now_ms, policy)
        case cmd.ParkRun():
            return spawning.decide_park(state, command)
        case cmd.RepeatTurn(why=Again.told):
            return messages.decide_turn(state, command)
        case cmd.RepeatTurn():
            return recovery.decide_repeat(state, command, now_ms, policy)
        case cmd.RecordRecovery():
            return recovery.decide_recovery(state, command, now_ms, policy)
        case cmd.FlagRun():
            return _flag(state, command)
        case cmd.RecordUsage():
            return _usage(state, command)
        case cmd.RecordLimit():
            return recovery.decide_limit(state, command, now_ms, policy)
        case cmd.RewindRun():
            return recovery.decide_rewind(state, command)
        case cmd.RecordRewind():
            return recovery.decide_rewound(state, command)
        case cmd.ControlPlan():
            return program.decide_control(state, command, policy)
        case cmd.SetSchedule():
            return program.decide_schedule(state, command, now_ms)
        case cmd.RecordFiring():
            return program.decide_firing(state, command, now_ms)
        case cmd.DropSchedule():
            return program.decide_drop(state, command)
        case cmd.CloseBreaker():
            return _close_breaker(state, command)
        case cmd.RecordPruning():
            return _prune(state, command)
        case cmd.RenewPermit():
            return _renew_permit(state, command, now_ms, policy)
        case cmd.RecordBase():
            return foundation.decide_base(state, command)
        case cmd.RecordWait():
            return _wait(state, command)
        case cmd.RecordStart():
            return messages.with_read(state, lifecycle.decide_start(state, command))
        case cmd.RecordExit():
            return lifecycle.decide_exit(state, command)
        case cmd.RenewLeases():
            return _renew(state, command)
        case cmd.ReportDone():
            return lifecycle.decide_done(state, command)
        case cmd.ReportFail():
            return lifecycle.decide_fail(state, command)
        case cmd.AskQuestion():
            asked = lifecycle.decide_ask(state, command, now_ms)
            return consult.with_consultant(state, command, asked, now_ms, policy)
        case cmd.EscalateQuestion():
            return consult.decide_escalate(state, command, now_ms)
        case cmd.AddNote(fact=True):
            return known.decide_noted(state, command)
        case cmd.AddNote():
            return lifecycle.decide_note(state, command)
        case cmd.TellRun():
            return messages.decide_tell(state, command)
        case cmd.Broadcast():
            return messages.decide_broadcast(state, command, now_ms, policy)
        case cmd.AddFact():
            return known.decide_fact(state, command)
        case cmd.RetractFact():
            return known.decide_retract(state, command)
        case cmd.GiveMessages():
            return messages.decide_give(state, command)
        case cmd.RecordRead():
            return messages.decide_read(state, command)
        case cmd.RecordTools():
            return lifecycle.decide_tools(state, command)
        case cmd.RecordSilence():
            return lifecycle.decide_silence(state, command, policy)
        case cmd.SetTodos():
            return lifecycle.decide_todos(state, command)
        case cmd.AnswerQuestion():
            return _answer(state, command, policy)
        case cmd.RecordEvidence():
            return _evidence(state, command, now_ms, policy)
        case cmd.RecordNoEvidence():
            return lifecycle.decide_no_evidence(state, command, now_ms)
        case cmd.RecordTrain():
            return landing.decide_train(state, command, now_ms, policy)
        case cmd.RecordProbe():
            return landing.decide_probe(state, command, now_ms, policy)
        case cmd.JudgeCandidate():
            return landing.decide_judge(state, command, policy)
        case cmd.RecordLanding():
            landed = landing.decide_landing(state, command, now_ms, policy)
            return spawning.with_results(state, messages.with_moved(state, landed))
        case cmd.UndoLanding():
            return undo.decide_undo(state, command)
        case cmd.RecordUndo():
            return undo.decide_tested(state, command, now_ms, policy)
        case cmd.RecordCi():
            return closing.decide_ci(state, command, now_ms, policy)
        case cmd.WaiveCi():
            return closing.decide_waive(state, command)
        case cmd.RecordTargetRead():
            return closing.decide_read(state, command, now_ms, policy)
        case cmd.StopRun():
            return lifecycle.decide_stop(state, command)
        case cmd.RecordEnd():
            return spawning.with_results(state, lifecycle.decide_end(state, command, now_ms, policy))
        case cmd.RetryItem():
            return lifecycle.decide_retry(state, command)
        case cmd.RecordSupervisor():
            return _supervisor(command)


def _add_plan(state: State, command: cmd.AddPlan) -> Decision:
    present = state.plans.get(command.plan)
    if present is not None and present.digest == command.digest and present.still_open == command.still_open:
        return ()
    wanted = {spec.id for spec, _ in command.items}
    refusal = _plan_refusal(state, command, wanted)
    if refusal is not None:
        return refusal
    events: list[ev.Event] = [
        ev.PlanAdded(
            plan=command.plan,
            title=command.title,
            path=command.path,
            digest=command.digest,
            unreadable=command.unreadable,
            still_open=command.still_open,
        )
    ]
    for item in list(state.items.values()):
        of_plan = item.spec.plan == command.plan and not item.spec.parent and item.spec.kind != PLANNER
        gone = of_plan and item.spec.id not in wanted
        if gone and not (item.landed or item.withdrawn):
            events.append(ev.ItemWithdrawn(item.spec.id))
            if item.question:
                events.append(ev.QuestionWithdrawn(item.question, f"{item.spec.id} is in its plan no longer"))
    for spec, brief in command.items:
        events += _item_events(state, spec, brief)
    return tuple(events)


def _plan_refusal(state: State, command: cmd.AddPlan, wanted: set[ItemId]) -> Refusal | None:
    for spec, _ in command.items:
        present = state.items.get(spec.id)
        if present is not None and present.spec.plan != command.plan and not present.withdrawn:
            reason = f"item {spec.id} belongs to plan {present.spec.plan} already"
            return Refusal(RefusalCode.conflict, reason, "give it another id")
        if present is not None and present.spec.spawner:
            reason = f"item {spec.id} was done for {present.spec.spawner}"
            return Refusal(RefusalCode.conflict, reason, "give it another id")
        unknown = [before for before in spec.after if before not in wanted and before not in state.items]
        if unknown:
            return Refusal(RefusalCode.invalid, f"item {spec.id} comes after {unknown[0]}, which there is not")
    return None


def _item_events(state: State, spec: ItemSpec, brief: str) -> list[ev.Event]:
    present = state.items.get(spec.id)
    if present is None:
        return [ev.ItemAdded(spec, brief)]
    same = present.spec == spec and present.brief_crc == brief_crc(brief) and not present.withdrawn
    return [] if same or present.landed else [ev.ItemRevised(spec, brief)]


def _grant(state: State, command: cmd.GrantRun, now_ms: int, policy: Policy) -> Decision:
    item = state.items.get(command.item)
    if item is None:
        return Refusal(RefusalCode.unknown_ref, f"there is no item {command.item}")
    if refusal := unweighed_refusal(state, command.weighed):
        return refusal
    refusal = permit_refusal(command.repo, clean=command.clean, policy=policy)
    if refusal is None or (command.force and refusal.code in FORCEABLE):
        refusal = _barrier(state, item, now_ms, policy, forced=bool(command.force)) or refusal
    if refusal is not None and not (command.force and refusal.code in FORCEABLE):
        return refusal
    unfit = foundation.grant_fault(state, item, command.base)
    if unfit is not None:
        return unfit
    stands_on = foundation.heads(state, item.spec)
    reserved = reservation(state, item.spec, item.spec.agent, policy)
    wanted = wanted_by(item.spec, policy)
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
        kind=item.spec.kind,
        lane=wanted.lane,
        alone=wanted.alone,
        depth=item.spec.depth,
        reserved=in_full(policy) if isinstance(reserved, Refusal) else reserved,
        permit_ms=now_ms + policy.permit_ms,
        forced_by=command.force if refusal is not None or command.overruled else "",
        root=item.foundation.root if stands_on and item.foundation is not None else Commit(""),
        stands_on=stands_on,
    )
    return (*leases.expired(state, now_ms), granted)


def _renew_permit(state: State, command: cmd.RenewPermit, now_ms: int, policy: Policy) -> Decision:
    run = lifecycle.find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.turn:
        return Refusal(RefusalCode.wrong_state, f"{run.id} has begun at {run.base[:12]}", "let it work")
    refusal = permit_refusal(command.repo, clean=command.clean, policy=policy)
    if refusal is not None:
        return refusal
    same = run.base == command.base
    return () if same else (ev.PermitRenewed(run.id, command.base, now_ms + policy.permit_ms),)


def _barrier(state: State, item: Item, now_ms: int, policy: Policy, *, forced: bool) -> Refusal | None:
    """The first refusal; where a person forces, the first that cannot be forced goes before those that can."""
    if not forced:
        return admit(state, item, now_ms, policy)
    against = list(refusals(state, item, now_ms, policy))
    return next((refusal for refusal in against if refusal.code not in FORCEABLE), against[0] if against else None)


def _wait(state: State, command: cmd.RecordWait) -> Decision:
    item = state.items.get(command.item)
    if item is None or (item.waiting == (command.code, command.holder) and item.again_ms >= command.again_ms):
        return ()
    return (ev.ItemWaited(command.item, command.code, command.reason, command.holder, command.again_ms),)


def _flag(state: State, command: cmd.FlagRun) -> Decision:
    run = lifecycle.find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    return () if run.flag is command.liveness else (ev.RunFlagged(run.id, command.liveness, command.reason),)


def _usage(state: State, command: cmd.RecordUsage) -> Decision:
    """Take what a turn has spent so far, and stop the run when that is all it may spend."""
    run = lifecycle.find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.turn != command.turn:
        return ()
    metered = Usage(command.usage.usd_micros, command.usage.tokens, run.turn_spent.wall_ms)
    now = run.turn_spent.at_least(metered)
    if now == run.turn_spent:
        return ()
    recorded = ev.UsageRecorded(run.id, run.turn, Usage(now.usd_micros, now.tokens))
    over = overspent(replace(run, turn_spent=now), 0)
    landing = state.landing is not None and run.id in state.landing.runs
    if not over or run.stop is not None or landing or lifecycle.is_turn_over(run):
        return (recorded,)
    return (recorded, ev.StopRequested(run.id, EndKind.over_budget, over))


def _close_breaker(state: State, command: cmd.CloseBreaker) -> Decision:
    if command.key not in state.breakers:
        known = ", ".join(sorted(state.breakers)) or "none"
        return Refusal(RefusalCode.unknown_ref, f"there is no open breaker {command.key} (open: {known})")
    return (ev.BreakerClosed(command.key),)


def _prune(state: State, command: cmd.RecordPruning) -> Decision:
    if command.run in state.runs:
        return Refusal(RefusalCode.wrong_state, f"run {command.run} is live: its files are needed")
    if not command.classes:
        return Refusal(RefusalCode.invalid, "nothing is named that was pruned")
    return (ev.RunPruned(command.run, command.classes, command.unreviewed),)


def _renew(state: State, command: cmd.RenewLeases) -> Decision:
    """Extend the leases of live runs that are not being ended; a lease never gets shorter."""
    until = tuple(
        (run_id, until_ms)
        for run_id, until_ms in command.until
        if (run := state.runs.get(run_id)) is not None and run.stop is None and until_ms > run.lease.expires_ms
    )
    return (ev.LeasesRenewed(until),) if until else ()


def _answer(state: State, command: cmd.AnswerQuestion, policy: Policy) -> Decision:
    question = lifecycle.open_question(state, command.question)
    if isinstance(question, Refusal):
        return question
    refusal = _choice_refusal(question, command.choice)
    if refusal is not None:
        return refusal
    if question.kind in (QuestionKind.approve_landing, QuestionKind.dirty_target):
        return landing.answer_landing(state, question, command.choice, command.by)
    if question.kind is QuestionKind.undo:
        return undo.answer_undo(state, question, command.choice, command.by)
    if question.kind is QuestionKind.ci_blocked:
        return closing.answer_ci(state, question, command.choice, command.by)
    if question.kind is QuestionKind.target_lost:
        return closing.answer_lost(state, question, command.choice, command.by)
    if question.kind is QuestionKind.no_evidence:
        return lifecycle.answer_no_evidence(state, question, command.choice, command.by)
    if question.kind in (QuestionKind.weakened, QuestionKind.off_plan):
        return lifecycle.answer_leave(state, question, command.choice, command.by, policy)
    return (ev.QuestionAnswered(question.id, command.choice, command.by),)


def _choice_refusal(question: Question, choice: str) -> Refusal | None:
    if not choice.strip():
        return Refusal(RefusalCode.invalid, f"the answer to {question.id} is empty")
    if len(choice) > cmd.SUMMARY_CHARS_MAX:
        reason = f"the answer to {question.id} has {len(choice)} characters, the most is {cmd.SUMMARY_CHARS_MAX}"
        return Refusal(RefusalCode.invalid, reason, "put the rest into a file, and name that")
    if question.kind in (QuestionKind.worker, QuestionKind.no_lines) or choice in question.options:
        return None
    return Refusal(
        RefusalCode.invalid, f"{choice!r} is no answer to {question.id}", f"one of: {' | '.join(question.options)}"
    )


def _evidence(state: State, command: cmd.RecordEvidence, now_ms: int, policy: Policy) -> Decision:
    run = lifecycle.find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if command.turn != run.turn or run.evidence is not None or run.stop is not None:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is not waiting for evidence on turn {command.turn}")
    if run.report is None or run.has_worker or run.turn_due:
        return Refusal(RefusalCode.wrong_state, f"{run.id} has not ended its turn")
    if state.items[run.item].spec.reads:
        return Refusal(RefusalCode.wrong_state, f"{run.id} was asked for no change: there is nothing to judge")
    if children := family.living(state, run):
        return Refusal(RefusalCode.wrong_state, f"{children[0].id}, a child of {run.id}, has not ended")
    if command.evidence.base != run.base:
        known = f"{run.base[:12]}, the evidence is on {command.evidence.base[:12]}"
        return Refusal(RefusalCode.conflict, f"the base of {run.id} is {known}")
    item = state.items[run.item]
    verdict = judge(
        item.spec,
        run.lease.scope,
        command.evidence,
        state.rules,
        weakened=policy.weakened,
        witness=policy.witness,
        off_plan=policy.off_plan,
    )
    empty = empty_turns.reminder(run, command.evidence, now_ms, policy) or empty_turns.bounce(
        state, run, command.evidence, now_ms
    )
    if empty is not None:
        return (empty,)
    mute = empty_turns.no_report(run, command.evidence)
    again = verdict.kind is VerdictKind.rejected and empty_turns.has_turn_left(run, policy) and not mute
    recorded = ev.EvidenceRecorded(run.id, run.turn, command.evidence)
    given = ev.VerdictGiven(run.id, command.evidence.commit, verdict, again)
    moved = moved_by_evidence(state, run, verdict.kind, command.evidence.checks, now_ms, policy)
    if verdict.kind is VerdictKind.rejected and not again:
        why = "; ".join((*((mute,) if mute else ()), *verdict.reasons))
        return (recorded, given, *moved, ev.StopRequested(run.id, EndKind.rejected, why))
    if verdict.kind is VerdictKind.unknown:
        return (recorded, given, *moved, lifecycle.ask_leave(state, run, command.evidence, verdict, now_ms))
    return (recorded, given, *moved)


def _supervisor(command: cmd.RecordSupervisor) -> Decision:
    if command.reason:
        return (ev.SupervisorStopped(command.pid, command.reason),)
    return (ev.SupervisorStarted(command.pid, command.host, command.version),)
