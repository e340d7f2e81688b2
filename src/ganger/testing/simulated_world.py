"""The world of the simulation behind the seam of `supervisor.effects`: git, processes and workspaces in memory.

It survives every crash of the supervisor. Each method lets other actors act in its middle (`Stage.interlude`) and can
be cut short or fail at each of its points (`Stage.point`), as the real one can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Clocks, Exit, Limit, Observed, Silence
from ganger.core.facts import Run, Undo
from ganger.core.foundation import Head
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Check, CheckState, CiState, Evidence, ItemSpec, QuestionKind, RecoveryFacts, WorkerId
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.errors import LaunchRefused, WorldFailed
from ganger.service.fleet import Accepted, Reply
from ganger.supervisor.effects import CiSeen, Founded, LandSeen, Probed, Tested, Undid
from ganger.testing.invariants import Ledger, fail
from ganger.testing.simulated_fleet import TALKER, chance
from ganger.testing.simulated_git import SimulatedGit, differing
from ganger.testing.simulated_workers import BEHAVIOURS, FAMILY, OVERLOADED, UNSPOKEN, Worker, Workspace, advises, plans

DROPPED = "(the commit it started from is on the target no longer)"
"""In place of a conflicting path: merging it would bring back what the operator took away."""
LOOK_SHARE = 20
"""Activity is sampled so many times per shortest silence."""
JUMP_MS = 30_000
"""How far the store's clock and one that never jumps may come apart between two looks."""


class Sight(Struct, frozen=True):
    """What was seen of a worker, and when it last changed."""

    moved: tuple[int, int]
    """Number of its process, and of that one's moves."""
    made: tuple[int, Commit, int]
    """The same with its branch's tip and what it wrote."""
    moved_ms: int
    made_ms: int


SEALED = "start: workspace made"
"""The point of a start at which what a worker is sent lies ready."""


class Stage(Protocol):
    """Time, chance and the other actors."""

    now_ms: int
    rng: Random
    added: cmd.AddPlan
    """The plan as the operator left it."""

    @property
    def is_well(self) -> bool:
        """Whether faults are over."""
        ...

    def clock(self) -> int:
        """The machine's clock, which may be set."""
        ...

    def mono(self) -> int:
        """A clock that is never set."""
        ...

    def saw_jump(self) -> None:
        """The supervisor has noticed that the clock was set."""
        ...

    def interlude(self, most_ms: int) -> None:
        """Let time pass and others act."""
        ...

    def point(self, name: str) -> None:
        """A point at which the supervisor may die or the effect may fail."""
        ...

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Have something done after a while."""
        ...

    def wake(self) -> None:
        """Tell the supervisor, if there is one, that something happened."""
        ...

    def note(self, text: str) -> None:
        """Put a line into the trace."""
        ...

    def say(self, command: cmd.Command, run: RunId) -> Reply:
        """Submit as a worker."""
        ...

    def hear(self, command: cmd.Command) -> Reply | None:
        """Submit as the supervisor, if there is one, what a worker's hooks told; None when there is none."""
        ...

    def behaviour(self, run: Run, turn: int) -> tuple[str, Random]:
        """Which behaviour the worker of a turn has, and its own source of chance."""
        ...


class Process:
    """A worker's process, living or not."""

    def __init__(self, pid: int, run: RunId, token: Token, turn: int, worker: Worker, kind: str) -> None:
        self.pid, self.run, self.token, self.turn, self.worker, self.kind = pid, run, token, turn, worker, kind
        self.script = (BEHAVIOURS | UNSPOKEN | FAMILY | {"advises": advises}).get(kind, plans)(worker)
        self.limit_until_ms = 0
        """When its provider opens again, by the machine's clock; 0 while it has not refused."""
        self.born_ms = 0
        self.spent = worker.spent
        self.alive = True
        self.moves = 0
        self.moved_ms = 0
        self.code: int | None = None
        self.signal: int | None = None
        self.lost = False


