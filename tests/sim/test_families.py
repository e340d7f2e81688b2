"""A supervisor that dies at any one point of a family's night: each result is told once, and no child is left."""

from __future__ import annotations

from msgspec.structs import replace
from planted import FAMILIES

from ganger.core import events as ev
from ganger.journal import codec
from ganger.testing.simulation import Simulation, simulate

CALM = replace(FAMILIES, items=1, faults=(), habits=("spawns",))


def children_of(seed: int) -> tuple[int, int, int]:
    """How many children a night has, how many results are told, and how many points it can be cut off at."""
    sim = Simulation(seed, CALM)
    trace = sim.run()
    events = [codec.decode(row.seq, row.at_ms, row.actor, row.body, row.crc).event for row in sim.disk.rows]
    born = [event for event in events if isinstance(event, ev.RunGranted) and event.spawner]
    told = [event for event in events if isinstance(event, ev.MessageSent) and event.child]
    return len(born), len(told), trace.points


def test_a_death_at_any_point_loses_and_repeats_nothing() -> None:
    nights = [(seed, *found) for seed in range(20) if 2 <= (found := children_of(seed))[0] <= 3][:2]
    assert len(nights) == 2
    for seed, born, told, points in nights:
        assert born == told
        for point in range(1, points + 1):
            simulate(seed, replace(CALM, crash_at=point))
