"""Everything that can happen: one struct per fact, past tense, as it stands in the journal.

A field is never removed and never changes its meaning; a new field has a default, so that every journal ever written
can be read. `journal.codec` writes them with the struct's name as the tag.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ganger.core.ids import Commit, ItemId, PlanId, QuestionId, RunId, Seq
from ganger.core.model import (
    CheckResult,
    EndKind,
    Evidence,
    ItemSpec,
    LeaseMode,
    Question,
    RefusalCode,
    Report,
    Todo,
    Verdict,
    WorkerId,
)


class Fact(Struct, frozen=True, tag=True, gc=False, omit_defaults=True):
    """Base of all events."""


class PlanAdded(Fact, frozen=True):
    """A plan was read for the first time, or again with other content."""

    plan: PlanId
    title: str
    path: str
    digest: str


class ItemAdded(Fact, frozen=True):
    """An item entered the fleet."""

    spec: ItemSpec
    brief: str


class ItemRevised(Fact, frozen=True):
    """The plan's text of an item changed; later runs follow it, a live one goes on under the old."""

    spec: ItemSpec
    brief: str


class ItemWithdrawn(Fact, frozen=True):
    """An item is in its plan no longer."""

    item: ItemId


class ItemWaited(Fact, frozen=True):
    """A ready item could not be admitted; said once per reason and holder, not once per try."""

    item: ItemId
    code: RefusalCode
    reason: str
    holder: str = ""


class ItemRetried(Fact, frozen=True):
    """A person put an item back: its failed attempts and holds are forgotten, its numbers go on."""

    item: ItemId


class RunGranted(Fact, frozen=True):
    """A run was born, with its lease; the position of this entry is its token."""

    run: RunId
    item: ItemId
    attempt: int
    base: Commit
    scope: tuple[str, ...]
    mode: LeaseMode
    expires_ms: int
    agent: str


class LeasesRenewed(Fact, frozen=True):
    """Leases of runs that were seen to be active, or that ganger itself keeps waiting."""

    until: tuple[tuple[RunId, int], ...]


class WorkerStarted(Fact, frozen=True):
    """A worker's process runs: the `turn`-th (from 1) of its run."""

    run: RunId
    turn: int
    worker: WorkerId


class WorkerExited(Fact, frozen=True):
    """A worker's process and everything it had started are gone."""

    run: RunId
    turn: int
    code: int | None
    signal: int | None = None
    lost: bool = False
    """How it ended is not known: the one who would have told was killed as well."""
    cpu_ms: int = 0


class RunReported(Fact, frozen=True):
    """A worker said that it is done, or that it gives up. Nothing is believed yet."""

    run: RunId
    turn: int
    report: Report


class NoteAdded(Fact, frozen=True):
    """A worker said something to be shown, never to be acted on."""

    run: RunId
    text: str


class TodosSet(Fact, frozen=True):
    """A worker replaced its board."""

    run: RunId
    todos: tuple[Todo, ...]


class QuestionAsked(Fact, frozen=True):
    """Something waits for a person."""

    question: Question


class QuestionAnswered(Fact, frozen=True):
    """A person answered exactly this question."""

    question: QuestionId
    choice: str
    by: str


class QuestionWithdrawn(Fact, frozen=True):
    """The question has no object any more."""

    question: QuestionId
    reason: str


class EvidenceRecorded(Fact, frozen=True):
    """Ganger looked at a candidate itself."""

    run: RunId
    turn: int
    evidence: Evidence


class VerdictGiven(Fact, frozen=True):
    """The evidence was judged."""

    run: RunId
    commit: Commit
    verdict: Verdict
    again: bool = False
    """After a rejection: whether the run gets another turn."""


class TrainTested(Fact, frozen=True):
    """A batch of candidates was merged onto the target and checked as a whole."""

    runs: tuple[RunId, ...]
    """The runs whose candidates are in the tested tree, in the order they were merged."""
    old: Commit
    commit: Commit
    tree: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    conflicts: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    """Runs left out because they do not merge, with the paths."""
    took_ms: int = 0


class LandingStarted(Fact, frozen=True):
    """The target may be moved from `old` to `new`; tokens and leases were good at this position and stay so."""

    runs: tuple[RunId, ...]
    old: Commit
    new: Commit
    tree: Commit


class LandingAbandoned(Fact, frozen=True):
    """The target was not moved: somebody else moved it, or a person said no."""

    new: Commit
    reason: str


class RunLanded(Fact, frozen=True):
    """The run's candidate is on the target; run and lease end here."""

    run: RunId
    commit: Commit
    """The commit of the target branch that contains it and whose tree was tested."""


class StopRequested(Fact, frozen=True):
    """A run is to end; its worker is stopped first and its work salvaged."""

    run: RunId
    end: EndKind
    reason: str


class RunEnded(Fact, frozen=True):
    """A run and its lease ended without landing."""

    run: RunId
    end: EndKind
    reason: str
    counts: bool = True
    """Whether it uses up one of the item's attempts."""
    cool_until_ms: int = 0
    kept: tuple[str, ...] = ()
    """Refs in the hub that hold what the worker left."""


class SupervisorStarted(Fact, frozen=True):
    """A supervisor took over the fleet."""

    pid: int
    host: str
    version: str


class SupervisorStopped(Fact, frozen=True):
    """A supervisor left the fleet in good order."""

    pid: int
    reason: str


Event: TypeAlias = (
    PlanAdded
    | ItemAdded
    | ItemRevised
    | ItemWithdrawn
    | ItemWaited
    | ItemRetried
    | RunGranted
    | LeasesRenewed
    | WorkerStarted
    | WorkerExited
    | RunReported
    | NoteAdded
    | TodosSet
    | QuestionAsked
    | QuestionAnswered
    | QuestionWithdrawn
    | EvidenceRecorded
    | VerdictGiven
    | TrainTested
    | LandingStarted
    | LandingAbandoned
    | RunLanded
    | StopRequested
    | RunEnded
    | SupervisorStarted
    | SupervisorStopped
)


class Entry(Struct, frozen=True, gc=False):
    """An event at its place in the journal."""

    seq: Seq
    at_ms: int
    """Store clock when it was appended; never goes back."""
    actor: str
    """`person:NAME`, `worker:RUN` or `supervisor`."""
    event: Event
