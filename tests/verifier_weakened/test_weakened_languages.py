"""What is found in each language, one edit a row: the text that is replaced, by what, and what is said about it."""

# ruff: noqa: E501 - what is said is written out as it is said

from __future__ import annotations

from typing import TypeAlias

import pytest

from ganger.service.protected import is_test_file
from ganger.verifier.weakened import find_weakened

Rows: TypeAlias = list[tuple[str, str, list[str]]]

PY = """\
import pytest
from shop import Cart, price

RATES = [(1, 10), (2, 18)]
LIMIT = 7


def check_total(cart, total):
    assert cart.total() == total


@pytest.fixture(params=["a", "b"])
def cart(request):
    return Cart(request.param)


def test_price(cart):
    got = price(cart, 2)
    assert got == 18
    assert len(cart.rows) > 3
    check_total(cart, 20)


@pytest.mark.parametrize("count, cost", [(1, 10), (2, 18), (3, 25)])
def test_costs(count, cost):
    assert price(None, count) == cost


def test_rates():
    for count, cost in RATES:
        assert price(None, count) == cost


def test_errors():
    with pytest.raises(ValueError, match="negative"):
        price(None, -1)
    assert price(None, 0.1) == pytest.approx(0.95, rel=1e-3)
    assert price(None, 3) == LIMIT and price(None, 4)


class TestCart:
    def test_empty(self):
        assert Cart().rows == []
"""

