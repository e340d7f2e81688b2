"""Pruning: old files go into the trash, the record stays, and a loss that nobody saw is a debt (LC7)."""

from __future__ import annotations

import json
from contextlib import closing

import apsw
import pytest
from kept_fleet import BEGIN_MS, DAY_MS, KeptFleet

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, RunId
from ganger.core.model import EndKind, Refusal
from ganger.errors import JournalCorrupt
from ganger.git.trash import discard_below
from ganger.journal.queries import Reader
from ganger.service.kept import DataClass
from ganger.service.places import Places
from ganger.service.prune import Pruning, carry_out, prunings

ALL = tuple(DataClass)


def due(fleet: KeptFleet, classes: tuple[DataClass, ...] = ALL, days: float = 0) -> tuple[Pruning, ...]:
    return prunings(fleet.state_dir, classes, int(days * DAY_MS), fleet.now_ms)


def prune(fleet: KeptFleet, classes: tuple[DataClass, ...] = ALL) -> list[str]:
    """Prune all that is due; returns the runs that were recorded."""
    done = carry_out(fleet.state_dir, due(fleet, classes), fleet.now_ms, lambda c: fleet.submit(c, "person:olga"))
    return [one.run for one, reply in done if not isinstance(reply, Refusal)]


def recorded(fleet: KeptFleet) -> list[tuple[str, list[str], bool]]:
    with closing(Reader(fleet.state_dir / "journal.db")) as reader:
        return [(row.run, json.loads(row.classes), bool(row.unreviewed)) for row in reader.prunings()]


def test_files_go_into_the_trash_and_manifests_stay(fleet: KeptFleet) -> None:
    fleet.landed("a.1")
    before = fleet.tree()
    assert prune(fleet) == ["a.1"]
    left = [path.name for path in sorted(fleet.turn_dir("a.1").iterdir())]
    assert left == ["exit.json", "manifest.json"]
    assert sorted(before.values()) == sorted(fleet.tree().values()), "nothing is lost, only moved"
    assert recorded(fleet) == [("a.1", ["checks", "output", "prompts"], False)]


@pytest.mark.parametrize(
    ("classes", "gone"),
    [
        (("prompts",), {"brief.1.md", "stdin"}),
        (("output",), {"output.log", "home", "tmp"}),
        (("checks",), {"checks"}),
        (("prompts", "checks"), {"brief.1.md", "stdin", "checks"}),
    ],
)
def test_by_class(fleet: KeptFleet, classes: tuple[str, ...], gone: set[str]) -> None:
    fleet.landed("a.1")
    before = {path.name for path in fleet.turn_dir("a.1").iterdir()}
    prune(fleet, tuple(DataClass(name) for name in classes))
    assert before - {path.name for path in fleet.turn_dir("a.1").iterdir()} == gone
    assert recorded(fleet) == [("a.1", sorted(classes), False)]


def test_by_age(fleet: KeptFleet) -> None:
    fleet.landed("a.1")
    fleet.now_ms = BEGIN_MS + 10 * DAY_MS
    fleet.failed("b.1")
    assert [one.run for one in due(fleet, days=9)] == ["a.1"]
    assert [one.run for one in due(fleet, days=0)] == ["a.1", "b.1"]
    assert due(fleet, days=10.1) == ()


def test_live_runs_are_left_alone(fleet: KeptFleet) -> None:
    fleet.start("a.1")
    assert due(fleet) == ()
    assert isinstance(fleet.submit(cmd.RecordPruning(RunId("a.1"), ("output",), False), "person:olga"), Refusal)


def test_a_table_that_calls_a_live_run_ended_is_not_believed(fleet: KeptFleet) -> None:
    fleet.start("a.1")
    with closing(apsw.Connection(str(fleet.state_dir / "journal.db"))) as db:
        db.execute("UPDATE runs SET ended_ms=1, ending='failed'")
    assert due(fleet) == ()


@pytest.mark.parametrize("case", ["nobody", "landed later", "stopped by a person", "retried after", "retried before"])
def test_whose_loss_nobody_saw(fleet: KeptFleet, case: str) -> None:
    if case == "retried before":
        fleet.do(cmd.RetryItem(ItemId("a")), "person:olga")
    stopped = case == "stopped by a person"
    fleet.failed("a.1", EndKind.stopped if stopped else EndKind.failed, "person:olga" if stopped else "supervisor")
    if case == "landed later":
        fleet.landed("a.2")
    if case == "retried after":
        fleet.do(cmd.RetryItem(ItemId("a")), "person:olga")
    found = {one.run: one.unreviewed for one in due(fleet)}
    assert found["a.1"] is (case in ("nobody", "retried before"))


