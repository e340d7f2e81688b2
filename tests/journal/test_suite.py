"""The conformance suite on both journals."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from foreign import append_foreign

from ganger.journal import codec
from ganger.journal.port import Journal
from ganger.journal.store import Store
from ganger.testing.journal_suite import Clock, JournalSuite
from ganger.testing.memory_store import Disk, MemoryStore, Row


class TestSqlite(JournalSuite):
    def open(self, place: Path, clock: Clock) -> Journal:
        return Store(place / "journal.db", clock=clock)

    def damage(self, place: Path, seq: int) -> None:
        db = apsw.Connection(str(place / "journal.db"))
        body = bytearray(db.execute("SELECT body FROM entries WHERE seq=?", (seq,)).get)
        body[len(body) // 2] ^= 1
        db.execute("UPDATE entries SET body=? WHERE seq=?", (bytes(body), seq))
        db.close()

    def append_foreign(self, place: Path, body: bytes) -> None:
        append_foreign(place, body)

    def store_snapshot(self, journal: Journal) -> None:
        assert isinstance(journal, Store)
        journal._store_snapshot(journal.catch_up())


class TestMemory(JournalSuite):
    @pytest.fixture(autouse=True)
    def _disk(self) -> None:
        self.disk = Disk()

    def open(self, place: Path, clock: Clock) -> Journal:
        return MemoryStore(self.disk, clock=clock)

    def damage(self, place: Path, seq: int) -> None:
        row = self.disk.rows[seq - 1]
        body = bytearray(row.body)
        body[len(body) // 2] ^= 1
        self.disk.rows[seq - 1] = Row(
            row.seq, row.at_ms, row.actor, row.key, row.subject, bytes(body), row.crc, row.hash
        )

    def append_foreign(self, place: Path, body: bytes) -> None:
        last = self.disk.rows[-1]
        digest = codec.link(last.hash, last.seq + 1, last.at_ms, "x", body)
        self.disk.rows.append(Row(last.seq + 1, last.at_ms, "x", "", "", body, codec.crc(body), digest))

    def store_snapshot(self, journal: Journal) -> None:
        assert isinstance(journal, MemoryStore)
        journal.store_snapshot()
        assert codec.decode_snapshot(self.disk.snapshot) is not None
