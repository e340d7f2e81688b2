"""Everything ganger does in the world, as data, and what it observes there.

Every effect may be carried out twice: the second time finds the first one's result. `key` names what must not be
done twice at once.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct, field

from ganger.core.commands import Command
from ganger.core.ids import Commit, RunId
from ganger.core.model import EndKind


class Exit(Struct, frozen=True, gc=False):
    """How a worker's process was seen to have ended."""

    turn: int
    code: int | None
    signal: int | None = None
    lost: bool = False
    cpu_ms: int = 0


class Observed(Struct, frozen=True):
    """The world as it was seen just now."""

    target: Commit = Commit("")
    """Tip of the target branch in the user's repository; empty when it is gone."""
    alive: frozenset[RunId] = frozenset()
    """Runs whose recorded worker process lives."""
    exits: dict[RunId, Exit] = field(default_factory=dict)
    """Runs whose recorded worker process is gone."""
    active_ms: dict[RunId, int] = field(default_factory=dict)
    """When a living worker last showed activity of its own."""
    starting: frozenset[RunId] = frozenset()
    """Runs whose next worker is being started, or was, without that being recorded yet; each takes up room."""
    workspaces: frozenset[RunId] = frozenset()
    """Runs that have a workspace on disk."""
    look_again_ms: int | None = None
    """When the world should be looked at again although nothing tells of a change; None: no need."""
    target_clean: bool = True
    """False while the target branch is checked out with uncommitted changes; only looked at when it matters."""


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
    """Stop a worker and everything it started."""

    run: RunId

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
    """Merge these candidates onto the target and check the whole."""

    __test__ = False
    runs: tuple[RunId, ...]

    @property
    def key(self) -> str:
        return "train"


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


class CleanWorkspace(Struct, frozen=True):
    """Put the workspace of a run that has ended into the trash, after its work is kept."""

    run: RunId

    @property
    def key(self) -> str:
        return f"run {self.run}"


Effect: TypeAlias = Submit | StartWorker | StopWorker | CollectEvidence | TestTrain | Land | EndRun | CleanWorkspace
