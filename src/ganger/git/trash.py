"""The one module that removes things: renaming into the trash, and emptying it after a retention time.

Whatever an agent may have written is only ever renamed (`to_trash`), and that after it was salvaged. Real removal is
for trash older than its retention and for scratch directories, which hold copies made by ganger. Removal never
follows a link and never leaves the file system on which it began.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from ganger.errors import WorldFailed
from ganger.git.beneath import directory, names

TRASH = "trash"
SCRATCH = "scratch"
_NAME_MAX = 200


def to_trash(state_dir: Path, path: Path, now_ms: int) -> Path:
    """Rename `path` to `trash/<now_ms>-<name>` in the state directory and return its new place.

    A path that is gone is no error: the newest trash entry of that name is returned, or the place it would have had.
    WorldFailed when `path` is not below the state directory, is the trash itself, or has a link among its parents.
    """
    parts = _parts_below(state_dir, path)
    if parts[0] == TRASH:
        raise WorldFailed(f"{path} is in the trash already")
    trash = state_dir / TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    wanted = f"{now_ms}-{parts[-1][:_NAME_MAX]}"
    try:
        with directory(state_dir, parts[:-1]) as source, directory(state_dir, (TRASH,)) as sink:
            name = _free_name(sink, wanted)
            os.rename(parts[-1], name, src_dir_fd=source, dst_dir_fd=sink)
    except FileNotFoundError:
        return next(reversed(in_trash(state_dir, parts[-1])), trash / wanted)
    except OSError as error:
        raise WorldFailed(f"cannot move {path} to the trash: {error}") from error
    return trash / name


def prune(state_dir: Path, older_than_ms: int, now_ms: int) -> tuple[Path, ...]:
    """Remove trash entries that were put there `older_than_ms` or longer ago; return those that are gone.

    What cannot be removed (a mount, somebody else's files) stays and is tried again the next time. Names that
    `to_trash` did not make are left alone. WorldFailed when the trash is a link.
    """
    trash = state_dir / TRASH
    if trash.is_symlink():
        raise WorldFailed(f"{trash} is no directory of its own: nothing was removed", "see who put a link there")
    if not trash.is_dir():
        return ()
    with directory(state_dir, (TRASH,)) as at:
        stamped = [(_stamp(name), name) for name in sorted(names(at))]
        due = [name for stamp, name in stamped if stamp is not None and stamp + older_than_ms <= now_ms]
        return tuple(trash / name for name in due if _remove(at, name))


def in_trash(state_dir: Path, name: str) -> tuple[Path, ...]:
    """List the trash entries of things that were called `name`, the oldest first."""
    trash = state_dir / TRASH
    found = [(_stamp(entry.name), entry) for entry in (trash.iterdir() if trash.is_dir() else ())]
    stamped = [(stamp, entry) for stamp, entry in found if stamp is not None]
    return tuple(entry for _, entry in sorted(stamped) if _called(entry.name) == name[:_NAME_MAX])


def _called(entry: str) -> str:
    """The name that something had before it came into the trash."""
    return entry.partition("-")[2].partition("~")[0]


def discard_scratch(state_dir: Path, path: Path) -> None:
    """Remove a check-out of ours below `scratch/` of the state directory; one that is gone is no error."""
    discard_below(state_dir / SCRATCH, path)


def discard_below(root: Path, path: Path) -> None:
    """Remove `path`, which ganger itself made below `root` and which holds nothing of an agent's."""
    parts = _parts_below(root, path)
    try:
        with directory(root, parts[:-1]) as at:
            _remove(at, parts[-1])
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorldFailed(f"cannot remove {path}: {error}") from error


def _parts_below(root: Path, path: Path) -> tuple[str, ...]:
    """Return the components of `path` under `root`; WorldFailed unless it is lexically below it."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts:
        raise WorldFailed(f"{path} is not below {root}: nothing was moved or removed")
    return parts


def _stamp(name: str) -> int | None:
    digits = name.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def _free_name(at: int, wanted: str) -> str:
    for number in count(1):
        name = wanted if number == 1 else f"{wanted}~{number}"
        try:
            os.lstat(name, dir_fd=at)
        except FileNotFoundError:
            return name
    raise AssertionError("count ended")


def _remove(at: int, name: str) -> bool:
    """Remove the entry `name` of the directory `at`, whatever it is; return whether it is gone."""
    with contextlib.suppress(FileNotFoundError):
        found = os.lstat(name, dir_fd=at)
        if not stat.S_ISDIR(found.st_mode):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=at)
        else:
            _remove_tree(at, name)
    return not _exists(at, name)


def _remove_tree(at: int, name: str) -> None:
    """Remove a directory of any depth with a bounded number of descriptors.

    Each sub-directory is first lifted to the top of the tree, where it is emptied in its turn: a recursion would be
    at the mercy of whoever nested the directories.
    """
    with contextlib.suppress(OSError), _writable(at, name) as top:
        device = os.fstat(top).st_dev
        fresh = (f".lifted-{number}" for number in count())
        _empty(top, top, device, fresh)
        stuck: set[str] = set()
        while lifted := sorted(set(names(top)) - stuck):
            for child in lifted:
                with contextlib.suppress(OSError), _writable(top, child) as below:
                    if os.fstat(below).st_dev == device:
                        _empty(below, top, device, fresh)
                        os.rmdir(child, dir_fd=top)
                        continue
                stuck.add(child)
        os.rmdir(name, dir_fd=at)


def _empty(directory_fd: int, top: int, device: int, fresh: Iterator[str]) -> None:
    """Unlink the files of a directory and lift its sub-directories to `top`; what resists stays where it is."""
    for entry in names(directory_fd):
        with contextlib.suppress(OSError):
            found = os.lstat(entry, dir_fd=directory_fd)
            if found.st_dev != device:
                continue
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(entry, dir_fd=directory_fd)
            elif directory_fd != top:
                _lift(directory_fd, entry, top, fresh)


def _lift(at: int, entry: str, top: int, fresh: Iterator[str]) -> None:
    try:
        os.rmdir(entry, dir_fd=at)
    except OSError:
        with _writable(at, entry):
            os.rename(entry, _unused(top, fresh), src_dir_fd=at, dst_dir_fd=top)


def _unused(top: int, fresh: Iterator[str]) -> str:
    return next(name for name in fresh if not _exists(top, name))


@contextlib.contextmanager
def _writable(at: int, name: str) -> Iterator[int]:
    """Open a directory that may have been made unreadable or read-only by its owner, and make it ours to change."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except PermissionError:
        _grant(at, name)
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        os.fchmod(descriptor, 0o700)
        yield descriptor
    finally:
        os.close(descriptor)


def _grant(at: int, name: str) -> None:
    """Give us back the rights on a directory that cannot be opened, without following a link in its place."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, 0o700, dir_fd=at, follow_symlinks=False)
        return
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(0o700)
    finally:
        os.close(handle)


def _exists(at: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=at)
    except FileNotFoundError:
        return False
    return True
