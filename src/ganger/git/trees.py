"""Making a tree that differs from another in a few paths, at the price of those paths and not of the whole tree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git.command import oid
from ganger.git.hub import Hub

_TREE_MODE = b"40000"


@dataclass(frozen=True)
class Entry:
    """What a path is to be: a file, link or submodule, as git writes it in a tree."""

    mode: str
    oid: Commit


Edits = Mapping[bytes, Entry | None]
"""Raw paths; None removes what is there."""
_Node = dict[bytes, "Entry | _Node | None"]
_Tree = dict[bytes, tuple[bytes, bytes]]
"""Name to mode and binary object id, of one directory."""


def edit_tree(hub: Hub, tree: Commit, edits: Edits) -> Commit:
    """Return the tree that is `tree` with `edits` made; written to the hub.

    An entry takes the place of whatever is in its way: a file of a directory, or a directory of a file. Directories
    that become empty disappear. Two git children, whatever the number of edits.
    """
    root = _nested(edits)
    read = _read_trees(hub, tree, [b"", *_directories(root, b"")], len(oid(tree)) // 2)
    written: list[bytes] = []
    made = _build(root, b"", read, written, len(tree))
    if made is None:
        return Commit(hub.git.text("mktree"))
    _write_trees(hub, written, made)
    return Commit(made.hex())


def _nested(edits: Edits) -> _Node:
    """Turn paths into nested directories; what is set goes before what is removed at the same place."""
    root: _Node = {}
    for path, entry in sorted(edits.items(), key=lambda edit: edit[1] is not None):
        node = root
        *parents, name = path.split(b"/")
        for part in parents:
            below = node.get(part)
            if not isinstance(below, dict):
                below = node[part] = {}
            node = below
        if entry is not None or not isinstance(node.get(name), dict):
            node[name] = entry
    return root


def _directories(node: _Node, prefix: bytes) -> list[bytes]:
    found: list[bytes] = []
    for name, below in node.items():
        if isinstance(below, dict):
            found += [prefix + name, *_directories(below, prefix + name + b"/")]
    return found


def _read_trees(hub: Hub, tree: Commit, paths: list[bytes], oid_bytes: int) -> dict[bytes, _Tree]:
    """Read directories of a tree; one that is missing, or is no directory, is empty."""
    queries = [tree.encode() + b":" + path for path in paths]
    out = hub.git.run("cat-file", "--batch", "-z", input=b"".join(query + b"\0" for query in queries))
    read: dict[bytes, _Tree] = {}
    at = 0
    for path, query in zip(paths, queries, strict=True):
        missing = query + b" missing\n"
        if out.startswith(missing, at):
            at += len(missing)
            read[path] = {}
            continue
        end = out.index(b"\n", at)
        _, kind, size = out[at:end].split(b" ")
        content = out[end + 1 : end + 1 + int(size)]
        read[path] = _parsed(content, oid_bytes) if kind == b"tree" else {}
        at = end + 2 + int(size)
    return read


def _parsed(content: bytes, oid_bytes: int) -> _Tree:
    entries: _Tree = {}
    at = 0
    while at < len(content):
        space, zero = content.index(b" ", at), content.index(b"\0", at)
        entries[content[space + 1 : zero]] = (content[at:space], content[zero + 1 : zero + 1 + oid_bytes])
        at = zero + 1 + oid_bytes
    return entries


def _build(node: _Node, path: bytes, read: Mapping[bytes, _Tree], written: list[bytes], oid_chars: int) -> bytes | None:
    """Make one directory; returns its object id, None when it is empty. Sub-directories are written before it."""
    entries = dict(read[path])
    for name, below in node.items():
        entries.pop(name, None)
        if isinstance(below, dict):
            made = _build(below, path + b"/" + name if path else name, read, written, oid_chars)
            if made is not None:
                entries[name] = (_TREE_MODE, made)
        elif below is not None:
            entries[name] = (below.mode.lstrip("0").encode(), bytes.fromhex(oid(below.oid)))
    if not entries:
        return None
    content = _content(entries)
    written.append(content)
    return _tree_id(content, oid_chars)


def _content(entries: _Tree) -> bytes:
    def order(item: tuple[bytes, tuple[bytes, bytes]]) -> bytes:
        return item[0] + b"/" if item[1][0] == _TREE_MODE else item[0]

    return b"".join(mode + b" " + name + b"\0" + found for name, (mode, found) in sorted(entries.items(), key=order))


def _tree_id(content: bytes, oid_chars: int) -> bytes:
    """Compute the object id of a tree, as the format of the repository has it."""
    algorithm = hashlib.sha1 if oid_chars == 40 else hashlib.sha256
    return algorithm(b"tree %d\0" % len(content) + content).digest()


def _write_trees(hub: Hub, contents: list[bytes], top: bytes) -> None:
    """Let git write the trees and compare the last id with ours: git's own check of what was computed here."""
    listed = b"\0".join(_listed(content, len(top)) for content in contents)
    printed = hub.git.run("mktree", "-z", "--batch", "--missing", input=listed)
    if printed.split()[-1] != top.hex().encode():
        raise GitFailed(("mktree",), 1, f"wrote {printed.split()[-1:]!r}, expected {top.hex()}")


def _listed(content: bytes, oid_bytes: int) -> bytes:
    """Write a tree in the form of `ls-tree -z`, as `mktree` reads it."""
    lines = []
    for name, (mode, found) in _parsed(content, oid_bytes).items():
        kind = {_TREE_MODE: b"tree", b"160000": b"commit"}.get(mode, b"blob")
        lines.append(mode.rjust(6, b"0") + b" " + kind + b" " + found.hex().encode() + b"\t" + name + b"\0")
    return b"".join(lines)
