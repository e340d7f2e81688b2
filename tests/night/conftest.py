"""A fleet of its own for each test, and nothing of it left afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A repository and a fleet; whatever of it still lives when the test ends is killed, and is a failure."""
    made = Fleet(tmp_path / "lab")
    yield made
    left = made.close()
    assert not left, f"the test left processes: {left}"
