"""Looking at the whole journal: does the chain hold, and does folding it again give what is stored?"""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import msgspec
from msgspec import Struct

from ganger.core.ids import Seq
from ganger.core.patterns import PathRules
from ganger.core.state import State, evolve
from ganger.errors import JournalCorrupt
from ganger.journal import codec, schema
from ganger.journal.projections import project
from ganger.journal.store import EntryRow, Store, read_rows


class Verified(Struct, frozen=True):
    """What a pass over the whole journal found."""

    entries: int
    head: str
    """Hash of the last entry, in hexadecimal."""
    fault: str = ""
    """What is wrong, naming the first bad entry; empty when nothing is."""
    fault_seq: int = 0


def verify(store: Store) -> Verified:
    """Check every entry's checksum, position and link; the cost grows with the journal."""
    try:
        return _verified(store)
    except JournalCorrupt as damage:
        return Verified(max(damage.seq - 1, 0), "", damage.message, damage.seq)


def _verified(store: Store) -> Verified:
    previous, expected = codec.GENESIS, 1
    for seq, at_ms, actor, body, checksum, digest in _rows(store):
        fault = ""
        if seq != expected:
            fault = f"entry {expected} is missing"
        elif codec.crc(body) != checksum:
            fault = f"entry {seq} has a wrong checksum"
        elif codec.link(previous, seq, at_ms, actor, body) != digest:
            fault = f"entry {seq} does not follow the one before it"
        if fault:
            return Verified(expected - 1, previous.hex(), fault, min(seq, expected))
        previous, expected = digest, expected + 1
    return Verified(expected - 1, previous.hex())


def _rows(store: Store) -> Iterator[EntryRow]:
    after = 0
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
    """Say where the kept state or a projection differs from what the journal gives; empty when nothing does."""
    kept = store.catch_up().snapshot()
    fresh = refold(store, rules).snapshot()
    faults = []
    if _canonical(kept) != _canonical(fresh):
        faults.append("the stored state differs from the fold of the journal")
    rebuilt = rebuild_beside(store, rules)
    try:
        for table in schema.PROJECTIONS:
            mine, theirs = _digest(store.db, table), _digest(rebuilt, table)
            if mine != theirs:
                faults.append(f"the table {table} differs from what the journal gives")
    finally:
        rebuilt.close()
    return tuple(faults)


def _canonical(snapshot: object) -> bytes:
    built = msgspec.to_builtins(snapshot)
    for part, key in (("items", lambda row: row["spec"]["id"]), ("runs", lambda row: row["id"])):
        built[part].sort(key=key)
    return msgspec.json.encode(built, order="deterministic")


def rebuild_beside(store: Store, rules: PathRules) -> apsw.Connection:
    """Build all projections anew in memory, from the journal alone."""
    db = apsw.Connection(":memory:")
    schema.migrate(db, ":memory:")
    state = State(rules=rules)
    for seq, at_ms, actor, body, checksum, _ in _rows(store):
        entry = codec.decode(seq, at_ms, actor, body, checksum)
        evolve(state, entry)
        project(db, state, entry)
    return db


def _digest(db: apsw.Connection, table: str) -> list[tuple[apsw.SQLiteValue, ...]]:
    order = {"turns": "run,turn", "waits": "seq", "trains": "seq", "supervisors": "seq"}.get(table, "id")
    return db.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


def rebuild(store: Store, rules: PathRules) -> int:
    """Drop every projection and the snapshots and make them again from the journal; returns the entries folded."""
    state = State(rules=rules)
    with store.writing():
        for table in (*schema.PROJECTIONS, "snapshots"):
            store.db.execute(f"DELETE FROM {table}")
        for seq, at_ms, actor, body, checksum, _ in _rows(store):
            entry = codec.decode(seq, at_ms, actor, body, checksum)
            evolve(state, entry)
            project(store.db, state, entry)
    return state.seq


def export(store: Store) -> Iterator[bytes]:
    """Give every entry as one line of JSON, with its hash; readable without ganger."""
    for seq, at_ms, actor, body, checksum, digest in _rows(store):
        head = {"seq": Seq(seq), "at_ms": at_ms, "actor": actor, "crc": checksum, "hash": digest.hex()}
        yield msgspec.json.encode({**head, "event": msgspec.Raw(body)}) + b"\n"
