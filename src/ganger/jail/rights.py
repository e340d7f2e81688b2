"""What a supervisor gives up before its night, and the launcher through which it still does what it must.

It writes only below its state directory: not in the user's checkout, not in their home, not in `/tmp`. A fault of
ganger can then damage what ganger keeps, and nothing else. Reading stays free. Programs are started, landings carried
out and processes found by a process of its own, `launcher`, which goes before the rights do.

Landlock looks at files alone: modes, owners and times of what lies outside could still be changed.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from ganger.errors import LauncherGone, WorldFailed
from ganger.jail import kernel, lander, marks
from ganger.jail.landlock import ABI_MIN, READ, WRITE_FILE

LAUNCHER = (
    "import sys; sys.path.append(sys.argv[1].rsplit('/', 3)[0]); from ganger.jail import launcher; launcher.main()"
)
REAPER = Path(__file__).with_name("reaper.py")
MARK_ROOM = 8_192 + 64
DEAF_TO = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What a launcher never hears: it ends with the supervisor, and not before what that one still has to do."""
TRUNCATE, DEVICE_NODES = 1 << 14, 1 << 6 | 1 << 11
WRITING = ((1 << 15) - 1) & ~READ
"""All rights to files that the third version of Landlock knows, without those to read and execute."""
ANSWER_S = 60.0
"""A launcher that does not answer for so long is taken for dead."""
KILL_AFTER_S = 2.0
CHUNK = 1 << 16


class Terms(Struct, frozen=True):
    """Where landings go, and how git is started for them."""

    git: tuple[str, ...]
    """The program, and the options before its command."""
    env: Mapping[str, str]
    hub: str
    """Where what is landed comes from."""
    common_dir: str
    """The real path of the git directory of the user's repository."""
    branch: str
    holds: str
    """The ref that holds a commit while it is on its way."""


_own: list[Launcher] = []
"""The launcher of this process, if it has one."""
_left: list[Path] = []
"""Where this process may still write; empty for one that may write wherever its person can."""


def launcher() -> Launcher | None:
    """The launcher through which this process starts programs; None where it does that itself."""
    return _own[-1] if _own else None


@contextmanager
def launching() -> Iterator[Launcher]:
    """Have a launcher while the block runs. WorldFailed when there can be none."""
    made = started()
    _own.append(made)
    try:
        yield made
    finally:
        _own.remove(made)
        made.close()


def keep_launcher() -> Launcher:
    """Have a launcher until this process ends; the one it has, if it has one. WorldFailed when there can be none."""
    if not _own:
        _own.append(started())
        atexit.register(_own[-1].close)
    return _own[-1]


def started() -> Launcher:
    """Start a launcher. WorldFailed when that cannot be."""
    try:
        return Launcher()
    except OSError as error:
        raise WorldFailed(f"cannot start the process that starts programs: {error}") from error


def fault_of_giving_up() -> str:
    """Why this process cannot give up its rights to write; empty when it can."""
    abi = kernel.landlock_abi()
    if abi < ABI_MIN:
        return f"this kernel's Landlock is too old ({abi}, wanted {ABI_MIN})" if abi else "no Landlock here"
    return ""


def has_given_up() -> bool:
    """Whether this process has given up its rights."""
    return bool(_left)


def has_threads() -> bool:
    """Whether this process has more threads than one, those of libraries included."""
    return len(list(Path("/proc/self/task").iterdir())) > 1


def give_up(place: Path) -> None:
    """Give up, for good, all rights to write anywhere but below `place`; temporary files go there too.

    Holds for this thread and all that it starts, so there must be no other yet (`has_threads`). OSError when the
    kernel refuses.
    """
    assert not has_threads(), threading.enumerate()
    temporary = place / "tmp"
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    kernel.take_no_privileges()
    kernel.restrict(WRITING, 0, 0, [(str(place), WRITING & ~DEVICE_NODES), (os.devnull, WRITE_FILE | TRUNCATE)])
    _left.append(place)


