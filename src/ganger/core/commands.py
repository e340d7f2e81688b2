"""Everything that can be asked: one struct per request, imperative; `core.decide` carries it out or refuses it."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ganger.core.ids import Commit, ItemId, LeaseId, PlanId, QuestionId, RunId, Seq, Token
from ganger.core.model import (
    Again,
    CheckResult,
    CiState,
    EndKind,
    Evidence,
    ItemSpec,
    LeaseMode,
    Liveness,
    Outcome,
    RecoveryFacts,
    RefusalCode,
    Todo,
    ToolUse,
    Usage,
    When,
    WorkerId,
)

NOTE_CHARS_MAX = 4_000
FACT_CHARS_MAX = 1_000
SUMMARY_CHARS_MAX = 20_000
TOOL_USES_MAX, TOOL_CHARS_MAX = 200, 400
"""Tool uses in one command, and characters of each text in them."""
TODOS_MAX = 12
TITLE_CHARS = 72
"""Of a title that is made of a brief."""
CONTEXT_MAX, CONTEXT_CHARS_MAX = 5, 1_000
"""Entries of evidence, and of what is recommended, that a child may report; and characters in each."""


class Request(Struct, frozen=True, tag=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all commands."""


class AddPlan(Request, frozen=True):
    """Make the fleet's items of this plan be what the plan says: add, revise, withdraw."""

    plan: PlanId
    title: str
    path: str
    digest: str
    items: tuple[tuple[ItemSpec, str], ...]
    """Each item with its brief, in the plan's order."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """What the source holds that could not be made an item: where it stands, and why."""
    still_open: tuple[ItemId, ...] = ()
    """Items that the tracker calls open; empty where the source keeps no such state."""


class GrantRun(Request, frozen=True):
    """Give an item to a new run, starting from `base`."""

    item: ItemId
    base: Commit
    repo: str = ""
    """Identity of the repository that `base` was read from."""
    clean: bool = True
    """Whether the target is checked out without uncommitted changes, or not checked out."""
    force: str = ""
    """The person who wants it although it is refused; empty: nobody."""
    weighed: Seq | None = None
    """The position up to which scorers have seen the leases that are held; None: there are no scorers."""
    overruled: bool = False
    """Whether a program that may refuse it does, and `force` names who wants it all the same."""


class AcquireLease(Request, frozen=True):
    """Hold a lane or a scope for somebody whom ganger did not start."""

    holder: str
    lane: str = ""
    """A lane's name; empty when `scope` says what is wanted."""
    scope: tuple[str, ...] = ()
    mode: LeaseMode = LeaseMode.exclusive
    ttl_ms: int = 600_000
    autopick: bool = False
    """Whether another lane will do when this one is busy; the holder must use the one it is given."""
    force: str = ""
    weighed: Seq | None = None
    """As of a `GrantRun`."""
    overruled: bool = False
    """As of a `GrantRun`."""


class RenewLease(Request, frozen=True):
    """Hold a lease for longer."""

    lease: LeaseId
    token: Token
    ttl_ms: int


class ReleaseLease(Request, frozen=True):
    """Give a lease back; `force` names the person who takes away somebody else's."""

    lease: LeaseId
    token: Token
    force: str = ""


class SweepLeases(Request, frozen=True):
    """Note the leases that have run out."""


class AskPlanner(Request, frozen=True):
    """Have the planner asked for new items of a plan, because nothing is left of it."""

    plan: PlanId


class FileFollowUp(Request, frozen=True):
    """A worker files work it came upon as an item of its own."""

    run: RunId
    token: Token
    title: str
    brief: str
    scope: tuple[str, ...]


class SpawnChild(Request, frozen=True):
    """A worker hands a part of its work to a child: a run of its own, within what the asking run may."""

    run: RunId
    token: Token
    kind: str
    title: str
    brief: str
    scope: tuple[str, ...] = ()
    """What it may change, inside the asking run's scope; for a kind that changes nothing, what it is about."""
    agent: str = ""
    """Empty: the asking run's."""
    seeding: str = ""
    """As in `ItemSpec.seeding`."""


