"""What is so after an event: one small function per event; total, it takes every entry and never refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

from msgspec.structs import replace

from ganger.core import closing, family, train
from ganger.core import events as ev
from ganger.core.facts import (
    Breaker,
    Foundation,
    HeldLease,
    Item,
    Landing,
    PlanFacts,
    Repeat,
    Run,
    Schedule,
    Stop,
    Undo,
    Undone,
    Unread,
    Window,
)
from ganger.core.ids import Commit, PlanId, QuestionId, RunId, Seq, Token, lease_id
from ganger.core.model import (
    AGENT,
    NOTHING,
    PLANNER,
    Again,
    CheckResult,
    CheckState,
    EndKind,
    Lease,
    Outcome,
    QuestionKind,
    Rung,
    Usage,
    VerdictKind,
    When,
)
from ganger.core.patterns import PathRules
from ganger.core.state import State
from ganger.core.verdict import train_fault

HOLDING = {EndKind.stopped, EndKind.unsent}
"""Ends after which an item is not offered before a person says so."""
FRUITLESS = {EndKind.failed, EndKind.stalled, EndKind.timed_out, EndKind.over_budget}
"""Ends that say nothing good about a kind or an agent."""
STREAK_MAX = 32
NOTIFIED_MAX = 20
"""Notices of persons that are remembered of one run."""


def evolve(state: State, entry: ev.Entry) -> None:
    """Let `entry` become true in `state`, in place."""
    state.seq, state.at_ms = entry.seq, entry.at_ms
    _EVOLVE[type(entry.event)](state, entry, entry.event)


def fold(entries: Iterable[ev.Entry], rules: PathRules | None = None) -> State:
    """Fold a whole journal from nothing."""
    state = State(rules=rules)
    for entry in entries:
        evolve(state, entry)
    return state


def _plan_added(state: State, entry: ev.Entry, event: ev.PlanAdded) -> None:
    before = state.plans.get(event.plan, PlanFacts(""))
    state.plans[event.plan] = replace(
        before,
        digest=event.digest,
        path=event.path,
        still_open=event.still_open,
        unreadable=len(event.unreadable),
    )


def _change_plan(state: State, plan: PlanId, **changes: Any) -> None:
    state.plans[plan] = replace(state.plans.get(plan, PlanFacts("")), **changes)


def _plan_paused(state: State, entry: ev.Entry, event: ev.PlanPaused) -> None:
    _change_plan(state, event.plan, paused=True)


def _plan_resumed(state: State, entry: ev.Entry, event: ev.PlanResumed) -> None:
    _change_plan(state, event.plan, paused=False, stopped="")


def _plan_stopped(state: State, entry: ev.Entry, event: ev.PlanStopped) -> None:
    _change_plan(state, event.plan, stopped=event.reason or "no reason given")


def _plan_steered(state: State, entry: ev.Entry, event: ev.PlanSteered) -> None:
    _change_plan(state, event.plan, steer=event.text)


def _schedule_set(state: State, entry: ev.Entry, event: ev.ScheduleSet) -> None:
    state.schedules[event.name] = Schedule(event.path, event.every_ms, event.next_ms)


def _schedule_fired(state: State, entry: ev.Entry, event: ev.ScheduleFired) -> None:
    found = state.schedules.get(event.name)
    if found is not None:
        state.schedules[event.name] = replace(found, next_ms=event.next_ms)


def _schedule_dropped(state: State, entry: ev.Entry, event: ev.ScheduleDropped) -> None:
    state.schedules.pop(event.name, None)


def brief_crc(brief: str) -> int:
    """The checksum of a brief, to tell it from another."""
    return crc32(brief.encode("utf-8", "surrogatepass"))


def text_mark(text: str) -> tuple[int, int]:
    """By what a text is known again."""
    return brief_crc(text), len(text)


def _item_added(state: State, entry: ev.Entry, event: ev.ItemAdded) -> None:
    item = Item(spec=event.spec, seq=entry.seq, hold=event.spec.hold, brief_crc=brief_crc(event.brief))
    if event.spec.kind == PLANNER:
        _change_plan(state, event.spec.plan, replans=state.plans.get(event.spec.plan, PlanFacts("")).replans + 1)
    else:
        parent = state.items.get(event.spec.parent)
        filed = parent is not None and parent.spec.kind == PLANNER
        if not (event.spec.spawner or event.spec.question):
            _change_plan(state, event.spec.plan, drained=False, quiet_replans=0, filed=filed)
    state.link(item)
    state.put_item(item)
    state.refresh_dependents(event.spec.id)


def _item_revised(state: State, entry: ev.Entry, event: ev.ItemRevised) -> None:
    """Follow the plan; a hold that a person has lifted stays lifted while the plan says the same about it."""
    old = state.items.get(event.spec.id)
    if old is None:
        return _item_added(state, entry, ev.ItemAdded(event.spec, event.brief))
    same = event.spec.hold == old.spec.hold
    hold = old.hold if same and not old.withdrawn else event.spec.hold
    item = replace(old, spec=event.spec, hold=hold, withdrawn=False, brief_crc=brief_crc(event.brief))
    state.forget_links()
    state.put_revised(item)
    return None


def _item_withdrawn(state: State, entry: ev.Entry, event: ev.ItemWithdrawn) -> None:
    if event.item in state.items:
        state.put_item(replace(state.items[event.item], withdrawn=True))


def _item_waited(state: State, entry: ev.Entry, event: ev.ItemWaited) -> None:
    if event.item in state.items:
        item, waiting = state.items[event.item], (event.code, event.holder)
        since_ms = item.waiting_ms if item.waiting == waiting else entry.at_ms
        state.put_item(replace(item, waiting=waiting, waiting_ms=since_ms, again_ms=event.again_ms))


def _item_retried(state: State, entry: ev.Entry, event: ev.ItemRetried) -> None:
    if event.item in state.items:
        fresh = {"failures": 0, "cool_until_ms": 0, "stopped": "", "hold": None, "waiting": None, "again_ms": 0}
        state.put_item(replace(state.items[event.item], terminal=False, finished=False, undone=None, **fresh))


def _run_granted(state: State, entry: ev.Entry, event: ev.RunGranted) -> None:
    lease = Lease(Token(entry.seq), event.scope, event.mode, event.expires_ms, event.lane, event.alone)
    state.granted += bool(event.scope) and not event.spawner
    state.put_run(
        Run(
            id=event.run,
            item=event.item,
            attempt=event.attempt,
            base=event.base,
            agent=event.agent,
            lease=lease,
            granted_ms=entry.at_ms,
            kind=event.kind,
            depth=event.depth,
            reserved=event.reserved,
            permit_ms=event.permit_ms,
            root=event.root,
            stands_on=event.stands_on,
            spawner=event.spawner,
        )
    )
    family.after_grant(state, state.runs[event.run])
    if event.item in state.items:
        state.put_item(replace(state.items[event.item], run=event.run, attempts=event.attempt, waiting=None))


def _permit_renewed(state: State, entry: ev.Entry, event: ev.PermitRenewed) -> None:
    run = state.runs.get(event.run)
    if run is not None:
        state.put_run(replace(run, base=event.base, permit_ms=event.permit_ms))


def _lease_granted(state: State, entry: ev.Entry, event: ev.LeaseGranted) -> None:
    lease = Lease(Token(entry.seq), event.scope, event.mode, event.expires_ms, event.lane, event.alone)
    state.put_held(HeldLease(lease_id(entry.seq), event.holder, lease))


def _lease_extended(state: State, entry: ev.Entry, event: ev.LeaseExtended) -> None:
    held = state.held.get(event.lease)
    if held is not None:
        state.put_held(replace(held, lease=replace(held.lease, expires_ms=event.expires_ms)))


def _lease_ended(state: State, entry: ev.Entry, event: ev.LeaseEnded) -> None:
    state.drop_held(event.lease)


def _leases_renewed(state: State, entry: ev.Entry, event: ev.LeasesRenewed) -> None:
    for run_id, until_ms in event.until:
        if run_id in state.runs:
            run = state.runs[run_id]
            state.put_run(replace(run, lease=replace(run.lease, expires_ms=until_ms)))


def _worker_started(state: State, entry: ev.Entry, event: ev.WorkerStarted) -> None:
    """Begin a turn; what its worker said before its start was recorded stays."""
    run = state.runs.get(event.run)
    if run is not None:
        state.put_run(
            replace(
                run,
                turn=event.turn,
                turn_due=run.asked_turn == event.turn and not run.question and not run.parked,
                worker=event.worker,
                started_ms=entry.at_ms,
                exited_ms=0,
                evidence=None,
                verdict=None,
                spent=run.spent_in_all,
                turn_spent=NOTHING,
                repeat=None,
                lost=False,
                flag=None,
            )
        )


def _worker_exited(state: State, entry: ev.Entry, event: ev.WorkerExited) -> None:
    run = state.runs.get(event.run)
    if run is None or run.turn != event.turn or run.exited_ms:
        return
    lived = Usage(wall_ms=max(entry.at_ms - run.started_ms, 0))
    spoken = run.report is not None or run.question or run.parked
    silent = not spoken and run.stop is None and not run.turn_due and not run.rewind
    state.charge(run.item, lived)
    state.put_run(
        replace(
            run,
            exited_ms=entry.at_ms,
            turn_spent=run.turn_spent.plus(lived),
            turn_due=run.turn_due or (silent and run.repeat is not None),
            lost=silent and run.repeat is None and event.lost,
        )
    )


def _turn_repeated(state: State, entry: ev.Entry, event: ev.TurnRepeated) -> None:
    run = state.runs.get(event.run)
    if run is None or run.turn != event.turn or run.stop is not None:
        return
    repeat = Repeat(event.why, event.turn, event.reason, event.not_before_ms)
    again = (*run.repeats, event.why)
    report = None if event.why in (Again.told, Again.idle) else run.report
    due = {"turn_due": bool(run.exited_ms), "reminded": run.reminded or event.why is Again.idle}
    state.put_run(replace(run, repeat=repeat, repeats=again, lost=False, report=report, **due))


def _run_flagged(state: State, entry: ev.Entry, event: ev.RunFlagged) -> None:
    if event.run in state.runs:
        state.put_run(replace(state.runs[event.run], flag=event.liveness))


def _guard_silent(state: State, entry: ev.Entry, event: ev.GuardSilent) -> None:
    if event.run in state.runs:
        state.put_run(replace(state.runs[event.run], unguarded=event.turn))


def _usage_recorded(state: State, entry: ev.Entry, event: ev.UsageRecorded) -> None:
    run = state.runs.get(event.run)
    if run is None or run.turn != event.turn:
        return
    metered = Usage(event.usage.usd_micros, event.usage.tokens, run.turn_spent.wall_ms)
    now = run.turn_spent.at_least(metered)
    state.charge(run.item, now.minus(run.turn_spent))
    state.put_run(replace(run, turn_spent=now))


def _provider_limited(state: State, entry: ev.Entry, event: ev.ProviderLimited) -> None:
    before = state.windows.get(event.provider)
    if before is None or before.until_ms < event.until_ms:
        state.windows[event.provider] = Window(event.until_ms, event.reason)


def _breaker_opened(state: State, entry: ev.Entry, event: ev.BreakerOpened) -> None:
    state.breakers[event.key] = Breaker(event.until_ms, event.reason, event.launch)


def _breaker_closed(state: State, entry: ev.Entry, event: ev.BreakerClosed) -> None:
    state.breakers.pop(event.key, None)
    state.streaks.pop(event.key, None)


def _run_rewound(state: State, entry: ev.Entry, event: ev.RunRewound) -> None:
    """Forget what the turn came to. A worker that was due may have been started unrecorded: its number is used up."""
    run = state.runs.get(event.run)
    if run is None or run.stop is not None:
        return
    for question in run.questions:
        state.questions.pop(question, None)
    state.search = train.without(state.search, run.id)
    state.put_run(
        replace(
            run,
            rewind=event.commit,
            also_asked=(),
            turn=run.turn_speaking,
            turn_due=False,
            question=QuestionId(""),
            parked=False,
            report=None,
            evidence=None,
            verdict=None,
            accepted_seq=Seq(0),
            repeat=None,
            lost=False,
            reminded=False,
        )
    )


def _workspace_rewound(state: State, entry: ev.Entry, event: ev.WorkspaceRewound) -> None:
    run = state.runs.get(event.run)
    if run is not None and run.rewind == event.commit:
        repeat = Repeat(Again.rewound, run.turn, "a person put the workspace back to a checkpoint")
        again = (*run.repeats, Again.rewound)
        due = run.stop is None
        state.put_run(replace(run, rewind=Commit(""), repeat=repeat, repeats=again, turn_due=due))


def _forbade(state: State, entry: ev.Entry, event: ev.Forbade) -> None:
    if event.run in state.runs:
        run = state.runs[event.run]
        state.put_run(replace(run, forbidden=(*run.forbidden, event.what)))


def _message_sent(state: State, entry: ev.Entry, event: ev.MessageSent) -> None:
    run = state.runs.get(event.run)
    if run is not None:
        notified = run.notified
        if event.by and event.when is When.notice:
            notified = (*notified, (*text_mark(event.text), entry.at_ms))[-NOTIFIED_MAX:]
        messages = (*run.messages, Unread(entry.seq, event.when, child=bool(event.child)))
        reminded = run.reminded and not event.by
        state.put_run(replace(run, messages=messages, notified=notified, reminded=reminded))


def _fact_added(state: State, entry: ev.Entry, event: ev.FactAdded) -> None:
    state.known[entry.seq] = event.run
    run = state.runs.get(event.run)
    if run is not None:
        state.put_run(replace(run, facts=run.facts + 1))


def _fact_retracted(state: State, entry: ev.Entry, event: ev.FactRetracted) -> None:
    state.known.pop(event.fact, None)


def _messages_delivered(state: State, entry: ev.Entry, event: ev.MessagesDelivered) -> None:
    run = state.runs.get(event.run)
    if run is not None:
        handed = {"turn": event.turn, "at_work": event.at_work}
        all_of_it = (replace(one, **handed) if one.seq in event.messages else one for one in run.messages)
        state.put_run(replace(run, messages=tuple(all_of_it)))


def _messages_read(state: State, entry: ev.Entry, event: ev.MessagesRead) -> None:
    run = state.runs.get(event.run)
    if run is not None:
        state.put_run(replace(run, messages=tuple(one for one in run.messages if one.seq not in event.messages)))


def _run_reported(state: State, entry: ev.Entry, event: ev.RunReported) -> None:
    if event.run in state.runs:
        told = replace(state.runs[event.run], report=event.report, reported_ms=entry.at_ms, repeat=None, lost=False)
        state.put_run(told)


def _run_parked(state: State, entry: ev.Entry, event: ev.RunParked) -> None:
    if event.run in state.runs:
        family.after_park(state, state.runs[event.run], entry.at_ms)


def _shown_only(state: State, entry: ev.Entry, event: Any) -> None:
    """Notes, boards, tool uses and prunings change nothing that is decided upon."""


def _question_asked(state: State, entry: ev.Entry, event: ev.QuestionAsked) -> None:
    question = event.question
    state.questions[question.id] = question
    state.questions_asked += 1
    undo = state.undos.get(Commit(question.subject))
    if question.kind is QuestionKind.undo and undo is not None:
        state.undos[undo.commit] = replace(undo, question=question.id)
    elif question.kind is QuestionKind.no_lines:
        state.put_item(replace(state.items[question.item], question=question.id))
    elif question.run in state.runs:
        run = state.runs[question.run]
        report = None if question.kind is QuestionKind.worker else run.report
        first, *others = (*run.questions, question.id)
        asked = {"question": first, "also_asked": tuple(others), "asked_turn": run.turn_speaking, "report": report}
        asked["consulted"] = run.consulted + bool(question.agent)
        state.put_run(replace(run, reported_ms=entry.at_ms, repeat=None, **asked))
    elif state.landing is not None and question.subject == state.landing.new:
        state.landing = replace(state.landing, question=question.id)
    elif question.kind in closing.QUESTIONS:
        closing.after_question(state, question)


def _question_answered(state: State, entry: ev.Entry, event: ev.QuestionAnswered) -> None:
    question = state.questions.pop(event.question, None)
    if question is None:
        return
    closing.after_answer(state, question)
    if question.kind is QuestionKind.red_target and state.search.red == question.subject:
        state.search = replace(state.search, red=Commit(""))
    undo = state.undos.get(Commit(question.subject))
    if question.kind is QuestionKind.undo and undo is not None:
        state.undos[undo.commit] = replace(undo, question=QuestionId(""))
    elif question.kind is QuestionKind.no_lines:
        state.put_item(replace(state.items[question.item], question=QuestionId("")))
    elif question.run in state.runs:
        run = state.runs[question.run]
        left, others = run.without_question(question.id)
        due = {"turn_due": question.kind is QuestionKind.worker and not left, "question": left, "also_asked": others}
        state.put_run(replace(run, reminded=run.reminded and event.by.startswith(AGENT), **due))
    elif state.landing is not None and state.landing.question == question.id:
        state.landing = replace(state.landing, question=QuestionId(""))


def _question_escalated(state: State, entry: ev.Entry, event: ev.QuestionEscalated) -> None:
    question = state.questions.get(event.question)
    if question is not None:
        state.questions[question.id] = replace(question, agent="")


def _question_withdrawn(state: State, entry: ev.Entry, event: ev.QuestionWithdrawn) -> None:
    question = state.questions.pop(event.question, None)
    if question is None:
        return
    closing.after_answer(state, question)
    run = state.runs.get(question.run)
    if question.kind is QuestionKind.no_lines:
        state.put_item(replace(state.items[question.item], question=QuestionId("")))
    if question.kind is QuestionKind.red_target and state.search.red == question.subject:
        state.search = replace(state.search, red=Commit(""))
    if run is not None and question.id in run.questions:
        left, others = run.without_question(question.id)
        state.put_run(replace(run, question=left, also_asked=others))
    elif state.landing is not None and state.landing.question == question.id:
        state.landing = replace(state.landing, question=QuestionId(""))


def _evidence_recorded(state: State, entry: ev.Entry, event: ev.EvidenceRecorded) -> None:
    if event.run in state.runs:
        run = state.runs[event.run]
        kept = (*(c for c in run.checkpoints if c != event.evidence.commit), event.evidence.commit)
        state.put_run(replace(run, evidence=event.evidence, checkpoints=kept))


def _verdict_given(state: State, entry: ev.Entry, event: ev.VerdictGiven) -> None:
    if event.run in state.runs:
        _count_checks(state, state.runs[event.run])
        if event.verdict.kind is VerdictKind.accepted:
            for key in (f"kind:{state.runs[event.run].kind}", f"agent:{state.runs[event.run].agent}"):
                state.streaks.pop(key, None)
        accepted = event.verdict.kind is VerdictKind.accepted
        state.put_run(
            replace(
                state.runs[event.run],
                verdict=event.verdict,
                rejections=state.runs[event.run].rejections + (event.verdict.kind is VerdictKind.rejected),
                accepted_seq=entry.seq if accepted else Seq(0),
                turn_due=event.again,
                report=None if event.again else state.runs[event.run].report,
            )
        )


def _count_checks(state: State, run: Run) -> None:
    """Note which checks could not be run to an end, which says more about them than about the candidate."""
    for result in run.evidence.checks if run.evidence is not None else ():
        key = f"check:{result.name}"
        if result.state in (CheckState.crashed, CheckState.timed_out):
            _lengthen(state, key, run.item)
        else:
            state.streaks.pop(key, None)


def _lengthen(state: State, key: str, item: str) -> None:
    """Add an item to a streak of fruitless results; the same item twice is still one."""
    earlier = [name for name in state.streaks.get(key, ()) if name != item]
    state.streaks[key] = (*earlier[-(STREAK_MAX - 1) :], item)


def _train_tested(state: State, entry: ev.Entry, event: ev.TrainTested) -> None:
    if event.passed:
        state.search = train.after_pass(state.search, event.old, _argv(event.checks, passed=True))
        if state.landing is not None:
            ready = train.Ready(event.runs, event.commits, event.tree)
            state.search = replace(state.search, ready=ready)
    elif event.runs:
        argv = _argv(event.checks, passed=False)
        found = train.after_failure(state.search, event.runs, event.old, argv, train_fault(event.checks))
        _set_search(state, found)


def _set_search(state: State, found: train.Search) -> None:
    """Take what the train knows by now; of those it has just accused also what their evidence says."""
    known = {case.run for case in state.search.cases}
    for case in found.cases:
        run = state.runs.get(case.run)
        if case.run in known or run is None or run.evidence is None:
            continue
        alone = {result.argv for result in run.evidence.checks if result.state is CheckState.passed}
        is_fine = bool(case.argv) and alone.issuperset(case.argv)
        found = train.known_of(found, run.id, run.base, is_fine, run.evidence.checked_tree == run.evidence.tree)
    state.search = found


def _argv(results: Iterable[CheckResult], *, passed: bool) -> tuple[train.Argv, ...]:
    return tuple(result.argv for result in results if (result.state is CheckState.passed) is passed)


def _candidate_probed(state: State, entry: ev.Entry, event: ev.CandidateProbed) -> None:
    trial = train.Trial((event.run,), event.onto, event.again, event.bare)
    state.search = train.after_trial(state.search, trial, event.passed)
    if event.passed and event.bare:
        state.search = train.after_pass(state.search, state.search.tip, _argv(event.checks, passed=True))


def _landing_started(state: State, entry: ev.Entry, event: ev.LandingStarted) -> None:
    state.landing = Landing(
        *(entry.seq, event.runs, event.old, event.new, event.tree), commits=event.commits, undo=event.undo
    )
    state.touched_runs.update(event.runs)


def _landing_abandoned(state: State, entry: ev.Entry, event: ev.LandingAbandoned) -> None:
    if state.landing is not None and state.landing.new == event.new:
        state.questions.pop(state.landing.question, None)
        state.touched_runs.update(state.landing.runs)
        state.landing = None
        state.search = replace(state.search, ready=None)


def _base_made(state: State, entry: ev.Entry, event: ev.BaseMade) -> None:
    if event.item in state.items:
        made = Foundation(event.root, event.heads, event.commit, event.conflicts)
        state.put_item(replace(state.items[event.item], foundation=made))


def _run_landed(state: State, entry: ev.Entry, event: ev.RunLanded) -> None:
    landing = state.landing
    if landing is not None:
        if state.search.tip != landing.new:
            _set_search(state, train.after_landing(state.search, landing.runs, landing.commits, landing.new))
        left = tuple(run for run in landing.runs if run != event.run)
        if not left:
            state.questions.pop(landing.question, None)
        state.landing = replace(landing, runs=left) if left else None
    run = state.drop_run(event.run)
    if run is not None:
        family.after_end(state, run)
    if run is not None and run.item in state.items:
        landed = {"landed": event.commit, "landed_ms": entry.at_ms, "merge": event.merge, "waiting": None}
        landed["landed_candidate"] = run.evidence.commit if run.evidence is not None else Commit("")
        item = replace(state.items[run.item], run=RunId(""), **landed)
        if event.awaits_ci:
            closing.after_landing(state, item, event.holds, entry.at_ms)
        state.put_item(replace(item, last_end=EndKind.landed, last_reason=""))
        state.refresh_dependents(run.item)
        state.read_back = replace(state.read_back, is_new=False)


def _ci_said(state: State, entry: ev.Entry, event: ev.CiSaid) -> None:
    closing.after_ci(state, event)


def _ci_waived(state: State, entry: ev.Entry, event: ev.CiWaived) -> None:
    closing.close(state, event.commit)


def _target_read(state: State, entry: ev.Entry, event: ev.TargetRead) -> None:
    closing.after_read(state, event)


def _loss_accepted(state: State, entry: ev.Entry, event: ev.LossAccepted) -> None:
    state.read_back = replace(state.read_back, accepted=event.commits)


def _undo_requested(state: State, entry: ev.Entry, event: ev.UndoRequested) -> None:
    state.undos[event.commit] = Undo(
        *(event.commit, event.item, event.run, event.by, event.why, entry.at_ms, event.back)
    )


def _undo_tested(state: State, entry: ev.Entry, event: ev.UndoTested) -> None:
    undo = state.undos.get(event.commit)
    if undo is not None:
        state.undos[event.commit] = replace(undo, changed=event.changed)


def _undo_dropped(state: State, entry: ev.Entry, event: ev.UndoDropped) -> None:
    state.undos.pop(event.commit, None)


def _landing_undone(state: State, entry: ev.Entry, event: ev.LandingUndone) -> None:
    """Take an item off what is shipped, or back; what the train knew was about another tip."""
    landing = state.landing
    if landing is not None and landing.undo == event.commit:
        state.questions.pop(landing.question, None)
        state.landing = None
    state.undos.pop(event.commit, None)
    state.search = train.begun(event.new, state.search.suspects)
    item = state.items.get(event.item)
    if item is None:
        return
    if event.back:
        shipped = {"landed": event.new, "landed_ms": entry.at_ms, "merge": event.new}
        item = replace(item, undone=None, last_end=EndKind.landed, last_reason="", **shipped)
        if event.awaits_ci:
            closing.after_landing(state, item, event.holds, entry.at_ms)
        state.put_item(item)
    else:
        reason = f"undone by {event.by} as {event.new[:12]}" + (f": {event.why}" if event.why else "")
        gone = {"landed": Commit(""), "landed_ms": 0, "merge": Commit("")}
        state.put_item(replace(item, undone=Undone(event.new, event.by), last_reason=reason, **gone))
    state.refresh_dependents(event.item)


def _stop_requested(state: State, entry: ev.Entry, event: ev.StopRequested) -> None:
    run = state.runs.get(event.run)
    if run is not None and run.stop is None:
        stop = Stop(event.end, event.reason)
        state.put_run(replace(run, stop=stop, turn_due=False, accepted_seq=Seq(0), repeat=None, lost=False))
        state.search = train.without(state.search, event.run)


def _run_ended(state: State, entry: ev.Entry, event: ev.RunEnded) -> None:
    run = state.drop_run(event.run)
    if run is None or run.item not in state.items:
        return
    family.after_end(state, run)
    item = state.items[run.item]
    if event.end in FRUITLESS or (event.end is EndKind.rejected and _left_nothing(run)):
        for key in (f"kind:{run.kind}", f"agent:{run.agent}"):
            _lengthen(state, key, run.item)
    if item.spec.kind == PLANNER:
        _planned(state, run, event)
    state.put_item(
        replace(
            item,
            finished=event.end is EndKind.finished,
            terminal=item.terminal or (event.end is EndKind.stalled and Again.hang in run.repeats),
            run=RunId(""),
            failures=item.failures + event.counts,
            cool_until_ms=event.cool_until_ms,
            stopped=(event.reason or "no reason given") if event.end in HOLDING else item.stopped,
            last_end=event.end,
            last_reason=event.reason,
        )
    )


def _left_nothing(run: Run) -> bool:
    return run.verdict is not None and run.verdict.rung is Rung.reported


def _planned(state: State, run: Run, event: ev.RunEnded) -> None:
    """Take what a planner run came to: new items speak for themselves, a plain word counts, silence does not."""
    plan = state.plans.get(state.items[run.item].spec.plan, PlanFacts(""))
    said = run.report is not None and run.report.source == "worker" and run.report.outcome is Outcome.no_evidence
    drained = (plan.drained or (event.end is EndKind.finished and said)) and not plan.filed
    quiet = 0 if drained or plan.filed else plan.quiet_replans + 1
    _change_plan(state, state.items[run.item].spec.plan, drained=drained, quiet_replans=quiet, filed=False)


def _supervisor_started(state: State, entry: ev.Entry, event: ev.SupervisorStarted) -> None:
    """Take over; a night begins unless the one before left without a word, for then its spending goes on."""
    state.epoch = entry.seq
    if state.left_in_order or not state.night_ms:
        state.night_ms = entry.at_ms
        state.accounts = {key: usage for key, usage in state.accounts.items() if key.startswith("item:")}
    state.left_in_order = False


def _supervisor_stopped(state: State, entry: ev.Entry, event: ev.SupervisorStopped) -> None:
    state.left_in_order = True


_EVOLVE: dict[type, Callable[[State, ev.Entry, Any], None]] = {
    ev.PlanAdded: _plan_added,
    ev.PlanPaused: _plan_paused,
    ev.PlanResumed: _plan_resumed,
    ev.PlanStopped: _plan_stopped,
    ev.PlanSteered: _plan_steered,
    ev.ScheduleSet: _schedule_set,
    ev.ScheduleFired: _schedule_fired,
    ev.ScheduleDropped: _schedule_dropped,
    ev.PermitRenewed: _permit_renewed,
    ev.LeaseGranted: _lease_granted,
    ev.LeaseExtended: _lease_extended,
    ev.LeaseEnded: _lease_ended,
    ev.TurnRepeated: _turn_repeated,
    ev.RunFlagged: _run_flagged,
    ev.UsageRecorded: _usage_recorded,
    ev.ProviderLimited: _provider_limited,
    ev.BreakerOpened: _breaker_opened,
    ev.BreakerClosed: _breaker_closed,
    ev.RunRewound: _run_rewound,
    ev.WorkspaceRewound: _workspace_rewound,
    ev.Forbade: _forbade,
    ev.RunPruned: _shown_only,
    ev.ItemAdded: _item_added,
    ev.ItemRevised: _item_revised,
    ev.ItemWithdrawn: _item_withdrawn,
    ev.ItemWaited: _item_waited,
    ev.ItemRetried: _item_retried,
    ev.RunGranted: _run_granted,
    ev.BaseMade: _base_made,
    ev.LeasesRenewed: _leases_renewed,
    ev.WorkerStarted: _worker_started,
    ev.WorkerExited: _worker_exited,
    ev.RunReported: _run_reported,
    ev.RunParked: _run_parked,
    ev.NoteAdded: _shown_only,
    ev.FactAdded: _fact_added,
    ev.FactRetracted: _fact_retracted,
    ev.MessageSent: _message_sent,
    ev.MessagesDelivered: _messages_delivered,
    ev.MessagesRead: _messages_read,
    ev.ToolsUsed: _shown_only,
    ev.GuardSilent: _guard_silent,
    ev.TodosSet: _shown_only,
    ev.QuestionAsked: _question_asked,
    ev.QuestionAnswered: _question_answered,
    ev.QuestionEscalated: _question_escalated,
    ev.QuestionWithdrawn: _question_withdrawn,
    ev.EvidenceRecorded: _evidence_recorded,
    ev.VerdictGiven: _verdict_given,
    ev.TrainTested: _train_tested,
    ev.CandidateProbed: _candidate_probed,
    ev.PairFound: _shown_only,
    ev.TargetFoundRed: _shown_only,
    ev.LandingStarted: _landing_started,
    ev.LandingAbandoned: _landing_abandoned,
    ev.RunLanded: _run_landed,
    ev.CiSaid: _ci_said,
    ev.CiWaived: _ci_waived,
    ev.TargetRead: _target_read,
    ev.LossAccepted: _loss_accepted,
    ev.UndoRequested: _undo_requested,
    ev.UndoTested: _undo_tested,
    ev.UndoDropped: _undo_dropped,
    ev.LandingUndone: _landing_undone,
    ev.StopRequested: _stop_requested,
    ev.RunEnded: _run_ended,
    ev.SupervisorStarted: _supervisor_started,
    ev.SupervisorStopped: _supervisor_stopped,
}
