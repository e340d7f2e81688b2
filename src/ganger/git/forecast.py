"""Which of several commits would conflict, and how closely their changes touch: merges without a work tree.

Each question is put to one git for all commits. Two commits are merged only where that can come out other than clean:
where both change a path, or one a path below one of the other's, or where one renames and the other adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git.changes import path_text
from ganger.git.command import oid
from ganger.git.hub import Hub

NEAR_LINES = 3
"""Changes that leave at most so many lines between them are adjacent; git shows as many around a change."""
_HEADER = re.compile(rb"(?m)^([0-9a-f]{40}(?:[0-9a-f]{24})?)\n")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")

Pair = tuple[Commit, Commit]
NO_BASES: Mapping[Pair, Commit] = MappingProxyType({})
Span = tuple[int, int]
"""Lines [from, to) of the common base, counted from 0; empty where lines are only added, before the line `from`."""

_NO_LINES: Mapping[bytes, tuple[Span, ...] | None] = MappingProxyType({})
_STRANGERS = ("(no common history)",)


class Grade(IntEnum):
    """How closely two changes touch; the closest last."""

    none = 0
    """No file is changed by both."""
    same_file = 1
    """A file is changed by both, far apart."""
    adjacent = 2
    """Changed lines have at most three others between them."""
    ungradable = 3
    """A file is changed by both in a way that has no lines: binary, renamed, another kind of file."""
    same_lines = 4
    """The same lines are changed by both, or lines are added in one place by both."""

    @property
    def label(self) -> str:
        """The word users read: `same-lines`."""
        return self.name.replace("_", "-")


class Touch(Struct, frozen=True):
    """How two commits meet."""

    conflicts: tuple[str, ...]
    """Paths that do not merge."""
    grade: Grade
    paths: tuple[str, ...]
    """Paths of that grade, sorted; empty for `none`."""


def touches(hub: Hub, pairs: Sequence[Pair], bases: Mapping[Pair, Commit] = NO_BASES) -> list[Touch]:
    """Say how each pair meets, in the order of the pairs; two commits without common history conflict everywhere.

    `bases` are common ancestors that are known already; git is asked for the others.
    """
    based = [(pair, bases.get(pair) or common(hub, *pair)) for pair in pairs]
    sides = [(base, commit) for pair, base in based if base is not None for commit in pair]
    changes = _changes(hub, tuple(dict.fromkeys(sides)))
    meeting = [
        (pair, base) for pair, base in based if base is not None and may_meet(*(changes[base, one] for one in pair))
    ]
    conflicts = dict(zip((pair for pair, _ in meeting), _conflicts(hub, [pair for pair, _ in meeting]), strict=True))
    graded_sides = dict.fromkeys(
        (base, commit)
        for pair, base in meeting
        for commit in pair
        if changes[base, pair[0]].paths.keys() & changes[base, pair[1]].paths.keys()
    )
    lines = _changed_lines(hub, {side: changes[side] for side in graded_sides})
    found = []
    for pair, base in based:
        if base is None:
            found.append(Touch(_STRANGERS, Grade.ungradable, _STRANGERS))
        elif pair not in conflicts:
            found.append(Touch((), Grade.none, ()))
        else:
            grade = graded(*(lines.get((base, one), _NO_LINES) for one in pair))
            found.append(Touch(conflicts[pair], *grade))
    return found


@lru_cache(4_096)
def common(hub: Hub, one: Commit, other: Commit) -> Commit | None:
    """The commit at which two histories parted; None when they have nothing in common."""
    done = hub.git.call("merge-base", oid(one), oid(other))
    if done.code not in (0, 1):
        raise GitFailed(("merge-base",), done.code, done.stderr)
    return Commit(done.stdout.decode("ascii").strip()) if done.code == 0 else None


class Changes(NamedTuple):
    """What a commit changes of its base."""

    paths: Mapping[bytes, bool]
    """Each path, both of a renamed file; whether it is a plain file that is changed in place."""
    in_place: tuple[bytes, ...]
    """Those changed in place, plain files or not, in git's order."""
    adds: bool
    removes: bool


def may_meet(one: Changes, other: Changes) -> bool:
    """Whether a merge of the two can come out other than with the changes of both.

    No when they have no path in common, no path lies below one of the other's, and neither may have renamed a directory
    (it removes and adds) into which the other adds.
    """
    if one.paths.keys() & other.paths.keys():
        return True
    if (one.adds and one.removes and other.adds) or (other.adds and other.removes and one.adds):
        return True
    adds = one.adds or other.adds
    return adds and (_lies_below(one.paths, other.paths) or _lies_below(other.paths, one.paths))


def _lies_below(paths: Iterable[bytes], folders: Mapping[bytes, bool]) -> bool:
    return any(folder in folders for path in paths for folder in _parents(path))


