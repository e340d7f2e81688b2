"""Is it in the target's history, and by how strong evidence? On the path of scripts, so it imports little.

The journal says with which commit an item landed and which tree was tested; git says whether that commit holds that
tree and whether the target contains it. Where the journal knows nothing of a name, ganger's own merge commits may name
it (`Ganger-Item`), and, weakest, some commit's first line. What the hub knows of the target's history (`git.history`)
is not walked; without that, history is searched once for each name: what was found is noted with the tip it was found
at, and the next question walks from that tip on. Such a note is a fact about commits, which never change; it is dropped
when the target no longer descends from that tip.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ganger.core.ids import Commit
from ganger.git import history
from ganger.git.command import UserGit, oid
from ganger.git.ref_files import read_ref
from ganger.journal.queries import Reader, TrainRow
from ganger.service.place import replace_file

NOTES = "shipped"
COMMIT_DIGITS_MIN = 7
SEARCH_S = 600.0
_HEX = re.compile(rf"[0-9a-f]{{{COMMIT_DIGITS_MIN},64}}")
_RUN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]*)\.[0-9]+$")
_UNDONE = "Ganger-Undone-Commit"
_REPORTED, _COMMITTED, _LANDED = "reported", "committed", "landed"
RUNGS = (_REPORTED, _COMMITTED, _LANDED)
"""The rungs of `core.model` that a look at history alone can tell apart, weakest first; held equal by a test."""


class Shipped(NamedTuple):
    """What was found."""

    rung: str
    """`landed`, `committed` or `reported`; empty when it is not in the target's history."""
    commit: str
    why: str
    """In one line: by what evidence, or what stands against it."""


class Note(NamedTuple):
    """What was found of a name when the target was at a tip; an empty rung: nothing."""

    tip: str
    rung: str
    commit: str
    tree: str = ""
    """The tree that the commit was seen to hold; empty when nobody looked."""


class Target(NamedTuple):
    """A branch of the user's repository, and where things about it are noted."""

    git: UserGit
    common_dir: Path
    branch: str
    notes: Path | None
    """None: nothing is noted."""
    hub: Path | None = None
    """Where the history of the target is known by heart, and objects are that the user's repository lost."""

    def tip(self) -> str:
        """The commit that the branch names; empty when there is no such branch."""
        ref = f"refs/heads/{self.branch}"
        return read_ref(self.common_dir, ref) or self.git.rev_parse(f"{ref}^{{commit}}") or ""

    def contains(self, commit: str, tip: str) -> bool:
        """Whether `tip` is `commit` or descends from it; False when there is no such commit."""
        if commit == tip:
            return True
        known = self.known(tip)
        if known is None:
            return self._leads_to(commit, tip)
        return known.holds(commit) or (known.tip != tip and self._is_among(commit, f"{known.tip}..{tip}"))

    def known(self, tip: str) -> history.History | None:
        """What the hub knows of the history of `tip`, or of a commit before it; None when that is nothing."""
        found = history.read(self.hub / history.FOLDER) if self.hub is not None else None
        if found is None or found.tip == tip or self._leads_to(found.tip, tip):
            return found
        return None

    def _is_among(self, commit: str, revisions: str) -> bool:
        return commit.encode() in self.git.run("rev-list", revisions, "--", timeout_s=SEARCH_S).splitlines()

    def _leads_to(self, commit: str, tip: str) -> bool:
        more = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.hub / "objects")} if self.hub is not None else {}
        return self.git.call("merge-base", "--is-ancestor", commit, tip, env=more, timeout_s=SEARCH_S).code == 0


def shipped(name: str, target: Target, reader: Reader | None) -> Shipped:
    """Look for an item, or a commit, in the target's history."""
    tip = target.tip()
    if not tip:
        return Shipped("", "", f"there is no branch {target.branch}")
    name = _RUN.sub(r"\1", name)
    item = reader.item(name) if reader is not None else None
    if item is not None and not item.landed:
        return Shipped("", "", f"{name} has not landed: it is {item.status}")
    if reader is not None and item is not None:
        return _landed(name, item.landed, reader.train_of(item.landed), target, tip)
    if _HEX.fullmatch(name):
        return _commit(name, target, tip, reader)
    return _named(name, target, tip)


def _landed(name: str, commit: str, train: TrainRow | None, target: Target, tip: str) -> Shipped:
    """Hold what the journal says of a landing against git."""
    short = commit[:12]
    if train is None or not train.passed:
        return Shipped("", commit, f"{name} is recorded as landed, but no passing test of {short} is")
    note = read_note(target.notes, name)
    if note is None or (note.commit, note.tree) != (commit, train.tree) or not target.contains(note.tip, tip):
        holds = target.git.rev_parse(f"{oid(Commit(commit))}^{{tree}}")
        if holds is None:
            return Shipped("", commit, f"{short}, which landed {name}, is not in the repository any more")
        if holds != train.tree:
            return Shipped("", commit, f"{short} holds the tree {holds[:12]}, but {train.tree[:12]} was tested")
        if not target.contains(commit, tip):
            where = f"{target.branch} does not contain {short}, which landed {name}"
            return Shipped("", commit, f"{where}: somebody moved it back")
    keep_note(target.notes, name, note, Note(tip, _LANDED, commit, train.tree))
    tested = f"tested as a whole at {_clock(train.at_ms)}"
    return Shipped(_LANDED, commit, f"{name} landed as {short}, {tested}, and {target.branch} contains it")


