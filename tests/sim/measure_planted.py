"""Measures the simulator: how many nights it takes to find each planted bug, and how fast nights are played.

    python tests/sim/measure_planted.py
    python tests/sim/measure_planted.py --write docs/reliability.md

The first prints the tables, the second puts them between the marks of the document.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from planted import BUGS, Bug, planted

from ganger.testing.shrink import failure
from ganger.testing.simulated_fleet import HOUR_MS, Config, short, swarm
from ganger.testing.simulation import simulate

BEGIN, END = "<!-- measured: tests/sim/measure_planted.py -->", "<!-- end of what was measured -->"
STARTS, STEP = 5, 10_000
SEEDS_MAX = 1_000
SPEED_SEEDS = 400

Draw = Callable[[int], Config]


def nights_to_find(bug: Bug, start: int, draw: Draw) -> tuple[int, str]:
    """How many nights it took from a seed on, and which rule noticed; one more than the most if none did."""
    for number in range(SEEDS_MAX):
        rule = failure(start + number, bug.config or draw(start + number))
        if rule:
            return number + 1, rule
    return SEEDS_MAX + 1, "not found"


def row(bug: Bug) -> str:
    """One line of the table: both kinds of night from the same starting seeds."""
    cells, rules = [], set()
    with planted(bug):
        for draw in (short, swarm):
            found = [nights_to_find(bug, start * STEP, draw) for start in range(STARTS)]
            cells.append(f"{median(nights for nights, _ in found)} ({max(nights for nights, _ in found)})")
            rules |= {rule for _, rule in found}
    note = ", in a configuration of its own" if bug.config is not None else ""
    return f"| {bug.name}{note} | {', '.join(sorted(rules))} | {' | '.join(cells)} |"


def speed(name: str, draw: Draw) -> str:
    """How fast one CPU plays nights without a bug."""
    began = time.process_time()
    traces = [simulate(seed, draw(seed)) for seed in range(SPEED_SEEDS)]
    took_s = time.process_time() - began
    hours = sum(trace.virtual_ms for trace in traces) / HOUR_MS
    return f"| {name} | {SPEED_SEEDS / took_s:.0f} | {hours / SPEED_SEEDS:.2f} | {hours / took_s * 60:,.0f} |"


def measured() -> Iterator[str]:
    """The two tables, line by line."""
    yield f"CPU time of one core, Python {platform.python_version()}, {SPEED_SEEDS} nights of each kind:"
    yield ""
    yield "| nights | per CPU-second | fleet-hours a night | fleet-hours per CPU-minute |"
    yield "| --- | ---: | ---: | ---: |"
    yield speed("short", short)
    yield speed("long", swarm)
    yield ""
    yield f"Nights until each of {len(BUGS)} planted bugs is found: median (and most) of {STARTS} starting seeds,"
    yield f"`0`, `{STEP}`, …; `{SEEDS_MAX + 1}` stands for not found in {SEEDS_MAX} nights."
    yield ""
    yield "| planted bug | noticed by | short nights | long nights |"
    yield "| --- | --- | ---: | ---: |"
    yield from (row(bug) for bug in BUGS)


def main(arguments: list[str]) -> int:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="replace what stands between its marks")
    options = parser.parse_args(arguments)
    if options.write is None:
        for line in measured():
            print(line, flush=True)
        return 0
    text = "\n".join(measured())
    before, _, rest = options.write.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    options.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
