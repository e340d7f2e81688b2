"""The night in figures: how long, how much of it side by side, where each item's time went, who held whom up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import reduce

from ganger.core.events import CandidateProbed
from ganger.core.model import RefusalCode, Usage
from ganger.report.attempts import turn_seen
from ganger.report.facts import CITED_MAX, Facts, RunFacts, TrainFacts
from ganger.report.shape import Numbers, Refused, Spent, TrainSeen, TurnSeen
from ganger.report.wording import count, duration, named, sentence

PAYS = 1.5
"""From this factor on, working side by side paid."""
PAYS_LITTLE = 1.1
PAUSE_MS = 2_400_000
"""A stretch without any work longer than this is a pause: longer than a failed item is ever made to wait."""
HOLDERS_MAX = 5
_MEANING = {
    RefusalCode.overlap: "another run held an overlapping scope",
    RefusalCode.fleet_cap: "as many workers as allowed were busy",
    RefusalCode.hours: "outside the allowed hours",
    RefusalCode.cooldown: "it had failed a short while before",
    RefusalCode.held: "it was held",
}


def numbers(
    facts: Facts, turns: tuple[TurnSeen, ...], trains: tuple[TrainSeen, ...], items: tuple[Spent, ...]
) -> Numbers:
    """Count and measure."""
    landed = [row for row in facts.items.values() if row.landed]
    from_ms, to_ms = _night(facts, turns, trains)
    work_ms = sum(turn.ended_ms - max(turn.started_ms, from_ms) for turn in turns)
    checking_ms = sum(turn.checking_ms[1] - turn.checking_ms[0] for turn in turns)
    checking_ms += sum(train.row.took_ms for train in facts.trains) + sum(probe.took_ms for probe in _probes(facts))
    peak, paused_ms = workers_peak(turns), _paused_ms(turns, trains)
    checks, tests = _executed(facts)
    return Numbers(
        items=len(facts.items),
        landed=len(landed),
        landed_before=sum(1 for row in landed if row.landed_ms < facts.since_ms),
        finished=sum(1 for row in facts.items.values() if row.status == "finished"),
        runs=len({turn.run for turn in turns}),
        turns=len(turns),
        from_ms=from_ms,
        to_ms=to_ms,
        paused_ms=paused_ms,
        work_ms=work_ms,
        checking_ms=checking_ms,
        workers_peak=peak,
        parallel=parallel_text(work_ms, to_ms - from_ms, paused_ms, peak, _overlaps(facts), checking_ms),
        checks=checks,
        tests=tests,
        metered=reduce(Usage.plus, (one.metered for one in items), Usage()),
        source=facts.cite((facts.first_seq, facts.last_seq)),
    )


def turns_seen(facts: Facts) -> tuple[TurnSeen, ...]:
    """Every worker that lived in the report's time, in the order they were started."""
    found = [
        turn_seen(facts, run, turn)
        for run in facts.runs.values()
        for turn in run.turns
        if not turn.row.exited_ms or turn.row.exited_ms >= facts.since_ms
    ]
    return tuple(sorted(found, key=lambda turn: (turn.started_ms, turn.source.seqs)))


def trains_seen(facts: Facts) -> tuple[TrainSeen, ...]:
    """Every batch that was tested, in order."""
    return tuple(_train_seen(facts, train) for train in facts.trains)


def _train_seen(facts: Facts, train: TrainFacts) -> TrainSeen:
    row = train.row
    what = "passed" if row.passed else "failed" if train.runs else "nothing merged"
    parts = [f"train #{row.seq}: {named(train.runs) or 'no candidate'}, {what}"]
    if train.conflicts:
        parts.append(f"does not merge: {named([run for run, _ in train.conflicts])}")
    if row.reason and not row.landed_ms:
        parts.append(row.reason)
    return TrainSeen(
        seq=row.seq,
        from_ms=row.at_ms - row.took_ms,
        at_ms=row.at_ms,
        runs=train.runs,
        conflicts=tuple(run for run, _ in train.conflicts),
        passed=bool(row.passed),
        landed_ms=row.landed_ms,
        text="; ".join(parts),
        source=facts.train_source(train),
    )


