"""Where a child goes on from its spawner's conversation: a copy of that, taken at the child's first turn.

What lies in an agent's folder is the agent's to write, so the copy is read through no link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ganger.core.facts import Run
from ganger.core.model import ItemSpec
from ganger.drivers.port import Driver, Fork
from ganger.git.beneath import directory, read_file
from ganger.service.kept import Manifest, read_manifest, turns_on_disk
from ganger.service.places import Places
from ganger.service.tables import FRESH, INHERIT, Preset
from ganger.supervisor.stream import Reads, read_out

BYTES_MAX = 64 << 20
DEPTH_MAX = 6
_ENDING = ".jsonl"
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""What names a conversation may have that stand in a command line."""


def seeding_of(spec: ItemSpec, preset: Preset) -> str:
    """How a child begins: as whoever spawned it says, or else as its kind does; `fresh` for whoever is nobody's."""
    return (spec.seeding or preset.seeding) if spec.spawner else FRESH


def fork_of(
    state_dir: Path, run: Run, spec: ItemSpec, turn: int, driver: Driver, preset: Preset, reads: Reads
) -> Fork | None:
    """The conversation that a turn begins with; None where it begins afresh.

    That is also so where the agent cannot fork one, or its spawner's is another agent's or nowhere to be found.
    """
    if turn != 1 or seeding_of(spec, preset) != INHERIT or not driver.capabilities.fork:
        return None
    places = Places(state_dir)
    for earlier in reversed(turns_on_disk(state_dir, spec.spawner)):
        found = read_manifest(state_dir, spec.spawner, earlier)
        if not isinstance(found, Manifest) or found.agent != run.agent:
            return None
        session = read_out(places.turn(spec.spawner, earlier), reads).session
        content = _transcript(places.agent(spec.spawner), session) if _SESSION.fullmatch(session) else None
        if content is not None:
            return Fork(spec.spawner, session, content)
    return None


def _transcript(state: Path, session: str) -> bytes | None:
    """The file of a conversation in an agent's folder: it is called as the session, or ends so."""
    for folder, name in _files(state, ()):
        if name == f"{session}{_ENDING}" or name.endswith(f"_{session}{_ENDING}"):
            return read_file(state, (*folder, name), BYTES_MAX)
    return None


def _files(state: Path, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The names in a folder and all below it; what cannot be looked into has none."""
    try:
        with directory(state, at) as handle, os.scandir(handle) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return
    yield from ((at, name) for name, is_folder in found if not is_folder and name.endswith(_ENDING))
    for name, is_folder in found:
        if is_folder and len(at) < DEPTH_MAX:
            yield from _files(state, (*at, name))
