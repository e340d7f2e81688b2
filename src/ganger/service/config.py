"""The configuration of a fleet: `ganger.toml` and what lies around it, as typed values.

    [fleet]
    target = "main"              # branch that landings move; left out: the one checked out
    workers_max = 4              # live workers at once; left out: the number of cores
    allowed_hours = "20:00-07:00, 12:00-13:00"
    lease_ttl = "10m"
    [checks.unit]
    run = "python -m pytest -q"  # an argument list, split as a shell would, but no shell runs it
    timeout = "10m"
    [verify]
    rung = "checked"             # what an item must reach before it may land: committed | in-scope | checked
    protected = ["scripts/ci/**"]  # added to the built-in list
    [landing]
    train_max = 8                # candidates tested together
    flaky_retries = 1
    mode = "auto"                # auto | ask
    [agents.fixer]
    driver = "command"           # all other keys are texts for that driver
    run = "ruff check --fix ."
    [budget]
    item = { attempts_max = 3, wall_max = "45m", silence_max = "10m" }
    [recovery]
    backoff = "30s"              # after the first failed attempt; doubles up to backoff_max
    backoff_max = "30m"
    turns_max = 2                # turns of one run
    linger = "10s"               # how long a worker may outlive its report
    stop_grace = "5s"            # between the polite and the forced stop

The environment (`GANGER_FLEET_WORKERS_MAX=2`) and flags set single values too, but no checks, agents or lists.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from ganger.core.ids import ItemId, PlanId, name_fault
from ganger.core.model import Check, Rung
from ganger.core.patterns import PathRules, scope_fault
from ganger.core.policy import Policy
from ganger.plans import values
from ganger.plans.checks import CHECK_DEFAULT_MS, CHECK_MS
from ganger.plans.items import ATTEMPTS, SILENCE_MS, WALL_MS, rung
from ganger.plans.port import Known
from ganger.plans.values import DAY_MS, HOUR_MS, SECOND_MS, Unfit, duration, duration_text, integer
from ganger.plans.wording import shown
from ganger.service.layers import Layer, Layers, Setting
from ganger.service.protected import PROTECTED, check_scripts

CONFIG_NAME = "ganger.toml"
NOT_IN_FORCE = frozenset(
    {
        ("lanes",),
        ("jail",),
        ("verify", "witness"),
        *(("budget", name) for name in ("usd_max", "tokens_max", "wall_max")),
        *(("budget", "item", name) for name in ("usd_max", "tokens_max")),
    }
)
"""Promised keys that nothing acts on in this version: errors, so that nobody relies on them."""
WORKERS = (1, 1_000)
_WINDOW = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_DAY_MIN = 24 * 60


class Agent(Struct, frozen=True):
    """An `[agents.NAME]` table."""

    name: str
    driver: str
    settings: Mapping[str, str]
    """Everything but `driver`; what it means is up to the driver."""


class Config(Struct, frozen=True):
    """The effective configuration; durations in milliseconds."""

    target: str
    """Empty: the branch that is checked out."""
    workers_max: int
    hours: tuple[tuple[int, int], ...]
    """As in `Policy.hours`; a window over midnight is split in two."""
    lease_ttl_ms: int
    checks: Mapping[str, Check]
    agents: Mapping[str, Agent]
    rung: Rung
    protected: tuple[str, ...]
    """Patterns: the built-in list, the configured ones, and the scripts that checks start."""
    train_max: int
    flaky_retries: int
    landing_mode: str
    attempts_max: int
    wall_max_ms: int
    silence_max_ms: int
    backoff_ms: int
    backoff_max_ms: int
    turns_max: int
    linger_ms: int
    stop_grace_ms: int
    repo_top: Path
    search_path: str
    """Where programs are looked for: the `PATH` of the environment, absolute entries only."""
    settings: tuple[Setting, ...]

    def explain(self) -> tuple[Setting, ...]:
        """Give every setting with its effective value and where it came from, sorted by key."""
        return self.settings

    @property
    def default_agent(self) -> str:
        """The agent of an item that names none: the one called `default`, or else the first."""
        return "default" if "default" in self.agents else next(iter(self.agents), "default")

    def policy(self, rules: PathRules, utc_offset_min: int, target: str = "") -> Policy:
        """Make the numbers that decisions depend on; `target` is the branch to use when none is configured."""
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
            flaky_retries=self.flaky_retries,
            landing_mode=self.landing_mode,
            paths=rules,
        )

    def known(
        self,
        rules: PathRules,
        tracked_paths: Callable[[], Iterable[str]] | None = None,
        other_items: Mapping[ItemId, PlanId] | None = None,
    ) -> Known:
        """Say what a plan may refer to."""
        return Known(
            checks=self.checks,
            agents=frozenset(self.agents),
            default_agent=self.default_agent,
            default_checks=tuple(self.checks),
            rung=self.rung,
            attempts_max=self.attempts_max,
            wall_max_ms=self.wall_max_ms,
            silence_max_ms=self.silence_max_ms,
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
    files = [Layer("project", repo_top / CONFIG_NAME, CONFIG_NAME)]
    if user_config is not None:
        files.insert(0, Layer("user", user_config, str(user_config)))
    layers = Layers(tuple(files), environ, flags)
    config = _take_all(layers, repo_top, _absolute_only(environ.get("PATH", os.defpath)))
    _refuse_dead(layers, config)
    layers.refuse_unknown(NOT_IN_FORCE)
    layers.raise_faults()
    return config


def user_config_path(environ: Mapping[str, str]) -> Path | None:
    """Say where the user's own configuration is: `$XDG_CONFIG_HOME/ganger/config.toml`; None without a home."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        base = f"{home}/.config" if home.startswith("/") else ""
    return Path(base) / "ganger" / "config.toml" if base else None


