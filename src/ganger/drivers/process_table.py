"""Processes as the kernel sees them: recognising one again, finding all that belong to one worker, and killing those.

Two facts tell that a process belongs to a worker: it descends from the worker's shim (`jail/reaper.py`), or the shim
started it with `GANGER_MARK` in its environment. The first holds whatever a process does, as long as the shim lives;
the second is what is left when the shim was killed, and a process that was started with another environment escapes it.
"""

# Thousands of small reads: a Path for each would cost more than the read.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct

from ganger.core.model import WorkerId
from ganger.jail import marks, rights
from ganger.jail.marks import MARK

REAPER = Path(__file__).parents[1] / "jail" / "reaper.py"
KILL_MAX_S = 10.0
EXEC_S = 0.03
FREEZE_SCANS_MAX = 8
POLL_S = 0.005
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process(Struct, frozen=True, gc=False):
    """One line of the process table; CPU times in milliseconds."""

    pid: int
    parent: int
    alive: bool
    """False for a zombie: it runs nothing and only its exit status is left."""
    cpu_ms: int
    reaped_cpu_ms: int
    """CPU time of its children that have ended, and of theirs."""
    started: int
    """See `WorkerId.started`."""


def identify(pid: int) -> WorkerId | None:
    """Describe a process so that it can be recognised again; None when there is none of that number."""
    process = _look(pid)
    return None if process is None else WorkerId(pid, process.started, _boot())


def is_alive(worker: WorkerId) -> bool:
    """Whether exactly this process lives. A zombie does not; if it is our child, it is reaped on the way."""
    process = _look(worker.pid)
    if process is None or process.started != worker.started or worker.boot not in ("", _boot()):
        return False
    if not process.alive:
        with suppress(ChildProcessError):
            os.waitpid(worker.pid, os.WNOHANG)
    return process.alive


def born_ms(worker: WorkerId, slept_before_ms: int) -> int:
    """When a worker was started, by the clock of `monotonic_ms`, in ms; `slept_before_ms` is `slept_ms` at its start.

    The kernel counts a start time from the boot, with the time in which the machine slept.
    """
    if sys.platform != "linux":
        return monotonic_ms() - int((time.time() - worker.started) * 1000)
    return worker.started * 1000 // _TICKS_PER_S - slept_before_ms


def monotonic_ms() -> int:
    """A clock that neither jumps nor counts while the machine sleeps, in ms."""
    return time.monotonic_ns() // 1_000_000


def slept_ms() -> int:
    """How long the machine has slept since it was booted; 0 where the kernel does not say."""
    if sys.platform != "linux":
        return 0
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()) // 1_000_000