def _night(facts: Facts, turns: tuple[TurnSeen, ...], trains: tuple[TrainSeen, ...]) -> tuple[int, int]:
    """From the first thing that was done to the last one, or to the report while a worker lives.

    A supervisor that waits for a plan is not the night: its times count only where nothing else happened.
    """
    recent = [run for run in facts.runs.values() if facts.is_recent(run)]
    began = [turn.started_ms for turn in turns] + [run.row.granted_ms for run in recent]
    began = began or [row.started_ms for row in facts.supervisors]
    ended = [turn.ended_ms for turn in turns] + [max(train.at_ms, train.landed_ms) for train in trains]
    ended += [turn.checking_ms[1] for turn in turns] + [run.row.ended_ms for run in recent]
    ended = ended or [row.stopped_ms for row in facts.supervisors]
    from_ms = max(min(began, default=facts.now_ms), facts.since_ms)
    return from_ms, max([*ended, from_ms])


def _paused_ms(turns: tuple[TurnSeen, ...], trains: tuple[TrainSeen, ...]) -> int:
    """Time in long stretches in which nothing was worked on, checked or tested, as between two nights."""
    busy = [(turn.started_ms, max(turn.ended_ms, turn.checking_ms[1])) for turn in turns]
    busy += [(train.from_ms, train.at_ms) for train in trains]
    paused = until_ms = 0
    for start, end in sorted(busy):
        if until_ms and start - until_ms > PAUSE_MS:
            paused += start - until_ms
        until_ms = max(until_ms, end)
    return paused


def workers_peak(turns: Iterable[TurnSeen]) -> int:
    """Most workers that lived at one time."""
    steps = [step for turn in turns for step in ((turn.started_ms, 1), (turn.ended_ms, -1))]
    alive = peak = 0
    for _, step in sorted(steps):
        alive += step
        peak = max(peak, alive)
    return peak


def _overlaps(facts: Facts) -> Counter[str]:
    return Counter(wait.holder for wait in facts.waits if wait.code == RefusalCode.overlap)


def parallel_text(
    work_ms: int, wall_ms: int, paused_ms: int, peak: int, overlaps: Counter[str], checking_ms: int = 0
) -> str:
    """Say whether working side by side paid, and what stood against it; long pauses are nobody's fault.

    The baseline is one worker whose every change is worked on, checked and landed before the next is begun.
    """
    if not work_ms or wall_ms <= paused_ms:
        return "No worker ran."
    factor = (work_ms + checking_ms) / (wall_ms - paused_ms)
    checked = f" and {duration(checking_ms)} of checks" if checking_ms else ""
    without = f" (without pauses of {duration(paused_ms)})" if paused_ms else ""
    did = (
        f"{duration(work_ms)} of work{checked} in {duration(wall_ms - paused_ms)}{without}:"
        f" {factor:.1f} × one worker, at most {peak} at a time"
    )
    if factor >= PAYS:
        return f"Working side by side paid: {did}."
    judged = "paid little" if factor >= PAYS_LITTLE else "did not pay"
    if not overlaps:
        return f"Working side by side {judged}: {did}."
    held = named([holder for holder, _ in overlaps.most_common(3)])
    times = count(overlaps.total(), "time")
    return f"Working side by side {judged}: {did}. {sentence(times)} an item waited for a scope, mostly behind {held}."


