"""A byte of the journal's files is flipped, or one of them is cut off: it is found, or it changes nothing.

`make test` tries a sample; `GANGER_FLIPS=1000000` flips every byte of every file, `GANGER_SEED` draws another sample.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import apsw
import pytest
from msgspec import Struct
from small_night import Night, content_of, go_on, live_through

from ganger.errors import JournalFailed, StateDirError
from ganger.journal import check
from ganger.journal.store import Store
from ganger.testing.invariants import canonical
from ganger.testing.journal_suite import Clock

FLIPS = int(os.environ.get("GANGER_FLIPS", "700"))
"""Bytes flipped in a closed journal; a fifth of it in each of those whose log is still there."""
CUTS = 60
SEED = int(os.environ.get("GANGER_SEED", "1"))
FORMS = ("closed", "in the log", "in both", "begun again")
"""How a journal can stand on the disk: all in one file; nothing but the first page outside the log; all in the file and
still in the log; and all in the file with a log that was begun again since."""
PATTERNS = (1, 2, 4, 8, 16, 32, 64, 128, 255)


class Sound(Struct, frozen=True):
    """A journal before it is damaged."""

    files: dict[str, bytes]
    state: bytes
    content: list[tuple[object, ...]]
    rows: list[tuple[object, ...]]


@pytest.fixture
def memory() -> Iterator[Path]:
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="ganger-damage-", dir=shared if os.access(shared, os.W_OK) else None))
    yield place
    shutil.rmtree(place)


def sound(place: Path, form: str) -> Sound:
    """A small night's journal: one item landed, one failed, one at work, two stored states."""
    place.mkdir()
    night = Night(place / "journal.db", hands=1)
    store = night.store()
    store.db.wal_autocheckpoint(0)
    live_through(night, ("a",))
    if form in ("in both", "begun again"):
        store.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    if form == "begun again":
        go_on(night)
    state, content, rows = canonical(store.catch_up()), contents(store), entries_of(store.db)
    assert store.catch_up().runs and any(item.landed for item in store.catch_up().items.values())
    if form == "closed":
        night.close()
    files = {file.name: file.read_bytes() for file in place.iterdir() if not file.name.endswith("-shm")}
    if form != "closed":
        night.close()
    assert ("journal.db-wal" in files) == (form != "closed")
    return Sound(files, state, content, rows)


def contents(store: Store) -> list[tuple[object, ...]]:
    """All that is stored but the stored states, whose damage costs time and loses nothing."""
    found = list(content_of(store))
    at = found.index(("snapshots",))
    after = next(number for number, row in enumerate(found) if number > at and len(row) == 1)
    return found[:at] + found[after:]


def entries_of(db: apsw.Connection) -> list[tuple[object, ...]]:
    """The entries as far as the chain and the type cover them, whatever became of their types."""
    return db.execute(
        "SELECT seq,at_ms,CAST(actor AS BLOB),CAST(body AS BLOB),crc,CAST(hash AS BLOB),CAST(type AS BLOB)"
        " FROM entries ORDER BY seq"
    ).fetchall()


def outcome(whole: Sound, files: dict[str, bytes], place: Path) -> str:
    """Open damaged files as any start would, fold and check them; say how the damage came out.

    Whatever it was, a state that can be folded is the one that was there: no lease and no landing more, none less.
    AssertionError when it is not, when damage of an entry is not located, or when nothing notices that a table differs.
    """
    folder = place / "damaged"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        store = Store(folder / "journal.db", clock=Clock())
    except (JournalFailed, StateDirError):
        return "refused"
    else:
        with closing(store):
            return _outcome_opened(whole, store)
    finally:
        shutil.rmtree(folder)


def _outcome_opened(whole: Sound, store: Store) -> str:
    verified = check.verify(store)
    first = first_difference(whole, store.db)
    assert not first or verified.fault_seq == first, (verified.fault, first)
    try:
        assert canonical(store.catch_up()) == whole.state
        faults = check.compare(store, store._rules)
    except JournalFailed:
        assert verified.fault
        return "located"
    if verified.fault:
        return "located"
    if faults:
        return "table"
    assert contents(store) == whole.content
    return "harmless"


def first_difference(whole: Sound, db: apsw.Connection) -> int:
    """Position of the first entry that is not as it was; 0 when all are, or when SQLite cannot read them."""
    try:
        rows = entries_of(db)
    except apsw.Error:
        return 0
    differing = (seq for seq, row in enumerate(whole.rows, 1) if seq > len(rows) or rows[seq - 1] != row)
    return next(differing, len(whole.rows) + 1 if len(rows) > len(whole.rows) else 0)


def flips(whole: Sound, number: int, rng: Random) -> Iterator[tuple[str, int, int]]:
    """File, place and pattern of so many flips, or of one of every byte."""
    every = [(name, at) for name, content in sorted(whole.files.items()) for at in range(len(content))]
    for name, at in every if number >= len(every) else rng.sample(every, number):
        yield name, at, rng.choice(PATTERNS)


