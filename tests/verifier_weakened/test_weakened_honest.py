"""What is honest work on tests, and is therefore not named; each with a lie beside it that is."""

from __future__ import annotations

import textwrap

import pytest

from ganger.service.protected import is_test_file
from ganger.verifier.weakened import find_weakened

HELD = """\
import pytest
from shop import price


def test_first():
    got = price(1)
    assert got == 10
    assert len(got.rows) == 3


def test_second():
    assert price(2) == 18


def test_third():
    assert price(3) == 25
"""

HONEST: dict[str, dict[str, str | None]] = {
    "a test more": {"tests/test_a.py": HELD + "\n\ndef test_more():\n    assert price(9) == 1\n"},
    "an assertion more": {
        "tests/test_a.py": HELD.replace("    assert got == 10", "    assert got\n    assert got == 10")
    },
    "written otherwise": {"tests/test_a.py": HELD.replace("price(1)", "price(\n        1,\n    )")},
    "comments and a docstring": {"tests/test_a.py": HELD.replace("    got =", "    # Why.\n    got =")},
    "a local name": {"tests/test_a.py": HELD.replace("got", "found")},
    "a name for a constant": {"tests/test_a.py": HELD.replace("import pytest", "TEN = 10").replace("== 10", "== TEN")},
    "put in place": {"tests/test_a.py": HELD.replace("price(2) == 18", "18 == price(2)")},
    "another order": {
        "tests/test_a.py": HELD.replace("    assert got == 10\n", "").replace("== 3\n", "== 3\n    assert got == 10\n")
    },
    "stricter": {"tests/test_a.py": HELD.replace("len(got.rows) == 3", "len(got.rows) == 3 and got.rows[0] == 1")},
    "one test renamed": {"tests/test_a.py": HELD.replace("test_first", "test_price_of_one")},
    "file renamed": {"tests/test_a.py": None, "tests/test_price.py": HELD},
    "file moved to another folder of tests": {"tests/test_a.py": None, "tests/unit/test_a.py": HELD},
    "split into two files": {
        "tests/test_a.py": HELD[: HELD.index("def test_second")],
        "tests/test_b.py": "from shop import price\n\n\n" + HELD[HELD.index("def test_second") :],
    },
    "put into a class": {
        "tests/test_a.py": "class TestPrice:\n" + textwrap.indent(HELD.replace("()", "(self)"), "    "),
    },
    "merged into one table": {
        "tests/test_a.py": HELD[: HELD.index("def test_second")]
        + '@pytest.mark.parametrize("count, cost", [(2, 18), (3, 25)])\n'
        + "def test_prices(count, cost):\n    assert price(count) == cost\n",
    },
    "a helper for the assertions": {
        "tests/test_a.py": HELD.replace("    assert price(2) == 18", "    costs(2, 18)").replace(
            "    assert price(3) == 25", "    costs(3, 25)"
        )
        + "\n\ndef costs(count, cost):\n    assert price(count) == cost\n",
    },
    "a test split in two": {
        "tests/test_a.py": HELD.replace("    assert len(got.rows) == 3\n", "")
        + "\n\ndef test_rows():\n    got = price(1)\n    assert len(got.rows) == 3\n",
    },
}

LIES = {
    "a test more": ("test_more", "more_tests"),
    "one test renamed": ("test_price_of_one", "price_of_one"),
    "merged into one table": ("(2, 18), (3, 25)", "(3, 25)"),
    "a helper for the assertions": ("    assert price(count) == cost", "    assert price(count)"),
    "split into two files": ("price(3) == 25", "price(3)"),
    "a test split in two": ("def test_rows", "def rows"),
}
"""The same work with a lie in it: what is replaced by what."""


def _said(changed: dict[str, str | None]) -> list[str]:
    base = {"tests/test_a.py": HELD.encode()}
    candidate = {path: text.encode() for path, text in changed.items() if text is not None}
    return [f"{each.kind.value} {each.test}: {each.detail}" for each in find_weakened(base, candidate, is_test_file)]


@pytest.mark.parametrize("name", HONEST)
def test_honest_work_is_not_named(name: str) -> None:
    assert _said(HONEST[name]) == []


@pytest.mark.parametrize("name", [name for name in LIES if name != "a test more"])
def test_a_lie_within_honest_work_is_named(name: str) -> None:
    old, new = LIES[name]
    changed = {path: text and text.replace(old, new) for path, text in HONEST[name].items()}
    assert changed != HONEST[name]
    assert _said(changed) != []


SHOWN = "def test_shown():\n    assert shown(f, h) == {}\n"


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("'C({!r}, {!r})'.format(f, h)", "f'C({f!r}, {h!r})'"),
        ("'{0}{0}'.format(f)", "f'{f}{f}'"),
        ("'{a:>3}{{x}}'.format(a=f.rows)", "f'{f.rows:>3}{{x}}'"),
    ],
)
def test_a_format_may_become_the_f_string_that_means_the_same(call: str, written: str) -> None:
    assert _between(call, written) == _between(written, call) == []
    assert _between(call, written.replace("{f", "{h")) != []


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("'{0.x}'.format(f)", "f'{f.x}'"),
        ("'{1}{0}'.format(f(), h())", "f'{h()}{f()}'"),
        ("'{0}{0}'.format(f())", "f'{f()}{f()}'"),
        ("'{}'.format(*f)", "f'{f}'"),
        ("'{:{}}'.format(f, h)", "f'{f:{h}}'"),
        ("'{}'.format(f, h())", "f'{f}'"),
        ("'{}{0}'.format(f)", "f'{f}{f}'"),
        ("'{'.format(f)", "f'{f}'"),
        ("'{!x}'.format(f)", "f'{f}'"),
        ("TEXT.format(f)", "f'{f}'"),
    ],
)
def test_what_may_mean_something_else_is_another_expectation(call: str, written: str) -> None:
    assert _between(call, written) != []


