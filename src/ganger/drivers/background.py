"""Starting a process of ganger's own: the supervisor of `up`, which goes on by itself, and that of the demo."""

from __future__ import annotations

import os
import signal
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


def run_in_front(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a program to its end with this terminal and these streams; its exit status, negative for a signal.

    What a person interrupts is the program; a request to end is handed on to it. For the first thread of a process.
    WorldFailed when it cannot be started.
    """
    try:
        pid = os.posix_spawn(argv[0], list(argv), dict(env))
    except OSError as error:
        raise WorldFailed(f"cannot start {argv[0]}: {error}") from error
    heard = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: os.kill(pid, signal.SIGTERM)}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
