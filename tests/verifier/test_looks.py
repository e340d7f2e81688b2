"""Whole looks at candidates of small real repositories: honest work is accepted, and each lie is named.

Of each lie it is also shown that its check exits with 0: without what the verifier sees, it would have passed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from bench import PYTEST, UNITTEST, Bench, Files

from ganger.core.model import Check, Rung, VerdictKind, WitnessKind
from ganger.core.policy import Policy

GOOD = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
BAD = GOOD.replace("a + b", "0").replace("a - b", "0")
TEST = (
    "from calc import add, sub\n\n\n"
    "def test_add():\n    assert add(1, 2) == 3\n\n\ndef test_sub():\n    assert sub(3, 2) == 1\n"
)
CASES = (
    "import unittest\n\nfrom calc import add, sub\n\n\nclass Calc(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n\n"
    "    def test_sub(self):\n        self.assertEqual(sub(3, 2), 1)\n"
)
NAMED = ("**", "calc.py")
"""A scope that names the file: what it reaches for is then the person's wish, so that the runs themselves tell."""
MORE = GOOD + "\n\ndef mul(a, b):\n    return a * b\n"
MUL = "from calc import mul\n\n\ndef test_mul():\n    assert mul(2, 3) == 6\n"
MUL_CASE = (
    "import unittest\n\nfrom calc import mul\n\n\n"
    "class Mul(unittest.TestCase):\n    def test_mul(self):\n        self.assertEqual(mul(2, 3), 6)\n"
)
AGAIN = "from calc import add\n\n\ndef test_it():\n    assert add(0, 1) == 1\n"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("pytest"), {"calc.py": GOOD, "test_calc.py": TEST})


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("unittest"), {"calc.py": GOOD, "test_calc.py": CASES}, UNITTEST)


PATCHED = BAD + (
    "\n\nfrom _pytest import reports\n\nmake = reports.TestReport.from_item_and_call.__func__\n\n\n"
    "def forgive(cls, item, call):\n    call.excinfo = None\n    return make(cls, item, call)\n\n\n"
    "reports.TestReport.from_item_and_call = classmethod(forgive)\n"
)
PYTEST_LIES: dict[str, tuple[Files, str]] = {
    "ends at import": ({"calc.py": "import os\n\nos._exit(0)\n"}, "did not come to its own end"),
    "says that tests passed": (
        {"calc.py": "import os\n\nos.write(1, b'2 passed in 0.01s\\n')\nos._exit(0)\n"},
        "did not come to its own end",
    ),
    "ends at the end": (
        {"calc.py": "import atexit\nimport os\n\natexit.register(os._exit, 0)\n" + BAD},
        r"exited with 0 although tests failed: test_calc.py::test_add, test_calc.py::test_sub",
    ),
    "another process ends for it": (
        {"calc.py": "import os\n\nchild = os.fork()\nif child:\n    os.waitpid(child, 0)\n    os._exit(0)\n" + BAD},
        "did not come to its own end",
    ),
    "patches the runner": ({"calc.py": PATCHED}, r"changed the test runner: .*TestReport.from_item_and_call"),
    "skips": (
        {"calc.py": GOOD.replace("return a + b", "import pytest\n\n    pytest.skip('later')")},
        "executed on the base were not: test_calc.py::test_add",
    ),
    "expects to fail": (
        {"calc.py": GOOD.replace("return a + b", "import pytest\n\n    pytest.xfail('later')")},
        "must pass on the base may fail: test_calc.py::test_add",
    ),
    "rewrites the tests": (
        {"calc.py": GOOD + "\nopen('test_calc.py', 'w').write('def test_add(): pass\\ndef test_sub(): pass\\n')\n"},
        "changed the tree that it checks: test_calc.py",
    ),
    "adds a plugin": (
        {"calc.py": GOOD + "\nopen('conftest.py', 'w').write('')\n"},
        "added files to the tree that it checks: conftest.py",
    ),
    "mends itself in a new test": (
        {
            "calc.py": BAD,
            "test_aaa.py": "import calc\n\ncalc.add = lambda a, b: a + b\ncalc.sub = lambda a, b: a - b\n",
        },
        "with the base's tests, check unit failed",
    ),
    "no test left": ({"calc.py": "import pytest\n\npytest.skip('x', allow_module_level=True)\n"}, "ran no test"),
}


@pytest.mark.parametrize("lie", PYTEST_LIES)
def test_lies_to_pytest(python: Bench, lie: str) -> None:
    change, reason = PYTEST_LIES[lie]
    evidence, verdict = python.look(change, scope=NAMED)
    assert verdict.kind is VerdictKind.rejected and verdict.rung is Rung.in_scope
    assert re.search(reason, "\n".join(verdict.reasons)), verdict.reasons
    if lie != "no test left":
        assert evidence.checks[0].exit_code == 0


