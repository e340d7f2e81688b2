"""Entries in a real journal that no ganger of today writes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import apsw

from ganger.journal import codec


def append_foreign(place: Path, *bodies: bytes) -> None:
    """Append entries with a sound chain, as a newer ganger would."""
    with closing(apsw.Connection(str(place / "journal.db"))) as db:
        for body in bodies:
            seq, at_ms, previous = db.execute("SELECT seq+1, at_ms, hash FROM entries ORDER BY seq DESC").fetchone()
            db.execute(
                "INSERT INTO entries VALUES (?,?,?,'','person:olga',NULL,?,?,?)",
                (
                    seq,
                    at_ms,
                    json.loads(body)["type"],
                    body,
                    codec.crc(body),
                    codec.link(previous, seq, at_ms, "person:olga", body),
                ),
            )
