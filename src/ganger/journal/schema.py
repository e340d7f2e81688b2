"""The tables of the journal: what is kept for good, in numbered migrations, and the projections, made anew with each.

A schema from the future is refused, never misread. One of the past is brought up to date when the journal is opened:
the migrations it lacks are carried out, the projections dropped, made as they are today, and filled from the journal.
"""

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
    """,
    """
    CREATE INDEX entries_at_ms ON entries (at_ms);
    """,
    "",
    "",
    "",
)
"""What makes an empty file a journal of today. Raise the number, if need be by an empty text, with every change of what
is stored: of the projections below, and of the fields of events; an older ganger then refuses the file."""
VERSION = len(MIGRATIONS)

PROJECTIONS: dict[str, str] = {
    "plans": """
        id TEXT PRIMARY KEY, title TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'active', reason TEXT NOT NULL DEFAULT '', steer TEXT NOT NULL DEFAULT '',
        unreadable TEXT NOT NULL DEFAULT '[]', still_open TEXT NOT NULL DEFAULT '[]'
    """,
    "items": """
        id TEXT PRIMARY KEY, plan TEXT NOT NULL, seq INTEGER NOT NULL, title TEXT NOT NULL, brief TEXT NOT NULL,
        spec TEXT NOT NULL, priority INTEGER NOT NULL, status TEXT NOT NULL DEFAULT '', run TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
        cool_until_ms INTEGER NOT NULL DEFAULT 0, landed TEXT NOT NULL DEFAULT '',
        landed_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', parent TEXT NOT NULL DEFAULT ''
    """,
    "runs": """
        id TEXT PRIMARY KEY, item TEXT NOT NULL, attempt INTEGER NOT NULL, token INTEGER NOT NULL,
        agent TEXT NOT NULL, base TEXT NOT NULL, scope TEXT NOT NULL, status TEXT NOT NULL, turn INTEGER NOT NULL,
        granted_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0,
        ending TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', counts INTEGER NOT NULL DEFAULT 0,
        landed TEXT NOT NULL DEFAULT '', kept TEXT NOT NULL DEFAULT '[]', todos TEXT NOT NULL DEFAULT '[]',
        note TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL, lane TEXT NOT NULL, mode TEXT NOT NULL,
        alone INTEGER NOT NULL, depth INTEGER NOT NULL, permit_ms INTEGER NOT NULL, forced_by TEXT NOT NULL,
        reserved TEXT NOT NULL, usd_micros INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
        wall_ms INTEGER NOT NULL DEFAULT 0, liveness TEXT NOT NULL DEFAULT '',
        liveness_reason TEXT NOT NULL DEFAULT '', flagged_ms INTEGER NOT NULL DEFAULT 0,
        ended_seq INTEGER NOT NULL DEFAULT 0, spawner TEXT NOT NULL DEFAULT ''
    """,
    "turns": """
        run TEXT NOT NULL, turn INTEGER NOT NULL, pid INTEGER NOT NULL, started_ms INTEGER NOT NULL,
        exited_ms INTEGER NOT NULL DEFAULT 0, code INTEGER, signal INTEGER, cpu_ms INTEGER NOT NULL DEFAULT 0,
        reported_ms INTEGER NOT NULL DEFAULT 0, report TEXT NOT NULL DEFAULT '',
        judged_ms INTEGER NOT NULL DEFAULT 0, verdict TEXT NOT NULL DEFAULT '', evidence TEXT NOT NULL DEFAULT '',
        lost INTEGER NOT NULL DEFAULT 0, usd_micros INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
        wall_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, turn)
    """,
    "repeats": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, run TEXT NOT NULL, turn INTEGER NOT NULL, why TEXT NOT NULL,
        reason TEXT NOT NULL, not_before_ms INTEGER NOT NULL
    """,
    "rewinds": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, run TEXT NOT NULL, checkpoint TEXT NOT NULL,
        note TEXT NOT NULL, by TEXT NOT NULL, done_ms INTEGER NOT NULL DEFAULT 0
    """,
    "messages": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, run TEXT NOT NULL, text TEXT NOT NULL, due TEXT NOT NULL,
        by TEXT NOT NULL, landing TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'queued', turn INTEGER NOT NULL DEFAULT 0,
        at_work INTEGER NOT NULL DEFAULT 0, delivered_ms INTEGER NOT NULL DEFAULT 0,
        read_ms INTEGER NOT NULL DEFAULT 0, ended_ms INTEGER NOT NULL DEFAULT 0
    """,
    "facts": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, text TEXT NOT NULL, about TEXT NOT NULL, by TEXT NOT NULL,
        run TEXT NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0, ended_by TEXT NOT NULL DEFAULT '',
        why TEXT NOT NULL DEFAULT ''
    """,
    "prunings": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, run TEXT NOT NULL, classes TEXT NOT NULL,
        unreviewed INTEGER NOT NULL
    """,
    "questions": """
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL, options TEXT NOT NULL, recommend TEXT NOT NULL,
        risk TEXT NOT NULL, run TEXT NOT NULL, item TEXT NOT NULL, subject TEXT NOT NULL, asked_ms INTEGER NOT NULL,
        state TEXT NOT NULL, choice TEXT NOT NULL DEFAULT '', by TEXT NOT NULL DEFAULT '',
        closed_ms INTEGER NOT NULL DEFAULT 0, agent TEXT NOT NULL DEFAULT '', until_ms INTEGER NOT NULL DEFAULT 0,
        passed TEXT NOT NULL DEFAULT ''
    """,
    "waits": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, item TEXT NOT NULL, code TEXT NOT NULL,
        reason TEXT NOT NULL, holder TEXT NOT NULL, again_ms INTEGER NOT NULL
    """,
    "trains": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, runs TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
        tree TEXT NOT NULL, passed INTEGER NOT NULL, checks TEXT NOT NULL, conflicts TEXT NOT NULL,
        took_ms INTEGER NOT NULL, landed_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
        waits TEXT NOT NULL DEFAULT '[]'
    """,
    "undos": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, undone TEXT NOT NULL, item TEXT NOT NULL, run TEXT NOT NULL,
        by TEXT NOT NULL, why TEXT NOT NULL, back INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'asked',
        reason TEXT NOT NULL DEFAULT '', landed TEXT NOT NULL DEFAULT '', ended_ms INTEGER NOT NULL DEFAULT 0
    """,
    "ci": """
        landed TEXT PRIMARY KEY, since_ms INTEGER NOT NULL, holds INTEGER NOT NULL, state TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL DEFAULT '', place TEXT NOT NULL DEFAULT '', asked_ms INTEGER NOT NULL DEFAULT 0,
        asks INTEGER NOT NULL DEFAULT 0, again_ms INTEGER NOT NULL DEFAULT 0, closed_ms INTEGER NOT NULL DEFAULT 0,
        by TEXT NOT NULL DEFAULT '', seq INTEGER NOT NULL
    """,
    "readings": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, tip TEXT NOT NULL, missing TEXT NOT NULL
    """,
    "leases": """
        id TEXT PRIMARY KEY, holder TEXT NOT NULL, lane TEXT NOT NULL, scope TEXT NOT NULL, mode TEXT NOT NULL,
        alone INTEGER NOT NULL, token INTEGER NOT NULL, granted_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        forced_by TEXT NOT NULL, ended_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
    """,
    "breakers": """
        key TEXT PRIMARY KEY, reason TEXT NOT NULL, opened_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
        launch INTEGER NOT NULL, closed_ms INTEGER NOT NULL DEFAULT 0
    """,
    "windows": """
        provider TEXT PRIMARY KEY, until_ms INTEGER NOT NULL, reason TEXT NOT NULL, run TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    """,
    "schedules": """
        name TEXT PRIMARY KEY, path TEXT NOT NULL, every_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL,
        fired_ms INTEGER NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '', dropped_ms INTEGER NOT NULL DEFAULT 0
    """,
    "forbidden": """
        seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, what TEXT NOT NULL,
        reason TEXT NOT NULL, run TEXT NOT NULL
    """,
    "supervisors": """
        seq INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, version TEXT NOT NULL,
        started_ms INTEGER NOT NULL, stopped_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
    """,
    "mentions": "subject TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (subject, seq)",
}
"""The columns of each projection."""
_INDEXES = """
    CREATE INDEX items_status ON items (status, cool_until_ms);
    CREATE INDEX items_plan ON items (plan, seq);
    CREATE INDEX items_parent ON items (parent) WHERE parent <> '';
    CREATE INDEX runs_item ON runs (item, attempt);
    CREATE INDEX runs_token ON runs (token);
    CREATE INDEX runs_live ON runs (status) WHERE ended_ms = 0;
    CREATE INDEX runs_ended ON runs (ended_ms);
    CREATE INDEX runs_spawner ON runs (spawner) WHERE spawner <> '';
    CREATE INDEX repeats_run ON repeats (run);
    CREATE INDEX rewinds_run ON rewinds (run);
    CREATE INDEX messages_run ON messages (run);
    CREATE INDEX messages_lost ON messages (ended_ms) WHERE state = 'undeliverable';
    CREATE INDEX facts_standing ON facts (seq) WHERE ended_ms = 0;
    CREATE INDEX prunings_run ON prunings (run);
    CREATE INDEX prunings_unseen ON prunings (run) WHERE unreviewed;
    CREATE INDEX questions_open ON questions (asked_ms) WHERE state = 'open';
    CREATE INDEX questions_run ON questions (run) WHERE run <> '';
    CREATE INDEX questions_item ON questions (item) WHERE item <> '';
    CREATE INDEX waits_item ON waits (item);
    CREATE INDEX trains_new ON trains (new);
    CREATE INDEX undos_undone ON undos (undone);
    CREATE INDEX leases_live ON leases (expires_ms) WHERE ended_ms = 0;
"""


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
    """Bring the schema up to date in one transaction; another process may be doing the same.

    An old journal with an entry that cannot be read gets its projections up to that entry: whoever opens it to decide
    meets the entry again and is refused, and `ganger journal verify` can say what is wrong.
    """
    if version(db) == VERSION:
        return
    refuse_newer(db, path)
    db.execute("BEGIN IMMEDIATE")
    try:
        found = version(db)
        if found != VERSION:
            for number in range(found, VERSION):
                db.execute(MIGRATIONS[number])
            make_projections(db)
            if found:
                from ganger.journal.rebuild import refill_readable  # the only caller from below: it reads through us

                refill_readable(db, path)
            db.pragma("user_version", VERSION)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def make_projections(db: apsw.Connection) -> None:
    """Make every projection anew and empty, and drop those of other versions; stored states go as well."""
    tables = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()]
    for name in tables:
        if name not in ("entries", "snapshots") and not name.startswith("sqlite_"):
            db.execute(f"DROP TABLE {name}")
    db.execute("DELETE FROM snapshots")
    for name, columns in PROJECTIONS.items():
        db.execute(f"CREATE TABLE {name} ({columns})" + (" WITHOUT ROWID" if name == "mentions" else ""))
    db.execute(_INDEXES)
