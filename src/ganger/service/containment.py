"""The `[jail]` table of `ganger.toml`, the jail it asks for, and what is kept of it for those who ask what holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ganger.core.model import Writes
from ganger.errors import ConfigError
from ganger.jail import system
from ganger.jail.bounds import Bounds, OfKind
from ganger.jail.bubblewrap import Bubblewrap
from ganger.jail.choice import TIERS, Mechanism, choose, tools_for
from ganger.jail.port import Jail, Limits, Network
from ganger.jail.port import shown as shown_jail
from ganger.plans import values
from ganger.plans.values import SECOND_MS, Unfit, duration, integer
from ganger.plans.wording import shown
from ganger.service import place
from ganger.service.layers import Key, Layers

T = TypeVar("T")
HOLDS = "jail.json"
ETC = "etc"
"""Where a copy of what jails show of /etc lies; an old one stays for as long as a worker may still see it."""
PROCESSES_MAX = 4_096
_COUNT, _MIB = (1, 1 << 22), (1, 1 << 24)
_CPU_MS = (SECOND_MS, 7 * values.DAY_MS)


class Containment(Struct, frozen=True):
    """What a fleet's workers and checks are to be kept in."""

    tier_min: str = TIERS[-1]
    mechanism: Mechanism = Mechanism.auto
    bounds: Bounds = Bounds()

    def jail(self, search_path: str, closed: tuple[Path, ...]) -> Jail:
        """The jail to use; ConfigError where this machine has none as strong as it must be.

        `closed` are places that the tools on the path must not bring into sight: the user's checkout and the state.
        """
        jail = choose(self.mechanism, self.tier_min, tools_for(search_path, closed))
        self.refuse_unheld(jail)
        return jail

    def refuse_unheld(self, jail: Jail) -> None:
        """ConfigError where a network is asked for that this jail cannot keep anybody from leaving."""
        networks = {"jail.network": self.bounds.network}
        networks |= {f"kinds.{name}.network": kind.network or Network.open for name, kind in self.bounds.kinds.items()}
        for key, network in networks.items():
            if jail.tier == TIERS[0] and network is not Network.open:
                raise ConfigError(
                    f'ganger.toml: `{key}` = "{network}" cannot be held: {shown_jail(jail)} keeps no network away',
                    f"take it out, or let jail.tier_min be {TIERS[-1]}",
                )


class Holds(Struct, frozen=True):
    """What containment a supervisor works with."""

    tier: str
    mechanism: str
    gaps: tuple[str, ...] = ()
    kept_rights: str | None = None
    """Why the supervisor itself can write wherever the person can; empty when it cannot, None where nobody knows."""

    @property
    def line(self) -> str:
        """On one line, for a person: what holds, and what is missing."""
        missing = f": {self.gaps[0]}" if self.tier == TIERS[0] and self.gaps else ""
        kept = f"; the supervisor keeps your rights: {self.kept_rights}" if self.kept_rights else ""
        return f"{self.tier} ({self.mechanism}){missing}{kept}"

    @property
    def whole(self) -> str:
        """The line, with what holds for the supervisor."""
        given_up = "; the supervisor writes only below its state directory" if self.kept_rights == "" else ""
        return self.line + given_up


def furnished(jail: Jail, state_dir: Path) -> Jail:
    """The same jail, with what makes its starts quicker kept in the state directory; as it is where that cannot be."""
    if not isinstance(jail, Bubblewrap):
        return jail
    try:
        return jail.with_etc(system.copy_etc(state_dir / ETC))
    except OSError:
        return jail


def of_jail(jail: Jail, kept_rights: str | None = None) -> Holds:
    """Describe a jail, and the supervisor that works with it."""
    return Holds(jail.tier, jail.mechanism, jail.gaps, kept_rights)


def keep(state_dir: Path, holds: Holds) -> None:
    """Leave word of the containment in use; StateDirError when that cannot be."""
    place.replace_file(state_dir / HOLDS, msgspec.json.encode(holds))


def kept(state_dir: Path) -> Holds | None:
    """What the last supervisor worked with; None when there was none, or its word cannot be read."""
    try:
        return msgspec.json.decode((state_dir / HOLDS).read_bytes(), type=Holds)
    except (OSError, msgspec.MsgspecError):
        return None


def read_jail(layers: Layers) -> Containment:
    """Read `[jail]`, and what `[kinds.NAME]` says about it."""
    take = layers.take
    kinds = {name: _of_kind(layers, name) for name in layers.tables("kinds")}
    bounds = Bounds(
        readable=layers.take_from_files(("jail", "readable"), _places) or (),
        writable=layers.take_from_files(("jail", "writable"), _places) or (),
        network=take(("jail", "network"), _network, Network.open.value),
        checks_network=take(("jail", "checks_network"), _of_checks, Network.none.value),
        limits=_limits(layers, PROCESSES_MAX),
        kinds={name: kind for name, kind in kinds.items() if kind != OfKind()},
    )
    return Containment(
        tier_min=take(("jail", "tier_min"), values.choice(*TIERS), TIERS[-1]),
        mechanism=Mechanism(take(("jail", "mechanism"), values.choice(*Mechanism), Mechanism.auto.value)),
        bounds=bounds,
    )


def _of_kind(layers: Layers, name: str) -> OfKind:
    key = ("kinds", name)
    writes = layers.take_from_files((*key, "writes"), values.choice(*Writes))
    return OfKind(
        network=layers.take_from_files((*key, "network"), _network),
        read_only=writes == "none",
        limits=_limits_at(lambda inner, parse: layers.take_from_files((*key, "limits", inner), parse)),
    )


def _limits(layers: Layers, processes_max: int) -> Limits:
    key: Key = ("jail", "limits")

    def take(inner: str, parse: Callable[[object], int]) -> int | None:
        if inner == "processes_max":
            return layers.take((*key, inner), parse, processes_max)
        return layers.take_limit((*key, inner), parse)

    return _limits_at(take)


def _limits_at(take: Callable[[str, Callable[[object], int]], int | None]) -> Limits:
    cpu_ms = take("cpu_max", duration(*_CPU_MS))
    return Limits(
        processes=take("processes_max", integer(*_COUNT)),
        memory_mib=take("memory_mib_max", integer(*_MIB)),
        files=take("files_max", integer(*_COUNT)),
        cpu_s=None if cpu_ms is None else -(-cpu_ms // SECOND_MS),
        file_mib=take("file_mib_max", integer(*_MIB)),
    )


def _network(value: object) -> Network:
    return Network(values.choice(*Network)(value))


def _of_checks(value: object) -> Network:
    if value == Network.gateway:
        raise Unfit('cannot be "gateway": checks call no model', 'write "none" or "open"')
    return _network(value)


def _places(value: object) -> tuple[Path, ...]:
    """Take a list of places on this machine: absolute, there, and not the whole of it."""
    found = []
    for text in values.texts(value):
        path = Path(text)
        if not path.is_absolute() or ".." in path.parts:
            raise Unfit(f"holds {shown(text)}, which is not an absolute path")
        if not path.exists():
            raise Unfit(f"holds {shown(text)}, which is not there")
        if path.resolve() == Path("/"):
            raise Unfit(f"holds {shown(text)}: that would be no jail", 'write tier_min = "T0" if you want none')
        found.append(path)
    return tuple(found)
