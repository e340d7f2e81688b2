"""What Python test code gives to its assertions: constants, attributes, defaults, what fixtures and helpers return.

A value that a file says itself is worth more than one that it asks the product for: what the product is compared with
must not come from the product. Names from elsewhere, but not from the standard library, test tools or other test code,
count as the product, and so does what calls them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, pairwise
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import astuple

from ganger.verifier.weakened.python_asserts import callee, text_of
from ganger.verifier.weakened.suite import UNKNOWN, Given, Note, Side, Uses, one_line

TEST_FOLDERS = frozenset({"test", "tests", "testing", "__tests__", "spec", "specs", "e2e", "unit", "integration"})
"""Names of folders and packages that hold tests."""
_TOOLS = frozenset({"pytest", "_pytest", "unittest", "mock", "hypothesis", "parameterized", "ddt", "nose", "freezegun"})
_TEST_MODULE = re.compile(r"^_?tests?(?:$|_)|_tests?$|conftest|helper|fixture|support|common|util")
_HIDDEN = frozenset({"eval", "exec", "__import__", "import_module", "run_module", "run_path", "check_output", "Popen"})
"""Calls that reach whatever their arguments say."""
_PATCHES = frozenset({"patch", "object", "setattr", "setitem"})
_PATCHING = re.compile(r"patch|setattr|setitem")
_ASSERTS = re.compile(r"_?(?:assert|check|expect|verify|same)", re.I)
_TABLES = frozenset({"parametrize", "expand", "param", "product", "zip"})
_FIXTURES = frozenset(
    {"tmp_path", "tmpdir", "request", "monkeypatch", "capsys", "caplog", "capfd", "recwarn", "mocker"}
)
_NAME = re.compile(r"[^\W\d]\w*")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Reach(Struct, frozen=True):
    """The names of one file through which it gets at the product."""

    names: frozenset[str]
    methods: frozenset[str] = frozenset()
    """Its own functions and methods that use one of them."""


class _Value(Struct, frozen=True):
    """What an expression says itself, and what it asks for."""

    said: tuple[str, ...]
    kept: tuple[str, ...]
    """What it says, arguments of what it asks for included."""
    asked: tuple[str, ...]


def reach(path: str, lines: Sequence[str], body: Sequence[ast.stmt]) -> Reach:
    """Find through which names a file gets at the product: those it imports, and its own functions that use them."""
    statements = list(statements_in(body))
    names = frozenset(_from_product(path, statements))
    used = {
        node.name: frozenset(_NAME.findall("\n".join(lines[node.lineno - 1 : node.end_lineno])))
        for node in statements
        if isinstance(node, _FUNCTIONS)
    }
    methods: set[str] = set()
    for _ in range(4):
        more = {name for name, uses in used.items() if (uses - {name}) & (names | methods | _HIDDEN)} - methods
        if not more:
            break
        methods |= more
    return Reach(names, frozenset(methods))


def statements_in(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Walk statements in statements; expressions, which are many more, are left out."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "finalbody"):
            waiting += getattr(node, field, ())
        for each in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            waiting += each.body


def _from_product(path: str, statements: Iterable[ast.stmt]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, ast.Import):
            for each in node.names:
                if _is_product(tuple(each.name.split("."))):
                    yield each.asname or each.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            source = _resolved(path, node)
            yield from (each.asname or each.name for each in node.names if _is_product((*source, each.name)))


def _resolved(path: str, statement: ast.ImportFrom) -> tuple[str, ...]:
    module = tuple((statement.module or "").split(".")) if statement.module else ()
    if not statement.level:
        return module
    folder = PurePosixPath(path).parent.parts
    return (*folder[: len(folder) - statement.level + 1], *module)


def _is_product(module: tuple[str, ...]) -> bool:
    root = module[0] if module else ""
    if root in sys.stdlib_module_names or root in _TOOLS:
        return False
    return not TEST_FOLDERS & set(module[:-1]) and not any(_TEST_MODULE.search(part) for part in module[:-1])


def given_by(function: Function, reached: Reach, *, is_test: bool) -> tuple[Given, ...]:
    """Give what a function gives: values of its parameters, attributes of `self`; a test its locals, others returns."""
    found: list[tuple[str, ast.expr]] = list(_defaults(function))
    values: dict[str, ast.expr] = {}
    for node in sorted(statements_in(function.body), key=lambda node: node.lineno):
        for target, value in _targets(node):
            if isinstance(target, ast.Attribute):
                found.append((target.attr, _in_place(value, values)))
            elif isinstance(target, ast.Name):
                values[target.id] = value
                if is_test:
                    found.append((target.id, value))
        result = _result(node)
        if result is not None and not is_test:
            found.append((function.name, _in_place(result, values)))
    parameters = {each.arg for each in function.args.args} - _FIXTURES - {"self", "cls"}
    return tuple(_given(found, Reach(reached.names | parameters, reached.methods)))


def given_at(body: Sequence[ast.stmt], reached: Reach) -> tuple[Given, ...]:
    """Give what the constants of a file and the attributes of its classes are."""
    found: list[tuple[str, ast.expr]] = []
    for statement in body:
        found += [(target.id, value) for target, value in _targets(statement) if isinstance(target, ast.Name)]
        if isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                found += [(target.id, value) for target, value in _targets(inner) if isinstance(target, ast.Name)]
    return tuple(_given(found, reached))


def _targets(node: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield node.target, node.value


def _defaults(function: Function) -> Iterator[tuple[str, ast.expr]]:
    given = function.args
    last = [*given.posonlyargs, *given.args][len(given.posonlyargs) + len(given.args) - len(given.defaults) :]
    yield from ((each.arg, value) for each, value in zip(last, given.defaults, strict=True))
    named = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    yield from ((each.arg, value) for each, value in named if value is not None)


def _result(node: ast.stmt) -> ast.expr | None:
    """Give what a statement returns or yields."""
    value = node.value if isinstance(node, (ast.Return, ast.Expr, ast.Assign)) else None
    if isinstance(value, ast.Yield):
        return value.value
    return value if isinstance(node, ast.Return) else None


def _in_place(value: ast.expr, values: Mapping[str, ast.expr]) -> ast.expr:
    return values.get(value.id, value) if isinstance(value, ast.Name) else value


def _given(found: Iterable[tuple[str, ast.expr]], reached: Reach) -> Iterator[Given]:
    by_name: dict[str, list[ast.expr]] = {}
    for name, value in found:
        by_name.setdefault(name, []).append(value)
    for name, values in by_name.items():
        seen = [_value(each, reached) for each in values]
        said, kept, asked = (tuple(chain.from_iterable(parts)) for parts in zip(*map(astuple, seen), strict=True))
        if said or asked:
            yield Given(values[-1].lineno, name, one_line(", ".join(map(text_of, values[:3]))), said, kept, asked)


def _value(value: ast.expr, reached: Reach) -> _Value:
    said: list[str] = []
    kept: list[str] = []
    asked: list[str] = []
    waiting: list[tuple[ast.AST, int]] = [(value, 0)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, ast.Constant):
            if node.value is not None and not isinstance(node.value, bool) and node.value not in ("", ...):
                (said if depth == 0 else kept).append(repr(node.value))
        elif isinstance(node, (ast.Name, ast.Attribute)) and _last(node) == "ANY":
            asked.append("ANY")
        elif isinstance(node, ast.Call) and _asks(node, reached):
            if depth == 0:
                asked.append(text_of(node))
            # What the product is given to work on is not what it says.
            waiting += [(each, depth + 1) for each in ast.iter_child_nodes(node) if depth == 0]
        elif not isinstance(node, ast.Lambda):
            waiting += [(each, depth) for each in ast.iter_child_nodes(node)]
    return _Value(tuple(said), (*said, *kept), tuple(asked))


def _asks(call: ast.Call, reached: Reach) -> bool:
    name, root = callee(call), _root(call.func)
    return root in reached.names or name in reached.methods or name in _HIDDEN or root == "subprocess"


def _root(node: ast.expr) -> str:
    """Give the first name of `a.b(c)[0].d`: `a`; empty where it begins with something else."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def patched_by(function: Function, source: str, reached: Reach) -> Iterator[Note]:
    """Name what of the product a function puts something else in the place of."""
    yield from patched_in(ast.walk(function) if _PATCHING.search(source) else statements_in(function.body), reached)


