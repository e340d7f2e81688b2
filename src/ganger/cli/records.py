"""`ganger journal`: the record itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ganger.cli.main import App
from ganger.cli.output import NO, YES, clock, say, say_json, tell_error
from ganger.cli.progress import describe
from ganger.core.events import Entry
from ganger.journal import check
from ganger.journal.queries import Reader
from ganger.journal.store import Store
from ganger.service import place
from ganger.service.door import kept_policy

FOLLOW_S = 0.25


@click.group()
def journal() -> None:
    """Look at the journal: the append-only list of events that everything else is derived from."""


@contextmanager
def _store(state_dir: Path) -> Iterator[Store]:
    Reader(state_dir / place.JOURNAL).close()
    store = Store(state_dir / place.JOURNAL, kept_policy(state_dir).paths)
    try:
        yield store
    finally:
        store.close()


@journal.command()
@click.option("-n", "count", type=click.IntRange(1, 1_000_000), default=20, help="How many of the last entries.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing as it grows.")
@click.pass_obj
def tail(app: App, count: int, follow: bool) -> int:
    """Print the last entries, a line each."""
    return tail_events(app.state_dir(), count, follow=follow)


def tail_events(state_dir: Path, count: int, *, follow: bool) -> int:
    """Print the last `count` entries, and, with `follow`, those that come."""
    with _store(state_dir) as store:
        at = max(0, store.last_seq() - count)
        while True:
            for entry in store.entries(at):
                at = entry.seq
                say(_line(entry))
            if store.last_seq() > at:
                continue
            if not follow:
                return YES
            sys.stdout.flush()
            time.sleep(FOLLOW_S)


def _line(entry: Entry) -> str:
    about = describe(entry)
    return f"{entry.seq:>7} {clock(entry.at_ms)} {entry.actor:<20} {type(entry.event).__name__:<18} {about}".rstrip()


@journal.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def verify(app: App, as_json: bool) -> int:
    """Check every entry's checksum and the hash chain, from the first to the last.

    Exit status: 0 all holds; 1 it does not, and the first bad entry is named.
    """
    with _store(app.state_dir()) as store:
        found = check.verify(store)
    if as_json:
        say_json("ganger.journal-verify", {"entries": found.entries, "head": found.head, "fault": found.fault})
    elif found.fault:
        tell_error(f"{found.fault}; the {found.entries} entries before it hold")
    else:
        say(f"{found.entries} entries hold, head {found.head[:16]}")
    return NO if found.fault else YES


@journal.command()
@click.option("--check", "checking", is_flag=True, help="Compare the stored state and tables with the journal.")
@click.option("--rebuild", is_flag=True, help="Make the tables anew from the journal.")
@click.pass_obj
def replay(app: App, checking: bool, rebuild: bool) -> int:
    """Fold the whole journal again.

    Exit status: 0 it can be folded and, with --check, what is stored equals it; 1 not.
    """
    state_dir = app.state_dir()
    with _store(state_dir) as store:
        rules = kept_policy(state_dir).paths
        if rebuild:
            say(f"{check.rebuild(store, rules)} entries folded, tables rebuilt")
            return YES
        if checking:
            faults = check.compare(store, rules)
            for fault in faults:
                tell_error(fault, "ganger journal replay --rebuild makes the tables anew")
            if not faults:
                say(f"{store.last_seq()} entries folded: state and tables are what they give")
            return NO if faults else YES
        say(f"{check.refold(store, rules).seq} entries folded")
    return YES


@journal.command()
@click.pass_obj
def export(app: App) -> int:
    """Print every entry as one line of JSON, with its checksum and hash."""
    with _store(app.state_dir()) as store:
        for line in check.export(store):
            sys.stdout.buffer.write(line)
    return YES
