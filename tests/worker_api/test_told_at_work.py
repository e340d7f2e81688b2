"""A worker is told what is said to its run: asked for at a tool call, claimed, handed over once, then called read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hooked_run import OTHER, RUN, Hook, gate_of, view
from msgspec.structs import replace

from ganger.core.ids import Seq, Token
from ganger.drivers.hooks import HookEvent
from ganger.worker_api.gate import Gate, Waiting
from ganger.worker_api.views import AskNews, Heard, News, SetRun, Used

USED = json.dumps({"tool_name": "Bash", "tool_input": {"command": "ls"}}).encode()


def told(answer: bytes | Waiting) -> str:
    """What the model is told by an answer; empty for nothing."""
    assert isinstance(answer, bytes)
    said: dict[str, Any] = json.loads(answer) if answer else {}
    return str(said.get("hookSpecificOutput", {}).get("additionalContext", ""))


def asked(gate: Gate) -> list[AskNews | Heard]:
    """What the gate wants of the supervisor, apart from what it records."""
    found = [message for message in gate.out if not isinstance(message, Used)]
    gate.out.clear()
    return [message for message in found if isinstance(message, (AskNews, Heard))]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return gate_of(view(tmp_path, mail=Seq(12)))


def test_it_is_asked_for_once_and_read_when_the_worker_goes_on(gate: Gate, tmp_path: Path) -> None:
    hook = Hook(gate, tmp_path)
    waiting = hook.raw(HookEvent.post_tool, USED)
    assert isinstance(waiting, Waiting)
    assert asked(gate) == [AskNews(waiting.ask, RUN, Token(7), 1)]
    assert hook.raw(HookEvent.post_tool, USED) == b"", "another call at the same time does not ask again"
    assert told(gate.hand(waiting, News(waiting.ask, RUN, "use B", (Seq(12),)))) == "use B"
    assert asked(gate) == []
    assert hook.write("src/a") == ""
    assert asked(gate) == [Heard(RUN, Token(7), (Seq(12),))]
    assert hook.write("src/a") == "" and asked(gate) == []
    gate.take(SetRun(view(tmp_path, mail=Seq(13))))
    assert isinstance(hook.raw(HookEvent.post_tool, USED), Waiting), "what is said later is asked for again"


def test_what_a_session_is_told_anyway_stands_before_it(tmp_path: Path) -> None:
    gate = gate_of(view(tmp_path, mail=Seq(12), context="Your scope is src."))
    hook = Hook(gate, tmp_path)
    waiting = hook.raw(HookEvent.session_start, b"{}")
    assert isinstance(waiting, Waiting)
    assert told(gate.hand(waiting, News(waiting.ask, RUN, "use B", (Seq(12),)))) == "Your scope is src.\nuse B"


@pytest.mark.parametrize("text", ["nothing waits any more", "the supervisor does not answer", "for another run"])
def test_where_there_is_nothing_it_is_told_nothing(gate: Gate, tmp_path: Path, text: str) -> None:
    hook = Hook(gate, tmp_path)
    waiting = hook.raw(HookEvent.post_tool, USED)
    assert isinstance(waiting, Waiting)
    asked(gate)
    if text == "the supervisor does not answer":
        assert gate.settle(waiting, ()) == b""
    elif text == "for another run":
        assert gate.hand(waiting, News(waiting.ask, OTHER, "a secret", (Seq(12),))) == b""
    else:
        assert gate.hand(waiting, News(waiting.ask, RUN)) == b""
    assert hook.write("src/a") == "" and asked(gate) == []


def test_a_run_that_is_over_is_told_nothing(gate: Gate, tmp_path: Path) -> None:
    waiting = Hook(gate, tmp_path).raw(HookEvent.post_tool, USED)
    assert isinstance(waiting, Waiting)
    later = view(tmp_path, mail=Seq(12))
    gate.take(SetRun(replace(later, token=Token(8))))
    assert gate.hand(waiting, News(waiting.ask, RUN, "use B", (Seq(12),))) == b""


def test_an_agent_that_cannot_be_told_is_not_asked_for(gate: Gate, tmp_path: Path) -> None:
    assert Hook(gate, tmp_path, agent="openhands").raw(HookEvent.post_tool, USED) == b""
    assert asked(gate) == []
