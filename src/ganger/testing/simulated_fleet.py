"""What a seed decides before anything happens: the plan, the workers' habits, the operator, and which faults occur.

Each seed draws a random subset of habits and faults with intensities of its own (swarm testing): a fault that is
always on hides others.
"""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Budget, Check, Hold, ItemSpec, Kind, Lane, LeaseMode, Rung, Writes
from ganger.core.policy import Policy
from ganger.testing.simulated_workers import BEHAVIOURS, UNSPOKEN

HOUR_MS = 3_600_000
TALKER = "other"
"""The agent whose workers are to speak: one that ends without a word has said nothing."""
PLAN = PlanId("plan")
SCOPES = (
    *(("a/**",), ("b/**",), ("c/**",), ("d/**",), ("a/sub/**",), ("shared/*.txt",), ("{b,c}/p.txt",)),
    *(("d/**", "shared/p.txt"), ("a/[pq].txt", "c/?.txt"), ("*/q.txt",), ("b/r.txt", "b/s.txt")),
)
LANES = (
    Lane("one", ("a/**",)),
    Lane("two", ("b/**", "shared/p.txt"), workers_max=1),
    Lane("alone", ("d/*.txt",), exclusive=True),
    Lane("wide", ("**",)),
)
ACTIONS = (
    *("stop", "retry", "commit", "force", "dirty", "blocked", "rebase", "revise", "night", "kill"),
    *("lease", "lease", "plan", "rewind", "schedule", "now", "breaker", "red", "tell"),
)
FAULTS = ("crash", "fail", "slow", "jump", "away", "deaf", "disk", "flaky", "skew")


class Config(Struct, frozen=True):
    """One seed's world."""

    items: int = 4
    habits: tuple[str, ...] = ("honest",)
    actions: tuple[str, ...] = ()
    """What the operator does besides answering."""
    action_every_ms: int = 400_000
    faults: tuple[tuple[str, float], ...] = ()
    """Each fault that occurs, with its intensity from 0 to 1."""
    faults_ms: int = HOUR_MS
    """How long faults go on and the operator is restless."""
    answers: bool = True
    """Whether the operator answers once the faults are over."""
    regrets: bool = False
    """Whether the operator has landings undone, and undoings."""
    stacked: bool = False
    """Whether most items come after others, and begin on what those had accepted."""
    crash_at: int = 0
    """The point, from 1, at which the supervisor dies; 0: at none in particular."""
    policy: Policy = Policy()

    def strength(self, fault: str) -> float:
        """Intensity of a fault; 0 when it does not occur."""
        return dict(self.faults).get(fault, 0.0)


def chance(text: str) -> Random:
    """A source of chance that depends on the text alone."""
    return Random(text)  # noqa: S311 - what happens in a simulation, not a secret


def swarm(seed: int) -> Config:
    """Draw a configuration."""
    drawn = _with_closing(_draw(chance(f"config {seed}")), chance(f"ci {seed}"))
    return _with_children(_with_unspoken(replace(drawn, regrets=_regrets(seed)), chance(f"unspoken {seed}")), seed)


def short(seed: int) -> Config:
    """Draw a configuration that is played in half the time: few items, and a few minutes of the same faults.

    The operator is more restless, so that more happens in a minute.
    """
    rng = chance(f"short config {seed}")
    long = _with_unspoken(_with_closing(_draw(rng), chance(f"ci {seed}")), chance(f"unspoken {seed}"))
    return replace(
        _with_children(long, seed),
        items=min(long.items, rng.choice((1, 2, 2, 4))),
        action_every_ms=rng.choice((60_000, 120_000)),
        faults_ms=rng.randrange(200_000, 900_000),
        regrets=_regrets(seed),
    )


def _with_closing(config: Config, rng: Random) -> Config:
    """Have some fleets wait for CI, ask about strays, or begin on accepted work; by a source of chance of its own."""
    config = replace(config, stacked=rng.random() < 0.2)
    silent = "stop" if config.policy.same_calls_max == 3 else "flag"
    config = replace(config, policy=replace(config.policy, silent_guard=silent))
    if rng.random() < 0.3:
        config = replace(config, policy=replace(config.policy, off_plan="inbox"))
    if rng.random() < 0.3:
        config = replace(config, policy=replace(config.policy, combine="prepared"))
    if rng.random() > 0.25:
        return config
    policy = replace(
        config.policy,
        ci_required=True,
        ci_dependents=rng.choice(("landed", "closed")),
        ci_every_ms=rng.choice((1_000, 30_000)),
        ci_patience_ms=rng.choice((60_000, HOUR_MS)),
    )
    return replace(config, policy=policy)


def _with_unspoken(config: Config, rng: Random) -> Config:
    """Have some fleets' workers say nothing, or that they are not sure; by a source of chance of its own."""
    if rng.random() < 0.2:
        window_ms = rng.choice((20_000, 600_000, HOUR_MS))
        policy = replace(config.policy, consult_agent=rng.choice(("default", "other")), consult_window_ms=window_ms)
        config = replace(config, policy=policy, habits=(*config.habits, "consults"))
    if rng.random() < 0.05:
        return replace(config, habits=(*UNSPOKEN, "honest"), policy=replace(config.policy, turns_max=3))
    return replace(config, habits=(*config.habits, *(name for name in UNSPOKEN if rng.random() < 0.12)))


