"""Testing combinations of candidates on top of the target as it is now, and accused candidates by themselves."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ganger import __version__
from ganger.core.facts import Run, Undo
from ganger.core.ids import Commit, RunId
from ganger.core.model import Check, CheckResult, CheckState, ItemSpec
from ganger.core.train import Trial
from ganger.core.verdict import train_fault
from ganger.git.changes import changed_paths
from ganger.git.combining import without_lines
from ganger.git.hub import Hub
from ganger.git.merge import combine, first_parent, taken_back
from ganger.git.refs import train_ref
from ganger.supervisor.combine import credits
from ganger.supervisor.effects import Probed, Tested, Undid
from ganger.supervisor.evidence import Checker

Member = tuple[Run, ItemSpec]
FILES_MAX = 5
"""Files named where an undo conflicts."""
OFF_TARGET = "its base is not on the target any more, and merging it would bring back what was taken away"
LASTING = (CheckState.passed, CheckState.failed, CheckState.ran_nothing, CheckState.skipped_required)
"""States that say something about the tree; a check that crashed or ran out of time may do better another time."""


class Train:
    """Merges, checks, and what is known already: nothing is checked twice on one tree unless that is asked for."""

    def __init__(self, checker: Checker, hub: Hub, folder: Path, retries: int) -> None:
        """`folder` keeps logs and results; `retries` is how often a check is run again where that is asked for."""
        self._checker, self._hub, self._folder, self._retries = checker, hub, folder, retries
        self._known = folder / "known"

    def test(self, members: Sequence[Member]) -> Tested:
        """Merge the members' candidates onto the target in order, and run all their checks on the combined tree.

        The same members on the same target give the same commits, and a longer list goes on where a shorter one ends.
        """
        began = time.monotonic_ns()
        old = tip = self._hub.sync_target()
        merged: list[Member] = []
        commits: list[Commit] = []
        conflicts: dict[RunId, tuple[str, ...]] = {}
        waits: dict[RunId, tuple[str, ...]] = {}
        for member in members:
            made = self._merged(tip, old, member)
            if isinstance(made, tuple):
                alone = made if not merged else self._merged(old, old, member)
                (conflicts if isinstance(alone, tuple) else waits)[member[0].id] = made
                continue
            merged.append(member)
            commits.append(made)
            tip = made
        tree = self._hub.tree_of(tip)
        results: tuple[CheckResult, ...] = ()
        if merged:
            self._hub.set_ref(train_ref(tip), tip)
            results = self._results(tree, all_checks(merged), merged, again=False)
        return Tested(
            runs=tuple(run.id for run, _ in merged),
            old=old,
            commit=tip,
            tree=tree,
            passed=bool(merged) and all(result.state is CheckState.passed for result in results),
            checks=results,
            conflicts=tuple(conflicts.items()),
            took_ms=(time.monotonic_ns() - began) // 1_000_000,
            commits=tuple(commits),
            waits=tuple(waits.items()),
            no_lines=tuple(self._without_lines(old, members, conflicts)),
        )

    def _without_lines(
        self, old: Commit, members: Sequence[Member], conflicts: Mapping[RunId, tuple[str, ...]]
    ) -> Iterator[tuple[RunId, tuple[str, ...]]]:
        """Of the candidates that do not merge with the target, those with files in which no lines can be marked."""
        for run, _ in members:
            if conflicts.get(run.id, (OFF_TARGET,)) != (OFF_TARGET,) and run.evidence is not None:
                evidence = run.evidence
                if found := without_lines(self._hub, run.id, evidence.base, evidence.commit, old):
                    yield run.id, found

    def probe(self, run: Run, spec: ItemSpec, trial: Trial) -> Probed:
        """Test an accused candidate on top of a commit; one that does not merge there fails there.

        A target that is tested without it is called red only when it fails as often as a candidate must to be blamed.
        """
        began = time.monotonic_ns()
        made: Commit | tuple[str, ...] = trial.onto
        if not trial.bare:
            made = self._merged(trial.onto, trial.onto, (run, spec))
        if isinstance(made, tuple):
            return Probed(passed=False, took_ms=(time.monotonic_ns() - began) // 1_000_000)
        self._hub.set_ref(train_ref(made), made)
        members = () if trial.bare else ((run, spec),)
        again = trial.again or trial.bare
        results = self._results(self._hub.tree_of(made), list(spec.checks), members, again=again)
        passed = all(result.state is CheckState.passed for result in results)
        return Probed(passed, results, (time.monotonic_ns() - began) // 1_000_000)

    def undo(self, wanted: Undo, must: Sequence[Check], own: Sequence[Check]) -> Undid:
        """Take a commit's change back on the target as it is, and run the checks on exactly that tree.

        What fails is run again first, as often as it may be. Of `own` a check is let off that failed before the change
        as well. The same wish on the same target gives the same commit.
        """
        began = time.monotonic_ns()
        old = self._hub.sync_target()
        made, reason = self._taken_back(old, wanted)
        if reason:
            took_ms = (time.monotonic_ns() - began) // 1_000_000
            return Undid(old, Commit(""), Commit(""), passed=False, reason=reason, took_ms=took_ms)
        self._hub.set_ref(train_ref(made), made)
        tree = self._hub.tree_of(made)
        results = self._results(tree, distinct((*must, *own)), (), again=True)
        failed = [result for result in results if result.state is not CheckState.passed]
        if failed and own:
            before = self._hub.tree_of(first_parent(self._hub, wanted.commit))
            failed = [result for result in failed if not self._failed_before(result, own, before)]
        return Undid(
            old=old,
            commit=made,
            tree=tree,
            passed=not failed,
            checks=results,
            reason=train_fault(failed) if failed else "",
            took_ms=(time.monotonic_ns() - began) // 1_000_000,
            changed=tuple(change.path for change in changed_paths(self._hub, old, made)),
        )

    def _taken_back(self, old: Commit, wanted: Undo) -> tuple[Commit, str]:
        """The commit that undoes, audited; or why there is none."""
        none = Commit("")
        if not self._hub.is_ancestor(wanted.commit, old):
            return none, f"the target does not contain {wanted.commit[:12]} any more"
        made = taken_back(self._hub, old, wanted.commit, undo_message(wanted), wanted.asked_ms)
        if isinstance(made, tuple):
            return none, f"what has changed since conflicts with it: {', '.join(made[:FILES_MAX])}"
        if self._hub.tree_of(made) == self._hub.tree_of(old):
            return none, "nothing of it is left on the target"
        changed = changed_paths(self._hub, first_parent(self._hub, wanted.commit), wanted.commit)
        self._audit(old, made, f"undoing {wanted.commit}", {change.path for change in changed})
        return made, ""

    def _failed_before(self, result: CheckResult, own: Sequence[Check], before: Commit) -> bool:
        """Whether a check that an item has for itself failed before its change as well."""
        asked = [check for check in own if check.argv == result.argv]
        return bool(asked) and any(_has_failed(found) for found in self._results(before, asked, (), again=True))

    def _merged(self, tip: Commit, old: Commit, member: Member) -> Commit | tuple[str, ...]:
        """The commit that lands a candidate on `tip`, or the paths in the way."""
        run, spec = member
        if not all(self._hub.is_ancestor(ground, old) for ground in run.grounds):
            return (OFF_TARGET,)
        candidate = run.evidence.commit if run.evidence else run.base
        text = message(run, spec, credits(self._hub, run))
        made = combine(self._hub, tip, [(run.id, candidate, text)], run.reported_ms)
        if not made.merged:
            return made.conflicts[run.id]
        if run.evidence is not None:
            self._audit(tip, made.commit, f"merging {run.id}", set(run.evidence.changed))
        return made.commit

    def _audit(self, tip: Commit, made: Commit, what: str, own: set[str]) -> None:
        """AssertionError where a merge changes what is not its own: a wrong merge base undoes what landed.

        A path that the target has moved elsewhere accounts for one that is changed in its place.
        """
        changed = {change.path for change in changed_paths(self._hub, tip, made)}
        strange = sorted(changed - own)
        if len(strange) > len(own - changed):
            raise AssertionError(f"{what} onto {tip} loses or makes changes that are not its own: {strange[:5]}")

    def _results(
        self, tree: Commit, checks: Sequence[Check], members: Sequence[Member], *, again: bool
    ) -> tuple[CheckResult, ...]:
        """Results of the checks on a tree, run only as far as they are not known; what passes late is marked flaky."""
        found = {check.name: self._look_up(tree, check, members) for check in checks}
        missing = [check for check in checks if found[check.name] is None]
        log_dir = self._folder / tree[:16] / uuid.uuid4().hex[:8]
        for result in self._checker.run(tree, missing, log_dir) if missing else ():
            found[result.name] = result
        for number in range(self._retries if again else 0):
            failed = [check for check in checks if _has_failed(found[check.name])]
            for result in self._checker.run(tree, failed, log_dir / f"again-{number + 1}") if failed else ():
                if result.state is CheckState.passed:
                    found[result.name] = replace(result, flaky=True)
        results = tuple(result for result in found.values() if result is not None)
        for check in checks:
            self._keep(tree, check, found[check.name])
        return results

    def _look_up(self, tree: Commit, check: Check, members: Sequence[Member]) -> CheckResult | None:
        """What the check is known to say about the tree, from an earlier test or from a candidate's own evidence."""
        for run, _ in members:
            evidence = run.evidence
            if evidence is None or not evidence.checked_tree == evidence.tree == tree:
                continue
            for result in evidence.checks:
                if result.argv == check.argv and result.state is CheckState.passed:
                    return replace(result, name=check.name)
        try:
            kept = msgspec.json.decode(self._place(tree, check).read_bytes(), type=CheckResult)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return replace(kept, name=check.name)

    def _keep(self, tree: Commit, check: Check, result: CheckResult | None) -> None:
        """Note a result; the file is there whole or not at all."""
        if result is None or result.state not in LASTING:
            return
        place = self._place(tree, check)
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f"{place.name}.{uuid.uuid4().hex}")
        fresh.write_bytes(msgspec.json.encode(result))
        fresh.replace(place)

    def _place(self, tree: Commit, check: Check) -> Path:
        linked = self._checker.linked_state(tree)
        told = msgspec.json.encode((tree, check.argv, check.timeout_ms, self._checker.tier, linked, __version__))
        return self._known / hashlib.sha256(told).hexdigest()


