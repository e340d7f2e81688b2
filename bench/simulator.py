"""How fast the simulator plays fleets of 8 workers: fleet-hours in a minute of the processor, with every invariant on.

The nights are those of the seeds with other numbers of workers and items; faults, habits and the operator are drawn as
always. The baseline is the seeds' own nights: 2 to 5 items and 1 to 4 workers, mostly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from bench.table import rows
from ganger.testing.simulated_fleet import HOUR_MS, Config, swarm
from ganger.testing.simulation import simulate

WORKERS, SEEDS = 8, 60
ITEMS = (8, 16, 32)


def main() -> None:
    """Print the table."""
    own, usual = played(swarm)
    found = [("as drawn", f"{own:,.0f} fleet-hours/CPU-minute, {usual:.0f} entries a night", "", "")]
    for items in ITEMS:
        speed, entries = played(partial(crowded, items=items))
        measured = f"{speed:,.0f} fleet-hours/CPU-minute, {entries:.0f} entries a night"
        found.append((f"{WORKERS} workers, {items} items", measured, f"{speed / own:.2f} × as drawn", "≥ 1,000"))
    rows(f"The simulator, {SEEDS} nights", found)


def crowded(seed: int, items: int) -> Config:
    """The night of a seed with so many items, played by many workers."""
    drawn = swarm(seed)
    return replace(drawn, items=items, policy=replace(drawn.policy, workers_max=WORKERS))


def played(draw: Callable[[int], Config]) -> tuple[float, float]:
    """Fleet-hours for each minute of the processor, and entries for each night."""
    began = time.process_time()
    traces = [simulate(seed, draw(seed)) for seed in range(SEEDS)]
    minutes = (time.process_time() - began) / 60
    hours = sum(trace.virtual_ms for trace in traces) / HOUR_MS
    return hours / minutes, sum(trace.entries for trace in traces) / SEEDS


if __name__ == "__main__":
    main()
