"""The client of the Agent Client Protocol, with agents that are a few lines of Python, and what others have said."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganger.core.ids import ItemId, RunId, Token
from ganger.drivers.acp import Acp
from ganger.drivers.acp_client import AgentFailed, Talk, turn
from ganger.drivers.port import McpServer, RateLimited, Started, Turn, TurnEnded, TurnOutcome

RECORDED = Path(__file__).with_name("streams") / "acp"
AGENT = """
import json, sys
def send(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
def update(**told): send(method="session/update", params={"sessionId": "s1", "update": told})
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize": send(id=asked["id"], result={"protocolVersion": 1})
    if asked.get("method") == "session/new": send(id=asked["id"], result={"sessionId": "s1"})
    if asked.get("method") == "session/load":
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "of an earlier turn"})
        send(id=asked["id"], result=None)
    if asked.get("method") == "session/prompt":
        %s
"""
WELL = """
        prompt = asked["id"]
        print("no JSON", flush=True)
        send(id=70, method="fs/read_text_file", params={"path": "/etc/passwd"})
        update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": "Hello"})
        update(sessionUpdate="tool_call", kind="execute", title="ls", toolCallId="c1", rawInput={"command": "ls"})
        send(id=71, method="session/request_permission", params={"toolCall": {"toolCallId": "c1"}, "options": [
            {"optionId": "always", "kind": "allow_always"}, {"optionId": "yes", "kind": "allow_once"},
            {"optionId": "no", "kind": "reject_once"}]})
    if asked.get("id") == 70: assert asked["error"]["code"] == -32601
    if asked.get("id") == 71:
        allowed = asked["result"]["outcome"]["optionId"] == "yes"
        update(sessionUpdate="tool_call_update", status="completed" if allowed else "failed")
        send(id=prompt, result={"stopReason": "end_turn", "usage": {"inputTokens": 9, "outputTokens": 2}})
