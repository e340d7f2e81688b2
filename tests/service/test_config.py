"""The configuration: its layers, where each value came from, and everything that can be wrong in it."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen
from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ganger.core.model import Budget, Check, Kind, Lane, Rung, Writes
from ganger.core.patterns import PathRules
from ganger.core.policy import Policy
from ganger.errors import ConfigError
from ganger.plans.port import Contract, read_plan
from ganger.service.config import Config, load, user_config_path
from ganger.service.layers import Setting
from ganger.service.protected import PROTECTED
from ganger.service.tables import Agent, Driver, Predicate, Scorer
from ganger.service.trust import digest_of, what_runs

BUILT_IN = (
    Kind("consultant", writes=Writes.none),
    Kind("patcher"),
    Kind("planner", writes=Writes.plans),
    *(Kind(name, writes=Writes.none) for name in ("reviewer", "scout", "selector")),
    Kind("tester", writes=Writes.tests),
)

EVERYTHING = """\
[fleet]
target = "trunk"
workers_max = 3
allowed_hours = "20:00-07:00, 12:00-13:00"
lease_ttl = "5m"
depth_max = 1
children_max = 3
require_clean = true
permit_ttl = "1h"

[lanes]
autopick = ["docs", "auth"]
[lanes.auth]
paths = ["src/auth/**", "tests/auth/**"]
workers_max = 2
[lanes.docs]
paths = ["docs/**"]
[lanes.release]
paths = ["**"]
exclusive = true

[kinds.scout]
workers_max = 1
[kinds.patcher]

[checks.unit]
run = "python -m pytest -q"
timeout = "90s"
[checks.lint]
run = ["ruff", "check", "a b"]

[predicates.freeze]
run = "scripts/may-start --strict"
[predicates.load]
run = "load-below 4"
timeout = "500ms"

[scorers.imports]
run = "scripts/coupling"
[scorers.history]
run = ["together", "--since", "1 year"]
timeout = "1s"
threshold = 0.75

[verify]
rung = "in-scope"
contract = "off"
protected = ["scripts/ci/**"]

[landing]
train_max = 4
flaky_retries = 0
mode = "ask"
combine = "prepared"

[agents.fixer]
driver = "command"
run = "ruff check --fix ."
price = "free"
[agents.claude]
driver = "claude_code"
model = "x"
price = { input = 3, output = 15.75 }
provider = "anthropic"
[agents.codex]
driver = "codex"
price = "reported"
[agents.other]
driver = "command"

[budget]
usd_max = 20.1
tokens_max = 5_000_000
wall_max = "9h"
run = { usd_max = 0.3, tokens_max = 200_000, wall_max = "2h" }
item = { usd_max = 2.000001, tokens_max = 500_000, attempts_max = 5, wall_max = "1h", silence_max = "3m" }
[budget.plans.auth]
usd_max = 10
tokens_max = 1_000_000
wall_max = "3h"

[recovery]
backoff = "1s"
backoff_max = "2s"
turns_max = 4
linger = "0s"
stop_grace = "250ms"
breaker_max = 4
breaker_wait = "10m"
progress_max = "5m"
same_calls_max = 7
stagger = "3s"

