"""A night in some sixty commands, given by three connections: items that land, one that fails, one still at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import EndKind, RefusalCode, Todo, WorkerId
from ganger.core.policy import Policy
from ganger.journal import codec
from ganger.journal.store import Store
from ganger.service.fleet import Accepted, Fleet
from ganger.testing.builders import BASE, add_plan, evidence, result, spec
from ganger.testing.journal_suite import Clock
from ganger.testing.recording_disk import RecordingDisk

HANDS = 3
LANDING = ("a", "b", "c", "d")
"""Items that land; `e` fails, `f` is at work when the night is recorded to its end."""
POLICY = Policy(workers_max=6)


class Night:
    """A fleet with several handles on one journal, each of which takes its turn.

    `synchronous` replaces how the journal asks for its syncs; empty leaves that alone.
    """

    def __init__(self, path: Path, hands: int = HANDS, synchronous: str = "", disk: RecordingDisk | None = None):
        self.path, self.clock, self.disk = path, Clock(), disk
        self.synchronous = synchronous
        self.said = 0
        self.fleets = [self._open() for _ in range(hands)]

    def _open(self) -> Fleet:
        store = Store(self.path, clock=self.clock)
        if self.synchronous:
            store.db.pragma("synchronous", self.synchronous)
        store.db.pragma("wal_autocheckpoint", 40)
        return Fleet(store, POLICY)

    def store(self, hand: int = 0) -> Store:
        store = self.fleets[hand % len(self.fleets)].store
        assert isinstance(store, Store)
        return store

    def say(self, command: cmd.Command, actor: str = "supervisor") -> int:
        """Submit by the next hand; the position of the last event."""
        self.said += 1
        self.clock.now_ms += 1_700
        key = f"key {self.said}" if self.said % 3 == 0 else ""
        reply = self.fleets[self.said % len(self.fleets)].submit(command, actor, key)
        assert isinstance(reply, Accepted), reply
        if self.disk is not None:
            first = reply.seq - len(reply.events) + 1
            self.disk.acknowledge(*((first + n, codec.encode(event)) for n, event in enumerate(reply.events)))
        return reply.seq

    def close(self) -> None:
        for fleet in self.fleets:
            fleet.close()

    def reopen(self) -> None:
        """Let the last handle go, which removes the log, and begin anew."""
        hands = len(self.fleets)
        self.close()
        self.fleets = [self._open() for _ in range(hands)]


def live_through(night: Night, landing: tuple[str, ...] = LANDING) -> None:
    """Say everything; afterwards `f` is at work, `e` has failed, and `landing` have landed."""
    night.say(cmd.RecordSupervisor(7, "host", "1"))
    items = [spec(name, scope=(f"{name}/**",)) for name in (*landing, "e", "f")]
    night.say(add_plan(*items, spec("g", scope=("f/x",))), "person:olga")
    tip = BASE
    for number, name in enumerate(landing):
        tip = _landed(night, name, number, tip)
        if number == 0:
            night.store()._store_snapshot(night.store().catch_up())
        if number == 1:
            night.store(1).db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if number == 2:
            night.reopen()
    _failed(night, "e", tip)
    at_work(night, "f", tip)
    night.store(2)._store_snapshot(night.store(2).catch_up())
    night.say(cmd.RecordWait(ItemId("g"), RefusalCode.overlap, "busy", "f.1"))
    go_on(night)


def go_on(night: Night) -> None:
    """Let `f` say something."""
    night.say(cmd.AddNote(RunId("f.1"), _token(night, "f"), "still at it \u202e"), "worker:f.1")


def _token(night: Night, item: str) -> Token:
    return night.store().catch_up().runs[RunId(f"{item}.1")].lease.token


def at_work(night: Night, item: str, base: Commit) -> tuple[RunId, Token]:
    run = RunId(f"{item}.1")
    token = Token(night.say(cmd.GrantRun(ItemId(item), base)))
    night.say(cmd.RecordStart(run, token, 1, WorkerId(100 + night.said, 5)))
    night.say(cmd.SetTodos(run, token, (Todo("write it", "pending"), Todo("test it", "pending"))), f"worker:{run}")
    night.say(cmd.RenewLeases(((run, night.clock.now_ms + 3_600_000),)))
    return run, token


def _failed(night: Night, item: str, base: Commit) -> None:
    run, token = at_work(night, item, base)
    night.say(cmd.AskQuestion(run, token, "which?", ("x", "y"), "x"), f"worker:{run}")
    night.say(cmd.RecordExit(run, token, 1, 0, cpu_ms=9))
    night.say(cmd.StopRun(run, EndKind.stopped, "enough"), "person:olga")
    night.say(cmd.RecordEnd(run, token, EndKind.stopped, "enough", ("refs/keep/x",)))


def _landed(night: Night, item: str, number: int, base: Commit) -> Commit:
    candidate, tip, tree = (Commit(f"{kind}{number}" * 20) for kind in "abc")
    run, token = at_work(night, item, base)
    night.say(cmd.AddNote(run, token, "a long story " * 40), f"worker:{run}")
    night.say(cmd.ReportDone(run, token, summary="done " * 60), f"worker:{run}")
    night.say(cmd.RecordExit(run, token, 1, 0, cpu_ms=1_000))
    seen = evidence(
        base=base, commit=candidate, tree=tree, checked_tree=tree, changed=(f"{item}/x",), checks=(result(),)
    )
    night.say(cmd.RecordEvidence(run, token, 1, seen))
    night.say(cmd.RecordTrain(((run, token, candidate),), (run,), base, tip, tree, True, (result(),)))
    night.say(cmd.RecordLanding(tip, "landed", tip))
    return tip


def rows_of(store: Store) -> list[tuple[object, ...]]:
    """Every entry in full, the oldest first."""
    return list(store.db.execute("SELECT * FROM entries ORDER BY seq"))


def content_of(store: Store) -> Iterator[tuple[object, ...]]:
    """Everything a reader could see: the definitions of the tables, and every row of each after the table's name."""
    definitions = store.db.execute("SELECT type,name,sql FROM sqlite_schema ORDER BY name").fetchall()
    yield from definitions
    for kind, name, _ in definitions:
        if kind == "table":
            yield (name,)
            yield from store.db.execute(f'SELECT * FROM "{name}" ORDER BY 1,2').fetchall()
