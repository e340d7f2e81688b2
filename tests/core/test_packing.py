"""The most scopes that can be held at once, against all sets of a small graph, and known ones of large ones."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganger.core import packing
from ganger.core.packing import Packing, conflict_masks, largest
from ganger.core.patterns import PathRules, scope_overlap

Rng = random.Random
Graph = list[int]

# ── graphs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def graph(size: int, pairs: Iterable[tuple[int, int]]) -> Graph:
    masks = [0] * size
    for a, b in pairs:
        if a != b:
            masks[a] |= 1 << b
            masks[b] |= 1 << a
    return masks


def drawn(size: int, density: float, rng: Rng) -> Graph:
    return graph(size, [pair for pair in combinations(range(size), 2) if rng.random() < density])


def renamed(masks: Graph, rng: Rng) -> Graph:
    """The same graph with its indexes shuffled."""
    names = rng.sample(range(len(masks)), len(masks))
    return graph(len(masks), [(names[a], names[b]) for a, b in pairs_of(masks)])


def pairs_of(masks: Graph) -> list[tuple[int, int]]:
    return [(a, b) for a, b in combinations(range(len(masks)), 2) if masks[a] >> b & 1]


def complement(masks: Graph) -> Graph:
    return graph(len(masks), set(combinations(range(len(masks)), 2)) - set(pairs_of(masks)))


def circulant(size: int, *steps: int) -> Graph:
    return graph(size, [(i, (i + step) % size) for i in range(size) for step in steps])


def kneser(size: int, of: int) -> Graph:
    """Subsets that conflict when they are disjoint."""
    subsets = [set(each) for each in combinations(range(size), of)]
    return graph(len(subsets), [(a, b) for a, b in combinations(range(len(subsets)), 2) if not subsets[a] & subsets[b]])


def torus(width: int, height: int) -> Graph:
    cells = [(x, y) for x in range(width) for y in range(height)]
    return graph(
        len(cells),
        [
            (x * height + y, (x + right) % width * height + (y + 1 - right) % height)
            for x, y in cells
            for right in (0, 1)
        ],
    )


def cube(dimensions: int) -> Graph:
    return graph(1 << dimensions, [(i, i ^ 1 << bit) for i in range(1 << dimensions) for bit in range(dimensions)])


def parts(size: int, part: int) -> Graph:
    """Parts without a conflict within, and all conflicts between them: the complement has the most largest cliques."""
    return graph(size, [(a, b) for a, b in combinations(range(size), 2) if a // part != b // part])


def paley(prime: int) -> Graph:
    squares = {i * i % prime for i in range(1, prime)}
    return graph(prime, [(a, b) for a, b in combinations(range(prime), 2) if (b - a) % prime in squares])


def beside(*graphs: Graph) -> Graph:
    """Graphs without a conflict between them."""
    found: Graph = []
    for masks in graphs:
        found += [mask << len(found) for mask in masks]
    return found


# ── the slow alternatives ────────────────────────────────────────────────────────────────────────────────────────


def all_sets(masks: Graph) -> list[tuple[int, ...]]:
    """Every set without a conflict, in the order of indexes."""
    sets: list[tuple[int, ...]] = [()]
    for i in range(len(masks)):
        sets += [(*each, i) for each in sets if not any(masks[i] >> j & 1 for j in each)]
    return sorted(sets)


def slowly(masks: Graph) -> tuple[int, ...]:
    """Return the first of the largest."""
    return max(all_sets(masks), key=len)


def first_by_memory(masks: Graph) -> tuple[int, ...]:
    """Return the first of the largest by the definition, remembering what was asked: it ends for forty, too."""
    known: dict[int, int] = {0: 0}

    def most(among: int) -> int:
        if among not in known:
            i = among.bit_length() - 1
            without = among ^ 1 << i
            known[among] = max(1 + most(without & ~masks[i]), most(without) if masks[i] & without else 0)
        return known[among]

    chosen: list[int] = []
    among = (1 << len(masks)) - 1
    for i in range(len(masks)):
        if among >> i & 1:
            among ^= 1 << i
            if 1 + most(among & ~masks[i]) >= most(among):
                chosen.append(i)
                among &= ~masks[i]
    return tuple(chosen)


def is_free(masks: Graph, found: Packing) -> bool:
    """Whether it is what it says it is, but for the largest."""
    return (
        list(found.chosen) == sorted(set(found.chosen))
        and not any(masks[a] >> b & 1 for a, b in combinations(found.chosen, 2))
        and len(found.chosen) <= found.most <= len(masks)
        and found.exact == (len(found.chosen) == found.most)
    )


# ── what is chosen ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "masks", "chosen"),
    [
        ("nothing", [], ()),
        ("no conflict", graph(3, []), (0, 1, 2)),
        ("a pair: the first", graph(2, [(0, 1)]), (0,)),
        ("a star: the many, though the first is in their way", graph(4, [(0, 1), (0, 2), (0, 3)]), (1, 2, 3)),
        ("a path of three", graph(3, [(0, 1), (1, 2)]), (0, 2)),
        ("a path of four: the first of three largest", graph(4, [(0, 1), (1, 2), (2, 3)]), (0, 2)),
        ("a ring of five", circulant(5, 1), (0, 2)),
        ("a ring of six", circulant(6, 1), (0, 2, 4)),
        ("all against all", complement(graph(9, [])), (0,)),
        ("two groups", beside(circulant(5, 1), graph(3, [(0, 1), (0, 2)])), (0, 2, 6, 7)),
    ],
)
def test_as_many_as_can_be_and_of_these_the_first(name: str, masks: Graph, chosen: tuple[int, ...]) -> None:
    assert largest(masks) == Packing(chosen, len(chosen)), name
    assert largest(masks).exact


def test_a_group_beyond_the_bound_is_a_greedy_choice_with_the_most_that_could_be() -> None:
    ring = circulant(41, 1, 3)
    found = largest(ring)
    assert (len(found.chosen), found.most, found.exact) == (19, 21, False)
    assert is_free(ring, found)
    assert largest(ring, exact_max=41) == Packing(tuple(range(0, 38, 2)), 19)
    assert largest(beside(circulant(40, 1, 3), circulant(40, 1, 3))).exact, "the bound is on each group"


def test_a_greedy_choice_is_improved_by_exchanging_one_for_several() -> None:
    pairs = [(0, 1), (0, 2), (1, 5), (1, 6), (2, 6), (2, 7), (3, 5), (3, 6), (3, 7), (4, 6), (4, 7), (5, 6)]
    masks = graph(8, pairs)
    assert packing._greedy(masks, 0xFF) == 0b00011001
    assert largest(masks, exact_max=0) == Packing((1, 2, 3, 4), 4)


GRAPHS = st.builds(
    lambda size, density, seed: drawn(size, density, Rng(seed)),
    st.integers(0, 14),
    st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.7, 0.9]),
    st.integers(0, 10**9),
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(GRAPHS)
def test_it_is_the_first_of_the_largest_of_all_sets(masks: Graph) -> None:
    assert largest(masks) == Packing(slowly(masks), len(slowly(masks)))


@settings(max_examples=400, derandomize=True, deadline=None)
@given(GRAPHS, st.integers(0, 8))
def test_the_bound_is_never_below_the_largest_and_exact_is_never_said_in_vain(masks: Graph, exact_max: int) -> None:
    found = largest(masks, exact_max)
    assert is_free(masks, found)
    assert len(found.chosen) <= len(slowly(masks)) <= found.most
    assert found == largest(masks, exact_max)
    assert all(masks[i] & sum(1 << j for j in found.chosen) for i in range(len(masks)) if i not in found.chosen), (
        "nothing that is left is free"
    )


KNOWN = {
    "ring": (circulant(40, 1), 20),
    "ring with chords": (circulant(40, 1, 2), 13),
    "ring with longer chords": (circulant(39, 1, 5, 8), 13),
    "torus": (torus(5, 8), 16),
    "cube": (cube(5), 16),
    "Petersen's": (kneser(5, 2), 4),
    "four of Petersen's": (beside(*[kneser(5, 2)] * 4), 16),
    "Kneser's of 36": (kneser(9, 2), 8),
    "Kneser's of 35": (kneser(7, 3), 15),
    "against Kneser's of 36": (complement(kneser(9, 2)), 4),
    "triples against each other": (parts(39, 3), 3),
    "triples beside each other": (complement(parts(39, 3)), 13),
    "Paley's": (paley(37), 4),
}


@pytest.mark.parametrize("name", KNOWN)
def test_forty_of_any_kind_are_exact(name: str) -> None:
    masks, size = KNOWN[name]
    for seed in range(3):
        found = largest(renamed(masks, Rng(seed)))
        assert (len(found.chosen), found.exact) == (size, True)


@pytest.mark.parametrize(
    ("size", "density", "count"),
    [(24, 0.1, 60), (24, 0.13, 60), (30, 0.08, 60), (30, 0.1, 60), (40, 0.06, 20), (40, 0.08, 20), (40, 0.1, 5)]
    + [(40, density, 3) for density in (0.2, 0.3, 0.5, 0.7, 0.9)],
)
def test_drawn_ones_are_the_first_of_the_largest(size: int, density: float, count: int) -> None:
    for seed in range(count):
        masks = drawn(size, density, Rng(seed))
        first = first_by_memory(masks)
        assert largest(masks) == Packing(first, len(first))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, 20), st.sampled_from([0.08, 0.1, 0.13, 0.16, 0.3]), st.integers(0, 10**9), st.integers(0, 3))
def test_a_search_gives_up_only_what_is_no_larger_than_what_is_known(
    size: int, density: float, seed: int, by: int
) -> None:
    masks = beside(drawn(size, density, Rng(seed)), kneser(5, 2), circulant(5, 1))
    most = len(first_by_memory(masks))
    everything = (1 << len(masks)) - 1
    found = packing._more_than(masks, everything, most - 1 - by)
    assert found is not None and found.bit_count() == most
    assert packing._more_than(masks, everything, most + by) is None


@pytest.mark.parametrize(
    "masks",
    [*(masks for masks, _ in KNOWN.values()), *(drawn(40, share / 20, Rng(share)) for share in range(1, 19))],
)
def test_no_graph_of_forty_takes_many_steps(masks: Graph) -> None:
    """Of these, the hardest takes 22,000 calls."""
    assert calls_of(lambda: largest(masks)) < 60_000


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


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────────

RULES = PathRules()


def test_scopes_conflict_when_they_overlap_and_not_both_are_shared() -> None:
    scopes = [("src/a/**",), ("src/**",), ("docs/**", "src/a/x.py"), ("**/*.md",), ()]
    assert conflict_masks(scopes, [False] * 5, RULES) == [0b1110, 0b1101, 0b1011, 0b0111, 0]
    assert conflict_masks(scopes, [True, True, False, True, True], RULES) == [0b100, 0b100, 0b1011, 0b100, 0]
    assert largest(conflict_masks(scopes, [False] * 5, RULES)).chosen == (0, 4)
    assert largest(conflict_masks(scopes, [True, True, False, True, True], RULES)).chosen == (0, 1, 3, 4)
    folded = conflict_masks([("SRC/**",), ("src/a",)], [False, False], PathRules(fold_case=True))
    assert folded == [0b10, 0b01]


NAMES = st.sampled_from(["a", "b", "*", "a*", "x.py", "*.py", "**/x.py", "{a,b}"])
SCOPES = st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=3).map(tuple)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(st.tuples(SCOPES, st.booleans()), max_size=12))
def test_the_masks_are_what_asking_for_each_pair_says(wanted: list[tuple[tuple[str, ...], bool]]) -> None:
    scopes, shared = [scope for scope, _ in wanted], [is_shared for _, is_shared in wanted]
    pairs = [
        (a, b)
        for a, b in combinations(range(len(wanted)), 2)
        if not (shared[a] and shared[b]) and scope_overlap(scopes[a], scopes[b], RULES)
    ]
    assert conflict_masks(scopes, shared, RULES) == graph(len(wanted), pairs)


def test_a_thousand_directories_are_exact_however_they_hold_one_another() -> None:
    rng = Rng(3)
    scopes = [("/".join(rng.choices("abcde", k=rng.randint(1, 5))) + "/**",) for _ in range(1000)]
    found = largest(conflict_masks(scopes, [False] * 1000, RULES))
    inner = {
        text for (text,) in scopes if not any(other != text and other.startswith(text[:-2]) for (other,) in scopes)
    }
    assert found.exact and found.most == len(inner)
    assert is_free(conflict_masks(scopes, [False] * 1000, RULES), found)
