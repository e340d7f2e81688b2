"""A repository of ours for files that nobody has committed: of a repository without a commit, or of a plain directory.

Its first commit holds the files as they were when the fleet began, the ignored ones left out. Landings move its
branch; the user's directory is only read, and gets what landed by a patch that the user applies. Each time the files
are taken in again, what changed there meanwhile is merged into the branch.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from ganger.core.ids import Commit
from ganger.errors import RepositoryError
from ganger.git import trash
from ganger.git.changes import path_text
from ganger.git.command import Git, UserGit, oid, run_safe
from ganger.git.founding import COMPLETE, move_aside
from ganger.git.hub import Hub, lock_file
from ganger.git.naming import STANDIN, repo_id
from ganger.git.repository import Repository, described
from ganger.git.seeding import as_in, frozen_tree, merged
from ganger.git.snapshot import commit_tree
from ganger.git.trees import edit_tree

BRANCH = "main"
"""The branch that landings move where the user's repository does not name one."""
YOURS = "refs/ganger/yours"
"""The user's files as they were taken in last."""
_FROZEN = "refs/ganger/frozen"
_TOP = "ganger-top"
"""A file that names the user's directory."""
_MESSAGE = "Files of a person\n\nAs they lay in {top}, not committed by anybody.\n"


class TakenIn(Struct, frozen=True):
    """What came of taking the user's files in."""

    repository: Repository
    differing: tuple[str, ...] = ()
    """Files that were changed both there and by what landed: as in the user's directory from here on."""


def is_there(state_dir: Path) -> bool:
    """Whether the fleet works on files that nobody committed."""
    return (state_dir / STANDIN / ".git" / COMPLETE).exists()


def top_of(state_dir: Path) -> Path:
    """The user's directory whose files such a fleet works on."""
    return Path(os.fsdecode((state_dir / STANDIN / ".git" / _TOP).read_bytes()))


def open_standin(state_dir: Path) -> Repository:
    """Open the repository that stands in for the user's."""
    at, top = state_dir / STANDIN, top_of(state_dir)
    return described(UserGit(at), top, at / ".git", repo_id(_common_dir(top) or top), at)


def is_outgrown(repository: Repository) -> bool:
    """Whether there are commits by now where there were none."""
    found = UserGit(repository.top).call("for-each-ref", "--count=1", "refs/heads") if repository.top.is_dir() else None
    return found is not None and found.code == 0 and bool(found.stdout)


def without_commits(start: Path) -> Path | None:
    """The top of the directory around `start` in which nobody has committed anything; None where there are commits."""
    if not start.is_dir():
        return None
    git = UserGit(start)
    asked = git.call("rev-parse", "--path-format=absolute", "--is-inside-work-tree", "--show-toplevel")
    if asked.code != 0:
        return Path(os.path.realpath(start)) if "not a git repository" in asked.stderr else None
    inside, top = os.fsdecode(asked.stdout).split("\n", 1)
    if inside != "true" or git.run("for-each-ref", "--count=1", "refs/heads"):
        return None
    return Path(os.path.realpath(top.removesuffix("\n")))


def take_in(state_dir: Path, top: Path) -> TakenIn:
    """Have the files of the user's directory, as they are now, on the branch of the repository that stands in for it.

    It is made if need be. RepositoryError for a directory whose files cannot be read, or that is too much: one that
    holds the user's home, or the state directory.
    """
    _refuse_too_much(top, state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_file(state_dir / f"{STANDIN}.lock"):
        if not is_there(state_dir):
            _found(state_dir, top)
        return _take_in(open_standin(state_dir), top)


def _take_in(repository: Repository, top: Path) -> TakenIn:
    git_dir = repository.common_dir
    branch = _branch(git_dir)
    standin = Hub(git_dir, repository, branch, Git(git_dir))
    standin.recover(time.time())
    with standin.scratch() as scratch:
        store, tree = frozen_tree(UserGit(top), _staged(top, scratch), _config(git_dir), scratch)
        before, tip = standin.ref(YOURS), standin.git.rev_parse(f"refs/heads/{branch}")
        if before is not None and standin.tree_of(before) == tree:
            return TakenIn(repository)
        frozen = commit_tree(Git(store), tree, (), "Frozen\n", 0)
        (store / "packed-refs").write_text(f"{frozen} refs/frozen\n")
        standin.git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--end-of-options",
            str(store), f"+refs/frozen:{_FROZEN}", timeout_s=600,
        )  # fmt: skip
        message = _MESSAGE.format(top=ascii(str(top))[1:-1])
        yours = commit_tree(standin.git, tree, (before,) if before else (), message, int(time.time()))
        if before is None or tip is None:
            _move(standin, branch, yours, yours, tip)
            return TakenIn(repository)
        return TakenIn(repository, _merge(standin, branch, before, yours, tip))


