"""Leases for many processes at once: acquire, renew, release, with and without a supervisor; journals of three sizes.

Each of 32 processes goes round in a lane of its own, as a script would: it opens the journal itself, or goes through
the supervisor's socket with a new connection for each command. First all keep to a pace that makes 50 rounds a second,
and the longest wait of any command of any process is what counts; then all go as fast as they can. The baseline is
bare commits of one row by one process on the same disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import fleets
from bench.journal import bare_commits
from bench.table import ms, percentile, rows
from ganger.core import commands as cmd
from ganger.core.ids import LeaseId, Token
from ganger.core.model import Lane
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.door import Door, ask_supervisor, keep_policy, kept_policy
from ganger.service.fleet import Accepted, Fleet, Reply

PROCESSES, ROUNDS_PER_S = 32, 50
PACED_S, FAST_S = 8.0, 3.0
EVENTS = (10_500, 100_000, 1_000_000)
LANES = tuple(Lane(f"lane{n}", (f"lanes/{n}/**",)) for n in range(PROCESSES))
READY = "ready\n"
ONE = "import sys; from bench.leases import go_round; go_round(*sys.argv[1:])"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        bare = bare_commits(Path(folder, "bare.db"), 2_000)
        found = []
        for events in EVENTS:
            state_dir = Path(folder, str(events))
            fleets.build(state_dir, events).close()
            keep_policy(state_dir, Policy(workers_max=fleets.LIVE, lanes=LANES))
            for served in (False, True):
                found += measured(state_dir, events, bare, served=served)
        rows(f"Rounds of acquire, renew, release by {PROCESSES} processes", found)


def measured(state_dir: Path, events: int, bare: float, *, served: bool) -> list[tuple[str, str, str, str]]:
    """Time one way of going round on one journal."""
    fleet = Fleet(Store(state_dir / "journal.db"), kept_policy(state_dir))
    fleet.look(lambda state, _: None)
    door = Door(state_dir, fleet, lambda _: None) if served else None
    try:
        waits, per_s, fewest = crowd(state_dir, PACED_S, ROUNDS_PER_S / PROCESSES)
        _, fast, least = crowd(state_dir, FAST_S, 0.0)
    finally:
        if door is not None:
            door.close()
        fleet.close()
    how = f"{events:>9,} events, {'through a supervisor' if served else 'each by itself'}"
    share = f"{3 * fast / bare:.0%} of bare commits ({bare:,.0f} /s)"
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    return [
        (f"{how}, paced", f"{per_s:.1f} rounds/s, least {fewest:.2f} /s", "", f"{ROUNDS_PER_S} /s, none starved"),
        ("   one command", f"p50 {ms(p50)}, p99 {ms(p99)}, max {ms(waits[-1])}", "", "max ≤ 250 ms"),
        ("   as fast as they can", f"{fast:.0f} rounds/s, least {least:.2f} /s", share, ""),
    ]


def crowd(state_dir: Path, seconds: float, pace: float) -> tuple[list[float], float, float]:
    """Have all go round; the wait of each command, sorted, rounds a second of all, and of the slowest."""
    argv = [sys.executable, "-c", ONE, str(state_dir)]
    crew = [_one([*argv, str(n), str(seconds), str(pace)]) for n in range(PROCESSES)]
    for process in crew:
        assert process.stdout is not None and process.stdout.readline() == READY
    begin = f"{time.time() + 0.5}\n"
    for process in crew:
        assert process.stdin is not None
        process.stdin.write(begin)
        process.stdin.flush()
    told = [json.loads(process.communicate()[0]) for process in crew]
    assert all(process.returncode == 0 for process in crew)
    done = [one["rounds"] / seconds for one in told]
    return sorted(wait for one in told for wait in one["waits"]), sum(done), min(done)


def _one(argv: list[str]) -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    return subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)


def go_round(state_text: str, number: str, seconds: str, pace: str) -> None:
    """Go round until time is over, and print the seconds that each command took; the work of one process."""
    way = Way(Path(state_text))
    way.round(f"lane{number}")
    sys.stdout.write(READY)
    sys.stdout.flush()
    begin = float(sys.stdin.readline())
    time.sleep(max(0.0, begin - time.time() + int(number) / PROCESSES / (float(pace) or 1e9)))
    began = time.monotonic()
    way.waits, rounds = [], 0
    while time.monotonic() < began + float(seconds):
        way.round(f"lane{number}")
        rounds += 1
        if float(pace):
            time.sleep(max(0.0, began + rounds / float(pace) - time.monotonic()))
    print(json.dumps({"rounds": rounds, "waits": way.waits}))


class Way:
    """How one process gets its commands carried out, and what each took."""

    def __init__(self, state_dir: Path) -> None:
        self.waits: list[float] = []
        self._state_dir = state_dir
        self._fleet: Fleet | None = None

    def round(self, lane: str) -> None:
        """Acquire, renew, release."""
        acquired = self._timed(cmd.AcquireLease("bench", lane=lane))
        token = Token(acquired.seq)
        lease = LeaseId(f"lease:{token}")
        self._timed(cmd.RenewLease(lease, token, 700_000))
        self._timed(cmd.ReleaseLease(lease, token))

    def _timed(self, command: cmd.Command) -> Accepted:
        began = time.perf_counter()
        reply = self._submit(command)
        self.waits.append(time.perf_counter() - began)
        assert isinstance(reply, Accepted) and reply.events, reply
        return reply

    def _submit(self, command: cmd.Command) -> Reply:
        if self._fleet is None:
            reply = ask_supervisor(self._state_dir, command, "person:bench")
            if reply is not None:
                return reply
            self._fleet = Fleet(Store(self._state_dir / "journal.db"), kept_policy(self._state_dir))
        return self._fleet.submit(command, "person:bench")


if __name__ == "__main__":
    main()
