"""How an item is shown: where it is, what was claimed of it, and what of that ganger saw itself."""

from __future__ import annotations

import json

from ganger.cli.output import clock
from ganger.cli.status import SHOWN_OF_RUN
from ganger.journal.queries import ItemRow, Reader, RunRow, UndoRow


def shown_status(item: ItemRow, reader: Reader, now_ms: int) -> str:
    """Where an item is, as a person wants to read it; a cool-down and what its live run waits for are told."""
    if item.run:
        run = reader.run(item.run)
        return run.status if run is not None and run.status in SHOWN_OF_RUN else item.status
    return "cooling" if item.status == "ready" and item.cool_until_ms > now_ms else item.status


def claimed(reader: Reader, runs: list[RunRow]) -> str:
    """What the last worker that said anything final said of its item: `done`, `fail`, or `-`."""
    for run in reversed(runs):
        for turn in reversed(reader.turns(run.id)):
            if turn.report and (said := json.loads(turn.report)).get("source", "worker") == "worker":
                return str(said["kind"])
    return "-"


def undo_text(row: UndoRow) -> str:
    """What became of a person's wish to have an item undone, or back."""
    what = f"{row.item} {'back' if row.back else 'undone'}"
    why = f": {row.why}" if row.why else ""
    if row.state == "landed":
        return f"{what} by {row.by} as {row.landed[:12]} at {clock(row.ended_ms)}{why}"
    if row.state == "stuck":
        return f"{row.by} wants {what}, which cannot land: {row.reason}"
    return f"{row.by} {'wanted' if row.state == 'dropped' else 'wants'} {what}{why}"


def verified(item: ItemRow, reader: Reader, runs: list[RunRow]) -> str:
    """What ganger saw of it itself: `landed`, `accepted`, `no` with what is wrong, or `-` where it has not looked."""
    if item.landed:
        return "landed"
    if item.status == "undone":
        return "no: undone"
    for run in reversed(runs):
        for turn in reversed(reader.turns(run.id)):
            if turn.verdict:
                verdict = json.loads(turn.verdict)
                reasons = "; ".join(verdict.get("reasons", ()))
                return {"accepted": "accepted", "rejected": f"no: {reasons}"}.get(verdict["kind"], "unknown")
    return "-"
