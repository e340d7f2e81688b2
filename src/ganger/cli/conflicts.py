"""Which runs' changes meet, before they land."""

from __future__ import annotations

import os

import click
import msgspec

from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import FIRST, NO, YES, clock, say, say_json, tell
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.journal.clock import wall_ms
from ganger.journal.queries import Reader
from ganger.report.safe import printable
from ganger.service import place, wiring
from ganger.service.places import Places
from ganger.supervisor.forecast import Forecast, Seer, read, sentence


@click.command()
@click.option("--now", "looks", is_flag=True, help="Look at the workspaces now, instead of what was seen last.")
@as_json
@click.pass_obj
def conflicts(app: App, looks: bool, as_json: bool) -> int:
    """Say which live runs change the same lines, lines close by, or the same files, and what would not merge.

    A supervisor that is up looks every few seconds; --now looks at once, whether one is up or not.

    Exit status: 0 nothing meets; 1 something meets, but would merge as it is; 3 something would not merge, or nobody
    can tell.
    """
    state_dir = app.state_dir()
    Reader(state_dir / place.JOURNAL).close()
    found = _look(app) if looks else read(state_dir)
    if found is None:
        found = Forecast(0, ())
    if as_json:
        say_json("ganger.conflicts", msgspec.to_builtins(found))
    else:
        _print(found)
    if any(one.conflicts or one.needs_person for one in found.foreseen) or found.unseen:
        return FIRST
    return NO if found.foreseen else YES


def _print(found: Forecast) -> None:
    for one in found.foreseen:
        say(printable(sentence(one)))
    for run, reason in found.unseen:
        say(printable(f"{run} could not be looked at: {reason}"))
    seen = f"seen {clock(found.at_ms)}" if found.at_ms else "nobody has looked yet: ganger conflicts --now"
    tell(f"{len(found.runs)} runs compared, {seen}" if found.at_ms else seen)


def _look(app: App) -> Forecast:
    """Compare the workspaces of live runs as they are now."""
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    reader = Reader(parts.state_dir / place.JOURNAL)
    try:
        rows = [row for row in (reader.run(live.run) for live in reader.live()) if row is not None]
    finally:
        reader.close()
    places = Places(parts.state_dir)
    runs = [
        Run(
            RunId(row.id),
            ItemId(row.item),
            row.attempt,
            Commit(row.base),
            row.agent,
            Lease(Token(row.token), (), LeaseMode.exclusive, row.expires_ms),
            row.granted_ms,
        )
        for row in rows
        if places.workspace(row.id).exists()
    ]
    return Seer(wiring.open_hub(parts), places.workspace).look(runs, wall_ms())
