"""The server: sessions with their scripts, over HTTP on loopback."""

from __future__ import annotations

import contextlib
import gzip
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from ganger.testing.model_server.apis import api_of
from ganger.testing.model_server.steps import OVER, AnyStep, Error, Hang, Limit, Say, Script, Spent, decode
from ganger.testing.model_server.tools import NoSuchTool, call_for
from ganger.testing.model_server.wire import Api, Asked, Refused, Said

BODY_MAX = 64 << 20
POLL_S = 0.02
RETRY_AFTER_S = 1
"""What an error that may be tried again says."""
_KEYS = ("x-api-key", "x-goog-api-key", "authorization")
_EVENT_STREAM = "text/event-stream"
Found: TypeAlias = Said | Refused | Hang


class Tokens(Struct):
    """What answers were said to cost, as far as they were sent."""

    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, spent: Spent, *, whole: bool = True) -> None:
        """Count an answer; one that was cut off told only what it took in."""
        self.tokens_in += spent.tokens_in
        self.tokens_out += spent.tokens_out if whole else 0


class State(Struct):
    """What became of a session."""

    steps_used: int = 0
    steps_left: int = 0
    over: int = 0
    """Requests that came when no step was left."""
    unmet: list[str] = []
    """Expectations that were not, and steps that no tool could do."""
    handed: Tokens = msgspec.field(default_factory=Tokens)
    """For the steps."""
    side: Tokens = msgspec.field(default_factory=Tokens)
    """For requests without tools."""
    side_requests: int = 0
    refused: int = 0
    cut: int = 0
    """Answers that stopped in the middle."""
    keys: list[str] = []
    """Credentials that were shown, each once."""
    newest: list[str] = []
    """What each request that took a step brought since the model's answer before."""
    conversation: str = ""
    """The whole of the last request that took a step."""
    seen: dict[str, str] = {}
    """The same for each case, by the text that it is for."""


class _Session:
    """A script and how far it has come."""

    def __init__(self, script: Script) -> None:
        self.script, self.lock = script, threading.Lock()
        self.at = [0] * len(script.cases)
        self.again = 0
        self.state = State(steps_left=sum(len(case.step) for case in script.cases))

    def answer(self, asked: Asked) -> tuple[Found, int]:
        """Take the next step for a request; the answer, and after how many milliseconds it begins."""
        with self.lock:
            if not asked.tools:
                self.state.side_requests += 1
                self.state.side.add(Spent())
                return Said(self.script.side, None, Spent()), 0
            step = self._take(asked)
            if step is None:
                self.state.over += 1
                self.state.handed.add(Spent())
                return Said(OVER, None, Spent()), 0
            return self._found(step, asked), step.delay_ms

    def _take(self, asked: Asked) -> AnyStep | None:
        """The step that is next for this conversation; an error is next as often as it says."""
        self.state.newest.append(asked.newest)
        self.state.conversation = asked.conversation
        for number, case in enumerate(self.script.cases):
            if case.when not in asked.conversation:
                continue
            if self.at[number] == len(case.step):
                return None
            step = case.step[self.at[number]]
            self.state.seen[case.when] = asked.conversation
            self.again += 1
            if not isinstance(step, Error | Limit) or self.again >= step.times:
                self.at[number] += 1
                self.again = 0
                self.state.steps_used += 1
                self.state.steps_left -= 1
            return step
        return None

    def _found(self, step: AnyStep, asked: Asked) -> Found:
        if step.expect and step.expect not in asked.newest:
            self.state.unmet.append(f"{step.expect!r} is not in: {asked.newest[-2000:]}")
        match step:
            case Error():
                self.state.refused += 1
                again = RETRY_AFTER_S if step.status in (429, 500, 503, 529) else 0
                return Refused(step.status, step.text or "scripted error", retry_after_s=again)
            case Limit():
                self.state.refused += 1
                reset = int(time.time()) + step.reset_s
                return Refused(429, step.text or "scripted limit", reset, step.reset_s)
            case Hang():
                self.state.cut += 1
                self.state.handed.add(step.usage, whole=False)
                return step
            case Say():
                self.state.handed.add(step.usage)
                return Said(step.text, None, step.usage)
            case _:
                return self._called(step, asked)

    def _called(self, step: AnyStep, asked: Asked) -> Found:
        self.state.handed.add(step.usage)
        try:
            return Said(step.text, call_for(step, asked.tools, asked.conversation), step.usage)
        except NoSuchTool as fault:
            self.state.unmet.append(str(fault))
            return Said(str(fault), None, step.usage)


