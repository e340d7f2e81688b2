"""The gate as a process, with its keeper and its clients: what is answered, and what without them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hooked_run import OTHER, RULES, RUN, SECRET, reason
from msgspec.structs import replace

from ganger.core.ids import RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.errors import WorldFailed
from ganger.service.places import Places
from ganger.service.worker_door import prepare
from ganger.service.worker_talk import short_path
from ganger.worker_api.gatekeeper import Gatekeeper
from ganger.worker_api.views import SOCKET, VIEW, RunView, Used, decode_view

FOREVER_MS = 1 << 52
OUT = "docs/x is outside the scope src/**; ask, or leave it"
NO_GATE = "ganger cannot say whether this may be done (its gate does not answer); reading goes on\n"


class Lab:
    """A state directory with a gate, and workers that ask it."""

    def __init__(self, state_dir: Path, client: tuple[str, ...]) -> None:
        self.state_dir, self.client = state_dir, client
        self.told: list[Used] = []
        self.lacking: Callable[[RunId], tuple[str, ...]] = lambda run: ()
        self.keeper = Gatekeeper(state_dir, RULES, lambda run: self.lacking(run), self.told.append)
        self.views = {run: self.view(run) for run in (RUN, OTHER)}
        self.keeper.serve(self.views)

    def view(self, run: RunId) -> RunView:
        place = self.state_dir / "workspaces" / run
        place.mkdir(parents=True)
        secret = SECRET if run == RUN else "77" * 32
        return RunView(
            run, Token(7), secret, str(place), Lease(Token(7), ("src/**",), LeaseMode.exclusive, FOREVER_MS), 1
        )

    def door(self, run: RunId = RUN) -> Path:
        return Places(self.state_dir).door(run)

    def ask(
        self, event: str, payload: Any, *slow: str, run: RunId = RUN, **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Ask as an agent of a run does."""
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        about = {"GANGER_DOOR": str(self.door(run)), "GANGER_RUN": run, "GANGER_TOKEN": "7", "GANGER_SECRET": SECRET}
        return subprocess.run(
            [*self.client, event, "claude", "Grep,Read", *slow],
            input=text,
            env=about | env,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def write(self, path: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        return self.ask("pre-tool", {"tool_name": "Write", "tool_input": {"file_path": path}}, **env)


@pytest.fixture
def lab(tmp_path: Path, client: tuple[str, ...]) -> Iterator[Lab]:
    deep = tmp_path / ("d" * 90) / "state"
    deep.mkdir(parents=True)
    made = Lab(deep, client)
    assert made.keeper.settle()
    yield made
    made.keeper.close()
    assert not made.keeper.pid


def test_a_client_prints_what_the_gate_says(lab: Lab) -> None:
    allowed, denied = lab.write("src/x"), lab.write("docs/x")
    assert (allowed.returncode, allowed.stdout, allowed.stderr) == (0, b"", b"")
    assert (denied.returncode, reason(denied.stdout), denied.stderr) == (0, OUT, b"")
    assert lab.ask("session-start", {}).stdout == b""
    lab.ask("post-tool", {"tool_name": "Read", "tool_input": {"file_path": "x"}, "duration_ms": 3})
    assert lab.keeper.settle()
    assert [(used.tool, used.denied, used.took_ms) for used in lab.told] == [("Write", OUT, 0), ("Read", "", 3)]


def test_what_changes_is_known_at_once(lab: Lab) -> None:
    lease = Lease(Token(7), ("docs/**",), LeaseMode.exclusive, FOREVER_MS)
    lab.keeper.serve({**lab.views, RUN: replace(lab.views[RUN], lease=lease)})
    assert lab.keeper.settle()
    assert lab.write("docs/x").stdout == b""
    lab.keeper.serve({OTHER: lab.views[OTHER]})
    assert lab.keeper.settle()
    assert reason(lab.write("docs/x").stdout).startswith("this call does not come from a run that is live")


def test_a_worker_speaks_for_its_own_run_only(lab: Lab) -> None:
    forged = "this call does not come from a run that is live: end the turn"
    assert reason(lab.write("src/x", GANGER_SECRET="77" * 32).stdout) == forged
    assert reason(lab.write("src/x", GANGER_RUN=OTHER).stdout) == forged
    assert reason(lab.ask("pre-tool", {"tool_name": "Read", "tool_input": {}}, GANGER_SECRET="0").stdout) == forged


def test_a_turn_that_lacks_something_does_not_end_twice(lab: Lab) -> None:
    lab.lacking = lambda run: ("Nothing is committed.",)
    answers = [lab.ask("stop", {"stop_hook_active": False}).stdout for _ in range(3)]
    assert [reason(answer) for answer in answers] == [
        "The turn is not over: Nothing is committed.",
        "The turn is not over: Nothing is committed.",
        "",
    ]
    lab.keeper.serve({**lab.views, RUN: replace(lab.views[RUN], turn=2)})
    assert lab.keeper.settle()
    assert reason(lab.ask("stop", {}).stdout)


def test_what_cannot_be_found_out_holds_no_turn_up(lab: Lab) -> None:
    def fails(run: RunId) -> tuple[str, ...]:
        raise WorldFailed("no disk")

    lab.lacking = fails
    assert lab.ask("stop", {}).stdout == b""
    lab.lacking = lambda run: ("x",)
    lab.keeper.serve({**lab.views, RUN: replace(lab.views[RUN], report="failed")})
    assert lab.keeper.settle()
    assert lab.ask("stop", {}).stdout == b""


def test_one_worker_with_many_questions_keeps_no_other_from_the_gate(lab: Lab) -> None:
    held = []

    def hold(said: bytes) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(lab.door(), SOCKET) as path:
            connection.connect(path)
        connection.sendall(said)
        held.append(connection)

    for _ in range(300):
        hold(b"ganger-hook 1 pre-tool claude %s 7 %s %s 9\n" % (RUN.encode(), SECRET.encode(), b"0" * 32))
        hold(b"")
    time.sleep(0.3)
    assert reason(lab.ask("pre-tool", {"tool_name": "Write", "tool_input": {"file_path": "docs/x"}}, run=OTHER,
                          GANGER_SECRET="77" * 32).stdout) == OUT  # fmt: skip
    for connection in held:
        connection.close()


def test_a_gate_that_is_killed_is_started_again(lab: Lab) -> None:
    os.kill(lab.keeper.pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while lab.keeper.starts < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert lab.keeper.settle()
    assert reason(lab.write("docs/x").stdout) == OUT
    assert lab.write("src/x").returncode == 0


@pytest.mark.slow
def test_a_gate_that_hangs_is_ended_and_another_one_answers(lab: Lab) -> None:
    os.kill(lab.keeper.pid, signal.SIGSTOP)
    held_up = lab.write("src/x")
    assert (held_up.returncode, held_up.stderr.decode()) == (2, NO_GATE)
    until = time.monotonic() + 30
    while lab.keeper.starts < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert lab.keeper.settle()
    assert lab.write("src/x").returncode == 0


@pytest.mark.parametrize(
    "way", ["removed", "nobody listens", "hangs up", "half an answer", "no length", "another name"]
)
def test_without_an_answer_what_writes_is_denied_and_what_reads_is_not(lab: Lab, way: str) -> None:
    path = lab.door() / SOCKET
    path.unlink()
    answers = {"hangs up": b"", "half an answer": b"5\n{", "no length": b"{}", "another name": b"-1\n"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        if way != "removed":
            with short_path(lab.door(), SOCKET) as name:
                listening.bind(name)
        if way in answers:
            listening.listen(8)
            threading.Thread(target=_say, args=(listening, answers[way]), daemon=True).start()
        read = {"tool_input": {"tool_name": "Write"}, "tool_name": "Read"}
        for payload, code in ((read, 0), ({"tool_name": "Write"}, 2), (b'{"tool_name":"Rea', 2), (b"", 2)):
            done = lab.ask("pre-tool", payload)
            assert (done.returncode, done.stdout) == (code, b""), payload
            assert done.stderr.decode() == (NO_GATE if code else "")
        for event in ("post-tool", "stop", "session-start", "prompt"):
            done = lab.ask(event, {})
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        listening.close()


def _say(listening: socket.socket, text: bytes) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(1 << 16)
            connection.sendall(text)


def test_the_slow_path_takes_over_with_the_payload(lab: Lab) -> None:
    (lab.door() / SOCKET).unlink()
    show = "import sys; print(sys.argv[1:], len(sys.stdin.read()))"
    done = lab.ask("pre-tool", b"x" * 100_000, sys.executable, "-c", show)
    assert (done.returncode, done.stdout) == (0, b"['pre-tool', '--agent', 'claude'] 100000\n")
    for fails in (("/no/such/program",), ("/bin/sh", "-c", "echo '{}'; exit 1"), ("/bin/sh", "-c", "kill -9 $$")):
        done = lab.ask("pre-tool", {"tool_name": "Write"}, *fails)
        assert (done.returncode, done.stderr.decode()) == (2, NO_GATE), "what agents do not know as a denial is leave"
        assert lab.ask("pre-tool", {"tool_name": "Read"}, *fails).returncode == 0


def test_the_slow_path_answers_from_what_was_left_for_the_run(lab: Lab) -> None:
    (lab.door() / SOCKET).unlink()
    slow = (sys.executable, "-P", "-m", "ganger", "hook")

    def write(path: str, **env: str) -> str:
        payload = {"tool_name": "Write", "tool_input": {"file_path": path}}
        done = lab.ask("pre-tool", payload, *slow, HOME="/", **env)
        assert (done.returncode, done.stderr) == (0, b"")
        return reason(done.stdout)

    assert write("src/x") == ""
    assert write("docs/x") == OUT
    assert "live with this token" in write("src/x", GANGER_TOKEN="8")
    left = decode_view((lab.state_dir / "runs" / RUN / VIEW).read_bytes())
    assert (left.secret, left.run) == ("", RUN)
    (lab.state_dir / "runs" / RUN / VIEW).write_text("{")
    assert write("src/x").startswith("ganger cannot say whether this may be done (")
    assert lab.ask("pre-tool", {"tool_name": "Read", "tool_input": {}}, *slow, HOME="/").stdout == b""


def test_payloads_that_are_too_long_are_denied(lab: Lab) -> None:
    big = b'{"tool_name":"Write","tool_input":{"file_path":"src/x","content":"' + b"x" * (3 << 20) + b'"}}'
    assert "it is longer than 2 MiB" in reason(lab.ask("pre-tool", big).stdout)
    fits = b'{"tool_name":"Write","tool_input":{"file_path":"src/x","content":"' + b"x" * (1 << 20) + b'"}}'
    assert lab.ask("pre-tool", fits).stdout == b""


def test_many_ask_at_once(lab: Lab) -> None:
    found: list[str] = []
    askers = [threading.Thread(target=lambda: found.append(reason(lab.write("docs/x").stdout))) for _ in range(24)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert found == [OUT] * 24


def test_a_run_that_begins_later_is_served(lab: Lab) -> None:
    late = RunId("c.1")
    prepare(lab.state_dir, late)
    lab.keeper.serve({**lab.views, late: replace(lab.view(late), secret=SECRET)})
    assert lab.keeper.settle()
    assert (
        reason(lab.ask("pre-tool", {"tool_name": "Write", "tool_input": {"file_path": "docs/x"}}, run=late).stdout)
        == OUT
    )
