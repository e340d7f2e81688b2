"""Scorers and the driver of the loop, configured as a user does: in the night, for leases, and for whoever asks."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

from builders import GANGER, Fleet, quoted

NEAR = """
import json, sys
asked = json.load(sys.stdin)
parts = lambda scope: {one.split("/")[1] for one in scope if one.startswith(("src/", "tests/"))}
mine = parts(asked["wanted"]["scope"])
print(json.dumps({"scores": [float(bool(mine & parts(one["scope"]))) for one in asked["held"]]}))
"""
LANES = (
    '[lanes]\nautopick = ["tests", "docs"]\n[lanes.tests]\npaths = ["tests/x/**"]\n[lanes.docs]\npaths = ["docs/**"]\n'
    '[lanes.more]\npaths = ["tests/x/more/**"]\n'
)


def program(fleet: Fleet, name: str, text: str) -> str:
    """A Python program of the user's, as a command."""
    path = fleet.root / name
    path.write_text(text)
    return quoted(shlex.join((sys.executable, "-I", "-S", str(path))))


def begin(fleet: Fleet, more: str) -> None:
    """A repository and one item, `a`, that is quickly done."""
    fleet.begin()
    fleet.shell_agent("sh", "echo x >> src/$item.txt; commit work; ganger done")
    fleet.configure(more=more)
    fleet.item("a", agent="sh")


def test_a_scorer_is_asked_by_whoever_would_hold_a_scope(fleet: Fleet) -> None:
    begin(fleet, f'{LANES}[scorers.near]\nrun = {program(fleet, "near.py", NEAR)}\ntimeout = "10s"\n')
    assert fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet").code == 0
    held = fleet.json("lease", "acquire", "--scope", "src/x/**", "--holder", "olga")
    asked = ("--scope", "tests/x/**")
    near = "scorer near puts it at 1, and 0.5 is too close"
    reason = f"scope tests/x/** is coupled with src/x/**, held by {held['id']}: {near}"
    for words in (("admit", *asked), ("lease", "acquire", *asked)):
        done = fleet.ganger(*words, "--json")
        refusal = json.loads(done.out)["refusal"]
        assert (done.code, refusal["code"], refusal["reason"], refusal["holder"]) == (
            1,
            "predicate",
            reason,
            held["id"],
        )
    assert fleet.ganger("admit", "--scope", "tests/y/**").code == 0
    assert fleet.ganger("admit", *asked, "--shared").code == 1, "the other side is exclusive"
    assert fleet.json("admit", "--lane", "more", "--autopick")["use"]["lane"] == "docs"
    instead = fleet.json("lease", "acquire", "--lane", "more", "--autopick")
    assert (instead["lane"], instead["scope"]) == ("docs", ["docs/**"])
    needless = fleet.json("lease", "acquire", "--scope", "tests/y/**", "--force", "--holder", "bo")
    forced = fleet.json("lease", "acquire", *asked, "--force")
    by = {row["id"]: row["forced_by"] for row in fleet.json("lease", "list")["leases"]}
    assert by[forced["id"]] == "dana", "a person may take it, by name"
    assert by[needless["id"]] == "", "nobody stood against it"


def test_of_two_that_ask_at_once_one_is_let_through(fleet: Fleet) -> None:
    """Each scorer sees nothing of the other; the core does."""
    slow = "import time; time.sleep(0.4)\n" + NEAR
    begin(fleet, f'[scorers.near]\nrun = {program(fleet, "near.py", slow)}\ntimeout = "10s"\n')
    assert fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet").code == 0
    assert fleet.ganger("lease", "acquire", "--scope", "elsewhere/**").code == 0
    asking = [
        subprocess.Popen(
            [*GANGER, "lease", "acquire", "--scope", f"{root}/x/**"],
            cwd=fleet.repo,
            env=fleet.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for root in ("src", "tests")
    ]
    said = [one.communicate()[1].decode() for one in asking]
    assert sorted(one.returncode for one in asking) == [0, 1], said
    assert any("is coupled with" in text for text in said)


def test_a_driver_holds_the_night_and_a_person_sees_why(fleet: Fleet) -> None:
    drive = "import json, pathlib; print(pathlib.Path({!r}).read_text())"
    answer = fleet.root / "answer"
    answer.write_text("who knows")
    command = program(fleet, "drive.py", drive.format(str(answer)))
    begin(fleet, f'[loop]\ndriver = {command}\ndriver_timeout = "10s"\n')
    plan = str(fleet.plan())
    night = fleet.ganger("run", plan, "--trust", "--quiet", "--patience", "1s")
    assert night.code != 0, night
    assert fleet.landed_items() == []
    report = fleet.ganger("report", "--text").out
    assert "the driver could not be asked: its answer is no decision" in " ".join(report.split()), report
    assert fleet.json("admit", "a")["refusal"]["reason"] == "item a was refused by driver a short while ago"

    assert fleet.ganger("retry", "a").code == 0
    answer.write_text('{"decision": "go"}')
    assert fleet.ganger("run", plan, "--trust", "--quiet").code == 0
    assert fleet.landed_items() == ["a"]


def test_a_driver_that_nobody_offers_is_told(fleet: Fleet) -> None:
    begin(fleet, '[loop]\ndriver = "ganger.reconcilers:clever"\n')
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet")
    assert (done.code, "no installed package offers `ganger.reconcilers:clever`" in done.err) == (2, True), done
