"""Tables for reading, kept by the same transaction that appends an entry, and rebuilt from the journal at will.

Nothing reads them to decide: they may be dropped at any time (`ganger journal replay --rebuild`). What an event says
is written by the modules `project_*`, a function each; what follows from it is taken from the state it evolved to.
"""

from __future__ import annotations

import apsw

from ganger.core import events as ev
from ganger.core.facts import Item
from ganger.core.ids import PlanId, RunId, Seq, lease_id
from ganger.core.lifecycle import item_status, run_status
from ganger.core.state import State
from ganger.journal import project_fleet, project_plans, project_runs

FAR_FUTURE_MS = 1 << 62
"""Item statuses are stored as they are when no wait is left; readers look at `cool_until_ms` themselves."""
MENTIONED_MAX = 64
"""Commits by which an entry about many can be found."""
_PROJECT = project_plans.PROJECT | project_runs.PROJECT | project_fleet.PROJECT


def fact_name(fact: Seq) -> str:
    """By which name a fact can be found."""
    return f"fact:{fact}"


def subject_of(event: ev.Event) -> str:
    """The run, item, question, lease, `plan:NAME`, `schedule:NAME` or breaker an event is about.

    Empty when it is about none of them, or about many: those are found by `mentioned_in`.
    """
    match event:
        case ev.ItemAdded() | ev.ItemRevised():
            return event.spec.id
        case ev.ItemWithdrawn() | ev.ItemWaited() | ev.ItemRetried():
            return event.item
        case ev.BaseMade():
            return event.item
        case ev.UndoRequested() | ev.UndoTested() | ev.UndoDropped() | ev.LandingUndone():
            return event.item
        case ev.QuestionAsked():
            return event.question.run or event.question.id
        case ev.FactRetracted():
            return fact_name(event.fact)
        case ev.QuestionAnswered() | ev.QuestionEscalated() | ev.QuestionWithdrawn():
            return event.question
        case ev.LeaseExtended() | ev.LeaseEnded():
            return event.lease
        case ev.PlanPaused() | ev.PlanResumed() | ev.PlanStopped() | ev.PlanSteered():
            return f"plan:{event.plan}"
        case ev.ScheduleSet() | ev.ScheduleFired() | ev.ScheduleDropped():
            return f"schedule:{event.name}"
        case ev.BreakerOpened() | ev.BreakerClosed():
            return event.key
        case ev.PlanAdded() | ev.LeasesRenewed() | ev.TrainTested() | ev.LandingStarted() | ev.LandingAbandoned():
            return ""
        case ev.CiSaid() | ev.CiWaived():
            return event.commit
        case ev.TargetRead() | ev.LossAccepted():
            return ""
        case ev.SupervisorStarted() | ev.SupervisorStopped() | ev.LeaseGranted():
            return ""
        case _:
            return event.run


def mentioned_in(entry: ev.Entry) -> tuple[str, ...]:
    """The other names by which an entry can be found: runs of a batch, commits, a lease by its own position.

    Renewals are left out: they come every few seconds, and say nothing that the end of a lease does not.
    """
    event = entry.event
    match event:
        case ev.PlanAdded():
            names: tuple[str, ...] = (f"plan:{event.plan}",)
        case ev.ItemAdded() | ev.ItemRevised():
            names = (event.spec.parent,)
        case ev.RunGranted():
            names = (event.item, lease_id(entry.seq))
        case ev.LeaseGranted():
            names = (lease_id(entry.seq),)
        case ev.FactAdded():
            names = (fact_name(entry.seq),)
        case ev.QuestionAsked():
            names = (event.question.id, event.question.item, event.question.subject)
        case ev.EvidenceRecorded():
            names = (event.evidence.commit,)
        case ev.VerdictGiven() | ev.RunLanded() | ev.RunRewound() | ev.WorkspaceRewound():
            names = (event.commit,)
        case ev.TrainTested():
            names = (*event.runs, *(run for run, _ in event.conflicts), event.commit)
        case ev.PairFound():
            names = (event.other, event.commit)
        case ev.CandidateProbed():
            names = (event.onto,)
        case ev.TargetFoundRed():
            names = (event.commit,)
        case ev.LandingStarted():
            names = (*event.runs, event.new)
        case ev.LandingAbandoned():
            names = (event.new,)
        case ev.BaseMade():
            names = (*(run for run, _ in event.heads), event.commit)
        case ev.TargetRead():
            names = (event.tip, *event.missing[:MENTIONED_MAX])
        case ev.LossAccepted():
            names = event.commits[:MENTIONED_MAX]
        case ev.UndoRequested():
            names = (event.run, event.commit)
        case ev.UndoTested():
            names = (event.commit, event.new)
        case ev.LandingUndone():
            names = (event.run, event.commit, event.new)
        case _:
            names = ()
    return tuple(dict.fromkeys(name for name in names if name))


def project(db: apsw.Connection, state: State, entry: ev.Entry) -> None:
    """Let `entry`, already evolved into `state`, show in the tables."""
    event = entry.event
    for name in mentioned_in(entry):
        db.execute("INSERT INTO mentions VALUES (?,?)", (name, entry.seq))
    apply = _PROJECT.get(type(event))
    if apply is not None:
        apply(db, entry, event)
    if isinstance(event, (ev.PlanPaused, ev.PlanResumed, ev.PlanStopped, ev.PlanSteered)):
        _plan_row(db, state, event.plan)
    items, runs = state.take_touched()
    for item_id in items:
        item = state.items.get(item_id)
        if item is not None:
            _item_row(db, state, item)
    for run_id in runs:
        _run_row(db, state, run_id)


def _plan_row(db: apsw.Connection, state: State, plan: PlanId) -> None:
    facts = state.plans[plan]
    shown = "stopped" if facts.stopped else "paused" if facts.paused else "active"
    db.execute("UPDATE plans SET state=?, reason=?, steer=? WHERE id=?", (shown, facts.stopped, facts.steer, plan))


def _item_row(db: apsw.Connection, state: State, item: Item) -> None:
    status = item_status(state, item, FAR_FUTURE_MS)
    db.execute(
        "UPDATE items SET status=?, run=?, attempts=?, failures=?, cool_until_ms=?, landed=?, landed_ms=?, reason=?"
        " WHERE id=?",
        (
            *(status.value, item.run, item.attempts, item.failures, item.cool_until_ms),
            *(item.landed, item.landed_ms, item.last_reason, item.spec.id),
        ),
    )


def _run_row(db: apsw.Connection, state: State, run_id: RunId) -> None:
    """Keep the row of a live run; that of an ended one stays as its last entries left it."""
    run = state.runs.get(run_id)
    if run is None:
        return
    spent = run.spent_in_all
    db.execute(
        "UPDATE runs SET status=?, turn=?, expires_ms=?, liveness=?, usd_micros=?, tokens=?, wall_ms=? WHERE id=?",
        (
            *(run_status(state, run).value, run.turn, run.lease.expires_ms, run.flag or ""),
            *(spent.usd_micros, spent.tokens, spent.wall_ms, run_id),
        ),
    )
