"""Collecting evidence: what the worker left, and whether its tree is good, seen with our own eyes.

The checks run in our own checkout of the candidate's tree, in which protected files are the base's; with a time limit,
in their own process group, in an environment built from nothing; and, where tests changed, once more with those of the
base. What they show is compared with what they show on the base: a run that saw less than that has not passed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.core.fidelity import forbidden
from ganger.core.ids import Commit
from ganger.core.model import Check, CheckResult, CheckState, Evidence, ItemSpec, Witness
from ganger.core.patterns import PathRules, scope_matches
from ganger.core.policy import Policy
from ganger.core.verdict import needs_witness
from ganger.drivers.process import clean_env, run_check
from ganger.errors import WorldFailed
from ganger.git import seeding, workspace
from ganger.git.changes import Change, changed_paths
from ganger.git.hub import Hub
from ganger.git.merge import checkout_tree, with_protected_from
from ganger.git.refs import TARGET, candidate_ref
from ganger.git.trash import discard_scratch
from ganger.git.trees import Edits, Entry, edit_tree
from ganger.jail.bounds import NO_BOUNDS, Bounds
from ganger.jail.none import NoJail
from ganger.jail.port import Jail, Reach
from ganger.jail.system import tool_homes
from ganger.supervisor import linked
from ganger.supervisor.linked import Linked, LinkedFor, none_linked
from ganger.verifier import injection, listed, record, substance
from ganger.verifier.containment import lost_tests, missing_tests, named, newly_xfailed, runner_faults, state_of
from ganger.verifier.contents import blobs_of, paths_of, read_changed
from ganger.verifier.footprint import Survey, footprint, survey, writes
from ganger.verifier.identity import verifier_hash
from ganger.verifier.markers import leftover_faults
from ganger.verifier.reference import Outcome, References
from ganger.verifier.weakened import find_weakened
from ganger.verifier.witness import witness

TAIL_CHARS = 2_000
READ_BYTES_MAX = 1 << 20
PARTS = ("tree", "home", "tmp", "seen")
"""Places of a check that it writes to: what it checks, its home, temporary files, what its test runners record."""
TOOLS = "tools"
"""Where programs of ours are that it starts."""
NODE_VERSION = Check("node-version", ("node", "--version"), 20_000)
Outcomes = Mapping[str, Outcome]
"""By the names of the checks."""


def never(path: str) -> bool:
    """No path is meant."""
    return False


class Asked(Struct, frozen=True):
    """Which tests of the base a run must execute."""

    is_excused: Callable[[str], bool] = never
    """Files whose tests are not asked for."""
    texts: tuple[bytes, ...] | None = None
    """The files that the candidate changed, where its tests may bear other names than the base's; None: by name."""


EVERY = Asked()


class Ran(Struct, frozen=True):
    """One run of one check, before it is compared with anything."""

    result: CheckResult
    outcome: Outcome


