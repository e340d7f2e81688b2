"""A person takes a real agent's run over in tmux: sees its conversation, works in it, and lets the run go on."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import ALL
from test_night_agents import DONE, AgentNight, commit
from test_night_agents import night as night

from ganger.cli.attach import server_of
from ganger.testing.model_server.steps import Say, Sh

RECOVERY = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "300ms"\nstop_grace = "1s"\n'
WAIT = Sh(command='touch "$TMPDIR/began"; while [ ! -e "$TMPDIR/go" ]; do sleep 0.1; done', text="FIRST-TOLD")
BY_PERSON = Sh(command="echo by-person > src/a.txt", text="AS-YOU-SAY")
READY = {
    "claude": "❯",
    "codex": "gpt-5",
    "pi": "FIRST-TOLD",
    "opencode": "FIRST-TOLD",
    "gemini": "Type your message",
    "qwen": "FIRST-TOLD",
}
"""What its screen shows once it listens."""
WAIT_S = 200


class Terminal:
    """A person's terminal: a tmux of the test's own, in which commands are typed."""

    def __init__(self, env: dict[str, str], cwd: Path, *words: str) -> None:
        self.name = f"ganger-test-{os.getpid()}"
        self.env = env | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        line = f"{shlex.join(words)}; echo STATUS=$?; sleep 1000"
        size = ("-x", "150", "-y", "50")
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", str(cwd), "sh", "-c", line)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.name, *words], env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def keys(self, *names: str) -> None:
        self._tmux("send-keys", *names)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def close(self) -> None:
        end_tmux(self.name, self.env)


def end_tmux(name: str, env: dict[str, str]) -> None:
    subprocess.run(["tmux", "-L", name, "kill-server"], env=env, capture_output=True, check=False)
    Path(f"/tmp/tmux-{os.getuid()}", name).unlink(missing_ok=True)


@pytest.fixture
def terminal(night: AgentNight) -> Iterator[Callable[..., Terminal]]:
    """Opens a person's terminal on a command of ganger's; what it leaves is ended."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    made: list[Terminal] = []

    def open_one(*words: str) -> Terminal:
        env = night.fleet.env | {"MODEL_KEY": "sk-1"}
        made.append(Terminal(env, night.fleet.repo, sys.executable, "-P", "-m", "ganger", *words))
        return made[-1]

    yield open_one
    for one in made:
        one.close()
    end_tmux(server_of(night.fleet.state, "a.1"), night.fleet.env)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("agent", READY if ALL else ["claude"])
def test_a_person_takes_over_and_lets_it_go_on(
    agent: str, night: AgentNight, terminal: Callable[..., Terminal]
) -> None:
    night.agent(agent, WAIT, BY_PERSON, Say(text="PERSON-SERVED"), commit("Change a"), DONE, Say(text="Done."))
    fleet = night.fleet
    fleet.item("a", agent=agent)
    fleet.configure(recovery=RECOVERY, more="\n".join(night.tables))
    up = fleet.ganger("up", str(fleet.plan()), "--trust", env={"MODEL_KEY": "sk-1"})
    assert up.code == 0, up
    fleet.wait((fleet.state / "runs" / "a.1" / "turn-1" / "tmp" / "began").exists, WAIT_S)
    person = terminal("attach", "a", "--take-over")

    def see(text: str) -> None:
        try:
            fleet.wait(lambda: text in person.screen(), WAIT_S)
        except AssertionError:
            raise AssertionError(f"{text!r} is not seen:\n{person.screen()}\n{night.server.state(agent)}") from None

    def press(key: str, text: str) -> None:
        """Press a key, again and again while it is not heard, until something stands there."""
        for _ in range(WAIT_S):
            if text in person.screen():
                return
            person.keys(key, key)  # to leave, most want it twice in a moment
            time.sleep(1)
        see(text)

    if agent == "codex":  # what the repository says of codex stays off: the person is told so
        see("Open restricted")
        press("Enter", "FIRST-TOLD")
    see("FIRST-TOLD")
    see(READY[agent])
    person.type("do it my way")
    see("do it my way")
    press("Enter", "PERSON-SERVED")
    assert (fleet.state / "workspaces" / "a.1" / "src" / "a.txt").read_text() == "by-person\n"
    assert "do it my way" in night.server.state(agent).conversation
    press("C-c", "a.1 waits for you")
    person.keys("Enter")
    see("STATUS=0")
    fleet.wait(lambda: fleet.statuses()["a"] == "landed", WAIT_S)
    assert fleet.ganger("down").code == 0
    assert fleet.on_main("src/a.txt") == "by-person\n"
    knows = "do it my way" in night.server.state(agent).conversation
    assert knows is (agent != "gemini"), (
        "its next turn goes on with what the person said; Gemini's with what was before"
    )
    person.close()
    fleet.assert_sound()
