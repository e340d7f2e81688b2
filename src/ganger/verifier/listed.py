"""The tests that one run of a check executed, as a file beside its output: each with how it ended, and a digest of all.

    {"count":3,"outcomes":{"passed":2,"skipped":1},"sha256":"…","tests":[["a.py::test_a","passed"],…]}

The digest is over one line `OUTCOME ID` for each test, sorted by ids. So many tests that the list would be too long are
all counted and in the digest, and the first of them are listed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from ganger.verifier.record import EXECUTED, Seen

TESTS_END = ".tests.json"
"""How the names of these files end."""
LISTED_BYTES_MAX = 2 << 20
"""Bytes of the lines of those that are listed."""


class Listed(Struct, frozen=True, forbid_unknown_fields=True):
    """All tests that were seen in one run of a check."""

    count: int
    outcomes: Mapping[str, int]
    """How many ended in each way, by the words of `record.Ending`."""
    sha256: str
    tests: tuple[tuple[str, str], ...]
    """The first ones by their ids, each with how it ended."""

    @property
    def executed(self) -> int:
        """How many were executed."""
        return sum(number for outcome, number in self.outcomes.items() if outcome in EXECUTED)


def encoded(seen: Seen) -> bytes:
    """What is kept of a run: one line of JSON, the same for the same tests; nothing when no runner was seen."""
    if not seen.sessions:
        return b""
    tests = tuple((name, ending.outcome) for name, ending in sorted(seen.tests.items()))
    outcomes = dict(sorted(Counter(outcome for _, outcome in tests).items()))
    return msgspec.json.encode(Listed(len(tests), outcomes, _digest(tests), _first(tests))) + b"\n"


def _line(name: str, outcome: str) -> bytes:
    return f"{outcome} {name}\n".encode("utf-8", "backslashreplace")


def _digest(tests: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, outcome in tests:
        digest.update(_line(name, outcome))
    return digest.hexdigest()


def _first(tests: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    left = LISTED_BYTES_MAX
    for number, (name, outcome) in enumerate(tests):
        left -= len(_line(name, outcome))
        if left < 0:
            return tests[:number]
    return tests


def decoded(data: bytes) -> Listed | None:
    """Read what `encoded` wrote; None when it is not that."""
    try:
        return msgspec.json.decode(data, type=Listed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def fault(listed: Listed, executed: int | None) -> str:
    """Say in which way a list does not agree with itself or with the number that was recorded; empty when it does."""
    if sum(listed.outcomes.values()) != listed.count or len(listed.tests) > listed.count:
        return f"it lists {len(listed.tests)} tests and counts {sum(listed.outcomes.values())} of {listed.count}"
    if executed is not None and listed.executed != executed:
        return f"it counts {listed.executed} executed tests, and {executed} were recorded"
    if len(listed.tests) == listed.count and (
        _digest(listed.tests) != listed.sha256 or Counter(outcome for _, outcome in listed.tests) != listed.outcomes
    ):
        return "its tests are not those of its digest"
    return ""
