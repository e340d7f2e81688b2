"""Bytes of agents, repositories and file names as text that can be shown: the one place where they become it.

Every character that a terminal or a browser would act on instead of drawing is written out, one by one: `\\x1b` for an
escape, `\\u202e` for a bidirectional override. A sequence (CSI, OSC, DCS, APC, ended or not) is harmless without the
control character that opens it, and its text stays readable. So no state is kept: text may come in any pieces, and
`printable(a + b) == printable(a) + printable(b)`. Escaping for HTML is a second step, done by the template engine.
"""

from __future__ import annotations

import re
import unicodedata

_ASCII = r"\x00-\x1f\x7f"
_WIDE = (
    r"\x80-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # C1, soft hyphen, joiners, fillers
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero-width, bidirectional, separators of lines and paragraphs
    r"\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"  # surrogates, selectors
    r"\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # hieroglyph, shorthand and musical formats
    r"\U000e0000-\U000e0fff\U0010fffe\U0010ffff"  # tags, and the selectors that can hide bytes
)
_UNSAFE = re.compile(f"[{_ASCII}{_WIDE}]")
_UNSAFE_LINES = re.compile(rf"[\x00-\x09\x0b-\x1f\x7f{_WIDE}]")
_UNSAFE_ASCII = re.compile(f"[{_ASCII}]")
_UNSAFE_ASCII_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def printable(text: str, keep_newlines: bool = False) -> str:
    """Write out what would not print as itself; nothing is dropped, and a second pass changes nothing.

    `keep_newlines` lets line feeds through, and nothing else: for blocks of several lines.
    """
    if text.isascii():
        unsafe = _UNSAFE_ASCII_LINES if keep_newlines else _UNSAFE_ASCII
    else:
        unsafe = _UNSAFE_LINES if keep_newlines else _UNSAFE
    return unsafe.sub(_written_out, text) if unsafe.search(text) else text


def shortened(text: str, chars_max: int) -> str:
    """`text` made printable and cut to `chars_max` characters, the last of which is then `…`."""
    shown = printable(text[: chars_max + 1])
    return shown if len(shown) <= chars_max else shown[: chars_max - 1] + "…"


def cells(text: str) -> int:
    """How many columns of a terminal printable text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _written_out(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
