"""Tables for reading, kept by the same transaction that appends an entry, and rebuilt from the journal at will.

Nothing reads them to decide: they may be dropped at any time (`ganger journal replay --rebuild`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from ganger.core import events as ev
from ganger.core.ids import RunId
from ganger.core.lifecycle import item_status, run_status
from ganger.core.model import EndKind
from ganger.core.state import Item, State

FAR_FUTURE_MS = 1 << 62
"""Item statuses are stored as they are when no wait is left; readers look at `cool_until_ms` themselves."""

_json = msgspec.json.Encoder().encode


def _text(value: Any) -> str:
    return _json(value).decode()


def subject_of(event: ev.Event) -> str:
    """The run or item an event is about; empty when it is about neither or about many."""
    match event:
        case ev.ItemAdded() | ev.ItemRevised():
            return event.spec.id
        case ev.ItemWithdrawn() | ev.ItemWaited() | ev.ItemRetried():
            return event.item
        case ev.QuestionAsked():
            return event.question.run or event.question.id
        case ev.QuestionAnswered() | ev.QuestionWithdrawn():
            return event.question
        case ev.PlanAdded() | ev.LeasesRenewed() | ev.TrainTested() | ev.LandingStarted() | ev.LandingAbandoned():
            return ""
        case ev.SupervisorStarted() | ev.SupervisorStopped():
            return ""
        case _:
            return event.run


def project(db: apsw.Connection, state: State, entry: ev.Entry) -> None:
    """Let `entry`, already evolved into `state`, show in the tables."""
    apply = _PROJECT.get(type(entry.event))
    if apply is not None:
        apply(db, entry, entry.event)
    items, runs = state.take_touched()
    for item_id in items:
        item = state.items.get(item_id)
        if item is not None:
            _item_row(db, state, item)
    for run_id in runs:
        _run_row(db, state, run_id)


def _item_row(db: apsw.Connection, state: State, item: Item) -> None:
    reason = item.last_reason
    status = item_status(state, item, FAR_FUTURE_MS)
    db.execute(
        "UPDATE items SET status=?, run=?, attempts=?, failures=?, cool_until_ms=?, landed=?, landed_ms=?, reason=?"
        " WHERE id=?",
        (
            *(status.value, item.run, item.attempts, item.failures, item.cool_until_ms),
            *(item.landed, item.landed_ms, reason, item.spec.id),
        ),
    )


def _run_row(db: apsw.Connection, state: State, run_id: RunId) -> None:
    run = state.runs.get(run_id)
    if run is not None:
        db.execute(
            "UPDATE runs SET status=?, turn=?, expires_ms=? WHERE id=?",
            (run_status(state, run).value, run.turn, run.lease.expires_ms, run_id),
        )


def _plan_added(db: apsw.Connection, entry: ev.Entry, event: ev.PlanAdded) -> None:
    db.execute(
        "INSERT INTO plans VALUES (?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET title=excluded.title, path=excluded.path, digest=excluded.digest",
        (event.plan, event.title, event.path, event.digest),
    )


def _item_added(db: apsw.Connection, entry: ev.Entry, event: ev.ItemAdded | ev.ItemRevised) -> None:
    spec = event.spec
    db.execute(
        "INSERT INTO items VALUES (?,?,?,?,?,?,?,'','',0,0,0,'',0,'') ON CONFLICT (id) DO UPDATE SET"
        " plan=excluded.plan, title=excluded.title, brief=excluded.brief, spec=excluded.spec,"
        " priority=excluded.priority",
        (spec.id, spec.plan, entry.seq, spec.title, event.brief, _text(spec), spec.priority),
    )


def _item_waited(db: apsw.Connection, entry: ev.Entry, event: ev.ItemWaited) -> None:
    db.execute(
        "INSERT INTO waits VALUES (?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.item, event.code.value, event.reason, event.holder),
    )


def _run_granted(db: apsw.Connection, entry: ev.Entry, event: ev.RunGranted) -> None:
    db.execute(
        "INSERT INTO runs (id,item,attempt,token,agent,base,scope,status,turn,granted_ms,expires_ms)"
        " VALUES (?,?,?,?,?,?,?,'starting',0,?,?)",
        (
            *(event.run, event.item, event.attempt, entry.seq, event.agent, event.base),
            *(_text(event.scope), entry.at_ms, event.expires_ms),
        ),
    )


def _worker_started(db: apsw.Connection, entry: ev.Entry, event: ev.WorkerStarted) -> None:
    db.execute(
        "INSERT INTO turns (run,turn,pid,started_ms) VALUES (?,?,?,?) ON CONFLICT (run,turn) DO NOTHING",
        (event.run, event.turn, event.worker.pid, entry.at_ms),
    )


def _worker_exited(db: apsw.Connection, entry: ev.Entry, event: ev.WorkerExited) -> None:
    db.execute(
        "UPDATE turns SET exited_ms=?, code=?, signal=?, cpu_ms=? WHERE run=? AND turn=?",
        (entry.at_ms, event.code, event.signal, event.cpu_ms, event.run, event.turn),
    )


def _run_reported(db: apsw.Connection, entry: ev.Entry, event: ev.RunReported) -> None:
    db.execute(
        "UPDATE turns SET reported_ms=?, report=? WHERE run=? AND turn=?",
        (entry.at_ms, _text(event.report), event.run, event.turn),
    )


def _note_added(db: apsw.Connection, entry: ev.Entry, event: ev.NoteAdded) -> None:
    db.execute("UPDATE runs SET note=? WHERE id=?", (event.text, event.run))


def _todos_set(db: apsw.Connection, entry: ev.Entry, event: ev.TodosSet) -> None:
    db.execute("UPDATE runs SET todos=? WHERE id=?", (_text(event.todos), event.run))


def _question_asked(db: apsw.Connection, entry: ev.Entry, event: ev.QuestionAsked) -> None:
    asked = event.question
    db.execute(
        "INSERT INTO questions (id,kind,text,options,recommend,risk,run,item,subject,asked_ms,state)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,'open')",
        (
            *(asked.id, asked.kind.value, asked.text, _text(asked.options), asked.recommend, asked.risk),
            *(asked.run, asked.item, asked.subject, entry.at_ms),
        ),
    )


def _question_answered(db: apsw.Connection, entry: ev.Entry, event: ev.QuestionAnswered) -> None:
    db.execute(
        "UPDATE questions SET state='answered', choice=?, by=?, closed_ms=? WHERE id=?",
        (event.choice, event.by, entry.at_ms, event.question),
    )


def _question_withdrawn(db: apsw.Connection, entry: ev.Entry, event: ev.QuestionWithdrawn) -> None:
    db.execute(
        "UPDATE questions SET state='withdrawn', choice=?, closed_ms=? WHERE id=?",
        (event.reason, entry.at_ms, event.question),
    )


def _evidence_recorded(db: apsw.Connection, entry: ev.Entry, event: ev.EvidenceRecorded) -> None:
    db.execute(
        "UPDATE turns SET judged_ms=?, evidence=? WHERE run=? AND turn=?",
        (entry.at_ms, _text(event.evidence), event.run, event.turn),
    )


def _verdict_given(db: apsw.Connection, entry: ev.Entry, event: ev.VerdictGiven) -> None:
    db.execute(
        "UPDATE turns SET verdict=? WHERE run=? AND turn=(SELECT turn FROM runs WHERE id=?)",
        (_text(event.verdict), event.run, event.run),
    )


def _train_tested(db: apsw.Connection, entry: ev.Entry, event: ev.TrainTested) -> None:
    db.execute(
        "INSERT INTO trains (seq,at_ms,runs,old,new,tree,passed,checks,conflicts,took_ms) VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            *(entry.seq, entry.at_ms, _text(event.runs), event.old, event.commit, event.tree, event.passed),
            *(_text(event.checks), _text(event.conflicts), event.took_ms),
        ),
    )


def _landing_abandoned(db: apsw.Connection, entry: ev.Entry, event: ev.LandingAbandoned) -> None:
    db.execute("UPDATE trains SET reason=? WHERE new=? AND landed_ms=0", (event.reason, event.new))
    _close_landing_questions(db, entry, event.new, event.reason)


def _close_landing_questions(db: apsw.Connection, entry: ev.Entry, commit: str, why: str) -> None:
    db.execute(
        "UPDATE questions SET state='withdrawn', choice=?, closed_ms=? WHERE state='open' AND subject=? AND run=''",
        (why, entry.at_ms, commit),
    )


def _run_landed(db: apsw.Connection, entry: ev.Entry, event: ev.RunLanded) -> None:
    db.execute(
        "UPDATE runs SET status='landed', ending='landed', landed=?, ended_ms=? WHERE id=?",
        (event.commit, entry.at_ms, event.run),
    )
    db.execute("UPDATE trains SET landed_ms=? WHERE new=? AND landed_ms=0", (entry.at_ms, event.commit))
    _close_landing_questions(db, entry, event.commit, EndKind.landed.value)


def _run_ended(db: apsw.Connection, entry: ev.Entry, event: ev.RunEnded) -> None:
    db.execute(
        "UPDATE runs SET status=?, ending=?, reason=?, counts=?, ended_ms=?, kept=? WHERE id=?",
        (event.end.value, event.end.value, event.reason, event.counts, entry.at_ms, _text(event.kept), event.run),
    )
    db.execute(
        "UPDATE questions SET state='withdrawn', choice=?, closed_ms=? WHERE state='open' AND run=?",
        (event.reason, entry.at_ms, event.run),
    )


def _supervisor_started(db: apsw.Connection, entry: ev.Entry, event: ev.SupervisorStarted) -> None:
    db.execute(
        "INSERT INTO supervisors (seq,pid,host,version,started_ms) VALUES (?,?,?,?,?)",
        (entry.seq, event.pid, event.host, event.version, entry.at_ms),
    )


def _supervisor_stopped(db: apsw.Connection, entry: ev.Entry, event: ev.SupervisorStopped) -> None:
    db.execute(
        "UPDATE supervisors SET stopped_ms=?, reason=?"
        " WHERE seq=(SELECT max(seq) FROM supervisors WHERE pid=? AND stopped_ms=0)",
        (entry.at_ms, event.reason, event.pid),
    )


_PROJECT: dict[type, Callable[[apsw.Connection, ev.Entry, Any], None]] = {
    ev.PlanAdded: _plan_added,
    ev.ItemAdded: _item_added,
    ev.ItemRevised: _item_added,
    ev.ItemWaited: _item_waited,
    ev.RunGranted: _run_granted,
    ev.WorkerStarted: _worker_started,
    ev.WorkerExited: _worker_exited,
    ev.RunReported: _run_reported,
    ev.NoteAdded: _note_added,
    ev.TodosSet: _todos_set,
    ev.QuestionAsked: _question_asked,
    ev.QuestionAnswered: _question_answered,
    ev.QuestionWithdrawn: _question_withdrawn,
    ev.EvidenceRecorded: _evidence_recorded,
    ev.VerdictGiven: _verdict_given,
    ev.TrainTested: _train_tested,
    ev.LandingAbandoned: _landing_abandoned,
    ev.RunLanded: _run_landed,
    ev.RunEnded: _run_ended,
    ev.SupervisorStarted: _supervisor_started,
    ev.SupervisorStopped: _supervisor_stopped,
}
