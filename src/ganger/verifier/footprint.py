"""What a check writes into the tree it checks: seen from outside, before and after, without running anything there."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from msgspec import Struct

from ganger.git.changes import path_text

ENTRIES_MAX = 500_000
FILE_BYTES_MAX = 64 << 20
_CACHES = frozenset(
    {
        *(
            b"__pycache__",
            b".pytest_cache",
            b".mypy_cache",
            b".ruff_cache",
            b".hypothesis",
            b".tox",
            b".nox",
            b".cache",
        ),
        *(b"node_modules", b"target", b"build", b"dist", b"coverage", b"htmlcov", b".nyc_output", b".venv", b"venv"),
        *(b".eggs", b".turbo", b".vite", b".jest", b"vendor"),
    }
)
"""Folders that tools make for themselves; what a check puts there, where there was no such folder, is not looked at."""
_RUN_SUFFIXES = frozenset(
    {
        *(".py", ".pyc", ".pyi", ".pyd", ".so", ".pth", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx"),
        *(".go", ".rs", ".rb", ".java", ".kt", ".php", ".sh", ".bash", ".mk", ".snap"),
    }
)
"""Endings of files that a test runner would import, run or compare with."""


class Mark(Struct, frozen=True, gc=False):
    """What tells whether a file was written: its times and number cannot be put back."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


Survey = Mapping[bytes, Mark]


class Footprint(Struct, frozen=True):
    """What a check left in its tree: paths in their text form, sorted."""

    written: tuple[str, ...] = ()
    """Files of the tree with other content or mode, or none."""
    restored: tuple[str, ...] = ()
    """Files of the tree that were written and have their content again."""
    added: tuple[str, ...] = ()
    """New files, but in caches, that a runner would import, run or compare with, or that are links."""


def survey(top: Path) -> Survey:
    """Look at every file below `top` but those in a `.git`; no link is followed."""
    found: dict[bytes, Mark] = {}
    waiting = [(os.fsencode(top), b"")]
    while waiting and len(found) < ENTRIES_MAX:
        folder, prefix = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            path = prefix + entry.name
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(about.st_mode):
                if entry.name != b".git":
                    waiting.append((entry.path, path + b"/"))
            else:
                found[path] = Mark(about.st_mode, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    return found


def footprint(
    top: Path,
    before: Survey,
    is_protected: Callable[[str], bool],
    is_test: Callable[[str], bool],
    oids: Callable[[], Blobs],
) -> Footprint:
    """Compare the tree with what it was; `oids` says what it held, and is asked only when files were written."""
    after = survey(top)
    touched = [path for path, mark in before.items() if after.get(path) != mark]
    known = oids() if touched else {}
    written = [path for path in touched if path not in after or not _is_as_before(top, path, after[path], known)]
    restored = [path for path in touched if path not in written and _steers(path_text(path), is_protected, is_test)]
    added = [path for path in after.keys() - before.keys() if _matters(path, after[path], before, is_protected)]
    return Footprint(_texts(written), _texts(restored), _texts(added))


Blobs = Mapping[bytes, tuple[str, str]]
"""Mode and object id of each path of a tree, as git writes them."""


def _texts(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(path_text(path) for path in paths))


def _steers(path: str, is_protected: Callable[[str], bool], is_test: Callable[[str], bool]) -> bool:
    return is_protected(path) or is_test(path)


def _matters(path: bytes, mark: Mark, before: Survey, is_protected: Callable[[str], bool]) -> bool:
    parts = path.split(b"/")
    caches = [number for number, part in enumerate(parts[:-1]) if part in _CACHES]
    if caches and not _was_there(before, b"/".join(parts[: caches[0] + 1]) + b"/"):
        return False
    text = path_text(path)
    suffix = PurePosixPath(text).suffix.lower()
    return stat.S_ISLNK(mark.mode) or suffix in _RUN_SUFFIXES or is_protected(text)


def _was_there(before: Survey, prefix: bytes) -> bool:
    return any(path.startswith(prefix) for path in before)


def _is_as_before(top: Path, path: bytes, mark: Mark, known: Blobs) -> bool:
    """Whether a file that was written has the content and the mode that the tree gives it."""
    mode, oid = known.get(path, ("", ""))
    place = top / os.fsdecode(path)
    try:
        if stat.S_ISLNK(mark.mode):
            return mode == "120000" and _blob_id(os.fsencode(place.readlink()), len(oid)) == oid
        if not stat.S_ISREG(mark.mode) or mark.size > FILE_BYTES_MAX:
            return False
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        return False
    executable = "100755" if mark.mode & stat.S_IXUSR else "100644"
    return mode == executable and _blob_id(content, len(oid)) == oid


def _blob_id(content: bytes, oid_chars: int) -> str:
    algorithm = hashlib.sha1 if oid_chars == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


def writes(base: Footprint, seen: Footprint) -> tuple[str, ...]:
    """Say what a check wrote that it does not write on the base, a line each."""
    faults = []
    written = [path for path in seen.written if path not in base.written]
    restored = [path for path in seen.restored if path not in base.restored]
    added = [path for path in seen.added if path not in base.added]
    for what, paths in (("changed", written), ("changed and put back", restored), ("added files to", added)):
        if paths:
            more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
            faults.append(f"it {what} the tree that it checks: {', '.join(paths[:5])}{more}")
    return tuple(faults)
