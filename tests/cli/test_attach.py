"""`ganger attach`: whose conversation is opened when, in which wall, and how the run goes on; the agent is a script."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import Fleet, quoted

from ganger.drivers.port import Conversational, Turn, driver_names, load_driver
from ganger.supervisor.launching import write_members
from ganger.testing.driver_suite import DriverSuite

RECOVERY = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "100ms"\nstop_grace = "300ms"\n'
AGENT = r"""#!/bin/sh
# Speaks like Claude Code: a turn with -p, and a conversation without.
session=; before=
for word in "$@"; do
    case $before in --session-id|--resume) session=$word;; esac
    before=$word
done
case " $* " in
*" -p "*)
    cat > "$HOME/brief"
    printf '{"type":"system","subtype":"init","session_id":"%s"}\n' "$session"
    printf '{"type":"assistant","message":{"content":[{"type":"text","text":"turn %s is here"}]}}\n' $GANGER_TURN
    if [ "$GANGER_TURN" = 1 ]; then touch "$HOME/began"; while :; do sleep 0.1; done; fi
    git add --all && git -c user.name=a -c user.email=a@b.invalid commit --quiet -m work
    ganger done --summary made >&2
    ;;
*)
    echo "HELLO $session $GANGER_RUN $TERM"
    test -t 0 && test -t 1 && echo TERMINAL
    echo by-person >> src/a.txt
    echo x 2>/dev/null > "OUTSIDE/evil" || echo WALLED
    while read line; do
        [ "$line" = leave ] && exit 0
        echo "heard $line"
    done
    ;;
esac
"""


class Person:
    """Somebody at a terminal, in which one command of ganger's runs."""

    def __init__(self, fleet: Fleet, *words: str, path: str = "") -> None:
        self.fleet, self.shown = fleet, b""
        env = fleet.env | {"TERM": "xterm"} | ({"PATH": path} if path else {})
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.chdir(fleet.repo)
            os.execve(sys.executable, [sys.executable, "-P", "-m", "ganger", *words], env)
        self.code: int | None = None

    def see(self, text: str, seconds: float = 60) -> None:
        """Wait until it stands on the screen."""
        until = time.monotonic() + seconds
        while text.encode() not in self.shown:
            assert time.monotonic() < until and self._read(), (text, self.shown.decode(errors="replace"))

    def _read(self) -> bool:
        if not select.select([self.terminal], [], [], 0.2)[0]:
            return True
        try:
            more = os.read(self.terminal, 65_536)
        except OSError:
            return False
        self.shown += more
        return bool(more)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def end(self) -> int:
        """Its exit status, once it has ended."""
        until = time.monotonic() + 60
        while self._read():
            assert time.monotonic() < until, self.shown.decode(errors="replace")
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.terminal)
        return self.code

    def close(self) -> None:
        if self.code is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            os.close(self.terminal)


@pytest.fixture
def person(fleet: Fleet) -> Iterator[Callable[..., Person]]:
    made: list[Person] = []

    def sit_down(*words: str, path: str = "") -> Person:
        made.append(Person(fleet, *words, path=path))
        return made[-1]

    yield sit_down
    for one in made:
        one.close()


@pytest.fixture
def at_work(fleet: Fleet) -> Fleet:
    """A fleet that is up, with the worker of `a.1` in the middle of its first turn."""
    fleet.begin()
    outside = fleet.root / "outside"
    outside.mkdir()
    program = fleet.root / "agents" / "claude"
    program.write_text(AGENT.replace("OUTSIDE", str(outside)))
    program.chmod(0o755)
    table = f'[agents.default]\ndriver = "claude"\nprogram = {quoted(str(program))}\nbase_url = "http://127.0.0.1:9"\n'
    fleet.configure(recovery=RECOVERY, more=table)
    fleet.item("a")
    up = fleet.ganger("up", str(fleet.plan()), "--trust")
    assert up.code == 0, up
    fleet.wait((fleet.state / "runs/a.1/turn-1/home/began").exists)
    return fleet


def question_of(fleet: Fleet) -> dict[str, str]:
    (question,) = fleet.json("inbox")["questions"]
    return question


