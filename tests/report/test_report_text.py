"""The report in a terminal: the same story as the page, inside the width, without a control character."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from report_builder import Night, full_night, hard_day
from test_report_html import CONTROL, HOSTILE

from ganger.report.data import collect
from ganger.report.safe import cells
from ganger.report.shape import ReportData
from ganger.report.text import render_text, wrapped


def data_of(night: Night) -> ReportData:
    reader = night.reader()
    try:
        return collect(reader, night.state_dir)
    finally:
        reader.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportData]:
    night = full_night(tmp_path_factory.mktemp("text"))
    yield data_of(night)
    night.close()


def test_it_tells_what_the_page_tells(data: ReportData) -> None:
    text = " ".join(render_text(data, 100, UTC).split())
    assert text.startswith(data.headline)
    for one in data.anomalies:
        assert " ".join(one.text.split()) in text
    for command in ("git stash", "ganger answer q2 'try again'", "ganger answer q1 argon2id", "ganger retry cache"):
        assert command in text
    for group in (data.landed, data.given_up, data.still_open):
        assert all(f"{one.item.id}: {one.item.title}" in text for one in group)
    for heading in ("LANDED (3)", "READY FOR YOU (1)", "BLOCKED WITH ONE QUESTION (1)", "GIVEN UP, AND WHY (1)"):
        assert heading in text


def test_a_piece_of_it_word_by_word(data: ReportData) -> None:
    text = render_text(data, 80, UTC)
    piece = text[text.index("BLOCKED WITH") : text.index("GIVEN UP")]
    assert piece == (
        "BLOCKED WITH ONE QUESTION (1)\n"
        "  q1: billing: Invoices in PDF Log in with a password\n"
        "    “Which hash should passwords have?” [#32]\n"
        "    it recommends: argon2id\n"
        "    risk it names: hashes cannot be changed later without a migration\n"
        "    ganger answer q1 argon2id\n"
        "    ganger answer q1 bcrypt\n"
        "\n"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_it_keeps_to_the_width(data: ReportData, width: int) -> None:
    for line in render_text(data, width, UTC).splitlines():
        command = line.strip().startswith(("git ", "ganger "))
        assert cells(line) <= width or command, line


def test_it_is_plain_unless_asked(data: ReportData) -> None:
    plain = render_text(data, 80, UTC)
    assert not CONTROL.search(plain)
    coloured = render_text(data, 80, UTC, colour=True)
    assert coloured.replace("\x1b[1m", "").replace("\x1b[0m", "") == plain
    assert coloured != plain


def test_it_is_the_same_twice(data: ReportData) -> None:
    assert render_text(data, 80, UTC) == render_text(data, 80, UTC)


def test_hostile_text_stays_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    night = full_night(tmp_path_factory.mktemp("hostile"), HOSTILE)
    hard_day(night, HOSTILE)
    text = render_text(data_of(night), 80, UTC)
    night.close()
    assert not CONTROL.search(text)
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"\x1b]52" in text


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("incomprehensibilities", 8, ["incompre", "hensibil", "ities"]),
        ("a incomprehensible b", 9, ["a", "incompreh", "ensible b"]),
        ("漢字漢字 漢字", 6, ["漢字漢", "字", "漢字"]),
    ],
)
def test_wrapping(text: str, width: int, lines: list[str]) -> None:
    assert list(wrapped(text, width)) == lines


def test_a_hard_day_word_by_word(tmp_path: Path) -> None:
    night = full_night(tmp_path)
    hard_day(night)
    text = render_text(data_of(night), 80, UTC)
    night.close()
    assert "\nThe workers spent 1.56 USD, 57,000 tokens and 36 min.\n" in text
    assert text[text.index("WHAT WAS SPENT") : text.index("WHY READY")] == (
        "WHAT WAS SPENT (2)\n"
        "  hang: 1.25 USD, 48,000 tokens and 15 min in 1 run [#159 #170]\n"
        "  spin: 0.31 USD, 9,000 tokens and 21 min in 1 run [#161 #173]\n"
        "\n"
    )
    assert text[text.index("FINISHED, WITH") : text.index("READY FOR YOU")] == (
        "FINISHED, WITH NOTHING TO LAND (1)\n"
        "  ideas: Ask for more\n"
        "    03:26 by ideas.1: Nothing is left to do. [#191 #193]\n"
        "\n"
    )
    piece = text[text.index("WHAT HOLDS THE FLEET BACK") : text.index("  kind:patcher")]
    assert piece == (
        "WHAT HOLDS THE FLEET BACK (6)\n"
        "  plan parked: Stopped (the library is missing): none of its items is begun.\n"
        "    [#158]\n"
        "    ganger resume parked\n"
        "  agent:default: Not tried for another 26 min 57 s: 3 items in a row came to\n"
        "    nothing, the last one: the library is missing. [#186]\n"
        "    ganger breaker close agent:default\n"
    )
    piece = text[text.index("Workers that were busy") : text.index("Checks that failed and")]
    assert piece == (
        "Workers that were busy and got nowhere (1)\n"
        "  spin.1 03:19  The same call 12 times in 300 s. [#171]\n"
        "Turns that were done over (2)\n"
        "  hang.1 03:14  Turn 1 was done over (hang): the worker showed no activity for\n"
        "    600 s. [#167]\n"
        "  limit.1 03:24  Turn 1 was done over (limited): the library is missing.\n"
        "    [#189]\n"
    )
