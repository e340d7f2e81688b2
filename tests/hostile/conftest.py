"""Hostile workers in a fleet of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "night"))

from builders import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A repository and a fleet; whatever of it still lives when the test ends is killed, and is a failure."""
    made = Fleet(tmp_path / "lab")
    yield made
    left = made.close()
    assert not left, f"the test left processes: {left}"
