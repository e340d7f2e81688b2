"""The list of the tests that a check executed: the same for the same tests, bounded, and held against itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ganger.verifier import listed
from ganger.verifier.listed import Listed, decoded, encoded, fault
from ganger.verifier.record import Ending, Seen, Session

RUN = (Session("pytest", ended=True),)
TESTS = {"b": Ending("passed"), "a": Ending("failed"), "c": Ending("skipped"), "d": Ending("deselected")}


def of(seen: Seen) -> Listed:
    found = decoded(encoded(seen))
    assert found is not None
    return found


def test_what_was_seen_is_listed_in_one_order() -> None:
    there, back = Seen(RUN, TESTS), Seen(RUN, dict(reversed(TESTS.items())))
    assert encoded(there) == encoded(back) and encoded(there).endswith(b"}\n")
    found = of(there)
    assert found.tests == (("a", "failed"), ("b", "passed"), ("c", "skipped"), ("d", "deselected"))
    assert (found.count, found.executed, fault(found, there.executed)) == (4, 2, "")
    assert encoded(Seen()) == b"" and of(Seen(RUN)).count == 0


def test_a_list_that_is_too_long_is_counted_and_not_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(RUN, {f"test_{number:05}": Ending("passed") for number in range(5_000)})
    whole = of(seen)
    monkeypatch.setattr(listed, "LISTED_BYTES_MAX", 1_000)
    short = of(seen)
    assert len(encoded(seen)) < 3_000 and 0 < len(short.tests) < 100
    assert (short.count, short.outcomes, short.sha256) == (whole.count, whole.outcomes, whole.sha256)
    assert fault(short, 5_000) == fault(whole, 5_000) == ""
    assert fault(short, 4_999) == "it counts 5000 executed tests, and 4999 were recorded"


FALSE: dict[str, tuple[Callable[[Listed], Listed], str]] = {
    "one more": (
        lambda one: msgspec.structs.replace(one, tests=(*one.tests, ("e", "passed"))),
        "it lists 5 tests and counts 4 of 4",
    ),
    "another name": (
        lambda one: msgspec.structs.replace(one, tests=(("z", "failed"), *one.tests[1:])),
        "its tests are not those of its digest",
    ),
    "another number": (
        lambda one: msgspec.structs.replace(one, outcomes={**one.outcomes, "passed": 2}),
        "it lists 4 tests and counts 5 of 4",
    ),
}


@pytest.mark.parametrize("how", FALSE)
def test_a_list_that_is_not_of_one_piece(how: str) -> None:
    change, told = FALSE[how]
    assert fault(change(of(Seen(RUN, TESTS))), 2) == told


def test_what_is_no_list() -> None:
    for data in (b"", b"{}", b"[]", b"\xff", encoded(Seen(RUN, TESTS)).replace(b"count", b"number")):
        assert decoded(data) is None
