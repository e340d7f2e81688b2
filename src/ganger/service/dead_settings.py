"""Settings that another one keeps from ever having an effect: faults, so that nobody relies on them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from ganger.core.model import Budget, Lane
from ganger.plans.wording import listed, nearest, shown
from ganger.service.layers import Key, Layers, shown_key
from ganger.service.tables import AUTOPICK, Agent

_ITEM, _RUN, _FLEET = ("budget", "item"), ("budget", "run"), ("budget",)

_INNER_BELOW_OUTER = (
    *(((*_RUN, name), (*_ITEM, name)) for name in ("usd_max", "tokens_max")),
    *(((*inner, name), (*_FLEET, name)) for inner in (_RUN, _ITEM) for name in ("usd_max", "tokens_max")),
    ((*_RUN, "wall_max"), (*_FLEET, "wall_max")),
    ((*_ITEM, "wall_max"), (*_RUN, "wall_max")),
    ((*_ITEM, "wall_max"), (*_FLEET, "wall_max")),
    ((*_ITEM, "silence_max"), (*_ITEM, "wall_max")),
    (("recovery", "progress_max"), (*_ITEM, "wall_max")),
)
"""Limits of which the first has no effect where it is larger than the second."""


class Judged(Struct, frozen=True):
    """What the judgement needs of a configuration."""

    limits: dict[Key, int]
    """Effective values of comparable keys; a key without a limit is missing."""
    lanes: tuple[Lane, ...]
    autopick: tuple[str, ...]
    agents: dict[str, Agent]
    planner: str
    plan_budgets: tuple[tuple[str, Budget], ...]
    metered: bool = False
    """Whether a gateway knows what the agents cost."""
    consult_agent: str = ""


def refuse(layers: Layers, judged: Judged) -> None:
    """Record every dead setting, naming the other one too."""
    _backoff(layers, judged.limits)
    for inner, outer in (*_INNER_BELOW_OUTER, *_of_plans(judged), *_of_kinds(judged)):
        _compare(layers, judged.limits, inner, outer)
    for section in ("lanes", "kinds"):
        _workers(layers, judged.limits, section)
    _lanes(layers, judged)
    _money(layers, judged)
    _asked_agents(layers, judged)


def limits_of(budget: Budget, key: Key) -> dict[Key, int]:
    """Give the limits of a budget by their keys."""
    limits = {"usd_max": budget.usd_micros, "tokens_max": budget.tokens, "wall_max": budget.wall_ms}
    return {(*key, name): limit for name, limit in limits.items() if limit is not None}


def _of_plans(judged: Judged) -> Iterator[tuple[Key, Key]]:
    for name, _ in judged.plan_budgets:
        for limit in ("usd_max", "tokens_max", "wall_max"):
            yield ("budget", "plans", name, limit), (*_FLEET, limit)
            # So much is reserved for a run: with more than the plan may spend, none of it could start.
            yield (*_RUN, limit), ("budget", "plans", name, limit)


def _of_kinds(judged: Judged) -> Iterator[tuple[Key, Key]]:
    for key in judged.limits:
        if key[0] == "kinds" and key[2] == "budget":
            yield key, (*_FLEET, key[-1])


def _compare(layers: Layers, limits: dict[Key, int], inner: Key, outer: Key) -> None:
    if inner not in limits or outer not in limits or limits[inner] <= limits[outer]:
        return
    # The built-in values yield to what somebody has set.
    if layers.is_set(inner) and layers.is_set(outer):
        shown_inner, shown_outer = layers.settings[inner].value, layers.settings[outer].value
        message = f"({shown_inner}) has no effect: {shown_key(outer)} ({shown_outer}) is reached first"
        layers.error((inner,), message, "lower it, or raise the other")


def _workers(layers: Layers, limits: dict[Key, int], section: str) -> None:
    whole: Key = ("fleet", "workers_max")
    # The number of cores, or of `--workers` for once, is no statement about this file.
    if layers.is_written(whole):
        for key in [key for key in limits if key[0] == section and key[-1] == "workers_max"]:
            _compare(layers, limits, key, whole)


def _backoff(layers: Layers, limits: dict[Key, int]) -> None:
    longest, first = ("recovery", "backoff_max"), ("recovery", "backoff")
    if limits[first] > limits[longest]:
        texts = [layers.settings[key].value.strip('"') for key in (longest, first)]
        message = f"makes the other dead: backoff_max ({texts[0]}) is shorter than backoff ({texts[1]})"
        layers.error((longest, first), message, "raise backoff_max or lower backoff")


def _lanes(layers: Layers, judged: Judged) -> None:
    for lane in judged.lanes:
        if not lane.exclusive:
            continue
        flag: Key = ("lanes", lane.name, "exclusive")
        if lane.name in judged.autopick:
            message = f"names the lane {shown(lane.name)}, but {shown_key(flag)} makes it run alone"
            layers.error((("lanes", AUTOPICK),), message, "an exclusive lane is never free while anything runs")
        if lane.workers_max is not None and lane.workers_max > 1:
            key: Key = ("lanes", lane.name, "workers_max")
            layers.error(
                (key,), f"({lane.workers_max}) has no effect: {shown_key(flag)} makes it run alone", "take it out"
            )


def _money(layers: Layers, judged: Judged) -> None:
    """Refuse a limit of money where no agent's price is known: nothing could ever start."""
    if judged.metered or not judged.agents or any(agent.price for agent in judged.agents.values()):
        return
    capped = [key for key in judged.limits if key[-1] == "usd_max"]
    if capped:
        prices = listed(f"agents.{name}.price" for name in judged.agents)
        hint = 'write price = "free", "reported" or { input = 3.0, output = 15.0 }'
        layers.error((capped[0],), f"cannot be kept: no agent has a price, neither of {prices}", hint)


def _asked_agents(layers: Layers, judged: Judged) -> None:
    _named_agent(layers, judged, judged.planner, ("loop", "planner"), ("loop", "replans_max"))
    _named_agent(layers, judged, judged.consult_agent, ("consult", "agent"), ("consult", "window"))


def _named_agent(layers: Layers, judged: Judged, agent: str, key: Key, without: Key) -> None:
    """Record an agent that there is not, and a setting that is about one where none is named."""
    if agent and agent not in judged.agents:
        hint = nearest(agent, judged.agents) or f"known: {listed(judged.agents) or 'none'}"
        layers.error((key,), f"names no agent: {shown(agent)}", hint)
    if not agent and layers.is_set(without):
        layers.error((without,), f"has no effect without {shown_key(key)}", "name an agent, or take it out")
