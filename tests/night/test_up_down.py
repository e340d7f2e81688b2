"""One supervisor a fleet: in the foreground and in the background, ended by words, by Ctrl-C and by signals."""

from __future__ import annotations

import signal
import time

import pytest
from builders import Fleet, ended

NOTE = 'root=$shared; echo $GANGER_RUN $$ >> "$root/pids"\n'
GATED = NOTE + 'while [ ! -e "$root/go" ]; do sleep 0.05; done\necho x >> src/$item.txt\ncommit work'


@pytest.fixture
def slow(fleet: Fleet) -> Fleet:
    """A fleet whose two workers write down their process ids, and work when they are let go on."""
    fleet.begin()
    fleet.shell_agent("default", GATED)
    fleet.configure()
    fleet.item("a")
    fleet.item("b")
    return fleet


def pids(fleet: Fleet) -> list[int]:
    return fleet.noted()


def let_go_on(fleet: Fleet) -> None:
    (fleet.shared / "go").touch()


def test_a_second_supervisor_is_told_who_holds_the_fleet(slow: Fleet) -> None:
    plan = str(slow.plan())
    night = slow.start("run", plan, "--trust")
    slow.wait(lambda: len(pids(slow)) == 2)
    policy = (slow.state / "policy.json").read_bytes()
    before = slow.json("status")["seq"]
    second = slow.ganger("run", plan, "--workers", "1")
    assert second.code == 1, second
    assert f"this fleet is supervised by pid {night.pid} on " in second.err
    assert "(ganger run) since " in second.err
    assert (slow.state / "policy.json").read_bytes() == policy
    assert slow.json("status")["seq"] >= before
    up = slow.ganger("up")
    assert up.code == 1, up
    assert f"this fleet is supervised by pid {night.pid} on " in up.err
    let_go_on(slow)
    done = ended(night)
    assert done.code == 0, done
    slow.assert_sound()


def test_up_takes_plans_through_its_socket_and_down_ends_it(slow: Fleet) -> None:
    assert slow.ganger("down").code == 1
    let_go_on(slow)
    up = slow.ganger("up", str(slow.plan("first")), "--trust")
    assert up.code == 0, up
    assert "plan first: 2 items, changed\nup: supervisor " in up.out
    assert slow.json("status")["supervised"]
    slow.items = []
    slow.item("c")
    again = slow.ganger("up", str(slow.plan("second")), "--trust")
    assert again.code == 0, again
    assert "plan second: 1 item, changed\nalready up: pid " in again.out
    slow.wait(lambda: slow.statuses() == dict.fromkeys("abc", "landed"))
    down = slow.ganger("down")
    assert (down.code, down.out) == (0, "down; workers go on, ganger up finds them\n")
    assert not slow.json("status")["supervised"]
    assert slow.ganger("down").code == 1
    assert not list(slow.state.glob("*.sock"))
    slow.assert_sound()


def test_down_leaves_the_workers_and_up_finds_them(slow: Fleet) -> None:
    assert slow.ganger("up", str(slow.plan()), "--trust").code == 0
    slow.wait(lambda: len(pids(slow)) == 2)
    assert slow.ganger("down").code == 0
    assert slow.ganger("up").code == 0
    let_go_on(slow)
    slow.wait(lambda: slow.statuses() == {"a": "landed", "b": "landed"})
    assert len(pids(slow)) == 2
    assert slow.ganger("down").code == 0
    slow.assert_sound()


def test_nothing_of_a_supervisor_is_left_when_down_says_so(slow: Fleet) -> None:
    slowly = slow.root / "slowly"
    slowly.mkdir()
    (slowly / "sitecustomize.py").write_text(
        "import atexit, sys, time\nif sys.orig_argv[-1] == '--foreground':\n    atexit.register(time.sleep, 1)\n"
    )
    assert slow.ganger("up", "--trust", env={"PYTHONPATH": str(slowly)}).code == 0
    assert slow.ganger("down").code == 0
    assert not slow.processes()