def test_the_debt_is_counted_once_for_each_run(fleet: KeptFleet) -> None:
    fleet.failed("a.1")
    fleet.landed("b.1")
    for classes in ((DataClass.output,), (DataClass.prompts,)):
        prune(fleet, classes)
    with closing(Reader(fleet.state_dir / "journal.db")) as reader:
        assert reader.pruned_unseen() == 1


def test_a_second_time_there_is_nothing_to_do(fleet: KeptFleet) -> None:
    fleet.landed("a.1")
    prune(fleet)
    seq = fleet.fleet.store.last_seq()
    assert due(fleet) == () and prune(fleet) == []
    assert fleet.fleet.store.last_seq() == seq


def test_it_was_cut_short_between_the_trash_and_the_record(fleet: KeptFleet) -> None:
    fleet.failed("a.1")
    fleet.landed("b.1")

    def dies(command: cmd.RecordPruning) -> Refusal:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(carry_out(fleet.state_dir, due(fleet), fleet.now_ms, dies))
    before = sorted(fleet.tree().values())
    assert next((one.run, one.paths) for one in due(fleet)) == ("a.1", ())
    assert prune(fleet) == ["a.1", "b.1"]
    assert recorded(fleet) == [
        ("a.1", ["output", "prompts"], True),
        ("b.1", ["checks", "output", "prompts"], False),
    ]
    assert sorted(fleet.tree().values()) == before


def test_what_there_never_was_is_not_recorded_as_pruned(fleet: KeptFleet) -> None:
    fleet.failed("a.1")
    assert due(fleet, (DataClass.checks,)) == ()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET body=CAST(body || ' ' AS BLOB) WHERE seq=4",
        "DELETE FROM entries WHERE seq=4",
        "UPDATE entries SET actor='person:eve' WHERE seq=(SELECT max(seq) FROM entries)",
    ],
    ids=["an entry changed", "an entry missing", "the last entry changed"],
)
def test_an_unreadable_journal_prunes_nothing(fleet: KeptFleet, damage: str) -> None:
    fleet.landed("a.1")
    before = fleet.tree()
    with closing(apsw.Connection(str(fleet.state_dir / "journal.db"))) as db:
        db.execute(damage)
    with pytest.raises(JournalCorrupt, match="nothing is pruned"):
        due(fleet)
    assert fleet.tree() == before


def test_looking_changes_nothing(fleet: KeptFleet) -> None:
    fleet.landed("a.1")
    before, seq = fleet.tree(), fleet.fleet.store.last_seq()
    (one,) = due(fleet)
    assert (one.size, len(one.paths)) == (len(b"hello\n" + b"12345" + b"passed\n" + b"Do a.1, turn 1.\n" * 2), 6)
    assert (fleet.tree(), fleet.fleet.store.last_seq()) == (before, seq)


def test_a_link_in_the_place_of_a_home_is_moved_and_not_followed(fleet: KeptFleet) -> None:
    fleet.failed("a.1")
    precious = fleet.state_dir.parent / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    home = fleet.turn_dir("a.1") / "home"
    home.rename(fleet.turn_dir("a.1") / "tmp" / "old-home")
    home.symlink_to(precious)
    prune(fleet)
    assert (precious / "file").read_text() == "mine"
    assert not home.exists()


def test_a_home_of_any_depth_is_measured(fleet: KeptFleet) -> None:
    fleet.failed("a.1")
    at = home = fleet.turn_dir("a.1") / "home"
    try:
        for _ in range(1_100):
            at = at / "d"
            at.mkdir()
        (at / "file").write_text("1234567")
        assert due(fleet, (DataClass.output,))[0].size == len("hello\n" + "12345" + "1234567")
    finally:
        discard_below(fleet.state_dir, home)


def test_conversations_stay_for_as_long_as_they_could_be_gone_on_with(fleet: KeptFleet) -> None:
    places = Places(fleet.state_dir)
    (places.agent("a.1") / "claude").mkdir(parents=True)
    (places.agent("a.1") / "claude" / "one.jsonl").write_text("{}")
    places.workspace("a.1").mkdir(parents=True)
    fleet.failed("a.1")
    assert DataClass.sessions not in due(fleet)[0].classes, "its workspace is there"
    places.workspace("a.1").rmdir()
    assert due(fleet, days=1) == (), "by age"
    assert prune(fleet, (DataClass.sessions,)) == ["a.1"]
    assert not places.agent("a.1").exists()
    assert (fleet.turn_dir("a.1") / "output.log").exists(), "only they went"
    assert recorded(fleet) == [("a.1", ["sessions"], True)]
