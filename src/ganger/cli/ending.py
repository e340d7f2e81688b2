"""How a night ended: the exit status of each reason to stop, what is said of it, and the report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from ganger.cli.items import shown_status
from ganger.cli.output import BLOCKED, FIRST, INTERRUPTED, SECOND, YES, plural, say, say_json, tell
from ganger.core.admission import changes_nothing
from ganger.core.ids import PlanId
from ganger.core.loop import StopReason
from ganger.core.model import ItemSpec
from ganger.journal.clock import wall_ms
from ganger.journal.queries import ItemRow, Reader
from ganger.service import place, wiring

EXIT_OF = {
    StopReason.complete: YES,
    StopReason.once: YES,
    StopReason.iteration_cap: YES,
    StopReason.drained: FIRST,
    StopReason.pick_cooldown: SECOND,
    StopReason.provider_limit: SECOND,
    StopReason.budget: SECOND,
    StopReason.blocked: BLOCKED,
    StopReason.pick_held: BLOCKED,
    StopReason.review_or_ci_unresolved: BLOCKED,
    StopReason.launch_failed: BLOCKED,
    StopReason.unclear_repeated: BLOCKED,
    StopReason.interrupted: INTERRUPTED,
}
"""0: what was asked for is done. 3: nothing more can be done. 4: later, by itself. 5: a person must do something."""
MEANS = {
    StopReason.complete: "every item has landed, as the target shows, or is finished",
    StopReason.once: "--once: the one item is done with",
    StopReason.iteration_cap: "--iterations: so many runs were given out",
    StopReason.drained: "nothing more can be offered, and something did not land",
    StopReason.pick_cooldown: "what is left waits for its time, for longer than --patience",
    StopReason.provider_limit: "what is left waits for its provider, for longer than --patience",
    StopReason.budget: "what is left costs more than may still be spent in this night",
    StopReason.blocked: "what is left waits for your answers",
    StopReason.pick_held: "a person, the plan or the driver holds what is left",
    StopReason.review_or_ci_unresolved: "what is left waits for you: a landing, or CI of what landed",
    StopReason.launch_failed: "the workers of what is left cannot be started",
    StopReason.unclear_repeated: "several items in a row came to nothing",
    StopReason.interrupted: "you ended it",
}
"""What each reason means, as the farewell and the table of exit codes say it."""


def farewell(parts: wiring.Parts, plan: PlanId, reason: StopReason, *, as_json: bool) -> None:
    """Say how the night of a plan ended, with the plan's own counts, and write the report.

    That a planner was asked is no work of the plan, and does not count.
    """
    reader = Reader(parts.state_dir / place.JOURNAL)
    try:
        now_ms = wall_ms()
        wanted = [item for item in reader.items(plan) if not _asks_the_planner(item)]
        counts = Counter(shown_status(item, reader, now_ms) for item in wanted)
        mine = [row for row in reader.questions() if not row.agent]
        questions = len([row for row in mine if not row.item or _is_of(reader, row.item, plan)])
        lost = _lost(parts.policy.target, reader)
        report = _report(parts, reader)
    finally:
        reader.close()
    if as_json:
        _say_json(plan, reason, counts, questions, report)
    else:
        _say_text(parts.policy.target, reason, counts, questions, lost, report)


def _asks_the_planner(item: ItemRow) -> bool:
    return changes_nothing(msgspec.json.decode(item.spec, type=ItemSpec))


def _is_of(reader: Reader, item: str, plan: PlanId) -> bool:
    row = reader.item(item)
    return row is not None and row.plan == plan


def _say_json(plan: PlanId, reason: StopReason, counts: Counter[str], questions: int, report: Path | None) -> None:
    value: dict[str, Any] = {"plan": plan, "reason": reason, "means": MEANS[reason], "exit": EXIT_OF[reason]}
    path = str(report) if report is not None else ""
    say_json("ganger.night", {**value, "items": dict(counts), "questions": questions, "report": path})


def _lost(target: str, reader: Reader) -> list[str]:
    """What the target was seen not to contain any more at the end of the night, a line each."""
    reading = reader.reading()
    missing = msgspec.json.decode(reading.missing, type=list[str]) if reading is not None else []
    gone = [(commit, reader.landed_with(commit)) for commit in missing]
    return [
        f"{target} does not contain {commit[:12]}, which landed {', '.join(items)}" for commit, items in gone if items
    ]


def _say_text(
    target: str, reason: StopReason, counts: Counter[str], questions: int, lost: list[str], report: Path | None
) -> None:
    landed = counts["landed"] + counts["awaiting_ci"]
    say(f"{reason}: {landed} of {plural(counts.total(), 'item')} landed on {target}")
    if reason is not StopReason.complete:
        say(MEANS[reason])
    if counts["awaiting_ci"]:
        say(f"{plural(counts['awaiting_ci'], 'item')} not closed by CI yet: ganger status says why")
    for line in lost:
        say(line)
    if counts["undone"]:
        say(f"{plural(counts['undone'], 'item')} undone by you: ganger retry ITEM has it done again")
    if counts["given_up"]:
        say(f"{plural(counts['given_up'], 'item')} given up: the report says why")
    if questions:
        say(f"{plural(questions, 'question')} for you: ganger inbox")
    if report is not None:
        say(f"report: {report}")


def _report(parts: wiring.Parts, reader: Reader) -> Path | None:
    """Write the report; what hinders that takes nothing away from how the night ended."""
    from ganger.report.html import write

    try:
        return write(reader, parts.state_dir, parts.state_dir / "reports" / "report.html")
    except OSError as error:
        tell(f"the report could not be written: {error.strerror}; ganger report tries again")
        return None
