"""What a driver asks for before its agent starts: its settings as files, its keys, and an opening in the wall."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.drivers.port import Launch
from ganger.drivers.process import clean_env
from ganger.errors import WorldFailed
from ganger.git.beneath import directory, read_file
from ganger.jail.port import Reach
from ganger.jail.system import tool_homes
from ganger.service.places import Places
from ganger.service.worker_door import secret_of
from ganger.service.worker_talk import RESULT, SPOOL

MEMBERS_BYTES_MAX = 4 << 20


def prepare_state(state: Path) -> Path:
    """Make the folder that an agent keeps what it needs in; for its owner only."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state


def write_settings(state: Path, files: Mapping[str, bytes]) -> None:
    """Write an agent's settings, through no link that an earlier turn could have left; WorldFailed where that fails."""
    for name, content in files.items():
        *folders, last = Path(name).parts
        try:
            for depth, folder in enumerate(folders):
                with directory(state, folders[:depth]) as at, suppress(FileExistsError):
                    os.mkdir(folder, 0o700, dir_fd=at)
            with directory(state, folders) as at:
                _write(at, last, content)
        except OSError as error:
            raise WorldFailed(f"the settings {state / name} cannot be written: {error.strerror}") from error


def _write(at: int, name: str, content: bytes) -> None:
    fresh = f".{name}.{secrets.token_hex(8)}"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=at)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(fresh, name, src_dir_fd=at, dst_dir_fd=at)


def write_members(state: Path, members: Mapping[str, Mapping[str, object]]) -> None:
    """Put members into JSON files that an agent keeps itself; one that cannot be read as such is written anew."""
    for name, wanted in members.items():
        found = read_file(state, Path(name).parts, MEMBERS_BYTES_MAX)
        try:
            before = msgspec.json.decode(found or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            before = {}
        merged = _merged(before if isinstance(before, dict) else {}, wanted)
        write_settings(state, {name: msgspec.json.encode(merged)})


def _merged(before: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    found = dict(before)
    for key, value in wanted.items():
        inner = found.get(key)
        found[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found


def environment_of(
    state_dir: Path, run: Run, turn: int, folder: Path, environ: Mapping[str, str], more: Mapping[str, str]
) -> dict[str, str]:
    """What a worker finds in its environment: nothing of ours but what it needs to report.

    `folder` is the turn's, with its home and its temporary files; `more` is what is given to this run besides, and
    replaces nothing of ours.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", "")))
    door = Places(state_dir).door(run.id)
    own = {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "GANGER_DOOR": str(door),
        "GANGER_SECRET": secret_of(state_dir, run.id, run.lease.token),
        "GANGER_RUN": run.id,
        "GANGER_TURN": str(turn),
        "GANGER_TOKEN": str(run.lease.token),
        "GANGER_RESULT": str(door / SPOOL / RESULT),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return clean_env({**environ, "PATH": path}) | tool_homes(environ) | dict(more) | own


def fleet_mark(state_dir: Path) -> str:
    """What marks the processes of a fleet: fleets are told apart by their state directories."""
    return hashlib.sha256(os.fsencode(os.path.realpath(state_dir))).hexdigest()[:16]


def mark_of(run: Run, turn: int) -> str:
    """What marks the processes of a turn within its fleet."""
    return f"{run.id}:{run.lease.token}:{turn}"


def keys_of(launch: Launch, environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets of an agent by the variables it looks for; WorldFailed when one is not there."""
    missing = sorted(name for name in launch.keys.values() if not environ.get(name))
    if missing:
        raise WorldFailed(
            f"the variable {missing[0]} is not set: the agent has no key", "set it where the supervisor is started"
        )
    return {variable: environ[name] for variable, name in launch.keys.items()}


def opened(reach: Reach, state: Path, launch: Launch) -> Reach:
    """A wall with an opening for the agent's own folder, and for where its program is installed."""
    return replace(reach, writable=(*reach.writable, state), readable=(*reach.readable, *launch.readable))
