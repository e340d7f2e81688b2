"""The tracked files of the target, asked which of them scopes hold, at a bounded price."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from ganger.core.patterns import Pattern
from ganger.plans.port import Known

MATCHES_MAX = 2_000_000
"""Comparisons of a pattern with a path; what is asked after them is answered as if all were well."""
_LAST = "\U0010ffff"


class Tracked:
    """The tracked paths, sorted, so that a pattern is compared only with those below its literal beginning."""

    def __init__(self, known: Known) -> None:
        self.is_known = known.tracked_paths is not None
        """Whether there is anything to ask."""
        self._known = known
        self._exact = not (known.rules.fold_case or known.rules.normalize)
        self._left = MATCHES_MAX
        self._matched: dict[str, bool] = {}
        self._counted: dict[tuple[str, ...], int] = {}
        self._read: list[str] | None = None

    @property
    def paths(self) -> Sequence[str]:
        """All tracked paths, read when first asked for."""
        if self._read is None:
            self._read = sorted(self._known.tracked_paths()) if self._known.tracked_paths else []
        return self._read

    def has_match(self, pattern: Pattern) -> bool:
        """Whether any path matches; True as well once too many comparisons have been made to go on."""
        if pattern.text not in self._matched:
            self._matched[pattern.text] = self._look(pattern)
        return self._matched[pattern.text]

    def count(self, scope: Sequence[Pattern], more_than: int) -> int:
        """Count the paths that a scope holds, if they are more than `more_than`; else 0, and so beyond the bound."""
        key = tuple(pattern.text for pattern in scope)
        if key not in self._counted:
            spans = [self._below(pattern) for pattern in scope]
            likely = sum(end - begin for begin, end in spans) > more_than
            self._counted[key] = self._count(scope) if likely else 0
        found = self._counted[key]
        return found if found > more_than else 0

    def _count(self, scope: Sequence[Pattern]) -> int:
        self._left -= len(self.paths) * len(scope)
        if self._left < 0:
            return 0
        return sum(any(pattern.matches(path) for pattern in scope) for path in self.paths)

    def _look(self, pattern: Pattern) -> bool:
        for at in range(*self._below(pattern)):
            self._left -= 1
            if self._left < 0 or pattern.matches(self.paths[at]):
                return True
        return False

    def _below(self, pattern: Pattern) -> tuple[int, int]:
        """Give the range of paths that begin as the pattern does."""
        prefix = "/".join(pattern.prefix)
        # Where names are folded, a pattern's prefix is not a prefix of the paths as they are written.
        if not prefix or not self._exact:
            return 0, len(self.paths)
        return bisect.bisect_left(self.paths, prefix), bisect.bisect_right(self.paths, prefix + _LAST)
