"""A hook over HTTP is answered as the client's is: the same words, the same bounds, and a refusal where it matters."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hooked_run import OTHER, RULES, RUN, SECRET, reason
from test_gate_process import OUT, Lab

from ganger.core.ids import RunId
from ganger.drivers.hooks import PAYLOAD_BYTES_MAX, HookEvent, load_dialect, settings_like_claude
from ganger.worker_api.gatekeeper import Gatekeeper
from ganger.worker_api.hook_http import HEAD_BYTES_MAX, NotAHook, read_head

WRITE = {"tool_name": "Write", "tool_input": {"file_path": "docs/x"}}
INSIDE = {"tool_name": "Write", "tool_input": {"file_path": "src/x"}}
READ = {"tool_name": "Read", "tool_input": {"file_path": "docs/x"}}


class Web(Lab):
    """The gate, its keeper, and agents that post to it."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir, ())
        self.keeper.close()
        self.begin()

    def begin(self) -> None:
        self.keeper = Gatekeeper(self.state_dir, RULES, lambda run: self.lacking(run), self.told.append, over_http=True)
        self.keeper.serve(self.views)
        assert self.keeper.settle()

    @property
    def port(self) -> int:
        return int(self.keeper.url.rpartition(":")[2])

    def post(
        self, event: str, payload: Any, *, run: RunId = RUN, secret: str = SECRET, token: str = "7", **more: str
    ) -> tuple[int, str]:
        """The status and body of an answer."""
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        head = {"Authorization": f"Bearer {secret}", "X-Ganger-Run": run, "X-Ganger-Token": token} | more
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", f"/{event}/claude", text, head)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """What comes back for bytes, until the end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while more := connection.recv(65_536):
                found += more
            return found


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "state").mkdir()
    made = Web(tmp_path / "state")
    yield made
    made.keeper.close()


def denied(answer: tuple[int, str]) -> str:
    """Why a tool may not be used; empty when it may."""
    assert answer[0] == 200
    return reason(answer[1].encode()) if answer[1] != "{}" else ""


def test_it_says_what_the_client_is_told(web: Web) -> None:
    assert denied(web.post("pre-tool", WRITE)) == OUT
    assert denied(web.post("pre-tool", INSIDE)) == denied(web.post("pre-tool", READ)) == ""
    assert web.post("post-tool", {**INSIDE, "tool_response": "ok"}) == (200, "{}")
    web.lacking = lambda run: ("Not committed: src/x.",)
    stopped = json.loads(web.post("stop", {})[1])
    assert stopped["decision"] == "block" and "Not committed: src/x." in stopped["reason"]
    web.keeper.settle()
    assert [(use.tool, bool(use.denied)) for use in web.told[:2]] == [("Write", True), ("Write", False)]


@pytest.mark.parametrize(
    "about",
    [
        {"secret": "77" * 32},
        {"secret": ""},
        {"secret": "${GANGER_SECRET}"},
        {"run": OTHER},
        {"run": RunId("nobody.1")},
        {"token": "6"},
        {"token": ""},
        {"Origin": "http://evil.example"},
    ],
)
def test_who_does_not_show_who_asks_is_refused(web: Web, about: dict[str, Any]) -> None:
    assert "end the turn" in denied(web.post("pre-tool", INSIDE, **about))


@pytest.mark.parametrize(
    "payload",
    [b"", b"not json", b"[]", b'{"tool_name": "Write"', b'{"tool_name": "Write", "tool_name": "Read"}', b"[" * 100_000],
)
def test_what_is_no_question_is_refused(web: Web, payload: bytes) -> None:
    assert denied(web.post("pre-tool", payload))


def test_what_is_too_long_is_refused_when_all_of_it_is_sent(web: Web) -> None:
    """An answer before the end would be lost, and to the agent no answer is leave."""
    long = json.dumps({**INSIDE, "more": "x" * (PAYLOAD_BYTES_MAX + (4 << 20))}).encode()
    assert "longer than" in denied(web.post("pre-tool", long))


@pytest.mark.parametrize(
    "data",
    [
        b"GET /pre-tool/claude HTTP/1.1\r\n\r\n",
        b"POST /pre-tool/nobody HTTP/1.1\r\n\r\n",
        b"POST /delete/claude HTTP/1.1\r\n\r\n",
        b"POST /pre-tool/claude/../../etc HTTP/1.1\r\n\r\n",
        b"\x00" * (HEAD_BYTES_MAX + 1),
        b"ganger-hook 1 pre-tool claude a.1 7 00 00 0\n" + b"x" * HEAD_BYTES_MAX,
    ],
)
def test_anything_else_is_not_found(web: Web, data: bytes) -> None:
    assert web.raw(data).startswith(b"HTTP/1.1 404 ")
    assert denied(web.post("pre-tool", WRITE)) == OUT, "and others are answered"


def test_a_head_may_come_in_pieces() -> None:
    head = b"POST /stop/claude HTTP/1.1\r\nauthorization: Bearer 00\r\nX-Ganger-Run: a.1\r\nX-Ganger-Token: 7\r\n\r\n"
    assert all(read_head(head[:cut]) is None for cut in range(len(head)))
    found = read_head(head + b"rest")
    assert found is not None
    assert (found[0].event, found[0].run, found[0].token, found[0].secret) == (HookEvent.stop, "a.1", 7, "00")
    assert found[1] == len(head)
    twice = read_head(head[:-2] + b"X-Ganger-Run: b.1\r\n\r\n")
    assert twice is not None and twice[0].run == "-", "of two runs, neither"
    with pytest.raises(NotAHook):
        read_head(b"x" * HEAD_BYTES_MAX)


def test_those_that_begin_and_do_not_end_keep_nobody_waiting(web: Web) -> None:
    head = b"POST /pre-tool/claude HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"
    hanging = [socket.create_connection(("127.0.0.1", web.port), timeout=60) for _ in range(40)]
    try:
        for one in hanging:
            one.sendall(head)
        assert denied(web.post("pre-tool", WRITE)) == OUT
    finally:
        for one in hanging:
            one.close()


def test_another_gate_answers_where_the_one_before_did(web: Web) -> None:
    """Agents were told the address when they began."""
    before = web.port
    for again in range(2):
        if again:
            web.keeper.close()
            web.begin()
        else:
            os.kill(web.keeper.pid, signal.SIGKILL)
            until = time.monotonic() + 60
            while web.keeper.starts < 2 or not web.keeper.settle():
                assert time.monotonic() < until
        assert web.port == before
        assert denied(web.post("pre-tool", WRITE)) == OUT


def test_nobody_listens_where_it_was_not_wanted(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    lab = Lab(tmp_path / "state", ())
    try:
        assert lab.keeper.settle() and lab.keeper.url == ""
    finally:
        lab.keeper.close()


def test_only_an_agent_that_can_is_told_the_address() -> None:
    dialect = load_dialect("claude")
    made = settings_like_claude(dialect, lambda event: "client", "http://127.0.0.1:9")
    kinds = {event: made[name][0]["hooks"][0]["type"] for event, name in dialect.events.items()}  # type: ignore[index]
    assert kinds.pop(HookEvent.session_start) == "command", "it is never asked over HTTP"
    assert set(kinds.values()) == {"http"} and len(kinds) == 4
    assert SECRET not in json.dumps(made)
