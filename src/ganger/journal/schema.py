"""The tables of the journal, as numbered migrations; a schema from the future is refused, never misread."""

from __future__ import annotations

import apsw

from ganger.errors import StateDirError

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL,
        actor TEXT NOT NULL, key TEXT, body BLOB NOT NULL, crc INTEGER NOT NULL, hash BLOB NOT NULL
    );
    CREATE UNIQUE INDEX entries_key ON entries (key) WHERE key IS NOT NULL;
    CREATE INDEX entries_subject ON entries (subject, seq) WHERE subject <> '';
    CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE plans (id TEXT PRIMARY KEY, title TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL);
    CREATE TABLE items (
        id TEXT PRIMARY KEY, plan TEXT NOT NULL, seq INTEGER NOT NULL, title TEXT NOT NULL, brief TEXT NOT NULL,
        spec TEXT NOT NULL, priority INTEGER NOT NULL, status TEXT NOT NULL, run TEXT NOT NULL,
        attempts INTEGER NOT NULL, failures INTEGER NOT NULL, cool_until_ms INTEGER NOT NULL,
        landed TEXT NOT NULL, landed_ms INTEGER NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX items_status ON items (status);
    CREATE INDEX items_plan ON items (plan, seq);
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, item TEXT NOT NULL, attempt INTEGER NOT NULL, token INTEGER NOT NULL,
        agent TEXT NOT NULL, base TEXT NOT NULL, scope TEXT NOT NULL, status TEXT NOT NULL, turn INTEGER NOT NULL,
        granted_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0,
        ending TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', counts INTEGER NOT NULL DEFAULT 0,
        landed TEXT NOT NULL DEFAULT '', kept TEXT NOT NULL DEFAULT '[]', todos TEXT NOT NULL DEFAULT '[]',
        note TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX runs_item ON runs (item, attempt);
    CREATE INDEX runs_live ON runs (status) WHERE ended_ms = 0;
    CREATE INDEX runs_ended ON runs (ended_ms);
    CREATE TABLE turns (
        run TEXT NOT NULL, turn INTEGER NOT NULL, pid INTEGER NOT NULL, started_ms INTEGER NOT NULL,
        exited_ms INTEGER NOT NULL DEFAULT 0, code INTEGER, signal INTEGER, cpu_ms INTEGER NOT NULL DEFAULT 0,
        reported_ms INTEGER NOT NULL DEFAULT 0, report TEXT NOT NULL DEFAULT '',
        judged_ms INTEGER NOT NULL DEFAULT 0, verdict TEXT NOT NULL DEFAULT '', evidence TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run, turn)
    );
    CREATE TABLE questions (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL, options TEXT NOT NULL, recommend TEXT NOT NULL,
        risk TEXT NOT NULL, run TEXT NOT NULL, item TEXT NOT NULL, subject TEXT NOT NULL, asked_ms INTEGER NOT NULL,
        state TEXT NOT NULL, choice TEXT NOT NULL DEFAULT '', by TEXT NOT NULL DEFAULT '',
        closed_ms INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX questions_open ON questions (asked_ms) WHERE state = 'open';
    CREATE INDEX questions_run ON questions (run) WHERE run <> '';
    CREATE TABLE waits (
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, item TEXT NOT NULL, code TEXT NOT NULL,
        reason TEXT NOT NULL, holder TEXT NOT NULL
    );
    CREATE INDEX waits_item ON waits (item);
    CREATE TABLE trains (
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, runs TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
        tree TEXT NOT NULL, passed INTEGER NOT NULL, checks TEXT NOT NULL, conflicts TEXT NOT NULL,
        took_ms INTEGER NOT NULL, landed_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX trains_new ON trains (new);
    CREATE TABLE supervisors (
        seq INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, version TEXT NOT NULL,
        started_ms INTEGER NOT NULL, stopped_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
    );
    """,
)
VERSION = len(MIGRATIONS)
PROJECTIONS = ("plans", "items", "runs", "turns", "questions", "waits", "trains", "supervisors")


def version(db: apsw.Connection) -> int:
    """The schema version of an open journal; 0 for an empty file."""
    return int(db.pragma("user_version"))


def refuse_newer(db: apsw.Connection, path: str) -> None:
    """StateDirError when the journal was written by a newer ganger."""
    found = version(db)
    if found > VERSION:
        raise StateDirError(
            f"{path} has schema {found}, this ganger knows up to {VERSION}: a newer ganger wrote it",
            "use that ganger, or another --state-dir; nothing was changed",
        )


def migrate(db: apsw.Connection, path: str) -> None:
    """Bring the schema up to date in one transaction; another process may be doing the same."""
    if version(db) == VERSION:
        return
    refuse_newer(db, path)
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version(db), VERSION):
            db.execute(MIGRATIONS[number])
        db.pragma("user_version", VERSION)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
