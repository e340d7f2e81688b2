"""What every journal must do, whatever it is stored in: a class of tests to inherit with one method filled in."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, PlanId, RunId, Seq, Token
from ganger.core.model import Refusal, WorkerId
from ganger.core.policy import Policy
from ganger.errors import JournalCorrupt, JournalFailed
from ganger.journal.codec import EntryUnreadable
from ganger.journal.port import Journal
from ganger.service.fleet import Accepted, Fleet
from ganger.testing.builders import BASE, add_plan, spec
from ganger.testing.invariants import canonical


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


class JournalSuite:
    """The conformance suite; `open` gives another handle on the journal of the test, `damage` flips a bit of it."""

    @abstractmethod
    def open(self, place: Path, clock: Clock) -> Journal:
        """Open the journal of this test, once more if it is open already."""

    @abstractmethod
    def damage(self, place: Path, seq: int) -> None:
        """Flip a bit in the body of an entry, behind the journal's back."""

    @abstractmethod
    def append_foreign(self, place: Path, body: bytes) -> None:
        """Append an entry with this body and a sound chain, as a ganger that we do not know would."""

    @abstractmethod
    def store_snapshot(self, journal: Journal) -> None:
        """Keep the newest state beside the journal, for the next handle to start from."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The store's clock."""
        return Clock()

    @staticmethod
    def _notes(journal: Journal, *texts: str, key: str = "") -> None:
        with journal.writing() as writing:
            writing.append([ev.PlanAdded(PlanId(text), text, text, text) for text in texts], "person:olga", key)

    def test_an_empty_journal_has_nothing(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        assert (journal.last_seq(), journal.entries(), journal.catch_up().seq) == (0, [], 0)
        journal.close()

    def test_entries_come_back_in_order(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        self._notes(journal, "a", "b")
        self._notes(journal, "c")
        found = journal.entries()
        assert [(entry.seq, entry.actor, entry.event.plan) for entry in found] == [  # type: ignore[union-attr]
            (1, "person:olga", "a"),
            (2, "person:olga", "b"),
            (3, "person:olga", "c"),
        ]
        assert [entry.seq for entry in journal.entries(after=1, limit=1)] == [2]
        journal.close()

    def test_entries_about_one_item(self, tmp_path: Path, clock: Clock) -> None:
        fleet = Fleet(self.open(tmp_path, clock), Policy())
        fleet.submit(add_plan(spec("a"), spec("b")), "person:olga")
        assert [type(entry.event) for entry in fleet.store.entries(subject="b")] == [ev.ItemAdded]
        fleet.close()

    def test_what_is_appended_is_in_the_state_at_once(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        with journal.writing() as writing:
            writing.append([ev.ItemAdded(spec("a"), "brief")], "person:olga")
            assert ItemId("a") in writing.state.items
        journal.close()

    def test_an_exception_takes_everything_back(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        self._notes(journal, "a")
        with pytest.raises(ZeroDivisionError), journal.writing() as writing:
            writing.append([ev.ItemAdded(spec("b"), "brief")], "person:olga")
            raise ZeroDivisionError
        assert (journal.last_seq(), len(journal.catch_up().items)) == (1, 0)
        self._notes(journal, "c")
        assert [entry.seq for entry in journal.entries()] == [1, 2]
        journal.close()

    def test_a_key_is_remembered(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        self._notes(journal, "a", key="k")
        with journal.writing() as writing:
            assert (writing.has("k"), writing.has("other")) == (True, False)
        journal.close()
        again = self.open(tmp_path, clock)
        with again.writing() as writing:
            assert writing.has("k")
        again.close()

    def test_a_key_cannot_be_used_twice(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        self._notes(journal, "a", key="k")
        with pytest.raises(JournalFailed):
            self._notes(journal, "b", key="k")
        journal.close()

    def test_a_command_with_the_same_key_changes_nothing(self, tmp_path: Path, clock: Clock) -> None:
        fleet = Fleet(self.open(tmp_path, clock), Policy())
        fleet.submit(add_plan(spec("a")), "person:olga", "once")
        again = fleet.submit(add_plan(spec("b"), digest="2"), "person:olga", "once")
        assert again == Accepted(Seq(2), ())
        fleet.close()

    def test_a_refusal_writes_nothing(self, tmp_path: Path, clock: Clock) -> None:
        fleet = Fleet(self.open(tmp_path, clock), Policy())
        assert isinstance(fleet.submit(cmd.RetryItem(ItemId("none")), "person:olga"), Refusal)
        assert fleet.store.last_seq() == 0
        fleet.close()

    def test_the_clock_never_goes_back(self, tmp_path: Path, clock: Clock) -> None:
        journal = self.open(tmp_path, clock)
        self._notes(journal, "a")
        clock.now_ms = 10
        self._notes(journal, "b")
        clock.now_ms = 2_000
        self._notes(journal, "c")
        assert [entry.at_ms for entry in journal.entries()] == [1_000, 1_000, 2_000]
        journal.close()

    def test_two_handles_see_each_other(self, tmp_path: Path, clock: Clock) -> None:
        one, other = self.open(tmp_path, clock), self.open(tmp_path, clock)
        self._notes(one, "a")
        assert other.catch_up().seq == 1
        self._notes(other, "b")
        self._notes(one, "c")
        assert [entry.seq for entry in other.entries()] == [1, 2, 3]
        assert one.catch_up().seq == other.catch_up().seq == 3
        one.close()
        other.close()

    def test_a_decision_sees_what_another_handle_wrote(self, tmp_path: Path, clock: Clock) -> None:
        one, other = (Fleet(self.open(tmp_path, clock), Policy()) for _ in range(2))
        one.submit(add_plan(spec("a"), spec("b")), "person:olga")
        assert isinstance(one.submit(cmd.GrantRun(ItemId("a"), BASE), "supervisor"), Accepted)
        refused = other.submit(cmd.GrantRun(ItemId("b"), BASE), "supervisor")
        assert isinstance(refused, Refusal)
        assert refused.holder == "a.1"
        one.close()
        other.close()

    def test_a_snapshot_gives_the_same_state(self, tmp_path: Path, clock: Clock) -> None:
        fleet = self._history(tmp_path, clock)
        before = canonical(fleet.store.catch_up())
        self.store_snapshot(fleet.store)
        fleet.close()
        again = self.open(tmp_path, clock)
        assert canonical(again.catch_up()) == before
        again.close()

    def test_replay_gives_the_same_state(self, tmp_path: Path, clock: Clock) -> None:
        fleet = self._history(tmp_path, clock)
        other = self.open(tmp_path, clock)
        assert canonical(other.catch_up()) == canonical(fleet.store.catch_up())
        fleet.close()
        other.close()

    def test_a_flipped_bit_is_found(self, tmp_path: Path, clock: Clock) -> None:
        self._history(tmp_path, clock).close()
        self.damage(tmp_path, 3)
        journal = self.open(tmp_path, clock)
        with pytest.raises(JournalCorrupt) as found:
            journal.catch_up()
        assert found.value.seq == 3
        journal.close()

    @pytest.mark.parametrize(
        ("body", "kind", "version", "known"),
        [
            (b'{"type":"Dreamt","of":"sheep"}', "Dreamt", 1, 0),
            (b'{"type":"PlanPaused","plan":"plan","v":7}', "PlanPaused", 7, 1),
            (b'{"type":"RunEnded","run":"a.1","end":"enlightened","reason":""}', "RunEnded", 1, 1),
        ],
        ids=["type", "version", "content"],
    )
    def test_what_a_newer_ganger_wrote_is_refused(
        self, tmp_path: Path, clock: Clock, body: bytes, kind: str, version: int, known: int
    ) -> None:
        fleet = self._history(tmp_path, clock)
        last = fleet.store.last_seq()
        fleet.close()
        self.append_foreign(tmp_path, body)
        journal = self.open(tmp_path, clock)
        with pytest.raises(EntryUnreadable) as refused:
            journal.catch_up()
        told = refused.value
        assert (told.seq, told.kind, told.version, told.known) == (last + 1, kind, version, known)
        with pytest.raises(EntryUnreadable), journal.writing():
            pytest.fail("a transaction was begun")
        assert journal.last_seq() == last + 1
        journal.close()

    def _history(self, tmp_path: Path, clock: Clock) -> Fleet:
        fleet = Fleet(self.open(tmp_path, clock), Policy())
        fleet.submit(add_plan(spec("a"), spec("b", scope=("docs/**",))), "person:olga")
        granted = fleet.submit(cmd.GrantRun(ItemId("a"), BASE), "supervisor")
        assert isinstance(granted, Accepted)
        token = Token(granted.seq)
        fleet.submit(cmd.RecordStart(RunId("a.1"), token, 1, WorkerId(7, 1)), "supervisor")
        fleet.submit(cmd.AskQuestion(RunId("a.1"), token, "which?", ("x", "y")), "worker:a.1")
        return fleet
