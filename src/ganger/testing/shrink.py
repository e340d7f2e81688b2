"""The smallest night that fails in the same way: what is not needed for the failure is taken away, piece by piece.

    python -m ganger.testing.simulation --seed 7 --shrink
    python -m ganger.testing.shrink --seed 7 --save tests/sim/corpus --what "a report was lost"

First faults go, then what the operator does, then items, workers and habits, then settings; last, what is left is made
weaker and shorter. A smaller configuration draws its chances in another order, so some seeds beside the first are
tried too: the result is a seed and a configuration.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import asdict, fields, replace

from ganger.core.policy import Policy
from ganger.testing.corpus import Case, save
from ganger.testing.invariants import Violation
from ganger.testing.simulated_fleet import Config, short, swarm
from ganger.testing.simulation import simulate

CRASH = "crash"
"""In place of a rule: the program raised an exception of its own."""
SEEDS_TRIED = 12
"""With how many seeds a smaller configuration is tried before it counts as harmless."""
PLAYS_MAX = 3_000
FAULTS_MS_MIN = 60_000
STRENGTH_MIN = 0.05


def failure(seed: int, config: Config) -> str:
    """Play a night and return the rule that did not hold; `crash` for an exception of the program, `""` for neither."""
    try:
        simulate(seed, config)
    except Violation as violation:
        return violation.rule
    except Exception:
        return CRASH
    return ""


def shrink(case: Case, plays_max: int = PLAYS_MAX) -> Case:
    """Return a case of the same rule from which nothing more can be taken away, or what `plays_max` nights got to."""
    plays = iter(range(plays_max))
    while smaller := _smaller(case, plays):
        case = smaller
    return case


def _smaller(case: Case, plays: Iterator[int]) -> Case | None:
    """Find a smaller configuration that fails in the same way; the first seed is tried with each before the next is."""
    tries = ((case.seed + more, config) for more in range(SEEDS_TRIED) for config in simpler(case.config))
    for (seed, config), _ in zip(tries, plays, strict=False):
        if failure(seed, config) == case.invariant:
            return replace(case, seed=seed, config=config)
    return None


def simpler(config: Config) -> Iterator[Config]:
    """Yield configurations with something less, the largest steps first; each is nearer to the smallest of all."""
    for name in ("faults", "actions"):
        yield from (replace(config, **{name: fewer}) for fewer in _fewer(getattr(config, name)))
    yield from (replace(config, items=items) for items in range(1, config.items))
    workers_max = config.policy.workers_max
    yield from (replace(config, policy=replace(config.policy, workers_max=most)) for most in range(1, workers_max))
    if config.habits != ("honest",):
        yield replace(config, habits=("honest",))
        yield from (replace(config, habits=fewer) for fewer in _fewer(config.habits) if fewer)
    yield from _plainer(config)
    yield from _weaker(config)


def _fewer(things: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
    """Yield none at all, each half, and all but one."""
    half = len(things) // 2
    shorter = ((), things[:half], things[half:], *(things[:at] + things[at + 1 :] for at in range(len(things))))
    yield from (fewer for fewer in dict.fromkeys(shorter) if len(fewer) < len(things))


def _plainer(config: Config) -> Iterator[Config]:
    """Yield configurations with one setting more as it is by default."""
    plain = Config()
    for name in ("crash_at", "answers", "action_every_ms", "regrets", "stacked"):
        if getattr(config, name) != getattr(plain, name):
            yield replace(config, **{name: getattr(plain, name)})
    for name, value in asdict(Policy()).items():
        if name != "workers_max" and getattr(config.policy, name) != value:
            yield replace(config, policy=replace(config.policy, **{name: value}))


def _weaker(config: Config) -> Iterator[Config]:
    """Yield configurations with a shorter faulty half or a weaker fault."""
    if config.faults_ms >= 2 * FAULTS_MS_MIN:
        yield replace(config, faults_ms=config.faults_ms // 2_000 * 1_000)
    for at, (fault, strength) in enumerate(config.faults):
        if strength >= 2 * STRENGTH_MIN:
            weaker = (fault, round(strength / 2, 2))
            yield replace(config, faults=(*config.faults[:at], weaker, *config.faults[at + 1 :]))


_MEMBER = re.compile(r"<(\w+\.\w+): [^>]*>")
"""How an enumeration's member is shown; its name is what can be read again."""


def as_python(case: Case) -> str:
    """Write a case as the line that plays it, settings as they are by default left out."""
    return f"simulate({case.seed}, {_call(case.config, Config())})"


def _call(value: Config | Policy, plain: Config | Policy) -> str:
    settings = []
    for field in fields(value):
        mine, default = getattr(value, field.name), getattr(plain, field.name)
        if mine != default:
            text = _call(mine, default) if isinstance(mine, Policy) else _MEMBER.sub(r"\1", repr(mine))
            settings.append(f"{field.name}={text}")
    return f"{type(value).__name__}({', '.join(settings)})"


def smallest(seed: int, draw: Callable[[int], Config] = swarm) -> Case | None:
    """Shrink what a seed draws; None when it holds."""
    config = draw(seed)
    rule = failure(seed, config)
    return shrink(Case(seed, rule, "", config)) if rule else None


def main(arguments: list[str]) -> int:
    """Shrink a seed and print what is left as a line of Python with the rule; 1 when it fails, 0 when it holds."""
    parser = argparse.ArgumentParser(prog="python -m ganger.testing.shrink", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="the seed that fails")
    parser.add_argument("--short", action="store_true", help="the seed was played as a short night")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="add the case to a corpus")
    parser.add_argument("--what", default="", help="one line on what it was, for the corpus")
    options = parser.parse_args(arguments)
    case = smallest(options.seed, short if options.short else swarm)
    if case is None:
        print(f"seed {options.seed}: nothing to shrink, every invariant holds")
        return 0
    print(f"{as_python(case)}  # {case.invariant}")
    if options.save is not None:
        print(f"saved as {save(replace(case, what=options.what), options.save)}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
