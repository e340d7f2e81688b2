"""Everything that can happen: one struct per fact, past tense, as it stands in the journal.

A field is never removed and never changes its meaning; a new field has a default, so that every journal ever written
can be read. `journal.codec` writes them with the struct's name as the tag.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ganger.core.ids import Commit, ItemId, LeaseId, PlanId, QuestionId, RunId, Seq
from ganger.core.model import (
    Again,
    CheckResult,
    CiState,
    EndKind,
    Evidence,
    ItemSpec,
    LeaseMode,
    Liveness,
    Question,
    RefusalCode,
    Report,
    Todo,
    ToolUse,
    Usage,
    Verdict,
    When,
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
    unreadable: tuple[tuple[str, str], ...] = ()
    """What its source holds that could not be made an item: where it stands, and why."""
    still_open: tuple[ItemId, ...] = ()
    """Items that its tracker calls open; empty where the source keeps no such state."""


class PlanPaused(Fact, frozen=True):
    """No more runs are granted for the plan's items; live ones go on."""

    plan: PlanId


class PlanResumed(Fact, frozen=True):
    """The plan's items are offered again."""

    plan: PlanId


class PlanStopped(Fact, frozen=True):
    """The plan is over: its live runs are stopped and its items not offered until it is resumed."""

    plan: PlanId
    reason: str


class PlanSteered(Fact, frozen=True):
    """A person gave all later turns of the plan's runs a direction; empty text takes it back."""

    plan: PlanId
    text: str


class ScheduleSet(Fact, frozen=True):
    """A plan file is to be read again at set times, also after a restart."""

    name: str
    path: str
    every_ms: int
    next_ms: int


class ScheduleFired(Fact, frozen=True):
    """The plan of a schedule was read at its time."""

    name: str
    next_ms: int
    outcome: str
    """What came of it, in a line."""
    due_ms: int = 0
    """The time that had come."""


class ScheduleDropped(Fact, frozen=True):
    """A schedule is no more."""

    name: str


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
    again_ms: int = 0
    """Before this instant it is not asked about again; 0 when something else decides that."""


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
    kind: str = ""
    lane: str = ""
    alone: bool = False
    depth: int = 0
    reserved: Usage = Usage()
    """The most it may spend; taken from what its item, its plan and the fleet may spend."""
    permit_ms: int = 0
    """Its first worker must be started before this instant; 0: no such limit."""
    forced_by: str = ""
    """The person who had it granted although it was refused."""
    root: Commit = Commit("")
    """The commit of the target that `base` was made of; empty when that is `base`."""
    stands_on: tuple[tuple[RunId, Commit], ...] = ()
    """The accepted candidates that `base` was made of, besides."""
    spawner: RunId = RunId("")
    """The run whose worker has this done for it: what is reserved is taken from that one's reservation."""


class BaseMade(Fact, frozen=True):
    """The target was merged with the accepted heads that an item comes after; its next run begins there."""

    item: ItemId
    root: Commit
    """The target."""
    heads: tuple[tuple[RunId, Commit], ...]
    commit: Commit
    """Empty where they do not go together."""
    conflicts: tuple[str, ...] = ()
    """The files in which they do not."""


class PermitRenewed(Fact, frozen=True):
    """A run whose first worker was not started yet begins at the target's new tip instead."""

    run: RunId
    base: Commit
    permit_ms: int = 0
    """Its first worker must be started before this instant; 0: no such limit."""


class LeaseGranted(Fact, frozen=True):
    """Somebody whom ganger did not start holds a scope; the position of this entry is the token."""

    holder: str
    scope: tuple[str, ...]
    mode: LeaseMode
    expires_ms: int
    lane: str = ""
    alone: bool = False
    forced_by: str = ""


class LeaseExtended(Fact, frozen=True):
    """A lease that belongs to no run was renewed by its holder."""

    lease: LeaseId
    expires_ms: int


class LeaseEnded(Fact, frozen=True):
    """A lease that belongs to no run is no more."""

    lease: LeaseId
    reason: str
    """`released`, `expired`, or what a person said who took it away."""


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


class TurnRepeated(Fact, frozen=True):
    """A run gets another turn although its worker did not report; one that still lives is stopped first."""

    run: RunId
    turn: int
    why: Again
    reason: str
    not_before_ms: int = 0


class RunFlagged(Fact, frozen=True):
    """A worker's liveness changed to something a person may want to see; nothing is done about it."""

    run: RunId
    liveness: Liveness
    reason: str


class UsageRecorded(Fact, frozen=True):
    """What a turn has spent so far, as metered; each record replaces the one before."""

    run: RunId
    turn: int
    usage: Usage


class ProviderLimited(Fact, frozen=True):
    """A provider refuses its agents until then."""

    provider: str
    until_ms: int
    reason: str
    run: RunId = RunId("")
    """The run that met with it."""
    overload: bool = False
    """Whether it is busy, rather than a quota used up."""