def test_who_takes_over_works_in_the_same_conversation_and_wall(at_work: Fleet, person: Callable[..., Person]) -> None:
    somebody = person("attach", "a", "--take-over", "--here")
    somebody.see("a.1 waits for you from here on")
    somebody.see("WALLED")
    session = re.search(rb"HELLO (\S+) a\.1 xterm-256color", somebody.shown)
    assert session is not None, somebody.shown
    assert session[1].decode() in at_work.ganger("log", "a.1").out, "the conversation of the turn that was stopped"
    somebody.see("TERMINAL")
    asked = question_of(at_work)
    assert asked["kind"] == "worker" and "took this run over" in asked["text"]
    somebody.type("leave\r")
    somebody.see("Anything else is said to its worker")
    somebody.type("keep what I wrote\r")
    assert somebody.end() == 0
    at_work.wait(lambda: at_work.statuses()["a"] == "landed")
    assert at_work.on_main("src/a.txt") == "a\nby-person\n"
    assert "keep what I wrote" in (at_work.state / "runs/a.1/turn-2/home/brief").read_text()
    launch = json.loads((at_work.state / "runs/a.1/turn-2/manifest.json").read_text())["argv"]
    assert session[1].decode() in launch, "and the next turn goes on with it"
    assert at_work.ganger("down").code == 0
    at_work.assert_sound()


def test_what_the_person_says_is_done(at_work: Fleet, person: Callable[..., Person]) -> None:
    somebody = person("attach", "a", "--take-over", "--here")
    somebody.see("WALLED")
    somebody.type("leave\r")
    somebody.see("Enter: it goes on")
    somebody.type("\x03")  # agents are left with this, once or twice: it is no answer
    somebody.type("wait\r")
    assert somebody.end() == 0
    waiting = question_of(at_work)
    again = person("attach", "a", "--here")
    again.see("WALLED")
    assert question_of(at_work) == waiting, "it is opened as it is"
    again.type("leave\r")
    again.see("Enter: it goes on")
    again.type("stop\r")
    assert again.end() == 0
    at_work.wait(lambda: at_work.runs("a")[-1]["status"] == "stopped")
    assert at_work.ganger("down").code == 0
    restored = at_work.ganger("salvage", "show", "a.1")
    assert "src/a.txt" in restored.out, "the work of the person is kept with that of the worker"


def test_a_run_that_is_stopped_meanwhile_is_left(at_work: Fleet, person: Callable[..., Person]) -> None:
    somebody = person("attach", "a", "--take-over", "--here")
    somebody.see("WALLED")
    other = person("attach", "a", "--here")
    other.see("somebody has the conversation of a.1 open")
    assert other.end() == 1
    assert at_work.ganger("stop", "a").code == 0
    somebody.see("went on or ended meanwhile")
    assert somebody.end() == 0
    at_work.wait(lambda: at_work.runs("a")[-1]["status"] == "stopped")
    assert at_work.ganger("down").code == 0
    at_work.assert_sound()


def test_without_being_told_so_it_disturbs_nobody(at_work: Fleet) -> None:
    following = at_work.start("attach", "a")
    assert following.stdout is not None
    assert following.stdout.readline().startswith(b"conversation ")
    assert following.stdout.readline() == b"  turn 1 is here\n"
    nothing = at_work.ganger("attach", "a", "--take-over")
    assert nothing.code == 1 and "this is no terminal; nothing was changed" in nothing.err
    shown = at_work.ganger("attach", "a", "--print")
    assert shown.code == 0 and "--here" in shown.out.splitlines()[0]
    assert f"cd {at_work.state}/workspaces/a.1" in shown.out and " --resume " in shown.out
    assert " -p " not in shown.out
    value = at_work.json("attach", "a", "--print")
    assert (value["run"], value["turn"], value["keys"]) == ("a.1", 1, [])
    assert value["command"][-1] == "--here" and "--resume" in value["argv"]
    at_work.wait(lambda: at_work.ganger("inbox").code == 1)
    assert at_work.json("show", "a.1")["status"] == "working"
    assert at_work.ganger("down", "--now").code == 0
    following.communicate(timeout=60)


