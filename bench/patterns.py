"""What the pattern algebra costs: `python bench/patterns.py` prints a table, with a baseline from the same run.

The baseline of a pair is one `fnmatch.fnmatchcase` of one pattern's text against the other's, warm, which is wrong in
both directions but is what people write first; that of the index is this algebra's own linear scan with a warm cache.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TypeVar

from ganger.core import patterns, segments
from ganger.core.patterns import PathRules, ScopeIndex, covers, overlap, parse, scope_overlap

RULES = PathRules()
TYPICAL = [
    "src/auth/**", "src/**/test_*.py", "*.md", "**/x.py", "docs/{guide,reference}/**", "src/auth/login.py",
    "tests/**/conftest.py", "src/[a-f]*/**", "package.json", "**/*.lock", "src/*/models.py", "/web/static/",
]  # fmt: skip
LEASES = 10_000
T = TypeVar("T")


def main() -> None:
    """Print the table."""
    pairs = [(a, b) for a in TYPICAL for b in TYPICAL if a != b]
    base = time_each(lambda pair: fnmatchcase(pair[0], pair[1]), pairs)
    row("fnmatchcase of the texts (baseline)", base, base)
    row("pair with parsing, all caches empty", time_cold(pairs, is_parsed=False), base)
    row("pair, parsed, not asked before", time_cold(pairs, is_parsed=True), base)
    parsed = [(parse(a, RULES), parse(b, RULES)) for a, b in pairs]
    row("pair, asked before", time_each(lambda pair: overlap(*pair), parsed), base)
    row("covers, asked before", time_each(lambda pair: covers(*pair), parsed), base)
    patterns._covers.cache_clear()
    row("covers, not asked before", time_once(lambda pair: covers(*pair), parsed), base)
    row("matches a path", time_each(lambda pair: pair[0].matches("src/auth/views/login.py"), parsed), base)
    print()
    scopes = [scope_of(n) for n in range(LEASES)]
    index: ScopeIndex[int] = ScopeIndex(RULES)
    row(f"add one of {LEASES:,}", time_once(lambda n: index.add(n, scopes[n]), list(range(LEASES))))
    rng = random.Random(1)
    shapes: dict[str, list[tuple[str, ...]]] = {
        "src/mod123/**": [(f"src/mod{rng.randrange(LEASES)}/**",) for _ in range(300)],
        "lib/mod123/x.py": [(f"lib/mod{n}/x.py",) for n in range(300)],
        "*.toml": [(f"*.toml{n}",) for n in range(300)],
        "src/{a,b,c}/*.py": [(f"src/{{mod{n},new{n},mod7{n}}}/*.py",) for n in range(300)],
        "**/x.py": [(f"**/x{n}.py",) for n in range(12)],
    }
    for name, asked in shapes.items():
        linear = time_once(lambda scope: scan(scope, scopes), asked[:4])
        row(
            f"all of {LEASES:,} overlapping {name}",
            time_once(lambda scope: list(index.overlapping(scope)), asked),
            linear,
        )
        row("   the first of them", time_once(lambda scope: next(index.overlapping(scope), None), asked))
    asked = [(f"**/x{n}.rs",) for n in range(12)]
    files: ScopeIndex[int] = ScopeIndex(RULES)
    for n in range(LEASES):
        files.add(n, (f"src/mod{n}/*.py",))
    row("**/x.rs against src/mod1/*.py, none overlaps", time_once(lambda scope: list(files.overlapping(scope)), asked))
    row(f"remove one of {LEASES:,}", time_once(index.remove, list(range(LEASES))))
    print()
    for name, usual in USUAL.items():
        admissions(name, usual)


def admissions(name: str, usual: Callable[[int], tuple[str, ...]]) -> None:
    """Time whether a scope is free among live leases when one in twenty, held or asked about, has no directory.

    The baseline is the same without these. Three in ten are shared; the patterns were read when items were added.
    """
    base, _ = time_admissions(usual, 0.0)
    times, free = time_admissions(usual, 0.05)
    row(f"admit among {LEASES:,} {name}, {free:.0%} free", times, base)


def time_admissions(usual: Callable[[int], tuple[str, ...]], odd_share: float) -> tuple[list[float], float]:
    """Return the seconds of 5,000 questions, and the share of scopes that were free."""
    rng = random.Random(3)
    scopes = [odd(n, rng) if rng.random() < odd_share else usual(n) for n in range(LEASES + 4000)]
    drawn = [(scope, rng.random() < 0.3) for scope in scopes]
    index: ScopeIndex[int] = ScopeIndex(RULES)
    for n, (scope, shared) in enumerate(drawn[:LEASES]):
        index.add(n, scope, shared=shared)
    free = 0

    def ask(each: tuple[tuple[str, ...], bool]) -> None:
        nonlocal free
        free += next(index.overlapping(each[0], shared=each[1]), None) is None

    asked = drawn[LEASES - 1000 :]
    for scope, _ in asked:
        for text in scope:
            parse(text, RULES)
    return time_once(ask, asked), free / len(asked)


USUAL: dict[str, Callable[[int], tuple[str, ...]]] = {
    "directories": lambda n: (f"src/area{n % 40}/mod{n}/**", *([f"tests/mod{n}/**"] if n % 3 else [])),
    "files": lambda n: (f"src/area{n % 40}/mod{n}/{{a,b,c{n}}}.ts", f"tests/mod{n}_test.ts"),
    "wide folders": lambda n: (f"src/area{n % 4}/file{n}.rs",),
}


def odd(n: int, rng: random.Random) -> tuple[str, ...]:
    """Draw a scope without a directory of its own."""
    return (rng.choice([f"**/name{n}.md", f"**/name{n}.py", "*.md", "**/*.py", f"docs/**/x{n}", "docs/**/x"]),)


def scope_of(n: int) -> tuple[str, ...]:
    """Draw the scope of a live lease: mostly a directory, some files by ending at the root or at any depth."""
    if n % 200 == 0:
        return (f"*.md{n}",)
    if n % 200 == 1:
        return (f"**/x{n}.py",)
    return (f"src/mod{n}/**", f"tests/mod{n}/**") if n % 3 == 0 else (f"src/mod{n}/**",)


def scan(scope: tuple[str, ...], scopes: list[tuple[str, ...]]) -> list[int]:
    """Find the overlapping scopes by asking all of them."""
    return [n for n, other in enumerate(scopes) if scope_overlap(scope, other, RULES)]


def time_cold(pairs: list[tuple[str, str]], is_parsed: bool) -> list[float]:
    """Time overlap of each pair with nothing remembered but, if so wished, the patterns read."""
    times = []
    for a, b in pairs:
        for cache in (patterns._overlap, patterns._parse, segments._globs_meet, segments.glob, segments.char_set):
            cache.cache_clear()
        if is_parsed:
            x, y = parse(a, RULES), parse(b, RULES)
            times += time_once(lambda pair: overlap(*pair), [(x, y)])
        else:
            times += time_once(lambda pair: overlap(parse(pair[0], RULES), parse(pair[1], RULES)), [(a, b)])
    return times


def time_once(ask: Callable[[T], object], questions: list[T]) -> list[float]:
    """Return the seconds that each question takes, asked once."""
    times = []
    for question in questions:
        began = time.perf_counter()
        ask(question)
        times.append(time.perf_counter() - began)
    return times


def time_each(ask: Callable[[T], object], questions: list[T]) -> list[float]:
    """Return the seconds that each question takes when asked again and again."""
    times = []
    for question in questions:
        ask(question)
        began = time.perf_counter()
        for _ in range(100):
            ask(question)
        times.append((time.perf_counter() - began) / 100)
    return times


def row(name: str, times: list[float], base: list[float] | None = None) -> None:
    """Print median and 99th percentile in microseconds, and how the median compares with that of the baseline."""
    ordered = sorted(times)
    median, high = statistics.median(ordered), ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    ratio = f"{median / statistics.median(base):10.4f}x" if base else ""
    print(f"{name:45} p50 {median * 1e6:10.2f} µs   p99 {high * 1e6:10.2f} µs {ratio}")


if __name__ == "__main__":
    main()
