"""Tier 1 by Landlock: the kernel refuses every file that no rule names; for machines without bubblewrap.

Where a user may make namespaces, everything else is also mounted read-only. Where not, calls that change modes, owners
and times of files are refused everywhere, because Landlock does not look at them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ganger.jail import kernel, seccomp, system
from ganger.jail.port import Confined, Network, Reach, Ruling, Wall

ABI_MIN = 3
"""Older ones let a program cut off files outside (`truncate`): that would be no tier 1."""
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
READ = EXECUTE | READ_FILE | READ_DIR
_ALL = {3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights to files that a version knows; the fifth brought control of devices."""
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14
TCP = 0b11
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SHARED = (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)


class Landlock:
    """Has the program give up its rights before it begins."""

    tier = "T1"

    def __init__(self, tools: Iterable[Path], abi: int, seals: bool) -> None:
        """`seals`: whether this user may make namespaces (`kernel.can_seal`)."""
        self._tools, self._abi, self._seals = tuple(tools), abi, seals
        self.mechanism = f"Landlock {abi}" + (" with read-only mounts" if seals else "")
        self.gaps = tuple(_gaps(abi, seals))

    def confine(self, argv: Sequence[str], reach: Reach) -> Confined:
        """Put a program behind a wall."""
        shut = reach.network is not Network.open
        own_network = shut and self._seals
        by_port = reach.way.port if reach.way is not None and not own_network else 0
        families = frozenset(_SHARED) if own_network or by_port or not shut else frozenset[int]()
        files = _ALL[5 if self._abi >= 5 else 3]
        wall = Wall(
            ruling=Ruling(
                files=files,
                ports=TCP if shut and not own_network else 0,
                port=by_port,
                scopes=0b11,
                rules=tuple(self._rules(reach, files)),
            ),
            filter=seccomp.program(families, others=True, attributes=not self._seals).hex(),
            limits=kernel.rlimits(reach.limits),
            sealed=tuple(map(str, reach.writable)) if self._seals else None,
            frozen=tuple(map(str, reach.frozen)),
            own_network=own_network and reach.way is None,
            way=reach.way if own_network else None,
            powerless=True,
        )
        return Confined(tuple(argv), wall)

    def joins(self, reach: Reach) -> bool:
        """Nowhere: a socket in sight cannot be told from one that is not to be."""
        return False

    def sees(self, program: str, reach: Reach) -> bool:
        """Whether a file could be executed in there."""
        path = Path(os.path.realpath(program))
        shown = (*self._tools, *reach.readable, *reach.writable)
        return system.is_system(path) or any(path.is_relative_to(os.path.realpath(place)) for place in shown)

    def _rules(self, reach: Reach, files: int) -> Iterator[tuple[str, int]]:
        for folder in (*system.SYSTEM, "/proc"):
            yield folder, READ
        for place in (*system.etc(), *self._tools, *reach.readable):
            yield str(place), READ & _kept(place)
        for device in DEVICES:
            yield device, READ_FILE | WRITE_FILE
        for place in reach.writable:
            yield str(place), files & _kept(place) & ~_DEVICE_NODES


_DEVICE_NODES = 1 << 6 | 1 << 11
"""Making character and block devices."""


def _kept(place: Path) -> int:
    """The rights that a rule for this place can give: one for a file none of those to folders."""
    return -1 if place.is_dir() else _OF_FILES


def _gaps(abi: int, seals: bool) -> Iterator[str]:
    yield "names, sizes and times of your files can be seen, not their content; so can your processes"
    yield "programs cannot use Unix sockets, nor /tmp, /dev/shm and terminals"
    if seals:
        yield "without the network, a program has a loopback of its own"
    else:
        yield "without the network, a program has no loopback either"
        yield "a worker can change the git configuration of its own workspace, in which ganger never runs git"
        yield "programs cannot change modes, owners and times of files, not even of their own"
    if abi < 6:
        yield "a program can send signals to your other processes"
    if os.getuid() == 0:
        yield "you are root: the kernel does not limit the number of processes"
    elif not seals:
        yield "the number of processes is counted over all of yours"
