"""A plan played in virtual time: the core's own decisions, and workers that only take time.

What may be picked, in which order, what a scope, a lane or the hours keep waiting, which candidates a train takes and
what follows from a verdict is decided by `core`; only how long things take, and what is rejected, is assumed. Leases
never run out here, since a supervisor renews them; nobody is asked, so every landing may go on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from heapq import heappop, heappush
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import changes_nothing, wanted_by
from ganger.core.budget import overspent
from ganger.core.decide import Decision, decide
from ganger.core.evolve import evolve
from ganger.core.facts import Run, Snapshot
from ganger.core.hours import hours_open_ms
from ganger.core.ids import Commit, ItemId, RunId, Seq, Token
from ganger.core.landing import next_trials
from ganger.core.loop import Intent, StopReason, stop_reason
from ganger.core.model import (
    CheckResult,
    CheckState,
    EndKind,
    Evidence,
    ItemSpec,
    LeaseMode,
    Refusal,
    RefusalCode,
    WorkerId,
)
from ganger.core.packing import conflict_masks, largest
from ganger.core.patterns import PathRules, parse, scope_overlap
from ganger.core.picking import Pick, pick
from ganger.core.policy import Policy
from ganger.core.reconcile import has_own_room, own_keys
from ganger.core.segments import CharSet, Segment
from ganger.core.state import Order, State
from ganger.report.capacity import TurnPlayed, Waited

FOREVER_MS = 100 * 365 * 86_400_000
SIGTERM = 15


class Pace(Struct, frozen=True):
    """How long things are assumed to take, and how much goes wrong."""

    work_ms: int = 1_200_000
    """Half of the turns take less."""
    spread: float = 1.0
    """About two thirds of the turns take between the median divided by this and the median times this."""
    check_ms: int = 60_000
    """Of one candidate, and of one train that has to be checked."""
    land_ms: int = 2_000
    fail: float = 0.0
    """Share of turns whose candidate is rejected."""
    seed: int = 0

    def turn(self, run: RunId, turn: int) -> tuple[int, bool]:
        """How long a turn takes (ms), and whether its candidate is good: drawn for it alone, whoever else works."""
        rng = Random(f"{self.seed} {run} {turn}")  # noqa: S311 - what is drawn is no secret
        factor = math.exp(rng.gauss(0.0, 1.0) * math.log(self.spread))
        return max(round(self.work_ms * factor), 1), rng.random() >= self.fail


class Played(Struct, frozen=True):
    """What came of it. Times count from the beginning."""

    took_ms: int
    """Until the last landing or end of a run."""
    turns: tuple[TurnPlayed, ...]
    landed_ms: dict[ItemId, int]
    """When each item landed, or was over where it asks for no change."""
    effort_ms: dict[ItemId, int]
    """For each item that landed, what its runs took, checks and landing included, waiting not."""
    waits: tuple[Waited, ...]
    """Longest first."""
    stop: StopReason
    state: State

    @property
    def work_ms(self) -> int:
        """All turns together."""
        return sum(turn.to_ms - turn.from_ms for turn in self.turns)

    @property
    def peak(self) -> int:
        """Most workers at one time."""
        return max((turn.slot + 1 for turn in self.turns), default=0)


def rehearse(facts: Snapshot, policy: Policy, pace: Pace, intent: Intent, begin_ms: int) -> Played:
    """Play until nothing more can be done, from `facts` (which are not changed) at the time `begin_ms`."""
    return _Rehearsal(facts, policy, pace, intent, begin_ms).play()


def _on_what_landed(facts: Snapshot) -> Snapshot:
    """The same with every item beginning on what has landed: nothing is merged here for it to stand on."""
    items = [replace(item, spec=replace(item.spec, start_on="landed")) for item in facts.items]
    return replace(facts, items=items)


class _Rehearsal:
    """One night: the state, the queue of what is under way, and what was seen."""

    def __init__(self, facts: Snapshot, policy: Policy, pace: Pace, intent: Intent, begin_ms: int) -> None:
        self.policy = replace(policy, lease_ttl_ms=FOREVER_MS, landing_mode="auto", planner="", train_parallel=1)
        self.state = State(_on_what_landed(facts), policy.paths)
        self.pace, self.intent, self.begin_ms, self.now_ms = pace, intent, begin_ms, begin_ms
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._commits = 1
        self._target = Commit(f"{1:040x}")
        self._checking = 0
        """Checks of candidates and trains under way."""
        self._train_busy = False
        self._to_check: set[RunId] = set()
        self._due: list[RunId] = []
        """Runs whose next turn waits for a worker, oldest first."""
        self._groups = groups_of((item.spec for item in self.state.items.values()), self.policy)
        self._holding: Counter[Group] = Counter()
        """How many live runs each group has."""
        caps = [*(lane.workers_max for lane in policy.lanes), *(kind.workers_max for kind in policy.kinds)]
        self._is_capped = any(cap is not None for cap in caps)
        """Whether there are limits for kinds or lanes, so that workers beginning and ending are news for all."""
        self._news = set(self._groups.values())
        """Groups of items of which one that is ready might be let go: something has happened since they were asked."""
        self._slots: list[int] = []
        self._slots_made = 0
        self._open: dict[RunId, TurnPlayed] = {}
        self.turns: list[TurnPlayed] = []
        self.landed_ms: dict[ItemId, int] = {}
        self.effort_ms: dict[ItemId, int] = {}
        self.last_ms = begin_ms
        self.waiting = _Waiting()

    def play(self) -> Played:
        """Let one thing happen after the other until the night is over."""
        for item in self.state.items.values():
            if item.hold is not None and item.hold.until_ms > self.now_ms:
                self._later(item.hold.until_ms - self.now_ms, self._look_again)
        while True:
            self._begin_what_can_be()
            stop = None if self.state.runs else stop_reason(self.state, self.now_ms, self.policy, self.intent)
            if stop is not None:
                return self._played(stop)
            assert self._queue, "nothing is under way, and yet the night is not over"
            self.waiting.pass_time(self._queue[0][0] - self.now_ms, self._room() > 0)
            self.now_ms = self._queue[0][0]
            due = []
            while self._queue and self._queue[0][0] == self.now_ms:
                due.append(heappop(self._queue)[2])
            for act in due:
                act()

    def _played(self, stop: StopReason) -> Played:
        landed = {item: at_ms - self.begin_ms for item, at_ms in self.landed_ms.items()}
        effort = {item: ms for item, ms in self.effort_ms.items() if item in landed}
        turns = tuple(sorted(self.turns, key=lambda turn: (turn.from_ms, turn.slot)))
        return Played(self.last_ms - self.begin_ms, turns, landed, effort, self.waiting.told(), stop, self.state)

    def _later(self, delay_ms: int, act: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._queue, (self.now_ms + delay_ms, self._order, act))

    def _look_again(self) -> None:
        """Have every ready item asked about: time, or somebody's end, may have let any of them go."""
        self._news = set(self._groups.values())

    def _freed(self, item: ItemId) -> None:
        """Have those asked about that a scope which is free now, or what has landed, may let go."""
        self._holding[self._groups[item]] -= 1
        self._news.add(self._groups[item])
        self._news.update(self._groups[after] for after in self.state.dependents.get(item, ()))

    def _do(self, command: cmd.Command) -> tuple[ev.Event, ...]:
        """Have the core decide, and let happen what it says."""
        decided = self._ask(command)
        assert not isinstance(decided, Refusal), decided.reason
        return decided

    def _ask(self, command: cmd.Command) -> Decision:
        """Have the core decide; it may refuse."""
        decided = decide(self.state, command, self.now_ms, self.policy)
        for event in () if isinstance(decided, Refusal) else decided:
            evolve(self.state, ev.Entry(Seq(self.state.seq + 1), self.now_ms, "rehearsal", event))
            self._note(event)
        return decided

    def _note(self, event: ev.Event) -> None:
        """Take what an event means for when ready items are to be asked about again.

        Whoever is refused for another reason than his scope stands in nobody's way: so that is news for others too.
        """
        if isinstance(event, ev.RunEnded | ev.RunLanded):
            self.last_ms = self.now_ms
        if isinstance(event, ev.RunEnded) and event.cool_until_ms > self.now_ms:
            self._later(event.cool_until_ms - self.now_ms, self._look_again)
        if isinstance(event, ev.BreakerOpened):
            self._later(event.until_ms - self.now_ms, self._look_again)
        if isinstance(event, ev.BreakerOpened | ev.BreakerClosed) or self.state.breakers:
            self._look_again()
        if self._is_capped and isinstance(event, ev.WorkerStarted | ev.WorkerExited | ev.VerdictGiven):
            self._look_again()

    # ── what begins ──

    def _begin_what_can_be(self) -> None:
        """Begin what can be begun, what the supervisor's crew holds for more important first."""
        self._move_the_train()
        self._check()
        self._go_on()
        while self._news and self._room() > 0 and self._offer():
            pass

    def _age(self, run_id: RunId) -> Token:
        """Where a run stands among those granted before and after it."""
        return self.state.runs[run_id].lease.token

    def _room(self) -> int:
        return self.policy.workers_max - self.state.workers_busy - len(self._due)

    def _move_the_train(self) -> None:
        if self._train_busy:
            return
        landing = self.state.landing
        if landing is not None:
            self._train_busy = True
            self._later(self.pace.land_ms, self._landed)
            return
        wanted = next_trials(self.state, self.policy, self._target)
        if wanted and self._checking < self.policy.effects_max:
            runs = wanted[0].runs
            self._train_busy = True
            self._checking += 1
            known = len(runs) == 1 and self.state.runs[runs[0]].base == self._target
            self._later(0 if known else self.pace.check_ms, lambda: self._tested(runs))

    def _check(self) -> None:
        """Look at candidates, oldest run first, as many at once as the crew has threads for."""
        while self._to_check and self._checking < self.policy.effects_max:
            self._checking += 1
            run_id = min(self._to_check, key=self._age)
            self._to_check.remove(run_id)
            self._later(self.pace.check_ms, partial(self._checked, run_id))

    def _go_on(self) -> None:
        """Start the turns that are due, as `reconcile` does: oldest run first, where kind and lane have room."""
        for run_id in sorted(self._due, key=self._age):
            run = self.state.runs[run_id]
            free = self.state.workers_busy < self.policy.workers_max
            if free and has_own_room(run, self.state.busy, self.policy):
                self._due.remove(run_id)
                self._start(run)

    def _offer(self) -> bool:
        """Give ready items to runs, and note what keeps the others waiting; tell whether to ask again after that."""
        owed = [key for run_id in self._due for key in own_keys(self.state.runs[run_id])]
        shown = [order for order in self.state.ready if self._groups[order[3]] in self._news]
        asked = pick(_Partly(self.state, shown), self._room(), self.now_ms, self.policy, self.intent, owed)
        picks = list(self._until_full(asked, shown))
        granted = [found for found in picks if found.refusal is None and self._grant(found.item.spec.id)]
        self.waiting.look(self.state, self.policy, picks)
        if granted:
            return True
        self._news = set()
        opens_ms = hours_open_ms(self.now_ms, self.policy)
        if opens_ms > self.now_ms:
            self._later(opens_ms - self.now_ms, self._look_again)
        return False

    def _grant(self, item: ItemId) -> bool:
        if isinstance(self._ask(cmd.GrantRun(item, self._target, self.policy.repo)), Refusal):
            return False
        self._holding[self._groups[item]] += 1
        self._start(self.state.runs[self.state.items[item].run])
        return True

    def _until_full(self, asked: Iterator[Pick], shown: list[Order]) -> Iterator[Pick]:
        """Leave off asking when no group can hold more; not before those were asked that never were."""
        strangers = sum(order[3] not in self.waiting for order in shown)
        groups = {self._groups[order[3]] for order in shown}
        open_groups = {group for group in groups if self._holding[group] < group.most}
        offered: Counter[Group] = Counter()
        for found in asked if open_groups or strangers else ():
            yield found
            group = self._groups[found.item.spec.id]
            strangers -= found.item.spec.id not in self.waiting
            if found.refusal is None:
                offered[group] += 1
                if self._holding[group] + offered[group] >= group.most:
                    open_groups.discard(group)
            if not open_groups and not strangers:
                return

    def _start(self, run: Run) -> None:
        """Start the worker of a turn, and see to its end: by itself, or when it has used up its time."""
        turn = run.turn + 1
        self._do(cmd.RecordStart(run.id, run.lease.token, turn, WorkerId(1, self.state.seq)))
        slot = heappop(self._slots) if self._slots else self._slots_made
        self._slots_made = max(self._slots_made, slot + 1)
        at_ms = self.now_ms - self.begin_ms
        self._open[run.id] = TurnPlayed(run.id, run.item, slot, at_ms, at_ms, "")
        takes_ms, _ = self.pace.turn(run.id, turn)
        limits = [self.state.items[run.item].spec.wall_max_ms]
        limits += [run.reserved.wall_ms - run.drawn.wall_ms] if run.reserved.wall_ms else []
        if takes_ms <= min(limits):
            self._later(takes_ms, lambda: self._exited(run.id))
        else:
            self._later(max(min(limits), 0), lambda: self._cut_short(run.id))

    # ── what ends ──

    def _exited(self, run_id: RunId) -> None:
        run = self.state.runs[run_id]
        self._do(cmd.RecordExit(run_id, run.lease.token, run.turn, 0))
        if changes_nothing(self.state.items[run.item].spec):
            self._close(run_id, EndKind.finished.value)
            self._end(run, EndKind.finished, "")
            return
        self._close(run_id, "")
        self._to_check.add(run_id)

    def _cut_short(self, run_id: RunId) -> None:
        """Stop a worker that took longer, or spent more, than its item allows."""
        run = self.state.runs[run_id]
        spec = self.state.items[run.item].spec
        over = overspent(run, self.now_ms - run.started_ms)
        end = EndKind.over_budget if over else EndKind.timed_out
        reason = over or f"the worker took longer than {spec.wall_max_ms / 1000:g} s"
        self._do(cmd.StopRun(run_id, end, reason))
        self._later(0, partial(self._stopped, run, end, reason))

    def _stopped(self, run: Run, end: EndKind, reason: str) -> None:
        self._do(cmd.RecordExit(run.id, run.lease.token, run.turn, None, SIGTERM))
        self._close(run.id, end.value)
        self._end(run, end, reason)

    def _end(self, run: Run, end: EndKind, reason: str) -> None:
        """End a run after the next look, as a supervisor does: its worker's place is free before its scope is."""
        self._later(0, partial(self._ended, cmd.RecordEnd(run.id, run.lease.token, end, reason)))

    def _ended(self, command: cmd.RecordEnd) -> None:
        item = self.state.runs[command.run].item
        self._freed(item)
        self._do(command)
        if command.end is EndKind.finished:
            self.landed_ms[item] = self.now_ms

    def _close(self, run_id: RunId, verdict: str) -> None:
        """Note the end of a turn's worker, whose place is free from here on."""
        turn = replace(self._open.pop(run_id), to_ms=self.now_ms - self.begin_ms, verdict=verdict)
        heappush(self._slots, turn.slot)
        self.turns.append(turn)
        item = ItemId(turn.item)
        self.effort_ms[item] = self.effort_ms.get(item, 0) + turn.to_ms - turn.from_ms

    def _checked(self, run_id: RunId) -> None:
        self._checking -= 1
        run = self.state.runs[run_id]
        _, good = self.pace.turn(run_id, run.turn)
        evidence = self._evidence(run, good=good)
        happened = self._do(cmd.RecordEvidence(run_id, run.lease.token, run.turn, evidence))
        self.effort_ms[run.item] += self.pace.check_ms
        at = next(n for n in range(len(self.turns) - 1, -1, -1) if self.turns[n].run == run_id)
        self.turns[at] = replace(self.turns[at], verdict="accepted" if good else "rejected")
        for event in happened:
            if isinstance(event, ev.VerdictGiven) and event.again:
                self._due.append(run_id)
            elif isinstance(event, ev.StopRequested):
                self._end(run, event.end, event.reason)

    def _evidence(self, run: Run, *, good: bool) -> Evidence:
        """What the supervisor would see of a candidate that is good, or not."""
        spec = self.state.items[run.item].spec
        commit = self._new_commit() if good or spec.checks else run.base
        state = CheckState.passed if good else CheckState.failed
        results = tuple(CheckResult(one.name, one.argv, state, 0 if good else 1, 0) for one in spec.checks)
        changed = (path_in(run.lease.scope, self.state.rules),)
        return Evidence(run.base, commit, commit, commit, changed, checks=results)

    def _new_commit(self) -> Commit:
        self._commits += 1
        return Commit(f"{self._commits:040x}")

    def _tested(self, runs: tuple[RunId, ...]) -> None:
        self._checking -= 1
        self._train_busy = False
        taken = [run for run_id in runs if (run := self.state.runs.get(run_id)) is not None and run.accepted_seq]
        members = tuple((run.id, run.lease.token, run.evidence.commit) for run in taken if run.evidence is not None)
        commit = self._new_commit()
        self._do(cmd.RecordTrain(members, tuple(run.id for run in taken), self._target, commit, commit, passed=True))

    def _landed(self) -> None:
        self._train_busy = False
        landing = self.state.landing
        assert landing is not None
        items = [self.state.runs[run_id].item for run_id in landing.runs]
        self._do(cmd.RecordLanding(landing.new, "landed", landing.new))
        self._target = landing.new
        for item in items:
            self._freed(item)
            self.landed_ms[item] = self.now_ms
            self.effort_ms[item] += self.pace.land_ms