[loop]
planner = "claude"
replans_max = 2
driver = ["scripts/drive", "--calm"]
driver_timeout = "3s"
"""


def loaded(
    top: Path, text: str = "", user: str | None = None, environ: Mapping[str, str] | None = None, **flags: str
) -> Config:
    (top / "ganger.toml").write_text(text)
    user_file = top / "user.toml"
    if user is not None:
        user_file.write_text(user)
    return load(top, user_file, environ or {}, {key.replace("__", "."): value for key, value in flags.items()})


def faults(
    top: Path, text: str = "", user: str | None = None, environ: Mapping[str, str] | None = None, **flags: str
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(top, text, user, environ, **flags)
    return caught.value.message.replace(f"{top}/", "").split("\n")


def test_without_any_file(tmp_path: Path) -> None:
    config = load(tmp_path, None, {}, {})
    policy = config.policy(PathRules(), 60, target="dev")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    assert policy == Policy(target="dev", workers_max=cores or 1, utc_offset_min=60, kinds=BUILT_IN)
    assert config.policy(PathRules(), 0).target == "main"
    assert (config.checks, config.agents, config.default_agent) == ({}, {}, "default")
    assert config.protected == PROTECTED
    known = config.known(PathRules())
    assert (known.attempts_max, known.wall_max_ms, known.silence_max_ms) == (3, 2_700_000, 600_000)
    assert {setting.source for setting in config.explain()} == {"built-in"}


def test_everything(tmp_path: Path) -> None:
    config = loaded(tmp_path, EVERYTHING)
    rules = PathRules(fold_case=True)
    assert config.policy(rules, -120, repo="r1") == Policy(
        target="trunk",
        workers_max=3,
        hours=((0, 420), (720, 780), (1200, 1440)),
        utc_offset_min=-120,
        lease_ttl_ms=300_000,
        backoff_ms=1_000,
        backoff_max_ms=2_000,
        turns_max=4,
        linger_ms=0,
        stop_grace_ms=250,
        train_max=4,
        flaky_retries=0,
        landing_mode="ask",
        combine="prepared",
        paths=rules,
        repo="r1",
        lanes=(
            Lane("auth", ("src/auth/**", "tests/auth/**"), workers_max=2),
            Lane("docs", ("docs/**",)),
            Lane("release", ("**",), exclusive=True),
        ),
        autopick=("docs", "auth"),
        kinds=tuple(Kind("scout", 1, Writes.none) if kind.name == "scout" else kind for kind in BUILT_IN),
        depth_max=1,
        children_max=3,
        agents=("fixer", "claude", "codex", "other"),
        permit_ms=3_600_000,
        require_clean=True,
        fleet_budget=Budget(20_100_000, 5_000_000, 32_400_000),
        plan_budgets=(("auth", Budget(10_000_000, 1_000_000, 10_800_000)),),
        run_budget=Budget(300_000, 200_000, 7_200_000),
        priced=frozenset({"fixer", "claude", "codex"}),
        providers=(("claude", "anthropic"),),
        stagger_ms=3_000,
        breaker_max=4,
        breaker_ms=600_000,
        progress_ms=300_000,
        same_calls_max=7,
        planner="claude",
        replans_max=2,
    )
    assert config.prices == {"fixer": (0, 0), "claude": (3_000_000, 15_750_000)}
    assert config.predicates == (
        Predicate("freeze", ("scripts/may-start", "--strict"), 2_000),
        Predicate("load", ("load-below", "4"), 500),
    )
    assert config.scorers == (
        Scorer("imports", ("scripts/coupling",), 2_000, 0.5),
        Scorer("history", ("together", "--since", "1 year"), 1_000, 0.75),
    )
    assert config.driver == Driver(("scripts/drive", "--calm"), 3_000)
    unit, lint = (
        Check("unit", ("python", "-m", "pytest", "-q"), 90_000),
        Check("lint", ("ruff", "check", "a b"), 600_000),
    )
    assert config.checks == {"unit": unit, "lint": lint}
    assert config.agents == {
        "fixer": Agent("fixer", "command", {"run": "ruff check --fix ."}, (0, 0)),
        "claude": Agent("claude", "claude_code", {"model": "x"}, (3_000_000, 15_750_000), "anthropic"),
        "codex": Agent("codex", "codex", {}, "reported"),
        "other": Agent("other", "command", {}),
    }
    assert config.protected == (*PROTECTED, "scripts/ci/**")
    known = config.known(rules)
    assert (known.rung, known.attempts_max, known.wall_max_ms, known.silence_max_ms) == (
        Rung.in_scope,
        5,
        3_600_000,
        180_000,
    )
    assert (known.agents, known.default_agent) == (frozenset({"fixer", "claude", "codex", "other"}), "fixer")
    assert known.default_checks == ("unit", "lint")
    assert (known.budget, known.fleet_budget.usd_micros) == (Budget(2_000_001, 500_000), 20_100_000)
    assert (list(known.lanes), known.contract) == (["auth", "docs", "release"], Contract.off)


def test_layers_and_their_sources(tmp_path: Path) -> None:
    user = '[fleet]\nworkers_max = 9\nlease_ttl = "1m"\n[agents.a]\ndriver = "command"\nmodel = "user"\n'
    project = '[fleet]\n\nworkers_max = 8\ntarget = "trunk"\n[agents.a]\nmodel = "project"\n'
    environ = {"GANGER_FLEET_WORKERS_MAX": "7", "GANGER_LANDING_MODE": "ask", "GANGER_RUN": "a.1", "GANGER_STATE": "/x"}
    config = loaded(tmp_path, project, user, environ, fleet__workers_max="6", recovery__linger="1m")
    assert (config.workers_max, config.lease_ttl_ms, config.landing_mode, config.linger_ms) == (
        6,
        60_000,
        "ask",
        60_000,
    )
    assert config.agents["a"] == Agent("a", "command", {"model": "project"})
    found = {setting.key: setting for setting in config.explain()}
    user_path = str(tmp_path / "user.toml")
    assert found["fleet.workers_max"] == Setting(
        "fleet.workers_max", "6", "flag", 0, "", ("user", "project", "environment")
    )
    assert found["fleet.lease_ttl"] == Setting("fleet.lease_ttl", '"1m"', "user", 3, user_path)
    assert found["fleet.target"] == Setting("fleet.target", '"trunk"', "project", 4, "ganger.toml")
    assert found["agents.a.model"] == Setting("agents.a.model", '"project"', "project", 6, "ganger.toml", ("user",))
    assert found["agents.a.driver"].source == "user"
    assert found["landing.mode"] == Setting("landing.mode", '"ask"', "environment", 0, "GANGER_LANDING_MODE")
    assert found["landing.train_max"] == Setting("landing.train_max", "8", "built-in")
    assert [setting.key for setting in config.explain()] == sorted(found)


def test_explained_values_are_safe_to_print(tmp_path: Path) -> None:
    config = loaded(tmp_path, '[agents.a]\ndriver = "command"\nrun = "x \\u001b]0;y\\u0007 \\u202e"\n')
    assert all(setting.value.isprintable() for setting in config.explain())
    assert config.agents["a"].settings["run"] == "x \x1b]0;y\x07 \u202e"


ONE_FAULT = [
    ("[fleet]\nworker_max = 2", "ganger.toml:2: unknown key `fleet.worker_max` (did you mean `workers_max`?)"),
    ("[flet]\nworkers_max = 2", "ganger.toml:1: unknown key `flet` (did you mean `fleet`?)"),
    ("[fleet]\ntrain_max = 2", "ganger.toml:2: unknown key `fleet.train_max` (did you mean `landing.train_max`?)"),
    ("x = 1", "ganger.toml:1: unknown key `x` (known here: `agents`, `budget`, `checks`, `ci`, `consult`, `fleet`, `hooks`, `jail`, `kinds`, `landing`, `lanes`, `loop`, `messages`, `predicates`, `prices`, `recovery`, `rules`, `scorers`, `verify`, `workspace`)"),
    ("fleet = 1", "ganger.toml:1: `fleet` must be a table (write [fleet])"),
    ("checks = 1", "ganger.toml:1: `checks` must be a table (write [checks])"),
    ('[checks]\nunit = "pytest"', "ganger.toml:2: `checks.unit` must be a table (write [checks.unit])"),
    ("[fleet]\nworkers_max = 0", "ganger.toml:2: `fleet.workers_max` is `0`, must be 1 to 1,000"),
    ('[fleet]\nworkers_max = "4"', "ganger.toml:2: `fleet.workers_max` must be a whole number, not text"),
    ("[fleet]\nlease_ttl = 600", 'ganger.toml:2: `fleet.lease_ttl` is `600` without a unit (as in "90s", "10m", "1h30m"; units are ms, s, m, h, d)'),
    ('[fleet]\nlease_ttl = "1ms"', "ganger.toml:2: `fleet.lease_ttl` is `1ms`, must be 10s to 1d"),
    ('[fleet]\nlease_ttl = "10 minutes"', 'ganger.toml:2: `fleet.lease_ttl` is no duration: `10 minutes` (as in "90s", "10m", "1h30m"; units are ms, s, m, h, d)'),
    ('[fleet]\ntarget = "--force"', "ganger.toml:2: `fleet.target` cannot be the branch `--force`"),
    ('[fleet]\ntarget = "refs/heads/main"', 'ganger.toml:2: `fleet.target` must be the short name of a branch, not `refs/heads/main` (as in target = "main")'),
    ('[fleet]\nallowed_hours = "8-18"', 'ganger.toml:2: `fleet.allowed_hours` is not a window of the day: `8-18` (as in "20:00-07:00" or "20:00-07:00, 12:00-13:00")'),
    ('[fleet]\nallowed_hours = "20:60-07:00"', 'ganger.toml:2: `fleet.allowed_hours` holds a time that is none: `20:60-07:00` (as in "20:00-07:00" or "20:00-07:00, 12:00-13:00")'),
    ('[fleet]\nallowed_hours = "07:00-07:00"', "ganger.toml:2: `fleet.allowed_hours` holds an empty window: `07:00-07:00` (leave the key out for the whole day)"),
    ('[checks.unit]\nrun = "a | b"', "ganger.toml:2: `checks.unit.run` holds `|`, but no shell runs it (put it into a script, or write sh -c '…')"),
    ('[checks.unit]\ntimeout = "3m"', 'ganger.toml:1: `checks.unit` has no `run` (as in run = "python -m pytest -q")'),
    ('[checks.unit]\nrun = "x"\ntime = "3m"', "ganger.toml:3: unknown key `checks.unit.time` (did you mean `timeout`?)"),
    ('[checks."a b"]\nrun = "x"', "ganger.toml:1: `checks.a b` is no name: it may hold only letters, digits, `_` and `-`, and begins with a letter or digit"),
    ('[verify]\nrung = "reviewed"', "ganger.toml:2: `verify.rung` `reviewed` is not in force in this version of ganger (the highest is `witnessed`)"),
    ('[verify]\nwitness = "fix"', "ganger.toml:2: `verify.witness` cannot be `fix` (did you mean `fixes`?)"),
    ('[verify]\nweakened = "no"', "ganger.toml:2: `verify.weakened` cannot be `no` (one of `refuse`, `inbox`, `allow`)"),
    ('[jail]\nchecks_network = "gateway"', 'ganger.toml:2: `jail.checks_network` cannot be "gateway": checks call no model (write "none" or "open")'),
    ('[prices.m]\ninput = 1.0', 'ganger.toml:1: `prices.m` has no `output` (as in [prices."claude-sonnet-*"] input = 3.0, output = 15.0: US dollars for a million tokens)'),
    ('[prices."a*b"]\ninput = 1.0\noutput = 2', 'ganger.toml:1: `prices.a*b` has a `*` that is not its last character (as in [prices."claude-sonnet-*"] input = 3.0, output = 15.0: US dollars for a million tokens)'),
    ('[prices.m]\ninput = -1\noutput = 2', 'ganger.toml:2: `prices.m.input` is `-1`, must be dollars for a million tokens, at most 1,000,000 (as in [prices."claude-sonnet-*"] input = 3.0, output = 15.0: US dollars for a million tokens)'),
    ('[prices.m]\ninput = 1\noutput = 2\n[prices.m.long]\ninput = 2\noutput = 3', 'ganger.toml:4: `prices.m.long` has no `above` (how many tokens a call must take to cost that: above = 200_000)'),
    ('[prices.m]\ninput = 1\noutput = 2\nlong = { above = 200_000, input = 2 }', 'ganger.toml:4: `prices.m.long` has no `output` (as in [prices."claude-sonnet-*"] input = 3.0, output = 15.0: US dollars for a million tokens)'),
    ('[prices.m]\ninput = 1\noutput = 2\nlong = 3', 'ganger.toml:4: `prices.m.long` must be a table (write [prices.m.long])'),
    ('[jail]\ntier_min = "T2"', "ganger.toml:2: `jail.tier_min` cannot be `T2` (one of `T0`, `T1`)"),
    ('[jail]\nreadable = ["here"]', "ganger.toml:2: `jail.readable` holds `here`, which is not an absolute path"),
    ('[jail]\nreadable = ["/no/such/place"]', "ganger.toml:2: `jail.readable` holds `/no/such/place`, which is not there"),
    ('[jail]\nwritable = ["/"]', 'ganger.toml:2: `jail.writable` holds `/`: that would be no jail (write tier_min = "T0" if you want none)'),
    ('[jail.limits]\nprocesses = 3', "ganger.toml:2: unknown key `jail.limits.processes` (did you mean `processes_max`?)"),
    ('[kinds.scout]\nnetwork = "some"', "ganger.toml:2: `kinds.scout.network` cannot be `some` (one of `none`, `gateway`, `open`)"),
    ("[lanes.auth]", 'ganger.toml:1: `lanes.auth` has no `paths` (as in paths = ["src/auth/**"])'),
    ("[lanes.auth]\npaths = []", 'ganger.toml:2: `lanes.auth.paths` is empty: nothing could be changed in it (["**"] is everything)'),
    ('[lanes.auth]\npaths = ["x"]\nexclusive = "yes"', "ganger.toml:3: `lanes.auth.exclusive` must be true or false, not text"),
    ('[lanes.auth]\npaths = ["x"]\nworkers = 3', "ganger.toml:3: unknown key `lanes.auth.workers` (did you mean `workers_max`?)"),
    ('[lanes."a b"]\npaths = ["x"]', "ganger.toml:1: `lanes.a b` is no name: it may hold only letters, digits, `_` and `-`, and begins with a letter or digit"),
    ('[lanes]\nauth = ["x"]', "ganger.toml:2: `lanes.auth` must be a table (write [lanes.auth])"),
    ('[lanes]\nautopick = ["atuh"]\n[lanes.auth]\npaths = ["x"]', "ganger.toml:2: `lanes.autopick` names no lane: `atuh` (did you mean `auth`?)"),
    ('[lanes]\nautopick = ["x"]', "ganger.toml:2: `lanes.autopick` names no lane: `x` (known: none)"),
    ('[lanes]\nautopick = ["auth", "auth"]\n[lanes.auth]\npaths = ["x"]', "ganger.toml:2: `lanes.autopick` names `auth` twice"),
    ('[lanes]\nautopick = ["all"]\n[lanes.all]\npaths = ["**"]\nexclusive = true', "ganger.toml:2: `lanes.autopick` names the lane `all`, but `lanes.all.exclusive` makes it run alone (an exclusive lane is never free while anything runs)"),
    ('[lanes.all]\npaths = ["**"]\nexclusive = true\nworkers_max = 2', "ganger.toml:4: `lanes.all.workers_max` (2) has no effect: `lanes.all.exclusive` makes it run alone (take it out)"),
    ('[fleet]\nworkers_max = 2\n[lanes.a]\npaths = ["x"]\nworkers_max = 3', "ganger.toml:5: `lanes.a.workers_max` (3) has no effect: `fleet.workers_max` (2) is reached first (lower it, or raise the other)"),
    ("[fleet]\nworkers_max = 2\n[kinds.scout]\nworkers_max = 3", "ganger.toml:4: `kinds.scout.workers_max` (3) has no effect: `fleet.workers_max` (2) is reached first (lower it, or raise the other)"),
    ('[predicates.a]\ntimeout = "1s"', 'ganger.toml:1: `predicates.a` has no `run` (as in run = "scripts/may-start")'),
    ('[predicates.a]\nrun = "x"\ntimeout = "2m"', "ganger.toml:3: `predicates.a.timeout` is `2m`, must be 10ms to 1m"),
    ('[scorers.a]\ntimeout = "1s"', 'ganger.toml:1: `scorers.a` has no `run` (as in run = "scripts/coupling")'),
    ('[scorers.a]\nrun = "x"\nthreshold = 0', "ganger.toml:3: `scorers.a.threshold` is `0`, must be above 0 and at most 1 (as in threshold = 0.5)"),
    ('[loop]\ndriver_timeout = "1s"', "ganger.toml:2: `loop.driver_timeout` has no effect: there is no `loop.driver` (leave it out)"),
    ('[loop]\ndriver = "a | b"', "ganger.toml:2: `loop.driver` holds `|`, but no shell runs it (put it into a script, or write sh -c '…')"),
    ('[verify]\ncontract = "require"', "ganger.toml:2: `verify.contract` cannot be `require` (did you mean `required`?)"),
    ('[budget]\nusd_max = "20"', "ganger.toml:2: `budget.usd_max` must be an amount in US dollars, not text (as in 20 or 2.5)"),
    ("[budget]\nusd_max = 0", "ganger.toml:2: `budget.usd_max` is `0`, must be 0.01 to 1,000,000 US dollars"),
    ("[budget]\nusd_max = nan", "ganger.toml:2: `budget.usd_max` is `nan`, must be 0.01 to 1,000,000 US dollars"),
    ("[budget]\nusd_max = 1.0000001", "ganger.toml:2: `budget.usd_max` is `1.0000001`, finer than a millionth of a dollar"),
    ("[budget]\nrun = { attempts_max = 2 }", "ganger.toml:2: unknown key `budget.run.attempts_max` (did you mean `tokens_max`?)"),
    ("[budget]\nplans = 3", "ganger.toml:2: `budget.plans` must be a table (write [budget.plans])"),
    ("[budget.plans]\nauth = 3", "ganger.toml:2: `budget.plans.auth` must be a table (write [budget.plans.auth])"),
    ("[budget]\nplan = 3", "ganger.toml:2: unknown key `budget.plan` (did you mean `plans`?)"),
    ("[budget.run]\nusd_max = 3\n[budget.item]\nusd_max = 2.5", "ganger.toml:2: `budget.run.usd_max` (3) has no effect: `budget.item.usd_max` (2.5) is reached first (lower it, or raise the other)"),
    ("[budget]\ntokens_max = 5\nitem = { tokens_max = 6 }", "ganger.toml:3: `budget.item.tokens_max` (6) has no effect: `budget.tokens_max` (5) is reached first (lower it, or raise the other)"),
    ('[budget]\nwall_max = "1h"\nrun = { wall_max = "2h" }', 'ganger.toml:3: `budget.run.wall_max` ("2h") has no effect: `budget.wall_max` ("1h") is reached first (lower it, or raise the other)'),
    ('[budget]\nrun = { wall_max = "10m" }\nitem = { wall_max = "20m" }', 'ganger.toml:3: `budget.item.wall_max` ("20m") has no effect: `budget.run.wall_max` ("10m") is reached first (lower it, or raise the other)'),
    ("[budget]\nusd_max = 1\n[budget.plans.a]\nusd_max = 2", "ganger.toml:4: `budget.plans.a.usd_max` (2) has no effect: `budget.usd_max` (1) is reached first (lower it, or raise the other)"),
    ("[budget]\nrun = { usd_max = 2 }\n[budget.plans.a]\nusd_max = 1", "ganger.toml:2: `budget.run.usd_max` (2) has no effect: `budget.plans.a.usd_max` (1) is reached first (lower it, or raise the other)"),
    ('[budget]\nusd_max = 1\n[agents.a]\ndriver = "command"\n[agents.b]\ndriver = "command"', 'ganger.toml:2: `budget.usd_max` cannot be kept: no agent has a price, neither of `agents.a.price`, `agents.b.price` (write price = "free", "reported" or { input = 3.0, output = 15.0 })'),
    ('[agents.a]\ndriver = "x"\nprice = "fre"', "ganger.toml:3: `agents.a.price` cannot be `fre` (did you mean `free`?)"),
    ('[agents.a]\ndriver = "x"\nprice = { input = 3 }', "ganger.toml:3: `agents.a.price` cannot be `{'input': 3}` (write \"free\", \"reported\", or { input = 3.0, output = 15.0 }, in US dollars for a million tokens)"),
    ('[agents.a]\ndriver = "x"\nprice = { input = -1, output = 2 }', "ganger.toml:3: `agents.a.price` `input` is `-1`, must be 0 to 10,000 US dollars"),
    ('[recovery]\nprogress_max = "1h"\n[budget.item]\nwall_max = "30m"', 'ganger.toml:2: `recovery.progress_max` ("1h") has no effect: `budget.item.wall_max` ("30m") is reached first (lower it, or raise the other)'),
    ('[loop]\nplanner = "claud"\n[agents.claude]\ndriver = "x"', "ganger.toml:2: `loop.planner` names no agent: `claud` (did you mean `claude`?)"),
    ("[loop]\nreplans_max = 2", "ganger.toml:2: `loop.replans_max` has no effect without `loop.planner` (name an agent, or take it out)"),
    ('[consult]\nwindow = "5m"', "ganger.toml:2: `consult.window` has no effect without `consult.agent` (name an agent, or take it out)"),
    ('[consult]\nagent = "critic"', "ganger.toml:2: `consult.agent` names no agent: `critic` (known: none)"),
    ("[budget]\nitem = 3", "ganger.toml:2: `budget.item` must be a table (write [budget.item])"),
    ('[landing]\nmode = "always"', "ganger.toml:2: `landing.mode` cannot be `always` (one of `auto`, `ask`)"),
    ('[agents.a]\nrun = "x"', 'ganger.toml:1: `agents.a` has no `driver` (as in driver = "command")'),
    ('[agents.a]\ndriver = "command"\nrun = 3', "ganger.toml:3: `agents.a.run` must be text in quotes, not a number"),
    ('[agents.a]\ndriver = "../x"', "ganger.toml:2: `agents.a.driver` `../x` may hold only letters, digits, `_` and `-`, and begins with a letter or digit"),
    ('[recovery]\nbackoff = "1h"\nbackoff_max = "1m"', "ganger.toml:3: `recovery.backoff_max` makes the other dead: backoff_max (1m) is shorter than backoff (1h) (raise backoff_max or lower backoff)"),
    ('[recovery]\nbackoff = "1h"', "ganger.toml:2: `recovery.backoff` makes the other dead: backoff_max (30m) is shorter than backoff (1h) (raise backoff_max or lower backoff)"),
    ("[fleet", "ganger.toml:1: is not TOML: Expected ']' at the end of a table declaration"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ONE_FAULT, ids=[text for text, _ in ONE_FAULT])
def test_one_fault(tmp_path: Path, text: str, expected: str) -> None:
    assert faults(tmp_path, text) == [expected]


def test_money_is_exact(tmp_path: Path) -> None:
    for text, micros in (("0.1", 100_000), ("2.675", 2_675_000), ("1e3", 10**9), ("999999.999999", 999_999_999_999)):
        assert loaded(tmp_path, f"[budget]\nusd_max = {text}\n").fleet_budget.usd_micros == micros
    environ = {"GANGER_BUDGET_USD_MAX": "0.7", "GANGER_FLEET_REQUIRE_CLEAN": "true"}
    config = loaded(tmp_path, environ=environ, budget__item__usd_max="0.3")
    assert (config.fleet_budget.usd_micros, config.item_budget.usd_micros) == (700_000, 300_000)
    assert config.require_clean


def test_what_only_this_machine_or_this_once_says_makes_no_setting_dead(tmp_path: Path) -> None:
    lane = '[lanes.a]\npaths = ["x"]\nworkers_max = 900\n[kinds.b]\nworkers_max = 900\n'
    assert loaded(tmp_path, lane).lanes[0].workers_max == 900
    assert loaded(tmp_path, lane, environ={"GANGER_FLEET_WORKERS_MAX": "1"}, fleet__workers_max="2").workers_max == 2
    assert loaded(tmp_path, '[budget.item]\nwall_max = "1m"\n').silence_max_ms == 600_000


def test_sources_of_named_tables_and_limits(tmp_path: Path) -> None:
    user = '[agents.a]\ndriver = "command"\nprice = { input = 1, output = 2.5 }\n[budget]\nusd_max = 5\n'
    project = '[lanes.docs]\npaths = ["docs/**"]\nexclusive = true\n[budget.plans.p]\nusd_max = 1\n'
    found = {one.key: (one.value, one.source, one.line) for one in loaded(tmp_path, project, user).explain()}
    assert found["agents.a.price"] == ("{ input = 1, output = 2.5 }", "user", 3)
    assert found["budget.usd_max"] == ("5", "user", 5)
    assert found["budget.plans.p.usd_max"] == ("1", "project", 5)
    assert found["lanes.docs.paths"] == ('["docs/**"]', "project", 2)
    assert found["lanes.docs.exclusive"] == ("true", "project", 3)
    assert found["budget.tokens_max"] == ("no limit", "built-in", 0)
    assert found["budget.run.wall_max"] == ("no limit", "built-in", 0)
    assert found["loop.planner"] == ('""', "built-in", 0)


def test_predicates_are_trusted_and_protected_as_checks_are(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/may-start").write_text("")
    text = '[predicates.freeze]\nrun = "./scripts/may-start -v"\n'
    config = loaded(tmp_path, text)
    assert config.protected[len(PROTECTED) :] == ("scripts/may-start",)
    assert what_runs(config) == ("predicate freeze: ./scripts/may-start -v",)
    assert digest_of(loaded(tmp_path, text.replace("-v", "-w"))) != digest_of(config)
    assert digest_of(loaded(tmp_path, text + 'timeout = "1s"\n[fleet]\ndepth_max = 1\n')) == digest_of(config)


def test_scorers_and_the_driver_are_trusted_and_protected_as_checks_are(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("near", "drive"):
        (tmp_path / "scripts" / name).write_text("")
    text = '[scorers.near]\nrun = "./scripts/near"\n[loop]\ndriver = "./scripts/drive -v"\n'
    config = loaded(tmp_path, text)
    assert set(config.protected[len(PROTECTED) :]) == {"scripts/near", "scripts/drive"}
    assert what_runs(config) == ("driver of the loop: ./scripts/drive -v", "scorer near: ./scripts/near")
    assert digest_of(loaded(tmp_path, text.replace("-v", "-w"))) != digest_of(config)
    assert digest_of(loaded(tmp_path, text.replace("near", "far"))) != digest_of(config)


def test_a_price_is_nothing_that_runs(tmp_path: Path) -> None:
    text = '[agents.a]\ndriver = "command"\nrun = "x"\n'
    priced = text + 'price = "free"\nprovider = "p"\n'
    assert digest_of(loaded(tmp_path, text)) == digest_of(loaded(tmp_path, priced))


def test_lanes_with_patterns_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, '[lanes.a]\npaths = ["ok", "../x"]')
    assert line.startswith("ganger.toml:2: `lanes.a.paths` holds a pattern that cannot be used: ")


def test_scopes_that_protect_nothing_are_refused(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, '[verify]\nprotected = ["ok", "../x"]')
    assert line.startswith("ganger.toml:2: `verify.protected` holds a pattern that cannot be used: ")


def test_all_faults_of_all_layers_in_one_message(tmp_path: Path) -> None:
    environ = {
        "GANGER_WORKERS_MAX": "2",
        "GANGER_FLEET_WORKER_MAX": "2",
        "GANGER_LANDING_MODE": "x",
        "GANGER_OTHER": "1",
    }
    text = '[fleet]\ncolour = 1\n[landing]\ntrain_max = "x"\n'
    lines = faults(tmp_path, text, "[fleet]\nworkers_max = 0\n", environ, fleet__targt="x", fleet__lease_ttl="9")
    assert lines == [
        "user.toml:2: `fleet.workers_max` is `0`, must be 1 to 1,000",
        "ganger.toml:2: unknown key `fleet.colour` (known here: `allowed_hours`, `children_max`, `depth_max`, `lease_ttl`, `permit_ttl`, `require_clean`, `target`, `workers_max`)",
        "ganger.toml:4: `landing.train_max` must be a whole number, not text",
        "environment: `GANGER_LANDING_MODE` cannot be `x` (one of `auto`, `ask`)",
        "environment: unknown setting `GANGER_FLEET_WORKER_MAX` (did you mean `GANGER_FLEET_WORKERS_MAX`?)",
        "environment: unknown setting `GANGER_WORKERS_MAX` (did you mean `GANGER_FLEET_WORKERS_MAX`?)",
        'flags: `fleet.lease_ttl` is `9` without a unit (as in "90s", "10m", "1h30m"; units are ms, s, m, h, d)',
        "flags: unknown key `fleet.targt` (did you mean `fleet.target`?)",
    ]


def test_hostile_values_are_shown_harmlessly(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, f'[fleet]\ntarget = "-\\u001b[2J{"x" * 4000}"\n')
    assert line.isprintable()
    assert len(line) < 120


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "user.toml").symlink_to(tmp_path / "nowhere")
    assert faults(tmp_path) == ["user.toml: cannot be read: No such file or directory"]
    (tmp_path / "ganger.toml").unlink()
    (tmp_path / "user.toml").unlink()
    os.mkfifo(tmp_path / "ganger.toml")
    with pytest.raises(ConfigError, match="is not a regular file"):
        load(tmp_path, None, {}, {})


def test_where_the_users_file_is() -> None:
    assert user_config_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/ganger/config.toml")
    assert user_config_path({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}) == Path("/h/.config/ganger/config.toml")
    assert user_config_path({}) is None


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("", ()),
        ("09:00-17:00", ((540, 1020),)),
        ("20:00-07:00", ((0, 420), (1200, 1440))),
        ("00:00-24:00", ((0, 1440),)),
        ("22:00-00:00", ((1320, 1440),)),
        ("9:00-12:00,12:00-13:00, 8:00-10:00", ((480, 780),)),
    ],
)
def test_hours(tmp_path: Path, text: str, hours: tuple[tuple[int, int], ...]) -> None:
    assert loaded(tmp_path, f'[fleet]\nallowed_hours = "{text}"').hours == hours


def test_programs_are_found_as_a_check_would_find_them(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, mode in (("bin/tool", 0o755), ("bin/data", 0o644), ("check.sh", 0o755)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    config = loaded(tmp_path, environ={"PATH": f".:{tmp_path}/bin:relative"})
    words = ("tool", "data", "check.sh", "./check.sh", "bin/data", str(tmp_path / "bin/tool"), "none", "bin")
    assert [word for word in words if config.has_program(word)] == ["tool", "./check.sh", str(tmp_path / "bin/tool")]


def test_scripts_that_checks_start_are_protected(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/check[1].sh").write_text("")
    (tmp_path / "all.sh").write_text("")
    text = '[checks.a]\nrun = "./ci/check[1].sh -v"\n[checks.b]\nrun = "bash -e all.sh"\n[checks.c]\nrun = "python ci/check.py"\n'
    assert loaded(tmp_path, text).protected[len(PROTECTED) :] == ("ci/check\\[1\\].sh", "all.sh")


def test_a_plan_is_read_with_what_the_configuration_knows(tmp_path: Path) -> None:
    config = loaded(tmp_path, EVERYTHING, environ={"PATH": "/nowhere"})
    plan = tmp_path / "p.toml"
    plan.write_text(
        '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["x"]\nchecks = ["unit"]\nagent = "claude"\n'
    )
    _, found = read_plan(plan, config.known(PathRules(), tracked_paths=lambda: ["y"]))
    assert [fault.message for fault in found] == [
        "item `a`: scope `x` matches no tracked file",
        "item `a`: check `unit`: there is no program `python`",
    ]
