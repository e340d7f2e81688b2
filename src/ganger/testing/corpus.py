"""Cases that failed once and are played for ever: a folder of JSON files, one a case.

A case holds its whole configuration, so it means the same when the swarm is drawn in another way.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.testing.simulated_fleet import Config


class Case(Struct, frozen=True):
    """A night that failed."""

    seed: int
    invariant: str
    """The rule that did not hold, as RELIABILITY names it; `crash` for an exception of the program itself."""
    what: str
    """One line on what it was."""
    config: Config


def read(folder: Path) -> dict[str, Case]:
    """Return every case of a folder under the name of its file; ValidationError for a file that is none."""
    return {file.stem: decode(file.read_bytes()) for file in sorted(folder.glob("*.json"))}


def save(case: Case, folder: Path) -> Path:
    """Write a case, every setting spelled out, and return where; no other case is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(msgspec.json.encode(case.config), digest_size=3).hexdigest()
    path = folder / f"{case.invariant}-{case.seed}-{digest}.json"
    path.write_bytes(encode(case))
    return path


def encode(case: Case) -> bytes:
    """Spell a case out, for a person too."""
    return msgspec.json.format(msgspec.json.encode(case), indent=2) + b"\n"


def decode(text: bytes) -> Case:
    """Read a case; ValidationError when it has a setting that there is not, and so would mean something else."""
    case = msgspec.json.decode(text, type=Case)
    unknown = _settings(msgspec.json.decode(text)) - _settings(msgspec.to_builtins(case))
    if unknown:
        raise msgspec.ValidationError(f"settings that there are not: {', '.join(sorted(unknown))}")
    return case


def _settings(value: object, name: str = "") -> set[str]:
    """Name every setting, nested ones with dots."""
    if not isinstance(value, dict):
        return {name}
    return {found for key, inner in value.items() for found in _settings(inner, f"{name}.{key}".lstrip("."))}
