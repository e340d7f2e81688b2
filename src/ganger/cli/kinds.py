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
from ganger.errors import RepositoryError, StateDirError, UsageError
from ganger.plans.wording import listed, nearest
from ganger.service import config as configuration
from ganger.service import kinds_in_force, place, wiring
from ganger.service.config import Config
from ganger.service.door import Tell, tell_supervisor
from ganger.service.kinds import Told
from ganger.service.kinds_in_force import Standing
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
    waiting = _waiting(app, config)
    if as_json:
        say_json("ganger.kinds", {"kinds": [_row(config, kind) for kind in config.kinds], "waiting": waiting})
        return YES
    rows = [
        (kind.name, kind.writes.value, str(kind.workers_max or "-"), _places(config, kind.name), _intent(config, kind))
        for kind in config.kinds
    ]
    table(rows, ("KIND", "WRITES", "WORKERS", "FROM", "INTENT"))
    if waiting:
        tell("\nnot in force with the supervisor that is up:")
        for name, why in waiting.items():
            tell(f"  {name} {why}")
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
    told, in_force = config.rulebook.told(name), _standing(app)
    waits = _waiting(app, config).get(name, "")
    if as_json:
        rows = [{"key": s.key, "value": s.value, "source": s.source, "path": s.path, "line": s.line} for s in settings]
        shown = [{"source": one.source, "path": one.path, "sha256": one.sha256} for one in files]
        said = {"settings": rows, "files": shown, "told": told, "waits": waits}
        say_json("ganger.kind", {**_row(config, kind), **said})
        return YES
    if waits and in_force is not None:
        tell(f"not in force with the supervisor that is up: {name} {waits}")
        for key, value in in_force.kinds.get(name, {}).items():
            tell(f"  there it has {key} = {value}")
        tell("")
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
    """Agree to what this repository says of kinds and has workers told; a supervisor that is up heeds it from then on.

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
        settings = kinds_in_force.project_settings(parts.config)
        if settings:
            tell("\nThese settings of kinds would hold:\n")
        for setting in settings:
            tell(f"  {setting.path}:{setting.line}: {setting.key} = {setting.value}")
        if not (sys.stdin.isatty() and click.confirm("\nHave them told?", err=True)):
            raise UsageError("nobody has agreed to these files", "read them, then add --trust")
    place.prepare(parts.state_dir, parts.repository.common_dir)
    wiring.agree_to_kinds(parts, who)
    tell_supervisor(parts.state_dir, Tell("wake"))
    if as_json:
        files = [{"path": one.path, "sha256": one.sha256} for one in book.of_project]
        say_json("ganger.kinds-agree", {"digest": book.digest, "files": files})
    else:
        say(f"agreed to {len(book.of_project)} files" if book.of_project else "agreed: this repository tells nothing")
    return YES


def _config(app: App) -> Config:
    repository = wiring.open_here(app.start, os.environ, app.state_override)
    return configuration.load(repository.top, configuration.user_config_path(os.environ), os.environ, {})


def _standing(app: App) -> Standing | None:
    """What the supervisor that is up left word of; None when there is none."""
    try:
        state_dir = place.state_dir(app.start, os.environ, app.state_override)
    except (RepositoryError, StateDirError):
        return None
    return kinds_in_force.kept(state_dir) if place.is_supervised(state_dir) else None


def _waiting(app: App, config: Config) -> dict[str, str]:
    """The kinds that are not in force as they are written down, each with why; none when no supervisor is up."""
    standing, settings = _standing(app), kinds_in_force.settings_of(config)
    if standing is None:
        return {}
    found = {name: standing.why(name, settings.get(name, {})) for name in {**standing.waits, **settings}}
    return {name: why for name, why in sorted(found.items()) if why}


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
    order = ("built-in", *(one.source for one in config.packages), "user", "project")
    return ", ".join(source for source in order if source in every) or "project"


def _where(setting: Setting) -> str:
    return f"{setting.source} {setting.path}:{setting.line}"


def _file_line(one: Told) -> str:
    return f"{one.path}: {len(one.text.splitlines())} lines, sha256 {one.sha256[:16]}"
