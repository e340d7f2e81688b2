"""Everything that can be asked: one struct per request, imperative; `core.decide` carries it out or refuses it."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ganger.core.ids import Commit, ItemId, PlanId, QuestionId, RunId, Token
from ganger.core.model import CheckResult, EndKind, Evidence, ItemSpec, Outcome, RefusalCode, Todo, WorkerId

NOTE_CHARS_MAX = 4_000
SUMMARY_CHARS_MAX = 20_000
TODOS_MAX = 12


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


class GrantRun(Request, frozen=True):
    """Give an item to a new run, starting from `base`."""

    item: ItemId
    base: Commit


class RecordWait(Request, frozen=True):
    """Note why a ready item is not admitted."""

    item: ItemId
    code: RefusalCode
    reason: str
    holder: str = ""


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


class AddNote(Request, frozen=True):
    """A worker says something to be shown."""

    run: RunId
    token: Token
    text: str


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


class RecordLanding(Request, frozen=True):
    """Hand in what became of the landing that was started."""

    new: Commit
    state: str
    """`landed`, `moved`, `dirty` or `blocked`, as `git.landing` says."""
    tip: Commit
    detail: tuple[str, ...] = ()


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
    | RecordWait
    | RecordStart
    | RecordExit
    | RenewLeases
    | ReportDone
    | ReportFail
    | AskQuestion
    | AddNote
    | SetTodos
    | AnswerQuestion
    | RecordEvidence
    | RecordTrain
    | RecordLanding
    | StopRun
    | RecordEnd
    | RetryItem
    | RecordSupervisor
)
WorkerCommand: TypeAlias = ReportDone | ReportFail | AskQuestion | AddNote | SetTodos
"""What a worker may ask for: nothing here changes policy, another run, or what is accepted."""
