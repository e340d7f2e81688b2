"""What workers said of an item that was not so: each time somebody said `done` and the evidence refused it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from ganger.core.model import Report, ReportKind, Verdict, VerdictKind
from ganger.journal.queries import Reader, TurnRow

_report = msgspec.json.Decoder(Report).decode
_verdict = msgspec.json.Decoder(Verdict).decode


class FalseClaim(Struct, frozen=True):
    """A worker's word that its item is done, and why it was not."""

    run: str
    turn: int
    why: str
    """The reasons of the verdict, which ganger found itself."""


def claims(turns: Iterable[TurnRow]) -> int:
    """How often a worker said that it is done; an exit from which that is concluded says nothing."""
    return sum(_says_done(turn) for turn in turns)


def turns_of(reader: Reader, item: str) -> list[TurnRow]:
    """The turns of all runs of an item, oldest first."""
    return [turn for run in reader.runs(item) for turn in reader.turns(run.id)]


def false_claims(turns: Iterable[TurnRow]) -> tuple[FalseClaim, ...]:
    """The claims that were refused, in the order of the turns."""
    return tuple(FalseClaim(turn.run, turn.turn, why) for turn in turns if _says_done(turn) and (why := _refused(turn)))


def claim_text(found: tuple[FalseClaim, ...]) -> str:
    """Say in a line how often it was said falsely, and why the last time; empty where it never was."""
    if not found:
        return ""
    times = "once" if len(found) == 1 else f"{len(found)} times"
    return f"said to be done and was not, {times}; {found[-1].run} turn {found[-1].turn}: {found[-1].why}"


def _says_done(turn: TurnRow) -> bool:
    said = _report(turn.report) if turn.report else None
    return said is not None and said.kind is ReportKind.done and said.source == "worker"


def _refused(turn: TurnRow) -> str:
    verdict = _verdict(turn.verdict) if turn.verdict else None
    return "; ".join(verdict.reasons) if verdict is not None and verdict.kind is VerdictKind.rejected else ""
