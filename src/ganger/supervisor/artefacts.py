"""Whether a worker changed a file of its own workspace: a look over names, sizes and times, in slices of a few ms.

No file is opened and no link followed. Outside the walk are git's own directory and the folders that tools fill by
themselves: a worker that runs the same tests again and again makes new caches, but no progress.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ganger.git.beneath import directory

ENTRIES_MAX = 200_000
DEPTH_MAX = 64
"""What lies deeper, or comes after so many entries, is not looked at."""
PASSED_OVER = frozenset(
    (".git", ".cache", ".gradle", ".hypothesis", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox", ".venv")
) | {"__pycache__", "node_modules"}
SLICE_ENTRIES = 64
"""Between two looks at the clock."""


class Survey:
    """The workspace of one run, looked over again and again."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._walk: Iterator[int | None] | None = None
        self._last: int | None = None
        self.due_ms = 0
        """When the next look over may begin."""

    def look(self, now_ms: int, every_ms: int, slice_s: float) -> bool:
        """Go on for at most `slice_s`; tell whether a look over has ended and found something else than the one before.

        A look over begins at most once in `every_ms`; the first one only finds what there is.
        """
        if self._walk is None:
            if now_ms < self.due_ms:
                return False
            self._walk, self.due_ms = walk(self._workspace), now_ms + every_ms
        until = time.perf_counter() + slice_s
        found = None
        for found in self._walk:
            if found is not None or time.perf_counter() >= until:
                break
        if found is None:
            return False
        self._walk = None
        changed, self._last = self._last not in (None, found), found
        return changed


def walk(workspace: Path) -> Iterator[int | None]:
    """Yield None now and then, and at the end a number that differs when anything that was seen does."""
    seen = 0
    print_ = 0
    waiting: list[tuple[str, ...]] = [()]
    while waiting and seen < ENTRIES_MAX:
        parts = waiting.pop()
        with contextlib.suppress(OSError), directory(workspace, parts) as at, os.scandir(at) as entries:
            for entry in entries:
                seen += 1
                if seen % SLICE_ENTRIES == 0:
                    yield None
                if seen >= ENTRIES_MAX:
                    break
                if entry.name in PASSED_OVER:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    print_ = hash((print_, parts, entry.name))
                    if len(parts) < DEPTH_MAX:
                        waiting.append((*parts, entry.name))
                else:
                    print_ = hash((print_, parts, entry.name, *_look(entry)))
    yield print_


def _look(entry: os.DirEntry[str]) -> tuple[int, ...]:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return ()
    return found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino
