"""The shape all benchmarks print: what, figure, baseline of the same run, ratio, and the bound it should keep."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence


def rows(title: str, found: Sequence[tuple[str, str, str, str]]) -> None:
    """Print one table: (what, measured, against, bound)."""
    print(f"\n## {title}\n")
    head = ("what", "measured", "against (same run)", "bound")
    widths = [max(len(row[i]) for row in (head, *found)) for i in range(4)]
    for row in (head, tuple("-" * width for width in widths), *found):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    sys.stdout.flush()


def timed(action: Callable[[], object], runs: int, warmup: int = 2) -> list[float]:
    """Seconds of each of `runs` calls, sorted, after a warm-up."""
    for _ in range(warmup):
        action()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def median(taken: Sequence[float]) -> float:
    """The median, in seconds."""
    return statistics.median(taken)


def percentile(taken: Sequence[float], share: float) -> float:
    """The value below which this share of the sorted figures lies."""
    return taken[min(len(taken) - 1, int(len(taken) * share))]


def ms(seconds: float) -> str:
    """Write seconds as milliseconds."""
    return f"{seconds * 1000:.2f} ms"


def us(seconds: float) -> str:
    """Write seconds as microseconds."""
    return f"{seconds * 1e6:.1f} µs"