def title_of(brief: str) -> str:
    """A title for a brief that has none: the beginning of its first line."""
    return " ".join(brief.strip().partition("\n")[0].split())[:TITLE_CHARS]


class ParkRun(Request, frozen=True):
    """A worker ends its turn until the children of its run have ended."""

    run: RunId
    token: Token


class RepeatTurn(Request, frozen=True):
    """Give a run another turn although its worker did not report."""

    run: RunId
    token: Token
    turn: int
    why: Again
    reason: str


class RecordRecovery(Request, frozen=True):
    """Hand in what is left of a run whose worker vanished; it is judged at once."""

    run: RunId
    token: Token
    turn: int
    facts: RecoveryFacts


class FlagRun(Request, frozen=True):
    """Note that a worker's liveness has changed."""

    run: RunId
    token: Token
    liveness: Liveness
    reason: str


class RecordUsage(Request, frozen=True):
    """Hand in what a turn has spent so far, all of it."""

    run: RunId
    token: Token
    turn: int
    usage: Usage


class RecordLimit(Request, frozen=True):
    """Note that a run's provider refuses; `until_ms` is 0 when nobody knows until when.

    `overload` says that it is busy, rather than a quota used up: it is then asked again after a back-off.
    """

    run: RunId
    token: Token
    until_ms: int
    reason: str
    overload: bool = False


class RewindRun(Request, frozen=True):
    """Put a run's workspace back to a checkpoint; `note` says what is not to be tried again."""

    run: RunId
    commit: Commit
    note: str
    by: str


class RecordRewind(Request, frozen=True):
    """Note that the workspace holds the checkpoint's bytes."""

    run: RunId
    token: Token
    commit: Commit


class ControlPlan(Request, frozen=True):
    """Pause, resume, stop or steer a plan, or have its planner asked."""

    plan: PlanId
    verb: str
    """`pause`, `resume`, `stop`, `steer` or `replan`."""
    text: str = ""
    """The reason of a stop, or the direction to steer in."""


class SetSchedule(Request, frozen=True):
    """Have a plan file read again at set times; `every_ms` is 0 for once."""

    name: str
    path: str
    every_ms: int
    next_ms: int


class RecordFiring(Request, frozen=True):
    """Note that the plan of a schedule was read, because of the time `due_ms` that it was set to; counts once."""

    name: str
    due_ms: int
    outcome: str


class DropSchedule(Request, frozen=True):
    """Forget a schedule."""

    name: str


class CloseBreaker(Request, frozen=True):
    """Have something tried again although it failed so often."""

    key: str


class RecordPruning(Request, frozen=True):
    """Note that kept files of an ended run went into the trash."""

    run: RunId
    classes: tuple[str, ...]
    unreviewed: bool


class RenewPermit(Request, frozen=True):
    """Let a run whose first worker was not started yet begin at the target's tip, which has moved since its grant."""

    run: RunId
    token: Token
    base: Commit
    repo: str = ""
    clean: bool = True


class RecordBase(Request, frozen=True):
    """Hand in what was made of the target and the accepted heads that an item comes after."""

    item: ItemId
    root: Commit
    heads: tuple[tuple[RunId, Commit], ...]
    commit: Commit
    """Empty where they do not go together."""
    conflicts: tuple[str, ...] = ()


class TellRun(Request, frozen=True):
    """Say something to the worker of a live run."""

    run: RunId
    text: str
    when: When
    by: str


class Broadcast(Request, frozen=True):
    """Say something to several live runs: at work or with their next turn, and without a turn of its own."""

    runs: tuple[RunId, ...]
    text: str
    by: str


class AddFact(Request, frozen=True):
    """Put on record what runs are to be told that work on the paths it is about."""

    text: str
    by: str
    about: tuple[str, ...] = ()
    """Patterns of paths; empty: everything."""


class RetractFact(Request, frozen=True):
    """Strike a fact out; it stays on record."""

    fact: Seq
    by: str
    why: str = ""


class GiveMessages(Request, frozen=True):
    """Claim what waits for a run, just before it is handed to the worker of a turn."""

    run: RunId
    token: Token
    turn: int
    at_work: bool = False
    """Whether the worker is at work; otherwise it stands in its brief."""


