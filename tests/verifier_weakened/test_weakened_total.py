"""Whatever bytes an agent commits, the comparison ends, soon, and says the same each time."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganger.service.protected import is_test_file
from ganger.verifier.weakened import FOUND_MAX, find_weakened

PATHS = (
    "tests/test_a.py",
    "test/a.test.js",
    "test/a.test.tsx",
    "a_test.go",
    "src/lib.rs",
    "spec/a_spec.rb",
    "Makefile",
)
SOURCES = {
    "tests/test_a.py": b"import pytest\n\n\n@pytest.mark.parametrize('a', [1, (2, 3)])\ndef test_a(a):\n"
    b"    with pytest.raises(ValueError, match='x'):\n        f(a)\n    try:\n        assert f(a) == [1]\n"
    b"    except KeyError:\n        raise\n",
    "test/a.test.js": b"describe('a', () => { it.each([[1, 2]])('b', (x) => { expect(f(x)).not.toBe(2); }); });\n",
    "test/a.test.tsx": b"test('a', async () => { const x = 1; await expect(f(<b/>)).resolves.toEqual(x as any) });",
    "a_test.go": b"package a\n\nfunc TestA(t *testing.T) {\n\tif got := f(); got != 1 {\n\t\tt.Fatal(got)\n\t}\n}\n",
    "src/lib.rs": b"#[test]\n#[should_panic]\nfn a() {\n    for x in [1, 2] { assert_eq!(f(x), 1); }\n}\n",
    "spec/a_spec.rb": b"it 'a' do\n  expect(f).to eq 1\nend\n",
    "Makefile": b"test:\n\tpytest --cov-fail-under=90\n",
}


@given(st.sampled_from(PATHS), st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes(path: str, old: bytes, new: bytes) -> None:
    first = find_weakened({path: old}, {path: new}, is_test_file)
    assert first == find_weakened({path: old}, {path: new}, is_test_file)
    assert all("\n" not in each.detail and each.line >= 1 for each in first)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_mutated_sources(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PATHS))
    source = SOURCES[path]
    at, length = data.draw(st.integers(0, len(source))), data.draw(st.integers(0, 40))
    put = data.draw(st.one_of(st.binary(max_size=10), st.sampled_from([source[3:40], b"(", b"if 1:\n", b'"', b"\0"])))
    mutated = source[:at] + put + source[at + length :]
    for old, new in ((source, mutated), (mutated, source)):
        found = find_weakened({path: old}, {path: new}, is_test_file)
        assert list(found) == sorted(found, key=lambda each: (each.path, each.line, each.kind.value))
    assert find_weakened({path: mutated}, {path: mutated}, is_test_file) == ()


DEEP = {
    "brackets": b"(" * 50_000,
    "closed brackets": b"x = " + b"[" * 3_000 + b"]" * 3_000,
    "minus": b"x = " + b"-" * 50_000 + b"1",
    "sum": b"def test_a():\n    assert f() == 1" + b" + 1" * 20_000,
    "blocks": b"\n".join(b" " * depth + b"if x:" for depth in range(99)) + b"\n" + b" " * 99 + b"assert x",
    "arrows": b"test('a', " + b"a => " * 20_000 + b"1)",
    "calls": b"expect(f" + b"(1)" * 20_000 + b").toBe(2);",
    "all bytes": bytes(range(256)) * 500,
    "one line": b"assert(x == 1); expect(" * 20_000,
    "many lines": b"assert x == 1\n" * 60_000,
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", DEEP)
def test_deep_and_large_files_end_soon(path: str, name: str) -> None:
    start = time.process_time()
    for old, new in ((DEEP[name], SOURCES[path]), (SOURCES[path], DEEP[name])):
        assert len(find_weakened({path: old}, {path: new}, is_test_file)) <= FOUND_MAX
    assert time.process_time() - start < 10


def test_many_lost_tests_are_searched_for_in_bounded_time() -> None:
    def source(seed: int) -> bytes:
        chance = random.Random(seed)
        names = [
            f"def test_{chance.getrandbits(40)}():\n    assert f({nth}) == {chance.random()}\n" for nth in range(600)
        ]
        return "\n".join(names).encode()

    start = time.process_time()
    found = find_weakened({"tests/test_a.py": source(1)}, {"tests/test_b.py": source(2)}, is_test_file)
    assert len(found) == FOUND_MAX
    assert time.process_time() - start < 10


def test_the_order_of_the_files_does_not_matter() -> None:
    candidate = {path: source[: len(source) // 2] for path, source in SOURCES.items()}
    back = dict(reversed(SOURCES.items()))
    assert find_weakened(SOURCES, candidate, is_test_file) == find_weakened(back, candidate, is_test_file) != ()
