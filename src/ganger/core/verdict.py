"""What follows from the evidence about one candidate. The judge never sees what the worker wrote."""

from __future__ import annotations

from collections.abc import Iterable

from ganger.core.model import (
    CheckResult,
    CheckState,
    Evidence,
    ItemSpec,
    Rung,
    Verdict,
    VerdictKind,
    Weakened,
    Weakening,
    Witness,
    WitnessKind,
)
from ganger.core.patterns import PathRules, scope_matches

NAMED_MAX = 5
FIXER = "fixer"
"""The kind whose items need a witness under `witness = "fixes"`."""


def judge(
    spec: ItemSpec,
    scope: tuple[str, ...],
    evidence: Evidence,
    rules: PathRules,
    *,
    weakened: str = "refuse",
    witness: str = "never",
    off_plan: str = "refuse",
) -> Verdict:
    """Judge a candidate: accepted when the evidence reaches the rung that the item asks for.

    `scope` is that of the run's own token, not of the item as it reads today. A candidate outside its scope, or one
    that touches protected files, or weakens tests, is never accepted, however low the rung; nor is one whose evidence
    is about another item. Unknown when nothing but weakened tests, or paths outside the scope, stand against it, and a
    person is to be asked. `weakened`, `witness` and `off_plan` are the policy's words on those; `allow` is a person's.
    """
    off = off_plan_faults(scope, evidence, rules) if off_plan != "allow" else ()
    strange = off if off_plan == "refuse" else ()
    rung, reasons = Rung.reported, _commit_faults(spec, evidence)
    if not reasons:
        rung, reasons = Rung.committed, (*strange, *_protected_faults(evidence), *evidence.faults)
    if not reasons:
        rung, reasons = Rung.in_scope, _all_check_faults(spec, evidence)
        if not reasons and spec.checks:
            rung, reasons = Rung.checked, witness_faults(spec, evidence.witness, witness)
            if evidence.witness is not None and evidence.witness.kind is WitnessKind.discriminates:
                rung = Rung.witnessed
    weak = weakened_faults(spec, evidence.weakened) if weakened != "allow" else ()
    if rung < needed_rung(spec, witness):
        below = min(rung, Rung.committed) if off else rung
        return Verdict(VerdictKind.rejected, below, (*(off if not strange else ()), *reasons, *weak))
    if off:
        kind = VerdictKind.rejected if weak and weakened == "refuse" else VerdictKind.unknown
        return Verdict(kind, Rung.committed, (*off, *weak))
    if weak:
        kind = VerdictKind.unknown if weakened == "inbox" else VerdictKind.rejected
        return Verdict(kind, rung, weak)
    return Verdict(VerdictKind.accepted, rung)


def needed_rung(spec: ItemSpec, witness: str = "never") -> Rung:
    """The rung that lets a candidate of this item land; an item whose plan says `checks = []` cannot be checked.

    `witness` is the policy's word on which items need one besides those that say so.
    """
    if needs_witness(spec, witness):
        return Rung.witnessed
    highest = Rung.checked if spec.checks else Rung.in_scope
    return max(Rung.in_scope, min(spec.rung, highest))


def needs_witness(spec: ItemSpec, witness: str) -> bool:
    """Whether a new or changed test must fail without the change; never where there is no check to run it."""
    wanted = spec.witness or witness == "always" or (witness == "fixes" and spec.kind == FIXER)
    return wanted and bool(spec.checks)


def witness_faults(spec: ItemSpec, found: Witness | None, witness: str) -> tuple[str, ...]:
    """Say why the tests do not witness the change, where they must."""
    if not needs_witness(spec, witness):
        return ()
    names = f": {_names(found.tests)}" if found is not None and found.tests else ""
    match found.kind if found is not None else WitnessKind.abstain:
        case WitnessKind.discriminates:
            return ()
        case WitnessKind.vacuous:
            return (f"no new or changed test fails without the change, so none witnesses it{names}",)
        case WitnessKind.unsatisfied:
            return (f"new or changed tests fail with the change as they do without it{names}",)
        case WitnessKind.regressive:
            return (f"new or changed tests pass without the change and fail with it{names}",)
        case WitnessKind.abstain:
            return ("there is no new or changed test that witnesses the change",)


def weakened_faults(spec: ItemSpec, weakened: Iterable[Weakened]) -> tuple[str, ...]:
    """Name each place where tests are weakened; an item whose tests may change may expect something else."""
    tolerated = {Weakening.expected_changed} if spec.tests == "may_change" else set()
    found = [one for one in weakened if one.kind not in tolerated]
    lines = [weakened_text(one) for one in found[:NAMED_MAX]]
    if len(found) > NAMED_MAX:
        lines.append(f"weakens tests in {len(found) - NAMED_MAX} more places")
    return tuple(lines)


def weakened_text(one: Weakened) -> str:
    """Say in one line where and how a test is weakened."""
    where = f" of {one.test}" if one.test else ""
    return f"weakens tests: {one.path}:{one.line}: {one.kind.value.replace('_', ' ')}{where}: {one.detail}"


def _commit_faults(spec: ItemSpec, evidence: Evidence) -> tuple[str, ...]:
    if evidence.item and evidence.item != spec.id:
        return (f"the evidence is about another item: {evidence.item}",)
    if not evidence.commit or evidence.commit == evidence.base:
        return ("nothing was committed: the candidate is the commit it started from",)
    if not evidence.descends:
        return (f"the candidate does not descend from its base {evidence.base[:12]}",)
    if not evidence.changed:
        return ("nothing was changed: the commits leave every file as it was",)
    return ()


def off_plan_faults(scope: tuple[str, ...], evidence: Evidence, rules: PathRules) -> tuple[str, ...]:
    """Name, in a line, what a candidate changes outside its scope; empty when that is nothing."""
    outside = [path for path in evidence.changed if not scope_matches(scope, path, rules)]
    return (f"changes outside the scope {', '.join(scope)}: {_names(outside)}",) if outside else ()


def _protected_faults(evidence: Evidence) -> tuple[str, ...]:
    if not evidence.protected:
        return ()
    return (f"changes protected files, which the plan does not name: {_names(evidence.protected)}",)


def _all_check_faults(spec: ItemSpec, evidence: Evidence) -> tuple[str, ...]:
    faults = check_faults(spec, evidence.checks)
    if not evidence.base_checks:
        return faults
    return (*faults, *(f"with the base's tests, {fault}" for fault in check_faults(spec, evidence.base_checks)))


def check_faults(spec: ItemSpec, results: Iterable[CheckResult]) -> tuple[str, ...]:
    """Say, for each check the item needs, why its result is not a pass."""
    by_name = {result.name: result for result in results}
    faults = []
    for check in spec.checks:
        result = by_name.get(check.name)
        if result is None:
            faults.append(f"check {check.name} was not run")
        elif result.state is not CheckState.passed:
            faults += [check_fault(result), *(f"check {result.name}: {fault}" for fault in result.faults)]
    return tuple(faults)


def check_fault(result: CheckResult) -> str:
    """Say in one line how a check ended that did not pass."""
    match result.state:
        case CheckState.failed:
            if result.exit_code == 0:
                return f"check {result.name} exited with 0, but that is not believed"
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


def train_fault(results: Iterable[CheckResult]) -> str:
    """Say in one line how a combination failed."""
    return "; ".join(check_fault(result) for result in results if result.state is not CheckState.passed) or "it fails"


def _names(paths: Iterable[str]) -> str:
    named = list(paths)
    more = f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    return ", ".join(named[:NAMED_MAX]) + more
