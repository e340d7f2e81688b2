"""How long a tick takes on 10,000 items and 50 live runs: at rest, and when every run has something new."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from bench import fleets
from bench.table import median, ms, percentile, rows, timed
from ganger.core import events as ev
from ganger.core.effects import Exit, Observed
from ganger.core.ids import Commit
from ganger.core.loop import Intent
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.core.state import State
from ganger.drivers.process_table import identify
from ganger.journal.store import Store
from ganger.service.door import kept_policy
from ganger.service.fleet import Fleet
from ganger.service.places import Places
from ganger.supervisor.observe import Observer


def world(state_dir: Path) -> tuple[Callable[[], object], Fleet]:
    """A tick without its effects on the fleet in `state_dir`: catch up, observe the real machine, reconcile."""
    fleet = Fleet(Store(state_dir / "journal.db"), kept_policy(state_dir))
    observer = Observer(
        places=Places(state_dir),
        tip_of=lambda run: None,
        target=lambda: Commit("1" * 40),
        dirty=lambda: False,
        repo=lambda: "",
        reads=lambda agent: lambda line: (),
        prices={},
    )

    def tick() -> object:
        def look(state: State, now_ms: int) -> object:
            seen = observer.observe(state, now_ms)
            return reconcile(state, seen, now_ms, fleet.policy, Intent()), next_wake_ms(
                state, seen, now_ms, fleet.policy
            )

        return fleet.look(look)

    return tick, fleet


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        state_dir = Path(folder, "fleet")
        store = fleets.build(state_dir, 20_000)
        state = store.catch_up()
        sleepers = _occupy(store)
        tick, fleet = world(state_dir)
        try:
            rest = timed(tick, 200, 5)
            alive = frozenset(state.runs)
            now_ms = state.at_ms
            roomy = replace(fleet.policy, workers_max=2 * fleets.LIVE)
            busy_world = Observed(target=Commit("1" * 40), exits={run: Exit(1, 0) for run in alive}, workspaces=alive)
            busy = timed(lambda: fleet.look(lambda s, _: reconcile(s, busy_world, now_ms, roomy, Intent())), 50, 3)
        finally:
            for sleeper in sleepers:
                sleeper.kill()
                sleeper.wait()
        baseline = timed(_scan, 50, 3)
        fleet.close()
        store.close()
        against = f"{median(rest) / median(baseline):.2f} × one look at /proc/*/stat ({ms(median(baseline))})"
        rows(
            "A tick on 10,000 items and 50 runs",
            [
                ("at rest", f"p50 {ms(median(rest))}, p99 {ms(percentile(rest, 0.99))}", against, "≤ 20 ms"),
                ("busy: all 50 workers ended, room for 50", f"p50 {ms(median(busy))}", "", "≤ 100 ms"),
            ],
        )


def _scan() -> int:
    seen = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                seen += len((process / "stat").read_bytes())
            except OSError:
                continue
    return seen


def _occupy(store: Store) -> list[subprocess.Popen[bytes]]:
    """Give every live run a real process as its worker."""
    sleepers = []
    with store.writing() as writing:
        for run in list(writing.state.runs.values()):
            sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            sleepers.append(sleeper)
            worker = identify(sleeper.pid)
            assert worker is not None
            writing.append([ev.WorkerStarted(run.id, 1, worker)], "supervisor")
    return sleepers


if __name__ == "__main__":
    main()
