"""What entries about runs write into the tables: turns, questions, evidence, batches, landings, rewinds, prunings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from ganger.core import events as ev
from ganger.core.model import CI_CLOSES, EndKind
from ganger.journal.project_plans import text


def _run_granted(db: apsw.Connection, entry: ev.Entry, event: ev.RunGranted) -> None:
    db.execute(
        "INSERT INTO runs (id,item,attempt,token,agent,base,scope,status,turn,granted_ms,expires_ms,kind,lane,mode,"
        "alone,depth,permit_ms,forced_by,reserved,spawner) VALUES (?,?,?,?,?,?,?,'starting',0,?,?,?,?,?,?,?,?,?,?,?)",
        (
            *(event.run, event.item, event.attempt, entry.seq, event.agent, event.base, text(event.scope)),
            *(entry.at_ms, event.expires_ms, event.kind, event.lane, event.mode.value, event.alone, event.depth),
            *(event.permit_ms, event.forced_by, text(event.reserved), event.spawner),
        ),
    )


def _worker_started(db: apsw.Connection, entry: ev.Entry, event: ev.WorkerStarted) -> None:
    db.execute(
        "INSERT INTO turns (run,turn,pid,started_ms) VALUES (?,?,?,?) ON CONFLICT (run,turn) DO NOTHING",
        (event.run, event.turn, event.worker.pid, entry.at_ms),
    )


def _worker_exited(db: apsw.Connection, entry: ev.Entry, event: ev.WorkerExited) -> None:
    db.execute(
        "UPDATE turns SET exited_ms=?, code=?, signal=?, cpu_ms=?, lost=?, wall_ms=max(0, ?-started_ms)"
        " WHERE run=? AND turn=?",
        (
            *(entry.at_ms, event.code, event.signal, event.cpu_ms, event.lost, entry.at_ms),
            *(event.run, event.turn),
        ),
    )


def _usage_recorded(db: apsw.Connection, entry: ev.Entry, event: ev.UsageRecorded) -> None:
    """Keep the largest of each figure: a record that comes late takes nothing back."""
    db.execute(
        "UPDATE turns SET usd_micros=max(usd_micros,?), tokens=max(tokens,?) WHERE run=? AND turn=?",
        (event.usage.usd_micros, event.usage.tokens, event.run, event.turn),
    )


def _turn_repeated(db: apsw.Connection, entry: ev.Entry, event: ev.TurnRepeated) -> None:
    db.execute(
        "INSERT INTO repeats VALUES (?,?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.run, event.turn, event.why.value, event.reason, event.not_before_ms),
    )


def _run_flagged(db: apsw.Connection, entry: ev.Entry, event: ev.RunFlagged) -> None:
    db.execute("UPDATE runs SET liveness_reason=?, flagged_ms=? WHERE id=?", (event.reason, entry.at_ms, event.run))


def _permit_renewed(db: apsw.Connection, entry: ev.Entry, event: ev.PermitRenewed) -> None:
    db.execute("UPDATE runs SET base=?, permit_ms=? WHERE id=?", (event.base, event.permit_ms, event.run))


def _run_rewound(db: apsw.Connection, entry: ev.Entry, event: ev.RunRewound) -> None:
    db.execute(
        "INSERT INTO rewinds (seq,at_ms,run,checkpoint,note,by) VALUES (?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.run, event.commit, event.note, event.by),
    )


def _workspace_rewound(db: apsw.Connection, entry: ev.Entry, event: ev.WorkspaceRewound) -> None:
    db.execute(
        "UPDATE rewinds SET done_ms=? WHERE run=? AND checkpoint=? AND done_ms=0",
        (entry.at_ms, event.run, event.commit),
    )


def _run_pruned(db: apsw.Connection, entry: ev.Entry, event: ev.RunPruned) -> None:
    db.execute(
        "INSERT INTO prunings VALUES (?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.run, text(event.classes), event.unreviewed),
    )


def _run_reported(db: apsw.Connection, entry: ev.Entry, event: ev.RunReported) -> None:
    db.execute(
        "UPDATE turns SET reported_ms=?, report=? WHERE run=? AND turn=?",
        (entry.at_ms, text(event.report), event.run, event.turn),
    )


def _note_added(db: apsw.Connection, entry: ev.Entry, event: ev.NoteAdded) -> None:
    db.execute("UPDATE runs SET note=? WHERE id=?", (event.text, event.run))


def _fact_added(db: apsw.Connection, entry: ev.Entry, event: ev.FactAdded) -> None:
    db.execute(
        "INSERT INTO facts (seq,at_ms,text,about,by,run) VALUES (?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.text, text(event.about), event.by, event.run),
    )


def _fact_retracted(db: apsw.Connection, entry: ev.Entry, event: ev.FactRetracted) -> None:
    db.execute(
        "UPDATE facts SET ended_ms=?, ended_by=?, why=? WHERE seq=?", (entry.at_ms, event.by, event.why, event.fact)
    )


def _message_sent(db: apsw.Connection, entry: ev.Entry, event: ev.MessageSent) -> None:
    db.execute(
        "INSERT INTO messages (seq,at_ms,run,text,due,by,landing) VALUES (?,?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.run, event.text, event.when.value, event.by, event.landing),
    )


def _messages_delivered(db: apsw.Connection, entry: ev.Entry, event: ev.MessagesDelivered) -> None:
    db.executemany(
        "UPDATE messages SET state='delivered', turn=?, at_work=?, delivered_ms=? WHERE seq=?",
        [(event.turn, event.at_work, entry.at_ms, seq) for seq in event.messages],
    )


def _messages_read(db: apsw.Connection, entry: ev.Entry, event: ev.MessagesRead) -> None:
    db.executemany(
        "UPDATE messages SET state='read', read_ms=? WHERE seq=?", [(entry.at_ms, seq) for seq in event.messages]
    )


def _close_messages(db: apsw.Connection, entry: ev.Entry, run: str) -> None:
    """What a run has not read when it ends, it never will."""
    db.execute(
        "UPDATE messages SET state='undeliverable', ended_ms=? WHERE run=? AND state IN ('queued','delivered')",
        (entry.at_ms, run),
    )


def _todos_set(db: apsw.Connection, entry: ev.Entry, event: ev.TodosSet) -> None:
    db.execute("UPDATE runs SET todos=? WHERE id=?", (text(event.todos), event.run))


def _question_asked(db: apsw.Connection, entry: ev.Entry, event: ev.QuestionAsked) -> None:
    asked = event.question
    db.execute(
        "INSERT INTO questions (id,kind,text,options,recommend,risk,run,item,subject,asked_ms,state,agent,until_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,'open',?,?)",
        (
            *(asked.id, asked.kind.value, asked.text, text(asked.options), asked.recommend, asked.risk),
            *(asked.run, asked.item, asked.subject, entry.at_ms, asked.agent, asked.until_ms),
        ),
    )


def _question_escalated(db: apsw.Connection, entry: ev.Entry, event: ev.QuestionEscalated) -> None:
    db.execute(
        "UPDATE questions SET agent='', passed=? WHERE id=? AND state='open'",
        (event.reason, event.question),
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
        (entry.at_ms, text(event.evidence), event.run, event.turn),
    )


def _verdict_given(db: apsw.Connection, entry: ev.Entry, event: ev.VerdictGiven) -> None:
    db.execute(
        "UPDATE turns SET verdict=? WHERE run=? AND turn=(SELECT turn FROM runs WHERE id=?)",
        (text(event.verdict), event.run, event.run),
    )


def _train_tested(db: apsw.Connection, entry: ev.Entry, event: ev.TrainTested) -> None:
    db.execute(
        "INSERT INTO trains (seq,at_ms,runs,old,new,tree,passed,checks,conflicts,took_ms,waits)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            *(entry.seq, entry.at_ms, text(event.runs), event.old, event.commit, event.tree, event.passed),
            *(text(event.checks), text(event.conflicts), event.took_ms, text(event.waits)),
        ),
    )


def _undo_requested(db: apsw.Connection, entry: ev.Entry, event: ev.UndoRequested) -> None:
    db.execute(
        "INSERT INTO undos (seq,at_ms,undone,item,run,by,why,back) VALUES (?,?,?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.commit, event.item, event.run, event.by, event.why, event.back),
    )


def _undo_tested(db: apsw.Connection, entry: ev.Entry, event: ev.UndoTested) -> None:
    """Note why it does not land; one that was worked out was tested as a batch without candidates is."""
    db.execute(
        "UPDATE undos SET state=?, reason=? WHERE undone=? AND ended_ms=0",
        ("landing" if event.passed else "stuck", event.reason, event.commit),
    )
    if event.new:
        db.execute(
            "INSERT INTO trains (seq,at_ms,runs,old,new,tree,passed,checks,conflicts,took_ms)"
            " VALUES (?,?,'[]',?,?,?,?,?,'[]',?)",
            (
                *(entry.seq, entry.at_ms, event.old, event.new, event.tree, event.passed),
                *(text(event.checks), event.took_ms),
            ),
        )


def _undo_dropped(db: apsw.Connection, entry: ev.Entry, event: ev.UndoDropped) -> None:
    db.execute(
        "UPDATE undos SET state='dropped', ended_ms=? WHERE undone=? AND ended_ms=0", (entry.at_ms, event.commit)
    )


def _landing_undone(db: apsw.Connection, entry: ev.Entry, event: ev.LandingUndone) -> None:
    db.execute(
        "UPDATE undos SET state='landed', reason='', landed=?, ended_ms=? WHERE undone=? AND ended_ms=0",
        (event.new, entry.at_ms, event.commit),
    )
    db.execute("UPDATE trains SET landed_ms=? WHERE new=? AND landed_ms=0", (entry.at_ms, event.new))
    gone = f"undone by {event.by} as {event.new[:12]}" + (f": {event.why}" if event.why else "")
    db.execute(
        "UPDATE runs SET status=?, landed=?, reason=? WHERE id=?",
        (*(("landed", event.new, "") if event.back else ("undone", "", gone)), event.run),
    )
    _close_landing_questions(db, entry, event.new, EndKind.landed.value)
    if event.awaits_ci:
        _awaits_ci(db, entry, event.new, event.holds)


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
        "UPDATE runs SET status='landed', ending='landed', landed=?, ended_ms=?, ended_seq=? WHERE id=?",
        (event.commit, entry.at_ms, entry.seq, event.run),
    )
    _close_messages(db, entry, event.run)
    db.execute("UPDATE trains SET landed_ms=? WHERE new=? AND landed_ms=0", (entry.at_ms, event.commit))
    _close_landing_questions(db, entry, event.commit, EndKind.landed.value)
    if event.awaits_ci:
        _awaits_ci(db, entry, event.commit, event.holds)


def _awaits_ci(db: apsw.Connection, entry: ev.Entry, commit: str, holds: bool) -> None:
    db.execute(
        "INSERT INTO ci (landed,since_ms,holds,seq) VALUES (?,?,?,?) ON CONFLICT (landed) DO NOTHING",
        (commit, entry.at_ms, holds, entry.seq),
    )


def _ci_said(db: apsw.Connection, entry: ev.Entry, event: ev.CiSaid) -> None:
    closed_ms = entry.at_ms if event.state in CI_CLOSES else 0
    db.execute(
        "UPDATE ci SET state=?, text=?, place=?, asked_ms=?, asks=asks+1, again_ms=?, closed_ms=?, seq=?"
        " WHERE landed=?",
        (
            *(event.state.value, event.text, event.where, entry.at_ms, event.again_ms, closed_ms),
            *(entry.seq, event.commit),
        ),
    )


def _ci_waived(db: apsw.Connection, entry: ev.Entry, event: ev.CiWaived) -> None:
    closed = (entry.at_ms, event.by, entry.seq, event.commit)
    db.execute("UPDATE ci SET closed_ms=?, by=?, seq=? WHERE landed=?", closed)


def _target_read(db: apsw.Connection, entry: ev.Entry, event: ev.TargetRead) -> None:
    db.execute("INSERT INTO readings VALUES (?,?,?,?)", (entry.seq, entry.at_ms, event.tip, text(event.missing)))


def _run_ended(db: apsw.Connection, entry: ev.Entry, event: ev.RunEnded) -> None:
    db.execute(
        "UPDATE runs SET status=?, ending=?, reason=?, counts=?, ended_ms=?, ended_seq=?, kept=? WHERE id=?",
        (
            *(event.end.value, event.end.value, event.reason, event.counts, entry.at_ms, entry.seq),
            *(text(event.kept), event.run),
        ),
    )
    _close_messages(db, entry, event.run)
    db.execute(
        "UPDATE questions SET state='withdrawn', choice=?, closed_ms=? WHERE state='open' AND run=?",
        (event.reason, entry.at_ms, event.run),
    )


PROJECT: dict[type, Callable[[apsw.Connection, ev.Entry, Any], None]] = {
    ev.RunGranted: _run_granted,
    ev.PermitRenewed: _permit_renewed,
    ev.WorkerStarted: _worker_started,
    ev.WorkerExited: _worker_exited,
    ev.UsageRecorded: _usage_recorded,
    ev.TurnRepeated: _turn_repeated,
    ev.RunFlagged: _run_flagged,
    ev.RunRewound: _run_rewound,
    ev.WorkspaceRewound: _workspace_rewound,
    ev.RunPruned: _run_pruned,
    ev.RunReported: _run_reported,
    ev.NoteAdded: _note_added,
    ev.FactAdded: _fact_added,
    ev.FactRetracted: _fact_retracted,
    ev.MessageSent: _message_sent,
    ev.MessagesDelivered: _messages_delivered,
    ev.MessagesRead: _messages_read,
    ev.TodosSet: _todos_set,
    ev.QuestionAsked: _question_asked,
    ev.QuestionAnswered: _question_answered,
    ev.QuestionEscalated: _question_escalated,
    ev.QuestionWithdrawn: _question_withdrawn,
    ev.EvidenceRecorded: _evidence_recorded,
    ev.VerdictGiven: _verdict_given,
    ev.TrainTested: _train_tested,
    ev.LandingAbandoned: _landing_abandoned,
    ev.RunLanded: _run_landed,
    ev.CiSaid: _ci_said,
    ev.CiWaived: _ci_waived,
    ev.TargetRead: _target_read,
    ev.UndoRequested: _undo_requested,
    ev.UndoTested: _undo_tested,
    ev.UndoDropped: _undo_dropped,
    ev.LandingUndone: _landing_undone,
    ev.RunEnded: _run_ended,
}
