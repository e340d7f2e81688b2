"""Looking at the whole journal: does the chain hold, and does folding it again give what is stored?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from ganger.core.evolve import evolve
from ganger.core.patterns import PathRules
from ganger.core.state import State
from ganger.errors import JournalCorrupt
from ganger.journal import codec, schema
from ganger.journal.rebuild import refill
from ganger.journal.store import EntryRow, Store, read_mark, read_rows, reading


class Fault(Struct, frozen=True):
    """Something that is wrong with one entry."""

    seq: int
    text: str
    kind: str = ""
    """For an entry that is whole but not known here: the type it names."""
    version: int = 0
    """The version it declares."""
    known: int = 0
    """The newest version of that type this ganger knows; 0 for none."""


class Verified(Struct, frozen=True):
    """What a pass over the whole journal found."""

    entries: int
    """How many hold, before the first that does not."""
    head: str
    """Hash of the last of those, in hexadecimal."""
    faults: tuple[Fault, ...] = ()
    """Everything that is wrong, in the journal's order; after a damaged part that cannot be read, nothing more."""

    @property
    def fault(self) -> str:
        """What is wrong first; empty when nothing is."""
        return self.faults[0].text if self.faults else ""

    @property
    def fault_seq(self) -> int:
        """The first bad entry; 0 when there is none."""
        return self.faults[0].seq if self.faults else 0


def verify(store: Store) -> Verified:
    """Check every entry's checksum, position, link and type, and that it can be read; and that the last ones are there.

    The cost grows with the journal.
    """
    acknowledged = read_mark(store.path)
    faults: list[Fault] = []
    entries, head, expected, previous = 0, codec.GENESIS, 1, codec.GENESIS
    try:
        for row in _rows(store):
            found = list(_faults(row, expected, previous))
            faults += found
            if not faults:
                entries, head = row[0], row[5]
            expected, previous = row[0] + 1, row[5]
        faults += _misfiled(store)
        if expected <= acknowledged:
            lost = f"the entries {expected} to {acknowledged} are missing at the end: they were acknowledged"
            faults.append(Fault(expected, lost))
    except JournalCorrupt as damage:
        if not faults:
            entries, head = max(damage.seq - 1, 0), codec.GENESIS
        faults.append(Fault(damage.seq, damage.message))
    return Verified(entries, "" if head == codec.GENESIS and faults else head.hex(), tuple(faults))


def _faults(row: EntryRow, expected: int, previous: bytes) -> Iterator[Fault]:
    """What is wrong with an entry; the one before it is taken as it is stored, so that each fault is told once."""
    seq, at_ms, actor, body, checksum, digest = row
    if seq != expected:
        gap = f"entry {expected} is missing" if seq == expected + 1 else f"entries {expected} to {seq - 1} are missing"
        yield Fault(expected, gap)
    if codec.crc(body) != checksum:
        yield Fault(seq, f"entry {seq} has a wrong checksum")
        return
    if seq == expected and codec.link(previous, seq, at_ms, actor, body) != digest:
        yield Fault(seq, f"entry {seq} does not follow the one before it")
    try:
        codec.decode(seq, at_ms, actor, body, checksum)
    except codec.EntryUnreadable as unknown:
        yield Fault(seq, unknown.message, unknown.kind, unknown.version, unknown.known)
    except JournalCorrupt as damage:
        yield Fault(seq, damage.message)


def _misfiled(store: Store) -> list[Fault]:
    """Entries whose column `type`, which the chain does not cover, is not what their body says."""
    with reading(store.path, 0):
        rows: list[Any] = store.db.execute(
            "SELECT seq FROM entries WHERE instr(CAST(body AS BLOB), CAST(? || type || char(34) AS BLOB)) IS NOT 1",
            ('{"type":"',),
        ).fetchall()
    return [Fault(seq, f"entry {seq} is filed under a type that is not its own") for (seq,) in rows]


