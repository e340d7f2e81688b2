"""The gateway against a direct connection, in turns: the time to the first byte, that of each event, many streams.

The provider is a process of its own on loopback; it sends the events of a stream some milliseconds apart, or at once.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from bench.table import ms, percentile, rows, us
from ganger.gateway.account import Limit
from ganger.gateway.contact import ask
from ganger.gateway.desk import GRANT, Grant, key_for
from ganger.gateway.prices import Price

CALLS, EVENTS, STREAMS, GAP_S = 200, 2_000, 50, 0.02
Address = tuple[int, str]
"""A port of loopback and the key to show there."""


def main() -> None:
    """Print the table."""
    with provider(1, 0.0) as short, provider(EVENTS, 0.0) as flood, provider(100, GAP_S) as slow:
        first = compared(short, CALLS, first_byte)
        events = compared(flood, 10, lambda at: whole(at) / EVENTS)
        with gateway(slow) as (through, process):
            used = process.cpu_times()
            took = asyncio.run(many(through))
            cpu = process.cpu_times()
            busy = (cpu.user + cpu.system - used.user - used.system) / took
        took_direct = asyncio.run(many((slow, "")))
    rows(
        "the gateway beside a direct connection",
        [
            ("first byte, p50", *added(first, 0.5, ms), "≤ 3 ms added"),
            ("first byte, p95", *added(first, 0.95, ms), ""),
            ("an event of a stream at full speed", *added(events, 0.5, us), "≤ 1 ms added"),
            (
                f"{STREAMS} streams at once, an event each {GAP_S * 1000:.0f} ms",
                f"{took:.2f} s, {busy:.0%} of one core",
                f"{took_direct:.2f} s ({took / took_direct:.2f} ×)",
                "one core",
            ),
        ],
    )


def added(
    found: tuple[Sequence[float], Sequence[float]], share: float, write: Callable[[float], str]
) -> tuple[str, str]:
    """What the gateway adds, and what stands against it."""
    through, direct = percentile(found[0], share), percentile(found[1], share)
    return f"{write(through)} (+{write(through - direct)})", write(direct)


def compared(port: int, times: int, call: Callable[[Address], float]) -> tuple[list[float], list[float]]:
    """Seconds of each call through the gateway and directly, in turns, sorted."""
    through, direct = [], []
    with gateway(port) as (at, _):
        for number in range(times + 5):
            taken = (call(at), call((port, "")))
            if number >= 5:
                through.append(taken[0])
                direct.append(taken[1])
    return sorted(through), sorted(direct)


@contextmanager
def provider(events: int, gap: float) -> Iterator[int]:
    """A provider whose answers have so many events; its port."""
    argv = (sys.executable, "-m", "bench.gateway", "provider", str(events), str(gap))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@contextmanager
def gateway(port: int) -> Iterator[tuple[Address, psutil.Process]]:
    """A gateway before that provider, with limits that it has to reckon with."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as place:
        key = key_for("bench.1", 1, secrets.token_hex(16))
        folder = Path(place, "runs/bench.1/turn-1")
        folder.mkdir(parents=True)
        limit = Limit(10**12, 10**12)
        grant = Grant("bench.1", 1, key, "anthropic", f"http://127.0.0.1:{port}", "", limit, {"m": Price(3.0, 15.0)})
        (folder / GRANT).write_bytes(msgspec.json.encode(grant))
        where = Path(place, "s")
        argv = (
            sys.executable,
            "-I",
            "-m",
            "ganger.gateway",
            "--runs",
            str(Path(place, "runs")),
            "--socket",
            str(where),
        )
        with subprocess.Popen([*argv, *("--port", "0", "--mark", "", "--lock", f"{place}/lock")], env={}) as process:
            while (about := ask(where)) is None:
                time.sleep(0.01)
            try:
                yield (about.port, key), psutil.Process(process.pid)
            finally:
                process.send_signal(signal.SIGTERM)


def request(key: str) -> bytes:
    """A request of 20,000 bytes."""
    body = json.dumps({"model": "m", "max_tokens": 1000, "stream": True, "messages": "x" * 20_000}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def first_byte(at: Address) -> float:
    """Seconds from the request to the first byte of the answer's body, on a connection that is there."""
    with connection(at) as there:
        began = time.perf_counter()
        there.sendall(request(at[1]))
        seen = b""
        while b"data:" not in seen:
            seen += there.recv(65_536)
        return time.perf_counter() - began


def whole(at: Address) -> float:
    """Seconds of a whole answer."""
    with connection(at) as there:
        began = time.perf_counter()
        there.sendall(request(at[1]))
        tail = b""
        while b"\r\n0\r\n\r\n" not in tail:
            tail = tail[-16:] + there.recv(1 << 20)
        return time.perf_counter() - began


def connection(at: Address) -> socket.socket:
    """A connection to loopback."""
    there = socket.create_connection(("127.0.0.1", at[0]), timeout=60)
    there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return there


async def many(at: Address) -> float:
    """Seconds until as many streams at once have ended."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", at[0])
        writer.write(request(at[1]))
        await reader.readuntil(b"message_stop")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(STREAMS)))
    return time.perf_counter() - began


async def serve(events: int, gap: float) -> None:
    """Be the provider."""
    start: dict[str, object] = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 5000, "output_tokens": 1}},
    }
    word: dict[str, object] = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "a word or two"},
    }
    end: list[dict[str, object]] = [
        {"type": "message_delta", "usage": {"output_tokens": 900}},
        {"type": "message_stop"},
    ]
    messages = (start, *[word] * events, *end)
    body = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in messages]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for event in body:
                if gap:
                    await asyncio.sleep(gap)
                writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["provider"]:
        asyncio.run(serve(int(sys.argv[2]), float(sys.argv[3])))
    else:
        main()
