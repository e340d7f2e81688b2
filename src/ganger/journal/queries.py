"""Questions to the projections, read-only, for whatever shows something to a person.

Imports as little as it can: `ganger status` is on the path of scripts and prompts. JSON columns come back as text;
whoever needs their content decodes it into the types of `core.model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

from ganger.errors import JournalBusy, StateDirError

SCHEMA = 5
"""The schema these queries are written for; held equal to `journal.schema.VERSION` by a test."""
READ_AT_ONCE = 500
"""Positions in one statement."""
BUSY_MS = 10_000
"""How long to wait for a program that keeps the journal to itself."""


class ItemRow(NamedTuple):
    """An item as the tables have it; `status` does not count a cool-down, see `cool_until_ms`."""

    id: str
    plan: str
    seq: int
    title: str
    brief: str
    spec: str
    priority: int
    status: str
    run: str
    attempts: int
    failures: int
    cool_until_ms: int
    landed: str
    landed_ms: int
    reason: str
    parent: str


class RunRow(NamedTuple):
    """A run, live or ended (`ended_ms` > 0)."""

    id: str
    item: str
    attempt: int
    token: int
    agent: str
    base: str
    scope: str
    status: str
    turn: int
    granted_ms: int
    expires_ms: int
    ended_ms: int
    ending: str
    reason: str
    counts: int
    landed: str
    kept: str
    todos: str
    note: str
    kind: str
    lane: str
    mode: str
    alone: int
    depth: int
    permit_ms: int
    forced_by: str
    reserved: str
    usd_micros: int
    tokens: int
    wall_ms: int
    liveness: str
    liveness_reason: str
    flagged_ms: int
    ended_seq: int
    spawner: str
    """The run whose worker has this done for it; empty: nobody's child."""


class TurnRow(NamedTuple):
    """One worker process of a run, with what it said and what was found."""

    run: str
    turn: int
    pid: int
    started_ms: int
    exited_ms: int
    code: int | None
    signal: int | None
    cpu_ms: int
    reported_ms: int
    report: str
    judged_ms: int
    verdict: str
    evidence: str
    lost: int
    usd_micros: int
    tokens: int
    wall_ms: int


class RepeatRow(NamedTuple):
    """That a turn was done over although its worker had not reported, and why."""

    seq: int
    at_ms: int
    run: str
    turn: int
    why: str
    reason: str
    not_before_ms: int


class RewindRow(NamedTuple):
    """That a person had a workspace put back to a checkpoint; `done_ms` is 0 until it holds its bytes."""

    seq: int
    at_ms: int
    run: str
    checkpoint: str
    note: str
    by: str
    done_ms: int


class MessageRow(NamedTuple):
    """Something that was said to a run: `queued`, `delivered`, `read`, or `undeliverable` once its run has ended."""

    seq: int
    at_ms: int
    run: str
    text: str
    due: str
    by: str
    """The person; empty when ganger gave notice."""
    landing: str
    state: str
    turn: int
    """The turn whose worker it was handed to; 0 for none."""
    at_work: int
    delivered_ms: int
    read_ms: int
    ended_ms: int
    """When its run ended without having read it; 0 otherwise."""


class FactRow(NamedTuple):
    """A fact; it stands while `ended_ms` is 0."""

    seq: int
    at_ms: int
    text: str
    about: str
    by: str
    """The person; empty when a worker noted it."""
    run: str
    """The run whose worker noted it; empty for a person's."""
    ended_ms: int
    ended_by: str
    """The person who struck it out; empty when it gave way to newer ones of workers."""
    why: str


class PruningRow(NamedTuple):
    """That kept files of a run went into the trash; `unreviewed` when nobody had decided on the run before."""

    seq: int
    at_ms: int
    run: str
    classes: str
    unreviewed: int