class Checker:
    """Runs checks on trees of the hub, in scratch folders of the state directory."""

    def __init__(
        self,
        state_dir: Path,
        hub: Hub,
        jail: Jail,
        is_protected: Callable[[str], bool],
        is_test: Callable[[str], bool] = never,
        bounds: Bounds = NO_BOUNDS,
        linked_for: LinkedFor = none_linked,
    ) -> None:
        """`linked_for` tells the folders of dependencies that the check-outs of checks have by links."""
        self._state_dir, self._hub, self._jail, self._bounds = state_dir, hub, jail, bounds
        self._linked_for, self._digests = linked_for, linked.Digests()
        # Trees of one repository have nearly the same paths, and each is matched against a long list of patterns.
        self._is_protected, self._is_test = lru_cache(1 << 18)(is_protected), is_test
        self._references = References(state_dir)
        self._one_reference = threading.Lock()
        self._node_takes_reporters: bool | None = None

    @property
    def tier(self) -> str:
        """How checks are contained."""
        return self._jail.tier

    def run(
        self,
        tree: Commit,
        checks: Sequence[Check],
        log_dir: Path,
        base: Outcomes | None = None,
        asked: Asked = EVERY,
    ) -> tuple[CheckResult, ...]:
        """Check one tree: a fresh checkout for all checks, which run in order, each whatever the others say.

        With `base`, each is compared with what it showed there.
        """
        return tuple(judged(ran, base, asked) for ran in self.ran(tree, checks, log_dir, base))

    def ran(
        self,
        tree: Commit,
        checks: Sequence[Check],
        log_dir: Path,
        base: Outcomes | None = None,
        links: Commit | None = None,
    ) -> tuple[Ran, ...]:
        """Run checks on one tree; not more sessions of test runners are recorded than there were on the base.

        `links` is the base whose linked folders the tree gets, so that no candidate chooses them; None: the target.
        """
        if not checks:
            return ()
        links = links or self._hub.ref(TARGET) or tree
        folders = self._folders(tree, links)
        scratch = self._state_dir / "scratch" / uuid.uuid4().hex
        for part in (*PARTS, TOOLS):
            (scratch / part).mkdir(parents=True)
        try:
            checkout_tree(self._hub, tree, scratch / "tree")
            for folder in folders:
                linked.link(scratch / "tree", folder)
            log_dir.mkdir(parents=True, exist_ok=True)
            found = tuple(
                self._run_one(check, tree, scratch, log_dir, _sessions(base, check), folders) for check in checks
            )
        finally:
            discard_scratch(self._state_dir, scratch)
        for check, ran in zip(checks, found, strict=True):
            if ran.result.state is CheckState.passed:
                verifier = self.verifier(tree, (check,), links)
                self._references.put(self._hub.tree_of(tree), check, verifier, ran.outcome)
        return found

    def reference(self, tree: Commit, checks: Sequence[Check], log_dir: Path) -> Outcomes:
        """What each check shows on a base, found out once for each tree and verifier."""
        tree = self._hub.tree_of(tree)
        with self._one_reference:
            return {
                check.name: self._references.get(
                    tree,
                    check,
                    self.verifier(tree, (check,)),
                    lambda check=check: self.ran(tree, (check,), log_dir, links=tree)[0].outcome,  # type: ignore[misc]
                )
                for check in checks
            }

    def steadied(self, tree: Commit, check: Check, log_dir: Path, known: Outcome) -> Outcome:
        """Run a check on a base once more, and keep of its tests those that are executed each time."""
        again = self.ran(tree, (check,), log_dir, links=tree)[0].outcome
        steady = {
            name: test
            for name, test in known.seen.tests.items()
            if name not in missing_tests(known.seen, again.seen, never)
        }
        found = replace(known, seen=replace(known.seen, tests=steady))
        self._references.put(self._hub.tree_of(tree), check, self.verifier(tree, (check,)), found)
        return found

    def verifier(self, base: Commit, checks: Sequence[Check], links: Commit | None = None) -> str:
        """The hash of what verifies candidates of a base; `links`: the folders that it links are those of another."""
        state = self._digests.of(self._linked_for(links or base))
        return _verifier(self._hub, self._hub.tree_of(base), self._is_protected, tuple(checks), self.tier, state)

    def linked_state(self, tree: Commit) -> str:
        """What the folders hold now that a check-out of a tree gets, where nobody says whose they are."""
        return self._digests.of(self._linked_for(self._hub.ref(TARGET) or tree))

    def link_faults(self, tree: Commit, base: Commit) -> tuple[str, ...]:
        """Say which folders a candidate brings along that its check-out is to have by links, a line each."""
        names = [folder.name for folder in self._linked_for(base)]
        meant = linked.in_the_way(names, blobs_of(self._hub, tree)) if names else ()
        return tuple(f"has {name} of its own, which checks get as [workspace] linked says" for name in meant)

    def _folders(self, tree: Commit, links: Commit) -> tuple[Linked, ...]:
        """The folders that a check-out gets; what a tree has itself stays as it is there."""
        folders = self._linked_for(links)
        taken = linked.in_the_way([one.name for one in folders], blobs_of(self._hub, tree)) if folders else ()
        return tuple(one for one in folders if one.name not in taken)

    def _run_one(
        self, check: Check, tree: Commit, scratch: Path, log_dir: Path, sessions: int, folders: tuple[Linked, ...]
    ) -> Ran:
        log = log_dir / f"{check.name}.log"
        log.write_bytes(b"")
        seen_at = scratch / "seen" / uuid.uuid4().hex[:8]
        secrets = record.lay_out(seen_at, sessions)
        place = scratch / "tree"
        env = self._environment(scratch) | injection.environment(
            seen_at, _tools(scratch), check.argv, place, node_reports=self._node_reports(check, scratch, log_dir)
        )
        before, shared = survey(place), self._open_to_writes(folders)
        began = time.monotonic_ns()
        reach = self._reach(scratch, tuple(folder.source for folder in folders))
        ended = run_check(check.argv, env, place, check.timeout_ms, log, self._jail, reach)
        took_ms = (time.monotonic_ns() - began) // 1_000_000
        left = footprint(place, before, self._is_protected, self._is_test, partial(blobs_of, self._hub, tree))
        through = [path for folder, marks in shared.items() for path in linked.changed(folder, marks)]
        left = replace(left, written=(*left.written, *through))
        output = _read_end(log)
        recorded = record.read(seen_at, secrets)
        seen = injection.seen_of(check.argv, place, recorded, output)
        runner, executed = injection.executed_of(check.argv, seen, output)
        state = state_of(ended.code, timed_out=ended.timed_out, executed=executed, faults=(), missing=())
        result = CheckResult(
            name=check.name,
            argv=check.argv,
            state=state,
            exit_code=ended.code,
            took_ms=took_ms,
            executed=executed,
            runner=runner,
            log=str(log.relative_to(self._state_dir)),
            log_sha256=hashlib.sha256(log.read_bytes()).hexdigest(),
            tail=output[-TAIL_CHARS:],
        )
        return Ran(self._with_tests(result, log, seen), Outcome(state, seen, left, executed))

    def _with_tests(self, result: CheckResult, log: Path, seen: record.Seen) -> CheckResult:
        """Keep the list of the tests that were seen, beside the output of the check."""
        content = listed.encoded(seen)
        if not content:
            return result
        path = log.with_suffix(listed.TESTS_END)
        path.write_bytes(content)
        kept = str(path.relative_to(self._state_dir))
        return replace(result, tests=kept, tests_sha256=hashlib.sha256(content).hexdigest())

    def _environment(self, scratch: Path) -> dict[str, str]:
        closed = (self._state_dir / "scratch", self._state_dir / "workspaces")
        return (
            clean_env(os.environ)
            | tool_homes(os.environ)
            | {
                "PATH": self._bounds.search_path(os.environ.get("PATH", os.defpath), closed),
                "HOME": str(scratch / "home"),
                "TMPDIR": str(scratch / "tmp"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONNOUSERSITE": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "CI": "1",
            }
        )

    def _open_to_writes(self, folders: tuple[Linked, ...]) -> dict[Linked, Survey]:
        """How the shared folders are that a check could write through its links: all of them where there is no wall."""
        return {folder: survey(folder.source) for folder in folders} if self.tier == NoJail.tier else {}

    def _reach(self, scratch: Path, shared: tuple[Path, ...] = ()) -> Reach:
        """A check writes in its own places and nowhere else, and reads our recorders and what runs them."""
        readable = (injection.INSIDE, scratch / TOOLS, Path(sys.prefix), Path(sys.base_prefix), *shared)
        return self._bounds.of_check(tuple(scratch / part for part in PARTS), readable)

    def _node_reports(self, check: Check, scratch: Path, log_dir: Path) -> bool:
        """Whether the node that checks would find takes our reporter; asked once, when a check may need it."""
        if not injection.is_node(check.argv, scratch / "tree"):
            return False
        if self._node_takes_reporters is None:
            log = log_dir / f"{NODE_VERSION.name}.log"
            env, argv = self._environment(scratch), NODE_VERSION.argv
            try:
                run_check(argv, env, scratch / "tmp", NODE_VERSION.timeout_ms, log, self._jail, self._reach(scratch))
                self._node_takes_reporters = injection.node_takes_reporters(_read_end(log).strip())
            except WorldFailed:
                self._node_takes_reporters = False
        return self._node_takes_reporters

    def protected_for(self, scope: tuple[str, ...]) -> Callable[[str], bool]:
        """Which paths are protected for this scope: one that the plan names letter by letter is the person's wish."""
        named = {text.lstrip("/") for text in scope}
        return lambda path: path not in named and self._is_protected(path)


def _sessions(base: Outcomes | None, check: Check) -> int:
    if base is None or check.name not in base:
        return record.SESSIONS_MAX
    sessions = base[check.name].seen.sessions
    # Go and Cargo have one for each test binary, and a candidate may add some.
    many = any(one.runner in ("go", "cargo") for one in sessions)
    return record.SESSIONS_MAX if many else max(1, len(sessions))


def _tools(scratch: Path) -> Path:
    """A new folder for the programs that one check starts."""
    tools = scratch / TOOLS / uuid.uuid4().hex[:8]
    tools.mkdir()
    return tools


@lru_cache(256)
def _verifier(
    hub: Hub, tree: Commit, is_protected: Callable[[str], bool], checks: tuple[Check, ...], tier: str, linked_state: str
) -> str:
    return verifier_hash(blobs_of(hub, tree), is_protected, checks, tier, linked_state)


def judged(ran: Ran, base: Outcomes | None, asked: Asked) -> CheckResult:
    """Say how a check ended, measured by what it showed on the base."""
    known = base.get(ran.result.name) if base is not None else None
    if known is None:
        return ran.result
    result, seen = ran.result, ran.outcome.seen
    if asked.texts is None:
        missing = missing_tests(known.seen, seen, asked.is_excused)
    else:
        missing = lost_tests(known.seen, seen, asked.texts)
    lenient = newly_xfailed(known.seen, seen)
    faults = (*runner_faults(known.seen, seen, result.exit_code), *writes(known.footprint, ran.outcome.footprint))
    lines = [*faults]
    if missing:
        lines.append(f"tests that are executed on the base were not: {named(missing)}")
    if lenient:
        lines.append(f"tests that must pass on the base may fail: {named(lenient)}")
    fewer = _fewer(known, ran.outcome)
    if fewer:
        lines.append(fewer)
    state = state_of(
        result.exit_code,
        timed_out=result.state is CheckState.timed_out,
        executed=result.executed,
        faults=faults,
        missing=(*missing, *lenient, *([fewer] if fewer else ())),
    )
    return replace(result, state=state, faults=tuple(lines), missing=len(missing))


def _fewer(base: Outcome, outcome: Outcome) -> str:
    """Compare counts where no names are recorded."""
    if base.seen.sessions or base.executed is None:
        return ""
    if outcome.executed is None:
        return f"it does not say how many tests it executed; on the base it says {base.executed}"
    if outcome.executed < base.executed:
        return f"it executed {outcome.executed} tests, on the base {base.executed}"
    return ""


def _read_end(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - READ_BYTES_MAX))
        return file.read().decode("utf-8", "backslashreplace")


