"""How values from files, which may be hostile, are put into messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN_CHARS_MAX = 40
_NEAREST_AMONG_MAX = 500
"""Names compared at most for one suggestion, which keeps it below about 10 ms."""


def harmless(text: str) -> str:
    """Write out every character that does not print as itself: control, bidi and zero-width ones as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def shown(value: object) -> str:
    """Render a value in back-quotes, harmless and cut after 40 characters."""
    text = value if isinstance(value, str) else _plain(value)
    part = harmless(text[:SHOWN_CHARS_MAX])
    if len(part) > SHOWN_CHARS_MAX or len(text) > SHOWN_CHARS_MAX:
        part = part[: SHOWN_CHARS_MAX - 1] + "…"
    return f"`{part}`"


def listed(names: Iterable[str], most: int = 8) -> str:
    """List names in back-quotes, at most `most` of them: `a`, `b` and 3 more."""
    every = list(names)
    text = ", ".join(shown(name) for name in every[:most])
    return text if len(every) <= most else f"{text} and {len(every) - most} more"


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of `known` was meant; `""` when none is near."""
    if len(word) > 2 * SHOWN_CHARS_MAX:
        return ""
    near = [name for name in known if abs(len(name) - len(word)) <= 4][:_NEAREST_AMONG_MAX]
    match = difflib.get_close_matches(word, near, n=1, cutoff=0.6)
    return f"did you mean {shown(match[0])}?" if match else ""


def _plain(value: object) -> str:
    try:
        return repr(value)
    except ValueError:
        # Python refuses to write out integers of thousands of digits, which TOML can hold in hexadecimal.
        return "a very long number"


def _escape(char: str) -> str:
    return ascii(char)[1:-1]
