"""Where the agent programs are; tests of one that is not installed are left out, but never in CI."""

from __future__ import annotations

import os
from pathlib import Path

import install
import pytest

FOLDER = install.folder()
BIN = FOLDER / "bin"
ALL = bool(os.environ.get("GANGER_ALL_AGENTS"))
"""Whether those are tried too that a change need not pass with."""


def need(name: str) -> Path:
    """The program of an agent; leaves the test out where it is not installed, which in CI is a failure."""
    pin = install.pins()[name]
    if not install.is_ready(FOLDER, name, pin):
        if os.environ.get("CI") and pin["ci"]:
            pytest.fail(f"{name} is not installed: make agents", pytrace=False)
        pytest.skip(f"{name} is not installed: make agents AGENTS={name}")
    return BIN / name
