"""The gateway's process: connections of workers come in, each already known to be of one turn.

A worker in a network of its own has nothing but its own loopback. What listens there was made inside, but the shim
outside holds it: each connection it takes is handed over here through a Unix socket (SCM_RIGHTS) together with the
turn's folder. So nothing is copied byte by byte, and who is calling is not the caller's word. Workers without a
network of their own come by one port of loopback, and their key says whose turn it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import uvicorn

from ganger.gateway.contact import DOWN, HELLO_BYTES_MAX, WHO, About
from ganger.gateway.desk import Desk, folder_of
from ganger.gateway.proxy import Proxy, Receive, Scope, Send, key_in, upstream

HELLO_S = 10.0
IDLE_S = 900.0
CONNECTIONS_MAX = 128
"""Of one turn at a time; more are cut."""
LOOK_S, TAKE_OVER_S = 2.0, 8.0
DESKS_MAX = 256
"""Turns whose records are kept open; one that is asked again is opened again."""


class Gateway:
    """Serves the turns whose folders lie below a place."""

    def __init__(self, runs: Path, environ: Mapping[str, str], mark: str = "", lock: Path | None = None) -> None:
        """`runs` is where runs' folders are; `environ` holds the providers' keys.

        `mark` says which keys and which version these are, for whoever asks; with a `lock`, it ends by itself when it
        is idle and nobody holds that.
        """
        self._runs, self._mark, self._lock = runs, mark, lock
        self.end: Callable[[], object] = lambda: None
        """Ends it."""
        self._port = 0
        self._used_s = time.monotonic()
        self._client = upstream()
        self._proxy = Proxy(self._client, environ)
        self._desks: OrderedDict[Path, Desk] = OrderedDict()
        self._config = uvicorn.Config(
            self._app,
            interface="asgi3",
            proxy_headers=False,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # whatever a worker sends must not fill the log
            access_log=False,
            server_header=False,
        )
        self._config.load()
        self._state = uvicorn.server.ServerState()
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming: Counter[str] = Counter()

    async def serve(self, handed: socket.socket, tcp: socket.socket, path: Path | None = None) -> None:
        """Serve both ways in until cancelled; `path` is the name of `handed`."""
        handed.setblocking(False)
        loop = asyncio.get_running_loop()
        self._port = tcp.getsockname()[1]
        idling = loop.create_task(self._end_when_idle(path))
        try:
            async with await loop.create_server(lambda: self._protocol(""), sock=tcp):
                while True:
                    try:
                        connection, _ = await loop.sock_accept(handed)
                    except OSError:
                        await asyncio.sleep(0.1)  # no room for another one now
                        continue
                    task = loop.create_task(self._take(connection))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        finally:
            idling.cancel()
            await self._client.aclose()
            for desk in self._desks.values():
                desk.close()

    def _protocol(self, turn: str) -> asyncio.Protocol:
        """One connection; `turn` is the folder of whose it is, empty where only its key will say."""
        return self._config.http_protocol_class(  # type: ignore[call-arg]
            config=self._config, server_state=self._state, app_state={"turn": turn}
        )

    async def _take(self, connection: socket.socket) -> None:
        """Take one connection that is handed over, and serve it for the turn it is said to be of."""
        connection.setblocking(False)
        with connection, contextlib.suppress(OSError):
            hello, handles = await asyncio.wait_for(_received(connection), HELLO_S)
            taken = [socket.socket(fileno=handle) for handle in handles]
            turn = hello.decode("utf-8", "replace")
            if turn == WHO:
                about = About(os.getpid(), self._port, self._mark)
                await asyncio.get_running_loop().sock_sendall(connection, msgspec.json.encode(about))
            elif turn == DOWN:
                self.end()
            if self._open_of(turn) >= CONNECTIONS_MAX:
                turn = ""
            if len(taken) == 1 and folder_of(f"ganger~{turn}~{'-' * 16}") is not None:
                taken[0].setblocking(False)
                loop = asyncio.get_running_loop()
                self._coming[turn] += 1
                try:
                    await loop.connect_accepted_socket(lambda: self._protocol(turn), taken[0])
                finally:
                    self._coming -= Counter((turn,))
                return
            for one in taken:
                one.close()

    def _open_of(self, turn: str) -> int:
        """How many connections a turn has open."""
        turns = (getattr(one, "app_state", {}).get("turn") for one in self._state.connections)
        return self._coming[turn] + sum(1 for one in turns if one == turn)

    async def _end_when_idle(self, path: Path | None) -> None:
        """End when nobody needs this gateway any more, or another one has taken its place."""
        mine = _named_at(path)
        while True:
            await asyncio.sleep(LOOK_S)
            if mine is not None and _named_at(path) not in (None, mine):
                self.end()
            if self._lock is not None and time.monotonic() - self._used_s > IDLE_S and _is_free(self._lock):
                self.end()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._used_s = time.monotonic()
        key = key_in(scope)
        turn = scope["state"]["turn"]
        folder = folder_of(key) if not turn or key.startswith(f"ganger~{turn}~") else None
        desk = await self._desk(folder, key) if folder else None
        if desk is None:
            await self._proxy.answer(None, scope, receive, send)
            return
        desk.askers += 1
        try:
            await self._proxy.answer(desk, scope, receive, send)
        finally:
            desk.askers -= 1

    async def _desk(self, folder: Path, key: str) -> Desk | None:
        """The desk of a turn; None when it was granted nothing.

        A key that it does not know may be of a newer grant. Where another gateway still has the record, its end is
        waited for.
        """
        until = time.monotonic() + TAKE_OVER_S
        while True:
            known = self._desks.get(folder)
            if known is not None and (known.askers or known.is_busy or known.grant.key == key):
                self._desks.move_to_end(folder)
                return known
            if known is not None:
                self._desks.pop(folder).close()
            try:
                self._desks[folder] = Desk(self._runs / folder)
                self._put_away()
                return self._desks[folder]
            except BlockingIOError:
                if time.monotonic() > until:
                    return None
            except (OSError, msgspec.MsgspecError, KeyError):
                return None
            await asyncio.sleep(0.1)

    def _put_away(self) -> None:
        for other, desk in list(self._desks.items())[:-DESKS_MAX]:
            if not desk.askers and not desk.is_busy:
                desk.close()
                del self._desks[other]


def _named_at(path: Path | None) -> tuple[int, int] | None:
    """What has a name now; None for nothing."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found is not None else None


def _is_free(lock: Path) -> bool:
    """Whether nobody holds a lock file."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


async def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What a hand-over says (`RUN~TURN`), and the descriptors with it; only when it is there is it read."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)
    hello, handles, _, _ = socket.recv_fds(connection, HELLO_BYTES_MAX, 4)
    return hello, handles
