"""Path patterns: which paths one matches, whether two can match the same path, whether one covers another.

A pattern is anchored at the root of the repository and matches whole paths of files, always:

    README.md       that file at the root; `**/README.md` is one at any depth
    *.md            `*` is any run of characters within a name, also none, also with a leading dot
    v?.txt          `?` is one character
    [a-c1] [!a]     one character of a class, or one outside it (`[^a]` too); `]` may come first
    src/**          every file below `src`, at any depth; `src/` is short for it
    **/x.py         `**` is any number of directories, also none; it stands alone between slashes
    {src,lib}/*.py  alternatives, which nest, may be empty and may contain slashes
    a\\*b            a backslash takes the special character after it as it is

A pattern with braces matches what any of the patterns it expands to matches, each read on its own. A leading slash
changes nothing. A path is one or more names between slashes; `matches` also refuses paths with a name `.` or `..`,
which the caller should have resolved.

**Folding.** Where the repository compares names without case, in NFC, or both (`PathRules`), names are sequences of
*folded* characters: paths are folded whole, the plain text of a pattern is folded in runs, and a class stands for
the folded forms of its members, a negated one for every other folded character. `ß` folds to `ss`: it fits `??`,
not `?`, while `[aß]` stands for `{a,ss}`. A class is folded before it is negated: `[!a]` does not match `A`.

**Exact.** `overlap` and `covers` decide about all sequences of folded characters. Where a name does not have every
such sequence (`.` and `..`; text that NFC would compose across a wildcard) they err on the safe side only: they may
see an overlap that no path has and miss a cover, never the reverse. `covers` also answers False past `STEPS_MAX`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import Enum
from functools import lru_cache, partial
from itertools import groupby
from typing import Final, Generic, TypeAlias, TypeVar

from msgspec import Struct

from ganger.core import segments
from ganger.core.branches import Branch, BranchIndex, Items, meet
from ganger.core.segments import ANY_CHAR, ANY_SEGMENT, Char, CharSet, Ranges, Segment

LENGTH_MAX = 1024
"""Characters of a pattern as written."""
EXPANSIONS_MAX = 256
"""Patterns that one with braces expands to."""
EXPANDED_MAX = 8192
"""Characters of all these together."""
STEPS_MAX = 100_000
"""Steps of the search behind `covers`; patterns people write take fewer than a hundred. All of them take some 50 ms."""


class PathRules(Struct, frozen=True, gc=False):
    """How the repository compares names."""

    fold_case: bool = False
    """Upper and lower case are the same (`core.ignorecase`), by Unicode's full case folding."""
    normalize: bool = False
    """Composed and decomposed characters are the same (`core.precomposeunicode`)."""


AS_WRITTEN: Final = PathRules()


class PatternError(ValueError):
    """The text is not a pattern; the message, one line, says what is wrong and what to write instead."""


class _Fault(Exception):
    """What is wrong, without the pattern's name."""


# ── patterns ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Pattern:
    """A pattern that was read; immutable. Equal to another of the same text under the same rules.

    `prefix` holds the leading segments that are plain text, folded, in every alternative; all of them if there is
    no wildcard.
    """

    __slots__ = ("_accept", "_hash", "branches", "prefix", "rules", "text")

    def __init__(self, text: str, rules: PathRules, branches: tuple[Branch, ...]) -> None:
        self.text = text
        self.rules = rules
        self.branches = branches
        self.prefix = _common([branch.prefix for branch in branches])
        self._hash = hash((text, rules))
        self._accept: Callable[[str], object] | None = None

    def matches(self, path: str) -> bool:
        """Say whether the path of a file, relative to the root and between slashes, fits the pattern."""
        if _DOT_NAME.search(path):
            return False
        folded = fold(path, self.rules)
        # Of many patterns few begin as the path does, and to compile one takes longer than to ask it a hundred times.
        if self.prefix and tuple(folded.split("/", len(self.prefix))[: len(self.prefix)]) != self.prefix:
            return False
        if self._accept is None:
            self._accept = re.compile("|".join(map(_regex, self.branches)), re.DOTALL).fullmatch
        return self._accept(folded) is not None

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Pattern) and (self.text, self.rules) == (other.text, other.rules))

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


