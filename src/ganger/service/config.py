"""The configuration of a fleet: `ganger.toml` and what lies around it, as typed values.

    [fleet]
    target = "main"              # branch that landings move; left out: the one checked out
    workers_max = 4              # live workers at once; left out: the number of cores
    allowed_hours = "20:00-07:00, 12:00-13:00"
    lease_ttl = "10m"
    depth_max = 2                # how deep items that workers file may stand below those of a plan
    children_max = 8             # most living children of workers
    require_clean = false        # refuse runs while the target is checked out with uncommitted changes
    permit_ttl = "30m"           # how long after the grant a run's first worker may be started
    [lanes]
    autopick = ["docs"]          # may be given instead of a busy lane, best first
    [lanes.docs]
    paths = ["docs/**"]
    exclusive = false            # true: it runs alone
    workers_max = 2
    [kinds.scout]
    workers_max = 1
    [checks.unit]
    run = "python -m pytest -q"  # an argument list, split as a shell would, but no shell runs it
    timeout = "10m"
    [predicates.freeze]          # may refuse a run, by its exit status, and nothing else
    run = "scripts/may-start"
    timeout = "2s"
    [scorers.imports]            # may find two disjoint scopes too close, and nothing else
    run = "scripts/coupling"
    threshold = 0.5              # from this score on, of 0 to 1
    [verify]
    rung = "checked"             # what an item must reach: committed | in-scope | checked | witnessed
    protected = ["scripts/ci/**"]  # added to the built-in list
    contract = "advised"         # off | advised | required: an item must say enough and not want too much
    weakened = "refuse"          # refuse | inbox | allow: what becomes of a candidate that weakens tests
    witness = "never"            # never | fixes | always: whose new tests must fail without the change
    claims = "flag"              # flag | refuse: a "fix" that touches only documentation, an empty commit
    [ci]
    source = "github"            # none | github | file | command, or what a package offers
    repo = "owner/name"          # of github; so is token_env, the variable with the token
    required = true              # an item is done only when CI is green on the commit that landed it
    [jail]
    tier_min = "T1"              # refuse to work with less; "T0" accepts no containment at all
    mechanism = "auto"           # auto | bubblewrap | landlock | none
    network = "open"             # of workers: open | none
    checks_network = "none"      # of checks: a loopback of their own
    readable = ["/srv/fixtures"]  # shown to workers and checks, besides the system and the tools on PATH
    writable = []                # what workers may write besides their own
    limits = { processes_max = 4096, memory_mib_max = 8192, files_max = 1024, cpu_max = "1h", file_mib_max = 1024 }
    [workspace]
    setup = "npm ci"             # fills the linked folders once, for a cache; without any, runs in each workspace
    setup_key = ["package-lock.json"]  # files on which that cache depends
    setup_timeout = "10m"
    linked = ["node_modules"]    # ignored folders that workspaces get by links: of the cache, or of your checkout
    ports = 2                    # free ports of each workspace: GANGER_PORT_0 and so on
    env = { STAGE = "night" }    # what workers find in their environment besides
    [kinds.reviewer]
    writes = "none"              # its workspace is read-only; network and limits as in [jail]
    [hooks]
    gate = "auto"                # auto | on | off: answers the hooks of agents
    stop_refusals_max = 2        # how often one turn is kept from ending without evidence
    silent = "flag"              # flag | stop: what follows when hooks are not asked about a use of a tool
    targets = true               # record on what a tool was used, and not only which
    [hooks.guards.tracker]
    tool = "mcp__tracker__close"
    known = ["id"]               # arguments that somebody must have given the worker
    after = "mcp__tracker__get"  # what must have been used before, with the same
    same = "id"
    [prices."claude-sonnet-*"]
    input = 3.0                  # US dollars for a million tokens, of models behind the gateway
    output = 15.0
    [landing]
    train_max = 8                # candidates tested together
    parallel = 2                 # tests of trains at once
    flaky_retries = 1
    mode = "auto"                # auto | ask
    combine = "worker"           # worker | prepared: a conflicting candidate is merged, marked, for its next worker
    [agents.fixer]
    driver = "command"           # all other keys are texts for that driver
    run = "ruff check --fix ."
    price = "free"               # free | reported | { input = 3.0, output = 15.0 }: US dollars for a million tokens
    provider = "anthropic"       # whose limits bind it
    [budget]
    usd_max = 20.0               # of a night; so are tokens_max and wall_max, the time of all workers together
    run = { usd_max = 1.0, tokens_max = 200_000, wall_max = "2h" }
    item = { usd_max = 3.0, attempts_max = 3, wall_max = "45m", silence_max = "10m" }  # wall_max: of one turn
    [budget.plans.auth]
    usd_max = 10.0
    [recovery]
    backoff = "30s"              # after the first failed attempt; doubles up to backoff_max
    backoff_max = "30m"
    turns_max = 2                # turns of one run
    linger = "10s"               # how long a worker may outlive its report
    stop_grace = "5s"            # between the polite and the forced stop
    breaker_max = 3              # fruitless results in a row that open a breaker
    breaker_wait = "30m"
    progress_max = "15m"         # an active worker that changes nothing for so long counts as spinning
    same_calls_max = 5
    stagger = "20s"              # between the starts of workers that waited for the same provider
    [rules]
    packages = ["acme_kinds"]    # installed packages that bring kinds; in the user's own file only
    [consult]
    agent = "critic"             # is asked before a person, where a worker asks so; its answer allows nothing
    window = "10m"
    [loop]
    planner = "fixer"            # the agent that is asked for new items when nothing is left
    replans_max = 3
    driver = "scripts/drive"     # a program that is asked before anything is granted, and may hold it back
    driver_timeout = "2s"

The environment (`GANGER_FLEET_WORKERS_MAX=2`) and flags set single values too, but no named tables and no lists.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Budget, Check, Kind, Lane, Rung, Writes
from ganger.core.patterns import PathRules
from ganger.core.policy import Policy
from ganger.gateway.prices import Price as ModelPrice
from ganger.plans import values
from ganger.plans.items import ATTEMPTS, SILENCE_MS, WALL_MS, rung
from ganger.plans.port import Contract, Known
from ganger.plans.values import DAY_MS, HOUR_MS, SECOND_MS, Unfit, duration, flag, integer
from ganger.plans.wording import shown
from ganger.service import dead_settings, tables
from ganger.service.ci_settings import EVERY_MAX_MS, CiSettings, read_ci
from ganger.service.containment import Containment, read_jail
from ganger.service.hook_settings import HookSettings, read_hooks
from ganger.service.kind_packages import Shipped, find_named, refuse_of_project
from ganger.service.kinds import NO_RULES, Rulebook, ToldFile, places, read_place, rulebook
from ganger.service.layers import Key, Layer, Layers, Setting
from ganger.service.model_prices import read_prices
from ganger.service.protected import PROTECTED, started_files
from ganger.service.provisioning import Provisioning, read_workspace
from ganger.service.spawn_rights import refuse_wider
from ganger.service.tables import Agent, Driver, Predicate, Preset, Scorer

CONFIG_NAME = "ganger.toml"
_WINDOW = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_DAY_MIN = 24 * 60


class Config(Struct, frozen=True):
    """The effective configuration; durations in milliseconds."""

    target: str
    """Empty: the branch that is checked out."""
    workers_max: int
    hours: tuple[tuple[int, int], ...]
    """As in `Policy.hours`; a window over midnight is split in two."""
    lease_ttl_ms: int
    depth_max: int
    children_max: int
    require_clean: bool
    permit_ms: int
    lanes: tuple[Lane, ...]
    autopick: tuple[str, ...]
    kinds: tuple[Kind, ...]
    checks: Mapping[str, Check]
    predicates: tuple[Predicate, ...]
    scorers: tuple[Scorer, ...]
    driver: Driver | None
    """The external reconcile step; None: there is none."""
    agents: Mapping[str, Agent]
    rung: Rung
    protected: tuple[str, ...]
    """Patterns: the built-in list, the configured ones, and the scripts that checks, predicates and the like start."""
    contract: Contract
    weakened: str
    witness: str
    claims: str
    off_plan: str
    train_max: int
    train_parallel: int
    flaky_retries: int
    landing_mode: str
    combine: str
    start_on: str
    attempts_max: int
    wall_max_ms: int
    silence_max_ms: int
    fleet_budget: Budget
    plan_budgets: tuple[tuple[str, Budget], ...]
    item_budget: Budget
    """Of an item that does not say; its time is limited turn by turn, by `wall_max_ms`."""
    run_budget: Budget
    backoff_ms: int
    backoff_max_ms: int
    turns_max: int
    linger_ms: int
    stop_grace_ms: int
    breaker_max: int
    breaker_ms: int
    progress_ms: int
    same_calls_max: int
    stagger_ms: int
    facts_max: int
    same_within_ms: int
    consult_agent: str
    consult_window_ms: int
    planner: str
    replans_max: int
    jail: Containment
    ci: CiSettings
    hooks: HookSettings
    model_prices: dict[str, ModelPrice]
    workspace: Provisioning
    repo_top: Path
    search_path: str
    """Where programs are looked for: the `PATH` of the environment, absolute entries only."""
    settings: tuple[Setting, ...]
    presets: Mapping[str, Preset] = {}
    """What kinds say for items and launches, by their names."""
    rulebook: Rulebook = NO_RULES
    """What workers are told besides their item."""
    packages: tuple[Shipped, ...] = ()
    """Installed packages whose kinds are in force, weakest first."""

    def explain(self) -> tuple[Setting, ...]:
        """Give every setting with its effective value and where it came from, sorted by key."""
        return self.settings

    @property
    def default_agent(self) -> str:
        """The agent of an item that names none: the one called `default`, or else the first."""
        return "default" if "default" in self.agents else next(iter(self.agents), "default")

    @property
    def prices(self) -> dict[str, tuple[int, int]]:
        """What a million tokens of input and of output cost, in millionths of a US dollar, by agent.

        Agents that report what they cost, and those of which nobody knows, are missing.
        """
        return {agent.name: agent.price for agent in self.agents.values() if isinstance(agent.price, tuple)}

    @property
    def is_metered(self) -> bool:
        """Whether workers are behind the gateway, which knows what models cost."""
        return self.jail.bounds.uses_gateway and bool(self.model_prices)

    @property
    def model_keys(self) -> tuple[str, ...]:
        """The variables that hold the keys of agents' providers."""
        named = (agent.settings.get("key_env", "") for agent in self.agents.values())
        return tuple(sorted({name for name in named if name}))

    def _run_budget(self) -> Budget:
        """What one run may spend: as configured, or an even share of the tightest fleet or plan limit.

        Without it the first run would reserve all that is left, and nobody else could work.
        """
        shared = (self.fleet_budget, *(budget for _, budget in self.plan_budgets))

        def share(figure: str) -> int | None:
            own: int | None = getattr(self.run_budget, figure)
            limits = [limit for budget in shared if (limit := getattr(budget, figure)) is not None]
            return own if own is not None or not limits else max(min(limits) // self.workers_max, 1)

        return Budget(share("usd_micros"), share("tokens"), share("wall_ms"))

    def policy(self, rules: PathRules, utc_offset_min: int, target: str = "", repo: str = "") -> Policy:
        """Make the numbers that decisions depend on; `target` is the branch to use when none is configured.

        `repo` is the identity of the repository that start permits are for.
        """
        return Policy(
            target=self.target or target or Policy().target,
            workers_max=self.workers_max,
            hours=self.hours,
            utc_offset_min=utc_offset_min,
            lease_ttl_ms=self.lease_ttl_ms,
            backoff_ms=self.backoff_ms,
            backoff_max_ms=self.backoff_max_ms,
            turns_max=self.turns_max,
            linger_ms=self.linger_ms,
            stop_grace_ms=self.stop_grace_ms,
            train_max=self.train_max,
            train_parallel=self.train_parallel,
            flaky_retries=self.flaky_retries,
            landing_mode=self.landing_mode,
            combine=self.combine,
            weakened=self.weakened,
            witness=self.witness,
            claims=self.claims,
            off_plan=self.off_plan,
            paths=rules,
            repo=repo,
            lanes=self.lanes,
            autopick=self.autopick,
            kinds=self.kinds,
            depth_max=self.depth_max,
            children_max=self.children_max,
            agents=tuple(self.agents),
            agents_of=tuple((name, preset.agent) for name, preset in self.presets.items() if preset.agent),
            permit_ms=self.permit_ms,
            require_clean=self.require_clean,
            fleet_budget=self.fleet_budget,
            plan_budgets=self.plan_budgets,
            run_budget=self._run_budget(),
            priced=frozenset(agent.name for agent in self.agents.values() if agent.price or self.is_metered),
            providers=tuple((agent.name, agent.provider) for agent in self.agents.values() if agent.provider),
            stagger_ms=self.stagger_ms,
            breaker_max=self.breaker_max,
            breaker_ms=self.breaker_ms,
            progress_ms=self.progress_ms,
            same_calls_max=self.same_calls_max,
            silent_guard=self.hooks.silent.value,
            facts_max=self.facts_max,
            same_within_ms=self.same_within_ms,
            ci_required=self.ci.required,
            ci_dependents=self.ci.dependents,
            ci_every_ms=self.ci.every_ms,
            ci_every_max_ms=max(self.ci.every_ms, EVERY_MAX_MS),
            ci_patience_ms=self.ci.patience_ms,
            consult_agent=self.consult_agent,
            consult_window_ms=self.consult_window_ms,
            planner=self.planner,
            replans_max=self.replans_max,
        )

    def known(
        self,
        rules: PathRules,
        tracked_paths: Callable[[], Iterable[str]] | None = None,
        other_items: Mapping[ItemId, PlanId] | None = None,
        target: str = "",
    ) -> Known:
        """Say what a plan may refer to."""
        return Known(
            checks=self.checks,
            agents=frozenset(self.agents),
            default_agent=self.default_agent,
            default_checks=tuple(self.checks),
            rung=self.rung,
            start_on=self.start_on,
            attempts_max=self.attempts_max,
            wall_max_ms=self.wall_max_ms,
            silence_max_ms=self.silence_max_ms,
            budget=self.item_budget,
            budgets={name: preset.budget for name, preset in self.presets.items()},
            reading=frozenset(kind.name for kind in self.kinds if kind.writes is Writes.none),
            agents_of={name: preset.agent for name, preset in self.presets.items() if preset.agent},
            fleet_budget=self.fleet_budget,
            lanes={lane.name: lane for lane in self.lanes},
            target=target,
            contract=self.contract,
            rules=rules,
            tracked_paths=tracked_paths,
            other_items=other_items or {},
            program_exists=self.has_program,
        )

    def has_program(self, program: str) -> bool:
        """Whether a command's first word can be started: found on `PATH`, or a file of the repository or machine."""
        if "/" not in program:
            return shutil.which(program, path=self.search_path) is not None
        path = self.repo_top / program
        return path.is_file() and os.access(path, os.X_OK)


def load(repo_top: Path, user_config: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """Read all layers; `flags` maps dotted keys (`fleet.target`) to texts. Missing files have nothing in them.

    Raises one ConfigError that lists, a line each, everything wrong in all layers.
    """
    own = {"project": Layer("project", repo_top / CONFIG_NAME, CONFIG_NAME)}
    if user_config is not None:
        own["user"] = Layer("user", user_config, str(user_config))
    files: list[Layer] = []
    told: list[ToldFile] = []
    packages = find_named(own.get("user"), repo_top)
    for place in places(repo_top, user_config, packages):
        found = read_place(place)
        told += found
        files += [*found, *([own[place.source]] if place.source in own else [])]
    layers = Layers(tuple(files), environ, flags)
    config = _take_all(layers, repo_top, _absolute_only(environ.get("PATH", os.defpath)))
    dead_settings.refuse(layers, _judged(config))
    refuse_wider(layers, config.kinds, config.jail.bounds)
    layers.refuse_unknown()
    layers.raise_faults()
    return replace(config, rulebook=rulebook(told, config.rulebook.intents), packages=packages)


def user_config_path(environ: Mapping[str, str]) -> Path | None:
    """Say where the user's own configuration is: `$XDG_CONFIG_HOME/ganger/config.toml`; None without a home."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        base = f"{home}/.config" if home.startswith("/") else ""
    return Path(base) / "ganger" / "config.toml" if base else None


def ask_for_all(layers: Layers) -> None:
    """Ask for every setting there is, as loading does: then `layers` knows them all."""
    _take_all(layers, Path(), "")


def _take_all(layers: Layers, repo_top: Path, search_path: str) -> Config:
    take = layers.take
    checks, predicates = tables.read_checks(layers), tables.read_predicates(layers)
    scorers, driver = tables.read_scorers(layers), tables.read_driver(layers)
    ci = read_ci(layers)
    lanes = tables.read_lanes(layers)
    extra = layers.take_from_files(("verify", "protected"), tables.patterns) or ()
    refuse_of_project(layers)
    commands = [*(check.argv for check in checks.values()), *(one.argv for one in predicates)]
    commands += [one.argv for one in scorers]
    commands += [driver.argv] if driver is not None else []
    commands += [ci.argv] if ci.argv else []
    workspace, agents = read_workspace(layers), tables.read_agents(layers)
    commands += [workspace.setup] if workspace.setup else []
    return Config(
        target=take(("fleet", "target"), _branch, ""),
        workers_max=take(("fleet", "workers_max"), integer(*tables.WORKERS), min(_cores(), tables.WORKERS[1])),
        hours=take(("fleet", "allowed_hours"), _hours, ""),
        lease_ttl_ms=take(("fleet", "lease_ttl"), duration(10 * SECOND_MS, DAY_MS), "10m"),
        depth_max=take(("fleet", "depth_max"), integer(0, 100), 2),
        children_max=take(("fleet", "children_max"), integer(0, 1_000), 8),
        require_clean=take(("fleet", "require_clean"), flag, False),
        permit_ms=take(("fleet", "permit_ttl"), duration(10 * SECOND_MS, 7 * DAY_MS), "30m"),
        lanes=lanes,
        autopick=tables.read_autopick(layers, lanes),
        kinds=tables.read_kinds(layers),
        checks=checks,
        predicates=predicates,
        scorers=scorers,
        driver=driver,
        agents=agents,
        rung=take(("verify", "rung"), rung, Rung.checked.label),
        protected=tuple(dict.fromkeys((*PROTECTED, *extra, *started_files(commands, repo_top)))),
        contract=Contract(take(("verify", "contract"), values.choice(*Contract), Contract.advised.value)),
        weakened=take(("verify", "weakened"), values.choice("refuse", "inbox", "allow"), "refuse"),
        witness=take(("verify", "witness"), values.choice("never", "fixes", "always"), "never"),
        claims=take(("verify", "claims"), values.choice("flag", "refuse"), "flag"),
        off_plan=take(("verify", "off_plan"), values.choice("refuse", "inbox"), "refuse"),
        train_max=take(("landing", "train_max"), integer(1, 100), 8),
        train_parallel=take(("landing", "parallel"), integer(1, 16), 2),
        flaky_retries=take(("landing", "flaky_retries"), integer(0, 10), 1),
        landing_mode=take(("landing", "mode"), values.choice("auto", "ask"), "auto"),
        combine=take(("landing", "combine"), values.choice("worker", "prepared"), "worker"),
        start_on=take(("landing", "start_on"), values.choice("landed", "accepted"), "landed"),
        attempts_max=take(("budget", "item", "attempts_max"), integer(*ATTEMPTS), 3),
        wall_max_ms=take(("budget", "item", "wall_max"), duration(*WALL_MS), "45m"),
        silence_max_ms=take(("budget", "item", "silence_max"), duration(*SILENCE_MS), "10m"),
        fleet_budget=tables.read_budget(layers, ("budget",)),
        plan_budgets=tables.read_plan_budgets(layers),
        item_budget=tables.read_budget(layers, ("budget", "item"), wall=False),
        run_budget=tables.read_budget(layers, ("budget", "run")),
        backoff_ms=take(("recovery", "backoff"), duration(0, DAY_MS), "30s"),
        backoff_max_ms=take(("recovery", "backoff_max"), duration(0, 7 * DAY_MS), "30m"),
        turns_max=take(("recovery", "turns_max"), integer(1, 100), 2),
        linger_ms=take(("recovery", "linger"), duration(0, HOUR_MS), "10s"),
        stop_grace_ms=take(("recovery", "stop_grace"), duration(0, HOUR_MS), "5s"),
        breaker_max=take(("recovery", "breaker_max"), integer(1, 100), 3),
        breaker_ms=take(("recovery", "breaker_wait"), duration(0, 7 * DAY_MS), "30m"),
        progress_ms=take(("recovery", "progress_max"), duration(SECOND_MS, DAY_MS), "15m"),
        same_calls_max=take(("recovery", "same_calls_max"), integer(2, 1_000), 5),
        stagger_ms=take(("recovery", "stagger"), duration(0, HOUR_MS), "20s"),
        facts_max=take(("messages", "facts_max"), integer(0, 100), 10),
        same_within_ms=take(("messages", "same_within"), duration(0, DAY_MS), "10m"),
        consult_agent=take(("consult", "agent"), _agent_or_none, ""),
        consult_window_ms=take(("consult", "window"), duration(SECOND_MS, DAY_MS), "10m"),
        planner=take(("loop", "planner"), _agent_or_none, ""),
        replans_max=take(("loop", "replans_max"), integer(1, 100), 3),
        jail=read_jail(layers),
        ci=ci,
        hooks=read_hooks(layers),
        model_prices=read_prices(layers),
        workspace=workspace,
        repo_top=repo_top,
        search_path=search_path,
        presets=tables.read_presets(layers, agents),
        rulebook=Rulebook(intents=tables.read_intents(layers)),
        settings=layers.effective(),
    )


def _judged(config: Config) -> dead_settings.Judged:
    limits: dict[Key, int] = {
        ("fleet", "workers_max"): config.workers_max,
        ("recovery", "backoff"): config.backoff_ms,
        ("recovery", "backoff_max"): config.backoff_max_ms,
        ("recovery", "progress_max"): config.progress_ms,
        **dead_settings.limits_of(config.fleet_budget, ("budget",)),
        **dead_settings.limits_of(config.run_budget, ("budget", "run")),
        **dead_settings.limits_of(config.item_budget, ("budget", "item")),
        ("budget", "item", "wall_max"): config.wall_max_ms,
        ("budget", "item", "silence_max"): config.silence_max_ms,
    }
    for name, budget in config.plan_budgets:
        limits |= dead_settings.limits_of(budget, ("budget", "plans", name))
    for name, preset in config.presets.items():
        limits |= dead_settings.limits_of(preset.budget, ("kinds", name, "budget"))
    for section, named in (("lanes", config.lanes), ("kinds", config.kinds)):
        limits |= {(section, one.name, "workers_max"): one.workers_max for one in named if one.workers_max}
    return dead_settings.Judged(
        limits,
        config.lanes,
        config.autopick,
        dict(config.agents),
        config.planner,
        config.plan_budgets,
        config.is_metered,
        config.consult_agent,
    )


def _agent_or_none(value: object) -> str:
    return values.name(value) if value else values.text(value)


def _branch(value: object) -> str:
    """Take the short name of a branch; whether it exists is asked of git."""
    name = values.passable(value)
    if not name.isprintable() or name.startswith("-") or " " in name:
        raise Unfit(f"cannot be the branch {shown(name)}")
    if name.startswith("refs/"):
        raise Unfit(f"must be the short name of a branch, not {shown(name)}", 'as in target = "main"')
    return name


def _hours(value: object) -> tuple[tuple[int, int], ...]:
    """Take windows like `20:00-07:00, 12:00-13:00` as sorted minutes of the day that do not overlap."""
    minutes: list[tuple[int, int]] = []
    for window in values.text(value).split(",") if value else ():
        begin, end = _window(window.strip())
        minutes.extend([(begin, end)] if begin < end else [(begin, _DAY_MIN), (0, end)])
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(window for window in minutes if window[0] < window[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def _window(text: str) -> tuple[int, int]:
    match = _WINDOW.fullmatch(text)
    hint = 'as in "20:00-07:00" or "20:00-07:00, 12:00-13:00"'
    if match is None:
        raise Unfit(f"is not a window of the day: {shown(text)}", hint)
    numbers = [int(number) for number in match.groups()]
    begin, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if max(numbers[1], numbers[3]) > 59 or begin >= _DAY_MIN or end > _DAY_MIN:
        raise Unfit(f"holds a time that is none: {shown(text)}", hint)
    if begin == end:
        raise Unfit(f"holds an empty window: {shown(text)}", "leave the key out for the whole day")
    return begin, end


def _absolute_only(path: str) -> str:
    """Drop the entries of a `PATH` that depend on the working directory."""
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if entry.startswith("/"))


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
