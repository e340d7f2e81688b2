"""The journal in SQLite: the write transaction is the only serialiser of the fleet.

A transaction first folds what other processes appended, then lets the caller decide on that newest state and append.
It returns only after the data is on disk (`synchronous=FULL`). A failed write or sync is fatal: the store refuses
everything after it, because nobody can say what of it will be there after a crash (RELIABILITY I-24).

Writers queue on a file lock, which is fair; SQLite's own busy handler starves some of them for seconds. The file of the
lock also holds the mark: the position of the last acknowledged entry. SQLite drops a damaged log's end without a word,
because that is what an interrupted write looks like; the mark tells the two apart.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast

import apsw

from ganger.core.events import Entry, Event
from ganger.core.evolve import evolve
from ganger.core.ids import Seq
from ganger.core.patterns import PathRules
from ganger.core.state import State
from ganger.errors import JournalBusy, JournalCorrupt, JournalFailed, StateDirError
from ganger.journal import codec, schema
from ganger.journal.clock import StoreClock, wall_ms
from ganger.journal.projections import project, subject_of

SNAPSHOT_EVERY = 2_000
"""Entries between two stored states: what opening the journal has to fold at most, with a margin of one batch."""
READ_AT_ONCE = 1_000
WRITABLE = "check owner and mode of the folder and its files; a copy of all of it can be read with --state-dir COPY"


EntryRow: TypeAlias = tuple[int, int, str, bytes, int, bytes]
"""An entry as it is stored: position, time, actor, body, checksum, hash."""


_ROWS = """
SELECT seq, coalesce(CAST(at_ms AS INTEGER), 0), coalesce(CAST(actor AS BLOB), x''), coalesce(CAST(body AS BLOB), x''),
       coalesce(CAST(crc AS INTEGER), 0), coalesce(CAST(hash AS BLOB), x'')
FROM entries WHERE seq > ?1 {where} ORDER BY seq LIMIT ?2
"""


def read_rows(
    db: apsw.Connection, path: Path, after: int, subject: str = "", limit: int = READ_AT_ONCE
) -> list[EntryRow]:
    """Read the next entries after a position, as they are stored, all or those about one run or item; at most `limit`.

    The types are as they should be, whatever damage made of them. JournalCorrupt if SQLite finds the file damaged, or
    gives entries in another order than it was asked for, as from a damaged tree, which whoever reads on would go round.
    """
    where, values = ("AND subject = ?3", (after, limit, subject)) if subject else ("", (after, limit))
    with reading(path, after + 1):
        found = db.execute(_ROWS.format(where=where), values).fetchall()
    rows = cast(list[tuple[int, int, bytes, bytes, int, bytes]], found)
    for at, (before, seq) in enumerate(pairwise([after, *(row[0] for row in rows)])):
        if seq <= before and not at:
            raise JournalCorrupt(f"the entries after {before} are out of order: {seq} is the next", before + 1)
        if seq <= before:
            # What stands before is looked at first: it may be damaged itself.
            rows = rows[:at]
            break
    return [(seq, at, actor.decode(errors="replace"), body, crc, digest) for seq, at, actor, body, crc, digest in rows]


def read_mark(path: Path) -> int:
    """Position up to which the journal at `path` was acknowledged, as far as is known; 0 when nothing is.

    It can be behind what is on disk, never ahead: it is written after the commit it tells of is durable.
    """
    try:
        stored = _mark_of(path).read_bytes()
    except OSError:
        return 0
    position, checksum = stored[:8], stored[8:12]
    return int.from_bytes(position, "big") if zlib.crc32(position).to_bytes(4, "big") == checksum else 0


def _mark_of(path: Path) -> Path:
    return path.with_suffix(".lock")


@contextmanager
def reading(path: Path, seq: int) -> Iterator[None]:
    """Turn what SQLite says of a damaged or unreadable file into errors of ours; `seq` is where reading began."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, UnicodeDecodeError) as error:
        # What we ask never changes: a column or table that SQLite does not know was lost with the schema's bytes.
        raise JournalCorrupt(f"{path} is damaged: {error}", seq, "ganger journal verify says where") from error
    except apsw.BusyError as error:
        raise JournalBusy(path) from error
    except apsw.Error as error:
        raise JournalFailed(
            f"{path} cannot be read: {error}", "check the disk; what was acknowledged is safe"
        ) from error


class Writing:
    """One open write transaction: the newest state, the store's clock, and the only way to append."""

    def __init__(self, store: Store, now_ms: int) -> None:
        self._store = store
        self.now_ms = now_ms
        """Never before the last entry's time."""

    @property
    def state(self) -> State:
        """The newest state, including what this transaction appended."""
        return self._store.folded

    def has(self, key: str) -> bool:
        """Whether a command with this idempotency key was carried out before."""
        with reading(self._store.path, self._store.folded.seq):
            found = self._store.db.execute("SELECT 1 FROM entries WHERE key=?", (key,)).fetchone()
        return found is not None

    def append(self, events: Sequence[Event], actor: str, key: str = "") -> tuple[Entry, ...]:
        """Append events in order; they are in `state` at once and on disk when the transaction ends.

        `key` (may be empty) is stored with the first and can be used once only.
        """
        entries = []
        for number, event in enumerate(events):
            entries.append(self._store.append(event, actor, self.now_ms, key if number == 0 else ""))
        return tuple(entries)


