"""The supervisor's own wall: a fault of ganger damages only what ganger keeps, and whole nights pass behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Fleet, ended

from ganger.jail import kernel
from ganger.jail.landlock import ABI_MIN

pytestmark = pytest.mark.skipif(kernel.landlock_abi() < ABI_MIN, reason="there is no Landlock here")

PLANTED = """
import errno, json, os, shutil, sys
from pathlib import Path
from ganger.cli.main import main
from ganger.git import landing
from ganger.supervisor.world import RealWorld

home, repo, temporary, note = (Path(os.environ[name]) for name in ("HOME", "REPO", "TMP", "NOTE"))
plain, did = RealWorld.{place}, {{}}

def tried(what, action):
    try:
        action()
        did[what] = "done"
    except OSError as error:
        did[what] = errno.errorcode[error.errno]

def bug(*args, **kwargs):
    if not did:
        tried("home", lambda: (home / "precious").unlink())
        tried("temporary", lambda: (temporary / "planted").write_text("x"))
        tried("checkout", lambda: (repo / "src/a.txt").write_text("x"))
        tried("git", lambda: (repo / ".git/HEAD").write_text("x"))
        tried("tree", lambda: shutil.rmtree(repo / "src"))
        tried("new", lambda: (repo / "new").mkdir())
        note.write_text(json.dumps(did))
    return plain(*args, **kwargs)

