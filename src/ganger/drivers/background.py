"""Starting a process of ganger's own that goes on by itself, without anybody watching it: the supervisor of `up`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganger.errors import WorldFailed


def start_detached(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Start a program in a session of its own, with its output appended to `log`; returns its pid.

    WorldFailed when it cannot be started.
    """
    try:
        return os.posix_spawn(
            argv[0],
            list(argv),
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise WorldFailed(f"cannot start {argv[0]}: {error}") from error
