"""The journal and the commands on it: `status`, `version`, submitting, throughput, memory; at 10⁴ and 10⁶ events."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import apsw

from bench import fleets
from bench.table import median, ms, percentile, rows, timed
from ganger.core import commands as cmd
from ganger.core.ids import RunId, Token
from ganger.journal.store import Store
from ganger.service.door import Ask, Client, Door, kept_policy
from ganger.service.fleet import Fleet

RUN = RunId("item-0.1")
SMALL, LARGE = 12_000, 1_000_000
COLD = """
import sys, time
from pathlib import Path
from ganger.core import commands as cmd
from ganger.service.door import submit
from ganger.service.fleet import Accepted
began = time.perf_counter()
reply = submit(Path(sys.argv[1]), cmd.AddNote("item-0.1", int(sys.argv[2]), "cold"), "worker:item-0.1")
print(time.perf_counter() - began)
assert isinstance(reply, Accepted), reply
"""


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        fleets.build(small, SMALL).close()
        fleets.build(large, LARGE).close()
        _commands(large)
        _cold(small, large)
        _served(small, large)
        _throughput(Path(folder))
        _memory(large)


def _wall(argv: list[str], env: dict[str, str] | None = None, runs: int = 15) -> float:
    def call() -> None:
        subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **(env or {})})

    return median(timed(call, runs))


def _commands(large: Path) -> None:
    python = [sys.executable, "-c", "pass"]
    ganger = [str(Path(sys.executable).with_name("ganger"))]
    state = {"GANGER_STATE": str(large)}
    bare = _wall(python)
    status, version = _wall([*ganger, "status"], state), _wall([*ganger, "version"])
    rows(
        "Commands on a fleet with 10,000 items and 1,000,000 events (whole process, median of 15)",
        [
            ("ganger status", ms(status), f"{status / bare:.1f} × python -c pass ({ms(bare)})", "≤ 8 ×"),
            ("ganger version", ms(version), f"{version / bare:.1f} × python -c pass", "≤ 4 ×"),
        ],
    )


def _token(state_dir: Path) -> Token:
    store = Store(state_dir / "journal.db")
    token = store.catch_up().runs[RUN].lease.token
    store.close()
    return token


def _cold(small: Path, large: Path) -> None:
    def once(state_dir: Path) -> float:
        token = str(_token(state_dir))
        argv = [sys.executable, "-c", COLD, str(state_dir), token]
        taken = [float(subprocess.run(argv, check=True, capture_output=True).stdout) for _ in range(11)]
        return median(taken)

    few, many = once(small), once(large)
    growth = f"{many / few:.2f} × of {SMALL:,} events ({ms(few)})"
    rows("One command from a cold process, after its start-up", [("submit", ms(many), growth, "≤ 60 ms, ≤ 1.5 ×")])


def _served(small: Path, large: Path) -> None:
    found = []
    for state_dir in (small, large):
        policy = kept_policy(state_dir)
        fleet = Fleet(Store(state_dir / "journal.db"), policy)
        token = _token(state_dir)
        fleet.look(lambda state, _: None)
        door = Door(state_dir, fleet, lambda _: None)
        with Client(state_dir) as client:
            taken = timed(
                lambda c=client, t=token: c.exchange(Ask(cmd.AddNote(RUN, t, "served"), "worker:item-0.1")), 500, 20
            )
        door.close()
        fleet.close()
        found.append(taken)
    few, many = found
    growth = f"{median(many) / median(few):.2f} × of {SMALL:,} events ({ms(median(few))})"
    rows(
        "One command through a running supervisor's socket",
        [("submit", f"p50 {ms(median(many))}, p99 {ms(percentile(many, 0.99))}", growth, "p50 ≤ 3 ms, ≤ 1.5 ×")],
    )


def _throughput(folder: Path) -> None:
    fleets.build(folder / "rate", 10_200).close()
    fleet = Fleet(Store(folder / "rate" / "journal.db"), kept_policy(folder / "rate"))
    token = fleet.look(lambda state, _: state.runs[RUN].lease.token)
    count = 4_000

    def alone() -> None:
        for number in range(count):
            fleet.submit(cmd.AddNote(RUN, token, f"n{number}"), "worker:item-0.1")

    def eight() -> None:
        def work() -> None:
            for number in range(count // 8):
                fleet.submit(cmd.AddNote(RUN, token, f"n{number}"), "worker:item-0.1")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    bare = bare_commits(folder / "bare.db", count)
    one, many = count / median(timed(alone, 3, 1)), count / median(timed(eight, 3, 1))
    fleet.close()
    rows(
        "Durable commands per second, in process",
        [
            (
                "one thread",
                f"{one:,.0f} /s",
                f"{one / bare:.0%} of bare one-row commits ({bare:,.0f} /s)",
                "≥ 2,000 /s, ≥ 40 %",
            ),
            ("eight threads (group commit)", f"{many:,.0f} /s", f"{many / bare:.0%}", ""),
        ],
    )


def bare_commits(path: Path, count: int) -> float:
    """Durable commits of one row per second, by one process that does nothing else."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB)")

    def commits() -> None:
        for _ in range(count):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO entries (body) VALUES (?)", (b"x" * 200,))
            db.execute("COMMIT")

    taken = median(timed(commits, 3, 1))
    db.close()
    return count / taken


PEAK = "[print(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM')]"
MEMORY = """
import sys
from pathlib import Path
from bench.tick import world
sup, _ = world(Path(sys.argv[1]))
for _ in range(20):
    sup()
"""


def _memory(large: Path) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", MEMORY + PEAK, str(large)], check=True, capture_output=True, cwd=root)
    bare = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True)
    used, empty = int(done.stdout) / 1024, int(bare.stdout) / 1024
    against = f"{used / empty:.1f} × an empty python ({empty:.0f} MB)"
    rows("Memory of a ticking supervisor on that fleet", [("peak resident", f"{used:.0f} MB", against, "≤ 150 MB")])


if __name__ == "__main__":
    main()