class BreakerOpened(Fact, frozen=True):
    """Something failed so often in a row that it is not tried for a while."""

    key: str
    """`kind:NAME`, `agent:NAME` or `check:NAME`."""
    reason: str
    until_ms: int
    launch: bool = False
    """Whether its workers could not even be started."""


class BreakerClosed(Fact, frozen=True):
    """A try went well, or a person said so: the breaker refuses no more."""

    key: str


class RunRewound(Fact, frozen=True):
    """A person had a run's workspace put back to a checkpoint that ganger made."""

    run: RunId
    commit: Commit
    note: str
    """What is not to be tried again; the next brief holds it."""
    by: str


class WorkspaceRewound(Fact, frozen=True):
    """The workspace of a rewound run holds the checkpoint's bytes."""

    run: RunId
    commit: Commit


class Forbade(Fact, frozen=True):
    """Somebody asked for what is not theirs to ask for; said once per run and kind of request."""

    actor: str
    what: str
    reason: str
    run: RunId = RunId("")


class RunPruned(Fact, frozen=True):
    """Kept files of an ended run were put into the trash."""

    run: RunId
    classes: tuple[str, ...]
    """`prompts`, `output` or `checks`."""
    unreviewed: bool
    """Whether nobody had looked at it or decided on it: a debt, since nobody can any more."""


class RunReported(Fact, frozen=True):
    """A worker said that it is done, or that it gives up. Nothing is believed yet."""

    run: RunId
    turn: int
    report: Report


class RunParked(Fact, frozen=True):
    """A worker ended its turn until the children of its run have ended; what came of them is in its next brief."""

    run: RunId
    turn: int


class NoteAdded(Fact, frozen=True):
    """A worker said something to be shown, never to be acted on."""

    run: RunId
    text: str


class FactAdded(Fact, frozen=True):
    """Something is known that others are to be told; the position of this entry is its number."""

    text: str
    by: str = ""
    """The person; empty when a worker noted it, and nobody has checked it."""
    about: tuple[str, ...] = ()
    """Patterns of paths; empty: everything."""
    run: RunId = RunId("")
    """The run whose worker noted it; empty for a person's."""


class FactRetracted(Fact, frozen=True):
    """A fact does not hold any more: nobody is told of it from here on."""

    fact: Seq
    by: str
    """The person; empty when it gave way to newer ones of workers."""
    why: str = ""


class MessageSent(Fact, frozen=True):
    """Something was said to a run and waits for its worker; the position of this entry is its number."""

    run: RunId
    text: str
    when: When
    by: str = ""
    """The person; empty when ganger gives notice."""
    landing: Commit = Commit("")
    """What landed that it is about; empty for what a person says."""
    child: RunId = RunId("")
    """The child of the run that has ended, and whose result this is; empty for everything else."""


class MessagesDelivered(Fact, frozen=True):
    """Messages are handed to the worker of a turn from here on, and to nobody else."""

    run: RunId
    turn: int
    messages: tuple[Seq, ...]
    at_work: bool = False
    """Whether while it works; otherwise they stand in its brief."""


class MessagesRead(Fact, frozen=True):
    """A worker that messages were handed to went on after that."""

    run: RunId
    messages: tuple[Seq, ...]


class ToolsUsed(Fact, frozen=True):
    """The hooks of a worker told of tools it used, or was denied. They are reports: nothing rests on them."""

    run: RunId
    uses: tuple[ToolUse, ...]


class GuardSilent(Fact, frozen=True):
    """A worker's agent used tools about which its hooks should have asked, and did not."""

    run: RunId
    turn: int
    used: int
    """Uses of such tools that came back in the turn."""
    asked: int
    """How many of them the gate was asked about."""


class TodosSet(Fact, frozen=True):
    """A worker replaced its board."""

    run: RunId
    todos: tuple[Todo, ...]


class QuestionAsked(Fact, frozen=True):
    """Something waits for a person."""

    question: Question


class QuestionAnswered(Fact, frozen=True):
    """A person answered exactly this question; or an agent that was asked in a person's place."""

    question: QuestionId
    choice: str
    by: str
    """`agent:NAME` for an agent."""


class QuestionEscalated(Fact, frozen=True):
    """A question that an agent was asked first is a person's to answer from here on."""

    question: QuestionId
    reason: str


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
    commits: tuple[Commit, ...] = ()
    """After each of the runs, in their order; empty in old entries."""
    waits: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    """Runs left out because they do not merge with others of this batch, with the paths; they are tried again."""


class CandidateProbed(Fact, frozen=True):
    """A candidate that was left alone with a failure was tested by itself; nothing is landed by that."""

    run: RunId
    onto: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    again: bool = False
    """Whether it was known to fail there, and was run again."""
    bare: bool = False
    """Whether `onto` was tested without the candidate."""
    took_ms: int = 0


class PairFound(Fact, frozen=True):
    """Two candidates that pass each without the other fail together; `other` has landed, `run` goes back."""

    run: RunId
    other: RunId
    commit: Commit
    """The commit of the target with which `other` landed."""


