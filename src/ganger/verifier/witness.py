"""What new and changed tests witness: whether they fail without the change and pass with it, in runs of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from ganger.core.model import CheckState, Witness, WitnessKind
from ganger.verifier.containment import stable
from ganger.verifier.record import EXECUTED, FAILED, Ending, Seen
from ganger.verifier.reference import Outcome

NAMED_MAX = 5
_PASSED = frozenset({"passed", "xpassed"})


def new_tests(base: Seen, candidate: Seen, changed: Set[str]) -> tuple[str, ...]:
    """List the tests that the candidate brings or changes, sorted: not known on the base, or of a changed file."""
    known = {stable(name) for name in base.tests}
    return tuple(
        sorted(
            name
            for name, test in candidate.tests.items()
            if (stable(name) not in known or test.file in changed) and test.outcome in EXECUTED | {"unknown"}
        )
    )


def kind_of(without: Ending | None, with_it: Ending | None) -> WitnessKind:
    """Classify one test by how it ended on the base's product and on the candidate's; None when it did not run."""
    if with_it is None or with_it.outcome not in _PASSED | FAILED:
        return WitnessKind.abstain
    passes_with = with_it.outcome in _PASSED
    if without is not None and without.outcome in _PASSED:
        return WitnessKind.vacuous if passes_with else WitnessKind.regressive
    return WitnessKind.discriminates if passes_with else WitnessKind.unsatisfied


def witness(
    base: Mapping[str, Outcome], without: Mapping[str, Outcome], with_it: Mapping[str, Outcome], changed: Set[str]
) -> Witness:
    """Judge all new and changed tests of all checks together.

    Outcomes by check: of the base, of the base's product with the candidate's tests, and of the candidate; `changed`
    are the candidate's test files that differ from the base.
    """
    found: dict[WitnessKind, list[str]] = {}
    for name, outcome in with_it.items():
        for test, kind in _of_check(base[name], without[name], outcome, changed, name):
            found.setdefault(kind, []).append(test)
    return summed(found)


def _of_check(
    base: Outcome, without: Outcome, with_it: Outcome, changed: Set[str], name: str
) -> Iterable[tuple[str, WitnessKind]]:
    tests = new_tests(base.seen, with_it.seen, changed)
    if not with_it.seen.sessions:
        yield f"check {name}", _of_unrecorded(base, without, with_it)
    elif without.state in (CheckState.timed_out, CheckState.crashed) and not without.seen.tests:
        yield f"check {name}", WitnessKind.abstain
    before = {stable(test): outcome for test, outcome in without.seen.tests.items()}
    for test in tests:
        yield test, kind_of(before.get(stable(test)), with_it.seen.tests[test])


def _of_unrecorded(base: Outcome, without: Outcome, with_it: Outcome) -> WitnessKind:
    """Classify a check whose tests nobody records: by the check as a whole, where the base passes it."""
    judged = (CheckState.passed, CheckState.failed)
    if base.state is not CheckState.passed or without.state not in judged or with_it.state not in judged:
        return WitnessKind.abstain
    if with_it.state is CheckState.failed:
        return WitnessKind.unsatisfied if without.state is CheckState.failed else WitnessKind.regressive
    return WitnessKind.discriminates if without.state is CheckState.failed else WitnessKind.vacuous


def summed(found: Mapping[WitnessKind, list[str]]) -> Witness:
    """One word for all tests: what is wrong before what is good, one that discriminates before those that do not."""
    order = (WitnessKind.regressive, WitnessKind.unsatisfied, WitnessKind.discriminates, WitnessKind.vacuous)
    for kind in order:
        if found.get(kind):
            return Witness(kind, tuple(sorted(found[kind])[:NAMED_MAX]), len(found[kind]))
    return Witness(WitnessKind.abstain, (), 0)
