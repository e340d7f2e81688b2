"""Sequences with gaps, met and compared exactly: the algebra below `patterns`, with no path syntax in it.

A path pattern is a sequence of segments in which `**` is a gap; a segment such as `test_*.py` is a sequence of
characters in which `*` is a gap. Both questions are therefore asked twice, by the same code: of segments, where a
step is decided by asking again of their characters.

*Do two sequences share a word?* (`share`) needs no search. If both have a gap, the gaps can take up everything
between, so only what stands before the first gap and after the last one must agree. If one has none, its positions
are independent of each other, and placing the other's runs leftmost first is complete. This decides the same as
the product of the two automata.

*Does every word of one occur in a union of others?* (`Inclusion`) is a search through the subset construction, made
as it goes and pruned to the smallest subsets, with a stated bound on its steps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, Generic, TypeAlias, TypeVar

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points."""

UNICODE: Final[Ranges] = ((0, ord("/") - 1), (ord("/") + 1, 0x10FFFF))
"""Every character a name can hold: all but the slash."""


def union_of(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Bring ranges in any order, overlapping or not, into the normal form."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def minus(these: Ranges, those: Ranges) -> Ranges:
    """Return what is in `these` and not in `those`."""
    left: list[tuple[int, int]] = []
    for low, high in these:
        for out_low, out_high in those[max(0, bisect_right(those, (low, -1)) - 1) :]:
            if out_low > high:
                break
            if out_high >= low:
                if out_low > low:
                    left.append((low, out_low - 1))
                low = out_high + 1
        if low <= high:
            left.append((low, high))
    return tuple(left)


class CharSet:
    """A set of characters, never empty."""

    __slots__ = ("_lows", "ranges")

    def __init__(self, ranges: Ranges) -> None:
        assert ranges, "a class names a character, or is negated and leaves at least the control characters"
        self.ranges = ranges
        self._lows = [low for low, _ in ranges]

    def holds(self, low: int, high: int) -> bool:
        """Say whether any character from code point `low` to `high`, both included, is in the set."""
        at = bisect_right(self._lows, high) - 1
        return at >= 0 and low <= self.ranges[at][1]


Char: TypeAlias = str | CharSet
"""One character of a glob: itself, or any of a set."""

char_set = lru_cache(maxsize=1 << 12)(CharSet)

ANY_CHAR: Final = char_set(UNICODE)


class Glob:
    """A segment that is not plain text: characters and gaps (`None`), never two gaps in a row, never only a gap.

    Compared by identity: take them from `glob`, which gives equal ones the same object while it remembers them.
    `head` and `tail` are the plain text that all its names begin and end with.
    """

    __slots__ = ("head", "items", "runs", "tail")

    def __init__(self, items: tuple[Char | None, ...]) -> None:
        self.items = items
        self.runs: Runs[Char] = runs_of(items)
        self.head = _plain_start(items)
        self.tail = _plain_start(items[::-1])[::-1]


def _plain_start(items: tuple[Char | None, ...]) -> str:
    plain = ""
    for item in items:
        if not isinstance(item, str):
            break
        plain += item
    return plain


Segment: TypeAlias = str | Glob

S = TypeVar("S")
Runs: TypeAlias = tuple[tuple[S, ...], ...]


def runs_of(items: Sequence[S | None]) -> Runs[S]:
    """Cut a sequence at its gaps; one run means that it has none."""
    runs: list[list[S]] = [[]]
    for item in items:
        if item is None:
            runs.append([])
        else:
            runs[-1].append(item)
    return tuple(map(tuple, runs))


glob = lru_cache(maxsize=1 << 14)(Glob)

ANY_SEGMENT: Final = Glob((ANY_CHAR, None))
"""`*` alone: every name, and a name has at least one character."""


# ── sharing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def share(a: Runs[S], b: Runs[S], meet: Callable[[S, S], bool]) -> bool:
    """Say whether some word fits both; `meet` says it for two symbols. Each symbol must stand for something."""
    if len(b) == 1:
        return _fits(a, b[0], meet)
    if len(a) == 1:
        return _fits(b, a[0], meet)
    return all(map(meet, a[0], b[0])) and all(map(meet, reversed(a[-1]), reversed(b[-1])))


def _fits(runs: Runs[S], fixed: tuple[S, ...], meet: Callable[[S, S], bool]) -> bool:
    head, tail = runs[0], runs[-1]
    if len(runs) == 1:
        return len(head) == len(fixed) and all(map(meet, head, fixed))
    at, stop = len(head), len(fixed) - len(tail)
    if at > stop or not all(map(meet, head, fixed)) or not all(map(meet, tail, fixed[stop:])):
        return False
    for run in runs[1:-1]:
        while at + len(run) <= stop and not all(map(meet, run, fixed[at : at + len(run)])):
            at += 1
        at += len(run)
        if at > stop:
            return False
    return True


def chars_meet(a: Char, b: Char) -> bool:
    """Say whether two characters of globs can be the same one."""
    if isinstance(a, str):
        return a == b if isinstance(b, str) else b.holds(ord(a), ord(a))
    if isinstance(b, str):
        return a.holds(ord(b), ord(b))
    return any(b.holds(low, high) for low, high in a.ranges)


def segments_meet(a: Segment, b: Segment) -> bool:
    """Say whether some name fits both segments."""
    if a == b or a is ANY_SEGMENT or b is ANY_SEGMENT:
        return True
    if isinstance(a, str):
        return not isinstance(b, str) and a.startswith(b.head) and a.endswith(b.tail) and _globs_meet(a, b)
    if isinstance(b, str):
        return b.startswith(a.head) and b.endswith(a.tail) and _globs_meet(a, b)
    return _globs_meet(a, b)


@lru_cache(maxsize=1 << 15)
def _globs_meet(a: Segment, b: Segment) -> bool:
    return share(_char_runs(a), _char_runs(b), chars_meet)


def _char_runs(segment: Segment) -> Runs[Char]:
    if isinstance(segment, str):
        chars: tuple[Char, ...] = tuple(segment)
        return (chars,)
    return segment.runs


# ── inclusion ────────────────────────────────────────────────────────────────────────────────────────────────────


class OutOfSteps(Exception):
    """The search passed its bound; the question stays open."""


Rivals: TypeAlias = tuple[tuple[S, int], ...]
"""Symbols of a union that can be read next, each with the bits of its positions."""


class Union(Generic[S]):
    """Several sequences read at once: a position in one of them is a bit, where they all stand is a number.

    `loose` are the gaps before a last `*`: standing there, the union fits whatever follows, if something does.
    """

    def __init__(self, sequences: Iterable[tuple[S | None, ...]]) -> None:
        self.gaps = 0
        self.ends: list[int] = []
        self.loose = 0
        positions: dict[S, int] = {}
        start, bit = 0, 1
        for items in sequences:
            start |= bit
            for at, item in enumerate(items):
                if item is None:
                    self.gaps |= bit
                    self.loose |= bit if items[at + 1 :] == (ANY_SEGMENT,) else 0
                else:
                    positions[item] = positions.get(item, 0) | bit
                bit <<= 1
            self.ends.append(bit)
            bit <<= 1
        self.end = sum(self.ends)
        self.start = self._with_skips(start)
        self._positions = tuple(positions.items())

    def rivals(self, at: int) -> Rivals[S]:
        """Return the symbols that can be read from here."""
        return tuple((symbol, bits & at) for symbol, bits in self._positions if bits & at)

    def step(self, at: int, read: int) -> int:
        """Return where the sequences stand after a symbol was read at the positions `read`; 0: nowhere."""
        return self._with_skips(at & self.gaps | read << 1)

    def _with_skips(self, at: int) -> int:
        return at | (at & self.gaps) << 1


Split: TypeAlias = Callable[[S, Rivals[S]], Iterable[int]]
"""For a symbol and its rivals: the smallest sets of rivals' bits that can fit one thing the symbol stands for."""


class Inclusion:
    """One search for a word of some sequence that a union lacks; raises OutOfSteps past `steps`.

    `universe` gives the characters that exist: under folding, those which are their own folded form.
    """

    def __init__(self, steps: int, universe: Callable[[], Ranges]) -> None:
        self._steps = steps
        self._universe = universe
        self._segment_splits: dict[tuple[Glob, Rivals[Segment]], tuple[int, ...]] = {}

    def holds(self, items: Sequence[Segment | None], union: Union[Segment]) -> bool:
        """Say whether every path that fits `items` fits one of the union's sequences."""
        return 0 not in self._endings(items, union, ANY_SEGMENT, self._split_segment, union.loose)

    def _endings(
        self, items: Sequence[S | None], union: Union[S], anything: S, split: Split[S], loose: int = 0
    ) -> Iterable[int]:
        """Return the smallest sets of union sequences, as end bits, that fit some word of `items`.

        Where the union stands on a bit of `loose`, whatever follows fits, as long as something follows.
        """
        endings: list[int] = []
        seen: list[list[int]] = [[] for _ in range(len(items) + 1)]
        stack = [(0, union.start)]
        while stack:
            at, mask = stack.pop()
            if at == len(items):
                endings.append(mask & union.end)
                if not endings[-1]:
                    break
                continue
            if mask & loose or not self._is_news(mask, seen[at]):
                continue
            item = items[at]
            if item is None:
                stack.append((at + 1, mask))
            after = at if item is None else at + 1
            for read in split(anything if item is None else item, union.rivals(mask)):
                mask_after = union.step(mask, read)
                if not mask_after:
                    return (0,)
                stack.append((after, mask_after))
        return _smallest(endings)

    def _is_news(self, mask: int, seen: list[int]) -> bool:
        """Note a subset; it is news unless a smaller one, from which it is harder to end well, was met there."""
        self._spend(1 + len(seen) // 8)
        if any(mask & other == other for other in seen):
            return False
        seen.append(mask)
        return True

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise OutOfSteps

    def _split_segment(self, segment: Segment, rivals: Rivals[Segment]) -> Iterable[int]:
        if isinstance(segment, str):
            return (sum(bits for rival, bits in rivals if segments_meet(segment, rival)),)
        known = self._segment_splits.get((segment, rivals))
        if known is None:
            known = self._segment_splits[segment, rivals] = tuple(self._split_glob(segment, rivals))
        return known

    def _split_glob(self, segment: Glob, rivals: Rivals[Segment]) -> Iterable[int]:
        always = sum(bits for rival, bits in rivals if rival is ANY_SEGMENT or rival is segment)
        open_ = [(rival, bits) for rival, bits in rivals if not bits & always and segments_meet(segment, rival)]
        if not open_:
            return (always,)
        chars: Union[Char] = Union(tuple(rival) if isinstance(rival, str) else rival.items for rival, _ in open_)
        return [
            always | sum(bits for (_, bits), end in zip(open_, chars.ends, strict=True) if ending & end)
            for ending in self._endings(segment.items, chars, ANY_CHAR, self._split_char)
        ]

    def _split_char(self, char: Char, rivals: Rivals[Char]) -> Iterable[int]:
        if isinstance(char, str):
            return (sum(bits for rival, bits in rivals if chars_meet(char, rival)),)
        ranges = [(self._char_ranges(rival), bits) for rival, bits in rivals if rival is not ANY_CHAR]
        always = sum(bits for rival, bits in rivals if rival is ANY_CHAR)
        within = CharSet(self._char_ranges(char))
        # Membership can only change where a range begins or one has just ended.
        edges = {edge for ranges_, _ in ranges for low, high in ranges_ for edge in (low, high + 1)}
        codes = [code for code in edges if within.holds(code, code)] + [low for low, _ in within.ranges]
        self._spend(len(codes) * len(ranges) // 8)
        sets = [(CharSet(ranges_), bits) for ranges_, bits in ranges]
        return _smallest(always | sum(bits for set_, bits in sets if set_.holds(code, code)) for code in codes)

    def _char_ranges(self, char: Char) -> Ranges:
        if char is ANY_CHAR:
            return self._universe()
        return ((ord(char), ord(char)),) if isinstance(char, str) else char.ranges


def _smallest(masks: Iterable[int]) -> list[int]:
    """Keep the masks that include no other one."""
    kept: list[int] = []
    for mask in sorted(set(masks), key=int.bit_count):
        if not any(mask & other == other for other in kept):
            kept.append(mask)
    return kept
