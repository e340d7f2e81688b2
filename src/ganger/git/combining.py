"""Preparing the merge of an earlier candidate onto another base: what merges is merged, what conflicts is marked.

A worker resolves the marks, and its commit on the new base is the whole change. Where lines cannot be marked (binary
files, links, a file that one side removed or renamed), and where the merge leads out of what the run may change, the
tree is as on the new base and the file is named: nothing that landed meanwhile is lost by looking away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.ids import Commit, RunId, is_run_id
from ganger.errors import GitFailed
from ganger.git.changes import ABSENT_MODE, Change, changed_paths, path_text
from ganger.git.command import oid
from ganger.git.hub import Hub
from ganger.git.refs import prepared_ref
from ganger.git.snapshot import commit_tree
from ganger.git.trees import Edits, Entry, edit_tree

TEXT_BYTES_MAX = 8 << 20
_CONFLICTS_MAX = 127
"""`git merge-file` exits with their number; above that with an error, as for binary files."""
LANDINGS_MAX = 20
"""Commits of the other side that are looked at for one file."""
_BASE, _YOURS, _TARGET = 1, 2, 3
_PLAIN = ("100644", "100755")
_BESIDE = re.compile(rb"~[0-9a-f]{40}(?:[0-9a-f]{24})?(?:_[0-9]+)?\Z")
"""What git adds to the name of a file that it puts beside a directory: the commit that the file is of."""


class Meeting(Struct, frozen=True):
    """A file that both sides changed, or that cannot be changed any more."""

    path: str
    """Text form."""
    others: str
    """Who changed it on the other side, newest first, in a few words; empty when that is not known."""


class Preparation(Struct, frozen=True):
    """What a run begins with that goes on with an earlier candidate."""

    earlier: RunId
    base: Commit
    candidate: Commit
    """What that run handed in, made on `base`."""
    authors: tuple[str, ...]
    """`agent <run@ganger.invalid>` of each run whose work it holds, the oldest first."""
    marked: tuple[Meeting, ...] = ()
    """Files that hold marks of conflict."""
    as_target: tuple[Meeting, ...] = ()
    """Files that are as on the new base, though the candidate has them otherwise."""
    merged: int = 0
    """Files besides whose change is there whole."""


class Prepared(Struct, frozen=True):
    """A prepared merge, in the hub."""

    commit: Commit
    """A commit of ours that holds its files, and tells `Preparation`; no worker builds on it."""
    told: Preparation


def prepare(
    hub: Hub,
    run: RunId,
    begin: Commit,
    earlier: tuple[RunId, str, Commit, Commit],
    root: Commit,
    may_change: Callable[[str], bool],
) -> Prepared | None:
    """Merge what an earlier run changed onto `begin`, where `run` starts; the hub keeps it as `prepared/<run>`.

    `earlier` is that run, its agent, its base and its candidate; `root` is the commit of the target that `begin`
    stands on, perhaps with accepted work that has not landed. None when nothing of it is left to be done on
    `begin`, or its objects are gone. The same arguments give the same commit.
    """
    earlier_run, agent, base, candidate = earlier
    if not (hub.exists(base) and hub.exists(candidate)):
        return None
    found, stages = _merged(hub, base, candidate, begin)
    others = {raw: landings(hub, base, begin, root, raw) for raw in stages}
    texts = {raw: _marked_text(hub, earlier_run, sides, others[raw]) for raw, sides in stages.items()}
    edits = {raw: made for raw, made in texts.items() if made is not None and may_change(path_text(raw))}
    tree = edit_tree(hub, found, edits) if edits else found
    back = _put_back(hub, begin, tree, stages.keys() - edits.keys(), may_change)
    tree = edit_tree(hub, tree, back) if back else tree
    changed = {change.raw for change in changed_paths(hub, begin, tree)}
    named = sorted({_BESIDE.sub(b"", raw) for raw in {*stages, *back} - edits.keys()})
    if not changed and not named:
        return None
    told = Preparation(
        earlier=earlier_run,
        base=base,
        candidate=candidate,
        authors=(*_authors_of(hub, earlier_run), f"{_plain(agent)} <{earlier_run}@ganger.invalid>"),
        marked=tuple(Meeting(path_text(raw), others[raw]) for raw in sorted(edits)),
        as_target=tuple(Meeting(path_text(raw), landings(hub, base, begin, root, raw)) for raw in named),
        merged=len(changed - edits.keys()),
    )
    when_s = int(hub.git.text("log", "-1", "--no-show-signature", "--format=%ct", oid(begin)))
    message = f"What {run} begins with: {earlier_run}, merged\n\n{msgspec.json.encode(told).decode()}\n"
    commit = commit_tree(hub.git, tree, (begin, candidate), message, when_s)
    hub.set_ref(prepared_ref(run), commit)
    return Prepared(commit, told)


def without_lines(hub: Hub, run: RunId, base: Commit, candidate: Commit, onto: Commit) -> tuple[str, ...]:
    """The files in which a candidate and `onto` conflict and no lines can be marked, in text form, sorted."""
    _, stages = _merged(hub, base, candidate, onto)
    lineless = (raw for raw, sides in stages.items() if _marked_text(hub, run, sides, "") is None)
    return tuple(sorted({path_text(_BESIDE.sub(b"", raw)) for raw in lineless}))


def told_of(hub: Hub, run: RunId) -> Preparation | None:
    """What a run began with; None when nothing was prepared for it."""
    commit = hub.ref(prepared_ref(run))
    if commit is None:
        return None
    text = hub.git.run("log", "-1", "--no-show-signature", "--format=%b", oid(commit))
    return msgspec.json.decode(text, type=Preparation)


def forget(hub: Hub, run: RunId) -> None:
    """Note that nothing is prepared for a run, also where an earlier try had prepared something."""
    if hub.ref(prepared_ref(run)) is not None:
        hub.git.run("update-ref", "-d", prepared_ref(run))


def is_held(hub: Hub, told: Preparation, base: Commit, candidate: Commit) -> bool:
    """Whether a candidate made on `base` changes a file that the earlier one changed too."""
    before = {change.raw for change in changed_paths(hub, told.base, told.candidate)}
    return any(change.raw in before for change in changed_paths(hub, base, candidate))


def lay_over(hub: Hub, place: Path, begin: Commit, prepared: Commit) -> None:
    """Bring the files of a workspace that stands at `begin`, and that no worker has seen, to those of `prepared`.

    Its branch and its index stay: what differs is its worker's to commit.
    """
    with hub.scratch() as scratch:
        git = hub.git.with_index(scratch / "index", place)
        git.run("read-tree", oid(begin))
        git.call("update-index", "-q", "--refresh")
        git.run("read-tree", "--reset", "-u", oid(prepared), timeout_s=600)


def landings(hub: Hub, since: Commit, until: Commit, root: Commit, raw: bytes) -> str:
    """Say in a few words who changed a path between two commits: runs, and commits of others.

    What `root` does not contain has not landed.
    """
    printed = hub.git.run(
        *("--literal-pathspecs", "log", "-z", "--first-parent", "--no-show-signature", f"--max-count={LANDINGS_MAX}"),
        "--format=%H %(trailers:key=Ganger-Run,valueonly,separator=%x20)",
        *(f"{oid(since)}..{oid(until)}", "--", _as_argument(raw)),
    )
    told = [_who(hub, root, line.decode("utf-8", "replace").split()) for line in printed.split(b"\0") if line.strip()]
    return f"{told[0]} and {len(told) - 1} more" if len(told) > 1 else "".join(told)


def _who(hub: Hub, root: Commit, words: Sequence[str]) -> str:
    commit, *runs = words
    named = [run for run in runs if is_run_id(run)]
    if not named:
        return f"commit {commit[:12]}"
    has_landed = hub.is_ancestor(Commit(commit), root)
    return f"{named[-1]}, {'landed' if has_landed else 'accepted'} as {commit[:12]}"


def _as_argument(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _merged(
    hub: Hub, base: Commit, yours: Commit, target: Commit
) -> tuple[Commit, dict[bytes, dict[int, tuple[str, Commit]]]]:
    """Merge as if both sides had parted at `base`; the tree, and (mode, object) by side of each path in conflict."""
    root = commit_tree(hub.git, hub.tree_of(base), (), "base", 0)
    sides = [commit_tree(hub.git, hub.tree_of(side), (root,), name, 0) for side, name in ((yours, "a"), (target, "b"))]
    args = ("merge-tree", "--write-tree", "-z", "--no-messages", *(oid(side) for side in sides))
    done = hub.git.call(*args)
    if done.code not in (0, 1):
        raise GitFailed(args, done.code, done.stderr)
    tree, *listed = done.stdout.split(b"\0")
    stages: dict[bytes, dict[int, tuple[str, Commit]]] = {}
    for line in filter(None, listed):
        about, _, raw = line.partition(b"\t")
        mode, found, stage = about.decode("ascii").split(" ")
        stages.setdefault(raw, {})[int(stage)] = (mode, Commit(found))
    return Commit(tree.decode("ascii").strip()), stages


def _marked_text(hub: Hub, earlier: RunId, sides: Mapping[int, tuple[str, Commit]], others: str) -> Entry | None:
    """Merge one file line by line, conflicts marked under the names of both sides; None where it has no lines."""
    if not sides.keys() >= {_YOURS, _TARGET} or any(mode not in _PLAIN for mode, _ in sides.values()):
        return None
    texts = {side: hub.git.run("cat-file", "blob", oid(found)) for side, (_, found) in sides.items()}
    if any(len(text) > TEXT_BYTES_MAX for text in texts.values()):
        return None
    labels = (f"{earlier} (yours before)", "base", f"target: {others}" if others else "target")
    with hub.scratch() as scratch:
        for side in (_BASE, _YOURS, _TARGET):
            (scratch / str(side)).write_bytes(texts.get(side, b""))
        args = ("merge-file", "--stdout", "--diff3", *(part for label in labels for part in ("-L", label)))
        done = hub.git.call(*args, *(str(scratch / str(side)) for side in (_YOURS, _BASE, _TARGET)))
    if not 0 < done.code <= _CONFLICTS_MAX:
        return None
    before, yours, target = (sides.get(side, ("", Commit("")))[0] for side in (_BASE, _YOURS, _TARGET))
    mode = yours if before == target else target
    written = hub.git.run("hash-object", "-w", "--no-filters", "--stdin", input=done.stdout)
    return Entry(mode, Commit(written.decode("ascii").strip()))


def _put_back(hub: Hub, begin: Commit, tree: Commit, unmarked: set[bytes], may_change: Callable[[str], bool]) -> Edits:
    """Say what makes `tree` as `begin` is where a conflict has no marks, and where it may not be changed.

    Where a file meets a directory git puts the file beside it, as `name~…`: then all below `name` is put back.
    """
    wanted = unmarked | {_BESIDE.sub(b"", raw) for raw in unmarked}
    return {
        change.raw: _as_before(change)
        for change in changed_paths(hub, begin, tree)
        if change.raw in wanted or _is_below(change.raw, wanted) or not may_change(change.path)
    }


def _as_before(change: Change) -> Entry | None:
    return None if change.old_mode == ABSENT_MODE else Entry(change.old_mode, change.old_oid)


def _is_below(raw: bytes, folders: set[bytes]) -> bool:
    while raw := raw.rpartition(b"/")[0]:
        if raw in folders:
            return True
    return False


def _authors_of(hub: Hub, run: RunId) -> tuple[str, ...]:
    told = told_of(hub, run)
    return told.authors if told is not None else ()


def _plain(name: str) -> str:
    """A name that ends neither the line nor the name in a trailer."""
    return " ".join(name.translate({ord("<"): " ", ord(">"): " "}).split()) or "agent"
