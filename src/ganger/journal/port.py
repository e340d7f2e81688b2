"""What the fleet needs of a journal: one write transaction at a time, and the state it folds to.

Two implementations: `journal.store.Store` on SQLite and `testing.memory_store.MemoryStore`; both pass
`testing.journal_suite`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ganger.core.events import Entry, Event
from ganger.core.state import State


class Transaction(Protocol):
    """One open write transaction: the newest state, the store's clock, and the only way to append."""

    @property
    def now_ms(self) -> int:
        """The store's clock, never before the last entry's time."""
        ...

    @property
    def state(self) -> State:
        """The newest state, including what this transaction appended."""
        ...

    def has(self, key: str) -> bool:
        """Whether a command with this idempotency key was carried out before."""
        ...

    def append(self, events: Sequence[Event], actor: str, key: str = "") -> tuple[Entry, ...]:
        """Append events in order; they are in `state` at once and durable when the transaction ends."""
        ...


class Journal(Protocol):
    """A journal, open in this process."""

    @property
    def folded(self) -> State:
        """The state as this process has folded it; it may be behind what others appended."""
        ...

    def writing(self) -> AbstractContextManager[Transaction]:
        """Hold the fleet's one write transaction; on leaving, what was appended is durable.

        JournalFailed if it cannot be made so; an exception of the caller takes everything back and is passed on.
        """
        ...

    def catch_up(self) -> State:
        """Fold what others appended since, and return the state."""
        ...

    def entries(self, after: int = 0, subject: str = "", limit: int = 1_000) -> list[Entry]:
        """Read up to `limit` entries after position `after`, all or those about one run or item, oldest first."""
        ...

    def last_seq(self) -> int:
        """Position of the newest durable entry; 0 for an empty journal."""
        ...

    def now_ms(self) -> int:
        """The store's clock, in milliseconds since the epoch."""
        ...

    def close(self) -> None:
        """Let go of it; nothing is written by that."""
        ...
