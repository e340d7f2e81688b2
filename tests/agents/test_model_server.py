"""The scripted model server, asked as agents ask it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ganger.testing.model_server import Case, ModelServer, Script, Tokens
from ganger.testing.model_server.steps import OVER, Call, Edit, Error, Hang, Limit, Read, Say, Sh, Spent, Write, load
from ganger.testing.model_server.tools import NoSuchTool, Offered, call_for

PATHS = {
    "anthropic": "/v1/messages",
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "gemini": "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
}


def tool(name: str, *properties: str, required: tuple[str, ...] = ()) -> Offered:
    return Offered(name, {"properties": {one: {"type": "string"} for one in properties}, "required": required})


def body(api: str, text: str, *, tools: bool = True, stream: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    if api == "gemini":
        given = [{"functionDeclarations": [{"name": "run_shell_command", "parametersJsonSchema": schema}]}]
        return {"contents": [{"role": "user", "parts": [{"text": text}]}], "tools": given if tools else []}
    if api == "responses":
        given = [{"type": "function", "name": "shell", "parameters": schema}]
        asked = {"input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]}
        return asked | {"model": "m", "tools": given if tools else [], "stream": stream}
    if api == "chat":
        given = [{"type": "function", "function": {"name": "bash", "parameters": schema}}]
    else:
        given = [{"name": "Bash", "input_schema": schema}]
    asked = {"messages": [{"role": "user", "content": text}], "model": "m"}
    return asked | {"tools": given if tools else [], "stream": stream}


def ask(server: ModelServer, session: str, api: str, text: str = "Do it", **more: Any) -> tuple[int, Any, str]:
    """Status, headers and text of an answer."""
    host = server.address.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=5)
    path = PATHS[api] if more.get("stream", True) else PATHS[api].replace("streamGenerate", "generate")
    headers = {"content-type": "application/json", "authorization": "Bearer sk-1"}
    connection.request("POST", f"/s/{session}{path}", json.dumps(body(api, text, **more)), headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read().decode()
    connection.close()
    return found


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", PATHS)
def test_a_step_becomes_a_call_of_the_tool_that_is_offered(server: ModelServer, api: str, stream: bool) -> None:
    server.play("x", Sh(command="make test", text="Look:", usage=Spent(tokens_in=70, tokens_out=7)), Say(text="Well."))
    status, headers, answer = ask(server, "x", api, stream=stream)
    assert status == 200
    assert ("text/event-stream" in headers["content-type"]) is stream
    told = answer.replace("\\", "").replace('"delta": {"type": "input_json_delta", "partial_json": "', "")
    assert "Look:" in told or ("Loo" in told and "k:" in told)
    assert "command" in told
    assert any(name in told for name in ("Bash", "bash", "shell", "run_shell_command"))
    assert "70" in told
    status, _, answer = ask(server, "x", api, stream=stream)
    assert "We" in answer
    assert "tool_use" not in answer
    state = server.state("x")
    assert (state.steps_used, state.steps_left, state.handed, state.keys) == (2, 0, Tokens(170, 17), ["sk-1"])
    assert OVER in ask(server, "x", api, stream=False)[2]
    assert server.state("x").over == 1


@pytest.mark.parametrize("api", PATHS)
def test_requests_without_tools_take_no_step(server: ModelServer, api: str) -> None:
    server.script("x", Script(step=(Say(text="the answer"),), side="a title"))
    assert "a title" in ask(server, "x", api, tools=False, stream=False)[2]
    state = server.state("x")
    assert (state.steps_used, state.side_requests, state.handed) == (0, 1, Tokens())


@pytest.mark.parametrize("api", PATHS)
def test_limits_and_errors(server: ModelServer, api: str) -> None:
    server.play("x", Limit(reset_s=600, times=2), Error(status=401, text="wrong key"), Say(text="fine"))
    for _ in range(2):
        status, headers, answer = ask(server, "x", api)
        assert (status, headers["retry-after"]) == (429, "600")
        assert "scripted limit" in answer
    if api == "anthropic":
        assert abs(int(headers["anthropic-ratelimit-unified-reset"]) - time.time() - 600) < 5
    status, headers, answer = ask(server, "x", api)
    assert (status, headers["retry-after"]) == (401, None)
    assert "wrong key" in answer
    assert ask(server, "x", api)[0] == 200
    assert server.state("x").refused == 3


@pytest.mark.parametrize("api", PATHS)
def test_a_hang_begins_and_does_not_end(server: ModelServer, api: str) -> None:
    server.play("x", Hang(text="I was just about to say"))
    host = server.address.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=0.3)
    connection.request("POST", f"/s/x{PATHS[api]}", json.dumps(body(api, "Do it")))
    answer = connection.getresponse()
    assert answer.readline()
    with pytest.raises(TimeoutError):
        answer.read()
    connection.close()
    assert server.state("x").cut == 1


def test_what_is_expected_and_is_not_is_told(server: ModelServer) -> None:
    server.play("x", Say(text="a", expect="Do it"), Say(text="b", expect="nobody says this"))
    ask(server, "x", "chat")
    assert server.state("x").unmet == []
    ask(server, "x", "chat")
    assert len(server.state("x").unmet) == 1
    server.play("y", Edit(path="a", old="b", new="c"), Call(tool="no_such_tool"))
    ask(server, "y", "gemini", tools=True)
    ask(server, "y", "gemini", tools=True)
    assert "there is no tool no_such_tool" in server.state("y").unmet[0]


def test_a_session_may_serve_several_conversations(server: ModelServer) -> None:
    cases = (Case((Say(text="first-a"), Say(text="second-a")), "item-a"), Case((Say(text="first-b"),), "item-b"))
    server.script("x", Script(case=cases))
    said = [ask(server, "x", "chat", f"work on {item}", stream=False)[2] for item in ("item-a", "item-b", "item-a")]
    assert ["first-a" in said[0], "first-b" in said[1], "second-a" in said[2]] == [True] * 3
    assert OVER in ask(server, "x", "chat", "work on item-c", stream=False)[2]


def test_many_at_once(server: ModelServer) -> None:
    server.play("x", *(Say(text=f"answer {number}", delay_ms=20) for number in range(50)))
    threads = [threading.Thread(target=ask, args=(server, "x", "anthropic")) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = server.state("x")
    assert (state.steps_used, state.over, state.handed) == (50, 0, Tokens(5_000, 500))


CODEX = {"exec_command": tool("exec_command", "cmd")}
CLAUDE = {"Edit": tool("Edit", "file_path", "old_string", "new_string"), "Read": tool("Read", "file_path")}
PI = {"edit": tool("edit", "path", "edits"), "bash": tool("bash", "command"), "write": tool("write", "path", "content")}
COPILOT = {"bash": tool("bash", "command", "description", required=("command", "description"))}


@pytest.mark.parametrize(
    ("step", "offered", "name", "arguments"),
    [
        (Sh(command="ls"), CODEX, "exec_command", {"cmd": "ls"}),
        (Sh(command="ls"), COPILOT, "bash", {"command": "ls", "description": "scripted"}),
        (Read(path="a b"), CODEX, "exec_command", {"cmd": "cat 'a b'"}),
        (Read(path="a"), CLAUDE, "Read", {"file_path": "/the/repo/a"}),
        (Read(path="/x/a"), CLAUDE, "Read", {"file_path": "/x/a"}),
        (
            Edit(path="a", old="b", new="c"),
            CLAUDE,
            "Edit",
            {"old_string": "b", "new_string": "c", "file_path": "/the/repo/a"},
        ),
        (
            Edit(path="a", old="b", new="c"),
            PI,
            "edit",
            {"edits": [{"oldText": "b", "newText": "c"}], "path": "/the/repo/a"},
        ),
        (Write(path="a", content="x\n"), PI, "write", {"content": "x\n", "path": "/the/repo/a"}),
        (Write(path="a", content="x\n"), CODEX, "exec_command", {"cmd": "cat > a <<'SCRIPTED'\nx\nSCRIPTED"}),
        (
            Edit(path="a", old="b", new="c"),
            CODEX,
            "exec_command",
            {
                "cmd": "apply_patch <<'SCRIPTED'\n*** Begin Patch\n*** Update File: a\n@@\n-b\n+c\n*** End Patch\n"
                "SCRIPTED"
            },
        ),
        (Call(tool="echo", arguments={"x": 1}), {"a": tool("mcp__fake__echo")}, "mcp__fake__echo", {"x": 1}),
        (Call(tool="echo"), {"a": tool("mcp_fake_echo")}, "mcp_fake_echo", {}),
    ],
)
def test_which_tool_does_a_step(step, offered, name, arguments) -> None:
    called = call_for(step, offered, "Primary working directory: /the/repo\nIs a git repository: yes")
    assert (called.name, called.arguments) == (name, arguments)


def test_a_step_that_nothing_offered_can_do() -> None:
    with pytest.raises(NoSuchTool, match="there is no shell among Edit, Read"):
        call_for(Sh(command="ls"), CLAUDE, "")


def test_it_runs_by_itself_with_a_script_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('[[step]]\ndo = "say"\ntext = "from a file"\n')
    (tmp_path / "two.json").write_text('{"step": [{"do": "sh", "command": "ls"}]}')
    assert load(tmp_path / "two.json").step == (Sh(command="ls"),)
    with pytest.raises(msgspec.ValidationError, match="Invalid value 'leap'"):
        (tmp_path / "bad.toml").write_text('[[step]]\ndo = "leap"\n')
        load(tmp_path / "bad.toml")
    command = [sys.executable, "-m", "ganger.testing.model_server", "--script", f"x={tmp_path / 'one.toml'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        address = started.stdout.readline().strip().removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=5)
        connection.request("POST", "/s/x/v1/chat/completions", json.dumps(body("chat", "hi", stream=False)))
        assert "from a file" in connection.getresponse().read().decode()
        connection.request("PUT", "/_script/x", '{"step": [{"do": "say", "text": "put there"}]}')
        assert connection.getresponse().read() == b"{}"
        connection.request("POST", "/s/x/v1/chat/completions", json.dumps(body("chat", "hi", stream=False)))
        assert "put there" in connection.getresponse().read().decode()
        connection.request("GET", "/_state")
        assert json.loads(connection.getresponse().read())["x"]["steps_used"] == 1
        connection.close()
        started.terminate()
        assert started.wait(10) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("x", "--script x: give it as NAME=FILE"),
        ("x={}/none.toml", "No such file or directory"),
        ("x={}/bad.toml", "Invalid value 'leap'"),
        ("x={}/broken.toml", "Expected '='"),
        ("x={}/bytes.toml", "can't decode byte"),
    ],
)
def test_a_script_that_cannot_be_read_is_named(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text('[[step]]\ndo = "leap"\n')
    (tmp_path / "broken.toml").write_text("step\n")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    command = [sys.executable, "-m", "ganger.testing.model_server", "--script", given.format(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("raw", [b"", b"nonsense", b"\xff", b"[]", b'{"messages": 7, "tools": 7}', b"[" * 100_000])
def test_what_is_no_request_is_answered_with_400(server: ModelServer, api: str, raw: bytes) -> None:
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=30)
    connection.request("POST", f"/s/x{PATHS[api]}", raw)
    assert connection.getresponse().status == 400
    connection.close()
    assert server.state("x").steps_used == 0
