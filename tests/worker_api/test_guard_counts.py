"""The gate tells of every question before a use, whatever it answers, so that uses without one are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hooked_run import NOW_MS, OTHER, RUN, SECRET, Hook, gate_of, reason, view

from ganger.core.ids import Token
from ganger.drivers import port
from ganger.drivers.command import CommandDriver
from ganger.drivers.hooks import HookEvent
from ganger.supervisor.stream import Told, tell
from ganger.worker_api.gate import AGAIN, FORGED, STALE, UNREAD, Gate
from ganger.worker_api.views import Asking, Used

WRITE = json.dumps({"tool_name": "Write", "tool_input": {"file_path": "src/x"}}).encode()


def told(gate: Gate) -> list[Any]:
    """What went up since the last look."""
    found = [message for message in gate.out if isinstance(message, Asking | Used)]
    gate.out.clear()
    return found


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return gate_of(view(tmp_path), view(tmp_path, run=OTHER, secret="77" * 32))


@pytest.mark.parametrize(
    ("payload", "denied"),
    [
        (WRITE, ""),
        (WRITE.replace(b"src/x", b"docs/x"), "docs/x is outside the scope src/**; ask, or leave it"),
        (b'{"tool_name":"Read","tool_input":{}}', ""),
        (b"{", "(the call was not understood: it is not JSON: "),
        (b"[" * 100_000, "(the call was not understood: it is "),
    ],
)
def test_every_question_is_told(gate: Gate, tmp_path: Path, payload: bytes, denied: str) -> None:
    Hook(gate, tmp_path).raw(HookEvent.pre_tool, payload)
    asking, *used = told(gate)
    assert asking == Asking(RUN, 7, 1)
    assert [denied in one.denied for one in used] == [True] * bool(denied)
    assert [one.tool for one in used] == ([UNREAD if "understood" in denied else "Write"] if denied else [])


@pytest.mark.parametrize("event", [HookEvent.post_tool, HookEvent.prompt, HookEvent.session_start])
def test_what_comes_after_a_use_is_none(gate: Gate, tmp_path: Path, event: HookEvent) -> None:
    Hook(gate, tmp_path).raw(event, WRITE)
    assert not [one for one in told(gate) if isinstance(one, Asking)]


def test_a_use_takes_as_long_as_its_agent_says_or_from_its_question_on(gate: Gate, tmp_path: Path) -> None:
    hook = Hook(gate, tmp_path)
    said = json.dumps({**json.loads(WRITE), "duration_ms": 7}).encode()
    for number in range(300):
        hook.raw(HookEvent.pre_tool, WRITE.replace(b"src/x", b"src/%d" % number), NOW_MS + number)
    hook.raw(HookEvent.pre_tool, WRITE, NOW_MS)
    hook.raw(HookEvent.pre_tool, WRITE.replace(b"src/x", b"docs/x"), NOW_MS)
    gate.out.clear()
    for payload, took_ms in (
        (WRITE, 1_500),
        (WRITE, 0),
        (said, 7),
        (WRITE.replace(b"src/x", b"src/299"), 1_201),
        (WRITE.replace(b"src/x", b"src/0"), 0),
        (WRITE.replace(b"src/x", b"docs/x"), 0),
    ):
        hook.raw(HookEvent.post_tool, payload, NOW_MS + 1_500)
        assert [one.took_ms for one in told(gate)] == [took_ms], payload


@pytest.mark.parametrize("payload", [b"{", b"[" * 100_000])
def test_a_use_that_cannot_be_read_is_on_record_too(gate: Gate, tmp_path: Path, payload: bytes) -> None:
    assert Hook(gate, tmp_path).raw(HookEvent.post_tool, payload) == b""
    assert told(gate) == [Used(RUN, Token(7), UNREAD)]


def test_a_question_that_does_not_count_is_denied_on_record(gate: Gate, tmp_path: Path) -> None:
    hook = Hook(gate, tmp_path)
    header = hook.header(HookEvent.pre_tool, len(WRITE))
    assert reason(gate.question(header, WRITE, 0)) == ""
    assert told(gate) == [Asking(RUN, 7, 1)]
    assert reason(gate.question(header, WRITE, 0)) == AGAIN
    assert [(one.run, one.denied) for one in told(gate)] == [(RUN, AGAIN)]
    hook.token = 6
    assert reason(hook.raw(HookEvent.pre_tool, WRITE)) == STALE
    assert [(one.token, one.denied) for one in told(gate)] == [(7, STALE)]


@pytest.mark.parametrize(("run", "secret"), [(OTHER, SECRET), (RUN, "0" * 64), ("c.1", SECRET)])
def test_who_shows_no_secret_is_told_of_nobody(gate: Gate, tmp_path: Path, run: str, secret: str) -> None:
    hook = Hook(gate, tmp_path, run=run, secret=secret)
    for payload in (WRITE, b"{"):
        assert reason(hook.raw(HookEvent.pre_tool, payload)) == FORGED
    assert told(gate) == []


@pytest.mark.parametrize(
    ("lines", "uses"),
    [
        ([b'{"event": "tool_result", "ok": true, "guarded": true}'] * 2, 2),
        ([b'{"event": "tool_result", "ok": false, "guarded": true}'], 1),
        ([b'{"event": "tool_result", "ok": true}', b'{"event": "tool_call", "name": "x", "arguments": 1}'], 0),
    ],
)
def test_a_program_says_of_which_uses_it_asks(lines: list[bytes], uses: int) -> None:
    found = Told()
    for line in lines:
        for event in CommandDriver().events(line, {"output": "events"}):
            assert isinstance(event, port.ToolResult | port.ToolCall)
            found = tell(found, event, None)
    assert found.guarded == uses
