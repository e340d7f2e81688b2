"""Conflict markers that a change leaves behind: a file that git has marked, and nobody has put in order."""

from __future__ import annotations

from collections.abc import Mapping

from ganger.verifier.containment import named

OPENS, PARTS, ENDS = b"<<<<<<<", b"=======", b">>>>>>>"


def leftover_faults(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[str, ...]:
    """Name the files in which a change leaves more conflicts marked than there were; texts about markers may stay."""
    found = [path for path, text in after.items() if conflicts_marked(text) > conflicts_marked(before.get(path, b""))]
    return (f"leaves conflict markers: {named(sorted(found))}",) if found else ()


def conflicts_marked(text: bytes) -> int:
    """How many conflicts are marked: an opening, a dividing and a closing line, unindented, in this order."""
    wanted, count = (OPENS, PARTS, ENDS), 0
    at = 0
    for line in text.splitlines():
        if line.startswith(OPENS) and (len(line) == len(OPENS) or line[len(OPENS) : len(OPENS) + 1] == b" "):
            at = 1
        elif at and line.startswith(wanted[at]) and (at == 2 or line == PARTS):
            at += 1
        if at == len(wanted):
            count, at = count + 1, 0
    return count