class _Looked(Struct, frozen=True):
    """What the checks showed of a candidate."""

    checked_tree: Commit
    checks: tuple[CheckResult, ...] = ()
    base_checks: tuple[CheckResult, ...] = ()
    witness: Witness | None = None


def collect(
    checker: Checker,
    hub: Hub,
    run: Run,
    spec: ItemSpec,
    place: Path,
    log_dir: Path,
    is_test: Callable[[str], bool],
    rules: PathRules,
    policy: Policy = Policy(),  # noqa: B008 - a frozen value
) -> Evidence:
    """Freeze the worker's candidate and look at it.

    Checks are run only on one that changes something, and, unless a person is asked about more, nothing but its scope.
    """
    began = time.monotonic_ns()
    # A workspace that somebody removed has nothing to be judged; the next turn gets another.
    gone = () if place.exists() else ("its workspace is gone: somebody removed it",)
    handed_in, auto = (run.base, False) if gone else freeze(hub, run, place)
    commit, entangled = seeding.own_change(hub, run.id, run.base, handed_in)
    changes = changed_paths(hub, run.base, commit)
    changed = tuple(sorted({change.path for change in changes}))
    is_protected = checker.protected_for(run.lease.scope)
    tree = hub.tree_of(commit)
    descends = hub.is_ancestor(run.base, commit)
    protected = tuple(path for path in changed if is_protected(path))
    before, after = read_changed(hub, changes, lambda path: True)
    faults = substance.faults(
        spec, substance.Diff(changes, before, after), paths_of(blobs_of(hub, tree)), is_test, rules
    )
    faults = (*faults, *forbidden(policy.kind(spec.kind), changed, is_test), *leftover_faults(before, after))
    faults = (*gone, *faults, *checker.link_faults(tree, run.base))
    if entangled:
        faults = (*faults, f"changes lines that the uncommitted work it began with changes too: {', '.join(entangled)}")
    looked = _Looked(tree)
    in_scope = all(scope_matches(run.lease.scope, path, rules) for path in changed)
    if changed and descends and (in_scope or policy.off_plan != "refuse") and not protected and not faults:
        look = _Look(checker, hub, run, spec, log_dir, is_protected, is_test, policy, tuple(after.values()))
        looked = look.at(tree, changes)
    return Evidence(
        base=run.base,
        commit=commit,
        tree=tree,
        checked_tree=looked.checked_tree,
        changed=changed,
        protected=protected,
        descends=descends,
        auto_committed=auto,
        checks=looked.checks,
        took_ms=(time.monotonic_ns() - began) // 1_000_000,
        item=spec.id,
        verifier=checker.verifier(run.base, spec.checks),
        tier=checker.tier,
        faults=faults,
        base_checks=looked.base_checks,
        weakened=find_weakened(before, after, is_test),
        witness=looked.witness,
    )


