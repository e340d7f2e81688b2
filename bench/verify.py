"""`ganger verify` on a history of 1,000,000 commits, about an item that landed half of them ago.

Each is a whole process, against one that does nothing, in turns; ratios are of the time of the processor, children
included, which other work on the machine hardly changes. The first look at a name walks the history once; it is told
apart from the following ones, which go on where it ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.questions import GANGER, children_s
from bench.table import median, ms, rows
from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import WorkerId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.door import keep_policy
from ganger.service.fleet import Accepted, Fleet
from ganger.service.shipped import NOTES
from ganger.testing.builders import add_plan, evidence, result, spec

COMMITS, RUNS = 1_000_000, 11
BEHIND = COMMITS // 2
NAMED = COMMITS // 10
"""Where a merge stands that names an item which no journal knows."""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        repo, state_dir = Path(folder, "repo"), Path(folder, "state")
        began = time.perf_counter()
        build_history(repo)
        landed = git(repo, "rev-parse", f"main~{BEHIND}")
        build_fleet(state_dir, Commit(landed), Commit(git(repo, "rev-parse", f"{landed}^{{tree}}")))
        print(f"(a history of {COMMITS:,} commits, made in {time.perf_counter() - began:.0f} s)")
        rows(f"ganger verify on {COMMITS:,} commits (whole process, median of {RUNS})", list(measured(repo, state_dir)))


def measured(repo: Path, state_dir: Path) -> Iterator[tuple[str, str, str, str]]:
    """Time each question, with and without what earlier ones noted."""

    def forget() -> None:
        shutil.rmtree(state_dir / NOTES, ignore_errors=True)

    def grow() -> None:
        tree = git(repo, "rev-parse", "main^{tree}")
        git(repo, "update-ref", "refs/heads/main", git(repo, "commit-tree", "-p", "main", "-m", "More", tree))

    def nothing() -> None:
        pass

    asked = (
        (f"an item that landed {BEHIND:,} commits ago", "item", 0),
        ("an item that only a merge of ganger's names", "elsewhere", 0),
        ("an item that nothing speaks of", "nowhere", 1),
    )
    for what, name, code in asked:
        for when, before, bound in (("again", nothing, "≤ 10 ×"), ("after one more commit", grow, "≤ 10 ×")):
            yield against_nothing(f"{what}, {when}", repo, state_dir, name, code, before, RUNS, bound)
        yield against_nothing(f"{what}, first time", repo, state_dir, name, code, forget, 3, "")
    git(repo, "commit-graph", "write", "--reachable")
    what, name, code = asked[0]
    yield against_nothing(f"{what}, first time, with a commit-graph", repo, state_dir, name, code, forget, RUNS, "")


def against_nothing(
    what: str,
    repo: Path,
    state_dir: Path,
    name: str,
    code: int,
    before: Callable[[], None],
    runs: int,
    bound: str,
) -> tuple[str, str, str, str]:
    """Time one question and a process that does nothing, in turns."""
    env = {**os.environ, "GANGER_STATE": str(state_dir), "XDG_CONFIG_HOME": str(state_dir)}
    ours: list[tuple[float, float]] = []
    bare: list[float] = []
    for number in range(runs + 1):
        before()
        began, used = time.perf_counter(), children_s()
        done = subprocess.run([GANGER, "verify", name], check=False, capture_output=True, env=env, cwd=repo)
        taken = (time.perf_counter() - began, children_s() - used)
        assert done.returncode == code, done
        used = children_s()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        if number:
            ours.append(taken)
            bare.append(children_s() - used)
    wall, processor, baseline = median([w for w, _ in ours]), median([p for _, p in ours]), median(bare)
    ratio = f"{processor / baseline:.1f} × python -c pass ({ms(baseline)})"
    return what, f"{ms(wall)}, of the processor {ms(processor)}", ratio, bound


def build_history(repo: Path) -> None:
    """A branch `main` of that many commits, a second apart, one of which names an item."""
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=repo, stdin=subprocess.PIPE) as importing:
        assert importing.stdin is not None
        for mark in (1, 2):
            importing.stdin.write(b"blob\nmark :%d\ndata 2\n%d\n" % (mark, mark))
        for number in range(COMMITS):
            message = b"Change %d" % number
            if number == NAMED:
                message = b"Land elsewhere: A change\n\nGanger-Item: elsewhere\n"
            importing.stdin.write(
                b"commit refs/heads/main\ncommitter B <b@example.org> %d +0000\ndata %d\n%s\nM 100644 :%d file\n\n"
                % (1_500_000_000 + number, len(message), message, 1 + number % 2)
            )
        importing.stdin.close()
        assert importing.wait() == 0


def build_fleet(state_dir: Path, landed: Commit, tree: Commit) -> None:
    """A fleet whose one item landed with that commit."""
    state_dir.mkdir()
    policy = Policy()
    keep_policy(state_dir, policy)
    fleet = Fleet(Store(state_dir / "journal.db"), policy)

    def do(command: cmd.Command) -> Accepted:
        reply = fleet.submit(command, "supervisor")
        assert isinstance(reply, Accepted), reply
        return reply

    base, candidate, run = Commit("b" * 40), Commit("c" * 40), RunId("item.1")
    fleet.submit(add_plan(spec("item")), "person:bench")
    token = Token(do(cmd.GrantRun(ItemId("item"), base)).seq)
    do(cmd.RecordStart(run, token, 1, WorkerId(1, 1)))
    fleet.submit(cmd.ReportDone(run, token), f"worker:{run}")
    do(cmd.RecordExit(run, token, 1, 0))
    do(cmd.RecordEvidence(run, token, 1, evidence(commit=candidate)))
    do(cmd.RecordTrain(((run, token, candidate),), (run,), base, landed, tree, True, (result(),)))
    do(cmd.RecordLanding(landed, "landed", landed))
    fleet.close()


def git(repo: Path, *args: str) -> str:
    """What git prints."""
    identity = ("-c", "user.name=B", "-c", "user.email=b@example.org")
    return subprocess.run(
        ["git", *identity, *args], cwd=repo, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