class QuestionRow(NamedTuple):
    """A question; `state` is open, answered or withdrawn."""

    id: str
    kind: str
    text: str
    options: str
    recommend: str
    risk: str
    run: str
    item: str
    subject: str
    asked_ms: int
    state: str
    choice: str
    by: str
    """The person; `agent:NAME` for an agent that answered in a person's place."""
    closed_ms: int
    agent: str = ""
    """The agent that is asked first, while it is."""
    until_ms: int = 0
    """When a person is asked after all; 0 where no agent was asked."""
    passed: str = ""
    """Why it came to a person after an agent was asked; empty otherwise."""


class WaitRow(NamedTuple):
    """A ready item that was not admitted, and why."""

    seq: int
    at_ms: int
    item: str
    code: str
    reason: str
    holder: str
    again_ms: int


class TrainRow(NamedTuple):
    """A tested batch; `landed_ms` > 0 when the target was moved to it."""

    seq: int
    at_ms: int
    runs: str
    old: str
    new: str
    tree: str
    passed: int
    checks: str
    conflicts: str
    took_ms: int
    landed_ms: int
    reason: str
    waits: str


class UndoRow(NamedTuple):
    """A wish to have a landing undone, or with `back` an undo; `landed` is the commit that did it."""

    seq: int
    at_ms: int
    undone: str
    item: str
    run: str
    by: str
    why: str
    back: int
    state: str
    """`asked`, `landing`, `stuck` (a person is asked), `dropped` or `landed`."""
    reason: str
    landed: str
    ended_ms: int


class CiRow(NamedTuple):
    """A commit on which CI must be green before what landed with it is closed, and what CI said last.

    `state` is empty before it was asked, `closed_ms` 0 while it is open; `by` names the person who closed it although
    CI was not green.
    """

    landed: str
    since_ms: int
    holds: int
    state: str
    text: str
    place: str
    asked_ms: int
    asks: int
    again_ms: int
    closed_ms: int
    by: str
    seq: int
    """The newest entry about it."""


class ReadingRow(NamedTuple):
    """That the target was read back, and which landings it did not contain."""

    seq: int
    at_ms: int
    tip: str
    missing: str


class SupervisorRow(NamedTuple):
    """A supervisor's time in charge; `stopped_ms` is 0 while it runs, or when it was killed."""

    seq: int
    pid: int
    host: str
    version: str
    started_ms: int
    stopped_ms: int
    reason: str


class PlanRow(NamedTuple):
    """A plan the fleet knows; `state` is active, paused or stopped."""

    id: str
    title: str
    path: str
    digest: str
    state: str
    reason: str
    steer: str
    unreadable: str
    still_open: str


class LeaseRow(NamedTuple):
    """A lease that belongs to no run; not ended is not live: see `expires_ms`."""

    id: str
    holder: str
    lane: str
    scope: str
    mode: str
    alone: int
    token: int
    granted_ms: int
    expires_ms: int
    forced_by: str
    ended_ms: int
    reason: str


class BreakerRow(NamedTuple):
    """A breaker; open while `closed_ms` is 0."""

    key: str
    reason: str
    opened_ms: int
    until_ms: int
    launch: int
    closed_ms: int


class WindowRow(NamedTuple):
    """Until when a provider refuses its agents, and the run that met with it."""

    provider: str
    until_ms: int
    reason: str
    run: str
    at_ms: int


class ScheduleRow(NamedTuple):
    """A schedule; over when `dropped_ms` > 0."""

    name: str
    path: str
    every_ms: int
    next_ms: int
    fired_ms: int
    outcome: str
    dropped_ms: int


class ForbiddenRow(NamedTuple):
    """Something that was asked for by somebody whose it is not to ask for."""

    seq: int
    at_ms: int
    actor: str
    what: str
    reason: str
    run: str


class EntryRow(NamedTuple):
    """An entry of the journal, undecoded; `journal.codec.decode` reads its body."""

    seq: int
    at_ms: int
    type: str
    actor: str
    body: bytes
    crc: int


class MarkRow(NamedTuple):
    """An entry of the journal without what it says."""

    seq: int
    at_ms: int
    type: str
    subject: str
    actor: str


