"""Testing a batch of candidates as a whole, on top of the target as it is now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ganger.core.facts import Run
from ganger.core.ids import Commit
from ganger.core.model import Check, CheckResult, CheckState, ItemSpec
from ganger.git.hub import Hub
from ganger.git.merge import combine
from ganger.git.refs import train_ref
from ganger.supervisor.effects import Tested
from ganger.supervisor.evidence import Checker

Member = tuple[Run, ItemSpec]
OFF_TARGET = "its base is not on the target any more, and merging it would bring back what was taken away"


def try_train(checker: Checker, hub: Hub, members: Sequence[Member], logs: Path, flaky_retries: int) -> Tested:
    """Merge the members' candidates onto the target in order, and run all their checks on the combined tree.

    The same members on the same target give the same commits, so a second try costs nothing new. A tree that was
    already checked with the same checks as a candidate is not checked again.
    """
    began = time.monotonic_ns()
    old = hub.sync_target()
    stale = {run.id: (OFF_TARGET,) for run, _ in members if not hub.is_ancestor(run.base, old)}
    candidates = [
        (run.id, run.evidence.commit if run.evidence else run.base, message(run, spec))
        for run, spec in members
        if run.id not in stale
    ]
    when_ms = max(run.reported_ms for run, _ in members)
    combined = combine(hub, old, candidates, when_ms)
    passed, results = False, tuple[CheckResult, ...]()
    if combined.merged:
        hub.set_ref(train_ref(combined.commit), combined.commit)
        merged = [(run, spec) for run, spec in members if run.id in combined.merged]
        known = _known_results(merged, combined.tree)
        results = known or _checked(checker, combined.tree, merged, logs / combined.commit[:16], flaky_retries)
        passed = all(result.state is CheckState.passed for result in results)
    return Tested(
        runs=combined.merged,
        old=old,
        commit=combined.commit,
        tree=combined.tree,
        passed=passed,
        checks=results,
        conflicts=tuple((stale | combined.conflicts).items()),
        took_ms=(time.monotonic_ns() - began) // 1_000_000,
    )


def message(run: Run, spec: ItemSpec) -> str:
    """The message of the merge commit that lands a candidate."""
    candidate = run.evidence.commit if run.evidence else run.base
    return (
        f"Land {spec.id}: {spec.title}\n\nGanger-Item: {spec.id}\nGanger-Run: {run.id}\nGanger-Candidate: {candidate}\n"
    )


def _known_results(members: Sequence[Member], tree: Commit) -> tuple[CheckResult, ...]:
    """Results of a single candidate whose own tree this is, checked unaltered; empty when there are none."""
    if len(members) != 1:
        return ()
    evidence = members[0][0].evidence
    if evidence is None or evidence.checked_tree != tree or evidence.tree != tree:
        return ()
    return evidence.checks


def _checked(
    checker: Checker, tree: Commit, members: Sequence[Member], log_dir: Path, flaky_retries: int
) -> tuple[CheckResult, ...]:
    """Run every different check of the members once; what fails is run again, and a late pass is marked as flaky."""
    results = list(checker.run(tree, all_checks(members), log_dir))
    by_name = {check.name: check for check in all_checks(members)}
    for number in range(flaky_retries):
        failed = [by_name[result.name] for result in results if result.state is not CheckState.passed]
        if not failed:
            break
        for again in checker.run(tree, failed, log_dir / f"again-{number + 1}"):
            if again.state is CheckState.passed:
                place = next(i for i, result in enumerate(results) if result.name == again.name)
                results[place] = CheckResult(
                    **{name: getattr(again, name) for name in again.__struct_fields__ if name != "flaky"}, flaky=True
                )
    return tuple(results)


def all_checks(members: Sequence[Member]) -> list[Check]:
    """The members' checks, each once; two different ones of one name are told apart by a number."""
    checks: dict[str, Check] = {}
    for _, spec in members:
        for check in spec.checks:
            name, number = check.name, 1
            while name in checks and checks[name].argv != check.argv:
                number += 1
                name = f"{check.name}-{number}"
            checks[name] = Check(
                name, check.argv, max(check.timeout_ms, checks[name].timeout_ms if name in checks else 0)
            )
    return list(checks.values())
