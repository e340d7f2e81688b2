"""A night of 100 items of one second of work on 4 workers, against `xargs -P 4` over the same work in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import rows

ITEMS, WORKERS, WORK_S = 100, 4, 1.0
CONFIG = f"""
[fleet]
target = "main"
workers_max = {WORKERS}
[checks.unit]
run = "true"
[agents.hand]
driver = "command"
run = "sh -c 'sleep {WORK_S:g}; echo done > parts/${{GANGER_RUN%.*}}.txt'"
"""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        root = Path(folder)
        _repository(root / "repo")
        peer = _xargs()
        taken = _night(root)
        landed = subprocess.run(
            ["git", "-C", str(root / "repo"), "ls-tree", "--name-only", "main", "parts/"],
            check=True,
            capture_output=True,
        ).stdout.split()
        assert len(landed) == ITEMS + 1, len(landed)
        ideal = ITEMS / WORKERS * WORK_S
        rows(
            f"A night of {ITEMS} items of {WORK_S:g} s on {WORKERS} workers",
            [
                ("ganger run, all landed", f"{taken:.1f} s", f"{taken / ideal:.2f} × ideal ({ideal:g} s)", "≤ 1.2 ×"),
                ("xargs -P 4, nothing checked", f"{peer:.1f} s", f"{peer / ideal:.2f} × ideal", ""),
                ("ganger / xargs", f"{taken / peer:.2f} ×", "", ""),
            ],
        )


def _repository(top: Path) -> None:
    git = ["git", "-C", str(top), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    (top / "parts").mkdir()
    (top / "parts" / "README").write_text("parts\n")
    (top / "ganger.toml").write_text(CONFIG)
    plan = ['[plan]\nid = "bench"\ntitle = "Bench"\nchecks = ["unit"]\n']
    plan += [
        f'[[item]]\nid = "part-{n}"\ntitle = "Part {n}"\nbrief = "Write it."\n'
        f'scope = ["parts/part-{n}.txt"]\nagent = "hand"\n'
        for n in range(ITEMS)
    ]
    (top / "plan.toml").write_text("\n".join(plan))
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "start"], check=True)


def _xargs() -> float:
    numbers = "\n".join(str(n) for n in range(ITEMS)).encode()
    began = time.perf_counter()
    subprocess.run(["xargs", "-P", str(WORKERS), "-n", "1", "sh", "-c", f"sleep {WORK_S:g}"], input=numbers, check=True)
    return time.perf_counter() - began


def _night(root: Path) -> float:
    env = {**os.environ, "GANGER_STATE": str(root / "state"), "HOME": str(root)}
    argv = [str(Path(sys.executable).with_name("ganger")), "run", "plan.toml", "--trust", "--quiet"]
    began = time.perf_counter()
    subprocess.run(argv, check=True, cwd=root / "repo", env=env, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
