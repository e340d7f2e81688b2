"""Nights with a planner: it files what is missing, says that nothing is, or says nothing at all (LS4)."""

from __future__ import annotations

import json

import pytest
from builders import Fleet

WORK = "echo x >> src/$item.txt; commit work; ganger done"
FILES_ONE = """
case $item in
  *-replan-1) ganger follow-up --title 'Also b' --brief 'It is missing, so write it.' --scope 'src/**'; ganger done ;;
  *) : ;;
esac
"""
SAYS_SO = "ganger done --outcome no_evidence --summary 'Nothing is missing.'"
FILES_THEN_SAYS_SO = f"case $item in *-replan-1) {FILES_ONE} ;; *) {SAYS_SO} ;; esac"


def begin(fleet: Fleet, planner: str, *, replans: int = 2) -> str:
    fleet.begin()
    fleet.shell_agent("default", WORK)
    fleet.shell_agent("planner", planner)
    fleet.configure(more=f'[loop]\nplanner = "planner"\nreplans_max = {replans}\n')
    fleet.item("a")
    return str(fleet.plan())


def kinds(fleet: Fleet) -> dict[str, str]:
    """The status of each item of the plan that is no planner's own."""
    return {name: status for name, status in fleet.statuses().items() if "-replan-" not in name or "-f" in name}


@pytest.mark.parametrize(
    ("planner", "code", "reason", "gate", "asked", "landed"),
    [
        (SAYS_SO, 0, "complete", ("drained", 3), 1, ["a"]),
        (FILES_THEN_SAYS_SO, 0, "complete", ("drained", 3), 2, ["a", "plan-replan-1-f1"]),
        (FILES_ONE, 5, "unclear_repeated", ("blocked", 5), 3, ["a", "plan-replan-1-f1"]),
        ("exit 0", 5, "unclear_repeated", ("blocked", 5), 2, ["a"]),
    ],
)
def test_a_plan_is_drained_only_when_its_planner_says_so(
    fleet: Fleet, planner: str, code: int, reason: str, gate: tuple[str, int], asked: int, landed: list[str]
) -> None:
    """Silence is asked again, `replans_max` times in a row; what is filed is worked on and begins the count anew."""
    plan = begin(fleet, planner)
    night = fleet.json("run", plan, "--trust", "--quiet")
    assert (night["reason"], night["exit"]) == (reason, code)
    assert fleet.landed_items() == landed
    verdict = fleet.ganger("gate")
    assert (verdict.out.partition(":")[0], verdict.code) == gate
    planners = [name for name in fleet.statuses() if name.startswith("plan-replan-") and "-f" not in name]
    assert planners == [f"plan-replan-{number}" for number in range(1, asked + 1)]
    assert kinds(fleet) == dict.fromkeys(landed, "landed")
    fleet.assert_sound()


def test_nobody_is_asked_where_no_planner_is(fleet: Fleet) -> None:
    """The same night without a planner is drained by itself: nobody was left unasked."""
    begin(fleet, SAYS_SO)
    fleet.configure()
    night = fleet.json("run", str(fleet.plan()), "--trust", "--quiet")
    assert (night["reason"], night["items"]) == ("complete", {"landed": 1})
    assert fleet.ganger("gate").code == 3


def test_what_a_planner_changes_is_not_kept(fleet: Fleet) -> None:
    plan = begin(fleet, f"echo meddled >> src/a.txt; commit meddled; {SAYS_SO}")
    assert fleet.ganger("run", plan, "--trust", "--quiet").code == 0
    assert fleet.on_main("src/a.txt") == "a\nx\n"


def test_the_farewell_counts_items_of_the_plan_and_not_the_asking(fleet: Fleet) -> None:
    plan = begin(fleet, FILES_THEN_SAYS_SO)
    night = fleet.ganger("run", plan, "--trust", "--quiet")
    assert night.out.startswith("complete: 2 of 2 items landed on main\n"), night
    assert fleet.json("run", plan, "--quiet")["items"] == {"landed": 2}


def test_a_tracker_that_does_not_know_of_a_landing_is_stale(fleet: Fleet) -> None:
    """The bead landed and its line still says open; once the tracker knows, the gate says that nothing is left."""
    fleet.begin()
    fleet.shell_agent("default", WORK)
    fleet.configure()
    beads = fleet.root / "issues.jsonl"

    def tracker(**more: object) -> None:
        beads.write_text(json.dumps({"id": "a", "title": "A", "labels": ["scope:src/a.txt"], **more}) + "\n")

    tracker(status="open", description="Put one more line below it.")
    assert fleet.ganger("run", str(beads), "--trust", "--quiet").code == 0
    stale = fleet.ganger("gate")
    assert (stale.out, stale.code) == ("stale: a: landed, but the tracker says open\n", 4)
    assert fleet.json("gate", "beads")["gate"] == "stale"
    tracker(status="open", description="Put one more line below it.", priority=1)
    again = fleet.ganger("run", str(beads), "--trust", "--quiet")
    assert again.code == 0, again
    assert (fleet.ganger("gate").code, fleet.landed_items()) == (4, ["a"])
    beads.write_text(beads.read_text() + json.dumps({"id": "b", "title": "B", "status": "closed"}) + "\n")
    tracker(status="closed")
    assert fleet.ganger("run", str(beads), "--trust", "--quiet").code in (0, 2)