_PLAIN = re.compile(r"[\w.-]+", re.ASCII)
_DOT_NAME = re.compile(r"(?:\A|/)\.\.?(?:/|\Z)")


def parse(text: str, rules: PathRules = AS_WRITTEN) -> Pattern:
    """Read a pattern; raises PatternError."""
    return _parse(text, rules)


@lru_cache(maxsize=1 << 14)
def _parse(text: str, rules: PathRules) -> Pattern:
    try:
        _check_text(text)
        written = unicodedata.normalize("NFC", text) if rules.normalize else text
        expansions = _expand(_tokens(written, rules))
        branches = dict.fromkeys(_items(expansion, rules) for expansion in expansions)
    except _Fault as fault:
        shown = text if len(text) <= 60 else text[:59] + "…"
        raise PatternError(f"pattern {shown!r}: {fault}") from None
    return Pattern(text, rules, tuple(map(Branch, branches)))


def overlap(a: Pattern, b: Pattern) -> bool:
    """Say whether there is a path that both match."""
    return _overlap(a, b)


@lru_cache(maxsize=1 << 15)
def _overlap(a: Pattern, b: Pattern) -> bool:
    assert a.rules == b.rules, "patterns of one repository are read under one set of rules"
    return any(_meets_any(branch, b.branches) for branch in a.branches)


def _meets_any(branch: Branch, others: Iterable[Branch]) -> bool:
    return any(meet(branch, other) for other in others)


def covers(a: Pattern, b: Pattern) -> bool:
    """Say whether `a` matches every path that `b` matches; False also where that takes more than STEPS_MAX steps."""
    return a == b or _covers(a, b)


@lru_cache(maxsize=1 << 12)
def _covers(a: Pattern, b: Pattern) -> bool:
    assert a.rules == b.rules, "patterns of one repository are read under one set of rules"
    if not all(_meets_any(branch, a.branches) for branch in b.branches):
        return False
    union: segments.Union[Segment] = segments.Union(branch.items for branch in a.branches)
    search = segments.Inclusion(STEPS_MAX, partial(_universe, a.rules))
    try:
        return all(search.holds(branch.items, union) for branch in b.branches)
    except segments.OutOfSteps:
        return False


def scope_overlap(a: tuple[str, ...], b: tuple[str, ...], rules: PathRules) -> tuple[str, str] | None:
    """Return the first pattern of `a` that overlaps one of `b`, and the first such; None if the scopes are disjoint."""
    theirs = [parse(text, rules) for text in b]
    for text in a:
        ours = parse(text, rules)
        for other in theirs:
            if _overlap(ours, other):
                return text, other.text
    return None


def scope_matches(scope: tuple[str, ...], path: str, rules: PathRules) -> bool:
    """Say whether any pattern of the scope matches the path; an empty scope matches nothing.

    Patterns that plainly begin with another name are not even read.
    """
    return any(not _is_beside(text, path, rules) and parse(text, rules).matches(path) for text in scope)


def _is_beside(text: str, path: str, rules: PathRules) -> bool:
    """Whether a pattern begins with a whole name, of ASCII and without anything special, that the path does not."""
    first, slash, _ = text.partition("/")
    name = path.partition("/")[0]
    if not slash or not _PLAIN.fullmatch(first):
        return False
    return fold(first, rules) != fold(name, rules)


def scope_fault(text: str, rules: PathRules = AS_WRITTEN) -> str:
    """Say why the text is refused as a pattern, in the words of PatternError; `""` when it is one."""
    try:
        parse(text, rules)
    except PatternError as error:
        return str(error)
    return ""


# ── scopes of live leases ────────────────────────────────────────────────────────────────────────────────────────

K = TypeVar("K", bound=Hashable)


