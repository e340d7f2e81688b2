"""What is out of the ordinary: found from typed facts, gravest first, never from the words of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ganger.core import events as ev
from ganger.core.lifecycle import silence_text
from ganger.core.model import SILENCE, CheckState, CiState, EndKind, Liveness, Report, ReportKind, Rung, is_agents
from ganger.report.attempts import said, turn_source, what_changed
from ganger.report.blame import blamed
from ganger.report.facts import CITED_MAX, Facts, RunFacts, TrainFacts, TurnFacts
from ganger.report.ladder import closing_text
from ganger.report.shape import Anomaly, AnomalyKind
from ganger.report.wording import count, duration, named, sentence


def anomalies(facts: Facts) -> tuple[Anomaly, ...]:
    """Everything a person should know before the rest."""
    recent = [run for run in facts.runs.values() if facts.is_recent(run)]
    found = [*_supervisors(facts), *blamed(facts), *_trains(facts), *_forbidden(facts), *_pruned_unseen(facts)]
    found += [*_not_closed(facts), *_lost(facts), *_unguarded(facts)]
    for run in recent:
        found += [*_ended(facts, run), *_repeated(facts, run), *_spinning(facts, run), *_advised(facts, run)]
        for turn in run.turns:
            found += [*_turn(facts, turn)]
    grave = {kind: place for place, kind in enumerate(AnomalyKind)}
    return tuple(sorted(found, key=lambda one: (grave[one.kind], one.at_ms, one.source.seqs)))


def _supervisors(facts: Facts) -> Iterator[Anomaly]:
    """A supervisor that another one followed without having said that it left."""
    for row, following in zip(facts.supervisors, facts.supervisors[1:], strict=False):
        if row.stopped_ms:
            continue
        last_ms = facts.at_ms(following.seq - 1) or row.started_ms
        text = (
            f"Supervisor {row.pid} on {row.host} ended without a word after {duration(last_ms - row.started_ms)};"
            f" supervisor {following.pid} took over {duration(following.started_ms - last_ms)} later."
        )
        source = facts.cite((row.seq, following.seq))
        yield Anomaly(AnomalyKind.supervisor_died, f"supervisor {row.pid}", text, "", following.started_ms, source)


def _turn(facts: Facts, turn: TurnFacts) -> Iterator[Anomaly]:
    source = turn_source(facts, turn)
    evidence, row = turn.evidence, turn.row
    if evidence is None or turn.verdict is None:
        return

    def one(kind: AnomalyKind, text: str, words: str = "") -> Anomaly:
        return Anomaly(kind, row.run, text, words, row.judged_ms, source)

    reasons = "; ".join(turn.verdict.reasons)
    if turn.rejected and turn.verdict.rung is Rung.committed:
        only_protected = bool(evidence.protected) and len(turn.verdict.reasons) == 1
        what = "Changed protected files" if only_protected else "Changed what is not its own"
        yield one(AnomalyKind.out_of_scope, f"{what}: {reasons}.", said(turn.report))
    elif turn.rejected:
        yield one(AnomalyKind.said_done, f"{_said_so(turn.report)}, but: {reasons}.", said(turn.report))
    if evidence.claims and not turn.rejected:
        yield one(AnomalyKind.claims, f"{sentence('; '.join(evidence.claims))}.")
    if evidence.auto_committed:
        text = f"Left its work uncommitted; ganger committed it ({what_changed(evidence).partition(',')[0]})."
        yield one(AnomalyKind.auto_committed, text)
    flaky = [check.name for check in evidence.checks if check.flaky]
    if flaky:
        yield one(AnomalyKind.flaky, f"{named(flaky)} failed first and passed again on the same tree.")


def _said_so(report: Report | None) -> str:
    if report is not None and report.source == SILENCE:
        return "Ended without a word"
    if report is None or report.source != "worker":
        return "Ended as if it were done"
    return "Said done" if report.outcome == "completed" else f"Said {report.outcome.value.replace('_', ' ')}"


def _ended(facts: Facts, run: RunFacts) -> Iterator[Anomaly]:
    """Workers that died or were silent; one that gave up by its own word did what it should."""
    turn = run.last_turn
    row = run.row
    gave_up = turn is not None and turn.report is not None and turn.report.kind is ReportKind.fail
    kinds = {
        EndKind.stalled.value: AnomalyKind.worker_silent,
        EndKind.timed_out.value: AnomalyKind.worker_silent,
        EndKind.failed.value: AnomalyKind.worker_died,
    }
    kind = kinds.get(row.ending)
    if kind is None or gave_up:
        return
    alive_ms = turn.row.exited_ms - turn.row.started_ms if turn is not None else 0
    how = f", {duration(alive_ms)} after it was started" if alive_ms > 0 else ""
    seqs = facts.positions.last(row.id, "WorkerExited", "StopRequested", "RunEnded")
    yield Anomaly(kind, row.id, f"{sentence(row.reason)}{how}.", "", row.ended_ms, facts.cite(seqs, row.id))


def _repeated(facts: Facts, run: RunFacts) -> Iterator[Anomaly]:
    """Turns that were done over although their worker had not reported."""
    for row in run.repeats:
        text = f"Turn {row.turn} was done over ({row.why}): {row.reason}."
        yield Anomaly(AnomalyKind.repeated, row.run, text, "", row.at_ms, facts.cite((row.seq,), row.run))


def _advised(facts: Facts, run: RunFacts) -> Iterator[Anomaly]:
    """Answers that no person gave: work went on with them."""
    for row in run.questions:
        if is_agents(row.by):
            text = f"{row.id} was answered by {row.by.replace(':', ' ')}, and not by a person: {row.text}"
            source = facts.cite(facts.positions.last(row.id, "QuestionAnswered"), run.row.id)
            yield Anomaly(AnomalyKind.advised, run.row.id, text, row.choice, row.closed_ms, source)


def _spinning(facts: Facts, run: RunFacts) -> Iterator[Anomaly]:
    """A worker that ended, or still is, in a state of much activity and no result."""
    row = run.row
    if row.liveness == Liveness.spinning:
        source = facts.cite(facts.positions.last(row.id, "RunFlagged"), row.id)
        yield Anomaly(AnomalyKind.spinning, row.id, f"{sentence(row.liveness_reason)}.", "", row.flagged_ms, source)


def _not_closed(facts: Facts) -> Iterator[Anomaly]:
    """What landed and is not closed: CI fails on it, or has not said anything good."""
    for row in facts.reader.ci_open():
        items = facts.reader.landed_with(row.landed)
        if not items:
            continue
        kind = AnomalyKind.ci_blocked if row.state == CiState.blocked else AnomalyKind.ci_open
        text = f"{named(items)} landed as {row.landed[:12]}. {sentence(closing_text(row))}."
        yield Anomaly(kind, "ci", text, "", row.asked_ms or row.since_ms, facts.cite((row.seq,), commit=row.landed))


def _lost(facts: Facts) -> Iterator[Anomaly]:
    """Landings that the target did not contain when it was read back last."""
    row = facts.reader.reading()
    for commit in msgspec.json.decode(row.missing, type=list[str]) if row is not None else ():
        items = facts.reader.landed_with(commit)
        if row is not None and items:
            text = f"The target at {row.tip[:12]} does not contain {commit[:12]}, which landed {named(items)}."
            source = facts.cite((row.seq,), commit=commit)
            yield Anomaly(AnomalyKind.landing_lost, "target", text, "", row.at_ms, source)


def _forbidden(facts: Facts) -> Iterator[Anomaly]:
    """Workers that ran into their fence; it held."""
    for row in facts.reader.forbidden(facts.since_ms):
        source = facts.cite((row.seq,), row.run)
        yield Anomaly(AnomalyKind.forbidden, row.run or row.actor, f"{sentence(row.reason)}.", "", row.at_ms, source)


def _unguarded(facts: Facts) -> Iterator[Anomaly]:
    """Turns whose agents used tools about which their hooks did not ask."""
    for entry in facts.silent:
        if isinstance(entry.event, ev.GuardSilent):
            text = f"Turn {entry.event.turn}: {silence_text(entry.event)}."
            source = facts.cite((entry.seq,), entry.event.run)
            yield Anomaly(AnomalyKind.guard_silent, entry.event.run, text, "", entry.at_ms, source)


def _pruned_unseen(facts: Facts) -> Iterator[Anomaly]:
    """Runs whose kept files are gone although nobody had decided on them; a debt, whenever it was made."""
    number = facts.reader.pruned_unseen()
    if number:
        unseen = [row for row in facts.reader.prunings() if row.unreviewed]
        runs = list(dict.fromkeys(row.run for row in unseen))
        text = f"{count(number, 'result was', 'results were')} pruned unseen: {named(runs)}."
        source = facts.cite(row.seq for row in unseen[-CITED_MAX:])
        yield Anomaly(AnomalyKind.pruned_unseen, "prune", text, "", unseen[-1].at_ms, source)


def _trains(facts: Facts) -> Iterator[Anomaly]:
    for train in facts.trains:
        row = train.row
        source = facts.train_source(train)
        for run, paths in train.conflicts:
            text = f"Does not merge with the target at {row.old[:12]}: {named(paths)}."
            yield Anomaly(AnomalyKind.conflict, run, text, "", row.at_ms, source)
        flaky = [check.name for check in train.checks if check.flaky and check.state is CheckState.passed]
        if flaky:
            text = f"{named(flaky)} failed first and passed again on the same tree."
            yield Anomaly(AnomalyKind.flaky, f"train #{row.seq}", text, "", row.at_ms, source)
        if row.reason and not row.landed_ms and not facts.was_refused(row.new):
            yield _moved(facts, train)


def _moved(facts: Facts, train: TrainFacts) -> Anomaly:
    row = train.row
    seqs = [row.seq, *[seq for seq in facts.positions.abandoned if seq > row.seq][:1]]
    text = f"Tested, but not landed: {row.reason}; {count(len(train.runs), 'candidate')} had to be tested again."
    source = facts.cite(seqs, commit=row.new, train=row.seq, checks=facts.seen(train.checks))
    return Anomaly(AnomalyKind.target_moved, f"train #{row.seq}", text, "", row.at_ms, source)
