"""Whether a change changes anything that runs, and whether it is what it looks like: a row a rule."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ganger.core.ids import Commit
from ganger.core.patterns import PathRules
from ganger.git.changes import ABSENT_MODE, Change
from ganger.service.protected import is_test_file
from ganger.testing.builders import spec
from ganger.verifier.substance import Diff, faults

FILE, RUNS, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
NOTHING_RUNS = 'changes nothing that runs, only {}; an item that wants no more says changes = "words"'
Files = Mapping[str, str | None]


def changed(path: str, old_mode: str = FILE, new_mode: str = FILE, same: bool = False) -> Change:
    letter = "A" if old_mode == ABSENT_MODE else "D" if new_mode == ABSENT_MODE else "M"
    new = "1" if same else "2"
    return Change(letter, path, old_mode, new_mode, Commit("1" * 40), Commit(new * 40), path.encode())


def found(
    before: Files, after: Files, *more: Change, others: tuple[str, ...] = (), **fields: object
) -> tuple[str, ...]:
    """The faults of a candidate; contents by path."""
    changes = [
        changed(
            path,
            FILE if before.get(path) is not None else ABSENT_MODE,
            FILE if after.get(path) is not None else ABSENT_MODE,
        )
        for path in {**before, **after}
    ]
    sides = [{path: text.encode() for path, text in side.items() if text is not None} for side in (before, after)]
    paths = {*sides[1], *others, *(change.path for change in more if change.new_mode != ABSENT_MODE)}
    given = {"scope": ("**",), **fields}
    return faults(spec(**given), Diff((*changes, *more), *sides), paths, is_test_file, PathRules())


PYTHON = 'def f(x):\n    """Say it."""\n    return x  # as it is\n'
SAME = [
    ("a comment", {"a.py": PYTHON}, {"a.py": PYTHON.replace("as it is", "so be it")}, "comments and layout"),
    ("a docstring", {"a.py": PYTHON}, {"a.py": PYTHON.replace("Say it", "Do it")}, "comments and layout"),
    (
        "layout",
        {"a.py": PYTHON},
        {"a.py": PYTHON.replace("return x ", "return (\n        x\n    )")},
        "comments and layout",
    ),
    ("line ends", {"a.py": PYTHON}, {"a.py": PYTHON.replace("\n", "\r\n")}, "comments and layout"),
    ("JavaScript", {"a.js": "f(1); // one\n"}, {"a.js": "/* two */ f( 1 )\n;\n"}, "comments and layout"),
    ("Go", {"a.go": "package a\n"}, {"a.go": "// A.\npackage a\n"}, "comments and layout"),
    ("a shell script", {"a.sh": "echo 1\n"}, {"a.sh": "# one\necho  1\n"}, "comments and layout"),
    ("a file of comments", {}, {"a.py": "# nothing\n"}, "comments and layout"),
    ("an empty file", {}, {"a.dat": ""}, "empty files"),
    ("documents", {"README.md": "a"}, {"README.md": "b", "docs/x.py": "x = 1"}, "documentation"),
    (
        "both",
        {"README.md": "a", "a.py": "x=1"},
        {"README.md": "b", "a.py": "x = 1"},
        "documentation, comments and layout",
    ),
]


@pytest.mark.parametrize(("before", "after", "what"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_nothing_that_runs(before: Files, after: Files, what: str) -> None:
    assert found(before, after) == (NOTHING_RUNS.format(what),)
    assert found(before, after, changes="words") == ()


def test_modes_alone() -> None:
    assert found({}, {}, changed("a.sh", FILE, RUNS, same=True)) == (NOTHING_RUNS.format("file modes"),)


DIFFERENT = [
    ("code", {"a.py": PYTHON}, {"a.py": PYTHON.replace("x  #", "-x  #")}),
    ("a string", {"a.js": "f('// a');"}, {"a.js": "f('// b');"}),
    ("an indentation", {"a.py": "if x:\n    f()\n    g()\n"}, {"a.py": "if x:\n    f()\ng()\n"}),
    ("a doctest", {"a.py": '"""\n>>> 1\n1\n"""\n'}, {"a.py": '"""\n>>> 1\n2\n"""\n'}),
    ("what cannot be read", {"a.py": "x = ("}, {"a.py": "x = ( "}),
    ("data", {"a.json": "{}"}, {"a.json": "{ }"}),
    ("code and documents", {"a.py": "x = 1", "README.md": "a"}, {"a.py": "x = 2", "README.md": "b"}),
    ("a new module", {}, {"a.py": "x = 1\n"}),
    ("a file taken away", {"a.py": "x = 1\n"}, {"a.py": None}),
    ("the interpreter of a script", {"a.sh": "#!/bin/sh\n"}, {"a.sh": "#!/bin/bash\n"}),
]


@pytest.mark.parametrize(("before", "after"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_something_that_runs(before: Files, after: Files) -> None:
    assert found(before, after) == ()


@pytest.mark.parametrize("scope", ["docs/**", "README.md", "**/*.md", "src/{a.py,b.md}"])
def test_documents_are_work_where_the_plan_asks_for_them(scope: str) -> None:
    path = {"docs/**": "docs/a.md", "**/*.md": "x/a.md", "src/{a.py,b.md}": "src/b.md"}.get(scope, "README.md")
    assert found({path: "a"}, {path: "b"}, scope=(scope,)) == ()


CODE = {"a.py": "x = 2\n"}
SWAPPED = [
    (changed("v", ABSENT_MODE, SUBMODULE), "puts a submodule in, changes one, or takes one out: v"),
    (changed("a.txt", FILE, LINK), "puts a symbolic link in the place of a file: a.txt"),
    (changed("a.txt", LINK, FILE), "puts a file in the place of a symbolic link: a.txt"),
    (changed("l", ABSENT_MODE, LINK), "adds or moves a symbolic link: l"),
    (changed("l", LINK, LINK), "adds or moves a symbolic link: l"),
]


@pytest.mark.parametrize(("change", "reason"), SWAPPED)
def test_links_and_submodules(change: Change, reason: str) -> None:
    assert found({"a.py": "x = 1\n"}, CODE, change) == (reason,)
    assert found({"a.py": "x = 1\n"}, CODE, change, scope=("a.py", change.path)) == ()


TWINS = [
    ("src/Parse.py", ("src/parse.py",), True),
    ("TESTS/a.py", ("tests/b.py",), True),
    ("src/e\u0301.py", ("src/\u00e9.py",), True),
    ("src/parse2.py", ("src/parse.py",), False),
    ("tests/a.py", ("tests/b.py",), False),
]


@pytest.mark.parametrize(("path", "others", "is_twin"), TWINS)
def test_paths_that_some_file_systems_take_for_one(path: str, others: tuple[str, ...], is_twin: bool) -> None:
    reason = f"adds a path that differs from another only by case or composition: {path}"
    assert found({}, {path: "x = 1\n"}, others=others) == ((reason,) if is_twin else ())


SHADOWS = [
    ("json.py", (), "json"),
    ("src/argparse.py", (), "argparse"),
    ("traceback/__init__.py", (), "traceback"),
    ("tests/logging.py", (), "logging"),
    ("tests/logging.py", ("tests/__init__.py",), ""),
    ("app/json.py", ("app/__init__.py",), ""),
    ("app/json.py", (), ""),
    ("json_tools.py", (), ""),
    ("json.js", (), ""),
]


@pytest.mark.parametrize(("path", "others", "module"), SHADOWS)
def test_modules_in_the_place_of_pythons_own(path: str, others: tuple[str, ...], module: str) -> None:
    reason = f"adds a module that would be imported in the place of Python's own: {path} ({module})"
    assert found({}, {path: "x = 1\n"}, others=others) == ((reason,) if module else ())


EQUAL = "compares equal to everything, which deceives any assertion: A.{} at a.py:{}"
CLASSES = [
    ("class A(int):\n    def __eq__(self, o):\n        return True\n", EQUAL.format("__eq__", 2)),
    ("class A:\n    __eq__ = lambda s, o: 1\n", EQUAL.format("__eq__", 2)),
    ("class A:\n    def __ne__(self, o):\n        return not True\n", EQUAL.format("__ne__", 2)),
    (
        "class A:\n    def __eq__(self, o):\n        if o:\n            return True\n        return 1\n",
        EQUAL.format("__eq__", 2),
    ),
    ("class A:\n    def __eq__(self, o):\n        return self.x == o.x\n", ""),
    ("class A:\n    def __eq__(self, o):\n        return NotImplemented\n", ""),
    ("class A:\n    def __eq__(self, o):\n        return False\n", ""),
    ("class A:\n    def __bool__(self):\n        return True\n", ""),
]


@pytest.mark.parametrize(("code", "reason"), CLASSES)
def test_objects_equal_to_everything(code: str, reason: str) -> None:
    assert found({"a.py": "x = 1\n"}, {"a.py": code}) == ((reason,) if reason else ())
    assert found({"a.py": code + "x = 1\n"}, {"a.py": code + "x = 2\n"}) == (), "it was so on the base"


REACHES = [
    ("import gc\n\nall = gc.get_objects()\n", "gc.get_objects at a.py:3"),
    ("from gc import get_referrers\n", "gc.get_referrers at a.py:1"),
    ("import sys\n\nsys.settrace(print)\n", "sys.settrace at a.py:3"),
    ("import sys\n\nsys.meta_path.insert(0, None)\n", "sys.meta_path at a.py:3"),
    ("f.__code__ = g.__code__\n", "f.__code__ at a.py:1, g.__code__ at a.py:1"),
    ("import _pytest.runner\n", "import of _pytest.runner at a.py:1"),
    ("from _pytest import reports\n", "import of _pytest at a.py:1"),
    ("import os\n\nos._exit(0)\n", "os._exit at a.py:3"),
    ('A = type("A", (int,), {"__eq__": f})\n', '"__eq__" at a.py:1'),
    ("import gc, sys, os\n\ngc.collect()\nsys.exit(1)\nos.fork()\n", ""),
]


@pytest.mark.parametrize(("code", "what"), REACHES)
def test_reaching_into_the_process_that_tests_it(code: str, what: str) -> None:
    reason = f"reaches into the process that tests it: {what}"
    assert found({"a.py": "x = 1\n"}, {"a.py": code}) == ((reason,) if what else ())
    assert found({"a.py": code}, {"a.py": code + "x = 2\n"}) == (), "it was so on the base"
    assert found({"a.py": "x = 1\n"}, {"a.py": code}, scope=("a.py",)) == (), "the plan names the file"


ASKS = [
    ("a.py", 'import sys\n\nif "pytest" in sys.modules:\n    x = 1\n', "modules for 'pytest' at a.py:3"),
    ("a.py", 'import sys\n\nx = sys.modules.get("unittest")\n', "modules for 'unittest' at a.py:3"),
    ("a.py", 'import sys\n\nx = any("pytest" in word for word in sys.argv)\n', "argv for 'pytest' at a.py:3"),
    ("a.py", 'import os\n\nx = os.environ.get("PYTEST_CURRENT_TEST")\n', "PYTEST_CURRENT_TEST at a.py:3"),
    ("a.js", "const x = process.env.NODE_TEST_CONTEXT;\n", "NODE_TEST_CONTEXT at a.js:1"),
    ("a.go", 'var x = flag.Lookup("test.v")\n', 'flag.Lookup("test. at a.go:1'),
    ("a.go", 'var x = strings.HasSuffix(os.Args[0], ".test")\n', 'HasSuffix(os.Args[0], ".test") at a.go:1'),
    ("a.rs", "fn f() -> bool {\n    cfg!(test)\n}\n", "cfg!(test) at a.rs:2"),
    ("a.rs", "#[cfg(test)]\nmod tests {}\n", ""),
    ("a.js", "// NODE_TEST_CONTEXT is none of our business\n", ""),
    ("a.py", 'import subprocess, sys\n\nsubprocess.run(["pytest", *sys.argv[1:]])\n', ""),
    ("tests/test_a.py", 'import sys\n\nx = "pytest" in sys.modules\n', ""),
]


@pytest.mark.parametrize(("path", "code", "what"), ASKS)
def test_a_product_that_asks_whether_it_is_tested(path: str, code: str, what: str) -> None:
    reasons = [f"asks whether it is tested: {what}"] if what else []
    assert [each for each in found({}, {path: code}) if each.startswith("asks")] == reasons
    assert not any(each.startswith("asks") for each in found({path: code}, {path: code + "\n\n"})), (
        "it was so on the base"
    )
    named = found({}, {path: code}, scope=(path,))
    assert not any(each.startswith("asks") for each in named), "the plan names the file"
