"""Asking the gateway who it is, and telling it to end; without the packages that it is made of."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import msgspec
from msgspec import Struct

HELLO_BYTES_MAX = 4_096
ASK_S = 2.0
WHO, DOWN = "who", "down"


class About(Struct, frozen=True):
    """Who a gateway is."""

    pid: int
    port: int
    mark: str


def ask(path: Path) -> About | None:
    """Ask the gateway at a socket who it is; None when nobody is there."""
    try:
        with contextlib.closing(_connected(path)) as connection:
            connection.sendall(WHO.encode())
            return msgspec.json.decode(connection.recv(HELLO_BYTES_MAX), type=About)
    except (OSError, msgspec.MsgspecError):
        return None


def end(path: Path) -> None:
    """Tell the gateway at a socket to end; nothing when nobody is there."""
    with contextlib.suppress(OSError), contextlib.closing(_connected(path)) as connection:
        connection.sendall(DOWN.encode())


def _connected(path: Path) -> socket.socket:
    near = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ASK_S)
    try:
        connection.connect(f"/proc/self/fd/{near}/{path.name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(near)
    return connection
