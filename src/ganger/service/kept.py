"""What is kept of a run on disk besides the journal: briefs, output, logs of checks, and a manifest for each turn.

They lie in `runs/RUN/turn-N/`, the agent's own state for all turns in `runs/RUN/agent`. The manifest and the record of
how the worker ended are small and kept for good; the rest belongs to one of four classes, which may be pruned when
nobody needs it any more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.journal.queries import Reader, RunRow
from ganger.service.places import Places

MANIFEST, STDIN = "manifest.json", "stdin"
"""In a turn's folder: under what its worker was started, and what it was sent on its standard input."""
_TURN = re.compile(r"turn-([1-9][0-9]*)")


class DataClass(StrEnum):
    """What kept files are about."""

    prompts = "prompts"
    """What the worker was told: its brief, and what it got on its standard input."""
    output = "output"
    """What it left: its output, its home and its temporary files."""
    checks = "checks"
    """What the checks of its candidates printed."""
    sessions = "sessions"
    """The agent's own conversations and settings, for all turns: with them a person can go on with a run."""


_CLASS_OF = {
    STDIN: DataClass.prompts,
    "output.log": DataClass.output,
    "home": DataClass.output,
    "tmp": DataClass.output,
    "checks": DataClass.checks,
}


class Walls(Struct, frozen=True):
    """What a worker could reach."""

    network: str = ""
    """`open`, `gateway` or `none`; empty in the manifests of before it was noted."""


class Manifest(Struct, frozen=True):
    """Under what a worker was started (CONTRACTS §8), as far as the journal knows the same."""

    run: str
    turn: int
    token: int
    base: str
    agent: str
    tier: str = ""
    prompt_sha256: str = ""
    """Of the brief; empty in the manifests of before it was noted."""
    shared: bool = False
    """Whether it only read, in a checkout that it could not write."""
    driver: str = ""
    """What reads its output."""
    stdin_sha256: str = ""
    """Of what was sent on its standard input; empty in the manifests of before it was noted."""
    jail: Walls = Walls()


class Unreadable(Struct, frozen=True):
    """A manifest that is there and cannot be read."""

    why: str


def turns_on_disk(state_dir: Path, run: str) -> list[int]:
    """The turns of a run that have a folder, in order."""
    found = [_TURN.fullmatch(path.name) for path in _listed(Places(state_dir).run(run)) if path.is_dir()]
    return sorted(int(match[1]) for match in found if match)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing when it is not there or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def files_of(state_dir: Path, run: str) -> Iterator[tuple[DataClass, Path]]:
    """The files and folders of a run that may be pruned, each with its class.

    Conversations stay for as long as there is the workspace that they are about: they could be gone on with.
    """
    places = Places(state_dir)
    for turn in turns_on_disk(state_dir, run):
        for path in _listed(places.turn(run, turn)):
            found = DataClass.prompts if path == places.brief(run, turn) else _CLASS_OF.get(path.name)
            if found is not None:
                yield found, path
    if places.agent(run).is_dir() and not places.workspace(run).exists():
        yield DataClass.sessions, places.agent(run)


def read_manifest(state_dir: Path, run: str, turn: int) -> Manifest | Unreadable | None:
    """The manifest of a turn; None when there is none."""
    try:
        return msgspec.json.decode((Places(state_dir).turn(run, turn) / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as error:
        return Unreadable(str(error))


def manifest_faults(state_dir: Path, run: RunRow, turn: int) -> tuple[str, ...]:
    """Say where the manifest of a turn that the journal knows is missing or differs from the journal."""
    found = read_manifest(state_dir, run.id, turn)
    if found is None:
        return (f"{run.id} turn {turn}: its manifest is missing",)
    if isinstance(found, Unreadable):
        return (f"{run.id} turn {turn}: its manifest cannot be read ({found.why})",)
    said = {"run": found.run, "turn": found.turn, "token": found.token, "base": found.base, "agent": found.agent}
    known = {"run": run.id, "turn": turn, "token": run.token, "base": run.base, "agent": run.agent}
    return tuple(
        f"{run.id} turn {turn}: its manifest says {name} {said[name]}, the journal {known[name]}"
        for name in known
        if said[name] != known[name]
    )


def prompt_fault(state_dir: Path, run: str, turn: int) -> str:
    """Say how the brief of a turn differs from what its manifest notes; empty when it is the same or none is noted."""
    manifest = read_manifest(state_dir, run, turn)
    noted = manifest.prompt_sha256 if isinstance(manifest, Manifest) else ""
    found = digest_of(Places(state_dir).brief(run, turn))
    if not noted or not found or noted == found:
        return ""
    return f"{run} turn {turn}: its prompt has the hash {found[:16]}, its manifest says {noted[:16]}"


def digest_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def index_faults(reader: Reader, state_dir: Path) -> tuple[str, ...]:
    """Compare what the journal knows of turns with the manifests on disk, both ways; empty when they agree.

    A turn after the last is no fault: its worker was started, and whoever did may not have lived to record it.
    """
    runs = reader.runs()
    faults: list[str] = []
    for run in runs:
        turns = [row.turn for row in reader.turns(run.id)]
        for turn in turns:
            faults += manifest_faults(state_dir, run, turn)
        spare = [turn for turn in turns_on_disk(state_dir, run.id) if turn > max(turns, default=0) + 1]
        faults += [f"{run.id} turn {turn}: there is a folder of it, and the journal knows none" for turn in spare]
    known = {run.id for run in runs}
    folders = [path.name for path in _listed(Places(state_dir).runs)]
    strange = [name for name in folders if name not in known]
    return (*faults, *(f"{name}: there is a folder of it, and the journal knows no such run" for name in strange))
