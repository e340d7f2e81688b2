"""Single values: durations, commands, titles, and how hostile ones are shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganger.plans import values
from ganger.plans.values import Unfit
from ganger.plans.wording import harmless, listed, nearest, shown


@pytest.mark.parametrize(
    ("written", "took_ms"),
    [
        ("250ms", 250),
        ("90s", 90_000),
        ("10m", 600_000),
        ("9h", 32_400_000),
        ("2d", 172_800_000),
        ("1h30m", 5_400_000),
        ("1m500ms", 60_500),
        ("0s", 0),
    ],
)
def test_durations_have_a_unit(written: str, took_ms: int) -> None:
    assert values.duration_ms(written) == took_ms
    assert values.duration_ms(values.duration_text(took_ms)) == took_ms


@pytest.mark.parametrize(
    ("raw", "micros"),
    [(20, 20_000_000), (0.1, 100_000), (1.1, 1_100_000), (4.35, 4_350_000), (0.000001, 1), (1e6, 10**12)],
)
def test_money_is_what_is_written(raw: float, micros: int) -> None:
    assert values.usd(0)(raw) == micros
    assert float(values.usd_text(micros).replace(",", "")) == raw


@settings(deadline=None, database=None, derandomize=True)
@given(st.integers(min_value=0, max_value=values.USD_MAX_MICROS))
def test_money_is_written_as_it_is_read(micros: int) -> None:
    assert values.usd(0)(float(values.usd_text(micros).replace(",", ""))) == micros


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (True, "must be an amount in US dollars, not true or false"),
        ("2", "must be an amount in US dollars, not text"),
        (-1, "is `-1`, must be 0.01 to 1,000,000 US dollars"),
        (0.001, "is `0.001`, must be 0.01 to 1,000,000 US dollars"),
        (float("inf"), "is `inf`, must be 0.01 to 1,000,000 US dollars"),
        (float("nan"), "is `nan`, must be 0.01 to 1,000,000 US dollars"),
        (10**400, f"is `{'1' + '0' * 38}…`, must be 0.01 to 1,000,000 US dollars"),
        (0.0100001, "is `0.0100001`, finer than a millionth of a dollar"),
    ],
)
def test_what_is_no_amount_says_why(raw: object, message: str) -> None:
    with pytest.raises(Unfit) as caught:
        values.usd(10_000)(raw)
    assert caught.value.message == message


@settings(deadline=None, database=None, derandomize=True)
@given(st.integers(min_value=0, max_value=values.DURATION_MAX_MS))
def test_durations_are_written_as_they_are_read(took_ms: int) -> None:
    assert values.duration_ms(values.duration_text(took_ms)) == took_ms


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        ("600", "is no duration: `600`", 'write "600s" for seconds; units are ms, s, m, h, d'),
        ("10 m", "is no duration: `10 m`", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        ("1.5h", "is no duration: `1.5h`", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        ("30m1h", "is no duration: `30m1h`", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        ("-5s", "is no duration: `-5s`", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        ("", "is no duration: ``", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        ("10M", "is no duration: `10M`", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        ("٣s", "is no duration: `٣s`", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        (600, "is `600` without a unit", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d'),
        (True, "must be text in quotes, not true or false", ""),
        ("999999d", "is `999999d`, must be 1s to 1h", ""),
        ("10ms", "is `10ms`, must be 1s to 1h", ""),
    ],
)
def test_what_is_no_duration_says_why(raw: object, message: str, hint: str) -> None:
    with pytest.raises(Unfit) as caught:
        values.duration(values.SECOND_MS, values.HOUR_MS)(raw)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        ("python -m pytest -q", ("python", "-m", "pytest", "-q")),
        ("grep 'a | b' \"c d\"", ("grep", "a | b", "c d")),
        ("grep '|' x", ("grep", "|", "x")),
        ("find . -exec ls {} \\;", ("find", ".", "-exec", "ls", "{}", ";")),
        (["./run it", "$HOME"], ("./run it", "$HOME")),
        ("echo $HOME", ("echo", "$HOME")),
    ],
)
def test_commands_are_argument_lists(raw: object, argv: tuple[str, ...]) -> None:
    assert values.command(raw) == argv


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("make && make test", "holds `&&`, but no shell runs it"),
        ("cd x; make", "holds `x;`, but no shell runs it"),
        ("make | tee log", "holds `|`, but no shell runs it"),
        ("make > log 2>&1", "holds `>`, but no shell runs it"),
        ("make 'x", "cannot be split into words: No closing quotation"),
        ("", "is empty"),
        ("   ", "is empty"),
        ([], "is empty"),
        (["", "x"], "is empty"),
        ("a\0b", "holds a NUL character, which cannot be handed to a program"),
        (3, "must be text in quotes, not a number"),
        (["x", 3], "must hold only texts; number 2 is a number"),
    ],
)
def test_what_is_no_command_says_why(raw: object, message: str) -> None:
    with pytest.raises(Unfit) as caught:
        values.command(raw)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("two\nlines", "holds the control character U+000A"),
        ("red \x1b[31m", "holds the control character U+001B"),
        ("bidi \u202e", "holds the control character U+202E"),
        ("line\u2028separator", "holds the control character U+2028"),
        ("  ", "is empty"),
        ("x" * 201, "has 201 characters, the most is 200"),
    ],
)
def test_a_title_is_one_line_of_plain_text(raw: str, message: str) -> None:
    with pytest.raises(Unfit) as caught:
        values.title(raw)
    assert caught.value.message == message


def test_a_title_may_be_in_any_language() -> None:
    for title in ("Größe prüfen", "👩‍💻 at work", "می‌خواهم", "a & b < c"):
        assert values.title(title) == title


@settings(deadline=None, database=None, derandomize=True)
@given(st.text())
def test_shown_values_are_short_and_harmless(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 42
    assert harmless(text).isprintable()


def test_shown_values_keep_what_is_harmless() -> None:
    assert shown("src/**") == "`src/**`"
    assert shown("$(rm -rf ~)\n") == "`$(rm -rf ~)\\n`"
    assert shown("x" * 4000) == "`" + "x" * 39 + "…`"
    assert shown("\x1b]0;title\x07") == "`\\x1b]0;title\\x07`"
    assert shown(0xF << 40_000) == "`a very long number`"


def test_names_near_and_listed() -> None:
    assert nearest("untit", ["unit", "lint"]) == "did you mean `unit`?"
    assert nearest("zzz", ["unit", "lint"]) == ""
    assert nearest("x" * 1_000_000, ["x" * 999_999]) == ""
    assert listed("abc", most=2) == "`a`, `b` and 1 more"
