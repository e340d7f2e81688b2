"""How long a plan would take, what limits it, and what other numbers of workers would change: rehearsals compared."""

from __future__ import annotations

from msgspec.structs import replace

from ganger.core.admission import admit
from ganger.core.facts import Snapshot
from ganger.core.fleet_plan import fleet_plan
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.loop import Intent
from ganger.core.model import RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.report.capacity import Capacity, NotLanded, Row
from ganger.supervisor.rehearsal import Pace, Played, rehearse

ALL_COUNTED_MAX = 4
"""Up to so many workers, each number of them from 1 to twice as many is tried."""


def capacity(
    facts: Snapshot, plan: PlanId, policy: Policy, pace: Pace, begin_ms: int, limit_ms: int | None = None
) -> Capacity:
    """Rehearse the open items of `plan`, which `facts` holds, with `policy.workers_max` workers and with others.

    Live runs are taken for not yet begun. The same arguments give the same answer.
    """
    facts = replace(facts, items=[replace(item, run=RunId("")) for item in facts.items])
    workers, intent = policy.workers_max, Intent(plan=plan)
    played = rehearse(facts, policy, pace, intent, begin_ms)
    critical, critical_ms = critical_path(played)
    most, exact = _most(facts, plan, policy, begin_ms)
    ours = [item for item in facts.items if item.spec.plan == plan]
    todo = [item for item in ours if not (item.landed or item.finished or item.withdrawn)]
    return Capacity(
        plan=plan,
        workers=workers,
        items=len(todo),
        landed=len(played.landed_ms),
        took_ms=played.took_ms,
        work_ms=played.work_ms,
        busy=_busy(played, workers),
        peak=played.peak,
        most=most,
        most_is_exact=exact,
        critical=critical,
        critical_ms=critical_ms,
        waits=played.waits,
        left=_left(played, plan, policy, begin_ms),
        stop=played.stop.value,
        rows=_rows(facts, policy, pace, intent, begin_ms, played),
        turns=played.turns,
        limit_ms=limit_ms,
    )


def counts(workers: int) -> tuple[int, ...]:
    """The numbers of workers to try: all from 1 to twice as many, or some of them, with the one below among them."""
    if workers <= ALL_COUNTED_MAX:
        return tuple(range(1, 2 * workers + 1))
    some = {1, 2, workers // 4, workers // 2, workers - 1, workers, workers * 3 // 2, workers * 2}
    return tuple(sorted(some))


def _rows(
    facts: Snapshot, policy: Policy, pace: Pace, intent: Intent, begin_ms: int, played: Played
) -> tuple[Row, ...]:
    """Try the other numbers; more workers than were ever busy at once change nothing."""
    known = {policy.workers_max: played}
    for workers in sorted(counts(policy.workers_max), reverse=True):
        same = next((one for most, one in known.items() if one.peak < most and workers >= one.peak), None)
        known[workers] = (
            known.get(workers) or same or rehearse(facts, replace(policy, workers_max=workers), pace, intent, begin_ms)
        )
    rows: list[Row] = []
    for workers in sorted(known):
        took_ms = known[workers].took_ms
        before = rows[-1] if rows else None
        saves_ms = round((before.took_ms - took_ms) / (workers - before.workers)) if before is not None else None
        rows.append(Row(workers, took_ms, _busy(known[workers], workers), saves_ms))
    return tuple(rows)


def _busy(played: Played, workers: int) -> float:
    return played.work_ms / (workers * played.took_ms) if played.took_ms else 0.0


def critical_path(played: Played) -> tuple[tuple[ItemId, ...], int]:
    """The items that come one after the other for the longest time, and how long that is with nothing waited for."""
    longest: dict[ItemId, int] = {}
    before: dict[ItemId, ItemId] = {}
    for item in sorted(played.landed_ms, key=lambda item: played.landed_ms[item]):
        earlier = [name for name in played.state.items[item].spec.after if name in longest]
        last = max(earlier, key=lambda name: longest[name], default=None)
        longest[item] = played.effort_ms[item] + (longest[last] if last is not None else 0)
        if last is not None:
            before[item] = last
    if not longest:
        return (), 0
    path = [max(longest, key=lambda item: longest[item])]
    while path[-1] in before:
        path.append(before[path[-1]])
    return tuple(reversed(path)), longest[path[0]]


def _most(facts: Snapshot, plan: PlanId, policy: Policy, begin_ms: int) -> tuple[int, bool]:
    """How many of the plan's open items could be worked on at once if nothing came after anything."""
    items = [replace(item, spec=replace(item.spec, after=())) for item in facts.items if item.spec.plan == plan]
    state = State(replace(facts, items=items), policy.paths)
    everybody = replace(policy, workers_max=len(items) + 1)
    found = fleet_plan(state, {}, policy.workers_max, begin_ms, everybody)
    return found.most, found.exact


def _left(played: Played, plan: PlanId, policy: Policy, begin_ms: int) -> tuple[NotLanded, ...]:
    """The items that do not land, with what stands against each in the end."""
    state, now_ms = played.state, begin_ms + played.took_ms
    refused = {
        name: refusal
        for name, item in state.items.items()
        if not (item.landed or item.withdrawn or item.finished) and (refusal := admit(state, item, now_ms, policy))
    }
    held = {name for name, refusal in refused.items() if refusal.code is RefusalCode.held}
    grows = True
    while grows:
        waits = {
            name
            for name, refusal in refused.items()
            if refusal.code is RefusalCode.not_ready and held.issuperset(state.unmet(state.items[name].spec))
        }
        grows = not held.issuperset(waits)
        held |= waits
    return tuple(
        NotLanded(name, refusal.reason, name in held)
        for name, refusal in refused.items()
        if state.items[name].spec.plan == plan
    )
