"""Trains on real git: what goes together, what does not, and what is tested again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import Check, CheckState, Evidence, ItemSpec, Lease, LeaseMode
from ganger.core.train import Trial
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail.none import NoJail
from ganger.supervisor import effects
from ganger.supervisor.evidence import Checker
from ganger.supervisor.train import OFF_TARGET, Member, Train, all_checks

REPORTED_MS = 1_700_000_000_000
GOOD = Check("good", ("test", "!", "-e", "bad"))


class Lab:
    """A repository with a branch per candidate, and a hub that has them all."""

    def __init__(self, root: Path) -> None:
        self.top = root / "repo"
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.top)], check=True)
        self.first = self.commit("README", "hello\n")
        self.hub = Hub.open(root / "state" / "hub.git", open_repository(self.top), "main")
        self.checker = Checker(root / "state", self.hub, NoJail(), lambda path: False)
        self.logs = root / "state" / "trains"

    def git(self, *args: str) -> str:
        argv = ["git", "-C", str(self.top), "-c", "user.name=t", "-c", "user.email=t@localhost", *args]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str, text: str) -> Commit:
        (self.top / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"write {name}")
        return Commit(self.git("rev-parse", "HEAD"))

    def candidate(self, name: str, path: str, text: str, base: str = "main", check: Check = GOOD) -> Member:
        self.git("checkout", "-q", "-b", name, base)
        commit = self.commit(path, text)
        tree = Commit(self.git("rev-parse", "HEAD^{tree}"))
        self.git("checkout", "-q", "main")
        self.hub.fetch(self.top / ".git", (f"+refs/heads/{name}:refs/ganger/candidate/{name}.1",))
        base_commit = Commit(self.git("rev-parse", base))
        spec = ItemSpec(id=ItemId(name), plan=PlanId("p"), title=name, scope=(path,), checks=(check,))
        evidence = Evidence(base_commit, commit, tree, tree, (path,))
        lease = Lease(Token(1), (path,), LeaseMode.exclusive, 1 << 50)
        run = Run(RunId(f"{name}.1"), spec.id, 1, base_commit, "x", lease, 0)
        return replace(run, evidence=evidence, reported_ms=REPORTED_MS), spec

    def train(self, *members: Member) -> effects.Tested:
        return Train(self.checker, self.hub, self.logs, 0).test(members)

    def probe(
        self, member: Member, onto: Commit, *, again: bool = False, bare: bool = False, retries: int = 1
    ) -> effects.Probed:
        run, spec = member
        return Train(self.checker, self.hub, self.logs, retries).probe(run, spec, Trial((run.id,), onto, again, bare))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_disjoint_candidates_pass_together_and_the_same_again_is_the_same_commit(lab: Lab) -> None:
    members = (lab.candidate("a", "a.txt", "a\n"), lab.candidate("b", "b.txt", "b\n"))
    tested = lab.train(*members)
    assert tested.passed and tested.runs == ("a.1", "b.1") and tested.old == lab.first
    assert [check.state for check in tested.checks] == [CheckState.passed]
    assert lab.train(*members).commit == tested.commit
    assert lab.hub.git.text("show", "-s", "--format=%ct", tested.commit) == str(REPORTED_MS // 1000)


def test_failing_whole_does_not_pass(lab: Lab) -> None:
    tested = lab.train(lab.candidate("a", "a.txt", "a\n"), lab.candidate("b", "bad", "b\n"))
    assert not tested.passed and tested.runs == ("a.1", "b.1")


def test_one_that_does_not_merge_with_another_of_the_batch_waits_with_its_files(lab: Lab) -> None:
    a, b = lab.candidate("a", "same.txt", "a\n"), lab.candidate("b", "same.txt", "b\n")
    tested = lab.train(a, b)
    assert tested.passed and tested.runs == ("a.1",)
    assert (tested.conflicts, tested.waits) == ((), (("b.1", ("same.txt",)),))


def test_one_that_does_not_merge_with_the_target_is_left_out_for_good(lab: Lab) -> None:
    late, fine = lab.candidate("late", "same.txt", "late\n"), lab.candidate("fine", "fine.txt", "fine\n")
    lab.commit("same.txt", "first\n")
    for members in ((late, fine), (fine, late)):
        tested = lab.train(*members)
        assert tested.runs == ("fine.1",)
        assert (tested.conflicts, tested.waits) == ((("late.1", ("same.txt",)),), ())


def test_a_longer_combination_goes_on_where_a_shorter_one_ends(lab: Lab) -> None:
    members = [lab.candidate(name, f"{name}.txt", f"{name}\n") for name in "abc"]
    members = [(replace(run, reported_ms=run.reported_ms - n * 5_000), spec) for n, (run, spec) in enumerate(members)]
    short, long = lab.train(*members[:2]), lab.train(*members)
    assert short.commits == long.commits[:2] and short.commit == short.commits[-1]
    assert lab.hub.is_ancestor(short.commit, long.commit)


def test_candidate_whose_base_was_taken_off_the_target_does_not_bring_it_back(lab: Lab) -> None:
    lab.commit("secret.txt", "taken away later\n")
    late = lab.candidate("late", "late.txt", "late\n")
    lab.git("reset", "-q", "--hard", lab.first)
    fresh = lab.candidate("fresh", "fresh.txt", "fresh\n")
    tested = lab.train(late, fresh)
    assert tested.runs == ("fresh.1",) and tested.conflicts == (("late.1", (OFF_TARGET,)),)
    assert "secret.txt" not in lab.hub.git.text("ls-tree", "-r", "--name-only", tested.tree)


def test_only_stale_candidates_leave_nothing_to_land(lab: Lab) -> None:
    lab.commit("secret.txt", "x\n")
    late = lab.candidate("late", "late.txt", "late\n")
    lab.git("reset", "-q", "--hard", lab.first)
    tested = lab.train(late)
    assert not tested.passed and not tested.runs and len(tested.conflicts) == 1


def counting(place: Path, *, fails: int = 0) -> Check:
    """A check that notes each run, and fails the first so many times."""
    return Check("once", ("sh", "-c", f"echo x >> {place}; test $(wc -l < {place}) -gt {fails}"))


def runs(place: Path) -> int:
    return len(place.read_text().splitlines()) if place.exists() else 0


def test_a_check_that_failed_is_run_again_only_when_somebody_would_be_blamed_and_marked(
    lab: Lab, tmp_path: Path
) -> None:
    once = counting(tmp_path / "ran", fails=1)
    a = lab.candidate("a", "a.txt", "a\n", check=once)
    tested = lab.train(a)
    assert not tested.passed and not lab.train(a).passed and runs(tmp_path / "ran") == 1
    probed = lab.probe(a, tested.old, again=True)
    assert probed.passed and [check.flaky for check in probed.checks] == [True] and runs(tmp_path / "ran") == 2
    again = lab.train(a)
    assert again.passed and again.checks[0].flaky and runs(tmp_path / "ran") == 2


def test_a_check_that_fails_each_time_is_run_as_often_as_it_may(lab: Lab, tmp_path: Path) -> None:
    a = lab.candidate("a", "a.txt", "a\n", check=counting(tmp_path / "ran", fails=99))
    old = lab.train(a).old
    assert not lab.probe(a, old, again=True, retries=3).passed and runs(tmp_path / "ran") == 4


def test_nothing_is_checked_twice_on_one_tree_also_by_another_supervisor(lab: Lab, tmp_path: Path) -> None:
    check = counting(tmp_path / "ran")
    members = (lab.candidate("a", "a.txt", "a\n", check=check), lab.candidate("b", "b.txt", "b\n", check=check))
    assert lab.train(*members).passed and lab.train(*members).passed
    assert runs(tmp_path / "ran") == 1
    assert lab.train(members[0]).passed and runs(tmp_path / "ran") == 2


def test_a_check_that_could_not_be_run_is_run_again(lab: Lab, tmp_path: Path) -> None:
    a = lab.candidate("a", "a.txt", "a\n", check=Check("gone", ("sh", "-c", f"echo x >> {tmp_path}/ran; kill -9 $$")))
    assert lab.train(a).checks[0].state is CheckState.crashed
    lab.train(a)
    assert runs(tmp_path / "ran") == 2


def test_probe_on_a_commit_and_of_the_commit_alone(lab: Lab) -> None:
    a, bad = lab.candidate("a", "a.txt", "a\n"), lab.candidate("b", "bad", "b\n")
    onto = lab.train(a).commit
    assert not lab.probe(bad, onto).passed and lab.probe(bad, onto, bare=True).passed
    worse = lab.train(bad).commit
    assert not lab.probe(a, worse, bare=True).passed


def test_tree_that_was_checked_already_is_not_checked_again(lab: Lab) -> None:
    never = Check("never", ("false",))
    run, spec = lab.candidate("a", "a.txt", "a\n", check=never)
    assert run.evidence is not None
    (seen,) = lab.checker.run(run.evidence.tree, (Check("never", ("true",)),), lab.logs)
    known = replace(run, evidence=replace(run.evidence, checks=(replace(seen, argv=never.argv),)))
    assert lab.train((known, spec)).passed
    other = Check("other", ("true",))
    assert lab.train((known, replace(spec, checks=(other,)))).checks[0].name == "other"


def test_checks_of_one_name_are_told_apart_by_what_they_run(lab: Lab) -> None:
    same = lab.candidate("a", "a.txt", "a\n", check=Check("unit", ("true",)))
    other = lab.candidate("b", "b.txt", "b\n", check=Check("unit", ("false",)))
    longer = lab.candidate("c", "c.txt", "c\n", check=Check("unit", ("true",), 900_000))
    found = {check.name: (check.argv, check.timeout_ms) for check in all_checks((same, other, longer))}
    assert found == {"unit": (("true",), 900_000), "unit-2": (("false",), 600_000)}
