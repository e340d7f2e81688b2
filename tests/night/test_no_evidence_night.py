"""Work that cannot be looked at is neither good nor bad: it is unknown, and a person is asked."""

from __future__ import annotations

from builders import Fleet


def test_a_hub_that_cannot_be_written_makes_a_candidate_unknown(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", 'echo x >> src/$item.txt; commit work; touch "$shared/ready"')
    fleet.configure()
    fleet.item("a")
    hub = fleet.state / "hub.git" / "refs" / "ganger"
    plan = str(fleet.plan())
    night = fleet.start("run", plan, "--trust")
    fleet.wait(lambda: hub.exists())
    (hub / "candidate").write_text("in the way: no ref below can be made")
    out, err = night.communicate(timeout=90)
    assert night.returncode == 5, (out, err)
    (asked,) = fleet.json("inbox")["questions"]
    assert asked["kind"] == "no_evidence" and asked["text"].startswith("No evidence could be had about a.1")
    told = fleet.json("why", "a")
    assert (told["verdict"]["kind"], told["rung"]) == ("unknown", "reported")
    assert "no evidence could be had: " in fleet.ganger("why", "a").out
    assert "No evidence could be had about a.1" in " ".join(fleet.ganger("report", "--text").out.split())
    (hub / "candidate").unlink()
    assert fleet.ganger("answer", asked["id"], "look again").code == 0
    assert fleet.ganger("run", plan).code == 0 and fleet.landed_items() == ["a"]
