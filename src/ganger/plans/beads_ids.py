"""Ids of beads as ids of items, and back.

An id that can name an item names it as it is: `bd-a3f8`. In others each dot is written as two hyphens (`bd-a3f8.1` is
`bd-a3f8--1`) and any other character that an item's id cannot hold as `_x` and its bytes in hexadecimal. What would
then be read as one of these is written in hexadecimal too, so that no two beads share an item.
"""

from __future__ import annotations

import re

from ganger.core.ids import is_question_id

_ESCAPED = re.compile(r"--|((?:_x[0-9a-f]{2})+)")
_TO_ESCAPE = re.compile(r"\.|-(?=[-.])|_(?=x)|[^A-Za-z0-9_.-]")
_BYTE = re.compile(r"_x([0-9a-f]{2})")


def item_id(bead: str) -> str:
    """Give the id of the item that a bead becomes; it may still be too long for one, or begin with what none does."""
    if is_question_id(bead):
        return f"q_x{ord(bead[1]):02x}{bead[2:]}"
    return _TO_ESCAPE.sub(lambda match: _escape(match[0]), bead)


def bead_id(item: str) -> str:
    """Give the id of the bead that became an item; ValueError if none did."""
    return _ESCAPED.sub(lambda match: _unescape(match[1]) if match[1] else ".", item)


def _escape(char: str) -> str:
    return "--" if char == "." else "".join(f"_x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def _unescape(text: str) -> str:
    return bytes(int(digits, 16) for digits in _BYTE.findall(text)).decode("utf-8", "surrogatepass")
