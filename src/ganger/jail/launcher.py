"""The process that starts programs for a supervisor: warm, so that a start is one fork; free, so that it still can.

Run as `python -I -S -X utf8 -c … reaper.py` with one end of a socket as its standard input. A supervisor starts it
before its first thread and before it gives up its rights to write (`rights`): what Landlock forbids is inherited and
includes mounts, so nothing that descends from such a supervisor could put a program behind a wall.

It does five things and knows only the standard library: it turns a child into the shim of a program (`reaper`), starts
git for a step of a landing (`lander`), ends such a git, looks for processes by their mark, and chases a chain of them
(`marks`). One thread, one request after the other, each answered at once; whatever takes longer is a child that tells
its end through a pipe of the request. It ends when the other end of the socket is closed; shims go on.
"""

# Importing pathlib would take longer than everything else here.
# ruff: noqa: PTH123

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys

from ganger.jail import lander, marks, reaper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MESSAGE_MAX, FDS_MAX = 1 << 17, 3
MARKER_MAX = 8_192
"""Bytes of the longest marker: the environment of a shim is that of this process, written over."""
DEAF_TO = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""It ends with the supervisor, and not before what that one still has to do; held back from it until it is deaf."""


def main() -> None:
    """Serve the supervisor until it has ended."""
    os.closerange(3, 1 << 16)
    channel = socket.socket(fileno=os.dup(0))
    # Whoever removes or moves the folder in which ganger was called is not held up by us.
    os.chdir("/")
    wakeup = _wakeup_on_children()
    # What is there now stays: no child should touch these pages only to find that nothing of them is garbage.
    gc.collect()
    gc.freeze()
    Launcher(channel, wakeup).serve()


class Launcher:
    """The supervisor's other hands."""

    def __init__(self, channel: socket.socket, wakeup: int) -> None:
        self.channel, self.wakeup = channel, wakeup
        self.supervisor = os.getppid()
        self.terms: dict[str, Any] | None = None
        """Where landings may go; told once, before anything else."""
        self.telling: dict[int, int] = {}
        """Children whose exit status is to be told, each with the descriptor to tell it to."""
        self.ending: set[int] = set()
        """Those of them that were asked to end, with what they started."""
        self.verbs: dict[str, Callable[[dict[str, Any], list[int]], dict[str, Any]]] = {
            "terms": self.agree,
            "start": self.start,
            "git": self.git,
            "end": self.end,
            "marked": self.marked,
            "chase": self.chase,
        }

    def serve(self) -> None:
        """Answer requests and reap children, until nobody is there to ask."""
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        poller.register(self.wakeup, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self.wakeup:
                    os.read(self.wakeup, 4_096)
                    self.reap()
                elif not self.answer():
                    return

    def answer(self) -> bool:
        """Take one request and answer it; False when the supervisor has ended."""
        try:
            text, fds, _, _ = socket.recv_fds(self.channel, MESSAGE_MAX, FDS_MAX)
            # What a supervisor has asked for just before it was killed is not begun any more: its successor would not
            # know of it.
            if not text or os.getppid() != self.supervisor:
                return False
            told = self._told(text, fds)
            self.channel.send(json.dumps(told).encode())
        except OSError:
            return False
        return True

    def _told(self, text: bytes, fds: list[int]) -> dict[str, Any]:
        try:
            request = json.loads(text)
            return self.verbs[request["do"]](request, fds)
        except OSError as error:
            return {"fault": error.strerror or str(error), "path": error.filename}
        except (ValueError, KeyError, TypeError) as error:
            return {"fault": f"it was asked wrongly: {error!r}"}
        finally:
            for fd in fds:
                os.close(fd)

    def agree(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Be told where landings may go; only the first word counts."""
        if self.terms is not None:
            raise ValueError("the terms of landings are settled")
        self.terms = request["terms"]
        return {}

    def start(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Make a shim for a program; its spec is the file that came with the request."""
        (spec,) = fds
        if len(os.fsencode(request["marker"])) > MARKER_MAX:
            raise ValueError("the marker is too long")
        output = os.open(request["output"], reaper.NEW_FILE | os.O_APPEND, 0o600)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_shim(spec, output, request["marker"])
            # Only we could reap it, so it is still there however quickly it ends.
            return {"pid": pid, "started": marks.started(pid)}
        finally:
            os.close(output)

    def _become_shim(self, spec: int, output: int, marker: str) -> None:
        """In the child: be what a freshly started shim would be. Never returns."""
        try:
            _reset_signals()
            _mark_this(marker)
            os.dup2(spec, 0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(output, 2)
            reaper.main()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(1)

    def git(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Start git for a step of a landing; its exit status goes into the third of the pipes."""
        out, err, status = fds
        terms, args, folder, reason = self.terms, request["args"], request["cwd"], request["reason"]
        if terms is None or not lander.is_landing(terms, args) or not lander.is_of(terms, folder):
            raise ValueError("that is no step of a landing")
        if reason and not lander.REASON.fullmatch(reason):
            raise ValueError("that is no reason of a landing")
        env = {**terms["env"], **({"GIT_REFLOG_ACTION": reason} if reason else {})}
        pid = os.fork()
        if pid == 0:
            self._become_git([*terms["git"], *args], env, folder, out, err)
        self.telling[pid] = os.dup(status)
        return {"pid": pid}

    def _become_git(self, argv: list[str], env: dict[str, str], folder: str, out: int, err: int) -> None:
        """In the child: turn into git. Never returns."""
        try:
            os.setpgid(0, 0)
            _reset_signals()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.closerange(3, 1 << 16)
            os.chdir(folder)
            os.execve(argv[0], argv, env)  # noqa: S606 - that is the purpose
        except BaseException as error:
            os.write(2, f"fatal: {error}".encode(errors="replace"))
        finally:
            os._exit(127)

    def end(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Send a signal to a git that was started here, and to what it started; nothing when it has ended."""
        pid, number = request["pid"], request["signal"]
        if pid in self.telling and number in (signal.SIGTERM, signal.SIGKILL):
            self.ending.add(pid)
            os.killpg(pid, number)
        return {}

    def marked(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """List the processes that carry a mark."""
        return {"pids": marks.marked(request["marker"], self.supervisor)}

    def chase(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Chase a chain of processes; how many were killed goes into the pipe."""
        (count,) = fds
        pid = os.fork()
        if pid == 0:
            try:
                os.write(count, b"%d" % marks.chase(request["marker"], self.supervisor))
            finally:
                os._exit(0)
        return {"pid": pid}

    def reap(self) -> None:
        """Take the exit status of every child that has ended, and tell those that somebody waits for."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self.ending:
                # Until it is reaped its number is that of its group alone.
                self.ending.discard(pid)
                _kill_group(pid)
            status = os.waitpid(pid, 0)[1]
            fd = self.telling.pop(pid, None)
            if fd is not None:
                _tell(fd, os.waitstatus_to_exitcode(status))


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _tell(fd: int, status: int) -> None:
    try:
        os.write(fd, b"%d" % status)
    except BrokenPipeError:
        return
    finally:
        os.close(fd)


def _wakeup_on_children() -> int:
    """Return a descriptor that becomes readable when a child has ended, and be deaf to requests to end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return reader


def _reset_signals() -> None:
    """In a child: hear what this process is deaf to, and no longer tell it of children."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *DEAF_TO):
        signal.signal(number, signal.SIG_DFL)


def _mark_this(marker: str) -> None:
    """Let this process show the marker in the environment that the kernel shows of it, in the place kept for that."""
    with open("/proc/self/stat", "rb", 0) as file:
        begin, end = file.read().rpartition(b")")[2].split()[47:49]
    room = int(end) - int(begin)
    entry = f"{marks.MARK}={marker}".encode(errors="surrogateescape")
    assert len(entry) < room, room
    ctypes.memmove(int(begin), entry.ljust(room, b"\0"), room)


if __name__ == "__main__":
    main()
