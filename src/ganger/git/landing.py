"""Landing: the only way in which ganger changes the user's repository.

A tested commit is brought over, and the target branch moves from exactly the commit it was tested on to exactly that
commit, by compare-and-swap or, where the branch is checked out, by a fast-forward of that clean work tree. Afterwards
the tree on the branch is compared with the tree that was tested.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git.command import UserGit, oid
from ganger.git.hub import Hub
from ganger.git.refs import LANDING
from ganger.git.repository import Repository, checked_out_at, is_dirty, target_tip

_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}
_BRANCH_FILES = ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START")
"""Files that name a branch which some work tree left for a rebase or a bisection and will come back to."""
_DETAIL_LINES_MAX = 20


class LandState(StrEnum):
    """How a landing went."""

    landed = "landed"
    """The branch contains the commit."""
    moved = "moved"
    """The branch is not where the commit was tested; nothing was changed."""
    dirty = "dirty"
    """It is checked out with uncommitted changes, or in the middle of an operation; nothing was changed."""
    blocked = "blocked"
    """Git refused, for example because of untracked files in the way; nothing was changed."""


@dataclass(frozen=True)
class LandResult:
    """What became of a landing."""

    state: LandState
    tip: Commit
    """Where the branch is; `""` when it does not exist."""
    detail: tuple[str, ...] = ()
    """With `dirty` and `blocked`: the paths or the reason."""


def land(repo: Repository, hub: Hub, branch: str, old: Commit, new: Commit, audit_tree: Commit) -> LandResult:
    """Move the user's branch from `old` to `new`, whose tree must be `audit_tree`, the one that was tested.

    Doing it again is harmless: a branch that already contains `new` is `landed`. AssertionError when `new` is not
    what was tested or does not descend from `old`; GitFailed when git fails for a reason of its own.
    """
    assert_tested(hub, old, new, audit_tree)
    with hub.locked("landing"):
        result = _where_it_is(repo, branch, old, new) or _move(repo, hub, branch, old, new)
    if result.state is LandState.landed:
        _audit(repo, result.tip, new, audit_tree)
    return result


def assert_tested(hub: Hub, old: Commit, new: Commit, audit_tree: Commit) -> None:
    """AssertionError unless `new` holds exactly the tree that was tested and descends from `old`."""
    if hub.tree_of(new) != audit_tree:
        raise AssertionError(f"{new} does not hold the tested tree {audit_tree}: nothing was landed")
    if not hub.is_ancestor(old, new):
        raise AssertionError(f"{new} does not descend from {old}: nothing was landed")


def _where_it_is(repo: Repository, branch: str, old: Commit, new: Commit) -> LandResult | None:
    """Return the result when there is nothing to do or nothing can be done; None when the branch is at `old`."""
    tip = target_tip(repo, branch)
    if tip == new:
        return LandResult(LandState.landed, new)
    if tip == old:
        return None
    if tip is not None and repo.git.has(new) and repo.git.is_ancestor(new, tip):
        return LandResult(LandState.landed, tip)
    return LandResult(LandState.moved, tip or Commit(""))


def _move(repo: Repository, hub: Hub, branch: str, old: Commit, new: Commit) -> LandResult:
    hold = _operation_on(repo, branch)
    if hold:
        return LandResult(LandState.dirty, old, hold)
    worktree = checked_out_at(repo, branch)
    faults = _faults_at(worktree) if worktree else None
    if faults:
        return LandResult(faults[0], old, faults[1])
    _bring_over(repo, hub, new)
    try:
        result = _swap(repo, branch, old, new) if worktree is None else _forward(repo, worktree, branch, old, new)
    finally:
        repo.git.run("update-ref", "-d", LANDING)
    return result


def _bring_over(repo: Repository, hub: Hub, new: Commit) -> None:
    """Copy the objects into the user's repository, under a ref of ours that holds them until the branch does."""
    hub.set_ref(LANDING, new)
    repo.git.run(
        "-c",
        "core.logAllRefUpdates=false",
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-prune",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        "--no-show-forced-updates",
        "--end-of-options",
        str(hub.path),
        f"+{LANDING}:{LANDING}",
        timeout_s=600,
    )


