"""Keeping `history` up with the target: each commit is looked at once, by one `git log` over those that are new.

What came last is a small part of its own; small parts are joined as they become alike, so that there are never many,
and each commit is moved a logarithmic number of times. Readers see the old parts or the new ones: the manifest is
replaced last, and files that it no longer names are removed after that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ganger.core.ids import Commit
from ganger.git import history, trash
from ganger.git.command import oid
from ganger.git.history import FOLDER, MANIFEST, NAMED, SPOKEN, WORD, History, Span
from ganger.git.hub import Hub

PART_COMMITS_MAX = 1 << 17
"""Commits that one part holds at most, which bounds the memory that making one takes."""
WALK_S = 3_600.0
_BLOCK = 1 << 22
_SHAPE = "--format=%H%x1f%(trailers:key=Ganger-Item,key=Ganger-Undone-Commit,valueonly,separator=%x1e)%x1f%s"


def keep_up(hub: Hub, tip: Commit) -> int:
    """Have the hub know all of the history of `tip`, a commit of the user's repository.

    Returns how many commits were looked at: those that are new since the last time, or all when the target does not
    descend from what it was. GitFailed when git cannot walk them.
    """
    folder = hub.path / FOLDER
    with hub.locked("history"), hub.scratch() as scratch:
        known = history.read(folder)
        if known is not None and known.tip == tip:
            return 0
        if known is not None and not _descends(hub, known.tip, tip):
            known = None
        folder.mkdir(mode=0o700, exist_ok=True)
        return _grow(hub, folder, known, tip, scratch / "log")


def _descends(hub: Hub, before: str, tip: Commit) -> bool:
    return hub.repo.git.call("merge-base", "--is-ancestor", oid(Commit(before)), oid(tip), timeout_s=WALK_S).code == 0


def _grow(hub: Hub, folder: Path, known: History | None, tip: Commit, log: Path) -> int:
    """Write the parts of the new commits, and the manifest that names them before the old ones."""
    revisions = f"{known.tip}..{oid(tip)}" if known is not None else oid(tip)
    shape = ("-z", "--encoding=UTF-8", "--no-show-signature", "--no-decorate", "--no-color", _SHAPE)
    hub.repo.git.run("log", *shape, f"--output={log}", revisions, "--", timeout_s=WALK_S)
    # It walks once more, but only where somebody has landed something in these commits.
    on_target = cache(lambda: _first_parents(hub, revisions))
    old = [part.span for part in known.parts] if known is not None else []
    number = max((span.number for span in old), default=0)
    made, seen = [], 0
    for chunk in _chunks(log):
        number += 1
        seen += len(chunk)
        made.append(_write(folder, number, *_sorted_out(chunk, on_target)))
    spans = _joined(folder, [*made, *old], len(tip) // 2)
    _replace(folder / MANIFEST, json.dumps({"tip": tip, "parts": spans}).encode())
    kept = {MANIFEST, *(path.name for span in spans for path, _ in history.files(folder, span))}
    for left in folder.iterdir():
        if left.name not in kept:
            trash.discard_below(folder, left)
    return seen


def _first_parents(hub: Hub, revisions: str) -> frozenset[bytes]:
    printed = hub.repo.git.run("rev-list", "--first-parent", revisions, "--", timeout_s=WALK_S)
    return frozenset(bytes.fromhex(line.decode("ascii")) for line in printed.splitlines())


Message = tuple[bytes, str, str]
"""A commit's id in bytes, the items and undone commits that its trailers name, and its first line."""


def _chunks(log: Path) -> Iterator[list[Message]]:
    """What git wrote of the commits, the newest first, so many at a time as make a part."""
    chunk: list[Message] = []
    for line in _lines(log):
        commit, trailers, subject = line.decode("utf-8", "backslashreplace").split("\x1f", 2)
        chunk.append((bytes.fromhex(commit), trailers, subject))
        if len(chunk) == PART_COMMITS_MAX:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _lines(log: Path) -> Iterator[bytes]:
    rest = b""
    with log.open("rb") as file:
        while block := file.read(_BLOCK):
            *whole, rest = (rest + block).split(b"\0")
            yield from whole
    if rest:
        yield rest


Ranked = dict[bytes, tuple[int, bytes]]
"""By word: how it is mentioned, and the id of the commit that does."""


def _sorted_out(chunk: list[Message], on_target: Callable[[], frozenset[bytes]]) -> tuple[list[bytes], Ranked]:
    """The ids of some commits, and the words of their messages, each with the strongest and newest mention."""
    words: dict[str, tuple[int, bytes]] = {}
    for commit, trailers, subject in chunk:
        for word in WORD.findall(subject):
            words.setdefault(word, (SPOKEN, commit))
        for name in trailers.split("\x1e") if trailers else ():
            rank = NAMED if history.is_word(name) and commit in on_target() else SPOKEN
            if words.get(name, (0, b""))[0] < rank:
                words[name] = (rank, commit)
    kept = {word.encode("utf-8", "replace"): found for word, found in words.items() if history.is_word(word)}
    return [commit for commit, _, _ in chunk], kept


def _joined(folder: Path, spans: list[Span], id_bytes: int) -> list[Span]:
    """Join the newest parts while the one before is not twice as large, and both together are one part's worth."""
    while len(spans) > 1:
        newer, older = spans[0], spans[1]
        if older.commits >= 2 * newer.commits or newer.commits + older.commits > PART_COMMITS_MAX * id_bytes:
            break
        number = max(span.number for span in spans) + 1
        spans = [_join(folder, number, newer, older, id_bytes), *spans[2:]]
    return spans


def _join(folder: Path, number: int, newer: Span, older: Span, id_bytes: int) -> Span:
    commits: list[bytes] = []
    words: Ranked = {}
    for span in (newer, older):
        (ids_file, _), (words_file, _) = history.files(folder, span)
        ids = ids_file.read_bytes()
        found = [ids[at : at + id_bytes] for at in range(0, len(ids), id_bytes)]
        commits += found
        for line in words_file.read_bytes().splitlines():
            word, rank, position = line.split(b" ")
            if words.get(word, (0, b""))[0] < int(rank):
                words[word] = (int(rank), found[int(position, 16)])
    return _write(folder, number, commits, words)


def _write(folder: Path, number: int, commits: list[bytes], words: Ranked) -> Span:
    """Write one part, in the order in which it is searched."""
    ordered = sorted(commits)
    position = {commit: at for at, commit in enumerate(ordered)}
    ids = b"".join(ordered)
    lines = b"".join(b"%s %d %x\n" % (word, rank, position[commit]) for word, (rank, commit) in sorted(words.items()))
    span = Span(number, len(ids), len(lines))
    for (path, _), content in zip(history.files(folder, span), (ids, lines), strict=True):
        _replace(path, content)
    return span


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after the power went."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
