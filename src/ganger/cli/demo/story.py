"""What each item of the demo's plan is there to show, and what became of it, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from ganger.cli.output import say
from ganger.journal.queries import ItemRow, Reader

MARK = "UNTRUE"
"""Stands in everything that a dishonest worker writes."""


class Part(StrEnum):
    """What an item's worker is."""

    honest = "honest"
    """Its work must be on the target at the end."""
    untrue = "untrue"
    """Nothing of its work may be there."""
    waits = "waits"
    """It must be waiting for a person."""


PARTS: dict[str, Part] = {
    **dict.fromkeys(("modern-syntax", "simplify", "rename-helper", "new-caller", "licence"), Part.honest),
    **dict.fromkeys(("sort-imports", "docstrings", "type-hints", "examples", "changelog"), Part.honest),
    **dict.fromkeys(("guide", "shorter-cli", "keywords", "benchmark"), Part.untrue),
    "release": Part.waits,
}
ANSWERED, WAITING = "licence", "release"
SHOWS = {
    "modern-syntax": "a plain tool",
    "simplify": "wanted the same file, and waited for it",
    "rename-helper": "renamed what new-caller had begun to use",
    "new-caller": "fine by itself, broken by rename-helper",
    "guide": "hung",
    "licence": "asked, and did as it was answered",
    "sort-imports": "a plain tool",
    "docstrings": "a plain tool",
    "type-hints": "waited for docstrings to land",
    "examples": "crashed at its first attempt",
    "shorter-cli": "broke the code, deleted the test that tells",
    "keywords": "changed a file outside its scope",
    "benchmark": "made an empty commit and said done",
    "changelog": "came after what it tells of",
    "release": "asks what only you can say",
}


def tell_it(reader: Reader) -> None:
    """Print the story, in the order of the plan: what an item was there to show, and below it what ganger noted."""
    for item in reader.items():
        status, notes = _status(reader, item), _notes(reader, item)
        say(f"  {status:<9} {item.id:<14} {SHOWS.get(item.id, '')}")
        for note in notes:
            say(f"{'':27}{note}")


def _status(reader: Reader, item: ItemRow) -> str:
    asks = item.run and any(row.state == "open" for row in reader.questions(item.run))
    return "asks you" if asks else item.status.replace("_", " ")


def _notes(reader: Reader, item: ItemRow) -> Iterator[str]:
    """What happened on the way, from the tables: waits, questions, and how each attempt ended that did not land."""
    for wait in reader.waits(item.id):
        yield wait.reason
    for run in reader.runs(item.id):
        for question in reader.questions(run.id):
            yield f"{question.id}: {question.text}"
            if question.choice:
                yield f"{question.id} answered: {question.choice}"
        if run.ended_ms and not run.landed:
            yield f"{run.id} {run.ending}: {run.reason}"
