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
from ganger.core.effects import Clocks, Exit, Limit
from ganger.core.evolve import fold
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq
from ganger.core.model import ItemSpec, LeaseMode, Usage, WorkerId
from ganger.core.state import State
from ganger.drivers import process
from ganger.drivers.command import CommandDriver
from ganger.drivers.process_table import identify
from ganger.service.places import STARTED, Places
from ganger.supervisor.activity import FRESH_MS, SAMPLE_MAX_MS, SAMPLE_MIN_MS, Activity
from ganger.supervisor.observe import RESET_MAX_MS, Observer
from ganger.supervisor.stream import LOOK_BYTES_MAX, Reads, Stream

RUN = RunId("a.1")
BUSY = "import time\nwhile True: sum(range(10_000))"
IDLE = "import time\ntime.sleep(600)"
EXIT = {
    "code": 3,
    "signal": None,
    "timed_out": False,
    "stopped": False,
    "started_ms": 1,
    "ended_ms": 2,
    "cpu_ms": 7,
    "max_rss_kib": 1,
    "survivors_killed": 0,
    "output_dropped": 0,
    "left": 0,
    "fault": "",
}


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


def read_events(agent: str) -> Reads:
    return lambda line: CommandDriver().events(line, {"output": "events"})


def observer(places: Places, prices: dict[str, tuple[float, float]] | None = None) -> Observer:
    target, repo = Commit("2" * 40), "repo-1"
    return Observer(places, lambda run: None, lambda: target, lambda: False, lambda: repo, read_events, prices or {})


class Time:
    """The store's clock and the monotonic one, each to be moved by the test."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.at_ms = process.monotonic_ms()

    def pass_ms(self, length_ms: int) -> None:
        self.now_ms += length_ms
        self.at_ms += length_ms


class Seen:
    """One run whose worker lives, looked at by `Activity`."""

    def __init__(self, places: Places, worker: WorkerId, silence_ms: int = 4_000) -> None:
        self.time, self.tip, self.silence_ms = Time(), Commit("1" * 40), silence_ms
        self.places = places
        self.runs = list(state_with(worker).runs.values())
        self.activity = Activity(places, lambda run: self.tip, self.stream, lambda: self.time.at_ms)

    def stream(self, run: Run) -> Stream:
        return Stream(self.places.turn(run.id, run.turn), read_events(run.agent))

    def look(self) -> Clocks:
        """Look, and say when what was seen, counted from now (0: now, None: never)."""
        self.again_ms = self.activity.look(self.runs, self.silence_ms, self.time.now_ms) - self.time.now_ms
        life = self.activity.life(self.runs[0])
        assert life is not None
        return life.clocks

    def ago(self) -> tuple[int | None, int | None, int | None]:
        clocks = self.look()
        whens = (clocks.heartbeat_ms, clocks.output_ms, clocks.artefact_ms)
        heartbeat, output, artefact = (self.time.now_ms - when if when else None for when in whens)
        return heartbeat, output, artefact


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
def test_living_worker_is_alive_and_unknown_until_it_is_seen_to_do_anything(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]
) -> None:
    seen = observer(places).observe(state_with(child[1]), 50_000)
    assert seen.alive == {RUN} and not seen.exits
    clocks = seen.clocks[RUN]
    assert (clocks.output_ms, clocks.artefact_ms, clocks.same_calls) == (0, 0, 0)
    assert seen.target == Commit("2" * 40) and seen.repo == "repo-1"
    assert seen.look_again_ms == 50_400


def settled(seen: Seen) -> None:
    """Let the worker's start be over, so that it is not taken for activity."""
    time.sleep(0.5)
    seen.look()
    seen.time.pass_ms(1_000)


