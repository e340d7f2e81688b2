"""What commands say where little is left to look at: pruned logs, quiet nights, schedules that are over."""

from __future__ import annotations

import time

import pytest
from builders import Fleet

BAD_DRIVER = """
from ganger.drivers.command import CommandDriver
from ganger.errors import WorldFailed


class Bad(CommandDriver):
    name = "bad"

    def fault(self, settings):
        return ""

    def launch(self, turn):
        raise WorldFailed("the product is not there")
"""
WORK = "echo printed; echo x >> src/$item.txt; commit work; ganger done > /dev/null"


def begin(fleet: Fleet, script: str = WORK, names: str = "a") -> str:
    fleet.begin()
    fleet.shell_agent("default", script)
    fleet.configure()
    for name in names:
        fleet.item(name, more="budget = { attempts_max = 1 }")
    return str(fleet.plan())


def test_a_log_that_was_pruned_is_said_to_be(fleet: Fleet) -> None:
    assert fleet.ganger("run", begin(fleet), "--trust", "--quiet").code == 0
    assert fleet.ganger("log", "a").out == "printed\n"
    assert fleet.ganger("prune", "--older-than", "0s", "--class", "prompts").code == 0
    assert fleet.ganger("log", "a").out == "printed\n"
    assert fleet.ganger("prune", "--older-than", "0s").code == 0
    for words in (("log", "a"), ("log", "a.1"), ("log", "a", "-f")):
        done = fleet.ganger(*words)
        assert (done.code, done.out) == (1, ""), done
        assert done.err.startswith("ganger: a.1 has no output any more: it was pruned at 20")


def test_a_run_that_never_began_has_printed_nothing(fleet: Fleet) -> None:
    plan = begin(fleet, names="ab")
    assert fleet.ganger("run", plan, "--trust", "--quiet", "--once").code == 0
    assert fleet.ganger("retry", "b", "--now").code == 0
    done = fleet.ganger("log", "b")
    assert (done.code, done.err) == (1, "ganger: b.1 has printed nothing yet\n")
    assert fleet.ganger("run", plan, "--quiet").code == 0


@pytest.mark.parametrize("quiet", [True, False])
def test_a_quiet_night_is_quiet_about_failed_tries_too(fleet: Fleet, quiet: bool) -> None:
    """A driver that cannot start anything: each try is told where the night is shown, and none where it is not."""
    fleet.begin()
    fleet.configure(more='[agents.default]\ndriver = "bad"\n')
    installed = fleet.root / "installed"
    (installed / "bad-1.dist-info").mkdir(parents=True)
    (installed / "bad.py").write_text(BAD_DRIVER)
    (installed / "bad-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (installed / "bad-1.dist-info" / "entry_points.txt").write_text("[ganger.drivers]\nbad = bad:Bad\n")
    for name in "ab":
        fleet.item(name, more='brief = "Put one more line below it."\nbudget = { attempts_max = 1 }')
    words = ("run", str(fleet.plan()), "--trust", *(["--quiet"] if quiet else []))
    done = fleet.ganger(*words, env={"PYTHONPATH": str(installed)})
    assert done.code in (3, 5), done
    for name in "ab":
        assert fleet.runs(name)[0]["reason"] == "the worker could not be started: the product is not there"
    assert len([line for line in done.err.splitlines() if "failed (" in line]) == (0 if quiet else 8)
    assert (done.err == "") is quiet


def test_a_schedule_that_fired_for_the_last_time_is_shown_as_over(fleet: Fleet) -> None:
    plan = begin(fleet)
    assert fleet.ganger("up", "--trust").code == 0
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 8))
    assert fleet.ganger("schedule", "set", "soon", plan, "--once-at", soon, "--trust").code == 0
    fleet.wait(lambda: fleet.statuses() == {"a": "landed"})
    listed = fleet.ganger("schedule", "list")
    assert (listed.code, listed.err) == (1, "nothing is scheduled\n")
    name, when, every, *last = listed.out.splitlines()[1].split()
    assert (name, when, every) == ("soon", "over", "once")
    assert plan in last
    (row,) = fleet.json("schedule", "list")["schedules"]
    assert (row["name"], row["next_ms"], row["fired_ms"] > 0) == ("soon", 0, True)
    assert fleet.ganger("schedule", "drop", "soon").code == 0
    assert fleet.json("schedule", "list")["schedules"] == [], "what is over can be forgotten"
    later = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3_600))
    assert fleet.ganger("schedule", "set", "soon", plan, "--once-at", later).code == 0
    assert [row["next_ms"] > 0 for row in fleet.json("schedule", "list")["schedules"]] == [True]
    assert fleet.ganger("schedule", "drop", "soon").code == 0
    assert fleet.json("schedule", "list")["schedules"] == []
    assert fleet.ganger("down").code == 0
