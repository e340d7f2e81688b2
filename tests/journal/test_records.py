"""Records declare their version: older ones are upgraded, newer ones refused by name and listed, none is misread."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

import apsw
import msgspec
import pytest
from foreign import append_foreign
from histories import history

from ganger.core.events import Event, PlanAdded
from ganger.core.ids import PlanId
from ganger.errors import JournalCorrupt
from ganger.journal import check, codec, schema
from ganger.journal.codec import EntryUnreadable, Records
from ganger.journal.store import Store


class Moved(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Was `{"x": 3}` at first, then `{"x": 3, "y": 4}`, and is a place in millimetres today."""

    VERSION: ClassVar[int] = 3
    at: tuple[int, int]


class Said(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    text: str = ""


def _second(body: codec.Body) -> codec.Body:
    return {**body, "y": 0}


def _third(body: codec.Body) -> codec.Body:
    return {"type": body["type"], "at": [body["x"] * 1_000, body["y"] * 1_000]}


RECORDS = Records(Moved | Said, {"Moved": (_second, _third)})


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b'{"type":"Moved","x":3}', Moved((3_000, 0))),
        (b'{"type":"Moved","x":3,"y":4,"v":2}', Moved((3_000, 4_000))),
        (b'{"type":"Moved","at":[3,4],"v":3}', Moved((3, 4))),
        (b'{"type":"Said"}', Said()),
        (b'{"type":"Said","v":1,"text":"a"}', Said("a")),
    ],
)
def test_every_version_is_read(body: bytes, event: msgspec.Struct) -> None:
    assert RECORDS.decode(7, body) == event


def test_what_is_written_is_of_the_newest_version() -> None:
    assert RECORDS.encode(Moved((3, 4))) == b'{"type":"Moved","at":[3,4],"v":3}'
    assert RECORDS.encode(Said()) == b'{"type":"Said"}'
    assert RECORDS.decode(1, RECORDS.encode(Moved((3, 4)))) == Moved((3, 4))


@pytest.mark.parametrize(
    ("body", "message", "known"),
    [
        (
            b'{"type":"Moved","at":[3,4,5],"v":4}',
            "entry 7 is a Moved of version 4, this ganger knows up to version 3: a newer ganger wrote it",
            ("Moved", 4, 3),
        ),
        (
            b'{"type":"Said","text":"a","v":2}',
            "entry 7 is a Said of version 2, this ganger knows up to version 1: a newer ganger wrote it",
            ("Said", 2, 1),
        ),
        (
            b'{"type":"Dreamt","of":"sheep","v":5}',
            "entry 7 is of the type Dreamt (version 5), which this ganger does not know: a newer ganger wrote it",
            ("Dreamt", 5, 0),
        ),
        (
            b'{"type":"Moved","at":"home","v":3}',
            "entry 7, a Moved of version 3, holds what this ganger does not know"
            " (Expected `array`, got `str` - at `$.at`): a newer ganger wrote it",
            ("Moved", 3, 3),
        ),
    ],
)
def test_what_a_newer_ganger_wrote_is_refused_by_name(body: bytes, message: str, known: tuple[str, int, int]) -> None:
    with pytest.raises(EntryUnreadable) as refused:
        RECORDS.decode(7, body)
    assert refused.value.message == message
    assert (refused.value.kind, refused.value.version, refused.value.known) == known
    assert (refused.value.seq, refused.value.hint) == (7, "use that ganger; nothing was changed")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"x":1}', b'{"type":7}', b'{"type":"Said","v":"2"}', b"\xff"])
def test_what_is_no_record_at_all_is_damage(body: bytes) -> None:
    with pytest.raises(JournalCorrupt, match="entry 7 of the journal cannot be read") as damage:
        RECORDS.decode(7, body)
    assert not isinstance(damage.value, EntryUnreadable)


def test_a_version_without_an_upgrade_cannot_be_declared() -> None:
    with pytest.raises(AssertionError, match="Moved lacks an upgrade"):
        Records(Moved | Said, {"Moved": (_second,)})


def test_all_unreadable_entries_are_listed_and_nothing_is_decided_on_them(tmp_path: Path) -> None:
    history(tmp_path, seed=1, steps=60).close()
    with closing(Store(tmp_path / "journal.db")) as store:
        whole = store.last_seq()
    good = codec.encode(PlanAdded(PlanId("p"), "p", "p", "p"))
    append_foreign(tmp_path, b'{"type":"Dreamt","v":5}', good, good[:-1] + b',"v":2}')
    with closing(Store(tmp_path / "journal.db")) as store:
        found = check.verify(store)
        assert [(one.seq, one.kind, one.version, one.known) for one in found.faults] == [
            (whole + 1, "Dreamt", 5, 0),
            (whole + 3, "PlanAdded", 2, 1),
        ]
        assert found.entries == whole
        with pytest.raises(EntryUnreadable), store.writing():
            pytest.fail("a transaction was begun on a journal that cannot be read")
        with pytest.raises(EntryUnreadable):
            check.rebuild(store, store._rules)
        assert store.last_seq() == whole + 3


def test_every_fault_is_listed_once(tmp_path: Path) -> None:
    history(tmp_path, seed=1, steps=60).close()
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as db:
        db.execute("UPDATE entries SET body=CAST(body || ' ' AS BLOB) WHERE seq=5")
        db.execute("UPDATE entries SET actor='eve' WHERE seq=9")
        db.execute("DELETE FROM entries WHERE seq IN (12, 13)")
    with closing(Store(tmp_path / "journal.db")) as store:
        assert [one.text for one in check.verify(store).faults] == [
            "entry 5 has a wrong checksum",
            "entry 9 does not follow the one before it",
            "entries 12 to 13 are missing",
        ]


def shape(kind: Any, seen: dict[str, Any]) -> None:
    """Note the fields of a struct or the members of an enum, and of everything they are made of."""
    if kind.__name__ in seen:
        return
    if issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        seen[kind.__name__] = {
            "version": getattr(kind, "VERSION", 1),
            "fields": [f"{field.encode_name}: {hints[field.name]}" for field in msgspec.structs.fields(kind)],
        }
        for field in msgspec.structs.fields(kind):
            for part in _parts(hints[field.name]):
                shape(part, seen)
    elif "ganger" in kind.__module__:
        seen[kind.__name__] = [member.name for member in kind]


def _parts(hint: Any) -> list[Any]:
    inner = [part for one in get_args(hint) for part in _parts(one)]
    return [*inner, hint] if isinstance(hint, type) and getattr(hint, "__module__", "").startswith("ganger") else inner


def test_what_is_stored_changes_only_with_the_schema() -> None:
    """An older ganger passes over a field it does not know, so it must not open the file at all.

    After a change of events: append a migration (it may be empty) if the schema's number was in a commit already, and
    write the shape anew with `python tests/journal/make_corpus.py --shape`.
    """
    stored = json.loads((Path(__file__).parent / "corpus" / "shape.json").read_text("utf-8"))
    found: dict[str, Any] = {}
    for kind in get_args(Event):
        shape(kind, found)
    assert stored == {"schema": schema.VERSION, "shape": json.loads(json.dumps(found))}
