"""`ganger agents install`: hooks in a person's own settings, so that agents they start themselves see held files."""

from __future__ import annotations

import difflib
import os
import secrets
import shlex
from contextlib import suppress
from pathlib import Path

import click

from ganger.cli.options import as_json
from ganger.cli.output import YES, say, say_json, tell
from ganger.cli.reply import a_person
from ganger.drivers.hook_install import agents, place_of, switched_off
from ganger.drivers.hooks import HookEvent, hook_command, load_dialect
from ganger.errors import ConfigError, UsageError
from ganger.worker_api.gatekeeper import hooks

SETTINGS_BYTES_MAX = 4 << 20


@click.command()
@click.argument("agent", type=click.Choice(agents()))
@click.option("--uninstall", is_flag=True, help="Take them away again.")
@click.option("--dry-run", "dry", is_flag=True, help="Only show what would change.")
@as_json
def install(agent: str, uninstall: bool, dry: bool, as_json: bool) -> int:
    """Have AGENT ask ganger before it writes in your own sessions: files that a run holds are denied, with the holder.

    Changes only that agent's settings in your home, shows the change, and does nothing when it is there already. Agents
    that ganger starts need none of this.

    Exit status: 0 it is so now; 2 the settings cannot be read or written.
    """
    a_person("InstallHooks")
    place = place_of(agent, os.environ)
    path = Path(os.path.realpath(place.path))
    before = _text(path)
    asks, dialect = hooks(), load_dialect(agent)
    try:
        command = None if uninstall else lambda event: hook_command(asks.client, dialect, HookEvent(event), asks.slow)
        after = place.edit(before, command)
    except ConfigError as error:
        raise UsageError(f"{place.path}: {error.message}", error.hint) from error
    changed = after != before
    if changed and not dry:
        write_whole(path, after)
    if as_json:
        value = {"agent": agent, "path": str(place.path), "installed": not uninstall, "changed": changed, "dry": dry}
        say_json("ganger.agents-install", value)
        return YES
    if not uninstall and (setting := switched_off(after)):
        tell(f"{place.path}: `{setting}` switches hooks off: {agent} asks nobody until you change that")
    if not changed:
        tell(f"{place.path}: {'they were not there' if uninstall else 'they are there already'}")
        return YES
    lines = (before.splitlines(), after.splitlines(), str(place.path), str(place.path))
    say("\n".join(difflib.unified_diff(*lines, lineterm="")))
    if place.hint and not uninstall:
        tell(f"\n{place.hint}")
    return YES


def _text(path: Path) -> str:
    """What stands in the settings; empty when there are none."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file", "correct it, then try again")
        with path.open("rb") as file:
            return file.read(SETTINGS_BYTES_MAX).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "correct it, then try again") from error


def write_whole(path: Path, text: str) -> None:
    """Put a text in the place of the settings, as a whole; an empty one means that there are none."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        if path.exists() and not path.stat().st_mode & 0o222:
            raise UsageError(f"{path} is not to be written: its mode says so", f"chmod u+w {shlex.quote(str(path))}")
        if not text:
            with suppress(FileNotFoundError):
                path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            if path.exists():
                os.fchmod(handle, path.stat().st_mode & 0o777)
            file.write(text.encode())
            file.flush()
            os.fsync(handle)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror}", "check its owner and mode") from error