class SimulatedWorld:
    """Everything outside the journal."""

    def __init__(self, stage: Stage, policy: Policy) -> None:
        self.stage, self.policy = stage, policy
        self.git = SimulatedGit()
        self.base = self.git.commit({"docs/t.txt": "start"}, (), "root")
        self.target = self.base
        self.expected = self.base
        """Where the last allowed mover left the target (I-11)."""
        self.tidy = True
        self.blocked = False
        self.rebasing = False
        """The operator is in the middle of something that a look at the files does not show."""
        self.refs: dict[str, Commit] = {}
        self.workspaces: dict[RunId, Workspace] = {}
        self.trash: list[tuple[RunId, Workspace]] = []
        self.processes: dict[int, Process] = {}
        self.records: dict[tuple[RunId, int], WorkerId] = {}
        self.bases: dict[RunId, Commit] = {}
        self.swaps: set[tuple[Commit, Commit]] = set()
        self.seen: dict[RunId, Sight] = {}
        """What this supervisor saw of each worker."""
        self.looked: tuple[int, int] | None = None
        """The store's clock and the one that never jumps, when this supervisor looked last."""
        self.flaky = 0.0
        self.ci: dict[Commit, Random] = {}
        """For each commit that CI was asked about, its own source of chance."""
        self.ci_said: set[tuple[Commit, CiState]] = set()
        self.ledger: Ledger | None = None

    # ── what is observed ──

    def observe(self, state: State, now_ms: int) -> Observed:
        """See what is, as `supervisor.observe` does: activity is what moved since the last look."""
        alive, exits = set(), {}
        starting = set()
        for run in state.runs.values():
            if run.turn_due and not run.has_worker and (run.id, run.turn + 1) in self.records:
                starting.add(run.id)
            if not run.has_worker or run.worker is None:
                continue
            process = self.processes[run.worker.pid]
            if not process.alive:
                must_speak = run.agent == TALKER
                exits[run.id] = Exit(run.turn, process.code, process.signal, process.lost, must_speak=must_speak)
                continue
            alive.add(run.id)
            self._look_at(process, now_ms)
        self._look_at_clock(now_ms)
        look_again_ms = None
        if alive:
            look_again_ms = (
                now_ms + min(state.items[state.runs[r].item].spec.silence_max_ms for r in alive) // LOOK_SHARE
            )
        question = state.questions.get(state.landing.question) if state.landing is not None else None
        waiting = question is not None and question.kind is QuestionKind.dirty_target
        return Observed(
            target=self.target,
            alive=frozenset(alive),
            exits=exits,
            clocks={run: self._clocks(run) for run in alive},
            usage={run.id: process.worker.spent for run, process in self._last_turns(state)},
            limits={
                run.id: Limit(process.limit_until_ms, process.worker.limit[1], process.worker.limit[1] == OVERLOADED)
                for run, process in self._last_turns(state)
                if process.worker.limit is not None
            },
            silent={
                run.id: Silence(run.turn, process.worker.unasked, 0)
                for run, process in self._last_turns(state)
                if process.worker.unasked
            },
            repo="repo",
            workspaces=frozenset(self.workspaces),
            look_again_ms=look_again_ms,
            target_clean=self.tidy if waiting else True,
            starting=frozenset(starting),
        )

    def _last_turns(self, state: State) -> Iterator[tuple[Run, Process]]:
        for run in state.runs.values():
            if run.worker is not None and run.worker.pid in self.processes:
                yield run, self.processes[run.worker.pid]

    def _look_at(self, process: Process, now_ms: int) -> None:
        """Note what has moved since the last look; a worker seen for the first time counts as active."""
        moved = process.pid, process.moves
        made = process.pid, process.worker.workspace.head, process.worker.steps
        before = self.seen.get(process.run)
        self.seen[process.run] = Sight(
            moved,
            made,
            before.moved_ms if before is not None and before.moved == moved else now_ms,
            before.made_ms if before is not None and before.made == made else now_ms,
        )

    def _look_at_clock(self, now_ms: int) -> None:
        """After a jump of the clock nobody knows how long anybody was silent: all count as active now."""
        mono_ms = self.stage.mono()
        if self.looked is not None:
            gone_ms, lived_ms = now_ms - self.looked[0], mono_ms - self.looked[1]
            if abs(gone_ms - lived_ms) > JUMP_MS:
                self.stage.saw_jump()
                self.seen = {run: replace(sight, moved_ms=now_ms, made_ms=now_ms) for run, sight in self.seen.items()}
        self.looked = now_ms, mono_ms

    def _clocks(self, run: RunId) -> Clocks:
        sight, process = self.seen[run], self.processes[self.seen[run].moved[0]]
        return Clocks(
            heartbeat_ms=sight.moved_ms,
            output_ms=sight.moved_ms,
            artefact_ms=sight.made_ms,
            same_calls=process.worker.same_calls,
            age_ms=max(self.stage.mono() - process.born_ms, 1),
        )

    def new_supervisor(self) -> None:
        """Forget what the last one saw."""
        self.seen, self.looked = {}, None

    # ── workers ──

    def start(self, run: Run, spec: ItemSpec, turn: int) -> WorkerId:
        """Start the worker of a turn, or find the one that was started before."""
        found = self.records.get((run.id, turn))
        if found is not None:
            return found
        self.stage.point("start: before")
        self.stage.interlude(3_000)
        if run.id not in self.workspaces or self.bases[run.id] != run.base:
            self.workspaces[run.id] = Workspace(run.base, self.git.files(run.base))
            self.bases[run.id] = run.base
        self.stage.point(SEALED)
        found = self._spawn(run, turn)
        self.stage.interlude(3_000)
        self.stage.point("start: after")
        return found

    def has_started(self, run: Run, turn: int) -> bool:
        """Whether a worker of that turn was ever started."""
        return (run.id, turn) in self.records

    def _spawn(self, run: Run, turn: int) -> WorkerId:
        assert self.ledger is not None
        if self.living(run.id):
            fail("I-12", f"a second worker of {run.id} is started")
        self.ledger.catch_up()
        if run.id not in self.ledger.runs:
            fail("I-12", f"a worker of {run.id} is started, which is not live")
        if sum(process.alive for process in self.processes.values()) >= self.policy.workers_max:
            fail("I-16", f"a worker of {run.id} is started although {self.policy.workers_max} live")
        self._check_room(run)
        self.ledger.hand_brief(run.id, turn)
        kind, rng = self.stage.behaviour(run, turn)
        pid = len(self.processes) + 1
        paths = tuple(sorted(self.ledger.paths_of(run.lease.scope)))
        worker = Worker(run.id, run.lease.token, turn, run.attempt, paths, self.workspaces[run.id], Reach(self), rng)
        process = self.processes[pid] = Process(pid, run.id, run.lease.token, turn, worker, kind)
        process.moved_ms = process.born_ms = self.stage.now_ms
        identity = self.records[run.id, turn] = WorkerId(pid, self.stage.now_ms, "boot")
        self.stage.note(f"spawn {run.id}/{turn} {kind}")
        self.stage.later(0, lambda: self._step(process))
        return identity

    def _check_room(self, run: Run) -> None:
        """I-16 and the provider's window: whether there is room for this one."""
        assert self.ledger is not None
        living = [self.ledger.runs[p.run] for p in self.processes.values() if p.alive and p.run in self.ledger.runs]
        cap = self.policy.kind(run.kind).workers_max
        if cap is not None and sum(live.kind == run.kind for live in living) >= cap:
            fail("I-16", f"a worker of {run.id} is started although {cap} of kind {run.kind} live")
        lane = self.policy.lane(run.lease.lane) if run.lease.lane else None
        busy = sum(lane is not None and live.lane == lane.name for live in living)
        if lane is not None and lane.workers_max is not None and busy >= lane.workers_max:
            fail("I-16", f"a worker of {run.id} is started although lane {lane.name} is full")

    def _step(self, process: Process) -> None:
        if not process.alive:
            return
        try:
            delay_ms = next(process.script)
        except StopIteration as ended:
            code = int(ended.value)
            self._die(process, code if code < 128 else None, code - 128 if code >= 128 else None)
            return
        process.moves += 1
        process.moved_ms = self.stage.now_ms
        if process.worker.spent != process.spent:
            process.spent = process.worker.spent
            self.stage.wake()
        if process.worker.limit is not None and not process.limit_until_ms and process.worker.limit[0]:
            process.limit_until_ms = self.stage.clock() + process.worker.limit[0]
        if delay_ms < 1 << 40:
            self.stage.later(delay_ms, lambda: self._step(process))

    def _die(self, process: Process, code: int | None, signal: int | None, lost: bool = False) -> None:
        process.alive, process.code, process.signal, process.lost = False, code, signal, lost
        process.script.close()
        self.stage.note(f"exit {process.run}/{process.turn} {code} {signal}")
        self.stage.wake()

    def kill_one(self, pick: Random) -> None:
        """Something else kills a worker together with whoever watches it."""
        alive = [process for process in self.processes.values() if process.alive]
        if alive:
            self._die(pick.choice(alive), None, None, lost=True)

    def stop(self, run: Run) -> None:
        """Stop the worker; one that does not obey has the whole grace."""
        self.stage.point("stop: before")
        stubborn = any(p.alive and p.run == run.id and not p.worker.obeys for p in self.processes.values())
        self.stage.interlude(self.policy.stop_grace_ms if stubborn else 50)
        self._sweep(run)
        self.stage.point("stop: after")

    def _sweep(self, run: Run) -> None:
        for process in self.processes.values():
            if process.alive and (process.run, process.token) == (run.id, run.lease.token):
                self._die(process, None, 15 if process.worker.obeys else 9)

    def living(self, run: RunId) -> int:
        """Processes of the run that live, recorded or not."""
        return sum(1 for process in self.processes.values() if process.alive and process.run == run)

    # ── evidence and landing ──

    def collect(self, run: Run, spec: ItemSpec) -> Evidence:
        """Freeze the candidate, look at it and check it."""
        self.stage.point("collect: before")
        self.stage.interlude(2_000)
        place = self.workspaces.get(run.id)
        head = place.head if place is not None else run.base
        commit = self._snapshot(place, "uncommitted") if place is not None else head
        self.refs[f"candidate/{run.id}"] = commit
        self.stage.point("collect: frozen")
        self.stage.interlude(30_000)
        changed = self.git.changed(run.base, commit)
        flaky = self.stage.rng.random() < self.flaky
        evidence = Evidence(
            base=run.base,
            commit=commit,
            tree=self.git.tree(commit),
            checked_tree=self.git.tree(commit),
            changed=changed,
            descends=self.git.is_ancestor(run.base, commit),
            auto_committed=commit != head,
            checks=self.git.run_checks(commit, spec.checks, flaky) if changed else (),
        )
        self.stage.point("collect: after")
        return evidence

    def _snapshot(self, place: Workspace, why: str) -> Commit:
        if place.files == self.git.files(place.head):
            return place.head
        return self.git.commit(place.files, (place.head,), why)

    def test(self, members: tuple[tuple[Run, ItemSpec], ...]) -> Tested:
        """Merge the candidates onto the target in order, and check the whole."""
        self.stage.point("test: before")
        old = commit = self.target
        merged: list[tuple[Run, ItemSpec]] = []
        commits: list[Commit] = []
        conflicts: list[tuple[RunId, tuple[str, ...]]] = []
        waits: list[tuple[RunId, tuple[str, ...]]] = []
        for run, spec in members:
            made = self._merged(commit, old, run, spec)
            if isinstance(made, tuple):
                alone = self._merged(old, old, run, spec)
                (conflicts if isinstance(alone, tuple) else waits).append((run.id, made))
            else:
                commit = made
                commits.append(made)
                merged.append((run, spec))
        self.refs[f"train/{commit}"] = commit
        self.stage.point("test: merged")
        self.stage.interlude(150_000)
        names = {check.name: check for _, spec in merged for check in spec.checks}
        flaky = self.stage.rng.random() < self.flaky
        results = self.git.run_checks(commit, tuple(names.values()), flaky) if merged else ()
        self.stage.point("test: after")
        passed = bool(merged) and all(result.state is CheckState.passed for result in results)
        return Tested(
            runs=tuple(run.id for run, _ in merged),
            old=old,
            commit=commit,
            tree=self.git.tree(commit),
            passed=passed,
            checks=results,
            conflicts=tuple(conflicts),
            commits=tuple(commits),
            waits=tuple(waits),
            no_lines=tuple((run, paths) for run, paths in conflicts if DROPPED not in paths),
        )

    def _merged(self, tip: Commit, old: Commit, run: Run, spec: ItemSpec) -> Commit | tuple[str, ...]:
        assert run.evidence is not None
        if not all(is_based_on(self.git, ground, old) for ground in run.grounds):
            return (DROPPED,)
        return self.git.merge(tip, run.evidence.commit, f"land {spec.id} {run.id}")

    def probe(self, run: Run, spec: ItemSpec, trial: Trial) -> Probed:
        """Check an accused candidate on top of a commit, or that commit alone."""
        self.stage.point("probe: before")
        made = trial.onto if trial.bare else self._merged(trial.onto, trial.onto, run, spec)
        if isinstance(made, tuple):
            return Probed(passed=False)
        self.refs[f"train/{made}"] = made
        self.stage.interlude(150_000)
        tries = 1 + (self.policy.flaky_retries if trial.again or trial.bare else 0)
        flaky = all(self.stage.rng.random() < self.flaky for _ in range(tries))
        results = self.git.run_checks(made, spec.checks, flaky)
        self.stage.point("probe: after")
        return Probed(all(result.state is CheckState.passed for result in results), results)

    def undo(self, wanted: Undo, must: tuple[Check, ...], own: tuple[Check, ...]) -> Undid:
        """Take a commit's change back on the target and check the whole."""
        self.stage.point("undo: before")
        old, none = self.target, Commit("")
        if not self.git.is_ancestor(wanted.commit, old):
            return Undid(old, none, none, passed=False, reason=f"the target does not contain {wanted.commit[:12]}")
        made = self.git.taken_back(old, wanted.commit, f"undo {wanted.item}")
        if isinstance(made, tuple):
            return Undid(old, none, none, passed=False, reason=f"what has changed since conflicts with it: {made[0]}")
        if self.git.tree(made) == self.git.tree(old):
            return Undid(old, none, none, passed=False, reason="nothing of it is left on the target")
        self.refs[f"train/{made}"] = made
        self.stage.point("undo: made")
        self.stage.interlude(150_000)
        results = self.git.run_checks(made, (*must, *own), self.stage.rng.random() < self.flaky)
        self.stage.point("undo: after")
        passed = all(result.state is CheckState.passed for result in results)
        changed = differing(self.git.files(old), self.git.files(made))
        reason = "" if passed else "checks failed"
        return Undid(old, made, self.git.tree(made), passed, results, reason, changed=changed)

    def land(self, old: Commit, new: Commit, tree: Commit) -> LandSeen:
        """Move the target by compare-and-swap, or find it moved already, as `git.landing.land` does."""
        self.stage.point("land: before")
        if self.git.tree(new) != tree:
            fail("I-8", f"{new} does not hold the tested tree")
        seen = self._where(old, new)
        if seen is not None:
            return seen
        if not self.tidy or self.rebasing:
            return LandSeen("dirty", old, ("docs/q.txt",))
        if self.blocked:
            return LandSeen("blocked", old, ("docs/q.txt",))
        self.stage.interlude(2_000)
        seen = self._where(old, new)
        if seen is None:
            self._swap(old, new)
            seen = LandSeen("landed", new)
        self.stage.point("land: after")
        return seen

    def _where(self, old: Commit, new: Commit) -> LandSeen | None:
        if self.git.is_ancestor(new, self.target):
            return LandSeen("landed", self.target)
        return None if self.target == old else LandSeen("moved", self.target)

    def _swap(self, old: Commit, new: Commit) -> None:
        assert self.ledger is not None
        if self.target != old:
            fail("I-11", f"the target is moved from {old}, but the operator had moved it to {self.target}")
        self.ledger.check_swap(old, new)
        self.swaps.add((old, new))
        self.target = self.expected = new
        self.stage.note(f"land {new[:12]}")

    def operator_moves(self, new: Commit) -> None:
        """The operator sets the target."""
        self.target = self.expected = new
        self.stage.note(f"operator moves target to {new[:12]}")
        self.stage.wake()

    def recover(self, run: Run, spec: ItemSpec) -> RecoveryFacts:
        """See what is left of a run whose worker vanished."""
        self.stage.point("recover: before")
        self._sweep(run)
        self.stage.interlude(1_000)
        place = self.workspaces.get(run.id)
        if place is None:
            return RecoveryFacts(False)
        return RecoveryFacts(
            workspace=True,
            head=place.head,
            descends=self.git.is_ancestor(run.base, place.head),
            base_on_target=self.git.is_ancestor(run.root or run.base, self.target),
            landed=place.head != run.base and self.git.is_ancestor(place.head, self.target),
        )

    def rewind(self, run: Run, commit: Commit) -> None:
        """Put the workspace back to a checkpoint; what was in it is kept before."""
        self.stage.point("rewind: before")
        self._sweep(run)
        self._keep(run.id)
        self.stage.interlude(500)
        if run.id in self.workspaces:
            self.trash.append((run.id, self.workspaces.pop(run.id)))
        self.stage.point("rewind: cleared")
        self.workspaces[run.id] = Workspace(commit, self.git.files(commit), run.base)
        self.stage.point("rewind: after")

    def make_base(self, item: ItemId, heads: tuple[Head, ...]) -> Founded:
        """Merge the target with accepted candidates."""
        self.stage.point("base: before")
        root = commit = self.target
        self.stage.interlude(1_000)
        for run, candidate in heads:
            made = self.git.merge(commit, candidate, f"{item} begins on {run}")
            if isinstance(made, tuple):
                return Founded(root, Commit(""), made)
            commit = made
        self.refs[f"train/{commit}"] = commit
        self.stage.point("base: after")
        return Founded(root, commit)

    def ask_ci(self, commit: Commit) -> CiSeen:
        """What a forge says of a commit: nothing for a while, and now and then something else than what is so."""
        self.stage.point("ci: before")
        self.stage.interlude(1_000)
        says = self.ci.setdefault(commit, chance(f"ci {commit} {len(self.ci)}"))
        self.stage.point("ci: after")
        if self.stage.is_well and says.random() < 0.7:
            state = CiState.green
        else:
            state = says.choice(tuple(CiState))
        self.ci_said.add((commit, state))
        return CiSeen(state, f"it says {state}", "the forge")

    def read_target(self, landings: tuple[Commit, ...]) -> tuple[Commit, tuple[Commit, ...]]:
        """Where the target is, and what it does not contain of what landed."""
        self.stage.point("read target")
        tip = self.target
        return tip, tuple(commit for commit in landings if not self.git.is_ancestor(commit, tip))

    def read_plan(self, path: str) -> cmd.AddPlan | str:
        """Read the plan file as the operator left it; now and then it cannot be read."""
        self.stage.point("read plan")
        return self.stage.added if self.stage.rng.random() < 0.8 else "it cannot be read"

    # ── nothing is lost ──

    def keep(self, run: Run) -> tuple[str, ...]:
        """Make what the worker left reachable; whatever still lives of it is ended first."""
        self.stage.point("keep: before")
        self._sweep(run)
        kept = self._keep(run.id)
        self.stage.interlude(500)
        self.stage.point("keep: after")
        return kept

    def _keep(self, run: RunId) -> tuple[str, ...]:
        place = self.workspaces.get(run)
        if place is None:
            return ()
        names = []
        for name, commit in (("head", place.head), ("tree", self._snapshot(place, "left"))):
            ref = f"keep/{run}/{name}"
            if self.refs.get(ref, commit) != commit:
                ref = f"{ref}-{commit[:8]}"
            self.refs[ref] = commit
            names.append(ref)
            self.stage.point(f"keep: {name} kept")
        return tuple(names)

    def clean(self, run: RunId) -> None:
        """Keep once more, then put the workspace into the trash."""
        self.stage.point("clean: before")
        if run not in self.workspaces:
            return
        self.keep_before_clean(run)
        lost = self.left(run) - self.reachable(run)
        if lost:
            fail("I-10", f"the workspace of {run} is cleaned, and {sorted(lost)[0]!r} is kept nowhere")
        self.stage.interlude(500)
        if run in self.workspaces:
            self.trash.append((run, self.workspaces.pop(run)))
        self.stage.point("clean: after")

    def keep_before_clean(self, run: RunId) -> None:
        """The first half of `clean`."""
        self._keep(run)

    def left(self, run: RunId) -> set[str]:
        """Contents that the run's worker committed or left in its workspace."""
        place = self.workspaces.get(run)
        if place is None:
            return set()
        start = self.git.nodes[place.base].ancestry
        new = [c for c in self.git.history(place.head) if not start >> self.git.nodes[c].number & 1]
        found = {text for commit in new for text in self.git.files(commit).values()} | set(place.files.values())
        return {text for text in found if text.startswith(f"{run}/")}

    def reachable(self, run: RunId) -> set[str]:
        """Contents that the hub's refs for the run reach."""
        refs = [commit for ref, commit in self.refs.items() if ref.startswith((f"keep/{run}/", f"candidate/{run}"))]
        return {text for ref in refs for commit in self.git.history(ref) for text in self.git.files(commit).values()}

    def check_now(self) -> None:
        """I-11: the target is where the operator or a landing put it."""
        if self.target != self.expected:
            fail("I-11", f"the target was moved to {self.target} by nobody")


