"""Damage to the journal's file is found, whatever was changed; what can be made again is made again."""

from __future__ import annotations

import hashlib
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest
from histories import history

from ganger.core.patterns import PathRules
from ganger.errors import GangerError, JournalCorrupt, StateDirError
from ganger.journal import check, codec, schema
from ganger.journal.store import Store
from ganger.testing.invariants import canonical
from ganger.testing.journal_suite import Clock

RULES = PathRules()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    history(tmp_path, seed=1, steps=60).close()
    return tmp_path


def behind_its_back(place: Path, *statements: str) -> None:
    db = apsw.Connection(str(place / "journal.db"))
    for statement in statements:
        db.execute(statement)
    db.close()


def fault_of(place: Path) -> tuple[str, int]:
    store = Store(place / "journal.db")
    found = check.verify(store)
    store.close()
    return found.fault, found.fault_seq


def test_an_untouched_journal_verifies(place: Path) -> None:
    assert fault_of(place) == ("", 0)


def test_every_flipped_byte_is_found(place: Path) -> None:
    """Each byte of each entry's fields, by every field that the chain covers."""
    db = apsw.Connection(str(place / "journal.db"))
    rows = db.execute("SELECT seq,at_ms,actor,body,crc,hash FROM entries ORDER BY seq").fetchall()
    for seq, _, actor, body, checksum, digest in rows[:12]:
        for column, value in (("body", body), ("hash", digest), ("actor", actor.encode())):
            for at in range(len(value)):
                changed = bytearray(value)
                changed[at] ^= 0x01
                new = bytes(changed) if column != "actor" else changed.decode()
                db.execute("BEGIN")
                db.execute(f"UPDATE entries SET {column}=? WHERE seq=?", (new, seq))
                assert _verify(db)[1] == seq, (column, at)
                db.execute("ROLLBACK")
        for column, value in (("crc", checksum), ("at_ms", rows[seq - 1][1])):
            db.execute("BEGIN")
            db.execute(f"UPDATE entries SET {column}=? WHERE seq=?", (value ^ 4, seq))
            assert _verify(db)[1] == seq, column
            db.execute("ROLLBACK")
    db.close()


@pytest.mark.parametrize("offset", range(7))
def test_a_flipped_byte_anywhere_in_the_file_is_harmless_or_a_typed_error(place: Path, offset: int) -> None:
    """Whatever SQLite makes of it: never an untyped error, and never a journal that is longer than it was."""
    store = Store(place / "journal.db")
    store._store_snapshot(store.catch_up())
    store.db.pragma("wal_checkpoint(TRUNCATE)")
    whole = store.last_seq()
    store.close()
    good = (place / "journal.db").read_bytes()
    for at in range(offset * 61, len(good), 7 * 61):
        damaged = bytearray(good)
        damaged[at] ^= 1 << (at % 8)
        (place / "journal.db").write_bytes(damaged)
        for name in ("journal.db-wal", "journal.db-shm"):
            (place / name).unlink(missing_ok=True)
        with suppress(GangerError), closing(Store(place / "journal.db")) as store:
            check.verify(store)
            assert store.catch_up().seq <= whole
            store.entries()


def _verify(db: apsw.Connection) -> tuple[str, int]:
    class Open:
        pass

    store = Open()
    store.db, store.path = db, Path("journal.db")  # type: ignore[attr-defined]
    found = check.verify(store)  # type: ignore[arg-type]
    return found.fault, found.fault_seq


@pytest.mark.parametrize(
    ("statements", "fault", "seq"),
    [
        (["DELETE FROM entries WHERE seq=7"], "entry 7 is missing", 7),
        (["DELETE FROM entries WHERE seq<=3"], "entries 1 to 3 are missing", 1),
        (
            [
                "UPDATE entries SET seq=-7 WHERE seq=7",
                "UPDATE entries SET seq=7 WHERE seq=8",
                "UPDATE entries SET seq=8 WHERE seq=-7",
            ],
            "entry 7 does not follow the one before it",
            7,
        ),
        (["UPDATE entries SET body='{}' WHERE seq=5"], "entry 5 has a wrong checksum", 5),
    ],
    ids=["deleted", "beginning cut off", "reordered", "replaced"],
)
def test_rows_that_were_moved_or_removed_are_found(place: Path, statements: list[str], fault: str, seq: int) -> None:
    behind_its_back(place, *statements)
    assert fault_of(place) == (fault, seq)
    store = Store(place / "journal.db")
    with pytest.raises(JournalCorrupt) as found:
        store.catch_up()
    assert found.value.seq == seq
    store.close()


