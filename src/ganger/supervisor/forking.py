"""Where a child goes on from its spawner's conversation: a copy of that, taken at the child's first turn.

What lies in an agent's folder is the agent's to write, also while it is read: the copy is taken through no link, from
a bounded number of files, and what is half written is left out.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from ganger.core.facts import Run
from ganger.core.model import ItemSpec
from ganger.drivers.agent import session_of
from ganger.drivers.port import Conversation, Driver, Fork
from ganger.git.beneath import directory, read_file
from ganger.service.kept import Manifest, read_manifest, turns_on_disk
from ganger.service.places import Places
from ganger.service.tables import FRESH, INHERIT, Preset
from ganger.supervisor.stream import Reads, read_out

BYTES_MAX = 64 << 20
FOLDERS_MAX, NAMES_MAX = 1_000, 10_000
"""Most that is looked into for each part of a path, and most names in each."""
LOOKS_MAX = 5
"""How often a database is read before it counts as one that cannot be copied: each time its log began anew."""
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
    kept = driver.capabilities.fork
    if turn != 1 or seeding_of(spec, preset) != INHERIT or kept is None:
        return None
    places = Places(state_dir)
    for earlier in reversed(turns_on_disk(state_dir, spec.spawner)):
        found = read_manifest(state_dir, spec.spawner, earlier)
        if not isinstance(found, Manifest) or found.agent != run.agent:
            return None
        session = read_out(places.turn(spec.spawner, earlier), reads).session
        if not session and kept.named:
            session = session_of(found.run, found.turn, found.token)
        copied = _copied(places.agent(spec.spawner), kept, session) if _SESSION.fullmatch(session) else None
        if copied is not None:
            return Fork(spec.spawner, session, *copied)
    return None


def _copied(state: Path, kept: Conversation, session: str) -> tuple[bytes, bytes] | None:
    """The file of a conversation in an agent's folder, and its log; None where they cannot be had."""
    path = _longest(state, tuple(kept.file.format(session=session).split("/")))
    if path is None:
        return None
    if kept.log:
        return _of_one_moment(state, path, tuple(kept.log.split("/")))
    content = read_file(state, path, BYTES_MAX)
    if content is not None and path[-1].endswith(".jsonl"):
        content = content[: content.rfind(b"\n") + 1]
    return (content, b"") if content is not None else None


def _of_one_moment(state: Path, path: tuple[str, ...], log: tuple[str, ...]) -> tuple[bytes, bytes] | None:
    """A database and its log, as they belong together.

    A database is written only from its log, and the log begins anew only after that. As long as the log has only grown,
    it holds all that could have come into the database meanwhile.
    """
    before = _log(state, log)
    for _ in range(LOOKS_MAX):
        content, after = read_file(state, path, BYTES_MAX), _log(state, log)
        if content is None or before is None or after is None:
            return None
        if after == before or (before and after.startswith(before)):
            return content, after
        before = after
    return None


def _log(state: Path, path: tuple[str, ...]) -> bytes | None:
    """A log, empty where there is none; None where there is one that cannot be had."""
    content = read_file(state, path, BYTES_MAX)
    return b"" if content is None and _longest(state, path) is None else content


def _longest(state: Path, wanted: tuple[str, ...]) -> tuple[str, ...] | None:
    """Where the longest file lies that fits a pattern for each part of its path; None where nothing does."""
    folders: list[tuple[str, ...]] = [()]
    for part in wanted[:-1]:
        folders = [(*at, name) for at in folders for name, _ in _fitting(state, at, part)][:FOLDERS_MAX]
    found = [(size, (*at, name)) for at in folders for name, size in _fitting(state, at, wanted[-1])]
    return max(found)[1] if found else None


def _fitting(state: Path, at: tuple[str, ...], pattern: str) -> list[tuple[str, int]]:
    """The names in a folder that fit, with their sizes in bytes; what cannot be looked into has none."""
    try:
        with directory(state, at) as handle, os.scandir(handle) as entries:
            fit = [entry for entry in islice(entries, NAMES_MAX) if fnmatchcase(entry.name, pattern)]
            return sorted((entry.name, entry.stat(follow_symlinks=False).st_size) for entry in fit)
    except OSError:
        return []
