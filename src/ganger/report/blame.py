"""Who made a combination fail: what the train found out by halving batches and by testing the accused on their own."""

from __future__ import annotations

from collections.abc import Iterator

from ganger.core import events as ev
from ganger.core.model import CheckResult, CheckState, EndKind
from ganger.core.verdict import check_fault
from ganger.report.facts import Facts, TrainFacts
from ganger.report.shape import Anomaly, AnomalyKind
from ganger.report.wording import named


def blamed(facts: Facts) -> Iterator[Anomaly]:
    """Batches that failed, pairs that do not go together, a target that fails by itself, and failures that went away.

    A test of one accused candidate is no batch: what it showed is told with the batch, or here for itself.
    """
    yield from _failed_batches(facts)
    for entry in facts.tried:
        event = entry.event
        if isinstance(event, ev.PairFound):
            text = (
                f"{event.run} and {event.other} each pass without the other and fail together:"
                f" {event.other} has landed as {event.commit[:12]}, {event.run} goes back."
            )
            source = facts.cite((entry.seq, *facts.positions.last(event.other, "RunLanded")), event.run, event.commit)
            yield Anomaly(AnomalyKind.pair, event.run, text, "", entry.at_ms, source)
        elif isinstance(event, ev.TargetFoundRed):
            text = (
                f"Fails by itself at {event.commit[:12]}: {_faults(event.checks)}. Nobody is blamed, and nothing lands"
                f" on it; the checks of {event.run} found it."
            )
            source = facts.cite((entry.seq,), event.run, event.commit, checks=facts.seen(event.checks))
            yield Anomaly(AnomalyKind.target_red, "target", text, "", entry.at_ms, source)
        elif isinstance(event, ev.CandidateProbed) and is_flaky(event):
            what = f"{event.onto[:12]} without it" if event.bare else f"it on {event.onto[:12]}"
            text = (
                f"{named([one.name for one in event.checks]) or 'A check'} failed first and passed again with {what}."
            )
            source = facts.cite((entry.seq,), event.run, event.onto, checks=facts.seen(event.checks))
            yield Anomaly(AnomalyKind.flaky, event.run, text, "", entry.at_ms, source)


def is_flaky(event: ev.CandidateProbed) -> bool:
    """Whether it passed although it, or a check of it, had failed on the same tree."""
    return event.passed and (event.again or any(check.flaky for check in event.checks))


def _failed_batches(facts: Facts) -> Iterator[Anomaly]:
    """Batches that failed, each told together with the parts of it that failed because of it."""
    failed = [train for train in facts.trains if train.runs and not train.row.passed]
    told: set[int] = set()
    for train in failed:
        row = train.row
        if row.seq in told:
            continue
        parts = [other.row.seq for other in failed if other.row.seq > row.seq and set(other.runs) <= set(train.runs)]
        told.update(parts)
        about = [entry for entry in facts.tried if entry.seq > row.seq and _run_of(entry) in train.runs]
        later = [other for other in failed if other.row.seq > row.seq and other.row.seq not in parts]
        seqs = (row.seq, *parts, *(entry.seq for entry in about))
        source = facts.cite(seqs, "", row.new, row.seq, facts.seen(train.checks))
        text = f"{_failure(train)} {_outcome(facts, train, about, later)}"
        yield Anomaly(AnomalyKind.train_failed, f"train #{row.seq}", text, "", row.at_ms, source)


def _run_of(entry: ev.Entry) -> str:
    event = entry.event
    return event.run if isinstance(event, (ev.CandidateProbed, ev.PairFound, ev.TargetFoundRed)) else ""


def _failure(train: TrainFacts) -> str:
    who = f"{named(train.runs)} together" if len(train.runs) > 1 else f"{train.runs[0]} on top of the target"
    return f"{who} failed: {_faults(train.checks)}."


def _faults(checks: tuple[CheckResult, ...]) -> str:
    return named([check_fault(check) for check in checks if check.state is not CheckState.passed]) or "no check passed"


def _outcome(facts: Facts, train: TrainFacts, about: list[ev.Entry], later: list[TrainFacts]) -> str:
    """Who was sent back because of a batch that failed, or why nobody was.

    `about` is what was found of its runs, `later` the other batches that failed after it: whoever was in one of those
    too was judged for the last of them.
    """
    back = [run for run in train.runs if _is_sent_back(facts, train, run)]
    guilty = [run for run in back if not any(_is_before_end(facts, other, run) for other in later)]
    events = [entry.event for entry in about]
    if guilty:
        others: dict[str, str] = {event.run: event.other for event in events if isinstance(event, ev.PairFound)}
        names = [f"{run} (not together with {others[run]})" if run in others else run for run in guilty]
        if len(train.runs) > 1:
            return f"Halving the batch found {named(names)}."
        return f"Not together with {others[guilty[0]]}." if others else "What it was merged onto passes without it."
    if any(isinstance(event, ev.TargetFoundRed) for event in events):
        without = "them" if len(train.runs) > 1 else "it"
        return f"The target fails without {without} as well: nobody is blamed."
    if any(isinstance(event, ev.CandidateProbed) and not event.bare and is_flaky(event) for event in events):
        return "The failure did not come back when it was run again: nobody is blamed."
    if all(run in facts.runs and facts.runs[run].row.landed for run in train.runs):
        return "All of them landed in smaller batches: the failure did not come back."
    if back:
        return f"Nobody was sent back for it: {named(back)} went back for a later batch that failed."
    return "Who is to blame is not settled."


def _is_before_end(facts: Facts, train: TrainFacts, run: str) -> bool:
    """Whether a batch with this candidate had failed before the candidate was sent back."""
    return run in train.runs and train.row.at_ms <= facts.runs[run].row.ended_ms


def _is_sent_back(facts: Facts, train: TrainFacts, run: str) -> bool:
    """Whether a candidate was judged after this batch had failed; one that does not merge was not judged."""
    found = facts.runs.get(run)
    if found is None or found.row.ending != EndKind.superseded or found.row.ended_ms < train.row.at_ms:
        return False
    return not any(run == other for later in facts.trains for other, _ in later.conflicts)