@pytest.mark.timeout(300 if FLIPS <= 20_000 else 0)
@pytest.mark.parametrize("form", FORMS)
def test_a_flipped_byte_is_found_or_harmless(memory: Path, form: str) -> None:
    whole = sound(memory / "sound", form)
    rng, seen = Random(f"{SEED} {form}"), Counter[str]()
    for name, at, pattern in flips(whole, FLIPS if form == "closed" else FLIPS // 5, rng):
        damaged = bytearray(whole.files[name])
        damaged[at] ^= pattern
        try:
            seen[outcome(whole, {**whole.files, name: bytes(damaged)}, memory)] += 1
        except Exception as error:
            pytest.fail(f"byte {at} of {name}, pattern {pattern}: {error!r}")
    print(form, {name: len(content) for name, content in whole.files.items()}, dict(seen))
    assert seen["located"] or form == "in both"


@pytest.mark.parametrize("form", FORMS)
def test_every_byte_of_the_header_and_of_the_mark(memory: Path, form: str) -> None:
    """Page size, versions, encoding, freelist: each of the first hundred bytes steers how all others are read."""
    whole = sound(memory / "sound", form)
    seen = Counter[str]()
    heads = [("journal.db", at) for at in range(100)] + [("journal.lock", at) for at in range(12)]
    for number, (name, at) in enumerate(heads):
        for pattern in PATTERNS if form == "closed" else (PATTERNS[number % len(PATTERNS)],):
            damaged = bytearray(whole.files[name])
            damaged[at] ^= pattern
            try:
                seen[name, outcome(whole, {**whole.files, name: bytes(damaged)}, memory)] += 1
            except Exception as error:
                pytest.fail(f"byte {at} of {name}, pattern {pattern}: {error!r}")
    assert {what for name, what in seen if name == "journal.lock"} == {"harmless"}


@pytest.mark.timeout(300 if FLIPS <= 20_000 else 0)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_off_anywhere_is_found_or_harmless(memory: Path, form: str) -> None:
    whole = sound(memory / "sound", form)
    rng, seen = Random(f"{SEED} {form}"), Counter[tuple[str, str]]()
    for name, content in sorted(whole.files.items()):
        edges = {0, 1, 99, 100, 511, 512, 4095, 4096, len(content) - 1} & set(range(len(content)))
        number = min(len(content), CUTS if FLIPS <= 20_000 else FLIPS // 5)
        for length in sorted(edges | set(rng.sample(range(len(content)), number))):
            try:
                seen[name, outcome(whole, {**whole.files, name: content[:length]}, memory)] += 1
            except Exception as error:
                pytest.fail(f"{name} cut to {length} of {len(content)} bytes: {error!r}")
    print(form, dict(seen))
    assert seen["journal.db", "refused"] + seen["journal.db", "located"] > 1
    if form == "in the log":
        assert seen["journal.db-wal", "harmless"] == 0
    assert {what for name, what in seen if name == "journal.lock"} == {"harmless"}


def test_a_log_that_is_gone_is_noticed(memory: Path) -> None:
    """SQLite opens what is left without a word; the mark knows that more was acknowledged."""
    whole = sound(memory / "sound", "in the log")
    there = memory / "there"
    there.mkdir()
    for name in ("journal.db", "journal.lock"):
        (there / name).write_bytes(whole.files[name])
    with closing(Store(there / "journal.db", clock=Clock())) as store:
        last = len(whole.rows)
        assert check.verify(store).fault == f"the entries 1 to {last} are missing at the end: they were acknowledged"
        with pytest.raises(JournalFailed, match=f"ends with entry 0, but entry {last} was acknowledged"):
            store.catch_up()
        with pytest.raises(JournalFailed), store.writing():
            pytest.fail("a fleet that has forgotten everything decides")


@pytest.mark.parametrize(
    ("statement", "faults"),
    [
        ("UPDATE items SET priority=7", ("the table items differs from what the journal gives",)),
        (
            "UPDATE runs SET note=CAST(x'ff' AS TEXT)",
            ("the table runs cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",),
        ),
        ("DROP INDEX items_status", ("the definitions of the tables differ from those of this ganger",)),
    ],
)
def test_damage_of_a_table_is_named(memory: Path, statement: str, faults: tuple[str, ...]) -> None:
    sound(memory / "sound", "closed")
    with closing(Store(memory / "sound" / "journal.db", clock=Clock())) as store:
        store.db.execute(statement)
        assert check.compare(store, store._rules) == faults


def test_an_entry_filed_under_another_type_is_located(memory: Path) -> None:
    sound(memory / "sound", "closed")
    with closing(Store(memory / "sound" / "journal.db", clock=Clock())) as store:
        store.db.execute("UPDATE entries SET type='RunLanded' WHERE seq=5")
        found = check.verify(store)
        assert (found.fault, found.fault_seq) == ("entry 5 is filed under a type that is not its own", 5)
