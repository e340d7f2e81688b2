"""Journals that earlier states of the project wrote, read by the code of today (RELIABILITY S27)."""

from __future__ import annotations

import hashlib
import json
import lzma
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from ganger.core import lifecycle
from ganger.core.patterns import PathRules
from ganger.errors import JournalCorrupt
from ganger.journal import check, schema
from ganger.journal.queries import Reader
from ganger.journal.store import Store

CORPUS = Path(__file__).parent / "corpus"
COMMITS = sorted(path.name.removesuffix(".db.xz") for path in CORPUS.glob("*.db.xz"))
SCHEMA_1 = [commit for commit in COMMITS if commit not in ("d18e858", "978d747", "cc97bf8")]
"""Those from which something is changed on the way to today; the later steps only raise the number."""
RULES = PathRules()
UNDERSTOOD_BETTER = {
    "1ffc19e": {"i1.5": ("starting", {"turn_due": True, "reported_ms": 1_790_004_020_262})},
}
"""Runs of which the code of then was mistaken: its status, and the facts, as they are right.

A worker asked and was answered before its start was recorded; the first code forgot that with the start.
"""


@pytest.fixture
def commit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try every stored journal, unless a test names some."""
    if "commit" in metafunc.fixturenames and "parametrize" not in {
        mark.name for mark in metafunc.definition.own_markers
    }:
        metafunc.parametrize("commit", COMMITS, indirect=True)


@pytest.fixture
def path(commit: str, tmp_path: Path) -> Path:
    """The journal that the code of a commit wrote."""
    (tmp_path / "journal.db").write_bytes(lzma.decompress((CORPUS / f"{commit}.db.xz").read_bytes()))
    return tmp_path / "journal.db"


@pytest.fixture
def told(commit: str) -> dict[str, Any]:
    """What the code of that commit took it to mean."""
    found: dict[str, Any] = json.loads((CORPUS / f"{commit}.json").read_text("utf-8"))
    return found


def bodies(path: Path) -> str:
    with closing(apsw.Connection(str(path))) as db:
        rows = db.execute("SELECT seq,at_ms,actor,key,body,crc,hash FROM entries ORDER BY seq").fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def test_there_are_journals_of_several_states() -> None:
    assert len(COMMITS) >= 4


def test_every_entry_is_read_and_the_chain_holds(path: Path, told: dict[str, Any]) -> None:
    with closing(Store(path)) as store:
        found = check.verify(store)
    assert (found.entries, found.head, found.faults) == (told["seq"], told["head"], ())


def test_it_means_today_what_it_meant_then(commit: str, path: Path, told: dict[str, Any]) -> None:
    """Statuses are the same; so is every fact of the state that there was then, under the name it has today."""
    for run, (status, facts) in UNDERSTOOD_BETTER.get(commit, {}).items():
        told["runs"][run] = status
        next(row for row in told["snapshot"]["runs"] if row["id"] == run).update(facts)
    with closing(Store(path)) as store:
        state = store.catch_up()
        items = state.items.values()
        assert {one.spec.id: lifecycle.item_status(state, one, told["now_ms"]).value for one in items} == told["items"]
        assert {run.id: lifecycle.run_status(state, run).value for run in state.runs.values()} == told["runs"]
        now = json.loads(msgspec.json.encode(state.snapshot()))
    then = told["snapshot"]
    then.pop("train_size", None)  # what a failed train left behind; `search` says more
    digests = {name: facts["digest"] for name, facts in now["plans"].items()}
    plans = then.pop("plans")
    assert plans in (digests, {name: cut_to(facts, plans[name]) for name, facts in now["plans"].items()})
    for part, key in (("items", lambda row: row["spec"]["id"]), ("runs", lambda row: row["id"])):
        now[part], then[part] = sorted(now[part], key=key), sorted(then[part], key=key)
    assert cut_to(now, then) == then


def cut_to(now: Any, then: Any) -> Any:
    """The value of today without the fields that there were not then."""
    if isinstance(then, dict) and isinstance(now, dict):
        return {name: cut_to(value, then[name]) for name, value in now.items() if name in then}
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [cut_to(one, other) for one, other in zip(now, then, strict=True)]
    return now


def test_projections_are_made_anew_on_opening_and_equal_a_replay(path: Path, told: dict[str, Any]) -> None:
    before = bodies(path)
    with closing(Store(path)) as store:
        assert schema.version(store.db) == schema.VERSION
        assert check.compare(store, RULES) == ()
    with closing(Reader(path)) as reader:
        assert {row.id: row.attempts for row in reader.items()} == {
            item["spec"]["id"]: item["attempts"] for item in told["snapshot"]["items"] if not item["withdrawn"]
        }
        assert sorted(row.run for row in reader.live()) == sorted(told["runs"])
        assert reader.last_seq() == told["seq"]
    assert bodies(path) == before


def test_a_reader_brings_it_up_to_date_by_itself(path: Path, told: dict[str, Any]) -> None:
    with closing(Reader(path)) as reader:
        assert sum(reader.counts(told["now_ms"]).values()) == len(told["items"])


@pytest.mark.parametrize("commit", SCHEMA_1, indirect=True)
def test_an_upgrade_that_is_cut_short_is_begun_again(path: Path) -> None:
    """The process dies before the end of the transaction: the file is still of the old version."""
    with closing(apsw.Connection(str(path))) as db:
        assert schema.version(db) == 1
        db.execute("CREATE TABLE in_the_way (x); CREATE INDEX entries_at_ms ON entries (at_ms)")
        with pytest.raises(apsw.SQLError, match="already exists"):
            schema.migrate(db, str(path))
        assert schema.version(db) == 1
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name='in_the_way'").get == 1
        db.execute("DROP INDEX entries_at_ms")
    with closing(Store(path)) as store:
        assert check.compare(store, RULES) == ()


def test_a_damaged_old_journal_is_opened_to_be_looked_at_and_decides_nothing(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE entries SET body=CAST(body || ' ' AS BLOB) WHERE seq=40")
    with closing(Store(path)) as store:
        assert check.verify(store).fault == "entry 40 has a wrong checksum"
        with pytest.raises(JournalCorrupt), store.writing():
            pytest.fail("a transaction was begun on a damaged journal")
