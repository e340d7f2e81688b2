"""Hooks in a person's own settings: put there once, shown, and taken away without a trace."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ganger.cli.main import tree
from ganger.drivers.hook_install import OURS, agents
from ganger.errors import GangerError, UsageError

FILES = {
    "claude": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini": ".gemini/settings.json",
    "qwen": ".qwen/settings.json",
    "copilot": ".copilot/hooks/ganger.json",
    "opencode": ".config/opencode/plugin/ganger.js",
}
HAD: dict[str, Any] = {
    "model": "über",
    "hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}],
        "Stop": [{"hooks": [{"type": "command", "command": "also mine"}]}],
    },
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "XDG_CONFIG_HOME", "GANGER_RUN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*args: str) -> Result:
    done = CliRunner().invoke(tree, ["agents", "install", *args], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, GangerError):
        raise done.exception
    return done


def everything(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("agent", agents())
def test_installed_once_and_taken_away_without_a_trace(home: Path, agent: str) -> None:
    first = run(agent)
    path = home / FILES[agent]
    assert set(everything(home)) == {FILES[agent]}
    assert OURS in path.read_text()
    assert any(line.startswith("+") and OURS in line for line in first.stdout.splitlines())
    there = everything(home)
    assert "they are there already" in run(agent).stderr
    assert everything(home) == there
    run(agent, "--uninstall")
    assert everything(home) == {}
    assert "they were not there" in run(agent, "--uninstall").stderr


@pytest.mark.parametrize("agent", ["claude", "codex", "qwen"])
@pytest.mark.parametrize("indent", [2, 4, "\t"])
def test_other_settings_stay_letter_by_letter(home: Path, agent: str, indent: int | str) -> None:
    path = home / FILES[agent]
    path.parent.mkdir(parents=True)
    had = json.dumps(HAD, indent=indent, ensure_ascii=False) + "\n"
    path.write_text(had)
    path.chmod(0o640)
    run(agent)
    found = json.loads(path.read_text())
    assert found["model"] == "über"
    assert found["hooks"]["PreToolUse"][0] == HAD["hooks"]["PreToolUse"][0]
    assert len(found["hooks"]["PreToolUse"]) == 2
    assert found["hooks"]["Stop"] == HAD["hooks"]["Stop"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    run(agent, "--uninstall")
    assert path.read_text() == had


def test_another_version_takes_the_place_of_an_older_one(home: Path) -> None:
    run("claude")
    path = home / FILES["claude"]
    path.write_text(path.read_text().replace("pre-tool", "pre-tool-of-old"))
    run("claude")
    found = json.loads(path.read_text())["hooks"]["PreToolUse"]
    assert len(found) == 1
    assert "pre-tool-of-old" not in str(found)


def test_a_dry_run_changes_nothing(home: Path) -> None:
    assert OURS in run("claude", "--dry-run").stdout
    assert everything(home) == {}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"hooks": 1}',
        '{"hooks": {"PreToolUse": {"matcher": "Bash"}}}',
        "// x\n{}",
        '{"model": "a", "model": "b"}',
        '{"temperature": NaN}',
        '{"temperature": 1e999}',
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("how", [(), ("--uninstall",)])
def test_settings_that_cannot_be_written_as_they_stand_are_left_alone(
    home: Path, text: str, how: tuple[str, ...]
) -> None:
    path = home / FILES["claude"]
    path.parent.mkdir()
    path.write_text(text)
    done = run("claude", *how)
    assert isinstance(done.exception, UsageError)
    assert str(path) in done.exception.message
    assert done.exception.hint == "make it plain JSON without comments, then try again; nothing was changed"
    assert everything(home) == {FILES["claude"]: text.encode()}


@pytest.mark.parametrize(
    "text",
    ["", " \n", '{"model": "\\ud800"}\n', '{"hooks": {"Stop": [], "PreToolUse": [{"matcher": "Bash", "hooks": []}]}}'],
)
def test_unusual_settings_lose_nothing(home: Path, text: str) -> None:
    path = home / FILES["claude"]
    path.parent.mkdir()
    path.write_text(text)
    run("claude")
    assert OURS in path.read_text()
    run("claude", "--uninstall")
    left = json.loads(path.read_text()) if path.exists() else {}
    assert left == json.loads(text.strip() or "{}")


def test_what_a_person_put_beside_it_stays_in_its_place(home: Path) -> None:
    run("claude")
    path = home / FILES["claude"]
    settings = json.loads(path.read_text())
    settings["hooks"]["PreToolUse"].append({"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]})
    edited = json.dumps(settings | {"model": "x"}, indent=2)
    path.write_text(edited)
    assert "they are there already" in run("claude").stderr
    assert path.read_text() == edited
    run("claude", "--uninstall")
    settings["hooks"]["PreToolUse"].pop(0)
    assert path.read_text() == json.dumps(settings | {"model": "x"}, indent=2)


def test_what_a_person_put_into_a_file_of_ours_stays(home: Path) -> None:
    run("copilot")
    path = home / FILES["copilot"]
    settings = json.loads(path.read_text())
    settings["hooks"]["preToolUse"].append({"type": "command", "bash": "mine"})
    path.write_text(json.dumps(settings))
    run("copilot", "--uninstall")
    assert json.loads(path.read_text()) == {
        "version": 1,
        "hooks": {"preToolUse": [{"type": "command", "bash": "mine"}]},
    }
    run("copilot")
    assert [OURS in one["bash"] for one in json.loads(path.read_text())["hooks"]["preToolUse"]] == [False, True]


@pytest.mark.parametrize("how", [(), ("--uninstall",)])
def test_a_program_that_somebody_changed_is_left_alone(home: Path, how: tuple[str, ...]) -> None:
    run("opencode")
    path = home / FILES["opencode"]
    path.write_text(path.read_text() + "// mine\n")
    before = everything(home)
    done = run("opencode", *how)
    assert isinstance(done.exception, UsageError)
    assert "it is not as ganger wrote it" in done.exception.message
    assert everything(home) == before


def test_somebody_elses_program_of_that_name_is_left_alone(home: Path) -> None:
    path = home / FILES["opencode"]
    path.parent.mkdir(parents=True)
    path.write_text("// mine\n")
    assert isinstance(run("opencode").exception, UsageError)
    assert "they were not there" in run("opencode", "--uninstall").stderr
    assert path.read_text() == "// mine\n"


@pytest.mark.parametrize("kind", ["read-only", "folder", "pipe"])
def test_what_is_no_file_to_be_written_is_left_alone(home: Path, kind: str) -> None:
    path = home / FILES["claude"]
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("{}")
        path.chmod(0o444)
    before = everything(home)
    done = run("claude")
    assert isinstance(done.exception, UsageError)
    assert str(path) in done.exception.message
    assert everything(home) == before


@pytest.mark.parametrize(
    ("agent", "text", "said"),
    [
        ("claude", '{"disableAllHooks": true}', "`disableAllHooks` switches hooks off: claude asks nobody"),
        (
            "gemini",
            '{"hooksConfig": {"enabled": false}}',
            "`hooksConfig.enabled` switches hooks off: gemini asks nobody",
        ),
        ("claude", "{}", ""),
    ],
)
def test_a_setting_that_switches_hooks_off_is_named(home: Path, agent: str, text: str, said: str) -> None:
    path = home / FILES[agent]
    path.parent.mkdir()
    path.write_text(text)
    assert said in run(agent).stderr
    assert ("switches hooks off" in run(agent).stderr) is bool(said)


def test_a_link_stays_a_link(home: Path) -> None:
    (home / "dotfiles").mkdir()
    (home / ".claude").mkdir()
    (home / FILES["claude"]).symlink_to(home / "dotfiles/claude.json")
    run("claude")
    assert (home / FILES["claude"]).is_symlink()
    assert OURS in (home / "dotfiles/claude.json").read_text()


def test_the_agents_own_variable_says_where(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "elsewhere"))
    run("claude")
    assert list(everything(home)) == ["elsewhere/settings.json"]


def test_no_worker_installs_anything(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANGER_RUN", "a.1")
    done = run("claude")
    assert isinstance(done.exception, GangerError)
    assert "the worker of a.1 may not ask for InstallHooks" in done.exception.message
    assert everything(home) == {}
