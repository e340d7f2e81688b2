"""What a seed decides before anything happens: the plan, the workers' habits, the operator, and which faults occur.

Each seed draws a random subset of habits and faults with intensities of its own (swarm testing): a fault that is
always on hides others.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Check, Hold, ItemSpec, LeaseMode, Rung
from ganger.core.policy import Policy
from ganger.testing.simulated_workers import BEHAVIOURS

HOUR_MS = 3_600_000
PLAN = PlanId("plan")
SCOPES = (
    *(("a/**",), ("b/**",), ("c/**",), ("d/**",), ("a/sub/**",), ("shared/*.txt",), ("{b,c}/p.txt",)),
    *(("d/**", "shared/p.txt"), ("a/[pq].txt", "c/?.txt"), ("*/q.txt",), ("b/r.txt", "b/s.txt")),
)
ACTIONS = ("stop", "retry", "commit", "force", "dirty", "blocked", "rebase", "revise", "night", "kill")
FAULTS = ("crash", "fail", "slow", "jump", "away", "deaf", "disk", "flaky")


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
    rng = chance(f"config {seed}")
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
        ),
    )


def plan(config: Config, rng: Random, now_ms: int) -> cmd.AddPlan:
    """Draw the plan of a seed."""
    items = []
    for number in range(config.items):
        name = ItemId(f"i{number}")
        after = tuple(ItemId(f"i{before}") for before in range(number) if rng.random() < 0.15)
        items.append((_item(name, after, rng, now_ms), f"Do {name}."))
    return cmd.AddPlan(PLAN, "A plan", "plans/plan.toml", "digest 0", tuple(items))


def _item(name: ItemId, after: tuple[ItemId, ...], rng: Random, now_ms: int) -> ItemSpec:
    hold = Hold("until", now_ms + rng.randrange(HOUR_MS)) if rng.random() < 0.08 else None
    return ItemSpec(
        id=name,
        plan=PLAN,
        title=f"Item {name}",
        scope=rng.choice(SCOPES),
        after=after,
        checks=(Check("unit", ("true",)),),
        priority=rng.choice((1, 100, 100)),
        rung=Rung.in_scope if rng.random() < 0.1 else Rung.checked,
        mode=LeaseMode.shared if rng.random() < 0.2 else LeaseMode.exclusive,
        hold=hold if hold is not None or rng.random() < 0.95 else Hold("draft"),
        attempts_max=rng.choice((1, 2, 3)),
        wall_max_ms=rng.choice((600_000, 1_500_000)),
        silence_max_ms=rng.choice((120_000, 300_000)),
    )
