"""How long a plan would take: plans whose answer is known, and the same night played by `reconcile`, look by look."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from random import Random

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.decide import decide
from ganger.core.effects import (
    Clocks,
    CollectEvidence,
    Effect,
    EndRun,
    Exit,
    Land,
    Observed,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
)
from ganger.core.evolve import evolve
from ganger.core.facts import Snapshot
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq
from ganger.core.loop import Intent, StopReason, stop_reason
from ganger.core.model import (
    CheckResult,
    CheckState,
    Evidence,
    Hold,
    ItemSpec,
    Kind,
    Lane,
    LeaseMode,
    Refusal,
    WorkerId,
)
from ganger.core.patterns import AS_WRITTEN, scope_matches
from ganger.core.policy import Policy
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.report.capacity import Capacity, Waited
from ganger.supervisor.capacity import capacity, counts
from ganger.supervisor.crew import LONG, Crew
from ganger.supervisor.rehearsal import Pace, path_in, rehearse
from ganger.testing.builders import NOW_MS, Story, spec

PLAN = PlanId("plan")
WORK, CHECK, LAND = 1_200_000, 60_000, 2_000
ALONE = WORK + CHECK + LAND
"""An item that nobody lands before: its own checks count for the train."""
AMONG_OTHERS = ALONE + CHECK
"""An item whose train has to be checked."""
PACE = Pace(WORK, 1.0, CHECK, LAND)
LANES = (Lane("db", ("db/**",), workers_max=1), Lane("release", ("CHANGELOG.md",), exclusive=True))


def facts(*specs: ItemSpec) -> Snapshot:
    return Story(*specs).state.snapshot()


def answer(*specs: ItemSpec, workers: int = 2, pace: Pace = PACE, limit_ms: int | None = None) -> Capacity:
    return capacity(facts(*specs), PLAN, Policy(workers_max=workers, lanes=LANES), pace, NOW_MS, limit_ms)


def at(name: str, *scope: str, **fields: object) -> ItemSpec:
    return spec(name, scope=scope or (f"src/{name}.py",), **fields)


def after(name: str, *before: str) -> ItemSpec:
    return at(name, after=tuple(map(ItemId, before)))


KNOWN = {
    "one item": ([at("a")], 1, ALONE),
    "a chain": ([at("a"), after("b", "a"), after("c", "b")], 3, 3 * ALONE),
    "two that are independent": ([at("a"), at("b")], 2, AMONG_OTHERS),
    "four for two workers": ([at("a"), at("b"), at("c"), at("d")], 2, WORK + AMONG_OTHERS),
    "four for four workers": ([at("a"), at("b"), at("c"), at("d")], 4, AMONG_OTHERS),
    "one scope for two": ([at("a", "src/**"), at("b", "src/**")], 2, 2 * ALONE),
    "one scope that both share": (
        [at("a", "src/**", mode=LeaseMode.shared), at("b", "src/**", mode=LeaseMode.shared)],
        2,
        AMONG_OTHERS,
    ),
    "overlapping scopes": ([at("a", "src/**"), at("b", "src/x.py", "b.py"), at("c", "c.py")], 3, AMONG_OTHERS + ALONE),
    "a lane for one": ([at("a", "db/a", lane="db"), at("b", "db/b", lane="db")], 2, WORK + AMONG_OTHERS),
    "an exclusive lane": ([at("a"), at("b", "CHANGELOG.md", lane="release")], 2, 2 * ALONE),
    "a diamond": ([at("a"), after("b", "a"), after("c", "a"), after("d", "b", "c")], 2, 2 * ALONE + AMONG_OTHERS),
}


@pytest.mark.parametrize("name", KNOWN)
def test_plans_whose_answer_is_known(name: str) -> None:
    specs, workers, took_ms = KNOWN[name]
    found = answer(*specs, workers=workers)
    assert (found.took_ms, found.landed, found.left) == (took_ms, len(specs), ())
    assert found.ideal_ms <= found.took_ms


WAITED = {
    "src/**": [at("a", "src/**"), at("b", "src/**")],
    "src/** against src/b.py": [at("a", "src/**"), at("b", "src/b.py")],
    "lane release, which runs alone": [at("a"), at("b", "CHANGELOG.md", lane="release")],
}


@pytest.mark.parametrize("what", WAITED)
def test_what_was_waited_for_is_named(what: str) -> None:
    assert answer(*WAITED[what]).waits == (Waited(what, ALONE, ("b",)),)


def test_a_full_lane_is_waited_for_until_its_worker_ends() -> None:
    assert answer(at("a", "db/a", lane="db"), at("b", "db/b", lane="db")).waits == (Waited("lane db", WORK, ("b",)),)
    assert answer(at("a"), at("b"), at("c"), at("d")).waits == ()


def test_no_time_is_lost_while_every_worker_is_busy() -> None:
    assert answer(at("a", "src/**"), at("b", "src/**"), at("c", "c.py"), workers=1).waits == ()


def test_the_critical_path_and_the_most() -> None:
    found = answer(at("a"), after("b", "a"), at("c"), after("d", "b"), at("e", "src/*.py", "e.py"), workers=4)
    assert (found.critical, found.critical_ms) == (("a", "b", "d"), 3 * ALONE)
    assert (found.most, found.most_is_exact) == (4, True)


def test_other_numbers_of_workers() -> None:
    rows = answer(at("a"), at("b"), at("c"), at("d"), at("e"), at("f"), workers=3).rows
    assert [row.workers for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.saves_ms for row in rows][:3] == [None, rows[0].took_ms - rows[1].took_ms, 1_200_000]
    assert rows[2].busy == pytest.approx(6 * WORK / (3 * rows[2].took_ms))
    assert counts(50) == (1, 2, 12, 25, 49, 50, 75, 100)


def test_rows_that_are_not_played_are_as_if_they_were() -> None:
    specs = [at(f"i{n}", f"src/m{n % 3}/**") for n in range(12)]
    for row in answer(*specs, workers=4, pace=Pace(WORK, 1.5, CHECK, LAND, 0.2)).rows:
        policy = Policy(workers_max=row.workers, lanes=LANES)
        played = rehearse(facts(*specs), policy, Pace(WORK, 1.5, CHECK, LAND, 0.2), Intent(plan=PLAN), NOW_MS)
        assert row.took_ms == played.took_ms


def test_it_fits_or_not() -> None:
    assert answer(at("a"), limit_ms=ALONE).fits
    assert not answer(at("a"), limit_ms=ALONE - 1).fits
    assert answer(at("a"), at("b", hold=Hold("draft")), after("c", "b")).fits
    slow = answer(at("a", wall_max_ms=WORK - 1, attempts_max=1), after("b", "a"))
    assert [(one.item, one.why, one.held) for one in slow.left] == [
        ("a", "item a failed 1 attempt: the worker took longer than 1200 s", False),
        ("b", "item b waits for a", False),
    ]
    assert not slow.fits


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    specs = [at(f"i{n}", f"src/m{n % 5}/**") for n in range(20)]
    pace = Pace(WORK, 2.0, CHECK, LAND, 0.3, seed=4)
    assert answer(*specs, pace=pace) == answer(*specs, pace=pace)
    assert answer(*specs, pace=pace).took_ms != answer(*specs, pace=replace(pace, seed=5)).took_ms


def test_allowed_hours_are_waited_for() -> None:
    policy = Policy(hours=((0, 1),), workers_max=1)
    day_ms = 86_400_000
    found = capacity(facts(at("a"), at("b", "b.py")), PLAN, policy, PACE, NOW_MS // day_ms * day_ms)
    assert found.took_ms == day_ms + ALONE


@pytest.mark.parametrize(
    "pattern",
    ["a.py", "src/", "src/**", "**/x.py", "*.md", ".*", "?", "[!x]?", "{a,b}/[c-f]*", "a\\*b", "[.]?", "src/*/m_*.py"],
)
def test_a_scope_matches_the_path_made_up_for_it(pattern: str) -> None:
    assert scope_matches((pattern,), path_in((pattern,), AS_WRITTEN), AS_WRITTEN)


# ── the slow way ──


class Plodder:
    """The same night, with `reconcile` asked for everything at every instant, and leases that do run out."""

    def __init__(self, given: Snapshot, policy: Policy, pace: Pace) -> None:
        self.state, self.policy, self.pace = State(given, policy.paths), replace(policy, train_parallel=1), pace
        self.now_ms, self.order, self.commits = NOW_MS, 0, 1
        self.target = Commit("1".zfill(40))
        self.queue: list[tuple[int, int, Callable[[], object]]] = []
        self.busy: set[str] = set()
        self.testing: set[Trial] = set()
        self.checking = 0
        self.exits: dict[RunId, Exit] = {}
        self.log: list[tuple[int, str, str]] = []

    def later(self, ms: int, act: Callable[[], object]) -> None:
        self.order += 1
        heappush(self.queue, (self.now_ms + ms, self.order, act))

    def do(self, command: cmd.Command) -> bool:
        decided = decide(self.state, command, self.now_ms, self.policy)
        for event in () if isinstance(decided, Refusal) else decided:
            evolve(self.state, ev.Entry(Seq(self.state.seq + 1), self.now_ms, "test", event))
            if isinstance(event, ev.WorkerStarted | ev.WorkerExited | ev.RunLanded | ev.RunEnded):
                self.log.append((self.now_ms - NOW_MS, type(event).__name__, event.run))
        return bool(decided) and not isinstance(decided, Refusal)

    def observed(self) -> Observed:
        now = self.now_ms
        clocks = {run.id: Clocks(now, now, now) for run in self.state.runs.values() if run.has_worker}
        return Observed(target=self.target, exits=dict(self.exits), clocks=clocks, testing=frozenset(self.testing))

    def play(self) -> StopReason:
        while True:
            while self.look():
                pass
            stop = stop_reason(self.state, self.now_ms, self.policy, Intent())
            if stop is not None:
                return stop
            wake = next_wake_ms(self.state, self.observed(), self.now_ms, self.policy)
            self.now_ms = min(time for time in (wake, self.queue[0][0] if self.queue else None) if time is not None)
            while self.queue and self.queue[0][0] == self.now_ms:
                heappop(self.queue)[2]()

    def look(self) -> bool:
        effects = reconcile(self.state, self.observed(), self.now_ms, self.policy, Intent())
        did = [self.do(effect.command) for effect in effects if isinstance(effect, Submit)]
        if any(did):
            return True
        others = [effect for effect in effects if not isinstance(effect, Submit)]
        done = [self.begin(effect) for effect in Crew.by_importance(others)]
        return any(done)

    def begin(self, effect: Effect) -> bool:
        """Begin an effect; tell whether it is done already."""
        is_long = isinstance(effect, LONG)
        if effect.key in self.busy or (is_long and self.checking >= self.policy.effects_max):
            return False
        if isinstance(effect, StartWorker):
            run = self.state.runs[effect.run]
            self.exits.pop(run.id, None)
            takes_ms, _ = self.pace.turn(run.id, effect.turn)
            self.later(takes_ms, partial(self.exits.setdefault, run.id, Exit(effect.turn, 0)))
            return self.do(cmd.RecordStart(run.id, run.lease.token, effect.turn, WorkerId(1, self.state.seq)))
        if isinstance(effect, StopWorker):
            self.exits[effect.run] = Exit(self.state.runs[effect.run].turn, None, 15)
            return True
        if isinstance(effect, EndRun):
            token = self.state.runs[effect.run].lease.token
            return self.do(cmd.RecordEnd(effect.run, token, effect.end, effect.reason))
        self.busy.add(effect.key)
        self.checking += is_long
        takes_ms = self.pace.land_ms if isinstance(effect, Land) else self.pace.check_ms
        if isinstance(effect, TestTrain):
            self.testing.add(effect.trial)
        if isinstance(effect, TestTrain) and len(effect.runs) == 1:
            takes_ms = 0 if self.state.runs[effect.runs[0]].base == self.target else takes_ms
        self.later(takes_ms, lambda: self.finish(effect))
        return False

    def finish(self, effect: Effect) -> None:
        self.busy.remove(effect.key)
        self.checking -= isinstance(effect, LONG)
        self.commits += 1
        commit = Commit(str(self.commits).zfill(40))
        if isinstance(effect, CollectEvidence):
            run = self.state.runs[effect.run]
            _, good = self.pace.turn(run.id, run.turn)
            how = (CheckState.passed, 0) if good else (CheckState.failed, 1)
            results = tuple(CheckResult(one.name, one.argv, *how, 0) for one in self.state.items[run.item].spec.checks)
            changed = (path_in(run.lease.scope, AS_WRITTEN),)
            evidence = Evidence(run.base, commit, commit, commit, changed, checks=results)
            self.do(cmd.RecordEvidence(run.id, run.lease.token, run.turn, evidence))
        elif isinstance(effect, TestTrain):
            self.testing.remove(effect.trial)
            runs = [self.state.runs[run] for run in effect.runs]
            members = tuple((run.id, run.lease.token, run.evidence.commit) for run in runs if run.evidence)
            assert self.do(cmd.RecordTrain(members, effect.runs, self.target, commit, commit, passed=True))
        else:
            assert isinstance(effect, Land)
            assert self.do(cmd.RecordLanding(effect.new, "landed", effect.new))
            self.target = effect.new


def drawn(rng: Random) -> tuple[list[ItemSpec], Policy, Pace]:
    """Any small plan, fleet and pace."""
    specs = []
    for n in range(rng.randrange(1, 16)):
        fields: dict[str, object] = {"priority": rng.choice((50, 100)), "kind": rng.choice(("patcher", "tester"))}
        fields["mode"] = rng.choice((LeaseMode.exclusive, LeaseMode.exclusive, LeaseMode.shared))
        fields["after"] = tuple({ItemId(f"i{rng.randrange(n)}") for _ in range(rng.choice((0, 0, 1, 2)))} if n else ())
        if rng.random() < 0.2:
            fields["wall_max_ms"] = rng.choice((WORK // 2, WORK, 2 * WORK))
        lane = rng.choice(("", "", "", "db", "release"))
        scope = {"db": (f"db/{n}",), "release": ("CHANGELOG.md",)}.get(lane, (f"src/m{rng.randrange(4)}/**", "one.py"))
        scope = scope[:1] if lane or rng.random() < 0.9 else scope
        specs.append(at(f"i{n}", *scope, lane=lane, **fields))
    kinds = (Kind("tester", rng.choice((None, 1, 2))),)
    policy = Policy(
        workers_max=rng.randrange(1, 6), lanes=LANES, kinds=kinds, effects_max=rng.randrange(1, 4), train_max=3
    )
    pace = Pace(WORK, rng.choice((1.0, 2.0)), rng.choice((CHECK, 7 * CHECK)), LAND, rng.choice((0, 0.3, 0.7)))
    return specs, policy, replace(pace, seed=rng.randrange(1_000))


@pytest.mark.parametrize("seed", range(80))
def test_it_is_the_night_that_the_supervisor_would_have(seed: int) -> None:
    specs, policy, pace = drawn(Random(seed))
    slow = Plodder(facts(*specs), policy, pace)
    stop = slow.play()
    played = rehearse(facts(*specs), policy, pace, Intent(), NOW_MS)
    runs = {(run, at_ms) for at_ms, what, run in slow.log if what == "WorkerStarted"}
    ends = {(run, at_ms) for at_ms, what, run in slow.log if what == "WorkerExited"}
    landed = {run.rpartition(".")[0]: at_ms for at_ms, what, run in slow.log if what == "RunLanded"}
    assert {(turn.run, turn.from_ms) for turn in played.turns} == runs
    assert {(turn.run, turn.to_ms) for turn in played.turns} == ends
    assert (played.landed_ms, played.stop) == (landed, stop)
    assert played.took_ms == max((at_ms for at_ms, what, _ in slow.log if what in ("RunLanded", "RunEnded")))
