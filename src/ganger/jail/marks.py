"""Finding processes by the mark that ganger put into the environment they were started with. Linux only.

The kernel shows an environment only to a process that could trace its owner, and so not to a supervisor that has given
up its rights: then the launcher looks (`launcher`). Only the standard library, and little of it: see `reaper`.
"""

# Thousands of small reads: a Path for each would cost more than the read.
# ruff: noqa: PTH116, PTH123, PTH208

from __future__ import annotations

import os
import signal
import time

MARK = "GANGER_MARK"
KILL_MAX_S = 10.0
CHASE_S = 0.05
CHASE_NUMBERS = 4


def marked(marker: str, spared: int) -> list[int]:
    """List the processes of this user that were started with `GANGER_MARK` set to `marker`, without `spared`."""
    entry = _entry(marker)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid not in (spared, os.getpid()) and entry in environment(pid)]


def chase(marker: str, spared: int) -> int:
    """Kill a chain of processes that each start the next and exit; return how many of them were killed.

    Each lives too short for a look at the whole table. It is caught among the newest numbers, which the kernel tells:
    a process that is killed while it forks has no child. Ends when none was seen for `CHASE_S`.
    """
    entry, killed = _entry(marker), 0
    until = time.monotonic() + KILL_MAX_S
    quiet = time.monotonic() + CHASE_S
    while time.monotonic() < min(quiet, until):
        newest = _newest_pid()
        for pid in range(newest, max(1, newest - CHASE_NUMBERS), -1):
            if pid not in (spared, os.getpid()) and entry in environment(pid):
                _kill(pid)
                killed += 1
                quiet = time.monotonic() + CHASE_S
    return killed


def environment(pid: int) -> list[bytes]:
    """Read the entries of the environment a process was started with; none when it is another user's, or gone."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return []
        return _read_entries(f"/proc/{pid}/environ") or _environment_of_threads(pid)
    except OSError:
        return []


def started(pid: int) -> int:
    """When a process was started, as the kernel counts (`WorkerId.started`); OSError when there is none."""
    with open(f"/proc/{pid}/stat", "rb", 0) as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def _environment_of_threads(pid: int) -> list[bytes]:
    """Ask the other threads of a process whose first has ended: that one shows nothing any more."""
    threads = os.listdir(f"/proc/{pid}/task")
    shown = (_read_entries(f"/proc/{pid}/task/{thread}/environ") for thread in threads if int(thread) != pid)
    return next((entries for entries in shown if entries), [])


def _read_entries(path: str) -> list[bytes]:
    try:
        with open(path, "rb", 0) as file:
            text = file.read()
    except OSError:
        return []
    return text.split(b"\0") if text else []


def _entry(marker: str) -> bytes:
    return f"{MARK}={marker}".encode(errors="surrogateescape")


def _newest_pid() -> int:
    with open("/proc/loadavg", "rb", 0) as file:
        return int(file.read().split()[-1])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
