"""The whole story behind a name: from the item over its runs, leases, prompts, workers, commits, evidence and verdicts
to the landing, and every act of a person on the way, each with its place in the journal.

What the journal says is held against what lies on disk. A difference, or something that is missing, is told; what was
pruned is told as such. Entries are found by index: the cost does not grow with the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ganger.core import events as ev
from ganger.core.ids import is_lease_id, is_question_id, is_run_id
from ganger.core.model import CheckResult, Evidence, VerdictKind
from ganger.errors import UsageError
from ganger.journal import codec
from ganger.journal.queries import Reader, RunRow
from ganger.report.wording import duration, named
from ganger.report.words import in_words
from ganger.service import kept
from ganger.service.kept import DataClass, Manifest
from ganger.service.places import RUNS, Places

COMMIT_DIGITS_MIN = 7
_PLAN_ACTS = (ev.PlanPaused, ev.PlanResumed, ev.PlanStopped, ev.PlanSteered)
_OF_ITEMS = (ev.ItemAdded, ev.ItemRevised, ev.ItemWithdrawn, ev.ItemWaited, ev.ItemRetried)


class Line(Struct, frozen=True):
    """One entry of the journal that belongs to the story."""

    seq: int
    at_ms: int
    role: str
    """Who acted: `person`, `worker` or `supervisor`."""
    actor: str
    """The same by name: `person:olga`."""
    type: str
    text: str
    details: tuple[str, ...] = ()
    """What belongs to it: the lease, the manifest and prompt, each check, with its place on disk."""


class Mismatch(Struct, frozen=True):
    """Something that is missing, or is not as the journal says; `seq` is the entry that it belongs to."""

    seq: int
    text: str


class Trace(Struct, frozen=True):
    """The story behind a name."""

    ref: str
    what: str
    """`item`, `run`, `question`, `lease` or `commit`."""
    runs: tuple[str, ...]
    lines: tuple[Line, ...]
    mismatches: tuple[Mismatch, ...]
    """Everything that is missing or does not match; empty when all is as it should be."""
    pruned: tuple[str, ...]
    """What is gone because it was pruned."""


def trace(reader: Reader, state_dir: Path, ref: str) -> Trace:
    """Tell the story behind `ref`; UsageError when nothing has that name."""
    what, runs, names = _named(reader, ref)
    teller = _Teller(reader, state_dir, runs, names, whole_item=what == "item")
    lines = tuple(teller.lines())
    ordered = sorted(teller.mismatches, key=lambda one: one.seq)
    return Trace(ref, what, tuple(run.id for run in runs), lines, tuple(ordered), tuple(teller.pruned))


def _named(reader: Reader, ref: str) -> tuple[str, tuple[RunRow, ...], tuple[str, ...]]:
    """What kind of thing a name is of, the runs it is about, and what else its entries are found by."""
    if is_question_id(ref):
        return _of_question(reader, ref)
    if is_lease_id(ref):
        return _of_lease(reader, ref)
    if is_run_id(ref):
        run = reader.run(ref)
        if run is None:
            raise UsageError(f"there is no run {ref}", "ganger plan board lists the items")
        return "run", (run,), ()
    item = reader.item(ref)
    if item is not None:
        return "item", tuple(reader.runs(ref)), (ref, f"plan:{item.plan}")
    if len(ref) >= COMMIT_DIGITS_MIN and set(ref) <= set("0123456789abcdef"):
        return _of_commit(reader, ref)
    raise UsageError(f"nothing is called {ref!r}", "ganger plan board lists the items")


def _of_question(reader: Reader, ref: str) -> tuple[str, tuple[RunRow, ...], tuple[str, ...]]:
    question = reader.question(ref)
    if question is None:
        raise UsageError(f"there is no question {ref}", "ganger inbox lists the open ones")
    if question.run:
        run = reader.run(question.run)
        return "question", (run,) if run is not None else (), (ref,)
    return "question", _runs_about(reader, question.subject), (ref, question.subject)


def _of_lease(reader: Reader, ref: str) -> tuple[str, tuple[RunRow, ...], tuple[str, ...]]:
    if reader.lease(ref) is not None:
        return "lease", (), (ref,)
    run = reader.run_with_token(int(ref.partition(":")[2]))
    if run is None:
        raise UsageError(f"there is no lease {ref}, and no run was granted at that entry", "ganger lease list")
    return "lease", (run,), ()


def _of_commit(reader: Reader, ref: str) -> tuple[str, tuple[RunRow, ...], tuple[str, ...]]:
    found = reader.commits_like(ref)
    if not found:
        raise UsageError(f"nothing is called {ref!r}, and no entry speaks of such a commit")
    if len(found) > 1:
        raise UsageError(f"{ref} could be {named([one[:16] for one in found])}", "give more digits")
    return "commit", _runs_about(reader, *found), tuple(found)


def _runs_about(reader: Reader, *commits: str) -> tuple[RunRow, ...]:
    """The runs that entries about a commit name."""
    runs: dict[str, None] = {}
    for entry in _entries(reader, *commits):
        runs |= dict.fromkeys(_runs_of(entry.event))
    return tuple(row for run in runs if (row := reader.run(run)) is not None)


def _entries(reader: Reader, *names: str) -> Iterator[ev.Entry]:
    for row in reader.entries_about(*names):
        yield codec.decode(row.seq, row.at_ms, row.actor, row.body, row.crc)


def _runs_of(event: ev.Event) -> tuple[str, ...]:
    """The runs that an event names."""
    if isinstance(event, (ev.TrainTested, ev.LandingStarted)):
        return event.runs
    if isinstance(event, ev.QuestionAsked):
        return (event.question.run,) if event.question.run else ()
    run = getattr(event, "run", "")
    return (run,) if run else ()


def _leads_to(event: ev.Event) -> tuple[str, ...]:
    """What else belongs to the story when this event does: the landing of a tested commit, the answer to a question."""
    match event:
        case ev.TrainTested():
            return (event.commit,)
        case ev.QuestionAsked():
            return (event.question.id,)
        case _:
            return ()


class _Teller:
    """Goes through the entries of a story in order, and holds them against each other and against the disk."""

    def __init__(
        self, reader: Reader, state_dir: Path, runs: tuple[RunRow, ...], names: tuple[str, ...], *, whole_item: bool
    ) -> None:
        self._reader, self._state_dir, self._whole_item = reader, state_dir, whole_item
        self._runs = {run.id: run for run in runs}
        self._names = names
        self._evidence: dict[str, Evidence] = {}
        self._accepted: set[str] = set()
        self._tested: dict[str, ev.TrainTested] = {}
        self._gone = {run: _pruned_at(reader, run) for run in self._runs}
        self.mismatches: list[Mismatch] = []
        self.pruned: dict[str, None] = {}

    def lines(self) -> Iterator[Line]:
        """The lines of the story, in the journal's order."""
        items = dict.fromkeys(run.item for run in self._runs.values())
        plans = [f"plan:{row.plan}" for item in items if (row := self._reader.item(item)) is not None]
        names, fresh = set[str](), {*filter(None, self._names), *self._runs, *items, *plans}
        seen: dict[int, ev.Entry] = {}
        while fresh:
            found = filter(self._belongs, _entries(self._reader, *sorted(fresh)))
            seen |= {entry.seq: entry for entry in found}
            names |= fresh
            fresh = {name for entry in seen.values() for name in _leads_to(entry.event)} - names
        for seq in sorted(seen):
            yield self._line(seen[seq])

    def _belongs(self, entry: ev.Entry) -> bool:
        """Whether an entry that was found by one of the names is part of this story, not of a neighbour's."""
        event = entry.event
        named_runs = _runs_of(event)
        if named_runs:
            return any(run in self._runs for run in named_runs)
        if self._whole_item or not self._runs:
            return not isinstance(event, ev.ItemAdded | ev.ItemRevised) or event.spec.id in self._names
        if isinstance(event, ev.ItemAdded | ev.ItemRevised):
            return any(event.spec.id == run.item and entry.seq < run.token for run in self._runs.values())
        if isinstance(event, (*_OF_ITEMS, *_PLAN_ACTS)):
            return any(run.token < entry.seq and entry.seq < (run.ended_seq or 1 << 62) for run in self._runs.values())
        return True

    def _line(self, entry: ev.Entry) -> Line:
        role = entry.actor.partition(":")[0]
        details = tuple(self._details(entry))
        return Line(
            entry.seq, entry.at_ms, role, entry.actor, type(entry.event).__name__, in_words(entry.event), details
        )

    def _miss(self, seq: int, text: str) -> None:
        self.mismatches.append(Mismatch(seq, text))

    def _details(self, entry: ev.Entry) -> Iterator[str]:
        event: Any = entry.event
        match event:
            case ev.RunGranted():
                lane = f", lane {event.lane}" if event.lane else ""
                yield f"lease: token {entry.seq}, {event.mode.value}{lane}, {named(event.scope)}"
            case ev.LeaseGranted():
                yield f"lease: token {entry.seq}, {event.mode.value}, {named(event.scope)}"
            case ev.WorkerStarted():
                yield from self._worker(entry.seq, event)
            case ev.EvidenceRecorded():
                yield from self._seen(entry.seq, event)
            case ev.VerdictGiven():
                self._judged(entry.seq, event)
            case ev.TrainTested():
                self._tested[event.commit] = event
                for check in event.checks:
                    yield self._check(entry.seq, check, "")
            case ev.LandingStarted():
                self._landing(entry.seq, event)
            case ev.RunLanded():
                self._landed(entry.seq, event)
            case _:
                return

    def _worker(self, seq: int, event: ev.WorkerStarted) -> Iterator[str]:
        """Under what a worker was started: its manifest, its prompt, its output."""
        run, turn = self._runs[event.run], event.turn
        for fault in kept.manifest_faults(self._state_dir, run, turn):
            self._miss(seq, fault)
        manifest = kept.read_manifest(self._state_dir, run.id, turn)
        if isinstance(manifest, Manifest):
            walls = f"tier {manifest.tier or 'not noted'}, network {manifest.jail.network or 'not noted'}"
            yield f"manifest: agent {manifest.agent}, {walls}, token {manifest.token}"
        prompt = Places(self._state_dir).brief(run.id, turn)
        digest = kept.digest_of(prompt)
        fault = kept.prompt_fault(self._state_dir, run.id, turn)
        if fault:
            self._miss(seq, fault)
        if digest:
            yield f"prompt: sha256 {digest[:16]}, {self._shown(prompt)}"
        else:
            yield self._absent(seq, run.id, DataClass.prompts, f"prompt of {run.id} turn {turn}")
        output = Places(self._state_dir).turn(run.id, turn) / "output.log"
        if output.exists():
            yield f"output: {self._shown(output)}"
        else:
            yield self._absent(seq, run.id, DataClass.output, f"output of {run.id} turn {turn}")

    def _seen(self, seq: int, event: ev.EvidenceRecorded) -> Iterator[str]:
        """What ganger looked at itself: commits and checks."""
        evidence, run = event.evidence, self._runs[event.run]
        self._evidence[run.id] = evidence
        yield f"commits: base {evidence.base[:12]}, candidate {evidence.commit[:12]}, tree {evidence.tree[:12]}"
        if evidence.base != run.base:
            self._miss(
                seq, f"{run.id}: the evidence is on base {evidence.base[:12]}, the run was granted {run.base[:12]}"
            )
        for check in evidence.checks:
            yield self._check(seq, check, run.id)

    def _check(self, seq: int, check: CheckResult, run: str) -> str:
        """A check as it was seen to end, and whether its log is still what it was."""
        ended = f"check {check.name}: {check.state.value}, exit {check.exit_code}, {duration(check.took_ms)}"
        if not check.log:
            return ended
        found = kept.digest_of(self._state_dir / check.log)
        if not found:
            return f"{ended}; {self._absent(seq, run or _owner(check.log), DataClass.checks, f'log {check.log}')}"
        if check.log_sha256 and found != check.log_sha256:
            self._miss(seq, f"{check.log} has the hash {found[:16]}, the journal says {check.log_sha256[:16]}")
        return f"{ended}; {check.log}"

    def _absent(self, seq: int, run: str, kind: DataClass, what: str) -> str:
        """Say that a file is gone: because it was pruned, or nobody knows why."""
        gone = self._gone.get(run) if run in self._gone else _pruned_at(self._reader, run)
        at = (gone or {}).get(kind.value)
        if at:
            self.pruned[f"{what} was pruned (#{at})"] = None
            return f"{what}: pruned (#{at})"
        self._miss(seq, f"{what} is missing, and no pruning of it is recorded")
        return f"{what}: missing"

    def _judged(self, seq: int, event: ev.VerdictGiven) -> None:
        evidence = self._evidence.get(event.run)
        if evidence is None or evidence.commit != event.commit:
            there = f"is on {evidence.commit[:12]}" if evidence is not None else "is not there"
            self._miss(seq, f"{event.run}: the verdict is on {event.commit[:12]}, the evidence {there}")
        if event.verdict.kind is VerdictKind.accepted:
            self._accepted.add(event.run)
        else:
            self._accepted.discard(event.run)

    def _landing(self, seq: int, event: ev.LandingStarted) -> None:
        tested = self._tested.get(event.new)
        if tested is None or not tested.passed or tested.tree != event.tree:
            self._miss(
                seq, f"{event.new[:12]} is landed, and no passing test of its tree {event.tree[:12]} is recorded"
            )

    def _landed(self, seq: int, event: ev.RunLanded) -> None:
        if event.run not in self._accepted:
            self._miss(seq, f"{event.run} landed, and no verdict accepts it")
        tested = self._tested.get(event.commit)
        if tested is None or event.run not in tested.runs:
            self._miss(seq, f"{event.run} landed as {event.commit[:12]}, and no test of that commit has it")

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._state_dir))


def _owner(log: str) -> str:
    """The run whose folder a log lies in; empty for one of a batch."""
    parts = log.split("/")
    return parts[1] if len(parts) > 1 and parts[0] == RUNS else ""


def _pruned_at(reader: Reader, run: str) -> dict[str, int]:
    """For each class that was pruned of a run: the entry that says so."""
    return {name: row.seq for row in reader.prunings(run) for name in json.loads(row.classes)} if run else {}
