"""Git in memory: commits with whole trees, three-way merges by path, and the checks that trees pass or fail.

Ids are real SHA-1 digests of the content, so the same merge gives the same commit, as with git.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec import Struct

from ganger.core.ids import Commit
from ganger.core.model import Check, CheckResult, CheckState

Files = Mapping[str, str]
"""Path to content."""

BROKEN = "broken"
"""Content with this word fails the checks."""
NO_TESTS = "no-tests"
"""Content with this word makes the checks run nothing."""
HALF = "half"
"""`half-3-left` and `half-3-right` in one tree fail the checks together; each alone passes."""


class Node(Struct, frozen=True, gc=False):
    """A commit."""

    files: dict[str, str]
    tree: Commit
    parents: tuple[Commit, ...]
    number: int
    ancestry: int
    """Bit n is set when commit number n is this one or an ancestor of it."""


class SimulatedGit:
    """One object store for the user's repository, the hub and all workspaces: objects are never lost, refs may be."""

    def __init__(self) -> None:
        self.nodes: dict[Commit, Node] = {}
        self._order: list[Commit] = []
        self._states: dict[Commit, CheckState] = {}

    def commit(self, files: Files, parents: tuple[Commit, ...], message: str) -> Commit:
        """Make a commit, or find the equal one; a parent named twice counts once."""
        parents = tuple(dict.fromkeys(parents))
        kept = dict(sorted(files.items()))
        tree = Commit(hashlib.sha1(repr(kept).encode(), usedforsecurity=False).hexdigest())
        text = f"{tree} {parents} {message}"
        made = Commit(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        if made not in self.nodes:
            number = len(self._order)
            ancestry = 1 << number
            for parent in parents:
                ancestry |= self.nodes[parent].ancestry
            self.nodes[made] = Node(kept, tree, parents, number, ancestry)
            self._order.append(made)
        return made

    def files(self, commit: Commit) -> dict[str, str]:
        """The tree of a commit; not to be changed."""
        return self.nodes[commit].files

    def tree(self, commit: Commit) -> Commit:
        """The id of a commit's tree."""
        return self.nodes[commit].tree

    def is_ancestor(self, old: Commit, new: Commit) -> bool:
        """Whether `new` is `old` or descends from it."""
        return bool(self.nodes[new].ancestry >> self.nodes[old].number & 1)

    def history(self, commit: Commit) -> list[Commit]:
        """The commit and all its ancestors."""
        ancestry = self.nodes[commit].ancestry
        return [found for number, found in enumerate(self._order) if ancestry >> number & 1]

    def changed(self, old: Commit, new: Commit) -> tuple[str, ...]:
        """Paths that differ, sorted."""
        return differing(self.files(old), self.files(new))

    def merge(self, onto: Commit, candidate: Commit, message: str) -> Commit | tuple[str, ...]:
        """Merge by path; the conflicting paths when it cannot be done."""
        base = self._base(self.nodes[onto].ancestry & self.nodes[candidate].ancestry)
        merged, conflicts = merged_files(base, self.files(onto), self.files(candidate))
        return conflicts or self.commit(merged, (onto, candidate), message)

    def taken_back(self, onto: Commit, commit: Commit, message: str) -> Commit | tuple[str, ...]:
        """Take back what a commit brought over its first parent; the conflicting paths when it cannot be done."""
        before = self.files(self.nodes[commit].parents[0])
        merged, conflicts = merged_files(self.files(commit), self.files(onto), before)
        return conflicts or self.commit(merged, (onto,), message)

    def _base(self, common: int) -> Files:
        """The files of the newest of these common ancestors; of several that are no ancestors of each other, merged.

        Git's strategy `ort` does so, and goes on from conflicts: a path changed on both sides is like nothing that
        anybody wrote, one changed and removed is as it was before. Every history begins with the same commit.
        """
        newest = self.nodes[self._order[common.bit_length() - 1]]
        files, seen = newest.files, newest.ancestry
        while left := common & ~seen:
            other = self.nodes[self._order[left.bit_length() - 1]]
            before = self._base(seen & other.ancestry)
            merged, conflicts = merged_files(before, files, other.files)
            for path in conflicts:
                both = path in files and path in other.files
                merged[path] = f"{files[path]} or {other.files[path]}" if both else before[path]
            files, seen = merged, seen | other.ancestry
        return files

    def check_state(self, commit: Commit) -> CheckState:
        """How every check ends on this tree, if nothing goes wrong by chance."""
        tree = self.tree(commit)
        if tree not in self._states:
            self._states[tree] = _state_of(self.files(commit))
        return self._states[tree]

    def run_checks(self, commit: Commit, checks: tuple[Check, ...], flaky: bool = False) -> tuple[CheckResult, ...]:
        """Run checks on a commit; with `flaky`, the first fails although the tree is good."""
        state = self.check_state(commit)
        if flaky and state is CheckState.passed:
            state = CheckState.failed
        code = 0 if state in (CheckState.passed, CheckState.ran_nothing) else 1
        executed = 0 if state is CheckState.ran_nothing else 3
        return tuple(CheckResult(check.name, check.argv, state, code, 1_000, executed) for check in checks)


def differing(old: Files, new: Files) -> tuple[str, ...]:
    """Paths whose content differs, sorted."""
    return tuple(sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path)))


def merged_files(base: Files, ours: Files, theirs: Files) -> tuple[dict[str, str], tuple[str, ...]]:
    """Merge by path, and name the paths that both sides changed in different ways."""
    merged = dict(ours)
    conflicts = []
    for path in differing(base, theirs):
        mine, other, before = ours.get(path), theirs.get(path), base.get(path)
        if mine not in (before, other):
            conflicts.append(path)
        elif other is None:
            merged.pop(path, None)
        else:
            merged[path] = other
    return merged, tuple(conflicts)


def _state_of(files: Files) -> CheckState:
    words = {word for content in files.values() for word in content.split()}
    if BROKEN in words:
        return CheckState.failed
    if NO_TESTS in words:
        return CheckState.ran_nothing
    halves = {word for word in words if word.startswith(HALF)}
    torn = any(half.endswith("left") and half.replace("left", "right") in halves for half in halves)
    return CheckState.failed if torn else CheckState.passed
