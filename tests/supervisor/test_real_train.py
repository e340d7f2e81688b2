"""Landings on real git by a real supervisor: textual and semantic conflicts, flaky checks, a target that moves.

`GANGER_LANDINGS` says how many landings are played (12 here, 300 in the nightly run).
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from ganger.core.loop import StopReason
from ganger.core.policy import Policy
from ganger.testing.real_train import Candidate, Depot

LANDINGS = int(os.environ.get("GANGER_LANDINGS", "12"))
BATCH = 20
CHECK = (
    "sh",
    "-c",
    "test ! -e bad && for n in 0 1 2; do test ! -e half-$n-left || test ! -e half-$n-right || exit 1; done",
)
"""Fails on a file `bad`, and where both halves of a pair are there."""


def drawn(rng: Random, first: int) -> list[Candidate]:
    """Mostly good changes; some in one file, and some that go together with no other."""
    made = []
    for number in range(first, first + BATCH):
        kind = rng.choice(("own", "own", "own", "shared", "half"))
        files: dict[str, str | None] = {f"own-{number:03}.txt": f"{number}\n"}
        if kind == "shared":
            files["shared.txt"] = f"{number}\n"
        if kind == "half":
            files[f"half-{rng.randrange(3)}-{rng.choice(('left', 'right'))}"] = "x\n"
        made.append(Candidate(f"c{number:03}", files, is_fine_alone=True))
    return made


def test_no_red_tip_and_no_change_lost(tmp_path: Path) -> None:
    landed = 0
    for number in range(-(-LANDINGS // (BATCH * 3 // 4))):
        rng = Random(number)
        candidates = drawn(rng, number * BATCH)
        policy = Policy(train_max=rng.choice((3, 8)), train_parallel=rng.choice((1, 2, 3)), workers_max=BATCH)
        depot = Depot(tmp_path / str(number), {"shared.txt": "start\n", "README": "x\n"}, candidates, CHECK, policy)
        try:
            assert depot.night() in (StopReason.drained, StopReason.complete)
            done = depot.landed()
            here = {one.name: one for one in candidates}
            depot.git("checkout", "-q", "main")
            for name in done:
                for file, text in here[name].files.items():
                    if file != "shared.txt":
                        assert (depot.top / file).read_text() == text, (name, file)
            assert_every_tip_is_green(depot)
            reasons = depot.reasons()
            assert all("does not merge" in why or "both together do not" in why for why in reasons.values()), reasons
            sharing = [one.name for one in candidates if "shared.txt" in one.files]
            assert not sharing or len(done & set(sharing)) == 1
            landed += len(done)
        finally:
            depot.close()
    assert landed >= LANDINGS * 2 // 3, landed


def assert_every_tip_is_green(depot: Depot) -> None:
    """Each commit that the target ever pointed at passes the check, read from its own log."""
    tips = depot.git("log", "-g", "--format=%H", "main").splitlines()
    assert len(tips) > 1
    for tip in tips:
        names = set(depot.git("ls-tree", "--name-only", tip).splitlines())
        assert "bad" not in names
        assert not any(f"half-{n}-left" in names and f"half-{n}-right" in names for n in range(3)), tip


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
