"""`ganger kinds`: the kinds of workers there are, where each of their settings comes from, and what they are told."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import msgspec

from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import YES, say, say_json, table, tell
from ganger.cli.reply import a_person
from ganger.core.model import Kind
from ganger.errors import UsageError
from ganger.plans.wording import listed, nearest
from ganger.service import config as configuration
from ganger.service import place, trust, wiring
from ganger.service.config import Config
from ganger.service.kinds import Told
from ganger.service.layers import Setting


@click.group()
def kinds() -> None:
    """Look at the kinds of workers, and agree to what a repository has them told."""


@kinds.command("list")
@as_json
@click.pass_obj
def list_(app: App, as_json: bool) -> int:
    """List the kinds that an item can have, with what each may write and where it is described.

    Exit status: 0; 2 a file of a kind is wrong.
    """
    config = _config(app)
    if as_json:
        say_json("ganger.kinds", {"kinds": [_row(config, kind) for kind in config.kinds]})
        return YES
    rows = [
        (kind.name, kind.writes.value, str(kind.workers_max or "-"), _places(config, kind.name), _intent(config, kind))
        for kind in config.kinds
    ]
    table(rows, ("KIND", "WRITES", "WORKERS", "FROM", "INTENT"))
    return YES


@kinds.command()
@click.argument("name")
@as_json
@click.pass_obj
def show(app: App, name: str, as_json: bool) -> int:
    """Show a kind: each of its settings with where it comes from, its files, and what its workers are told.

    Exit status: 0; 2 there is no such kind, or a file of one is wrong.
    """
    config = _config(app)
    kind = next((one for one in config.kinds if one.name == name), None)
    if kind is None:
        known = [one.name for one in config.kinds]
        raise UsageError(f"there is no kind {name!r}", nearest(name, known) or f"known: {listed(known)}")
    settings, files = _settings(config, name), config.rulebook.files_of(name)
    told = config.rulebook.told(name)
    if as_json:
        rows = [{"key": s.key, "value": s.value, "source": s.source, "path": s.path, "line": s.line} for s in settings]
        shown = [{"source": one.source, "path": one.path, "sha256": one.sha256} for one in files]
        say_json("ganger.kind", {**_row(config, kind), "settings": rows, "files": shown, "told": told})
        return YES
    table([(s.key.split(".", 2)[2], s.value, _where(s)) for s in settings], ("SETTING", "VALUE", "FROM"))
    say()
    table([(one.path, one.source) for one in files], ("TOLD BY", "FROM"))
    say(f"\n{told}")
    return YES


@kinds.command()
@click.option("--trust", "trusted", is_flag=True, help="Agree without being asked.")
@as_json
@click.pass_obj
def agree(app: App, trusted: bool, as_json: bool) -> int:
    """Agree to what this repository's files have workers told; a supervisor that is up heeds it at its next start.

    Exit status: 0 it is agreed to; 2 nobody agrees, or a file is wrong.
    """
    who = a_person("Trust")
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    book = parts.config.rulebook
    if not trusted:
        told = "what stands in these files:\n" if book.of_project else "nothing by files of this repository."
        tell(f"Workers would be told {told}")
        for one in book.of_project:
            tell(f"  {_file_line(one)}")
        if not (sys.stdin.isatty() and click.confirm("\nHave them told?", err=True)):
            raise UsageError("nobody has agreed to these files", "read them, then add --trust")
    place.prepare(parts.state_dir, parts.repository.common_dir)
    trust.trust(parts.state_dir, book.digest, who)
    if as_json:
        files = [{"path": one.path, "sha256": one.sha256} for one in book.of_project]
        say_json("ganger.kinds-agree", {"digest": book.digest, "files": files})
    else:
        say(f"agreed to {len(book.of_project)} files" if book.of_project else "agreed: this repository tells nothing")
    return YES


def _config(app: App) -> Config:
    repository = wiring.open_here(app.start, os.environ, app.state_override)
    return configuration.load(repository.top, configuration.user_config_path(os.environ), os.environ, {})


def _row(config: Config, kind: Kind) -> dict[str, Any]:
    """A kind as values; its workers' most is null where it has none of its own."""
    preset = config.presets.get(kind.name)
    own = {"agent": preset.agent, "model": preset.model} if preset is not None else {"agent": "", "model": ""}
    return {
        **msgspec.to_builtins(kind),
        **own,
        "intent": _intent(config, kind),
        "from": _places(config, kind.name).split(", "),
    }


def _intent(config: Config, kind: Kind) -> str:
    return config.rulebook.intents.get(kind.name, "")


def _settings(config: Config, name: str) -> list[Setting]:
    """What is set of a kind, sorted by key."""
    return [setting for setting in config.explain() if setting.key.startswith(f"kinds.{name}.")]


def _places(config: Config, name: str) -> str:
    """Where a kind is described, weakest first."""
    files = [one.source for one in config.rulebook.kinds.get(name, ())]
    found = [source for one in _settings(config, name) for source in (*one.overrides, one.source)]
    every = {*files, *found}
    return ", ".join(source for source in ("built-in", "user", "project") if source in every) or "project"


def _where(setting: Setting) -> str:
    return f"{setting.source} {setting.path}:{setting.line}"


def _file_line(one: Told) -> str:
    return f"{one.path}: {len(one.text.splitlines())} lines, sha256 {one.sha256[:16]}"