"""


def run(tmp_path: Path, body: str, *, session: str = "", permissions: str = "bypass"):
    program = tmp_path / "agent.py"
    program.write_text(AGENT % body.strip())
    settings = {"run": f"{sys.executable} {shlex.quote(str(program))}", "permissions": permissions}
    order = Turn(
        RunId("a.1"), ItemId("a"), 1, Token(1), "# Do it", tmp_path, tmp_path, settings, tmp_path, session, "T1"
    )
    driver = Acp()
    launch = driver.launch(order)
    for name, content in launch.files.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(launch.argv, input=launch.stdin, capture_output=True, check=False, timeout=30)
    return done.returncode, [event for line in done.stdout.splitlines() for event in driver.events(line, {})], done


@pytest.mark.parametrize(("permissions", "ok"), [("bypass", True), ("guarded", False)])
def test_a_turn(tmp_path: Path, permissions: str, ok: bool) -> None:
    code, events, done = run(tmp_path, WELL, permissions=permissions)
    assert code == 0, done
    told = [type(event).__name__ for event in events]
    asked = [] if ok else ["WaitingForPermission"]
    assert told == ["Started", "Message", "ToolCall", *asked, "ToolResult", "Usage", "TurnEnded"]
    assert events[0] == Started("s1")
    assert events[-1] == TurnEnded(TurnOutcome.completed)
    assert events[-3].ok is ok


def test_what_was_said_before_is_not_said_again(tmp_path: Path) -> None:
    _, events, done = run(tmp_path, WELL, session="s1")
    assert b"of an earlier turn" not in done.stdout
    assert events[0] == Started("s1")


@pytest.mark.parametrize(
    ("body", "outcome", "limit"),
    [
        ('send(id=asked["id"], result={"stopReason": "refusal"})', TurnOutcome.failed, None),
        ('send(id=asked["id"], result={"stopReason": "max_tokens"})', TurnOutcome.limited, None),
        ('send(id=asked["id"], error={"code": 1, "message": "wrong key"})', TurnOutcome.failed, None),
        (
            'send(id=asked["id"], error={"code": 429, "message": "Quota exceeded"})',
            TurnOutcome.failed,
            RateLimited(0, '{"code": 429, "message": "Quota exceeded"}'),
        ),
        ("sys.exit(3)", TurnOutcome.failed, None),
    ],
)
def test_ends(tmp_path: Path, body: str, outcome: TurnOutcome, limit: RateLimited | None) -> None:
    code, events, _ = run(tmp_path, body)
    assert code == 1
    assert events[-1] == TurnEnded(outcome)
    assert [event for event in events if isinstance(event, RateLimited)] == ([limit] if limit else [])


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.jsonl")), ids=lambda path: path.name)
def test_what_real_agents_have_said(path: Path) -> None:
    """The recorded side of the agent, answered by ours: every answer that it waits for is one we give."""
    lines = [line for text in path.read_text().splitlines() if (line := whole(text))]
    said = [line for line in lines if line.get("dir") == "from-agent"]
    prompt = next(line["id"] for line in lines if line.get("method") == "session/prompt")
    told: list[Any] = []
    numbers = {line["id"]: line["method"] for line in lines if line.get("dir") == "to-agent" and "method" in line}
    wanted = {"initialize": 1, "session/new": 2, "session/prompt": 3}
    of = io.BytesIO()
    for line in said:
        method = numbers.get(line.get("id")) if "method" not in line else None
        if method in wanted:
            line = {**line, "id": wanted[method]}
        elif method is not None:
            continue
        of.write(json.dumps(line).encode() + b"\n")
        if method == "session/prompt":
            break
    of.seek(0)
    talk = Talk(io.BytesIO(), of, allow=True, tell=told.append)
    outcome = turn(talk, {"cwd": "/r", "servers": [], "session": ""}, "Do the task.", told.append)
    assert outcome == "completed", prompt
    assert told[0]["event"] == "started"
    assert "ALL-DONE" in "".join(event["text"] for event in told if event["event"] == "message")


def whole(text: str) -> dict[str, Any]:
    """A recorded line; some were cut."""
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return found


def test_one_that_goes_away_in_the_middle() -> None:
    talk = Talk(io.BytesIO(), io.BytesIO(b'{"id": 9}\n[]\n{"id"'), allow=True, tell=lambda _: None)
    with pytest.raises(AgentFailed, match="it ended while initialize was not answered"):
        talk.ask("initialize")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"run": "sh"}, ""),
        ({"run": "sh", "env": "A=b C='d e'"}, ""),
        ({}, '`run` is missing: say which program to start, for example run = "ruff check --fix ."'),
        ({"run": "sh", "model": "m"}, "`model` is no setting of this driver; there are env, key_env, permissions, run"),
        ({"run": "sh", "env": "A"}, "`env` holds 'a word without =': write env = \"NAME=value OTHER=value\""),
        ({"run": "sh", "env": "1A=b"}, "`env` holds '1A=b': write env = \"NAME=value OTHER=value\""),
        ({"run": "sh", "env": "A='b"}, "`env` cannot be split into words (No closing quotation)"),
        ({"run": "sh", "key_env": "NOT_SET_AT_ALL"}, "the variable NOT_SET_AT_ALL that `key_env` names is not set"),
        ({"run": "sh", "permissions": "no"}, "`permissions` is auto, bypass, guarded, not 'no'"),
    ],
)
def test_faults(settings: dict[str, str], fault: str) -> None:
    assert Acp().fault(settings) == fault


def test_servers_are_handed_over(tmp_path: Path) -> None:
    servers = (McpServer("one", command=("/bin/relay", "-x")), McpServer("two", url="http://127.0.0.1:1"))
    order = Turn(
        RunId("a.1"), ItemId("a"), 1, Token(1), "b", tmp_path, tmp_path, {"run": "sh"}, tmp_path, "", "T1", mcp=servers
    )
    told = json.loads(Acp().launch(order).files["acp.json"])
    assert told["servers"] == [{"name": "one", "command": "/bin/relay", "args": ["-x"], "env": []}]
