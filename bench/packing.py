"""What the largest set of disjoint scopes costs: hard graphs of forty, and a thousand lanes with their conflicts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TypeAlias

from bench.table import median, ms, rows
from ganger.core import packing, patterns
from ganger.core.packing import conflict_masks, largest
from ganger.core.patterns import PathRules

RULES = PathRules()
LANES = 1000
Graph: TypeAlias = list[int]
Shape: TypeAlias = Callable[[random.Random], Iterator[tuple[str, ...]]]


def main() -> None:
    """Print the tables."""
    rows("Largest set of forty scopes", [hardest(name, graphs) for name, graphs in families().items()])
    found = [lanes(name, draw, "20 ms") for name, draw in SMALL_GROUPS.items()]
    found += [lanes(name, draw, "none") for name, draw in LARGE_GROUPS.items()]
    rows(f"{LANES:,} lanes: conflicts, and the largest set", found)


def hardest(name: str, graphs: list[Graph]) -> tuple[str, str, str, str]:
    """Time each graph and give the worst."""
    taken = []
    for masks in graphs:
        began = time.perf_counter()
        found = largest(masks)
        taken.append(time.perf_counter() - began)
        assert found.exact
    return f"{name}, {len(graphs)} of them", f"worst {ms(max(taken))}", f"median {ms(median(taken))}", "50 ms"


def families() -> dict[str, list[Graph]]:
    """Draw graphs of forty (or nearly): by density, with equal degrees, around a ring, and ones made hard by search."""
    rng = random.Random(1)
    found = {f"density {tenths / 20}": [drawn(tenths / 20, rng) for _ in range(20)] for tenths in range(1, 19, 2)}
    found |= {f"{degree} conflicts each": [equal(degree, rng) for _ in range(20)] for degree in range(3, 11)}
    steps = list(combinations(range(1, 20), 3))
    found["around a ring"] = [ring(size, *each) for size in (37, 39, 40) for each in steps[::9]]
    found["made hard by search"] = [harder(degree, rng) for degree in (4, 6, 8)]
    return found


def graph(size: int, pairs: list[tuple[int, int]]) -> Graph:
    """Write conflicts as masks."""
    masks = [0] * size
    for a, b in pairs:
        masks[a] |= 1 << b
        masks[b] |= 1 << a
    return masks


def drawn(density: float, rng: random.Random) -> Graph:
    """Draw each conflict alike."""
    return graph(40, [pair for pair in combinations(range(40), 2) if rng.random() < density])


def ring(size: int, *steps: int) -> Graph:
    """Let each conflict with those so many steps away."""
    return graph(size, [(i, (i + step) % size) for i in range(size) for step in steps])


def equal(degree: int, rng: random.Random) -> Graph:
    """Draw a graph of forty in which each has as many conflicts: a ring whose conflicts change partners."""
    masks = ring(40, *range(1, degree // 2 + 1), *([20] if degree % 2 else []))
    for _ in range(2000):
        a, c = rng.sample(range(40), 2)
        b, d = rng.choice(list(packing._indexes(masks[a]))), rng.choice(list(packing._indexes(masks[c])))
        if len({a, b, c, d}) == 4 and not masks[a] >> c & 1 and not masks[b] >> d & 1:
            for i, j in ((a, b), (c, d), (a, c), (b, d)):
                masks[i] ^= 1 << j
                masks[j] ^= 1 << i
    return masks


def harder(degree: int, rng: random.Random) -> Graph:
    """Change a conflict at a time for three seconds, and keep what takes longer (in nodes of the search)."""
    masks = equal(degree, rng)
    nodes = search_nodes(masks)
    until = time.perf_counter() + 3
    while time.perf_counter() < until:
        other = list(masks)
        for _ in range(rng.randint(1, 3)):
            a, b = rng.sample(range(40), 2)
            other[a] ^= 1 << b
            other[b] ^= 1 << a
        found = search_nodes(other)
        if found >= nodes:
            masks, nodes = other, found
    return masks


class Counting(list[int]):
    """Masks that count how often one is asked for."""

    asked = 0

    def __getitem__(self, i: int) -> int:  # type: ignore[override]
        self.asked += 1
        return super().__getitem__(i)


def search_nodes(masks: Graph) -> int:
    """Count the questions for a mask that a search takes."""
    counting = Counting(masks)
    largest(counting)
    return counting.asked


def lanes(name: str, draw: Shape, bound: str) -> tuple[str, str, str, str]:
    """Time a thousand lanes, a tenth of them shared, with their patterns read before and not."""
    rng = random.Random(2)
    scopes = list(draw(rng))
    shared = [rng.random() < 0.1 for _ in scopes]
    taken = []
    for _ in range(9):
        patterns._parse.cache_clear()
        taken.append((plan(scopes, shared), plan(scopes, shared)))
    cold, warm = (median([each[i] for each in taken]) for i in (0, 1))
    found = largest(conflict_masks(scopes, shared, RULES))
    return (
        f"{name}: {len(found.chosen)} of at most {found.most}",
        ms(warm),
        f"patterns not read before: {ms(cold)}",
        bound,
    )


def plan(scopes: list[tuple[str, ...]], shared: list[bool]) -> float:
    """Return the seconds it takes."""
    began = time.perf_counter()
    largest(conflict_masks(scopes, shared, RULES))
    return time.perf_counter() - began


SMALL_GROUPS: dict[str, Shape] = {
    "disjoint": lambda rng: ((f"src/mod{n}/**",) for n in range(LANES)),
    "small groups": lambda rng: ((f"src/mod{rng.randrange(LANES)}/**",) for n in range(LANES)),
}
LARGE_GROUPS: dict[str, Shape] = {
    "folders in folders": lambda rng: (
        ("/".join(f"d{rng.randrange(6)}" for _ in range(rng.randint(2, 5))) + "/**",) for n in range(LANES)
    ),
    "entangled": lambda rng: (
        tuple(f"src/a{rng.randrange(LANES)}/{end}" for end in ("**", "x.py", "*.py")) for n in range(LANES)
    ),
}


if __name__ == "__main__":
    main()
