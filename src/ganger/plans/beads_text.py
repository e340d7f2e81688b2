"""What people and agents write into the texts of a bead that concerns its scope.

    Scope: src/auth/**, tests/auth/**
    **Scope:** `src/auth/**` and the tests, `tests/auth/**`
    Lane: auth

    ## Scope
    - `src/auth/**`
    - tests/auth/**

Where something stands in back-quotes, only that counts. Fenced code is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ganger.plans.markdown_file import split_list

_PAIR = re.compile(
    r"[ \t]*(?:[-*+][ \t]+)?(?:\*\*|__)?(?P<word>scope|lane)(?:\*\*|__)?[ \t]*:(?P<rest>.*)", re.IGNORECASE
)
_HEADING = re.compile(r"#{1,6}[ \t]+(?P<word>\w+).*")
_ENTRY = re.compile(r"[ \t]*[-*+][ \t]+(?P<text>.*)")
_FENCE = re.compile(r"[ \t]{0,3}(?:```|~~~)")
_QUOTED = re.compile(r"`([^`]+)`")


def said(text: str, word: str) -> list[str]:
    """List what is said to be the `scope` or `lane`, in the order of the text; empty when nothing is."""
    found: list[str] = []
    lines = list(_outside_code(text))
    for at, line in enumerate(lines):
        pair, heading = _PAIR.fullmatch(line), _HEADING.fullmatch(line)
        if pair and pair["word"].lower() == word:
            rest = pair["rest"].strip().removeprefix("**").removeprefix("__").strip()
            found += _parts(rest) if rest else _entries(lines, at + 1)
        elif heading and heading["word"].lower() == word:
            found += _entries(lines, at + 1)
    return list(dict.fromkeys(found))


def _outside_code(text: str) -> Iterator[str]:
    is_code = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code:
            yield line.rstrip()


def _entries(lines: list[str], at: int) -> list[str]:
    """Read the list, or else the line, that begins at `at` or behind blank lines."""
    while at < len(lines) and not lines[at]:
        at += 1
    found: list[str] = []
    while at < len(lines) and (entry := _ENTRY.fullmatch(lines[at])):
        found += _parts(entry["text"])
        at += 1
    if not found and at < len(lines) and not lines[at].startswith("#"):
        found = _parts(lines[at].strip())
    return found


def _parts(text: str) -> list[str]:
    return _QUOTED.findall(text) or [part for part in split_list(text) if part]