@pytest.mark.parametrize(("child", "beats"), [(IDLE, False), (BUSY, True)], indirect=["child"])
def test_processor_time_is_a_heartbeat_and_nothing_else(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId], beats: bool
) -> None:
    seen = Seen(places, child[1])
    settled(seen)
    time.sleep(0.7)
    heartbeat, output, artefact = seen.ago()
    assert (heartbeat == 0) is beats and output is None and artefact is None


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_each_clock_runs_by_itself(places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]) -> None:
    seen = Seen(places, child[1])
    log = places.turn(RUN, 1) / "output.log"
    log.touch()
    settled(seen)
    assert seen.ago()[1:] == (None, None)
    log.write_text("hello")
    seen.time.pass_ms(1_000)
    assert seen.ago()[1:] == (0, None)
    seen.tip = Commit("2" * 40)
    seen.time.pass_ms(1_000)
    assert seen.ago()[1:] == (1_000, 0)
    seen.time.pass_ms(1_000)
    places.workspace(RUN).mkdir(parents=True)
    (places.workspace(RUN) / "file").touch()
    assert seen.ago()[1:] == (2_000, 0)
    seen.time.pass_ms(1_000)
    places.workspace(RunId("b.1")).mkdir()
    (places.workspaces / "b.1" / "of another").touch()
    os.utime(log)
    assert seen.ago()[1:] == (3_000, 1_000)


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_samples_are_sparse(places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]) -> None:
    for silence_ms, again_ms in ((1_000, SAMPLE_MIN_MS), (20_000, 2_000), (600_000, SAMPLE_MAX_MS)):
        seen = Seen(places, child[1], silence_ms)
        assert seen.ago()[1] is None and seen.again_ms == again_ms
        (places.turn(RUN, 1) / "output.log").write_text("x")
        seen.time.pass_ms(again_ms - 1)
        assert seen.ago()[1] is None and seen.again_ms == 1
        seen.time.pass_ms(1)
        assert seen.ago()[1] == 0
        (places.turn(RUN, 1) / "output.log").unlink()


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_nothing_of_a_worker_is_read_while_there_is_nothing_new(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LR9: a look at a worker that is on time costs sizes and times; its output is read when it has grown."""
    output = places.turn(RUN, 1) / "output.log"
    output.write_text("begun\n")
    seen = Seen(places, child[1], 20_000)
    seen.look()
    reads: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: reads.append(args[1]) or pread(*args))
    for _ in range(50):
        seen.time.pass_ms(seen.again_ms)
        seen.look()
    assert reads == []
    output.write_text("begun\nmore\n")
    seen.time.pass_ms(seen.again_ms)
    seen.look()
    assert len(reads) == 1


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_worker_that_another_supervisor_started_counts_as_active(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]
) -> None:
    seen = Seen(places, child[1])
    seen.time.at_ms += FRESH_MS
    assert seen.ago() == (0, 0, 0)


DAY_MS = 24 * 3_600_000


@pytest.mark.parametrize("child", [IDLE], indirect=True)
@pytest.mark.parametrize(
    ("silence_ms", "jump_ms", "anew"),
    [
        (600_000, DAY_MS, True),
        (600_000, -DAY_MS, True),
        (600_000, 30_001, True),
        (600_000, 29_000, False),
        (600_000, -29_000, False),
        (20_000, 12_000, True),
        (20_000, -12_000, True),
        (20_000, 9_000, False),
    ],
)
def test_jump_of_the_clock_makes_every_worker_active(
    places: Places, child: tuple[subprocess.Popen[bytes], WorkerId], silence_ms: int, jump_ms: int, anew: bool
) -> None:
    """Forward, back, and by sleep of the machine, which the store's clock counts and the monotonic one does not."""
    seen = Seen(places, child[1], silence_ms)
    settled(seen)
    before = seen.look()
    seen.time.now_ms += jump_ms
    seen.time.pass_ms(5)
    after = seen.look()
    assert (after.active_ms == seen.time.now_ms) is anew
    if anew:
        assert (after.heartbeat_ms, after.output_ms, after.artefact_ms) == (seen.time.now_ms,) * 3
    else:
        assert after.output_ms == before.output_ms
    assert after.age_ms == before.age_ms + 5
    assert 0 < seen.again_ms <= SAMPLE_MAX_MS


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_age_is_that_of_the_process(places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]) -> None:
    time.sleep(0.2)
    age_ms = Seen(places, child[1]).look().age_ms
    assert 150 <= age_ms < 20_000
    (places.turn(RUN, 1) / STARTED).write_text(str(process.slept_ms() + 5_000))
    assert 5_150 <= Seen(places, child[1]).look().age_ms < 25_000


