"""Reads JavaScript and TypeScript tests: those of node:test, jest, vitest and mocha; expect, chai and node:assert."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from ganger.verifier.weakened import trees
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
from ganger.verifier.weakened.trees import BOUND, CLOSE, EQUAL, FALSE, PART, TRUTH, UNLIKE, even, line_of, raw
from ganger.verifier.weakened.trees_given import given_and_uses

if TYPE_CHECKING:
    from tree_sitter import Node

_TESTS = ("it", "test", "specify", "xit", "xtest", "xspecify", "fit", "ftest")
_SUITES = ("describe", "suite", "context", "xdescribe", "xcontext", "fdescribe", "fcontext")
_SKIPS = ("skip", "todo")
_FAILS = ("failing", "fails")
_FUNCTIONS = ("arrow_function", "function_expression", "function", "generator_function")
_WRAPPERS = ("parenthesized_expression", "await_expression", "non_null_expression", "as_expression")
_MATCHERS: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(("tobe", "toequal", "equal", "equals", "eql", "eq", "is", "deepequal", "same"), ("==", EQUAL)),
    **dict.fromkeys(("tostrictequal", "strictequal", "deepstrictequal", "deepequals"), ("===", EQUAL + 1)),
    **dict.fromkeys(("tomatchsnapshot", "tomatchinlinesnapshot", "snapshot"), ("snapshot", EQUAL - 1)),
    **dict.fromkeys(("tothrow", "tothrowerror", "throws", "throw", "rejects", "throwsasync"), ("raises", EQUAL)),
    **dict.fromkeys(("tobegreaterthan", "above", "greaterthan", "gt"), (">", BOUND)),
    **dict.fromkeys(("tobegreaterthanorequal", "atleast", "least", "gte"), (">=", BOUND)),
    **dict.fromkeys(("tobelessthan", "below", "lessthan", "lt"), ("<", BOUND)),
    **dict.fromkeys(("tobelessthanorequal", "atmost", "most", "lte"), ("<=", BOUND)),
    **dict.fromkeys(("tobetruthy", "ok", "assert", "truthy", "exist", "exists"), ("is truthy", TRUTH)),
    **dict.fromkeys(("tobefalsy", "notok", "falsy", "isnotok"), ("is falsy", FALSE)),
    **dict.fromkeys(("tobedefined", "isdefined", "notnull"), ("is defined", UNLIKE)),
    **dict.fromkeys(("notequal", "notstrictequal", "notdeepequal", "notdeepstrictequal", "not"), ("!=", UNLIKE)),
    **dict.fromkeys(("doesnotthrow", "doesnotreject", "notthrow"), ("does not throw", UNLIKE)),
    "tohavebeencalledwith": ("called with", CLOSE),
    "tohavebeencalledtimes": ("called times", CLOSE - 1),
    "tohavebeencalled": ("called", TRUTH),
}
_VALUES = {
    "tobenull": "null",
    "tobeundefined": "undefined",
    "tobenan": "NaN",
    "isnull": "null",
    "isundefined": "undefined",
}
_VALUES |= {
    "true": "true",
    "false": "false",
    "null": "null",
    "undefined": "undefined",
    "istrue": "true",
    "isfalse": "false",
}
_NESTED = re.compile(r"\b(?:test|it|describe)\s*[.(]")
_CLOSE = ("tobecloseto", "closeto", "approximately")


class _Scope(Struct, frozen=True):
    """What the suites around a test say of it."""

    prefix: str = ""
    skips: tuple[Note, ...] = ()
    tables: tuple[Table, ...] = ()


class _Declared(Struct, frozen=True):
    """A call that declares a test or a suite."""

    node: Node
    word: str
    modifiers: tuple[str, ...]
    name: str
    body: Node | None
    table: Node | None
    condition: Node | None
    options: str


def read(path: str, content: bytes) -> Suite:
    """Read one file; raises ValueError where it cannot be parsed."""
    language = "tsx" if path.endswith((".tsx",)) else "typescript" if path.endswith(("ts",)) else "javascript"
    root = trees.parse(language, content)
    constants = dict(_constants(root))
    notes: list[Note] = []
    cases = list(_cases(path, root, _Scope(), constants, notes))
    imported, defined = _names(root)
    given, uses = given_and_uses(root, "javascript", imported=((each.name, each.text) for each in imported))
    shown = tuple(trees.named(cases))
    return Suite(
        path, "javascript", shown, trees.literals(constants), imported, defined, tuple(notes), given=given, uses=uses
    )


def _constants(root: Node) -> Iterator[tuple[str, Node]]:
    for node in root.named_children:
        node = (node.child_by_field_name("declaration") or node) if node.type == "export_statement" else node
        if node.type in ("lexical_declaration", "variable_declaration"):
            for each in node.named_children:
                value = each.child_by_field_name("value")
                if value is not None:
                    yield raw(each.child_by_field_name("name")), value


def _cases(path: str, node: Node, scope: _Scope, constants: dict[str, Node], notes: list[Note]) -> Iterator[Case]:
    """Walk the declarations of a file or of a suite, through loops and blocks."""
    for each in node.named_children:
        declared = _declared(each) if each.type == "call_expression" else None
        if declared is not None:
            yield from _of_declared(path, declared, scope, constants, notes)
        elif each.type == "function_declaration":
            yield _helper(path, each, raw(each.child_by_field_name("name")))
        elif each.type == "variable_declarator" and _value_type(each) in _FUNCTIONS:
            value = each.child_by_field_name("value")
            if value is not None:
                yield _helper(path, value, raw(each.child_by_field_name("name")))
        elif each.type in ("class_declaration", "import_statement"):
            continue
        elif each.type == "if_statement":
            own = Note(line_of(each), one_line(f"if {even(each.child_by_field_name('condition'))}"), scope.prefix, True)
            inner = _Scope(scope.prefix, (*scope.skips, own), scope.tables)
            yield from _cases(path, each, inner, constants, notes)
        else:
            table = _loop(each, constants)
            inner = _Scope(scope.prefix, scope.skips, (*scope.tables, *table)) if table else scope
            yield from _cases(path, each, inner, constants, notes)


def _names(root: Node) -> tuple[tuple[Constant, ...], tuple[Constant, ...]]:
    """Give the names that a file imports, and those that it defines."""
    imported, defined = [], []
    for node in root.named_children:
        if node.type == "import_statement":
            source = raw(node.child_by_field_name("source")).strip("'\"")
            clause = next((each for each in node.named_children if each.type == "import_clause"), None)
            for name in re.findall(r"[\w$]+(?=\s*(?:,|\}|$))", raw(clause)):
                imported.append(Constant(line_of(node), name, source))
        elif node.type in ("function_declaration", "class_declaration"):
            defined.append(Constant(line_of(node), raw(node.child_by_field_name("name")), ""))
    for name, value in _constants(root):
        if "require(" in raw(value)[:40] or raw(value).startswith("await import"):
            imported += [Constant(line_of(value), each, raw(value)[:80]) for each in re.findall(r"[\w$]+", name)]
        else:
            defined.append(Constant(line_of(value), name, ""))
    return tuple(imported), tuple(defined)


def _value_type(node: Node) -> str:
    value = node.child_by_field_name("value")
    return value.type if value is not None else ""


def _of_declared(
    path: str, declared: _Declared, scope: _Scope, constants: dict[str, Node], notes: list[Note]
) -> Iterator[Case]:
    name = scope.prefix + declared.name
    words = (declared.word, *declared.modifiers)
    head = one_line(f"{'.'.join(words)}({declared.name!r})")
    line = line_of(declared.node)
    if "only" in words or declared.word.startswith("f") or re.search(r"\bonly\s*:\s*true", declared.options):
        notes.append(Note(line, f"{head} keeps the other tests of the file from running"))
    skips = list(scope.skips)
    is_skipped = any(each in _SKIPS for each in words) or declared.word.startswith("x")
    if is_skipped or re.search(r"\b(?:skip|todo)\s*:\s*(?!false|undefined|null)", declared.options):
        skips.append(Note(line, head, name))
    elif declared.condition is not None:
        skips.append(Note(line, one_line(f"{'.'.join(words)}({raw(declared.condition)})"), name, conditional=True))
    tables = scope.tables
    if declared.table is not None:
        tables = (*tables, _table(declared.table, constants))
    if declared.word in _SUITES or declared.word.endswith("describe"):
        if declared.body is not None:
            inner = _Scope(f"{name} > ", tuple(skips), tables)
            yield from _cases(path, declared.body, inner, constants, notes)
        return
    xfails = (Note(line, head, name),) if any(each in _FAILS for each in words) else ()
    content = once(partial(_content, declared.body, name, tuple(skips), xfails, tables, constants))
    source = raw(declared.node)
    yield Case(path, name, line, source, True, content, outer=(*skips, *_rows_of(tables)))
    if declared.body is not None and _NESTED.search(source, len(words[0]) + 1):
        yield from _cases(path, declared.body, _Scope(f"{name} > ", tuple(skips), tables), constants, notes)


def _declared(node: Node) -> _Declared | None:
    """Read `it.skip("name", options, body)`, `test.each(rows)("name", body)` and the like; None for other calls."""
    function = node.child_by_field_name("function")
    arguments = node.child_by_field_name("arguments")
    if function is None or arguments is None or arguments.type != "arguments":
        return None
    table = condition = None
    if function.type == "call_expression":
        inner, given = function.child_by_field_name("function"), function.child_by_field_name("arguments")
        if inner is None or given is None:
            return None
        if raw(inner).endswith((".each", ".for")):
            table = given
        else:
            condition = given
        function = inner
    words = raw(function).replace("?.", ".").split(".") if len(raw(function)) < 100 else [""]
    if words[0] in ("t", "ctx", "Deno", "QUnit", "node") and len(words) > 1:
        words = words[1:]
    if words[0] not in (*_TESTS, *_SUITES) or not all(word.isidentifier() for word in words):
        return None
    given_nodes = [each for each in arguments.named_children if each.type != "comment"]
    if not given_nodes:
        return None
    body = next((each for each in reversed(given_nodes) if each.type in _FUNCTIONS), None)
    options = next((raw(each) for each in given_nodes if each.type == "object"), "")
    name = one_line(raw(given_nodes[0]).strip("'\"`")) if given_nodes[0].type not in _FUNCTIONS else ""
    return _Declared(node, words[0], tuple(words[1:]), name, body, table, condition, options)


def _rows_of(tables: tuple[Table, ...]) -> Iterator[Note]:
    """Say with which rows a test is run, where the rows stand outside of it."""
    yield from (Note(row.line, row.text) for table in tables for row in table.rows)


def _helper(path: str, node: Node, name: str) -> Case:
    parameters = node.child_by_field_name("parameters") or node.child_by_field_name("parameter")
    names = [raw(each) for each in parameters.named_children] if parameters is not None else []
    body = node.child_by_field_name("body")
    content = once(partial(_content, body, name, (), (), (), {}))
    return Case(path, name, line_of(node), raw(node), False, content, parameters=tuple(names))


def _loop(node: Node, constants: dict[str, Node]) -> tuple[Table, ...]:
    """Give the rows of `for (const x of rows)` and of `rows.forEach(...)`."""
    values = left = None
    if node.type == "for_in_statement":
        values, left = node.child_by_field_name("right"), node.child_by_field_name("left")
    elif node.type == "call_expression":
        function = node.child_by_field_name("function")
        if function is not None and raw(function.child_by_field_name("property")) in ("forEach", "map"):
            values = function.child_by_field_name("object")
    if values is not None and values.type == "identifier":
        values = constants.get(raw(values))
    if values is None or values.type not in ("array", "object"):
        return ()
    return (Table(line_of(node), (even(left),) if left is not None else (), tuple(_rows(values))),)


def _table(node: Node, constants: dict[str, Node]) -> Table:
    """Give the rows of `each([...])` or of a table in a template string."""
    if node.type == "template_string":
        lines = [line for line in raw(node).strip("`").splitlines() if line.strip()]
        texts = [" ".join(line.split()) for line in lines]
        rows = [Row(line_of(node), text, tuple(part.strip() for part in text.split("|"))) for text in texts[1:]]
        return Table(line_of(node), tuple(part.strip() for part in texts[0].split("|")) if texts else (), tuple(rows))
    values: Node | None = node.named_children[0] if node.named_child_count else None
    if values is not None and values.type == "identifier":
        values = constants.get(raw(values))
    return Table(line_of(node), (), tuple(_rows(values)) if values is not None else ())


def _rows(values: Node) -> Iterator[Row]:
    for each in values.named_children:
        if "comment" not in each.type:
            yield trees.row(each, ("array", "object"))


def _content(
    body: Node | None,
    name: str,
    skips: tuple[Note, ...],
    xfails: tuple[Note, ...],
    tables: tuple[Table, ...],
    constants: dict[str, Node],
) -> Content:
    if body is None:
        return Content(skips=skips, xfails=xfails, is_trivial=True)
    found = _Found(name, {**constants, **dict(_locals(body))})
    found.walk(body, (), "")
    block = body.child_by_field_name("body") if body.type in _FUNCTIONS else body
    statements = [each for each in (block.named_children if block is not None else ()) if "comment" not in each.type]
    is_block = block is not None and block.type == "statement_block"
    return Content(
        tuple(found.assertions), (*tables, *found.tables), tuple(found.calls), (*skips, *found.skips), xfails,
        is_trivial=is_block and all(each.type in ("return_statement", "empty_statement") for each in statements),
    )  # fmt: skip


def _locals(body: Node) -> Iterator[tuple[str, Node]]:
    block = body.child_by_field_name("body")
    if block is not None:
        yield from _constants(block)


class _Found:
    """What a walk through one function found."""

    def __init__(self, name: str, values: dict[str, Node]) -> None:
        self.name = name
        self.values = values
        self.assertions: list[Assertion] = []
        self.tables: list[Table] = []
        self.calls: list[Call] = []
        self.skips: list[Note] = []

    def walk(self, node: Node, under: tuple[str, ...], void: str) -> None:
        for each in node.named_children:
            if each.type == "if_statement":
                self._branch(each, under, void)
                test = even(each.child_by_field_name("condition")).strip("()")
                if _returns(each.child_by_field_name("consequence")):
                    void = void or ("never reached" if test in ("true", "1") else "")
                    under = (*under, f"not ({test})")
                continue
            if each.type == "try_statement":
                self._try(each, under, void)
                continue
            if each.type == "call_expression":
                if _declared(each) is not None:
                    continue
                if self._call(each, under, void):
                    continue
            elif each.type == "expression_statement" and each.named_children[0].type == "member_expression":
                found = _of_chain(each.named_children[0], under, void, self.values)
                if found is not None:
                    self.assertions.append(found)
                    continue
            self.tables += _loop(each, self.values)
            self.walk(each, under, void or _forgotten(each))
            if each.type in ("return_statement", "throw_statement") and node.type == "statement_block":
                void = void or "never reached"

    def _branch(self, node: Node, under: tuple[str, ...], void: str) -> None:
        condition = node.child_by_field_name("condition")
        test = even(condition).removeprefix("(").removesuffix(")")
        then, other = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        never = "never reached" if test in ("false", "0", "null") else ""
        if then is not None:
            self.walk(then, (*under, test), void or never)
        if other is not None:
            self.walk(other, (*under, f"not ({test})"), void)

    def _try(self, node: Node, under: tuple[str, ...], void: str) -> None:
        body, handler = node.child_by_field_name("body"), node.child_by_field_name("handler")
        caught = ""
        if handler is not None and not re.search(r"\b(?:throw|expect|assert|fail|done|reject)\b", raw(handler)):
            caught = "swallowed by `catch`"
        if body is not None:
            self.walk(body, under, void or caught)
        if handler is not None:
            self.walk(handler, (*under, "catch"), void)
        final = node.child_by_field_name("finalizer")
        if final is not None:
            self.walk(final, under, void)

    def _call(self, node: Node, under: tuple[str, ...], void: str) -> bool:
        """Take a call for what it is; tell whether nothing inside it is of interest."""
        text = raw(node.child_by_field_name("function"))
        if text in ("t.skip", "this.skip", "ctx.skip", "context.skip", "pending", "t.todo") and not void:
            self.skips.append(Note(line_of(node), trees.text_of(node), self.name, bool(under)))
            return True
        found = _of_chain(node, under, void, self.values)
        if found is not None:
            self.assertions.append(found)
            return True
        if text.isidentifier():
            given = node.child_by_field_name("arguments")
            arguments = tuple(even(each) for each in given.named_children) if given is not None else ()
            self.calls.append(Call(line_of(node), text, arguments, void))
        return False


def _returns(node: Node | None) -> bool:
    """Tell whether a branch ends the test."""
    if node is None or node.type == "return_statement":
        return node is not None
    return bool(node.named_children) and node.named_children[-1].type == "return_statement"


def _forgotten(node: Node) -> str:
    """Say why what fails in an expression fails nothing: nobody waits for it, or its failure is caught."""
    if node.type == "unary_expression" and raw(node).startswith("void"):
        return "not awaited"
    function = node.child_by_field_name("function") if node.type == "call_expression" else None
    if raw(function) in ("setTimeout", "setImmediate", "queueMicrotask", "process.nextTick"):
        return "not awaited"
    if function is not None and raw(function.child_by_field_name("property")) == "catch":
        caught = raw(node.child_by_field_name("arguments"))
        return "" if re.search(r"\b(?:throw|expect|assert|fail|done|reject)\b", caught) else "swallowed by `catch`"
    return ""


def _of_chain(node: Node, under: tuple[str, ...], void: str, values: Mapping[str, Node]) -> Assertion | None:
    """Read `expect(x).not.toBe(1)`, `assert.equal(x, 1)`, `x.should.equal(1)`; None for other calls."""
    names: list[str] = []
    given: list[Node] = []
    current: Node | None = node
    while current is not None:
        if current.type == "call_expression":
            function, arguments = current.child_by_field_name("function"), current.child_by_field_name("arguments")
            nodes = arguments.named_children if arguments is not None else []
            nodes = [each for each in nodes if each.type != "comment"]
            if function is not None and function.type == "identifier":
                return _of_root(node, raw(function), nodes, names, given, under, void, values)
            given = given or nodes
            current = function
        elif current.type == "member_expression":
            names.insert(0, raw(current.child_by_field_name("property")))
            current = current.child_by_field_name("object")
            if names[0] == "should" and current is not None:
                return _made(node, current, names[1:], given, under, void, values)
        elif current.type == "identifier":
            return _of_object(node, raw(current), names, given, under, void, values)
        else:
            return None
    return None


def _of_root(
    node: Node, root: str, nodes: list[Node], names: list[str], given: list[Node],
    under: tuple[str, ...], void: str, values: Mapping[str, Node],
) -> Assertion | None:  # fmt: skip
    if root == "expect" and nodes and names:
        return _made(node, nodes[0], names, given, under, void, values)
    if root == "assert" and nodes:
        return _made(node, nodes[0], ["ok"], [], under, void, values)
    return None


def _of_object(
    node: Node, root: str, names: list[str], given: list[Node],
    under: tuple[str, ...], void: str, values: Mapping[str, Node],
) -> Assertion | None:  # fmt: skip
    if node.type != "call_expression" or not names:
        return None
    if root == "expect" and names[-1] in ("assertions", "hasAssertions", "fail"):
        text = trees.text_of(node)
        expected = even(given[0]) if given else ""
        return Assertion(line_of(node), text, f"expect.{names[-1]}", "==", expected, EQUAL, void=void, full=text)
    is_known = names[-1].lower() in _MATCHERS or names[-1].lower() in _VALUES
    if root in ("assert", "strict") or (root in ("t", "tap", "chai", "qunit") and is_known):
        if names[-1] == "fail" or not given:
            text = trees.text_of(node)
            condition = " and ".join(under) or "this line"
            return Assertion(line_of(node), text, condition, "fails if reached", rank=PART, void=void)
        return _made(node, given[0], [names[-1]], given[1:], under, void, values)
    return None


def _made(
    node: Node, subject: Node, names: list[str], given: list[Node],
    under: tuple[str, ...], void: str, values: Mapping[str, Node],
) -> Assertion:  # fmt: skip
    text, line = trees.text_of(node), line_of(node)
    low = names[-1].lower() if names else "ok"
    is_not = "not" in names[:-1]
    if low in ("ok", "assert", "tobetruthy", "istrue") and not is_not:
        found = trees.comparison(subject, line, text, under, void, is_negated=False, wrappers=_WRAPPERS)
        if found is not None:
            return found
    target = even(trees.unwrapped(subject, _WRAPPERS))
    expected = ", ".join(_value(each, values) for each in given[:2]) if low in ("tothrow",) else ""
    if given and not expected:
        expected = _value(given[0], values)
    width = None
    relation, rank = _MATCHERS.get(low, (names[-1] if names else "ok", PART))
    if low in _VALUES:
        relation, rank, expected = "==", EQUAL, _VALUES[low]
    elif low in _CLOSE:
        relation, rank, width = "is about", CLOSE, _width(low, given)
    if is_not:
        relation, rank = f"not {relation}", UNLIKE
    for each in names[:-1]:
        if each in ("resolves", "rejects"):
            target = f"{each} {target}"
    are_values = trees.is_literal(subject) and (not given or trees.is_literal(given[0]))
    is_true = low in ("ok", "assert", "tobetruthy", "exist", "tobedefined") and trees.is_literal(subject)
    if not void and (is_true or trees.is_same(target, relation.replace("===", "=="), expected, are_values)):
        void = "always true"
    return Assertion(line, text, target, relation, expected, rank, width, "", under, void, f"{target} {expected}")


def _value(node: Node, values: Mapping[str, Node]) -> str:
    """Write an expectation out; a name that stands for a literal by that literal."""
    if node.type == "identifier":
        value = values.get(raw(node))
        if value is not None and (trees.is_literal(value) or value.type in ("array", "object")):
            return even(value)
    return even(node)


def _width(low: str, given: list[Node]) -> float:
    try:
        number = float(raw(given[1])) if len(given) > 1 else 2.0
    except ValueError:
        return 0.0
    return number if low != "tobecloseto" else 10.0 ** -min(max(number, -300), 300) / 2
