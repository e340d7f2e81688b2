"""The tables of `ganger.toml` that carry names: checks, predicates, agents, lanes, kinds and budgets of plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from ganger.core.ids import name_fault
from ganger.core.model import Budget, Check, Kind, Lane, Writes
from ganger.core.patterns import PathRules, scope_fault
from ganger.plans import values
from ganger.plans.checks import CHECK_DEFAULT_MS, CHECK_MS
from ganger.plans.items import TOKENS, USD_MICROS_MIN
from ganger.plans.values import DURATION_MAX_MS, SECOND_MS, USD_MICROS, Unfit, duration, flag, integer, usd
from ganger.plans.wording import listed, nearest, shown
from ganger.service.layers import Key, Layers

WORKERS = (1, 1_000)
PREDICATE_MS = (10, 60_000)
PREDICATE_DEFAULT_MS = 2_000
"""Also of scorers and of the driver; so is `PREDICATE_MS`."""
SCORE_DEFAULT = 0.5
PRICES_USD_MICROS = (0, 10_000 * USD_MICROS)
WALL_MS = (SECOND_MS, DURATION_MAX_MS)
AUTOPICK = "autopick"
FRESH, INHERIT = "fresh", "inherit"
FREE, REPORTED = "free", "reported"

Price = tuple[int, int]
"""Millionths of a US dollar for a million tokens: of input, and of output."""


class Agent(Struct, frozen=True):
    """An `[agents.NAME]` table."""

    name: str
    driver: str
    settings: Mapping[str, str]
    """Everything that is the driver's; what it means is up to the driver."""
    price: Price | str = ""
    """What its tokens cost; `reported` when it says so itself, empty when nobody knows."""
    provider: str = ""
    """Whose limits bind it; empty: it is a provider of its own."""
    models: tuple[str, ...] | None = None
    """The only models that it may be started with; None: any."""

    def model_fault(self, model: str) -> str:
        """Say why it may not be started with a model (empty: the program's own choice); empty when it may."""
        if self.models is None or model in self.models:
            return ""
        known = f"`agents.{self.name}.models` has {listed(self.models) or 'none'}"
        return f"is {shown(model)}, and {known}" if model else f"is left to the program, and {known}"


class Preset(Struct, frozen=True):
    """What a kind says for items and launches that do not say it themselves."""

    agent: str = ""
    model: str = ""
    """For runs by `agent`; empty: what that agent has."""
    budget: Budget = Budget()
    """Of an item; without time, which is limited turn by turn."""
    seeding: str = FRESH
    """How a child begins: with nothing, or (`inherit`) with a copy of its spawner's conversation."""


class Predicate(NamedTuple):
    """A program that can refuse a run, and nothing else."""

    name: str
    argv: tuple[str, ...]
    timeout_ms: int


class Scorer(NamedTuple):
    """A program that says how close two disjoint scopes are, and from where on that is too close."""

    name: str
    argv: tuple[str, ...]
    timeout_ms: int
    threshold: float = SCORE_DEFAULT
    """A score from here on refuses; above 0, at most 1."""


class Driver(NamedTuple):
    """A program that is asked before anything is granted, and may hold it back."""

    argv: tuple[str, ...]
    timeout_ms: int


def read_checks(layers: Layers) -> dict[str, Check]:
    """Read `[checks.NAME]`."""
    found = _commands(layers, "checks", CHECK_MS, 'as in run = "python -m pytest -q"')
    return {name: Check(name, argv, timeout_ms or CHECK_DEFAULT_MS) for name, argv, timeout_ms in found}


def read_predicates(layers: Layers) -> tuple[Predicate, ...]:
    """Read `[predicates.NAME]`, in the order of the files."""
    found = _commands(layers, "predicates", PREDICATE_MS, 'as in run = "scripts/may-start"')
    return tuple(Predicate(name, argv, timeout_ms or PREDICATE_DEFAULT_MS) for name, argv, timeout_ms in found)


def read_scorers(layers: Layers) -> tuple[Scorer, ...]:
    """Read `[scorers.NAME]`, in the order of the files."""
    thresholds = {
        name: layers.take_from_files(("scorers", name, "threshold"), _threshold) for name in layers.tables("scorers")
    }
    found = _commands(layers, "scorers", PREDICATE_MS, 'as in run = "scripts/coupling"')
    return tuple(
        Scorer(name, argv, timeout_ms or PREDICATE_DEFAULT_MS, thresholds[name] or SCORE_DEFAULT)
        for name, argv, timeout_ms in found
    )