def taking(repository: Repository, branch: str) -> str:
    """The command by which the user gets what landed into their directory."""
    diff = ("git", f"--git-dir={repository.common_dir}", "diff-tree", "-p", "--binary", YOURS, f"refs/heads/{branch}")
    return f"{shlex.join(diff)} | (cd {shlex.quote(str(repository.top))} && git apply)"


def has_more(repository: Repository, branch: str) -> bool:
    """Whether something landed that the user's directory does not have, as far as it was taken in."""
    asked = repository.git.call("diff-tree", "--quiet", YOURS, f"refs/heads/{branch}")
    return asked.code == 1


def _merge(standin: Hub, branch: str, before: Commit, yours: Commit, tip: Commit) -> tuple[str, ...]:
    """Bring what changed in the user's directory onto the branch; the files in which theirs had to prevail."""
    tree, conflicts = merged(standin, before, tip, yours)
    if conflicts:
        tree = edit_tree(standin, tree, as_in(standin, yours, tree, conflicts))
    both = commit_tree(standin.git, tree, (tip, yours), "Files of a person, changed meanwhile\n", int(time.time()))
    _move(standin, branch, both, yours, tip)
    return tuple(path_text(raw) for raw in conflicts)


def _move(standin: Hub, branch: str, to: Commit, yours: Commit, old: Commit | None) -> None:
    """Move the branch and the mark of what was taken in together; GitFailed when the branch moved meanwhile."""
    zero = "0" * len(to)
    orders = (f"update refs/heads/{branch} {oid(to)} {old or zero}", f"update {YOURS} {oid(yours)}")
    lines = "".join(f"{order}\n" for order in (*orders, f"delete {_FROZEN}"))
    standin.git.run("update-ref", "--stdin", input=lines.encode())


def _found(state_dir: Path, top: Path) -> None:
    """Make the repository, empty: built beside and renamed, so that it is there complete or not at all."""
    asked = UserGit(top).call("symbolic-ref", "--quiet", "--short", "HEAD")
    branch = os.fsdecode(asked.stdout).strip() if asked.code == 0 else BRANCH
    kind = UserGit(top).call("rev-parse", "--show-object-format")
    object_format = kind.stdout.decode().strip() if kind.code == 0 else "sha1"
    for left in state_dir.glob(f".{STANDIN}-*"):
        trash.discard_below(state_dir, left)
    move_aside(state_dir / STANDIN)
    making = Path(tempfile.mkdtemp(prefix=f".{STANDIN}-", dir=state_dir))
    run_safe(
        making, "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}",
        f"--initial-branch={branch}", "--end-of-options", str(making / ".git"),
    )  # fmt: skip
    (making / ".git" / _TOP).write_bytes(os.fsencode(top))
    (making / ".git" / COMPLETE).write_bytes(b"")
    making.rename(state_dir / STANDIN)


def _staged(top: Path, scratch: Path) -> Path | None:
    """A copy of the objects of a repository without commits: what is staged; None for a plain directory."""
    common_dir = _common_dir(top)
    if common_dir is None:
        return None
    try:
        return Path(shutil.copytree(common_dir / "objects", scratch / "staged", copy_function=shutil.copyfile))
    except (OSError, shutil.Error) as error:
        raise RepositoryError(
            f"what is staged in {top} cannot be read: {error}", "see to its owner and mode"
        ) from error


def _branch(git_dir: Path) -> str:
    return (git_dir / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")


def _config(git_dir: Path) -> str:
    sha256 = "sha256" in (git_dir / "config").read_text()
    extensions = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    return f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = true\n{extensions}"


def _common_dir(top: Path) -> Path | None:
    """The git directory of the user's repository; None for a plain directory."""
    if not top.is_dir():
        return None
    asked = UserGit(top).call("rev-parse", "--path-format=absolute", "--git-common-dir")
    return Path(os.path.realpath(os.fsdecode(asked.stdout).removesuffix("\n"))) if asked.code == 0 else None


def _refuse_too_much(top: Path, state_dir: Path) -> None:
    home = Path(os.path.realpath(Path.home()))
    for what, place in (("your home directory", home), ("the state directory", Path(os.path.realpath(state_dir)))):
        if place.is_relative_to(top):
            raise RepositoryError(
                f"{top} holds {what}, {place}: its files are not taken for work",
                "go to the directory of the work, and keep the state outside of it",
            )
