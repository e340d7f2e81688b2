"""Reads Go test files: `func TestX(t *testing.T)`, tables, `t.Skip`, build constraints; testify's assertions, too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from ganger.verifier.weakened import trees
from ganger.verifier.weakened.suite import Assertion, Call, Case, Content, Note, Row, Suite, Table, once, one_line
from ganger.verifier.weakened.trees import EQUAL, PART, TRUTH, even, line_of, raw
from ganger.verifier.weakened.trees_given import given_and_uses

if TYPE_CHECKING:
    from tree_sitter import Node

_TEST = re.compile(r"(?:Test|Fuzz|Example)(?:[^a-z]|$)")
_FAILS = ("Error", "Errorf", "Fatal", "Fatalf", "Fail", "FailNow")
_SKIPS = ("Skip", "Skipf", "SkipNow")
_WRAPPERS = ("parenthesized_expression",)
_TESTIFY = {"Equal": "==", "EqualValues": "==", "Exactly": "==", "NotEqual": "!=", "Same": "==", "Contains": "contains"}


def read(path: str, content: bytes) -> Suite:
    """Read one file; raises ValueError where it cannot be parsed."""
    root = trees.parse("go", content)
    notes = tuple(_constraints(root))
    tables = dict(_literals(root))
    cases = []
    for node in root.named_children:
        if node.type in ("function_declaration", "method_declaration"):
            name = raw(node.child_by_field_name("name"))
            receiver = node.child_by_field_name("receiver")
            is_test = receiver is None and _TEST.match(name) is not None and path.endswith("_test.go")
            is_suite = receiver is not None and name.startswith("Test")
            inside = once(partial(_content, node, name, notes, tables))
            is_setup = name in ("TestMain", "init", "SetupTest", "SetupSuite")
            parameters = tuple(_parameters(node))
            is_collected = is_test or is_suite
            case = Case(path, name, line_of(node), raw(node), is_collected, inside, "", parameters, is_setup, notes)
            cases.append(case)
    given, uses = given_and_uses(root, "go")
    shown, constants = tuple(trees.named(cases)), trees.literals(dict(_of_package(root)))
    return Suite(path, "go", shown, constants, notes=tuple(_main(cases)), given=given, uses=uses)


def _constraints(root: Node) -> Iterator[Note]:
    for node in root.children:
        if node.type == "comment" and raw(node).startswith(("//go:build", "// +build")):
            yield Note(line_of(node), one_line(raw(node)))
        elif node.type != "comment":
            return


def _main(cases: Iterable[Case]) -> Iterator[Note]:
    """Name a `TestMain` that does not run the tests."""
    for case in cases:
        if case.name == "TestMain" and ".Run()" not in case.source:
            yield Note(case.line, "func TestMain does not run the tests")


def _of_package(root: Node) -> Iterator[tuple[str, Node]]:
    """Give the names that stand for composite literals in the whole package."""
    for each in root.named_children:
        if each.type == "var_declaration":
            yield from _literals(each)


def _parameters(node: Node) -> Iterator[str]:
    parameters = node.child_by_field_name("parameters")
    for each in parameters.named_children if parameters is not None else ():
        yield from (raw(name) for name in each.children_by_field_name("name"))


def _literals(node: Node) -> Iterator[tuple[str, Node]]:
    """Give the names that stand for composite literals anywhere in a node."""
    for each in _nodes(node):
        if each.type in ("short_var_declaration", "var_spec", "assignment_statement"):
            left = each.child_by_field_name("left") or each.child_by_field_name("name")
            value = each.child_by_field_name("right") or each.child_by_field_name("value")
            value = value.named_children[0] if value is not None and value.named_child_count == 1 else value
            if value is not None and value.type == "composite_literal":
                yield raw(left), value


def _nodes(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += reversed(each.named_children)


def _content(node: Node, name: str, notes: tuple[Note, ...], tables: dict[str, Node]) -> Content:
    body = node.child_by_field_name("body")
    if body is None:
        return Content()
    own = {**tables, **dict(_literals(body))}
    found = _Found(name)
    found.walk(body, (), "", own)
    statements = [each for each in _nodes(body) if each.type.endswith(("_statement", "_declaration"))]
    return Content(
        tuple(found.assertions), tuple(found.tables), tuple(found.calls), (*notes, *found.skips), (),
        is_trivial=all(each.type == "return_statement" for each in statements),
    )  # fmt: skip


class _Found:
    """What a walk through one function found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.assertions: list[Assertion] = []
        self.tables: list[Table] = []
        self.calls: list[Call] = []
        self.skips: list[Note] = []

    def walk(self, node: Node, under: tuple[str, ...], void: str, tables: dict[str, Node]) -> None:
        for each in node.named_children:
            if each.type == "if_statement":
                self._branch(each, under, void, tables)
                then, test = each.child_by_field_name("consequence"), even(each.child_by_field_name("condition"))
                if then is not None and _returns(then):
                    void = void or ("never reached" if test == "true" else "")
                    under = (*under, f"not ({test})")
                continue
            if each.type == "call_expression":
                self._call(each, under, void)
            elif each.type == "range_clause":
                self._table(each, tables)
            self.walk(each, under, void, tables)
            if each.type == "return_statement" and node.type in ("block", "statement_list"):
                void = void or "never reached"

    def _branch(self, node: Node, under: tuple[str, ...], void: str, tables: dict[str, Node]) -> None:
        condition = node.child_by_field_name("condition")
        then, other = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        test = even(condition)
        never = "never reached" if test == "false" else ""
        if condition is not None and then is not None:
            failing = next((each for each in _nodes(then) if _method(each) in _FAILS), None)
            if failing is not None:
                self.assertions.append(_unless(condition, node, under, void or never))
            initializer = node.child_by_field_name("initializer")
            if initializer is not None:
                self.walk(initializer, under, void, tables)
            self.walk(then, (*under, test), void or never, tables)
        if other is not None:
            self.walk(other, (*under, f"not ({test})"), void, tables)

    def _call(self, node: Node, under: tuple[str, ...], void: str) -> None:
        method = _method(node)
        arguments = _arguments(node)
        function = node.child_by_field_name("function")
        text = trees.text_of(node)
        owner = even(function.child_by_field_name("operand")) if function is not None else ""
        if method in _SKIPS and owner in ("t", "b", "f", "tb") and not void:
            self.skips.append(Note(line_of(node), text, self.name, bool(under)))
        elif method in _FAILS and owner in ("t", "b", "f", "tb"):
            if not under:
                self.assertions.append(
                    Assertion(line_of(node), text, "this line", "fails if reached", rank=PART, void=void)
                )
        elif owner in ("assert", "require", "suite", "s") and len(arguments) > 1:
            self.assertions.append(_testify(node, method, owner, arguments, under, void))
        elif method and node.parent is not None and node.parent.type == "expression_statement":
            self.calls.append(Call(line_of(node), method, tuple(even(each) for each in arguments), void))

    def _table(self, node: Node, tables: dict[str, Node]) -> None:
        right = node.child_by_field_name("right")
        literal = right if right is not None and right.type == "composite_literal" else tables.get(raw(right))
        body = literal.child_by_field_name("body") if literal is not None else None
        if body is not None:
            names = (even(node.child_by_field_name("left")),)
            rows = tuple(_row(each) for each in body.named_children if each.type != "comment")
            self.tables.append(Table(line_of(node), names, rows))