class ScopeIndex(Generic[K]):
    """Scopes by owner, found by what they overlap without looking at all of them."""

    def __init__(self, rules: PathRules) -> None:
        self._rules = rules
        self._exclusive: BranchIndex[K] = BranchIndex()
        self._shared: BranchIndex[K] = BranchIndex()
        self._owned: dict[K, dict[tuple[Branch, bool], None]] = {}

    def __len__(self) -> int:
        return len(self._owned)

    def add(self, key: K, scope: tuple[str, ...], *, shared: bool = False) -> None:
        """Let `key` own the scope, besides what it owns already; raises PatternError and then changes nothing."""
        branches = self._branches(scope)
        owned = self._owned.setdefault(key, {})
        for branch in branches:
            if (branch, shared) not in owned:
                owned[branch, shared] = None
                (self._shared if shared else self._exclusive).add(branch, key)

    def remove(self, key: K) -> None:
        """Forget all that `key` owns; raises KeyError if it was never added."""
        for branch, shared in self._owned.pop(key):
            (self._shared if shared else self._exclusive).remove(branch, key)

    def overlapping(self, scope: tuple[str, ...], *, shared: bool = False) -> Iterator[K]:
        """Yield each owner of an overlapping scope once, found as asked for: the index must not change meanwhile.

        To one who would share the scope, those who share theirs are not named. The order is that of the scope's
        patterns, then exclusive before shared owners, then that of their directories, outer before inner: the same
        additions and removals give the same order.
        """
        found: set[K] = set()
        for branch in self._branches(scope):
            for index in (self._exclusive,) if shared else (self._exclusive, self._shared):
                for key in index.meeting(branch):
                    if key not in found:
                        found.add(key)
                        yield key

    def _branches(self, scope: tuple[str, ...]) -> list[Branch]:
        return [branch for text in scope for branch in parse(text, self._rules).branches]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Mark(Enum):
    """What a pattern holds besides characters."""

    star = "*"
    deep = "**"
    slash = "/"
    open = "{"
    comma = ","
    close = "}"


Token: TypeAlias = Char | _Mark
"""Plain text of any length, a set of characters, or a mark."""

