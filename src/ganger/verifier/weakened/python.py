"""Reads Python test files: pytest's and unittest's tests, fixtures and helpers, by the syntax tree.

What pytest and unittest collect follows their own documentation of discovery: functions and methods `test*`, classes
`Test*` without `__init__`, and whatever derives from a `TestCase`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from msgspec import Struct

from ganger.verifier.weakened.python_asserts import (
    Names,
    Place,
    callee,
    is_literal,
    is_raises,
    is_true,
    of_assert,
    of_call,
    of_raises,
    swallows,
    text_of,
)
from ganger.verifier.weakened.python_formats import as_f_strings
from ganger.verifier.weakened.python_given import Reach, given_at, given_by, patched_by, patched_in, reach, uses_of
from ganger.verifier.weakened.suite import (
    Assertion,
    Call,
    Case,
    Constant,
    Content,
    Note,
    Row,
    Suite,
    Table,
    once,
    one_line,
)

ROWS_MAX = 5_000
"""Rows of one table that are compared one by one."""
_CONSTANT_CHARS_MAX = 1_000
_LINES = re.compile(r"\r\n|\r|\n")
_SETUP = ("setup", "teardown", "asyncsetup", "asyncteardown", "pytest_")
_FORGIVING = ("Exception", "BaseException", "AssertionError", "")
_FAILS = ("fail", "exit")
_CONDITIONAL = ("skipif", "skipIf", "skipUnless", "skip_unless")
_MARKS = (*_CONDITIONAL, "skip", "xfail", "expectedFailure")
_XFAIL = re.compile(r"@[\w.]*(?:xfail|expectedFailure)\b")


class _Function(Struct, frozen=True, gc=False):
    """A function of a file on its way to becoming a case."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    name: str
    in_class: bool
    is_class_collected: bool
    outer: tuple[Note, ...]
    """The marks of its classes and its file, outermost first."""
    never: str = ""


class _Module(Struct, frozen=True, gc=False):
    path: str
    reached: Callable[[], Reach]
    lines: Sequence[str]
    constants: dict[str, ast.expr]
    literals: dict[str, str]
    modules: frozenset[str]


def read(path: str, content: bytes) -> Suite:
    """Read one file; raises SyntaxError, ValueError, RecursionError or MemoryError where it is no Python."""
    text = content.decode("utf-8-sig", "replace")
    tree = as_f_strings(ast.parse(text), text)
    constants = {name: value for name, value in _assigned(tree.body) if _is_table(value) or is_literal(value)}
    literals = {name: text_of(value) for name, value in constants.items() if _is_short(value)}
    lines = _LINES.split(text)
    reached = once(partial(reach, path, lines, tree.body))
    module = _Module(path, reached, lines, constants, literals, frozenset(_modules(tree.body)))
    marks, notes = _module_marks(tree.body)
    functions = list(_functions(tree.body, "", marks, _derived(tree.body), True, False, ""))
    cases = [_case(module, function, notes) for function in functions]
    shown = tuple(_without_shadowed(cases, tree.body))
    imported, defined = tuple(_imported(tree.body)), tuple(_defined(tree.body))
    return Suite(
        path, "python", shown, tuple(_named(module)), imported, defined, tuple(_ignoring(tree.body)),
        once(lambda: given_at(tree.body, reached())), once(lambda: uses_of(tree.body, reached())),
        once(lambda: tuple(patched_in(tree.body, reached()))),
    )  # fmt: skip


def _named(module: _Module) -> Iterator[Constant]:
    for name, value in module.constants.items():
        text = "\n".join(module.lines[value.lineno - 1 : value.end_lineno])
        yield Constant(value.lineno, name, text)


def _imported(body: Sequence[ast.stmt]) -> Iterator[Constant]:
    for statement in body:
        if isinstance(statement, ast.Import):
            for each in statement.names:
                yield Constant(statement.lineno, each.asname or each.name.partition(".")[0], each.name)
        elif isinstance(statement, ast.ImportFrom):
            source = "." * statement.level + (statement.module or "")
            yield from (Constant(statement.lineno, each.asname or each.name, source) for each in statement.names)


