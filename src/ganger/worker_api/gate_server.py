"""The gate's process: one thread, one socket for all clients, one connection to the supervisor that started it.

`main` is called with a folder as the last argument of the command line (`gatekeeper`), and binds `control` and `hooks`
there. It ends when the supervisor's connection does, or none comes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import socket
import struct
import sys
import time

from ganger.drivers.hooks import PAYLOAD_BYTES_MAX, NotAPayload
from ganger.worker_api import hook_http
from ganger.worker_api.gate import Gate, Waiting, wall_ms
from ganger.worker_api.guards import installed
from ganger.worker_api.views import (
    HEADER_BYTES_MAX,
    Header,
    Lacks,
    News,
    decode_down,
    encode,
    frame_answer,
    read_header,
)

CONTROL, HOOKS, PORT = "control", "hooks", "port"
"""In the gate's folder. `PORT` holds that of loopback, 0 for any; empty, or not there: nobody is answered over HTTP."""
COME_S = 20.0
"""How long the supervisor is waited for."""
CLIENT_S = 15.0
"""How long one client may take, and an agent that wants to stop be kept waiting."""
LACKS_S = 8.0
CLIENTS_MAX = 512
CLIENTS_OF_RUN_MAX = 64
"""Of one run at a time; the slow path answers the others."""
CHUNK = 1 << 18
TOO_MANY = "too many others are asked about at the same time; do one thing after the other"
TOO_LONG = f"it is longer than {PAYLOAD_BYTES_MAX >> 20} MiB; do it in smaller pieces"


def main() -> None:
    """Serve until the supervisor goes."""
    os.umask(0o077)
    # Every client needs a descriptor; a soft limit is for programs that use select.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
    os.chdir(sys.argv[-1])
    Server(Gate(installed())).serve()


class _Client:
    """One question on its way in, or its answer on its way out."""

    def __init__(self, connection: socket.socket, over_http: bool) -> None:
        self.connection, self.over_http = connection, over_http
        self.passed_over = 0
        """Bytes of a payload that nobody will read."""
        self.until = time.monotonic() + CLIENT_S
        self.header: Header | None = None
        self.data = bytearray()
        self.answer = b""
        self.waiting: Waiting | None = None


