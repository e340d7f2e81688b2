"""What the user's repository is: found, checked and read, never written."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from ganger.core.ids import Commit
from ganger.core.patterns import PathRules
from ganger.errors import RepositoryError
from ganger.git.changes import path_text
from ganger.git.command import UserGit
from ganger.git.naming import repo_id
from ganger.git.ref_files import read_ref

DEFAULT_IDENTITY = ("ganger", "ganger@localhost")
BRANCH_CHARS_MAX = 200


@dataclass(frozen=True)
class Repository:
    """The user's repository, the same value from a sub-directory, a linked work tree or a link to it."""

    top: Path
    """The main work tree."""
    common_dir: Path
    """Real path of the git directory that all its work trees share."""
    repo_id: str
    """Names it in file names: a readable part and ten digits of a hash of `common_dir`."""
    rules: PathRules
    """How it compares names."""
    identity: tuple[str, str]
    """The user's name and e-mail address, or ganger's own where none are configured."""
    files_refs: bool = True
    """Whether refs are files (and not a reftable)."""
    beside: Path | None = None
    """Where git runs when the files at `top` are in no commit of the user's: in a repository of ours, see `standin`."""

    @property
    def git(self) -> UserGit:
        """Git in the main work tree, or in what stands in for it, with the user's configuration."""
        return UserGit(self.beside or self.top)


def open_repository(start: Path) -> Repository:
    """Find the repository that `start` lies in; RepositoryError, with what to do, for one ganger cannot work on."""
    if not start.is_dir():
        raise RepositoryError(f"{start} is not a directory", "name a directory inside a git repository")
    git = UserGit(start)
    common_dir = _common_dir(git, start)
    if _config(git).get("extensions.partialclone"):
        raise RepositoryError(
            f"{start} is a partial clone: objects are missing that ganger would have to test with",
            "clone the repository again without --filter",
        )
    if not git.run("for-each-ref", "--count=1", "refs/heads"):
        raise RepositoryError(
            f"{start} has no commit on any branch",
            "make a first commit, then try again; or have the files worked on as they are: run PLAN --seed-dirty",
        )
    return described(git, _main_work_tree(git, common_dir), common_dir, repo_id(common_dir))


def described(git: UserGit, top: Path, common_dir: Path, name: str, beside: Path | None = None) -> Repository:
    """Describe a repository by what its configuration says; `git` runs in it."""
    config = _config(git)
    return Repository(
        top=top,
        common_dir=common_dir,
        repo_id=name,
        rules=PathRules(
            fold_case=config.get("core.ignorecase") == "true",
            normalize=config.get("core.precomposeunicode") == "true",
        ),
        identity=(
            config.get("user.name") or DEFAULT_IDENTITY[0],
            config.get("user.email") or DEFAULT_IDENTITY[1],
        ),
        files_refs=config.get("extensions.refstorage", "files") == "files",
        beside=beside,
    )


def check_target(repo: Repository, branch: str) -> Commit:
    """Return the commit that the branch names; RepositoryError when it is no branch that landings can move."""
    hint = "name an existing local branch as fleet.target in ganger.toml, or with --target"
    short = path_text(os.fsencode(branch))[:BRANCH_CHARS_MAX]
    if not is_branch_name(repo, branch):
        raise RepositoryError(f"{short!r} cannot be the name of a branch", hint)
    tip = repo.git.rev_parse(f"refs/heads/{branch}^{{commit}}")
    if tip is not None:
        return tip
    near = difflib.get_close_matches(branch, _branches(repo), n=3, cutoff=0.5) or _branches(repo)[:3]
    listed = ", ".join(near) if near else "there is none"
    raise RepositoryError(f"the repository {repo.top} has no branch {short!r}; nearest: {listed}", hint)


def is_branch_name(repo: Repository, branch: str) -> bool:
    """Whether git would accept `branch` as the short name of a branch; looks at the name alone."""
    if not branch or len(branch) > BRANCH_CHARS_MAX or branch.startswith("-") or branch in ("HEAD", "@"):
        return False
    if not branch.isprintable():
        return False
    return repo.git.code("check-ref-format", f"refs/heads/{branch}") == 0


def detect_target(repo: Repository) -> str:
    """Name the branch checked out in the main work tree; RepositoryError when there is none."""
    done = repo.git.call("symbolic-ref", "--quiet", "HEAD")
    ref = os.fsdecode(done.stdout).strip()
    hint = "say which branch landings should move: fleet.target in ganger.toml, or --target"
    if done.code != 0 or not ref.startswith("refs/heads/"):
        raise RepositoryError(f"{repo.top} has a detached HEAD, so there is no branch to land on", hint)
    branch = ref.removeprefix("refs/heads/")
    if target_tip(repo, branch) is None:
        raise RepositoryError(f"the branch {branch!r} checked out in {repo.top} has no commit yet", hint)
    return branch


