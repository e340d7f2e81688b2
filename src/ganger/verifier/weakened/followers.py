"""Find what tests compare with that was said, and is asked of the product now: such a test compares it with itself.

And the other way round: what was asked of the product, compared with something that is said, and is said itself now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ganger.core.model import Weakened, Weakening
from ganger.verifier.weakened.suite import Case, Given, Suite, one_line, was_is

Helper = Callable[[str, str], Case | None]
"""Finds what is called in a file by its name."""


def followers(
    base: Sequence[Suite], candidate: Sequence[Suite], pairs: Iterable[tuple[Case, Case]], moved: Helper
) -> Iterator[Weakened]:
    """Name each value that follows the product since, by the test or the file it is given in.

    `pairs` are tests and helpers in both versions; `moved` finds a helper of the candidate in another file.
    """
    use = _Use(base, candidate)
    at = {suite.path: suite for suite in candidate}
    known = {(case.path, case.name) for suite in candidate for case in suite.cases}
    for suite in base:
        now = at.get(suite.path)
        if now is not None:
            yield from use.changed(suite.path, "", suite.given(), now.given())
        for case in suite.cases:
            if not case.is_collected and (case.path, case.name) not in known:
                other = moved(case.name.rpartition(".")[2], case.path)
                if other is not None and other.source != case.source:
                    yield from use.changed(other.path, other.name, case.content().given, other.content().given)
    for was, then in pairs:
        if was.source != then.source:
            yield from use.changed(then.path, then.name, was.content().given, then.content().given)


class _Use:
    """How the base uses names, and which of them the candidate asks the product for."""

    def __init__(self, base: Sequence[Suite], candidate: Sequence[Suite]) -> None:
        self._base, self._candidate = base, candidate

    def changed(self, path: str, owner: str, before: Sequence[Given], after: Sequence[Given]) -> Iterator[Weakened]:
        at = {(each.owner, each.name): each for each in after}
        for was in before:
            now = at.get((was.owner, was.name)) or self._set_up(path, was)
            if now is None or now.text == was.text:
                continue
            if _follows(was, now) and self._is_compared(was.name):
                detail = f"`{one_line(was.name)}` follows the product: {was_is(was.text, now.text)}"
                yield Weakened(path, now.line, Weakening.expected_changed, owner or was.owner, detail)
            elif _is_assumed(was, now) and self._is_tested(was.name):
                detail = f"`{one_line(was.name)}` does not come from the product any more: {was_is(was.text, now.text)}"
                yield Weakened(path, now.line, Weakening.assertion_loosened, owner or was.owner, detail)

    def _set_up(self, path: str, was: Given) -> Given | None:
        """Find what is given a name instead by what the runner calls around tests: a class's constant in `setUp`."""
        setups = (case for suite in self._candidate if suite.path == path for case in suite.cases if case.is_setup)
        given = (each for case in setups for each in case.content().given)
        return next((each for each in given if each.name == was.name), None)

    def _is_compared(self, name: str) -> bool:
        """Tell whether a name is compared; one that no changed file uses may be, in others."""
        sides = [side for suite in self._base for pair in suite.uses().compared for side in pair]
        if any(name in side.names for side in sides):
            return True
        return not any(name in suite.uses().mentioned for suite in self._base)

    def _is_tested(self, name: str) -> bool:
        """Tell whether a name is compared with something that does not come from the product."""
        asked = {each.name for suite in self._candidate for each in self._given(suite) if each.asked}
        for suite in self._base:
            for one, other in suite.uses().compared:
                for side, against in ((one, other), (other, one)):
                    if name in side.names and not against.calls and not against.names & asked:
                        return True
        return False

    def _given(self, suite: Suite) -> Iterator[Given]:
        yield from suite.given()
        for case in suite.cases:
            yield from case.content().given


def _follows(was: Given, now: Given) -> bool:
    """Tell whether something that was said is gone, and the product is asked for something it was not asked for."""
    gone = Counter(was.said) - Counter(now.kept)
    return bool(gone) and bool(Counter(now.asked) - Counter(was.asked))


def _is_assumed(was: Given, now: Given) -> bool:
    """Tell whether the product was asked, and is not any more; something is said in its place."""
    return bool(was.asked) and not now.asked and bool(Counter(now.said) - Counter(was.kept))
