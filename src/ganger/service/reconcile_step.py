"""The external reconcile step: a program that is asked before anything is granted, and may hold it back.

`[loop] driver` names it: a command, or `ganger.reconcilers:NAME`, a function that an installed package offers. It
reads what would be offered, what else is ready, what is held, and the leases, and answers with `go`, for all of it or
only for some, `hold` or `stop`. It can grant nothing, and nothing that it has not let go is granted: a driver that
crashes, is too slow or answers anything else holds everything, and each item's wait says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from importlib import metadata
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.admission import item_refusal
from ganger.core.ids import ItemId
from ganger.core.state import State
from ganger.errors import ConfigError
from ganger.plans.wording import harmless, listed, shown
from ganger.service import programs
from ganger.service.predicate_host import VALUE
from ganger.service.predicates import REASON_CHARS_MAX, Held, Request, hosted, leases_of, request_for
from ganger.service.programs import Answer, Call
from ganger.service.tables import Driver

GROUP = "ganger.reconcilers"
ITEMS_MAX = 500
"""Most items that a driver is told of: those that are ready in the order of picking, then those on hold."""


class Waiting(Struct, frozen=True):
    """An item that is held, or waits for its time, as a driver sees it."""

    item: str
    code: str
    """Of `core.model.RefusalCode`."""
    reason: str
    again_ms: int
    """When time alone lets it go; 0 when it does not."""


class Situation(Struct, frozen=True, kw_only=True, tag_field="kind", tag="ganger.reconcile"):
    """What a driver reads."""

    version: int = 1
    now_ms: int
    offered: tuple[str, ...]
    """The items that would be given to new runs now, in order."""
    ready: tuple[Request, ...]
    """All that nothing of their own holds, in the order of picking; those offered are among them."""
    held: tuple[Waiting, ...]
    leases: tuple[Held, ...]
    left_out: int
    """How many more items are ready or held."""


class Verb(StrEnum):
    """What a driver may say."""

    go = "go"
    """What is offered may be granted."""
    hold = "hold"
    """Nothing is granted now."""
    stop = "stop"
    """Nothing more is granted by this supervisor; runs that live go on."""


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """What a driver answers."""

    decision: Verb
    only: tuple[str, ...] | None = None
    """With `go`: of what is offered, only these items."""
    reason: str = ""


class Step(Struct, frozen=True):
    """What follows from an answer."""

    items: frozenset[ItemId]
    """The items that may be granted now."""
    stop: bool = False
    reason: str = ""
    """Why nothing is; empty when something may be."""


class ReconcileStep(Struct, frozen=True):
    """The driver of a fleet, and where it runs."""

    state_dir: Path
    folder: Path
    driver: Driver

    def ask(self, situation: Situation) -> Step:
        """Ask what of the offered items may be granted. Takes no longer than about the driver's time limit."""
        call = Call(self.driver.argv, self.driver.timeout_ms, programs.encoded(situation))
        (answer,) = programs.ask(self.state_dir, self.folder, (call,))
        return _step(answer, situation)


def situation(state: State, now_ms: int, offered: tuple[ItemId, ...]) -> Situation:
    """What a driver is told before `offered` are granted."""
    ready, held = [], []
    told = dict.fromkeys([*(order[-1] for order in state.ready), *_on_hold(state)])
    for item_id in islice(told, ITEMS_MAX):
        item = state.items[item_id]
        refusal = item_refusal(state, item, now_ms)
        if refusal is None or item_id in offered:
            ready.append(request_for(item.spec))
        else:
            held.append(Waiting(item_id, refusal.code.value, refusal.reason, refusal.again_ms))
    return Situation(
        now_ms=now_ms,
        offered=offered,
        ready=tuple(ready),
        held=tuple(held),
        leases=leases_of(state),
        left_out=max(len(told) - ITEMS_MAX, 0),
    )


def _on_hold(state: State) -> Iterator[ItemId]:
    """Items that wait for nothing but somebody's word."""
    for name, item in state.items.items():
        is_over = item.landed or item.finished or item.withdrawn or item.run
        if (item.hold is not None or item.stopped or item.given_up) and not is_over:
            yield name


def _step(answer: Answer, asked: Situation) -> Step:
    decided = _decision(answer, asked)
    if isinstance(decided, str):
        return _nothing(f"the driver could not be asked: {decided}")
    said = decided.reason.partition("\n")[0].strip() or "it gave no reason"
    if decided.decision is Verb.go:
        chosen = asked.offered if decided.only is None else decided.only
        items = frozenset(ItemId(item) for item in chosen)
        return Step(items) if items else _nothing(f"the driver let nothing of it go: {said}")
    return _nothing(f"the driver said {decided.decision}: {said}", stop=decided.decision is Verb.stop)


def _nothing(reason: str, *, stop: bool = False) -> Step:
    return Step(frozenset(), stop, harmless(reason)[:REASON_CHARS_MAX])


def _decision(answer: Answer, asked: Situation) -> Decision | str:
    """The decision of an answer; a text says why it is none."""
    if answer.fault:
        return answer.fault
    try:
        decided = msgspec.json.decode(answer.text, type=Decision)
    except msgspec.MsgspecError as error:
        return f"its answer is no decision: {error}"
    strange = next((item for item in decided.only or () if item not in asked.offered), None)
    if strange is not None:
        return f"it chose {strange}, which was not offered"
    if decided.only is not None and decided.decision is not Verb.go:
        return f"`only` goes with `go`, not with `{decided.decision}`"
    return decided


def of_fleet(state_dir: Path, folder: Path, driver: Driver | None) -> ReconcileStep | None:
    """The step that is configured, None for none; ConfigError when `ganger.reconcilers:NAME` is offered by nobody."""
    if driver is None:
        return None
    group, _, name = driver.argv[0].partition(":")
    if group != GROUP:
        return ReconcileStep(state_dir, folder, driver)
    offered = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in offered:
        known = listed(sorted(offered)) or "none"
        raise ConfigError(f"`loop.driver`: no installed package offers {shown(driver.argv[0])}", f"known: {known}")
    return ReconcileStep(state_dir, folder, Driver(hosted(offered[name], VALUE), driver.timeout_ms))
