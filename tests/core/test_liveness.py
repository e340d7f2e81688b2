"""Does a worker get anywhere? A row a rule, each clock by itself."""

from __future__ import annotations

import pytest

from ganger.core.effects import Clocks
from ganger.core.liveness import Judged, liveness, next_change_ms
from ganger.core.model import Liveness
from ganger.core.policy import Policy
from ganger.testing.builders import NOW_MS, Story, spec

SPEC = spec(silence_max_ms=10_000)
POLICY = Policy(progress_ms=20_000, same_calls_max=5)
AT_WORK = Judged(Liveness.advancing, "the worker is at work")
UNSEEN = Judged(Liveness.unknown, "the worker was not yet seen to do anything")
SILENT = Judged(Liveness.stalled, "the worker showed no activity for 10 s")
FRUITLESS = Judged(Liveness.spinning, "the worker is active, but changed no file and made no commit for 20 s")

# Seconds since the start: the look, and when each clock last moved; None: never.
ROWS: list[tuple[str, int, int | None, int | None, int | None, int, Judged]] = [
    ("just started", 0, None, None, None, 0, UNSEEN),
    ("not seen for a while", 9, None, None, None, 0, UNSEEN),
    ("never seen, as long as any other may be silent", 10, None, None, None, 0, SILENT),
    ("it computes", 15, 14, None, None, 0, AT_WORK),
    ("it talks", 15, None, 14, None, 0, AT_WORK),
    ("it changes files", 15, None, None, 14, 0, AT_WORK),
    ("a long silent turn of one that computes", 19, 19, None, None, 0, AT_WORK),
    ("it computes, and nothing comes of it", 20, 19, None, None, 0, FRUITLESS),
    ("it talks, and nothing comes of it", 21, None, 21, None, 0, FRUITLESS),
    ("it changed something too long ago", 40, 40, 40, 20, 0, FRUITLESS),
    ("it changed something just in time", 40, 40, 40, 21, 0, AT_WORK),
    ("silent since it changed something", 24, None, None, 14, 0, SILENT),
    ("silent although it was at work", 25, 15, 14, 13, 0, SILENT),
    ("the same calls", 5, None, 5, 5, 5, Judged(Liveness.spinning, "the worker made the same call 5 times in a row")),
    ("nearly the same calls", 5, None, 5, 5, 4, AT_WORK),
    ("silent after the same calls", 15, None, 5, 5, 9, SILENT),
]


def at(second: int | None) -> int:
    return 0 if second is None else NOW_MS + second * 1_000


@pytest.mark.parametrize(("now", "heartbeat", "output", "artefact", "same", "expected"), [r[1:] for r in ROWS])
def test_liveness(
    now: int, heartbeat: int | None, output: int | None, artefact: int | None, same: int, expected: Judged
) -> None:
    story = Story(SPEC)
    clocks = Clocks(at(heartbeat), at(output), at(artefact), same)
    assert liveness(story.started(), SPEC, clocks, at(now), POLICY) == expected


def test_every_liveness_is_reached() -> None:
    assert {row[-1].liveness for row in ROWS} == set(Liveness)


def test_what_was_seen_of_an_earlier_worker_is_not_this_ones() -> None:
    story = Story(SPEC)
    run = story.started()
    earlier = Clocks(heartbeat_ms=NOW_MS - 50_000, artefact_ms=NOW_MS - 50_000)
    assert liveness(run, SPEC, earlier, NOW_MS + 9_000, POLICY) == AT_WORK
    assert liveness(run, SPEC, earlier, NOW_MS + 10_000, POLICY) == SILENT


def test_time_alone_changes_it_at_the_instants_that_are_told() -> None:
    story = Story(SPEC)
    run = story.started()
    clocks = Clocks(output_ms=at(5), artefact_ms=at(3))
    silent_ms, fruitless_ms = next_change_ms(run, SPEC, clocks, POLICY)
    assert (silent_ms, fruitless_ms) == (at(15), at(23))
    assert liveness(run, SPEC, clocks, silent_ms - 1, POLICY) == AT_WORK
    assert liveness(run, SPEC, clocks, silent_ms, POLICY) == SILENT
