"""What a jail costs: preparing a workspace of 5,000 files, the start of a program in it, the end of 500 processes.

Programs are started as a supervisor does it, through a launcher; for comparison also as a single command does it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from bench.table import median, ms, rows, timed
from ganger.core.ids import Commit, RunId
from ganger.drivers import process
from ganger.drivers.process import ProcessSpec
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail import rights
from ganger.jail.bounds import Bounds
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.jail.none import NoJail
from ganger.jail.port import Jail, Reach
from ganger.service import containment

FILES, STORM, RUNS, ROUNDS = 5_000, 500, 60, 5
SLEEPERS = f"import os, time\nfor _ in range({STORM}):\n    os.fork() or time.sleep(1000)\nprint('ready', flush=True)\n"


def main() -> None:
    """Print the table."""
    tools = tools_for(os.environ.get("PATH", os.defpath), ())
    jails: dict[str, Jail] = {"none": NoJail()}
    jails |= {name: choose(Mechanism(name), "T1", tools) for name in ("bubblewrap", "landlock")}
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        root = Path(folder)
        jails["bubblewrap"] = containment.furnished(jails["bubblewrap"], root)
        with rights.launching():
            found = [_preparing(root, jails["bubblewrap"])]
        starts = _starts(root, jails)
        bare = starts["none", "launcher"][0]
        for (name, by), (took, used) in starts.items():
            over = f"{ms(took - starts['none', by][0])} more than unjailed, " if name != "none" else ""
            what = "a check that does nothing" + (", unjailed" if name == "none" else f", {name}")
            against = f"{took / bare:.2f} × unjailed; {over}{ms(used)} of CPU"
            bound = "≤ 15 ms more" if over and by == "launcher" else ""
            found.append((f"{what}, {by}", ms(took), against, bound))
        with rights.launching():
            reaped = {name: median([_reaping(root, name, jail) for _ in range(3)]) for name, jail in jails.items()}
        for name, took in reaped.items():
            found.append(
                (f"ending {STORM} processes, {name}", ms(took), f"{took / reaped['none']:.2f} × none", "≤ 1 s")
            )
        rows(f"Jails (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)", found)


def _starts(root: Path, jails: dict[str, Jail]) -> dict[tuple[str, str], tuple[float, float]]:
    """For each jail and way to start: the median of a check that does nothing, and its CPU time, in seconds.

    One of each in turn: what else this machine does is then the same for all.
    """
    took: dict[tuple[str, str], list[float]] = {}
    used: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for name, jail in jails.items():
            for by in ("launcher", "directly"):
                before = _cpu_s()
                with rights.launching() if by == "launcher" else nullcontext():
                    times = timed(_starting(root, jail), RUNS // ROUNDS, 1)
                took.setdefault((name, by), []).extend(times)
                used[name, by] = used.get((name, by), 0.0) + (_cpu_s() - before) / (len(times) + 1)
    return {key: (median(times), used[key] / ROUNDS) for key, times in took.items()}


def _cpu_s() -> float:
    """CPU time of this process and of all its children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def _preparing(root: Path, jail: Jail) -> tuple[str, str, str, str]:
    """A workspace, and the first program in it; against a plain clone of the same repository."""
    top = root / "repo"
    git = ["git", "-C", str(top), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    for number in range(FILES):
        path = top / f"src/{number % 50}/{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value = {number}\n" * 20)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "start"], check=True)
    hub = Hub.open(root / "state/hub.git", open_repository(top), "main")
    base = Commit(hub.sync_target())
    numbers = iter(range(1_000))

    def prepare() -> None:
        number = next(numbers)
        place, turn = root / f"state/workspaces/a.{number}", root / f"state/runs/a.{number}"
        workspace.create(hub, place, RunId(f"a.{number}"), base)
        for name in ("home", "tmp", "spool"):
            (turn / name).mkdir(parents=True)
        reach = Bounds().of_worker("", place, turn, turn, hub.objects, turn / "spool")
        ended = process.run_check(("true",), {"PATH": "/usr/bin:/bin"}, place, 60_000, turn / "log", jail, reach)
        assert ended.code == 0, ended

    def clone() -> None:
        subprocess.run(["git", "clone", "-q", str(top), str(root / f"clone-{next(numbers)}")], check=True)

    ours, peer = median(timed(prepare, 5, 1)), median(timed(clone, 5, 1))
    return f"jailed workspace of {FILES:,} files", ms(ours), f"{ours / peer:.2f} × git clone ({ms(peer)})", "≤ 300 ms"


def _starting(root: Path, jail: Jail) -> Callable[[], None]:
    place = root / "start"
    place.mkdir(exist_ok=True)
    reach = Reach(writable=(place,))

    def start() -> None:
        ended = process.run_check(("true",), {"PATH": "/usr/bin:/bin"}, place, 60_000, place / "log", jail, reach)
        assert ended.code == 0, ended

    return start


def _reaping(root: Path, name: str, jail: Jail) -> float:
    place = root / f"storm-{name}-{time.monotonic_ns()}"
    place.mkdir()
    (place / "storm.py").write_text(SLEEPERS + "time.sleep(1000)\n")
    spec = ProcessSpec(
        argv=(sys.executable, "-I", "-S", "storm.py"),
        env={"PATH": "/usr/bin:/bin"},
        cwd=place,
        output_path=place / "out",
        exit_path=place / "exit.json",
        marker=f"bench:{place}",
        reach=Reach(writable=(place,)),
    )
    worker = process.start(spec, jail)
    while b"ready" not in (place / "out").read_bytes():
        time.sleep(0.01)
    began = time.perf_counter()
    process.stop(worker, 0)
    took = time.perf_counter() - began
    ended = process.exit_of(place / "exit.json")
    assert ended is not None and ended.left == 0, ended
    return took


if __name__ == "__main__":
    main()
