"""The hooks of real agent programs, answered by the gate of their fleet: a denied write, a refused stop, a record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from programs import ALL, FOLDER
from test_night_agents import DONE, AgentNight, commit, night

from ganger.testing.model_server.steps import Say, Sh

__all__ = ["night"]
OUTSIDE = "src/b.txt is outside the scope src/a.txt; ask, or leave it"
UNSAID = "The turn is not over: Nothing is committed: commit your work"


def uses(night: AgentNight) -> list[dict[str, Any]]:
    """What the hooks told, in order."""
    printed = night.fleet.ganger("journal", "export").out
    events = [json.loads(line)["event"] for line in printed.splitlines()]
    return [use for event in events if event["type"] == "ToolsUsed" for use in event["uses"]]


STOPS = ("claude", "codex", "gemini", "qwen", "copilot", "pi")


@pytest.mark.parametrize(
    "driver", ["claude", "codex", *(("opencode", "pi", "gemini", "qwen", "copilot") if ALL else ())]
)
def test_an_agents_hooks_are_answered(night: AgentNight, driver: str) -> None:
    stopping = (Say(text="I am done."),) if driver in STOPS else ()
    night.agent(
        driver,
        Sh(command="echo no > src/b.txt"),
        Sh(command="git push origin HEAD"),
        Sh(command="echo more >> src/a.txt"),
        *stopping,
        commit("Change a"),
        DONE,
        Say(text="Done."),
    )
    night.fleet.item("a", agent=driver)
    night.tables.append(f'[jail]\nreadable = ["{FOLDER}"]\n')
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.server.states())
    assert night.fleet.landed_items() == ["a"]
    assert night.fleet.on_main("src/b.txt") == "b\n"
    told = uses(night)
    denied = [use["denied"] for use in told if use.get("denied")]
    assert denied[:2] == [OUTSIDE, "nothing is pushed from a workspace: commit, and ganger fetches your branch itself"]
    assert [reason.startswith(UNSAID) for reason in denied[2:]] == [True] * len(stopping)
    used = [use for use in told if use.get("target", "").startswith("echo") and not use.get("denied")]
    assert [use["target"] for use in used] == ["echo more >> src/a.txt"]
    assert used[0]["took_ms"] > 0
    assert not night.server.state(driver).unmet
    night.fleet.assert_sound()