class Launcher:
    """A launcher and the means to ask it; from any thread, one at a time."""

    def __init__(self) -> None:
        """Start one. OSError when that cannot be."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Written over in every shim, with the marker of its program.
            room = {marks.MARK: " " * MARK_ROOM}
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", LAUNCHER, str(REAPER)],
                room,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, 1, 0)],
                setsid=True,
                setsigmask=DEAF_TO,
                setsigdef=(*DEAF_TO, signal.SIGCHLD),
            )
        self._channel = ours
        self._channel.settimeout(ANSWER_S)
        self._lock = threading.Lock()
        self._terms: dict[str, Any] | None = None

    def close(self) -> None:
        """Let it end, and wait for that; programs that are tied to it end too, all others go on."""
        self._channel.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, which it never does before it is asked to."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def agree(self, terms: Terms) -> None:
        """Say where landings go, once."""
        self._terms = asdict(terms)
        self._ask({"do": "terms", "terms": self._terms})

    def keeps_to(self, terms: Terms) -> bool:
        """Whether landings by these terms go where it was told at first."""
        where = ("hub", "common_dir", "branch", "holds")
        return self._terms is not None and all(self._terms[name] == getattr(terms, name) for name in where)

    def start(self, spec: int, marker: str, output: Path) -> tuple[int, int]:
        """Make a shim that reads its spec from a descriptor; its number, and when it began (`WorkerId.started`).

        OSError when it cannot be made.
        """
        told = self._ask({"do": "start", "marker": marker, "output": str(output)}, spec)
        return told["pid"], told["started"]

    def lands(self, args: Sequence[str]) -> bool:
        """Whether git with these arguments is a step of a landing."""
        return self._terms is not None and lander.is_landing(self._terms, args)

    def git(self, args: Sequence[str], folder: Path, reason: str, timeout_s: float) -> tuple[int, bytes, bytes]:
        """Run a step of a landing to its end; its exit status and what it printed. TimeoutError after `timeout_s`."""
        request = {"do": "git", "args": list(args), "cwd": str(folder), "reason": reason}
        readers, pid = self._started(request, 3)
        try:
            out, err, status = self._read(readers, pid, timeout_s)
        finally:
            for fd in readers:
                os.close(fd)
        if not status:
            raise self.gone()
        return int(status), out, err

    def marked(self, marker: str) -> list[int]:
        """List the processes of this user that were started with a mark, without this one."""
        found: list[int] = self._ask({"do": "marked", "marker": marker})["pids"]
        return found

    def chase(self, marker: str) -> int:
        """Kill a chain of processes with a mark, see `marks.chase`; how many it were."""
        (reader,), _ = self._started({"do": "chase", "marker": marker}, 1)
        with os.fdopen(reader, "rb") as file:
            return int(file.read() or 0)

    def _started(self, request: dict[str, Any], pipes: int) -> tuple[list[int], int]:
        """Ask for something that takes longer; the ends of its pipes to read from, and the number of its process."""
        pairs = [os.pipe() for _ in range(pipes)]
        try:
            told = self._ask(request, *(writer for _, writer in pairs))
        except BaseException:
            for reader, _ in pairs:
                os.close(reader)
            raise
        finally:
            for _, writer in pairs:
                os.close(writer)
        return [reader for reader, _ in pairs], told["pid"]

    def _read(self, readers: list[int], pid: int, timeout_s: float) -> list[bytes]:
        """Read pipes to their ends."""
        parts: dict[int, list[bytes]] = {fd: [] for fd in readers}
        poller = select.poll()
        for fd in readers:
            poller.register(fd, select.POLLIN)
        todo, until = set(readers), time.monotonic() + timeout_s
        while todo:
            if time.monotonic() >= until:
                self._end(pid)
                raise TimeoutError
            for fd, _ in poller.poll(max(1, int((until - time.monotonic()) * 1000))):
                chunk = os.read(fd, CHUNK)
                parts[fd].append(chunk)
                if not chunk:
                    poller.unregister(fd)
                    todo.discard(fd)
        return [b"".join(parts[fd]) for fd in readers]

    def _end(self, pid: int) -> None:
        """End a git, politely first: one that is killed leaves its lock files behind."""
        self._ask({"do": "end", "pid": pid, "signal": int(signal.SIGTERM)})
        time.sleep(KILL_AFTER_S)
        self._ask({"do": "end", "pid": pid, "signal": int(signal.SIGKILL)})

    def _ask(self, request: dict[str, Any], *fds: int) -> dict[str, Any]:
        """Ask and have the answer; OSError when it says no, LauncherGone when it does not answer."""
        text = json.dumps(request).encode()
        with self._lock:
            try:
                socket.send_fds(self._channel, [text], fds)
                answer = self._channel.recv(1 << 17)
            except OSError as error:
                raise self.gone() from error
        if not answer:
            raise self.gone()
        told: dict[str, Any] = json.loads(answer)
        if "fault" in told:
            path = told.get("path")
            raise OSError(told["fault"] + (f": {path}" if path else ""))
        return told

    def gone(self) -> LauncherGone:
        """The error that says it has ended."""
        return LauncherGone(
            f"the process that starts programs for this supervisor (pid {self.pid}) has ended, and without it there is "
            "no going on; the workers do",
            "start ganger again: it finds them",
        )
