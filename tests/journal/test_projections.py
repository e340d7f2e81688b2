"""What the tables show of each event, and that they are the same however they came to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId, LeaseId, PlanId, QuestionId, RunId
from ganger.core.model import (
    Again,
    EndKind,
    LeaseMode,
    Liveness,
    Question,
    QuestionKind,
    RefusalCode,
    Usage,
    WorkerId,
)
from ganger.core.patterns import PathRules
from ganger.journal import check, queries, schema
from ganger.journal.queries import Reader
from ganger.journal.store import Store
from ganger.report.words import in_words
from ganger.testing.builders import BASE, CANDIDATE, TIP, TREE, evidence, result, spec
from ganger.testing.journal_suite import Clock

RUN, ITEM, PLAN = RunId("a.1"), ItemId("a"), PlanId("plan")
TABLES: dict[Any, str] = queries.TABLES


class Book:
    """A journal that events are appended to as they come, with a reader on it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = Store(folder / "journal.db", clock=self.clock)
        self.reader = Reader(folder / "journal.db")

    def add(self, *events: ev.Event, actor: str = "person:olga") -> int:
        """Append events one second after the last; returns the position of the last."""
        self.clock.now_ms += 1_000
        with self.store.writing() as writing:
            return writing.append(events, actor)[-1].seq

    def close(self) -> None:
        self.reader.close()
        self.store.close()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path)
    made.add(ev.PlanAdded(PLAN, "A plan", "p.toml", "1", (("line 7", "no title"),), (ItemId("z"),)))
    made.add(ev.ItemAdded(spec("a"), "Do a."))
    yield made
    assert check.compare(made.store, PathRules()) == ()
    made.close()


def granted(book: Book, **fields: Any) -> int:
    given = {"attempt": 1, "base": BASE, "scope": ("src/**",), "mode": LeaseMode.exclusive, "agent": "default"}
    return book.add(ev.RunGranted(run=RUN, item=ITEM, expires_ms=9_000_000, **{**given, **fields}))


def started(book: Book, turn: int = 1) -> None:
    book.add(ev.WorkerStarted(RUN, turn, WorkerId(40 + turn, 1)))


def shown(row: Any, *names: str) -> tuple[Any, ...]:
    assert row is not None
    return tuple(getattr(row, name) for name in names)


@pytest.mark.parametrize("row", list(TABLES), ids=list(TABLES.values()))
def test_a_row_has_every_column_of_its_table(book: Book, row: Any) -> None:
    columns = [column[1] for column in book.store.db.execute(f"PRAGMA table_info({TABLES[row]})").fetchall()]
    assert set(row._fields) == set(columns)


def test_every_table_but_the_names_has_a_row() -> None:
    assert set(TABLES.values()) == set(schema.PROJECTIONS) - {"mentions"}
    assert queries.SCHEMA == schema.VERSION


@pytest.mark.parametrize(
    ("events", "state", "reason", "steer"),
    [
        ([], "active", "", ""),
        ([ev.PlanPaused(PLAN)], "paused", "", ""),
        ([ev.PlanPaused(PLAN), ev.PlanResumed(PLAN)], "active", "", ""),
        ([ev.PlanStopped(PLAN, "enough")], "stopped", "enough", ""),
        ([ev.PlanStopped(PLAN, "enough"), ev.PlanPaused(PLAN)], "stopped", "enough", ""),
        ([ev.PlanStopped(PLAN, "enough"), ev.PlanResumed(PLAN)], "active", "", ""),
        ([ev.PlanSteered(PLAN, "no new dependencies")], "active", "", "no new dependencies"),
        ([ev.PlanSteered(PLAN, "x"), ev.PlanSteered(PLAN, "")], "active", "", ""),
        ([ev.PlanPaused(PLAN), ev.PlanAdded(PLAN, "A plan", "p.toml", "2")], "paused", "", ""),
    ],
)
def test_plans(book: Book, events: list[ev.Event], state: str, reason: str, steer: str) -> None:
    assert shown(book.reader.plan(PLAN), "unreadable", "still_open") == ('[["line 7","no title"]]', '["z"]')
    for event in events:
        book.add(event)
    assert shown(book.reader.plan(PLAN), "state", "reason", "steer") == (state, reason, steer)


def test_a_filed_item_names_the_one_it_came_from(book: Book) -> None:
    book.add(ev.ItemAdded(spec("b", parent=ITEM, depth=1), "Do b."))
    assert [row.id for row in book.reader.filed_by("a")] == ["b"]


