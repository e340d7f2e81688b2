"""What the supervisor sleeps on: a pipe for its own threads, a pidfd per worker, and inotify on their branches.

Where the kernel lacks pidfds or inotify (macOS), the sleep is cut into slices instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
from collections.abc import Iterable
from pathlib import Path

from ganger.core.ids import RunId
from ganger.core.model import WorkerId
from ganger.drivers import process

SLICE_MS = 500
"""Longest sleep where the kernel cannot tell of an exit or a commit."""
IN_CLOSE_WRITE, IN_MOVED_TO, IN_NONBLOCK, IN_CLOEXEC = 0x8, 0x80, 0o4000, 0o2000000


class Watch:
    """Sleeps until something happened that the supervisor should look at."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._poll = select.poll()
        self._poll.register(self._read_end, select.POLLIN)
        self._pidfds: dict[WorkerId, int] = {}
        self._sliced: set[WorkerId] = set()
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
        self._inotify = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC) if self._libc is not None else -1
        self._watched: dict[RunId, list[int]] = {}
        if self._inotify >= 0:
            self._poll.register(self._inotify, select.POLLIN)

    def close(self) -> None:
        """Let go of every descriptor."""
        for handle in (self._read_end, self._write_end, *self._pidfds.values()):
            os.close(handle)
        if self._inotify >= 0:
            os.close(self._inotify)

    def wake(self) -> None:
        """End the sleep, now or as soon as it begins; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_end, b"w")

    def sleep(self, timeout_ms: int | None) -> None:
        """Wait until woken, until a watched worker exits or commits, or for `timeout_ms` (None: no limit)."""
        if self._sliced:
            timeout_ms = SLICE_MS if timeout_ms is None else min(timeout_ms, SLICE_MS)
        for handle, _ in self._poll.poll(timeout_ms):
            if handle == self._read_end or handle == self._inotify:
                with contextlib.suppress(BlockingIOError):
                    while len(os.read(handle, 65_536)) == 65_536:
                        pass
            else:
                self._drop(handle)

    def follow(self, workers: Iterable[tuple[RunId, WorkerId, Iterable[Path]]]) -> None:
        """Watch exactly these living workers, each with the folders in which its commits show."""
        wanted = {worker: (run, folders) for run, worker, folders in workers}
        for worker in [worker for worker in self._pidfds if worker not in wanted]:
            self._drop(self._pidfds[worker])
        self._sliced &= set(wanted)
        runs = {run for run, _ in wanted.values()}
        for run in [run for run in self._watched if run not in runs]:
            self._unwatch(run)
        for worker, (run, folders) in wanted.items():
            if worker not in self._pidfds and worker not in self._sliced:
                self._add(worker)
            if run not in self._watched:
                self._watch(run, folders)

    def _add(self, worker: WorkerId) -> None:
        handle = process.pidfd(worker)
        if handle is None:
            self._sliced.add(worker)
            return
        self._pidfds[worker] = handle
        self._poll.register(handle, select.POLLIN)

    def _drop(self, handle: int) -> None:
        """Forget a pidfd: its worker is gone, and once told is enough."""
        for worker, known in list(self._pidfds.items()):
            if known == handle:
                self._poll.unregister(handle)
                os.close(handle)
                del self._pidfds[worker]
                self._sliced.add(worker)

    def _watch(self, run: RunId, folders: Iterable[Path]) -> None:
        marks = []
        if self._libc is not None and self._inotify >= 0:
            for folder in folders:
                mark = self._libc.inotify_add_watch(self._inotify, os.fsencode(folder), IN_CLOSE_WRITE | IN_MOVED_TO)
                if mark >= 0:
                    marks.append(mark)
        self._watched[run] = marks

    def _unwatch(self, run: RunId) -> None:
        for mark in self._watched.pop(run):
            if self._libc is not None:
                self._libc.inotify_rm_watch(self._inotify, mark)
