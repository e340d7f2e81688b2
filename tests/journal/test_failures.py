"""Disks that fail and processes that are killed: nothing acknowledged is lost, and nothing is tried twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import ganger
from ganger.core.events import PlanAdded
from ganger.core.ids import PlanId
from ganger.core.policy import Policy
from ganger.errors import GangerError, JournalFailed
from ganger.journal import check, store
from ganger.journal.store import Store
from ganger.service.fleet import Accepted, Fleet
from ganger.testing.builders import add_plan, spec
from ganger.testing.journal_suite import Clock

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ganger.__file__).parents[1])}


class FailingDisk(apsw.VFS):
    """A disk whose n-th write or sync fails, once; it counts those after the failure."""

    def __init__(self, what: str, error: type[apsw.Error]) -> None:
        super().__init__("failing", "")
        self.what, self.error = what, error
        self.fails_at = self.count = 0
        self.failed = False

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> FailingFile:  # type: ignore[override]
        return FailingFile(name, flags, self)

    def hit(self, what: str) -> None:
        if what != self.what:
            return
        self.count += 1
        if self.count == self.fails_at:
            self.failed = True
            raise self.error("planted")


class FailingFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], disk: FailingDisk) -> None:
        super().__init__("", name, flags)
        self.disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # type: ignore[override]
        self.disk.hit("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.hit("sync")
        super().xSync(flags)


@pytest.fixture
def opened_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names the VFS on which journals are opened next; empty for the real one."""
    vfs = [""]
    real = apsw.Connection

    def connect(path: str, *args: object, **kwargs: object) -> apsw.Connection:
        return real(path, vfs=vfs[0]) if vfs[0] else real(path)

    monkeypatch.setattr(store.apsw, "Connection", connect)
    yield vfs


def short_history(place: Path, acknowledged: list[str]) -> None:
    """Open, append a few entries, store a state, append one more, close."""
    journal = Store(place / "journal.db", clock=Clock())
    try:
        for name in ("a", "b", "c"):
            _append(journal, name, acknowledged)
        journal._store_snapshot(journal.catch_up())
        _append(journal, "d", acknowledged)
    finally:
        failed = bool(journal._failure)
        if failed:
            with pytest.raises(JournalFailed, match="failed before in this process"):
                _append(journal, "after", acknowledged)
        journal.close()


def _append(journal: Store, name: str, acknowledged: list[str]) -> None:
    with journal.writing() as writing:
        writing.append([PlanAdded(PlanId(name), name, name, name)], "person:olga")
    acknowledged.append(name)


@pytest.mark.parametrize("what", ["write", "sync"])
@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError], ids=["EIO", "ENOSPC"])
def test_a_disk_that_fails_at_any_point(
    tmp_path: Path, opened_on: list[str], what: str, error: type[apsw.Error]
) -> None:
    disk = FailingDisk(what, error)
    for number in range(1, 200):
        place = tmp_path / str(number)
        place.mkdir()
        opened_on[0] = ""
        Store(place / "journal.db").close()
        disk.fails_at, disk.count, disk.failed = number, 0, False
        opened_on[0] = "failing"
        acknowledged: list[str] = []
        try:
            short_history(place, acknowledged)
        except GangerError as told:
            assert told.message
        opened_on[0] = ""
        journal = Store(place / "journal.db")
        there = [entry.event.plan for entry in journal.entries()]  # type: ignore[union-attr]
        assert there[: len(acknowledged)] == acknowledged, number
        assert len(there) <= len(acknowledged) + 1 and "after" not in there
        assert check.verify(journal).fault == "" and check.compare(journal, journal._rules) == ()
        _append(journal, "e", [])
        journal.close()
        if not disk.failed:
            assert number > (4 if what == "sync" else 15)
            return
    pytest.fail("the history is longer than was thought")


def test_threads_share_transactions(tmp_path: Path) -> None:
    fleet = Fleet(Store(tmp_path / "journal.db"), Policy())
    replies: list[object] = []

    def add(thread: int) -> None:
        for number in range(10):
            name = f"t{thread}x{number}"
            replies.append(fleet.submit(add_plan(spec(name), plan=name), "person:olga", name))

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 80 and all(isinstance(reply, Accepted) and len(reply.events) == 2 for reply in replies)
    assert len({reply.seq for reply in replies if isinstance(reply, Accepted)}) == 80
    assert isinstance(fleet.store, Store)
    assert check.compare(fleet.store, fleet.policy.paths) == ()
    fleet.close()


def test_an_error_in_one_command_is_told_to_all_of_its_batch(tmp_path: Path) -> None:
    fleet = Fleet(Store(tmp_path / "journal.db"), Policy())
    with pytest.raises(AttributeError):
        fleet.submit(add_plan(None), "person:olga")  # type: ignore[arg-type]
    assert isinstance(fleet.submit(add_plan(spec("a")), "person:olga"), Accepted)
    assert fleet.store.last_seq() == 2
    fleet.close()


GRANTS = """
import sys
from pathlib import Path
from ganger.core.commands import GrantRun
from ganger.core.ids import Commit, ItemId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Accepted, Fleet
fleet = Fleet(Store(Path(sys.argv[1])), Policy(workers_max=100))
sys.stdin.readline()
for pair in range(20):
    reply = fleet.submit(GrantRun(ItemId(f"p{pair}x{sys.argv[2]}"), Commit("b" * 40)), "supervisor")
    print(pair, sys.argv[2], type(reply).__name__, flush=True)
fleet.close()
"""


def test_of_eight_processes_one_wins_each_race(tmp_path: Path) -> None:
    """Each grants its own items, of which the eight of one number overlap."""
    fleet = Fleet(Store(tmp_path / "journal.db"), Policy())
    items = [spec(f"p{pair}x{racer}", scope=(f"d{pair}/**",)) for pair in range(20) for racer in range(8)]
    fleet.submit(add_plan(*items), "person:olga")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", GRANTS, str(tmp_path / "journal.db"), str(racer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
        for racer in range(8)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [line.split() for racer in racers for line in racer.communicate(timeout=120)[0].splitlines()]
    assert len(said) == 160
    for pair in range(20):
        assert sum(kind == "Accepted" for number, _, kind in said if number == str(pair)) == 1
    assert isinstance(fleet.store, Store)
    assert len(fleet.store.catch_up().runs) == 20
    assert check.verify(fleet.store).fault == ""
    fleet.close()


APPENDS = """
import sys
from pathlib import Path
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Fleet
from ganger.testing.builders import add_plan, spec
fleet = Fleet(Store(Path(sys.argv[1])), Policy())
number = int(sys.argv[2])
while True:
    name = f"n{number}"
    fleet.submit(add_plan(spec(name), plan=name), "person:olga")
    print(name, flush=True)
    number += 1
"""


def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for kill in range(20):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDS, str(tmp_path / "journal.db"), str(kill * 10_000)],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
        assert child.stdout is not None
        acknowledged += [child.stdout.readline().strip() for _ in range(kill % 7 + 1)]
        os.kill(child.pid, signal.SIGKILL)
        rest = child.communicate(timeout=60)[0]
        acknowledged += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    journal = Store(tmp_path / "journal.db")
    there = {
        name
        for entry in journal.entries(limit=100_000)
        if isinstance(entry.event, PlanAdded)
        for name in [entry.event.plan]
    }
    assert {name.strip() for name in acknowledged} <= there
    assert len(there) <= len(acknowledged) + 20
    assert check.verify(journal).fault == "" and check.compare(journal, journal._rules) == ()
    journal.close()
