"""Nothing that a terminal or browser would act on gets through `printable`, whatever the bytes and however cut."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganger.report.safe import cells, printable, shortened

HOSTILE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
VISIBLE_FORMATS = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Number and end-of-verse signs that are drawn, although Unicode files them under formats."""


def is_safe(char: str) -> bool:
    return unicodedata.category(char) not in HOSTILE_CATEGORIES or char in VISIBLE_FORMATS


def sequences() -> list[str]:
    """Every ECMA-48 control function by its form, 7-bit and 8-bit, ended, unended, and cut off at each byte."""
    finals = [chr(code) for code in range(0x40, 0x7F)]
    found = [chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))]
    found += [f"\x1b{chr(code)}" for code in range(0x20, 0x7F)]
    for opener in ("\x1b[", "\x9b"):
        found += [
            f"{opener}{middle}{final}" for middle in ("", "1;31", "?1049", ">0", "38:2::1:2:3", "!") for final in finals
        ]
    for opener in ("\x1b]", "\x9d", "\x1bP", "\x90", "\x1b_", "\x9f", "\x1b^", "\x9e", "\x1bX", "\x98"):
        for body in (
            "0;title",
            "52;c;cm0gLXJmIH4=",
            "8;;https://evil.test",
            "1337;File=:AAAA",
            "$q\x22p",
            "Gf=100;AAAA",
        ):
            found += [f"{opener}{body}{end}" for end in ("", "\x07", "\x1b\\", "\x9c", "\x18", "\x1a")]
    return found + [one[:cut] for one in found for cut in range(1, min(len(one), 6))]


def test_every_sequence_is_written_out() -> None:
    for one in sequences():
        shown = printable(f"a{one}b")
        assert all(is_safe(char) for char in shown), repr(one)
        assert printable(shown) == shown
        assert shown.startswith("a") and shown.endswith("b")


def test_every_character_of_unicode() -> None:
    for code in range(0x110000):
        char = chr(code)
        shown = printable(char)
        if is_safe(char):
            assert shown == char or unicodedata.category(char) in {"Cn", "Mn", "Lo", "So"}, hex(code)
        else:
            assert shown.isascii() and shown.isprintable() and shown.startswith("\\"), hex(code)


def test_random_strings() -> None:
    rng = random.Random(23)
    spice = [
        *map(chr, range(0xA1)),
        *"\u202e\u2066\u200b\u200d\ufeff\ud800\udfff\U000e0041\U000e0101éß漢🦀",
        "\x1b[",
        "\x9d8;;",
    ]
    for _ in range(100_000):
        text = "".join(rng.choices(spice, k=rng.randrange(24)))
        shown = printable(text)
        assert not HOSTILE_CATEGORIES & set(map(unicodedata.category, shown))
        assert printable(shown) == shown
        lines = printable(text, keep_newlines=True)
        assert lines.replace("\n", "\\n") == shown


@given(st.text(), st.integers(0, 40), st.booleans())
def test_text_may_come_in_pieces(text: str, cut: int, keep_newlines: bool) -> None:
    whole = printable(text, keep_newlines)
    assert printable(text[:cut], keep_newlines) + printable(text[cut:], keep_newlines) == whole
    assert len(whole) >= len(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé, 漢字, 🦀", "plain text, ünïcödé, 漢字, 🦀"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("lone \ud800", r"lone \ud800"),
        ("soft\xadhyphen", r"soft\xadhyphen"),
        (r"already \x1b", r"already \x1b"),
        ("", ""),
    ],
)
def test_how_it_looks(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_shortened_text_says_so() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
    assert shortened("\x1b" * 9, 6) == r"\x1b\…"


def test_columns() -> None:
    assert [cells(text) for text in ("", "abc", "漢字", "e\u0301", "🦀!")] == [0, 3, 4, 1, 3]


def test_plain_text_is_fast() -> None:
    text = "The quick brown fox jumps over the lazy dog, again and again. " * 200_000
    began = time.process_time()
    assert printable(text) is text
    assert len(text) / 1e6 / (time.process_time() - began) > 50