def _swap(repo: Repository, branch: str, old: Commit, new: Commit) -> LandResult:
    """Move a branch that is checked out nowhere, if it is still at `old`."""
    args = ("update-ref", "-m", _reason(new), f"refs/heads/{branch}", oid(new), oid(old))
    done = repo.git.call(*args)
    if done.code == 0:
        return LandResult(LandState.landed, new)
    result = _where_it_is(repo, branch, old, new)
    if result is None:
        raise GitFailed(args, done.code, done.stderr)
    return result


def _forward(repo: Repository, worktree: Path, branch: str, old: Commit, new: Commit) -> LandResult:
    """Fast-forward a clean work tree, as the user's own `git merge --ff-only` would, but never over ignored files."""
    changed = _where_it_is(repo, branch, old, new)
    if changed is not None:
        return changed
    done = UserGit(worktree).call(
        "merge",
        "--ff-only",
        "--no-autostash",
        "--no-stat",
        "--quiet",
        "--no-overwrite-ignore",
        oid(new),
        env={"GIT_REFLOG_ACTION": _reason(new)},
        timeout_s=600,
    )
    result = _where_it_is(repo, branch, old, new)
    if result is not None:
        return result
    faults = _faults_at(worktree)
    if faults:
        return LandResult(faults[0], old, faults[1])
    if done.code == 0:
        return LandResult(LandState.moved, old, (f"{worktree} no longer has {branch} checked out",))
    return LandResult(LandState.blocked, old, _detail(done.stderr))


def _faults_at(worktree: Path) -> tuple[LandState, tuple[str, ...]] | None:
    """Say what stands against a fast-forward of a work tree; None when nothing does."""
    if not worktree.is_dir():
        return LandState.blocked, (f"the work tree {worktree} is not there",)
    git_dir = Path(UserGit(worktree).text("rev-parse", "--absolute-git-dir"))
    going_on = dict.fromkeys(what for name, what in _IN_PROGRESS.items() if (git_dir / name).exists())
    if going_on:
        return LandState.dirty, tuple(f"{what} is in progress in {worktree}" for what in going_on)
    paths = is_dirty(worktree)
    return (LandState.dirty, paths) if paths else None


def _operation_on(repo: Repository, branch: str) -> tuple[str, ...]:
    """Say which rebase or bisection, in any work tree, will come back to the branch."""
    linked = repo.common_dir / "worktrees"
    git_dirs = [repo.common_dir, *sorted(linked.iterdir())] if linked.is_dir() else [repo.common_dir]
    wanted = (f"refs/heads/{branch}", branch)
    for git_dir in git_dirs:
        for name in _BRANCH_FILES:
            file = git_dir / name
            if file.is_file() and os.fsdecode(file.read_bytes()).strip() in wanted:
                return (f"a {'bisection' if name == 'BISECT_START' else 'rebase'} of {branch} is in progress",)
    return ()


def _audit(repo: Repository, tip: Commit, new: Commit, audit_tree: Commit) -> None:
    """Compare what is in the user's repository with what was tested."""
    landed_tree = repo.git.rev_parse(f"{oid(new)}^{{tree}}")
    if landed_tree != audit_tree:
        raise AssertionError(f"the landed commit {new} holds the tree {landed_tree}, tested was {audit_tree}")
    if tip != new and not repo.git.is_ancestor(new, tip):
        raise AssertionError(f"the branch at {tip} does not contain the landed commit {new}")


def _reason(new: Commit) -> str:
    return f"ganger: land {new[:12]}"


def _detail(stderr: str) -> tuple[str, ...]:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and line.strip() != "Aborting"]
    return tuple(lines[:_DETAIL_LINES_MAX]) or ("git refused without a reason",)
