"""`ganger run --dry-run`: what a night would begin with, item by item, without changing anything anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ganger.cli.output import YES, clock, plural, say, say_json
from ganger.cli.reply import of_refusal
from ganger.cli.state import look
from ganger.core.decide import decide
from ganger.core.events import Entry
from ganger.core.evolve import evolve
from ganger.core.ids import ItemId, Seq
from ganger.core.loop import Intent
from ganger.core.model import Refusal, RefusalCode
from ganger.core.picking import Pick, hold_of, survey
from ganger.core.state import State
from ganger.errors import UsageError
from ganger.journal.clock import wall_ms
from ganger.journal.queries import NoFleet
from ganger.plans.port import Plan
from ganger.service import wiring


def dry_run(
    parts: wiring.Parts, plan: Plan, iterations: int | None, only: frozenset[ItemId] | None, *, as_json: bool
) -> int:
    """Say for each open item of the plan whether it would be started now, and why not; nothing is written."""
    state, now_ms = _state_with(parts, plan), wall_ms()
    picks = list(_capped(survey(state, now_ms, parts.policy, Intent(plan=plan.id, only=only)), iterations))
    offered = [found for found in picks if found.refusal is None]
    if as_json:
        rows = [
            {
                "item": found.item.spec.id,
                "agent": found.item.spec.agent,
                "start": found.refusal is None,
                "hold": hold_of(found.item, found.refusal) if found.refusal is not None else None,
                "refusal": of_refusal(found.refusal),
            }
            for found in picks
        ]
        say_json("ganger.dry-run", {"plan": plan.id, "items": rows})
        return YES
    for found in offered:
        say(f"start {found.item.spec.id}: {found.item.spec.title} [{found.item.spec.agent}]")
    for found in picks:
        if found.refusal is not None:
            again = f"; again at {clock(found.refusal.again_ms)}" if found.refusal.again_ms else ""
            say(f"later {found.item.spec.id}: {found.refusal.reason}{again}")
    say(f"{len(offered)} of {plural(len(plan.items), 'item')} would be started now; nothing was changed")
    return YES


def _capped(picks: Iterable[Pick], iterations: int | None) -> Iterator[Pick]:
    """Hold what `--iterations` would not let a night begin with."""
    offered = 0
    for found in picks:
        offered += found.refusal is None
        if iterations is not None and found.refusal is None and offered > iterations:
            reason = f"--iterations {iterations}: others come first"
            yield Pick(found.item, Refusal(RefusalCode.fleet_cap, reason))
        else:
            yield found


def _state_with(parts: wiring.Parts, plan: Plan) -> State:
    """The fleet's state as it would be with the plan added."""
    try:
        state = look(parts.state_dir).state
    except NoFleet:
        state = State(rules=parts.policy.paths)
    decided = decide(state, wiring.add_plan(plan), wall_ms(), parts.policy)
    if isinstance(decided, Refusal):
        raise UsageError(f"plan {plan.id}: {decided.reason}", decided.way)
    for event in decided:
        evolve(state, Entry(Seq(state.seq + 1), wall_ms(), "dry-run", event))
    return state
