"""A journal in memory, with the real codec and chain, for the simulation and for fast tests.

The durable part is a `Disk`, a list of encoded entries; a `MemoryStore` is one process's handle on it. Opening
another handle on the same disk is what a restart, or a second process, does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from ganger.core.events import Entry, Event
from ganger.core.evolve import evolve
from ganger.core.ids import Seq
from ganger.core.patterns import PathRules
from ganger.core.state import State
from ganger.errors import JournalCorrupt, JournalFailed
from ganger.journal import codec
from ganger.journal.clock import StoreClock
from ganger.journal.projections import subject_of


class Row(Struct, frozen=True, gc=False):
    """An entry as it is stored."""

    seq: int
    at_ms: int
    actor: str
    key: str
    subject: str
    body: bytes
    crc: int
    hash: bytes


class Disk:
    """What survives every crash: the acknowledged entries, and the newest stored state, if any."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.keys: set[str] = set()
        self.snapshot: bytes = b""


class MemoryTransaction:
    """One open write transaction."""

    def __init__(self, store: MemoryStore, now_ms: int) -> None:
        self._store = store
        self._now_ms = now_ms

    @property
    def now_ms(self) -> int:
        """Never before the last entry's time."""
        return self._now_ms

    @property
    def state(self) -> State:
        """The newest state, including what this transaction appended."""
        return self._store.folded

    def has(self, key: str) -> bool:
        """Whether a command with this idempotency key was carried out before."""
        return key in self._store.disk.keys or any(row.key == key for row in self._store.pending)

    def append(self, events: Sequence[Event], actor: str, key: str = "") -> tuple[Entry, ...]:
        """Append events in order; JournalFailed for a key that was used before."""
        if key and self.has(key):
            raise JournalFailed(f"the key {key!r} was used before")
        now_ms = self._now_ms
        return tuple(self._store.append(event, actor, now_ms, "" if n else key) for n, event in enumerate(events))


class MemoryStore:
    """One process's handle on a `Disk`; `on_commit` is called with `before` and `after` around each commit.

    What `on_commit` raises before the commit loses the transaction, after it only the acknowledgement.
    """

    def __init__(
        self,
        disk: Disk | None = None,
        rules: PathRules | None = None,
        clock: Callable[[], int] = lambda: 0,
        mono: Callable[[], int] | None = None,
        on_commit: Callable[[str], None] = lambda when: None,
    ) -> None:
        self.disk = disk or Disk()
        self.pending: list[Row] = []
        self._rules = rules or PathRules()
        self._clock = StoreClock(clock, mono)
        self._on_commit = on_commit
        self._state: State | None = None
        self._hash = codec.GENESIS

    def close(self) -> None:
        """Let go of the disk."""
        self._state = None

    @property
    def folded(self) -> State:
        """The state as this handle has folded it."""
        return self._state if self._state is not None else self._load()

    def now_ms(self) -> int:
        """The store's clock."""
        return self._clock.now_ms(self.folded.at_ms)

    def catch_up(self) -> State:
        """Fold what other handles appended since, and return the state."""
        state = self.folded
        for row in self.disk.rows[state.seq :]:
            self._fold_row(state, row)
        state.take_touched()
        return state

    @contextmanager
    def writing(self) -> Iterator[MemoryTransaction]:
        """Hold the write transaction; on leaving, what was appended is on the disk."""
        try:
            state = self.catch_up()
            yield MemoryTransaction(self, self._clock.now_ms(state.at_ms))
            if self.pending:
                self._on_commit("before")
        except BaseException:
            self._state = None
            self.pending = []
            raise
        if self.pending:
            self.disk.rows += self.pending
            self.disk.keys.update(row.key for row in self.pending if row.key)
            self.pending = []
            self._on_commit("after")

    def append(self, event: Event, actor: str, now_ms: int, key: str) -> Entry:
        """Add one entry to the open transaction; for `MemoryTransaction` only."""
        state = self.folded
        seq = Seq(state.seq + 1)
        body = codec.encode(event)
        digest = codec.link(self._hash, seq, now_ms, actor, body)
        entry = Entry(seq, now_ms, actor, event)
        self.pending.append(Row(seq, now_ms, actor, key, subject_of(event), body, codec.crc(body), digest))
        evolve(state, entry)
        self._hash = digest
        return entry

    def entries(self, after: int = 0, subject: str = "", limit: int = 1_000) -> list[Entry]:
        """Read up to `limit` entries after position `after`, all or those about one run or item, oldest first."""
        rows = [row for row in self.disk.rows[after:] if not subject or row.subject == subject]
        return [codec.decode(row.seq, row.at_ms, row.actor, row.body, row.crc) for row in rows[:limit]]

    def last_seq(self) -> int:
        """Position of the newest entry on the disk; 0 for an empty journal."""
        return len(self.disk.rows)

    def store_snapshot(self) -> None:
        """Put the state as of now on the disk; the next handle starts from it."""
        self.disk.snapshot = codec.encode_snapshot(self.catch_up().snapshot())

    def _load(self) -> State:
        found = codec.decode_snapshot(self.disk.snapshot) if self.disk.snapshot else None
        state = State(found, self._rules)
        self._hash = self.disk.rows[state.seq - 1].hash if state.seq else codec.GENESIS
        for row in self.disk.rows[state.seq :]:
            self._fold_row(state, row)
        state.take_touched()
        self._state = state
        return state

    def _fold_row(self, state: State, row: Row) -> None:
        if row.seq != state.seq + 1:
            raise JournalCorrupt(f"entry {state.seq + 1} is missing", state.seq + 1)
        if codec.link(self._hash, row.seq, row.at_ms, row.actor, row.body) != row.hash:
            raise JournalCorrupt(f"entry {row.seq} does not follow the one before it", row.seq)
        evolve(state, codec.decode(row.seq, row.at_ms, row.actor, row.body, row.crc))
        self._hash = row.hash