def _between(old: str, new: str) -> list[str]:
    texts = ({"tests/test_a.py": SHOWN.replace("{}", text).encode()} for text in (old, new))
    return [each.kind.value for each in find_weakened(*texts, is_test_file)]


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("pyproject.toml", "[tool.coverage.report]\nfail_under = 90\n", "[tool.coverage.report]\nfail_under = 80\n",
         ["2 was `fail_under = 90`, is `fail_under = 80`"]),
        (".coveragerc", "[report]\nfail_under = 90\n", "[report]\n", ["1 `fail_under = 90` is gone"]),
        ("setup.cfg", "addopts = --cov-fail-under=90\n", "addopts = --cov-fail-under=9\n",
         ["1 was `--cov-fail-under=90`, is `--cov-fail-under=9`"]),
        ("Makefile", "test:\n\tpytest --cov-fail-under 90\n", "test:\n\tpytest --cov-fail-under 95\n", []),
        ("package.json", '{"jest": {"coverageThreshold": {"global": {"branches": 80}}}}',
         '{"jest": {"coverageThreshold": {"global": {"branches": 50}}}}',
         ['1 was `branches": 80`, is `branches": 50`']),
        ("package.json", '{"lines": 80}', '{"lines": 50}', []),
        (".github/workflows/ci.yml", "run: pytest --cov-fail-under=90", "run: pytest",
         ["1 `--cov-fail-under=90` is gone"]),
    ],
)  # fmt: skip
def test_thresholds(path: str, old: str, new: str, said: list[str]) -> None:
    found = find_weakened({path: old.encode()}, {path: new.encode()}, is_test_file)
    assert [f"{each.line} {each.detail}" for each in found] == said
    assert {each.kind.value for each in found} <= {"threshold_lowered"}


def test_a_threshold_may_move_to_another_file() -> None:
    old = {".coveragerc": b"[report]\nfail_under = 90\n"}
    new = {"pyproject.toml": b"[tool.coverage.report]\nfail_under = 90\n"}
    assert find_weakened(old, new, is_test_file) == ()


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("tests/__snapshots__/a.snap", "one\ntwo\n", "one\nthree\n",
         ["2 expected_changed snapshot: was `two`, is `three`"]),
        ("tests/data/cases.json", "[1, 2]", "[1]", ["1 expected_changed data of tests: was `[1, 2]`, is `[1]`"]),
        ("tests/data/cases.json", "[1, 2]", "[0, 2, 1]", []),
        ("tests/data/rows.csv", "a\nb\n", "a\nb\nc\n", []),
        ("spec/a_spec.rb", "it 'x' do\n  expect(f).to eq 1\nend\n", "it 'x' do\n  expect(f).to eq 2\nend\n",
         ["2 expected_changed was `expect(f).to eq 1`, is `expect(f).to eq 2`"]),
        ("tests/ATest.java", "@Test\nvoid a() {\n assertEquals(1, f());\n}\n",
         "@Test\n@Disabled\nvoid a() {\n assertEquals(1, f());\n}\n", ["2 skipped `@Disabled`"]),
        ("tests/ATest.java", "assertEquals(1, f());\n", "", ["1 assertion_removed `assertEquals(1, f());` is gone"]),
        ("tests/run_test.sh", "set -e\ntest $(f) = 1\n", "set -e\nexit 0\ntest $(f) = 1\n", ["2 skipped `exit 0`"]),
        ("tests/run_test.sh", "set -e\ntest $(f) = 1\n", "set -e\ntest $(f) = 1 || true\n",
         ["2 assertion_loosened was `test $(f) = 1`, is `test $(f) = 1 || true`"]),
        ("tests/README.md", "It asserts (x).\n", "", []),
    ],
)  # fmt: skip
def test_what_no_parser_reads(path: str, old: str, new: str, said: list[str]) -> None:
    found = find_weakened({path: old.encode()}, {path: new.encode()}, lambda path: True)
    assert [f"{each.line} {each.kind.value} {each.detail}" for each in found] == said


def test_a_script_that_loses_its_name_is_not_found_by_its_runner() -> None:
    script = b"set -e\ntest $(f) = 1\n"
    found = find_weakened({"tests/a_test.sh": script}, {"tests/a_tests.sh": script}, is_test_file)
    assert [(each.path, each.kind.value, each.detail) for each in found] == [
        ("tests/a_tests.sh", "uncollected", "not collected: it is `tests/a_tests.sh` now")
    ]
    assert find_weakened({"tests/a_test.sh": script}, {"tests/b_test.sh": script}, is_test_file) == ()
