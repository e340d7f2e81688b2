"""A real agent program hands a part of its work to another real one, by tools, and goes on with what that found."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_night_agents import AgentNight, commit

from ganger.testing.model_server import ModelServer
from ganger.testing.model_server.steps import Call, Edit, Read, Say

KINDS = """
[kinds.scout]
writes = "none"
[kinds.patcher]
spawn = ["scout"]
"""


@pytest.fixture
def night(tmp_path: Path, server: ModelServer):
    made = AgentNight(tmp_path / "lab", server)
    yield made
    left = made.fleet.close()
    assert not left, f"the test left processes: {left}"


def test_claude_code_asks_codex_and_goes_on_with_the_answer(night: AgentNight) -> None:
    wanted = {"kind": "scout", "brief": "What is in src/a.txt?", "agent": "codex"}
    night.agent(
        "claude",
        Call(tool="mcp__ganger__spawn", arguments=wanted),
        Call(tool="mcp__ganger__wait", expect="Begun as a-c1."),
        Say(text="I wait.", expect="Parked. End your turn now."),
        Read(path="src/a.txt", expect="> an a, says codex"),
        Edit(path="src/a.txt", old="a", new="a, as codex says"),
        commit("Change a"),
        Call(tool="mcp__ganger__done", arguments={"summary": "It is done."}),
        Say(text="Done.", expect="Reported. End your turn now."),
    )
    found = {"outcome": "findings", "summary": "an a, says codex", "evidence": ["src/a.txt:1"]}
    night.agent("codex", Call(tool="done", arguments=found), Say(text="Done.", expect="Reported."))
    night.tables.append(KINDS)
    night.fleet.item("a", agent="claude")
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.server.states())
    for driver in ("claude", "codex"):
        assert not night.server.state(driver).unmet, night.server.state(driver).unmet
    assert night.fleet.landed_items() == ["a"]
    (child,) = night.fleet.runs("a-c1")
    assert (child["agent"], child["kind"], child["status"]) == ("codex", "scout", "finished")
    night.fleet.assert_sound()
