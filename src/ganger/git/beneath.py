"""Reading a directory that somebody hostile can write: no symbolic link is followed, at no level.

A name is opened relative to the descriptor of its directory, so that what was checked is what is read, also while
the other side renames things.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ganger.errors import WorldFailed

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_OURS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
)

Name = str | bytes


class TooLarge(OSError):
    """The file has more bytes than the caller wants to read."""


def blame_it(error: OSError) -> None:
    """Take an error as said of what the other side left; WorldFailed when it is said of this machine.

    A full disk or too many open files say nothing of a file that was to be read, so nobody may take it for missing.
    """
    if error.errno in _OURS:
        raise WorldFailed(f"cannot copy what a worker left: {error.strerror}", "free some room") from error


@contextmanager
def directory(root: int | Path, parts: Sequence[Name] = ()) -> Iterator[int]:
    """Open the directory `parts` below `root` (a path, or a descriptor that stays open); yields its descriptor.

    OSError when any part is missing or is not a real directory. The last component of a `root` path may not be a
    link either; what is above it is taken as given.
    """
    descriptor = os.open(root, _DIRECTORY) if isinstance(root, Path) else os.dup(root)
    try:
        for part in parts:
            below = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def names(at: int) -> list[str]:
    """List the entries of an open directory; bytes that are not UTF-8 as surrogates (`os.fsdecode`)."""
    with os.scandir(at) as entries:
        return [entry.name for entry in entries]


def open_regular(at: int, name: Name) -> int:
    """Open a regular file for reading, never waiting for the other end of a pipe; OSError for anything else."""
    descriptor = os.open(name, _FILE, dir_fd=at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return descriptor


def open_up(root: Path) -> bool:
    """Let their owner, who is us, read all directories and regular files below `root`; whether any could not before.

    Nothing is followed out of it, and what belongs to somebody else stays as it is.
    """
    changed = False
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        with suppress(OSError), directory(root.parent, (root.name, *parts[:-1]) if parts else ()) as above:
            name = parts[-1] if parts else root.name
            changed |= _granted(above, name)
            with directory(above, (name,)) as at:
                for entry in names(at):
                    mode = os.lstat(entry, dir_fd=at).st_mode
                    if stat.S_ISDIR(mode):
                        waiting.append((*parts, entry))
                    elif stat.S_ISREG(mode):
                        changed |= _granted(at, entry)
    return changed


def _granted(at: int, name: str) -> bool:
    """Give the owner of a file or directory the right to read it (and to search it) if it was taken away."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        mode = os.fstat(handle).st_mode
        needed = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR
        if mode & needed == needed or stat.S_ISLNK(mode):
            return False
        Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(mode) | needed)
        return True
    finally:
        os.close(handle)


def read_file(root: int | Path, parts: Sequence[Name], bytes_max: int) -> bytes | None:
    """Return the content of a regular file below `root`; None when there is none, or it is longer than that.

    WorldFailed when that cannot be said.
    """
    try:
        with directory(root, parts[:-1]) as at, os.fdopen(open_regular(at, parts[-1]), "rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        blame_it(error)
        return None
    return content if len(content) <= bytes_max else None


def copy_file(at: int, name: Name, into: Path, bytes_max: int) -> int:
    """Copy a regular file to the new file `into` (mode 0600, or 0700 when executable); return its length in bytes.

    TooLarge when it has more than `bytes_max` bytes (an incomplete copy stays behind), OSError when unreadable.
    """
    source = open_regular(at, name)
    try:
        found = os.fstat(source)
        if found.st_size > bytes_max:
            raise TooLarge(f"has {found.st_size} bytes, the most is {bytes_max}")
        mode = 0o700 if found.st_mode & stat.S_IXUSR else 0o600
        sink = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            return _pump(source, sink, bytes_max)
        finally:
            os.close(sink)
    finally:
        os.close(source)


def _pump(source: int, sink: int, bytes_max: int) -> int:
    copied = 0
    while chunk := os.read(source, _CHUNK):
        copied += len(chunk)
        if copied > bytes_max:
            raise TooLarge(f"has more than {bytes_max} bytes")
        while chunk:
            chunk = chunk[os.write(sink, chunk) :]
    return copied
