"""A commit that claims what it does not do: shown, or refused where the policy says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import QUICK, Fleet


@pytest.mark.parametrize(("policy", "code", "lands"), [("flag", 0, True), ("refuse", 3, False)])
def test_a_fix_of_words_alone(fleet: Fleet, policy: str, code: int, lands: bool) -> None:
    fleet.begin({"README.md": "Hello\n"})
    fleet.shell_agent("default", "echo more >> README.md; commit 'fix: crash on empty names'")
    fleet.configure(more=f'[verify]\nclaims = "{policy}"\n')
    fleet.item("a", scope=["README.md"], more='budget = { attempts_max = 1 }\nchanges = "words"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    why = fleet.ganger("why", "a")
    told = "(fix: crash on empty names): claims fix, but changes only documentation"
    assert done.code == code, (done, why)
    assert f"{told}\n" in why.out and told in fleet.json("why", "a")["claims"][0]
    assert (fleet.on_main("README.md") == "Hello\nmore\n") is lands
    assert ("missing: " in why.out) is not lands
    assert f"{told}\n" in fleet.ganger("show", "a.1").out
    report = " ".join(fleet.ganger("report", "--text").out.split())
    page = Path(fleet.ganger("report").out.strip()).read_text()
    assert ("Commits that claim what they do not do (1)" in report) is lands
    assert told in report and told in page, "whatever became of it, the report says what the commit claims"


def test_a_false_claim_is_offered_again_with_that_flag(fleet: Fleet) -> None:
    """The first attempt says done and is not; the second is told so, and does it."""
    fleet.begin()
    works = 'test "$GANGER_RUN" = a.1 || { echo x >> src/a.txt; commit work; }'
    fleet.shell_agent("default", f'ganger my-work > "$shared/$GANGER_RUN"; {works}; ganger done --summary "all good"')
    fleet.configure(recovery=f"{QUICK}turns_max = 1\n")
    fleet.item("a")
    assert fleet.ganger("run", str(fleet.plan()), "--once", "--trust").code in (0, 3, 4)
    assert fleet.ganger("run", str(fleet.plan())).code == 0
    flagged = "a.1, turn 1: nothing was committed: the candidate is the commit it started from"
    assert "Said to be done, and was not" not in (fleet.shared / "a.1").read_text()
    told = (fleet.shared / "a.2").read_text()
    assert f"## Said to be done, and was not\n\nWhoever said so before you was wrong each time:\n\n- {flagged}" in told
    line = "said to be done and was not, once; a.1 turn 1: nothing was committed: the candidate is"
    assert line in fleet.ganger("show", "a").out
    left = fleet.json("residual")["items"][0]
    assert (left["standing"], left["claims"], left["false_claims"]) == ("verified", 2, 1)


def test_a_false_claim_stands_in_the_residual_and_in_the_report(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "ganger done --summary 'all good'")
    fleet.configure(recovery=f"{QUICK}turns_max = 1\n")
    fleet.item("a", more="budget = { attempts_max = 2 }")
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 3
    line = "said to be done and was not, 2 times; a.2 turn 1: nothing was committed"
    assert line in fleet.ganger("residual").out
    assert line in " ".join(fleet.ganger("report", "--text").out.split())
    assert line in Path(fleet.ganger("report").out.strip()).read_text()