def _executed(facts: Facts) -> tuple[int, int]:
    """Checks that ganger ran and tests they executed; a train that reuses what is known is not counted again."""
    logs: set[str] = set()
    checks = tests = 0
    evidence = [turn.evidence for run in facts.runs.values() if facts.is_recent(run) for turn in run.turns]
    lists = [found.checks for found in evidence if found is not None] + [train.checks for train in facts.trains]
    lists += [probe.checks for probe in _probes(facts)]
    for check in (check for found in lists for check in found):
        if check.log in logs:
            continue
        if check.log:
            logs.add(check.log)
        checks += 1
        tests += check.executed or 0
    return checks, tests


def _probes(facts: Facts) -> list[CandidateProbed]:
    """The tests of single candidates that the train had made."""
    return [entry.event for entry in facts.tried if isinstance(entry.event, CandidateProbed)]


def spent(facts: Facts) -> tuple[Spent, ...]:
    """Where the time of every item that was worked on went, longest first."""
    recent = {run.row.item for run in facts.runs.values() if facts.is_recent(run)}
    found = [_spent(facts, item, facts.runs_of[item]) for item in recent]
    return tuple(sorted(found, key=lambda one: (-one.total_ms, one.item.seq)))


def _spent(facts: Facts, item: str, runs: list[RunFacts]) -> Spent:
    working_ms = checking_ms = asking_ms = train_ms = cpu_ms = 0
    for run in runs:
        for turn in run.turns:
            working_ms += (turn.row.exited_ms or facts.now_ms) - turn.row.started_ms
            checking_ms += turn.evidence.took_ms if turn.evidence is not None else 0
            cpu_ms += turn.row.cpu_ms
            if turn is run.last_turn and turn.accepted:
                train_ms += (run.row.ended_ms or facts.now_ms) - turn.row.judged_ms
        for question in run.questions:
            asking_ms += (question.closed_ms or facts.now_ms) - question.asked_ms
    ref = facts.item_ref(item)
    begin_ms = max(facts.at_ms(ref.seq), facts.since_ms)
    end_ms = runs[-1].row.ended_ms or facts.now_ms
    busy_ms = working_ms + checking_ms + asking_ms + train_ms
    metered = _metered(runs)
    seqs = [run.row.token for run in runs]
    if metered != Usage():
        seqs += [seq for run in runs for seq in facts.positions.last(run.row.id, "UsageRecorded")]
    source = facts.cite(seqs, runs[-1].row.id)
    return Spent(
        item=ref,
        waiting_ms=max(end_ms - begin_ms - busy_ms, 0),
        working_ms=max(working_ms, 0),
        checking_ms=checking_ms,
        asking_ms=asking_ms,
        train_ms=train_ms,
        cpu_ms=cpu_ms,
        attempts=len(runs),
        metered=metered,
        source=source,
    )


def _metered(runs: list[RunFacts]) -> Usage:
    """What runs have spent; nothing unless a program said so: time alone is told elsewhere."""
    each = (Usage(run.row.usd_micros, run.row.tokens, run.row.wall_ms) for run in runs)
    spent = reduce(Usage.plus, each, Usage())
    return spent if spent.usd_micros or spent.tokens else Usage()


def refused(facts: Facts) -> tuple[Refused, ...]:
    """Why ready items had to wait, most frequent reason first."""
    by_code: dict[str, list[tuple[int, str, str]]] = {}
    for wait in facts.waits:
        by_code.setdefault(wait.code, []).append((wait.seq, wait.item, wait.holder))
    found = [_refused(facts, code, waits) for code, waits in by_code.items()]
    return tuple(sorted(found, key=lambda one: (-one.times, one.code)))


def _refused(facts: Facts, code: str, waits: list[tuple[int, str, str]]) -> Refused:
    holders = Counter(holder for _, _, holder in waits if holder)
    return Refused(
        code=code,
        meaning=_MEANING.get(RefusalCode(code), code.replace("_", " ")),
        times=len(waits),
        items=len({item for _, item, _ in waits}),
        holders=tuple(holders.most_common(HOLDERS_MAX)),
        source=facts.cite(seq for seq, _, _ in waits[:CITED_MAX]),
    )
