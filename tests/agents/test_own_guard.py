"""Agent programs whose own guard stays on: each edits and commits, and does nothing that nobody allowed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import ALL
from test_real_agents import PATH, Make
from test_real_agents import make as make

from ganger.drivers.port import TurnEnded, TurnOutcome
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.testing.model_server import ModelServer
from ganger.testing.model_server.steps import Edit, Read, Say, Sh


@pytest.fixture
def outside() -> Iterator[Path]:
    """A name outside the workspace, and outside the folders for temporary files that Codex leaves open."""
    path = Path("/var/tmp") / f"ganger-guard-{secrets.token_hex(8)}"
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("agent", ["claude", "codex", *(("opencode", "gemini", "qwen", "copilot") if ALL else ())])
def test_it_edits_and_commits_and_does_nothing_else(agent: str, make: Make, server: ModelServer, outside: Path) -> None:
    shop = make(agent)
    shop.settings |= {"permissions": "guarded"}
    unasked = shop.workspace / "unasked.txt"
    if agent == "codex":
        # Its guard is a sandbox, which does not begin inside another one; in the workspace it lets everything be done.
        shop.jail = choose(Mechanism.none, "T0", tools_for(PATH, (shop.place,)))
        unasked = outside
    server.play(
        agent,
        Read(path="work.txt"),
        Edit(path="work.txt", old="hello", new="hello world"),
        Sh(command="git add --all"),
        Sh(command="git commit -m 'Mend it'"),
        Sh(command=f"python3 -c \"open('{unasked}', 'w')\""),
        Say(text="Done."),
    )
    assert shop.run("# Mend the login").code == 0, shop.output()
    assert shop.git.run("show", "main:work.txt") == b"hello world\n"
    assert not unasked.exists()
    state = server.state(agent)
    assert (state.steps_left, state.over) == (0, 0), "what it may not do is an answer, and not the end"
    assert TurnEnded(TurnOutcome.completed) in shop.events()
