"""Tier 1 by bubblewrap: a file system in which only what is named exists, and namespaces for processes and the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ganger.errors import WorldFailed
from ganger.jail import kernel, seccomp, system
from ganger.jail.port import Confined, Network, Reach, Ruling, Wall

SCOPES = 0b11
"""Landlock: no abstract sockets and no signals of processes outside."""
ABI_SCOPES = 6
TMP, VAR_TMP = "/tmp", "/var/tmp"  # noqa: S108 - those of the jail
TMP_BYTES_MAX = 1 << 30
MASKED = ("/run", "/home", "/root", "/var", "/srv", "/mnt", "/media", "/opt")
_SHARED = (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)


class Bubblewrap:
    """Starts programs through `bwrap`, whose options say all that exists for them."""

    tier = "T1"

    def __init__(self, program: str, version: str, tools: Iterable[Path], abi: int, etc: Path | None = None) -> None:
        """`tools` are shown to every program (`system.tools`); `abi` is the kernel's version of Landlock, or 0.

        `etc` is a copy of what is shown of /etc (`system.copy_etc`), which makes starts quicker.
        """
        self._program, self._tools, self._abi, self._etc = program, tuple(tools), abi, etc
        self.mechanism = version
        self.gaps = tuple(_gaps(abi))

    def with_etc(self, etc: Path) -> Bubblewrap:
        """The same jail, with a copy of what is shown of /etc."""
        return Bubblewrap(self._program, self.mechanism, self._tools, self._abi, etc)

    def confine(self, argv: Sequence[str], reach: Reach) -> Confined:
        """Put a program behind a wall."""
        if not argv:
            raise WorldFailed("cannot start a program without a name")
        ruling = Ruling(scopes=SCOPES) if self._abi >= ABI_SCOPES else None
        families = {*_SHARED, seccomp.AF_UNIX} if self.joins(reach) else {*_SHARED}
        wall = Wall(
            ruling=ruling,
            filter=seccomp.program(frozenset(families)).hex(),
            limits=kernel.rlimits(reach.limits),
            way=reach.way,
            bwrap=True,
        )
        return Confined((self._program, *self._options(reach), "--", *argv), wall)

    def joins(self, reach: Reach) -> bool:
        """Where they can be told from those of other programs."""
        return self._abi >= ABI_SCOPES or reach.network is not Network.open

    def sees(self, program: str, reach: Reach) -> bool:
        """Whether a file could be executed in there."""
        shown = (*self._tools, *reach.readable, *reach.writable)
        # A link is seen only where it and all it leads to are.
        return all(
            system.is_system(path) or any(path.is_relative_to(place) for place in shown)
            for path in (Path(program), Path(os.path.realpath(program)))
        )

    def _options(self, reach: Reach) -> Iterator[str]:
        yield from ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        if reach.network is not Network.open and reach.way is None:
            yield "--unshare-net"
        yield from ("--disable-userns", "--die-with-parent", "--cap-drop", "ALL")
        yield from _system()
        yield from self._shown_etc(reach)
        for folder in MASKED:
            yield from ("--dir", folder)
        yield from ("--size", str(TMP_BYTES_MAX), "--perms", "1777", "--tmpfs", TMP, "--symlink", TMP, VAR_TMP)
        for place in (*self._tools, *reach.readable):
            yield from ("--ro-bind-try", str(place), str(place))
        for place in reach.writable:
            yield from ("--bind", str(place), str(place))
        for place in reach.frozen:
            yield from ("--ro-bind-try", str(place), str(place))
        yield from ("--remount-ro", "/proc", "--remount-ro", "/")

    def _shown_etc(self, reach: Reach) -> Iterator[str]:
        # Below a folder that is mounted read-only there is no room for anything more.
        more = any(place.is_relative_to("/etc") for place in (*self._tools, *reach.readable, *reach.writable))
        if self._etc is None or more:
            for place in system.etc():
                yield from ("--ro-bind-try", str(place), str(place))
            return
        yield from ("--ro-bind", str(self._etc), "/etc")
        for name in system.LIVE:
            if (self._etc / name).exists():
                yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


def _system() -> Iterator[str]:
    """The system's folders: those that are links stay links, as on this machine."""
    for folder in system.SYSTEM:
        if Path(folder).is_symlink():
            yield from ("--symlink", str(Path(folder).readlink()), folder)
        else:
            yield from ("--ro-bind-try", folder, folder)
    yield from ("--proc", "/proc", "--dev", "/dev")


def _gaps(abi: int) -> Iterator[str]:
    yield "it shares the kernel: a fault of the kernel can lead out"
    if abi < ABI_SCOPES:
        yield "programs that may use the network cannot use Unix sockets: this kernel could not keep them from yours"
    if os.getuid() == 0:
        yield "you are root: the kernel does not limit the number of processes"
    if not seccomp.program(frozenset()):
        yield f"no filter for system calls is known for {os.uname().machine}"


def found() -> str:
    """Path of the `bwrap` that would be used; empty when there is none."""
    return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin") or ""
