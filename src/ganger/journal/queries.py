"""Questions to the projections, read-only, for whatever shows something to a person.

Imports as little as it can: `ganger status` is on the path of scripts and prompts. JSON columns come back as text;
whoever needs their content decodes it into the types of `core.model`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import apsw

from ganger.errors import StateDirError

SCHEMA = 1
"""The schema these queries are written for; held equal to `journal.schema.VERSION` by a test."""


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
    closed_ms: int


class WaitRow(NamedTuple):
    """A ready item that was not admitted, and why."""

    seq: int
    at_ms: int
    item: str
    code: str
    reason: str
    holder: str


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
    """A plan the fleet knows."""

    id: str
    title: str
    path: str
    digest: str


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


Row = TypeVar("Row", bound=tuple)  # type: ignore[type-arg]


class NoFleet(StateDirError):
    """There is no journal yet, or only the empty file of one that is being made, or whose making was cut short."""


class Reader:
    """A read-only look at a journal file; NoFleet when there is none, StateDirError when it is of a newer version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise NoFleet(f"there is no fleet at {path.parent}", "ganger init, then ganger run PLAN")
        try:
            self.db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self.db.set_busy_timeout(10_000)
            found = int(self.db.pragma("user_version"))
        except apsw.Error as error:
            raise StateDirError(f"{path} cannot be read: {error}", "check its owner and mode") from error
        if not found:
            self.db.close()
            raise NoFleet(f"there is no fleet at {path.parent}", "ganger init, then ganger run PLAN")
        if found > SCHEMA:
            raise StateDirError(
                f"{path} has schema {found}, this ganger knows up to {SCHEMA}: a newer ganger wrote it",
                "use that ganger, or another --state-dir; nothing was changed",
            )

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def _all(self, row: type[Row], sql: str, *values: apsw.SQLiteValue) -> list[Row]:
        return [row(*found) for found in self._rows(sql, *values)]

    def _rows(self, sql: str, *values: apsw.SQLiteValue) -> list[tuple[Any, ...]]:
        try:
            return self.db.execute(sql, values).fetchall()
        except apsw.Error as error:
            raise StateDirError(
                f"{self.path} cannot be read: {error}", "ganger journal verify says what is damaged"
            ) from error

    def _one(self, sql: str, *values: apsw.SQLiteValue) -> int:
        return int(self._rows(sql, *values)[0][0])

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
        return self._all(
            LiveRow,
            "SELECT r.id, r.item, i.title, r.agent, r.status, r.granted_ms, coalesce(t.started_ms,0), r.note, r.todos,"
            " coalesce((SELECT id FROM questions q WHERE q.run=r.id AND q.state='open'),'')"
            " FROM runs r JOIN items i ON i.id=r.item LEFT JOIN turns t ON t.run=r.id AND t.turn=r.turn"
            " WHERE r.ended_ms=0 ORDER BY r.token",
        )

    def last_seq(self) -> int:
        """Position of the newest entry."""
        return self._one("SELECT coalesce(max(seq),0) FROM entries")

    def last_ms(self) -> int:
        """When the newest entry was made; 0 for none."""
        return self._one("SELECT coalesce((SELECT at_ms FROM entries ORDER BY seq DESC LIMIT 1),0)")

    def plans(self) -> list[PlanRow]:
        """All plans."""
        return self._all(PlanRow, "SELECT * FROM plans ORDER BY id")

    def item(self, item: str) -> ItemRow | None:
        """One item."""
        return next(iter(self._all(ItemRow, "SELECT * FROM items WHERE id=?", item)), None)

    def items(self, plan: str = "") -> list[ItemRow]:
        """All items, or those of one plan, in the plan's order; not the withdrawn ones."""
        if plan:
            return self._all(ItemRow, "SELECT * FROM items WHERE plan=? AND status<>'withdrawn' ORDER BY seq", plan)
        return self._all(ItemRow, "SELECT * FROM items WHERE status<>'withdrawn' ORDER BY plan, seq")

    def run(self, run: str) -> RunRow | None:
        """One run."""
        return next(iter(self._all(RunRow, "SELECT * FROM runs WHERE id=?", run)), None)

    def runs(self, item: str = "", since_ms: int = 0) -> list[RunRow]:
        """The runs of an item, or all that were live at or after `since_ms`, in the order they were granted."""
        if item:
            return self._all(RunRow, "SELECT * FROM runs WHERE item=? ORDER BY attempt", item)
        return self._all(RunRow, "SELECT * FROM runs WHERE ended_ms>=? OR ended_ms=0 ORDER BY token", since_ms)

    def turns(self, run: str) -> list[TurnRow]:
        """The worker processes of a run, in order."""
        return self._all(TurnRow, "SELECT * FROM turns WHERE run=? ORDER BY turn", run)

    def questions(self, run: str = "", *, every: bool = False) -> list[QuestionRow]:
        """The open questions, or all that a run asked, or all there ever were, oldest first."""
        if run:
            return self._all(QuestionRow, "SELECT * FROM questions WHERE run=? ORDER BY asked_ms, id", run)
        if every:
            return self._all(QuestionRow, "SELECT * FROM questions ORDER BY asked_ms, id")
        return self._all(QuestionRow, "SELECT * FROM questions WHERE state='open' ORDER BY asked_ms, id")

    def question(self, question: str) -> QuestionRow | None:
        """One question."""
        return next(iter(self._all(QuestionRow, "SELECT * FROM questions WHERE id=?", question)), None)

    def waits(self, item: str = "", since_ms: int = 0) -> list[WaitRow]:
        """What was refused: about one item, or all since `since_ms`."""
        if item:
            return self._all(WaitRow, "SELECT * FROM waits WHERE item=? ORDER BY seq", item)
        return self._all(WaitRow, "SELECT * FROM waits WHERE at_ms>=? ORDER BY seq", since_ms)

    def trains(self, since_ms: int = 0) -> list[TrainRow]:
        """The batches tested since `since_ms`, in order."""
        return self._all(TrainRow, "SELECT * FROM trains WHERE at_ms>=? ORDER BY seq", since_ms)

    def train_of(self, commit: str) -> TrainRow | None:
        """The batch whose tested commit is this one."""
        return next(iter(self._all(TrainRow, "SELECT * FROM trains WHERE new=? ORDER BY seq DESC", commit)), None)

    def train_like(self, prefix: str) -> TrainRow | None:
        """The newest batch whose tested commit begins with these hexadecimal digits."""
        found = self._all(
            TrainRow, "SELECT * FROM trains WHERE new>=? AND new<? ORDER BY seq DESC LIMIT 1", prefix, prefix + "g"
        )
        return found[0] if found else None

    def supervisors(self, since_ms: int = 0) -> list[SupervisorRow]:
        """The supervisors that were in charge at or after `since_ms`, and the newest one in any case."""
        return self._all(
            SupervisorRow,
            "SELECT * FROM supervisors WHERE started_ms>=? OR stopped_ms>=?"
            " OR seq=(SELECT max(seq) FROM supervisors) ORDER BY seq",
            since_ms,
            since_ms,
        )

    def answers(self, item: str) -> list[QuestionRow]:
        """What workers on an item asked and a person answered, oldest first."""
        return self._all(
            QuestionRow, "SELECT * FROM questions WHERE item=? AND state='answered' ORDER BY closed_ms", item
        )

    def durations(self) -> tuple[int, int]:
        """How many runs have landed, and their mean time from grant to landing in ms; (0, 0) for none."""
        (row,) = self._rows(
            "SELECT count(*), coalesce(avg(ended_ms-granted_ms),0) FROM"
            " (SELECT ended_ms, granted_ms FROM runs WHERE ending='landed' ORDER BY ended_ms DESC LIMIT 200)"
        )
        return int(row[0]), int(row[1])