def test_a_wait_says_until_when_it_is_not_asked_about(book: Book) -> None:
    book.add(ev.ItemWaited(ITEM, RefusalCode.budget, "nothing is left", "", 77))
    assert shown(book.reader.waits("a")[0], "code", "again_ms") == ("budget", 77)


def test_schedules(book: Book) -> None:
    book.add(ev.ScheduleSet("nightly", "p.toml", 500, 1_000))
    book.add(ev.ScheduleSet("once", "p.toml", 0, 900))
    assert [row.name for row in book.reader.schedules()] == ["once", "nightly"]
    book.add(ev.ScheduleFired("nightly", 1_500, "3 items added"), ev.ScheduleFired("once", 0, "nothing new"))
    assert [shown(row, "name", "next_ms", "outcome") for row in book.reader.schedules()] == [
        ("nightly", 1_500, "3 items added")
    ]
    book.add(ev.ScheduleDropped("nightly"))
    assert book.reader.schedules() == []


def test_leases_of_outsiders(book: Book) -> None:
    token = book.add(ev.LeaseGranted("olga's editor", ("docs/**",), LeaseMode.shared, 90_000, "docs", False, "olga"))
    lease = LeaseId(f"lease:{token}")
    found = book.reader.lease(lease)
    assert shown(found, "holder", "lane", "scope", "mode", "token", "expires_ms", "forced_by") == (
        *("olga's editor", "docs", '["docs/**"]', "shared", token, 90_000, "olga"),
    )
    book.add(ev.LeaseExtended(lease, 95_000))
    assert [row.id for row in book.reader.leases(94_999)] == [lease]
    assert book.reader.leases(95_000) == []
    book.add(ev.LeaseEnded(lease, "released"))
    assert shown(book.reader.lease(lease), "reason", "ended_ms") == ("released", book.clock.now_ms)
    assert book.reader.leases(0) == []
    assert [entry.type for entry in book.reader.entries_about(lease)] == [
        *("LeaseGranted", "LeaseExtended", "LeaseEnded"),
    ]


def test_a_run_shows_how_it_was_granted_and_what_it_spent(book: Book) -> None:
    granted(book, kind="patcher", lane="auth", reserved=Usage(5, 6, 7), forced_by="olga", permit_ms=99)
    started(book)
    book.add(ev.UsageRecorded(RUN, 1, Usage(2_000, 300)), actor="supervisor")
    book.add(ev.UsageRecorded(RUN, 1, Usage(1_000, 400)), actor="supervisor")
    book.add(ev.WorkerExited(RUN, 1, 0), actor="supervisor")
    started(book, 2)
    book.add(ev.UsageRecorded(RUN, 2, Usage(10, 1)), actor="supervisor")
    row = book.reader.run(RUN)
    assert shown(row, "kind", "lane", "forced_by", "permit_ms") == ("patcher", "auth", "olga", 99)
    assert json.loads(row.reserved) == {"usd_micros": 5, "tokens": 6, "wall_ms": 7}  # type: ignore[union-attr]
    assert shown(row, "usd_micros", "tokens", "wall_ms") == (2_010, 401, 3_000)
    turns = [shown(turn, "usd_micros", "tokens", "wall_ms") for turn in book.reader.turns(RUN)]
    assert turns == [(2_000, 400, 3_000), (10, 1, 0)]
    assert book.reader.run_with_token(row.token) == row  # type: ignore[union-attr]


def test_a_run_shows_the_base_of_its_newest_permit(book: Book) -> None:
    granted(book, permit_ms=99)
    book.add(ev.PermitRenewed(RUN, CANDIDATE, 120))
    assert shown(book.reader.run(RUN), "base", "permit_ms") == (CANDIDATE, 120)


def test_liveness_repeats_and_losses(book: Book) -> None:
    granted(book)
    started(book)
    book.add(ev.RunFlagged(RUN, Liveness.spinning, "the same call 20 times"), actor="supervisor")
    assert shown(book.reader.run(RUN), "liveness", "liveness_reason") == ("spinning", "the same call 20 times")
    assert book.reader.live()[0].liveness == "spinning"
    book.add(ev.WorkerExited(RUN, 1, None, None, True), actor="supervisor")
    book.add(ev.TurnRepeated(RUN, 1, Again.lost, "its workspace is good", 50), actor="supervisor")
    assert book.reader.turns(RUN)[0].lost
    assert [shown(row, "turn", "why", "reason", "not_before_ms") for row in book.reader.repeats(RUN)] == [
        (1, "lost", "its workspace is good", 50)
    ]
    started(book, 2)
    assert book.reader.run(RUN).liveness == ""  # type: ignore[union-attr]


