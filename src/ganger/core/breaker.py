"""Circuit breakers: what failed several items in a row is not tried for a while, then once, then again or not.

Keys are `kind:NAME`, `agent:NAME` and `check:NAME`; an item's own breaker is its number of attempts. A streak counts
different items, so that one hard item never stops the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from ganger.core import events as ev
from ganger.core.evolve import FRUITLESS
from ganger.core.facts import Run
from ganger.core.model import CheckResult, CheckState, EndKind, ItemSpec, Refusal, RefusalCode, Rung, VerdictKind
from ganger.core.policy import Policy
from ganger.core.state import State


def keys_of(spec: ItemSpec, agent: str) -> tuple[str, ...]:
    """The breakers that stand before a run of the item."""
    return (f"agent:{agent}", f"kind:{spec.kind}", *(f"check:{check.name}" for check in spec.checks))


def breaker_refusal(state: State, spec: ItemSpec, agent: str, now_ms: int, policy: Policy) -> Refusal | None:
    """Refuse while a breaker is open; once its time is over, one try at a time is let through.

    A run that is being ended for nothing counts already, although its breaker opens only when it is over: what it
    left is kept meanwhile, and nobody else is to be given the same in that time.
    """
    ending = [run for run in state.runs.values() if run.stop is not None and is_fruitless(run, run.stop.end)]
    if not state.breakers and not ending:
        return None
    for key in keys_of(spec, agent):
        breaker = state.breakers.get(key)
        if breaker is None:
            if refusal := _nearly_open(state, key, ending, policy):
                return refusal
            continue
        way = f"ganger breaker close {key}"
        if now_ms < breaker.until_ms:
            reason = f"{key.replace(':', ' ')} is not tried for a while: {breaker.reason}"
            return Refusal(RefusalCode.breaker_open, reason, way, key, breaker.until_ms)
        if any(key in keys_of(state.items[run.item].spec, run.agent) for run in state.runs.values()):
            reason = f"{key.replace(':', ' ')} is being tried once: {breaker.reason}"
            return Refusal(RefusalCode.breaker_open, reason, way, key)
    return None


def _nearly_open(state: State, key: str, ending: list[Run], policy: Policy) -> Refusal | None:
    """Refuse what the runs that are being ended will open the breaker of."""
    counted = [run.item for run in ending if key in _moved_by(run)]
    count = len({*state.streaks.get(key, ()), *counted})
    if not counted or count < policy.breaker_max:
        return None
    reason = f"{key.replace(':', ' ')} is about to be given a rest: {count} items in a row come to nothing"
    return Refusal(RefusalCode.breaker_open, reason, holder=key)


def opened_by_end(state: State, run: Run, end: EndKind, reason: str, now_ms: int, policy: Policy) -> list[ev.Event]:
    """The breakers that the end of a run opens, or opens again."""
    if not is_fruitless(run, end):
        return []
    launch = not run.turn
    return [
        _opened(state, key, run.item, reason, now_ms, policy, launch=launch)
        for key in _moved_by(run)
        if _is_long(state, key, run.item, policy)
    ]


def is_fruitless(run: Run, end: EndKind) -> bool:
    """Whether a run that ends so came to nothing at all."""
    nothing_left = run.verdict is not None and run.verdict.rung is Rung.reported
    return end in FRUITLESS or (end is EndKind.rejected and nothing_left)


def _moved_by(run: Run) -> tuple[str, str]:
    """The breakers that the end of a run counts for."""
    return f"agent:{run.agent}", f"kind:{run.kind}"


def moved_by_evidence(
    state: State, run: Run, kind: VerdictKind, checks: Iterable[CheckResult], now_ms: int, policy: Policy
) -> list[ev.Event]:
    """The breakers that a verdict closes, and those of checks that could again not be run to an end."""
    moved: list[ev.Event] = []
    if kind is VerdictKind.accepted:
        moved += [ev.BreakerClosed(key) for key in _moved_by(run) if key in state.breakers]
    for result in checks:
        key = f"check:{result.name}"
        if result.state not in (CheckState.crashed, CheckState.timed_out):
            moved += [ev.BreakerClosed(key)] if key in state.breakers else []
        elif _is_long(state, key, run.item, policy):
            reason = "it timed out" if result.state is CheckState.timed_out else "it crashed"
            moved.append(_opened(state, key, run.item, reason, now_ms, policy))
    return moved


def _is_long(state: State, key: str, item: str, policy: Policy) -> bool:
    return len({*state.streaks.get(key, ()), item}) >= policy.breaker_max


def _opened(
    state: State, key: str, item: str, reason: str, now_ms: int, policy: Policy, *, launch: bool = False
) -> ev.BreakerOpened:
    count = len({*state.streaks.get(key, ()), item})
    text = f"{count} items in a row came to nothing, the last one: {reason}"
    return ev.BreakerOpened(key, text, now_ms + policy.breaker_ms, launch)