def _returns(block: Node) -> bool:
    """Tell whether a branch ends the test without having failed it."""
    has_failed = any(_method(each) in (*_FAILS, *_SKIPS) for each in _nodes(block))
    last = [each for each in _nodes(block) if each.type.endswith("_statement")][-1:]
    return not has_failed and bool(last) and last[0].type == "return_statement"


def _row(node: Node) -> Row:
    inner = node
    while inner.type in ("literal_element", "keyed_element") and inner.named_child_count:
        inner = inner.named_children[-1]
    texts = tuple(even(each) for each in inner.named_children if each.type != "comment") or (even(inner),)
    return Row(line_of(node), even(node), texts)


def _method(node: Node) -> str:
    """Give the last name of what a call calls; empty for what is no call."""
    if node.type != "call_expression":
        return ""
    function = node.child_by_field_name("function")
    if function is None:
        return ""
    return raw(function.child_by_field_name("field")) or (raw(function) if function.type == "identifier" else "")


def _arguments(node: Node) -> list[Node]:
    arguments = node.child_by_field_name("arguments")
    return [each for each in arguments.named_children if each.type != "comment"] if arguments is not None else []


def _unless(condition: Node, node: Node, under: tuple[str, ...], void: str) -> Assertion:
    """Read `if got != want { t.Error(...) }` as the assertion that got is want."""
    text = f"if {one_line(raw(condition))} fails"
    found = trees.comparison(condition, line_of(node), text, under, void, is_negated=True, wrappers=_WRAPPERS)
    if found is not None:
        initializer = even(node.child_by_field_name("initializer"))
        if initializer:
            found = Assertion(
                found.line, text, found.subject, found.relation, found.expected, found.rank, None, "", under,
                found.void, f"{initializer} {found.full}",
            )  # fmt: skip
        return found
    return Assertion(line_of(node), text, even(condition), "is false", rank=PART, under=under, void=void)


def _testify(
    node: Node, method: str, owner: str, arguments: list[Node], under: tuple[str, ...], void: str
) -> Assertion:
    rest = arguments[1:] if owner in ("assert", "require") else arguments
    bare = method.removesuffix("f")
    relation = _TESTIFY.get(bare, bare)
    rank = {"==": EQUAL, "!=": 2, "contains": PART, "True": TRUTH, "NotNil": 2, "NotEmpty": 2}.get(relation, PART)
    if len(rest) > 1 and relation in ("==", "!="):
        expected, subject = even(rest[0]), even(rest[1])
    else:
        subject, expected = even(rest[0]), even(rest[1]) if len(rest) > 1 else ""
    if not void and (trees.is_same(subject, relation, expected, False) or (bare == "True" and subject == "true")):
        void = "always true"
    text, full = trees.text_of(node), f"{subject} {expected}"
    return Assertion(line_of(node), text, subject, relation, expected, rank, None, "", under, void, full)