RealWorld.{place} = bug
sys.exit(main(sys.argv[1:], alone={alone}))
"""
"""A supervisor with a bug in it: in the tick, and in what a thread of its pool does."""


def night_with_bug(
    fleet: Fleet, place: str, alone: bool
) -> tuple[subprocess.Popen[bytes], Callable[[], dict[str, str]]]:
    """Begin it; the night, and what the bug could do as soon as that is known."""
    fleet.begin()
    (fleet.home / "precious").write_text("x")
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    fleet.configure()
    for name in "bc":
        fleet.item(name)
    fleet.git("checkout", "-q", "-b", "mine")
    fleet.state.mkdir(mode=0o700)
    note = fleet.state / "planted.json"
    env = {"REPO": str(fleet.repo), "TMP": str(fleet.root / "tmp"), "NOTE": str(note)}
    program = PLANTED.format(place=place, alone=alone)
    night = fleet.start("run", str(fleet.plan()), "--trust", env=env, program=(sys.executable, "-c", program))

    def did() -> dict[str, str]:
        fleet.wait(lambda: note.exists() and note.stat().st_size > 0)
        found: dict[str, str] = json.loads(note.read_text())
        return found

    return night, did


@pytest.mark.parametrize("place", ["observe", "start"])
def test_a_bug_in_the_supervisor_changes_nothing_of_the_persons(fleet: Fleet, place: str) -> None:
    night, did = night_with_bug(fleet, place, alone=True)
    done = ended(night)
    assert set(did().values()) == {"EACCES"}, did()
    assert done.code == 0, done
    assert (fleet.home / "precious").exists() and not (fleet.root / "tmp/planted").exists()
    assert (fleet.repo / "src/a.txt").read_text() == "a\n"
    assert fleet.git("status", "--porcelain", "--", "src") == ""
    assert sorted(fleet.landed_items()) == ["b", "c"]
    fleet.assert_sound()


@pytest.mark.parametrize("place", ["observe", "start"])
def test_without_the_wall_it_does(fleet: Fleet, place: str) -> None:
    """The negative control."""
    night, did = night_with_bug(fleet, place, alone=False)
    assert set(did().values()) == {"done"}, did()
    assert not (fleet.home / "precious").exists() and not (fleet.repo / "src").exists()
    night.kill()
    ended(night)
    # Workers outlive a night, and are ended here by nobody else.
    fleet.wait(lambda: not fleet.processes())


@pytest.mark.parametrize("jail", ["bubblewrap", "landlock", "none"])
@pytest.mark.parametrize("checked_out", [True, False])
def test_a_night_behind_it(fleet: Fleet, jail: str, checked_out: bool) -> None:
    """Workers, checks and landings as ever, in each jail, on a branch that is checked out and on one that is not."""
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    tier = "T0" if jail == "none" else "T1"
    agents, shared = json.dumps(str(fleet.root / "agents")), json.dumps(str(fleet.shared))
    places = f"readable = [{agents}]\nwritable = [{shared}]\n"
    fleet.configure(more=f'[jail]\ntier_min = "{tier}"\nmechanism = "{jail}"\n{places}')
    for name in "abc":
        fleet.item(name)
    if not checked_out:
        fleet.git("checkout", "-q", "-b", "mine")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 0, done
    assert sorted(fleet.landed_items()) == ["a", "b", "c"]
    assert (fleet.repo / "src/a.txt").read_text() == ("a\nx\n" if checked_out else "a\n")
    assert fleet.git("status", "--porcelain", "--untracked-files=no") == ""
    held = json.loads((fleet.state / "jail.json").read_text())
    assert (held["tier"], held["kept_rights"]) == (tier, "")
    report = " ".join(fleet.ganger("report", "--text").out.split())
    assert "the supervisor writes only below its state directory" in report
    fleet.assert_sound()


def test_when_the_launcher_is_killed_the_supervisor_ends_and_its_workers_go_on(fleet: Fleet) -> None:
    fleet.begin()
    wait = 'while [ ! -e "$shared/go" ]; do sleep 0.05; done\n'
    fleet.shell_agent("default", f'echo $GANGER_RUN $$ >> "$shared/pids"\n{wait}echo x >> src/$item.txt\ncommit work')
    fleet.configure(fleet="workers_max = 1\n")
    for name in "ab":
        fleet.item(name)
    plan = str(fleet.plan())
    night = fleet.start("run", plan, "--trust")
    fleet.wait(lambda: len(fleet.noted()) == 1)
    fleet.wait(lambda: [run["status"] for run in fleet.json("status")["runs"]] == ["working"])
    os.kill(_launcher_of(night.pid), signal.SIGKILL)
    (worker,) = fleet.noted()
    (fleet.shared / "go").touch()
    done = ended(night)
    assert done.code == 70
    assert "has ended, and without it there is no going on; the workers do" in done.err
    assert "start ganger again" in done.err
    assert worker not in fleet.processes() or Path(f"/proc/{worker}").exists()
    again = fleet.ganger("run", plan)
    assert again.code == 0, again
    assert sorted(fleet.landed_items()) == ["a", "b"]
    fleet.assert_sound()


def _launcher_of(supervisor: int) -> int:
    found = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    (launcher,) = [int(pid) for pid in found if b"launcher.main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return launcher


WITHOUT_LANDLOCK = """
import struct, sys
from ganger.__main__ import main
from ganger.jail import kernel
steps = ((0x20, 0, 0, 0), (0x15, 0, 1, kernel.CREATE_RULESET), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000))
kernel.take_no_privileges()
kernel.refuse_calls(b"".join(struct.pack("=HBBI", *step) for step in steps))
main()
"""
"""A kernel without Landlock, as far as a program can tell."""


def test_where_there_is_no_landlock_it_is_said_everywhere(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    fleet.configure()
    fleet.item("a")
    old = (sys.executable, "-c", WITHOUT_LANDLOCK)
    looked = ended(fleet.start("doctor", "--json", program=old))
    (found,) = [row for row in json.loads(looked.out)["findings"] if row["what"] == "rights"]
    assert found["state"] == "it would keep yours: no Landlock here"
    assert "Landlock (Linux 6.2 or newer)" in found["remedy"] and not found["serious"]
    done = ended(fleet.start("run", str(fleet.plan()), "--trust", program=old))
    assert done.code == 0, done
    assert "; the supervisor keeps your rights: no Landlock here" in done.err
    report = " ".join(fleet.ganger("report", "--text").out.split())
    assert "; the supervisor keeps your rights: no Landlock here" in report
    assert fleet.landed_items() == ["a"]
    rows = {row["what"]: row for row in fleet.json("doctor")["findings"]}
    assert rows["rights"]["state"] == "a supervisor writes only below its state directory"
    fleet.assert_sound()


def test_the_next_night_of_the_same_process_stays_behind_it(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    fleet.configure()
    fleet.item("a")
    plan = str(fleet.plan())
    nights = fleet.start("run", plan, "--trust", "--every", "1s")
    fleet.wait(lambda: fleet.landed_items() == ["a"])
    fleet.item("b")
    fleet.plan()
    fleet.wait(lambda: fleet.landed_items() == ["a", "b"])
    os.kill(nights.pid, signal.SIGINT)
    done = ended(nights)
    assert "fault" not in done.err and "keeps your rights" not in done.err, done
    assert json.loads((fleet.state / "jail.json").read_text())["kept_rights"] == ""
    fleet.assert_sound()


THREADED = """
import threading
from ganger.__main__ import main
threading.Thread(target=threading.Event().wait, daemon=True).start()
main()
"""


def test_a_process_with_other_threads_says_that_it_keeps_its_rights(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt\ncommit work")
    fleet.configure()
    fleet.item("a")
    done = ended(fleet.start("run", str(fleet.plan()), "--trust", program=(sys.executable, "-c", THREADED)))
    assert done.code == 0, done
    assert "the supervisor keeps your rights: something that was loaded has threads of its own" in done.err
    fleet.assert_sound()
