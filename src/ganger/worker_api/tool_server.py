"""The tools of all workers of a fleet as one MCP server: Streamable HTTP, on a Unix socket and on loopback.

It is a translator and holds no rights: who calls shows a run, its token and its secret, and what is said goes through
that run's own door like the commands' words. A process of its own, since the SDK is large and slow to load. The same
for one worker, on standard input and output, is for a program that nobody connects to it (`serve_own`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request

from ganger.core.ids import RunId, Token, is_run_id
from ganger.service.hook_settings import MCP_CALLS_MAX
from ganger.service.places import Places
from ganger.service.worker_door import secret_of
from ganger.service.worker_talk import HeardMail, fetch_mail, new_key, speak
from ganger.worker_api import tools
from ganger.worker_api.tools import Me, MyWork

ABOUT = "tools.json"
BODY_BYTES_MAX = 1 << 20
REQUESTS_MAX = 512
"""At a time, of all; more are refused."""
_BEARER = re.compile(r"[Bb]earer ([^~\s]{1,200})~(\d{1,18})~(\d{1,6})~([0-9a-f]{64})")
HELP = "You work for ganger. Call my_work for your brief; commit your work; then call done, ask or fail once."


class ToolServer:
    """Answers calls of tools."""

    def __init__(
        self, who: Callable[[Request | None], Me | None], door: Callable[[RunId], Path], calls_max: int
    ) -> None:
        """`who` says who calls, None for somebody who is not known; `door` where the folder of a run's door is.

        `calls_max` is how many calls of tools of one run are answered.
        """
        self._who, self._door, self._calls_max = who, door, calls_max
        self._calls: Counter[tuple[RunId, Token]] = Counter()
        """Of each run."""
        self._handed: dict[tuple[RunId, Token], list[int]] = {}
        """What workers were handed that have not called since."""
        self.spoken = Server(
            "ganger",
            version=version("ganger"),
            instructions=HELP,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        """What speaks MCP, over whatever it is connected to."""

    async def _list(self, context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        me = self._who(context.request)
        return types.ListToolsResult(
            tools=[
                types.Tool(name=name, description=tools.TOOLS[name].__doc__, input_schema=schema)
                for name, schema in tools.offered(self._kinds(me)).items()
            ]
        )

    async def _call(
        self, context: ServerRequestContext[Any, Request], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        me = self._who(context.request)
        if me is None:
            return _result("This is for workers that ganger started: its run, token and secret are not shown.", False)
        if self._is_beyond(me):
            times = f"{self._calls_max:,} times"
            return _result(f"You have called ganger's tools {times}, and no more is answered: end the turn.", False)
        try:
            call = tools.read(params.name, params.arguments or {})
            await asyncio.to_thread(self._has_heard, me)
            if isinstance(call, MyWork):
                return _result(*await asyncio.to_thread(self._brief, me))
            answer = await asyncio.to_thread(speak, self._door(me.run), tools.message(call, me))
        except ValueError as error:
            return _result(f"Not understood: {error}", False)
        except OSError as error:
            return _result(f"Nobody can be reached ({error.strerror}). End the turn.", False)
        return _result(*tools.told(call, answer))

    def _brief(self, me: Me) -> tuple[str, bool]:
        """The newest brief of a run, and what was said to it since."""
        briefs = sorted(self._door(me.run).parent.glob("turn-*/brief.*.md"), key=lambda path: path.stat().st_mtime)
        if not briefs:
            return "There is no brief yet.", False
        mail = fetch_mail(self._door(me.run), me.token, me.secret)
        if mail.messages:
            self._handed.setdefault((me.run, me.token), []).extend(mail.messages)
        text = briefs[-1].read_text(encoding="utf-8")
        return (f"{text}\n{mail.text}" if mail.text else text), True

    def _has_heard(self, me: Me) -> None:
        """A worker that calls again has read what it was handed before."""
        messages = self._handed.pop((me.run, me.token), None)
        if messages:
            with contextlib.suppress(OSError):
                speak(self._door(me.run), HeardMail(tuple(messages), me.token, me.secret, new_key()))

    def _kinds(self, me: Me | None) -> list[str]:
        """The kinds of children that a run may have; none for somebody who is not known."""
        try:
            return (self._door(me.run) / tools.GRANT).read_text().split() if me is not None else []
        except OSError:
            return []

    def _is_beyond(self, me: Me) -> bool:
        """Whether a run has called often enough; counts the call. Which turn it is in, it could say otherwise."""
        self._calls[me.run, me.token] += 1
        return self._calls[me.run, me.token] > self._calls_max


def _known_by(state_dir: Path, request: Request | None) -> Me | None:
    """Who calls; None for somebody who does not know the secret of the run."""
    found = _BEARER.fullmatch(request.headers.get("authorization", "")) if request is not None else None
    if found is None or not is_run_id(found[1]):
        return None
    me = Me(RunId(found[1]), Token(int(found[2])), int(found[3]), found[4])
    known = secret_of(state_dir, me.run, me.token)
    return me if hmac.compare_digest(known.encode(), me.secret.encode()) else None


def _result(text: str, well: bool) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=not well)


def serve_own(me: Me, door: Path) -> int:
    """Speak MCP on standard input and output for one worker until its input ends; returns the exit status."""

    async def serve() -> None:
        spoken = ToolServer(lambda _: me, lambda _: door, MCP_CALLS_MAX).spoken
        async with stdio_server() as (read, write):
            await spoken.run(read, write, spoken.create_initialization_options())

    asyncio.run(serve())
    return 0


def main(args: Sequence[str]) -> int:
    """Serve until told to end (SIGTERM), or until whoever started it is gone; returns the exit status."""
    parser = argparse.ArgumentParser(prog="ganger.worker_api.tool_server")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--calls-max", type=int, default=MCP_CALLS_MAX)
    given = parser.parse_args(args)
    os.umask(0o077)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(given.state, given.socket, given.calls_max))
    return 0


async def _serve(state_dir: Path, path: Path, calls_max: int) -> None:
    served = ToolServer(partial(_known_by, state_dir), Places(state_dir).door, calls_max)
    app = served.spoken.streamable_http_app(
        json_response=True,
        stateless_http=True,
        max_request_body_size=BODY_BYTES_MAX,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=["127.0.0.1:*", "localhost:*", "ganger"],
            allowed_origins=[],
        ),
    )
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none", limit_concurrency=REQUESTS_MAX
    )
    server = uvicorn.Server(config)
    parent = os.getppid()
    tcp = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.chdir(path.parent)  # the kernel allows 107 bytes for the whole path
    fresh = Path(f".{path.name}.{os.getpid()}")
    unix.bind(fresh.name)
    unix.listen(128)
    about = Path(f".{ABOUT}.{os.getpid()}")
    about.write_text(json.dumps({"pid": os.getpid(), "port": tcp.getsockname()[1]}))
    serving = asyncio.ensure_future(server.serve(sockets=[tcp, unix]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    fresh.rename(path.name)
    about.rename(ABOUT)
    while not serving.done() and os.getppid() == parent:
        await asyncio.wait([serving], timeout=1.0)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
