"""Trees that ganger makes itself: check-outs for evidence, verified trees, and candidates merged onto the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganger.core.ids import Commit, RunId
from ganger.errors import GitFailed, WorldFailed
from ganger.git.changes import ABSENT_MODE, Change, changed_paths, path_text
from ganger.git.command import oid
from ganger.git.hub import Hub
from ganger.git.snapshot import commit_tree
from ganger.git.trees import Entry, edit_tree

NO_COMMON_HISTORY = "(no common history with the target branch)"


@dataclass(frozen=True)
class Combined:
    """Several candidates merged onto one tip."""

    commit: Commit
    """The new tip; the old one when nothing was merged."""
    tree: Commit
    merged: tuple[RunId, ...]
    """In the order in which they went in."""
    conflicts: dict[RunId, tuple[str, ...]]
    """Those left out, with the files that conflict (text form of paths)."""


def checkout_tree(hub: Hub, tree: Commit, into: Path) -> None:
    """Write a commit's or tree's files to `into`, which must be new or empty; no filter runs, no `.git` is made.

    Symbolic links are made as they are, wherever they point: what runs in there belongs in a jail.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise WorldFailed(f"{into} is not empty", "give each check-out a directory of its own")
    with hub.scratch() as scratch:
        hub.git.with_index(scratch / "index", into).run("read-tree", "-m", "-u", oid(tree), timeout_s=600)


def with_protected_from(
    hub: Hub, tree: Commit, base_tree: Commit, is_protected: Callable[[str], bool], is_test: Callable[[str], bool]
) -> Commit:
    """Return the tree to run checks on: `tree`, with the verifier taken from `base_tree`.

    Every protected path is as in the base: added ones removed, changed and deleted ones restored. Tests of the base
    that the candidate deleted are put back. `tree` itself when there is nothing to do; the price is that of the
    difference between both trees.
    """
    edits: dict[bytes, Entry | None] = {}
    for change in changed_paths(hub, base_tree, tree):
        if is_protected(change.path) or (change.status == "D" and is_test(change.path)):
            edits[change.raw] = _as_before(change)
    return edit_tree(hub, hub.tree_of(tree), edits) if edits else tree


def combine(hub: Hub, tip: Commit, candidates: Sequence[tuple[RunId, Commit, str]], when_ms: int) -> Combined:
    """Merge candidates (run, commit, message) in order onto `tip`, each by a merge commit; conflicting ones stay out.

    No work tree is involved and no ref moves. The same arguments give the same commits: `when_ms` is the time they
    bear, and their author is ganger.
    """
    commit, tree = tip, None
    merged: list[RunId] = []
    conflicts: dict[RunId, tuple[str, ...]] = {}
    for run, candidate, message in candidates:
        result = _merged_tree(hub, commit, candidate)
        if isinstance(result, tuple):
            conflicts[run] = result
            continue
        tree = result
        commit = commit_tree(hub.git, tree, (commit, candidate), message, when_ms // 1000)
        merged.append(run)
    return Combined(commit, tree or hub.tree_of(tip), tuple(merged), conflicts)


def first_parent(hub: Hub, commit: Commit) -> Commit:
    """The commit onto which another was merged, or that it follows."""
    return Commit(hub.git.text("rev-parse", "--verify", "--end-of-options", f"{oid(commit)}^1").strip())


def taken_back(hub: Hub, tip: Commit, commit: Commit, message: str, when_ms: int) -> Commit | tuple[str, ...]:
    """Take back on `tip` what `commit` brought over its first parent: a commit that follows `tip`, or the conflicts.

    That is a merge of the first parent whose common ancestor is `commit`, whatever the histories say. The same
    arguments give the same commit.
    """
    when_s = when_ms // 1000
    base = commit_tree(hub.git, hub.tree_of(commit), (), "as it is with the change", when_s)
    ours = commit_tree(hub.git, hub.tree_of(tip), (base,), "as the target is", when_s)
    before = hub.tree_of(first_parent(hub, commit))
    theirs = commit_tree(hub.git, before, (base,), "as it was before the change", when_s)
    tree = _merged_tree(hub, ours, theirs)
    return tree if isinstance(tree, tuple) else commit_tree(hub.git, tree, (tip,), message, when_s)


def _merged_tree(hub: Hub, tip: Commit, candidate: Commit) -> Commit | tuple[str, ...]:
    """Return the merged tree, or the files that conflict."""
    args = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", oid(tip), oid(candidate))
    done = hub.git.call(*args)
    if done.code not in (0, 1):
        if "unrelated histories" in done.stderr:
            return (NO_COMMON_HISTORY,)
        raise GitFailed(args, done.code, done.stderr)
    fields = done.stdout.split(b"\0")
    if done.code == 0:
        return Commit(fields[0].decode("ascii").strip())
    return tuple(dict.fromkeys(path_text(raw) for raw in fields[1:] if raw))


def _as_before(change: Change) -> Entry | None:
    return None if change.old_mode == ABSENT_MODE else Entry(change.old_mode, change.old_oid)