class _Look:
    """One look at a candidate: its checks on up to four trees."""

    def __init__(
        self,
        checker: Checker,
        hub: Hub,
        run: Run,
        spec: ItemSpec,
        log_dir: Path,
        is_protected: Callable[[str], bool],
        is_test: Callable[[str], bool],
        policy: Policy,
        texts: tuple[bytes, ...],
    ) -> None:
        self._checker, self._hub, self._spec, self._policy = checker, hub, spec, policy
        self._logs, self._texts = log_dir, texts
        self._base_tree = hub.tree_of(run.base)
        self._is_protected, self._is_test = is_protected, is_test

    def at(self, tree: Commit, changes: Collection[Change]) -> _Looked:
        """Check the candidate with its own tests, with the base's, and its tests without its change."""
        kept = self._spec.tests == "kept"
        own = with_protected_from(self._hub, tree, self._base_tree, self._is_protected, never)
        if not self._spec.checks:
            return _Looked(own)
        base = self._checker.reference(self._base_tree, self._spec.checks, self._logs / "base")
        tests = frozenset(change.path for change in changes if self._is_test(change.path))
        if not tests:
            checks, outcomes = self._checked(own, self._logs, base, EVERY)
            return _Looked(own, checks, (), self._witness(base, own, outcomes, changes))
        asked = Asked(texts=self._texts) if kept else Asked(tests.__contains__)
        checks, outcomes = self._checked(own, self._logs, base, asked)
        base_checks: tuple[CheckResult, ...] = ()
        if kept:
            with_base_tests = with_protected_from(self._hub, own, self._base_tree, self._is_test, never)
            base_checks, _ = self._checked(with_base_tests, self._logs / "base-tests", base, EVERY)
        return _Looked(own, checks, base_checks, self._witness(base, own, outcomes, changes))

    def _checked(
        self, tree: Commit, logs: Path, base: Outcomes, asked: Asked
    ) -> tuple[tuple[CheckResult, ...], Outcomes]:
        """Run all checks on a tree; run one that fails again, and measure one that misses tests by a steadied base."""
        results: list[CheckResult] = []
        ran = list(self._checker.ran(tree, self._spec.checks, logs, base, self._base_tree))
        for number, check in enumerate(self._spec.checks):
            result = judged(ran[number], base, asked)
            if result.state is CheckState.skipped_required and result.missing:
                steady = self._checker.steadied(self._base_tree, check, self._logs / "base-again", base[check.name])
                result = judged(ran[number], {check.name: steady}, asked)
            for again in range(self._policy.flaky_retries):
                if result.state is not CheckState.failed or result.faults:
                    break
                more = self._checker.ran(tree, (check,), logs / f"again-{again + 1}", base, self._base_tree)[0]
                second = judged(more, base, asked)
                if second.state is CheckState.passed:
                    result, ran[number] = replace(second, flaky=True), more
            results.append(result)
        return tuple(results), {one.result.name: one.outcome for one in ran}

    def _witness(self, base: Outcomes, own: Commit, outcomes: Outcomes, changes: Collection[Change]) -> Witness | None:
        """Run the candidate's tests on the base's product, where the item needs a witness."""
        if not needs_witness(self._spec, self._policy.witness):
            return None
        edits: Edits = {
            change.raw: Entry(change.new_mode, change.new_oid)
            for change in changes
            if self._is_test(change.path) and not self._is_protected(change.path) and change.status != "D"
        }
        if not edits:
            return witness(base, base, outcomes, frozenset())
        without = edit_tree(self._hub, self._base_tree, edits)
        ran = self._checker.ran(without, self._spec.checks, self._logs / "witness", base, self._base_tree)
        tests = frozenset(change.path for change in changes if self._is_test(change.path))
        return witness(base, {one.result.name: one.outcome for one in ran}, outcomes, tests)


def freeze(hub: Hub, run: Run, place: Path) -> tuple[Commit, bool]:
    """Fetch the worker's branch, and commit for it what it left uncommitted; tells whether there was such.

    A workspace that is a link is a checkout that its runs only read: there is nothing of a worker's in it.
    """
    if place.is_symlink():
        return run.base, False
    head = workspace.fetch_candidate(hub, place, run.id) or run.base
    commit = workspace.snapshot(hub, place, head, f"Uncommitted changes of {run.id}, committed by ganger")
    if commit != head:
        hub.set_ref(candidate_ref(run.id), commit)
    return commit, commit != head
