"""Reading what files of the hub hold: of a whole tree their names, of a few files their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ganger.core.ids import Commit
from ganger.git.changes import Change, path_text
from ganger.git.command import oid
from ganger.git.hub import Hub
from ganger.verifier.footprint import Blobs

FILE_BYTES_MAX = 4 << 20
"""Larger files are not read: nothing is said about them."""
_FILES = ("100644", "100755", "100664")


def blobs_of(hub: Hub, tree: Commit) -> Blobs:
    """List every file, link and submodule of a tree by its raw path."""
    printed = hub.git.run("ls-tree", "-r", "-z", "--full-tree", oid(tree))
    found: dict[bytes, tuple[str, str]] = {}
    for row in printed.split(b"\0")[:-1]:
        about, _, path = row.partition(b"\t")
        mode, _, name = about.decode("ascii").split(" ")
        found[path] = (mode, name)
    return found


def read_changed(
    hub: Hub, changes: Iterable[Change], is_wanted: Callable[[str], bool]
) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
    """Read the wanted files that differ, as they were and as they are; one that is too large is in neither."""
    wanted = [change for change in changes if is_wanted(change.path)]
    before = {change.path: change.old_oid for change in wanted if change.old_mode in _FILES}
    after = {change.path: change.new_oid for change in wanted if change.new_mode in _FILES}
    contents = read_blobs(hub, {*before.values(), *after.values()})
    too_large = {path for side in (before, after) for path, name in side.items() if name not in contents}
    return (
        {path: contents[name] for path, name in before.items() if path not in too_large},
        {path: contents[name] for path, name in after.items() if path not in too_large},
    )


def read_blobs(hub: Hub, oids: Iterable[Commit]) -> Mapping[Commit, bytes]:
    """Read files by their object ids; those over 4 MiB are left out."""
    asked = sorted({oid(one) for one in oids})
    if not asked:
        return {}
    listed = hub.git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", input=_lines(asked))
    sizes = {name: int(size) for name, size in (row.split(" ") for row in listed.decode("ascii").splitlines())}
    small = [name for name in asked if sizes[name] <= FILE_BYTES_MAX]
    if not small:
        return {}
    out, at, found = hub.git.run("cat-file", "--batch", input=_lines(small)), 0, dict[Commit, bytes]()
    for name in small:
        begin = out.index(b"\n", at) + 1
        at = begin + sizes[name] + 1
        found[Commit(name)] = out[begin : at - 1]
    return found


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode("ascii")


def paths_of(blobs: Blobs) -> tuple[str, ...]:
    """The paths of a tree in their text form."""
    return tuple(path_text(path) for path in blobs)