class RecordRead(Request, frozen=True):
    """Note that a worker went on after messages were handed to it at work."""

    run: RunId
    token: Token
    messages: tuple[Seq, ...]


class RecordWait(Request, frozen=True):
    """Note why a ready item is not admitted."""

    item: ItemId
    code: RefusalCode
    reason: str
    holder: str = ""
    again_ms: int = 0
    """Before this instant it is not asked about again."""


class RecordStart(Request, frozen=True):
    """Note that the worker of a turn runs."""

    run: RunId
    token: Token
    turn: int
    worker: WorkerId


class RecordExit(Request, frozen=True):
    """Note that the worker of a turn is gone, and how it ended."""

    run: RunId
    token: Token
    turn: int
    code: int | None
    signal: int | None = None
    lost: bool = False
    cpu_ms: int = 0
    must_speak: bool = False
    """Whether ending well without a word says nothing; otherwise it says `done`."""


class RenewLeases(Request, frozen=True):
    """Extend leases to the given instants (ms); runs that may not be extended are passed over."""

    until: tuple[tuple[RunId, int], ...]


class ReportDone(Request, frozen=True):
    """A worker says that its item is done."""

    run: RunId
    token: Token
    outcome: Outcome = Outcome.completed
    summary: str = ""
    evidence: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()
    scope_confidence: str = "clear"


class ReportFail(Request, frozen=True):
    """A worker gives up."""

    run: RunId
    token: Token
    reason: str


class AskQuestion(Request, frozen=True):
    """A worker needs an answer and ends its turn."""

    run: RunId
    token: Token
    text: str
    options: tuple[str, ...] = ()
    recommend: str = ""
    risk: str = ""
    audience: str = "person"
    """`person`, or `consult`: an agent is asked first, where one is configured for that."""


class EscalateQuestion(Request, frozen=True):
    """Have a question put to a person that an agent was asked in vain."""

    question: QuestionId


class AddNote(Request, frozen=True):
    """A worker says something to be shown, or as a fact to be told to other workers, as nobody's but its own word."""

    run: RunId
    token: Token
    text: str
    fact: bool = False
    about: tuple[str, ...] = ()
    """Of a fact: patterns of the paths it is about; empty: all of the run's scope."""


class RecordTools(Request, frozen=True):
    """Hand in which tools a worker used, or was denied, as its hooks told."""

    run: RunId
    token: Token
    uses: tuple[ToolUse, ...]


class RecordSilence(Request, frozen=True):
    """Note that a turn's agent used more tools than its hooks asked about."""

    run: RunId
    token: Token
    turn: int
    used: int
    asked: int


class SetTodos(Request, frozen=True):
    """A worker replaces its board."""

    run: RunId
    token: Token
    todos: tuple[Todo, ...]


class AnswerQuestion(Request, frozen=True):
    """A person answers."""

    question: QuestionId
    choice: str
    by: str


class RecordEvidence(Request, frozen=True):
    """Hand in what ganger observed about a candidate; it is judged at once."""

    run: RunId
    token: Token
    turn: int
    evidence: Evidence


class RecordNoEvidence(Request, frozen=True):
    """Hand in that nothing could be observed about a candidate, however often it was tried; a person is asked."""

    run: RunId
    token: Token
    turn: int
    reason: str


class RecordTrain(Request, frozen=True):
    """Hand in how a batch of candidates did on top of the target."""

    members: tuple[tuple[RunId, Token, Commit], ...]
    """Run, token and candidate of each that was taken along, merged or not."""
    runs: tuple[RunId, ...]
    """Those in the tested tree."""
    old: Commit
    commit: Commit
    tree: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    conflicts: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    took_ms: int = 0
    commits: tuple[Commit, ...] = ()
    """After each of the runs, in their order."""
    waits: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    """Those that do not merge with others of this batch, but with the target."""
    tip: Commit = Commit("")
    """Where the journal had the target when the test began; empty: nobody looked."""
    no_lines: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    """Of the conflicts, those with files that no lines can be marked in."""