def _with_children(config: Config, seed: int) -> Config:
    """Have some fleets' workers hand on parts of their work; by a source of chance of its own."""
    rng = chance(f"children {seed}")
    if rng.random() > 0.3:
        return config
    capped = config.policy.kind("patcher").workers_max
    deep, many = rng.choice((1, 1, 2)), rng.choice((1, 3, 4))
    kinds = (
        Kind("patcher", capped, spawn=("scout", "patcher"), spawn_depth=deep, spawn_max=many),
        Kind("scout", writes=Writes.none, spawn=rng.choice(((), ("scout",))), spawn_max=2),
    )
    policy = replace(config.policy, kinds=kinds, children_max=rng.choice((2, 8)), agents=("default", "other"))
    policy = replace(policy, depth_max=rng.choice((1, 3, 3)))
    others = rng.choice((config.habits, ("honest", "half")))
    return replace(config, policy=policy, habits=(*others, *["spawns"] * len(others)))


def _regrets(seed: int) -> bool:
    return chance(f"regrets {seed}").random() < 0.3


def _draw(rng: Random) -> Config:
    habits = tuple(name for name in BEHAVIOURS if rng.random() < 0.3)
    crowd = rng.random() < 0.1
    return Config(
        items=8 if crowd else rng.choice((2, 3, 4, 5)),
        habits=("half", "half", "honest") if crowd else (*habits, "honest"),
        actions=tuple(action for action in ACTIONS if rng.random() < 0.35),
        action_every_ms=rng.choice((120_000, 400_000)),
        faults=tuple((fault, rng.random()) for fault in FAULTS if rng.random() < 0.4),
        faults_ms=rng.randrange(600_000, 4_000_000),
        answers=rng.random() < 0.8,
        policy=Policy(
            workers_max=8 if crowd else rng.choice((1, 2, 4)),
            hours=((0, 1_200),) if rng.random() < 0.1 else (),
            lease_ttl_ms=rng.choice((120_000, 600_000)),
            backoff_ms=rng.choice((0, 30_000)),
            turns_max=rng.choice((1, 2, 3)),
            train_max=8 if crowd else rng.choice((1, 3)),
            flaky_retries=rng.choice((0, 1)),
            landing_mode="ask" if rng.random() < 0.15 else "auto",
            pick_scan_max=rng.choice((3, 1_000)),
            effects_max=rng.choice((1, 2, 4)),
            **_means(rng),
        ),
    )


def _means(rng: Random) -> dict[str, Any]:
    """Draw lanes, caps, budgets and whatever else only some fleets have."""
    rich = rng.random() < 0.5
    return {
        "repo": "repo",
        "lanes": LANES if rng.random() < 0.4 else LANES[:3],
        "autopick": ("one", "two"),
        "kinds": (Kind("patcher", rng.choice((1, 2))),) if rng.random() < 0.2 else (),
        "depth_max": rng.choice((0, 1, 2)),
        "permit_ms": rng.choice((300_000, 1_800_000)),
        "require_clean": rng.random() < 0.1,
        "fleet_budget": Budget() if rich else Budget(tokens=rng.choice((50_000, 200_000)), wall_ms=20 * HOUR_MS),
        "plan_budgets": (("plan", Budget(usd_micros=rng.choice((100_000, 600_000)))),) if rng.random() < 0.15 else (),
        "run_budget": Budget() if rich else Budget(tokens=rng.choice((6_000, 20_000))),
        "priced": frozenset({"default", "other"}),
        "providers": (("default", "cloud"), ("other", "cloud")) if rng.random() < 0.5 else (),
        "stagger_ms": rng.choice((0, 20_000)),
        "breaker_max": rng.choice((2, 3)),
        "breaker_ms": rng.choice((60_000, 1_800_000)),
        "progress_ms": rng.choice((60_000, 900_000)),
        "same_calls_max": rng.choice((3, 1_000)),
        "planner": "other" if rng.random() < 0.12 else "",
        "replans_max": rng.choice((1, 3)),
    }


def plan(config: Config, rng: Random, now_ms: int) -> cmd.AddPlan:
    """Draw the plan of a seed."""
    items = []
    for number in range(config.items):
        name = ItemId(f"i{number}")
        after = tuple(ItemId(f"i{before}") for before in range(number) if rng.random() < 0.15)
        item = _item(name, after, config.policy.lanes, rng, now_ms)
        if config.stacked:
            also = chance(f"stacked {number} {item.scope}")
            after = tuple(ItemId(f"i{before}") for before in range(number) if also.random() < 0.6)
            item = replace(item, after=after, start_on="accepted")
        items.append((item, f"Do {name}."))
    return cmd.AddPlan(PLAN, "A plan", "plans/plan.toml", "digest 0", tuple(items))


def _item(name: ItemId, after: tuple[ItemId, ...], lanes: tuple[Lane, ...], rng: Random, now_ms: int) -> ItemSpec:
    lane = rng.choice(lanes) if lanes and rng.random() < 0.25 else None
    hold = Hold("until", now_ms + rng.randrange(HOUR_MS)) if rng.random() < 0.08 else None
    return ItemSpec(
        id=name,
        plan=PLAN,
        title=f"Item {name}",
        scope=lane.paths if lane is not None else rng.choice(SCOPES),
        after=after,
        checks=(Check("unit", ("true",)),),
        priority=rng.choice((1, 100, 100)),
        rung=Rung.in_scope if rng.random() < 0.1 else Rung.checked,
        mode=LeaseMode.shared if rng.random() < 0.2 else LeaseMode.exclusive,
        hold=hold if hold is not None or rng.random() < 0.95 else Hold("draft"),
        attempts_max=rng.choice((1, 2, 3)),
        wall_max_ms=rng.choice((600_000, 1_500_000)),
        silence_max_ms=rng.choice((120_000, 300_000)),
        lane=lane.name if lane is not None else "",
        agent=rng.choice(("default", "default", "other")),
        kind=rng.choice(("patcher", "patcher", "scout")),
        budget=Budget(tokens=rng.choice((6_000, 30_000))) if rng.random() < 0.15 else Budget(),
    )
