"""Whether an item says enough to be started and does not want too much at once.

An item needs clarification when it does not say what is to be done, or when nothing says when it is done; it is to be
cut up when its scope holds more than half of the tracked files. What becomes of it then is `verify.contract`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from ganger.core.patterns import PatternError, parse
from ganger.plans.draft import Table
from ganger.plans.items import Made, item_label
from ganger.plans.port import Contract, Faults, Known, PlanItem
from ganger.plans.tracked import Tracked
from ganger.plans.wording import listed

BRIEF_WORDS_MIN = 5
"""A shorter brief leaves to the worker what is to be done."""
FILES_MIN = 20
"""With fewer tracked files no scope is too large."""
CLARIFY, CUT = ("needs clarification", "need clarification"), ("is to be cut up", "are to be cut up")
_SAY = "say in its `brief` what is to be done and how one sees that it is"
_DECIDE = "name a check, or say so in `acceptance`"
_NARROW = "narrow the scope, make several items of it, or write large = true"


class Shortcoming(Struct, frozen=True):
    """Why an item should not be started as it is."""

    verdict: tuple[str, str]
    """The verdict of one item, and of several."""
    reason: str
    hint: str


def judge(made: Made, known: Known, tracked: Tracked, faults: Faults) -> Made:
    """Record the shortcomings of all items; gives the items that are left, all but those of a tracker that fail."""
    if known.contract is Contract.off:
        return made
    found = {n: list(_of_item(item, made.tables[n], known, tracked)) for n, item in enumerate(made.items)}
    if known.contract is Contract.advised:
        _warn(made, found, faults)
        return made
    record = faults.leave_out if made.is_tracker else faults.error
    for number, shortcomings in found.items():
        for one in shortcomings:
            label = item_label(made.items[number].spec, number + 1)
            record(made.items[number].line, f"{label} {one.verdict[0]}: {one.reason}", one.hint)
    return made.without({n for n in found if found[n]}) if made.is_tracker else made


def _of_item(item: PlanItem, table: Table, known: Known, tracked: Tracked) -> Iterator[Shortcoming]:
    spec = item.spec
    if spec.hold is not None and spec.hold.reason == "draft":
        return
    brief = table.fields["brief"].value if "brief" in table.fields else ""
    words = len(brief.split()) if isinstance(brief, str) else BRIEF_WORDS_MIN
    if words == 0:
        yield Shortcoming(CLARIFY, "no `brief`", _SAY)
    elif words < BRIEF_WORDS_MIN:
        yield Shortcoming(CLARIFY, f"a `brief` of fewer than {BRIEF_WORDS_MIN} words", _SAY)
    if not spec.checks and "acceptance" not in table.fields:
        yield Shortcoming(CLARIFY, "neither checks nor `acceptance` say when it is done", _DECIDE)
    is_large = "large" in table.fields and table.fields["large"].value is True
    if not is_large and (reason := _too_large(spec.scope, known, tracked)):
        yield Shortcoming(CUT, reason, _NARROW)


def _too_large(scope: tuple[str, ...], known: Known, tracked: Tracked) -> str:
    if not tracked.is_known or len(tracked.paths) < FILES_MIN:
        return ""
    try:
        patterns = [parse(text, known.rules) for text in scope]
    except PatternError:
        # Reported when the item was made.
        return ""
    held = tracked.count(patterns, len(tracked.paths) // 2)
    return f"a scope that holds {held:,} of {len(tracked.paths):,} tracked files" if held else ""


def _warn(made: Made, found: dict[int, list[Shortcoming]], faults: Faults) -> None:
    """Warn once of each shortcoming, with the items that have it, in the order of the first."""
    having: dict[Shortcoming, list[int]] = {}
    for number, shortcomings in found.items():
        for one in shortcomings:
            having.setdefault(one, []).append(number)
    for one, numbers in having.items():
        first = made.items[numbers[0]]
        if len(numbers) == 1:
            message = f"{item_label(first.spec, numbers[0] + 1)} {one.verdict[0]}: {one.reason}"
        else:
            names = listed(made.items[number].spec.id for number in numbers)
            message = f"{len(numbers):,} items {one.verdict[1]}: {one.reason}: {names}"
        faults.warning(first.line, message, one.hint)