def test_rewinds(book: Book) -> None:
    granted(book)
    started(book)
    book.add(ev.RunRewound(RUN, CANDIDATE, "not with threads", "olga"))
    assert [shown(row, "checkpoint", "note", "by", "done_ms") for row in book.reader.rewinds(RUN)] == [
        (CANDIDATE, "not with threads", "olga", 0)
    ]
    book.add(ev.WorkspaceRewound(RUN, CANDIDATE), actor="supervisor")
    assert book.reader.rewinds(RUN)[0].done_ms == book.clock.now_ms


def test_breakers_and_windows(book: Book) -> None:
    book.add(ev.BreakerOpened("agent:claude", "5 in a row", 70_000, True), actor="supervisor")
    assert [shown(row, "key", "reason", "launch") for row in book.reader.breakers()] == [
        ("agent:claude", "5 in a row", 1)
    ]
    book.add(ev.BreakerClosed("agent:claude"))
    assert book.reader.breakers() == []
    for until_ms in (50_000, 80_000, 60_000):
        book.add(ev.ProviderLimited("p", until_ms, f"until {until_ms}", RUN), actor="supervisor")
    assert [shown(row, "until_ms", "reason") for row in book.reader.windows(79_999)] == [(80_000, "until 80000")]
    assert book.reader.windows(80_000) == []


def test_forbidden_acts(book: Book) -> None:
    seq = book.add(ev.Forbade("worker:a.1", "GrantRun", "not a worker's to ask for", RUN), actor="worker:a.1")
    assert [shown(row, "seq", "actor", "what") for row in book.reader.forbidden()] == [(seq, "worker:a.1", "GrantRun")]


@pytest.mark.parametrize(
    ("end", "acts", "decided"),
    [
        (EndKind.failed, [], False),
        (EndKind.stopped, [], True),
        (EndKind.failed, [("person:olga", ev.ItemRetried(ITEM))], True),
        (EndKind.failed, [("supervisor", ev.ItemRetried(ITEM))], False),
        (EndKind.failed, [("person:olga", ev.ItemRetried(ItemId("b")))], False),
        (EndKind.failed, [("person:olga", ev.PlanPaused(PLAN))], False),
        (EndKind.failed, [("person:olga", ev.StopRequested(RunId("a.2"), EndKind.stopped, "no"))], False),
    ],
    ids=["nobody", "stopped by a person", "retried", "not by a person", "another item", "another act", "unknown run"],
)
def test_whether_anybody_has_decided_on_a_run(
    book: Book, end: EndKind, acts: list[tuple[str, ev.Event]], decided: bool
) -> None:
    book.add(ev.ItemRetried(ITEM))
    granted(book)
    book.add(ev.RunEnded(RUN, end, "over"), actor="supervisor")
    for actor, event in acts:
        book.add(event, actor=actor)
    run = book.reader.run(RUN)
    assert run is not None and book.reader.is_decided(run) is decided
    book.add(ev.RunPruned(RUN, ("output",), not decided))
    assert book.reader.pruned_unseen() == (not decided)


