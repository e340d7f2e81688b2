"""The real Claude Code asks the gate over HTTP; and what it takes a gate that it cannot reach for."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from programs import ALL, BIN, need
from test_night_agents import DONE, AgentNight
from test_night_agents import night as night

import ganger.worker_api
from ganger.drivers.port import Hooks, load_driver
from ganger.testing.driver_suite import SECRET, Workshop
from ganger.testing.model_server import ModelServer
from ganger.testing.model_server.steps import Edit, Read, Say, Sh, Write

COMMIT = "git -c user.name=a -c user.email=a@b.invalid commit -qam 'Change a'"
SETTINGS = {"claude": "settings.json", "qwen": "qwen.json"}
PATH = f"{BIN}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize("via", ["http", "command"])
@pytest.mark.parametrize("agent", ["claude", "qwen"] if ALL else ["claude"])
def test_it_is_answered_as_by_the_client(night: AgentNight, agent: str, via: str) -> None:
    night.agent(
        agent,
        Read(path="src/b.txt"),
        Edit(path="src/b.txt", old="b", new="not mine"),
        Read(path="src/a.txt", expect="src/b.txt is outside the scope"),
        Edit(path="src/a.txt", old="a", new="mine"),
        Say(text="I think I am done."),
        Sh(command=COMMIT, expect="Not committed: src/a.txt"),
        DONE,
        Say(text="Done."),
    )
    night.tables.append(f'[hooks]\nvia = "{via}"\n')
    night.fleet.item("a", agent=agent)
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.server.states())
    state = night.server.state(agent)
    assert not state.unmet, state.unmet
    assert night.fleet.on_main("src/b.txt") == "b\n"
    settings = json.loads((night.fleet.state / "runs/a.1/agent" / SETTINGS[agent]).read_text())
    kinds = {name: entries[0]["hooks"][0]["type"] for name, entries in settings["hooks"].items()}
    assert kinds.pop("SessionStart") == "command"
    assert set(kinds.values()) == {via}
    assert "Change only files that match: src/a.txt" in state.conversation, "told at the start of the session"
    uses = [line for line in night.fleet.ganger("log", "-n", "1000").out.splitlines() if "src/b.txt" in line]
    assert uses, "what was denied is on record"


@pytest.mark.parametrize("via", ["http", "command"])
def test_no_answer_over_http_is_leave(
    via: str, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the program is the default: Claude Code goes on when it does not reach an address."""
    monkeypatch.setenv("CANARY_KEY", SECRET)
    settings = {"program": str(need("claude")), "base_url": server.url("claude"), "model": "claude-sonnet-4-5"}
    shop = Workshop(tmp_path / "shop", load_driver("claude"), settings | {"key_env": "CANARY_KEY"}, PATH)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    client = shop.place / "run" / "client.py"
    client.write_bytes((Path(ganger.worker_api.__file__).parent / "client.py").read_bytes())
    me = f"env GANGER_DOOR={shop.place} GANGER_RUN=a.1 GANGER_TOKEN=7 GANGER_SECRET=00"
    shop.hooks = Hooks(f"{me} {sys.executable} -I -S {client}", (), nobody if via == "http" else "")
    server.play("claude", Write(path="new.txt", content="x\n"), Say(text="Done."))
    shop.run("# Mend the login")
    assert (shop.workspace / "new.txt").exists() is (via == "http"), shop.output()
