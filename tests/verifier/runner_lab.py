"""Running a test runner as a check does, with ganger's recorders, and where Jest and Vitest are kept for that.

    python tests/verifier/runner_lab.py [NAME-VERSION…]

installs them (all of `PINNED` without names) into `$GANGER_RUNNERS`, or else `$XDG_CACHE_HOME/ganger-runners`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ganger.verifier import injection, record
from ganger.verifier.record import Seen

PINNED = ("jest-29.7.0", "vitest-2.1.9", "jest-30.2.0", "vitest-3.2.4", "vitest-4.0.8")
EACH_TIME = PINNED[:2]
"""Those that are tried in every run of the tests, where they are installed; the others in the nightly."""
NIGHTLY = "GANGER_SEEDS" in os.environ
NPM_S = 300


@dataclass(frozen=True)
class Ran:
    """How a runner ended, and what was recorded of it."""

    code: int
    output: str
    seen: Seen

    @property
    def outcomes(self) -> dict[str, str]:
        """Each test with how it ended."""
        return {name: ending.outcome for name, ending in self.seen.tests.items()}

    @property
    def ended(self) -> list[bool]:
        """Of each session whether it came to its own end."""
        return [session.ended for session in self.seen.sessions]


def run(tree: Path, argv: Sequence[str], keep: Mapping[str, str] | None = None) -> Ran:
    """Run a command in a tree with the environment that a check of it has; records and tools lie beside the tree."""
    beside = tree.with_name(f"{tree.name}.beside")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "tools").mkdir(parents=True)
    laid = record.lay_out(beside / "seen", 8)
    known = {name: os.environ[name] for name in ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
    env = injection.environment(beside / "seen", beside / "tools", argv, tree, node_reports=True)
    log = beside / "log"
    with log.open("wb") as output:
        done = subprocess.run(
            argv, cwd=tree, env=known | env | dict(keep or {}), stdout=output, stderr=subprocess.STDOUT, timeout=120
        )
    text = log.read_text(errors="replace")
    return Ran(done.returncode, text, injection.seen_of(argv, tree, record.read(beside / "seen", laid), text))


def write(tree: Path, files: Mapping[str, str]) -> None:
    """Write text files below a tree."""
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def place() -> Path:
    """Where the runners are kept."""
    own, cache = os.environ.get("GANGER_RUNNERS", ""), os.environ.get("XDG_CACHE_HOME", "")
    return Path(own) if own else Path(cache or Path.home() / ".cache") / "ganger-runners"


def install(pinned: str) -> None:
    """Install one runner, unless it is there; CalledProcessError when the registry does not give it."""
    into = place() / pinned
    if (into / ".ready").exists():
        return
    name, _, version = pinned.partition("-")
    into.mkdir(parents=True, exist_ok=True)
    (into / "package.json").write_text(json.dumps({"private": True, "dependencies": {name: version}}))
    command = ["npm", "install", "--prefix", str(into), "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, check=True, timeout=NPM_S, stdin=subprocess.DEVNULL)
    (into / ".ready").write_text("")


def tree_with(pinned: str, tree: Path, files: Mapping[str, str]) -> Path:
    """A tree whose dependencies are a runner; the test is skipped where that is not installed, and cannot be."""
    if not (place() / pinned / ".ready").exists():
        if not NIGHTLY:
            pytest.skip(f"{pinned} is not installed: python tests/verifier/runner_lab.py {pinned}")
        try:
            install(pinned)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{pinned} cannot be installed: {error}")
    tree.mkdir()
    (tree / "node_modules").symlink_to(place() / pinned / "node_modules")
    write(tree, {"package.json": '{"private": true}', **files})
    return tree


if __name__ == "__main__":
    for wanted in sys.argv[1:] or PINNED:
        install(wanted)
