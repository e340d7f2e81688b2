"""`kill -9` of the real supervisor at random moments of real nights: nothing is lost and nothing is done twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from builders import Fleet, ended

NIGHTS = 12
KILLS = 26
"""A night; together more than 300."""
AT_MS = (20, 600)
"""When it is killed: for every second kill since its start, for the others since it began to supervise."""
WORKER = """
log=$shared/workers.log
echo "start $GANGER_RUN $GANGER_TURN $$ $(date +%s%N)" >> "$log"
sleep $(printf '0.%02d' $(( $$ % 30 )))
echo "$item" >> "src/${item%-[12]}.txt"
commit "Work on $item"
echo "end $GANGER_RUN $GANGER_TURN $$ $(date +%s%N)" >> "$log"
"""


class Nights:
    """One plan after another in one fleet, each with two items on one file and one that comes after another."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.number = 0
        self.plans: list[Path] = []
        self.items: list[str] = []

    def add(self) -> Path:
        """Write the next plan."""
        number, fleet = self.number, self.fleet
        self.number += 1
        names = [f"n{number}-{part}" for part in ("one", "two", "pair-1", "pair-2", "base", "top")]
        fleet.items = []
        for name in names:
            scope = f"src/n{number}-pair.txt" if "pair" in name else f"src/{name}.txt"
            after = f'after = ["n{number}-base"]' if name.endswith("top") else ""
            fleet.item(name, scope=[scope], more=after)
        self.items += names
        self.plans.append(fleet.plan(f"plan-{number}"))
        return self.plans[-1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(NIGHTS))
def test_killed_again_and_again(fleet: Fleet, seed: int) -> None:
    chance = random.Random(seed)
    fleet.begin({"README": "hello\n", "src/keep": ""})
    fleet.shell_agent("default", WORKER)
    fleet.configure(checks={"unit": "sh -c 'sleep 0.05; test -e README'"}, fleet="workers_max = 3\n")
    if seed % 2:
        fleet.git("switch", "--quiet", "--create", "elsewhere")
    nights = Nights(fleet)
    plan, kills = nights.add(), 0
    while kills < KILLS:
        if run_and_kill(fleet, plan, chance.uniform(*AT_MS) / 1000, since_start=bool(kills % 2)):
            kills += 1
        else:
            plan = nights.add()
    for plan in nights.plans:
        done = fleet.ganger("run", str(plan), "--trust", "--quiet")
        assert done.code == 0, done
    assert_exactly_once(fleet, nights.items)
    fleet.assert_sound()
    begun = fleet.ganger("journal", "export").out.count('"SupervisorStarted"')
    assert begun - len(nights.plans) >= KILLS / 3, "most kills came before there was anything to disturb"


def run_and_kill(fleet: Fleet, plan: Path, after_s: float, *, since_start: bool) -> bool:
    """Start a supervisor and kill it after a while; False when its night was over before."""
    before = door_of(fleet)
    night = fleet.start("run", str(plan), "--trust", "--quiet")
    while not since_start and night.poll() is None and door_of(fleet) in (before, 0):
        time.sleep(0.005)
    try:
        night.wait(after_s)
    except subprocess.TimeoutExpired:
        night.send_signal(signal.SIGKILL)
    done = ended(night)
    assert done.code in (0, -signal.SIGKILL), done
    return done.code != 0


def door_of(fleet: Fleet) -> int:
    """Tells one supervisor's socket from the next one's; 0 when there is none."""
    try:
        return (fleet.state / "ganger.sock").stat().st_ctime_ns
    except FileNotFoundError:
        return 0


def assert_exactly_once(fleet: Fleet, items: list[str]) -> None:
    """Every item landed once, by its first attempt, whose one worker was started once."""
    assert sorted(fleet.landed_items()) == sorted(items)
    assert Counter(fleet.statuses().values()) == {"landed": len(items)}
    for item in items:
        assert [(run["id"], run["turn"]) for run in fleet.runs(item)] == [(f"{item}.1", 1)]
        assert (fleet.on_main(f"src/{item.removesuffix('-1').removesuffix('-2')}.txt") or "").split().count(item) == 1
    lines = [line.split() for line in (fleet.shared / "workers.log").read_text().splitlines()]
    starts, ends = ([line[1:4] for line in lines if line[0] == what] for what in ("start", "end"))
    assert sorted(run for run, _, _ in starts) == sorted(f"{item}.1" for item in items)
    assert sorted(starts) == sorted(ends)
    assert_not_together(lines)


def assert_not_together(lines: list[list[str]]) -> None:
    """No two workers of overlapping scopes at once, and never more than may be."""
    working: set[str] = set()
    for what, run, *_ in sorted(lines, key=lambda line: int(line[4])):
        if what == "end":
            working.remove(run)
            continue
        scope = run.rpartition(".")[0].removesuffix("-1").removesuffix("-2")
        assert scope not in {other.rpartition(".")[0].removesuffix("-1").removesuffix("-2") for other in working}
        working.add(run)
        assert len(working) <= 3
