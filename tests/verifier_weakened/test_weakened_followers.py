"""What tests compare with that follows the product since, what they assume instead of asking it, and what they replace.

One edit a row: the text that is replaced, by what, and what is said about it. Honest edits of the same places are named
nothing.
"""

from __future__ import annotations

import pytest

from ganger.service.protected import is_test_file
from ganger.verifier.weakened import find_weakened

PY = """\
import pytest
from shop import price, total
from tests.helpers import wanted

NONE = "0"


class Case:
    def __init__(self, count, cost):
        self.count, self.cost = count, cost


CASES = [Case(1, 10), Case(2, 18)]


@pytest.fixture
def expected():
    return "18"


@pytest.fixture
def name():
    return "apple"


def told():
    return "12"


def costs(found, text="25"):
    assert found == text


def test_expected(expected, name):
    assert price(name, 2) == expected


def test_none():
    assert price("pear", 0) == NONE


def test_told():
    assert price("fig", 2) == told()


def test_wanted():
    assert price("kiwi", 2) == wanted()


def test_found():
    found = price("plum", 3)
    assert found == "25"


def test_case():
    case = Case(3, "25")
    assert price("nut", case.count) == case.cost


@pytest.mark.parametrize("case", CASES)
def test_cases(case):
    assert total(case.count) == case.cost


class TestMelon:
    COST = "40"

    def test_melon(self):
        costs(price("melon", 1), self.COST)
"""
PY_ROWS = [
    (
        '    return "18"',
        "    return price(name, 2)",
        ["18 expected_changed expected: `expected` follows the product: was `'18'`, is `price(name, 2)`"],
    ),
    (
        '    return "18"',
        '    cost = price("apple", 2)\n    yield cost',
        ["18 expected_changed expected: `expected` follows the product: was `'18'`, is `price('apple', 2)`"],
    ),
    (
        '    return "18"',
        '    return __import__("shop").price("apple", 2)',
        [
            "18 expected_changed expected: `expected` follows the product: was `'18'`, "
            "is `__import__('shop').price('apple', 2)`"
        ],
    ),
    (
        'NONE = "0"',
        'NONE = price("pear", 0)',
        [
            "5 expected_changed : `NONE` follows the product: was `'0'`, is `price('pear', 0)`",
            "39 expected_changed test_none: `assert price('pear', 0) == NONE`, expected: was `'0'`, is `NONE`",
        ],
    ),
    (
        '    return "12"',
        '    return price("fig", 2)',
        ["27 expected_changed told: `told` follows the product: was `'12'`, is `price('fig', 2)`"],
    ),
    (
        'text="25"',
        'text=price("plum", 3)',
        ["30 expected_changed costs: `text` follows the product: was `'25'`, is `price('plum', 3)`"],
    ),
    (
        'COST = "40"',
        'COST = price("melon", 1)',
        ["66 expected_changed : `COST` follows the product: was `'40'`, is `price('melon', 1)`"],
    ),
    (
        'Case(3, "25")',
        'Case(3, price("nut", 3))',
        [
            "56 expected_changed test_case: `case` follows the product: was `Case(3, '25')`, "
            "is `Case(3, price('nut', 3))`"
        ],
    ),
    (
        "Case(2, 18)]",
        "Case(2, total(2))]",
        [
            "13 expected_changed : `CASES` follows the product: was `[Case(1, 10), Case(2, 18)]`, "
            "is `[Case(1, 10), Case(2, total(2))]`"
        ],
    ),
    (
        'found = price("plum", 3)',
        'found = "25"',
        [
            "51 assertion_loosened test_found: `found` does not come from the product any more: "
            "was `price('plum', 3)`, is `'25'`"
        ],
    ),
    (
        "def test_none():\n",
        'def test_none(monkeypatch):\n    monkeypatch.setitem(globals(), "price", lambda *given: "0")\n',
        ["39 assertion_loosened test_none: `price`, which it tests, is replaced by something else"],
    ),
    (
        "def test_none",
        "@pytest.fixture(autouse=True)\ndef add(monkeypatch):\n"
        '    monkeypatch.setattr("shop.total", str)\n\n\ndef test_none',
        ["40 assertion_loosened test_cases: `total`, which it tests, is replaced by something else"],
    ),
    (
        "\n\nclass Case",
        "\ntotal = str\n\n\nclass Case",
        ["7 assertion_loosened : `total` of `shop` is defined by the test file itself"],
    ),
]
PY_HONEST = [
    ('    return "18"', '    return "1" + str(8) if False else "18"'),
    ('    return "18"', '    cost = "18"\n    yield cost'),
    ('    return "apple"', "    return price.__name__"),
    ('    return "apple"', '    return make("apple")'),
    ('NONE = "0"', 'NOTHING = "0"'),
    ('found = price("plum", 3)', 'fruit = "plum"\n    found = price(fruit, 3)'),
    ("def test_none():\n", 'def test_none(monkeypatch):\n    monkeypatch.setenv("TZ", "UTC")\n'),
    ("def test_none():\n", 'def test_none(monkeypatch):\n    monkeypatch.setattr("time.sleep", print)\n'),
    ("from shop import price, total\n", "from shop import price, total\nfrom shop import names\n\nFRUIT = names()\n"),
    ('"apple"', 'u"apple"'),
]


