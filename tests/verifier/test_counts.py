"""How many tests ran, as each known runner says it; real outputs, shortened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ganger.core.model import CheckState
from ganger.verifier.containment import state_of
from ganger.verifier.counts import Counted, count_tests

PYTEST = ("python", "-m", "pytest", "-q")
TABLE = [
    (PYTEST, "..F..\n1 failed, 4 passed in 0.03s\n", Counted("pytest", 5)),
    (PYTEST, "========= 479 passed, 2 skipped, 3 xfailed in 1.20s =========\n", Counted("pytest", 482)),
    (PYTEST, "2 skipped in 0.01s\n", Counted("pytest", 0)),
    (PYTEST, "3 deselected in 0.01s\n", Counted("pytest", 0)),
    (PYTEST, "no tests ran in 0.00s\n", Counted("pytest", 0)),
    (PYTEST, "1 passed, 1 warning in 61.02s (0:01:01)\n", Counted("pytest", 1)),
    (PYTEST, "1 error in 0.05s\n", Counted("pytest", 1)),
    (PYTEST, "100 passed in 0.1s\nlater\n2 passed in 0.1s\n", Counted("pytest", 2)),
    (PYTEST, "Killed\n", Counted("pytest", None)),
    (("/usr/bin/pytest",), "3 passed in 0.01s\n", Counted("pytest", 3)),
    (("python", "-m", "unittest"), "Ran 12 tests in 0.001s\n\nOK\n", Counted("unittest", 12)),
    (("python", "-m", "unittest"), "Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", Counted("unittest", 0)),
    (("go", "test", "./..."), "ok  \texample.com/a\t0.003s\n", Counted("go", None)),
    (("go", "test", "./..."), "?   \texample.com/a\t[no test files]\n", Counted("go", 0)),
    (
        ("go", "test", "-v", "./..."),
        "--- PASS: TestA (0.00s)\n    --- PASS: TestA/x (0.00s)\nok a 0.1s\n",
        Counted("go", 2),
    ),
    (
        ("cargo", "test"),
        "test result: ok. 3 passed; 0 failed; 0 ignored\ntest result: ok. 2 passed; 1 failed;\n",
        Counted("cargo", 6),
    ),
    (("cargo", "test"), "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured\n", Counted("cargo", 0)),
    (("npm", "test"), "# tests 7\n# pass 7\n", Counted("node", 7)),
    (("node", "--test"), "ℹ tests 0\nℹ pass 0\n", Counted("node", 0)),
    (("npm", "test"), "Tests:       1 failed, 4 passed, 5 total\n", Counted("node", 5)),
    (("npx", "vitest", "run"), "      Tests  8 passed (8)\n", Counted("node", 8)),
    (("npx", "mocha"), "  4 passing (10ms)\n  1 failing\n", Counted("node", 5)),
    (("make", "test"), "100 passed in 0.1s\n", Counted("", None)),
]


@pytest.mark.parametrize(("argv", "output", "expected"), TABLE)
def test_count_is_read_from_what_the_runner_prints(argv: tuple[str, ...], output: str, expected: Counted) -> None:
    assert count_tests(argv, output) == expected


@pytest.mark.parametrize(
    ("code", "timed_out", "executed", "expected"),
    [
        (0, False, 3, CheckState.passed),
        (0, False, None, CheckState.passed),
        (0, False, 0, CheckState.ran_nothing),
        (5, False, 0, CheckState.ran_nothing),
        (5, False, None, CheckState.failed),
        (1, False, 3, CheckState.failed),
        (1, False, 0, CheckState.failed),
        (None, False, 3, CheckState.crashed),
        (127, False, None, CheckState.crashed),
        (0, True, 3, CheckState.timed_out),
        (None, True, None, CheckState.timed_out),
    ],
)
def test_only_a_clean_exit_that_ran_something_passes(
    code: int | None, timed_out: bool, executed: int | None, expected: CheckState
) -> None:
    assert state_of(code, timed_out=timed_out, executed=executed, faults=(), missing=()) is expected


def test_real_runners_say_what_the_table_says(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n")
    for argv in (("-m", "pytest", "-q", "-p", "no:cacheprovider"), ("-m", "unittest")):
        done = subprocess.run([sys.executable, *argv], cwd=tmp_path, capture_output=True, text=True)
        assert count_tests((sys.executable, *argv), done.stdout + done.stderr).executed == 1, done
