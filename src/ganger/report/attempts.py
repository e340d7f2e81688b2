"""The story of a run: each worker, what it said, and what ganger found instead."""

from __future__ import annotations

from ganger.core.model import Again, CheckState, EndKind, Evidence, Report, ReportKind
from ganger.report.facts import Facts, RunFacts, TurnFacts
from ganger.report.shape import Attempt, Source, TurnEnd, TurnSeen
from ganger.report.wording import command, count, duration, named

SAID_CHARS_MAX = 600
"""Of a worker's own words; the rest is in its output."""
KIND_OF_ENDING = {
    EndKind.landed: TurnEnd.good,
    EndKind.rejected: TurnEnd.rejected,
    EndKind.superseded: TurnEnd.rejected,
    EndKind.unfounded: TurnEnd.cut,
    EndKind.dismissed: TurnEnd.cut,
    EndKind.unsent: TurnEnd.cut,
    EndKind.failed: TurnEnd.failed,
    EndKind.stalled: TurnEnd.failed,
    EndKind.timed_out: TurnEnd.failed,
    EndKind.over_budget: TurnEnd.failed,
    EndKind.finished: TurnEnd.good,
    EndKind.limited: TurnEnd.cut,
    EndKind.expired: TurnEnd.cut,
    EndKind.stopped: TurnEnd.cut,
    EndKind.interrupted: TurnEnd.cut,
}


def attempts_of(facts: Facts, item: str) -> tuple[Attempt, ...]:
    """All runs of an item, oldest first."""
    return tuple(attempt(facts, run) for run in facts.runs_of.get(item, ()))


def attempt(facts: Facts, run: RunFacts) -> Attempt:
    """Tell one run."""
    row = run.row
    last = facts.positions.last(row.id, "VerdictGiven", "StopRequested", "RunEnded", "RunLanded")
    seqs = (row.token, *(repeat.seq for repeat in run.repeats), *last)
    return Attempt(
        run=row.id,
        agent=row.agent,
        ending=row.ending or row.status,
        reason=row.reason,
        granted_ms=row.granted_ms,
        ended_ms=row.ended_ms,
        counts=bool(row.counts),
        again=named([f"turn {repeat.turn} was done over ({repeat.why})" for repeat in run.repeats]),
        turns=tuple(turn_seen(facts, run, turn) for turn in run.turns),
        looks=tuple(command("git", "--git-dir", str(facts.state_dir / "hub.git"), "log", ref) for ref in run.kept),
        source=facts.cite(seqs, run=row.id, commit=row.landed),
    )


def turn_seen(facts: Facts, run: RunFacts, turn: TurnFacts) -> TurnSeen:
    """Tell one worker process."""
    row = turn.row
    evidence = turn.evidence
    looked_ms = max(row.judged_ms - evidence.took_ms, row.started_ms) if evidence is not None else 0
    return TurnSeen(
        run=row.run,
        turn=row.turn,
        started_ms=row.started_ms,
        ended_ms=row.exited_ms or max(facts.now_ms, row.started_ms),
        end=turn_end(run, turn),
        ending=exit_text(turn),
        said=said(turn.report),
        found=found(turn),
        checking_ms=(looked_ms, max(row.judged_ms, looked_ms) if evidence is not None else 0),
        cpu_ms=row.cpu_ms,
        source=turn_source(facts, turn),
    )


def turn_source(facts: Facts, turn: TurnFacts) -> Source:
    """Where everything about a turn stands."""
    kinds = ("WorkerStarted", "WorkerExited", "RunReported", "EvidenceRecorded", "VerdictGiven")
    seqs = facts.positions.of_turn(turn.row.run, turn.row.turn, *kinds)
    evidence = turn.evidence
    commit = evidence.commit if evidence is not None and evidence.commit != evidence.base else ""
    return facts.cite(seqs, turn.row.run, commit, checks=facts.seen(evidence.checks) if evidence is not None else ())


def turn_end(run: RunFacts, turn: TurnFacts) -> TurnEnd:
    """What became of a turn: of the last one that of the run, of the others why there was another."""
    if turn.rejected:
        return TurnEnd.rejected
    last = turn is run.last_turn
    if last and run.row.ending:
        return KIND_OF_ENDING[EndKind(run.row.ending)]
    if turn.accepted:
        return TurnEnd.good
    again = next((repeat.why for repeat in run.repeats if repeat.turn == turn.row.turn), "")
    if again:
        return TurnEnd.failed if again in (Again.hang, Again.lost, Again.idle) else TurnEnd.cut
    if not last or run.row.status == "asking":
        return TurnEnd.asked
    return TurnEnd.live


def exit_text(turn: TurnFacts) -> str:
    """Say how the worker's process ended."""
    row = turn.row
    if not row.exited_ms:
        return "still running"
    took = duration(row.exited_ms - row.started_ms)
    if row.signal is not None:
        return f"killed by signal {row.signal} after {took}"
    if row.code is None:
        return f"vanished after {took}: how it ended is not known"
    return f"exit status {row.code} after {took}"


def said(report: Report | None) -> str:
    """What the worker said of its turn, in its words; empty when it said nothing."""
    if report is None or report.source != "worker":
        return ""
    text = report.summary.strip()
    text = text if len(text) <= SAID_CHARS_MAX else f"{text[:SAID_CHARS_MAX]}…"
    word = "gave up" if report.kind is ReportKind.fail else report.outcome.value.replace("_", " ")
    return f"{word}: {text}" if text else word


def found(turn: TurnFacts) -> str:
    """What ganger found when it looked; empty when it did not."""
    if turn.verdict is None or turn.evidence is None:
        return ""
    reasons = "; ".join(turn.verdict.reasons)
    changed = what_changed(turn.evidence)
    rung = turn.verdict.rung.label
    if turn.accepted:
        return f"accepted as {rung}: {changed}{_checks_text(turn.evidence)}{_witness_text(turn.evidence)}"
    return f"{turn.verdict.kind.value} (reached {rung}): {reasons}" if reasons else f"{turn.verdict.kind.value}"


def what_changed(evidence: Evidence) -> str:
    """Say how much a candidate changes."""
    auto = ", some of it committed by ganger" if evidence.auto_committed else ""
    return f"{count(len(evidence.changed), 'path')} changed{auto}"


def _checks_text(evidence: Evidence) -> str:
    passed = [check.name for check in evidence.checks if check.state is CheckState.passed]
    tier = f" in {evidence.tier}" if evidence.tier else ""
    return f", passed {named(passed)}{tier}" if passed else ", without any check"


def _witness_text(evidence: Evidence) -> str:
    """What its new tests witness; empty where nobody asked."""
    return f", new tests: {evidence.witness.kind.value}" if evidence.witness is not None else ""
