"""The shrinker: what is left of a night that fails still fails in the same way, and nothing more can be taken away."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from planted import BUGS, planted

from ganger.core import model
from ganger.core.policy import Policy
from ganger.testing import corpus
from ganger.testing.corpus import Case
from ganger.testing.shrink import as_python, failure, main, shrink, simpler, smallest
from ganger.testing.simulated_fleet import Config, short, swarm
from ganger.testing.simulation import main as simulation_main

RAN_NOTHING = next(bug for bug in BUGS if bug.name == "a check that ran nothing counts as passed")
NOT_SEEN = next(bug for bug in BUGS if bug.name == "a landing is not recognised after a crash")


def first_failure(rule: str) -> Case:
    """The first long night that breaks the rule while a bug is planted."""
    for seed in range(400):
        if failure(seed, swarm(seed)) == rule:
            return Case(seed, rule, "", swarm(seed))
    pytest.fail(f"no seed breaks {rule}")


def test_a_lie_shrinks_to_the_liar_alone() -> None:
    with planted(RAN_NOTHING):
        found = first_failure("I-7")
        small = shrink(found)
        assert failure(small.seed, small.config) == "I-7"
        assert not any(failure(small.seed, config) == "I-7" for config in simpler(small.config))
    assert len(found.config.habits) > 2
    assert (small.config.items, small.config.habits) == (1, ("deletes_tests",))
    assert (small.config.actions, small.config.faults) == ((), ())
    assert not failure(small.seed, small.config), "the program itself is right"


def test_a_fault_that_is_needed_stays() -> None:
    with planted(NOT_SEEN):
        small = shrink(first_failure("I-13"))
        assert failure(small.seed, small.config) == "I-13"
    assert small.config.items == 1 and small.config.actions == ()
    assert len(small.config.faults) == 1 and small.config.faults[0][0] in ("crash", "fail")


def test_it_gets_as_far_as_it_may_play() -> None:
    with planted(RAN_NOTHING):
        found = first_failure("I-7")
        assert shrink(found, plays_max=0) == found
        assert shrink(found, plays_max=40) not in (found, shrink(found))


@pytest.mark.parametrize("seed", range(50))
def test_every_step_is_a_smaller_one(seed: int) -> None:
    config = swarm(seed)
    for _ in range(200):
        steps = list(simpler(config))
        assert config not in steps and all(size(step) < size(config) for step in steps)
        if not steps:
            break
        config = steps[seed % len(steps)]
    else:
        pytest.fail(f"no end to {config}")
    assert replace(config, faults_ms=0) == Config(items=1, faults_ms=0, policy=Policy(workers_max=1))


def size(config: Config) -> float:
    """A measure that only falls: things count for more than how strong or long they are."""
    plain, policy = Policy(), config.policy
    settings = sum(getattr(policy, n) != getattr(plain, n) for n in Policy.__struct_fields__ if n != "workers_max")
    others = (config.crash_at != 0) + (not config.answers) + (config.action_every_ms != Config().action_every_ms)
    others += config.regrets + config.stacked
    things = len(config.faults) + len(config.actions) + len(config.habits) + (config.habits != ("honest",))
    strength = sum(strength for _, strength in config.faults) / 100
    return config.items + policy.workers_max + settings + others + things + strength + config.faults_ms / 1e9


def test_the_line_of_python_plays_the_case() -> None:
    for seed in range(30):
        case = Case(seed, "I-1", "", swarm(seed))
        names = {**vars(model), "Config": Config, "Policy": Policy, "simulate": lambda *given: given}
        assert eval(as_python(case), names) == (seed, case.config)


def test_a_case_is_saved_and_read_as_it_was(tmp_path: Path) -> None:
    cases = [Case(seed, "I-1", "what it was", draw(seed)) for seed in range(20) for draw in (swarm, short)]
    paths = [corpus.save(case, tmp_path) for case in cases]
    assert corpus.read(tmp_path) == {path.stem: case for path, case in zip(paths, cases, strict=True)}


def test_a_setting_that_there_is_not_is_refused() -> None:
    text = corpus.encode(Case(1, "I-1", "what it was", Config()))
    with pytest.raises(msgspec.ValidationError, match=r"config\.policy\.workers_most"):
        corpus.decode(text.replace(b"workers_max", b"workers_most"))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0
    assert capsys.readouterr().out == "seed 3: nothing to shrink, every invariant holds\n"
    with planted(RAN_NOTHING):
        seed = next(seed for seed in range(400) if failure(seed, short(seed)))
        assert main(["--seed", str(seed), "--short", "--save", str(tmp_path), "--what", "a count of zero"]) == 1
        line = capsys.readouterr().out.splitlines()[0]
        small = smallest(seed, short)
        assert simulation_main(["--seed", str(seed), "--short", "--shrink"]) == 1
        assert capsys.readouterr().out == f"{line}\n"
    assert small is not None and line == f"{as_python(small)}  # {small.invariant}"
    assert list(corpus.read(tmp_path).values()) == [replace(small, what="a count of zero")]
