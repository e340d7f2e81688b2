"""What may still be spent: reserved when a run is granted, metered while it works, settled when it ends.

Accounts form a tree: a run draws from its item, the items that stand above it, its plan and the fleet (CAPABILITIES
BX8). At each grant, what was spent and what is reserved stay within every cap (RELIABILITY I-15).
"""

from __future__ import annotations

from ganger.core.facts import Run
from ganger.core.ids import ItemId
from ganger.core.model import NOTHING, Budget, ItemSpec, Refusal, RefusalCode, Usage
from ganger.core.policy import Policy
from ganger.core.state import State

SHARE_MIN = 4
"""A run is not granted with less than one such part of what a run may spend: it would be stopped half way."""
USD = 1_000_000


def reservation(state: State, spec: ItemSpec, agent: str, policy: Policy) -> Usage | Refusal:
    """How much a run of the item reserves: what a run may spend, or what is left where that is less.

    A figure of 0 has no limit. Refuses when too little is left, and when money is limited but the agent's price is
    not known.
    """
    caps = [(account, _cap(state, account, policy)) for account in state.accounts_of(spec)]
    if agent not in policy.priced:
        for account, cap in (("run", policy.run_budget), *caps):
            if cap.usd_micros is not None:
                reason = f"{_name(account)} has a limit in dollars, and nobody knows what agent {agent} costs"
                return Refusal(RefusalCode.budget, reason, f"set agents.{agent}.price in ganger.toml", holder=account)
    figures = []
    for figure in ("usd_micros", "tokens", "wall_ms"):
        limits = [(account, limit) for account, cap in caps if (limit := getattr(cap, figure)) is not None]
        own = getattr(policy.run_budget, figure)
        may = min([limit for _, limit in limits] + ([own] if own is not None else []), default=0)
        figures.append(may)
        for account, limit in limits:
            left = limit - getattr(spent_and_reserved(state, account), figure)
            if left * SHARE_MIN < may or left <= 0:
                return _too_little(account, figure, max(left, 0), limit)
            figures[-1] = min(figures[-1], left)
    return Usage(*figures)


def in_full(policy: Policy) -> Usage:
    """What a run reserves that a person forces over a limit: all that a run may spend."""
    cap = policy.run_budget
    return Usage(cap.usd_micros or 0, cap.tokens or 0, cap.wall_ms or 0)


def share(run: Run, left: int) -> Usage | Refusal:
    """How much a child of a run reserves, of what is left of the run's own reservation: as much as each of the `left`
    children that it may still have, and as the run itself keeps. Refuses where that is nothing.
    """
    figures = []
    for figure in ("usd_micros", "tokens", "wall_ms"):
        limit, free = getattr(run.reserved, figure), getattr(run.outstanding, figure)
        figures.append(free // (left + 1))
        if limit and not figures[-1]:
            reason = f"{run.id} has {amount(figure, free)} left of {amount(figure, limit)}"
            return Refusal(RefusalCode.budget, reason, "do it yourself")
    return Usage(*figures)


def spent_and_reserved(state: State, account: str) -> Usage:
    """What an account has paid, and what live runs may still draw from it."""
    return state.accounts.get(account, NOTHING).plus(state.outstanding.get(account, NOTHING))


def _cap(state: State, account: str, policy: Policy) -> Budget:
    kind, _, name = account.partition(":")
    if kind == "fleet":
        return policy.fleet_budget
    if kind == "plan":
        return policy.plan_budget(name)
    item = state.items.get(ItemId(name))
    return item.spec.budget if item is not None else Budget()


def _too_little(account: str, figure: str, left: int, limit: int) -> Refusal:
    reason = f"{_name(account)} has {amount(figure, left)} left of {amount(figure, limit)}"
    return Refusal(RefusalCode.budget, reason, "raise the limit in [budget], or wait for the next night", account)


def _name(account: str) -> str:
    kind, _, name = account.partition(":")
    return f"{kind} {name}" if name else f"the {kind}"


def amount(figure: str, value: int) -> str:
    """A figure of a usage as a person reads it: `$1.50`, `2,000 tokens`, `90 s`."""
    if figure == "usd_micros":
        return f"${value / USD:,.2f}"
    return f"{value:,} tokens" if figure == "tokens" else f"{value / 1000:,.0f} s"


def overspent(run: Run, age_ms: int) -> str:
    """Say what a run has used up of what was reserved for it, its living worker's age (ms) included; empty if nothing.

    The turn under way is metered as it goes, so it is stopped at most one call too late.
    """
    spent = run.drawn.plus(Usage(wall_ms=age_ms if run.has_worker else 0))
    who, has = ("the run", "has") if run.lent == NOTHING else ("the run and its children", "have")
    for figure in ("usd_micros", "tokens", "wall_ms"):
        limit = getattr(run.reserved, figure)
        used = getattr(spent, figure)
        if limit and used >= limit:
            return f"{who} {has} spent {amount(figure, used)} of {amount(figure, limit)}"
    return ""
