"""What is found in a repository without any configuration, and that the file made of it loads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ganger.core.model import Lane
from ganger.service.config import load
from ganger.service.detect import AGENTS, Detected, detect, render_toml
from ganger.service.wiring import load_agents

UNITTEST = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass\n"
PYTEST = "def test_it():\n    assert True\n"


def tree(top: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with `python`, two agents, and nothing else."""
    directory = tmp_path_factory.mktemp("bin")
    for name in ("python", "claude", "aider"):
        (directory / name).symlink_to(sys.executable)
    return str(directory)


@pytest.mark.parametrize(
    ("files", "checks"),
    [
        ({}, {}),
        ({"src/a.py": ""}, {}),
        ({"tests/test_a.py": PYTEST}, {"pytest": "python -m pytest -q"}),
        ({"pkg/a_test.py": PYTEST}, {"pytest": "python -m pytest -q"}),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, {"pytest": "python -m pytest -q"}),
        ({"pyproject.toml": '[project]\nname = "x"\n'}, {}),
        ({"pyproject.toml": "not [ toml", "pytest.ini": ""}, {"pytest": "python -m pytest -q"}),
        ({"setup.cfg": "[tool:pytest]\n"}, {"pytest": "python -m pytest -q"}),
        ({"tests/conftest.py": "", "tests/test_a.py": UNITTEST}, {"pytest": "python -m pytest -q"}),
        ({"tests/test_a.py": UNITTEST}, {"unittest": "python -m unittest discover -q -s tests"}),
        ({"tests/__init__.py": "", "tests/test_a.py": UNITTEST}, {"unittest": "python -m unittest -q"}),
        ({"test_a.py": UNITTEST}, {"unittest": "python -m unittest -q"}),
        ({"my tests/test_a.py": UNITTEST}, {"pytest": "python -m pytest -q"}),
        ({"node_modules/x/test_a.py": PYTEST, ".tox/test_b.py": PYTEST}, {}),
        ({"go.mod": "module x\n"}, {"go-test": "go test ./..."}),
        ({"Cargo.toml": "[package]\n", "tests/a.rs": ""}, {"cargo-test": "cargo test"}),
        ({"package.json": '{"scripts": {"test": "vitest run"}}'}, {"npm-test": "npm test"}),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, {}),
        ({"package.json": '{"scripts": ["test"]}'}, {}),
        ({"package.json": "[" * 100_000}, {}),
        ({"Makefile": "all:\n\ntest: all\n\t./t\n"}, {"make-test": "make test"}),
        ({"Makefile": "test := 1\ntests:\n"}, {}),
        (
            {"Makefile": "test:\n", "go.mod": "", "test_a.py": PYTEST},
            {"pytest": "python -m pytest -q", "go-test": "go test ./..."},
        ),
    ],
)
def test_checks(tmp_path: Path, programs: str, files: dict[str, str], checks: dict[str, str]) -> None:
    detected = detect(tree(tmp_path, files), programs)
    assert detected.checks == checks
    (tmp_path / "ganger.toml").write_text(render_toml(detected, "main"))
    config = load(tmp_path, None, {}, {})
    assert {name: " ".join(check.argv) for name, check in config.checks.items()} == checks


def test_python_is_called_by_the_name_it_has(tmp_path: Path) -> None:
    assert detect(tree(tmp_path, {"test_a.py": PYTEST}), "/nowhere").checks == {"pytest": "python3 -m pytest -q"}


def test_agents_and_lanes(tmp_path: Path, programs: str) -> None:
    files = {f"{name}/x": "" for name in ("src", "docs", ".github", "node_modules", "build")}
    detected = detect(tree(tmp_path, {**files, "README": ""}), programs)
    assert detected == Detected({}, ("claude", "aider"), ("docs", "src"))


