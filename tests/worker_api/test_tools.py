"""The tools of the worker protocol: by the SDK's own client over HTTP and the relay, and as the commands say it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import httpx2
import jsonschema
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Lease, LeaseMode, Outcome, Refusal, RefusalCode, Todo
from ganger.service.places import Places
from ganger.service.worker_door import prepare, secret_of
from ganger.service.worker_talk import AskMail, Done, HeardMail, Mail, MayWrite, Refused, Say, decode_message, encode
from ganger.supervisor.tooled import Tooled
from ganger.worker_api import tool_relay, tools

RUN, TOKEN = RunId("auth.1"), Token(7)
CALLS = {
    "todos": {"todos": [{"text": "look", "state": "completed"}, {"text": "write"}]},
    "ask": {"question": "Which?", "options": ["a", "b"], "recommend": "a", "risk": "none"},
    "done": {"summary": "It is done.", "evidence": ["tests pass"], "recommended": ["more"]},
    "fail": {"reason": "cannot"},
    "note": {"text": "hm"},
    "follow_up": {"title": "More", "brief": "Do more.", "scope": ["src/**"]},
    "spawn": {"kind": "scout", "brief": "Look at a.\nAnd at b.", "scope": ["src/a"]},
    "wait": {},
}


class FakeDoor:
    """The door of a run, which keeps what is said and answers as it is told."""

    def __init__(self, state):
        prepare(state, RUN)
        self.folder, self.said = Places(state).door(RUN), []
        self.answer = Done(9, True)
        self.mail = Mail("")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(self.folder / "sock"))
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                message = decode_message(lines.readline())
                self.said.append(message)
                connection.sendall(encode(self.mail if isinstance(message, AskMail) else self.answer) + b"\n")

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def state(tmp_path):
    place = tmp_path / "state"
    place.mkdir()
    return place


@pytest.fixture
def door(state):
    made = FakeDoor(state)
    yield made
    made.close()


class Served:
    """The server of tools, as the process that it is."""

    def __init__(self, state, door):
        self.state = state
        self.secret = secret_of(state, RUN, TOKEN)
        self.me = f"{RUN}~{TOKEN}~1~{self.secret}"
        argv = (sys.executable, "-I", "-m", "ganger.worker_api.tool_server", "--state", str(state))
        self.process = subprocess.Popen([*argv, "--socket", str(state / "tools"), "--calls-max", "20"], env={})
        while not (state / "tools.json").exists():
            assert self.process.poll() is None
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{json.loads((state / 'tools.json').read_text())['port']}/mcp"
        os.link(state / "tools", door.folder / "tools")
        (door.folder / "me").write_text(self.me)
        self.relay = [sys.executable, "-I", "-S", tool_relay.__file__, str(door.folder)]

    def over_http(self, me=None):
        return httpx2.AsyncClient(headers={"authorization": f"Bearer {me or self.me}"}, timeout=20), self.url

    def over_stdio(self):
        return stdio_client(StdioServerParameters(command=self.relay[0], args=self.relay[1:], env={}))


@pytest.fixture
def served(state, door):
    made = Served(state, door)
    yield made
    made.process.terminate()
    made.process.wait(10)


def spoken(way, *calls):
    async def go():
        if not isinstance(way, tuple):
            return await talk(way)
        async with way[0] as client:
            return await talk(streamable_http_client(way[1], http_client=client))

    async def talk(transport):
        async with Client(transport) as there:
            listed = (await there.list_tools()).tools
            answers = [await there.call_tool(name, arguments) for name, arguments in calls]
            return listed, [(answer.content[0].text, bool(answer.is_error)) for answer in answers]

    return asyncio.run(asyncio.wait_for(go(), 40))


@pytest.mark.parametrize("way", ["over_http", "over_stdio"])
def test_every_tool_by_the_sdks_own_client(served, door, state, way):
    brief = state / "runs" / RUN / "turn-1" / "brief.1.md"
    brief.parent.mkdir()
    brief.write_text("Do it.")
    listed, answers = spoken(getattr(served, way)(), ("my_work", {}), ("may_write", {"path": "a"}), *CALLS.items())
    assert {tool.name for tool in listed} == set(tools.TOOLS) - {"spawn", "wait"}
    assert answers[0] == ("Do it.", False)
    assert answers[1] == ("Yes.", False)
    assert answers[4] == ("Reported. End your turn now. Your commits are checked now.", False)
    assert [type(message) for message in door.said[:2]] == [AskMail, MayWrite]
    assert [message.command for message in door.said[2:]] == [
        cmd.SetTodos(RUN, TOKEN, (Todo("look", "completed"), Todo("write", "pending"))),
        cmd.AskQuestion(RUN, TOKEN, "Which?", ("a", "b"), "a", "none"),
        cmd.ReportDone(RUN, TOKEN, Outcome.completed, "It is done.", ("tests pass",), ("more",), "clear"),
        cmd.ReportFail(RUN, TOKEN, "cannot"),
        cmd.AddNote(RUN, TOKEN, "hm"),
        cmd.FileFollowUp(RUN, TOKEN, "More", "Do more.", ("src/**",)),
        cmd.SpawnChild(RUN, TOKEN, "scout", "Look at a.", "Look at a.\nAnd at b.", ("src/a",)),
        cmd.ParkRun(RUN, TOKEN),
    ]
    assert {message.secret for message in door.said} == {served.secret}


def test_a_program_that_nobody_connects_speaks_mcp_by_itself(door, state):
    (door.folder.parent / "turn-1").mkdir()
    (door.folder.parent / "turn-1/brief.1.md").write_text("# Do auth\n")
    me = {"GANGER_RUN": RUN, "GANGER_TOKEN": str(TOKEN), "GANGER_SECRET": "s" * 64, "GANGER_TURN": "1"}
    env = me | {"GANGER_DOOR": str(door.folder)}
    own = stdio_client(StdioServerParameters(command=sys.executable, args=["-m", "ganger", "mcp"], env=env))
    listed, answers = spoken(own, ("my_work", {}), ("done", CALLS["done"]), ("note", {"text": "x", "run": "b.1"}))
    assert {tool.name for tool in listed} == set(tools.TOOLS) - tools.WITH_GRANT
    assert answers[0] == ("# Do auth\n", False)
    assert answers[1] == ("Reported. End your turn now. Your commits are checked now.", False)
    assert answers[2][1] and "unknown field `run`" in answers[2][0]
    said = [one for one in door.said if isinstance(one, Say)]
    assert [(type(one.command), one.command.run, one.secret) for one in said] == [(cmd.ReportDone, RUN, "s" * 64)]


def test_what_is_said_follows_the_brief_and_is_read_when_the_worker_calls_again(served, door, state):
    brief = state / "runs" / RUN / "turn-1" / "brief.1.md"
    brief.parent.mkdir()
    brief.write_text("Do it.")
    door.mail = Mail("Said to you just now:\n- from dana: use B", (12, 13))
    _, answers = spoken(served.over_http(), ("my_work", {}))
    assert answers == [("Do it.\nSaid to you just now:\n- from dana: use B", False)]
    assert [type(message) for message in door.said] == [AskMail], "nobody knows yet that it is read"
    door.mail = Mail("")
    spoken(served.over_http(), ("note", {"text": "x"}), ("my_work", {}))
    assert [type(message) for message in door.said[1:]] == [HeardMail, Say, AskMail]
    assert door.said[1].messages == (12, 13)


def test_only_who_may_have_children_is_offered_the_tools_for_it(served, door, state):
    (door.folder / tools.GRANT).write_text("scout\nreviewer")
    listed, _ = spoken(served.over_http())
    assert {tool.name for tool in listed} == set(tools.TOOLS)
    (spawn,) = (tool for tool in listed if tool.name == "spawn")
    assert spawn.input_schema["properties"]["kind"] == {"enum": ["scout", "reviewer"]}
    stranger, _ = spoken(served.over_http("auth.1~7~1~" + "0" * 64))
    assert {tool.name for tool in stranger} == set(tools.TOOLS) - {"spawn", "wait"}


def test_a_refusal_is_an_answer_that_can_be_acted_on(served, door):
    door.answer = Refused(Refusal(RefusalCode.stale_token, "run auth.1 is not live", "stop working on it"))
    _, answers = spoken(served.over_http(), ("done", {}), ("done", {"summary": 3}), ("push", {}))
    assert answers == [
        ("Refused: run auth.1 is not live. stop working on it", True),
        ("Not understood: Expected `str`, got `int` - at `$.summary`", True),
        ("Not understood: there is no tool 'push'", True),
    ]
    assert len(door.said) == 1


@pytest.mark.parametrize(
    "me", ["x", "auth.1~7~1~" + "0" * 64, "auth.2~7~1~SECRET", "auth.1~8~1~SECRET", "../x~7~1~SECRET"]
)
def test_nobody_speaks_for_a_run_without_its_secret(served, door, me):
    _, answers = spoken(
        served.over_http(me.replace("SECRET", served.secret)), ("fail", {"reason": "x"}), ("my_work", {})
    )
    assert [(said[:37], bad) for said, bad in answers] == [("This is for workers that ganger start", True)] * 2
    assert door.said == []


def test_a_run_that_calls_without_end_is_told_to_end_whatever_turn_it_says_it_is_in(served, door):
    _, before = spoken(served.over_http(), *[("push", {})] * 20)
    assert {said for said, _ in before} == {"Not understood: there is no tool 'push'"}
    too_many = ("You have called ganger's tools 20 times, and no more is answered: end the turn.", True)
    assert spoken(served.over_http(), ("done", {"summary": "x"}))[1] == [too_many]
    assert spoken(served.over_http(served.me.replace("~1~", "~2~")), ("done", {"summary": "x"}))[1] == [too_many]
    assert door.said == []
    other = f"auth.9~3~1~{secret_of(served.state, 'auth.9', 3)}"
    assert spoken(served.over_http(other), ("push", {}))[1] == [("Not understood: there is no tool 'push'", True)]


def test_a_page_of_a_browser_is_not_answered(served):
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {served.me}"}
    assert httpx.post(served.url, json=asked, headers=headers | {"origin": "http://evil.test"}).status_code == 403
    assert httpx.post(served.url, json=asked, headers=headers | {"host": "evil.test"}).status_code == 421
    assert httpx.post(served.url, content=b"x" * (2 << 20), headers=headers).status_code == 413


def test_the_relay_survives_what_it_is_told(served):
    lines = [
        b"not json\n",
        b"[]\n",
        b"\n",
        b'{"jsonrpc": "2.0", "id": 5, "method": "no/such"}\n',
        b"\xff\xfe\n",
        b"{" * 5000 + b"\n",
    ]
    done = subprocess.run(served.relay, input=b"".join(lines), capture_output=True, timeout=30, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, b"")
    assert [answer.get("id") for answer in answers if "error" in answer].count(5) == 1


def test_the_relay_without_a_server_says_so(door):
    (door.folder / "me").write_text("x")
    relay = [sys.executable, "-I", "-S", tool_relay.__file__, str(door.folder)]
    asked = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}\n'
    done = subprocess.run(relay, input=asked, capture_output=True, timeout=30, check=False)
    assert json.loads(done.stdout)["error"]["message"].startswith("ganger: [Errno 2]")


def test_the_relay_outlives_a_server_that_ends_in_the_middle_of_a_call(door):
    (door.folder / "me").write_text("x")
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(door.folder / "tools"))
        listening.listen()

        def serve():
            for answer in (b"", b"HTTP/1.1 200", b'HTTP/1.1 200 OK\r\n\r\n{"id": 3}'):
                connection, _ = listening.accept()
                with connection:
                    heard.append(connection.recv(1 << 16))
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        relay = [sys.executable, "-I", "-S", tool_relay.__file__, str(door.folder)]
        asked = [{"jsonrpc": "2.0", "id": at, "method": "tools/call\r\nx-forged: 1",
                  "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}}}
                 for at in (1, 2, 3)]  # fmt: skip
        text = "".join(json.dumps(one) + "\n" for one in asked).encode()
        done = subprocess.run(relay, input=text, capture_output=True, timeout=30, check=False)
        server.join(10)
    assert (done.returncode, done.stderr) == (0, b"")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert answers[0]["error"]["message"] == "ganger: the server of tools ended before it answered; ask again"
    assert not any(b"\r\nx-forged" in one for one in heard)


def test_a_server_that_is_killed_is_replaced_and_the_same_relay_finds_the_new_one(state, door):
    lease = Lease(TOKEN, ("src/**",), LeaseMode.exclusive, 1 << 52)
    run = Run(RUN, ItemId("auth"), 1, Commit("b" * 40), "a", lease, 0)
    prepare(state, RUN)
    tooled = Tooled(state)
    try:
        argv = tooled.admit(run, 1).command
        before = json.loads((state / "tools" / "tools.json").read_bytes())["pid"]
        relay = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def said(number):
            line = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {}})
            relay.stdin.write(line.encode() + b"\n")
            relay.stdin.flush()
            return json.loads(relay.stdout.readline())

        assert "result" in said(1)
        os.kill(before, signal.SIGKILL)
        assert "error" in said(2)
        until = time.monotonic() + 30
        while "result" not in said(3):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert json.loads((state / "tools" / "tools.json").read_bytes())["pid"] != before
        relay.stdin.close()
        assert relay.wait(10) == 0
        relay.stdout.close()
    finally:
        tooled.close()


def test_it_ends_with_whoever_started_it(state):
    code = (
        "import subprocess, sys, time, pathlib\n"
        "argv = [sys.executable, '-I', '-m', 'ganger.worker_api.tool_server', '--state', sys.argv[1]]\n"
        "print(subprocess.Popen([*argv, '--socket', sys.argv[1] + '/tools']).pid, flush=True)\n"
        "while not pathlib.Path(sys.argv[1], 'tools.json').exists(): time.sleep(0.02)\n"
    )
    pid = int(
        subprocess.run([sys.executable, "-c", code, str(state)], capture_output=True, check=True, timeout=30).stdout
    )
    for _ in range(400):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            return
        time.sleep(0.02)
    raise AssertionError("it is still there")


# Without a process.


@pytest.mark.parametrize("name", tools.TOOLS)
def test_schemas_are_strict_and_say_what_is_meant(name):
    schema = tools.schema(tools.TOOLS[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "$ref" not in json.dumps(schema)
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    good = CALLS.get(name, {"path": "x"} if name == "may_write" else {})
    jsonschema.validate(good, schema)
    tools.read(name, good)
    for bad in (
        {**good, "extra": 1},
        *({key: value for key, value in good.items() if key != one} for one in schema.get("required", ())),
    ):
        with pytest.raises(ValueError, match=r".+"):
            tools.read(name, bad)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


ME = tools.Me(RUN, TOKEN, 1, "s" * 64)


def key_of(name, arguments, me=ME):
    said = tools.message(tools.read(name, arguments), me)
    return said.key


@pytest.mark.parametrize("name", CALLS)
def test_what_ends_a_turn_is_the_same_however_often_it_is_said(name):
    again = key_of(name, CALLS[name]) == key_of(name, CALLS[name])
    assert again == (name in ("ask", "done", "fail", "follow_up", "spawn", "wait"))
    assert key_of(name, CALLS[name]) != key_of(name, CALLS[name], tools.Me(RUN, TOKEN, 2, "s" * 64))


TWINS = {
    "ask": ["ask", "Which?", "--option", "a", "--option", "b", "--recommend", "a", "--risk", "none"],
    "done": ["done", "--summary", "It is done.", "--evidence", "tests pass", "--recommended", "more"],
    "fail": ["fail", "cannot"],
    "note": ["note", "hm"],
    "todos": ["todos", json.dumps([{"text": "look", "state": "completed"}, {"text": "write", "state": "pending"}])],
    "follow_up": ["follow-up", "--title", "More", "--brief", "Do more.", "--scope", "src/**"],
    "may_write": ["may-write", "src/a"],
    "spawn": ["spawn", "scout", "--brief", "Look at a.\nAnd at b.", "--scope", "src/a"],
    "wait": ["wait"],
}


@pytest.mark.parametrize("name", TWINS)
def test_commands_say_the_same(door, name):
    environ = {
        "GANGER_RUN": RUN,
        "GANGER_TOKEN": str(TOKEN),
        "GANGER_DOOR": str(door.folder),
        "GANGER_SECRET": "s" * 64,
    }
    argv = [sys.executable, "-m", "ganger", *TWINS[name]]
    done = subprocess.run(
        argv, env={**environ, "PATH": os.environ["PATH"]}, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done
    said = tools.message(tools.read(name, {"path": "src/a"} if name == "may_write" else CALLS[name]), ME)
    (heard,) = door.said
    if isinstance(said, Say):
        assert (heard.command, heard.secret) == (said.command, said.secret)
    else:
        assert (heard.path, heard.token, heard.secret) == (said.path, said.token, said.secret)
