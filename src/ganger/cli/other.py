"""`config explain` and `exit-codes`."""

from __future__ import annotations

import os

import click

from ganger.cli.ending import EXIT_OF, MEANS
from ganger.cli.kernel import FLEET_EXIT, GATE_EXIT, LIVENESS_EXIT, RECOVERY_EXIT
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import YES, say_json, table
from ganger.core.fleet_plan import FleetVerdict
from ganger.core.loop import Gate, StopReason
from ganger.core.model import Liveness, Recovery
from ganger.service import config as configuration
from ganger.service.wiring import open_here

EXIT_CODES: tuple[tuple[str, str, str], ...] = (
    ("every command", "0", "yes: done, accepted, landed, there is something"),
    ("every command", "1", "no: refused, not done, nothing there"),
    ("every command", "2", "usage, configuration, plan, repository or state directory are wrong; nothing was changed"),
    ("every command", "6", "another process holds the journal; nothing was changed, ask again"),
    ("every command", "70", "a fault of ganger"),
    ("every command", "130", "interrupted"),
    *(
        ("run", str(EXIT_OF[reason]), f"{reason}: {MEANS[reason]}")
        for reason in sorted(StopReason, key=EXIT_OF.__getitem__)
    ),
    ("lease", "6", "the lease ran out, ended, or is not yours: its token is another"),
    ("next", "3", "nothing now, but something is held that another try may cure"),
    ("next", "5", "nothing is open, or nothing of it goes on by itself"),
    ("conflicts", "0", "nothing meets"),
    ("conflicts", "1", "something meets, but would merge as it is"),
    ("conflicts", "3", "something would not merge, or nobody can tell"),
    ("ci", "3", "unknown: CI has not said yet"),
    ("ci", "4", "unavailable: CI could not be asked"),
    ("simulate", "0", "everything that is not held would land, within --hours"),
    ("simulate", "1", "it would take longer, or something would not land"),
    *(("gate", str(GATE_EXIT[verdict]), verdict.value) for verdict in Gate),
    *(("fleet-plan", str(FLEET_EXIT[verdict]), verdict.value) for verdict in FleetVerdict),
    *(("liveness", str(LIVENESS_EXIT[verdict]), verdict.value) for verdict in Liveness),
    *(("resume-check", str(RECOVERY_EXIT[verdict]), verdict.value) for verdict in Recovery),
)


@click.group()
def config() -> None:
    """Explain the configuration."""


@config.command()
@as_json
@click.pass_obj
def explain(app: App, as_json: bool) -> int:
    """Show the effective value of every setting, and where it comes from."""
    repository = open_here(app.start, os.environ, app.state_override)
    loaded = configuration.load(repository.top, configuration.user_config_path(os.environ), os.environ, {})
    settings = loaded.explain()
    if as_json:
        rows = [{"key": s.key, "value": s.value, "source": s.source, "path": s.path, "line": s.line} for s in settings]
        say_json("ganger.config", {"settings": rows})
        return YES
    rows_shown = []
    for setting in settings:
        where = f"{setting.path}:{setting.line}" if setting.line else setting.path
        rows_shown.append((setting.key, setting.value, f"{setting.source} {where}".strip()))
    table(rows_shown, ("KEY", "VALUE", "SOURCE"))
    return YES


@click.command("exit-codes")
@as_json
def exit_codes(as_json: bool) -> int:
    """Print what each exit code means, command by command."""
    if as_json:
        say_json("ganger.exit-codes", {"codes": [{"command": c, "code": int(n), "means": m} for c, n, m in EXIT_CODES]})
    else:
        table(list(EXIT_CODES), ("COMMAND", "CODE", "MEANS"))
    return YES