class _Partly(State):
    """A state, to be read only, that shows some of its ready items."""

    def __init__(self, state: State, shown: list[Order]) -> None:
        assert state.leases is not None
        self.__dict__.update(state.__dict__)
        self._shown = shown

    @property
    def ready(self) -> list[Order]:
        return self._shown


class Group(Struct, frozen=True, eq=False):
    """Items whose scopes never stand in the way of those of other groups; compared by identity."""

    most: int
    """No more of their scopes can be held at once."""


def groups_of(specs: Iterable[ItemSpec], policy: Policy) -> dict[ItemId, Group]:
    """Put each item into its group."""
    claims = {spec.id: (("**",) if wanted_by(spec, policy).alone else spec.scope, spec.mode) for spec in specs}
    scopes = list(dict.fromkeys(scope for scope, _ in claims.values()))
    shared = {scope for scope, mode in claims.values() if mode is LeaseMode.shared}
    masks = conflict_masks(scopes, [False] * len(scopes), policy.paths)
    group_of: dict[tuple[str, ...], Group] = {}
    for start, scope in enumerate(scopes):
        if scope in group_of:
            continue
        members, edge = {start}, [start]
        while edge:
            near = masks[edge.pop()]
            found = [at for at in range(near.bit_length()) if near >> at & 1 and at not in members]
            members.update(found)
            edge += found
        ours = [scopes[at] for at in sorted(members)]
        packed = largest(conflict_masks(ours, [False] * len(ours), policy.paths)).most
        group = Group(len(claims) if shared.intersection(ours) else packed)
        group_of |= dict.fromkeys(ours, group)
    return {item: group_of[scope] for item, (scope, _) in claims.items()}