class Store:
    """A journal file, open in this process. Not safe for use by two threads at once; `service.Fleet` sees to that."""

    def __init__(self, path: Path, rules: PathRules | None = None, clock: Callable[[], int] = wall_ms) -> None:
        self.path = path
        self.db = _open(path)
        self._clock = StoreClock(clock)
        self._rules = rules or PathRules()
        self._gate = _open_mark(path)
        self._state: State | None = None
        self._hash = codec.GENESIS
        self._snapshot_seq = 0
        self._failure = ""

    def close(self) -> None:
        """Let go of the file; no entry is written by it.

        SQLite moves its log into the file when the last user leaves; if the disk refuses that, the log stays.
        """
        with suppress(apsw.Error):
            self.db.close()
        os.close(self._gate)

    @property
    def folded(self) -> State:
        """The state as this process has folded it; it may be behind what others appended, see `catch_up`."""
        return self._state if self._state is not None else self._load()

    def now_ms(self) -> int:
        """The store's clock; a transaction's own `now_ms` is what counts for decisions."""
        return self._clock.now_ms(self.folded.at_ms)

    def catch_up(self) -> State:
        """Fold what other processes appended since, and return the state."""
        self._check_alive()
        state = self.folded
        while rows := self._rows_after(state.seq):
            for row in rows:
                self._fold_row(state, row)
            state.take_touched()
        return state

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Hold the fleet's one write transaction; on leaving, what was appended is on disk.

        JournalFailed if it cannot be made durable; an exception of the caller rolls back and is passed on.
        """
        self._check_alive()
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            self._begin()
            try:
                state = self.catch_up()
                before = state.seq
                yield Writing(self, self._clock.now_ms(state.at_ms))
            except BaseException:
                self._state = None
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
            with self._failing("commit"):
                self.db.execute("COMMIT")
            if state.seq > before:
                self._put_mark(state.seq)
            if state.seq > before and state.seq - self._snapshot_seq >= SNAPSHOT_EVERY:
                self._store_snapshot(state)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _begin(self) -> None:
        """Begin to write; JournalBusy, and no harm done, when a program that is not ganger keeps us out."""
        with self._failing("begin"):
            try:
                self.db.execute("BEGIN IMMEDIATE")
            except apsw.BusyError as error:
                raise JournalBusy(self.path) from error

    def append(self, event: Event, actor: str, now_ms: int, key: str) -> Entry:
        """Insert one entry into the open transaction; for `Writing` only."""
        state = self.folded
        seq = Seq(state.seq + 1)
        body = codec.encode(event)
        digest = codec.link(self._hash, seq, now_ms, actor, body)
        entry = Entry(seq, now_ms, actor, event)
        with self._failing("append"):
            self.db.execute(
                "INSERT INTO entries (seq,at_ms,type,subject,actor,key,body,crc,hash) VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    *(seq, now_ms, type(event).__name__, subject_of(event), actor),
                    *(key or None, body, codec.crc(body), digest),
                ),
            )
            evolve(state, entry)
            project(self.db, state, entry)
        self._hash = digest
        return entry

    def entries(self, after: int = 0, subject: str = "", limit: int = READ_AT_ONCE) -> list[Entry]:
        """Read up to `limit` entries after position `after`, all or those about one run or item, oldest first."""
        rows = read_rows(self.db, self.path, after, subject, limit)
        return [codec.decode(seq, at_ms, actor, body, crc) for seq, at_ms, actor, body, crc, _ in rows]

    def last_seq(self) -> int:
        """Position of the newest entry on disk; 0 for an empty journal."""
        with reading(self.path, 0):
            return int(self.db.execute("SELECT coalesce(max(seq),0) FROM entries").get)

    def _load(self) -> State:
        """Start from the newest readable snapshot and fold what came after it."""
        acknowledged = read_mark(self.path)
        state = State(rules=self._rules)
        for seq, version, body in self._snapshots():
            found = codec.decode_snapshot(body) if version == codec.SNAPSHOT_VERSION else None
            if found is not None:
                state, self._snapshot_seq = State(found, self._rules), int(seq)
                break
        self._hash = self._hash_at(state.seq)
        while rows := self._rows_after(state.seq):
            for row in rows:
                self._fold_row(state, row)
        if state.seq < acknowledged:
            raise JournalCorrupt(
                f"{self.path} ends with entry {state.seq}, but entry {acknowledged} was acknowledged: its end is lost",
                *(state.seq + 1, "put back the newest copy of the journal and of the files named like it"),
            )
        state.take_touched()
        self._state = state
        return state

    def _hash_at(self, seq: int) -> bytes:
        if not seq:
            return codec.GENESIS
        with reading(self.path, seq):
            row = self.db.execute(
                "SELECT coalesce(CAST(hash AS BLOB), x'') FROM entries WHERE seq=?", (seq,)
            ).fetchone()
        if row is None:
            raise JournalCorrupt(f"entry {seq} of {self.path}, which a snapshot is of, is missing", seq)
        return bytes(row[0])

    def _snapshots(self) -> list[Any]:
        """The stored states, newest first; none when they cannot be read, which costs time and loses nothing."""
        with suppress(apsw.CorruptError, apsw.SQLError):
            return self.db.execute(
                "SELECT seq, CAST(version AS INTEGER), coalesce(CAST(body AS BLOB), x'')"
                " FROM snapshots ORDER BY seq DESC LIMIT 2"
            ).fetchall()
        return []

    def _rows_after(self, seq: int) -> list[EntryRow]:
        return read_rows(self.db, self.path, seq)

    def _fold_row(self, state: State, row: EntryRow) -> None:
        seq, at_ms, actor, body, checksum, digest = row
        if seq != state.seq + 1:
            raise JournalCorrupt(f"entry {state.seq + 1} of {self.path} is missing", state.seq + 1)
        if codec.link(self._hash, seq, at_ms, actor, body) != digest:
            raise JournalCorrupt(f"entry {seq} of {self.path} does not follow the one before it", seq)
        evolve(state, codec.decode(seq, at_ms, actor, body, checksum))
        self._hash = digest

    def _store_snapshot(self, state: State) -> None:
        """Keep the two newest states, so that a damaged one costs time only."""
        with self._failing("snapshot"):
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?,?,?)",
                (state.seq, codec.SNAPSHOT_VERSION, codec.encode_snapshot(state.snapshot())),
            )
            self.db.execute(
                "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT 2)"
            )
            self.db.execute("COMMIT")
        self._snapshot_seq = state.seq

    def _put_mark(self, seq: int) -> None:
        """Note how far the journal is acknowledged; without it, only less damage would be noticed later."""
        position = seq.to_bytes(8, "big")
        with suppress(OSError):
            os.pwrite(self._gate, position + zlib.crc32(position).to_bytes(4, "big"), 0)

    def _check_alive(self) -> None:
        if self._failure:
            raise JournalFailed(f"the journal failed before in this process: {self._failure}", "start again")

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Make every failure of the database fatal to this store."""
        try:
            yield
        except (apsw.Error, OSError) as error:
            self._failure = f"{what}: {error}"
            self._state = None
            raise _as_failure(error, self.path, what) from error


