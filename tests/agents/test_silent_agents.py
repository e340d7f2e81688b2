"""Real agent programs that end a turn without a word: they are reminded once, and can still do what was asked."""

from __future__ import annotations

import pytest
from test_night_agents import DONE, AgentNight, commit, night  # noqa: F401 - a fixture

from ganger.testing.model_server.steps import Edit, Read, Say

REMINDED = "You have not said what became of it"


@pytest.mark.parametrize("driver", ["claude", "codex"])
def test_who_says_nothing_is_reminded_and_goes_on(night: AgentNight, driver: str) -> None:  # noqa: F811
    night.agent(
        driver,
        Say(text="I have thought about it."),
        Read(path="src/a.txt", expect=REMINDED),
        Edit(path="src/a.txt", old="a", new="a, after all"),
        commit("Change a"),
        DONE,
        Say(text="Done."),
    )
    night.tables.append('[hooks]\ngate = "off"\n')
    night.fleet.item("a", agent=driver)
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.server.states())
    assert night.fleet.on_main("src/a.txt") == "a, after all\n"
    assert not night.server.state(driver).unmet
    assert len(night.fleet.json("show", "a.1")["turns"]) == 2


def test_who_says_nothing_twice_is_not_reminded_again(night: AgentNight) -> None:  # noqa: F811
    night.agent("claude", Say(text="Hm."), Say(text="Hm, hm.", expect=REMINDED))
    night.tables.append('[hooks]\ngate = "off"\n')
    night.fleet.item("a", agent="claude", more="budget = { attempts_max = 1 }")
    assert night.run().code == 3
    shown = night.fleet.json("show", "a.1")
    assert shown["reason"].startswith("no report") and len(shown["turns"]) == 2