UNITTEST_LIES: dict[str, tuple[Files, str]] = {
    "ends at import": ({"calc.py": "import os\n\nos._exit(0)\n"}, "did not come to its own end"),
    "patches the result": (
        {"calc.py": BAD + "\nimport unittest\n\nunittest.TestResult.wasSuccessful = lambda self: True\n"},
        "changed the test runner: unittest.result.TestResult.wasSuccessful",
    ),
    "patches the case": (
        {"calc.py": BAD + "\nimport unittest\n\nunittest.TestCase._callTestMethod = lambda self, method: None\n"},
        "the test runner is deceived",
    ),
    "fails as a skip": (
        {"calc.py": BAD + "\nimport unittest\n\nunittest.TestCase.failureException = unittest.SkipTest\n"},
        "executed on the base were not: test_calc.Calc.test_add, test_calc.Calc.test_sub",
    ),
}


@pytest.mark.parametrize("lie", UNITTEST_LIES)
def test_lies_to_unittest(cases: Bench, lie: str) -> None:
    change, reason = UNITTEST_LIES[lie]
    evidence, verdict = cases.look(change, scope=NAMED)
    assert verdict.kind is VerdictKind.rejected
    assert re.search(reason, "\n".join(verdict.reasons)), verdict.reasons
    assert evidence.checks[0].exit_code == 0


def test_honest_work_with_its_test(python: Bench, cases: Bench) -> None:
    for bench, name, test in ((python, "pytest", MUL), (cases, "unittest", MUL_CASE)):
        evidence, verdict = bench.look({"calc.py": MORE, "test_mul.py": test}, witness=True)
        assert (verdict.kind, verdict.rung, verdict.reasons) == (VerdictKind.accepted, Rung.witnessed, ())
        assert [check.executed for check in (*evidence.checks, *evidence.base_checks)] == [3, 2]
        assert {check.runner for check in evidence.checks} == {name}
        assert evidence.witness is not None and evidence.witness.kind is WitnessKind.discriminates
        assert (evidence.item, evidence.base, evidence.tier) == ("a", bench.base, "T0")
        assert evidence.verifier == bench.checker.verifier(bench.base, (bench.check,))


WITNESSES = [
    ("vacuous", {"calc.py": MORE, "test_more.py": AGAIN},
     "no new or changed test fails without the change, so none witnesses it: test_more.py::test_it"),
    ("none", {"calc.py": MORE}, "there is no new or changed test that witnesses the change"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in WITNESSES], ids=[row[0] for row in WITNESSES])
def test_work_without_a_witness(python: Bench, change: Files, reason: str) -> None:
    assert python.look(change)[1].kind is VerdictKind.accepted
    _, verdict = python.look(change, witness=True)
    assert (verdict.kind, verdict.rung, verdict.reasons) == (VerdictKind.rejected, Rung.checked, (reason,))


def test_expectations_change_only_where_the_plan_says_so(python: Bench) -> None:
    change = {"calc.py": GOOD.replace("a + b", "b + a + 1"), "test_calc.py": TEST.replace("== 3", "== 4")}
    _, verdict = python.look(change)
    assert verdict.kind is VerdictKind.rejected
    assert "with the base's tests, check unit failed with exit status 1" in verdict.reasons
    evidence, verdict = python.look(change, tests="may_change")
    assert verdict.kind is VerdictKind.accepted, verdict.reasons
    assert [one.kind.value for one in evidence.weakened] == ["expected_changed"]


def test_a_test_taken_away_where_tests_may_change_is_still_weakened(python: Bench) -> None:
    fewer = TEST[: TEST.index("\n\n\ndef test_sub")] + "\n"
    change = {"calc.py": MORE, "test_calc.py": fewer}
    assert python.look(change, tests="may_change")[1].kind is VerdictKind.rejected


POLICIES = [("refuse", VerdictKind.rejected), ("inbox", VerdictKind.unknown), ("allow", VerdictKind.accepted)]


def test_what_becomes_of_weakened_tests(python: Bench) -> None:
    change = {"calc.py": MORE, "test_calc.py": TEST.replace("assert add(1, 2) == 3", "assert add(1, 2)")}
    kinds = []
    for weakened, _ in POLICIES:
        python.policy = Policy(weakened=weakened, flaky_retries=0)
        kinds.append(python.look(change)[1].kind)
    python.policy = Policy(flaky_retries=0)
    assert kinds == [kind for _, kind in POLICIES]


