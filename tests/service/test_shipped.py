"""Is it in the target's history, and how well proven: by the journal and git, by a merge's words, by any words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ganger.cli import verify
from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Rung, WorkerId
from ganger.core.policy import Policy
from ganger.git.command import UserGit
from ganger.journal.queries import Reader
from ganger.journal.store import Store
from ganger.service import door, shipped
from ganger.service.fleet import Accepted, Fleet
from ganger.service.shipped import RUNGS, Note, Shipped, Target, read_note
from ganger.testing.builders import add_plan, evidence, result, spec


class Lab:
    """A repository with a branch `main`, and a fleet that knows the items `a` and `b`."""

    def __init__(self, root: Path) -> None:
        self.repo, self.state_dir = root / "repo", root / "state"
        for folder in (self.repo, self.state_dir):
            folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.begin = self.commit("Begin")
        self.target = Target(UserGit(self.repo), self.repo / ".git", "main", self.state_dir / "shipped")
        self.fleet = Fleet(Store(self.state_dir / "journal.db"), Policy())
        self.do(add_plan(spec("a"), spec("b", scope=("docs/**",))), "person:olga")

    def git(self, *args: str) -> str:
        identity = ("-c", "user.name=D", "-c", "user.email=d@example.org")
        done = subprocess.run(["git", *identity, *args], cwd=self.repo, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def merge(self, message: str, worker_says: str = "work") -> str:
        """Merge a commit of a worker's as ganger does."""
        self.git("checkout", "--quiet", "--detach")
        self.commit(worker_says)
        theirs = self.git("rev-parse", "HEAD")
        self.git("checkout", "--quiet", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", message, theirs)
        return self.git("rev-parse", "HEAD")

    def do(self, command: cmd.Command, actor: str = "supervisor") -> Accepted:
        reply = self.fleet.submit(command, actor)
        assert isinstance(reply, Accepted), reply
        return reply

    def land(self, item: str, commit: str, tree: str = "") -> None:
        """Record that the item landed with that commit."""
        run, candidate = RunId(f"{item}.1"), Commit("c" * 40)
        token = Token(self.do(cmd.GrantRun(ItemId(item), Commit("b" * 40))).seq)
        self.do(cmd.RecordStart(run, token, 1, WorkerId(1, 1)))
        self.do(cmd.ReportDone(run, token), f"worker:{run}")
        self.do(cmd.RecordExit(run, token, 1, 0))
        path = "src/a.py" if item == "a" else "docs/a.md"
        self.do(cmd.RecordEvidence(run, token, 1, evidence(commit=candidate, changed=(path,))))
        tested = Commit(tree or self.git("rev-parse", f"{commit}^{{tree}}"))
        members, landed = ((run, token, candidate),), Commit(commit)
        self.do(cmd.RecordTrain(members, (run,), Commit("b" * 40), landed, tested, True, (result(),)))
        self.do(cmd.RecordLanding(landed, "landed", landed))

    def ask(self, name: str, target: Target | None = None) -> Shipped:
        with closing(Reader(self.state_dir / "journal.db")) as reader:
            return shipped.shipped(name, target or self.target, reader)

    def elsewhere(self, name: str) -> Shipped:
        """The same question where there is no fleet."""
        return shipped.shipped(name, self.target._replace(notes=None), None)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.fleet.close()


def test_the_rungs_are_those_of_the_model() -> None:
    assert [Rung.parse(name) for name in RUNGS] == [Rung.reported, Rung.committed, Rung.landed]
    assert verify.POLICY == door.POLICY


def test_a_landing_is_held_against_git(lab: Lab) -> None:
    landed = lab.merge("Land a: A\n\nGanger-Item: a\n")
    lab.land("a", landed)
    found = lab.ask("a")
    assert (found.rung, found.commit) == ("landed", landed)
    assert found.why.endswith("and main contains it") and lab.ask("a.1") == found
    for commit in (landed, landed[:10]):
        assert lab.ask(commit)[:2] == ("landed", landed)
    assert lab.ask("b") == Shipped("", "", "b has not landed: it is ready")


def test_an_item_that_is_not_done_is_not_shipped_by_words(lab: Lab) -> None:
    """The journal knows it, so what a message says of it does not count."""
    lab.merge("Land a: A\n\nGanger-Item: a\n")
    assert lab.ask("a") == Shipped("", "", "a has not landed: it is ready")
    assert lab.elsewhere("a").rung == "committed"


def test_a_landing_whose_commit_holds_another_tree_is_none(lab: Lab) -> None:
    landed = lab.merge("Land a: A")
    lab.land("a", landed, tree="f" * 40)
    found = lab.ask("a")
    assert found.rung == "" and found.why.endswith("but ffffffffffff was tested")


def test_a_landing_that_was_taken_back_is_none(lab: Lab) -> None:
    landed = lab.merge("Land a: A")
    lab.land("a", landed)
    assert lab.ask("a").rung == "landed"
    lab.git("reset", "--quiet", "--hard", lab.begin)
    lab.commit("Something else")
    assert lab.ask("a") == Shipped(
        "", landed, f"main does not contain {landed[:12]}, which landed a: somebody moved it back"
    )
    lab.git("reset", "--quiet", "--hard", landed)
    assert lab.ask("a").rung == "landed"


def test_a_landing_whose_commit_is_gone_is_none(lab: Lab) -> None:
    lab.land("a", "d" * 40, tree="e" * 40)
    assert lab.ask("a").why == "dddddddddddd, which landed a, is not in the repository any more"


def test_what_was_seen_once_is_not_walked_again(lab: Lab) -> None:
    """With the note, no git is started at the same tip, and behind it only the new commits are walked."""
    landed = lab.merge("Land a: A")
    lab.land("a", landed)
    first = lab.ask("a")
    assert read_note(lab.target.notes, "a") == Note(
        landed, "landed", landed, lab.git("rev-parse", f"{landed}^{{tree}}")
    )
    no_git = lab.target._replace(git=UserGit(Path("/nowhere")))
    assert lab.ask("a", no_git) == first
    later = lab.commit("Later")
    assert lab.ask("a").rung == "landed"
    note = read_note(lab.target.notes, "a")
    assert note is not None and note.tip == later


@pytest.mark.parametrize(
    "text", ["", "x", "[]", '{"name":"a"}', '{"name":"b","tip":"","rung":"","commit":"","tree":""}']
)
def test_a_note_that_cannot_be_read_is_no_note(lab: Lab, text: str) -> None:
    landed = lab.merge("Land a: A")
    lab.land("a", landed)
    lab.ask("a")
    (lab.state_dir / "shipped" / "a.json").write_text(text)
    assert read_note(lab.target.notes, "a") is None
    assert lab.ask("a").rung == "landed"


def test_a_note_about_another_commit_does_not_count(lab: Lab) -> None:
    """A note says that a tip contains a commit; it is of no use for another one."""
    landed = lab.merge("Land a: A")
    lab.land("a", "d" * 40, tree="e" * 40)
    shipped.keep_note(lab.target.notes, "a", None, Note(landed, "landed", landed, "e" * 40))
    assert lab.ask("a").rung == ""


def test_words_prove_less(lab: Lab) -> None:
    merged = lab.merge(
        "Land login: Log in\n\nGanger-Item: login\nGanger-Run: login.1\n", "work\n\nGanger-Item: forged\n"
    )
    spoken = lab.commit("Fix logout for good")
    assert lab.ask("login")[:2] == ("committed", merged)
    assert lab.ask("forged").rung == "reported", "a worker can write a trailer into its own commit"
    assert lab.ask("logout")[:2] == ("reported", spoken)
    assert lab.ask("log") == Shipped("", "", "nothing in main speaks of log, and the journal does not know it")
    for name in ("login", "forged", "logout", "log"):
        assert lab.elsewhere(name) == lab.ask(name) == lab.ask(name), "noted or not, the answer is the same"


def test_words_that_come_later_are_heard(lab: Lab) -> None:
    assert lab.ask("later").rung == ""
    lab.commit("Begin later")
    assert lab.ask("later").rung == "reported"
    merged = lab.merge("Land later: L\n\nGanger-Item: later\n")
    assert lab.ask("later")[:2] == ("committed", merged)
    lab.commit("Speak of later once more")
    assert lab.ask("later")[:2] == ("committed", merged)
    lab.git("reset", "--quiet", "--hard", lab.begin)
    assert lab.ask("later").rung == ""


@pytest.mark.parametrize("name", ["--all", "-x", "a b", "$(x)", ".*", "../x", "ü", "x" * 300])
def test_a_strange_name_is_a_name(lab: Lab, name: str) -> None:
    assert lab.ask(name).rung == lab.ask(name).rung == ""
    lab.commit(f"About {name} here")
    assert lab.ask(name).rung == "reported"


def test_a_commit_is_there_or_not(lab: Lab) -> None:
    on_main = lab.commit("On main")
    lab.git("checkout", "--quiet", "-b", "side", lab.begin)
    aside = lab.commit("Aside")
    assert lab.ask(on_main) == Shipped(
        "committed", on_main, f"main contains {on_main[:12]}, but no landing of it is recorded"
    )
    assert lab.ask(aside) == Shipped("", aside, f"main does not contain {aside[:12]}")
    assert lab.ask("f" * 40).rung == ""
    assert lab.ask("a", lab.target._replace(branch="gone")).why == "there is no branch gone"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "verify wants an item or a commit"),
        (["a", "b"], "verify does not know 'b'"),
        (["--nonsense"], "verify does not know '--nonsense'"),
        (["a", "--rung"], "verify wants a value after --rung"),
        (["a", "--rung=checked"], "verify knows the rungs reported, committed, landed, not 'checked'"),
    ],
)
def test_a_question_that_makes_no_sense(words: list[str], told: str) -> None:
    assert verify.parse(words) == told


@pytest.mark.parametrize(
    ("rung", "wanted", "enough"),
    [
        ("", "reported", False),
        ("reported", "reported", True),
        ("reported", "committed", False),
        ("committed", "committed", True),
        ("committed", "landed", False),
        ("landed", "landed", True),
    ],
)
def test_how_much_is_enough(rung: str, wanted: str, enough: bool) -> None:
    assert verify.is_enough(Shipped(rung, "", ""), wanted) is enough
