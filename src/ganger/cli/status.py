"""`ganger status`: what runs, what waits, what is done. On the path of prompts and scripts, so it imports little."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ganger.cli.output import USAGE, YES, clock, hung_up, plain, plural, say, say_json, span, table, tell, tell_error
from ganger.errors import GangerError
from ganger.journal.queries import BreakerRow, CiRow, LeaseRow, LiveRow, PlanRow, Reader, UndoRow, WindowRow
from ganger.service.place import JOURNAL, is_supervised, state_dir

HELP = """Usage: ganger status [-C DIR] [--state-dir DIR] [--json]

Show what runs, what waits for you, what holds the fleet back, and how far it is. Reads the projections only.

Exit status: 0 there is a fleet; 2 there is none, or it cannot be read.
"""
SHOWN_OF_RUN = ("asking", "repeating", "recovering", "rewinding")
"""States of a live run that a person wants to know of, instead of `running`."""
ORDER = (
    *("running", *SHOWN_OF_RUN, "ready", "cooling", "waiting", "held"),
    *("given_up", "finished", "undone", "awaiting_ci", "landed"),
)


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
        sys.stdout.flush()
    except BrokenPipeError:
        return hung_up()
    except GangerError as error:
        tell_error(error.message, error.hint)
        return error.exit_code
    return YES


def show(fleet_dir: Path, *, as_json: bool) -> None:
    """Print the status of the fleet in `fleet_dir`."""
    reader = Reader(fleet_dir / JOURNAL)
    try:
        supervised = is_supervised(fleet_dir)
        seen = _look(reader, supervised, _containment(fleet_dir), _kinds_waiting(fleet_dir) if supervised else {})
    finally:
        reader.close()
    if as_json:
        _say_json(seen)
    else:
        _say_text(seen)


class _Seen(NamedTuple):
    """What there is to say of a fleet."""

    now_ms: int
    supervised: bool
    containment: dict[str, str]
    """Tier and mechanism with which the last supervisor worked; both empty when there was none."""
    seq: int
    counts: dict[str, int]
    live: list[LiveRow]
    questions: int
    leases: list[LeaseRow]
    breakers: list[BreakerRow]
    windows: list[WindowRow]
    unclosed: list[tuple[CiRow, list[str]]]
    """What CI has not closed, with the items that landed so."""
    undos: list[UndoRow]
    """Those that are not carried out yet."""
    plans: list[PlanRow]
    """Those that are paused or stopped."""
    kinds: dict[str, str]
    """Those that the supervisor that is up has not in force as they are written down, each with why."""


def _containment(fleet_dir: Path) -> dict[str, str]:
    """What `service.containment` keeps, read without loading how it came about."""
    import json

    try:
        held = json.loads((fleet_dir / "jail.json").read_bytes())
        return {"tier": str(held["tier"]), "mechanism": str(held["mechanism"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"tier": "", "mechanism": ""}


def _kinds_waiting(fleet_dir: Path) -> dict[str, str]:
    """What `service.kinds_in_force` keeps of kinds that wait, read without loading how it came about."""
    import json

    try:
        standing = json.loads((fleet_dir / "kinds.json").read_bytes())
        return {str(name): str(why) for name, why in sorted({**standing["waits"], **standing["left"]}.items())}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _look(reader: Reader, supervised: bool, containment: dict[str, str], kinds: dict[str, str]) -> _Seen:
    now_ms = time.time_ns() // 1_000_000
    live = reader.live()
    return _Seen(
        now_ms=now_ms,
        supervised=supervised,
        containment=containment,
        seq=reader.last_seq(),
        counts=_told_apart(reader.counts(now_ms), live),
        live=live,
        questions=sum(not row.agent for row in reader.questions()),
        leases=reader.leases(now_ms),
        breakers=reader.breakers(),
        windows=reader.windows(now_ms),
        unclosed=[(row, items) for row in reader.ci_open() if (items := reader.landed_with(row.landed))],
        undos=[row for row in reader.undos() if not row.ended_ms],
        plans=[plan for plan in reader.plans() if plan.state != "active"],
        kinds=kinds,
    )


def _told_apart(counts: dict[str, int], live: list[LiveRow]) -> dict[str, int]:
    """Count items whose live run waits for something apart from those that run."""
    found = dict(counts)
    for row in live:
        if row.status in SHOWN_OF_RUN and found.get("running"):
            found["running"] -= 1
            found[row.status] = found.get(row.status, 0) + 1
    return {status: count for status, count in found.items() if count}


def _say_json(seen: _Seen) -> None:
    say_json(
        "ganger.status",
        {
            "supervised": seen.supervised,
            "containment": seen.containment,
            "items": seen.counts,
            "questions": seen.questions,
            "seq": seen.seq,
            "runs": [plain(row) for row in seen.live],
            "leases": [plain(row) for row in seen.leases],
            "breakers": [plain(row) for row in seen.breakers],
            "windows": [plain(row) for row in seen.windows],
            "undos": [plain(row) for row in seen.undos],
            "ci": [{**plain(row), "items": items} for row, items in seen.unclosed],
            "plans": [{"id": row.id, "state": row.state, "reason": row.reason} for row in seen.plans],
            "kinds": seen.kinds,
        },
    )


def _say_text(seen: _Seen) -> None:
    total = sum(count for status, count in seen.counts.items() if status != "withdrawn")
    shown = [f"{seen.counts[status]} {status.replace('_', ' ')}" for status in ORDER if seen.counts.get(status)]
    say(f"{plural(total, 'item')}: {', '.join(shown) or 'none'}")
    say("supervisor: " + ("running" if seen.supervised else "none (ganger run PLAN, or ganger up)"))
    if seen.containment["tier"] == "T0":
        say("containment: T0, none: workers and checks can write wherever you can")
    for line in _held_back(seen):
        say(line)
    rows = [
        (row.run, _does(row), span(seen.now_ms - row.granted_ms), row.agent, row.question or row.title)
        for row in seen.live
    ]
    if rows:
        say()
        table(rows, ("RUN", "STATE", "FOR", "AGENT", "ABOUT"))
    if seen.questions:
        say()
        say(f"{plural(seen.questions, 'question')} for you: ganger inbox")
    elif not seen.live and not total:
        tell("no items yet: ganger run PLAN")


def _does(row: LiveRow) -> str:
    import json

    todos = json.loads(row.todos or "[]")
    board = f", {sum(todo['state'] == 'completed' for todo in todos)}/{len(todos)} done" if todos else ""
    spinning = ", spinning" if row.status == "working" and row.liveness == "spinning" else ""
    child = f", for {row.spawner}" if row.spawner else ""
    return f"{row.status}{spinning}{board}{child}"


def _ci_says(row: CiRow, now_ms: int) -> str:
    again = f", asked again in {span(row.again_ms - now_ms)}" if row.again_ms > now_ms else ""
    return f"{row.state}: {row.text}{again}" if row.state else "not asked yet"


def _held_back(seen: _Seen) -> Iterator[str]:
    """What holds the fleet back, a line each."""
    for plan in seen.plans:
        yield f"plan {plan.id} is {plan.state}" + (f": {plan.reason}" if plan.reason else "")
    for kind, why in seen.kinds.items():
        yield f"kind {kind} {why}"
    for undo in seen.undos:
        why = f", which cannot land: {undo.reason}" if undo.reason else ""
        yield f"{undo.by} wants {undo.item} {'back' if undo.back else 'undone'}{why}"
    for row, items in seen.unclosed:
        yield f"{', '.join(items)} landed as {row.landed[:12]} and awaits CI: {_ci_says(row, seen.now_ms)}"
    for lease in seen.leases:
        what = f"lane {lease.lane}" if lease.lane else ", ".join(plain(lease)["scope"])
        yield f"{lease.id} ({lease.holder}) holds {what} for {span(lease.expires_ms - seen.now_ms)} more"
    for breaker in seen.breakers:
        yield f"{breaker.key} is not tried until {clock(breaker.until_ms)}: {breaker.reason}"
    for window in seen.windows:
        yield f"provider {window.provider} refuses until {clock(window.until_ms)}: {window.reason}"
