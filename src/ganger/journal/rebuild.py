"""Making the projections from the journal: when they are lost or damaged, and when their form has changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import apsw

from ganger.core.evolve import evolve
from ganger.core.state import State
from ganger.errors import JournalCorrupt
from ganger.journal import codec, schema
from ganger.journal.projections import project
from ganger.journal.store import read_rows


def refill(db: apsw.Connection, path: Path, into: apsw.Connection | None = None) -> State:
    """Make every projection anew from the entries, in the open transaction; returns the state they fold to.

    `into` (default: `db` itself) is the database that gets them. JournalCorrupt at the first entry that cannot be read
    or is missing; what came before it is there then.
    """
    target = into or db
    schema.make_projections(target)
    state, previous = State(), codec.GENESIS
    while rows := read_rows(db, path, state.seq):
        for seq, at_ms, actor, body, checksum, digest in rows:
            if seq != state.seq + 1:
                raise JournalCorrupt(f"entry {state.seq + 1} of {path} is missing", state.seq + 1)
            if codec.link(previous, seq, at_ms, actor, body) != digest:
                raise JournalCorrupt(f"entry {seq} of {path} does not follow the one before it", seq)
            entry = codec.decode(seq, at_ms, actor, body, checksum)
            evolve(state, entry)
            project(target, state, entry)
            previous = digest
    return state


def refill_readable(db: apsw.Connection, path: str) -> None:
    """Make every projection anew from the entries before the first that cannot be read."""
    with suppress(JournalCorrupt):
        refill(db, Path(path))