def _parents(path: bytes) -> Iterable[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _conflicts(hub: Hub, pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
    """The paths in conflict of each pair, by one git for all of them."""
    if not pairs:
        return []
    given = "".join(f"{oid(one)} {oid(other)}\n" for one, other in pairs).encode()
    done = hub.git.call("merge-tree", "--stdin", "-z", "--name-only", "--no-messages", stdin=given)
    if done.code != 0 and len(pairs) > 1:
        return [paths for pair in pairs for paths in _conflicts(hub, [pair])]
    if done.code != 0:
        raise GitFailed(("merge-tree", "--stdin"), done.code, done.stderr)
    fields = iter(done.stdout.split(b"\0"))
    found = []
    for _ in pairs:
        _status, _tree = next(fields), next(fields)
        paths = []
        while raw := next(fields):
            paths.append(path_text(raw))
        found.append(tuple(dict.fromkeys(paths)))
    return found


Side = tuple[Commit, Commit]
"""A base, and a commit that changes it."""


def changed_lines(hub: Hub, base: Commit, commit: Commit) -> Mapping[bytes, tuple[Span, ...] | None]:
    """For each path that a commit changes, the lines of the base it touches; None where that cannot be said.

    That is so for binary files, for files that are added, removed, renamed (under both names) or of another kind.
    """
    return _changed_lines(hub, _changes(hub, [(base, commit)]))[base, commit]


def _asked(sides: Iterable[Side]) -> bytes:
    return "".join(f"{oid(commit)} {oid(base)}\n" for base, commit in sides).encode()


def _changes(hub: Hub, sides: Sequence[Side]) -> dict[Side, Changes]:
    """What each commit changes, by one git for all of them."""
    if not sides:
        return {}
    listed = hub.git.run(
        *("diff-tree", "--stdin", "--always", "-r", "-z", "--no-ext-diff", "--no-textconv", "--find-renames", "--raw"),
        input=_asked(sides),
    )
    fields = iter(listed.split(b"\0"))
    blocks: list[list[tuple[bytes, ...]]] = []
    for about in fields:
        if about.startswith(b":"):
            letter = about.split(b" ")[-1][:1]
            blocks[-1].append((about, next(fields), next(fields)) if letter in b"RC" else (about, next(fields)))
        elif about:
            blocks.append([])
    return {side: _told(block) for side, block in zip(sides, blocks, strict=True)}


def _told(block: Sequence[tuple[bytes, ...]]) -> Changes:
    """Read what is listed of one commit."""
    paths: dict[bytes, bool] = {}
    letters = []
    for about, *names in block:
        letter = about.split(b" ")[-1][:1]
        modes = about[1:].split(b" ")[:2]
        letters.append(letter)
        paths.update(dict.fromkeys(names, letter == b"M" and modes[0][:3] == modes[1][:3] == b"100"))
    in_place = tuple(names[0] for letter, (_, *names) in zip(letters, block, strict=True) if letter == b"M")
    moved = not {b"R", b"C"}.isdisjoint(letters)
    return Changes(paths, in_place, moved or b"A" in letters, moved or b"D" in letters)


def _changed_lines(hub: Hub, changes: Mapping[Side, Changes]) -> dict[Side, Mapping[bytes, tuple[Span, ...] | None]]:
    """See `changed_lines`, for several commits by one git.

    Without `-z` git quotes names with line ends, so that a line with an id alone is never part of a patch.
    """
    if not changes:
        return {}
    told = hub.git.run(
        *("diff-tree", "--stdin", "--always", "-r", "-p", "-U0", "--no-ext-diff", "--no-textconv", "--no-renames"),
        *("--diff-filter=M", "--no-color"),
        input=_asked(changes),
    )
    texts = _HEADER.split(told)[2::2]
    found: dict[Side, Mapping[bytes, tuple[Span, ...] | None]] = {}
    for (side, about), text in zip(changes.items(), texts, strict=True):
        parts = re.split(rb"(?m)^diff --git ", text)[1:]
        spans = dict(zip(about.in_place, map(_spans, parts), strict=False)) if len(parts) == len(about.in_place) else {}
        found[side] = {path: spans.get(path) if is_plain else None for path, is_plain in about.paths.items()}
    return found


def _spans(part: bytes) -> tuple[Span, ...] | None:
    """The spans of one file's patch; None for one without lines."""
    head = part.split(b"\n@@ ", 1)[0]
    if b"\nBinary files " in head or b"\nGIT binary patch" in head:
        return None
    return tuple(_span(match) for match in _HUNK.finditer(part) if _at_line_start(part, match.start())) or None


def _at_line_start(part: bytes, at: int) -> bool:
    return at == 0 or part[at - 1 : at] == b"\n"


def _span(match: re.Match[bytes]) -> Span:
    first, count = int(match[1]), int(match[2]) if match[2] is not None else 1
    return (first, first) if count == 0 else (first - 1, first - 1 + count)


def graded(
    one: Mapping[bytes, tuple[Span, ...] | None], other: Mapping[bytes, tuple[Span, ...] | None]
) -> tuple[Grade, tuple[str, ...]]:
    """The closest grade over all files that both change, and the files of that grade."""
    grades = {path: _file_grade(one[path], other[path]) for path in one.keys() & other.keys()}
    grade = max(grades.values(), default=Grade.none)
    return grade, tuple(sorted(path_text(path) for path, found in grades.items() if found is grade))


def _file_grade(one: tuple[Span, ...] | None, other: tuple[Span, ...] | None) -> Grade:
    if one is None or other is None:
        return Grade.ungradable
    return max(span_grade(mine, theirs) for mine in one for theirs in other)


def span_grade(one: Span, other: Span) -> Grade:
    """How closely two spans of one file lie."""
    apart = max(one[0], other[0]) - min(one[1], other[1])
    both_add = one[0] == one[1] == other[0] == other[1]
    if apart < 0 or both_add or _is_inside(one, other) or _is_inside(other, one):
        return Grade.same_lines
    return Grade.adjacent if apart <= NEAR_LINES else Grade.same_file


def _is_inside(added: Span, other: Span) -> bool:
    """Whether lines are added in the middle of what the other changes."""
    return added[0] == added[1] and other[0] < added[0] < other[1]