class RecordProbe(Request, frozen=True):
    """Hand in how an accused candidate did by itself on top of a commit."""

    run: RunId
    token: Token
    candidate: Commit
    onto: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    again: bool = False
    bare: bool = False
    took_ms: int = 0


class JudgeCandidate(Request, frozen=True):
    """Send back an accused candidate about which enough is known."""

    run: RunId
    token: Token


class RecordLanding(Request, frozen=True):
    """Hand in what became of the landing that was started."""

    new: Commit
    state: str
    """`landed`, `moved`, `dirty` or `blocked`, as `git.landing` says."""
    tip: Commit
    detail: tuple[str, ...] = ()


class UndoLanding(Request, frozen=True):
    """Have the landing of an item undone, or an earlier undo; it is named by its commit or by the item."""

    by: str
    item: ItemId = ItemId("")
    """Empty when `commit` says what is meant."""
    commit: str = ""
    """The first hexadecimal digits of a commit that landed an item, or undid it."""
    why: str = ""


class RecordUndo(Request, frozen=True):
    """Hand in how an undo did on top of the target."""

    commit: Commit
    """What is to be undone."""
    old: Commit
    new: Commit
    tree: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    reason: str = ""
    """Why it cannot land; empty when it passed."""
    took_ms: int = 0
    changed: tuple[str, ...] = ()
    """The files of the target that it changes."""


class RecordCi(Request, frozen=True):
    """Hand in what CI says of a commit with which items landed."""

    commit: Commit
    state: CiState
    text: str
    where: str = ""
    """Where it was asked: an address, a file or a command."""


class WaiveCi(Request, frozen=True):
    """Close what landed with a commit although CI is not green on it."""

    commit: Commit
    by: str


class RecordTargetRead(Request, frozen=True):
    """Hand in which of the commits that landed something the target does not contain."""

    tip: Commit
    missing: tuple[Commit, ...] = ()


class StopRun(Request, frozen=True):
    """End a run: its worker is stopped and its work kept."""

    run: RunId
    end: EndKind
    reason: str


class RecordEnd(Request, frozen=True):
    """Note that a run's worker is gone and its work is kept."""

    run: RunId
    token: Token
    end: EndKind
    reason: str
    kept: tuple[str, ...] = ()


class RetryItem(Request, frozen=True):
    """Offer an item again that was given up, stopped or held."""

    item: ItemId


class RecordSupervisor(Request, frozen=True):
    """Note that a supervisor took over or left; `reason` is empty when it took over."""

    pid: int
    host: str
    version: str
    reason: str = ""


Command: TypeAlias = (
    AddPlan
    | GrantRun
    | AcquireLease
    | RenewLease
    | ReleaseLease
    | SweepLeases
    | AskPlanner
    | FileFollowUp
    | SpawnChild
    | ParkRun
    | RepeatTurn
    | RecordRecovery
    | FlagRun
    | RecordUsage
    | RecordLimit
    | RewindRun
    | RecordRewind
    | ControlPlan
    | SetSchedule
    | RecordFiring
    | DropSchedule
    | CloseBreaker
    | RecordPruning
    | RenewPermit
    | RecordWait
    | RecordBase
    | RecordStart
    | RecordExit
    | RenewLeases
    | ReportDone
    | ReportFail
    | AskQuestion
    | EscalateQuestion
    | AddNote
    | TellRun
    | Broadcast
    | AddFact
    | RetractFact
    | GiveMessages
    | RecordRead
    | RecordTools
    | RecordSilence
    | SetTodos
    | AnswerQuestion
    | RecordEvidence
    | RecordNoEvidence
    | RecordTrain
    | RecordProbe
    | JudgeCandidate
    | RecordLanding
    | RecordCi
    | WaiveCi
    | RecordTargetRead
    | UndoLanding
    | RecordUndo
    | StopRun
    | RecordEnd
    | RetryItem
    | RecordSupervisor
)
WorkerCommand: TypeAlias = (
    ReportDone | ReportFail | AskQuestion | AddNote | SetTodos | FileFollowUp | SpawnChild | ParkRun
)
"""What a worker may ask for: nothing here changes policy, another run, or what is accepted."""
