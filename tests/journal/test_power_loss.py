"""The power fails at any moment: what was acknowledged is there, once and unchanged, and nothing else is.

A small night is recorded on a `RecordingDisk`; then the folder is put in each state in which a power cut could have
left it (`testing.power_cuts`) and opened as after any start. `make test` tries a sample of the states;
`GANGER_POWER_STATES=1000000` tries them all, and random subsets of what was pending up to that number; `GANGER_SEED`
draws another sample.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import apsw
import pytest
from msgspec import Struct
from small_night import Night, content_of, live_through, rows_of

from ganger.core.events import PlanAdded
from ganger.core.ids import PlanId
from ganger.errors import GangerError
from ganger.journal import check
from ganger.journal.store import Store
from ganger.testing.journal_suite import Clock
from ganger.testing.power_cuts import DRAWN, Cut, Moment, Part, Rest, cuts, files_after, moments
from ganger.testing.recording_disk import (
    Acknowledged,
    Created,
    Operation,
    RecordingDisk,
    Removed,
    Synced,
    Truncated,
    Wrote,
)

STATES = int(os.environ.get("GANGER_POWER_STATES", "800"))
SEED = int(os.environ.get("GANGER_SEED", "1"))
SHARES = 4
"""The states are dealt out to this many tests, for as many processes."""
CONTROLS = 150
"""States tried where a loss is expected."""


class Recording(Struct, frozen=True):
    """What was done to the disk in a night, and what the journal held at its end."""

    log: tuple[Operation, ...]
    rows: list[tuple[object, ...]]

    def appended(self, after: int) -> int:
        """Position of the last entry that may have been written by then: those of the command under way included."""
        for operation in self.log[after:]:
            if isinstance(operation, Acknowledged) and operation.entries:
                return operation.entries[-1][0]
        return len(self.rows)


def record(place: Path, synchronous: str = "") -> Recording:
    with RecordingDisk() as disk:
        night = Night(place / "journal.db", synchronous=synchronous, disk=disk)
        live_through(night)
        rows = rows_of(night.store())
        night.close()
    return Recording(tuple(disk.log), rows)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder that costs no disk: what is tried here is what was recorded, not this machine's disk."""
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="ganger-power-", dir=shared if os.access(shared, os.W_OK) else None))
    yield place
    shutil.rmtree(place)


class Judge:
    """Opens what a power cut left, and says what is wrong with it."""

    def __init__(self, recording: Recording, place: Path) -> None:
        self._recording = recording
        self._folder = place / "after"
        self._known: dict[int, tuple[str, ...]] = {}
        """What was found about a content before: `verify` and `compare` depend on nothing else."""

    def faults(self, moment: Moment, files: dict[str, bytes]) -> list[str]:
        """Everything that contradicts I-4, I-5 or I-6; empty when nothing does."""
        self._folder.mkdir()
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
        try:
            store = Store(self._folder / "journal.db", clock=Clock())
            found = [*self._in_rows(store, moment), *self._in_content(store), *_in_going_on(store)]
            store.close()
        except (GangerError, apsw.Error) as error:
            found = [f"unusable: {type(error).__name__}: {error}"]
        shutil.rmtree(self._folder)
        return found

    def _in_rows(self, store: Store, moment: Moment) -> Iterator[str]:
        rows = rows_of(store)
        if rows != self._recording.rows[: len(rows)]:
            yield "invented or changed: the entries are not the first that were appended"
        if len(rows) > self._recording.appended(moment.after):
            yield f"invented: {len(rows)} entries, appended were {self._recording.appended(moment.after)}"
        there = {row[0]: row[6] for row in rows}
        lost = [seq for seq, body in moment.owed.items() if there.get(seq) != body]
        if lost:
            yield f"lost: of {len(moment.owed)} acknowledged entries {len(lost)}, the first {min(lost)}"

    def _in_content(self, store: Store) -> Iterator[str]:
        damage = store.db.execute("PRAGMA integrity_check").get
        if damage != "ok":
            yield f"damaged: {damage}"
        content = hash(tuple(content_of(store)))
        if content not in self._known:
            verified = check.verify(store).fault
            self._known[content] = (*((verified,) if verified else ()), *check.compare(store, store._rules))
        yield from self._known[content]


def _in_going_on(store: Store) -> Iterator[str]:
    seq = store.last_seq()
    with store.writing() as writing:
        writing.append([PlanAdded(PlanId("after"), "After the power cut", "", "")], "person:olga", "after")
    with store.writing() as writing:
        if not writing.has("after") or store.last_seq() != seq + 1:
            yield "stuck: what is appended afterwards is not there"


def sample(
    log: tuple[Operation, ...], share: int, states: int, heed_syncs: bool = True
) -> Iterator[tuple[Moment, Cut]]:
    """Draw this many crash states of a share; where there are not so many, all of them and more random subsets."""
    listed = sum(1 for moment in moments(log, heed_syncs) for _ in cuts(moment))
    drawn = DRAWN + max(0, states * SHARES - listed) // len(log)
    total = listed + sum(drawn - DRAWN for moment in moments(log, heed_syncs) if moment.pending)
    mine = range(share, total, SHARES)
    chosen = set(mine if states >= len(mine) else Random(f"{SEED} {share}").sample(mine, states))
    number = 0
    for moment in moments(log, heed_syncs):
        for cut in cuts(moment, drawn):
            if number in chosen:
                yield moment, cut
            number += 1


