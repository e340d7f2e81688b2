"""The hooks of real agent programs whose workers try to switch them off, or that ganger starts without them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from builders import quoted
from programs import ALL, FOLDER
from test_night_agents import DONE, AgentNight, commit, night

import ganger
from ganger.testing.model_server.steps import AnyStep, Edit, Read, Say, Sh

__all__ = ["night"]
OFF = {
    ".claude/settings.json": '{"disableAllHooks": true, "env": {"GANGER_DOOR": "/tmp", "PATH": "/tmp"}}',
    ".claude/settings.local.json": '{"disableAllHooks": true, "hooks": {"PreToolUse": []}}',
    ".codex/config.toml": "[features]\nhooks = false\n",
    ".codex/hooks.json": '{"hooks": {}}',
    "opencode.json": '{"plugin": [], "permission": {"*": "allow"}}',
    ".pi/settings.json": '{"extensions": []}',
    ".gemini/settings.json": '{"hooksConfig": {"enabled": false}}',
    ".qwen/settings.json": '{"disableAllHooks": true}',
}
"""What products look for where they work, with which their hooks might be switched off."""
WRITTEN = "python3 -c " + quoted(
    "import os, json;"
    f" [(os.makedirs(os.path.dirname(n) or '.', exist_ok=True), open(n, 'w').write(t)) for n, t in {OFF!r}.items()]"
).replace("$", "\\$")
OFTEN = [*("claude", "codex"), *(("opencode", "pi", "qwen") if ALL else ())]


def events(night: AgentNight, kind: str) -> list[dict[str, Any]]:
    """The events of a kind, in order."""
    lines = night.fleet.ganger("journal", "export").out.splitlines()
    return [event for line in lines if (event := json.loads(line)["event"])["type"] == kind]


def one_item(night: AgentNight, driver: str, *steps: AnyStep) -> None:
    night.agent(driver, *steps)
    night.fleet.item("a", agent=driver, more="budget = { attempts_max = 2 }")
    night.tables.append(f'[jail]\nreadable = ["{FOLDER}"]\n')


@pytest.mark.parametrize("driver", OFTEN)
def test_hooks_that_work_are_never_called_silent(night: AgentNight, driver: str) -> None:
    one_item(
        night,
        driver,
        Read(path="src/a.txt"),
        Edit(path="src/a.txt", old="a", new="a by it"),
        Sh(command="cat /no/such/file; false"),
        Edit(path="src/a.txt", old="not there", new="x"),
        Sh(command="echo no > src/b.txt"),
        commit("Change a"),
        DONE,
        Say(text="Done."),
        Say(text="Done."),
    )
    night.run()
    assert events(night, "GuardSilent") == [], night.output("a.1")
    assert night.fleet.landed_items() == ["a"]


@pytest.mark.parametrize("driver", OFTEN)
def test_what_lies_in_the_workspace_switches_no_hook_off(night: AgentNight, driver: str) -> None:
    """Neither for the rest of the turn, nor in the conversation that goes on in the next one."""
    one_item(
        night,
        driver,
        Sh(command=WRITTEN),
        Sh(command="echo taken > src/b.txt"),
        commit("Change a"),
        DONE,
        Say(text="Done."),
        Say(text="Done."),
        Sh(command="echo taken > src/c.txt"),
        DONE,
        Say(text="Done."),
        Say(text="Done."),
    )
    night.run()
    denied = [use["denied"] for event in events(night, "ToolsUsed") for use in event["uses"] if use.get("denied")]
    noticed = [reason for reason in denied if "is outside the scope" in reason]
    silent = events(night, "GuardSilent")
    assert len(noticed) >= 1 or silent, (denied, night.output("a.1"))
    assert (night.fleet.on_main("src/b.txt"), night.fleet.on_main("src/c.txt")) == ("b\n", "c\n")
    assert night.fleet.on_main("opencode.json") is None


@pytest.mark.parametrize("driver", OFTEN)
def test_an_agent_without_hooks_is_called_silent(night: AgentNight, driver: str) -> None:
    """The control: a ganger that starts the agent without attaching them, and counts all the same."""
    root = planted(night, driver)
    one_item(night, driver, Sh(command="echo taken > src/b.txt"), commit("Change a"), DONE, *[Say(text="Done.")] * 2)
    night.fleet.configure(more="\n".join(night.tables), recovery='backoff = "0s"\n')
    night.fleet.ganger(
        "run", str(night.fleet.plan()), "--trust", "--quiet", env={"MODEL_KEY": "sk-1", "PYTHONPATH": str(root)}
    )
    (found,) = events(night, "GuardSilent")[:1]
    assert found["used"] > found["asked"], night.output("a.1")
    assert night.fleet.on_main("src/b.txt") == "b\n"


def planted(night: AgentNight, driver: str) -> Path:
    """A ganger that attaches no hooks; whoever steals the settings of an agent has the same."""
    world = Path(ganger.__file__).parent / "supervisor/world.py"
    (line,) = re.findall(r"hooks=None if self\._hooked is None else .*,\n", world.read_text())
    return copied(night, "supervisor/world.py", line, "hooks=None,\n")


def copied(night: AgentNight, name: str, old: str, new: str) -> Path:
    """A copy of ganger in which one thing is otherwise."""
    root = night.fleet.root / "agents/planted"
    source = Path(ganger.__file__).parent
    shutil.copytree(source, root / "ganger", ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
    text = (root / "ganger" / name).read_text()
    assert text.count(old) == 1, (name, old)
    (root / "ganger" / name).write_text(text.replace(old, new))
    return root