class TargetFoundRed(Fact, frozen=True):
    """The target fails by itself: nothing is landed on it, and no candidate is blamed."""

    commit: Commit
    run: RunId
    """The candidate whose checks found it."""
    checks: tuple[CheckResult, ...] = ()


class LandingStarted(Fact, frozen=True):
    """The target may be moved from `old` to `new`; tokens and leases were good at this position and stay so."""

    runs: tuple[RunId, ...]
    old: Commit
    new: Commit
    tree: Commit
    commits: tuple[Commit, ...] = ()
    """After each of the runs, in their order; empty in old entries."""
    undo: Commit = Commit("")
    """What is undone by it; there are no runs then."""


class LandingAbandoned(Fact, frozen=True):
    """The target was not moved: somebody else moved it, or a person said no."""

    new: Commit
    reason: str


class RunLanded(Fact, frozen=True):
    """The run's candidate is on the target; run and lease end here."""

    run: RunId
    commit: Commit
    """The commit of the target branch that contains it and whose tree was tested."""
    merge: Commit = Commit("")
    """The commit that merged it, and nothing else; empty in old entries."""
    awaits_ci: bool = False
    """Whether the item is closed only when CI is green on that commit."""
    holds: bool = False
    """With that: whether what comes after the item waits until then."""


class CiSaid(Fact, frozen=True):
    """CI was asked about a commit with which items landed, and this was seen."""

    commit: Commit
    state: CiState
    text: str
    """The checks, the cause, or what was seen instead of an answer."""
    where: str = ""
    """Where it was asked: an address, a file or a command."""
    again_ms: int = 0
    """When it is asked again, if that is still wanted."""


class CiWaived(Fact, frozen=True):
    """A person closed what landed with a commit although CI is not green on it."""

    commit: Commit
    by: str


class TargetRead(Fact, frozen=True):
    """The target was read back: whether it contains what is recorded as landed."""

    tip: Commit
    """Empty when there is no such branch any more."""
    missing: tuple[Commit, ...] = ()
    """Commits that landed something, and that the tip does not contain."""


class LossAccepted(Fact, frozen=True):
    """A person knows that the target does not contain these landings any more, and leaves it so."""

    commits: tuple[Commit, ...]
    by: str


class UndoRequested(Fact, frozen=True):
    """A person wants the landing of an item undone, or with `back` an earlier undo of it."""

    commit: Commit
    """Its change is to be taken back."""
    item: ItemId
    run: RunId
    """Whose work it is about."""
    by: str
    why: str = ""
    back: bool = False


class UndoTested(Fact, frozen=True):
    """An undo was worked out on the target as it was, and its tree checked as a whole."""

    commit: Commit
    """What it undoes."""
    item: ItemId
    old: Commit
    new: Commit
    """Empty when it could not be worked out."""
    tree: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    reason: str = ""
    """Why it cannot land; empty when it passed."""
    took_ms: int = 0
    changed: tuple[str, ...] = ()
    """The files of the target that it changes."""


class UndoDropped(Fact, frozen=True):
    """A person wants it undone no longer."""

    commit: Commit
    item: ItemId
    by: str


class LandingUndone(Fact, frozen=True):
    """The target holds the change of an item no longer; or with `back`, again."""

    commit: Commit
    """What was undone."""
    item: ItemId
    run: RunId
    new: Commit
    """The commit of the target branch that did it and whose tree was tested."""
    by: str
    why: str = ""
    back: bool = False
    awaits_ci: bool = False
    """Whether the item, back again, is closed only when CI is green on `new`."""
    holds: bool = False
    """With that: whether what comes after the item waits until then."""


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
    | PlanPaused
    | PlanResumed
    | PlanStopped
    | PlanSteered
    | ScheduleSet
    | ScheduleFired
    | ScheduleDropped
    | PermitRenewed
    | BaseMade
    | LeaseGranted
    | LeaseExtended
    | LeaseEnded
    | TurnRepeated
    | RunFlagged
    | UsageRecorded
    | ProviderLimited
    | BreakerOpened
    | BreakerClosed
    | RunRewound
    | WorkspaceRewound
    | Forbade
    | RunPruned
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
    | RunParked
    | NoteAdded
    | FactAdded
    | FactRetracted
    | MessageSent
    | MessagesDelivered
    | MessagesRead
    | ToolsUsed
    | GuardSilent
    | TodosSet
    | QuestionAsked
    | QuestionAnswered
    | QuestionEscalated
    | QuestionWithdrawn
    | EvidenceRecorded
    | VerdictGiven
    | TrainTested
    | CandidateProbed
    | PairFound
    | TargetFoundRed
    | LandingStarted
    | LandingAbandoned
    | RunLanded
    | CiSaid
    | CiWaived
    | TargetRead
    | LossAccepted
    | UndoRequested
    | UndoTested
    | UndoDropped
    | LandingUndone
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
