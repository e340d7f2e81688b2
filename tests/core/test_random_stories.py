"""Whatever is asked in whatever order: only legal edges, indexes that are those of a fresh state, caps that hold."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from random_story import POLICY, indexes, steps

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.evolve import fold
from ganger.core.facts import Snapshot
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.lifecycle import ITEM_EDGES, RUN_EDGES, ItemStatus, RunStatus, edge_fault, item_status, run_status
from ganger.core.model import Budget, LeaseMode, Refusal
from ganger.core.patterns import scope_overlap
from ganger.core.program import PLAN_EDGES, PlanStatus, plan_status
from ganger.core.state import State
from ganger.testing.builders import Story
from ganger.testing.invariants import canonical

SEEDS = range(25)
STEPS = 500


class Statuses:
    """Where everything was, and which edges were seen."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.runs: dict[RunId, RunStatus] = {}
        self.items: dict[ItemId, ItemStatus] = {}
        self.plans: dict[PlanId, PlanStatus] = {}
        self.run_edges: set[tuple[RunStatus, RunStatus]] = set()

    def look(self, command: cmd.Command | None = None) -> None:
        """Compare with what was; nothing may have got where no edge leads."""
        story = self.story
        runs = {run.id: run_status(story.state, run) for run in story.state.runs.values()}
        items = {i: item_status(story.state, item, story.now_ms) for i, item in story.state.items.items()}
        plans = {plan: plan_status(story.state, plan) for plan in story.state.plans}
        for run, before in self.runs.items():
            if run in runs:
                self.run_edges.add((before, runs[run]))
                assert not edge_fault(before, runs[run]), (run, command)
        for item, was in self.items.items():
            assert not edge_fault(was, items[item]), (item, command)
            if was in (ItemStatus.landed, ItemStatus.finished) and items[item] is not was:
                assert isinstance(command, cmd.RetryItem) and was is ItemStatus.finished, (item, command)
        for plan, stood in self.plans.items():
            assert plans[plan] is stood or plans[plan] in PLAN_EDGES[stood], (plan, stood, command)
        self.runs, self.items, self.plans = runs, items, plans


def watched(seed: int, length: int = STEPS) -> Statuses:
    """Let a random story happen, event by event."""
    rng = Random(seed)
    story = Story(policy=POLICY)
    seen = Statuses(story)
    for command, decided in steps(story, rng, length):
        seen.look()
        for event in () if isinstance(decided, Refusal) else decided:
            if isinstance(event, ev.RunLanded):
                assert seen.runs[event.run] is RunStatus.landing
            story.append(event)
            seen.look(command)
    return seen


@pytest.mark.parametrize("seed", SEEDS)
def test_only_legal_edges(seed: int) -> None:
    watched(seed)


def test_every_edge_of_a_run_happens() -> None:
    """A table with edges that never happen would forbid too little."""
    seen: set[tuple[RunStatus, RunStatus]] = set()
    for seed in range(60):
        seen |= watched(seed + 1_000).run_edges
    assert {(before, after) for before, legal in RUN_EDGES.items() for after in legal} <= seen


FAULTS = [
    (RunStatus.accepted, RunStatus.landing, ""),
    (RunStatus.working, RunStatus.working, ""),
    (RunStatus.ending, RunStatus.starting, "a run that is ending does not become starting"),
    (RunStatus.reported, RunStatus.landing, "a run that is reported does not become landing"),
    (ItemStatus.running, ItemStatus.landed, ""),
    (ItemStatus.landed, ItemStatus.landed, ""),
    (ItemStatus.landed, ItemStatus.ready, "an item that is landed does not become ready"),
    (ItemStatus.ready, ItemStatus.landed, "an item that is ready does not become landed"),
    (ItemStatus.waiting, ItemStatus.running, "an item that is waiting does not become running"),
]


@pytest.mark.parametrize(("before", "after", "fault"), FAULTS)
def test_edges_that_there_are_not(before: Any, after: Any, fault: str) -> None:
    assert edge_fault(before, after) == fault


def test_every_status_has_its_edges() -> None:
    assert set(RUN_EDGES) == set(RunStatus)
    assert set(ITEM_EDGES) == set(ItemStatus)
    assert set(PLAN_EDGES) == set(PlanStatus)


@pytest.mark.parametrize("seed", SEEDS)
def test_indexes_are_those_of_a_fresh_state(seed: int) -> None:
    """Kept along the way, rebuilt from the snapshot, or folded anew: the same; and a snapshot loses nothing."""
    rng = Random(seed)
    story = Story(policy=POLICY)
    for _, decided in steps(story, rng, 300):
        for event in () if isinstance(decided, Refusal) else decided:
            story.append(event)
            kept = indexes(story.state)
            stored = msgspec.msgpack.encode(story.state.snapshot())
            rebuilt = State(msgspec.msgpack.decode(stored, type=Snapshot), story.state.rules)
            assert indexes(rebuilt) == kept, event
            assert canonical(rebuilt) == canonical(story.state), event
    fresh = fold(story.entries, POLICY.paths)
    assert indexes(fresh) == indexes(story.state)
    assert canonical(fresh) == canonical(story.state)


