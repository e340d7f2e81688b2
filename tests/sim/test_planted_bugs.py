"""Who tests the simulator: bugs on purpose, each of which it must find (RELIABILITY §2.3)."""

from __future__ import annotations

import pytest
from planted import BUGS, Bug, planted

from ganger.testing.invariants import Violation
from ganger.testing.simulation import simulate


def seeds_to_find(bug: Bug) -> tuple[int, str]:
    """How many seeds it took, and what noticed: a rule, or `crash` for an exception of the program itself."""
    for seed in range(bug.seeds_max):
        try:
            simulate(seed, bug.config)
        except Violation as violation:
            return seed + 1, violation.rule
        except Exception as error:
            assert not isinstance(error, ImportError | SyntaxError)
            return seed + 1, "crash"
    pytest.fail(f"{bug.name}: not found in {bug.seeds_max} seeds")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, record_property: pytest.FixtureRequest) -> None:
    with planted(bug):
        seeds, rule = seeds_to_find(bug)
    assert rule in (*bug.rules, "LC1"), f"found by {rule} after {seeds} seeds"
    record_property("seeds", seeds)  # type: ignore[operator]


def test_there_are_forty_bugs_or_more() -> None:
    assert len(BUGS) >= 40
    assert len({bug.name for bug in BUGS}) == len(BUGS)


CORNERS = list({id(bug.config): bug for bug in BUGS if bug.config is not None}.values())
"""One bug for each of the configurations."""


@pytest.mark.parametrize("bug", CORNERS, ids=lambda bug: bug.name)
def test_the_corner_of_a_rare_bug_is_safe_without_it(bug: Bug) -> None:
    for seed in range(40):
        simulate(seed, bug.config)
