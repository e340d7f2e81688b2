"""The demo: a real night on the bundled library, its parts, and what happens when the package index gives nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import GANGER, everybody

from ganger.cli.demo import codemods, library
from ganger.cli.demo.repository import PLAN, night_files
from ganger.cli.demo.story import ANSWERED, PARTS, SHOWS, Part
from ganger.testing.scripted_agent import fenced_script, parse

LIBRARIES = (library.BUNDLED, library.PROJECT)
Ganger = Callable[..., subprocess.CompletedProcess[str]]
NIGHT_S = 280


@pytest.fixture
def ganger(tmp_path: Path) -> Iterator[Ganger]:
    """Runs `ganger …` in a home of its own; afterwards no process of it may be left, and no file in that home."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env |= {"HOME": str(home), "TMPDIR": str(temporary)}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        argv = [*GANGER, *map(str, arguments)]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=NIGHT_S, check=False)

    yield run
    assert everybody(str(tmp_path)) == {}
    assert [str(path) for folder in (home, temporary) for path in folder.rglob("*")] == []


@pytest.mark.slow
def test_the_whole_demo(ganger: Ganger, tmp_path: Path) -> None:
    place = tmp_path / "demo"
    done = ganger("demo", "--offline", "--keep", place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "main holds exactly the honest work" in done.stdout
    assert f"The report:  {place / 'state' / 'reports' / 'report.html'}" in done.stdout
    assert (place / "state" / "reports" / "report.html").is_file()
    assert f"the demo answers for you: ganger answer q1 '{_recommended(ANSWERED)}'" in done.stderr

    here = ("-C", place / "library", "--state-dir", place / "state")
    story = _items(ganger, here)
    assert {name: status for name, (status, _) in story.items()} == {
        name: {Part.honest: "landed", Part.untrue: "given_up", Part.waits: "running"}[part]
        for name, part in PARTS.items()
    }
    reasons = {name: reason for name, (_, reason) in story.items() if PARTS[name] is Part.untrue}
    shorter = reasons.pop("shorter-cli")
    assert "with the base's tests, check tests failed with exit status 1" in shorter
    assert "weakens tests: tests/test_cli.py:11: deleted of Cli.test_values: the test is gone" in shorter
    assert reasons == {
        "guide": "the worker showed no activity for 4 s, for the second time on the identical brief",
        "keywords": "changes outside the scope README.md: LICENSE",
        "benchmark": "nothing was changed: the commits leave every file as it was",
    }
    assert _git(place, "status", "--porcelain") == ""
    assert "simplify must wait: item simplify wants spoken/sizes.py" in done.stderr
    assert "examples.1 ended failed: the worker was killed by signal 9" in done.stderr
    assert (
        "new-caller.1 ended superseded: passes by itself, and so does rename-helper.1, which has landed" in done.stderr
    )

    _answer_what_is_left(ganger, here, place)


def _answer_what_is_left(ganger: Ganger, here: tuple[object, ...], place: Path) -> None:
    """What the demo offers at its end works: an answer, the same plan again, and the last item lands."""
    answered = ganger(*here, "answer", "q2", "2.0.0")
    assert answered.returncode == 0, answered.stderr
    again = ganger(*here, "run", place / "library" / PLAN)
    assert again.returncode == 3, again.stdout + again.stderr
    assert "11 of 15 items landed" in again.stdout
    assert "__version__ = '2.0.0'" in _git(place, "show", "main:spoken/__init__.py")


def _items(ganger: Ganger, here: tuple[object, ...]) -> dict[str, tuple[str, str]]:
    """Status and reason of each item."""
    shown = {name: json.loads(ganger(*here, "show", name, "--json").stdout) for name in PARTS}
    return {name: (item["status"], item["reason"]) for name, item in shown.items()}


def _git(place: Path, *arguments: str) -> str:
    argv = ["git", "-C", str(place / "library"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def _recommended(item: str) -> str:
    text = next(one["brief"] for one in _plan(library.BUNDLED)["item"] if one["id"] == item)
    return str(tomllib.loads(fenced_script(text))["step"][0]["steps"][0]["recommend"])


def _plan(name: str) -> dict[str, Any]:
    return tomllib.loads(night_files(library.Library(name, ""))[PLAN])


@pytest.mark.parametrize("name", LIBRARIES)
def test_both_nights_have_the_same_parts(name: str) -> None:
    plan = _plan(name)
    assert {item["id"] for item in plan["item"]} == set(PARTS) == set(SHOWS)
    assert len(plan["item"]) >= 10


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_scripts_can_be_acted_out(name: str) -> None:
    actors = [item for item in _plan(name)["item"] if item["agent"] == "actor"]
    assert all(parse(fenced_script(item["brief"])).step for item in actors)


def test_a_folder_with_something_in_it_is_refused(ganger: Ganger, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = ganger("demo", "--offline", "--keep", tmp_path / "full")
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_without_an_index_the_bundled_library_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "scratch").mkdir()
    found, why = library.put_library(tmp_path / "library", tmp_path / "scratch", offline=False)
    assert found.name == library.BUNDLED
    assert why.startswith("pip could not download sqlparse")
    assert (tmp_path / "library" / "spoken" / "__init__.py").is_file()


def test_the_bundled_library_passes_its_tests(tmp_path: Path) -> None:
    library.unpack_bundled(tmp_path / "library")
    argv = [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    done = subprocess.run(argv, cwd=tmp_path / "library", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


CODEMODS = [
    ("docstrings", [], "def get_name(a):\n    return a\n", 'def get_name(a):\n    """Get name."""\n    return a\n'),
    ("docstrings", [], "def _own():\n    pass\n", None),
    ("docstrings", [], "class OneThing:\n    x = 1\n", 'class OneThing:\n    """One thing."""\n    x = 1\n'),
    ("docstrings", [], "def f(): pass\n", None),
    ("return-hints", [], "def f(a={1: 2}, *b):\n    print(a)\n", "def f(a={1: 2}, *b) -> None:\n    print(a)\n"),
    ("return-hints", [], "def f():\n    return 1\n", None),
    ("return-hints", [], "def f():\n    yield\n", None),
    ("return-hints", [], "def f():\n    raise E\n", None),
    ("return-hints", [], "def f():\n    g = lambda: (yield)\n", "def f() -> None:\n    g = lambda: (yield)\n"),
    ("none-tests", [], "é = a == None or b!=None\n", "é = a is None or b is not None\n"),
    ("none-tests", [], "a is None\n", None),
    ("object-bases", [], "class A(object):\n    pass\n", "class A:\n    pass\n"),
    ("sort-imports", [], "import sys, os\nfrom m import b, a\n", "import os\nimport sys\n\nfrom m import a, b\n"),
    ("sort-imports", [], "import sys  # why\nimport os\n", None),
    ("rename", ["old", "new"], "old(x.old, 'old', older)  # old\n", "new(x.new, 'old', older)  # old\n"),
    ("header", ["# H"], "#!/bin/x\na\n", "#!/bin/x\n# H\na\n"),
    ("header", ["# H"], "# H\na\n", None),
]


@pytest.mark.parametrize(("tool", "words", "before", "after"), CODEMODS)
def test_codemods(tool: str, words: list[str], before: str, after: str | None, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(before, encoding="utf-8")
    assert codemods.main([tool, *words, str(tmp_path)]) == 0
    assert file.read_text(encoding="utf-8") == (before if after is None else after)
    assert codemods.main([tool, *words, str(tmp_path)]) == 0
    assert file.read_text(encoding="utf-8") == (before if after is None else after)


@pytest.mark.parametrize("arguments", [[], ["nonsense", "x.py"], ["rename", "a", "b"], ["docstrings"]])
def test_codemods_refuse_what_makes_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert codemods.main(arguments) == 2
    assert "makes no sense" in capsys.readouterr().err
