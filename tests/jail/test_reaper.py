"""No process of a worker outlives it, whatever it does, and however it ends."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ganger.drivers import process
from ganger.drivers.process import ProcessSpec
from ganger.jail.none import NoJail

SHAPES = Path(__file__).with_name("shapes.py")
LINUX = sys.platform == "linux"
pytestmark = pytest.mark.skipif(not LINUX, reason="needs a subreaper: only the process group is reaped elsewhere")

ALL = [
    "double_fork",
    "own_session",
    "storm",
    "deaf",
    "refork",
    "daemon",
    "bare_daemon",
    "stopped",
    "blocked",
    "headless",
    "respawn",
]
REPEATS = int(os.environ.get("GANGER_REAP_REPEATS", "2"))


@pytest.fixture
def tag(tmp_path):
    tag = f"shape-{tmp_path.name}-{os.getpid()}-{time.monotonic_ns()}"
    yield tag
    for pid in living(tag):
        os.kill(pid, signal.SIGKILL)


def living(tag):
    """Numbers of the processes that have `tag` as an argument and are not zombies.

    Looked for several times: each process of a chain of forks lives too short for one look to see it.
    """
    return next((found for _ in range(40) if (found := _seen(tag))), [])


def _seen(tag):
    found = []
    for name in os.listdir("/proc"):
        try:
            # The first thread of a living process may have ended; then only the others show the arguments.
            threads = os.listdir(f"/proc/{name}/task") if name.isdigit() else []
            lines = [Path("/proc", name, "task", thread, "cmdline").read_bytes() for thread in threads]
        except OSError:
            continue
        if any(tag.encode() in line.split(b"\0") for line in lines):
            found.append(int(name))
    return found


def zombies_of(*parents):
    found = []
    for pid, line in process_lines():
        state, parent = line.rpartition(")")[2].split()[:2]
        if state == "Z" and int(parent) in parents:
            found.append(pid)
    return found


def process_lines():
    for name in os.listdir("/proc"):
        try:
            if name.isdigit():
                yield int(name), Path("/proc", name, "stat").read_text(errors="replace")
        except OSError:
            continue


def spec_of(shape, tag, end, tmp_path, **options):
    return ProcessSpec(
        argv=(sys.executable, "-I", "-S", str(SHAPES), shape, tag, end),
        env={},
        cwd=tmp_path,
        output_path=tmp_path / "output",
        exit_path=tmp_path / "exit.json",
        marker=f"{tag}:1",
        **{"grace_ms": 100, **options},
    )


def started(shape, tag, end, tmp_path, **options):
    worker = process.start(spec_of(shape, tag, end, tmp_path, **options), NoJail())
    until = time.monotonic() + 20
    while b"ready" not in (tmp_path / "output").read_bytes():
        assert time.monotonic() < until, (tmp_path / "output").read_bytes()
        time.sleep(0.005)
    return worker


def assert_nothing_left(tag, worker, within_s=2.0):
    until = time.monotonic() + within_s
    while (left := living(tag)) and time.monotonic() < until:
        time.sleep(0.01)
    assert left == []
    assert zombies_of(worker.pid) == []
    assert not process.is_alive(worker)
    assert worker.pid not in zombies_of(os.getpid())


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("shape", ALL)
class TestNothingIsLeft:
    def test_when_the_program_ends_by_itself(self, shape, tag, repeat, tmp_path):
        worker = started(shape, tag, "exit", tmp_path)
        assert process.wait(worker, 10_000)
        assert_nothing_left(tag, worker)
        ended = process.exit_of(tmp_path / "exit.json")
        assert (ended.code, ended.signal, ended.left) == (7, None, 0)
        assert ended.survivors_killed >= (200 if shape == "storm" else 1)

    def test_when_it_is_stopped(self, shape, tag, repeat, tmp_path):
        worker = started(shape, tag, "stay", tmp_path)
        process.stop(worker, 200)
        assert_nothing_left(tag, worker, within_s=0)
        ended = process.exit_of(tmp_path / "exit.json")
        assert ended.stopped and not ended.timed_out and ended.left == 0
        assert ended.signal == (signal.SIGKILL if shape == "deaf" else signal.SIGTERM)

    def test_when_its_time_is_up(self, shape, tag, repeat, tmp_path):
        # On a busy machine its time may be up while the shape is still being made, which is as good a time as any.
        spec = spec_of(shape, tag, "stay", tmp_path, timeout_ms=800, grace_ms=50)
        worker = process.start(spec, NoJail())
        assert process.wait(worker, 20_000)
        assert_nothing_left(tag, worker)
        ended = process.exit_of(tmp_path / "exit.json")
        assert ended.timed_out and not ended.stopped and ended.left == 0


@pytest.mark.parametrize("shape", ["storm", "deaf", "refork", "bare_daemon"])
def test_nothing_is_left_when_the_shim_itself_hangs(shape, tag, tmp_path):
    worker = started(shape, tag, "stay", tmp_path)
    os.kill(worker.pid, signal.SIGSTOP)
    process.stop(worker, 50, f"{tag}:1")
    assert_nothing_left(tag, worker, within_s=0)
    assert process.exit_of(tmp_path / "exit.json") is None


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("shape", [shape for shape in ALL if shape != "bare_daemon"])
def test_nothing_is_left_after_a_sweep_when_the_shim_was_killed(shape, tag, repeat, tmp_path):
    worker = started(shape, tag, "stay", tmp_path)
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(worker, 1_000)
    assert process.exit_of(tmp_path / "exit.json") is None
    process.sweep(f"{tag}:1")
    assert_nothing_left(tag, worker, within_s=0)


def test_a_sweep_finds_even_a_bare_daemon_while_the_shim_lives(tag, tmp_path):
    worker = started("bare_daemon", tag, "stay", tmp_path)
    assert process.sweep(f"{tag}:1") >= 3
    assert_nothing_left(tag, worker, within_s=0)


def test_stopping_also_ends_what_a_dead_shim_has_left(tag, tmp_path):
    worker = started("daemon", tag, "stay", tmp_path)
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(worker, 1_000)
    process.stop(worker, 0)
    until = time.monotonic() + 2
    while len(living(tag)) > 1:  # the program itself dies with its shim, a moment later
        assert time.monotonic() < until
        time.sleep(0.005)
    assert len(living(tag)) == 1
    process.stop(worker, 0, f"{tag}:1")
    assert_nothing_left(tag, worker, within_s=0)


def test_the_program_dies_with_its_shim(tag, tmp_path):
    worker = started("deaf", tag, "stay", tmp_path)
    (program,) = [pid for pid, line in process_lines() if line.rpartition(")")[2].split()[1] == str(worker.pid)]
    os.kill(worker.pid, signal.SIGKILL)
    until = time.monotonic() + 2
    while program in living(tag):
        assert time.monotonic() < until
        time.sleep(0.005)


def test_only_a_daemon_without_the_mark_escapes_when_the_shim_is_killed(tag, tmp_path):
    """What tier 0 cannot do, stated: a PID namespace (tier 1) closes it."""
    worker = started("bare_daemon", tag, "stay", tmp_path)
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(worker, 1_000)
    process.sweep(f"{tag}:1")
    assert len(living(tag)) == 1


def test_a_sweep_spares_others_and_itself(tag, tmp_path):
    ours = started("own_session", tag, "stay", tmp_path)
    assert process.sweep(f"{tag}:11") == 0
    assert process.sweep(tag) == 0
    assert process.is_alive(ours) and len(living(tag)) == 2
    process.stop(ours, 0)


def test_without_the_shim_the_shapes_do_survive(tag, tmp_path):
    """The negative control: these shapes outlive a group kill, so it is the reaper that ends them."""
    for shape in ("own_session", "daemon"):
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(SHAPES), shape, tag, "stay"],
            {},
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
            setsid=True,
        )
        time.sleep(0.4)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert len(living(tag)) >= 2
