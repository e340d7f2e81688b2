"""Conflict markers that a change leaves: refused, unless they were there before or are only talked about."""

from __future__ import annotations

import pytest

from ganger.verifier.markers import conflicts_marked, leftover_faults

MARKED = b"a\n<<<<<<< HEAD\nmine\n=======\ntheirs\n>>>>>>> 1234 (theirs)\nb\n"
THREE_WAY = b"<<<<<<< ours\nx\n||||||| base\ny\n=======\nz\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (MARKED, 1),
        (MARKED * 3, 3),
        (MARKED.replace(b"\n", b"\r\n"), 1),
        (THREE_WAY, 1),
        (b"Title\n=======\n", 0),
        (b"<<<<<<< HEAD\nmine\n", 0),
        (b"<<<<<<< HEAD\nTitle\n========\n>>>>>>> x\n", 0),
        (b"  <<<<<<< HEAD\n  =======\n  >>>>>>> x\n", 0),
        (b"<<<<<<<<<< not git\n=======\n>>>>>>> x\n", 0),
        (b"", 0),
    ],
)
def test_conflicts_that_are_marked(text: bytes, count: int) -> None:
    assert conflicts_marked(text) == count


def test_a_leftover_marker_is_refused_and_one_that_was_there_is_not() -> None:
    assert leftover_faults({"a": b"x"}, {"a": MARKED, "b": MARKED, "c": b"x"}) == ("leaves conflict markers: a, b",)
    assert leftover_faults({"a": MARKED}, {"a": MARKED + b"more\n"}) == ()
    assert leftover_faults({"a": MARKED}, {"a": MARKED * 2}) == ("leaves conflict markers: a",)
    assert leftover_faults({"a": MARKED}, {}) == ()
