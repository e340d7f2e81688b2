"""What was changed against what was asked for."""

from __future__ import annotations

import pytest

from ganger.core.fidelity import Fidelity, fidelity, forbidden, is_plan
from ganger.core.model import Kind, Writes
from ganger.core.patterns import PathRules


@pytest.mark.parametrize(
    ("scope", "changed", "expected"),
    [
        (("src/**",), ("src/a.py",), Fidelity(("src/a.py",), (), ())),
        (("src/**", "docs/**"), ("src/a.py",), Fidelity(("src/a.py",), (), ("docs/**",))),
        (("src/a.py",), ("src/a.py", "src/b.py"), Fidelity(("src/a.py",), ("src/b.py",), ())),
        (("src/**",), ("setup.py",), Fidelity((), ("setup.py",), ("src/**",))),
        (("src/**", "a", "b"), (), Fidelity((), (), ("src/**", "a", "b"))),
        (("src/**", "src/a.py"), ("src/a.py",), Fidelity(("src/a.py",), (), ())),
    ],
)
def test_on_plan_off_plan_and_untouched(scope: tuple[str, ...], changed: tuple[str, ...], expected: Fidelity) -> None:
    assert fidelity(scope, changed, PathRules()) == expected


def test_the_rules_of_the_file_system_count() -> None:
    assert fidelity(("SRC/a.py",), ("src/A.py",), PathRules(fold_case=True)).off_plan == ()
    assert fidelity(("SRC/a.py",), ("src/A.py",), PathRules()).off_plan == ("src/A.py",)


@pytest.mark.parametrize(
    ("writes", "changed", "said"),
    [
        (Writes.scope, ("a", "b"), ()),
        (Writes.none, (), ()),
        (Writes.none, ("a",), ("a scout may change nothing, but this changes a",)),
        (Writes.tests, ("tests/test_a.py",), ()),
        (Writes.tests, ("tests/test_a.py", "a.py"), ("a scout may change only tests, but this changes a.py",)),
        (Writes.plans, ("plans/x.toml", "night.plan.md", "plan.toml"), ()),
        (Writes.plans, ("plans/x.py",), ("a scout may change only plans, but this changes plans/x.py",)),
        (Writes.none, tuple("abcdefg"), ("a scout may change nothing, but this changes a, b, c, d, e and 2 more",)),
    ],
)
def test_what_a_kind_may_write(writes: Writes, changed: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert forbidden(Kind("scout", writes=writes), changed, lambda path: path.startswith("tests/")) == said


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("plan.toml", True),
        ("docs/plans/deep/a.md", True),
        ("x.plan.toml", True),
        ("plans", False),
        ("plans/a.py", False),
        ("planner.md", False),
        ("plan.toml/x", False),
    ],
)
def test_what_a_plan_file_is(path: str, expected: bool) -> None:
    assert is_plan(path) is expected
