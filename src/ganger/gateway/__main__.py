"""`python -I -m ganger.gateway --runs FOLDER --socket PATH --port N --mark WORD --lock FILE`: the gateway of one fleet.

`N` is the port of loopback that is tried first, and any other where that is taken. The providers' keys are in its
environment. It ends on SIGTERM, when it is told to at its socket, and by itself when nobody has called for a while and
nobody holds the lock file of the supervisor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from ganger.gateway.server import Gateway


def main(args: Sequence[str]) -> int:
    """Serve until told to end; returns the exit status."""
    parser = argparse.ArgumentParser(prog="ganger.gateway")
    for name, kind in (("runs", Path), ("socket", Path), ("port", int), ("mark", str), ("lock", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    given = parser.parse_args(args)
    os.umask(0o077)
    # Every connection needs a descriptor, and every call another one; a soft limit is for programs that use select.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))
    tcp = _loopback(given.port)
    gateway = Gateway(given.runs, os.environ, mark=given.mark, lock=given.lock)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(gateway, _named(given.socket), tcp, Path(given.socket.name)))
    return 0


def _loopback(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _named(path: Path) -> socket.socket:
    """A socket of that name; one that an earlier gateway left is replaced."""
    handed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    os.chdir(path.parent)  # the kernel allows 107 bytes for the whole path
    handed.bind(fresh.name)
    handed.listen(128)
    Path(fresh.name).replace(path.name)
    return handed


async def _serve(gateway: Gateway, handed: socket.socket, tcp: socket.socket, path: Path) -> None:
    serving = asyncio.ensure_future(gateway.serve(handed, tcp, path))
    gateway.end = serving.cancel
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    await serving


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