_TOKEN = re.compile(
    r"""\\(?P<escaped>.) | \[(?P<negated>[!^]?+)(?P<members>(?:\\.|[^\\])(?:\\.|[^]\\])*)\]
      | (?P<mark>\*\*|[*/{},]) | (?P<any>\?) | (?P<plain>[^\\\[*/{},?]+)""",
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(r"(\\?.)(?:-(\\?.))?", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ESCAPABLE = frozenset("!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~ ")


def _check_text(text: str) -> None:
    if not text.strip("/"):
        raise _Fault("it is empty; write '**' for every file")
    if len(text) > LENGTH_MAX:
        raise _Fault(f"it has {len(text)} characters, the most is {LENGTH_MAX}; split it into several patterns")
    for char in "" if text.isprintable() else text:
        if unicodedata.category(char) in ("Cc", "Cs"):
            raise _Fault(f"it holds the control character U+{ord(char):04X}; write '?' in its place")
    if text.startswith("//"):
        raise _Fault("it begins with '//'; write it relative to the repository, without a slash in front")
    if text.startswith("~/"):
        raise _Fault("'~' is not expanded; write it relative to the repository, or '\\~/' for a directory named '~'")
    if _DRIVE.match(text):
        raise _Fault("it is absolute; write it relative to the repository, with '/' between directories")
    if text.startswith("!"):
        raise _Fault("a scope cannot exclude; list what it includes, or write '\\!' for a name that begins with '!'")


def _tokens(text: str, rules: PathRules) -> Iterator[Token]:
    at = depth = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _Fault(_dangling(text[at]))
        at = found.end()
        if found["members"]:
            yield from _class(found["members"], bool(found["negated"]), rules)
        elif found["any"]:
            yield ANY_CHAR
        elif found["mark"] and (found["mark"] != "," or depth):
            mark = _Mark(found["mark"])
            depth += (mark is _Mark.open) - (mark is _Mark.close)
            if depth < 0:
                raise _Fault("'}' closes nothing; write '\\}' for the character itself")
            yield mark
        elif found["escaped"]:
            yield _unescape(found[0])
        else:
            yield found[0]
    if depth:
        raise _Fault("'{' is not closed; add '}', or write '\\{' for the character itself")


def _dangling(char: str) -> str:
    if char == "\\":
        return "it ends in a backslash; write '\\\\' for the character itself"
    return "'[' is not closed; add ']' (one right after '[' is a member), or write '\\[' for the character itself"


def _unescape(text: str) -> str:
    if len(text) == 2 and text[1] not in _ESCAPABLE:
        raise _Fault(f"the backslash before {text[1]!r} escapes nothing; write '/' between directories")
    return text[-1]


def _class(members: str, negated: bool, rules: PathRules) -> list[Token]:
    """Read `[…]`; members that fold to several characters stand beside the class as alternatives."""
    if "[:" in members:
        raise _Fault("named classes are not known; write ranges, such as '[a-z]' for '[[:lower:]]'")
    ranges = []
    for first, last in _MEMBER.findall(members):
        low = high = _unescape(first)
        if last:
            high = _unescape(last)
        if "/" in (low, high):
            raise _Fault("a class cannot hold '/'; write alternatives, such as '{a/b,c}'")
        if low > high:
            raise _Fault(f"the range {low}-{high} is backwards; write {high}-{low}")
        ranges.append((ord(low), ord(high)))
    singles, several = _fold_ranges(segments.minus(segments.union_of(ranges), ((47, 47),)), rules)
    if negated:
        singles, several = segments.minus(_universe(rules), singles), []
    choices: list[list[Token]] = [list(text) for text in several]
    if singles:
        lowest, highest = singles[0][0], singles[-1][1]
        choices.insert(0, [chr(lowest) if lowest == highest else segments.char_set(singles)])
    if len(choices) == 1:
        return choices[0]
    listed = [token for choice in choices for token in (_Mark.comma, *choice)]
    return [_Mark.open, *listed[1:], _Mark.close]


def _expand(tokens: Iterator[Token]) -> list[list[Token]]:
    """Write out the alternatives: every combination, in the order as written."""
    outer: list[tuple[list[list[Token]], list[list[Token]]]] = []
    done: list[list[Token]] = []
    now: list[list[Token]] = [[]]
    for token in tokens:
        if token is _Mark.open:
            outer.append((done, now))
            done, now = [], [[]]
        elif token is _Mark.comma:
            done, now = done + now, [[]]
            _check_size(len(done) + len(now), 0)
        elif token is _Mark.close:
            if not done:
                raise _Fault("the braces hold one alternative only; leave them out, or write '\\{' for '{'")
            choices = done + now
            done, before = outer.pop()
            _check_size(len(before) * len(choices), 0)
            now = [[*start, *choice] for start in before for choice in choices]
        else:
            for expansion in now:
                expansion.append(token)
    _check_size(len(now), sum(len(token) if isinstance(token, str) else 1 for expansion in now for token in expansion))
    return now


def _check_size(expansions: int, chars: int) -> None:
    if expansions > EXPANSIONS_MAX or chars > EXPANDED_MAX:
        raise _Fault(
            f"its alternatives expand to more than {EXPANSIONS_MAX} patterns or {EXPANDED_MAX} characters; "
            "split it into several patterns, or write '*' for one of them"
        )


def _items(expansion: list[Token], rules: PathRules) -> Items:
    """Read one expansion into segments."""
    parts: list[list[Token]] = [[]]
    for token in expansion[1:] if expansion[:1] == [_Mark.slash] else expansion:
        if token is _Mark.slash:
            parts.append([])
        else:
            parts[-1].append(token)
    if parts == [[]]:
        raise _Fault("an alternative leaves nothing of it; write '**' for every file")
    if not parts[-1]:
        parts[-1] = [_Mark.deep]
    items: list[Segment | None] = []
    for part in parts:
        item = _segment(part, rules)
        if item is not None or items[-1:] != [None]:
            items.append(item)
    return (*items, ANY_SEGMENT) if items[-1] is None else tuple(items)


def _segment(tokens: list[Token], rules: PathRules) -> Segment | None:
    if not tokens:
        raise _Fault("it has an empty segment ('//'); write one slash, or '/**/' for any number of directories")
    if _Mark.deep in tokens:
        if len(tokens) > 1:
            raise _Fault("'**' stands alone between slashes; write '*' within a name, '**/' for any directories")
        return None
    items: list[Char | None] = []
    for is_plain, run in groupby(tokens, key=_is_plain):
        if is_plain:
            items += fold("".join(map(str, run)), rules)
        else:
            for token in run:
                if isinstance(token, CharSet):
                    items.append(token)
                elif items[-1:] != [None]:
                    items.append(None)
    plain = [item for item in items if isinstance(item, str)]
    if len(plain) < len(items):
        return ANY_SEGMENT if items in ([None], [ANY_CHAR, None]) else segments.glob(tuple(items))
    name = "".join(plain)
    if name in (".", ".."):
        raise _Fault(f"it has a segment {name!r}; write the path without it, relative to the repository")
    return name


def _is_plain(token: Token) -> bool:
    return isinstance(token, str)


# ── folding ──────────────────────────────────────────────────────────────────────────────────────────────────────


def fold(name: str, rules: PathRules) -> str:
    """Return the form of a name or path that is the same for all that the repository takes for the same."""
    if name.isascii():
        return name.lower() if rules.fold_case else name
    if rules.fold_case and rules.normalize:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    if rules.fold_case:
        return name.casefold()
    return unicodedata.normalize("NFC", name) if rules.normalize else name


_FOLDING_END = 0x30000
"""No character from here on folds to another one."""


@lru_cache(maxsize=4)
def _changed(rules: PathRules) -> dict[int, str]:
    """Return the folded forms of the characters that are not their own; takes some 30 ms, once."""
    folded = ((code, fold(chr(code), rules)) for code in range(_FOLDING_END))
    return {code: form for code, form in folded if form != chr(code)}


@lru_cache(maxsize=4)
def _universe(rules: PathRules) -> Ranges:
    """Return the characters that folded names consist of."""
    if rules == AS_WRITTEN:
        return segments.UNICODE
    return segments.minus(segments.UNICODE, segments.union_of((code, code) for code in _changed(rules)))


def _fold_ranges(ranges: Ranges, rules: PathRules) -> tuple[Ranges, list[str]]:
    """Return the folded characters of the ranges, and the forms of those that fold to several characters."""
    if rules == AS_WRITTEN:
        return ranges, []
    if sum(high - low for low, high in ranges) < 512:
        forms = {fold(chr(code), rules) for low, high in ranges for code in range(low, high + 1)}
        kept: Ranges = ()
    else:
        members = CharSet(ranges)
        forms = {form for code, form in _changed(rules).items() if members.holds(code, code)}
        kept = segments.minus(ranges, segments.minus(segments.UNICODE, _universe(rules)))
    singles = [(ord(form), ord(form)) for form in forms if len(form) == 1]
    return segments.union_of([*kept, *singles]), sorted(form for form in forms if len(form) > 1)


# ── matching ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _regex(branch: Branch) -> str:
    """Write a branch as a regular expression that cannot run away.

    Each run between gaps is placed leftmost and then left there (`(?>…)`), which misses nothing: a later place
    would leave less to the others.
    """
    head, *rest = [[_name_regex(segment) for segment in run] for run in branch.runs]
    if not rest:
        return "/".join(head)
    *inner, tail = rest
    dirs = "(?:[^/]++/)*"
    middle = "".join(f"(?>{dirs}?{_dirs(run)})" for run in inner)
    return _dirs(head) + middle + dirs + "/".join(tail)


def _dirs(names: list[str]) -> str:
    return "".join(name + "/" for name in names)


def _name_regex(segment: Segment) -> str:
    if isinstance(segment, str):
        return re.escape(segment)
    head, *rest = ["".join(map(_char_regex, run)) for run in segment.runs]
    if not rest:
        return head
    *inner, tail = rest
    return head + "".join(f"(?>[^/]*?{run})" for run in inner) + "[^/]*" + tail


def _char_regex(char: Char) -> str:
    if isinstance(char, str):
        return re.escape(char)
    if char is ANY_CHAR:
        return "[^/]"
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in char.ranges) + "]"


def _common(prefixes: list[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(prefixes), max(prefixes)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]
