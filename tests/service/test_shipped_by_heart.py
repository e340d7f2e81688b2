"""Is it in the target's history, asked where the hub knows that by heart: the same answers, and git does not walk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganger.core.ids import Commit
from ganger.git.command import Finished, UserGit
from ganger.git.history_keeper import keep_up
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.service import shipped
from ganger.service.shipped import Shipped, Target

ASKED = ("ours", "theirs", "spoken", "side", "nothing", "two words")


class Counting(UserGit):
    """Git that remembers what it was asked."""

    def call(self, *args: str, **rest: object) -> Finished:
        """See `UserGit.call`."""
        calls.append(args[0])
        return super().call(*args, **rest)  # type: ignore[arg-type]


calls: list[str] = []


class Lab:
    """A repository with a hub, whose history speaks of several names."""

    def __init__(self, root: Path) -> None:
        self.top, self.state_dir = root / "repo", root / "state"
        self.top.mkdir()
        self.state_dir.mkdir()
        self.git = UserGit(self.top)
        self.run("init", "--quiet", "--initial-branch=main")
        self.first = self.commit("Begin")
        self.ours = self.commit("Land ours: X\n\nGanger-Item: ours\n")
        self.run("checkout", "--quiet", "-b", "side")
        self.commit("Work\n\nGanger-Item: side\n")
        self.run("checkout", "--quiet", "main")
        self.run("merge", "--quiet", "--no-ff", "--message", "Merge", "side")
        self.commit("About spoken, and two words")
        self.hub = Hub.open(self.state_dir / "hub.git", open_repository(self.top), "main")
        self.target = Target(Counting(self.top), self.top / ".git", "main", self.state_dir / "shipped", self.hub.path)

    def run(self, *args: str) -> str:
        return self.git.text("-c", "user.name=D", "-c", "user.email=d@example.org", *args)

    def commit(self, message: str) -> Commit:
        self.run("commit", "--quiet", "--allow-empty", "--message", message)
        return self.tip()

    def tip(self) -> Commit:
        return Commit(self.run("rev-parse", "HEAD"))

    def ask(self, name: str) -> tuple[Shipped, list[str]]:
        calls.clear()
        return shipped.shipped(name, self.target, None), list(calls)

    def walking(self, name: str) -> Shipped:
        """The answer of somebody who has no hub."""
        return shipped.shipped(name, self.target._replace(hub=None, notes=None), None)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Lab(tmp_path)


def test_names_are_answered_without_git_at_the_first_look(lab: Lab) -> None:
    keep_up(lab.hub, lab.tip())
    for name in ASKED:
        found, asked = lab.ask(name)
        assert found == lab.walking(name)
        assert asked == ([] if name != "two words" else ["log", "log"]), name
    assert [lab.ask(name)[0].rung for name in ASKED] == ["committed", "", "reported", "reported", "", "reported"]
    assert len(list((lab.state_dir / "shipped").iterdir())) == 1, "only what nobody knows by heart is noted"


def test_behind_the_tip_only_new_commits_are_walked(lab: Lab) -> None:
    keep_up(lab.hub, lab.tip())
    landed = lab.commit("Land theirs: Y\n\nGanger-Item: theirs\n")
    for name in ASKED:
        assert lab.ask(name)[0] == lab.walking(name), name
    found, asked = lab.ask("theirs")
    assert (found.rung, found.commit) == ("committed", landed)
    assert asked[0] == "merge-base" and set(asked[1:]) == {"log"}


def test_a_commit_is_found_without_a_walk(lab: Lab) -> None:
    keep_up(lab.hub, lab.tip())
    for commit in (lab.ours, lab.first, lab.tip()):
        found, asked = lab.ask(commit)
        assert found.rung == "committed" and asked == ["rev-parse"]
    other = Commit(lab.run("commit-tree", "HEAD^{tree}", "-m", "loose"))
    found, asked = lab.ask(other)
    assert found == Shipped("", other, f"main does not contain {other[:12]}") and asked == ["rev-parse"]
    newer = lab.commit("Newer")
    assert lab.ask(newer)[0].rung == "committed"
    assert lab.ask(other)[0].rung == "" and "rev-list" in calls


def test_after_a_forced_move_nothing_of_it_counts(lab: Lab) -> None:
    """Negative control: what is known of another history would say that it is there."""
    keep_up(lab.hub, lab.tip())
    gone = lab.tip()
    lab.run("reset", "--quiet", "--hard", str(lab.first))
    lab.commit("Another way")
    for name in ASKED:
        assert lab.ask(name)[0] == lab.walking(name), name
    assert lab.ask("ours")[0].rung == "" and lab.ask(gone)[0].rung == ""
    assert lab.target.known(gone) is not None and lab.target.known(lab.tip()) is None
