"""The live picture of a night: a table of workers, the train, and an estimate of the end; plain lines when piped."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ganger.cli.output import clock, span, tell
from ganger.core import events as ev
from ganger.journal.queries import LiveRow, Reader
from ganger.report.safe import printable
from ganger.report.words import in_words
from ganger.service.fleet import Fleet
from ganger.service.place import JOURNAL
from ganger.service.wiring import Parts
from ganger.supervisor.loop import Supervisor

REFRESH_S = 0.5
SETTLED = ("landed", "finished", "given_up", "withdrawn", "held")
WORTH_A_LINE = (
    *(ev.PlanAdded, ev.PlanPaused, ev.PlanResumed, ev.PlanStopped, ev.PlanSteered, ev.ScheduleFired),
    *(ev.ItemWaited, ev.ItemRetried, ev.RunGranted, ev.WorkerStarted, ev.RunReported, ev.NoteAdded),
    *(ev.MessageSent, ev.MessagesRead, ev.RunParked, ev.FactAdded, ev.FactRetracted),
    *(ev.TurnRepeated, ev.RunFlagged, ev.GuardSilent, ev.RunRewound, ev.VerdictGiven),
    *(ev.QuestionAsked, ev.QuestionAnswered, ev.QuestionEscalated),
    *(ev.TrainTested, ev.PairFound, ev.TargetFoundRed, ev.LandingAbandoned, ev.RunLanded, ev.RunEnded),
    *(ev.LeaseGranted, ev.LeaseEnded, ev.ProviderLimited, ev.BreakerOpened, ev.BreakerClosed, ev.Forbade),
)
"""What a person follows; the rest of the journal is bookkeeping. An item is told of when a worker filed it."""


@contextmanager
def shown(parts: Parts, fleet: Fleet, supervisor: Supervisor, *, on: bool, tries: bool) -> Iterator[None]:
    """Show the night while the block runs: as a live table on a terminal, as lines elsewhere, or not at all.

    `tries` has each failed try of what will be tried again told besides; what comes of it in the end is in the journal.
    """
    with _heard(logging.WARNING if tries else logging.ERROR):
        if on:
            with _pictured(parts, fleet, supervisor):
                yield
        else:
            yield


@contextmanager
def _heard(level: int) -> Iterator[None]:
    """Let the supervisor's log be heard from a level on."""
    log = logging.getLogger("ganger.supervisor")
    before = log.level
    log.setLevel(level)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _pictured(parts: Parts, fleet: Fleet, supervisor: Supervisor) -> Iterator[None]:
    lines = Lines(fleet)
    supervisor.on_tick = lines.print_new
    try:
        if sys.stderr.isatty():
            with _live(parts):
                yield
        else:
            yield
    finally:
        supervisor.on_tick = lambda: None
        lines.print_new()


class Lines:
    """Prints what happened as one line per event worth a line."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._seq = fleet.look(lambda state, _: state.seq)

    def print_new(self) -> None:
        """Print what was appended since the last call."""
        for entry in self._fleet.look(lambda state, _: self._fleet.store.entries(self._seq)):
            self._seq = entry.seq
            line = describe(entry)
            if line:
                tell(f"{clock(entry.at_ms)[11:]} {line}")


def describe(entry: ev.Entry) -> str:
    """Say in one line what an entry means to a person; empty for what only ganger needs."""
    event = entry.event
    was_filed = isinstance(event, ev.ItemAdded) and event.spec.parent
    return in_words(event) if was_filed or isinstance(event, WORTH_A_LINE) else ""


@contextmanager
def _live(parts: Parts) -> Iterator[None]:
    """Keep a table at the bottom of the terminal, redrawn twice a second from the projections."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    reader, over = Reader(parts.state_dir / JOURNAL), Event()
    began = time.monotonic()
    live = Live(console=console, refresh_per_second=4, transient=True, redirect_stderr=True, redirect_stdout=False)

    def draw() -> None:
        while not over.wait(REFRESH_S):
            live.update(_picture(reader, time.monotonic() - began))

    with live:
        thread = Thread(target=draw, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            reader.close()


def _picture(reader: Reader, elapsed_s: float):  # type: ignore[no-untyped-def]
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now_ms = time.time_ns() // 1_000_000
    live, counts = reader.live(), reader.counts(now_ms)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("worker", "does", "for", "item"):
        table.add_column(head, no_wrap=True)
    for row in live:
        since_ms = row.started_ms or row.granted_ms
        table.add_row(row.run, _does(row), span(now_ms - since_ms), Text(printable(row.note or row.title)[:60]))
    train = [row.run for row in live if row.status in ("accepted", "landing")]
    parts = [f"{count} {status.replace('_', ' ')}" for status, count in sorted(counts.items())]
    foot = f"{', '.join(parts)} · {span(int(elapsed_s * 1000))} · {estimate(reader, counts, live)}"
    return Group(table, Text("train: " + (", ".join(train) or "empty"), style="dim"), Text(foot, style="dim"))


def _does(row: LiveRow) -> str:
    return f"waits for {row.question}" if row.question else row.status


def estimate(reader: Reader, counts: dict[str, int], live: list[LiveRow]) -> str:
    """Say when the night may end, from how long landed runs took; says so when that is not known yet."""
    landed, mean_ms = reader.durations()
    left = sum(count for status, count in counts.items() if status not in SETTLED)
    if not left:
        return "ending"
    if not landed:
        return "no estimate yet"
    return f"about {span(mean_ms * left // max(1, len(live)))} to go"