def test_the_file_that_is_made(tmp_path: Path, programs: str) -> None:
    files = dict.fromkeys(("go.mod", "src/a", "docs/b", "autopick/c", "a b/d", "q7/e"), "")
    text = render_toml(detect(tree(tmp_path, files), programs), 'feature/"x\\y')
    assert text == (
        "# What ganger does in this repository. `ganger config explain` shows every setting and where it comes from.\n"
        "\n[fleet]\n"
        'target = "feature/\\"x\\\\y"  # branch that landings move\n'
        '# workers_max = 4\n# allowed_hours = "20:00-07:00"\n'
        '\n# Names for scopes: an item with lane = "…" may change what is below these folders.\n[lanes]\n'
        'docs = { paths = ["docs/**"] }\nsrc = { paths = ["src/**"] }\n'
        '\n[checks.go-test]\nrun = "go test ./..."\ntimeout = "10m"\n'
        '\n[verify]\nrung = "checked"  # what an item must reach before it may land\n# protected = ["scripts/ci/**"]\n'
        '\n[landing]\nmode = "auto"  # auto | ask: each landing waits for you\n'
        "\n# Agents found on PATH: claude, aider.\n"
        '# [agents.claude]\n# driver = "claude"\n# key_env = "ANTHROPIC_API_KEY"\n# price = "reported"\n'
        "\n# Any program that reads its brief from standard input and works in its current directory is an agent too.\n"
        '# [agents.fixer]\n# driver = "command"\n# run = "ruff check --fix ."\n'
    )
    (tmp_path / "ganger.toml").write_text(text)
    config = load(tmp_path, None, {}, {})
    assert config.target == 'feature/"x\\y'
    assert config.lanes == (Lane("docs", ("docs/**",)), Lane("src", ("src/**",)))


@pytest.mark.parametrize("found", [Detected({}, (), ()), Detected({"unit": "x"}, ("claude", "codex", "pi"), ())])
def test_what_is_commented_out_loads_too(tmp_path: Path, found: Detected) -> None:
    lines = render_toml(found, "main").split("\n")
    uncommented = [line.removeprefix("# ") if line.startswith("# [") or " = " in line else line for line in lines]
    (tmp_path / "ganger.toml").write_text("\n".join(uncommented).replace("…", "true"))
    config = load(tmp_path, None, {}, {})
    assert config.agents
    assert config.checks
    assert config.workers_max == 4


def test_what_is_proposed_for_an_agent_is_what_its_driver_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [name for name, settings in AGENTS.items() if settings]
    for name in (*known, "ruff"):
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    for line in (line for settings in AGENTS.values() for line in settings if line.startswith("key_env")):
        monkeypatch.setenv(line.split('"')[1], "k")
    text = render_toml(Detected({}, tuple(AGENTS), ()), "main")
    lines = [line.removeprefix("# ") if line.startswith("# [") or " = " in line else line for line in text.split("\n")]
    (tmp_path / "ganger.toml").write_text("\n".join(lines).replace("…", "true"))
    config = load(tmp_path, None, {}, {})
    assert sorted(config.agents) == sorted([*known, "fixer"])
    assert {name: agent.driver for name, agent in config.agents.items() if name in known} == {one: one for one in known}
    assert load_agents(config)


def test_branches_that_toml_cannot_hold(tmp_path: Path) -> None:
    for target in ("caf\udce9", "a\x1bb", ""):
        (tmp_path / "ganger.toml").write_text(render_toml(Detected({}, (), ()), target))
        assert load(tmp_path, None, {}, {}).target == ""


def test_a_hostile_tree_is_survived(tmp_path: Path, programs: str) -> None:
    os.mkfifo(tmp_path / "Makefile")
    os.mkfifo(tmp_path / "test_pipe.py")
    (tmp_path / "pyproject.toml").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "package.json").write_bytes(b"\xff" * 10)
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    detected = detect(tmp_path, programs)
    assert detected.checks == {}
    assert detected.lanes == ("caf\udce9",)
