"""The packet of a launch: exactly what a worker is sent, and beside it the record of that (CONTRACTS §8).

Both are on disk, whole, before anything is started, and are read back from there: what is not on record, or does not
say who reports to whom, is not sent.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ganger import __version__
from ganger.core.facts import Run
from ganger.core.model import ItemSpec
from ganger.drivers.port import Driver, Launch, Turn
from ganger.errors import LaunchRefused
from ganger.jail.port import Jail, Reach
from ganger.service import agents
from ganger.service.kept import MANIFEST, STDIN, Manifest, digest_of, read_manifest
from ganger.service.kinds import InForce, Rules
from ganger.service.layers import BUILT_IN, Setting
from ganger.service.tables import FRESH, INHERIT, Preset
from ganger.supervisor import brief

PROGRAMS = "programs"
"""Where agent programs are asked for their versions, in the state directory."""
_SECTIONS = ("jail", "hooks", "workspace")
"""The sections of the settings that bind every launch."""
_UNTOLD = "workspace.env"
"""What workers find in their environment may be a secret, and records are shown to others."""


class Told(Struct, frozen=True):
    """What a launch is made with besides its item: settings, with where each came from, and what workers are told."""

    rules: Rules | None = None
    presets: Mapping[str, Preset] = {}
    settings: tuple[Setting, ...] = ()

    def now(self) -> InForce:
        """What is told to workers that start now."""
        return InForce() if self.rules is None else self.rules.now()

    def of_agent(self, agent: str, kind: str, own: Mapping[str, str]) -> Mapping[str, str]:
        """The settings of an agent's driver for a worker of a kind: the kind's model stands over the agent's."""
        preset = self.presets.get(kind, Preset())
        return {**own, "model": preset.model} if preset.model and preset.agent == agent else own

    def binding(self, agent: str, kind: str) -> list[Setting]:
        """The settings that a launch follows, sorted by key."""
        wanted = (f"agents.{agent}.", f"kinds.{kind}.", *(f"{section}." for section in _SECTIONS))
        found = (setting for setting in self.settings if setting.key.startswith(wanted))
        return [setting for setting in found if not setting.key.startswith(_UNTOLD)]

    def source_of_model(self, agent: str, kind: str) -> str:
        """Where the model of a launch comes from; `built-in` is the program's own choice."""
        preset = self.presets.get(kind, Preset())
        key = f"kinds.{kind}.model" if preset.model and preset.agent == agent else f"agents.{agent}.model"
        return next((setting.source for setting in self.settings if setting.key == key), BUILT_IN)


class Versions:
    """The versions of agent programs, asked for once for as long as a program stays the file it is."""

    def __init__(self, state_dir: Path, jail: Jail) -> None:
        self._place, self._jail = state_dir / PROGRAMS, jail
        self._known: dict[tuple[str, int, int], str] = {}

    def of(self, driver: Driver, program: str) -> str:
        """What the program of a launch says of itself; empty where it says nothing, or any program would do."""
        if driver.product is None:
            return ""
        try:
            about = Path(program).stat()
        except OSError:
            return ""
        key = (program, about.st_mtime_ns, about.st_ino)
        if key not in self._known:
            folder, path = self._place / driver.name, os.environ.get("PATH", os.defpath)
            found = agents.find(driver.name, driver.product, path, folder, self._jail, program)
            self._known[key] = found.version
        return self._known[key]


def manifest_of(
    order: Turn,
    run: Run,
    spec: ItemSpec,
    driver: Driver,
    launch: Launch,
    reach: Reach,
    jail: Jail,
    told: Told,
    rules: InForce,
    version: str,
    *,
    shared: bool,
) -> dict[str, Any]:
    """Under what a worker is started, without the hashes of what it is sent; `shared` as in `kept.Manifest`."""
    files = rules.rulebook.files_of(spec.kind)
    return {
        "run": run.id,
        "turn": order.turn,
        "token": run.lease.token,
        "base": run.base,
        "agent": run.agent,
        "model": order.settings.get("model", ""),
        "model_source": told.source_of_model(run.agent, spec.kind),
        "driver": driver.name,
        "driver_version": version,
        "resume": bool(order.session),
        "seeding": FRESH if order.fork is None else f"{INHERIT} {order.fork.run} {order.fork.session}",
        "argv": launch.argv,
        "item_sha256": hashlib.sha256(msgspec.json.encode(spec, order="sorted")).hexdigest(),
        "kind": spec.kind,
        "rules": [{"source": one.source, "path": one.path, "sha256": one.sha256} for one in files],
        "rules_left_out": rules.left_out,
        "tier": jail.tier,
        "jail": {
            "mechanism": jail.mechanism,
            "gaps": jail.gaps,
            "writable": tuple(map(str, reach.writable)),
            "network": reach.network,
            "limits": reach.limits,
        },
        "scope": run.lease.scope,
        "shared": shared,
        "settings": told.binding(run.agent, spec.kind),
        "ganger": __version__,
        "item": spec,
    }


def store(order: Turn, launch: Launch, manifest: Mapping[str, Any]) -> None:
    """Write brief, input and manifest, each as a whole or not at all; LaunchRefused where that fails."""
    sent = order.brief.encode(errors="replace")
    hashes = {
        "prompt_sha256": hashlib.sha256(sent).hexdigest(),
        "stdin_sha256": hashlib.sha256(launch.stdin).hexdigest(),
    }
    record = msgspec.json.format(msgspec.json.encode({**manifest, **hashes}))
    for path, content in (
        (order.brief_path, sent),
        (order.run_dir / STDIN, launch.stdin),
        (order.run_dir / MANIFEST, record),
    ):
        try:
            _replace(path, content)
        except OSError as error:
            raise LaunchRefused(f"{path} cannot be written: {error.strerror}") from error


def require_whole(state_dir: Path, order: Turn, launch: Launch) -> None:
    """LaunchRefused unless the packet on disk is what its record says, and holds what a report depends on."""
    found = read_manifest(state_dir, order.run, order.turn)
    if not isinstance(found, Manifest):
        why = "is missing" if found is None else f"cannot be read: {found.why}"
        raise LaunchRefused(f"the manifest of {order.run} turn {order.turn} {why}")
    if (found.run, found.turn, found.token) != (order.run, order.turn, order.token):
        raise LaunchRefused(f"the manifest of {order.run} turn {order.turn} is that of {found.run} turn {found.turn}")
    files = ((order.brief_path, found.prompt_sha256), (order.run_dir / STDIN, found.stdin_sha256))
    for path, noted in files:
        if digest_of(path) != noted:
            raise LaunchRefused(f"{path} is not what its manifest says")
    missing = brief.lacks(_sent(launch), order.run, order.item)
    if missing:
        raise LaunchRefused(f"what the worker of {order.run} would be sent lacks {', '.join(missing)}")


def _sent(launch: Launch) -> str:
    """What an agent is sent: its standard input, or where that is empty its arguments and settings."""
    other = ("\n".join(launch.argv).encode(errors="replace"), *launch.files.values())
    return (launch.stdin or b"\n".join(other)).decode(errors="replace")


def _replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another, durably."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
    fresh.replace(path)