class Server:
    """The sockets around a gate. Names are relative: the path of a socket has room for 107 bytes only."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._selector = selectors.DefaultSelector()
        self._hooks, self._control = _listening(HOOKS, 512), _listening(CONTROL, 1)
        self._web = _on_loopback()
        self._supervisor: socket.socket | None = None
        self._down, self._up = bytearray(), bytearray()
        self._clients: dict[int, _Client] = {}
        self._asked: dict[int, _Client] = {}
        self._swept = time.monotonic()

    def serve(self) -> None:
        """Answer until the supervisor goes."""
        self._control.settimeout(COME_S)
        self._supervisor = self._accept_supervisor()
        self._supervisor.setblocking(False)
        self._selector.register(self._supervisor, selectors.EVENT_READ, "supervisor")
        self._hooks.setblocking(False)
        self._selector.register(self._hooks, selectors.EVENT_READ, "hooks")
        if self._web is not None:
            self._selector.register(self._web, selectors.EVENT_READ, "web")
        while True:
            for key, mask in self._selector.select(timeout=1.0 if self._clients else None):
                if key.data == "supervisor":
                    if not self._with_supervisor(mask):
                        return
                elif key.data == "hooks":
                    self._accept(self._hooks)
                elif key.data == "web" and self._web is not None:
                    self._accept(self._web, over_http=True)
                else:
                    self._with_client(key.data)
            self._sweep()
            self._tell()

    def _accept_supervisor(self) -> socket.socket:
        """The connection of the process that started this one, and of no other."""
        while True:
            connection, _ = self._control.accept()
            if _peer(connection)[0] == os.getppid():
                return connection
            connection.close()

    def _with_supervisor(self, mask: int) -> bool:
        """Read what the supervisor says; False when it is gone."""
        assert self._supervisor is not None
        if mask & selectors.EVENT_READ:
            try:
                data = self._supervisor.recv(CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._down += data
            *lines, rest = self._down.split(b"\n")
            self._down = bytearray(rest)
            for line in lines:
                message = decode_down(line)
                if isinstance(message, Lacks):
                    self._settle(message.ask, message.lacks)
                elif isinstance(message, News):
                    self._hand(message)
                else:
                    self._gate.take(message)
        return True

    def _tell(self) -> None:
        """Send what the supervisor is to know; what it does not take now waits."""
        assert self._supervisor is not None
        for message in self._gate.out:
            self._up += encode(message) + b"\n"
        self._gate.out.clear()
        if self._up:
            with contextlib.suppress(OSError):
                del self._up[: self._supervisor.send(self._up)]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._up else 0)
        self._selector.modify(self._supervisor, wanted, "supervisor")

    def _accept(self, listening: socket.socket, *, over_http: bool = False) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if len(self._clients) >= CLIENTS_MAX:
                self._drop_silent()
            # Who comes over HTTP is known by the secret of the run alone.
            is_ours = over_http or _peer(connection)[1] == os.getuid()
            if len(self._clients) >= CLIENTS_MAX or not is_ours:
                connection.close()
                continue
            connection.setblocking(False)
            client = _Client(connection, over_http)
            self._clients[connection.fileno()] = client
            self._selector.register(connection, selectors.EVENT_READ, client)
            self._with_client(client)

    def _drop_silent(self) -> None:
        """Let go of whoever has come longest ago of those that have not said who they are."""
        for client in self._clients.values():
            if client.header is None:
                self._drop(client)
                return

    def _with_client(self, client: _Client) -> None:
        try:
            if client.answer:
                self._send(client)
            elif not self._receive(client):
                self._drop(client)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)

    def _receive(self, client: _Client) -> bool:
        """Read on, and answer when all is there; False for whatever is no question."""
        data = client.connection.recv(CHUNK)
        if not data or client.waiting is not None:
            return False
        client.data += data
        if client.header is None and not (_read_head if client.over_http else _read_line)(client):
            return False
        if client.header is None:
            return True
        beside = self._clients_of(client.header.run)
        if beside > (2 * CLIENTS_OF_RUN_MAX if client.over_http else CLIENTS_OF_RUN_MAX):
            return False
        if client.over_http and PAYLOAD_BYTES_MAX < client.header.length <= hook_http.BODY_BYTES_MAX:
            # An answer before the end of what is sent would be lost, and no answer is no refusal.
            client.passed_over += len(client.data)
            client.data.clear()
            if client.passed_over < client.header.length:
                return True
        if client.header.length > PAYLOAD_BYTES_MAX:
            self._reply(client, self._gate.unread(client.header, NotAPayload(TOO_LONG)))
        elif len(client.data) >= client.header.length and beside > CLIENTS_OF_RUN_MAX:
            # Nobody else would answer it: no answer is leave.
            self._reply(client, self._gate.unread(client.header, NotAPayload(TOO_MANY)))
        elif len(client.data) >= client.header.length:
            found = self._gate.question(client.header, bytes(client.data[: client.header.length]), wall_ms())
            if isinstance(found, Waiting):
                client.waiting = found
                client.until = time.monotonic() + LACKS_S
                self._asked[found.ask] = client
            else:
                self._reply(client, found)
        return True

    def _clients_of(self, run: str) -> int:
        return sum(1 for client in self._clients.values() if client.header is not None and client.header.run == run)

    def _settle(self, ask: int, lacks: tuple[str, ...]) -> None:
        client = self._asked.pop(ask, None)
        if client is not None and client.waiting is not None:
            self._reply(client, self._gate.settle(client.waiting, lacks))

    def _hand(self, news: News) -> None:
        client = self._asked.pop(news.ask, None)
        if client is not None and client.waiting is not None:
            self._reply(client, self._gate.hand(client.waiting, news))

    def _reply(self, client: _Client, text: bytes) -> None:
        client.answer = hook_http.response(text) if client.over_http else frame_answer(text)
        with contextlib.suppress(OSError):
            self._send(client)
            return
        self._selector.modify(client.connection, selectors.EVENT_WRITE, client)

    def _send(self, client: _Client) -> None:
        client.answer = client.answer[client.connection.send(client.answer) :]
        if client.answer:
            self._selector.modify(client.connection, selectors.EVENT_WRITE, client)
        else:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.connection.fileno(), None) is not None:
            self._selector.unregister(client.connection)
            client.connection.close()
        if client.waiting is not None:
            self._asked.pop(client.waiting.ask, None)

    def _sweep(self) -> None:
        """Let go of clients whose time is over; an agent that waits to stop may."""
        now = time.monotonic()
        if now - self._swept < 1.0:
            return
        self._swept = now
        for client in [client for client in self._clients.values() if now >= client.until]:
            if client.waiting is not None and not client.answer:
                self._settle(client.waiting.ask, ())
            else:
                self._drop(client)


def _read_line(client: _Client) -> bool:
    """Read the first line of a client, once it is there; False when it is none."""
    end = client.data.find(b"\n", 0, HEADER_BYTES_MAX)
    if end < 0:
        return len(client.data) < HEADER_BYTES_MAX
    client.header = read_header(bytes(client.data[: end + 1]))
    del client.data[: end + 1]
    return client.header is not None


def _read_head(client: _Client) -> bool:
    """Read the head of a request, once it is there; False when it is no hook's."""
    try:
        found = hook_http.read_head(bytes(client.data[: hook_http.HEAD_BYTES_MAX]))
    except hook_http.NotAHook:
        with contextlib.suppress(OSError):
            client.connection.send(hook_http.NOT_FOUND)
        return False
    if found is not None:
        client.header, length = found
        del client.data[:length]
    return True


def _on_loopback() -> socket.socket | None:
    """What agents can be answered at over HTTP, where the supervisor wants that: at the port of the gate before.

    Agents that were told that port go on asking there. Another one is taken when somebody else has it by now.
    """
    try:
        with open(PORT, "rb") as file:  # noqa: PTH123 - relative, like the sockets
            wanted = int(file.read(8) or b"-1")
    except (FileNotFoundError, ValueError):
        return None
    if wanted < 0:
        return None
    try:
        listening = socket.create_server(("127.0.0.1", wanted), backlog=512)
    except OSError:
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.setblocking(False)
    with open(f".{PORT}", "wb") as file:  # noqa: PTH123
        file.write(b"%d" % listening.getsockname()[1])
    os.replace(f".{PORT}", PORT)  # noqa: PTH105
    return listening


def _listening(name: str, backlog: int) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)  # noqa: PTH108 - relative, as the socket itself must be
    listening.bind(name)
    listening.listen(backlog)
    return listening


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid
