"""The pattern algebra against slow alternatives: all paths of a small universe, and regular expressions' automata.

The universes are complete for the patterns drawn: they hold a shortest path for every overlap, and `c` stands for
all characters that no pattern names.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from functools import cache
from itertools import product

import interegular
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interegular.fsm import Alphabet, anything_else

from ganger.core import patterns, segments
from ganger.core.patterns import PathRules, ScopeIndex, covers, overlap, parse, scope_matches, scope_overlap

RULES = PathRules()
Rng = random.Random

# ── the slow alternative: patterns read straight from their definition ───────────────────────────────────────────


def expand(text: str) -> list[str]:
    """Expand the first innermost braces, then the rest."""
    braces = re.search(r"\{([^{}]*)\}", text)
    if not braces:
        return [text]
    return [
        each
        for choice in braces[1].split(",")
        for each in expand(text[: braces.start()] + choice + text[braces.end() :])
    ]


@cache
def name_fits(glob: str, name: str) -> bool:
    if not glob:
        return not name
    if glob[0] == "*":
        return name_fits(glob[1:], name) or (name != "" and name_fits(glob, name[1:]))
    if not name:
        return False
    if glob[0] == "[":
        end = glob.index("]", 2)
        negated = glob[1] == "!"
        return ((name[0] in glob[1 + negated : end]) != negated) and name_fits(glob[end + 1 :], name[1:])
    return glob[0] in ("?", name[0]) and name_fits(glob[1:], name[1:])


@cache
def names_fit(globs: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if not globs:
        return not names
    if globs == ("**",):
        return names != ()
    if globs[0] == "**":
        return names_fit(globs[1:], names) or (names != () and names_fit(globs, names[1:]))
    return names != () and name_fits(globs[0], names[0]) and names_fit(globs[1:], names[1:])


def slowly_matches(text: str, path: str) -> bool:
    names = tuple(path.split("/"))
    return any(names_fit(tuple(each.removeprefix("/").split("/")), names) for each in expand(text))


def as_regex(text: str) -> str:
    """Write a pattern over `a`, `b` as a regular expression over the alphabet `a b c /`."""
    chars = {"?": "[abc]", "[!a]": "[bc]", "[!b]": "[ac]", "[!ab]": "c", "[ab]": "[ab]", "*": "[abc]*"}

    def segment(glob: str) -> str:
        if not glob.strip("*"):
            return "[abc]+"
        return "".join(chars.get(token, token) for token in re.findall(r"\[[^]]*\]|.", glob))

    def sequence(globs: list[str]) -> str:
        if globs[0] != "**":
            return segment(globs[0]) + ("/" + sequence(globs[1:]) if globs[1:] else "")
        return "([abc]+/)*" + (sequence(globs[1:]) if globs[1:] else "[abc]+")

    return "(" + "|".join(sequence(each.removeprefix("/").split("/")) for each in expand(text)) + ")"


# ── what is drawn ────────────────────────────────────────────────────────────────────────────────────────────────

CHARS = ["a", "b", "?", "*", "[ab]", "[!a]", "[!b]", "[!ab]"]


def draw_name(rng: Rng, tokens_max: int) -> str:
    tokens = rng.choices(CHARS, k=rng.randint(1, tokens_max))
    return re.sub(r"\*+", "*", "".join(tokens))


def mixed(rng: Rng) -> str:
    """Up to three segments of up to two tokens; no third `**`, for which the universe would have to be deeper."""
    count = rng.randint(1, 3)
    deep = [rng.random() < 0.3 and at < 2 for at in range(count)]
    return "/".join("**" if is_deep else draw_name(rng, 2) for is_deep in deep)


def one_name(rng: Rng) -> str:
    """One segment of up to four tokens."""
    return draw_name(rng, 4)


def deep(rng: Rng) -> str:
    """Up to four segments, each one character."""
    return "/".join(rng.choice(["**", "**", "a", "b", "?", "[ab]", "[!a]"]) for _ in range(rng.randint(1, 4)))


def braced(rng: Rng) -> str:
    """Up to two segments, some of them alternatives, with slashes in them or empty."""
    texts = [draw_name(rng, 2), f"{{{draw_name(rng, 1)},{draw_name(rng, 2)}}}", "**", "{a,{b,?}}"]
    first = rng.choice([*texts, "{a,b/?}", "{?,**}"])
    return first + rng.choice(["", "/" + rng.choice(texts), "{,/" + rng.choice(texts) + "}"])


def paths_of(names: list[str], segments_max: int) -> list[str]:
    return ["/".join(path) for count in range(1, segments_max + 1) for path in product(names, repeat=count)]


def names_of(chars_max: int) -> list[str]:
    return ["".join(name) for count in range(1, chars_max + 1) for name in product("abc", repeat=count)]


def ended(rng: Rng) -> str:
    """Up to two segments, the last one with a dot or open, after any directories or not."""
    first = rng.choice(["", "", "a/", "?/", "**/", "a/**/", "*/"])
    return first + (rng.choice(["a", "b", "*", "?", "a*", "[!a]*", ""]) + rng.choice(ENDINGS)).replace("**", "*")


def plain(rng: Rng) -> str:
    """Up to five names, perhaps with any directories among them."""
    names = rng.choices("ab", k=rng.randint(1, 5))
    return "/".join(rng.choice([names, [*names, "**"], ["**", *names], [*names[:1], "**", *names[1:], "a"]]))


ENDINGS = [
    ".a",
    ".b",
    ".?",
    "*.a",
    "*.b",
    "*a",
    "a",
    ".[ab]",
    ".b.a",
    "*.b.a",
    "[.b]a",
    "*",
    ".*",
    "b.*",
    "{.a,.b}",
    "[.a]b",
]

UNIVERSES = {
    "mixed": (mixed, paths_of(names_of(2), 3)),
    "one_name": (one_name, names_of(6)),
    "deep": (deep, paths_of(["a", "b", "c"], 6)),
    "braced": (braced, paths_of(names_of(2), 3)),
}


def draw_pool(draw: Callable[[Rng], str], size: int, seed: int) -> list[str]:
    rng = Rng(seed)
    pool: dict[str, None] = {}
    for _ in range(size * 20):
        pool[draw(rng)] = None
        if len(pool) == size:
            break
    return list(pool)


@pytest.mark.parametrize("name", UNIVERSES)
def test_matches_overlap_and_covers_agree_with_all_paths_of_a_universe(name: str) -> None:
    """100,000 pairs in all: no false disjoint, no false overlap, no false cover; no cover is missed."""
    draw, paths = UNIVERSES[name]
    rng = Rng(20_261)
    pool = [parse(text, RULES) for text in draw_pool(draw, 220, 7)]
    sets = []
    for pattern in pool:
        fitting = [slowly_matches(pattern.text, path) for path in paths]
        assert fitting == [pattern.matches(path) for path in paths], pattern
        sets.append(sum(1 << at for at, fits in enumerate(fitting) if fits))
    for _ in range(25_000):
        i, j = rng.randrange(len(pool)), rng.randrange(len(pool))
        a, b = pool[i], pool[j]
        assert overlap(a, b) == (sets[i] & sets[j] != 0), (a, b)
        if covers(a, b):
            assert not sets[j] & ~sets[i], (a, b)
        else:
            assert sets[j] & ~sets[i] or not is_included(b.text, a.text), (a, b)


ALPHABET = Alphabet.from_groups({"a"}, {"b"}, {"c"}, {"/"}, {anything_else})


@cache
def machine(text: str) -> interegular.FSM:
    return interegular.parse_pattern(as_regex(text)).to_fsm(ALPHABET)


def is_included(text: str, other: str) -> bool:
    return bool(machine(text).difference(machine(other)).empty())


@pytest.mark.parametrize("draw", [mixed, one_name, deep, braced])
def test_overlap_and_covers_agree_with_automata(draw: Callable[[Rng], str]) -> None:
    """1,000 pairs in all, without a bound on the length of paths."""
    pool = draw_pool(draw, 80, 99)
    rng = Rng(4)
    for _ in range(250):
        a, b = rng.choice(pool), rng.choice(pool)
        assert overlap(parse(a), parse(b)) == (not (machine(a) & machine(b)).empty()), (a, b)
        assert covers(parse(a), parse(b)) == is_included(b, a), (a, b)


LAWS = st.builds(lambda seed, draw: draw(Rng(seed)), st.integers(0, 10**9), st.sampled_from([mixed, one_name, braced]))
PATH_RULES = st.builds(PathRules, st.booleans(), st.booleans())


@settings(max_examples=400, derandomize=True, deadline=None)
@given(LAWS, LAWS, LAWS, PATH_RULES)
def test_laws(x: str, y: str, z: str, rules: PathRules) -> None:
    a, b, c = (parse(text, rules) for text in (x, y, z))
    assert overlap(a, a) and covers(a, a)
    assert overlap(a, b) == overlap(b, a)
    if covers(a, b):
        assert overlap(a, b)
        assert not overlap(b, c) or overlap(a, c)
        assert not covers(b, c) or covers(a, c)
    union = parse(f"{{{x},{y}}}", rules)
    assert covers(union, a) and covers(union, b)
    assert overlap(union, c) == (overlap(a, c) or overlap(b, c))


LETTERS = ["a", "A", "s", "ß", "ẞ", "é", "e", "\u0301", "İ", "i", "\u0307", "K", "k", "ſ", "\u01f0", "ﬃ", "f", "ς", "Σ"]
NAME = st.text(st.sampled_from(LETTERS), min_size=1, max_size=4)
PIECE = st.sampled_from([*LETTERS, "*", "?", "[a-z]", "[!A]", "[Aß]", "[À-ſ]", "[!À-ſs]", "{ß,é}", "{e,}"])
LETTERED = st.lists(PIECE, min_size=1, max_size=4).map("".join).map(lambda text: text.replace("**", "*?"))


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(LETTERED, LETTERED, NAME, PATH_RULES)
def test_under_folding_what_matches_is_what_overlaps_and_covers(x: str, y: str, name: str, rules: PathRules) -> None:
    a, b = parse("d/" + x, rules), parse("d/" + y, rules)
    path = "d/" + name
    if a.matches(path):
        assert overlap(a, parse(path, rules)) and covers(a, parse(path, rules))
        assert a.matches("d/" + patterns.fold(name, rules))
        assert not b.matches(path) or overlap(a, b)
        assert b.matches(path) or not covers(b, a)
    else:
        assert not overlap(a, parse(path, rules)) and not covers(a, parse(path, rules))


FIRST = st.sampled_from(["a", "A", "ß", "ss", "é", "K", "k", "a\\*", "[ab]", "{a,b/c}", "a{/b,}", "*", "**"])
REST = st.lists(st.sampled_from(["a", "b", "*", "**"]), max_size=2)


@settings(max_examples=2_000)
@given(
    FIRST,
    REST,
    st.lists(st.sampled_from(["a", "A", "ss", "ſs", "e\u0301", "k", "\u212a", "b", "c", "a*"]), min_size=1),
    PATH_RULES,
)
def test_a_scope_leaves_out_no_pattern_that_matches(
    first: str, rest: list[str], names: list[str], rules: PathRules
) -> None:
    text, path = "/".join((first, *rest)), "/".join(names)
    assert scope_matches((text,), path, rules) == parse(text, rules).matches(path)


def test_no_character_beyond_the_table_folds_to_another_and_folding_twice_is_folding_once() -> None:
    for rules in (PathRules(True, False), PathRules(False, True), PathRules(True, True)):
        for code in range(0x110000):
            folded = patterns.fold(chr(code), rules)
            assert folded == chr(code) or (code < 0x30000 and patterns.fold(folded, rules) == folded), hex(code)


# ── the index ────────────────────────────────────────────────────────────────────────────────────────────────────

SCOPES = st.lists(
    st.builds(
        lambda seed, draw: draw(Rng(seed)), st.integers(0, 10**6), st.sampled_from([mixed, braced, deep, ended, plain])
    ),
    max_size=3,
).map(tuple)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "ask"]), st.integers(0, 9), SCOPES, st.booleans()), max_size=40
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(STEPS, PATH_RULES)
def test_the_index_finds_what_a_linear_scan_finds(
    steps: list[tuple[str, int, tuple[str, ...], bool]], rules: PathRules
) -> None:
    index: ScopeIndex[int] = ScopeIndex(rules)
    held: dict[int, dict[bool, tuple[str, ...]]] = {}
    for what, key, scope, shared in steps:
        if what == "add":
            index.add(key, scope, shared=shared)
            owned = held.setdefault(key, {False: (), True: ()})
            owned[shared] += scope
        elif what == "remove" and key in held:
            index.remove(key)
            del held[key]
        exclusive = {key for key in held if scope_overlap(scope, held[key][False], rules)}
        either = exclusive | {key for key in held if scope_overlap(scope, held[key][True], rules)}
        assert sorted(index.overlapping(scope)) == sorted(either)
        assert sorted(index.overlapping(scope, shared=True)) == sorted(exclusive)
        assert len(index) == len(held)
    for key in held:
        index.remove(key)
    for branches in (index._exclusive, index._shared):
        assert not (branches.root.below or branches.root.held or branches.root.ways)


def test_the_index_has_no_false_disjoint_and_no_false_overlap() -> None:
    """100,000 pairs of one pattern asked about and one held, as all paths of a universe say it, `..` among them."""
    short = ["".join(name) for count in range(1, 5) for name in product("ab.", repeat=count)]
    names = short + [name + ".b.a" for name in short if len(name) < 4]
    paths = [first + name for first in ("", "a/", "b/") for name in names]
    pool = [parse(text, RULES) for text in draw_pool(ended, 320, 5)]
    sets = [sum(1 << at for at, path in enumerate(paths) if slowly_matches(pattern.text, path)) for pattern in pool]
    index: ScopeIndex[int] = ScopeIndex(RULES)
    for at, pattern in enumerate(pool):
        index.add(at, (pattern.text,))
    for at, pattern in enumerate(pool):
        found = set(index.overlapping((pattern.text,)))
        assert found == {other for other in range(len(pool)) if sets[at] & sets[other]}, pattern


# ── growth, by counting ──────────────────────────────────────────────────────────────────────────────────────────


def count_meetings(a: str, b: str) -> int:
    """Count the comparisons that deciding an overlap takes, of segments and below them of characters."""
    count = 0

    def meet_chars(x: segments.Char, y: segments.Char) -> bool:
        nonlocal count
        count += 1
        return segments.chars_meet(x, y)

    def meet(x: segments.Segment, y: segments.Segment) -> bool:
        nonlocal count
        count += 1
        return segments.share(segments._char_runs(x), segments._char_runs(y), meet_chars)

    for x in parse(a).branches:
        for y in parse(b).branches:
            segments.share(x.runs, y.runs, meet)
    return count


@pytest.mark.parametrize(
    ("hard", "other"),
    [
        (lambda n: "*a" * n + "*b", lambda n: "a" * 2 * n),
        (lambda n: "*a" * n + "*b", lambda n: "?" * 2 * n + "a"),
        (lambda n: "*" + "a" * n + "b*", lambda n: "a" * 3 * n),
        (lambda n: "**/a/" * n + "b", lambda n: "a/" * 2 * n + "a"),
        (lambda n: "**/" + "a/" * n + "b/**", lambda n: "?/" * 2 * n + "c"),
        (lambda n: "**/a/" * n + "b", lambda n: "**/?/" * n + "a"),
    ],
)
def test_overlap_takes_at_most_the_product_of_the_lengths(
    hard: Callable[[int], str], other: Callable[[int], str]
) -> None:
    for n in (5, 20, 60):
        assert count_meetings(hard(n), other(n)) <= 2 * len(hard(n)) * len(other(n))


def calls_of(action: Callable[[], object]) -> int:
    """Count the calls of Python functions."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ("src/mod7/x.rs", "src/mod{}/**"),
        ("src/new/**", "src/mod{}/*.py"),
        ("src/new/x.py", "src/file{}.py"),
        ("src/*/x.rs", "src/mod{}/*.py"),
        ("**/x.rs", "src/mod{}/*.py"),
        ("**/x.rs", "src/mod{}/x.py"),
        ("**/x.py", "src/mod{}/file{}.py"),
        ("**/*.md", "src/mod{}/file{}.py"),
        ("*.md", "src/mod{}/*.md"),
        ("*.md", "file{}.py"),
        ("docs/**/x", "docs/page{}/*.md"),
        ("docs/**/x", "docs/page{}/y"),
        ("src/mod7/x.py", "**/file{}.py"),
        ("src/mod7/*.py", "**/file{}.md"),
        ("src/mod7/*.py", "*.md{}"),
        ("**/x", "**/*.md{}"),
        ("**/x.rs", "src/mod{}/test_*.rs"),
    ],
)
def test_that_nothing_overlaps_is_known_without_looking_at_each_lease(asked: str, held: str) -> None:
    def calls(leases: int) -> int:
        index: ScopeIndex[int] = ScopeIndex(RULES)
        for n in range(leases):
            index.add(n, (held.replace("{}", str(n)),))
        return calls_of(lambda: list(index.overlapping((asked,))))

    few, many = calls(20), calls(400)
    assert many <= few + 5


def steps_of_inclusion(a: str, b: str) -> int:
    """Return the least power of two of steps with which the search ends."""
    union: segments.Union[segments.Segment] = segments.Union(branch.items for branch in parse(a).branches)
    steps = 1
    while True:
        search = segments.Inclusion(steps, lambda: segments.UNICODE)
        try:
            for branch in parse(b).branches:
                search.holds(branch.items, union)
            return steps
        except segments.OutOfSteps:
            steps *= 2


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (lambda n: "*a" * n + "*", lambda n: "*a" * (n + 1)),
        (lambda n: "*a" * (n + 1) + "*", lambda n: "*a" * n + "*"),
        (lambda n: "**/a/" * n + "**", lambda n: "**/a/" * (n + 1) + "**"),
        (lambda n: "**/a/" * (n + 1) + "**", lambda n: "**/a/" * n + "**"),
        (lambda n: "{" + ",".join(f"d{i}/**" for i in range(n)) + "}", lambda n: f"d{n - 1}/**"),
    ],
)
def test_covers_of_patterns_without_a_trap_takes_few_steps(a: Callable[[int], str], b: Callable[[int], str]) -> None:
    for n in (5, 10, 20, 40):
        assert steps_of_inclusion(a(n), b(n)) <= 16 * n * n


def trap(n: int) -> str:
    """Write `*` so that telling takes some 2ⁿ subsets: what stands n characters before the end decides."""
    short = ",".join("?" * count for count in range(1, n + 1))
    return f"{{*a{'?' * n},*[!a]{'?' * n},{short}}}"


def test_covers_gives_up_on_the_safe_side() -> None:
    assert covers(parse(trap(6)), parse("*"))
    assert not covers(parse(trap(24)), parse("*")), "true, but not found in the steps allowed"
    assert covers(parse("*"), parse(trap(24))) and overlap(parse("*"), parse(trap(24)))


@pytest.mark.timeout(20)
def test_matching_does_not_run_away() -> None:
    assert not parse("*a" * 100 + "*b").matches("a" * 3000)
    assert not parse("**/a/" * 100 + "b").matches("a/" * 2000 + "a")
    assert not parse("**/*a*a*a/" * 60 + "b").matches("aaaa/" * 1000 + "a")
    assert parse("**/*a*a*a/" * 60 + "b").matches("aaaa/" * 1000 + "b")