def _has_failed(result: CheckResult | None) -> bool:
    return result is not None and result.state is not CheckState.passed


def message(run: Run, spec: ItemSpec, authors: Sequence[str] = ()) -> str:
    """The message of the merge commit that lands a candidate; `authors` are others whose work it holds."""
    candidate = run.evidence.commit if run.evidence else run.base
    return (
        f"Land {spec.id}: {spec.title}\n\nGanger-Item: {spec.id}\nGanger-Run: {run.id}\nGanger-Candidate: {candidate}\n"
    ) + "".join(f"Co-authored-by: {author}\n" for author in authors)


def undo_message(wanted: Undo) -> str:
    """The message of a commit that takes a landing back, or brings it back."""
    by = " ".join(wanted.by.split())
    what = "Bring back" if wanted.back else "Undo"
    why = f"{wanted.why.strip()}\n\n" if wanted.why.strip() else ""
    item = f"Ganger-Item: {wanted.item}\n" if wanted.back else ""
    return (
        f"{what} {wanted.item}\n\n{why}{item}Ganger-Undo: {wanted.run}\nGanger-Undone-Commit: {wanted.commit}\n"
        f"Asked-for-by: {by}\n"
    )


def all_checks(members: Sequence[Member]) -> list[Check]:
    """The members' checks, each once; two different ones of one name are told apart by a number."""
    return distinct([check for _, spec in members for check in spec.checks])


def distinct(given: Sequence[Check]) -> list[Check]:
    """Checks, each once; two different ones of one name are told apart by a number."""
    checks: dict[str, Check] = {}
    for check in given:
        name, number = check.name, 1
        while name in checks and checks[name].argv != check.argv:
            number += 1
            name = f"{check.name}-{number}"
        checks[name] = Check(name, check.argv, max(check.timeout_ms, checks[name].timeout_ms if name in checks else 0))
    return list(checks.values())