def _defined(body: Sequence[ast.stmt]) -> Iterator[Constant]:
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield Constant(statement.lineno, statement.name, "")
    yield from (Constant(value.lineno, name, "") for name, value in _assigned(body))


def _modules(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Give the names that a file's imports bind to modules; `from x import y` may bind one, too."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (name for each in statement.names if (name := each.asname or each.name).islower())


def _is_short(value: ast.expr) -> bool:
    return is_literal(value) and (value.end_col_offset or 0) - value.col_offset < _CONSTANT_CHARS_MAX


def _assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Give the names that a block assigns exactly once, with what."""
    found: dict[str, ast.expr | None] = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            found[target.id] = None if target.id in found else value
    yield from ((name, value) for name, value in found.items() if value is not None)


def _is_table(value: ast.expr) -> bool:
    return isinstance(value, (ast.List, ast.Tuple, ast.Set, ast.Dict))


def _module_marks(body: Sequence[ast.stmt]) -> tuple[tuple[Note, ...], tuple[Note, ...]]:
    """Give the marks of `pytestmark`, and the calls of a module's own that skip it as a whole."""
    marks: list[ast.expr] = []
    notes = []
    for statement, place in _statements(body, (), "", is_module=True):
        if isinstance(statement, ast.Assign) and any(callee(each) == "pytestmark" for each in statement.targets):
            marks += _listed(statement.value)
        call = _statement_call(statement)
        if call is None and isinstance(statement, ast.Assign):
            call = statement.value if isinstance(statement.value, ast.Call) else None
        if call is not None and _is_skip_call(call):
            notes.append(Note(statement.lineno, one_line(text_of(call)), "", bool(place.under)))
        if isinstance(statement, ast.Raise) and statement.exc is not None and "Skip" in callee(statement.exc):
            notes.append(Note(statement.lineno, one_line(text_of(statement)), "", bool(place.under)))
    return tuple(_marks(marks, "")), tuple(notes)


def _listed(value: ast.expr) -> list[ast.expr]:
    return list(value.elts) if isinstance(value, (ast.List, ast.Tuple)) else [value]


def _is_skip_call(call: ast.Call) -> bool:
    return callee(call) in ("skip", "importorskip", "skipTest", "SkipTest") and not isinstance(call.func, ast.Name)


def _ignoring(body: Sequence[ast.stmt]) -> Iterator[Note]:
    """Give what a `conftest.py` keeps from being collected."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if callee(target) in ("collect_ignore", "collect_ignore_glob"):
                    yield Note(statement.lineno, one_line(text_of(statement)))
        if isinstance(statement, ast.FunctionDef) and statement.name in (
            "pytest_collection_modifyitems",
            "pytest_ignore_collect",
            "load_tests",
        ):
            yield Note(statement.lineno, f"def {statement.name}")


def _derived(body: Sequence[ast.stmt]) -> frozenset[str]:
    """Name the classes of a file that another of its classes derives from."""
    classes = [each for each in body if isinstance(each, ast.ClassDef)]
    return frozenset(callee(parent) for each in classes for parent in each.bases)


def _functions(
    body: Sequence[ast.stmt],
    prefix: str,
    outer: tuple[Note, ...],
    derived: frozenset[str],
    is_collected: bool,
    in_class: bool,
    never: str,
) -> Iterator[_Function]:
    """Walk a module's or a class's functions; those under `if` and `try` too, those in functions not."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield _Function(statement, prefix + statement.name, in_class, is_collected, outer, never)
        elif isinstance(statement, ast.ClassDef):
            name = prefix + statement.name
            own = _marks([*statement.decorator_list, *_class_marks(statement)], name)
            yield from _functions(
                statement.body, f"{name}.", (*outer, *own), derived,
                is_collected and _is_class_collected(statement, derived), True, never,
            )  # fmt: skip
        elif isinstance(statement, ast.If):
            dead = f"it stands under `if {one_line(text_of(statement.test), 60)}`" if _is_false(statement.test) else ""
            walk = partial(_functions, prefix=prefix, derived=derived)
            walk = partial(walk, is_collected=is_collected, in_class=in_class)
            mark: Iterable[Note] = (
                () if statement.orelse else (Note(statement.lineno, _if(statement), prefix.rstrip("."), True),)
            )
            yield from walk(statement.body, outer=(*outer, *mark), never=never or dead)
            yield from walk(statement.orelse, outer=outer, never=never)
        elif isinstance(statement, (ast.Try, ast.With)):
            yield from _functions(statement.body, prefix, outer, derived, is_collected, in_class, never)


def _if(statement: ast.If) -> str:
    return one_line(f"if {text_of(statement.test)}")


def _class_marks(node: ast.ClassDef) -> Iterator[ast.expr]:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and any(callee(each) == "pytestmark" for each in statement.targets):
            yield from _listed(statement.value)


def _is_class_collected(node: ast.ClassDef, derived: frozenset[str]) -> bool:
    for statement in node.body:
        if (
            isinstance(statement, ast.Assign)
            and any(callee(each) == "__test__" for each in statement.targets)
            and _is_false(statement.value)
        ):
            return False
    if any("Test" in callee(parent) or callee(parent).endswith("Case") for parent in node.bases):
        return True
    has_init = any(isinstance(each, ast.FunctionDef) and each.name == "__init__" for each in node.body)
    return node.name in derived or (node.name.startswith("Test") and not has_init)


def _is_false(test: ast.expr) -> bool:
    if isinstance(test, ast.Constant):
        return not test.value
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return isinstance(test.operand, ast.Constant) and bool(test.operand.value)
    return callee(test) == "TYPE_CHECKING"


def _case(module: _Module, function: _Function, notes: tuple[Note, ...]) -> Case:
    node = function.node
    first = _first(node)
    is_fixture = any(callee(each) in ("fixture", "yield_fixture") for each in node.decorator_list)
    looks = node.name.startswith("test") and not is_fixture
    why_not = function.never
    if looks and not why_not and function.in_class and not function.is_class_collected:
        why_not = f"its class `{function.name.rpartition('.')[0]}` is not collected"
    arguments = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    if function.in_class and arguments[:1] in (["self"], ["cls"]):
        arguments = arguments[1:]
    return Case(
        path=module.path,
        name=function.name,
        line=node.lineno,
        source="\n".join(module.lines[first - 1 : node.end_lineno]),
        is_collected=looks and not why_not,
        content=once(partial(_content, module, function, notes)),
        why_not=why_not if looks else "",
        parameters=tuple(arguments),
        is_setup=is_fixture or node.name.lower().startswith(_SETUP),
        outer=(*notes, *function.outer),
    )


def _without_shadowed(cases: Iterable[Case], body: Sequence[ast.stmt]) -> Iterator[Case]:
    """Say of tests that a later statement of the file takes out of the runner's sight that it does."""
    gone: dict[str, tuple[int, str]] = {}
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.Delete)):
            for target in statement.targets:
                name = callee(target)
                if isinstance(target, ast.Attribute) and target.attr == "__test__":
                    name = callee(target.value)
                gone[name] = (statement.lineno, one_line(text_of(statement), 80))
    for case in cases:
        line, text = gone.get(case.name.partition(".")[0], (0, ""))
        if line > case.line and case.is_collected and not text.startswith("__"):
            yield Case(
                case.path, case.name, case.line, case.source, False, case.content, f"line {line} says `{text}`",
                case.parameters, case.is_setup, case.outer,
            )  # fmt: skip
        else:
            yield case


