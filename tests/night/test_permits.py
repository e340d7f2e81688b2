"""A run's first worker is started for the base and within the time that it was granted for, and from a clean target."""

from __future__ import annotations

import json
import time

from builders import Fleet, ended

WORK = "git rev-parse HEAD > $shared/head.$GANGER_RUN; echo worked >> src/$item.txt; commit work; ganger done"


def begin(fleet: Fleet, *, settings: str = "") -> str:
    """A fleet that knows of two items, of which one has landed; no supervisor is up."""
    fleet.begin()
    fleet.shell_agent("default", WORK)
    fleet.configure(fleet=f"workers_max = 1\n{settings}")
    for name in "ab":
        fleet.item(name)
    plan = str(fleet.plan())
    assert fleet.ganger("run", plan, "--trust", "--quiet", "--once").code == 0
    assert fleet.statuses() == {"a": "landed", "b": "ready"}
    return plan


def base_of(fleet: Fleet, run: str) -> str:
    """Where the worker of a run stood when it began, as it saw it itself."""
    return (fleet.shared / f"head.{run}").read_text().strip()


def events(fleet: Fleet, name: str) -> list[dict[str, object]]:
    """All events of a type, oldest first."""
    lines = [json.loads(line)["event"] for line in fleet.ganger("journal", "export").out.splitlines()]
    return [event for event in lines if event["type"] == name]


def test_a_target_that_moved_before_the_start_is_what_the_worker_begins_on(fleet: Fleet) -> None:
    plan = begin(fleet)
    granted_on = fleet.git("rev-parse", "main")
    assert fleet.ganger("retry", "b", "--now").out == "b is given to b.1\n"
    moved = fleet.commit({"src/b.txt": "mine\n"}, "Mine")
    assert fleet.runs("b")[0]["base"] == granted_on
    assert fleet.ganger("run", plan, "--quiet").code == 0
    assert base_of(fleet, "b.1") == fleet.runs("b")[0]["base"] == moved != granted_on
    assert [run["ending"] for run in fleet.runs("b")] == ["landed"]
    assert fleet.on_main("src/b.txt") == "mine\nworked\n"
    assert [(event["run"], event["base"]) for event in events(fleet, "PermitRenewed")] == [("b.1", moved)]
    fleet.assert_sound()


def test_a_permit_that_nobody_used_in_time_is_no_attempt(fleet: Fleet) -> None:
    """A configuration allows ten seconds and more; the policy that other processes decide by is made stricter here."""
    plan = begin(fleet)
    kept = fleet.state / "policy.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"permit_ms": 1_000}))
    assert fleet.ganger("retry", "b", "--now").code == 0
    time.sleep(1.1)
    assert fleet.ganger("run", plan, "--quiet").code == 0
    late, again = fleet.runs("b")
    assert (late["ending"], late["reason"]) == ("expired", "its start permit ran out before its worker was started")
    assert (late["turn"], late["counts"], again["ending"]) == (0, 0, "landed")
    assert not (fleet.shared / "head.b.1").exists()
    assert base_of(fleet, "b.2") == again["base"]
    fleet.assert_sound()


def test_a_permit_that_is_used_in_time_is_the_run_that_lands(fleet: Fleet) -> None:
    plan = begin(fleet)
    assert fleet.ganger("retry", "b", "--now").code == 0
    time.sleep(1.1)
    assert fleet.ganger("run", plan, "--quiet").code == 0
    assert [run["ending"] for run in fleet.runs("b")] == ["landed"]


def test_nothing_begins_on_a_target_that_somebody_is_changing(fleet: Fleet) -> None:
    plan = begin(fleet, settings="require_clean = true\n")
    fleet.write({"src/c.txt": "half a thought\n"})
    night = fleet.start("run", plan)
    fleet.wait(lambda: bool(events(fleet, "ItemWaited")))
    told = events(fleet, "ItemWaited")
    assert [(event["item"], event["code"]) for event in told] == [("b", "dirty_base")]
    assert told[0]["reason"] == "main is checked out with changes that are not committed"
    assert fleet.ganger("why", "b").out == "b: main is checked out with changes that are not committed\n"
    time.sleep(1.0)
    assert fleet.runs("b") == []
    fleet.git("commit", "--quiet", "--all", "--message", "A whole one")
    done = ended(night)
    assert done.code == 0, done
    assert "b must wait: main is checked out with changes that are not committed" in done.err
    assert len(events(fleet, "ItemWaited")) == 1
    assert base_of(fleet, "b.1") == fleet.git("rev-parse", "main~1")
    fleet.assert_sound()


def test_with_patience_it_is_not_waited_for_all_night_and_next_says_why(fleet: Fleet) -> None:
    plan = begin(fleet, settings="require_clean = true\n")
    fleet.write({"src/c.txt": "half a thought\n"})
    began = time.monotonic()
    for _ in range(2):
        done = fleet.ganger("run", plan, "--quiet", "--patience", "1s")
        assert done.code == 5 and done.out.startswith("pick_held: "), done
    assert 2 <= time.monotonic() - began < 30
    told = fleet.ganger("next")
    assert (told.code, told.out) == (
        5,
        "- b: operator_gate: main is checked out with changes that are not committed\n",
    )
    fleet.git("commit", "--quiet", "--all", "--message", "A whole one")
    assert fleet.ganger("next").out.startswith("* b: ")
    assert fleet.ganger("run", plan, "--quiet", "--patience", "1s").code == 0
    fleet.assert_sound()


def test_without_that_wish_a_dirty_target_stops_nobody_from_beginning(fleet: Fleet) -> None:
    plan = begin(fleet)
    fleet.write({"src/c.txt": "half a thought\n"})
    assert fleet.ganger("run", plan, "--quiet").code == 5
    assert [run["status"] for run in fleet.runs("b")] == ["landing"]
    assert fleet.json("inbox")["questions"][0]["kind"] == "dirty_target"