class _Waiting:
    """What ready items wait for while a worker is free, and for how long."""

    def __init__(self) -> None:
        self._free_ms = 0
        """How long there was a free worker so far."""
        self._since: dict[ItemId, tuple[tuple[RefusalCode, str], str, int]] = {}
        """For each item that waits: refused why and by whom, so waiting for what, and since which `_free_ms`."""
        self._lost: dict[str, dict[str, int]] = {}

    def pass_time(self, ms: int, is_free: bool) -> None:
        """Let time pass in which nothing changes."""
        self._free_ms += ms if is_free else 0

    def __contains__(self, item: ItemId) -> bool:
        return item in self._since

    def look(self, state: State, policy: Policy, picks: Iterable[Pick]) -> None:
        """Take what each of the items that were asked about waits for from here on."""
        for found in picks:
            item, refusal = found.item.spec.id, found.refusal
            before = self._since.get(item)
            key = (refusal.code, refusal.holder) if refusal is not None else None
            if before is not None and before[0] != key:
                self._note(item, before[1], self._free_ms - before[2])
                del self._since[item]
            if refusal is not None and key is not None and item not in self._since:
                self._since[item] = key, _in_the_way(state, policy, found.item.spec, refusal), self._free_ms

    def _note(self, item: str, what: str, ms: int) -> None:
        if ms and what:
            lost = self._lost.setdefault(what, {})
            lost[item] = lost.get(item, 0) + ms

    def told(self) -> tuple[Waited, ...]:
        """Everything that was waited for, the longest first."""
        for item, (_, what, since) in self._since.items():
            self._note(item, what, self._free_ms - since)
        self._since = {}
        found = [Waited(what, sum(lost.values()), tuple(lost)) for what, lost in self._lost.items()]
        return tuple(sorted(found, key=lambda one: (-one.ms, one.what)))


