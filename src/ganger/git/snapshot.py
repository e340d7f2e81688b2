"""Freezing the content of a workspace as a commit in the hub.

Git lists which files differ; their bytes are read here, following no link, into a directory of ours, and git adds
them from there. So no configuration of the workspace counts, no filter runs, and an embedded repository is only files.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git.beneath import TooLarge, blame_it, copy_file, directory, names, open_up
from ganger.git.changes import path_text
from ganger.git.command import Git, oid
from ganger.git.hub import Hub

AUTHOR = ("ganger", "ganger@localhost")
FILE_BYTES_MAX = 256 << 20
TOTAL_BYTES_MAX = 2 << 30
EMBEDDED_MAX = 32
"""Most embedded repositories that are looked into."""
LEFT_OUT_LINES_MAX = 20
_SUBMODULE = b"160000"


@dataclass
class _Found:
    """What differs from the parent, as raw paths."""

    staged: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    bytes_left: int = TOTAL_BYTES_MAX

    def leave(self, path: bytes, reason: str) -> None:
        self.left_out.append(f"{ascii(path_text(path))[1:-1]} ({reason})")


def snapshot(
    hub: Hub, path: Path, parent: Commit, message: str, whole: bool = False, when_s: int | None = None
) -> Commit:
    """Return a commit on `parent` that holds the tracked and the untracked, not ignored files of a workspace.

    `parent` itself when nothing differs. An embedded repository is taken as plain files; a submodule stays the commit
    it was, unless `whole` asks for its files too. What cannot be taken is named in `Left-Out:` lines of the message:
    unreadable or special files, names that git forbids (`.git`), files over 256 MiB, what exceeds 2 GiB in all.
    With `whole`, what its owner may not read is made readable first, and a work tree that git cannot list is walked.
    Author and committer are ganger; the time is `when_s`, or that of `parent`, so the same content is the same commit.
    GitFailed when the work tree cannot be listed, or the hub not be written; WorldFailed when there is no room.
    """
    with hub.scratch() as scratch:
        hub.git.with_index(scratch / "index", path).run("read-tree", oid(parent))
        stage, found = _gathered(hub, scratch, path, parent, whole)
        if whole and found.left_out and open_up(path):
            stage, found = _gathered(hub, scratch, path, parent, whole)
        if not found.staged and not found.removed:
            return parent
        git = hub.git.with_index(scratch / "index", stage)
        _update(git, scratch, stage, found, len(parent))
        return _commit(git, parent, message, found.left_out, when_s)


def tree_now(hub: Hub, path: Path, parent: Commit, scratch: Path) -> Commit | None:
    """Return the tree that `snapshot` would commit, where `scratch/index` is an index of `parent` already.

    None when nothing differs. What that index knows of the workspace's files spares git reading them.
    """
    stage, found = _gathered(hub, scratch, path, parent, whole=False)
    if not found.staged and not found.removed:
        return None
    git = hub.git.with_index(scratch / "index", stage)
    _update(git, scratch, stage, found, len(parent))
    return Commit(git.text("write-tree"))


def _gathered(hub: Hub, scratch: Path, path: Path, parent: Commit, whole: bool) -> tuple[Path, _Found]:
    """Copy what differs from the parent into a new stage; returns the stage, and what was found."""
    stage = Path(tempfile.mkdtemp(prefix="stage-", dir=scratch))
    found = _Found()
    try:
        listed = _listing(hub, scratch, path, parent, whole, found)
    except GitFailed as failed:
        # Below zero: the child was killed or had no time, which says nothing of the work tree.
        if not whole or failed.argv[:1] != ("ls-files",) or failed.code < 0:
            raise
        found = _Found()
        listed = [*_walked(path, failed, found), *_paths_of(hub, parent)]
    for raw in sorted(set(listed)):
        _take(path, raw, stage, found)
    return stage, found


def _walked(path: Path, failed: GitFailed, found: _Found) -> list[bytes]:
    """List all files and links below a work tree that git cannot list, ignored ones too, but nothing in a `.git`.

    The error itself when not even the top can be opened.
    """
    listed: list[bytes] = []
    waiting: list[tuple[bytes, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with directory(path, parts) as at:
                for name in map(os.fsencode, names(at)):
                    if name == b".git":
                        continue
                    if stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                        waiting.append((*parts, name))
                    else:
                        listed.append(b"/".join((*parts, name)))
        except OSError as error:
            blame_it(error)
            if not parts:
                raise failed from error
            found.leave(b"/".join(parts), str(error.strerror))
    return listed


def _paths_of(hub: Hub, parent: Commit) -> list[bytes]:
    return hub.git.run("ls-tree", "-r", "-z", "--name-only", oid(parent)).split(b"\0")[:-1]


def _listing(hub: Hub, scratch: Path, path: Path, parent: Commit, whole: bool, found: _Found) -> list[bytes]:
    """List the paths that may differ from the parent, those inside embedded repositories included."""
    done = hub.git.with_index(scratch / "index", path).call(
        "ls-files", "-z", "-t", "-m", "-d", "-o", "--exclude-per-directory=.gitignore"
    )
    if done.code != 0:
        raise GitFailed(("ls-files",), done.code, done.stderr)
    _note_warnings(done.stderr, found)
    entries = {(entry[:1], entry[2:]) for entry in done.stdout.split(b"\0") if entry}
    listed = [raw for tag, raw in entries if not (tag == b"?" and raw.endswith(b"/"))]
    embedded = sorted(raw.rstrip(b"/") for tag, raw in entries if tag == b"?" and raw.endswith(b"/"))
    submodules = _submodules(hub, parent) if whole or any(_is_directory(path, raw) for raw in listed) else frozenset()
    unchanged = {raw for raw in submodules.intersection(listed) if not whole and _is_directory(path, raw)}
    for raw in sorted(unchanged):
        found.leave(raw, "a submodule: its commit stays as it was")
    listed = [raw for raw in listed if raw not in unchanged]
    embedded += [raw for raw in submodules if whole and _has_entries(path, raw)]
    return listed + _embedded(hub, scratch, path, embedded, found)


def _embedded(hub: Hub, scratch: Path, path: Path, waiting: list[bytes], found: _Found) -> list[bytes]:
    """List the files of repositories inside the workspace, at any depth."""
    listed: list[bytes] = []
    looked_into = 0
    while waiting:
        raw = waiting.pop(0)
        looked_into += 1
        if looked_into > EMBEDDED_MAX:
            found.leave(raw, "one embedded repository too many")
            continue
        if not _is_directory(path, raw):
            continue
        inside = hub.git.with_index(scratch / "no-index", path / os.fsdecode(raw)).run(
            "ls-files", "-z", "-o", "--exclude-per-directory=.gitignore"
        )
        below = [raw + b"/" + name for name in inside.split(b"\0") if name]
        listed += [name for name in below if not name.endswith(b"/")]
        waiting += [name.rstrip(b"/") for name in below if name.endswith(b"/")]
    return listed


def _take(path: Path, raw: bytes, stage: Path, found: _Found) -> None:
    """Copy one file or link into the stage, or record that it is gone."""
    parts = raw.split(b"/")
    if any(part.lower() in (b".git", b"git~1", b"", b".", b"..") for part in parts):
        found.leave(raw, "git does not allow that name")
        return
    try:
        with directory(path, parts[:-1]) as at:
            _take_from(at, raw, stage, found)
    except (FileNotFoundError, NotADirectoryError):
        found.removed.append(raw)
    except OSError as error:
        blame_it(error)
        # ELOOP: a parent directory became a link, so the tracked file below it is gone.
        if _is_below_link(path, parts):
            found.removed.append(raw)
        else:
            found.leave(raw, str(error.strerror or error))


def _take_from(at: int, raw: bytes, stage: Path, found: _Found) -> None:
    name = raw.rpartition(b"/")[2]
    mode = os.lstat(name, dir_fd=at).st_mode
    into = stage / os.fsdecode(raw)
    if stat.S_ISLNK(mode):
        into.parent.mkdir(parents=True, exist_ok=True)
        into.symlink_to(os.fsdecode(os.readlink(name, dir_fd=at)))
        found.staged.append(raw)
    elif stat.S_ISREG(mode):
        into.parent.mkdir(parents=True, exist_ok=True)
        try:
            found.bytes_left -= copy_file(at, name, into, min(FILE_BYTES_MAX, found.bytes_left))
        except TooLarge as error:
            found.leave(raw, str(error))
            return
        found.staged.append(raw)
    else:
        found.removed.append(raw)
        if not stat.S_ISDIR(mode):
            found.leave(raw, "not a file, directory or link")


def _update(git: Git, scratch: Path, stage: Path, found: _Found, oid_chars: int) -> None:
    """Bring the index to what was found."""
    if found.removed:
        zero = b"0" * oid_chars
        lines = (b"0 " + zero + b"\t" + raw + b"\0" for raw in found.removed)
        git.run("update-index", "-z", "--index-info", input=b"".join(lines))
    if not found.staged:
        return
    added = git.call("update-index", "-z", "--add", "--replace", "--stdin", stdin=_lines(found.staged))
    if added.code != 0:
        _update_unconverted(git, scratch, stage, found)
    found.left_out.extend(ascii(line)[1:-1] for line in added.stderr.splitlines() if line.startswith("Ignoring path"))


def _update_unconverted(git: Git, scratch: Path, stage: Path, found: _Found) -> None:
    """Add the staged files byte for byte, where attributes of the tree ask for a conversion that fails.

    They go through an index of their own under numbers for names, which no attribute matches.
    """
    plain = scratch / "plain"
    plain.mkdir()
    for number, raw in enumerate(found.staged):
        (stage / os.fsdecode(raw)).rename(plain / str(number))
    numbered = git.with_index(scratch / "plain-index", plain)
    numbered.run("update-index", "-z", "--add", "--stdin", input=_lines(b"%d" % n for n in range(len(found.staged))))
    entries = (entry.split(b"\t") for entry in numbered.run("ls-files", "-s", "-z").split(b"\0") if entry)
    lines = (about[:-2] + b"\t" + found.staged[int(number)] + b"\0" for about, number in entries)
    git.run("update-index", "-z", "--replace", "--index-info", input=b"".join(lines))


def _commit(git: Git, parent: Commit, message: str, left_out: list[str], when_s: int | None) -> Commit:
    tree = git.text("write-tree")
    parent_tree, parent_time = git.text("log", "-1", "--no-show-signature", "--format=%T %ct", oid(parent)).split()
    if tree == parent_tree:
        return parent
    lines = [f"Left-Out: {line}" for line in left_out[:LEFT_OUT_LINES_MAX]]
    if len(left_out) > LEFT_OUT_LINES_MAX:
        lines.append(f"Left-Out: and {len(left_out) - LEFT_OUT_LINES_MAX} more")
    text = message.rstrip() + ("\n\n" + "\n".join(lines) if lines else "") + "\n"
    return commit_tree(git, Commit(tree), (parent,), text, int(parent_time) if when_s is None else when_s)


def commit_tree(git: Git, tree: Commit, parents: Iterable[Commit], message: str, when_s: int) -> Commit:
    """Write a commit of ganger's own; the same arguments give the same commit."""
    args = [part for parent in parents for part in ("-p", oid(parent))]
    date = f"@{when_s} +0000"
    env = {
        "GIT_AUTHOR_NAME": AUTHOR[0],
        "GIT_AUTHOR_EMAIL": AUTHOR[1],
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": AUTHOR[0],
        "GIT_COMMITTER_EMAIL": AUTHOR[1],
        "GIT_COMMITTER_DATE": date,
    }
    content = message.replace("\0", "").encode("utf-8", "backslashreplace")
    printed = git.run("commit-tree", oid(tree), *args, "-F", "-", input=content, env=env)
    return Commit(printed.decode("ascii").strip())


def _submodules(hub: Hub, parent: Commit) -> frozenset[bytes]:
    entries = hub.git.run("ls-tree", "-r", "-z", oid(parent)).split(b"\0")
    return frozenset(entry.partition(b"\t")[2] for entry in entries if entry.startswith(_SUBMODULE))


def _note_warnings(stderr: str, found: _Found) -> None:
    found.left_out.extend(ascii(line)[1:-1] for line in stderr.splitlines() if "could not open" in line)


def _is_directory(path: Path, raw: bytes) -> bool:
    try:
        with directory(path, raw.split(b"/")):
            return True
    except OSError:
        return False


def _has_entries(path: Path, raw: bytes) -> bool:
    try:
        with directory(path, raw.split(b"/")) as at:
            return bool(names(at))
    except OSError:
        return False


def _is_below_link(path: Path, parts: list[bytes]) -> bool:
    below = path
    for part in parts[:-1]:
        below = below / os.fsdecode(part)
        if below.is_symlink():
            return True
    return False


def _lines(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)
