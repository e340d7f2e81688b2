"""The configuration: its layers, where each value came from, and everything that can be wrong in it."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen
from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ganger.core.model import Check, Rung
from ganger.core.patterns import PathRules
from ganger.core.policy import Policy
from ganger.errors import ConfigError
from ganger.plans.port import read_plan
from ganger.service.config import Agent, Config, load, user_config_path
from ganger.service.layers import Setting
from ganger.service.protected import PROTECTED

EVERYTHING = """\
[fleet]
target = "trunk"
workers_max = 3
allowed_hours = "20:00-07:00, 12:00-13:00"
lease_ttl = "5m"

[checks.unit]
run = "python -m pytest -q"
timeout = "90s"
[checks.lint]
run = ["ruff", "check", "a b"]

[verify]
rung = "in-scope"
protected = ["scripts/ci/**"]

[landing]
train_max = 4
flaky_retries = 0
mode = "ask"

[agents.fixer]
driver = "command"
run = "ruff check --fix ."
[agents.claude]
driver = "claude_code"
model = "x"

[budget]
item = { attempts_max = 5, wall_max = "1h", silence_max = "3m" }

[recovery]
backoff = "1s"
backoff_max = "2s"
turns_max = 4
linger = "0s"
stop_grace = "250ms"
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
    assert policy == Policy(target="dev", workers_max=cores or 1, utc_offset_min=60)
    assert config.policy(PathRules(), 0).target == "main"
    assert (config.checks, config.agents, config.default_agent) == ({}, {}, "default")
    assert config.protected == PROTECTED
    known = config.known(PathRules())
    assert (known.attempts_max, known.wall_max_ms, known.silence_max_ms) == (3, 2_700_000, 600_000)
    assert {setting.source for setting in config.explain()} == {"built-in"}


def test_everything(tmp_path: Path) -> None:
    config = loaded(tmp_path, EVERYTHING)
    rules = PathRules(fold_case=True)
    assert config.policy(rules, -120) == Policy(
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
        paths=rules,
    )
    unit, lint = (
        Check("unit", ("python", "-m", "pytest", "-q"), 90_000),
        Check("lint", ("ruff", "check", "a b"), 600_000),
    )
    assert config.checks == {"unit": unit, "lint": lint}
    assert config.agents == {
        "fixer": Agent("fixer", "command", {"run": "ruff check --fix ."}),
        "claude": Agent("claude", "claude_code", {"model": "x"}),
    }
    assert config.protected == (*PROTECTED, "scripts/ci/**")
    known = config.known(rules)
    assert (known.rung, known.attempts_max, known.wall_max_ms, known.silence_max_ms) == (
        Rung.in_scope,
        5,
        3_600_000,
        180_000,
    )
    assert (known.agents, known.default_agent, known.default_checks) == ({"fixer", "claude"}, "fixer", ("unit", "lint"))


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
    ("x = 1", "ganger.toml:1: unknown key `x` (known here: `agents`, `budget`, `checks`, `fleet`, `landing`, `recovery`, `verify`)"),
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
    ('[verify]\nrung = "reviewed"', "ganger.toml:2: `verify.rung` `reviewed` is not in force in this version of ganger (the highest is `checked`)"),
    ('[verify]\nwitness = "fixes"', "ganger.toml:2: `verify.witness` is not in force in this version of ganger (take it out: nothing would act on it)"),
    ('[jail]\nnetwork = "open"', "ganger.toml:2: `jail.network` is not in force in this version of ganger (take it out: nothing would act on it)"),
    ("[jail]", "ganger.toml:1: `jail` is not in force in this version of ganger (take it out: nothing would act on it)"),
    ('[lanes.auth]\npaths = ["x"]', "ganger.toml:1: `lanes.auth` is not in force in this version of ganger (take it out: nothing would act on it)"),
    ("[budget]\nusd_max = 20.0", "ganger.toml:2: `budget.usd_max` is not in force in this version of ganger (take it out: nothing would act on it)"),
    ("[budget]\nitem = { usd_max = 2.0 }", "ganger.toml:2: `budget.item.usd_max` is not in force in this version of ganger (take it out: nothing would act on it)"),
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
        "ganger.toml:2: unknown key `fleet.colour` (known here: `allowed_hours`, `lease_ttl`, `target`, `workers_max`)",
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
