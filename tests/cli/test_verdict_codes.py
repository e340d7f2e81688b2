"""Verdicts of the kernel that need a fleet in a particular state, each run to by its command (OP9)."""

from __future__ import annotations

import contextlib
import os
import signal

from builders import Done, Fleet

from ganger.cli.other import EXIT_CODES

WAIT = "until [ -e $shared/go ]; do sleep 0.05; done; echo x >> src/$item.txt; commit work; ganger done"


def code_of(command: str, verdict: str) -> int:
    """What the table says that a command exits with for a verdict."""
    return next(int(code) for name, code, means in EXIT_CODES if (name, means) == (command, verdict))


def says(done: Done, command: str, verdict: str) -> bool:
    """Whether a command said a verdict, in its first word and in its exit status."""
    return (done.out.partition(":")[0], done.code) == (verdict, code_of(command, verdict))


def test_a_fleet_of_more_than_are_wanted(fleet: Fleet) -> None:
    """Two work and one or none is wanted: over target, and neither is to be stopped for it."""
    fleet.begin()
    fleet.shell_agent("default", WAIT)
    fleet.configure(fleet="workers_max = 2\n")
    fleet.item("a")
    fleet.item("b")
    assert fleet.ganger("up", str(fleet.plan()), "--trust").code == 0
    fleet.wait(lambda: len(fleet.json("status")["runs"]) == 2)
    for target in ("0", "1"):
        done = fleet.ganger("fleet-plan", "--target", target)
        assert says(done, "fleet-plan", "over_target"), done
        planned = fleet.json("fleet-plan", "--target", target)
        assert (planned["verdict"], planned["live"], planned["stop"]) == ("over_target", 2, [])
    assert says(fleet.ganger("fleet-plan", "--target", "2"), "fleet-plan", "at_target")
    (fleet.shared / "go").touch()
    fleet.wait(lambda: set(fleet.statuses().values()) == {"landed"})
    assert fleet.ganger("down").code == 0


def test_a_run_without_a_worker_is_unknown(fleet: Fleet) -> None:
    """Granted while no supervisor is up, and killed with its shim: nobody can say, and nobody guesses."""
    fleet.begin()
    fleet.shell_agent("default", WAIT)
    fleet.configure()
    fleet.item("a", more='hold = "operator"')
    plan = str(fleet.plan())
    assert fleet.ganger("run", plan, "--trust", "--quiet").code == 5
    assert fleet.ganger("retry", "a", "--now").code == 0
    done = fleet.ganger("liveness", "a.1")
    assert says(done, "liveness", "unknown"), done
    assert done.out == "unknown: no worker of a.1 lives now (looked)\n"
    assert fleet.ganger("up").code == 0
    fleet.wait(lambda: bool(fleet.json("show", "a.1")["turns"]))
    assert fleet.ganger("down").code == 0
    for pid in fleet.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    fleet.wait(lambda: not fleet.processes())
    found = fleet.json("liveness", "a.1")
    assert (found["liveness"], found["reason"]) == ("unknown", "no worker of a.1 lives now")
    assert says(fleet.ganger("liveness", "a.1"), "liveness", "unknown")
    (fleet.shared / "go").touch()
    assert fleet.ganger("run", plan, "--quiet").code == 0
