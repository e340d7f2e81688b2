"""What a jail is: a way to put a program behind a wall. It starts nothing itself: `drivers.process` does.

A wall is data: an argument list to start instead, and what the shim's child (`reaper`, `kernel`) does to itself before
it becomes that program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class Network(StrEnum):
    """How far a program reaches."""

    none = "none"
    """Nowhere; its own loopback works where the mechanism has one."""
    gateway = "gateway"
    """Only to the gateway, at one port of a loopback of its own; without a `Way` there, nowhere."""
    open = "open"
    """Wherever the person who runs ganger reaches, the machine's own services on loopback included."""


class Limits(Struct, frozen=True, omit_defaults=True):
    """The most of each that a program may use; None where there is no limit."""

    processes: int | None = None
    """Processes and threads of the jail together."""
    memory_mib: int | None = None
    """Private memory of each process."""
    files: int | None = None
    """Open descriptors of each process."""
    cpu_s: int | None = None
    """Processor time of each process, in seconds."""
    file_mib: int | None = None
    """Size of each file that is written."""


class Way(Struct, frozen=True):
    """How a program behind a wall comes to the gateway: what it connects to is handed over from outside."""

    port: int
    """Of loopback; the gateway listens there itself for programs without a network of their own."""
    socket: str
    """Path of the Unix socket at which the gateway takes connections."""
    hello: str
    """What it is told of each: whose it is."""


class Reach(Struct, frozen=True):
    """What one program may reach, besides the system's programs and the tools that every jail shows."""

    writable: tuple[Path, ...] = ()
    """The only places it may write to; they exist."""
    readable: tuple[Path, ...] = ()
    """What else it may read; a place that is not there is left out."""
    frozen: tuple[Path, ...] = ()
    """Places below a writable one that stay as they are."""
    network: Network = Network.open
    way: Way | None = None
    """Only with `Network.gateway`."""
    limits: Limits = Limits()


class Ruling(Struct, frozen=True):
    """Landlock's part of a wall: rights that are refused wherever no rule gives them, see `kernel`."""

    files: int = 0
    ports: int = 0
    port: int = 0
    """The only one that TCP may connect to all the same; 0: none."""
    scopes: int = 0
    rules: tuple[tuple[str, int], ...] = ()
    """Paths, each with the rights that it and everything below it have."""


class Wall(Struct, frozen=True, omit_defaults=True):
    """What the shim's child does to itself before it becomes the program; everything empty: nothing."""

    ruling: Ruling | None = None
    filter: str = ""
    """System calls that are refused, as a program for the kernel, in hexadecimal."""
    limits: Mapping[str, int] = {}
    """Resource limits by the names of the module `resource`."""
    sealed: tuple[str, ...] | None = None
    """In namespaces of its own, everything but these is mounted read-only."""
    frozen: tuple[str, ...] = ()
    """Below those, read-only all the same."""
    own_network: bool = False
    way: Way | None = None
    """In a network of its own, with the way to the gateway from there."""
    powerless: bool = False
    """All capabilities are given up, those of root too."""
    bwrap: bool = False
    """The program to start is bubblewrap, to which `filter` and the limit of processes are handed over."""


class Confined(Struct, frozen=True):
    """A program behind its wall."""

    argv: tuple[str, ...]
    wall: Wall = Wall()


class Jail(Protocol):
    """One way of confining a worker or a check."""

    @property
    def tier(self) -> str:
        """How strong it is: `T0` nothing, `T1` kernel (namespaces, Landlock), `T2` container. Never overstated."""
        ...

    @property
    def mechanism(self) -> str:
        """What holds the tier, for people: `bubblewrap 0.8.0`."""
        ...

    @property
    def gaps(self) -> tuple[str, ...]:
        """What it does not keep out, a sentence each."""
        ...

    def confine(self, argv: Sequence[str], reach: Reach) -> Confined:
        """Put a program behind a wall; WorldFailed when something it needs is out of its reach."""
        ...

    def sees(self, program: str, reach: Reach) -> bool:
        """Whether a file could be executed in there."""
        ...

    def joins(self, reach: Reach) -> bool:
        """Whether a program in there can connect to Unix sockets that it sees."""
        ...


def shown(jail: Jail) -> str:
    """Name a jail on one line: its tier and what holds it."""
    return f"{jail.tier} ({jail.mechanism})"
