"""The two clients: the compiled one, built here from its source, and its twin in Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ganger.worker_api

SOURCE = Path(ganger.worker_api.__file__).parent


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The client in C."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("client") / "ganger-hook"
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11")
    subprocess.run([compiler, *flags, "-o", str(program), str(SOURCE / "client.c")], check=True)
    return (str(program),)


@pytest.fixture(params=["c", "python"])
def client(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each of them in turn."""
    if request.param == "python":
        return (sys.executable, "-I", "-S", str(SOURCE / "client.py"))
    found: tuple[str, ...] = request.getfixturevalue("compiled")
    return found
