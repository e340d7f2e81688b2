"""The fleet's nights in virtual time: nothing unsafe under faults, and everything comes to rest once they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

import ganger
from ganger.core.loop import StopReason
from ganger.core.model import Budget
from ganger.core.policy import Policy
from ganger.testing.invariants import CALL_TOKENS_MAX
from ganger.testing.simulated_fleet import ACTIONS, FAULTS, Config, short, swarm
from ganger.testing.simulated_workers import BEHAVIOURS, UNSPOKEN
from ganger.testing.simulation import Simulation, main, simulate

FIRST = int(os.environ.get("GANGER_SEED", "0"))
SHORT = int(os.environ.get("GANGER_SEEDS", "20000"))
"""How many short nights are played, from the seed `GANGER_SEED` on; the nightly run sets it to 10^6."""
LONG = SHORT // 50
SHORT_CHUNK, LONG_CHUNK = 500, 50


@pytest.mark.parametrize("first", range(FIRST, FIRST + SHORT, SHORT_CHUNK))
def test_every_invariant_holds_in_short_nights(first: int) -> None:
    for seed in range(first, min(first + SHORT_CHUNK, FIRST + SHORT)):
        simulate(seed, short(seed))


@pytest.mark.parametrize("first", range(FIRST, FIRST + LONG, LONG_CHUNK))
def test_every_invariant_holds_in_long_nights(first: int) -> None:
    for seed in range(first, min(first + LONG_CHUNK, FIRST + LONG)):
        simulate(seed)


def test_a_short_night_is_a_night_of_the_swarm_but_shorter() -> None:
    nights = [short(seed) for seed in range(400)]
    assert {fault for night in nights for fault, _ in night.faults} == set(FAULTS)
    assert {action for night in nights for action in night.actions} == set(ACTIONS)
    assert {habit for night in nights for habit in night.habits} >= set(BEHAVIOURS | UNSPOKEN)
    assert max(night.items for night in nights) == 4
    assert 3 * sum(night.faults_ms for night in nights) < sum(swarm(seed).faults_ms for seed in range(400))


def test_an_honest_fleet_lands_everything() -> None:
    trace = simulate(3, Config(items=5))
    assert (trace.stop, trace.landed, trace.crashes) == (StopReason.complete, 5, 0)


ONE_OF_EACH = Config(items=4, habits=("honest", "uncommitted", "hangs_after_report", "breaks", "asks", "quick"))


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_the_supervisor_may_die_at_every_single_point(seed: int) -> None:
    """Before, in the middle of and after each effect and each commit of a whole night: as much lands as without."""
    undisturbed = simulate(seed, ONE_OF_EACH)
    assert undisturbed.points > 130 and undisturbed.landed == 4
    for point in range(1, undisturbed.points + 1):
        trace = simulate(seed, replace(ONE_OF_EACH, crash_at=point))
        assert (trace.crashes, trace.landed) == (1, 4), point


@pytest.mark.parametrize("habit", sorted(BEHAVIOURS | UNSPOKEN))
def test_a_fleet_of_one_kind_of_worker_comes_to_rest(habit: str) -> None:
    for seed in range(5):
        simulate(seed, Config(items=4, habits=(habit,), faults_ms=600_000))


def test_the_same_seed_gives_the_same_trace_anywhere() -> None:
    here = [simulate(seed).digest for seed in range(40, 60)]
    assert here == [simulate(seed).digest for seed in range(40, 60)]
    code = "from ganger.testing.simulation import simulate; print(*(simulate(s).digest for s in range(40, 60)))"
    for hash_seed in ("1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(ganger.__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split() == here


def test_a_run_is_stopped_one_call_after_its_budget_is_spent_at_most() -> None:
    """As long as a supervisor is there to see it."""
    policy = Policy(run_budget=Budget(tokens=6_000), fleet_budget=Budget(tokens=60_000), priced=frozenset({"default"}))
    most = 0
    for seed in range(60):
        play = Simulation(seed, Config(items=4, habits=("spends",), policy=policy))
        play.run()
        most = max(most, play.ledger.overshoot)
    assert 0 < most <= CALL_TOKENS_MAX


def test_seeds_differ() -> None:
    assert len({simulate(seed).digest for seed in range(20)}) == 20
    assert len({swarm(seed) for seed in range(20)}) == 20


def test_the_console_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--trace"]) == 0
    said = capsys.readouterr()
    assert "spawn i" in said.out and "fleet-hours per CPU-minute" in said.err
    assert main(["--seed", "3", "--short"]) == 0
    assert short(3) != swarm(3) and said.out.splitlines()[-1] != capsys.readouterr().out.splitlines()[-1]