def _as_failure(error: Exception, path: Path, what: str) -> JournalFailed:
    if isinstance(error, apsw.FullError):
        return JournalFailed(f"{path}: the disk is full, nothing was recorded ({what})", "free some space, start again")
    if isinstance(error, apsw.ReadOnlyError):
        return JournalFailed(f"{path} cannot be written ({what})", "check its owner and mode")
    return JournalFailed(f"{path}: {what} failed: {error}", "check the disk; what was acknowledged is safe")


def _open_mark(path: Path) -> int:
    try:
        return os.open(_mark_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirError(f"{_mark_of(path)} cannot be written: {error.strerror}", WRITABLE) from error


def _open(path: Path) -> apsw.Connection:
    """Open or create a journal file with the settings durability rests on."""
    try:
        db = apsw.Connection(str(path))
        db.set_busy_timeout(10_000)
        schema.refuse_newer(db, str(path))
        if schema.version(db) < 0:
            raise JournalCorrupt(f"{path} is damaged: it claims schema {schema.version(db)}", 0)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.pragma("fullfsync", True)
        db.pragma("cell_size_check", True)
        schema.migrate(db, str(path))
    except apsw.NotADBError as error:
        raise StateDirError(f"{path} is not a journal", "move it away, or use another --state-dir") from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise StateDirError(f"{path} cannot be opened for writing: {error}", WRITABLE) from error
    except apsw.BusyError as error:
        raise JournalBusy(path) from error
    except apsw.FullError as error:
        raise StateDirError(f"{path}: the disk is full", "free some space") from error
    except apsw.IOError as error:
        raise StateDirError(f"{path} cannot be read or written: {error}", "check the disk") from error
    except (apsw.CorruptError, apsw.SQLError) as error:
        raise JournalCorrupt(f"{path} is damaged: {error}", 0, "ganger journal verify says where") from error
    except apsw.Error as error:
        raise StateDirError(f"{path} cannot be opened: {error}", "check the disk, and who else uses it") from error
    path.chmod(0o600)
    return db
