"""What the kernel would decide, asked from a shell about real workers."""

from __future__ import annotations

import subprocess

from builders import Fleet

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId
from ganger.core.model import ItemSpec
from ganger.service.door import submit

SCRIPTS = {
    "busy": "while :; do :; done",
    "still": "sleep 60",
    "works": "while :; do echo x >> src/$item.txt; commit x; sleep 0.2; done",
}
VERDICTS = {"works": ("advancing", 0), "busy": ("spinning", 3), "still": ("stalled", 4)}


def test_liveness_is_judged_by_effects_and_not_by_noise(fleet: Fleet) -> None:
    """Three workers are left alone by their supervisor; what becomes of them is seen by whoever asks."""
    fleet.begin()
    for name, script in SCRIPTS.items():
        fleet.shell_agent(name, script)
        fleet.item(name, agent=name, more='budget = { silence_max = "3s" }')
    fleet.configure(fleet="workers_max = 3\n", recovery='progress_max = "1s"\nstop_grace = "300ms"\n')
    assert fleet.ganger("up", str(fleet.plan()), "--trust").code == 0
    fleet.wait(lambda: [run["status"] for run in fleet.json("status")["runs"]] == ["working"] * 3)
    assert fleet.ganger("down").code == 0
    fleet.wait(lambda: fleet.json("liveness", "still.1")["liveness"] == "stalled", 15)
    for name, (verdict, code) in VERDICTS.items():
        done = fleet.ganger("liveness", f"{name}.1")
        assert (done.out.partition(":")[0], done.code) == (verdict, code), done
    planned = fleet.json("fleet-plan", "--target", "3")
    assert [row["run"] for row in planned["stop"]] == ["still.1"]
    assert [row["run"] for row in planned["flag"]] == ["busy.1"]
    for name in VERDICTS:
        assert fleet.ganger("resume-check", f"{name}.1").code == 0
    moved = fleet.state / "workspaces" / "busy.1"
    moved.rename(moved.with_name("elsewhere"))
    assert fleet.ganger("resume-check", "busy.1").code == 4
    moved.with_name("elsewhere").rename(moved)
    fleet.git("commit", "--quiet", "--allow-empty", "--amend", "--message", "Another beginning")
    assert fleet.json("resume-check", "works.1")["recovery"] == "diverged"
    assert fleet.ganger("resume-check", "works.1").code == 3
    assert fleet.ganger("up").code == 0
    assert fleet.ganger("down", "--now").code == 0


def test_a_run_that_landed_is_complete_although_its_workspace_is_gone(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt")
    fleet.configure()
    fleet.item("a")
    base = fleet.git("rev-parse", "HEAD").strip()
    assert fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet").code == 0
    hub = ["git", "-C", str(fleet.state / "hub.git")]
    subprocess.run([*hub, "update-ref", "refs/ganger/candidate/a.1", base], check=True)
    done = fleet.ganger("resume-check", "a.1")
    assert (done.code, done.out.partition(":")[0]) == (0, "complete")


def test_next_names_what_a_source_could_not_make_an_item_of(fleet: Fleet) -> None:
    fleet.begin()
    fleet.configure()
    assert fleet.ganger("lease", "acquire", "--scope", "docs/**").code == 0
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("a.txt",))
    row = ("issues.jsonl:7", "it has no id")
    command = cmd.AddPlan(PlanId("p"), "P", "issues.jsonl", "1", ((spec, "Do it."),), (row,), (ItemId("a"),))
    submit(fleet.state, command, "person:dana")
    done = fleet.ganger("next")
    assert (done.out.splitlines(), done.code) == (
        ["* a: A [default]", "~ issues.jsonl:7: unparseable: it has no id"],
        0,
    )
    found = fleet.json("next", "p")["items"][1]
    assert (found["hold"], found["curable"], found["refusal"]["reason"]) == ("unparseable", True, "it has no id")


def test_fleet_plan_says_what_can_be_reached(fleet: Fleet) -> None:
    """Of four items that overlap in one corner three can be worked on at once, and the fleet may have five workers."""
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.configure(fleet="workers_max = 5\n")
    assert fleet.ganger("lease", "acquire", "--scope", "docs/**").code == 0
    scopes = {"a": "x/**", "b": "x/1", "c": "x/2", "d": "y/1"}
    specs = [ItemSpec(id=ItemId(name), plan=PlanId("p"), title=name, scope=(one,)) for name, one in scopes.items()]
    submit(
        fleet.state, cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", tuple((s, "Do it.") for s in specs)), "person:dana"
    )
    for target, verdict, code in (("0", "at_target", 0), ("3", "filling", 3), ("4", "target_unreachable", 5)):
        done = fleet.ganger("fleet-plan", "--target", target)
        assert (done.out.splitlines()[0], done.code) == (f"{verdict}: 0 of {target} at work; 3 could be at once", code)
    found = fleet.json("fleet-plan", "--target", "3")
    assert (found["start"], found["exact"]) == (["a", "d"], True)
    assert found["hold"][0] == {"item": "b", "reason": "item b wants x/1, which overlaps x/**, and a comes first"}
