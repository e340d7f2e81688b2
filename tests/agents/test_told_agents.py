"""A real agent at work is told what a person says, with its next tool call: its model's next request has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import ended
from test_night_agents import DONE, PATIENT, AgentNight, commit
from test_night_agents import night as night

from ganger.testing.model_server.steps import Edit, Read, Say, Sh

WAIT = Sh(command='touch "$HOME/began"; while [ ! -e "$HOME/go" ]; do sleep 0.1; done')


@pytest.mark.parametrize("driver", ["claude", "codex"])
def test_it_reads_it_at_its_next_tool_call(night: AgentNight, driver: str) -> None:
    told = "Said to you just now:\n- from dana: use B, not A"
    night.agent(
        driver,
        Read(path="src/a.txt"),
        WAIT,
        Edit(path="src/a.txt", old="a", new="B", expect=told),
        commit("Change a"),
        DONE,
        Say(text="Done."),
    )
    fleet = night.fleet
    fleet.item("a", agent=driver)
    fleet.configure(recovery=PATIENT, more="\n".join(night.tables))
    running = fleet.start("run", str(fleet.plan()), "--trust", "--quiet", env={"MODEL_KEY": "sk-1"})
    home = Path(fleet.state / "runs" / "a.1" / "turn-1" / "home")
    fleet.wait((home / "began").exists)
    assert fleet.ganger("tell", "a", "use B, not A").code == 0
    fleet.wait(lambda: fleet.json("show", "a.1")["messages"] != [])
    (home / "go").touch()
    done = ended(running)
    assert done.code == 0, (done, night.output("a.1"), night.server.states())
    assert not night.server.state(driver).unmet
    (row,) = fleet.json("show", "a.1")["messages"]
    assert (row["state"], row["at_work"], row["turn"]) == ("read", 1, 1)
    assert fleet.on_main("src/a.txt") == "B\n"
    fleet.assert_sound()
