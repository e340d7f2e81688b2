"""What ends the supervisor's sleep: its own threads, an exit, a commit; and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganger.core.ids import RunId
from ganger.drivers.process_table import identify
from ganger.supervisor.watch import Watch

RUN = RunId("a.1")
LONG_MS = 20_000
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="polls there")


@pytest.fixture
def watch() -> Iterator[Watch]:
    found = Watch()
    yield found
    found.close()


def slept_ms(watch: Watch, timeout_ms: int | None) -> float:
    began = time.monotonic()
    watch.sleep(timeout_ms)
    return (time.monotonic() - began) * 1000


def test_sleep_lasts_its_time_when_nothing_happens(watch: Watch) -> None:
    assert slept_ms(watch, 60) >= 59


def test_wake_before_the_sleep_is_not_lost_and_counts_once(watch: Watch) -> None:
    for _ in range(100_000):
        watch.wake()
    assert slept_ms(watch, LONG_MS) < 5_000
    assert slept_ms(watch, 50) >= 49


def test_wake_from_another_thread_ends_the_sleep(watch: Watch) -> None:
    timer = threading.Timer(0.05, watch.wake)
    timer.start()
    assert slept_ms(watch, None) < 5_000
    timer.join()


@linux_only
def test_exit_of_a_worker_ends_the_sleep_once(watch: Watch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.2)"])
    worker = identify(child.pid)
    assert worker is not None
    watch.follow([(RUN, worker, [])])
    assert slept_ms(watch, LONG_MS) < 10_000
    child.wait()
    watch.follow([])
    assert slept_ms(watch, 50) >= 49


@linux_only
def test_commit_in_a_workspace_ends_the_sleep(watch: Watch, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        worker = identify(child.pid)
        assert worker is not None
        watch.follow([(RUN, worker, [tmp_path])])

        def commit() -> None:
            (tmp_path / "branch.lock").write_text("oid")
            (tmp_path / "branch.lock").replace(tmp_path / "branch")

        timer = threading.Timer(0.1, commit)
        timer.start()
        assert slept_ms(watch, LONG_MS) < 10_000
        timer.join()
    finally:
        child.kill()
        child.wait()


@linux_only
def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    watch = Watch()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    worker = identify(child.pid)
    if worker is not None:
        watch.follow([(RUN, worker, [tmp_path])])
    child.wait()
    watch.close()
    assert len(os.listdir("/proc/self/fd")) == before