def is_based_on(git: SimulatedGit, base: Commit, target: Commit) -> bool:
    """Whether a candidate made on `base` brings nothing to `target` but its own change."""
    return git.is_ancestor(base, target)


class Reach:
    """What a worker's process can reach of the world: the objects, and the worker's protocol."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._stage, self._world = world.stage, world
        self.git = world.git

    def say(self, command: cmd.Command, run: RunId) -> Reply:
        """Submit a command as the worker."""
        return self._stage.say(command, run)

    def hear(self, command: cmd.Command) -> None:
        """Submit as the supervisor what the hooks of a worker told."""
        self._stage.hear(command)

    def news(self, run: RunId, token: Token, turn: int) -> None:
        """Claim what waits for the run, hand it over, and a moment later tell that the worker went on."""
        ledger = self._world.ledger
        assert ledger is not None
        ledger.catch_up()
        given = self._stage.hear(cmd.GiveMessages(run, token, turn, at_work=True)) if ledger.waits(run) else None
        for event in given.events if isinstance(given, Accepted) else ():
            if isinstance(event, ev.MessagesDelivered):
                ledger.catch_up()
                ledger.hand_at_work(event.messages)
                read = cmd.RecordRead(run, token, event.messages)
                self._stage.later(50, partial(self.hear, read))

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something after a while."""
        self._stage.later(delay_ms, act)


def refuse_by_chance(name: str) -> WorldFailed:
    """The failure that a point raises when its effect is to fail; a launch is then refused for good."""
    if name == SEALED:
        return LaunchRefused("the manifest is missing")
    return WorldFailed(f"{name}: the disk was slow today")
