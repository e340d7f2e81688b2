"""What a live workspace holds, asked again and again: the second look costs what has changed since the first.

The index of the workspace's head is kept between looks, with what git knew then of the files, so that only changed
files are read. An index is never trusted about a file that was written when it was made, or later: it keeps its time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from ganger.core.ids import Commit, RunId
from ganger.errors import GitFailed, WorldFailed
from ganger.git.command import Git, oid
from ganger.git.hub import Hub
from ganger.git.quarantine import carry_all
from ganger.git.refs import looked_at_ref
from ganger.git.snapshot import commit_tree, tree_now
from ganger.git.workspace import fetch_candidate, tip

INDEX_BYTES_MAX = 8 << 20
"""A larger index is not kept: it is made again at every look."""
CHAIN_MAX = 1_000


class Ground(Struct, frozen=True):
    """What is known of a workspace while its head stays where it is."""

    head: Commit
    tree: str
    when_s: int
    is_linear: bool
    """Whether the head is the run's base, or there are only commits with one parent between them."""
    index: bytes
    """Empty when it is too large to be kept."""
    index_ns: int
    """When the index was written."""


def fetch_together(hub: Hub, places: Sequence[tuple[Path, RunId]]) -> None:
    """Have the heads of several workspaces in the hub by one fetch; one that is faulty leaves all to `look`."""
    wanted: dict[Path, dict[str, Commit]] = {}
    for path, run in places:
        head, ref = tip(path, run), looked_at_ref(run)
        if head is not None and hub.ref(ref) != head:
            wanted[path] = {ref: head}
    if len(wanted) > 1:
        # Who is at fault is found where each is fetched by itself.
        with contextlib.suppress(GitFailed, WorldFailed):
            carry_all(hub, wanted)


def look(hub: Hub, path: Path, run: RunId, base: Commit, before: Ground | None) -> tuple[Commit, Ground]:
    """Return a commit in the hub with what a workspace holds, and what to give to the next look.

    The commit is the head of the run, or one on it when files differ. GitFailed and WorldFailed as for
    `fetch_candidate` and `snapshot`.
    """
    head = fetch_candidate(hub, path, run, looked_at_ref(run)) or base
    with hub.scratch() as scratch:
        ground = _ground(hub, path, scratch / "index", head, base, before)
        tree = tree_now(hub, path, head, scratch)
        if tree is None or tree == ground.tree:
            return head, ground
        return commit_tree(hub.git, tree, (head,), f"What {run} has so far", ground.when_s), ground


def _ground(hub: Hub, path: Path, index: Path, head: Commit, base: Commit, before: Ground | None) -> Ground:
    """Have an index of the head at `index`, and say what it stands on."""
    git = hub.git.with_index(index, path)
    if before is not None and before.index:
        index.write_bytes(before.index)
        os.utime(index, ns=(before.index_ns, before.index_ns))
        if before.head == head:
            return before
        # What the index knows of a file stays where the new head has the same file.
        git.run("read-tree", "-i", "-m", oid(head))
    else:
        git.run("read-tree", oid(head))
        git.run("update-index", "-q", "--refresh", ok=(0, 1))
    size = index.stat().st_size
    content = index.read_bytes() if size <= INDEX_BYTES_MAX else b""
    tree, when_s, is_linear = _about(hub.git, head) if head == base else _chain(hub.git, base, head)
    return Ground(head, tree, when_s, is_linear, content, index.stat().st_mtime_ns)


@lru_cache(1_024)
def _about(git: Git, commit: Commit) -> tuple[str, int, bool]:
    tree, when_s = git.text("log", "-1", "--no-show-signature", "--format=%T %ct", oid(commit)).split()
    return tree, int(when_s), True


def _chain(git: Git, base: Commit, head: Commit) -> tuple[str, int, bool]:
    """The tree and the time of a head, and whether it comes from the base by commits with one parent alone."""
    shape = ("--no-show-signature", f"--max-count={CHAIN_MAX}", "--format=%H %T %ct %P")
    lines = [line.split(" ") for line in git.text("log", *shape, f"{oid(base)}..{oid(head)}", "--").splitlines()]
    if not lines:
        tree, when_s, _ = _about(git, head)
        return tree, when_s, False
    expected: list[str] = [head]
    for found, _, _, *parents in lines:
        if expected != [found]:
            break
        expected = parents
    return lines[0][1], int(lines[0][2]), expected == [base]
