"""`config explain` and `exit-codes`."""

from __future__ import annotations

import os

import click

from ganger.cli.main import App
from ganger.cli.output import YES, say_json, table
from ganger.git.repository import open_repository
from ganger.service import config as configuration

EXIT_CODES: tuple[tuple[str, str, str], ...] = (
    ("every command", "0", "yes: done, accepted, landed, there is something"),
    ("every command", "1", "no: refused, not done, nothing there"),
    ("every command", "2", "usage, configuration, plan, repository or state directory are wrong; nothing was changed"),
    ("every command", "70", "a fault of ganger"),
    ("every command", "130", "interrupted"),
    ("run", "3", "drained: nothing more can be offered, something was given up or is held"),
    ("run", "5", "blocked: what is left waits for a person"),
)


@click.group()
def config() -> None:
    """Explain the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def explain(app: App, as_json: bool) -> int:
    """Show the effective value of every setting, and where it comes from."""
    repository = open_repository(app.start)
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def exit_codes(as_json: bool) -> int:
    """Print what each exit code means, command by command."""
    if as_json:
        say_json("ganger.exit-codes", {"codes": [{"command": c, "code": int(n), "means": m} for c, n, m in EXIT_CODES]})
    else:
        table(list(EXIT_CODES), ("COMMAND", "CODE", "MEANS"))
    return YES