def test_sleep_before_and_since_a_start_is_no_age() -> None:
    """Started 100 s after the boot, of which the machine slept 30 s: by the other clock that was at 70 s."""
    assert process.born_ms(WorkerId(1, 100 * os.sysconf("SC_CLK_TCK"), ""), 30_000) == 70_000


@pytest.mark.parametrize("child", [IDLE], indirect=True)
def test_what_its_output_tells_is_seen(places: Places, child: tuple[subprocess.Popen[bytes], WorkerId]) -> None:
    call = '{"event": "tool_call", "name": "bash", "arguments": {}}\n'
    limit = '{"event": "rate_limited", "reset_at_ms": %d, "reason": "r"}\n'
    log = places.turn(RUN, 1) / "output.log"
    log.write_text(call * 3 + '{"event": "usage", "tokens_in": 1000, "tokens_out": 100}\n' + limit % 90_000)
    looking = observer(places, {"x": (3.0, 15.0)})
    seen = looking.observe(state_with(child[1]), 50_000)
    assert seen.clocks[RUN].same_calls == 3
    assert seen.usage == {RUN: Usage(4_500, 1_100, seen.clocks[RUN].age_ms)}
    assert seen.limits == {RUN: Limit(90_000, "r")}
    log.write_text(limit % (50_000 + RESET_MAX_MS + 1))
    assert observer(places).observe(state_with(child[1]), 50_000).limits == {RUN: Limit(0, "r")}


def test_ended_worker_is_read_to_its_end_before_its_exit_is_told(places: Places) -> None:
    gone = state_with(WorkerId(1 << 22, 1, "gone"))
    (places.turn(RUN, 1) / "exit.json").write_text(json.dumps(EXIT | {"started_ms": 1_000, "ended_ms": 61_000}))
    log = places.turn(RUN, 1) / "output.log"
    log.write_bytes(b"x\n" * LOOK_BYTES_MAX + b'{"event": "usage", "tokens_in": 7, "usd": 1.5}')
    looking = observer(places)
    looks = 0
    while not (seen := looking.observe(gone, 2_000 + looks)).exits:
        assert seen.alive == {RUN} and seen.clocks[RUN].active_ms == 2_000 + looks
        assert seen.look_again_ms == 2_001 + looks
        looks += 1
    assert looks == 2 and not seen.alive
    assert seen.usage == {RUN: Usage(1_500_000, 7, 60_000)}
    again = looking.observe(gone, 9_000)
    assert again.exits == seen.exits and again.usage == seen.usage


def test_ended_worker_shows_how_it_ended_or_that_it_is_lost(places: Places) -> None:
    gone = state_with(WorkerId(1 << 22, 1, "gone"))
    assert observer(places).observe(gone, 2_000).exits == {RUN: Exit(1, None, lost=True)}
    (places.turn(RUN, 1) / "exit.json").write_text(json.dumps(EXIT))
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


@pytest.mark.parametrize("matters", [False, True])
def test_whether_the_target_is_changed_by_hand_is_looked_at_only_when_it_matters(places: Places, matters: bool) -> None:
    asked: list[int] = []

    def dirty() -> bool:
        asked.append(1)
        return True

    looking = Observer(
        places, lambda run: None, lambda: Commit(""), dirty, lambda: "", read_events, {}, lambda state: matters
    )
    for now_ms in (2_000, 3_999):
        seen = looking.observe(state_with(None), now_ms)
        assert seen.target_clean is not matters
        assert seen.look_again_ms == (4_000 if matters else None)
    assert len(asked) == matters