CAPS = replace(
    POLICY,
    fleet_budget=Budget(usd_micros=60_000_000, tokens=20_000, wall_ms=400_000),
    plan_budgets=(("plan", Budget(tokens=9_000)), ("other", Budget(usd_micros=20_000_000))),
    run_budget=Budget(tokens=2_000, usd_micros=4_000_000),
)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_spent_and_reserved_stays_within_every_cap_at_each_grant(seed: int) -> None:
    """An account of its own, from the events alone; nobody forces here."""
    rng = Random(seed)
    story = Story(policy=CAPS)
    spent: Counter[tuple[str, str]] = Counter()
    for command, decided in steps(story, rng, 400):
        if isinstance(decided, Refusal) or getattr(command, "force", ""):
            continue
        for event in decided:
            if isinstance(event, ev.SupervisorStarted) and story.state.left_in_order:
                spent = Counter({key: value for key, value in spent.items() if key[0].startswith("item:")})
            if isinstance(event, ev.UsageRecorded):
                run = story.state.runs[event.run]
                more = {
                    "tokens": max(event.usage.tokens - run.turn_spent.tokens, 0),
                    "usd_micros": max(event.usage.usd_micros - run.turn_spent.usd_micros, 0),
                }
                _book(spent, story.state, run.item, more)
            if isinstance(event, ev.WorkerExited):
                run = story.state.runs[event.run]
                _book(spent, story.state, run.item, {"wall_ms": story.now_ms - run.started_ms})
            story.append(event)
            if isinstance(event, ev.RunGranted):
                _within_caps(spent, story, event.item)


def _accounts(state: State, item: ItemId) -> list[str]:
    """The accounts above a run, by walking up from its item."""
    spec = state.items[item].spec
    accounts = ["fleet", f"plan:{spec.plan}"]
    while True:
        accounts.append(f"item:{spec.id}")
        if spec.parent not in state.items:
            return accounts
        spec = state.items[spec.parent].spec


def _book(spent: Counter[tuple[str, str]], state: State, item: ItemId, more: dict[str, int]) -> None:
    for account in _accounts(state, item):
        for figure, amount in more.items():
            spent[account, figure] += amount


def _within_caps(spent: Counter[tuple[str, str]], story: Story, item: ItemId) -> None:
    for account in _accounts(story.state, item):
        kind, _, name = account.partition(":")
        if kind == "item":
            cap = story.state.items[ItemId(name)].spec.budget
        else:
            cap = story.policy.plan_budget(name) if kind == "plan" else story.policy.fleet_budget
        for figure in ("usd_micros", "tokens", "wall_ms"):
            reserved = sum(
                max(getattr(run.reserved, figure) - getattr(run.drawn, figure), 0)
                for run in story.state.runs.values()
                if account in _accounts(story.state, run.item)
            )
            limit = getattr(cap, figure)
            assert limit is None or spent[account, figure] + reserved <= limit, (account, figure)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_hold_one_path_unless_they_share_it(seed: int) -> None:
    """Forced or not, alone or not: looked up by brute force after every grant."""
    rng = Random(seed)
    story = Story(policy=POLICY)
    for _, decided in steps(story, rng, 400):
        for event in () if isinstance(decided, Refusal) else decided:
            story.append(event)
            if isinstance(event, (ev.RunGranted, ev.LeaseGranted)):
                _all_apart(story)


def _is_above(state: State, one: str, other: str) -> bool:
    """Whether the second is a child of the first, or a child's child: it holds a part of what the first does."""
    run = state.runs.get(RunId(other))
    while run is not None and run.spawner:
        if run.spawner == one:
            return True
        run = state.runs.get(run.spawner)
    return False


def _all_apart(story: Story) -> None:
    leases = {str(run.id): run.lease for run in story.state.runs.values()}
    leases |= {str(h.id): h.lease for h in story.state.held.values() if story.now_ms < h.lease.expires_ms}
    for one, other in combinations(leases, 2):
        mine, theirs = leases[one], leases[other]
        if _is_above(story.state, one, other) or _is_above(story.state, other, one):
            continue
        assert not mine.alone and not theirs.alone, (one, other)
        if LeaseMode.exclusive in (mine.mode, theirs.mode):
            assert scope_overlap(mine.scope, theirs.scope, story.state.rules) is None, (one, other)
