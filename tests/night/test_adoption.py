"""What a new supervisor makes of what the one before it left: living, ended, reported, asked, vanished."""

from __future__ import annotations

import os
import signal

from builders import Fleet, ended

NOTE = 'root=$shared; echo $GANGER_RUN $$ >> "$root/pids"\n'
WAIT = 'while [ ! -e "$root/go" ]; do sleep 0.05; done\n'
WORK = "echo x >> src/$item.txt\ncommit work\n"


def pids(fleet: Fleet) -> list[int]:
    return fleet.noted()


def orphaned(fleet: Fleet, script: str, workers: int = 2) -> str:
    """Begin a night, and kill its supervisor when its workers work; returns the plan."""
    fleet.begin()
    fleet.shell_agent("default", NOTE + script)
    fleet.configure()
    for name in "ab"[:workers]:
        fleet.item(name)
    plan = str(fleet.plan())
    night = fleet.start("run", plan, "--trust")
    fleet.wait(lambda: len(pids(fleet)) == workers)
    fleet.wait(lambda: all(run["status"] == "working" for run in fleet.json("status")["runs"]))
    night.kill()
    ended(night)
    return plan


def finish(fleet: Fleet, plan: str, workers: int = 2) -> None:
    """The next night takes what there is and starts nobody again."""
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert len(pids(fleet)) == workers
    assert sorted(fleet.landed_items()) == list("ab"[:workers])
    fleet.assert_sound()


def test_living_workers_are_adopted(fleet: Fleet) -> None:
    plan = orphaned(fleet, WAIT + WORK)
    assert set(pids(fleet)) <= set(fleet.processes())
    night = fleet.start("run", plan)
    fleet.wait(lambda: fleet.json("status")["supervised"])
    (fleet.shared / "go").touch()
    assert ended(night).code == 0
    finish(fleet, plan)


def test_workers_that_ended_meanwhile_are_found(fleet: Fleet) -> None:
    plan = orphaned(fleet, WAIT + WORK)
    (fleet.shared / "go").touch()
    fleet.wait(lambda: not fleet.processes())
    assert not fleet.json("status")["supervised"]
    finish(fleet, plan)


def test_a_report_made_while_nobody_supervises_counts(fleet: Fleet) -> None:
    plan = orphaned(fleet, f"{WAIT}{WORK}ganger done --summary 'said to nobody'\n", workers=1)
    (fleet.shared / "go").touch()
    fleet.wait(lambda: not fleet.processes())
    assert "this is kept, and taken in when one is back" in fleet.ganger("log", "a.1").out
    assert fleet.json("show", "a.1")["turns"][0]["report"] is None
    finish(fleet, plan, workers=1)
    assert fleet.json("show", "a.1")["turns"][0]["report"]["summary"] == "said to nobody"


def test_a_question_asked_and_answered_while_nobody_supervises(fleet: Fleet) -> None:
    script = f'{WAIT}[ $GANGER_TURN = 1 ] && {{ ganger ask "Which?"; exit; }}\necho "$GANGER_BRIEF" > src/$item.txt\n'
    plan = orphaned(fleet, f"{script}commit work\n", workers=1)
    (fleet.shared / "go").touch()
    fleet.wait(lambda: not fleet.processes())
    assert fleet.ganger("answer", "q1", "the left one").code == 0
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert "answered: the left one" in (fleet.on_main("src/a.txt") or "")
    assert len(pids(fleet)) == 2
    assert fleet.runs("a")[0]["turn"] == 2
    fleet.assert_sound()


def test_a_worker_whose_watcher_was_killed_too_is_ended_and_its_run_goes_on(fleet: Fleet) -> None:
    hang = "[ $GANGER_RUN/$GANGER_TURN = a.1/1 ] && { sleep 1000; sleep 1000; }"
    script = f'trap "" TERM\necho half >> src/$item.txt\n{hang}\n{WORK}'
    plan = orphaned(fleet, script, workers=1)
    shims = [pid for pid, about in fleet.processes().items() if "reaper.py" in about]
    assert len(shims) == 1
    os.kill(shims[0], signal.SIGKILL)
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert [run["ending"] for run in fleet.runs("a")] == ["landed"]
    assert "vanished" in str(fleet.json("trace", "a"))
    assert fleet.on_main("src/a.txt") == "a\nhalf\nhalf\nx\n"
    fleet.assert_sound()


def test_a_workspace_that_somebody_removed_is_no_reason_to_stop(fleet: Fleet) -> None:
    plan = orphaned(fleet, WAIT + WORK, workers=2)
    os.rename(fleet.state / "workspaces/a.1", fleet.root / "taken")
    (fleet.shared / "go").touch()
    done = fleet.ganger("run", plan)
    assert done.code in (0, 3), done
    assert fleet.on_main("src/b.txt") == "b\nx\n"
    fleet.assert_sound()


def test_a_fleet_leaves_the_workers_of_another_alone(fleet: Fleet) -> None:
    """Two repositories with the same plan have runs of the same names and tokens at the same time."""
    other = Fleet(fleet.root / "other")
    other.begin()
    other.shell_agent("default", "exit 1")
    other.configure()
    for name in "ab":
        other.item(name, more="budget = { attempts_max = 1 }")
    plan = orphaned(fleet, WAIT + WORK)
    workers = pids(fleet)
    assert other.ganger("run", str(other.plan()), "--trust").code == 3
    tokens = [[one.runs(item)[0]["token"] for item in "ab"] for one in (fleet, other)]
    assert set(tokens[0]) & set(tokens[1])
    assert set(workers) <= set(fleet.processes())
    (fleet.shared / "go").touch()
    finish(fleet, plan)