def test_entries_are_found_by_all_they_are_about(book: Book) -> None:
    token = granted(book)
    asked = Question(QuestionId("q1"), QuestionKind.worker, "which?", run=RUN, item=ITEM)
    book.add(ev.QuestionAsked(asked), actor="worker:a.1")
    book.add(ev.EvidenceRecorded(RUN, 1, evidence()), actor="supervisor")
    book.add(ev.TrainTested((RUN,), BASE, TIP, TREE, True, (result(),)), actor="supervisor")
    book.add(ev.LandingStarted((RUN,), BASE, TIP, TREE), actor="supervisor")
    book.add(ev.RunLanded(RUN, TIP), actor="supervisor")

    def kinds(*names: str) -> list[str]:
        return [entry.type for entry in book.reader.entries_about(*names)]

    assert kinds("a") == ["ItemAdded", "RunGranted", "QuestionAsked"]
    assert kinds("a.1") == [
        *("RunGranted", "QuestionAsked", "EvidenceRecorded", "TrainTested", "LandingStarted", "RunLanded"),
    ]
    assert kinds(f"lease:{token}") == ["RunGranted"]
    assert kinds(CANDIDATE) == ["EvidenceRecorded"]
    assert kinds("q1", "plan:plan") == ["PlanAdded", "QuestionAsked"]
    assert kinds(TIP) == ["TrainTested", "LandingStarted", "RunLanded"]
    assert book.reader.commits_like(TIP[:9]) == [TIP]
    assert kinds("nothing") == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda reader, run: reader.entries_about("a", "a.1", "q1"),
        lambda reader, run: reader.is_decided(run),
        lambda reader, run: reader.run_with_token(run.token),
        lambda reader, run: reader.first_seq(5),
        lambda reader, run: reader.commits_like("ccccccc"),
        lambda reader, run: reader.prunings("a.1"),
        lambda reader, run: reader.facts(),
    ],
    ids=["entries_about", "is_decided", "run_with_token", "first_seq", "commits_like", "prunings", "facts"],
)
def test_it_is_found_by_index(book: Book, ask: Any) -> None:
    granted(book)
    run = book.reader.run(RUN)
    asked: list[tuple[str, Any]] = []

    def note(cursor: object, sql: str, bindings: Any) -> bool:
        asked.append((sql, bindings))
        return True

    book.reader.db.exec_trace = note
    ask(book.reader, run)
    book.reader.db.exec_trace = None
    assert asked
    for sql, bindings in asked:
        steps = [str(row[3]) for row in book.reader.db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings).fetchall()]
        tables = ("entries", "runs", "mentions", "prunings", "facts")
        assert not [step for step in steps if step in {f"SCAN {table}" for table in tables}], steps
        assert not [step for step in steps if "entries" in step and "seq>" in step and "subject" not in step], steps


# Any events whatever, in any order


def some(hint: Any, rng: Random) -> Any:
    """A value of a type, of few different ones, so that names meet."""
    if get_origin(hint) in (Union, UnionType):
        return some(rng.choice(get_args(hint)), rng)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if len(inner) == 2 and inner[1] is ...:
            return tuple(some(inner[0], rng) for _ in range(rng.randrange(3)))
        return tuple(some(one, rng) for one in inner)
    known: dict[Any, Any] = {
        int: rng.randrange(1, 9),
        str: rng.choice(("", "x", "y \u202e")),
        bool: rng.random() < 0.5,
        type(None): None,
        RunId: RunId(rng.choice(("a.1", "a.2", "b.1"))),
        ItemId: ItemId(rng.choice("abc")),
        PlanId: PlanId(rng.choice("pq")),
        QuestionId: QuestionId(rng.choice(("q1", "q2"))),
        LeaseId: LeaseId(f"lease:{rng.randrange(1, 40)}"),
        Commit: Commit(rng.choice("bcde") * 40),
    }
    if hint in known:
        return known[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint)
        return hint(**{field.name: some(hints[field.name], rng) for field in msgspec.structs.fields(hint)})
    if hasattr(hint, "__supertype__"):
        return some(hint.__supertype__, rng)
    return rng.choice(list(hint))


@pytest.mark.parametrize("seed", range(4))
def test_any_events_give_the_same_tables_when_replayed(tmp_path: Path, seed: int) -> None:
    """Folding and projecting are total, and a replay from the bytes equals what was kept step by step."""
    rng = Random(seed)
    once: set[Any] = set()
    with closing(Store(tmp_path / "journal.db", clock=Clock())) as store:
        for _ in range(300):
            event = some(rng.choice(get_args(ev.Event)), rng)
            key = getattr(event, "run", "") if isinstance(event, ev.RunGranted) else None
            key = event.question.id if isinstance(event, ev.QuestionAsked) else key
            if key in once:
                continue
            once |= {key} if key else set()
            with store.writing() as writing:
                writing.append([event], "person:olga")
        assert check.compare(store, PathRules()) == ()
        before = check.verify(store).entries
        assert check.rebuild(store, PathRules()) == before
        assert check.compare(store, PathRules()) == ()


@pytest.mark.parametrize("kind", get_args(ev.Event))
def test_every_event_has_words(kind: type[ev.Event]) -> None:
    """Each is told by a case of its own, whatever it holds: none falls to the last one, which is of one kind only."""
    for seed in range(20):
        assert in_words(some(kind, Random(seed)))
