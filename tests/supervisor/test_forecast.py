"""Conflicts of live workspaces, foreseen: what is seen, what is not looked at twice, and what a worker is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from lab import git
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.git import workspace
from ganger.git.forecast import Grade, touches
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.supervisor.forecast import Background, Forecast, Foreseen, Seer, notices, read, sentence

LINES = "".join(f"line {n}\n" for n in range(1, 31))


class Field:
    """A repository with as many live workspaces as wanted."""

    def __init__(self, root: Path, count: int) -> None:
        top = root / "repo"
        top.mkdir()
        git(top, "init", "-q", "-b", "main")
        (top / "f.txt").write_text(LINES)
        (top / "g.txt").write_text(LINES)
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", "start")
        self.root = root
        self.hub = Hub.open(root / "hub.git", open_repository(top), "main")
        base = self.hub.sync_target()
        self.runs = [
            Run(RunId(f"i{n:02}.1"), ItemId(f"i{n:02}"), 1, Commit(base), "x", self.lease(n), 0, turn=1)
            for n in range(count)
        ]
        for run in self.runs:
            workspace.create(self.hub, self.place(run.id), run.id, run.base)
        self.seer = Seer(self.hub, self.place)

    def lease(self, number: int) -> Lease:
        return Lease(Token(number + 1), ("**",), LeaseMode.shared, 1 << 50)

    def place(self, run: str) -> Path:
        return self.root / "workspaces" / run

    def change(self, number: int, line: int, text: str, *, file: str = "f.txt", commit: bool = False) -> None:
        place = self.place(self.runs[number].id)
        lines = (place / file).read_text().splitlines()
        lines[line - 1] = text
        (place / file).write_text("\n".join(lines) + "\n")
        if commit:
            git(place, "commit", "-qam", text)

    def look(self) -> list[tuple[str, str, str, tuple[str, ...]]]:
        return [(one.run, one.other, one.grade, one.conflicts) for one in self.seer.look(self.runs, 1).foreseen]


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path, 3)


def test_two_runs_that_will_conflict_are_named_before_either_is_done(field: Field) -> None:
    assert field.look() == []
    field.change(0, 5, "mine", commit=True)
    field.change(1, 5, "theirs")
    assert field.look() == [("i01.1", "i00.1", "same-lines", ("f.txt",))]
    field.change(1, 5, "line 5")
    assert field.look() == []


def test_the_worst_come_first(field: Field) -> None:
    field.change(0, 5, "a")
    field.change(1, 20, "b")
    field.change(2, 21, "c")
    assert field.look() == [
        ("i02.1", "i01.1", "adjacent", ("f.txt",)),
        ("i01.1", "i00.1", "same-file", ()),
        ("i02.1", "i00.1", "same-file", ()),
    ]


def test_only_what_has_changed_is_looked_at_again(field: Field) -> None:
    field.change(0, 5, "a")
    field.change(1, 5, "b")
    field.look()
    snapshots, merges = field.seer.snapshots, field.seer.merges
    field.look()
    assert (field.seer.snapshots, field.seer.merges) == (snapshots, merges)
    field.change(2, 9, "c")
    field.look()
    assert (field.seer.snapshots, field.seer.merges) == (snapshots + 1, merges + 2)


def test_runs_with_other_bases_meet_where_their_histories_parted(field: Field) -> None:
    """As git finds it by itself, also when the run that began first was moved on to a newer target."""
    top = field.root / "repo"
    (top / "f.txt").write_text(LINES.replace("line 10\n", "by others\n"))
    git(top, "commit", "-qam", "others")
    newer = field.hub.sync_target()
    first = field.runs[0] = replace(field.runs[0], base=newer)
    git(field.place(first.id), "fetch", "-q", str(top), "main")
    git(field.place(first.id), "reset", "-q", "--hard", newer)
    field.change(0, 20, "a", commit=True)
    field.change(1, 11, "b")
    field.change(2, 25, "c")
    found = field.look()
    one, other = (field.seer._commits[run.id] for run in field.runs[:2])
    (alone,) = touches(field.hub, [(one, other)])
    assert alone.grade is Grade.adjacent and ("i01.1", "i00.1", "adjacent", ("f.txt",)) in found
    assert ("i02.1", "i01.1", "same-file", ()) in found


def test_a_workspace_that_cannot_be_read_is_named_and_the_others_are_compared(field: Field) -> None:
    field.change(0, 5, "a")
    field.change(1, 5, "b")
    broken = field.place(field.runs[2].id)
    for item in sorted((broken / ".git").rglob("*"), reverse=True):
        item.unlink() if not item.is_dir() else None
    found = field.seer.look(field.runs, 1)
    assert [one.grade for one in found.foreseen] == ["same-lines"]
    assert len(found.runs) + len(found.unseen) == 3


def test_twenty_workspaces_take_a_second_at_most_and_next_to_nothing_when_nothing_changed(tmp_path: Path) -> None:
    field = Field(tmp_path, 20)
    for number in range(20):
        field.change(number, number + 1, f"by {number}")
    field.look()
    for number in range(20):
        field.change(number, number + 2, f"again by {number}")
    began = time.perf_counter()
    found = field.look()
    full_s = time.perf_counter() - began
    began = time.perf_counter()
    assert field.look() == found
    rest_s = time.perf_counter() - began
    assert len(found) == 190 and rest_s < full_s / 5 and rest_s < 1.0, (full_s, rest_s)


def test_the_background_keeps_what_it_saw_and_looks_once_in_a_while(field: Field, tmp_path: Path) -> None:
    field.change(0, 5, "a")
    field.change(1, 5, "b")
    background = Background(field.seer, tmp_path)
    assert read(tmp_path) is None
    background.nudge(field.runs[:1], 1_000)
    assert background._thread is None
    background.nudge(field.runs, 1_000)
    assert background._thread is not None
    background._thread.join(20)
    found = read(tmp_path)
    assert found is not None and [one.run for one in found.foreseen] == ["i01.1"]
    first = background._thread
    background.nudge(field.runs, 5_000)
    assert background._thread is first
    (tmp_path / "forecast.json").write_text("{")
    assert read(tmp_path) is None


def test_the_later_worker_is_told_of_what_is_close() -> None:
    a, b, c = (RunId(f"{name}.1") for name in "abc")
    close = Foreseen(b, a, "same-lines", ("x.py",), ("x.py",))
    far = Foreseen(b, c, "same-file", ("y.py",))
    odd = Foreseen(b, c, "ungradable", ("z.bin",))
    forecast = Forecast(1, (a, b, c), (close, far, odd))
    assert notices(forecast, b) == (
        "- b.1 and a.1 would not merge as they are: x.py (same-lines)",
        "- b.1 and c.1 change z.bin, where nobody can tell lines apart: look at both",
    )
    assert notices(forecast, a) == () and notices(None, a) == ()
    many = Foreseen(b, a, "adjacent", tuple(f"{n}.py" for n in range(7)))
    assert sentence(many) == "b.1 and a.1 change 0.py, 1.py, 2.py, 3.py, 4.py and 2 more (adjacent)"
