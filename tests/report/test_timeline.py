"""Where things go in the picture: rows, ticks, and how much is drawn together."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest

from ganger.report.shape import Source, TurnEnd, TurnSeen
from ganger.report.timeline import BAR_MIN, BARS_HEIGHT_MAX, ROWS_MAX, _Scale, _work_bars, assign_rows, ticks

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT_MS = 1_795_212_000_000
"""2026-11-20 22:00 UTC."""


def turn(started: int, ended: int, end: TurnEnd = TurnEnd.good, run: str = "x.1") -> TurnSeen:
    return TurnSeen(run, 1, started, ended, end, "", "", "", (0, 0), 0, Source((1,)))


@pytest.mark.parametrize(
    ("spans", "rows"),
    [
        ([(0, 5), (5, 9)], [0, 0]),
        ([(0, 5), (1, 9), (5, 6), (6, 7)], [0, 1, 0, 0]),
        ([(0, 9), (1, 2), (1, 9), (3, 4)], [0, 1, 2, 1]),
        ([(0, 0), (0, 0)], [0, 1]),
        ([], []),
    ],
)
def test_a_turn_takes_the_first_free_row(spans: list[tuple[int, int]], rows: list[int]) -> None:
    assert assign_rows([turn(*span) for span in spans]) == rows


def shown(from_ms: int, span_ms: int, zone: tzinfo = UTC) -> list[str]:
    return [tick.text for tick in ticks(from_ms, from_ms + span_ms, float, zone)]


def test_ticks_are_round_local_times() -> None:
    assert shown(NIGHT_MS + 300, 10_000) == [f"22:00:{second:02}" for second in range(1, 11)]
    assert shown(NIGHT_MS, 12 * 3_600_000)[:3] == ["22:00", "00:00", "02:00"]
    assert shown(NIGHT_MS, 12 * 3_600_000, BERLIN)[:3] == ["00:00", "02:00", "04:00"]
    assert shown(NIGHT_MS, 600_000, BERLIN)[:2] == ["23:00", "23:01"]


def test_half_hour_zones_have_round_ticks_too() -> None:
    assert shown(NIGHT_MS, 12 * 3_600_000, ZoneInfo("Asia/Kolkata"))[0] == "04:00"


def test_the_day_is_told_where_it_is_new() -> None:
    found = ticks(NIGHT_MS, NIGHT_MS + 6 * 3_600_000, float, UTC)
    assert [tick.day for tick in found if tick.day] == ["Fri 20 Nov", "Sat 21 Nov"]


@pytest.mark.parametrize("span_ms", [0, 1, 999, 10_000, 60_000, 3_600_000, 43_200_000, 604_800_000, 9_000_000_000])
def test_never_too_many_ticks(span_ms: int) -> None:
    assert len(shown(NIGHT_MS + 123, span_ms, BERLIN)) <= 41
    if 10_000 <= span_ms <= 604_800_000:
        assert 4 <= len(shown(NIGHT_MS, span_ms, BERLIN)) <= 11


def test_clocks_going_back_do_not_shift_the_labels() -> None:
    autumn = 1_792_879_200_000  # 2026-10-24 22:00 UTC: the night in which Berlin's clocks go back
    assert shown(autumn, 6 * 3_600_000, BERLIN) == ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00", "05:00"]


def test_what_is_too_narrow_is_drawn_together_and_shows_the_worst() -> None:
    turns = [turn(n * 100, n * 100 + 90, TurnEnd.failed if n == 70 else TurnEnd.good) for n in range(5_000)]
    bars = _work_bars(turns, [0] * 5_000, 1, 26.0, _Scale(0, 500_000))
    assert len(bars) < 1_200
    assert sum(bar.count for bar in bars) == 5_000
    assert [bar.look for bar in bars if "1 failed" in bar.title] == ["failed"]


def test_many_slots_share_the_last_row() -> None:
    turns = [turn(n, 10_000 + n) for n in range(200)]
    slots = assign_rows(turns)
    assert max(slots) == 199
    bars = _work_bars(turns, slots, ROWS_MAX, 9.0, _Scale(0, 20_000))
    assert max(bar.y + bar.height for bar in bars) <= BARS_HEIGHT_MAX + 8
    assert sum(bar.count for bar in bars) == 200


def test_the_shortest_turn_can_be_seen() -> None:
    (bar,) = _work_bars([turn(0, 1)], [0], 1, 26.0, _Scale(0, 43_200_000))
    assert bar.width >= BAR_MIN
