"""What a person does to plans, runs and breakers takes effect in the night that is under way."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime, timedelta

import pytest
from builders import QUICK, Fleet, ended, quoted

WORK = "echo x >> src/$item.txt; commit work; ganger done"
WAIT = "until [ -e $shared/go ]; do sleep 0.05; done"


def begin(
    fleet: Fleet, script: str = WORK, items: str = "ab", more: str = "", *, workers: int = 4, recovery: str = QUICK
) -> str:
    fleet.begin()
    fleet.shell_agent("default", script)
    fleet.configure(fleet=f"workers_max = {workers}\n", recovery=recovery)
    for name in items:
        fleet.item(name, more=more)
    return str(fleet.plan())


def test_a_paused_plan_gets_no_worker_and_a_stopped_one_loses_its_own(fleet: Fleet) -> None:
    plan = begin(fleet, f"{WAIT}; {WORK}", workers=1)
    assert fleet.ganger("up", plan, "--trust").code == 0
    fleet.wait(lambda: bool(fleet.json("status")["runs"]))
    assert fleet.ganger("pause", "plan").code == 0
    (fleet.shared / "go").touch()
    fleet.wait(lambda: "landed" in fleet.statuses().values())
    assert fleet.ganger("gate").code == 5
    assert fleet.json("status")["plans"] == [{"id": "plan", "state": "paused", "reason": ""}]
    (fleet.shared / "go").unlink()
    assert fleet.ganger("resume", "plan").code == 0
    fleet.wait(lambda: bool(fleet.json("status")["runs"]))
    assert fleet.ganger("gate").code == 6
    assert fleet.ganger("plan", "stop", "plan", "--reason", "enough").code == 0
    fleet.wait(lambda: not fleet.json("status")["runs"])
    assert fleet.json("next")["items"][0]["refusal"]["reason"] == "plan plan is stopped: enough"
    assert fleet.ganger("down").code == 0


def test_what_a_worker_came_upon_waits_for_a_person(fleet: Fleet) -> None:
    file = "ganger follow-up --title 'Also b' --brief 'It is wrong too.' --scope src/b.txt"
    plan = begin(fleet, f"[ $item = a ] && {{ {file}; {file} --json; }}; echo x >> src/${{scope:-a}}.txt; {WORK}", "a")
    assert fleet.ganger("run", plan, "--trust", "--quiet").code == 5
    log = fleet.ganger("log", "a").out.splitlines()
    assert log[0] == "filed as a-f1"
    assert json.loads(log[1]) | {"seq": 0} == {
        **{"kind": "ganger.reply", "version": 1, "accepted": True, "changed": False, "seq": 0, "refusal": None}
    }
    held = {item["item"]: item for item in fleet.json("next")["items"]}["a-f1"]
    assert (held["hold"], held["curable"], held["title"]) == ("operator_gate", False, "Also b")
    assert fleet.json("show", "a")["spec"]["scope"] == ["src/a.txt"]
    assert fleet.ganger("retry", "a-f1").out == "a-f1 is offered again\n"
    assert fleet.ganger("gate").code == 0


def test_a_run_is_put_back_to_a_checkpoint(fleet: Fleet) -> None:
    script = (
        "case $GANGER_TURN in 1) echo stray > README; commit stray; ganger done;; 2) ganger ask 'What now?';;"
        f" *) git rev-parse HEAD > $shared/head; {WORK};; esac"
    )
    plan = begin(fleet, script, "a", recovery='turns_max = 3\nbackoff = "0s"\n')
    assert fleet.ganger("run", plan, "--trust", "--quiet").code == 5
    assert fleet.json("status")["items"] == {"asking": 1}
    listed = fleet.json("rewind", "a.1")["checkpoints"]
    assert [row["name"] for row in listed] == ["base", "turn-1"]
    assert fleet.ganger("rewind", "a.1", "turn-1").code == 2
    assert fleet.ganger("rewind", "a.1", "turn-2", "--note", "x").code == 2
    assert fleet.ganger("rewind", "a.1", listed[0]["commit"][:9], "--note", "Leave README alone.").code == 0
    assert fleet.ganger("inbox").code == 1
    assert fleet.ganger("run", plan, "--quiet").code == 0
    assert (fleet.shared / "head").read_text().strip() == listed[0]["commit"]
    assert "Leave README alone." in (fleet.state / "runs" / "a.1" / "turn-3" / "brief.3.md").read_text()


def test_what_fails_again_and_again_is_not_tried_until_somebody_says_so(fleet: Fleet) -> None:
    plan = begin(fleet, "exit 3", "abcdefg", "budget = { attempts_max = 1 }", workers=1)
    night = fleet.ganger("run", plan, "--trust", "--quiet")
    assert night.code == 5, night
    assert night.out.startswith("unclear_repeated: 0 of 7 items landed"), night
    keys = [row["key"] for row in fleet.json("breaker", "list")["breakers"]]
    assert keys == ["agent:default", "kind:patcher"]
    assert "agent:default is not tried until" in fleet.ganger("status").out
    assert fleet.ganger("next").code == 3
    for key in keys:
        assert fleet.ganger("breaker", "close", key).code == 0
    assert fleet.ganger("breaker", "list").code == 1
    assert fleet.ganger("next").code == 0


def test_now_means_now_and_force_is_by_name(fleet: Fleet) -> None:
    plan = begin(fleet, "exit 3", "a", "budget = { attempts_max = 2 }", recovery='backoff = "1h"\nbackoff_max = "1h"\n')
    assert fleet.ganger("run", plan, "--trust", "--quiet", "--patience", "1s").code == 4
    assert fleet.json("next")["items"][0]["hold"] == "cooldown"
    assert fleet.ganger("pause", "plan").code == 0
    refused = fleet.ganger("retry", "a", "--now")
    assert (refused.code, "plan plan is paused" in refused.err) == (1, True), refused
    assert fleet.ganger("retry", "a", "--now", "--force").out == "a is given to a.2\n"
    assert fleet.json("show", "a.2")["forced_by"] == "dana"


def test_a_schedule_reads_its_plan_and_has_it_worked_on(fleet: Fleet) -> None:
    plan = begin(fleet, items="a")
    assert fleet.ganger("up", "--trust").code == 0
    soon = (datetime.now() + timedelta(seconds=8)).isoformat()
    assert fleet.ganger("schedule", "set", "soon", plan, "--once-at", soon, "--trust").code == 0
    fleet.wait(lambda: fleet.statuses() == {"a": "landed"})
    assert fleet.ganger("schedule", "list").code == 1
    assert fleet.ganger("down").code == 0


def test_a_night_follows_a_night_with_the_plan_read_anew(fleet: Fleet) -> None:
    plan = begin(fleet, items="a")
    nights = fleet.start("run", plan, "--trust", "--quiet", "--every", "1s", "--json")
    fleet.wait(lambda: fleet.state.exists() and fleet.statuses() == {"a": "landed"} if journalled(fleet) else False)
    fleet.plan().write_text("nonsense")
    time.sleep(1.5)
    fleet.item("b")
    fleet.plan()
    fleet.wait(lambda: fleet.statuses().get("b") == "landed")
    nights.send_signal(signal.SIGINT)
    done = ended(nights)
    assert done.code == 130, done
    told = [json.loads(line) for line in done.out.splitlines()]
    assert {night["reason"] for night in told} <= {"complete", "interrupted"}
    assert told[0]["items"] == {"landed": 1}
    assert "Traceback" not in done.err


def journalled(fleet: Fleet) -> bool:
    """Whether there is a fleet to look at yet."""
    return fleet.ganger("status").code == 0


@pytest.mark.parametrize(
    ("words", "code", "reason", "landed"),
    [
        (("--iterations", "1"), 0, "iteration_cap", 1),
        (("--once",), 0, "once", 1),
        (("--iterations", "5"), 0, "complete", 2),
    ],
)
def test_a_night_is_as_long_as_it_was_asked_to_be(
    fleet: Fleet, words: tuple[str, ...], code: int, reason: str, landed: int
) -> None:
    plan = begin(fleet, workers=1)
    night = fleet.json("run", plan, "--trust", "--quiet", *words)
    assert (night["reason"], night["exit"], night["items"]["landed"]) == (reason, code, landed)
    assert night["report"].endswith("report.html")
    if reason == "iteration_cap":
        assert fleet.json("run", plan, "--quiet", *words)["items"] == {"landed": 2}


def test_the_farewell_counts_the_plan_and_not_the_fleet(fleet: Fleet) -> None:
    assert fleet.ganger("run", begin(fleet), "--trust", "--quiet").code == 0
    fleet.items.clear()
    fleet.item("c")
    night = fleet.ganger("run", str(fleet.plan("other")), "--trust", "--quiet")
    assert night.out.startswith("complete: 1 of 1 item landed on main\n"), night


def test_a_dry_run_tells_of_each_item_and_changes_nothing(fleet: Fleet) -> None:
    plan = begin(fleet, items="a")
    fleet.item("a2", scope=["src/a.txt"])
    fleet.item("b")
    fleet.item("c", more='after = ["b"]')
    fleet.item("d", more='hold = "draft"')
    plan = str(fleet.plan())
    told = fleet.json("run", plan, "--dry-run", "--iterations", "1")
    assert not fleet.state.exists()
    assert [(row["item"], row["start"], row["hold"]) for row in told["items"]] == [
        ("a", True, None),
        ("a2", False, "scope_busy"),
        ("b", False, "scope_busy"),
        ("c", False, "dependency"),
        ("d", False, "draft"),
    ]
    assert told["items"][2]["refusal"]["reason"] == "--iterations 1: others come first"


def test_a_predicate_is_asked_by_whoever_would_grant(fleet: Fleet) -> None:
    """`[predicates.freeze]` refuses while a file is there: in the night, for `admit` and for `retry --now`."""
    begin(fleet, items="ab")
    frozen = fleet.root / "frozen"
    frozen.touch()
    check = f"sh -c 'test ! -e {frozen} || {{ echo code freeze; exit 1; }}'"
    fleet.configure(more=f'[predicates.freeze]\nrun = {quoted(check)}\ntimeout = "5s"\n')
    night = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet", "--patience", "1s")
    assert night.code == 4, night
    assert fleet.json("admit", "a")["refusal"]["code"] == "predicate"
    refused = fleet.ganger("retry", "a", "--now")
    assert (refused.code, "predicate freeze refused: code freeze" in refused.err) == (1, True), refused
    assert fleet.ganger("retry", "a", "--now", "--force").out == "a is given to a.1\n"
    assert fleet.json("show", "a.1")["forced_by"] == "dana", "who overrules a program is named"
    frozen.unlink()
    assert fleet.ganger("retry", "b", "--now").out == "b is given to b.1\n"
    assert fleet.json("show", "b.1")["forced_by"] == ""
