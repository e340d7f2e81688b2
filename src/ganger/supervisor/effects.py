"""Carrying out effects: what each does in the world, and the command that records what came of it.

Every effect finds what an earlier, interrupted try of it left behind, so it can be carried out again at any time.
The world is a seam with two real users: `supervisor.world.RealWorld` and the simulation's.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol, assert_never

from msgspec import Struct

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import (
    CleanWorkspace,
    CollectEvidence,
    Effect,
    EndRun,
    Land,
    Observed,
    ReadPlan,
    Recover,
    Rewind,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
)
from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId
from ganger.core.model import CheckResult, Evidence, ItemSpec, RecoveryFacts, Refusal, WorkerId
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.service.fleet import Fleet, Reply


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
    """Those that do not merge with the target, with the paths."""
    took_ms: int = 0
    commits: tuple[Commit, ...] = ()
    """After each of the runs."""
    waits: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    """Those that do not merge with others of the batch, with the paths."""


class Probed(Struct, frozen=True):
    """How an accused candidate did by itself, or what it fails on did without it."""

    passed: bool
    checks: tuple[CheckResult, ...] = ()
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

    def probe(self, run: Run, spec: ItemSpec, trial: Trial) -> Probed:
        """Test an accused candidate by itself on top of a commit, or that commit without it."""
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

    def recover(self, run: Run, spec: ItemSpec) -> RecoveryFacts:
        """Look at what is left of a run whose worker vanished, with nothing of it alive."""
        ...

    def rewind(self, run: Run, commit: Commit) -> None:
        """Keep what the workspace holds, and make it hold the bytes of a checkpoint."""
        ...

    def read_plan(self, path: str) -> cmd.AddPlan | str:
        """Read a plan file; a text says why it could not be read, or is not trusted."""
        ...


def carry_out(effect: Effect, fleet: Fleet, world: World) -> Reply | None:
    """Do one effect and record what came of it; None when it has become pointless meanwhile."""
    match effect:
        case Submit():
            return fleet.submit(effect.command, fleet.acts_as)
        case StartWorker():
            return _start(effect, fleet, world)
        case StopWorker():
            run = _run(fleet, effect.run)
            if run is not None and run.turn == effect.turn:
                world.stop(run)
            return None
        case CollectEvidence():
            return _collect(effect, fleet, world)
        case TestTrain():
            return _probe(effect, fleet, world) if effect.onto else _test(effect, fleet, world)
        case Land():
            seen = world.land(effect.old, effect.new, effect.tree)
            return fleet.submit(cmd.RecordLanding(effect.new, seen.state, seen.tip, seen.detail), fleet.acts_as)
        case EndRun():
            return _end(effect, fleet, world)
        case Recover():
            return _recover(effect, fleet, world)
        case Rewind():
            return _rewind(effect, fleet, world)
        case ReadPlan():
            return _read_plan(effect, fleet, world)
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
    return fleet.submit(cmd.RecordStart(run.id, run.lease.token, effect.turn, worker), fleet.acts_as)


def _collect(effect: CollectEvidence, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or run.turn != effect.turn or run.evidence is not None:
        return None
    evidence = world.collect(run, _spec(fleet, run))
    return fleet.submit(cmd.RecordEvidence(run.id, run.lease.token, effect.turn, evidence), fleet.acts_as)


def _test(effect: TestTrain, fleet: Fleet, world: World) -> Reply | None:
    """Test those of a combination that still wait; pointless when one of them does not, and has not landed."""
    members, landed, tip = fleet.look(
        lambda state, _: (
            tuple(member for run_id in effect.runs if (member := _waiting(state, run_id)) is not None),
            {run for run, _ in state.search.landed},
            state.search.tip,
        )
    )
    found = {run.id for run, _ in members}
    if not members or any(run not in found and run not in landed for run in effect.runs):
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
            commits=tested.commits,
            waits=tested.waits,
            tip=tip,
        ),
        fleet.acts_as,
    )


def _waiting(state: State, run_id: RunId) -> tuple[Run, ItemSpec] | None:
    """A candidate that waits for the train, with its item."""
    run = state.runs.get(run_id)
    if run is None or not run.accepted_seq or run.evidence is None:
        return None
    return run, state.items[run.item].spec


def _probe(effect: TestTrain, fleet: Fleet, world: World) -> Reply | None:
    found = fleet.look(lambda state, _: _waiting(state, effect.runs[0]))
    if found is None:
        return None
    run, spec = found
    assert run.evidence is not None
    probed = world.probe(run, spec, effect.trial)
    return fleet.submit(
        cmd.RecordProbe(
            run=run.id,
            token=run.lease.token,
            candidate=run.evidence.commit,
            onto=effect.onto,
            passed=probed.passed,
            checks=probed.checks,
            again=effect.again,
            bare=effect.bare,
            took_ms=probed.took_ms,
        ),
        fleet.acts_as,
    )


def _recover(effect: Recover, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or run.turn != effect.turn or not run.lost:
        return None
    facts = world.recover(run, _spec(fleet, run))
    return fleet.submit(cmd.RecordRecovery(run.id, run.lease.token, effect.turn, facts), fleet.acts_as)


def _rewind(effect: Rewind, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or run.has_worker or run.rewind != effect.commit:
        return None
    world.rewind(run, effect.commit)
    return fleet.submit(cmd.RecordRewind(run.id, run.lease.token, effect.commit), fleet.acts_as)


def _read_plan(effect: ReadPlan, fleet: Fleet, world: World) -> Reply:
    found = world.read_plan(effect.path)
    outcome = found if isinstance(found, str) else _what_changed(fleet.submit(found, fleet.acts_as))
    return fleet.submit(cmd.RecordFiring(effect.schedule, effect.due_ms, outcome), fleet.acts_as)


def _what_changed(reply: Reply) -> str:
    """Say in a line what came of a plan that was read."""
    if isinstance(reply, Refusal):
        return reply.reason
    counts = Counter(type(event) for event in reply.events)
    words = ((ev.ItemAdded, "added"), (ev.ItemRevised, "revised"), (ev.ItemWithdrawn, "withdrawn"))
    return ", ".join(f"{counts[kind]} {word}" for kind, word in words if counts[kind]) or "nothing new"


def _end(effect: EndRun, fleet: Fleet, world: World) -> Reply | None:
    run = _run(fleet, effect.run)
    if run is None or run.has_worker:
        return None
    kept = world.keep(run)
    reply = fleet.submit(cmd.RecordEnd(run.id, run.lease.token, effect.end, effect.reason, kept), fleet.acts_as)
    if not isinstance(reply, Refusal):
        world.clean(run.id)
    return reply