def pidfd(worker: WorkerId) -> int | None:
    """Open a descriptor that becomes readable when the worker ends; None when it has, or where there are none.

    The caller closes it. It refers to this very process, also after its number was given to another.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            descriptor = os.pidfd_open(worker.pid)
            if is_alive(worker):
                return descriptor
            os.close(descriptor)
    return None


def wait(worker: WorkerId, timeout_ms: int) -> bool:
    """Wait until the worker has ended; False when it still lives after `timeout_ms`."""
    until = time.monotonic() + timeout_ms / 1000
    descriptor = pidfd(worker)
    if descriptor is not None:
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll(max(0, timeout_ms))
        finally:
            os.close(descriptor)
    while is_alive(worker):
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_S)
    return True


def tell(worker: WorkerId, number: signal.Signals) -> None:
    """Send a signal to exactly this process; nothing happens when it has ended."""
    descriptor = pidfd(worker)
    with suppress(ProcessLookupError, PermissionError):
        if descriptor is not None and sys.platform == "linux":
            signal.pidfd_send_signal(descriptor, number)
        elif is_alive(worker):
            os.kill(worker.pid, number)
    if descriptor is not None:
        os.close(descriptor)


def cpu_ms(worker: WorkerId) -> int:
    """CPU time in milliseconds that the worker and all it started have used, ended ones included; 0 if it is gone.

    The shim's own time is left out, so a worker that does nothing shows no change. It can also fall: what a
    process used that nobody waited for is forgotten with it. Any change is activity.
    """
    table = read_table()
    shim = table.get(worker.pid)
    if shim is None or shim.started != worker.started:
        return 0
    tree = descendants(table, [worker.pid])
    return shim.reaped_cpu_ms + sum(table[pid].cpu_ms + table[pid].reaped_cpu_ms for pid in tree)


def find(marker: str) -> WorkerId | None:
    """Find the shim that was started with `marker`: who started it may have died before it could write that down.

    Looks twice, some milliseconds apart: in the middle of its `exec` a process has no environment that could be read.
    """
    found = _find_now(marker)
    if found is None:
        time.sleep(EXEC_S)
        found = _find_now(marker)
    return found


def _find_now(marker: str) -> WorkerId | None:
    table = read_table()
    shims = [table[pid] for pid in marked(marker) if pid in table and os.fsencode(REAPER) in _command_line(pid)]
    # A worker can start a copy of the shim, but not before the shim that started the worker.
    first = min(shims, key=lambda process: (process.started, process.pid), default=None)
    return None if first is None else WorkerId(first.pid, first.started, _boot())


def sweep(marker: str) -> int:
    """Kill every process of this user that carries `marker`, and all their descendants; return how many it were.

    The process that calls this is spared. Returns when none is left, or after `KILL_MAX_S` seconds.
    """
    return kill_trees(lambda: marked(marker)) + _chase(marker)


def _chase(marker: str) -> int:
    """Kill a chain of processes that each start the next and exit, see `marks.chase`; return how many were killed."""
    if sys.platform != "linux":
        return 0
    launcher = rights.launcher()
    return launcher.chase(marker) if launcher is not None else marks.chase(marker, os.getpid())


def kill_trees(roots: Callable[[], Iterable[int]]) -> int:
    """Kill whatever `roots` names, and all that descends from it, in rounds until it names nothing that lives."""
    killed: set[int] = set()
    until = time.monotonic() + KILL_MAX_S
    while time.monotonic() < until:
        tree = _freeze(roots)
        if not tree:
            break
        for pid in tree:
            _kill(pid, signal.SIGKILL)
        killed.update(tree)
        while any(is_alive(worker) for worker in tree.values()) and time.monotonic() < until:
            time.sleep(POLL_S)
    return len(killed)


def _freeze(roots: Callable[[], Iterable[int]]) -> dict[int, WorkerId]:
    """Stop the trees, so that nobody in them starts another; return what was stopped, by pid."""
    frozen: dict[int, WorkerId] = {}
    for _ in range(FREEZE_SCANS_MAX):
        named = set(roots())
        table = read_table()
        found = (named | descendants(table, [*named, *frozen])) - {os.getpid()}
        new = {pid: WorkerId(pid, table[pid].started, _boot()) for pid in found if pid in table and table[pid].alive}
        if new.keys() <= frozen.keys():
            break
        for pid in new:
            _kill(pid, signal.SIGSTOP)
        frozen.update(new)
    return frozen


def descendants(table: dict[int, Process], roots: Iterable[int]) -> set[int]:
    """List the living descendants of `roots`, without the roots and without what descends from this process."""
    by_parent: dict[int, list[Process]] = {}
    for process in table.values():
        by_parent.setdefault(process.parent, []).append(process)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        born = [] if pid == os.getpid() else by_parent.get(pid, [])
        new = [process for process in born if process.pid not in found]
        found.update(process.pid for process in new if process.alive)
        todo += [process.pid for process in new]
    return found


def marked(marker: str) -> list[int]:
    """List the processes of this user that were started with `GANGER_MARK` set to `marker`, without this one."""
    if sys.platform != "linux":
        from ganger.drivers import psutil_table

        entry = f"{MARK}={marker}".encode(errors="surrogateescape")
        return [pid for pid in _pids() if pid != os.getpid() and entry in psutil_table.environment(pid)]
    launcher = rights.launcher()
    return launcher.marked(marker) if launcher is not None else marks.marked(marker, os.getpid())


def read_table() -> dict[int, Process]:
    """Read the whole process table, by pid."""
    seen = (_look(pid) for pid in _pids())
    return {process.pid: process for process in seen if process is not None}


def _pids() -> list[int]:
    if sys.platform != "linux":
        from ganger.drivers import psutil_table

        return psutil_table.pids()
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def as_worker(pid: int, started: int) -> WorkerId:
    """Describe a process of this boot whose start time is known."""
    return WorkerId(pid, started, _boot())


def _look(pid: int) -> Process | None:
    """Read one process; None when there is none of that number."""
    if sys.platform != "linux":
        from ganger.drivers import psutil_table

        seen = psutil_table.look(pid)
        return None if seen is None else Process(*seen)
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            # The name before `)` is the worker's to choose, and may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A process whose first thread has ended looks like a zombie while its other threads (field 17) run on.
    alive = fields[0] not in b"ZX" or int(fields[17]) > 1
    user, system, reaped_user, reaped_system = (int(field) * 1000 // _TICKS_PER_S for field in fields[11:15])
    return Process(pid, int(fields[1]), alive, user + system, reaped_user + reaped_system, int(fields[19]))


def _command_line(pid: int) -> list[bytes]:
    if sys.platform != "linux":
        from ganger.drivers import psutil_table

        return psutil_table.command_line(pid)
    try:
        with open(f"/proc/{pid}/cmdline", "rb", 0) as file:
            return file.read().split(b"\0")
    except OSError:
        return []


@cache
def _boot() -> str:
    if sys.platform != "linux":
        from ganger.drivers import psutil_table

        return psutil_table.boot()
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
