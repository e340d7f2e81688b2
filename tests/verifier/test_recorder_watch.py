"""The Python recorder in a real pytest process: what it notes of code that gets at it, and of objects equal to all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ganger.verifier.injection import INSIDE
from ganger.verifier.record import Seen, lay_out, read

TESTS = "from product import product\n\n\ndef test_product():\n    assert product() == 2\n"
GOOD = "def product():\n    return 2\n"


def seen(tmp_path: Path, files: Mapping[str, str], inside: Path = INSIDE) -> Seen:
    """Run the tests of a tree as a check does."""
    tree, folder = tmp_path / "tree", tmp_path / "seen"
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    laid = lay_out(folder, 1)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(inside), "GANGER_SEEN": str(folder), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    subprocess.run(command, cwd=tree, env=env, capture_output=True, check=False, timeout=60)
    return read(folder, laid)


def noted_of(found: Seen) -> list[str]:
    """What was noted besides functions that are others at the end: those have names only."""
    return [each for session in found.sessions for each in session.patched if " " in each]


DRIVES = """\
import gc

for one in gc.get_objects():
    if type(one).__name__ == "Recorder":
        one.test("tests/test_product.py::test_forged", "passed", "tests/test_product.py")
"""
HIDDEN = DRIVES.replace("gc.get_objects()", "vars(__import__('g' + 'c'))['get_obj' + 'ects']()").replace(
    "import gc\n", ""
)
EQUAL = "class Same(int):\n    def __eq__(self, other):\n        return {}\n\n    __hash__ = int.__hash__\n\n\n"
SEARCH = [
    "gc.get_objects of product.py",
    "the recorder, driven by product.py",
    "the recorder, driven by tests/test_product.py",
]
NOTED = {
    "nothing": (GOOD, []),
    "a search for objects": (
        DRIVES + GOOD,
        SEARCH,
    ),
    "a hidden search": (
        HIDDEN + GOOD,
        SEARCH,
    ),
    "an object equal to all": (
        EQUAL.format("bool(other or 1)") + GOOD,
        ["product.Same, which is equal to everything"],
    ),
    "an object made while it runs": (
        '_same = type("S", (str,), {"__e" + "q__": lambda *both: True, "__hash__": str.__hash__})\n' + GOOD,
        ["product.S, which is equal to everything"],
    ),
    "an honest comparison": (EQUAL.format("isinstance(other, int) and int(self) == int(other)") + GOOD, []),
    "a comparison that raises": (EQUAL.format("self.missing == other.missing") + GOOD, []),
    "garbage collected": ("import gc\n\ngc.collect()\n" + GOOD, []),
}  # fmt: skip


@pytest.mark.parametrize("about", NOTED)
def test_what_is_noted(tmp_path: Path, about: str) -> None:
    product, noted = NOTED[about]
    files = {"tests/__init__.py": "", "tests/test_product.py": TESTS, "product.py": product}
    found = seen(tmp_path, files)
    assert [session.ended for session in found.sessions] == [True] and noted_of(found) == noted


def test_a_session_within_a_test_is_not_driven(tmp_path: Path) -> None:
    """A test that runs pytest itself stands behind every line of that session, from its start."""
    inner = "import pytest\n\n\ndef test_inner():\n    assert pytest.main(['-q', 'inner']) == 0\n"
    files = {"inner/test_one.py": "def test_one():\n    pass\n", "tests/test_inner.py": inner}
    assert noted_of(seen(tmp_path, files)) == []


def test_without_the_watch_it_would_not_be_noted(tmp_path: Path) -> None:
    """The defence switched off: the same search leaves no trace."""
    text = (INSIDE / "sitecustomize.py").read_text()
    blind = text.replace("        _watch_searches(write, frame)\n", "").replace("if one not in known", "if False")
    assert len(text) - len(blind) > 40
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "sitecustomize.py").write_text(blind)
    files = {"tests/__init__.py": "", "tests/test_product.py": TESTS, "product.py": HIDDEN + GOOD}
    found = seen(tmp_path, files, tmp_path / "inside")
    assert noted_of(found) == [] and "tests/test_product.py::test_forged" in found.tests