class ModelServer:
    """Serves until it is closed; a context manager. Each session that nobody scripted is over from its beginning."""

    def __init__(self, port: int = 0) -> None:
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.model = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(POLL_S,), name="model-server", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def url(self, session: str) -> str:
        """The base URL of a session, without a slash at its end."""
        return f"{self.address}/s/{session}"

    def script(self, session: str, script: Script) -> str:
        """Give a session its script, from the beginning; returns its base URL."""
        with self._lock:
            self._sessions[session] = _Session(script)
        return self.url(session)

    def play(self, session: str, *steps: AnyStep) -> str:
        """Give a session these steps; returns its base URL."""
        return self.script(session, Script(step=steps))

    def state(self, session: str) -> State:
        """What has become of a session so far."""
        found = self.session(session)
        with found.lock:
            return msgspec.json.decode(msgspec.json.encode(found.state), type=State)

    def states(self) -> dict[str, State]:
        """What has become of all sessions so far."""
        with self._lock:
            names = list(self._sessions)
        return {name: self.state(name) for name in names}

    def session(self, name: str) -> _Session:
        """The session of this name, made when there is none."""
        with self._lock:
            return self._sessions.setdefault(name, _Session(Script()))

    def is_over(self) -> bool:
        """Whether it is being closed."""
        return self._over.is_set()

    def close(self) -> None:
        """Serve no more; whoever hangs is let go."""
        self._over.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    model: ModelServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: agents cut connections all the time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        if self.path == "/_state":
            self._give(200, {}, msgspec.json.encode(self.server.model.states()))
        else:
            self._give(404, {}, b"{}")

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_PUT(self) -> None:
        try:
            script = decode(self._body())
        except msgspec.MsgspecError as error:
            self._give(400, {}, str(error).encode())
            return
        self.server.model.script(self.path.removeprefix("/_script/"), script)
        self._give(200, {}, b"{}")

    def do_POST(self) -> None:
        name, path = _session_of(self.path.partition("?")[0])
        raw = self._body()
        if path.endswith("/count_tokens") or path.endswith(":countTokens"):
            self._give(200, {}, json.dumps({"input_tokens": len(raw) // 4, "totalTokens": len(raw) // 4}).encode())
            return
        api = api_of(path)
        if api is None:
            self._give(404, {}, b"{}")
            return
        session = self.server.model.session(name)
        self._remember_keys(session)
        try:
            asked = api.read(path, json.loads(raw))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            self._give(400, {}, json.dumps({"error": f"the request cannot be read: {error!r}"}).encode())
            return
        found, delay_ms = session.answer(asked)
        if delay_ms:
            time.sleep(delay_ms / 1000)
        self._send(api, asked, found)

    def _send(self, api: Api, asked: Asked, found: Found) -> None:
        match found:
            case Refused():
                headers, told = api.refuse(found)
                self._give(found.status, headers, json.dumps(told).encode())
            case Hang():
                self._hang(api, asked, found)
            case _ if asked.streamed:
                self._stream(api.stream(asked, found))
                self.wfile.write(b"0\r\n\r\n")
            case _:
                self._give(200, {}, json.dumps(api.whole(asked, found)).encode())

    def _stream(self, frames: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("content-type", _EVENT_STREAM)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for frame in frames:
            self.wfile.write(f"{len(frame):x}\r\n".encode() + frame + b"\r\n")
            self.wfile.flush()

    def _hang(self, api: Api, asked: Asked, step: Hang) -> None:
        """Send the first half of an answer, and then nothing for as long as the agent waits."""
        frames = api.stream(asked, Said(step.text or "I was just about to", None, step.usage))
        if asked.streamed:
            self._stream(frames[: max(1, len(frames) // 2)])
        self.close_connection = True
        while not self.server.model.is_over() and not _gone(self.connection):
            time.sleep(0.05)

    def _give(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"content-type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            raw = b"".join(self._chunks())
        else:
            raw = self.rfile.read(min(int(self.headers.get("content-length") or 0), BODY_MAX))
        return gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _remember_keys(self, session: _Session) -> None:
        for name in _KEYS:
            shown = self.headers.get(name, "").removeprefix("Bearer ")
            if shown and shown not in session.state.keys:
                session.state.keys.append(shown)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _session_of(path: str) -> tuple[str, str]:
    """The name of the session, and the rest of the path."""
    if path.startswith("/s/"):
        name, _, rest = path.removeprefix("/s/").partition("/")
        return name, f"/{rest}"
    return "default", path


def _gone(connection: socket.socket) -> bool:
    """Whether the other side has hung up."""
    with contextlib.suppress(OSError, ValueError):
        if not select.select([connection], [], [], 0)[0]:
            return False
        return not connection.recv(1, socket.MSG_PEEK)
    return True