def target_tip(repo: Repository, branch: str) -> Commit | None:
    """Return the commit of a branch, None when it does not exist.

    Reads the ref's own file where refs are files, without starting git: cheap enough for every tick.
    """
    ref = f"refs/heads/{branch}"
    if repo.files_refs:
        found = read_ref(repo.common_dir, ref)
        if found is not None:
            return found or None
    return repo.git.rev_parse(f"{ref}^{{commit}}")


def checked_out_at(repo: Repository, branch: str) -> Path | None:
    """Return the work tree in which a branch is checked out; None when in none (a vanished one does not count)."""
    listed = repo.git.run("worktree", "list", "--porcelain", "-z")
    for block in listed.split(b"\0\0"):
        lines = block.strip(b"\0").split(b"\0")
        if b"branch refs/heads/" + os.fsencode(branch) not in lines:
            continue
        if any(line == b"prunable" or line.startswith(b"prunable ") for line in lines):
            continue
        return Path(os.fsdecode(lines[0].removeprefix(b"worktree ")))
    return None


def is_dirty(worktree: Path) -> tuple[str, ...]:
    """List tracked files with modifications or staged changes, sorted; untracked files do not count.

    Leaves every byte of the work tree and its index as it was.
    """
    printed = UserGit(worktree).run(
        "status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty"
    )
    return tuple(sorted(path_text(entry[3:]) for entry in printed.split(b"\0") if entry))


def _common_dir(git: UserGit, start: Path) -> Path:
    done = git.call(
        "rev-parse",
        "--path-format=absolute",
        "--is-bare-repository",
        "--is-inside-work-tree",
        "--is-shallow-repository",
        "--git-common-dir",
    )
    if done.code != 0:
        raise _not_usable(start, done.stderr)
    bare, inside, shallow, common = os.fsdecode(done.stdout).split("\n", 3)
    if bare == "true":
        raise RepositoryError(f"{start} is a bare repository", "run ganger in a clone of it that has a work tree")
    if inside != "true":
        raise RepositoryError(f"{start} is inside a .git directory", "go to the work tree of the repository")
    if shallow == "true":
        raise RepositoryError(f"{start} is a shallow clone: its history is cut off", "run: git fetch --unshallow")
    return Path(os.path.realpath(common.removesuffix("\n")))


def _not_usable(start: Path, stderr: str) -> RepositoryError:
    if "dubious ownership" in stderr:
        return RepositoryError(
            f"{start} belongs to another user, and git refuses it", "add its path to safe.directory in your git config"
        )
    if "not a git repository" in stderr:
        return RepositoryError(
            f"{start} is not inside a git repository", "go to one, or make one with `git init` and a first commit"
        )
    return RepositoryError(f"git cannot read the repository at {start}: {stderr.strip()[-300:]}", "")


def _main_work_tree(git: UserGit, common_dir: Path) -> Path:
    """Return the main work tree; the one we are in where the main one is bare (`git worktree` beside a bare hub)."""
    listed = git.run("worktree", "list", "--porcelain", "-z")
    first = listed.split(b"\0\0", 1)[0].strip(b"\0").split(b"\0")
    if b"bare" in first:
        return Path(os.path.realpath(git.text("rev-parse", "--show-toplevel")))
    top = Path(os.path.realpath(os.fsdecode(first[0].removeprefix(b"worktree "))))
    if top == common_dir or not top.is_dir():
        return Path(os.path.realpath(git.text("rev-parse", "--show-toplevel")))
    return top


def _config(git: UserGit) -> dict[str, str]:
    """Read the settings that matter here; keys in lower case, of several values the last."""
    wanted = r"^(core\.(ignorecase|precomposeunicode)|user\.(name|email)|extensions\..*)$"
    printed = git.run("config", "--null", "--get-regexp", wanted, ok=(0, 1))
    entries = (entry.partition("\n") for entry in printed.decode("utf-8", "replace").split("\0") if entry)
    return {key.lower(): value if newline else "true" for key, newline, value in entries}


def _branches(repo: Repository) -> list[str]:
    printed = repo.git.run("for-each-ref", "--format=%(refname:lstrip=2)", "--sort=-committerdate", "refs/heads")
    return [path_text(line) for line in printed.splitlines()]
