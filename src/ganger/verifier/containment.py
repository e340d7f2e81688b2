"""Whether a run of a check saw at least what the same check sees on the base, and whether its runner was left alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Set

from ganger.core.model import CheckState
from ganger.verifier.record import EXECUTED, FAILED, Seen

NAMED_MAX = 5
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_WORD = re.compile(rb"\w+")
_QUOTED = " > "
"""Stands before the name of a test where tests are named by texts, not by names of the language."""


def stable(test: str) -> str:
    """The name of a test without what changes from run to run: addresses of objects."""
    return _ADDRESS.sub("0x…", test)


def missing_tests(base: Seen, seen: Seen, is_excused: Callable[[str], bool]) -> tuple[str, ...]:
    """List the tests that are executed on the base and not in this run, sorted; an excused file's are not asked for."""
    executed = {stable(name) for name, test in seen.tests.items() if test.outcome in EXECUTED}
    wanted = {stable(name) for name, test in base.tests.items() if _counts(test.outcome) and not is_excused(test.file)}
    return tuple(sorted(wanted - executed))


def lost_tests(base: Seen, seen: Seen, texts: Iterable[bytes]) -> tuple[str, ...]:
    """List the tests of the base that are gone from a run with the candidate's own tests, sorted.

    `texts` are the files that the candidate changed, as they are. A test whose name came elsewhere has moved. One whose
    name still stands in a text is there and is not executed. Any other was renamed, if as many new ones came.
    """
    missing = missing_tests(base, seen, lambda file: False)
    if not missing:
        return ()
    known = {stable(name) for name in base.tests}
    came = Counter(
        _short(stable(name))
        for name, test in seen.tests.items()
        if test.outcome in EXECUTED and stable(name) not in known
    )
    said = b"\n".join(texts)
    words = set(_WORD.findall(said))
    lost, renamed = [], []
    for name in missing:
        short = _short(name)
        if came[short] > 0:
            came[short] -= 1
        elif _stands(name, said, words):
            lost.append(name)
        else:
            renamed.append(name)
    return tuple(sorted([*lost, *(renamed if len(renamed) > came.total() else ())]))


def _stands(name: str, said: bytes, words: Set[bytes]) -> bool:
    """Whether the name of a test stands in texts: as one of their words, or as it is where it is written in quotes."""
    short = _short(name).encode()
    if _QUOTED in name:
        return any(mark + short + mark in said for mark in (b'"', b"'", b"`"))
    return set(_WORD.findall(short)) <= words


def _short(name: str) -> str:
    """The name that a test has in its file: without its module, class and parameters, or its file and suites."""
    if _QUOTED in name:
        return name.rpartition(_QUOTED)[2]
    return re.split(r"::|\.|/", name.partition("[")[0])[-1]


def newly_xfailed(base: Seen, seen: Seen) -> tuple[str, ...]:
    """List the tests that must pass on the base and may fail in this run, sorted."""
    allowed = {stable(name) for name, test in seen.tests.items() if test.outcome in ("xfailed", "xpassed")}
    strict = {stable(name) for name, test in base.tests.items() if test.outcome in ("passed", "failed", "error")}
    return tuple(sorted(strict & allowed))


def _counts(outcome: str) -> bool:
    """Whether a test of the base is one that a candidate must execute too; one that cannot be collected is not."""
    return outcome in EXECUTED and outcome != "error"


def runner_faults(base: Seen, seen: Seen, exit_code: int | None) -> tuple[str, ...]:
    """Say what became of the runners that does not become of them on the base, a line each."""
    faults = []
    if any(session.forged for session in seen.sessions):
        faults.append("the record of the executed tests was tampered with: a line's seal does not fit")
    if _unended(seen) > _unended(base):
        faults.append("the test runner did not come to its own end: something ended its process")
    if _ended(seen) < _ended(base):
        faults.append(f"{_ended(seen)} of {_ended(base)} sessions of the test runner were seen")
    deceived = [session.deceived for session in seen.sessions if session.deceived]
    if deceived and not any(session.deceived for session in base.sessions):
        faults.append(f"the test runner is deceived: {deceived[0]}")
    patched = _new(base, seen, "patched")
    if patched:
        faults.append(f"the code under test changed the test runner: {named(patched)}")
    hooks = _new(base, seen, "hooks")
    if hooks:
        faults.append(f"the code under test put itself into the test runner: {named(hooks)}")
    outside = {name for session in base.sessions for name in session.outside}
    shadowed = sorted({name for session in seen.sessions for name in session.inside} & outside)
    if shadowed:
        faults.append(
            f"modules of the test runner's surroundings are imported from the tree instead: {named(shadowed)}"
        )
    failed = _failed(seen) - _failed(base)
    if exit_code == 0 and failed:
        faults.append(f"it exited with 0 although tests failed: {named(sorted(failed))}")
    return tuple(faults)


def _failed(seen: Seen) -> set[str]:
    return {stable(name) for name, test in seen.tests.items() if test.outcome in FAILED}


def _ended(seen: Seen) -> int:
    return sum(session.ended for session in seen.sessions)


def _unended(seen: Seen) -> int:
    return sum(not session.ended for session in seen.sessions)


def _new(base: Seen, seen: Seen, what: str) -> list[str]:
    before = {one for session in base.sessions for one in getattr(session, what)}
    return sorted({one for session in seen.sessions for one in getattr(session, what)} - before)


def state_of(
    code: int | None, *, timed_out: bool, executed: int | None, faults: Iterable[str], missing: Iterable[str]
) -> CheckState:
    """Classify how a check ended; `code` None means it died of a signal, `executed` None that nothing was recorded."""
    if timed_out:
        return CheckState.timed_out
    if code is None or code in (126, 127):
        return CheckState.crashed
    if executed == 0 and code in (0, 5):
        return CheckState.ran_nothing
    if code != 0:
        return CheckState.failed
    if any(faults):
        return CheckState.crashed if _only_unended(faults) else CheckState.failed
    return CheckState.skipped_required if any(missing) else CheckState.passed


def _only_unended(faults: Iterable[str]) -> bool:
    return all("its own end" in fault for fault in faults)


def named(names: Iterable[str], most: int = NAMED_MAX) -> str:
    """Name the first few, and say how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
