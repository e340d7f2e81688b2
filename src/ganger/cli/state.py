"""The newest state of a fleet for whoever only asks: read without the write lock, and without creating anything.

On the path of `ganger admit`, so it imports little: the newest stored state, and the entries after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import apsw
import msgspec

from ganger.core.evolve import evolve
from ganger.core.patterns import PathRules
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.errors import JournalCorrupt, StateDirError
from ganger.journal import codec
from ganger.journal.clock import StoreClock
from ganger.journal.queries import Reader
from ganger.service.place import JOURNAL

POLICY = "policy.json"
"""Held equal to `service.door.POLICY` by a test; importing that would cost as much again as all of this."""

_SNAPSHOTS = (
    "SELECT CAST(version AS INTEGER), coalesce(CAST(body AS BLOB), x'') FROM snapshots ORDER BY seq DESC LIMIT 2"
)
_TAIL = (
    "SELECT seq, coalesce(CAST(at_ms AS INTEGER), 0), coalesce(CAST(actor AS BLOB), x''),"
    " coalesce(CAST(body AS BLOB), x''), coalesce(CAST(crc AS INTEGER), 0) FROM entries WHERE seq>? ORDER BY seq"
)


class Seen(NamedTuple):
    """A fleet as it is: its state, the store's clock, and the policy that it decides by."""

    state: State
    now_ms: int
    policy: Policy


def look(state_dir: Path) -> Seen:
    """Read a fleet's newest state; NoFleet when there is none, JournalCorrupt when it cannot be believed."""
    reader = Reader(state_dir / JOURNAL)
    try:
        policy = kept_policy(state_dir)
        state = _fold(reader.db, reader.path, policy.paths)
        return Seen(state, StoreClock().now_ms(state.at_ms), policy)
    finally:
        reader.close()


def kept_policy(state_dir: Path) -> Policy:
    """The policy in force; StateDirError when there is none or it cannot be read."""
    path = state_dir / POLICY
    try:
        return msgspec.json.decode(path.read_bytes(), type=Policy)
    except (OSError, msgspec.MsgspecError) as error:
        raise StateDirError(f"{path} cannot be read: {error}", "ganger run writes it anew") from error


def _fold(db: apsw.Connection, path: Path, rules: PathRules) -> State:
    """The newest readable stored state and what came after it, in one read transaction."""
    try:
        with db:
            state = State(next(_stored(db), None), rules)
            for seq, at_ms, actor, body, checksum in db.execute(_TAIL, (state.seq,)):
                if seq != state.seq + 1:
                    raise JournalCorrupt(f"entry {state.seq + 1} of {path} is missing", state.seq + 1, _VERIFY)
                name = cast(bytes, actor).decode(errors="replace")
                evolve(
                    state, codec.decode(cast(int, seq), cast(int, at_ms), name, cast(bytes, body), cast(int, checksum))
                )
    except apsw.Error as error:
        raise JournalCorrupt(f"{path} cannot be read: {error}", 0, _VERIFY) from error
    return state


_VERIFY = "ganger journal verify says what is damaged"


def _stored(db: apsw.Connection) -> Iterator[Any]:
    """The stored states that can be read, newest first."""
    for version, body in db.execute(_SNAPSHOTS):
        found = codec.decode_snapshot(cast(bytes, body)) if version == codec.SNAPSHOT_VERSION else None
        if found is not None:
            yield found
