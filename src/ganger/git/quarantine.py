"""Carrying objects out of a workspace: copied as files into a bare repository of ours, and fetched from there.

Git never runs in a workspace and reads none of its configuration, alternates, grafts or hooks. What arrives in the
hub is what a fetch accepts: each object checked by fsck, everything reachable present, one named ref moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganger.core.ids import Commit, is_commit
from ganger.errors import GitFailed, WorldFailed
from ganger.git.beneath import TooLarge, blame_it, copy_file, directory, names, read_file
from ganger.git.command import Git, oid
from ganger.git.founding import BENIGN
from ganger.git.hub import Hub
from ganger.git.snapshot import commit_tree

BYTES_MAX = 4 << 30
FILES_MAX = 500_000
REFS_MAX = 500
_REF_BYTES_MAX = 4_096
_PACKED_BYTES_MAX = 8 << 20
_LOG_BYTES_MAX = 1 << 20
_FAN = re.compile(r"[0-9a-f]{2}")
_LOOSE = re.compile(r"[0-9a-f]{38}(?:[0-9a-f]{24})?")
_PACK = re.compile(r"pack-[0-9a-f]{40}(?:[0-9a-f]{24})?\.(?:pack|idx)")
_OID = re.compile(r"\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b")
_SYMREF_DEPTH_MAX = 5
_INDEX_BYTES_MAX = 256 << 20
_SIDES = {b"1": b"~base", b"2": b"~ours", b"3": b"~theirs"}


@dataclass
class _Budget:
    """How much may still be copied; WorldFailed when it is used up."""

    bytes_left: int
    files_left: int

    def take(self, size: int) -> None:
        self.bytes_left -= size
        self.files_left -= 1
        if self.bytes_left < 0 or self.files_left < 0:
            raise WorldFailed("the workspace holds more git objects than ganger will carry over")


def workspace_ref(workspace: Path, ref: str) -> Commit | None:
    """Resolve a ref (or `HEAD`) of a workspace from its files; None when it names nothing that can be understood."""
    for _ in range(_SYMREF_DEPTH_MAX):
        text = read_file(workspace, (".git", *ref.split("/")), _REF_BYTES_MAX)
        if text is None:
            return _packed(workspace).get(ref)
        value = text.decode("ascii", "replace").strip()
        if is_commit(value):
            return Commit(value)
        if not value.startswith("ref: refs/") or ".." in value:
            return None
        ref = value.removeprefix("ref: ")
    return None


def all_refs(workspace: Path) -> tuple[Commit, ...]:
    """List what all refs and stashes of a workspace name, each once, at most `REFS_MAX`; nothing where unreadable."""
    found = dict.fromkeys(_loose(workspace))
    found |= dict.fromkeys(_packed(workspace).values())
    found |= dict.fromkeys(_stashes(workspace))
    return tuple(found)[:REFS_MAX]


def carry(hub: Hub, workspace: Path, wanted: Mapping[str, Commit]) -> None:
    """Bring commits of a workspace into the hub, each under the hub ref that `wanted` gives it, all or none.

    GitFailed when an object is missing or faulty; WorldFailed when there is more than ganger will copy.
    """
    carry_all(hub, {workspace: wanted})


def carry_all(hub: Hub, wanted: Mapping[Path, Mapping[str, Commit]]) -> None:
    """Do what `carry` does for several workspaces by one fetch: all of their commits are brought over, or none."""
    with hub.scratch() as scratch:
        source = _quarantined(hub, wanted, scratch / "carried.git")
        _fetch(hub, source, {ref: commit for refs in wanted.values() for ref, commit in refs.items()})


def carry_each(hub: Hub, workspace: Path, wanted: Mapping[str, Commit]) -> tuple[str, ...]:
    """Bring over those of `wanted` whose objects are whole; return the hub refs that were made.

    GitFailed when the hub cannot take what is whole, WorldFailed when there is more than ganger will copy: what is not
    made then says nothing of the workspace.
    """
    with hub.scratch() as scratch:
        source = _quarantined(hub, (workspace,), scratch / "carried.git")
        try:
            _fetch(hub, source, wanted)
            return tuple(wanted)
        except GitFailed:
            whole = _whole(hub, source, wanted)
            if len(whole) == len(wanted):
                raise
        if whole:
            _fetch(hub, source, whole)
        return tuple(whole)


def carry_index(
    hub: Hub, workspace: Path, parent: Commit, message: str, named: Callable[[Commit], str]
) -> dict[str, Commit]:
    """Bring what is staged in a workspace into the hub, as a commit on `parent` under the ref that `named` gives it.

    Nothing when the same is in `parent`, or the index cannot be read or names what is not there. Of a path with a
    conflict each side is a file: `path~base`, `path~ours`, `path~theirs`. GitFailed when the hub fails.
    """
    with hub.scratch() as scratch:
        index = scratch / "index"
        if not _copied_index(workspace, index):
            return {}
        compared = hub.git.with_index(index, scratch).call("diff-index", "--cached", "--quiet", oid(parent), "--")
        if compared.code != 1:
            return {}
        source = _quarantined(hub, (workspace,), scratch / "carried.git")
        empty = scratch / "no-files"
        empty.mkdir()
        tree = _staged_tree(Git(source).with_index(index, empty))
        if tree is None:
            return {}
        when_s = int(hub.git.text("log", "-1", "--no-show-signature", "--format=%ct", oid(parent)))
        commit = commit_tree(Git(source), tree, (parent,), message, when_s)
        wanted = {named(commit): commit}
        try:
            _fetch(hub, source, wanted)
        except GitFailed:
            if _whole(hub, source, wanted):
                raise
            return {}
        return wanted


def _copied_index(workspace: Path, into: Path) -> bool:
    try:
        with directory(workspace, (".git",)) as at:
            copy_file(at, "index", into, _INDEX_BYTES_MAX)
    except OSError as error:
        blame_it(error)
        return False
    return True


def _staged_tree(git: Git) -> Commit | None:
    """Write the tree of an index; None when it names objects that are not there, or cannot be read."""
    listed = git.call("ls-files", "-u", "-z")
    entries = [entry.partition(b"\t") for entry in listed.stdout.split(b"\0") if entry]
    lines = [b"0 " + b"0" * len(about.split(b" ")[1]) + b"\t" + path + b"\0" for about, _, path in entries]
    for about, _, path in entries:
        mode, found, stage = about.split(b" ")
        lines.append(mode + b" " + found + b"\t" + path + _SIDES[stage] + b"\0")
    if lines and git.call("update-index", "-z", "--index-info", stdin=b"".join(lines)).code != 0:
        return None
    written = git.call("write-tree")
    return Commit(written.stdout.decode("ascii").strip()) if written.code == 0 else None


def _whole(hub: Hub, source: Path, wanted: Mapping[str, Commit]) -> dict[str, Commit]:
    """Leave out the commits that lack an object or need a faulty one; nothing is written to find that out.

    GitFailed when the hub's own refs cannot be read.
    """
    tips = sorted(set(hub.refs("refs/ganger/").values()))
    hub.git.run("rev-list", "--no-walk", "--quiet", "--stdin", input="\n".join(tips).encode())
    faulty = _faulty(hub, source)
    whole = {}
    for ref, commit in wanted.items():
        asked = "\n".join((oid(commit), *(f"^{tip}" for tip in tips)))
        needed = Git(source).call("rev-list", "--objects", "--no-object-names", "--stdin", stdin=asked.encode())
        if needed.code == 0 and faulty.isdisjoint(needed.stdout.decode("ascii").split()):
            whole[ref] = commit
    return whole


def _faulty(hub: Hub, source: Path) -> frozenset[str]:
    """Return the objects of a quarantine that git finds fault with or misses, without those that the hub has.

    What the hub lends is not looked at: there may be much of it. Git names the object in every complaint, and in that
    of a broken link first the one that has no fault but what it links to.
    """
    borrowed = source / "objects" / "info" / "alternates"
    lender = borrowed.read_bytes()
    borrowed.write_bytes(b"")
    done = Git(source).call("fsck", "--strict", "--no-dangling", "--no-reflogs", "--no-progress", timeout_s=600)
    borrowed.write_bytes(lender)
    complaints = (done.stdout.decode("utf-8", "replace") + done.stderr).splitlines()
    named = {name for line in complaints if not line.startswith("broken link from") for name in _OID.findall(line)}
    printed = hub.git.run("cat-file", "--batch-check", input="".join(f"{name}\n" for name in named).encode())
    lines = printed.decode("ascii").splitlines()
    return frozenset(line.split(" ")[0] for line in lines if line.endswith(" missing"))


def _fetch(hub: Hub, source: Path, wanted: Mapping[str, Commit]) -> None:
    lines = [f"{commit} refs/carried/{number}\n" for number, commit in enumerate(wanted.values())]
    (source / "packed-refs").write_text("".join(sorted(lines, key=lambda line: line.split(" ")[1])))
    hub.fetch(source, [f"+refs/carried/{number}:{ref}" for number, ref in enumerate(wanted)])


def _quarantined(hub: Hub, workspaces: Iterable[Path], making: Path) -> Path:
    """Make a bare repository of ours that holds copies of the workspaces' own objects and borrows the hub's."""
    (making / "refs").mkdir(parents=True)
    (making / "objects" / "info").mkdir(parents=True)
    (making / "objects" / "pack").mkdir()
    (making / "objects" / "info" / "alternates").write_bytes(os.fsencode(hub.objects) + b"\n")
    (making / "HEAD").write_text("ref: refs/carried/0\n")
    (making / "config").write_text(format_config(hub))
    budget = _Budget(BYTES_MAX, FILES_MAX)
    for workspace in workspaces:
        try:
            with directory(workspace, (".git", "objects")) as objects:
                for name in names(objects):
                    if _FAN.fullmatch(name):
                        _copy_all(objects, name, _LOOSE, making / "objects" / name, hub.objects / name, budget)
                _copy_all(objects, "pack", _PACK, making / "objects" / "pack", hub.objects / "pack", budget)
        except OSError as error:
            blame_it(error)
    return making


def _copy_all(objects: int, name: str, allowed: re.Pattern[str], into: Path, known: Path, budget: _Budget) -> None:
    """Copy the object files of one directory, without those the hub has by the same name; skip what is no file."""
    try:
        with directory(objects, (name,)) as at:
            have = {file.name for file in known.iterdir()} if known.is_dir() else set()
            into.mkdir(exist_ok=True)
            for entry in names(at):
                if allowed.fullmatch(entry) and entry not in have:
                    _copy_one(at, entry, into / entry, budget)
    except OSError as error:
        blame_it(error)


def _copy_one(at: int, entry: str, into: Path, budget: _Budget) -> None:
    try:
        budget.take(copy_file(at, entry, into, budget.bytes_left))
    except TooLarge:
        budget.take(BYTES_MAX + 1)
    except OSError as error:
        blame_it(error)


def format_config(hub: Hub) -> str:
    """What a bare repository of ours needs to know: the format of objects, and the faults that the hub lets pass."""
    sha256 = "sha256" in (hub.path / "config").read_text()
    extensions = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    benign = "".join(f"\t{name} = ignore\n" for name in BENIGN)
    return f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = true\n{extensions}[fsck]\n{benign}"


def _packed(workspace: Path) -> dict[str, Commit]:
    content = read_file(workspace, (".git", "packed-refs"), _PACKED_BYTES_MAX) or b""
    pairs = (line.partition(" ") for line in content.decode("utf-8", "replace").splitlines())
    return {name: Commit(value) for value, _, name in pairs if is_commit(value) and name.startswith("refs/")}


def _loose(workspace: Path) -> list[Commit]:
    """Read the loose refs; breadth first and bounded, because the directory is the agent's."""
    found: list[Commit] = []
    waiting: list[tuple[str, ...]] = [("refs",)]
    while waiting and len(found) < REFS_MAX and len(waiting) < REFS_MAX:
        parts = waiting.pop(0)
        try:
            with directory(workspace, (".git", *parts)) as at:
                listed = sorted(names(at))[:REFS_MAX]
        except OSError as error:
            blame_it(error)
            continue
        for name in listed:
            text = read_file(workspace, (".git", *parts, name), _REF_BYTES_MAX)
            if text is None:
                waiting.append((*parts, name))
            elif is_commit(value := text.decode("ascii", "replace").strip()):
                found.append(Commit(value))
    return found


def _stashes(workspace: Path) -> list[Commit]:
    """List stashed commits, newest first: all but the newest are named only by the reflog."""
    log = read_file(workspace, (".git", "logs", "refs", "stash"), _LOG_BYTES_MAX) or b""
    values = [line.split(" ", 2)[1] for line in log.decode("ascii", "replace").splitlines() if line.count(" ") > 1]
    return [Commit(value) for value in reversed(values) if is_commit(value) and value.strip("0")]
