"""What follows from the evidence: a row a rule, with the exact reasons."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core.ids import Commit
from ganger.core.model import Check, CheckState, Rung, VerdictKind, Weakened, Weakening, Witness, WitnessKind
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


WEAK = tuple(Weakened("tests/a.py", n, Weakening.deleted, f"test_{n}", "the test is gone") for n in range(1, 8))
REJECTED += [
    ("about another item", {"item": "other"}, Rung.reported, ("the evidence is about another item: other",)),
    ("a change that is not what it looks like", {"faults": ("adds a link",)}, Rung.committed, ("adds a link",)),
    (
        "a check that is not believed",
        {"checks": (result(CheckState.failed, exit_code=0, faults=("it was deceived", "it wrote")),)},
        Rung.in_scope,
        (
            "check unit exited with 0, but that is not believed",
            "check unit: it was deceived",
            "check unit: it wrote",
        ),
    ),
    (
        "failing with the base's tests",
        {"base_checks": (result(CheckState.failed),)},
        Rung.in_scope,
        ("with the base's tests, check unit failed with exit status 1",),
    ),
    (
        "weakened tests",
        {"weakened": WEAK[:1]},
        Rung.checked,
        ("weakens tests: tests/a.py:1: deleted of test_1: the test is gone",),
    ),
    (
        "many weakened tests",
        {"weakened": WEAK},
        Rung.checked,
        (
            *(f"weakens tests: tests/a.py:{n}: deleted of test_{n}: the test is gone" for n in range(1, 6)),
            "weakens tests in 2 more places",
        ),
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


def test_what_becomes_of_weakened_tests_is_the_policys_to_say() -> None:
    weak = evidence(weakened=WEAK[:1])
    kinds = {word: judge(spec(), ("src/**",), weak, PathRules(), weakened=word).kind for word in ("inbox", "allow")}
    assert kinds == {"inbox": VerdictKind.unknown, "allow": VerdictKind.accepted}
    failing = evidence(weakened=WEAK[:1], checks=(result(CheckState.failed),))
    found = judge(spec(), ("src/**",), failing, PathRules(), weakened="inbox")
    assert found.kind is VerdictKind.rejected, "nobody is asked about what fails anyway"


def test_expectations_may_change_where_the_plan_says_so_and_nothing_else() -> None:
    other = (Weakened("tests/a.py", 1, Weakening.expected_changed, "test_a", "was 1, is 2"),)
    changes = spec(tests="may_change")
    assert judge(changes, ("src/**",), evidence(weakened=other), PathRules()).kind is VerdictKind.accepted
    assert judge(spec(), ("src/**",), evidence(weakened=other), PathRules()).kind is VerdictKind.rejected
    assert judge(changes, ("src/**",), evidence(weakened=WEAK), PathRules()).kind is VerdictKind.rejected


WITNESSED = [
    (None, "there is no new or changed test that witnesses the change"),
    (WitnessKind.abstain, "there is no new or changed test that witnesses the change"),
    (WitnessKind.vacuous, "no new or changed test fails without the change, so none witnesses it: t"),
    (WitnessKind.unsatisfied, "new or changed tests fail with the change as they do without it: t"),
    (WitnessKind.regressive, "new or changed tests pass without the change and fail with it: t"),
    (WitnessKind.discriminates, ""),
]


@pytest.mark.parametrize(("kind", "reason"), WITNESSED)
def test_a_witness_where_one_is_needed(kind: WitnessKind | None, reason: str) -> None:
    names = () if kind in (None, WitnessKind.abstain) else ("t",)
    seen = evidence(witness=Witness(kind, names, len(names)) if kind else None)
    found = judge(spec(witness=True), ("src/**",), seen, PathRules())
    rung = Rung.checked if reason else Rung.witnessed
    assert (found.rung, found.reasons) == (rung, (reason,) if reason else ())
    assert judge(spec(), ("src/**",), seen, PathRules()).kind is VerdictKind.accepted


WANTED = [
    ("never", {}, False),
    ("never", {"witness": True}, True),
    ("always", {}, True),
    ("always", {"checks": ()}, False),
    ("fixes", {}, False),
    ("fixes", {"kind": "fixer"}, True),
]


@pytest.mark.parametrize(("policy", "fields", "wanted"), WANTED)
def test_who_needs_a_witness(policy: str, fields: dict[str, Any], wanted: bool) -> None:
    assert (needed_rung(spec(**fields), policy) is Rung.witnessed) is wanted
