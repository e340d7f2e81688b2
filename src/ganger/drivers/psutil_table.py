"""The process table where there is no /proc (macOS), through psutil; the facts that `process_table` needs."""

from __future__ import annotations

import os

import psutil  # type: ignore[import-untyped]  # psutil ships no types


def pids() -> list[int]:
    """List the numbers of all processes."""
    return list(psutil.pids())


def look(pid: int) -> tuple[int, int, bool, int, int, int] | None:
    """Read one process: pid, parent, alive, CPU ms, reaped CPU ms (0: not told), start; None when there is none."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, alive = process.cpu_times(), process.status() != psutil.STATUS_ZOMBIE
            parent, started = process.ppid(), int(process.create_time())
    except psutil.AccessDenied:
        return pid, 0, True, 0, 0, 0
    except psutil.NoSuchProcess:
        return None
    return pid, parent, alive, int((times.user + times.system) * 1000), 0, started


def environment(pid: int) -> list[bytes]:
    """Read the entries of its environment; none when it is another user's, or gone."""
    try:
        environ = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return []
    return [os.fsencode(f"{name}={value}") for name, value in environ.items()]


def command_line(pid: int) -> list[bytes]:
    """Read its argument list; none when it is another user's, or gone."""
    try:
        return [os.fsencode(argument) for argument in psutil.Process(pid).cmdline()]
    except (psutil.Error, OSError):
        return []


def boot() -> str:
    """Tell this boot from others."""
    return str(int(psutil.boot_time()))
