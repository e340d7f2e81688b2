"""Carrying out effects: what each does in the world, and the command that records what came of it.

Every effect finds what an earlier, interrupted try of it left behind, so it can be carried out again at any time.
The world is a seam with two real users: `supervisor.world.RealWorld` and the simulation's.
"""

from __future__ import annotations

from typing import Protocol, assert_never

from msgspec import Struct

from ganger.core import commands as cmd
from ganger.core.effects import (
    CleanWorkspace,
    CollectEvidence,
    Effect,
    EndRun,
    Land,
    Observed,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
)
from ganger.core.ids import Commit, RunId
from ganger.core.model import CheckResult, Evidence, ItemSpec, Refusal, WorkerId
from ganger.core.state import Run, State
from ganger.service.fleet import Fleet, Reply

ACTOR = "supervisor"


class Tested(Struct, frozen=True):
    """How a batch of candidates did on top of the target."""

    runs: tuple[RunId, ...]
    """Those that were merged, in order."""
    old: Commit
    commit: Commit
    tree: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    conflicts: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    took_ms: int = 0


class LandSeen(Struct, frozen=True):
    """What became of a landing: `landed`, `moved`, `dirty` or `blocked`, and where the target is."""

    state: str
    tip: Commit
    detail: tuple[str, ...] = ()


class World(Protocol):
    """Everything outside the journal. Methods raise WorldFailed or GitFailed when they could not do it."""

    def observe(self, state: State, now_ms: int) -> Observed:
        """See what is; quick, called with the fleet's lock held."""
        ...

    def start(self, run: Run, spec: ItemSpec, turn: int) -> WorkerId:
        """Start the worker of a turn, or find the one that was started before; makes the workspace if need be."""
        ...

    def stop(self, run: Run) -> None:
        """Stop the worker and everything it started; returns when nothing of it is left."""
        ...

    def collect(self, run: Run, spec: ItemSpec) -> Evidence:
        """Fetch the candidate, look at it, check it."""
        ...

    def test(self, members: tuple[tuple[Run, ItemSpec], ...]) -> Tested:
        """Merge candidates onto the target and check the whole."""
        ...

    def land(self, old: Commit, new: Commit, tree: Commit) -> LandSeen:
        """Move the target by compare-and-swap, or find it moved already."""
        ...

    def keep(self, run: Run) -> tuple[str, ...]:
        """Make every byte the worker left reachable in the hub, and nothing of the worker alive."""
        ...

    def clean(self, run: RunId) -> None:
        """Put the workspace of an ended run into the trash, after its work is kept."""
        ...


def carry_out(effect: Effect, fleet: Fleet, world: World) -> Reply | None:
    """Do one effect and record what came of it; None when it has become pointless meanwhile."""
    match effect:
        case Submit():
            return fleet.submit(effect.command, ACTOR)
        case StartWorker():
            return _start(effect, fleet, world)
        case StopWorker():
            run = _run(fleet, effect.run)
            if run is not None:
                world.stop(run)
            return None
        case CollectEvidence():
            return _collect(effect, fleet, world)
        case TestTrain():
            return _test(effect, fleet, world)
        case Land():
            seen = world.land(effect.old, effect.new, effect.tree)
            return fleet.submit(cmd.RecordLanding(effect.new, seen.state, seen.tip, seen.detail), ACTOR)
        case EndRun():
            return _end(effect, fleet, world)
        case CleanWorkspace():
            world.clean(effect.run)
            return None
        case _:
            assert_never(effect)


def _run(fleet: Fleet, run_id: RunId) -> Run | None:
    return fleet.look(lambda state, _: state.runs.get(run_id))


def _spec(fleet: Fleet, run: Run) -> ItemSpec:
    return fleet.look(lambda state, _: state.items[run.item].spec)


def _start(effect: StartWorker, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or not run.turn_due or run.turn + 1 != effect.turn:
        return None
    worker = world.start(run, _spec(fleet, run), effect.turn)
    return fleet.submit(cmd.RecordStart(run.id, run.lease.token, effect.turn, worker), ACTOR)


def _collect(effect: CollectEvidence, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or run.turn != effect.turn or run.evidence is not None:
        return None
    evidence = world.collect(run, _spec(fleet, run))
    return fleet.submit(cmd.RecordEvidence(run.id, run.lease.token, effect.turn, evidence), ACTOR)


def _test(effect: TestTrain, fleet: Fleet, world: World) -> Reply | None:
    members = fleet.look(
        lambda state, _: tuple(
            (run, state.items[run.item].spec)
            for run_id in effect.runs
            if (run := state.runs.get(run_id)) is not None and run.accepted_seq and run.evidence is not None
        )
    )
    if not members:
        return None
    tested = world.test(members)
    return fleet.submit(
        cmd.RecordTrain(
            members=tuple((run.id, run.lease.token, run.evidence.commit) for run, _ in members if run.evidence),
            runs=tested.runs,
            old=tested.old,
            commit=tested.commit,
            tree=tested.tree,
            passed=tested.passed,
            checks=tested.checks,
            conflicts=tested.conflicts,
            took_ms=tested.took_ms,
        ),
        ACTOR,
    )


def _end(effect: EndRun, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or run.has_worker:
        return None
    kept = world.keep(run)
    reply = fleet.submit(cmd.RecordEnd(run.id, run.lease.token, effect.end, effect.reason, kept), ACTOR)
    if not isinstance(reply, Refusal):
        world.clean(run.id)
    return reply
