"""Collecting a report: everything it shows, from the projections alone, each statement with its evidence."""

from __future__ import annotations

from pathlib import Path

from ganger.journal.queries import Reader
from ganger.report.anomalies import anomalies
from ganger.report.facts import Facts
from ganger.report.held_back import held_back
from ganger.report.numbers import numbers, refused, spent, trains_seen, turns_seen
from ganger.report.sections import Sections
from ganger.report.shape import Numbers, ReportData
from ganger.report.wording import count
from ganger.service import containment


def collect(reader: Reader, state_dir: Path, since_ms: int = 0, now_ms: int = 0) -> ReportData:
    """Collect what happened at or after `since_ms` (0: ever) and what is open at `now_ms`.

    `now_ms` 0 means the time of the newest entry, so that the same journal gives the same report whenever it is
    asked for. All reading is done in one transaction: a fleet that goes on working does not tear the picture.
    """
    with reader.at_one_time():
        return _collect(Facts(reader, state_dir, since_ms, now_ms or reader.last_ms()))


def _collect(facts: Facts) -> ReportData:
    sections = Sections(facts)
    turns, trains = turns_seen(facts), trains_seen(facts)
    times, waits = spent(facts), refused(facts)
    figures = numbers(facts, turns, trains, times)
    found = anomalies(facts)
    holding = held_back(facts)
    return ReportData(
        headline=headline(figures, sections),
        now_ms=facts.now_ms,
        first_seq=facts.first_seq,
        last_seq=facts.last_seq,
        numbers=figures,
        anomalies=found,
        landed=sections.landed,
        finished=sections.finished,
        ready=sections.ready,
        blocked=sections.blocked,
        given_up=sections.given_up,
        held_back=holding,
        still_open=sections.still_open,
        turns=turns,
        trains=trains,
        spent=times,
        refused=waits,
        entries=facts.cited(),
        containment=held.whole if (held := containment.kept(facts.state_dir)) is not None else "",
    )


def headline(figures: Numbers, sections: Sections) -> str:
    """The night in one or two sentences: what landed, and whether a person is needed."""
    if not figures.items:
        return "There are no items."
    if figures.landed == figures.items:
        every = "The only item has landed" if figures.items == 1 else f"All {figures.items:,} items have landed"
        return f"{every}."
    done = f"{figures.landed:,} of {count(figures.items, 'item')} landed"
    if figures.finished:
        done += f", {figures.finished:,} finished with nothing to land"
    if figures.landed + figures.finished == figures.items:
        return f"{done}."
    waits = len(sections.ready) + len(sections.blocked)
    needs = [f"{waits} wait{'s' if waits == 1 else ''} for your answer"] if waits else []
    if sections.given_up:
        needs.append(f"{len(sections.given_up):,} {'was' if len(sections.given_up) == 1 else 'were'} given up")
    return f"{done}; {' and '.join(needs)}." if needs else f"{done}; nothing needs you."
