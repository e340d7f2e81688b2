"""The facts a report is made of: rows of the projections, decoded once, with the place of each in the journal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from ganger.core.events import Entry
from ganger.core.landing import REJECT
from ganger.core.model import CheckResult, CheckState, Evidence, ItemSpec, Report, Verdict, VerdictKind
from ganger.journal.codec import decode
from ganger.journal.queries import (
    ItemRow,
    PlanRow,
    QuestionRow,
    Reader,
    RepeatRow,
    RunRow,
    SupervisorRow,
    TrainRow,
    TurnRow,
    WaitRow,
)
from ganger.report.shape import CheckSeen, EntrySeen, ItemRef, Source

_spec = msgspec.json.Decoder(ItemSpec).decode
_report = msgspec.json.Decoder(Report).decode
_verdict = msgspec.json.Decoder(Verdict).decode
_evidence = msgspec.json.Decoder(Evidence).decode
_checks = msgspec.json.Decoder(tuple[CheckResult, ...]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
_conflicts = msgspec.json.Decoder(tuple[tuple[str, tuple[str, ...]], ...]).decode

_CITED = (
    *("RunGranted", "WorkerStarted", "WorkerExited", "RunReported", "QuestionAsked", "QuestionAnswered"),
    *("EvidenceRecorded", "VerdictGiven", "StopRequested", "RunEnded", "RunLanded", "LandingAbandoned"),
    *("RunFlagged", "UsageRecorded"),
)
_TRIED = ("CandidateProbed", "PairFound", "TargetFoundRed")
_SILENT = ("GuardSilent",)
CITED_MAX = 5
"""Entries named for an aggregate; the others are found by their type."""


class TurnFacts(Struct, frozen=True):
    """A worker process with what was said, found and judged; None where that did not happen."""

    row: TurnRow
    report: Report | None
    verdict: Verdict | None
    evidence: Evidence | None

    @property
    def rejected(self) -> bool:
        """Whether its candidate was refused."""
        return self.verdict is not None and self.verdict.kind is VerdictKind.rejected

    @property
    def accepted(self) -> bool:
        """Whether its candidate was good enough to land."""
        return self.verdict is not None and self.verdict.kind is VerdictKind.accepted


class RunFacts(Struct, frozen=True):
    """A run with its turns, the repeats of turns, and its questions."""

    row: RunRow
    turns: tuple[TurnFacts, ...]
    repeats: tuple[RepeatRow, ...]
    questions: tuple[QuestionRow, ...]
    kept: tuple[str, ...]

    @property
    def last_turn(self) -> TurnFacts | None:
        """The newest turn, None before the first."""
        return self.turns[-1] if self.turns else None


class TrainFacts(Struct, frozen=True):
    """A tested batch."""

    row: TrainRow
    runs: tuple[str, ...]
    checks: tuple[CheckResult, ...]
    conflicts: tuple[tuple[str, tuple[str, ...]], ...]


class Positions:
    """Where in the journal the facts about runs and questions stand."""

    def __init__(self, reader: Reader, after: int) -> None:
        self._last: dict[tuple[str, str], int] = {}
        self._turn: dict[tuple[str, int, str], int] = {}
        self.abandoned: list[int] = []
        """Landings that were given up, in order."""
        turns: dict[str, int] = {}
        for seq, _, kind, subject, _ in reader.marks_of(_CITED, after):
            if kind == "LandingAbandoned":
                self.abandoned.append(seq)
            elif kind == "WorkerStarted":
                turns[subject] = turns.get(subject, 0) + 1
            self._last[subject, kind] = seq
            self._turn[subject, turns.get(subject, 0), kind] = seq

    def last(self, subject: str, *kinds: str) -> tuple[int, ...]:
        """The newest entry of each kind about a run or question, in order; kinds without one are left out."""
        return tuple(sorted(self._last[subject, kind] for kind in kinds if (subject, kind) in self._last))

    def of_turn(self, run: str, turn: int, *kinds: str) -> tuple[int, ...]:
        """The newest entry of each kind about one turn, in order; kinds without one are left out."""
        return tuple(sorted(self._turn[run, turn, kind] for kind in kinds if (run, turn, kind) in self._turn))


class Facts:
    """Everything that happened at or after `since_ms`, and everything that is open; read in one go.

    `cite` makes the sources of statements and remembers which entries they name.
    """

    def __init__(self, reader: Reader, state_dir: Path, since_ms: int, now_ms: int) -> None:
        self.state_dir, self.since_ms, self.now_ms = state_dir, since_ms, now_ms
        self.reader = reader
        self._cited: set[int] = set()
        self.plans: dict[str, PlanRow] = {row.id: row for row in reader.plans()}
        self.items: dict[str, ItemRow] = {row.id: row for row in reader.items()}
        self.specs: dict[str, ItemSpec] = {row.id: _spec(row.spec) for row in self.items.values()}
        self._questions = reader.questions(every=True)
        self.open_questions = [row for row in self._questions if row.state == "open"]
        self.runs = self._read_runs()
        self.runs_of: dict[str, list[RunFacts]] = {}
        for run in self.runs.values():
            self.runs_of.setdefault(run.row.item, []).append(run)
        self.last_seq = reader.last_seq()
        self.trains: list[TrainFacts] = [_train(row) for row in reader.trains(since_ms)]
        self.silent: tuple[Entry, ...] = self._read_entries(_SILENT)
        """That guards did not work, in order."""
        self.tried: tuple[Entry, ...] = self._read_entries(_TRIED)
        """What the train found of single candidates and of the target itself, in order."""
        self.waits: list[WaitRow] = reader.waits(since_ms=since_ms)
        self.last_waits: dict[str, WaitRow] = {wait.item: wait for wait in self.waits}
        self.supervisors: list[SupervisorRow] = reader.supervisors(since_ms)
        self.first_seq = self._first_seq(since_ms)
        tokens = [run.row.token for run in self.runs.values()]
        asked_ms = min([since_ms, *(question.asked_ms for question in self.open_questions)])
        self.positions = Positions(reader, min([self._first_seq(asked_ms), *tokens]) - 1)
        self._dependents = _dependents(self.specs.values())

    def _first_seq(self, since_ms: int) -> int:
        return self.reader.first_seq(since_ms) or self.last_seq

    def _read_entries(self, types: tuple[str, ...]) -> tuple[Entry, ...]:
        marks = self.reader.marks_of(types, self._first_seq(self.since_ms) - 1)
        seqs = {mark.seq for mark in marks}
        rows = (row for run in sorted({mark.subject for mark in marks}) for row in self.reader.entries_about(run))
        found = {row.seq: row for row in rows if row.seq in seqs}
        return tuple(decode(row.seq, row.at_ms, row.actor, row.body, row.crc) for _, row in sorted(found.items()))

    def _read_runs(self) -> dict[str, RunFacts]:
        """The runs of the report's time, and all of items whose fate it tells; in the order they were granted."""
        rows = {row.id: row for row in self.reader.runs(since_ms=self.since_ms)}
        told = {row.item for row in rows.values()}
        told |= {item.id for item in self.items.values() if item.attempts and not is_done(item)}
        if self.since_ms:
            for item in sorted(told):
                rows |= {row.id: row for row in self.reader.runs(item)}
        asked: dict[str, list[QuestionRow]] = {}
        for question in self._questions:
            asked.setdefault(question.run, []).append(question)
        ordered = sorted(rows.values(), key=lambda row: row.token)
        return {row.id: self._read_run(row, tuple(asked.get(row.id, ()))) for row in ordered}

    def _read_run(self, row: RunRow, questions: tuple[QuestionRow, ...]) -> RunFacts:
        turns = tuple(_turn(turn) for turn in self.reader.turns(row.id))
        return RunFacts(row, turns, tuple(self.reader.repeats(row.id)), questions, _names(row.kept))

    def turns_of(self, item: str) -> list[TurnRow]:
        """The rows of all turns of an item's runs that were read, oldest first."""
        return [turn.row for run in self.runs_of.get(item, ()) for turn in run.turns]

    def is_recent(self, run: RunFacts) -> bool:
        """Whether the run lived in the report's time."""
        return not run.row.ended_ms or run.row.ended_ms >= self.since_ms

    def cite(
        self,
        seqs: Iterable[int],
        run: str = "",
        commit: str = "",
        train: int = 0,
        checks: tuple[CheckSeen, ...] = (),
    ) -> Source:
        """Make the source of a statement; there must be an entry that it rests on."""
        named = tuple(sorted(set(seqs)))
        assert named, "a statement without evidence"
        self._cited.update(named)
        return Source(named, run, commit, train, checks)

    def newest(self, about: str, *kinds: str) -> tuple[int, ...]:
        """The newest entry of these kinds about a plan, breaker or run of any time; none where there is none."""
        return tuple(row.seq for row in self.reader.entries_about(about) if row.type in kinds)[-1:]

    def cited(self) -> tuple[EntrySeen, ...]:
        """The entries named so far, in order."""
        return tuple(EntrySeen(*mark) for mark in self.reader.marks(self._cited))

    def item_ref(self, item: str) -> ItemRef:
        """An item by name, also one that its plan has no longer."""
        row = self.items.get(item) or self.reader.item(item)
        if row is None:
            return ItemRef(item, "", "", 0)
        spawner = msgspec.json.decode(row.spec, type=ItemSpec).spawner if row.parent else ""
        return ItemRef(row.id, row.plan, row.title, row.seq, spawner)

    def seen(self, checks: Iterable[CheckResult]) -> tuple[CheckSeen, ...]:
        """Checks with the log only where it can still be opened, and the tail only where it explains something."""
        return tuple(
            CheckSeen(
                name=check.name,
                state=check.state,
                exit_code=check.exit_code,
                executed=check.executed,
                took_ms=check.took_ms,
                flaky=check.flaky,
                log=check.log if self._has_log(check.log) else "",
                tail="" if check.state is CheckState.passed else check.tail,
            )
            for check in checks
        )

    def _has_log(self, log: str) -> bool:
        if not log or PurePosixPath(log).is_absolute() or ".." in PurePosixPath(log).parts or "\0" in log:
            return False
        try:
            return (self.state_dir / log).is_file()
        except OSError:
            return False

    def held_up(self, item: str) -> tuple[str, ...]:
        """The items that cannot land before this one, nearest first; not those that are done."""
        found: dict[str, None] = {}
        front = [item]
        while front:
            after = [name for before in front for name in self._dependents.get(before, ())]
            front = [name for name in dict.fromkeys(after) if name not in found and name != item]
            found |= dict.fromkeys(front)
        return tuple(name for name in found if not is_done(self.items[name]))

    def train_source(self, train: TrainFacts) -> Source:
        """Where everything about a batch stands."""
        row = train.row
        return self.cite((row.seq,), commit=row.new, train=row.seq, checks=self.seen(train.checks))

    def was_refused(self, commit: str) -> bool:
        """Whether a person said no to the landing of this commit."""
        return any(row.subject == commit and row.choice == REJECT for row in self._questions if row.state == "answered")

    def at_ms(self, seq: int) -> int:
        """When an entry was made; 0 where there is none."""
        return next((mark.at_ms for mark in self.reader.marks([seq])), 0)

    def supervised(self) -> bool:
        """Whether a supervisor has not said that it left: it is in charge, or was killed."""
        return bool(self.supervisors) and not self.supervisors[-1].stopped_ms


def is_done(item: ItemRow) -> bool:
    """Whether nothing is left to do for an item: it has landed, or finished without anything to land."""
    return bool(item.landed) or item.status == "finished"


def _turn(row: TurnRow) -> TurnFacts:
    return TurnFacts(
        row,
        _report(row.report) if row.report else None,
        _verdict(row.verdict) if row.verdict else None,
        _evidence(row.evidence) if row.evidence else None,
    )


def _train(row: TrainRow) -> TrainFacts:
    return TrainFacts(row, _names(row.runs), _checks(row.checks), _conflicts(row.conflicts))


def _dependents(specs: Iterable[ItemSpec]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for spec in specs:
        for before in spec.after:
            found.setdefault(before, []).append(spec.id)
    return found
