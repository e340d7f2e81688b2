"""Work outside the plan lands when a person says so, by name, and only the very commit they saw."""

from __future__ import annotations

from builders import Fleet

STRAY = "echo x >> src/$item.txt; echo y > docs.md; commit work; ganger done --summary ok"


def test_a_person_lands_what_is_off_the_plan(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", STRAY)
    fleet.configure(checks={"unit": "grep -q y docs.md"}, more='[verify]\noff_plan = "inbox"\n')
    fleet.item("a")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 5 and fleet.landed_items() == [], done
    (asked,) = fleet.json("inbox")["questions"]
    evidence = fleet.json("why", "a")["evidence"]
    assert (asked["kind"], asked["subject"]) == ("off_plan", evidence["commit"])
    assert asked["text"].endswith("It changes outside the scope src/a.txt: docs.md")
    assert [check["state"] for check in evidence["checks"]] == ["passed"], "its checks were run all the same"
    assert fleet.ganger("answer", asked["id"], "allow").code == 0
    again = fleet.ganger("run", str(fleet.plan()))
    assert again.code == 0 and fleet.landed_items() == ["a"], again
    assert fleet.on_main("docs.md") == "y\n"
    told = fleet.ganger("log").out
    assert "a.1 accepted: checked, allowed by dana" in told
    assert "off plan: docs.md" in fleet.ganger("why", "a").out
    assert "allowed by dana, for exactly this commit" in fleet.ganger("why", "a").out
    fleet.assert_sound()


def test_nobody_is_asked_unless_that_is_set(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", STRAY)
    fleet.configure()
    fleet.item("a", more="budget = { attempts_max = 1 }")
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 3
    assert fleet.landed_items() == [] and not fleet.json("inbox")["questions"]
    assert fleet.json("why", "a")["fidelity"]["off_plan"] == ["docs.md"]