def _first(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Give the line on which a function begins, with what decorates it."""
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])


def _content(module: _Module, function: _Function, notes: tuple[Note, ...]) -> Content:
    outer = function.outer
    node = function.node
    locals_ = dict(_assigned(node.body))
    names = Names(
        literals={**module.literals, **{name: text_of(value) for name, value in locals_.items() if _is_short(value)}},
        assigned={name: text_of(value) for name, value in locals_.items()},
        modules=module.modules,
    )
    marks = [*outer, *_marks(node.decorator_list, function.name)]
    skips = [*notes, *(note for note in marks if not _is_xfail(note))]
    xfails = [note for note in marks if _is_xfail(note)]
    if isinstance(node, ast.AsyncFunctionDef) and not _is_driven(function, marks):
        skips.append(Note(node.lineno, f"async def {node.name}, without a mark for a plugin", function.name, True))
    assertions: list[Assertion] = []
    calls: list[Call] = []
    tables = list(_tables(node, module.constants))
    for statement, place in _statements(node.body, (), ""):
        assertions += _assertions(statement, place, names)
        call = _statement_call(statement)
        if isinstance(statement, ast.Raise) and statement.exc is not None and "Skip" in callee(statement.exc):
            skips.append(Note(statement.lineno, one_line(text_of(statement)), function.name, bool(place.under)))
        if isinstance(statement, (ast.For, ast.AsyncFor)):
            tables += _loop_table(statement, {**module.constants, **locals_})
        if call is None:
            continue
        if _is_skip_call(call) and not place.void:
            skips.append(Note(statement.lineno, one_line(text_of(call)), function.name, bool(place.under)))
        elif callee(call) == "xfail":
            xfails.append(Note(statement.lineno, one_line(text_of(call)), function.name, bool(place.under)))
        elif not of_call(call, place, names):
            arguments = tuple(text_of(each) for each in (*call.args, *(word.value for word in call.keywords)))
            calls.append(Call(statement.lineno, callee(call), arguments, place.void))
    return Content(
        tuple(assertions), tuple(tables), tuple(calls), tuple(skips), tuple(xfails), _is_trivial(node.body),
        given_by(node, module.reached(), is_test=function.name.rpartition(".")[2].startswith("test")),
        tuple(patched_by(node, "\n".join(module.lines[_first(node) - 1 : node.end_lineno]), module.reached())),
    )  # fmt: skip


def _marks(decorators: Sequence[ast.expr], owner: str) -> Iterator[Note]:
    """Give the marks among decorators that skip a test, or expect it to fail."""
    for mark in decorators:
        if callee(mark) not in _MARKS:
            continue
        conditional = callee(mark) in _CONDITIONAL
        if conditional and isinstance(mark, ast.Call) and mark.args and isinstance(mark.args[0], ast.Constant):
            conditional = bool(mark.args[0].value) == (callee(mark) in ("skipUnless", "skip_unless"))
        yield Note(mark.lineno, one_line("@" + text_of(mark)), owner, conditional)


def _is_driven(function: _Function, marks: Sequence[Note]) -> bool:
    """Tell whether something is said about who runs a coroutine: without, pytest skips it."""
    said = [callee(each).lower() for each in function.node.decorator_list]
    return bool(marks) or any(word in each for each in said for word in ("async", "anyio", "trio", "gen_test"))


def _is_xfail(note: Note) -> bool:
    return _XFAIL.match(note.text) is not None


def _statement_call(statement: ast.stmt) -> ast.Call | None:
    value = statement.value if isinstance(statement, (ast.Expr, ast.Return)) else None
    if isinstance(value, (ast.Await, ast.YieldFrom)):
        value = value.value
    return value if isinstance(value, ast.Call) else None


def _assertions(statement: ast.stmt, place: Place, names: Names) -> Iterator[Assertion]:
    if isinstance(statement, ast.Assert):
        yield from of_assert(statement, place, names)
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        body = None
        for item in statement.items:
            if isinstance(item.context_expr, ast.Call) and is_raises(item.context_expr):
                body = body if body is not None else "; ".join(text_of(each) for each in statement.body[:20])
                yield of_raises(item.context_expr, body, place, names)
    elif isinstance(statement, ast.Raise) and statement.exc is not None and callee(statement.exc) == "AssertionError":
        condition = " and ".join(place.under) or "this line"
        yield Assertion(
            place.line, one_line(text_of(statement)), condition, "fails if reached", rank=5, void=place.void
        )
    else:
        call = _statement_call(statement)
        if call is not None:
            yield from of_call(call, place, names)


def _statements(
    body: Sequence[ast.stmt], under: tuple[str, ...], void: str, is_module: bool = False
) -> Iterator[tuple[ast.stmt, Place]]:
    """Walk the statements of a function in order, with the conditions they stand under."""
    for statement in body:
        yield statement, Place(statement.lineno, under, void)
        if isinstance(statement, ast.If):
            test = one_line(text_of(statement.test), 80)
            yield from _statements(
                statement.body, (*under, test), void or ("never reached" * _is_false(statement.test)), is_module
            )
            yield from _statements(statement.orelse, (*under, f"not ({test})"), void, is_module)
        elif isinstance(statement, (ast.For, ast.AsyncFor, ast.While)):
            is_dead = isinstance(statement, ast.While) and _is_false(statement.test)
            is_dead = is_dead or (isinstance(statement, ast.For) and text_of(statement.iter) in ("[]", "()", "{}"))
            yield from _statements(statement.body, under, void or ("never reached" * is_dead), is_module)
            yield from _statements(statement.orelse, under, void, is_module)
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            forgiven = any(swallows(item.context_expr) for item in statement.items)
            yield from _statements(
                statement.body, under, void or ("swallowed by `suppress`" if forgiven else ""), is_module
            )
        elif isinstance(statement, (ast.Try, ast.TryStar)):
            forgiving = next((each for each in statement.handlers if _forgives(each)), None)
            caught = "" if forgiving is None else f"swallowed by `{_except(forgiving)}`"
            yield from _statements(statement.body, under, void or caught, is_module)
            for handler in statement.handlers:
                yield from _statements(handler.body, (*under, _except(handler)), void, is_module)
            yield from _statements(statement.orelse, under, void, is_module)
            yield from _statements(statement.finalbody, under, void, is_module)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not is_module:
            yield from _statements(statement.body, under, void, is_module)
        elif isinstance(statement, ast.Match):
            for case in statement.cases:
                yield from _statements(case.body, (*under, one_line(text_of(case.pattern), 80)), void, is_module)
        if _ends(statement):
            void = void or "never reached"
        elif isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return) and not statement.orelse:
            void = void or ("never reached" * is_true(statement.test))
            under = (*under, f"not ({one_line(text_of(statement.test), 80)})")


def _ends(statement: ast.stmt) -> bool:
    """Tell whether nothing after a statement is reached."""
    if isinstance(statement, (ast.Return, ast.Raise)):
        return True
    call = _statement_call(statement)
    return call is not None and callee(call) in ("skip", "skipTest") and not isinstance(call.func, ast.Name)


def _except(handler: ast.ExceptHandler) -> str:
    return "except" if handler.type is None else f"except {one_line(text_of(handler.type), 60)}"


def _forgives(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches failed assertions and lets the test go on."""
    caught = [""] if handler.type is None else [callee(each) for each in _listed(handler.type)]
    if not set(caught) & set(_FORGIVING):
        return False
    for statement in ast.walk(handler):
        if isinstance(statement, (ast.Raise, ast.Assert)):
            return False
        if isinstance(statement, ast.Call) and callee(statement).lower().startswith(("assert", *_FAILS)):
            return False
    return True


def _is_trivial(body: Sequence[ast.stmt]) -> bool:
    """Tell whether a function does nothing: constants, `pass`, a bare `return`."""
    for statement in body:
        if isinstance(statement, ast.Return) and (statement.value is None or isinstance(statement.value, ast.Constant)):
            return True
        if isinstance(statement, (ast.Pass, ast.Import, ast.ImportFrom)):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        return False
    return True


def _tables(function: ast.FunctionDef | ast.AsyncFunctionDef, constants: dict[str, ast.expr]) -> Iterator[Table]:
    """Give the rows of `parametrize`, of parametrised fixtures and of `parameterized.expand`."""
    for mark in function.decorator_list:
        if not isinstance(mark, ast.Call):
            continue
        if callee(mark) == "parametrize" and mark.args:
            names = _argument_names(mark.args[0])
            values = mark.args[1] if len(mark.args) > 1 else _keyword(mark, "argvalues")
        elif callee(mark) in ("fixture", "yield_fixture"):
            name = _keyword(mark, "name")
            called = str(name.value) if isinstance(name, ast.Constant) else function.name
            names, values = (called,), _keyword(mark, "params")
        elif callee(mark) in ("expand", "parameterized", "ddt_data") and mark.args:
            names, values = (), mark.args[0]
        elif callee(mark) == "data" and mark.args:
            names, values = (), ast.List(elts=mark.args, ctx=ast.Load())
        else:
            continue
        if values is not None:
            yield Table(mark.lineno, names, tuple(_rows(values, constants, mark.lineno)))


def _argument_names(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return tuple(name.strip() for name in node.value.split(",") if name.strip())
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(str(each.value) for each in node.elts if isinstance(each, ast.Constant))
    return (text_of(node),)


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def _rows(values: ast.expr, constants: dict[str, ast.expr], line: int) -> Iterator[Row]:
    """Give the rows of an expression: of a literal list one by one, of `range(5)` its numbers, else itself."""
    if isinstance(values, ast.Name) and values.id in constants:
        values = constants[values.id]
    if isinstance(values, ast.Dict):
        for name, value in [*zip(values.keys, values.values, strict=True)][:ROWS_MAX]:
            left = text_of(name) if name is not None else "**"
            yield Row(value.lineno, f"{left}: {text_of(value)}", (left, text_of(value)))
    elif isinstance(values, (ast.List, ast.Tuple, ast.Set)):
        for each in values.elts[:ROWS_MAX]:
            yield _row(each)
    elif isinstance(values, ast.Call) and callee(values) == "range" and len(values.args) == 1:
        stop = values.args[0]
        count = stop.value if isinstance(stop, ast.Constant) and isinstance(stop.value, int) else 0
        for number in range(min(count, ROWS_MAX)):
            yield Row(line, str(number), (str(number),))
    elif isinstance(values, ast.BinOp) and isinstance(values.op, ast.Add):
        yield from _rows(values.left, constants, line)
        yield from _rows(values.right, constants, line)
    else:
        yield from (_row(each) for node in ast.walk(values) if isinstance(node, ast.List) for each in node.elts)


def _row(node: ast.expr) -> Row:
    skipped = xfailed = ""
    line = node.lineno
    parts: Sequence[ast.expr] = [node]
    if isinstance(node, ast.Call) and callee(node) == "param":
        parts = node.args
        marks = _keyword(node, "marks")
        for mark in _listed(marks) if marks is not None else []:
            if callee(mark) in ("skip", "skipif"):
                skipped = text_of(mark)
            elif callee(mark) == "xfail":
                xfailed = text_of(mark)
    elif isinstance(node, (ast.Tuple, ast.List)):
        parts = node.elts
    texts = tuple(text_of(each) for each in parts)
    text = texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
    return Row(line, text, texts, skipped, xfailed)


def _loop_table(statement: ast.For | ast.AsyncFor, constants: dict[str, ast.expr]) -> Iterator[Table]:
    """Give the rows of a loop over literal values, or over a name that stands for some."""
    values: ast.expr = statement.iter
    if isinstance(values, ast.Call) and callee(values) in ("enumerate", "items", "sorted", "list"):
        if isinstance(values.func, ast.Attribute):
            values = values.func.value
        elif values.args:
            values = values.args[0]
    if isinstance(values, ast.Name):
        values = constants.get(values.id, values)
    if isinstance(values, (ast.List, ast.Tuple, ast.Set, ast.Dict)) or callee(values) == "range":
        target = statement.target
        targets = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
        names = tuple(text_of(each) for each in targets)
        yield Table(statement.lineno, names, tuple(_rows(values, constants, statement.lineno)))
