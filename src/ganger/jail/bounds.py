"""What workers and checks of a fleet may reach: the settings of its jail, applied to one run or one check."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.jail.port import Limits, Network, Reach

FROZEN = (".git/config", ".git/hooks")
"""What of a workspace stays as ganger made it: git takes programs to run from there."""


class OfKind(Struct, frozen=True):
    """What a kind of worker is allowed that differs from the others."""

    network: Network | None = None
    read_only: bool = False
    """It cannot write its workspace, only its own home and temporary files."""
    limits: Limits = Limits()


class Bounds(Struct, frozen=True):
    """The settings of a fleet's jail."""

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    network: Network = Network.open
    checks_network: Network = Network.none
    limits: Limits = Limits()
    kinds: Mapping[str, OfKind] = {}

    def of_worker(self, kind: str, workspace: Path, own: Path, turn: Path, objects: Path, door: Path) -> Reach:
        """What the worker of a turn may reach.

        `own` is what ganger keeps of the run, `turn` of this turn, with its `home` and `tmp`; `objects` are those of
        the hub, which the workspace borrows; `door` is where its reports are left when nobody listens.
        """
        special = self.kinds.get(kind, OfKind())
        places = (turn / "home", turn / "tmp", door)
        # A mount of its own cannot be renamed: nobody puts another `.git` in its place.
        tree = () if special.read_only else (workspace, workspace / ".git")
        return Reach(
            writable=(*tree, *places, *self.writable),
            readable=(*((workspace,) if special.read_only else ()), own, objects, *self.readable),
            frozen=() if special.read_only else tuple(workspace / name for name in FROZEN),
            network=self.network_of(kind),
            limits=_over(self.limits, special.limits),
        )

    @property
    def uses_gateway(self) -> bool:
        """Whether any worker is to reach the gateway only."""
        return Network.gateway in (self.network, *(kind.network for kind in self.kinds.values()))

    def network_of(self, kind: str) -> Network:
        """How far a worker of a kind reaches."""
        return self.kinds.get(kind, OfKind()).network or self.network

    def of_check(self, writable: tuple[Path, ...], readable: tuple[Path, ...] = ()) -> Reach:
        """What a check may reach: its tree, home and temporary files, and what of ganger's it reads."""
        return Reach(
            writable=writable,
            readable=(*readable, *self.readable),
            network=self.checks_network,
            limits=self.limits,
        )

    def search_path(self, path: str, closed: tuple[Path, ...]) -> str:
        """Of a `PATH`, the absolute folders that neither are, nor lie in, what agents write."""
        shut = [os.path.realpath(place) for place in (*closed, *self.writable)]
        return os.pathsep.join(
            entry
            for entry in path.split(os.pathsep)
            if entry.startswith("/") and not any(Path(os.path.realpath(entry)).is_relative_to(place) for place in shut)
        )


def _over(fleet: Limits, kind: Limits) -> Limits:
    """The fleet's limits, with those of a kind in their place where it has its own."""
    own = {name: value for name in kind.__struct_fields__ if (value := getattr(kind, name)) is not None}
    return replace(fleet, **own)


NO_BOUNDS = Bounds()
"""What holds where nothing is set."""
