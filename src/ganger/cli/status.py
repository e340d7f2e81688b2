"""`ganger status`: what runs, what waits, what is done. On the path of prompts and scripts, so it imports little."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ganger.cli.output import USAGE, YES, plural, say, say_json, span, table, tell, tell_error
from ganger.errors import GangerError
from ganger.journal.queries import LiveRow, Reader
from ganger.service.place import JOURNAL, state_dir

HELP = """Usage: ganger status [-C DIR] [--state-dir DIR] [--json]

Show what runs, what waits for you, and how far the fleet is. Reads the projections only.

Exit status: 0 there is a fleet; 2 there is none, or it cannot be read.
"""
ORDER = ("running", "ready", "cooling", "waiting", "held", "given_up", "landed")
SUPERVISOR_LOCK = "supervisor.lock"


def main(args: list[str]) -> int:
    """Parse `args` and print the status; returns the exit status."""
    start, override, as_json = Path(), "", False
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            sys.stdout.write(HELP)
            return YES
        if word == "--json":
            as_json = True
        elif word in ("-C", "--state-dir") and rest:
            value = rest.pop(0)
            start, override = (Path(value), override) if word == "-C" else (start, value)
        else:
            tell_error(f"status does not know {word!r}", "ganger status --help")
            return USAGE
    try:
        show(state_dir(start, os.environ, override), as_json=as_json)
    except GangerError as error:
        tell_error(error.message, error.hint)
        return error.exit_code
    return YES


def show(fleet_dir: Path, *, as_json: bool) -> None:
    """Print the status of the fleet in `fleet_dir`."""
    reader = Reader(fleet_dir / JOURNAL)
    try:
        now_ms = time.time_ns() // 1_000_000
        counts, live = reader.counts(now_ms), reader.live()
        questions, supervised = len(reader.questions()), is_locked(fleet_dir)
        if as_json:
            _say_json(counts, live, questions, supervised, reader.last_seq())
        else:
            _say_text(counts, live, questions, supervised, now_ms)
    finally:
        reader.close()


def is_locked(fleet_dir: Path) -> bool:
    """Whether a supervisor holds the fleet."""
    import fcntl

    try:
        handle = os.open(fleet_dir / SUPERVISOR_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _say_json(counts: dict[str, int], live: list[LiveRow], questions: int, supervised: bool, seq: int) -> None:
    say_json(
        "ganger.status",
        {
            "supervised": supervised,
            "items": counts,
            "questions": questions,
            "seq": seq,
            "runs": [row._asdict() for row in live],
        },
    )


def _say_text(counts: dict[str, int], live: list[LiveRow], questions: int, supervised: bool, now_ms: int) -> None:
    total = sum(count for status, count in counts.items() if status != "withdrawn")
    shown = [f"{counts[status]} {status.replace('_', ' ')}" for status in ORDER if counts.get(status)]
    say(f"{plural(total, 'item')}: {', '.join(shown) or 'none'}")
    say("supervisor: " + ("running" if supervised else "none (ganger run PLAN, or ganger up)"))
    rows = [(row.run, row.status, span(now_ms - row.granted_ms), row.agent, row.question or row.title) for row in live]
    if rows:
        say()
        table(rows, ("RUN", "STATE", "FOR", "AGENT", "ABOUT"))
    if questions:
        say()
        say(f"{plural(questions, 'question')} for you: ganger inbox")
    elif not live and not total:
        tell("no items yet: ganger run PLAN")