def _commit(name: str, target: Target, tip: str, reader: Reader | None) -> Shipped:
    """A commit is as well proven as the item that landed with it; one that nothing is known of is just there."""
    full = target.git.rev_parse(f"{name}^{{commit}}")
    if full is None:
        return _named(name, target, tip)
    undo = reader.undo_of(full) if reader is not None else None
    if undo is not None:
        return Shipped("", full, f"{full[:12]} landed, and {undo.by} had it undone as {undo.landed[:12]}")
    train = reader.train_of(full) if reader is not None else None
    if train is not None and train.landed_ms:
        return _landed(full[:12], full, train, target, tip)
    if not target.contains(full, tip):
        return Shipped("", full, f"{target.branch} does not contain {full[:12]}")
    return Shipped(_COMMITTED, full, f"{target.branch} contains {full[:12]}, but no landing of it is recorded")


def _named(name: str, target: Target, tip: str) -> Shipped:
    """Search the messages of the history for a name that the journal does not know."""
    heart = target.known(tip)
    known = by_heart = _by_heart(name, heart)
    note = read_note(target.notes, name) if by_heart is None else None
    if note is not None and target.contains(note.tip, tip):
        known = note
    found = known
    if known is None or known.tip != tip:
        revisions = tip if known is None else f"{known.tip}..{tip}"
        found = _better(known, next(_mentions(name, target, revisions, tip), None))
    if by_heart is None:
        keep_note(target.notes, name, note, Note(tip, *found[1:3]) if found is not None else Note(tip, "", ""))
    if found is None or not found.rung:
        return Shipped("", "", f"nothing in {target.branch} speaks of {name}, and the journal does not know it")
    short = found.commit[:12]
    if found.rung == _COMMITTED:
        back = _taken_back(found.commit, target, heart, tip)
        if back:
            return Shipped("", found.commit, f"{short} in {target.branch} landed {name}, and {back[:12]} took it back")
        why = f"{short} in {target.branch} says that it landed {name}, and no journal does"
        return Shipped(_COMMITTED, found.commit, why)
    return Shipped(_REPORTED, found.commit, f"{short} in {target.branch} speaks of {name}, which proves nothing")


def _taken_back(commit: str, target: Target, known: history.History | None, tip: str) -> str:
    """The commit that says, on the target itself, that it undid another; empty when none does."""
    found = known.mention(commit) if known is not None else None
    if found is not None and found.rank == history.NAMED:
        return found.commit
    since = commit if known is None else known.tip
    if since == tip:
        return ""
    printed = target.git.run(
        *("log", "-z", "--no-show-signature", "--fixed-strings", f"--grep={_UNDONE}: {commit}", "--first-parent"),
        *(f"--format=%H%x1f%(trailers:key={_UNDONE},valueonly,separator=%x1e)", f"{since}..{tip}", "--"),
        timeout_s=SEARCH_S,
    )
    said = (line.split("\x1f", 1) for line in printed.decode("ascii", "replace").split("\0") if line)
    return next((undo for undo, undone in said if commit in undone.split("\x1e")), "")


def _by_heart(name: str, known: history.History | None) -> Note | None:
    """What the hub knows of a name; None when it is not one that it would know of."""
    if known is None or not history.is_word(name):
        return None
    found = known.mention(name)
    if found is None:
        return Note(known.tip, "", "")
    return Note(known.tip, _COMMITTED if found.rank == history.NAMED else _REPORTED, found.commit)


def _better(known: Note | None, found: Note | None) -> Note | None:
    if known is None or found is None:
        return found or known
    return max(found, known, key=lambda note: RUNGS.index(note.rung) if note.rung else -1)


def _mentions(name: str, target: Target, revisions: str, tip: str) -> Iterator[Note]:
    """What the messages of some commits say of a name, the strongest first.

    Only a commit on the first line of parents can be a merge of ganger's: any other may be a worker's, who can write
    what it likes.
    """
    for commit, trailers, _ in _messages(target, f"Ganger-Item: {name}", revisions, "--first-parent"):
        if name in trailers:
            yield Note(tip, _COMMITTED, commit)
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    for commit, trailers, subject in _messages(target, name, revisions):
        if name in trailers or word.search(subject):
            yield Note(tip, _REPORTED, commit)


def _messages(target: Target, text: str, revisions: str, *more: str) -> Iterator[tuple[str, list[str], str]]:
    """Commits whose message holds a text, with the items that their trailers name, and their subjects."""
    shape = "--format=%H%x1f%(trailers:key=Ganger-Item,valueonly,separator=%x1e)%x1f%s"
    printed = target.git.run(
        *("log", "-z", "--no-show-signature", "--fixed-strings", f"--grep={text}", shape, *more, revisions, "--"),
        timeout_s=SEARCH_S,
    )
    for line in printed.decode("utf-8", "backslashreplace").split("\0"):
        if line:
            commit, trailers, subject = line.split("\x1f", 2)
            yield commit, trailers.split("\x1e"), subject


def read_note(folder: Path | None, name: str) -> Note | None:
    """What was noted of a name; None when nothing that can be read was."""
    if folder is None:
        return None
    try:
        found: dict[str, Any] = json.loads(_note_of(folder, name).read_bytes())
        note = Note(**{key: str(found[key]) for key in Note._fields})
        return note if found["name"] == name and _HEX.fullmatch(note.tip) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_note(folder: Path | None, name: str, old: Note | None, new: Note) -> None:
    """Note what was found of a name, if that is news; without it, the next question takes longer."""
    if folder is None or old == new or not os.access(folder.parent, os.W_OK):
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    replace_file(_note_of(folder, name), json.dumps({"name": name, **new._asdict()}).encode())


def _note_of(folder: Path, name: str) -> Path:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return folder / f"{name}.json"
    import hashlib  # it loads OpenSSL, and names of items need none of it

    return folder / f"{hashlib.sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()}.hashed.json"


def _clock(at_ms: int) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))
