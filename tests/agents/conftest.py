"""Real agent programs against a scripted model, in a fleet or by themselves, with no way out but loopback."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganger.testing.model_server import ModelServer

sys.path.insert(0, str(Path(__file__).parents[1] / "night"))
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def no_way_out() -> Iterator[bool]:
    """A network of this thread's own in which there is only loopback, where the machine allows that.

    What the thread starts, servers and programs, is in there too. Tells whether there is one.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            yield False
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loopback:
            fcntl.ioctl(loopback, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        try:
            yield True
        finally:
            assert LIBC.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)


@pytest.fixture
def server(no_way_out: bool) -> Iterator[ModelServer]:
    """A model server of its own."""
    with ModelServer() as made:
        yield made
