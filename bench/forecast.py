"""Conflicts foreseen among 20 live workspaces: rounds in which nothing, one workspace, or every one has changed.

Workspaces are of a repository of 2,000 files. In each round every changed workspace edits two files: one of its own and
one of a few that all of them edit. The price of starting git is told beside it, so that rounds can be counted in it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.questions import children_s
from bench.table import median, ms, rows
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.supervisor.forecast import Seer

WORKSPACES, FILES, SHARED, ROUNDS = 20, 2_000, 8, 7


class Field:
    """A repository, its hub, and workspaces whose files are edited."""

    def __init__(self, root: Path) -> None:
        self.root, self.edits = root, 0
        top = root / "repo"
        for number in range(FILES):
            file = top / f"src/p{number % 40}/m{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"line {line} of {number}\n" for line in range(60)))
        git(top, "init", "--quiet", "--initial-branch=main")
        git(top, "add", "--all")
        git(top, "commit", "--quiet", "--message", "Begin")
        self.hub = Hub.open(root / "hub.git", open_repository(top), "main")
        self.base = self.hub.sync_target()
        self.runs = [self.run(number) for number in range(WORKSPACES)]
        for run in self.runs:
            workspace.create(self.hub, self.place(run.id), run.id, run.base)
        self.seer = Seer(self.hub, self.place)

    def run(self, number: int) -> Run:
        lease = Lease(Token(number + 1), ("**",), LeaseMode.shared, 1 << 50)
        return Run(RunId(f"i{number}.1"), ItemId(f"i{number}"), 1, Commit(self.base), "x", lease, 0, turn=1)

    def place(self, run: str) -> Path:
        return self.root / "workspaces" / run

    def edit(self, number: int, *, commit: bool = False) -> None:
        """Change a line in a file of the workspace's own, and one in a file that others edit too."""
        self.edits += 1
        place = self.place(self.runs[number].id)
        for which in (100 + number, number % SHARED):
            file = place / f"src/p{which % 40}/m{which}.py"
            lines = file.read_text().splitlines(keepends=True)
            lines[(2 * number) % 60] = f"edit {self.edits}\n"
            file.write_text("".join(lines))
        if commit:
            git(place, "commit", "--quiet", "--all", "--message", f"Edit {self.edits}")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        field = Field(Path(folder))
        rows(f"{WORKSPACES} workspaces of {FILES:,} files (median of {ROUNDS} rounds)", list(measured(field)))


def measured(field: Field) -> Iterator[tuple[str, str, str, str]]:
    """Time each kind of round."""

    def none() -> None:
        pass

    def one() -> None:
        field.edit(3)

    def every() -> None:
        for number in range(WORKSPACES):
            field.edit(number)

    def committed() -> None:
        for number in range(WORKSPACES):
            field.edit(number, commit=True)

    every()
    yield told("the first round, all changed", field, none, 1, "")
    yield told("all changed", field, every, ROUNDS, "≤ 1 s")
    yield told("all changed, and committed", field, committed, ROUNDS, "≤ 1 s")
    yield told("one changed", field, one, ROUNDS, "")
    yield told("none changed", field, none, ROUNDS, "no git at all")


def told(what: str, field: Field, before: Callable[[], None], rounds: int, bound: str) -> tuple[str, str, str, str]:
    """Time some rounds, and what came out of the last."""
    taken, used = [], []
    for _ in range(rounds):
        before()
        snapshots, merges = field.seer.snapshots, field.seer.merges
        began, processor = time.perf_counter(), time.process_time() + children_s()
        found = field.seer.look(field.runs, 1)
        taken.append(time.perf_counter() - began)
        used.append(time.process_time() + children_s() - processor)
        assert not found.unseen, found
    done = f"{field.seer.snapshots - snapshots} workspaces frozen, {field.seer.merges - merges} pairs compared"
    began = time.perf_counter()
    git(field.root / "repo", "version")
    bare = time.perf_counter() - began
    figures = f"{ms(median(taken))}, of the processors {ms(median(used))}: {done}"
    return what, figures, f"{median(taken) / bare:.0f} × git version ({ms(bare)})", bound


def git(repo: Path, *args: str) -> None:
    """Run git as a worker does."""
    identity = ("-c", "user.name=B", "-c", "user.email=b@example.org", "-c", "gc.auto=0")
    subprocess.run(["git", *identity, *args], cwd=repo, check=True, capture_output=True)


if __name__ == "__main__":
    main()