def _take_all(layers: Layers, repo_top: Path, search_path: str) -> Config:
    take = layers.take
    checks = _checks(layers)
    extra = layers.take_from_files(("verify", "protected"), _patterns) or ()
    return Config(
        target=take(("fleet", "target"), _branch, ""),
        workers_max=take(("fleet", "workers_max"), integer(*WORKERS), min(_cores(), WORKERS[1])),
        hours=take(("fleet", "allowed_hours"), _hours, ""),
        lease_ttl_ms=take(("fleet", "lease_ttl"), duration(10 * SECOND_MS, DAY_MS), "10m"),
        checks=checks,
        agents=_agents(layers),
        rung=take(("verify", "rung"), rung, Rung.checked.label),
        protected=tuple(dict.fromkeys((*PROTECTED, *extra, *check_scripts(checks.values(), repo_top)))),
        train_max=take(("landing", "train_max"), integer(1, 100), 8),
        flaky_retries=take(("landing", "flaky_retries"), integer(0, 10), 1),
        landing_mode=take(("landing", "mode"), values.choice("auto", "ask"), "auto"),
        attempts_max=take(("budget", "item", "attempts_max"), integer(*ATTEMPTS), 3),
        wall_max_ms=take(("budget", "item", "wall_max"), duration(*WALL_MS), "45m"),
        silence_max_ms=take(("budget", "item", "silence_max"), duration(*SILENCE_MS), "10m"),
        backoff_ms=take(("recovery", "backoff"), duration(0, DAY_MS), "30s"),
        backoff_max_ms=take(("recovery", "backoff_max"), duration(0, 7 * DAY_MS), "30m"),
        turns_max=take(("recovery", "turns_max"), integer(1, 100), 2),
        linger_ms=take(("recovery", "linger"), duration(0, HOUR_MS), "10s"),
        stop_grace_ms=take(("recovery", "stop_grace"), duration(0, HOUR_MS), "5s"),
        repo_top=repo_top,
        search_path=search_path,
        settings=layers.effective(),
    )


def _refuse_dead(layers: Layers, config: Config) -> None:
    """Record a setting that another one keeps from ever having an effect."""
    if config.backoff_ms > config.backoff_max_ms:
        longest, first = duration_text(config.backoff_max_ms), duration_text(config.backoff_ms)
        keys = (("recovery", "backoff_max"), ("recovery", "backoff"))
        message = f"makes the other dead: backoff_max ({longest}) is shorter than backoff ({first})"
        layers.error(keys, message, "raise backoff_max or lower backoff")


def _checks(layers: Layers) -> dict[str, Check]:
    checks = {}
    for name in layers.tables("checks"):
        key = ("checks", name)
        argv = layers.take_from_files((*key, "run"), values.command)
        timeout_ms = layers.take_from_files((*key, "timeout"), duration(*CHECK_MS)) or CHECK_DEFAULT_MS
        _require(layers, key, "run", 'as in run = "python -m pytest -q"')
        if argv:
            checks[name] = Check(name, argv, timeout_ms)
    return checks


def _agents(layers: Layers) -> dict[str, Agent]:
    agents = {}
    for name, keys in layers.tables("agents").items():
        key = ("agents", name)
        driver = layers.take_from_files((*key, "driver"), values.name)
        _require(layers, key, "driver", 'as in driver = "command"')
        settings = {}
        for setting in keys:
            if setting != "driver":
                settings[setting] = layers.take_from_files((*key, setting), values.passable) or ""
        if driver:
            agents[name] = Agent(name, driver, settings)
    return agents


def _require(layers: Layers, key: tuple[str, str], inner: str, hint: str) -> None:
    """Record a table whose name is no name, or that lacks a key it must have."""
    if fault := name_fault(key[1]):
        layers.error((key,), f"is no name: it {fault}")
    if all(layer.get((*key, inner)) is None for layer in layers.files):
        layers.error((key,), f"has no `{inner}`", hint)


def _branch(value: object) -> str:
    """Take the short name of a branch; whether it exists is asked of git."""
    name = values.passable(value)
    if not name.isprintable() or name.startswith("-") or " " in name:
        raise Unfit(f"cannot be the branch {shown(name)}")
    if name.startswith("refs/"):
        raise Unfit(f"must be the short name of a branch, not {shown(name)}", 'as in target = "main"')
    return name


def _patterns(value: object) -> tuple[str, ...]:
    patterns = values.texts(value)
    for pattern in patterns:
        # Which names the file system takes for equal makes no difference to whether a pattern is one.
        if fault := scope_fault(pattern, PathRules()):
            raise Unfit(f"holds a pattern that cannot be used: {fault}")
    return patterns


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