def patched_in(nodes: Iterable[ast.AST], reached: Reach) -> Iterator[Note]:
    """Name what of the product something else is put in the place of: by mock, by pytest, by an assignment."""
    for node in nodes:
        if isinstance(node, ast.Call) and callee(node) in _PATCHES and node.args:
            name = _patched(node.args, reached)
            if name:
                yield Note(node.lineno, name)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and _root(target) in reached.names:
                    yield Note(node.lineno, target.attr)
                elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Call):
                    yield Note(node.lineno, str(target.slice.value) if isinstance(target.slice, ast.Constant) else "")


def _patched(args: Sequence[ast.expr], reached: Reach) -> str:
    """Give the last name of what a call that patches is given; empty for what is not the product's."""
    first = args[0]
    if isinstance(first, ast.JoinedStr) and first.values:
        last = first.values[-1]
        return str(last.value).rpartition(".")[2] if isinstance(last, ast.Constant) else ""
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        module, _, name = first.value.rpartition(".")
        return "" if module.partition(".")[0] in sys.stdlib_module_names else name
    is_product = _root(first) in (*reached.names, "globals", "vars", "import_module", "__import__")
    second = args[1] if len(args) > 1 else None
    named = isinstance(second, ast.Constant) and isinstance(second.value, str)
    return str(second.value) if is_product and isinstance(second, ast.Constant) and named else ""