def _threshold(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit("must be a number", "as in threshold = 0.5")
    if not 0 < value <= 1:
        raise Unfit(f"is {shown(value)}, must be above 0 and at most 1", "as in threshold = 0.5")
    return float(value)


def read_driver(layers: Layers) -> Driver | None:
    """Read `loop.driver` and its `driver_timeout`."""
    argv = layers.take_from_files(("loop", "driver"), values.command)
    timeout_ms = layers.take_from_files(("loop", "driver_timeout"), duration(*PREDICATE_MS))
    if timeout_ms and not argv:
        layers.error((("loop", "driver_timeout"),), "has no effect: there is no `loop.driver`", "leave it out")
    return Driver(argv, timeout_ms or PREDICATE_DEFAULT_MS) if argv else None


def _commands(
    layers: Layers, section: str, bounds_ms: tuple[int, int], hint: str
) -> list[tuple[str, tuple[str, ...], int | None]]:
    found = []
    for name in layers.tables(section):
        key = (section, name)
        argv = layers.take_from_files((*key, "run"), values.command)
        timeout_ms = layers.take_from_files((*key, "timeout"), duration(*bounds_ms))
        _require(layers, key, "run", hint)
        if argv:
            found.append((name, argv, timeout_ms))
    return found


def read_agents(layers: Layers) -> dict[str, Agent]:
    """Read `[agents.NAME]`: `driver`, `price` and `provider` are ours, all else the driver's."""
    agents = {}
    for name, keys in layers.tables("agents").items():
        key = ("agents", name)
        driver = layers.take_from_files((*key, "driver"), values.name)
        price = layers.take_from_files((*key, "price"), _price)
        provider = layers.take_from_files((*key, "provider"), values.name)
        models = _models(layers, (*key, "models"))
        _require(layers, key, "driver", 'as in driver = "command"')
        settings = {}
        for setting in keys:
            if setting not in ("driver", "price", "provider", "models"):
                settings[setting] = layers.take_from_files((*key, setting), values.passable) or ""
        if driver:
            agents[name] = Agent(name, driver, settings, price or "", provider or "", models)
            if fault := agents[name].model_fault(settings.get("model", "")):
                layers.error(((*key, "model"), (*key, "models")), fault, "name one of them as its `model`")
    return agents


def _models(layers: Layers, key: Key) -> tuple[str, ...] | None:
    """The models that every file that lists any has: a stronger one can narrow the list, and not widen it."""
    lists: list[tuple[str, ...]] = []

    def parse(value: object) -> tuple[str, ...]:
        lists.append(tuple(map(values.title, values.texts(value))))
        return lists[-1]

    found = layers.take_from_files(key, parse)
    return None if found is None else tuple(model for model in found if all(model in one for one in lists))


def _price(value: object) -> Price | str:
    hint = 'write "free", "reported", or { input = 3.0, output = 15.0 }, in US dollars for a million tokens'
    if isinstance(value, str):
        if value == FREE:
            return (0, 0)
        if value != REPORTED:
            raise Unfit(f"cannot be {shown(value)}", nearest(value, (FREE, REPORTED)) or hint)
        return REPORTED
    if not isinstance(value, dict) or set(value) != {"input", "output"}:
        raise Unfit(f"cannot be {shown(value)}", hint)
    amounts = []
    for part in ("input", "output"):
        try:
            amounts.append(usd(*PRICES_USD_MICROS)(value[part]))
        except Unfit as unfit:
            raise Unfit(f"`{part}` {unfit.message}", unfit.hint) from None
    return (amounts[0], amounts[1])


def read_lanes(layers: Layers) -> tuple[Lane, ...]:
    """Read `[lanes.NAME]`, in the order of the files."""
    lanes = []
    for name in layers.tables("lanes"):
        key = ("lanes", name)
        if name == AUTOPICK:
            continue
        paths = layers.take_from_files((*key, "paths"), _lane_paths)
        exclusive = layers.take_from_files((*key, "exclusive"), flag) or False
        workers_max = layers.take_from_files((*key, "workers_max"), integer(*WORKERS))
        _require(layers, key, "paths", 'as in paths = ["src/auth/**"]')
        if paths:
            lanes.append(Lane(name, paths, exclusive, workers_max))
    return tuple(lanes)


def _lane_paths(value: object) -> tuple[str, ...]:
    if value == []:
        raise Unfit("is empty: nothing could be changed in it", '["**"] is everything')
    return patterns(value)


def read_autopick(layers: Layers, lanes: tuple[Lane, ...]) -> tuple[str, ...]:
    """Read `lanes.autopick`: names of lanes, best first."""
    known = {lane.name: lane for lane in lanes}

    def parse(value: object) -> tuple[str, ...]:
        names = values.texts(value)
        for at, name in enumerate(names):
            if name not in known:
                raise Unfit(
                    f"names no lane: {shown(name)}", nearest(name, known) or f"known: {listed(known) or 'none'}"
                )
            if name in names[:at]:
                raise Unfit(f"names {shown(name)} twice")
        return names

    return layers.take_from_files(("lanes", AUTOPICK), parse) or ()


def read_kinds(layers: Layers) -> tuple[Kind, ...]:
    """Read `[kinds.NAME]`."""
    kinds = []
    for name in layers.tables("kinds"):
        workers_max = layers.take_from_files(("kinds", name, "workers_max"), integer(*WORKERS))
        _require_name(layers, ("kinds", name))
        writes = layers.take_from_files(("kinds", name, "writes"), values.choice(*Writes))
        spawn = _spawn(layers, ("kinds", name))
        kinds.append(Kind(name, workers_max, Writes(writes or Writes.scope), *spawn))
    return tuple(kinds)


def _spawn(layers: Layers, key: Key) -> tuple[tuple[str, ...], int, int]:
    """The kinds that a kind's workers may have children of, in how many generations, and how many of them."""
    known = layers.tables("kinds")

    def parse(value: object) -> tuple[str, ...]:
        names = values.texts(value)
        for name in names:
            if name not in known:
                raise Unfit(f"names no kind: {shown(name)}", nearest(name, known) or f"known: {listed(known)}")
        return tuple(dict.fromkeys(names))

    spawn = layers.take_from_files((*key, "spawn"), parse) or ()
    depth = layers.take_from_files((*key, "spawn_depth"), integer(1, 10))
    most = layers.take_from_files((*key, "spawn_max"), integer(1, 100))
    for name, limit in (("spawn_depth", depth), ("spawn_max", most)):
        if limit and not spawn:
            layers.error(((*key, name),), "has no effect: `spawn` names no kind", "take it out, or name one")
    plain = Kind("")
    return spawn, depth or plain.spawn_depth, most or plain.spawn_max


def read_presets(layers: Layers, agents: Mapping[str, Agent]) -> dict[str, Preset]:
    """Read what `[kinds.NAME]` says for items and launches; kinds that say nothing of it are missing."""
    presets = {}
    for name in layers.tables("kinds"):
        key = ("kinds", name)
        agent = layers.take_from_files((*key, "agent"), values.name) or ""
        model = layers.take_from_files((*key, "model"), values.title) or ""
        usd_micros = layers.take_from_files((*key, "budget", "usd_max"), usd(USD_MICROS_MIN))
        tokens = layers.take_from_files((*key, "budget", "tokens_max"), integer(*TOKENS))
        if agent and agent not in agents:
            hint = nearest(agent, agents) or f"known: {listed(agents) or 'none'}"
            layers.error(((*key, "agent"),), f"names no agent: {shown(agent)}", hint)
        if model and not agent:
            layers.error(((*key, "model"),), "is of no agent", f"name it too: {'.'.join(key)}.agent")
        if model and agent in agents and (fault := agents[agent].model_fault(model)):
            layers.error(((*key, "model"),), fault, "name one of them")
        seeding = layers.take_from_files((*key, "seeding"), values.choice(FRESH, INHERIT)) or FRESH
        if seeding == INHERIT and not agent:
            layers.error(((*key, "seeding"),), "needs an agent that can", f"name it: {'.'.join(key)}.agent")
        found = Preset(agent, model, Budget(usd_micros, tokens), seeding)
        if found != Preset():
            presets[name] = found
    return presets


def read_intents(layers: Layers) -> dict[str, str]:
    """Read what each kind is for, in a line."""
    found = {name: layers.take_from_files(("kinds", name, "intent"), values.title) for name in layers.tables("kinds")}
    return {name: intent for name, intent in found.items() if intent}


def read_budget(layers: Layers, key: Key, wall: bool = True) -> Budget:
    """Read the limits of money, tokens and, unless `wall_max` means something else there, time."""
    return Budget(
        layers.take_limit((*key, "usd_max"), usd(USD_MICROS_MIN)),
        layers.take_limit((*key, "tokens_max"), integer(*TOKENS)),
        layers.take_limit((*key, "wall_max"), duration(*WALL_MS)) if wall else None,
    )


def read_plan_budgets(layers: Layers) -> tuple[tuple[str, Budget], ...]:
    """Read `[budget.plans.NAME]`; plans of that name need not be there yet."""
    budgets = []
    for name in layers.tables("budget", "plans"):
        key = ("budget", "plans", name)
        usd_micros = layers.take_from_files((*key, "usd_max"), usd(USD_MICROS_MIN))
        tokens = layers.take_from_files((*key, "tokens_max"), integer(*TOKENS))
        wall_ms = layers.take_from_files((*key, "wall_max"), duration(*WALL_MS))
        _require_name(layers, key)
        budgets.append((name, Budget(usd_micros, tokens, wall_ms)))
    return tuple(budgets)


def patterns(value: object) -> tuple[str, ...]:
    """Take a list of patterns."""
    found = values.texts(value)
    for pattern in found:
        # Which names the file system takes for equal makes no difference to whether a pattern is one.
        if fault := scope_fault(pattern, PathRules()):
            raise Unfit(f"holds a pattern that cannot be used: {fault}")
    return found


def _require(layers: Layers, key: Key, inner: str, hint: str) -> None:
    """Record a table whose name is no name, or that lacks a key it must have."""
    _require_name(layers, key)
    if all(layer.get((*key, inner)) is None for layer in layers.files):
        layers.error((key,), f"has no `{inner}`", hint)


def _require_name(layers: Layers, key: Key) -> None:
    if fault := name_fault(key[-1]):
        layers.error((key,), f"is no name: it {fault}")
