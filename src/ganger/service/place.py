"""Where a fleet keeps its things, found without starting git: cheap enough for prompts and scripts.

One fleet belongs to one repository: the state directory is named after the repository's common git directory, so a
sub-directory, a linked work tree and a symbolic link all find the same one.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ganger.errors import RepositoryError, StateDirError
from ganger.git.naming import repo_id

JOURNAL = "journal.db"
_RECORD = "fleet.json"


def find_common_dir(start: Path) -> Path:
    """The real path of the git directory that `start` belongs to; RepositoryError when there is none.

    Follows git's own rules for `.git` as a directory, as a file (linked work trees, submodules) and `commondir`.
    """
    start = start.resolve()
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
        return Path(named).absolute()
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise StateDirError("neither XDG_STATE_HOME nor HOME says where state is kept", "give --state-dir DIR")
        base = f"{home}/.local/state"
    return Path(base) / "ganger" / repo_id(find_common_dir(start))


def prepare(directory: Path, common_dir: Path) -> None:
    """Make the state directory, for its owner alone, and tie it to its repository.

    StateDirError when it cannot be made or written, belongs to somebody else, or to another repository's fleet.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError as error:
        raise StateDirError(f"the state directory {directory} cannot be made: {error.strerror}", _ELSEWHERE) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StateDirError(f"the state directory {directory} belongs to somebody else", _ELSEWHERE)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StateDirError(f"the state directory {directory} cannot be written", _ELSEWHERE)
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)
    _tie(directory, common_dir)


_ELSEWHERE = "check its owner and mode, or use another with --state-dir"


def _tie(directory: Path, common_dir: Path) -> None:
    record = directory / _RECORD
    wanted = {"version": 1, "repository": os.fsencode(common_dir).decode("utf-8", "backslashreplace")}
    try:
        present = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fresh = record.with_name(f".{_RECORD}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps(wanted), encoding="utf-8")
            fresh.replace(record)
        except OSError as error:
            raise StateDirError(f"{directory} cannot be written: {error.strerror}", "free some space") from error
        return
    except (OSError, ValueError) as error:
        raise StateDirError(f"{record} cannot be read: {error}", _ELSEWHERE) from error
    if not isinstance(present, dict) or present.get("version", 0) > 1:
        raise StateDirError(f"{record} was written by a newer ganger", "use that ganger, or another --state-dir")
    if present.get("repository") != wanted["repository"]:
        raise StateDirError(
            f"the state directory {directory} belongs to the fleet of {present.get('repository')}",
            "use another with --state-dir",
        )
