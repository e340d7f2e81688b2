"""What every agent program does in a fleet besides its work: it uses tools that it is given, asks, and is answered."""

from __future__ import annotations

import pytest
from programs import ALL, FOLDER
from test_night_agents import DONE, AgentNight, night

from ganger.testing.model_server.steps import AnyStep, Call, Edit, Read, Say, Sh

__all__ = ["night"]
CALLED = {"claude": "mcp__ganger__my_work", "pi": ""}
"""What the tool of the worker protocol is called, where its last part is not enough; pi knows no servers."""


@pytest.mark.parametrize(
    "driver", ["codex", "pi", *(("claude", "opencode", "gemini", "qwen", "copilot") if ALL else ())]
)
def test_it_uses_a_tool_commits_as_its_run_asks_and_goes_on_with_the_answer(night: AgentNight, driver: str) -> None:
    tool = CALLED.get(driver, "my_work")
    first: tuple[AnyStep, ...] = (Call(tool=tool), Read(path="src/a.txt", expect="Do a")) if tool else ()
    night.agent(
        driver,
        *(first or (Read(path="src/a.txt"),)),
        Edit(path="src/a.txt", old="a", new="a done"),
        # Gemini's own shell takes git's global configuration away: who commits stands in the workspace's.
        Sh(command="git commit -qam 'Change a'"),
        Sh(command='ganger ask "Which end?" --option left --option right'),
        Say(text="I asked."),
        Sh(command="git log --format=%ae -1", expect="right"),
        DONE,
        Say(text="Done."),
    )
    night.fleet.item("a", agent=driver)
    night.tables.append(f'[jail]\nreadable = ["{FOLDER}"]\n')
    night.run()
    assert night.fleet.on_main("src/a.txt") == "a\n", "nothing lands before the answer"
    assert night.fleet.ganger("answer", "q1", "right").code == 0, (night.output("a.1"), night.server.states())
    done = night.run()
    assert done.code == 0, (done, night.output("a.1", 2), night.server.states())
    state = night.server.state(driver)
    assert (state.steps_left, state.over, state.unmet) == (0, 0, []), state
    assert "I asked." in state.conversation, "it goes on with its conversation"
    assert "a.1@ganger.invalid" in state.conversation
    assert night.fleet.on_main("src/a.txt") == "a done\n"
    night.fleet.assert_sound()
