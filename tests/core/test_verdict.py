"""What follows from the evidence: a row a rule, with the exact reasons."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core.ids import Commit
from ganger.core.model import Check, CheckState, Rung, VerdictKind
from ganger.core.patterns import PathRules
from ganger.core.verdict import judge, needed_rung
from ganger.testing.builders import BASE, evidence, result, spec

NOTHING = "nothing was committed: the candidate is the commit it started from"
UNIT = Check("unit", ("true",))
MYPY = Check("mypy", ("true",))

REJECTED: list[tuple[str, dict[str, Any], Rung, tuple[str, ...]]] = [
    ("the base itself", {"commit": BASE}, Rung.reported, (NOTHING,)),
    ("no commit", {"commit": Commit("")}, Rung.reported, (NOTHING,)),
    (
        "another history",
        {"descends": False},
        Rung.reported,
        (f"the candidate does not descend from its base {BASE[:12]}",),
    ),
    (
        "an empty commit",
        {"changed": ()},
        Rung.reported,
        ("nothing was changed: the commits leave every file as it was",),
    ),
    (
        "outside the scope",
        {"changed": ("README.md", "src/a.py")},
        Rung.committed,
        ("changes outside the scope src/**: README.md",),
    ),
    (
        "far outside the scope",
        {"changed": tuple(f"x{n}" for n in range(7))},
        Rung.committed,
        ("changes outside the scope src/**: x0, x1, x2, x3, x4 and 2 more",),
    ),
    (
        "a way out of the scope",
        {"changed": ("src/../README.md",)},
        Rung.committed,
        ("changes outside the scope src/**: src/../README.md",),
    ),
    (
        "protected files",
        {"protected": ("src/a.py",)},
        Rung.committed,
        ("changes protected files, which the plan does not name: src/a.py",),
    ),
    (
        "both at once",
        {"changed": ("x", "src/a.py"), "protected": ("src/a.py",)},
        Rung.committed,
        (
            "changes outside the scope src/**: x",
            "changes protected files, which the plan does not name: src/a.py",
        ),
    ),
    ("a check that was not run", {"checks": ()}, Rung.in_scope, ("check unit was not run",)),
    (
        "another check than the one asked for",
        {"checks": (result(name="other"),)},
        Rung.in_scope,
        ("check unit was not run",),
    ),
    (
        "failed",
        {"checks": (result(CheckState.failed, exit_code=3),)},
        Rung.in_scope,
        ("check unit failed with exit status 3",),
    ),
    (
        "timed out",
        {"checks": (result(CheckState.timed_out, took_ms=90_000),)},
        Rung.in_scope,
        ("check unit was stopped at its time limit after 90 s",),
    ),
    ("crashed", {"checks": (result(CheckState.crashed),)}, Rung.in_scope, ("check unit crashed",)),
    (
        "ran nothing",
        {"checks": (result(CheckState.ran_nothing),)},
        Rung.in_scope,
        ("check unit exited with 0 but ran no test",),
    ),
    (
        "skipped",
        {"checks": (result(CheckState.skipped_required),)},
        Rung.in_scope,
        ("check unit skipped a required test",),
    ),
]


@pytest.mark.parametrize(("fields", "rung", "reasons"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED])
def test_rejected(fields: dict[str, Any], rung: Rung, reasons: tuple[str, ...]) -> None:
    found = judge(spec(), ("src/**",), evidence(**fields), PathRules())
    assert (found.kind, found.rung, found.reasons) == (VerdictKind.rejected, rung, reasons)


def test_accepted() -> None:
    found = judge(spec(), ("src/**",), evidence(), PathRules())
    assert (found.kind, found.rung, found.reasons) == (VerdictKind.accepted, Rung.checked, ())


def test_the_scope_is_that_of_the_token() -> None:
    widened = spec(scope=("**",))
    found = judge(widened, ("src/**",), evidence(changed=("README.md",)), PathRules())
    assert found.kind is VerdictKind.rejected


def test_every_check_must_pass() -> None:
    both = spec(checks=(UNIT, MYPY))
    seen = evidence(checks=(result(), result(CheckState.failed, "mypy")))
    assert judge(both, ("src/**",), seen, PathRules()).reasons == ("check mypy failed with exit status 1",)


def test_names_are_compared_as_the_repository_does() -> None:
    seen = evidence(changed=("SRC/a.py",))
    assert judge(spec(), ("src/**",), seen, PathRules()).kind is VerdictKind.rejected
    assert judge(spec(), ("src/**",), seen, PathRules(fold_case=True)).kind is VerdictKind.accepted


NEEDED = [
    (Rung.checked, (UNIT,), Rung.checked),
    (Rung.checked, (), Rung.in_scope),
    (Rung.in_scope, (UNIT,), Rung.in_scope),
    (Rung.committed, (UNIT,), Rung.in_scope),
    (Rung.reported, (), Rung.in_scope),
    (Rung.reviewed, (UNIT,), Rung.checked),
]


@pytest.mark.parametrize(("asked", "checks", "needed"), NEEDED)
def test_the_rung_that_lets_a_candidate_land(asked: Rung, checks: tuple[Check, ...], needed: Rung) -> None:
    assert needed_rung(spec(rung=asked, checks=checks)) is needed


def test_a_low_rung_lets_a_failing_check_pass_but_not_a_scope() -> None:
    low = spec(rung=Rung.in_scope)
    failing = evidence(checks=(result(CheckState.failed),))
    found = judge(low, ("src/**",), failing, PathRules())
    assert (found.kind, found.rung, found.reasons) == (VerdictKind.accepted, Rung.in_scope, ())
    assert judge(low, ("src/**",), evidence(changed=("x",)), PathRules()).kind is VerdictKind.rejected