def _in_the_way(state: State, policy: Policy, spec: ItemSpec, refusal: Refusal) -> str:
    """Name the lane, the scopes or the kind that an item waits for; empty when it waits for something else."""
    if refusal.code is RefusalCode.lane_cap:
        return f"lane {spec.lane}"
    if refusal.code is RefusalCode.kind_cap:
        return f"kind {spec.kind}"
    if refusal.code not in (RefusalCode.overlap, RefusalCode.exclusive_held):
        return ""
    run = state.runs.get(RunId(refusal.holder))
    other = state.items[run.item if run is not None else ItemId(refusal.holder)].spec
    own = policy.lane(spec.lane) if spec.lane else None
    if refusal.code is RefusalCode.exclusive_held:
        return f"lane {spec.lane if own is not None and own.exclusive else other.lane}, which runs alone"
    if own is not None and other.lane == spec.lane and own.paths == spec.scope == other.scope:
        return f"lane {spec.lane}"
    pair = scope_overlap(other.scope, spec.scope, state.rules) or (other.scope[0], spec.scope[0])
    return " against ".join(sorted(set(pair)))


def path_in(scope: tuple[str, ...], rules: PathRules) -> str:
    """Make up a path that the scope matches."""
    branch = parse(scope[0], rules).branches[0]
    return "/".join(_name_in(segment) for segment in branch.items if segment is not None)


def _name_in(segment: Segment) -> str:
    if isinstance(segment, str):
        return segment
    return "".join("x" if char is None else _char_in(char) for char in segment.items)


def _char_in(char: str | CharSet) -> str:
    if isinstance(char, str):
        return char
    return next((one for one in "xa0_" if char.holds(ord(one), ord(one))), chr(char.ranges[0][0]))