@pytest.mark.timeout(300 if STATES <= 50_000 else 0)
@pytest.mark.parametrize("share", range(SHARES))
def test_after_a_power_cut_everything_acknowledged_is_there_and_nothing_else(memory: Path, share: int) -> None:
    recording = record(memory)
    judge, began, tried = Judge(recording, memory), time.monotonic(), 0
    for moment, cut in sample(recording.log, share, STATES // SHARES):
        assert judge.faults(moment, files_after(moment, cut)) == [], (moment.after, cut)
        tried += 1
    assert tried >= min(STATES // SHARES, 10_000)
    print(f"{tried} crash states, {tried / (time.monotonic() - began):.0f} a second")


def test_the_recorded_night_has_what_makes_power_cuts_dangerous(memory: Path) -> None:
    """Several checkpoints, a log that is cut, begun again, removed and made anew, stored states, keys, and no gaps."""
    recording = record(memory)
    log, wal = recording.log, {op.file for op in recording.log if isinstance(op, Created) and op.name.endswith("-wal")}
    assert sum(isinstance(op, Acknowledged) for op in log) >= 50
    assert [row[0] for row in recording.rows] == list(range(1, len(recording.rows) + 1))
    assert sum(row[5] is not None for row in recording.rows) >= 15
    assert len(wal) == 2
    assert sum(isinstance(op, Wrote) and op.file in wal and op.offset == 0 for op in log) >= 5
    assert any(isinstance(op, Truncated) and op.file in wal for op in log)
    assert {seq for op in log if isinstance(op, Acknowledged) for seq, _ in op.entries} == {
        row[0] for row in recording.rows
    }
    with Store(memory / "journal.db").db as db:
        assert db.execute("SELECT count(*) FROM snapshots").get == 2


@pytest.mark.parametrize(
    ("synchronous", "heed_syncs"),
    [("off", True), ("normal", True), ("", False)],
    ids=["sync taken out", "log not synced at commits", "disk that does not sync"],
)
def test_without_the_sync_an_acknowledged_entry_is_lost(memory: Path, synchronous: str, heed_syncs: bool) -> None:
    recording = record(memory, synchronous)
    judge = Judge(recording, memory)
    lossy = 0
    for moment, cut in sample(recording.log[:400], 0, CONTROLS, heed_syncs):
        faults = judge.faults(moment, files_after(moment, cut))
        lossy += any(fault.startswith("lost: ") for fault in faults)
    assert lossy > CONTROLS // 20


def test_the_recording_is_over_when_it_is_over(memory: Path) -> None:
    before = apsw.vfs_names()
    with RecordingDisk() as disk:
        assert disk.NAME in apsw.vfs_names()
        Store(memory / "one.db").close()
    recorded = len(disk.log)
    other = Store(memory / "two.db")
    assert (len(disk.log), other.db.open_vfs, apsw.vfs_names()) == (recorded, "unix", before)
    other.close()


LOG: tuple[Operation, ...] = (Created("a", 1), Wrote(1, 0, b"x" * 600), Wrote(1, 600, b"y" * 10))


def after_all(*log: Operation) -> Moment:
    return list(moments(log))[-1]


@pytest.mark.parametrize(
    ("moment", "cut", "left"),
    [
        (after_all(*LOG), Cut(Rest.kept), {"a": b"x" * 600 + b"y" * 10}),
        (after_all(*LOG), Cut(Rest.lost), {}),
        (after_all(*LOG, Synced(1)), Cut(Rest.lost), {}),
        (after_all(*LOG, Synced(1, folder=True)), Cut(Rest.lost), {"a": b"x" * 600 + b"y" * 10}),
        (after_all(*LOG, Synced(0, folder=True)), Cut(Rest.lost), {"a": b""}),
        (after_all(*LOG), Cut(Rest.kept, 1, Part.none), {"a": bytes(600) + b"y" * 10}),
        (after_all(*LOG), Cut(Rest.kept, 1, Part.end, 512), {"a": bytes(512) + b"x" * 88 + b"y" * 10}),
        (after_all(*LOG), Cut(Rest.earlier, 1, Part.beginning, 512), {"a": b"x" * 512}),
        (after_all(*LOG), Cut(Rest.earlier, 2, Part.size), {"a": b"x" * 600 + bytes(10)}),
        (after_all(*LOG, Truncated(1, 3)), Cut(Rest.kept), {"a": b"xxx"}),
        (after_all(*LOG, Synced(1, True), Wrote(1, 0, b"z")), Cut(Rest.lost), {"a": b"x" * 600 + b"y" * 10}),
        (after_all(*LOG, Synced(1, True), Removed("a")), Cut(Rest.kept), {}),
        (after_all(*LOG, Synced(1, True), Removed("a")), Cut(Rest.lost), {"a": b"x" * 600 + b"y" * 10}),
        (after_all(*LOG, Removed("a"), Created("a", 2), Synced(0, True)), Cut(Rest.kept), {"a": b""}),
    ],
)
def test_what_a_power_cut_leaves(moment: Moment, cut: Cut, left: dict[str, bytes]) -> None:
    assert files_after(moment, cut) == left


def test_every_write_is_lost_torn_and_reordered(memory: Path) -> None:
    """Alone, at each sector and at odd bytes, with the others kept and lost; and subsets are drawn, the same again."""
    moment = after_all(*LOG)
    listed = list(cuts(moment))
    assert len(listed) == len(set(map(repr, listed)))
    of_first = {(cut.rest, cut.part, cut.where) for cut in listed if cut.at == 1}
    assert {(Rest.kept, Part.none, 0), (Rest.lost, Part.all, 0)} < of_first
    assert {where for _, part, where in of_first if part is Part.beginning} == {1, 301, 512, 599}
    assert (Rest.earlier, Part.size, 0) in of_first
    drawn: Callable[[], list[dict[str, bytes]]] = lambda: [  # noqa: E731
        files_after(moment, cut) for cut in listed if cut.rest is Rest.drawn
    ]
    assert drawn() == drawn() and len({repr(files) for files in drawn()}) > 3