def _said(path: str, old: str, new: str) -> list[str]:
    found = find_weakened({path: old.encode()}, {path: new.encode()}, is_test_file)
    return [f"{each.line} {each.kind.value} {each.test}: {each.detail}" for each in found]


@pytest.mark.parametrize(("old", "new", "said"), PY_ROWS, ids=[row[1] for row in PY_ROWS])
def test_python(old: str, new: str, said: list[str]) -> None:
    assert old in PY
    assert _said("tests/test_shop.py", PY, PY.replace(old, new, 1)) == said


@pytest.mark.parametrize(("old", "new"), PY_HONEST, ids=[row[1] for row in PY_HONEST])
def test_honest_edits_of_what_tests_are_given(old: str, new: str) -> None:
    assert old in PY
    changed = PY.replace(old, new, 1).replace("== NONE", "== NOTHING" if "NOTHING" in new else "== NONE")
    assert _said("tests/test_shop.py", PY, changed) == []


def test_a_helper_that_only_unchanged_files_use() -> None:
    old = 'def wanted():\n    return "21"\n'
    new = 'from shop import price\n\n\ndef wanted():\n    return price("kiwi", 2)\n'
    said = ["5 expected_changed wanted: `wanted` follows the product: was `'21'`, is `price('kiwi', 2)`"]
    assert _said("tests/helpers.py", old, new) == said


def test_a_fixture_that_moves_may_not_change_on_the_way() -> None:
    fixture = '@pytest.fixture\ndef expected():\n    return "18"\n\n\n'
    head = "import pytest\nfrom shop import price\n\n\n"
    base = {"tests/test_shop.py": PY.encode()}
    rest = PY.replace(fixture, "")
    honest = {"tests/test_shop.py": rest.encode(), "tests/conftest.py": (head + fixture).encode()}
    assert find_weakened(base, honest, is_test_file) == ()
    lie = honest | {"tests/conftest.py": (head + fixture.replace('"18"', 'price("apple", 2)')).encode()}
    assert [f"{each.path} {each.detail}" for each in find_weakened(base, lie, is_test_file)] == [
        "tests/conftest.py `expected` follows the product: was `'18'`, is `price('apple', 2)`"
    ]


def test_a_helper_that_asserts_and_is_no_function_any_more() -> None:
    old = "def same(found, expected):\n    assert found == expected\n"
    new = "same = lambda found, expected: None\n"
    said = ["1 assertion_loosened : `same`, which asserts, is something else now"]
    assert _said("tests/helpers.py", old, new) == said


JS = """\
import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import { price } from "../src/shop.js";

const NONE = "0";
let expected;
beforeEach(() => { expected = "18"; });
const told = () => "12";

test("expected", () => { assert.equal(price("apple", 2), expected); });
test("told", () => { assert.equal(price("fig", 2), told()); });
test("found", () => {
  const found = price("plum", 3);
  assert.equal(found, "25");
});
"""
GO = """\
package shop

import "testing"

func told() string { return "12" }

func TestTold(t *testing.T) {
	if Price("fig", 2) != told() {
		t.Error("no")
	}
}

func TestLocal(t *testing.T) {
	want := "18"
	if got := Price("apple", 2); got != want {
		t.Error(got)
	}
}
"""
RS = """\
use shop::price;

fn told() -> String {
    "12".to_string()
}

#[test]
fn tells() {
    assert_eq!(price("fig", 2), told());
}

#[test]
fn finds() {
    let found = price("plum", 3);
    assert_eq!(found, Ok(25));
}
"""
OTHERS = [
    ("test/a.test.js", JS, 'expected = "18"', 'expected = price("apple", 2)', "`expected` follows the product"),
    ("test/a.test.js", JS, '=> "12"', '=> price("fig", 2)', "`told` follows the product"),
    ("test/a.test.js", JS, 'found = price("plum", 3)', 'found = "25"', "`found` does not come from the product"),
    ("test/a.test.js", JS, 'told = () => "12"', 'told = () => String(12)', ""),
    ("a_test.go", GO, '{ return "12" }', '{\n\tc := Price("fig", 2)\n\treturn c\n}', "`told` follows the product"),
    ("a_test.go", GO, 'want := "18"', 'want := Price("apple", 2)', "`want` follows the product"),
    ("a_test.go", GO, 'want := "18"', 'want := fmt.Sprint(18)', ""),
    ("tests/a.rs", RS, '"12".to_string()', 'price("fig", 2)', "`told` follows the product"),
    ("tests/a.rs", RS, 'price("plum", 3)', "Ok(25)", "`found` does not come from the product"),
    ("tests/a.rs", RS, '"12".to_string()', 'String::from("12")', ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "old", "new", "said"), OTHERS)
def test_other_languages(path: str, text: str, old: str, new: str, said: str) -> None:
    assert old in text
    found = _said(path, text, text.replace(old, new, 1))
    assert len(found) == bool(said) and all(said in each for each in found)
