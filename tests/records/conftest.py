"""A fleet with files for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_fleet import KeptFleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[KeptFleet]:
    made = KeptFleet(tmp_path / "state")
    yield made
    made.close()
