"""How checks do on a base: run once per tree and verifier, kept below the state directory, compared with ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.ids import Commit
from ganger.core.model import Check, CheckState
from ganger.verifier.footprint import Footprint
from ganger.verifier.record import Seen

FOLDER = "references"


class Outcome(Struct, frozen=True):
    """What one run of a check showed."""

    state: CheckState
    seen: Seen
    footprint: Footprint
    executed: int | None
    """As recorded, otherwise as printed; None where nobody says."""


class References:
    """The outcomes of checks on trees that are bases of candidates."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER

    def get(self, tree: Commit, check: Check, verifier: str, run: Callable[[], Outcome]) -> Outcome:
        """The outcome of a check on a tree by a verifier; `run` finds it out where nobody has."""
        path = self._path(tree, check, verifier)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Outcome)
        except (FileNotFoundError, msgspec.MsgspecError):
            found = run()
        self.put(tree, check, verifier, found)
        return found

    def put(self, tree: Commit, check: Check, verifier: str, found: Outcome) -> None:
        """Keep an outcome; one that was cut off by a time limit or a signal is no standard for others."""
        if found.state in (CheckState.timed_out, CheckState.crashed):
            return
        path = self._path(tree, check, verifier)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{hashlib.sha256(msgspec.json.encode(found)).hexdigest()[:12]}")
        beside.write_bytes(msgspec.json.encode(found))
        beside.replace(path)

    def _path(self, tree: Commit, check: Check, verifier: str) -> Path:
        words = "\0".join((tree, verifier, check.name, *check.argv, str(check.timeout_ms)))
        return self._folder / f"{hashlib.sha256(words.encode('utf-8', 'surrogateescape')).hexdigest()}.json"
