"""Questions to a fleet of 1,000 lanes with 50 live runs, on journals of three sizes: `admit`, `fleet-plan`, completion.

From the shell each is a whole process, against one that does nothing, in turns; in process, a plan is made on the state
that the journal folds to, where as many work as are wanted, and where a hundred more are. Ratios are of the time of the
processor, which other work on the machine hardly changes.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from bench import fleets
from bench.table import median, ms, percentile, rows
from ganger.core.fleet_plan import FleetPlan, FleetVerdict, fleet_plan
from ganger.core.loop import Intent
from ganger.core.picking import survey
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.journal.store import Store
from ganger.service.door import kept_policy

EVENTS = (10_500, 100_000, 1_000_000)
LANES, TARGET, RUNS = 1_000, 50, 15
GANGER = str(Path(sys.executable).with_name("ganger"))
ADMITTED, REFUSED = 0, 1
AT_TARGET = 0
COMPLETED = "show item-77, completed"
PRESSED = {"_GANGER_COMPLETE": "bash_complete", "COMP_WORDS": "ganger show item-77", "COMP_CWORD": "2"}


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        shell, inside = [], []
        for events in EVENTS:
            state_dir = Path(folder, str(events))
            store = fleets.build(state_dir, events, LANES)
            policy = kept_policy(state_dir)
            inside += plans(store, policy, events)
            store.close()
            shell += commands(state_dir, events)
        rows(f"Commands on {LANES:,} lanes and 10,000 items (whole process, median of {RUNS})", shell)
        rows(f"A plan for {TARGET} workers in process", inside)


def commands(state_dir: Path, events: int) -> list[tuple[str, str, str, str]]:
    """Time each command from the shell."""
    asked: dict[str, tuple[int, list[str]]] = {
        "admit --lane, free": (ADMITTED, ["admit", "--lane", "lane777"]),
        "admit --lane, held": (REFUSED, ["admit", "--lane", "lane4"]),
        "admit ITEM": (REFUSED, ["admit", "item-777"]),
        f"fleet-plan --target {TARGET}": (AT_TARGET, ["fleet-plan", "--target", str(TARGET)]),
        COMPLETED: (0, []),
    }
    found = []
    for name, (code, words) in asked.items():
        env = PRESSED if name == COMPLETED else {}
        ours, bare = in_turns([GANGER, *words], [sys.executable, "-c", "pass"], state_dir, code, env)
        used, used_bare = (median([processor for _, processor in each]) for each in (ours, bare))
        wall = median([seconds for seconds, _ in ours])
        bound = "≤ 10 ×" if name.startswith("admit") else "≤ 100 ms" if name == COMPLETED else ""
        measured = f"{ms(wall)}, of the processor {ms(used)}"
        against = f"{used / used_bare:.1f} × python -c pass ({ms(used_bare)})"
        found.append((f"{events:>9,} events: ganger {name}", measured, against, bound))
    return found


def in_turns(
    argv: list[str], other: list[str], state_dir: Path, code: int, more: dict[str, str]
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Seconds, and seconds of the processor, of each run of two programs; the first must end with that status."""
    env = {**os.environ, "GANGER_STATE": str(state_dir), **more}
    taken: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for _ in range(RUNS):
        for kept, words, expected in zip(taken, (argv, other), (code, 0), strict=True):
            began, used = time.perf_counter(), children_s()
            done = subprocess.run(words, check=False, capture_output=True, env=env, cwd=state_dir)
            after = children_s()
            assert done.returncode == expected, done.stderr
            kept.append((time.perf_counter() - began, after - used))
    return taken


def children_s() -> float:
    """Seconds of the processor that ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def plans(store: Store, policy: Policy, events: int) -> list[tuple[str, str, str, str]]:
    """Time a plan where as many work as are wanted, and where three times as many are, with a look at every item."""
    state = store.catch_up()
    now_ms = state.at_ms
    roomy = replace(policy, workers_max=4 * TARGET)

    def plan(target: int, policy: Policy) -> Callable[[], FleetPlan]:
        return lambda: fleet_plan(state, {}, target, now_ms, policy)

    full, more = plan(TARGET, policy), plan(3 * TARGET, roomy)
    assert full().verdict is FleetVerdict.at_target and len(more().start) == 2 * TARGET
    baseline = median(processor(lambda: look_at_all(state, now_ms, policy), 5))
    found = []
    for name, ask in (("50 of 50 work", full), ("50 of 150 work", more)):
        taken = processor(ask, 15)
        against = f"{median(taken) / baseline:.2f} × `ganger next` of the same state ({ms(baseline)})"
        figures = f"p50 {ms(median(taken))}, max {ms(percentile(taken, 1.0))}"
        found.append((f"{events:>9,} events: {name}", figures, against, "≤ 250 ms"))
    return found


def processor(ask: Callable[[], object], runs: int) -> list[float]:
    """Seconds of the processor of each call, sorted, after one to warm up."""
    ask()
    taken = []
    for _ in range(runs):
        began = time.thread_time()
        ask()
        taken.append(time.thread_time() - began)
    return sorted(taken)


def look_at_all(state: State, now_ms: int, policy: Policy) -> int:
    """Ask of every open item whether it would be picked."""
    return sum(1 for _ in survey(state, now_ms, policy, Intent()))


if __name__ == "__main__":
    main()
