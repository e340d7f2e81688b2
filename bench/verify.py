"""`ganger verify` on a history of 1,000,000 commits, about an item that landed half of them ago.

Each is a whole process, against one that does nothing, in turns; ratios are of the time of the processor, children
included, which other work on the machine hardly changes. What the hub learns of the history, once, is timed by itself.
The first look at a name is told apart from the following ones, and, without a hub, walks the history.
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
from ganger.git.history import FOLDER
from ganger.git.history_keeper import keep_up
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.journal.store import Store
from ganger.service.door import keep_policy
from ganger.service.fleet import Accepted, Fleet
from ganger.service.shipped import NOTES
from ganger.testing.builders import add_plan, evidence, result, spec

COMMITS, RUNS, BOUND = 1_000_000, 11, "≤ 10 ×"
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
        hub = Hub.open(state_dir / "hub.git", open_repository(repo), "main")
        rows("what the hub learns of them", list(learnt(repo, hub)))
        rows(f"ganger verify on {COMMITS:,} commits (whole process, median of {RUNS})", list(measured(repo, hub)))


def grow(repo: Path) -> None:
    """One more commit on the target."""
    tree = git(repo, "rev-parse", "main^{tree}")
    git(repo, "update-ref", "refs/heads/main", git(repo, "commit-tree", "-p", "main", "-m", "More", tree))


def learnt(repo: Path, hub: Hub) -> Iterator[tuple[str, str, str, str]]:
    """Time the first look at all commits, and those at one more."""

    def once() -> tuple[float, int]:
        began, tip = time.perf_counter(), Commit(git(repo, "rev-parse", "main"))
        found = keep_up(hub, tip)
        return time.perf_counter() - began, found

    taken, found = once()
    size = sum(path.stat().st_size for path in (hub.path / FOLDER).iterdir())
    about = f"{taken / found * 1e6:.0f} µs and {size / found:.0f} bytes a commit"
    yield f"all {found:,} commits, once, in a thread of its own", ms(taken), about, ""
    each = []
    for _ in range(RUNS):
        grow(repo)
        each.append(once()[0])
    yield "one more commit", ms(median(each)), "", ""


def measured(repo: Path, hub: Hub) -> Iterator[tuple[str, str, str, str]]:
    """Time each question: at the first look, again, behind the tip, and where nothing was learnt."""
    state_dir = hub.path.parent
    aside = hub.path / f"{FOLDER}.aside"

    def forget() -> None:
        shutil.rmtree(state_dir / NOTES, ignore_errors=True)

    def move() -> None:
        grow(repo)
        forget()

    def nothing() -> None:
        pass

    asked = (
        (f"an item that landed {BEHIND:,} commits ago", "item", 0),
        ("an item that only a merge of ganger's names", "elsewhere", 0),
        ("an item that nothing speaks of", "nowhere", 1),
        (f"a commit {BEHIND:,} commits ago that nothing is known of", git(repo, "rev-parse", f"main~{BEHIND - 7}"), 0),
    )
    for what, name, code in asked:
        for when, before in (("first time", forget), ("again", nothing), ("first time, behind the tip", move)):
            yield against_nothing(f"{what}, {when}", repo, state_dir, name, code, before, RUNS, BOUND)
    (hub.path / FOLDER).rename(aside)
    for what, name, code in asked[:3]:
        yield against_nothing(f"{what}, first time, no hub", repo, state_dir, name, code, forget, 3, "")
        for when, before in (("again", nothing), ("after one more commit", lambda: grow(repo))):
            yield against_nothing(f"{what}, {when}, no hub", repo, state_dir, name, code, before, RUNS, BOUND)


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
