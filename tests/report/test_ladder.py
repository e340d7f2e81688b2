"""Which rungs of a candidate hold, by what, and what is missing for the next."""

from __future__ import annotations

import pytest

from ganger.core.model import CheckState, Evidence, Rung, Verdict, VerdictKind, Witness, WitnessKind
from ganger.report.ladder import ladder, next_step
from ganger.testing.builders import evidence, result

ACCEPTED, REJECTED = VerdictKind.accepted, VerdictKind.rejected
TESTS = ("tests/test_a.py::test_new",)
NEXT: list[tuple[Evidence | None, Verdict | None, str, str, str]] = [
    (None, None, "", "committed", "nothing was looked at yet"),
    (evidence(), Verdict(REJECTED, Rung.reported, ("no commit",)), "", "committed", "no commit"),
    (evidence(), Verdict(REJECTED, Rung.committed, ("outside", "protected")), "", "in-scope", "outside; protected"),
    (evidence(), Verdict(REJECTED, Rung.in_scope, ("check unit failed",)), "", "checked", "check unit failed"),
    (evidence(checks=()), Verdict(ACCEPTED, Rung.in_scope), "", "checked", "no check was run"),
    (
        evidence(),
        Verdict(ACCEPTED, Rung.checked),
        "",
        "witnessed",
        "nobody asked for new tests that fail without the change",
    ),
    (
        evidence(witness=Witness(WitnessKind.vacuous, TESTS)),
        Verdict(ACCEPTED, Rung.checked),
        "",
        "witnessed",
        "its new tests do not witness the change: vacuous",
    ),
    (
        evidence(witness=Witness(WitnessKind.discriminates, TESTS)),
        Verdict(ACCEPTED, Rung.witnessed),
        "d" * 40,
        "reviewed",
        "no reviewer has accepted this commit",
    ),
    (evidence(), Verdict(ACCEPTED, Rung.reviewed), "", "landed", "it is not on the target"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "verdict", "landed", "rung", "text"), NEXT)
def test_what_is_missing_for_the_next_rung(
    found: Evidence | None, verdict: Verdict | None, landed: str, rung: str, text: str
) -> None:
    steps = ladder(found, verdict, landed)
    assert [step.rung for step in steps] == [one.label for one in Rung]
    missing = next_step(steps)
    assert missing is not None and (missing.rung, missing.text) == (rung, text)


def test_what_holds_says_by_what() -> None:
    checks = (result(name="unit"), result(CheckState.failed, name="flaky"))
    found = evidence(checks=checks, witness=Witness(WitnessKind.discriminates, TESTS))
    steps = ladder(found, Verdict(ACCEPTED, Rung.reviewed), "d" * 40)
    assert next_step(steps) is None
    assert [step.text for step in steps] == [
        "somebody said so",
        "cccccccccccc changes 1 files of bbbbbbbbbbbb",
        "every changed file lies in the scope of the run's lease, and none is protected",
        "passed in ganger's own checkout of tree eeeeeeeeeeee: unit",
        "fails without the change: tests/test_a.py::test_new",
        "a reviewer accepted it",
        "the target contains it as dddddddddddd",
    ]
