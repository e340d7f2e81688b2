"""Find what a test puts in the place of the very thing that it asserts something about: it tests what it made up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ganger.core.model import Weakened, Weakening
from ganger.verifier.weakened.suite import Assertion, Case, Note, Suite, one_line

Helper = Callable[[str, str], Case | None]
Asserted = Callable[[Case], Sequence[Assertion]]


def replacing(
    base: Sequence[Suite],
    candidate: Sequence[Suite],
    pairs: Iterable[tuple[Case, Case]],
    helper: Helper,
    asserted: Asserted,
) -> Iterator[Weakened]:
    """Name each function of the product that tests of the base call in what they assert, and that is replaced since.

    `pairs` are tests in both versions, `helper` finds a fixture of the candidate, `asserted` lists what a test of the
    base asserts.
    """
    tests = list(pairs)
    for was, now in tests:
        if was.source != now.source:
            known = {note.text for note in was.content().patched}
            fixtures = (helper(name, now.path) for name in now.parameters if name not in was.parameters)
            given = [note for each in fixtures if each is not None for note in each.content().patched]
            said = "\n".join(f"{each.full} {each.text}" for each in asserted(was) if not each.void)
            yield from _named(now, (*now.content().patched, *given), known, said)
    at = {suite.path: suite for suite in base}
    for suite in candidate:
        then = at.get(suite.path)
        if then is None:
            continue
        before = {note.text for note in _around(then)}
        fresh = [note for note in _around(suite) if note.text not in before]
        for was, now in tests if fresh else ():
            if now.path == suite.path:
                yield from _named(now, fresh, before, was.source)


def _around(suite: Suite) -> Iterator[Note]:
    """Give what a file replaces around its tests: while it is imported, and in what its runner calls by itself."""
    yield from suite.patched()
    for case in suite.cases:
        if case.is_setup and ("autouse" in case.source or "fixture" not in case.source):
            yield from case.content().patched


def _named(now: Case, notes: Iterable[Note], known: Iterable[str], said: str) -> Iterator[Weakened]:
    """Name what is replaced, and called in what a test said."""
    seen = {*known, ""}
    for note in notes:
        if note.text not in seen and re.search(rf"(?<!\w){re.escape(note.text)}\(", said):
            seen.add(note.text)
            detail = f"`{one_line(note.text)}`, which it tests, is replaced by something else"
            yield Weakened(now.path, note.line, Weakening.assertion_loosened, now.name, detail)
