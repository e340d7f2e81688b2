"""When a provider lets its agents work: windows known from the agents' own output, starts spread out after them.

Nothing is started outside the allowed hours, and those that waited for one provider start one after the other.
"""

from __future__ import annotations

from ganger.core.hours import hours_open_ms
from ganger.core.model import Again, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State


def window_refusal(state: State, agent: str, now_ms: int, policy: Policy) -> Refusal | None:
    """Refuse while the agent's provider is known to refuse."""
    provider = policy.provider(agent)
    window = state.windows.get(provider)
    if window is None or window.until_ms <= now_ms:
        return None
    reason = f"provider {provider} has reached its limit: {window.reason}"
    return Refusal(RefusalCode.provider_limit, reason, holder=provider, again_ms=window.until_ms)


def grant_refusal(state: State, agent: str, now_ms: int, policy: Policy) -> Refusal | None:
    """Refuse a new run while the agent's provider refuses, and after that until those before it have had a start."""
    refusal = window_refusal(state, agent, now_ms, policy)
    opens_ms = grants_open_ms(state, policy.provider(agent), policy)
    if refusal is not None or opens_ms <= now_ms:
        return refusal
    reason = f"provider {policy.provider(agent)} has opened again, and others start before"
    return Refusal(RefusalCode.provider_limit, reason, holder=policy.provider(agent), again_ms=opens_ms)


def grants_open_ms(state: State, provider: str, policy: Policy) -> int:
    """When the next new run of a provider's agents may be granted: one after the other from its opening on."""
    window = state.windows.get(provider)
    if window is None:
        return 0
    agents = {provider, *(agent for agent, named in policy.providers if named == provider)}
    busy = sum(state.busy[f"agent:{agent}"] for agent in agents if policy.provider(agent) == provider)
    return window.until_ms + busy * policy.stagger_ms


def resume_ms(state: State, agent: str, until_ms: int, now_ms: int, policy: Policy) -> int:
    """When a run that met with its provider's limit may start its next turn.

    That is when the window opens, within the allowed hours, and some time after each run that waits for it already.
    """
    provider = policy.provider(agent)
    waiting = sum(
        1
        for run in state.runs.values()
        if run.repeat is not None and run.repeat.why is Again.limited and policy.provider(run.agent) == provider
    )
    opens_ms = hours_open_ms(max(until_ms, now_ms), policy)
    return hours_open_ms(opens_ms + waiting * policy.stagger_ms, policy)
