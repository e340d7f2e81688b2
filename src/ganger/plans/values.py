"""From the untyped values of a file to typed ones: durations, commands, choices, names.

Each function takes the raw value and returns what it means, or raises `Unfit`, whose message continues the sentence
"`timeout` …" and whose hint says what to write instead.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from ganger.core.ids import name_fault
from ganger.plans.wording import listed, nearest, shown

T = TypeVar("T")

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DURATION_MAX_MS = 365 * DAY_MS
USD_MICROS = 1_000_000
USD_MAX_MICROS = 1_000_000 * USD_MICROS
TITLE_CHARS_MAX = 200
COMMAND_CHARS_MAX = 32_768

_UNITS = (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1))
_DURATION = re.compile("".join(f"(?:([0-9]{{1,15}}){unit})?" for unit, _ in _UNITS))
_SHELL_WORDS = frozenset({"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>"})
_BIDI = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


class Unfit(ValueError):
    """A value does not fit its field."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def text(value: object) -> str:
    """Take any text."""
    if isinstance(value, str):
        return value
    raise Unfit(f"must be text in quotes, not {_kind(value)}")


def passable(value: object) -> str:
    """Take a text of any length that can be handed to a program: anything without NUL; nothing is stripped."""
    content = text(value)
    if "\0" in content:
        raise Unfit("holds a NUL character, which cannot be handed to a program")
    return content


def title(value: object) -> str:
    """Take a title: one line of 1 to 200 characters, which shows as what it is."""
    content = text(value)
    if len(content) > TITLE_CHARS_MAX:
        raise Unfit(f"has {len(content)} characters, the most is {TITLE_CHARS_MAX}", "the rest belongs in `brief`")
    for char in content:
        if unicodedata.category(char) in ("Cc", "Zl", "Zp") or char in _BIDI:
            raise Unfit(f"holds the control character U+{ord(char):04X}", "a title is one line of plain text")
    if not content.strip():
        raise Unfit("is empty")
    return content


def name(value: object) -> str:
    """Take the id of a plan, item, check or agent."""
    content = text(value)
    if fault := name_fault(content):
        raise Unfit(f"{shown(content)} {fault}")
    return content


def texts(value: object) -> tuple[str, ...]:
    """Take a list of texts."""
    if not isinstance(value, list):
        raise Unfit(f"must be a list, not {_kind(value)}", 'write it as ["…"]')
    for index, one in enumerate(value, 1):
        if not isinstance(one, str):
            raise Unfit(f"must hold only texts; number {index} is {_kind(one)}")
    return tuple(value)


def integer(low: int, high: int) -> Callable[[object], int]:
    """Take a whole number within `[low, high]`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unfit(f"must be a whole number, not {_kind(value)}")
        if not low <= value <= high:
            raise Unfit(f"is {shown(value)}, must be {low:,} to {high:,}")
        return value

    return parse


def flag(value: object) -> bool:
    """Take true or false."""
    if isinstance(value, bool):
        return value
    raise Unfit(f"must be true or false, not {_kind(value)}")


def usd(low_micros: int, high_micros: int = USD_MAX_MICROS) -> Callable[[object], int]:
    """Take an amount in US dollars within bounds, exactly as it is written, as millionths of a dollar."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unfit(f"must be an amount in US dollars, not {_kind(value)}", "as in 20 or 2.5")
        if not low_micros <= value * USD_MICROS <= high_micros:
            raise Unfit(f"is {shown(value)}, must be {usd_text(low_micros)} to {usd_text(high_micros)} US dollars")
        # The shortest text that gives this float is what was written: 0.1 and not 0.1000000000000000055….
        micros = Decimal(repr(value)) * USD_MICROS
        if micros != int(micros):
            raise Unfit(f"is {shown(value)}, finer than a millionth of a dollar")
        return int(micros)

    return parse


def usd_text(micros: int) -> str:
    """Write millionths of a dollar as dollars: `2.5`."""
    whole, rest = divmod(micros, USD_MICROS)
    return f"{whole:,}" + (f".{rest:06}".rstrip("0") if rest else "")


def choice(*options: str) -> Callable[[object], str]:
    """Take one of the given words."""

    def parse(value: object) -> str:
        word = text(value)
        if word not in options:
            raise Unfit(f"cannot be {shown(word)}", nearest(word, options) or f"one of {listed(options)}")
        return word

    return parse


def duration(low_ms: int, high_ms: int = DURATION_MAX_MS) -> Callable[[object], int]:
    """Take a duration with its unit, within `[low_ms, high_ms]`, as milliseconds."""

    def parse(value: object) -> int:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise Unfit(f"is {shown(value)} without a unit", 'as in "90s", "10m", "1h30m"; units are ms, s, m, h, d')
        took_ms = duration_ms(text(value))
        if not low_ms <= took_ms <= high_ms:
            raise Unfit(f"is {shown(value)}, must be {duration_text(low_ms)} to {duration_text(high_ms)}")
        return took_ms

    return parse


def duration_ms(written: str) -> int:
    """Read `90s`, `10m` or `1h30m` as milliseconds; Unfit when a unit is missing or it is no duration."""
    match = _DURATION.fullmatch(written) if written else None
    if match is None:
        plain = written.strip()
        hint = f'write "{plain}s" for seconds' if plain.isascii() and plain.isdigit() else 'as in "90s", "10m", "1h30m"'
        raise Unfit(f"is no duration: {shown(written)}", f"{hint}; units are ms, s, m, h, d")
    return sum(int(digits) * unit for digits, (_, unit) in zip(match.groups(), _UNITS, strict=True) if digits)


def duration_text(took_ms: int) -> str:
    """Write milliseconds as `duration_ms` reads them: `1h30m`."""
    parts = []
    for unit, size in _UNITS:
        count, took_ms = divmod(took_ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def command(value: object) -> tuple[str, ...]:
    """Take a command, as one text or as a list of texts, as its argument list; there is no shell."""
    argv = texts(value) if isinstance(value, list) else _split(text(value))
    if not argv or not argv[0]:
        raise Unfit("is empty")
    for word in argv:
        if "\0" in word:
            raise Unfit("holds a NUL character, which cannot be handed to a program")
    return argv


def _split(line: str) -> tuple[str, ...]:
    if len(line) > COMMAND_CHARS_MAX:
        raise Unfit(f"has {len(line)} characters, the most is {COMMAND_CHARS_MAX:,}", "put it into a script")
    try:
        argv = tuple(shlex.split(line))
        # Without POSIX rules quotes stay on the words, which tells a quoted "|" from one meant for a shell.
        raw = shlex.split(line, posix=False)
    except ValueError as error:
        raise Unfit(f"cannot be split into words: {error}") from None
    for word in raw:
        if word in _SHELL_WORDS or (word.endswith(";") and not word.endswith("\\;")):
            raise Unfit(f"holds {shown(word)}, but no shell runs it", "put it into a script, or write sh -c '…'")
    return argv


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = ((str, "text"), (int, "a number"), (float, "a number"), (list, "a list"), (dict, "a table"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "a date or time")
