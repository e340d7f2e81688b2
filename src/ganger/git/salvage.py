"""What was salvaged of runs: listed, looked at, and given back, into a new directory or a new branch of the user's.

Nothing that is there already is written over, and nothing that is given back depends on the hub any more.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganger.core.ids import Commit, RunId, is_run_id
from ganger.errors import UsageError
from ganger.git.changes import changed_paths
from ganger.git.command import Git, oid, run_safe
from ganger.git.hub import Hub
from ganger.git.refs import TARGET, keep_prefix
from ganger.git.repository import is_branch_name

_ALL = "refs/ganger/keep/"
_HANDED_OVER = "refs/ganger/salvage"
BRANCH = "salvaged"
"""The branch that is checked out in a directory into which a run was restored."""


@dataclass(frozen=True)
class Salvaged:
    """The refs that hold the work of a run, by their last names."""

    run: RunId
    refs: Mapping[str, Commit]

    @property
    def head(self) -> Commit | None:
        """What the run had committed last; None when that could not be read or was never salvaged."""
        return self._newest("head") or self._newest("checked-out")

    @property
    def files(self) -> Commit | None:
        """A commit of the files as they lay in the workspace at the end; None when it ended without one."""
        return self._newest("tree")

    @property
    def index(self) -> Commit | None:
        """A commit of what was staged; None when that was what was committed."""
        return self._newest("index")

    def _newest(self, name: str) -> Commit | None:
        """The one with the highest number: a later salvage of the same run."""
        numbered = {int(ref.rpartition("-")[2]): ref for ref in self.refs if _is_numbered(ref, name)}
        best = numbered[max(numbered)] if numbered else name
        return self.refs.get(best)


def _is_numbered(ref: str, name: str) -> bool:
    stem, _, digits = ref.rpartition("-")
    return stem == name and digits.isdigit()


@dataclass(frozen=True)
class Content:
    """What a salvage holds beyond the base of its run; text forms of paths, sorted."""

    commits: tuple[tuple[Commit, str], ...]
    """Newest first, with the first line of the message (hostile text)."""
    staged: tuple[str, ...] = ()
    """Paths whose index differed from what was committed."""
    changed: tuple[str, ...] = ()
    """Tracked paths whose files differed from the index."""
    untracked: tuple[str, ...] = ()
    """Files that were in no index."""
    left_out: tuple[str, ...] = ()
    """What could not be taken, with the reason."""
    others: Mapping[str, Commit] = field(default_factory=dict)
    """Further refs: other branches, stashes, checkpoints of turns."""


def salvages(hub: Hub) -> tuple[Salvaged, ...]:
    """List what was salvaged, by run."""
    by_run: dict[RunId, dict[str, Commit]] = {}
    for ref, commit in hub.refs(_ALL).items():
        run, _, name = ref.removeprefix(_ALL).partition("/")
        if is_run_id(run) and name:
            by_run.setdefault(RunId(run), {})[name] = commit
    return tuple(Salvaged(run, refs) for run, refs in sorted(by_run.items()))


def salvaged(hub: Hub, run: RunId) -> Salvaged:
    """Return what was salvaged of one run; UsageError when nothing was."""
    prefix = keep_prefix(run)
    refs = {ref.removeprefix(prefix): commit for ref, commit in hub.refs(prefix).items()}
    if not refs:
        raise UsageError(f"nothing was salvaged of {run}", "ganger salvage list shows what was")
    return Salvaged(run, refs)


def content(hub: Hub, found: Salvaged, base: Commit) -> Content:
    """Tell apart what was committed, staged, changed and untracked; `base` is where the run began."""
    head = found.head or base
    index = found.index or head
    files = found.files or index
    staged = {change.path: change for change in changed_paths(hub, head, index)}
    later = changed_paths(hub, index, files)
    named = {"head", "checked-out", "index", "tree"}
    others = {ref: commit for ref, commit in found.refs.items() if ref not in named}
    return Content(
        commits=hub.log_subjects(base, head),
        staged=tuple(sorted(staged)),
        changed=tuple(sorted(change.path for change in later if change.status != "A")),
        untracked=tuple(sorted(change.path for change in later if change.status == "A")),
        left_out=_left_out(hub, found.files) if found.files else (),
        others=others,
    )


def _left_out(hub: Hub, files: Commit) -> tuple[str, ...]:
    printed = hub.git.run("log", "-1", "--no-show-signature", "--format=%(trailers:key=Left-Out,valueonly)", oid(files))
    return tuple(line for line in printed.decode("utf-8", "backslashreplace").splitlines() if line)


def part(found: Salvaged, name: str) -> Commit:
    """Return the commit that a ref of a salvage names; UsageError lists the names when there is none of it."""
    commit = found.refs.get(name)
    if commit is None:
        listed = ", ".join(sorted(found.refs))
        raise UsageError(f"{name!r} is no part of what was salvaged of {found.run}", f"there is: {listed}")
    return commit


def restore_into(hub: Hub, found: Salvaged, into: Path) -> Path:
    """Make a repository at `into` as the workspace was: its branch, index, tracked and untracked files.

    It holds all objects itself; the refs of the salvage are its `refs/salvage/…`. UsageError when anything is at
    `into` already, or the folder it is to lie in is missing. It appears complete or not at all, but on a file system
    of its own, where a failure leaves an incomplete one behind: nothing outside the state directory is removed.
    """
    if into.is_symlink() or into.exists():
        raise UsageError(f"there is already something at {into}", "name a directory that does not exist yet")
    if not into.parent.is_dir():
        raise UsageError(f"there is no directory {into.parent}", "name a new directory in one that exists")
    with hub.scratch() as scratch:
        making = scratch / "restored"
        _rebuild(hub, found, making)
        try:
            making.rename(into)
        except OSError as error:
            if error.errno == errno.EXDEV:
                _rebuild(hub, found, into)
            elif error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise UsageError(f"there is already something at {into}", "name a new directory") from error
            else:
                raise UsageError(
                    f"{into} cannot be made: {error.strerror}", "name a directory you can write"
                ) from error
    return into


def _rebuild(hub: Hub, found: Salvaged, making: Path) -> None:
    making.mkdir()
    run_safe(
        making, "init", "--quiet", "--template=", f"--initial-branch={BRANCH}",
        f"--object-format={hub.git.text('rev-parse', '--show-object-format')}",
    )  # fmt: skip
    git = Git(making / ".git", making)
    refspecs = [f"{keep_prefix(found.run)}{name}:refs/salvage/{name}" for name in found.refs]
    git.run(
        "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--end-of-options",
        str(hub.path), *refspecs, timeout_s=600,
    )  # fmt: skip
    files = found.files or found.index or found.head or next(iter(found.refs.values()))
    head = found.head or files
    git.run("update-ref", f"refs/heads/{BRANCH}", oid(head))
    git.run("read-tree", "-m", "-u", oid(files), timeout_s=600)
    git.run("read-tree", oid(found.index or head))


def restore_branch(hub: Hub, commit: Commit, branch: str) -> None:
    """Make a new branch of the user's at a salvaged commit; UsageError when it cannot, or exists."""
    repo = hub.repo
    if repo.beside is not None:
        raise UsageError(f"nothing is committed in {repo.top}: it can have no branch", "restore it with --into DIR")
    if not is_branch_name(repo, branch):
        raise UsageError(f"{branch!r} cannot be the name of a branch", "name a new branch")
    ref = f"refs/heads/{branch}"
    taken = UsageError(f"there is already a branch {branch!r}", "name a new one")
    if repo.git.rev_parse(ref) is not None:
        raise taken
    with hub.locked("salvage"):
        hub.set_ref(_HANDED_OVER, commit)
        repo.git.run(
            "-c", "core.logAllRefUpdates=false", "fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head",
            "--no-auto-maintenance", "--no-recurse-submodules", "--no-show-forced-updates", "--end-of-options",
            str(hub.path), f"+{_HANDED_OVER}:{_HANDED_OVER}", timeout_s=600,
        )  # fmt: skip
        try:
            # The old value is "no such ref": a branch that somebody made meanwhile stays theirs.
            made = repo.git.call("update-ref", "-m", "ganger: salvage", ref, oid(commit), "0" * len(commit))
        finally:
            repo.git.run("update-ref", "-d", _HANDED_OVER)
    if made.code != 0:
        raise taken if repo.git.rev_parse(ref) is not None else UsageError(f"git refused the branch: {made.stderr}", "")


def base_of(hub: Hub, found: Salvaged) -> Commit:
    """Where a run began, as far as its history tells: where it leaves that of the target."""
    target = hub.ref(TARGET)
    head = found.head or found.files
    if target is None or head is None:
        return head or next(iter(found.refs.values()))
    done = hub.git.call("merge-base", oid(target), oid(head))
    return Commit(done.stdout.decode("ascii").strip()) if done.code == 0 else head
