"""A real agent at work is told what a person says, with its next tool call: its model's next request has it."""

from __future__ import annotations

from pathlib import Path

from builders import ended
from test_night_agents import DONE, PATIENT, AgentNight, commit
from test_night_agents import night as night
from test_real_agents import of

from ganger.testing.model_server.steps import Edit, Read, Say, Sh

PATIENCE_S = 300


def wait(folder: Path) -> Sh:
    """Say that it has begun, and wait until it may go on."""
    return Sh(command=f"touch {folder}/began; while [ ! -e {folder}/go ]; do sleep 0.1; done")


@of()
def test_it_reads_it_at_its_next_tool_call(night: AgentNight, agent: str) -> None:
    told = "Said to you just now:\n- from dana: use B, not A"
    night.agent(
        agent,
        Read(path="src/a.txt"),
        wait(night.fleet.shared),
        Edit(path="src/a.txt", old="a", new="B", expect=told),
        commit("Change a"),
        DONE,
        Say(text="Done."),
    )
    fleet = night.fleet
    fleet.item("a", agent=agent)
    fleet.configure(recovery=PATIENT, more="\n".join(night.tables))
    running = fleet.start("run", str(fleet.plan()), "--trust", "--quiet", env={"MODEL_KEY": "sk-1"})
    fleet.wait(lambda: (fleet.shared / "began").exists() or running.poll() is not None, PATIENCE_S)
    assert running.poll() is None, ended(running)
    assert fleet.ganger("tell", "a", "use B, not A").code == 0
    fleet.wait(lambda: fleet.json("show", "a.1")["messages"] != [], PATIENCE_S)
    (fleet.shared / "go").touch()
    done = ended(running, PATIENCE_S)
    assert done.code == 0, (done, night.output("a.1"), night.server.states())
    assert not night.server.state(agent).unmet
    (row,) = fleet.json("show", "a.1")["messages"]
    assert (row["state"], row["at_work"], row["turn"]) == ("read", 1, 1)
    assert fleet.on_main("src/a.txt") == "B\n"
    fleet.assert_sound()
