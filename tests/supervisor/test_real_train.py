"""Landings on real git by a real supervisor: textual and semantic conflicts, flaky checks, a target that moves.

`GANGER_LANDINGS` says how many landings are played at least (12 here, 300 in the nightly run).
"""

from __future__ import annotations

import os
from pathlib import Path

import landings
import pytest

from ganger.core.loop import StopReason
from ganger.core.policy import Policy
from ganger.testing.real_train import Candidate, Depot

LANDINGS = int(os.environ.get("GANGER_LANDINGS", "12"))
CHECK = (
    "sh",
    "-c",
    "test ! -e bad && for n in 0 1 2; do test ! -e half-$n-left || test ! -e half-$n-right || exit 1; done",
)
"""Fails on a file `bad`, and where both halves of a pair are there."""


def test_no_red_tip_no_change_lost_and_nobody_blamed_for_nothing(tmp_path: Path) -> None:
    """Conflicts, flaky checks, persons that commit meanwhile, kills, wrong merge bases and undos; see `landings`."""
    tally = landings.play(tmp_path, seed=4, landings=LANDINGS)
    assert tally.faults == 0, tally
    assert tally.varied, tally


@pytest.mark.parametrize("defence", landings.DEFENCES)
def test_without_a_defence_something_is_found(tmp_path: Path, defence: str) -> None:
    tally = landings.play(tmp_path, seed=1, landings=1, without=defence, kills=False)
    assert tally.faults, tally


@pytest.mark.parametrize("step", range(1, 36) if LANDINGS >= 300 else (6, 13, 20, 27))
def test_killed_before_any_git_process_it_lands_once_and_undoes_once(tmp_path: Path, step: int) -> None:
    """Each of the some thirty processes that one landing and one undo take, in the nightly run."""
    assert landings.killed_at(tmp_path, step) or step > 27


def test_the_pair_is_named_and_the_one_that_was_accepted_later_goes_back(tmp_path: Path) -> None:
    files = [{"a": "1\n"}, {"half-1-left": "x\n"}, {"b": "1\n"}, {"c": "1\n"}, {"half-1-right": "x\n"}, {"d": "1\n"}]
    candidates = [Candidate(f"c{n}", one, is_fine_alone=True) for n, one in enumerate(files)]
    depot = Depot(tmp_path, {"README": "x\n"}, candidates, CHECK, Policy(workers_max=9))
    try:
        depot.night()
        assert depot.landed() == {"c0", "c1", "c2", "c3", "c5"}
        (reason,) = depot.reasons().values()
        assert reason.startswith("passes by itself, and so does c1.1, which has landed as ")
        assert reason.endswith("but both together do not: check all failed with exit status 1")
    finally:
        depot.close()


def test_a_red_target_lands_nothing_blames_nobody_and_goes_on_when_it_is_good_again(tmp_path: Path) -> None:
    candidates = [Candidate(f"c{n}", {f"{n}": "x\n"}, is_fine_alone=True) for n in range(3)]
    depot = Depot(tmp_path, {"README": "x\n"}, candidates, CHECK, Policy(workers_max=9))
    try:
        red = depot.commit({"bad": "x\n"})
        assert depot.night() is StopReason.review_or_ci_unresolved
        assert depot.git("rev-parse", "main") == red and not depot.landed()
        assert depot.fleet.look(lambda state, _: [run.stop for run in state.runs.values()]) == [None] * 3
        questions = depot.fleet.look(lambda state, _: [q.text for q in state.questions.values()])
        assert len(questions) == 1 and questions[0].startswith(f"main fails by itself at {red[:12]}")
        depot.git("rm", "-q", "bad")
        depot.commit({"fine": "x\n"})
        assert depot.night() is StopReason.complete
        assert depot.landed() == {"c0", "c1", "c2"}
    finally:
        depot.close()


def test_a_wrong_merge_base_is_noticed_at_the_first_landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged against an older commit than the common one, a landed change is lost: the audit of paths says so."""
    candidates = [Candidate(f"c{n}", {f"{n}": "x\n"}) for n in range(2)]
    depot = Depot(tmp_path, {"README": "x\n"}, candidates, CHECK, Policy(workers_max=9))
    try:
        kept = depot.commit({"kept": "x\n"})
        merged = Depot.git(depot, "rev-parse", "candidate/c0^{tree}")
        wrong = depot.hub.git.text("rev-parse", merged)
        from ganger.git import merge

        monkeypatch.setattr(merge, "_merged_tree", lambda hub, tip, candidate: wrong)
        with pytest.raises(AssertionError, match="loses"):
            depot.night()
        assert depot.git("rev-parse", "main") == kept
    finally:
        depot.close()
