"""Faults seeded into real code, and the work that mends one: a true bug fix with the tests that see it.

The base is the library with one fault and without the tests that see it; the mending puts both right.
"""

from __future__ import annotations

import ast
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TESTS_S_MAX = 60
"""Tests of a library that take longer do not end."""
TESTS_MAX = 6
"""Most test functions that may see a fault: one that more of them see breaks everything, and is no small bug."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?\.py)::(\S+)", re.M)


@dataclass(frozen=True)
class Seeded:
    """A fault with its mending."""

    about: str
    base: Mapping[str, str]
    """Files of the base that differ from the library's own."""
    mended: Mapping[str, str]
    """The same files as the library has them."""


def faults(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Every fault that can be seeded into a Python file: what it is, and the file with it."""
    for node in ast.walk(ast.parse(text)):
        for about, start, end, new in _swaps(node, text):
            yield f"{path}:{getattr(node, 'lineno', 0)} {about}", text[:start] + new + text[end:]


def _swaps(node: ast.AST, text: str) -> Iterator[tuple[str, int, int, str]]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            old, new = _COMPARED.get(type(operator), ("", ""))
            found = _between(text, left, right, old)
            if found:
                yield f"{old} becomes {new}", *found, new
        case ast.BinOp(left=left, op=operator, right=right):
            old, new = _COMPUTED.get(type(operator), ("", ""))
            found = _between(text, left, right, old)
            if found:
                yield f"{old} becomes {new}", *found, new
        case ast.BoolOp(op=operator, values=[left, right]):
            old, new = ("and", "or") if isinstance(operator, ast.And) else ("or", "and")
            found = _between(text, left, right, old)
            if found:
                yield f"{old} becomes {new}", *found, new
        case ast.Constant(value=bool(value)):
            yield f"{value} becomes {not value}", *_span(text, node), str(not value)
        case ast.Constant(value=int(value)):
            yield f"{value} becomes {value + 1}", *_span(text, node), str(value + 1)
        case ast.Return(value=ast.expr() as value):
            yield "nothing is returned", *_span(text, value), "None"


_COMPARED: dict[type, tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.In: ("in", "not in"),
}
_COMPUTED: dict[type, tuple[str, str]] = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+")}


def _offset(text: str, line: int, column: int) -> int:
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def _span(text: str, node: ast.expr) -> tuple[int, int]:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return _offset(text, node.lineno, node.col_offset), _offset(text, node.end_lineno, node.end_col_offset)


def _between(text: str, left: ast.expr, right: ast.expr, word: str) -> tuple[int, int] | None:
    if not word:
        return None
    start, end = _span(text, left)[1], _span(text, right)[0]
    at = text[start:end].find(word)
    return (start + at, start + at + len(word)) if at >= 0 else None


def seeds(files: Mapping[str, str], product: str, tests: str, top: Path, count: int, seed: int) -> Iterator[Seeded]:
    """Seed faults until `count` are found that a few tests see; `top` is a check-out with the files, put back after."""
    found = [
        (path, about, text)
        for path in sorted(files)
        if path.startswith(f"{product}/")
        and path.endswith(".py")
        and len(files[path]) < 60_000
        and not path.startswith(f"{tests}/")
        and "/_" not in path.replace("__init__", "")
        for about, text in faults(path, files[path])
    ]
    random.Random(seed).shuffle(found)
    for path, about, text in found:
        if count <= 0:
            return
        (top / path).write_text(text)
        base = _without_tests(files, _failing(top, tests))
        (top / path).write_text(files[path])
        if base:
            count -= 1
            yield Seeded(about, base | {path: text}, {changed: files[changed] for changed in (*base, path)})


def passes(top: Path, tests: str) -> bool:
    """Whether the tests of a check-out pass."""
    done = _tested(top, tests)
    return done is not None and done.returncode == 0


def _failing(top: Path, tests: str) -> set[tuple[str, str]]:
    """The test functions that fail in a check-out, by file and name; empty as well when its tests do not end."""
    done = _tested(top, tests)
    return (
        {(path, name.partition("[")[0]) for path, name in _FAILED.findall(done.stdout)} if done is not None else set()
    )


def _tested(top: Path, tests: str) -> subprocess.CompletedProcess[str] | None:
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(top)}
    command = (sys.executable, "-m", "pytest", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "--maxfail=40", tests)
    try:
        return subprocess.run(
            command, cwd=top, env=env, capture_output=True, text=True, timeout=TESTS_S_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def _without_tests(files: Mapping[str, str], failing: set[tuple[str, str]]) -> dict[str, str]:
    """The test files without the failing functions; empty when there is none, or too many, or one cannot be taken."""
    if not 0 < len(failing) <= TESTS_MAX:
        return {}
    without: dict[str, str] = {}
    for path, name in sorted(failing):
        text = without.get(path, files.get(path, ""))
        cut = _cut(text, name.split("::"))
        if cut is None:
            return {}
        without[path] = cut
    return without


def _cut(text: str, name: list[str]) -> str | None:
    """The file without one function; None when it is not there by itself, or its class would be left empty."""
    body: list[ast.stmt] = ast.parse(text).body
    for number, part in enumerate(name):
        wanted = [one for one in body if isinstance(one, (ast.ClassDef, ast.FunctionDef)) and one.name == part]
        if len(wanted) != 1:
            return None
        one = wanted[0]
        if number == len(name) - 1 and isinstance(one, ast.FunctionDef):
            if len(body) == 1:
                return None
            first = min([one.lineno, *(each.lineno for each in one.decorator_list)])
            lines = text.splitlines(keepends=True)
            return "".join(lines[: first - 1] + lines[one.end_lineno :])
        body = one.body
    return None
