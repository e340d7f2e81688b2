"""Where a fleet keeps its things, found without starting git: cheap enough for prompts and scripts.

One fleet belongs to one repository: the state directory is named after the repository's common git directory, so a
sub-directory, a linked work tree and a symbolic link all find the same one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ganger.errors import RepositoryError, StateDirError
from ganger.git.naming import STANDIN, repo_id

JOURNAL = "journal.db"
SUPERVISOR_LOCK = "supervisor.lock"
_RECORD = "fleet.json"
FREE_BYTES_MIN = 4 << 20
"""A fleet is not opened on a disk with less room than this."""


def find_common_dir(start: Path) -> Path:
    """The real path of the git directory that `start` belongs to; RepositoryError when there is none.

    Follows git's own rules for `.git` as a directory, as a file (linked work trees, submodules) and `commondir`.
    """
    try:
        start = start.resolve()
    except OSError as error:
        raise RepositoryError(f"the current directory is gone: {error.strerror}", "go to one that is there") from error
    for folder in (start, *start.parents):
        dot_git = folder / ".git"
        if dot_git.is_dir():
            return _common(dot_git)
        if dot_git.is_file():
            first = dot_git.read_text(errors="surrogateescape").partition("\n")[0]
            if first.startswith("gitdir: "):
                return _common((folder / first.removeprefix("gitdir: ")).resolve())
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
            return _common(folder)
    raise RepositoryError(f"{start} is not in a git repository", "go to one, or name it with -C DIR")


def _common(git_dir: Path) -> Path:
    pointer = git_dir / "commondir"
    if pointer.is_file():
        return (git_dir / pointer.read_text().strip()).resolve()
    return git_dir.resolve()


def state_dir(start: Path, environ: Mapping[str, str], override: str = "") -> Path:
    """The state directory of the fleet of the repository around `start`; it need not exist.

    `override` (`--state-dir`) goes before `GANGER_STATE`, and that before `$XDG_STATE_HOME/ganger/<repo-id>`.
    """
    named = override or environ.get("GANGER_STATE", "")
    if named:
        return _real(Path(named))
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise StateDirError("neither XDG_STATE_HOME nor HOME says where state is kept", "give --state-dir DIR")
        base = f"{home}/.local/state"
    fleets = _real(Path(base)) / "ganger"
    try:
        return fleets / repo_id(find_common_dir(start))
    except RepositoryError:
        plain = _plain_directory(fleets, start)
        if plain is None:
            raise
        return fleets / repo_id(plain)


def _real(path: Path) -> Path:
    """A place without links on the way to it: a jail shows what it is told to by this name, and no other."""
    return Path(os.path.realpath(path))


def _plain_directory(fleets: Path, start: Path) -> Path | None:
    """The directory around `start`, in no repository, on whose files a fleet works; None when there is none."""
    here = Path(os.path.realpath(start))
    return next((folder for folder in (here, *here.parents) if (fleets / repo_id(folder) / STANDIN).is_dir()), None)


def state_dir_for_plain(start: Path, environ: Mapping[str, str], override: str = "") -> Path:
    """The state directory of the fleet of a directory that is no repository; it need not exist."""
    try:
        return state_dir(start, environ, override)
    except RepositoryError:
        base = environ.get("XDG_STATE_HOME", "") or f"{environ['HOME']}/.local/state"
        return _real(Path(base)) / "ganger" / repo_id(_real(start))


def prepare(directory: Path, common_dir: Path) -> None:
    """Make the state directory, for its owner alone, and tie it to its repository; StateDirError as in `check`."""
    check(directory, common_dir)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(directory.stat().st_mode) & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise StateDirError(f"the state directory {directory} cannot be made: {error.strerror}", _ELSEWHERE) from error
    record = directory / _RECORD
    if not record.exists():
        replace_file(record, json.dumps({"version": 1, "repository": _named(common_dir)}).encode())


def check(directory: Path, common_dir: Path) -> None:
    """Refuse a state directory that cannot be used, and change nothing.

    StateDirError when it cannot be made or written, belongs to somebody else, or to another repository's fleet, and
    when its disk is full.
    """
    existing = next(folder for folder in (directory, *directory.parents) if os.path.lexists(folder))
    try:
        found = existing.stat()
        free, room = _free(existing)
    except OSError as error:
        raise StateDirError(f"the state directory {directory} cannot be used: {error.strerror}", _ELSEWHERE) from error
    if not stat.S_ISDIR(found.st_mode):
        raise StateDirError(
            f"the state directory {directory} cannot be made: {existing} is not a directory", _ELSEWHERE
        )
    if existing == directory and found.st_uid != os.geteuid():
        raise StateDirError(f"the state directory {directory} belongs to somebody else", _ELSEWHERE)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StateDirError(f"the state directory {directory} cannot be written", _ELSEWHERE)
    if not room:
        raise StateDirError(
            f"the disk of {directory} is full: {free // 1024} KiB free", "free some space, or use another --state-dir"
        )
    _refuse_others(directory / _RECORD, common_dir)


_ELSEWHERE = "check its owner and mode, or use another with --state-dir"


def _free(existing: Path) -> tuple[int, bool]:
    """Bytes free on the disk of a directory, and whether that is room for even the smallest night."""
    found = os.statvfs(existing)
    free = found.f_bavail * found.f_frsize
    return free, free >= FREE_BYTES_MIN and not (found.f_files and not found.f_favail)


def _refuse_others(record: Path, common_dir: Path) -> None:
    try:
        present = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise StateDirError(f"{record} cannot be read: {error}", _ELSEWHERE) from error
    if not isinstance(present, dict) or present.get("version", 0) > 1:
        raise StateDirError(f"{record} was written by a newer ganger", "use that ganger, or another --state-dir")
    if present.get("repository") != _named(common_dir):
        raise StateDirError(
            f"the state directory {record.parent} belongs to the fleet of {present.get('repository')}",
            "use another with --state-dir",
        )


def _named(common_dir: Path) -> str:
    return os.fsencode(common_dir).decode("utf-8", "backslashreplace")


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file of the state directory, so that readers see the old or the new one; StateDirError if not."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise StateDirError(f"{path} cannot be written: {error.strerror}", "free some space") from error


def is_supervised(state_dir: Path) -> bool:
    """Whether a supervisor holds the fleet right now."""
    try:
        handle = os.open(state_dir / SUPERVISOR_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
