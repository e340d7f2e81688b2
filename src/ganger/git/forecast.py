"""Which of several commits would conflict, and how closely their changes touch: merges without a work tree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

from msgspec import Struct

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git.changes import path_text
from ganger.git.command import oid
from ganger.git.hub import Hub

NEAR_LINES = 3
"""Changes that leave at most so many lines between them are adjacent; git shows as many around a change."""
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")

Pair = tuple[Commit, Commit]
NO_BASES: Mapping[Pair, Commit] = MappingProxyType({})
Span = tuple[int, int]
"""Lines [from, to) of the common base, counted from 0; empty where lines are only added, before the line `from`."""


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
    conflicts = _conflicts(hub, pairs)
    spans: dict[Pair, Mapping[bytes, tuple[Span, ...] | None]] = {}
    found = []
    for (one, other), paths in zip(pairs, conflicts, strict=True):
        base = bases.get((one, other)) or _base(hub, one, other)
        if base is None:
            found.append(Touch(paths, Grade.ungradable, paths))
            continue
        for commit in (one, other):
            if (base, commit) not in spans:
                spans[base, commit] = changed_lines(hub, base, commit)
        found.append(Touch(paths, *graded(spans[base, one], spans[base, other])))
    return found


def _conflicts(hub: Hub, pairs: Sequence[Pair]) -> list[tuple[str, ...]]:
    """The paths in conflict of each pair, by one git for all of them."""
    given = "".join(f"{oid(one)} {oid(other)}\n" for one, other in pairs).encode()
    done = hub.git.call("merge-tree", "--stdin", "-z", "--name-only", "--no-messages", stdin=given)
    if done.code != 0 and len(pairs) > 1:
        return [paths for pair in pairs for paths in _conflicts(hub, [pair])]
    if done.code != 0 and "unrelated histories" in done.stderr:
        return [("(no common history)",)]
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


def _base(hub: Hub, one: Commit, other: Commit) -> Commit | None:
    done = hub.git.call("merge-base", oid(one), oid(other))
    if done.code not in (0, 1):
        raise GitFailed(("merge-base",), done.code, done.stderr)
    return Commit(done.stdout.decode("ascii").strip()) if done.code == 0 else None


def changed_lines(hub: Hub, base: Commit, commit: Commit) -> dict[bytes, tuple[Span, ...] | None]:
    """For each path that a commit changes, the lines of the base it touches; None where that cannot be said.

    That is so for binary files, for files that are added, removed, renamed (under both names) or of another kind.
    """
    listed = hub.git.run(
        "diff-tree", "-r", "-z", "--no-ext-diff", "--no-textconv", "--find-renames", "--raw", oid(base), oid(commit)
    )
    found: dict[bytes, tuple[Span, ...] | None] = {}
    plain = []
    fields = iter(listed.split(b"\0"))
    for about in fields:
        if not about:
            continue
        status, path = about.split(b" ")[-1], next(fields)
        modes = about[1:].split(b" ")[:2]
        found[path] = None
        if status[:1] in b"RC":
            found[next(fields)] = None
        elif status == b"M" and modes[0][:3] == modes[1][:3] == b"100":
            plain.append(path)
    spans = _hunks(hub, base, commit)
    found.update({path: spans.get(path) for path in plain})
    return found


def _hunks(hub: Hub, base: Commit, commit: Commit) -> dict[bytes, tuple[Span, ...] | None]:
    """The spans of files that are changed in place: the listing names them in the order of their patches."""
    told = hub.git.run(
        *("diff-tree", "-r", "-z", "--raw", "-p", "-U0", "--no-ext-diff", "--no-textconv", "--no-renames"),
        *("--diff-filter=M", "--no-color", oid(base), oid(commit)),
    )
    listed, _, text = told.partition(b"\0\0")
    paths = listed.split(b"\0")[1::2]
    parts = re.split(rb"(?m)^diff --git ", text)[1:]
    if len(parts) != len(paths):
        return {}
    return {path: _spans(part) for path, part in zip(paths, parts, strict=True)}


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
