"""A program behind its wall at a person's terminal: it has the terminal for itself until it ends.

What the shim does for workers (`reaper`) is done here without its files, its session and its deadline: the streams are
the terminal's, and whoever called waits. A terminal cannot be typed into from behind a wall (`seccomp`).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ganger.jail import kernel
from ganger.jail.port import Confined
from ganger.jail.reaper import Door

LOOK_S = 1.0
END_S = 5.0
_UNHEARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
"""The person means the program with these."""


def run(program: str, confined: Confined, env: Mapping[str, str], cwd: Path, is_wanted: Callable[[], bool]) -> int:
    """Run a program to its end, and return its exit status, negative for a signal.

    `is_wanted` is asked every second; once it says no, the program is asked to end, and soon made to. For the first
    thread of a process.
    """
    wall = msgspec.to_builtins(confined.wall)
    door = Door() if confined.wall.bwrap else None
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _become(program, confined, wall, env, cwd, door)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _UNHEARD}
    handle = os.pidfd_open(child)
    try:
        if door is not None:
            door.open(wall.get("limits", {}))
        _watch(handle, is_wanted)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(handle: int, is_wanted: Callable[[], bool]) -> None:
    """Return when the process has ended."""
    kill_at = float("inf")
    while not select.select([handle], [], [], LOOK_S)[0]:
        if kill_at == float("inf") and not is_wanted():
            kill_at = time.monotonic() + END_S
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        elif time.monotonic() >= kill_at:
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def _become(
    program: str,
    confined: Confined,
    wall: dict[str, object],
    env: Mapping[str, str],
    cwd: Path,
    door: Door | None,
) -> None:
    """In the child: turn into the program, or say why not. Never returns."""
    try:
        for number in (*_UNHEARD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o077)
        os.chdir(cwd)
        argv = list(confined.argv) if door is None else door.hand_over(list(confined.argv), confined.wall.filter)
        kernel.become(wall)
        os.execve(program, argv, dict(env))  # noqa: S606 - that is the purpose
    except BaseException as error:
        os.write(2, f"ganger: {program} cannot be started: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)