def _rows(store: Store, after: int = 0) -> Iterator[EntryRow]:
    while rows := read_rows(store.db, store.path, after):
        yield from rows
        after = rows[-1][0]


def refold(store: Store, rules: PathRules) -> State:
    """Fold the whole journal from nothing; JournalCorrupt at the first entry that cannot be read."""
    state = State(rules=rules)
    for seq, at_ms, actor, body, checksum, _ in _rows(store):
        if seq != state.seq + 1:
            raise JournalCorrupt(f"entry {state.seq + 1} is missing", state.seq + 1)
        evolve(state, codec.decode(seq, at_ms, actor, body, checksum))
    return state


def compare(store: Store, rules: PathRules) -> tuple[str, ...]:
    """Say where the kept state, a projection or an index differs from what the journal gives; empty when nothing does.

    The database's own check goes first: an index that lacks a row gives wrong answers from right tables.
    """
    faults = [f"the database says of itself: {line}" for line in _integrity(store.db)]
    kept = store.catch_up().snapshot()
    if _canonical(kept) != _canonical(refold(store, rules).snapshot()):
        faults.append("the stored state differs from the fold of the journal")
    rebuilt = apsw.Connection(":memory:")
    try:
        schema.migrate(rebuilt, ":memory:")
        refill(store.db, store.path, into=rebuilt)
        if _definitions(store.db) != _definitions(rebuilt):
            faults.append("the definitions of the tables differ from those of this ganger")
        for table in schema.PROJECTIONS:
            faults += _difference(store.db, rebuilt, table)
    finally:
        rebuilt.close()
    return tuple(faults)


def _difference(db: apsw.Connection, rebuilt: apsw.Connection, table: str) -> list[str]:
    try:
        same = _content(db, table) == _content(rebuilt, table)
    except (apsw.Error, UnicodeDecodeError) as error:
        return [f"the table {table} cannot be read: {error}"]
    return [] if same else [f"the table {table} differs from what the journal gives"]


def _definitions(db: apsw.Connection) -> list[tuple[apsw.SQLiteValue, ...]] | None:
    """How the tables and indexes are declared; None when that cannot be read."""
    try:
        return db.execute("SELECT type,name,tbl_name,sql FROM sqlite_schema ORDER BY name").fetchall()
    except (apsw.Error, UnicodeDecodeError):
        return None


def _integrity(db: apsw.Connection) -> list[str]:
    try:
        found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(20)").fetchall()]
    except (apsw.Error, UnicodeDecodeError) as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def _canonical(snapshot: object) -> bytes:
    built = msgspec.to_builtins(snapshot)
    for part, key in (("items", lambda row: row["spec"]["id"]), ("runs", lambda row: row["id"])):
        built[part].sort(key=key)
    return msgspec.json.encode(built, order="deterministic")


def _content(db: apsw.Connection, table: str) -> list[tuple[apsw.SQLiteValue, ...]]:
    return db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def rebuild(store: Store, rules: PathRules) -> int:
    """Drop every projection and the snapshots and make them again from the journal; returns the entries folded.

    JournalCorrupt at the first entry that cannot be read; nothing is changed then.
    """
    with store.writing():
        store.db.execute("REINDEX")
        return refill(store.db, store.path).seq


def export(store: Store, after: int = 0, limit: int = 0) -> Iterator[bytes]:
    """Give every entry after a position, or the first `limit` of them, as one line of JSON with its hash.

    The body stands in it byte for byte, so that checksum and hash can be checked without ganger.
    """
    for number, (seq, at_ms, actor, body, checksum, digest) in zip(count(1), _rows(store, after), strict=False):
        head = {"seq": seq, "at_ms": at_ms, "actor": actor, "crc": checksum, "hash": digest.hex()}
        yield msgspec.json.encode({**head, "event": msgspec.Raw(body)}) + b"\n"
        if number == limit:
            return
