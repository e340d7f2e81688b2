"""Every case that failed once holds for ever. A case is added by

python -m ganger.testing.shrink --seed 7 --save tests/sim/corpus --what "one line on what it was"
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ganger.testing import corpus
from ganger.testing.corpus import Case
from ganger.testing.simulated_fleet import ACTIONS, FAULTS
from ganger.testing.simulated_workers import BEHAVIOURS
from ganger.testing.simulation import simulate

FOLDER = Path(__file__).parent / "corpus"
CASES = corpus.read(FOLDER)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_that_failed_once_holds(case: Case) -> None:
    simulate(case.seed, case.config)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case_names_what_there_is_and_says_what_it_was(case: Case) -> None:
    """A habit, action or fault under another name would quietly not occur."""
    assert set(case.config.habits) <= set(BEHAVIOURS)
    assert set(case.config.actions) <= set(ACTIONS)
    assert {fault for fault, _ in case.config.faults} <= set(FAULTS)
    assert case.what and case.invariant


def test_there_are_cases() -> None:
    assert len(CASES) >= 17