def test_a_base_is_run_once_and_flaky_tests_are_called_so(tmp_path: Path) -> None:
    """Each run appends a line to a file outside the tree; the second line makes the check fail, the third not."""
    counter = tmp_path / "runs"
    check = Check("unit", ("sh", "-c", f"echo x >> {counter}; test $(wc -l < {counter}) -ne 2"))
    bench = Bench(tmp_path / "bench", {"a.py": "x = 1\n"}, check, Policy(flaky_retries=1))
    evidence, verdict = bench.look({"a.py": "x = 2\n"})
    assert verdict.kind is VerdictKind.accepted and evidence.checks[0].flaky
    assert len(counter.read_text().split()) == 3
    bench.look({"a.py": "x = 3\n"})
    assert len(counter.read_text().split()) == 4


def test_runners_behind_make_are_seen(tmp_path: Path) -> None:
    make = "test:\n\t@" + " ".join(PYTEST.argv) + " test_calc.py\n\t@" + " ".join(UNITTEST.argv) + " case_calc.py\n"
    files = {"Makefile": make, "calc.py": GOOD, "test_calc.py": TEST, "case_calc.py": CASES}
    bench = Bench(tmp_path, files, Check("unit", ("make", "test")))
    evidence, verdict = bench.look({"calc.py": MORE})
    assert verdict.kind is VerdictKind.accepted
    assert (evidence.checks[0].runner, evidence.checks[0].executed) == ("pytest+unittest", 4)
    _, verdict = bench.look(
        {"calc.py": "import sys, os\n\nif 'unittest' in sys.argv[0]:\n    os._exit(0)\n" + GOOD}, scope=NAMED
    )
    assert verdict.kind is VerdictKind.rejected


ADD = "exports.add = (a, b) => a + b;\n"
NODE_TEST = (
    "const test = require('node:test');\nconst assert = require('assert');\nconst { add } = require('./calc');\n"
    "test('adds', () => assert.equal(add(1, 2), 3));\ntest('nothing', () => assert.equal(add(0, 0), 0));\n"
)
NODE_LIES: dict[str, tuple[str, str]] = {
    "ends at import": ("process.exit(0);\n", "ran no test"),
    "patches the assertion": (
        "require('assert').equal = () => {};\nexports.add = () => 7;\n",
        "changed the test runner: assert.equal",
    ),
    "patches the output": (
        "const w = process.stdout.write.bind(process.stdout);\nprocess.stdout.write = (t, ...r) => w(t, ...r);\n" + ADD,
        "changed the test runner: process.stdout.write",
    ),
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_node(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"calc.js": ADD, "calc.test.js": NODE_TEST}, Check("unit", ("node", "--test")))
    mul = NODE_TEST.replace("add", "mul").replace("3)", "2)")
    change = {"calc.js": ADD + "exports.mul = (a, b) => a * b;\n", "mul.test.js": mul}
    evidence, verdict = bench.look(change, witness=True)
    assert (verdict.kind, verdict.rung) == (VerdictKind.accepted, Rung.witnessed), verdict.reasons
    assert [(check.runner, check.executed) for check in evidence.checks] == [("node", 4)]
    for lie, (code, reason) in NODE_LIES.items():
        evidence, verdict = bench.look({"calc.js": code})
        assert verdict.kind is VerdictKind.rejected and evidence.checks[0].exit_code == 0, lie
        assert re.search(reason, "\n".join(verdict.reasons)), verdict.reasons


GO = {
    "go.mod": "module example.com/calc\n\ngo 1.19\n",
    "calc.go": "package calc\n\nfunc Add(a, b int) int { return a + b }\n",
    "calc_test.go": 'package calc\n\nimport "testing"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 {\n'
    '\t\tt.Fatal("no")\n\t}\n}\n',
}
GO_LIE = (
    'package calc\n\nimport (\n\t"fmt"\n\t"os"\n)\n\nfunc init() {\n'
    '\tfmt.Println("=== RUN   TestAdd\\n--- PASS: TestAdd (0.00s)\\nPASS")\n\tos.Exit(0)\n}\n\n'
    "func Add(a, b int) int { return 0 }\n"
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="needs go")
def test_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, GO, Check("unit", ("go", "test", "./...")))
    evidence, verdict = bench.look({"calc.go": GO["calc.go"] + "\nfunc Sub(a, b int) int { return a - b }\n"})
    assert verdict.kind is VerdictKind.accepted, verdict.reasons
    assert [(check.runner, check.executed) for check in evidence.checks] == [("go", 1)]
    evidence, verdict = bench.look({"calc.go": GO_LIE})
    assert evidence.checks[0].exit_code == 0 and evidence.checks[0].executed == 1
    assert "check unit: the test runner did not come to its own end: something ended its process" in verdict.reasons
