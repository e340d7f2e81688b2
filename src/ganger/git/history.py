"""What the hub knows by heart of the target's history: which commits it holds, and whom their messages name.

Whether one commit is an ancestor of another, and whether any message speaks of a name, are questions for which git
walks: half a million commits take it seconds. Here each commit was looked at once, when the target came to have it
(`history_keeper` does that), so that an answer is a search in sorted files. On the path of scripts: it imports little.

    manifest.json   the tip that all this is about, and the parts, the newest commits first
    N.commits       the ids of the commits of part N, sorted, one after the other
    N.words         `WORD RANK POSITION` lines, sorted: the strongest mention of a word, the newest of equal ones
"""

from __future__ import annotations

import json
import mmap
import os
import re
from pathlib import Path
from typing import NamedTuple

FOLDER, MANIFEST = "ganger-history", "manifest.json"
WORD_BYTES_MAX = 120
WORD = re.compile(r"[\w-]+")
"""What counts as one word of a message; a name made of several is none that is known here."""
SPOKEN, NAMED = 1, 2
"""How a message mentions a word: in its first line or a trailer; in the trailer of a merge on the target itself."""


class Span(NamedTuple):
    """A part as the manifest has it; sizes in bytes, so that a file that was cut off is noticed."""

    number: int
    commits: int
    words: int


class Part(NamedTuple):
    """One part, to be searched."""

    span: Span
    commits: bytes | mmap.mmap
    words: bytes | mmap.mmap


class Mention(NamedTuple):
    """Where a word stands."""

    rank: int
    """`SPOKEN` or `NAMED`."""
    commit: str


class History(NamedTuple):
    """All commits that can be reached from `tip`."""

    tip: str
    parts: tuple[Part, ...]

    def holds(self, commit: str) -> bool:
        """Whether the tip is this commit, given by its full id, or descends from it."""
        if len(commit) != len(self.tip):
            return False
        wanted = bytes.fromhex(commit)
        return any(_find_commit(part.commits, wanted) for part in self.parts)

    def mention(self, word: str) -> Mention | None:
        """The strongest mention of a word, of equal ones the newest; None when no message mentions it."""
        found = [one for part in self.parts if (one := mention_in(part, word.encode(), len(self.tip) // 2))]
        return max(found, key=lambda one: one.rank, default=None)


def is_word(name: str) -> bool:
    """Whether a name is one that mentions are kept of."""
    return WORD.fullmatch(name) is not None and len(name.encode("utf-8", "replace")) <= WORD_BYTES_MAX


def read(folder: Path) -> History | None:
    """What is kept in a folder; None when nothing is, or nothing whole."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        tip, spans = str(found["tip"]), [Span(*map(int, span)) for span in found["parts"]]
        bytes.fromhex(tip)
        parts = tuple(Part(span, *(_mapped(path, size) for path, size in files(folder, span))) for span in spans)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return History(tip, parts)


def files(folder: Path, span: Span) -> tuple[tuple[Path, int], tuple[Path, int]]:
    """The two files of a part, with their sizes in bytes."""
    return (folder / f"{span.number}.commits", span.commits), (folder / f"{span.number}.words", span.words)


def _mapped(path: Path, size: int) -> bytes | mmap.mmap:
    """A file in memory; ValueError when it is shorter than that."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return mmap.mmap(handle, size, prot=mmap.PROT_READ) if size else b""
    finally:
        os.close(handle)


def _find_commit(commits: bytes | mmap.mmap, wanted: bytes) -> bool:
    size = len(wanted)
    low, high = 0, len(commits) // size
    while low < high:
        middle = (low + high) // 2
        found = commits[middle * size : (middle + 1) * size]
        if found == wanted:
            return True
        if found < wanted:
            low = middle + 1
        else:
            high = middle
    return False


def mention_in(part: Part, word: bytes, id_bytes: int) -> Mention | None:
    """The line of a word in one part. All bytes of words come after the space that ends them, so lines sort alike."""
    low, high = 0, len(part.words)
    while low < high:
        middle = (low + high) // 2
        begin = part.words.rfind(b"\n", 0, middle) + 1
        end = part.words.find(b"\n", middle)
        found, rank, position = part.words[begin:end].split(b" ")
        if found == word:
            at = int(position, 16) * id_bytes
            return Mention(int(rank), part.commits[at : at + id_bytes].hex())
        if found < word:
            low = end + 1
        else:
            high = begin
    return None
