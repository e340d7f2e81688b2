"""Everything ganger does in the world, as data, and what it observes there.

Every effect may be carried out twice: the second time finds the first one's result. `key` names what must not be
done twice at once.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct, field

from ganger.core.commands import Command
from ganger.core.ids import Commit, ItemId, RunId
from ganger.core.model import EndKind, Usage
from ganger.core.train import Trial


class Exit(Struct, frozen=True, gc=False):
    """How a worker's process was seen to have ended."""

    turn: int
    code: int | None
    signal: int | None = None
    lost: bool = False
    cpu_ms: int = 0
    must_speak: bool = False
    """Whether a worker of its agent has said nothing when it ends without a word; otherwise that says `done`."""


class Clocks(Struct, frozen=True, gc=False):
    """When a living worker was last seen to do what; each clock runs by itself. 0: never."""

    heartbeat_ms: int = 0
    """Processor time was used, by it or by what it started."""
    output_ms: int = 0
    """It wrote output."""
    artefact_ms: int = 0
    """A commit was made, or a file of its own workspace changed."""
    same_calls: int = 0
    """Identical tool calls in a row, the last ones."""
    age_ms: int = 0
    """How long it has lived, by a clock that neither jumps nor counts while the machine sleeps."""

    @property
    def active_ms(self) -> int:
        """When it was last seen to do anything."""
        return max(self.heartbeat_ms, self.output_ms, self.artefact_ms)


class Limit(Struct, frozen=True, gc=False):
    """A provider's refusal, as a worker's output tells of it."""

    until_ms: int
    """When it opens again; 0 when it does not say."""
    reason: str
    overload: bool = False
    """Whether it is busy, rather than a quota used up."""


class Silence(Struct, frozen=True):
    """That a turn's agent used more tools than its hooks asked about."""

    turn: int
    used: int
    asked: int


class Observed(Struct, frozen=True):
    """The world as it was seen just now."""

    target: Commit = Commit("")
    """Tip of the target branch in the user's repository; empty when it is gone."""
    alive: frozenset[RunId] = frozenset()
    """Runs whose recorded worker process lives."""
    exits: dict[RunId, Exit] = field(default_factory=dict)
    """Runs whose recorded worker process is gone."""
    clocks: dict[RunId, Clocks] = field(default_factory=dict)
    """What living workers were seen to do."""
    usage: dict[RunId, Usage] = field(default_factory=dict)
    """What the last turn of a run has spent so far, as its output says; living or just ended."""
    limits: dict[RunId, Limit] = field(default_factory=dict)
    """Runs whose last turn met with a provider's limit."""
    silent: dict[RunId, Silence] = field(default_factory=dict)
    """Runs in whose last turn the guard does not work; living or just ended."""
    repo: str = ""
    """Identity of the user's repository."""
    starting: frozenset[RunId] = frozenset()
    """Runs whose next worker is being started, or was, without that being recorded yet; each takes up room."""
    workspaces: frozenset[RunId] = frozenset()
    """Runs that have a workspace on disk."""
    look_again_ms: int | None = None
    """When the world should be looked at again although nothing tells of a change; None: no need."""
    target_clean: bool = True
    """False while the target branch is checked out with uncommitted changes; only looked at when it matters."""
    testing: frozenset[Trial] = frozenset()
    """Tests of the train that are under way."""


class Submit(Struct, frozen=True):
    """Ask for a change; it is decided on the newest state."""

    command: Command

    @property
    def key(self) -> str:
        return f"submit {self.command!r}"


class StartWorker(Struct, frozen=True):
    """Make the workspace if there is none, and start the worker of the given turn."""

    run: RunId
    turn: int

    @property
    def key(self) -> str:
        return f"run {self.run}"


class StopWorker(Struct, frozen=True):
    """Stop the worker of a turn and everything it started."""

    run: RunId
    turn: int

    @property
    def key(self) -> str:
        return f"stop {self.run}"


class CollectEvidence(Struct, frozen=True):
    """Fetch what the worker left, look at it and check it."""

    run: RunId
    turn: int

    @property
    def key(self) -> str:
        return f"run {self.run}"


class TestTrain(Struct, frozen=True):
    """Merge these candidates onto the target and check the whole; or test an accused one by itself (`train.Trial`)."""

    __test__ = False
    runs: tuple[RunId, ...]
    onto: Commit = Commit("")
    again: bool = False
    bare: bool = False

    @property
    def key(self) -> str:
        return f"train {' '.join(self.runs)} {self.onto}{' again' * self.again}{' bare' * self.bare}"

    @property
    def trial(self) -> Trial:
        """What is tested."""
        return Trial(self.runs, self.onto, self.again, self.bare)


class TestUndo(Struct, frozen=True):
    """Work out on the target what a person wants undone, and check the whole."""

    __test__ = False
    commit: Commit

    @property
    def key(self) -> str:
        return f"undo {self.commit}"


class Land(Struct, frozen=True):
    """Move the target from `old` to `new` by compare-and-swap."""

    old: Commit
    new: Commit
    tree: Commit

    @property
    def key(self) -> str:
        return "train"


class EndRun(Struct, frozen=True):
    """Keep what the worker left, then end the run."""

    run: RunId
    end: EndKind
    reason: str

    @property
    def key(self) -> str:
        return f"run {self.run}"


class Recover(Struct, frozen=True):
    """Look at what is left of a run whose worker vanished."""

    run: RunId
    turn: int

    @property
    def key(self) -> str:
        return f"run {self.run}"


class Rewind(Struct, frozen=True):
    """Put the workspace of a run back to a checkpoint, after what is in it is kept."""

    run: RunId
    commit: Commit

    @property
    def key(self) -> str:
        return f"run {self.run}"


class MakeBase(Struct, frozen=True):
    """Merge the target with the accepted heads that an item comes after."""

    item: ItemId
    heads: tuple[tuple[RunId, Commit], ...]

    @property
    def key(self) -> str:
        return f"base {self.item}"


class AskCi(Struct, frozen=True):
    """Ask CI about a commit with which items landed."""

    commit: Commit

    @property
    def key(self) -> str:
        return f"ci {self.commit}"


class ReadTarget(Struct, frozen=True):
    """Read back from the target whether it contains what is recorded as landed."""

    tip: Commit
    """Where the target was seen to be."""

    @property
    def key(self) -> str:
        return "read target"


class ReadPlan(Struct, frozen=True):
    """Read the plan file of a schedule again, and make the fleet's items be what it says."""

    schedule: str
    path: str
    due_ms: int
    """The time of the schedule that has come: it is what is recorded as used up, and no other."""

    @property
    def key(self) -> str:
        return f"schedule {self.schedule}"


class CleanWorkspace(Struct, frozen=True):
    """Put the workspace of a run that has ended into the trash, after its work is kept."""

    run: RunId

    @property
    def key(self) -> str:
        return f"run {self.run}"


Effect: TypeAlias = (
    Submit
    | StartWorker
    | StopWorker
    | CollectEvidence
    | TestTrain
    | TestUndo
    | Land
    | EndRun
    | Recover
    | Rewind
    | MakeBase
    | AskCi
    | ReadTarget
    | ReadPlan
    | CleanWorkspace
)
