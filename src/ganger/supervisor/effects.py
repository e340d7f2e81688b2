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
from ganger.core.closing import landings
from ganger.core.effects import (
    AskCi,
    CleanWorkspace,
    CollectEvidence,
    Effect,
    EndRun,
    Land,
    MakeBase,
    Observed,
    ReadPlan,
    ReadTarget,
    Recover,
    Rewind,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
    TestUndo,
)
from ganger.core.facts import Run, Undo
from ganger.core.foundation import Head, heads
from ganger.core.ids import Commit, ItemId, RunId
from ganger.core.model import Check, CheckResult, CiState, Evidence, ItemSpec, RecoveryFacts, Refusal, WorkerId
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.core.undo import required
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
    no_lines: tuple[tuple[RunId, tuple[str, ...]], ...] = ()
    """Of the conflicts, the paths in which no lines can be marked."""


class Probed(Struct, frozen=True):
    """How an accused candidate did by itself, or what it fails on did without it."""

    passed: bool
    checks: tuple[CheckResult, ...] = ()
    took_ms: int = 0


class Undid(Struct, frozen=True):
    """How an undo did on top of the target."""

    old: Commit
    commit: Commit
    """Empty when it could not be worked out."""
    tree: Commit
    passed: bool
    checks: tuple[CheckResult, ...] = ()
    reason: str = ""
    """Why it cannot land; empty when it passed."""
    took_ms: int = 0
    changed: tuple[str, ...] = ()
    """The files of the target that it changes."""


class LandSeen(Struct, frozen=True):
    """What became of a landing: `landed`, `moved`, `dirty` or `blocked`, and where the target is."""

    state: str
    tip: Commit
    detail: tuple[str, ...] = ()


class Founded(Struct, frozen=True):
    """What came of merging the target with accepted heads."""

    root: Commit
    """Where the target was."""
    commit: Commit
    """Empty where they do not go together."""
    conflicts: tuple[str, ...] = ()


class CiSeen(Struct, frozen=True):
    """What CI says of a commit, and where it was asked."""

    state: CiState
    text: str
    where: str = ""


class World(Protocol):
    """Everything outside the journal. Methods raise WorldFailed or GitFailed when they could not do it."""

    def observe(self, state: State, now_ms: int) -> Observed:
        """See what is; quick, called with the fleet's lock held."""
        ...

    def start(self, run: Run, spec: ItemSpec, turn: int) -> WorkerId:
        """Start the worker of a turn, or find the one that was started before; makes the workspace if need be."""
        ...

    def has_started(self, run: Run, turn: int) -> bool:
        """Whether the worker of a turn was started before, without that being recorded yet."""
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

    def undo(self, wanted: Undo, must: tuple[Check, ...], own: tuple[Check, ...]) -> Undid:
        """Take a commit's change back on the target and check the whole; `own` may fail as they did before it."""
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

    def make_base(self, item: ItemId, heads: tuple[Head, ...]) -> Founded:
        """Merge the target with the candidates on which a run of the item is to stand."""
        ...

    def ask_ci(self, commit: Commit) -> CiSeen:
        """Ask CI about a commit of the target; an answer that cannot be had is one as well."""
        ...

    def read_target(self, landings: tuple[Commit, ...]) -> tuple[Commit, tuple[Commit, ...]]:
        """Read where the target is (empty: it is gone), and which of these commits that does not contain."""
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
        case TestUndo():
            return _undo(effect, fleet, world)
        case Land():
            seen = world.land(effect.old, effect.new, effect.tree)
            return fleet.submit(cmd.RecordLanding(effect.new, seen.state, seen.tip, seen.detail), fleet.acts_as)
        case EndRun():
            return _end(effect, fleet, world)
        case Recover():
            return _recover(effect, fleet, world)
        case Rewind():
            return _rewind(effect, fleet, world)
        case MakeBase():
            return _make_base(effect, fleet, world)
        case AskCi():
            return _ask_ci(effect, fleet, world)
        case ReadTarget():
            return _read_target(fleet, world)
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
    if run.messages and not world.has_started(run, effect.turn):
        fleet.submit(cmd.GiveMessages(run.id, run.lease.token, effect.turn), fleet.acts_as)
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
            no_lines=tested.no_lines,
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


def _undo(effect: TestUndo, fleet: Fleet, world: World) -> Reply | None:
    """Work out and test what a person wants undone; pointless when they do no longer."""
    wanted = fleet.look(lambda state, _: state.undos.get(effect.commit))
    if wanted is None or wanted.question:
        return None
    must, own = fleet.look(lambda state, _: required(state, wanted))
    undid = world.undo(wanted, must, own)
    return fleet.submit(
        cmd.RecordUndo(
            commit=effect.commit,
            old=undid.old,
            new=undid.commit,
            tree=undid.tree,
            passed=undid.passed,
            checks=undid.checks,
            reason=undid.reason,
            took_ms=undid.took_ms,
            changed=undid.changed,
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


def _make_base(effect: MakeBase, fleet: Fleet, world: World) -> Reply | None:
    wanted = fleet.look(
        lambda state, _: effect.item in state.items and heads(state, state.items[effect.item].spec) == effect.heads
    )
    if not wanted:
        return None
    made = world.make_base(effect.item, effect.heads)
    command = cmd.RecordBase(effect.item, made.root, effect.heads, made.commit, made.conflicts)
    return fleet.submit(command, fleet.acts_as)


def _ask_ci(effect: AskCi, fleet: Fleet, world: World) -> Reply | None:
    if fleet.look(lambda state, _: effect.commit not in state.awaited):
        return None
    said = world.ask_ci(effect.commit)
    return fleet.submit(cmd.RecordCi(effect.commit, said.state, said.text, said.where), fleet.acts_as)


def _read_target(fleet: Fleet, world: World) -> Reply | None:
    tip, missing = world.read_target(fleet.look(lambda state, _: landings(state)))
    return fleet.submit(cmd.RecordTargetRead(tip, missing), fleet.acts_as)


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