def test_without_tmux_it_says_how(at_work: Fleet, person: Callable[..., Person], tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(str(shutil.which(name, path=at_work.env["PATH"])))
    somebody = person("attach", "a", "--take-over", path=str(tools))
    somebody.see("tmux is not installed; nothing was changed. In a terminal:")
    somebody.see("--here")
    assert somebody.end() == 1
    assert at_work.ganger("inbox").code == 1
    assert at_work.ganger("down", "--now").code == 0


def test_of_one_that_has_ended_the_last_screen_is_shown(at_work: Fleet) -> None:
    assert at_work.ganger("stop", "a").code == 0
    at_work.wait(lambda: not (at_work.state / "workspaces/a.1").exists())
    done = at_work.ganger("attach", "a.1", "--take-over")
    assert done.code == 1
    assert done.out.splitlines()[-1] == "  turn 1 is here"
    assert "a.1 has ended (stopped), and its workspace is gone; the last it printed:" in done.err
    assert done.err.splitlines()[-1] == (
        "ganger log a.1 shows all of it, ganger salvage show a.1 what it left; ganger retry a"
    )
    for way in ("--print", "--json"):
        nothing = at_work.ganger("attach", "a.1", way)
        assert (nothing.code, nothing.out) == (1, "")
        assert nothing.err == "ganger: a.1 has ended (stopped), and its workspace is gone\n\nganger log a.1\n"
    assert at_work.ganger("down").code == 0


def test_a_program_holds_no_conversation(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", f"while [ ! -e {fleet.shared}/go ]; do sleep 0.05; done")
    fleet.configure(recovery=RECOVERY)
    fleet.item("a")
    assert fleet.ganger("up", str(fleet.plan()), "--trust").code == 0
    fleet.wait((fleet.state / "runs/a.1/turn-1/output.log").exists)
    done = fleet.ganger("attach", "a", "--take-over")
    assert done.code == 1
    assert "the driver 'command', which holds no conversation" in done.err and "ganger log a.1" in done.err
    assert fleet.ganger("down", "--now").code == 0
    nobody = fleet.ganger("attach", "b")
    assert nobody.code == 2


# How each agent is started for a person.

HEADLESS = {"-p", "--print", "exec", "run", "--mode", "--output-format", "--format", "--json", "--no-ask-user", "-"}


@pytest.mark.parametrize("name", [one for one in driver_names() if one not in ("acp", "command")])
def test_every_agent_goes_on_with_its_conversation_for_a_person(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", "sk-canary")
    settings = {"program": sys.executable, "model": "m", "base_url": "http://127.0.0.1:9", "key_env": "CANARY_KEY"}
    driver = load_driver(name)
    assert isinstance(driver, Conversational)
    turn: Turn = DriverSuite.turn(_Given(settings), tmp_path, session="the-session", turn=2)  # type: ignore[arg-type]
    launch = driver.interactive(turn)
    assert launch.stdin == b"" and not set(launch.argv) & HEADLESS
    assert any("the-session" in word for word in launch.argv)
    assert launch.env["TERM"] == "xterm-256color"
    assert "sk-canary" not in repr(launch)
    headless = driver.launch(turn)
    kept = {key: value for key, value in launch.env.items() if key != "TERM" and key in headless.env}
    assert kept and all(headless.env[key] == value for key, value in kept.items()), "the same state"


class _Given:
    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings

    def settings(self) -> dict[str, str]:
        return self._settings


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, {"a": {"b": 1}, "c": 2}),
        ('{"a": {"x": 3}, "d": 4}', {"a": {"x": 3, "b": 1}, "c": 2, "d": 4}),
        ('{"a": [1], "c": {}}', {"a": {"b": 1}, "c": 2}),
        ("no json", {"a": {"b": 1}, "c": 2}),
        ("[]", {"a": {"b": 1}, "c": 2}),
    ],
)
def test_members_are_put_beside_what_an_agent_keeps(tmp_path: Path, before: str | None, after: object) -> None:
    (tmp_path / "agent").mkdir()
    if before is not None:
        (tmp_path / "agent" / "own.json").write_text(before)
    write_members(tmp_path / "agent", {"own.json": {"a": {"b": 1}, "c": 2}})
    assert json.loads((tmp_path / "agent" / "own.json").read_text()) == after


def test_members_go_through_no_link(tmp_path: Path) -> None:
    """What an earlier turn may have left there is replaced, and not followed."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "theirs.json").write_text('{"mine": true}')
    (tmp_path / "agent" / "own.json").symlink_to(tmp_path / "theirs.json")
    write_members(tmp_path / "agent", {"own.json": {"c": 2}})
    assert json.loads((tmp_path / "agent" / "own.json").read_text()) == {"c": 2}
    assert (tmp_path / "theirs.json").read_text() == '{"mine": true}'