def test_a_truncated_journal_is_noticed_by_the_mark(place: Path) -> None:
    with closing(Store(place / "journal.db")) as whole:
        last = whole.last_seq()
    behind_its_back(place, "DELETE FROM entries WHERE seq>20")
    store = Store(place / "journal.db")
    with pytest.raises(JournalCorrupt, match=f"ends with entry 20, but entry {last} was acknowledged"):
        store.catch_up()
    assert check.verify(store).entries == 20
    store.close()


def test_a_truncated_journal_without_its_mark_folds_to_an_earlier_state(place: Path) -> None:
    """Entries missing at the end cannot be told from entries that never were."""
    behind_its_back(place, "DELETE FROM entries WHERE seq>20")
    (place / "journal.lock").unlink()
    store = Store(place / "journal.db")
    assert store.catch_up().seq == 20
    assert check.verify(store).faults == ()
    store.close()


def test_a_snapshot_of_entries_that_are_gone_is_noticed(place: Path) -> None:
    store = Store(place / "journal.db")
    store._store_snapshot(store.catch_up())
    store.close()
    behind_its_back(place, "DELETE FROM entries WHERE seq>20")
    store = Store(place / "journal.db")
    with pytest.raises(JournalCorrupt):
        store.catch_up()
    store.close()


@pytest.mark.parametrize("seed", range(12))
def test_projections_equal_those_of_a_fresh_replay(tmp_path: Path, seed: int) -> None:
    fleet = history(tmp_path, seed)
    assert isinstance(fleet.store, Store)
    assert check.compare(fleet.store, RULES) == ()
    fleet.close()


def test_a_changed_projection_is_noticed_and_rebuilt(place: Path) -> None:
    behind_its_back(place, "UPDATE items SET status='landed'", "DELETE FROM turns")
    store = Store(place / "journal.db")
    assert check.compare(store, RULES) == (
        "the table items differs from what the journal gives",
        "the table turns differs from what the journal gives",
    )
    assert check.rebuild(store, RULES) == store.last_seq()
    assert check.compare(store, RULES) == ()
    store.close()


@pytest.mark.parametrize("damage", ["zeroblob(100)", "substr(body, 1, length(body) - 1)", "x''", "body || x'00'"])
def test_a_damaged_snapshot_is_ignored(place: Path, damage: str) -> None:
    store = Store(place / "journal.db")
    whole = canonical(store.catch_up())
    store._store_snapshot(store.catch_up())
    store.close()
    behind_its_back(place, f"UPDATE snapshots SET body={damage}")
    store = Store(place / "journal.db")
    assert canonical(store.catch_up()) == whole
    store.close()


def test_a_snapshot_of_another_version_is_ignored(place: Path) -> None:
    store = Store(place / "journal.db")
    whole = canonical(store.catch_up())
    store._store_snapshot(store.catch_up())
    store.close()
    behind_its_back(place, f"UPDATE snapshots SET version={codec.SNAPSHOT_VERSION + 1}")
    store = Store(place / "journal.db")
    assert canonical(store.catch_up()) == whole
    store.close()


def test_a_newer_schema_is_refused_and_nothing_is_changed(place: Path) -> None:
    behind_its_back(place, f"PRAGMA user_version={schema.VERSION + 1}", "PRAGMA wal_checkpoint(TRUNCATE)")
    before = hashlib.sha256((place / "journal.db").read_bytes()).hexdigest()
    with pytest.raises(StateDirError) as refused:
        Store(place / "journal.db")
    assert "a newer ganger wrote it" in refused.value.message
    assert hashlib.sha256((place / "journal.db").read_bytes()).hexdigest() == before


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("not a database, by any means" * 100)
    with pytest.raises(StateDirError, match="is not a journal"):
        Store(tmp_path / "journal.db", clock=Clock())


def test_the_journal_is_for_its_owner_only(place: Path) -> None:
    assert (place / "journal.db").stat().st_mode & 0o777 == 0o600


def test_an_export_has_every_entry_with_its_hash(place: Path) -> None:
    store = Store(place / "journal.db")
    lines = list(check.export(store))
    assert len(lines) == store.last_seq()
    assert check.verify(store).head.encode() in lines[-1]
    store.close()
