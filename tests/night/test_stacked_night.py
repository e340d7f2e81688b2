"""Items that begin on accepted work: on a base that ganger makes, landing after it, and only if it lands as it was."""

from __future__ import annotations

from typing import Any

from builders import Fleet

EARLY = 'after = ["a"]\nstart_on = "accepted"'


def begin(fleet: Fleet) -> None:
    """`a` writes a file, and `b` copies it; every landing waits for a person."""
    fleet.begin()
    fleet.shell_agent("default", 'echo "of a" > src/a.txt; commit work; ganger done --summary ok')
    fleet.shell_agent("copies", "cat src/a.txt >> src/b.txt; commit work; ganger done --summary ok")
    fleet.configure(checks={"unit": "true"}, more='[landing]\nmode = "ask"\n')
    fleet.item("a")
    fleet.item("b", agent="copies", more=EARLY)


def night(fleet: Fleet) -> Any:
    """Until what is left waits for a person; the question that is open."""
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 5, done
    (asked,) = fleet.json("inbox")["questions"]
    return asked


def test_what_stands_on_accepted_work_lands_after_it(fleet: Fleet) -> None:
    begin(fleet)
    asked = night(fleet)
    assert asked["text"].startswith("Land a on main?"), "b is accepted, and waits for a"
    assert [run["status"] for run in fleet.runs("b")] == ["accepted"]
    of_a, of_b = (fleet.json("why", item)["evidence"] for item in "ab")
    assert of_b["changed"] == ["src/b.txt"], "its change is only its own"
    hub = fleet.state / "hub.git"
    parents = fleet.git("rev-parse", f"{of_b['base']}^1", f"{of_b['base']}^2", at=hub).split()
    assert parents == [fleet.git("rev-parse", "main"), of_a["commit"]], "its base is the target with what a made"
    assert "b is to begin at " in fleet.ganger("log").out
    fleet.ganger("answer", asked["id"], "land")
    asked = night(fleet)
    assert asked["text"].startswith("Land b on main?")
    assert fleet.landed_items() == ["a"]
    fleet.ganger("answer", asked["id"], "land")
    assert fleet.ganger("run", str(fleet.plan())).code == 0
    assert fleet.landed_items() == ["a", "b"]
    assert fleet.on_main("src/b.txt") == "b\nof a\n" and fleet.on_main("src/a.txt") == "of a\n"
    assert fleet.git("diff", "--name-only", "main^1", "main") == "src/b.txt"
    assert fleet.ganger("verify", "b").code == 0
    fleet.assert_sound()


def test_what_stands_on_work_that_was_sent_back_is_offered_again(fleet: Fleet) -> None:
    begin(fleet)
    asked = night(fleet)
    head = fleet.json("why", "a")["evidence"]["commit"]
    fleet.ganger("answer", asked["id"], "reject")
    fleet.ganger("run", str(fleet.plan()))
    (ended,) = fleet.runs("b")
    assert (ended["status"], ended["counts"]) == ("unfounded", 0)
    assert ended["reason"] == f"it stands on {head[:12]} of a.1, which was sent back"
    assert fleet.statuses() == {"a": "held", "b": "waiting"} and fleet.landed_items() == []
    fleet.ganger("retry", "a")
    asked = night(fleet)
    assert [run["status"] for run in fleet.runs("b")] == ["unfounded", "accepted"]


def test_heads_that_do_not_go_together_are_named_with_the_files(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo $item > src/x.txt; commit work; ganger done --summary ok")
    fleet.configure(more='[landing]\nmode = "ask"\ntrain_max = 1\n')
    for name in "ab":
        fleet.item(name, scope=["src/x.txt"], more='mode = "shared"')
    fleet.item("c", scope=["src/c.txt"], more='after = ["a", "b"]\nstart_on = "accepted"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 5, done
    told = fleet.ganger("next").out + fleet.ganger("log").out
    assert "what a, b had accepted does not go together with the target in src/x.txt" in told
    assert "c cannot begin on a.1 and b.1: they conflict in src/x.txt" in told
    assert fleet.runs("c") == []