class LiveRow(NamedTuple):
    """A live run with what a person wants to see of it at a glance."""

    run: str
    item: str
    title: str
    agent: str
    status: str
    granted_ms: int
    started_ms: int
    note: str
    todos: str
    question: str
    kind: str
    lane: str
    liveness: str
    spawner: str


Row = TypeVar("Row", bound=NamedTuple)
TABLES: dict[type, str] = {
    PlanRow: "plans",
    ItemRow: "items",
    RunRow: "runs",
    TurnRow: "turns",
    RepeatRow: "repeats",
    MessageRow: "messages",
    RewindRow: "rewinds",
    FactRow: "facts",
    PruningRow: "prunings",
    QuestionRow: "questions",
    WaitRow: "waits",
    TrainRow: "trains",
    CiRow: "ci",
    ReadingRow: "readings",
    UndoRow: "undos",
    LeaseRow: "leases",
    BreakerRow: "breakers",
    WindowRow: "windows",
    ScheduleRow: "schedules",
    ForbiddenRow: "forbidden",
    SupervisorRow: "supervisors",
}
"""The table that each row is of; a row has all of its columns, as a test holds."""


class NoFleet(StateDirError):
    """There is no journal yet, or only the empty file of one that is being made, or whose making was cut short."""


class Reader:
    """A read-only look at a journal file; NoFleet when there is none, StateDirError when it is of a newer version.

    One of an older version is brought up to date first, which writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise NoFleet(f"there is no fleet at {path.parent}", "ganger init, then ganger run PLAN")
        self.db, found = self._open()
        if 0 < found < SCHEMA:
            self.db.close()
            _bring_up_to_date(path)
            self.db, found = self._open()
        if not found:
            self.db.close()
            raise NoFleet(f"there is no fleet at {path.parent}", "ganger init, then ganger run PLAN")
        if found > SCHEMA:
            raise StateDirError(
                f"{path} has schema {found}, this ganger knows up to {SCHEMA}: a newer ganger wrote it",
                "use that ganger, or another --state-dir; nothing was changed",
            )

    def _open(self) -> tuple[apsw.Connection, int]:
        try:
            return _connected(str(self.path), apsw.SQLITE_OPEN_READONLY)
        except apsw.BusyError as error:
            raise JournalBusy(self.path) from error
        except (apsw.ReadOnlyError, apsw.CantOpenError) as error:
            return self._open_at_rest(error)
        except apsw.Error as error:
            raise StateDirError(f"{self.path} cannot be read: {error}", "check its owner and mode") from error

    def _open_at_rest(self, why: apsw.Error) -> tuple[apsw.Connection, int]:
        """Open a journal that lies where this process may not write, as SQLite does beside one that grows.

        That is possible while everything is in the file itself; what stands in SQLite's log would be passed over.
        """
        log = self.path.with_name(self.path.name + "-wal")
        try:
            if not log.exists() or not log.stat().st_size:
                place = f"{self.path.absolute().as_uri()}?immutable=1"
                return _connected(place, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        except (apsw.Error, OSError) as error:
            raise StateDirError(f"{self.path} cannot be read: {error}", "check its owner and mode") from error
        raise StateDirError(
            f"{self.path} cannot be read where nothing may be written, its newest entries are in {log.name}: {why}",
            "make the folder writable, or copy all of it and read the copy with --state-dir COPY",
        ) from why

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def at_one_time(self) -> Iterator[None]:
        """Let all questions inside the block see the same state, whatever the fleet does meanwhile."""
        self._rows("BEGIN")
        try:
            yield
        finally:
            self._rows("ROLLBACK")

    def _all(self, row: type[Row], rest: str, *values: apsw.SQLiteValue) -> list[Row]:
        """The rows of one kind that the rest of a statement (WHERE, ORDER BY) leaves, in its order."""
        columns = ",".join(f"[{name}]" for name in row._fields)
        return [row(*found) for found in self._rows(f"SELECT {columns} FROM {TABLES[row]} {rest}", *values)]

    def _first(self, row: type[Row], rest: str, *values: apsw.SQLiteValue) -> Row | None:
        return next(iter(self._all(row, rest + " LIMIT 1", *values)), None)

    def _rows(self, sql: str, *values: apsw.SQLiteValue) -> list[tuple[Any, ...]]:
        try:
            return self.db.execute(sql, values).fetchall()
        except apsw.BusyError as error:
            raise JournalBusy(self.path) from error
        except apsw.Error as error:
            raise StateDirError(
                f"{self.path} cannot be read: {error}", "ganger journal verify says what is damaged"
            ) from error

    def _one(self, sql: str, *values: apsw.SQLiteValue) -> int:
        return int(self._rows(sql, *values)[0][0])

    # The fleet at a glance

    def counts(self, now_ms: int) -> dict[str, int]:
        """How many items there are in each status; `cooling` is told apart from `ready`."""
        found = dict(self._rows("SELECT status, count(*) FROM items GROUP BY status"))
        cooling = self._one("SELECT count(*) FROM items WHERE status='ready' AND cool_until_ms>?", now_ms)
        if cooling:
            found["ready"] -= cooling
            found["cooling"] = cooling
        return {status: count for status, count in found.items() if count}

    def live(self) -> list[LiveRow]:
        """The live runs, oldest first."""
        rows = self._rows(
            "SELECT r.id, r.item, i.title, r.agent, r.status, r.granted_ms, coalesce(t.started_ms,0), r.note, r.todos,"
            " coalesce((SELECT id FROM questions q WHERE q.run=r.id AND q.state='open'),''),"
            " r.kind, r.lane, r.liveness, r.spawner"
            " FROM runs r JOIN items i ON i.id=r.item LEFT JOIN turns t ON t.run=r.id AND t.turn=r.turn"
            " WHERE r.ended_ms=0 ORDER BY r.token",
        )
        return [LiveRow(*row) for row in rows]

    def writing(self) -> list[tuple[str, str]]:
        """The live runs that share their scope with nobody, oldest first, each with its scope in JSON."""
        return self._rows("SELECT id, scope FROM runs WHERE ended_ms=0 AND mode=? ORDER BY token", "exclusive")

    def last_seq(self) -> int:
        """Position of the newest entry."""
        return self._one("SELECT coalesce(max(seq),0) FROM entries")

    def last_ms(self) -> int:
        """When the newest entry was made; 0 for none."""
        return self._one("SELECT coalesce((SELECT at_ms FROM entries ORDER BY seq DESC LIMIT 1),0)")

    def first_seq(self, since_ms: int) -> int:
        """Position of the first entry made at or after an instant; 0 when there is none."""
        return self._one(
            "SELECT coalesce((SELECT seq FROM entries WHERE at_ms>=? ORDER BY at_ms, seq LIMIT 1),0)", since_ms
        )

    def pruned_unseen(self) -> int:
        """How many runs lost kept files before anybody had decided on them."""
        return self._one("SELECT count(DISTINCT run) FROM prunings WHERE unreviewed")

    def durations(self) -> tuple[int, int]:
        """How many runs have landed, and their mean time from grant to landing in ms; (0, 0) for none."""
        (row,) = self._rows(
            "SELECT count(*), coalesce(avg(ended_ms-granted_ms),0) FROM"
            " (SELECT ended_ms, granted_ms FROM runs WHERE ending='landed' ORDER BY ended_ms DESC LIMIT 200)"
        )
        return int(row[0]), int(row[1])

    # Plans and items

    def plans(self) -> list[PlanRow]:
        """All plans."""
        return self._all(PlanRow, "ORDER BY id")

    def plan(self, plan: str) -> PlanRow | None:
        """One plan."""
        return self._first(PlanRow, "WHERE id=?", plan)

    def schedules(self) -> list[ScheduleRow]:
        """The schedules that are still in force, the next to fire first."""
        return self._all(ScheduleRow, "WHERE dropped_ms=0 ORDER BY next_ms, name")

    def schedules_over(self) -> list[ScheduleRow]:
        """The schedules that have fired for the last time, the newest first, ten at most."""
        return self._all(ScheduleRow, "WHERE dropped_ms>0 AND next_ms=0 ORDER BY fired_ms DESC, name LIMIT 10")

    def item(self, item: str) -> ItemRow | None:
        """One item."""
        return self._first(ItemRow, "WHERE id=?", item)

    def items(self, plan: str = "") -> list[ItemRow]:
        """All items, or those of one plan, in the plan's order; not the withdrawn ones."""
        if plan:
            return self._all(ItemRow, "WHERE plan=? AND status<>'withdrawn' ORDER BY seq", plan)
        return self._all(ItemRow, "WHERE status<>'withdrawn' ORDER BY plan, seq")

    def filed_by(self, item: str) -> list[ItemRow]:
        """The items that workers on an item filed, oldest first."""
        return self._all(ItemRow, "WHERE parent=? ORDER BY seq", item)

    def waits(self, item: str = "", since_ms: int = 0) -> list[WaitRow]:
        """What was refused: about one item, or all since `since_ms`."""
        if item:
            return self._all(WaitRow, "WHERE item=? ORDER BY seq", item)
        return self._all(WaitRow, "WHERE at_ms>=? ORDER BY seq", since_ms)

    # Runs

    def run(self, run: str) -> RunRow | None:
        """One run."""
        return self._first(RunRow, "WHERE id=?", run)

    def run_with_token(self, token: int) -> RunRow | None:
        """The run that was granted at this position of the journal."""
        return self._first(RunRow, "WHERE token=?", token)

    def runs(self, item: str = "", since_ms: int = 0) -> list[RunRow]:
        """The runs of an item, or all that were live at or after `since_ms`, in the order they were granted."""
        if item:
            return self._all(RunRow, "WHERE item=? ORDER BY attempt", item)
        return self._all(RunRow, "WHERE ended_ms>=? OR ended_ms=0 ORDER BY token", since_ms)

    def children(self, run: str) -> list[RunRow]:
        """The runs that a run's worker has had started, in order."""
        return self._all(RunRow, "WHERE spawner=? AND spawner<>'' ORDER BY token", run)

    def runs_ended(self, until_ms: int) -> list[RunRow]:
        """The runs that ended at or before an instant, the oldest end first."""
        return self._all(RunRow, "WHERE ended_ms>0 AND ended_ms<=? ORDER BY ended_ms, token", until_ms)

    def turns(self, run: str) -> list[TurnRow]:
        """The worker processes of a run, in order."""
        return self._all(TurnRow, "WHERE run=? ORDER BY turn", run)

    def repeats(self, run: str) -> list[RepeatRow]:
        """The turns of a run that were done over, in order."""
        return self._all(RepeatRow, "WHERE run=? ORDER BY seq", run)

    def rewinds(self, run: str) -> list[RewindRow]:
        """The rewinds of a run, in order."""
        return self._all(RewindRow, "WHERE run=? ORDER BY seq", run)

    def messages(self, run: str) -> list[MessageRow]:
        """What was said to a run, in order."""
        return self._all(MessageRow, "WHERE run=? ORDER BY seq", run)

    def unheard(self, since_ms: int) -> list[MessageRow]:
        """What persons said to runs that have ended since then without having read it."""
        where = "WHERE state='undeliverable' AND by<>'' AND ended_ms>=? ORDER BY seq"
        return self._all(MessageRow, where, since_ms)

    def facts(self, *, every: bool = False) -> list[FactRow]:
        """The facts that stand, or with `every` those that were struck out as well; the newest first."""
        return self._all(FactRow, f"WHERE {'1' if every else 'ended_ms=0'} ORDER BY seq DESC")

    def prunings(self, run: str = "") -> list[PruningRow]:
        """What was pruned of one run, or of all, in order."""
        return self._all(PruningRow, "WHERE run=? ORDER BY seq", run) if run else self._all(PruningRow, "ORDER BY seq")

    def is_decided(self, run: RunRow) -> bool:
        """Whether the item of an ended run landed, or a person decided on it: with the run's end, or after that."""
        if run.ending in ("landed", "stopped"):
            return True
        return bool(
            self._one(
                "SELECT EXISTS (SELECT 1 FROM items WHERE id=?1 AND landed<>'') OR EXISTS (SELECT 1 FROM entries"
                " WHERE subject<>'' AND seq>?2 AND actor LIKE 'person:%' AND type IN"
                " ('ItemRetried','QuestionAnswered','StopRequested','RunRewound') AND subject IN (SELECT ?1"
                " UNION SELECT id FROM runs WHERE item=?1 UNION SELECT id FROM questions WHERE item=?1))",
                run.item,
                run.ended_seq,
            )
        )

    # Questions, batches, leases

    def questions(self, run: str = "", *, every: bool = False) -> list[QuestionRow]:
        """The open questions, or all that a run asked, or all there ever were, oldest first."""
        if run:
            return self._all(QuestionRow, "WHERE run=? ORDER BY asked_ms, id", run)
        if every:
            return self._all(QuestionRow, "ORDER BY asked_ms, id")
        return self._all(QuestionRow, "WHERE state='open' ORDER BY asked_ms, id")

    def question(self, question: str) -> QuestionRow | None:
        """One question."""
        return self._first(QuestionRow, "WHERE id=?", question)

    def answers(self, item: str) -> list[QuestionRow]:
        """What workers on an item asked and a person answered, oldest first."""
        return self._all(QuestionRow, "WHERE item=? AND state='answered' ORDER BY closed_ms", item)

    def trains(self, since_ms: int = 0) -> list[TrainRow]:
        """The batches tested since `since_ms`, in order."""
        return self._all(TrainRow, "WHERE at_ms>=? ORDER BY seq", since_ms)

    def train_of(self, commit: str) -> TrainRow | None:
        """The newest batch whose tested commit is this one."""
        return self._first(TrainRow, "WHERE new=? ORDER BY seq DESC", commit)

    def train_like(self, prefix: str) -> TrainRow | None:
        """The newest batch whose tested commit begins with these hexadecimal digits."""
        return self._first(TrainRow, "WHERE new>=? AND new<? ORDER BY seq DESC", prefix, prefix + "g")

    def undos(self, item: str = "") -> list[UndoRow]:
        """What persons wanted undone, of one item or of all, in the order in which they asked."""
        return self._all(UndoRow, "WHERE ?='' OR item=? ORDER BY seq", item, item)

    def undo_by(self, commit: str) -> UndoRow | None:
        """The undo that a commit carried out."""
        return self._first(UndoRow, "WHERE landed=?", commit)

    def undo_of(self, commit: str) -> UndoRow | None:
        """The undo by which what a commit brought is off the target; None when it is there, or never was."""
        found = self._first(UndoRow, "WHERE undone=? AND state='landed' ORDER BY seq DESC", commit)
        return None if found is None or self.undo_of(found.landed) is not None else found

    def ci(self, commit: str) -> CiRow | None:
        """What CI must close of what landed with a commit; None where nothing waits, or waited, for it."""
        return self._first(CiRow, "WHERE landed=?", commit)

    def ci_open(self) -> list[CiRow]:
        """What CI has not closed yet, longest wait first; also of what was undone since."""
        return self._all(CiRow, "WHERE closed_ms=0 ORDER BY since_ms")

    def landed_with(self, commit: str) -> list[str]:
        """The items that are on the target by this commit."""
        return [str(item) for (item,) in self._rows("SELECT id FROM items WHERE landed=? ORDER BY seq", commit)]

    def reading(self) -> ReadingRow | None:
        """What the target was seen to contain last; None when it was never read back."""
        return self._first(ReadingRow, "ORDER BY seq DESC")

    def leases(self, now_ms: int = 0) -> list[LeaseRow]:
        """The leases that belong to no run and have not ended or run out at `now_ms`, oldest first."""
        return self._all(LeaseRow, "WHERE ended_ms=0 AND expires_ms>? ORDER BY token", now_ms)

    def lease(self, lease: str) -> LeaseRow | None:
        """One lease that belongs, or belonged, to no run."""
        return self._first(LeaseRow, "WHERE id=?", lease)

    # What holds the fleet back

    def breakers(self) -> list[BreakerRow]:
        """The breakers that are open."""
        return self._all(BreakerRow, "WHERE closed_ms=0 ORDER BY key")

    def windows(self, now_ms: int) -> list[WindowRow]:
        """The providers that refuse at `now_ms`."""
        return self._all(WindowRow, "WHERE until_ms>? ORDER BY provider", now_ms)

    def forbidden(self, since_ms: int = 0) -> list[ForbiddenRow]:
        """What was asked for since `since_ms` by somebody whose it is not to ask for."""
        return self._all(ForbiddenRow, "WHERE at_ms>=? ORDER BY seq", since_ms)

    def supervisors(self, since_ms: int = 0) -> list[SupervisorRow]:
        """The supervisors that were in charge at or after `since_ms`, and the newest one in any case."""
        return self._all(
            SupervisorRow,
            "WHERE started_ms>=? OR stopped_ms>=? OR seq=(SELECT max(seq) FROM supervisors) ORDER BY seq",
            since_ms,
            since_ms,
        )

    # Entries

    def entries_about(self, *names: str) -> list[EntryRow]:
        """The entries about any of these items, runs, questions, leases, `plan:NAME`s or commits, in order.

        Found by index, whatever the length of the journal.
        """
        marks = ",".join("?" * len(names))
        rows = self._rows(
            "SELECT seq, at_ms, type, actor, CAST(body AS BLOB), crc FROM entries WHERE seq IN"
            f" (SELECT seq FROM entries WHERE subject<>'' AND subject IN ({marks})"
            f" UNION SELECT seq FROM mentions WHERE subject IN ({marks})) ORDER BY seq",
            *names,
            *names,
        )
        return [EntryRow(*row) for row in rows]

    def marks(self, seqs: Iterable[int]) -> list[MarkRow]:
        """The entries at these positions, in order."""
        ordered = sorted(set(seqs))
        found: list[MarkRow] = []
        for at in range(0, len(ordered), READ_AT_ONCE):
            chunk = ordered[at : at + READ_AT_ONCE]
            found += self._marks(f"seq IN ({','.join('?' * len(chunk))})", *chunk)
        return found

    def marks_of(self, types: Sequence[str], after: int) -> list[MarkRow]:
        """The entries of some types after a position, in order."""
        return self._marks(f"seq>? AND type IN ({','.join('?' * len(types))})", after, *types)

    def _marks(self, where: str, *values: apsw.SQLiteValue) -> list[MarkRow]:
        rows = self._rows(f"SELECT seq, at_ms, type, subject, actor FROM entries WHERE {where} ORDER BY seq", *values)
        return [MarkRow(*row) for row in rows]

    def commits_like(self, prefix: str) -> list[str]:
        """The commits that entries speak of and that begin with these hexadecimal digits, at most ten."""
        rows = self._rows(
            "SELECT DISTINCT subject FROM mentions WHERE subject>=? AND subject<? AND length(subject) IN (40, 64)"
            " ORDER BY subject LIMIT 10",
            prefix,
            prefix + "g",
        )
        return [str(found) for (found,) in rows]


def _connected(place: str, flags: int) -> tuple[apsw.Connection, int]:
    """Open a database; returns it with its schema's number."""
    db = apsw.Connection(place, flags=flags)
    db.set_busy_timeout(BUSY_MS)
    return db, int(db.pragma("user_version"))


def _bring_up_to_date(path: Path) -> None:
    """Migrate a journal of an older version; what that needs is loaded only then."""
    from ganger.journal.store import Store

    Store(path).close()
