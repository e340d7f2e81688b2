"""The recorder with the versions of pytest and the plugins that projects really use, and not only with ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from runner_lab import place, run, write

PLUGINS = ("pytest-xdist", "pytest-cov", "pytest-mock", "pytest-asyncio", "pytest-timeout", "pytest-randomly", "anyio")
VERSIONS = {
    "7.0": ("pytest==7.0.1",),
    "7.4": ("pytest==7.4.4", "pytest-xdist<3.6"),
    "8.0": ("pytest==8.0.2",),
    "8.4-plugins": ("pytest==8.4.2", *PLUGINS),
    "9.0": ("pytest==9.0.3", "pytest-benchmark"),
}
SUITE = {
    "m.py": "def f():\n    return 1\n",
    "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n",
    "tests/test_m.py": (
        "import unittest\n\nimport pytest\n\nfrom m import f\n\n\n"
        "def test_f(one):\n    assert f() == one\n\n\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_n(n):\n    assert n\n\n\n"
        "@pytest.mark.skip(reason='no')\ndef test_skipped():\n    raise AssertionError\n\n\n"
        "class TestOld(unittest.TestCase):\n    def test_old(self):\n        self.assertEqual(f(), 1)\n"
    ),
}
EXPECTED = {
    "tests/test_m.py::test_f": "passed",
    "tests/test_m.py::test_n[1]": "passed",
    "tests/test_m.py::test_n[2]": "passed",
    "tests/test_m.py::test_skipped": "skipped",
    "tests/test_m.py::TestOld::test_old": "passed",
}


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter that has that version; made once, kept for later runs."""
    name: str = request.param
    folder = place() / f"pytest-{name}"
    if not (folder / ".ready").exists():
        try:
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            argv = (str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check")
            subprocess.run((*argv, *VERSIONS[name]), check=True, timeout=200, stdin=subprocess.DEVNULL)
            (folder / ".ready").touch()
        except (OSError, subprocess.SubprocessError) as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"pytest {name} cannot be installed: {error}")
    return str(folder / "bin/python")


def test_an_honest_suite_is_recorded_and_passes(python: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    write(tree, SUITE)
    found = run(tree, (python, "-m", "pytest", "-q", "-p", "no:cacheprovider"))
    assert found.code == 0, found.output
    assert found.outcomes == EXPECTED
    assert found.ended == [True]
    assert [session.deceived for session in found.seen.sessions] == [""]


def test_a_failure_is_recorded_as_one(python: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    write(tree, {**SUITE, "m.py": "def f():\n    return 2\n"})
    found = run(tree, (python, "-m", "pytest", "-q", "-p", "no:cacheprovider"))
    assert found.code == 1, found.output
    failed = {"tests/test_m.py::test_f", "tests/test_m.py::TestOld::test_old"}
    assert found.outcomes == EXPECTED | dict.fromkeys(failed, "failed")


def test_it_runs_beside_itself(python: str, tmp_path: Path) -> None:
    if subprocess.run((python, "-c", "import xdist"), capture_output=True, check=False).returncode:
        return
    tree = tmp_path / "tree"
    tree.mkdir()
    write(tree, SUITE)
    found = run(tree, (python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"))
    assert (found.code, found.outcomes) == (0, EXPECTED), found.output


def test_ours_is_newer_than_these() -> None:
    """Else the newest of pytest is tried nowhere."""
    ours = tuple(int(part) for part in pytest.__version__.split(".")[:2])
    assert ours > (9, 0), sys.version
