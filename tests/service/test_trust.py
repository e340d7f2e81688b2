"""Commands of a repository run only after somebody agreed to exactly these."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganger.core.patterns import PathRules
from ganger.errors import StateDirError
from ganger.plans.port import Plan, read_plan
from ganger.service.config import Config, load
from ganger.service.trust import digest_of, is_trusted, trust, what_runs

CONFIG = """\
[checks.unit]
run = "python -m pytest -q"
[checks.lint]
run = "ruff check 'a b'"
[agents.fixer]
driver = "command"
run = "fix \\u001b[8m --all"
"""


def config_of(top: Path, text: str = CONFIG) -> Config:
    (top / "ganger.toml").write_text(text)
    return load(top, None, {"PATH": "/bin:/usr/bin"}, {})


def plan_of(top: Path, run: str, config: Config) -> Plan:
    path = top / "p.toml"
    head = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["x"]\n'
    path.write_text(head + f'checks = ["lint", {{ run = "{run}", name = "own" }}]\n')
    known = config.known(PathRules())
    plan, faults = read_plan(path, type(known)(checks=known.checks, agents=known.agents))
    assert plan is not None, faults
    return plan


def test_what_runs_is_said_in_full_and_harmlessly(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    plan = plan_of(tmp_path, "sh -c 'x | y'", config)
    assert what_runs(config, [plan]) == (
        "agent fixer: driver=command 'run=fix \\x1b[8m --all'",
        "check lint: ruff check 'a b'",
        "check unit: python -m pytest -q",
        "plan p: item a: check own: sh -c 'x | y'",
    )
    hidden = config_of(tmp_path, '[checks.unit]\nrun = "true ' + " x" * 500 + ' && false"\n'.replace("&&", "and"))
    assert what_runs(hidden)[0].endswith("x and false")


def test_the_digest_follows_what_is_executed(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    digest = digest_of(config)
    same = [
        "# comment\n" + CONFIG,
        CONFIG + "[fleet]\nworkers_max = 3\n",
        CONFIG.replace('-q"', '-q"\ntimeout = "1m"'),
        CONFIG[CONFIG.index("[agents") :] + CONFIG[: CONFIG.index("[agents")],
        CONFIG.replace('"python -m pytest -q"', '["python", "-m", "pytest", "-q"]'),
    ]
    assert [digest_of(config_of(tmp_path, text)) for text in same] == [digest] * len(same)
    others = [
        CONFIG.replace("-q", "-qq"),
        CONFIG.replace("'a b'", "a b"),
        CONFIG.replace("fixer", "other"),
        CONFIG.replace('"command"', '"claude_code"'),
        CONFIG + 'model = "x"\n',
        CONFIG + '[checks.new]\nrun = "true"\n',
    ]
    digests = {digest_of(config_of(tmp_path, text)) for text in others}
    assert len(digests | {digest}) == len(others) + 1
    config = config_of(tmp_path)
    plans = {digest_of(config, [plan_of(tmp_path, run, config)]) for run in ("x", "y")}
    assert len(plans | {digest}) == 3


def test_trust_is_kept(tmp_path: Path) -> None:
    assert not is_trusted(tmp_path, "d1")
    trust(tmp_path, "d1", "ann")
    trust(tmp_path, "d2", "bob")
    trust(tmp_path, "d1", "bob")
    assert is_trusted(tmp_path, "d1")
    assert is_trusted(tmp_path, "d2")
    assert not is_trusted(tmp_path, "d3")
    path = tmp_path / "trusted.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().count("d1") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["trusted.json"]


def test_agreeing_at_the_same_time_loses_nothing(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from ganger.service.trust import trust\n"
    code += "for n in range(10): trust(Path(sys.argv[1]), f'{sys.argv[2]}-{n}', 'me')"
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abcd"]
    assert [child.wait() for child in children] == [0] * 4
    assert all(is_trusted(tmp_path, f"{name}-{number}") for name in "abcd" for number in range(10))


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version": 1}', b'{"version": 1, "trusted": [1]}', b"\xff", b"[" * 100_000]
)
def test_a_damaged_record_is_no_trust(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trusted.json").write_bytes(content)
    (tmp_path / "trusted.json").chmod(0o600)
    with pytest.raises(StateDirError, match="is damaged"):
        is_trusted(tmp_path, "d")
    with pytest.raises(StateDirError, match="is damaged"):
        trust(tmp_path, "d", "me")
    assert (tmp_path / "trusted.json").read_bytes() == content


def test_a_record_that_others_could_write_is_no_trust(tmp_path: Path) -> None:
    trust(tmp_path, "d", "me")
    path = tmp_path / "trusted.json"
    path.chmod(0o622)
    with pytest.raises(StateDirError, match="only you can write"):
        is_trusted(tmp_path, "d")
    path.chmod(0o600)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("elsewhere")
    with pytest.raises(StateDirError, match="cannot be read"):
        is_trusted(tmp_path, "d")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StateDirError, match="only you can write"):
        is_trusted(tmp_path, "d")


def test_a_state_directory_that_is_not_there(tmp_path: Path) -> None:
    assert not is_trusted(tmp_path / "none", "d")
    with pytest.raises(StateDirError, match="cannot be opened"):
        trust(tmp_path / "none", "d", "me")
