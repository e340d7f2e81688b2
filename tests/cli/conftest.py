"""The fleets of `tests/night`, for what the command line says about them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "night"))

from builders import Done, Fleet

from ganger.cli.main import main


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A repository and a fleet of its own; see `tests/night/conftest.py`."""
    made = Fleet(tmp_path / "lab")
    yield made
    left = made.close()
    assert not left, f"the test left processes: {left}"


@pytest.fixture
def here(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command in this process, in the fleet's repository and environment: for many commands in a row."""

    def run(*words: str) -> Done:
        wanted = fleet.env
        with monkeypatch.context() as patched:
            for name in set(os.environ) - set(wanted):
                patched.delenv(name)
            for name, value in wanted.items():
                patched.setenv(name, value)
            patched.chdir(fleet.repo)
            try:
                code = main(list(words))
            finally:
                # `ganger admit` has these off for good: its process ends with its answer.
                gc.enable()
                gc.unfreeze()
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run
