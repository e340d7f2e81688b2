"""From an agent's `done` to the start of its checks, in real nights: nothing is waited for that need not be.

Each worker rests, commits, says that it is done and ends; its check prints what time it is when it begins. In between
ganger fetches and looks at the candidate with a dozen of git's processes, beside one of which it is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.table import ms, percentile, rows, timed

ITEMS = 32
WORKER = """
sleep 1
echo done > parts/${GANGER_RUN%.*}.txt
git add -A; git -c user.name=bench -c user.email=bench@localhost commit -q -m work
ganger done --summary "It is done." > /dev/null
date +%s%N
"""
CONFIG = """
[fleet]
target = "main"
workers_max = {workers}
[checks.unit]
run = "date +%s%N"
[agents.hand]
driver = "command"
run = "sh worker.sh"
"""


def main() -> None:
    """Print the table."""
    found: list[tuple[str, str, str, str]] = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
            root = Path(folder)
            _repository(root / "repo", workers)
            _night(root)
            said, ended = _delays(root / "state")
            base = percentile(_starts(root / "repo"), 0.5)
        for what, taken in (("from the acknowledged `done`", said), ("from the end of the worker", ended)):
            figure = f"p50 {ms(percentile(taken, 0.5))}, p90 {ms(percentile(taken, 0.9))}, max {ms(taken[-1])}"
            ratio = f"{percentile(taken, 0.5) / base:.0f} × one process of git ({ms(base)})"
            found.append((f"{what} to the start of its check, {workers} at once", figure, ratio, "≤ 200 ms"))
    rows(f"Done, {ITEMS} times each", found)


def _repository(top: Path, workers: int) -> None:
    git = ["git", "-C", str(top), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    (top / "parts").mkdir()
    (top / "parts" / "README").write_text("parts\n")
    (top / "worker.sh").write_text(WORKER)
    (top / "ganger.toml").write_text(CONFIG.format(workers=workers))
    plan = ['[plan]\nid = "bench"\ntitle = "Bench"\nchecks = ["unit"]\n']
    plan += [
        f'[[item]]\nid = "part-{n}"\ntitle = "Part {n}"\nbrief = "Write it."\n'
        f'scope = ["parts/part-{n}.txt"]\nagent = "hand"\n'
        for n in range(ITEMS)
    ]
    (top / "plan.toml").write_text("\n".join(plan))
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "start"], check=True)


def _night(root: Path) -> None:
    env = {**os.environ, "GANGER_STATE": str(root / "state"), "HOME": str(root)}
    argv = [str(Path(sys.executable).with_name("ganger")), "run", "plan.toml", "--trust", "--quiet"]
    subprocess.run(argv, check=True, cwd=root / "repo", env=env, capture_output=True)


def _delays(state: Path) -> tuple[list[float], list[float]]:
    """Seconds from each word of a worker, and from its end, to the first thing its check did; sorted."""
    said, ended = [], []
    for turn in sorted(state.glob("runs/*/turn-1")):
        began_ns = int((turn / "checks/unit.log").read_text().split()[0])
        said.append((began_ns - int((turn / "output.log").read_text().split()[-1])) / 1e9)
        ended.append(began_ns / 1e9 - json.loads((turn / "exit.json").read_bytes())["ended_ms"] / 1e3)
    assert len(said) == ITEMS, len(said)
    return sorted(said), sorted(ended)


def _starts(repo: Path) -> list[float]:
    """Seconds that git takes for next to nothing; sorted."""
    return timed(lambda: subprocess.run(["git", "-C", str(repo), "rev-parse", "HEAD"], capture_output=True), ITEMS)


if __name__ == "__main__":
    main()
