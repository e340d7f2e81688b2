"""What follows from the evidence about one candidate. The judge never sees what the worker wrote."""

from __future__ import annotations

from collections.abc import Iterable

from ganger.core.model import CheckResult, CheckState, Evidence, ItemSpec, Rung, Verdict, VerdictKind
from ganger.core.patterns import PathRules, scope_matches

NAMED_MAX = 5


def judge(spec: ItemSpec, scope: tuple[str, ...], evidence: Evidence, rules: PathRules) -> Verdict:
    """Judge a candidate: accepted when the evidence reaches the rung that the item asks for.

    `scope` is that of the run's own token, not of the item as it reads today. A candidate outside its scope, or one
    that touches protected files, is never accepted, however low the rung.
    """
    rung, reasons = Rung.reported, _commit_faults(evidence)
    if not reasons:
        rung, reasons = Rung.committed, _scope_faults(scope, evidence, rules)
    if not reasons:
        rung, reasons = Rung.in_scope, check_faults(spec, evidence.checks)
        if not reasons and spec.checks:
            rung = Rung.checked
    accepted = rung >= needed_rung(spec)
    return Verdict(VerdictKind.accepted if accepted else VerdictKind.rejected, rung, () if accepted else reasons)


def needed_rung(spec: ItemSpec) -> Rung:
    """The rung that lets a candidate of this item land; an item whose plan says `checks = []` cannot be checked."""
    highest = Rung.checked if spec.checks else Rung.in_scope
    return max(Rung.in_scope, min(spec.rung, highest))


def _commit_faults(evidence: Evidence) -> tuple[str, ...]:
    if not evidence.commit or evidence.commit == evidence.base:
        return ("nothing was committed: the candidate is the commit it started from",)
    if not evidence.descends:
        return (f"the candidate does not descend from its base {evidence.base[:12]}",)
    if not evidence.changed:
        return ("nothing was changed: the commits leave every file as it was",)
    return ()


def _scope_faults(scope: tuple[str, ...], evidence: Evidence, rules: PathRules) -> tuple[str, ...]:
    outside = [path for path in evidence.changed if not scope_matches(scope, path, rules)]
    faults = []
    if outside:
        faults.append(f"changes outside the scope {', '.join(scope)}: {_names(outside)}")
    if evidence.protected:
        faults.append(f"changes protected files, which the plan does not name: {_names(evidence.protected)}")
    return tuple(faults)


def check_faults(spec: ItemSpec, results: Iterable[CheckResult]) -> tuple[str, ...]:
    """Say, for each check the item needs, why its result is not a pass."""
    by_name = {result.name: result for result in results}
    faults = []
    for check in spec.checks:
        result = by_name.get(check.name)
        if result is None:
            faults.append(f"check {check.name} was not run")
        elif result.state is not CheckState.passed:
            faults.append(check_fault(result))
    return tuple(faults)


def check_fault(result: CheckResult) -> str:
    """Say in one line how a check ended that did not pass."""
    match result.state:
        case CheckState.failed:
            return f"check {result.name} failed with exit status {result.exit_code}"
        case CheckState.timed_out:
            return f"check {result.name} was stopped at its time limit after {result.took_ms / 1000:.0f} s"
        case CheckState.crashed:
            return f"check {result.name} crashed"
        case CheckState.ran_nothing:
            return f"check {result.name} exited with 0 but ran no test"
        case CheckState.skipped_required:
            return f"check {result.name} skipped a required test"
        case CheckState.passed:
            return f"check {result.name} passed"


def _names(paths: Iterable[str]) -> str:
    named = list(paths)
    more = f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    return ", ".join(named[:NAMED_MAX]) + more
