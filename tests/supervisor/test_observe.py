"""What the supervisor sees of workers: who lives, how others ended, who is active, what may have been started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganger.core import events as ev
from ganger.core.effects import Exit
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq
from ganger.core.model import ItemSpec, LeaseMode, WorkerId
from ganger.core.state import State, fold
from ganger.drivers.process_table import identify
from ganger.supervisor.observe import SAMPLE_MAX_MS, STARTED, Activity, Observer, Places

RUN = RunId("a.1")
BUSY = "import time\nwhile True: sum(range(10_000))"
IDLE = "import time\ntime.sleep(600)"


def state_with(worker: WorkerId | None) -> State:
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("a/**",), silence_max_ms=4_000)
    granted = ev.RunGranted(RUN, spec.id, 1, Commit("1" * 40), spec.scope, LeaseMode.exclusive, 1 << 50, "x")
    facts: list[ev.Event] = [ev.ItemAdded(spec, ""), granted]
    if worker is not None:
        facts.append(ev.WorkerStarted(RUN, 1, worker))
    return fold(ev.Entry(Seq(n), 1_000, "t", fact) for n, fact in enumerate(facts, 1))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places(tmp_path)
    places.turn(RUN, 1).mkdir(parents=True)
    return places


def observer(places: Places) -> Observer:
    return Observer(places, lambda run: (), lambda: Commit("2" * 40), lambda: False)


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], WorkerId]]:
    """A shim's stand-in whose own child does what the test wants: activity is that of the tree below the worker."""
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {request.param!r}])"
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    worker = identify(process.pid)
    assert worker is not None
    yield process, worker
    os.killpg(process.pid, 9)
    process.wait()


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_living_worker_is_alive_and_first_seen_is_active(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]
) -> None:
    seen = observer(places).observe(state_with(child[1]), 50_000)
    assert seen.alive == {RUN} and not seen.exits
    assert seen.active_ms == {RUN: 50_000}
    assert seen.target == Commit("2" * 40)
    assert seen.look_again_ms == 50_400


@pytest.mark.parametrize(("child", "active"), [(IDLE, False), (BUSY, True)], indirect=["child"])
def test_only_a_worker_that_does_something_stays_active(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId], active: bool
) -> None:
    time.sleep(0.5)
    activity = Activity(places, lambda run: ())
    runs = list(state_with(child[1]).runs.values())
    activity.sample(runs, 4_000, 10_000)
    time.sleep(0.7)
    activity.sample(runs, 4_000, 20_000)
    assert (activity.active_ms[RUN] == 20_000) is active


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_output_and_commits_are_activity(
    places: Places, tmp_path: Path, child: tuple[subprocess.Popen[bytes], WorkerId]
) -> None:
    branch = tmp_path / "branch"
    activity = Activity(places, lambda run: (branch,))
    runs = list(state_with(child[1]).runs.values())
    activity.sample(runs, 4_000, 10_000)
    (places.turn(RUN, 1) / "output.log").write_text("hello")
    activity.sample(runs, 4_000, 20_000)
    assert activity.active_ms[RUN] == 20_000
    branch.write_text("oid")
    activity.sample(runs, 4_000, 30_000)
    assert activity.active_ms[RUN] == 30_000
    activity.sample([], 4_000, 40_000 + SAMPLE_MAX_MS)
    assert not activity.active_ms


def test_ended_worker_shows_how_it_ended_or_that_it_is_lost(places: Places) -> None:
    gone = state_with(WorkerId(1 << 22, 1, "gone"))
    assert observer(places).observe(gone, 2_000).exits == {RUN: Exit(1, None, lost=True)}
    numbers = {"started_ms": 1, "ended_ms": 2, "cpu_ms": 7, "max_rss_kib": 1, "survivors_killed": 0}
    rest = {
        "code": 3,
        "signal": None,
        "timed_out": False,
        "stopped": False,
        "output_dropped": 0,
        "left": 0,
        "fault": "",
    }
    record = numbers | rest
    (places.turn(RUN, 1) / "exit.json").write_text(json.dumps(record))
    assert observer(places).observe(gone, 2_000).exits == {RUN: Exit(1, 3, cpu_ms=7)}


def test_worker_that_may_have_been_started_takes_up_room(places: Places) -> None:
    state = state_with(None)
    assert observer(places).observe(state, 2_000).starting == frozenset()
    (places.turn(RUN, 1) / STARTED).touch()
    assert observer(places).observe(state, 2_000).starting == {RUN}
    (places.turn(RUN, 1) / "exit.json").touch()
    assert observer(places).observe(state, 2_000).starting == frozenset()


def test_workspaces_on_disk_are_seen_and_half_made_ones_are_not(places: Places) -> None:
    state = state_with(None)
    (places.workspaces / "b.2").mkdir(parents=True)
    (places.workspaces / ".making-c.1").mkdir()
    assert observer(places).observe(state, 2_000).workspaces == {RunId("b.2")}