PY_ROWS: Rows = [
    ("== 18\n", "== 19\n", ["19 expected_changed test_price: was `assert got == 18`, is `assert got == 19`"]),
    (
        "assert got == 18",
        "assert got is not None",
        ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got is not None`"],
    ),
    (
        "assert got == 18",
        "assert got in (18, 19)",
        ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got in (18, 19)`"],
    ),
    (
        "assert got == 18",
        "assert got >= 18",
        ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got >= 18`"],
    ),
    ("assert got == 18", "assert got", ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got`"]),
    ("assert got == 18", "assert True", ["19 assertion_loosened test_price: was `assert got == 18`, is `assert True`"]),
    (
        "assert got == 18",
        "assert got == got",
        ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got == got`"],
    ),
    (
        "assert got == 18",
        "assert got == 18 or True",
        ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got == 18 or True`"],
    ),
    (
        "assert got == 18",
        "assert got == pytest.approx(18)",
        ["19 assertion_loosened test_price: was `assert got == 18`, is `assert got == pytest.approx(18)`"],
    ),
    ("    assert got == 18\n", "", ["17 assertion_removed test_price: `assert got == 18` is gone"]),
    (
        "> 3",
        "> 2",
        ["20 assertion_loosened test_price: was `assert len(cart.rows) > 3`, is `assert len(cart.rows) > 2`"],
    ),
    (
        "> 3",
        ">= 3",
        ["20 assertion_loosened test_price: was `assert len(cart.rows) > 3`, is `assert len(cart.rows) >= 3`"],
    ),
    ("    check_total(cart, 20)\n", "", ["17 assertion_removed test_price: `assert cart.total() == 20` is gone"]),
    (
        "check_total(cart, 20)",
        "check_total(cart, 21)",
        ["21 expected_changed test_price: was `assert cart.total() == 20`, is `assert cart.total() == 21`"],
    ),
    (
        "    assert cart.total() == total\n",
        "    pass\n",
        ["8 assertion_removed check_total: `assert cart.total() == total` is gone"],
    ),
    (
        "cart.total() == total",
        "cart.total()",
        ["9 assertion_loosened check_total: was `assert cart.total() == total`, is `assert cart.total()`"],
    ),
    ('["a", "b"]', '["a"]', ["12 parameters_cut cart: 1 of 2 rows gone, first `'b'`"]),
    (", (3, 25)", "", ["24 parameters_cut test_costs: 1 of 3 rows gone, first `(3, 25)`"]),
    ("(3, 25)", "(3, 26)", ["24 expected_changed test_costs: was `(3, 25)`, is `(3, 26)`"]),
    (
        "(3, 25)",
        "pytest.param(3, 25, marks=pytest.mark.skip)",
        ["24 skipped test_costs: row `(3, 25)`: `pytest.mark.skip`"],
    ),
    (
        '@pytest.mark.parametrize("count, cost", [(1, 10), (2, 18), (3, 25)])\n',
        "",
        ["24 parameters_cut test_costs: 3 of 3 rows gone, first `(1, 10)`"],
    ),
    ("[(1, 10), (2, 18)]\n", "[(1, 10)]\n", ["30 parameters_cut test_rates: 1 of 2 rows gone, first `(2, 18)`"]),
    ("in RATES", "in RATES[:0]", ["29 parameters_cut test_rates: 2 of 2 rows gone, first `(1, 10)`"]),
    (
        'raises(ValueError, match="negative")',
        'raises(Exception, match="negative")',
        [
            "35 assertion_loosened test_errors: was `pytest.raises(ValueError, match='negative')`, is `pytest.raises(Exception, match='negative')`"
        ],
    ),
    (
        ', match="negative"',
        "",
        [
            "35 assertion_loosened test_errors: was `pytest.raises(ValueError, match='negative')`, is `pytest.raises(ValueError)`"
        ],
    ),
    (
        'match="negative"',
        'match="n"',
        [
            "35 expected_changed test_errors: was `pytest.raises(ValueError, match='negative')`, is `pytest.raises(ValueError, match='n')`"
        ],
    ),
    (
        "raises(ValueError",
        "raises(KeyError",
        [
            "35 expected_changed test_errors: was `pytest.raises(ValueError, match='negative')`, is `pytest.raises(KeyError, match='negative')`"
        ],
    ),
    (
        "raises(ValueError",
        "raises((ValueError, TypeError)",
        [
            "35 assertion_loosened test_errors: was `pytest.raises(ValueError, match='negative')`, is `pytest.raises((ValueError, TypeError), match='negative')`"
        ],
    ),
    (
        "rel=1e-3",
        "rel=1e-1",
        [
            "37 assertion_loosened test_errors: was `assert price(None, 0.1) == pytest.approx(0.95, rel=0.001)`, is `assert price(None, 0.1) == pytest.approx(0.95, rel=0.1)`"
        ],
    ),
    (
        "LIMIT = 7",
        "LIMIT = 8",
        ["38 expected_changed test_errors: `assert price(None, 3) == LIMIT`, expected: was `7`, is `8`"],
    ),
    (" and price(None, 4)", "", ["34 assertion_removed test_errors: `assert price(None, 4)` is gone"]),
    (
        "def test_price",
        "def _test_price",
        ["17 uncollected test_price: not collected: it is `_test_price`, which its runner does not collect"],
    ),
    (
        "def test_price",
        "def check_price",
        ["17 uncollected test_price: not collected: it is `check_price`, which its runner does not collect"],
    ),
    (
        "class TestCart",
        "class Cart_",
        ["42 uncollected TestCart.test_empty: not collected: its class `Cart_` is not collected"],
    ),
    (
        "class TestCart:",
        "class TestCart:\n    __test__ = False\n",
        ["44 uncollected TestCart.test_empty: not collected: its class `TestCart` is not collected"],
    ),
    (
        "class TestCart:",
        "class TestCart:\n    def __init__(self):\n        pass\n",
        ["45 uncollected TestCart.test_empty: not collected: its class `TestCart` is not collected"],
    ),
    (
        "def test_price",
        '@pytest.mark.skip(reason="x")\ndef test_price',
        ["17 skipped test_price: `@pytest.mark.skip(reason='x')`"],
    ),
    (
        "def test_price",
        '@pytest.mark.skipif("CI" in os.environ, reason="x")\ndef test_price',
        ["17 skipped test_price: `@pytest.mark.skipif('CI' in os.environ, reason='x')`"],
    ),
    ("def test_price", "@pytest.mark.xfail\ndef test_price", ["17 xfailed test_price: `@pytest.mark.xfail`"]),
    ("    got =", '    pytest.skip("later")\n    got =', ["18 skipped test_price: `pytest.skip('later')`"]),
    (
        "    got =",
        '    pytest.importorskip("nothing")\n    got =',
        ["18 skipped test_price: `pytest.importorskip('nothing')`"],
    ),
    (
        "    got =",
        '    if not cart:\n        pytest.skip("later")\n    got =',
        ["19 skipped test_price: `pytest.skip('later')`"],
    ),
    ("    got =", "    return\n    got =", ["17 emptied test_price: nothing is left in the test"]),
    (
        "    assert got == 18",
        "    try:\n        assert got == 18\n    except AssertionError:\n        pass",
        ["20 assertion_loosened test_price: `assert got == 18` is swallowed by `except AssertionError`"],
    ),
    (
        "    assert got == 18",
        "    with contextlib.suppress(AssertionError):\n        assert got == 18",
        ["20 assertion_loosened test_price: `assert got == 18` is swallowed by `suppress`"],
    ),
    (
        "    assert got == 18",
        "    if False:\n        assert got == 18",
        ["20 assertion_removed test_price: `assert got == 18` is never reached"],
    ),
    (
        "    assert got == 18",
        "    if cart.rows:\n        assert got == 18",
        ["20 assertion_loosened test_price: `assert got == 18` is asserted only under `cart.rows`"],
    ),
    ("LIMIT = 7\n", "LIMIT = 7\npytestmark = pytest.mark.skip\n", ["6 skipped : `@pytest.mark.skip`"]),
    ("LIMIT = 7\n", 'LIMIT = 7\npytest.importorskip("nothing")\n', ["6 skipped : `pytest.importorskip('nothing')`"]),
    (
        "    assert Cart().rows == []\n",
        "    assert Cart().rows == []\n\n\ndef test_rates():\n    pass\n",
        ["29 uncollected test_rates: not collected: a later `test_rates` takes its place"],
    ),
    (
        "    assert Cart().rows == []\n",
        "    assert Cart().rows == []\n\n\ndel test_rates\n",
        ["29 uncollected test_rates: not collected: line 46 says `del test_rates`"],
    ),
    (
        "    assert Cart().rows == []\n",
        "    assert Cart().rows == []\n\n\ntest_rates.__test__ = False\n",
        ["29 uncollected test_rates: not collected: line 46 says `test_rates.__test__ = False`"],
    ),
    (
        "def test_rates():\n",
        "if False:\n  def test_rates():\n",
        ["30 uncollected test_rates: not collected: it stands under `if False`"],
    ),
    (
        "def test_price",
        "@pytest.fixture\ndef test_price",
        ["18 uncollected test_price: not collected: its runner does not collect it"],
    ),
    (
        "def test_rates",
        "async def test_rates",
        ["29 skipped test_rates: `async def test_rates, without a mark for a plugin`"],
    ),
    (
        "    for count, cost in RATES:\n        assert price(None, count) == cost\n",
        '    """Rates."""\n',
        ["29 emptied test_rates: nothing is left in the test"],
    ),
    (
        "def test_rates():\n    for count, cost in RATES:\n        assert price(None, count) == cost\n\n\n",
        "",
        ["29 deleted test_rates: the test is gone"],
    ),
    ("    return Cart(request.param)", '    pytest.skip("x")', ["14 skipped cart: `pytest.skip('x')`"]),
]

UT = """\
import unittest
from shop import price


class PriceTest(unittest.TestCase):
    def test_one(self):
        self.assertEqual(price(1), 10)
        self.assertAlmostEqual(price(2), 18.25, places=3)
        self.assertIn("x", price(3))

    def test_bad(self):
        with self.assertRaises(ValueError):
            price(-1)
"""

UT_ROWS: Rows = [
    (
        "assertEqual(price(1), 10)",
        "assertTrue(price(1), 10)",
        [
            "7 assertion_loosened PriceTest.test_one: was `self.assertEqual(price(1), 10)`, is `self.assertTrue(price(1), 10)`"
        ],
    ),
    (
        "assertEqual(price(1), 10)",
        "assertEqual(price(1), 11)",
        [
            "7 expected_changed PriceTest.test_one: was `self.assertEqual(price(1), 10)`, is `self.assertEqual(price(1), 11)`"
        ],
    ),
    (
        "assertEqual(price(1), 10)",
        "assertIsNotNone(price(1))",
        [
            "7 assertion_loosened PriceTest.test_one: was `self.assertEqual(price(1), 10)`, is `self.assertIsNotNone(price(1))`"
        ],
    ),
    (
        "places=3",
        "places=1",
        [
            "8 assertion_loosened PriceTest.test_one: was `self.assertAlmostEqual(price(2), 18.25, places=3)`, is `self.assertAlmostEqual(price(2), 18.25, places=1)`"
        ],
    ),
    (
        "places=3",
        "delta=1",
        [
            "8 assertion_loosened PriceTest.test_one: was `self.assertAlmostEqual(price(2), 18.25, places=3)`, is `self.assertAlmostEqual(price(2), 18.25, delta=1)`"
        ],
    ),
    ("18.25, places=3", "18.25", []),
    (
        "    def test_bad",
        '    @unittest.skip("x")\n    def test_bad',
        ["11 skipped PriceTest.test_bad: `@unittest.skip('x')`"],
    ),
    (
        "    def test_bad",
        "    @unittest.expectedFailure\n    def test_bad",
        ["11 xfailed PriceTest.test_bad: `@unittest.expectedFailure`"],
    ),
    (
        "class PriceTest(unittest.TestCase)",
        "class PriceTest",
        [
            "6 uncollected PriceTest.test_one: not collected: its class `PriceTest` is not collected",
            "11 uncollected PriceTest.test_bad: not collected: its class `PriceTest` is not collected",
        ],
    ),
    (
        "class PriceTest",
        '@unittest.skipIf(True, "x")\nclass PriceTest',
        ["5 skipped PriceTest: `@unittest.skipIf(True, 'x')`"],
    ),
    (
        "        self.assertEqual",
        '        self.skipTest("x")\n        self.assertEqual',
        ["7 skipped PriceTest.test_one: `self.skipTest('x')`"],
    ),
    (
        "assertRaises(ValueError)",
        "assertRaises(Exception)",
        [
            "12 assertion_loosened PriceTest.test_bad: was `self.assertRaises(ValueError)`, is `self.assertRaises(Exception)`"
        ],
    ),
    (
        "def test_bad",
        "def bad",
        ["11 uncollected PriceTest.test_bad: not collected: it is `PriceTest.bad`, which its runner does not collect"],
    ),
    (
        "    def test_one",
        '    def setUp(self):\n        raise unittest.SkipTest("x")\n\n    def test_one',
        ["7 skipped PriceTest.setUp: `raise unittest.SkipTest('x')`"],
    ),
]

JS = """\
import { test, describe, it } from "node:test";
describe("math", () => {
  it("adds", () => {
    const got = add(1, 2);
    expect(got).toBe(3);
    expect(list).toHaveLength(2);
  });
  it("divides", async () => {
    expect(div(1, 3)).toBeCloseTo(0.333, 3);
    await expect(div(1, 0)).rejects.toThrow("zero");
  });
  test.each([[1, 2], [3, 4]])("is %i", (a, b) => {
    expect(f(a)).toEqual(b);
  });
});
test("node", () => { assert.strictEqual(f(1), 2); assert.ok(f(2) === 3); assert.throws(() => f(), TypeError); });
"""

JS_ROWS: Rows = [
    ('it("adds"', 'it.skip("adds"', ["3 skipped math > adds: `it.skip('adds')`"]),
    ('it("adds"', 'xit("adds"', ["3 skipped math > adds: `xit('adds')`"]),
    ('it("adds"', 'it.only("adds"', ["3 skipped : `it.only('adds') keeps the other tests of the file from running`"]),
    ('it("adds"', 'it.todo("adds"', ["3 skipped math > adds: `it.todo('adds')`"]),
    ("toBe(3)", "toBe(4)", ["5 expected_changed math > adds: was `expect(got).toBe(3)`, is `expect(got).toBe(4)`"]),
    (
        "toBe(3)",
        "toBeTruthy()",
        ["5 assertion_loosened math > adds: was `expect(got).toBe(3)`, is `expect(got).toBeTruthy()`"],
    ),
    ("    expect(got).toBe(3);\n", "", ["3 assertion_removed math > adds: `expect(got).toBe(3)` is gone"]),
    (
        "toHaveLength(2)",
        "toHaveLength(1)",
        ["6 expected_changed math > adds: was `expect(list).toHaveLength(2)`, is `expect(list).toHaveLength(1)`"],
    ),
    (
        "0.333, 3",
        "0.333, 1",
        [
            "9 assertion_loosened math > divides: was `expect(div(1, 3)).toBeCloseTo(0.333, 3)`, is `expect(div(1, 3)).toBeCloseTo(0.333, 1)`"
        ],
    ),
    ("0.333, 3", "0.333, 5", []),
    (
        'toThrow("zero")',
        "toThrow()",
        [
            '10 assertion_loosened math > divides: was `expect(div(1, 0)).rejects.toThrow("zero")`, is `expect(div(1, 0)).rejects.toThrow()`'
        ],
    ),
    ("[[1, 2], [3, 4]]", "[[1, 2]]", ["12 parameters_cut math > is %i: 1 of 2 rows gone, first `[3, 4]`"]),
    ("[3, 4]", "[3, 5]", ["12 expected_changed math > is %i: was `[3, 4]`, is `[3, 5]`"]),
    ("[3, 4]]", "[3, 4], [5, 6]]", []),
    (
        "expect(got).toBe(3)",
        "expect(true).toBe(true)",
        ["5 assertion_loosened math > adds: was `expect(got).toBe(3)`, is `expect(true).toBe(true)`"],
    ),
    (
        "expect(got).toBe(3)",
        "expect(got).toBe(got)",
        ["5 assertion_loosened math > adds: was `expect(got).toBe(3)`, is `expect(got).toBe(got)`"],
    ),
    (
        "strictEqual(f(1), 2)",
        "strictEqual(f(1), 3)",
        ["16 expected_changed node: was `assert.strictEqual(f(1), 2)`, is `assert.strictEqual(f(1), 3)`"],
    ),
    (
        "strictEqual(f(1), 2)",
        "equal(f(1), 2)",
        ["16 assertion_loosened node: was `assert.strictEqual(f(1), 2)`, is `assert.equal(f(1), 2)`"],
    ),
    ("f(2) === 3", "f(2)", ["16 assertion_loosened node: was `assert.ok(f(2) === 3)`, is `assert.ok(f(2))`"]),
    (
        ", TypeError",
        "",
        ["16 assertion_loosened node: was `assert.throws(() => f(), TypeError)`, is `assert.throws(() => f())`"],
    ),
    ("() => { assert.str", "{skip: true}, () => { assert.str", ["16 skipped node: `test('node')`"]),
    (
        "    const got",
        "    return;\n    const got",
        [
            "6 assertion_removed math > adds: `expect(got).toBe(3)` is never reached",
            "7 assertion_removed math > adds: `expect(list).toHaveLength(2)` is never reached",
        ],
    ),
    (
        "    expect(got).toBe(3);",
        "    try { expect(got).toBe(3); } catch (e) {}",
        ["5 assertion_loosened math > adds: `expect(got).toBe(3)` is swallowed by `catch`"],
    ),
    ("describe(", "describe.skip(", ["2 skipped math: `describe.skip('math')`"]),
    ('it("divides"', 'it("splits"', []),
    (
        "    const got = add(1, 2);\n    expect(got).toBe(3);\n    expect(list).toHaveLength(2);\n",
        "",
        ["3 emptied math > adds: nothing is left in the test"],
    ),
    ("add(1, 2);\n    expect(got)", "add(1, 2); // x\n\n    expect( got )", []),
]

GO = """\
package a

func TestA(t *testing.T) {
	tests := []struct{ in, want int }{
		{1, 2},
		{3, 4},
	}
	for _, tt := range tests {
		if got := f(tt.in); got != tt.want {
			t.Errorf("f(%d) = %d", tt.in, got)
		}
	}
	if g() != 3 {
		t.Fatal("g")
	}
	require.Equal(t, 5, h())
}
"""

GO_ROWS: Rows = [
    ("\t\t{3, 4},\n", "", ["7 parameters_cut TestA: 1 of 2 rows gone, first `{3, 4}`"]),
    ("{3, 4}", "{3, 5}", ["6 expected_changed TestA: was `{3, 4}`, is `{3, 5}`"]),
    ("t.Errorf", "t.Logf", ["3 assertion_removed TestA: `if got != tt.want fails` is gone"]),
    ("g() != 3", "g() != 4", ["13 expected_changed TestA: was `if g() != 3 fails`, is `if g() != 4 fails`"]),
    ("g() != 3", "g() < 0", ["13 assertion_loosened TestA: was `if g() != 3 fails`, is `if g() < 0 fails`"]),
    (
        "func TestA",
        "func testA",
        ["3 uncollected TestA: not collected: it is `testA`, which its runner does not collect"],
    ),
    ("\ttests :=", '\tt.Skip("x")\n\ttests :=', ['4 skipped TestA: `t.Skip("x")`']),
    ("package a", "//go:build slow\n\npackage a", ["1 skipped : `//go:build slow`"]),
    ("\trequire.Equal(t, 5, h())\n", "", ["3 assertion_removed TestA: `require.Equal(t, 5, h())` is gone"]),
    (
        "Equal(t, 5, h())",
        "NotNil(t, h())",
        ["16 assertion_loosened TestA: was `require.Equal(t, 5, h())`, is `require.NotNil(t, h())`"],
    ),
    ('\tif g() != 3 {\n\t\tt.Fatal("g")\n\t}\n', "", ["3 assertion_removed TestA: `if g() != 3 fails` is gone"]),
    ("{1, 2},\n\t\t{3, 4}", "{3, 4},\n\t\t{1, 2},\n\t\t{5, 6}", []),
    (
        '\ttests := []struct{ in, want int }{\n\t\t{1, 2},\n\t\t{3, 4},\n\t}\n\tfor _, tt := range tests {\n\t\tif got := f(tt.in); got != tt.want {\n\t\t\tt.Errorf("f(%d) = %d", tt.in, got)\n\t\t}\n\t}\n\tif g() != 3 {\n\t\tt.Fatal("g")\n\t}\n\trequire.Equal(t, 5, h())\n',
        "",
        ["3 emptied TestA: nothing is left in the test"],
    ),
]

RS = """\
pub fn f() -> i32 { 1 }
#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn works() {
        let got = f();
        assert_eq!(got, 1);
        assert!(got > 0, "positive");
    }
    #[test]
    #[should_panic(expected = "zero")]
    fn panics() { g(0); }
}
"""

RS_ROWS: Rows = [
    (
        "    #[test]\n    fn works",
        "    fn works",
        ["5 uncollected tests::works: not collected: its runner does not collect it"],
    ),
    ("#[test]\n    fn works", "#[test]\n    #[ignore]\n    fn works", ["6 skipped tests::works: `#[ignore]`"]),
    (
        "assert_eq!(got, 1)",
        "assert_eq!(got, 2)",
        ["8 expected_changed tests::works: was `assert_eq!(got, 1)`, is `assert_eq!(got, 2)`"],
    ),
    (
        "assert_eq!(got, 1)",
        "assert!(got != 0)",
        ["8 assertion_loosened tests::works: was `assert_eq!(got, 1)`, is `assert!(got != 0)`"],
    ),
    ("        assert_eq!(got, 1);\n", "", ["6 assertion_removed tests::works: `assert_eq!(got, 1)` is gone"]),
    (
        "got > 0",
        "got > -1",
        ['9 assertion_loosened tests::works: was `assert!(got > 0, "positive")`, is `assert!(got > -1, "positive")`'],
    ),
    (
        "got > 0",
        "true",
        ['9 assertion_loosened tests::works: was `assert!(got > 0, "positive")`, is `assert!(true, "positive")`'],
    ),
    (
        "#[test]\n    fn works",
        "#[test]\n    #[should_panic]\n    fn works",
        ["6 xfailed tests::works: `#[should_panic]`"],
    ),
    (
        '(expected = "zero")',
        "",
        ['12 xfailed tests::panics: was `#[should_panic(expected = "zero")]`, is `#[should_panic]`'],
    ),
    ("-> i32 { 1 }", "-> i32 { 2 }", []),
    ("#[cfg(test)]", '#[cfg(all(test, feature = "x"))]', ['2 skipped tests: `#[cfg(all(test, feature = "x"))]`']),
    (
        '#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn works() {\n        let got = f();\n        assert_eq!(got, 1);\n        assert!(got > 0, "positive");\n    }\n    #[test]\n    #[should_panic(expected = "zero")]\n    fn panics() { g(0); }\n}\n',
        "",
        ["6 deleted tests::works: the test is gone", "13 deleted tests::panics: the test is gone"],
    ),
]

CASES = [
    (path, base, *row)
    for path, base, rows in (
        ("tests/test_shop.py", PY, PY_ROWS),
        ("tests/test_price.py", UT, UT_ROWS),
        ("test/a.test.js", JS, JS_ROWS),
        ("test/a.test.ts", JS, JS_ROWS),
        ("a_test.go", GO, GO_ROWS),
        ("src/lib.rs", RS, RS_ROWS),
    )
    for row in rows
]


@pytest.mark.parametrize(("path", "base", "old", "new", "said"), CASES)
def test_each_edit_is_named_with_its_line(path: str, base: str, old: str, new: str, said: list[str]) -> None:
    assert old in base
    candidate = base.replace(old, new, 1)
    found = find_weakened({path: base.encode()}, {path: candidate.encode()}, is_test_file)
    assert [f"{each.line} {each.kind.value} {each.test}: {each.detail}" for each in found] == said
    assert {each.path for each in found} <= {path}


@pytest.mark.parametrize(("path", "base", "old", "new", "said"), CASES)
def test_strengthening_is_not_weakening(path: str, base: str, old: str, new: str, said: list[str]) -> None:
    """The way back of an edit that loosened, removed, cut or skipped something does none of that."""
    candidate = base.replace(old, new, 1)
    back = find_weakened({path: candidate.encode()}, {path: base.encode()}, is_test_file)
    two_ways = {"expected_changed", "xfailed"}
    assert not {each.kind.value for each in back} & {line.split()[1] for line in said} - two_ways


def test_without_a_parser_lines_are_compared() -> None:
    base, candidate = {"a_test.go": b"package a {{{\nassert.Equal(t, 1, f())\n"}, {"a_test.go": b"package a {{{\n"}
    assert [each.detail for each in find_weakened(base, candidate, is_test_file)] == [
        "`assert.Equal(t, 1, f())` is gone"
    ]