def uses_of(body: Sequence[ast.stmt], reached: Reach) -> Uses:
    """Find what a file compares with what, and every name that it mentions."""
    compared: list[tuple[Side, Side]] = []
    mentioned: set[str] = set()
    for node in chain.from_iterable(map(ast.walk, body)):
        if isinstance(node, ast.Compare):
            sides = [_side(each, reached) for each in (node.left, *node.comparators)]
            compared += pairwise(sides)
        elif isinstance(node, ast.Call) and _ASSERTS.match(callee(node)):
            sides = [_side(each, reached) for each in (*node.args, *(each.value for each in node.keywords))][:4]
            compared += combinations(sides, 2)
        elif isinstance(node, ast.Call) and callee(node) in _TABLES:
            compared += [(_side(each, reached), UNKNOWN) for each in node.args]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_helper(node.value, reached):
            compared += [(_side(each, reached), UNKNOWN) for each in node.value.args]
        elif isinstance(node, (ast.For, ast.comprehension)):
            compared.append((_side(node.iter, reached), UNKNOWN))
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            mentioned.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, _FUNCTIONS):
            mentioned |= {each.arg for each in node.args.args}
    return Uses(tuple(compared), frozenset(mentioned))


def _is_helper(call: ast.Call, reached: Reach) -> bool:
    """Tell whether a statement calls what may assert something about its arguments: a helper of the tests."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return isinstance(function.value, ast.Name) and function.value.id == "self"
    return isinstance(function, ast.Name) and function.id not in reached.names


def _side(node: ast.expr, reached: Reach) -> Side:
    names = frozenset(_operands(node))
    return Side(names, any(isinstance(each, ast.Call) and _asks(each, reached) for each in ast.walk(node)))


def _operands(node: ast.AST) -> Iterator[str]:
    """Name what a side of a comparison is made of; arguments of calls do not count."""
    if isinstance(node, ast.Call):
        yield callee(node)
        if callee(node) == "approx":
            yield from chain.from_iterable(map(_operands, node.args))
        return
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    for inner in ast.iter_child_nodes(node):
        yield from _operands(inner)
