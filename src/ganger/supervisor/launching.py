"""What a driver asks for before its agent starts: its settings as files, its keys, and an opening in the wall."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from ganger.drivers.port import Launch
from ganger.errors import WorldFailed
from ganger.git.beneath import directory
from ganger.jail.port import Reach


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