def test_down_now_stops_the_workers_and_keeps_their_work(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", f"echo half >> src/$item.txt; {NOTE}sleep 1000")
    fleet.configure()
    fleet.item("a")
    assert fleet.ganger("up", str(fleet.plan()), "--trust").code == 0
    fleet.wait(lambda: len(pids(fleet)) == 1)
    down = fleet.ganger("down", "--now")
    assert (down.code, down.out) == (0, "down\n")
    fleet.assert_sound()
    assert fleet.statuses() == {"a": "ready"}
    run = fleet.runs("a")[0]
    assert (run["ending"], run["counts"]) == ("interrupted", 0)
    hub = str(fleet.state / "hub.git")
    assert fleet.git("--git-dir", hub, "show", "refs/ganger/keep/a.1/tree:src/a.txt") == "a\nhalf"


def test_ctrl_c_stops_the_workers_and_the_next_run_goes_on(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent(
        "default", f"echo half >> src/$item.txt; {NOTE}[ $GANGER_RUN = $item.1 ] && sleep 1000\ncommit work"
    )
    fleet.configure()
    fleet.item("a", more="budget = { attempts_max = 1 }")
    fleet.item("b", more="budget = { attempts_max = 1 }")
    plan = str(fleet.plan())
    night = fleet.start("run", plan, "--trust")
    fleet.wait(lambda: len(pids(fleet)) == 2)
    night.send_signal(signal.SIGINT)
    done = ended(night)
    assert done.code == 130, done
    assert "stopping the workers and keeping their work" in done.err
    assert done.out.startswith("interrupted: 0 of 2 items landed on main\n")
    fleet.assert_sound()
    assert sorted(fleet.hub_refs("refs/ganger/keep/")) == [
        f"refs/ganger/keep/{item}.1/{what}" for item in "ab" for what in ("head", "tree")
    ]
    again = fleet.ganger("run", plan)
    assert again.code == 0, again
    assert [[run["ending"] for run in fleet.runs(item)] for item in "ab"] == [["interrupted", "landed"]] * 2
    fleet.assert_sound()


def test_sigterm_leaves_the_workers_to_the_next_run(slow: Fleet) -> None:
    plan = str(slow.plan())
    night = slow.start("run", plan, "--trust")
    slow.wait(lambda: len(pids(slow)) == 2)
    night.send_signal(signal.SIGTERM)
    done = ended(night)
    assert done.code == 130, done
    assert set(pids(slow)) <= set(slow.processes())
    let_go_on(slow)
    again = slow.ganger("run", plan)
    assert again.code == 0, again
    assert len(pids(slow)) == 2
    assert [run["ending"] for item in "ab" for run in slow.runs(item)] == ["landed", "landed"]
    slow.assert_sound()


def test_a_second_ctrl_c_does_not_wait(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", f"trap '' TERM; {NOTE}while :; do sleep 1; done")
    fleet.configure(recovery='backoff = "0s"\nstop_grace = "4s"\n')
    fleet.item("a")
    plan = str(fleet.plan())
    night = fleet.start("run", plan, "--trust")
    fleet.wait(lambda: len(pids(fleet)) == 1)
    night.send_signal(signal.SIGINT)
    time.sleep(0.5)
    night.send_signal(signal.SIGINT)
    done = ended(night)
    assert done.code == 130, done
    fleet.write({"../agents/default.sh": "exit 3\n"})
    assert fleet.ganger("stop", "a").code in (0, 1)
    fleet.ganger("run", plan)
    fleet.assert_sound()


def test_once_closes_one_item_however_many_workers_may_work(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    fleet.configure(fleet="workers_max = 3")
    for name in "abc":
        fleet.item(name)
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--once")
    assert done.code == 0, done
    assert done.out.startswith("once: 1 of 3 items landed on main\n")
    assert [len(fleet.runs(name)) for name in "abc"] == [1, 0, 0]


def test_a_schedule_survives_restarts_and_fires_once(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    fleet.configure()
    fleet.item("a")
    plan = str(fleet.plan())
    assert fleet.ganger("run", plan, "--trust", "--once").code == 0
    fleet.item("b")
    fleet.plan()
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3))
    assert fleet.ganger("schedule", "set", "nightly", plan, "--once-at", soon).code == 0
    assert [one["name"] for one in fleet.json("schedule", "list")["schedules"]] == ["nightly"]
    for _ in range(2):
        assert fleet.ganger("up", "--trust").code == 0
        fleet.wait(lambda: fleet.landed_items() == ["a", "b"])
        assert fleet.ganger("down", "--now").code == 0
    fired = [line for line in fleet.ganger("journal", "tail", "-n", "500").out.splitlines() if "ScheduleFired" in line]
    assert len(fired) == 1
