"""The train on 32 candidates, two of them guilty, with a check of 2 s: against one by one and the `mergetrain` package.

All on the same repository and candidates, in one run. `python -m bench train`; `BENCH_TRAIN_CHECK_S` is the length of
the check. The package is installed into a virtual environment of its own; where it cannot be had, that is said.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from random import Random

from bench.table import rows
from ganger.core.policy import Policy
from ganger.testing.real_train import Candidate, Depot

COUNT, GUILTY, PEER = 32, 2, "mergetrain==3.7.1"
CHECK_S = float(os.environ.get("BENCH_TRAIN_CHECK_S", "2"))
SEED = int(os.environ.get("BENCH_TRAIN_SEED", "7"))
Figures = tuple[int, float, int]
"""Check runs, wall seconds, candidates landed."""


def main() -> None:
    """Print the table."""
    guilty = set(Random(SEED).sample(range(COUNT), GUILTY))
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        root = Path(folder)
        one = _ganger(root / "one", guilty, Policy(train_max=1, train_parallel=1, flaky_retries=0, workers_max=COUNT))
        train = _ganger(root / "train", guilty, Policy(flaky_retries=0, workers_max=COUNT))
        careful = _ganger(root / "careful", guilty, Policy(workers_max=COUNT))
        peer = _mergetrain(root / "peer", guilty)
    found = [
        ("one by one", _shown(one), "", ""),
        (
            "the train, two tests at a time",
            _shown(train),
            f"{train[1] / one[1]:.2f} × one by one",
            "≤ 14 runs, ≤ 0.35 ×",
        ),
        ("and seen twice before blamed", _shown(careful), f"{careful[1] / one[1]:.2f} × one by one", ""),
    ]
    if isinstance(peer, str):
        found.append((PEER, "not measured", peer, ""))
    else:
        found.append((PEER, _shown(peer), f"{peer[1] / one[1]:.2f} × one by one", "train ≤ its figures"))
    rows(f"{COUNT} candidates, {GUILTY} guilty (numbers {sorted(guilty)}), a check of {CHECK_S:g} s", found)


def _shown(figures: Figures) -> str:
    return f"{figures[0]} check runs, {figures[1]:.1f} s, {figures[2]} landed"


def _candidates(guilty: set[int]) -> list[Candidate]:
    names = [(n, "bad" if n in guilty else "good") for n in range(COUNT)]
    return [Candidate(f"c{n:02}", {f"{kind}-{n:02}.txt": f"{n}\n"}) for n, kind in names]


def _argv(count: Path) -> tuple[str, ...]:
    return ("sh", "-c", f"echo x >> {count}; sleep {CHECK_S:g}; set -- bad-*; test ! -e $1")


def _runs(count: Path) -> int:
    return len(count.read_text().splitlines())


def _ganger(root: Path, guilty: set[int], policy: Policy) -> Figures:
    root.mkdir()
    depot = Depot(root, {"README": "start\n"}, _candidates(guilty), _argv(root / "count"), policy)
    try:
        began = time.perf_counter()
        depot.night()
        taken = time.perf_counter() - began
        names = set(depot.git("ls-tree", "--name-only", "main").split())
        assert len(names) == 1 + COUNT - GUILTY and not any(name.startswith("bad") for name in names), sorted(names)
        return _runs(root / "count"), taken, len(depot.landed())
    finally:
        depot.close()


PEER_CONFIG = """version: 2
project:
  name: bench
state:
  db: .mergetrain/queue.sqlite
  logs: .mergetrain/logs
  worktree_root: .mergetrain/worktrees
git:
  remote: origin
  integration_branch: main
  push_refs:
    - main
queue:
  lock_ttl_minutes: 30
  daemon_interval_seconds: 1
  heartbeat_interval_seconds: 1
  command_timeout_seconds: 600
gates:
  - name: tests
    run: {gate}
deploy:
  reuse:
    enabled: true
    max_age_minutes: 60
    on_mismatch: rerun
    fingerprints: []
"""


def _mergetrain(root: Path, guilty: set[int]) -> Figures | str:
    """The same with the package: enqueue all, then validate and deploy; or why that could not be."""
    root.mkdir()
    venv.create(root / "venv", with_pip=True)
    python = str(root / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", PEER]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"could not be installed: {done.stderr.strip().splitlines()[-1][:80]}"
    config = root / "gitconfig"
    config.write_text("[user]\nname = bench\nemail = bench@localhost\n[init]\ndefaultBranch = main\n")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root)}
    repo = root / "repo"

    def git(*args: str, at: Path = repo) -> None:
        subprocess.run(["git", *args], cwd=at, env=env, check=True, capture_output=True)

    def cli(*args: str) -> subprocess.CompletedProcess[str]:
        argv = [python, "-m", "mergetrain", "--repo", str(repo), *args]
        return subprocess.run(argv, cwd=repo, env=env, capture_output=True, text=True, check=False)

    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(root / "remote.git")], env=env, check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], env=env, check=True)
    git("remote", "add", "origin", str(root / "remote.git"))
    gate = "sh -c " + repr(_argv(root / "count")[2])
    (repo / "README").write_text("start\n")
    (repo / ".gitignore").write_text(".mergetrain/\n")
    (repo / ".mergetrain.yaml").write_text(PEER_CONFIG.replace("{gate}", "'" + gate.replace("'", "''") + "'"))
    git("add", "-A")
    git("commit", "-q", "-m", "start")
    git("push", "-q", "-u", "origin", "main")
    for one in _candidates(guilty):
        place = root / "agents" / one.name
        git("worktree", "add", "-q", "-b", f"agent/{one.name}", str(place), "main")
        for name, text in one.files.items():
            (place / name).write_text(str(text))
        git("add", "-A", at=place)
        git("commit", "-q", "-m", one.name, at=place)
        queued = cli("enqueue", "--task", one.name, "--branch", f"agent/{one.name}", "--worktree", str(place))
        if queued.returncode:
            return f"enqueue failed: {(queued.stderr or queued.stdout).strip()[:80]}"
    began = time.perf_counter()
    cli("validate")
    plan = json.loads(cli("deploy", "--json").stdout).get("deploy_plan_sha", "")
    deployed = cli("deploy", "--expected-plan", plan, "--json")
    taken = time.perf_counter() - began
    tree = ["git", "--git-dir", str(root / "remote.git"), "ls-tree", "--name-only", "main"]
    names = subprocess.run(tree, env=env, check=True, capture_output=True, text=True).stdout.split()
    landed = sum(name.startswith("good") for name in names)
    if not landed:
        return f"deployed nothing: {(deployed.stderr or deployed.stdout).strip()[-80:]}"
    return _runs(root / "count"), taken, landed


if __name__ == "__main__":
    main()
