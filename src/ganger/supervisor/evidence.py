"""Collecting evidence: what the worker left, and whether its tree is good, seen with our own eyes.

The checks run in our own checkout of the candidate's tree, in which protected files are the base's and deleted test
files are put back; with a time limit, in their own process group, in an environment built from nothing.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from ganger.core.facts import Run
from ganger.core.ids import Commit
from ganger.core.model import Check, CheckResult, CheckState, Evidence, ItemSpec
from ganger.core.patterns import PathRules, scope_matches
from ganger.drivers.process import clean_env, run_check
from ganger.git import workspace
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.merge import checkout_tree, with_protected_from
from ganger.git.refs import candidate_ref
from ganger.git.trash import discard_scratch
from ganger.jail.port import Jail
from ganger.supervisor.counts import count_tests

TAIL_CHARS = 2_000
READ_BYTES_MAX = 1 << 20
PYTEST_NOTHING_COLLECTED = 5


class Checker:
    """Runs checks on trees of the hub, in scratch folders of the state directory."""

    def __init__(self, state_dir: Path, hub: Hub, jail: Jail, is_protected: Callable[[str], bool]) -> None:
        self._state_dir, self._hub, self._jail = state_dir, hub, jail
        self._is_protected = is_protected

    def run(self, tree: Commit, checks: Sequence[Check], log_dir: Path) -> tuple[CheckResult, ...]:
        """Check one tree: a fresh checkout for all checks, which run in order, each whatever the others say."""
        if not checks:
            return ()
        scratch = self._state_dir / "scratch" / uuid.uuid4().hex
        for part in ("tree", "home", "tmp"):
            (scratch / part).mkdir(parents=True)
        try:
            checkout_tree(self._hub, tree, scratch / "tree")
            log_dir.mkdir(parents=True, exist_ok=True)
            return tuple(self._run_one(check, scratch, log_dir) for check in checks)
        finally:
            discard_scratch(self._state_dir, scratch)

    def _run_one(self, check: Check, scratch: Path, log_dir: Path) -> CheckResult:
        log = log_dir / f"{check.name}.log"
        log.write_bytes(b"")
        env = clean_env(os.environ) | {
            "HOME": str(scratch / "home"),
            "TMPDIR": str(scratch / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CI": "1",
        }
        began = time.monotonic_ns()
        ended = run_check(check.argv, env, scratch / "tree", check.timeout_ms, log, self._jail)
        took_ms = (time.monotonic_ns() - began) // 1_000_000
        output = _read_end(log)
        counted = count_tests(check.argv, output)
        executed = counted.executed
        if counted.runner == "pytest" and ended.code == PYTEST_NOTHING_COLLECTED:
            executed = 0
        return CheckResult(
            name=check.name,
            argv=check.argv,
            state=check_state(ended.code, timed_out=ended.timed_out, executed=executed),
            exit_code=ended.code,
            took_ms=took_ms,
            executed=executed,
            runner=counted.runner,
            log=str(log.relative_to(self._state_dir)),
            log_sha256=hashlib.sha256(log.read_bytes()).hexdigest(),
            tail=output[-TAIL_CHARS:],
        )

    def protected_for(self, scope: tuple[str, ...]) -> Callable[[str], bool]:
        """Which paths are protected for this scope: one that the plan names letter by letter is the person's wish."""
        named = {text.lstrip("/") for text in scope}
        return lambda path: path not in named and self._is_protected(path)


def check_state(code: int | None, *, timed_out: bool, executed: int | None) -> CheckState:
    """Classify how a check ended; `code` None means it died of a signal."""
    if timed_out:
        return CheckState.timed_out
    if code is None or code in (126, 127):
        return CheckState.crashed
    if executed == 0 and code in (0, PYTEST_NOTHING_COLLECTED):
        return CheckState.ran_nothing
    return CheckState.passed if code == 0 else CheckState.failed


def _read_end(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - READ_BYTES_MAX))
        return file.read().decode("utf-8", "backslashreplace")


def collect(
    checker: Checker,
    hub: Hub,
    run: Run,
    spec: ItemSpec,
    place: Path,
    log_dir: Path,
    is_test: Callable[[str], bool],
    rules: PathRules,
) -> Evidence:
    """Freeze the worker's candidate and look at it; checks are run only on one that changes something in its scope."""
    began = time.monotonic_ns()
    commit, auto = freeze(hub, run, place)
    changed = tuple(sorted({change.path for change in changed_paths(hub, run.base, commit)}))
    is_protected = checker.protected_for(run.lease.scope)
    tree = hub.tree_of(commit)
    descends = hub.is_ancestor(run.base, commit)
    protected = tuple(path for path in changed if is_protected(path))
    checked_tree, results = tree, tuple[CheckResult, ...]()
    if changed and descends and all(scope_matches(run.lease.scope, path, rules) for path in changed) and not protected:
        base_tree = hub.tree_of(run.base)
        checked_tree = with_protected_from(hub, tree, base_tree, is_protected, is_test)
        results = checker.run(checked_tree, spec.checks, log_dir)
    return Evidence(
        base=run.base,
        commit=commit,
        tree=tree,
        checked_tree=checked_tree,
        changed=changed,
        protected=protected,
        descends=descends,
        auto_committed=auto,
        checks=results,
        took_ms=(time.monotonic_ns() - began) // 1_000_000,
    )


def freeze(hub: Hub, run: Run, place: Path) -> tuple[Commit, bool]:
    """Fetch the worker's branch, and commit for it what it left uncommitted; tells whether there was such."""
    head = workspace.fetch_candidate(hub, place, run.id) or run.base
    commit = workspace.snapshot(hub, place, head, f"Uncommitted changes of {run.id}, committed by ganger")
    if commit != head:
        hub.set_ref(candidate_ref(run.id), commit)
    return commit, commit != head
