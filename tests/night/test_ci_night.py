"""A night that waits for CI, and that believes what the target shows at its end."""

from __future__ import annotations

import json
import time

from builders import Fleet

WORK = "echo x >> src/$item.txt; commit work"
GREEN = '[{"name": "unit", "conclusion": "success"}]'
RED = '[{"name": "unit", "conclusion": "failure"}]'


def begin(fleet: Fleet, more: str = "", patience: str = "1h") -> None:
    """A fleet whose CI says what `ci.json` says, by commit."""
    fleet.begin()
    fleet.shell_agent("default", WORK)
    (fleet.root / "ci.json").write_text("{}")
    wait = f'every = "1s"\npatience = "{patience}"\n'
    fleet.configure(more=f'[ci]\nsource = "file"\npath = "{fleet.root}/ci.json"\nrequired = true\n{wait}{more}')


def answer(fleet: Fleet, commit: str, runs: str) -> None:
    """Have CI say this of a commit, at once and whole."""
    known = json.loads((fleet.root / "ci.json").read_text()) | {commit: json.loads(runs)}
    (fleet.root / "ci.new").write_text(json.dumps(known))
    (fleet.root / "ci.new").rename(fleet.root / "ci.json")


def landed(fleet: Fleet, item: str) -> str:
    commit: str = fleet.json("show", item)["landed"]
    return commit


def test_a_night_ends_when_ci_has_closed_what_landed(fleet: Fleet) -> None:
    begin(fleet, 'dependents = "closed"\n')
    fleet.item("a")
    fleet.item("b", more='after = ["a"]')
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: fleet.state.joinpath("journal.db").exists() and fleet.statuses().get("a") == "awaiting_ci")
    assert fleet.statuses()["b"] == "waiting", "b comes after what is not closed"
    fleet.wait(lambda: "unknown" in fleet.ganger("show", "a").out)
    first = landed(fleet, "a")
    assert "CI has not closed it: unknown: no check ran on this commit" in fleet.ganger("why", "a").out
    assert f"a landed as {first[:12]} and awaits CI: unknown: no check ran" in fleet.ganger("status").out
    assert night.poll() is None
    answer(fleet, first, GREEN)
    fleet.wait(lambda: fleet.statuses()["b"] == "awaiting_ci")
    answer(fleet, landed(fleet, "b"), GREEN)
    out, err = night.communicate(timeout=60)
    assert night.returncode == 0, err
    assert out.decode().startswith("complete: 2 of 2 items landed on main\n")
    assert "CI says green: passed: unit" in fleet.ganger("show", "a").out
    assert fleet.ganger("residual").code == 0


def test_what_ci_blocks_is_asked_about_and_shown_first(fleet: Fleet) -> None:
    begin(fleet)
    fleet.item("a")
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: fleet.state.joinpath("journal.db").exists() and fleet.statuses().get("a") == "awaiting_ci")
    commit = landed(fleet, "a")
    answer(fleet, commit, RED)
    out, _ = night.communicate(timeout=60)
    assert night.returncode == 5
    assert out.decode().splitlines()[:3] == [
        "review_or_ci_unresolved: 1 of 1 item landed on main",
        "what is left waits for you: a landing, or CI of what landed",
        "1 item not closed by CI yet: ganger status says why",
    ]
    report = fleet.ganger("report", "--text").out
    first = report.partition("FIRST, WHAT IS OUT OF THE ORDINARY")[2].splitlines()[1]
    assert first == "CI fails on what landed (1)"
    asked = fleet.json("inbox")["questions"][0]
    assert (asked["kind"], asked["subject"]) == ("ci_blocked", commit)
    assert fleet.ganger("residual").code == 1
    assert fleet.ganger("answer", asked["id"], "close").code == 0
    assert fleet.statuses() == {"a": "landed"}
    told = fleet.ganger("show", "a").out
    assert "closed by dana although CI is not green (blocked: failed: unit (failure))" in told
    assert fleet.ganger("residual").code == 0
    assert fleet.ganger("run", str(fleet.plan())).out.startswith("complete: 1 of 1 item landed on main\n")


def test_silence_closes_nothing_and_is_not_waited_for_for_ever(fleet: Fleet) -> None:
    begin(fleet, patience="2s")
    fleet.item("a")
    (fleet.root / "ci.json").unlink()
    began_s = time.monotonic()
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 5 and done.out.startswith("review_or_ci_unresolved: 1 of 1 item landed on main\n"), done
    assert time.monotonic() - began_s < 60
    assert "CI has not closed it: unavailable: " in fleet.ganger("show", "a").out
    assert not fleet.json("inbox")["questions"], "nobody is asked about what CI does not say"
    commit = landed(fleet, "a")
    assert fleet.ganger("ci", "a", "--close").out == f"closed without CI: {commit[:12]}\n"
    assert fleet.ganger("ci", "a", "--close").code == 1
    assert fleet.statuses() == {"a": "landed"} and fleet.ganger("residual").code == 0


def test_a_landing_that_was_moved_away_is_not_complete(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", WORK)
    fleet.configure()
    fleet.item("a")
    assert fleet.ganger("run", str(fleet.plan()), "--trust").out.startswith("complete: 1 of 1")
    commit = landed(fleet, "a")
    fleet.git("reset", "--hard", "--quiet", "main~1")
    fleet.git("reflog", "expire", "--expire=now", "--all")
    fleet.git("gc", "--quiet", "--prune=now")
    done = fleet.ganger("run", str(fleet.plan()))
    assert done.code == 5, done
    assert f"main does not contain {commit[:12]}, which landed a" in done.out
    assert "Landed, but not on the target any more (1)" in fleet.ganger("report", "--text").out
    (asked,) = fleet.json("inbox")["questions"]
    assert asked["kind"] == "target_lost" and commit[:12] in asked["text"]
    assert fleet.ganger("answer", asked["id"], "leave it").code == 0
    again = fleet.ganger("run", str(fleet.plan()))
    assert again.code == 3 and again.out.startswith("drained: "), again
