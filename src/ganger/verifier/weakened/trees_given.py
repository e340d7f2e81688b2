"""What test code of other languages than Python gives to its assertions, by its syntax tree; see `python_given`.

What a file calls counts as the product, but not what its language brings along, test tools, and functions of its own
that reach nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from msgspec import Struct

from ganger.verifier.weakened.suite import UNKNOWN, Given, Side, Uses, once, one_line
from ganger.verifier.weakened.trees import even, is_literal, line_of, raw, unwrapped

if TYPE_CHECKING:
    from tree_sitter import Node

_CALLS = frozenset({"call_expression", "new_expression"})
_NAMES = frozenset({"identifier", "property_identifier", "field_identifier", "shorthand_property_identifier"})
_FUNCTIONS = frozenset(
    {
        *("function_declaration", "method_declaration", "function_item", "method_definition"),
        *("arrow_function", "function_expression", "func_literal", "closure_expression"),
    }
)
_TARGETS = {
    "variable_declarator": ("name", "value"),
    "assignment_expression": ("left", "right"),
    "short_var_declaration": ("left", "right"),
    "assignment_statement": ("left", "right"),
    "var_spec": ("name", "value"),
    "const_spec": ("name", "value"),
    "let_declaration": ("pattern", "value"),
    "const_item": ("name", "value"),
    "static_item": ("name", "value"),
}
"""Nodes that give a name a value, and where the two are."""
_ASSERTS = re.compile(
    r"(?i)^(?:assert|expect|strict|require|t|is|check|same|verify)\b|(?:^|\.)(?:\w*equal\w*|is|same)$"
)
_TEST_SOURCE = re.compile(
    r"(?i)(?:^|[/._-])(?:tests?|specs?|helpers?|fixtures?|support|utils?|common|__tests__)(?:$|[/._-])"
)
_TEXTS = ("interpreted_string_literal", "raw_string_literal")
_EMPTY = frozenset({"true", "false", "null", "nil", "undefined", '""', "''", "``", "None"})
_JAVASCRIPT = """
Array Boolean Date Error JSON Map Math Number Object Promise RegExp Set String Symbol URL BigInt Buffer Uint8Array
console parseInt parseFloat setTimeout structuredClone process assert expect test it describe jest vi mock t fs path
readFileSync join resolve
"""
_GO = """
append byte cap complex copy error float32 float64 int int8 int16 int32 int64 len make max min new panic rune string
uint uint8 uint16 uint32 uint64 fmt strings strconv time os bytes errors math reflect sort slices maps io json filepath
regexp sync testing url http context unicode bufio log t b f require assert
"""
_RUST = """
Ok Err Some None String Vec Box Rc Arc HashMap HashSet BTreeMap BTreeSet Path PathBuf Duration std core alloc Default
From Into
"""
_OURS = {"javascript": frozenset(_JAVASCRIPT.split()), "go": frozenset(_GO.split()), "rust": frozenset(_RUST.split())}
"""What languages bring along, and test tools."""


class Tree(Struct, frozen=True):
    """One file, and where to ask for what it gives and uses."""

    root: Node
    language: str
    local: frozenset[str]
    """The functions of its own that count as test code."""


def given_and_uses(
    root: Node, language: str, *, has_product: bool = False, imported: Iterable[tuple[str, str]] = ()
) -> tuple[Callable[[], tuple[Given, ...]], Callable[[], Uses]]:
    """Prepare both for a file; `has_product`: it holds the product as well, so that its functions are no test code.

    `imported` are names with where they come from.
    """
    ours = {name for name, source in imported if source.startswith("node:") or _TEST_SOURCE.search(source)}
    tree = once(lambda: Tree(root, language, _local(root, language, has_product) | ours))
    return once(lambda: tuple(_given(tree()))), once(lambda: _uses(tree()))


def _nodes(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting += reversed(each.named_children)


def _local(root: Node, language: str, has_product: bool) -> frozenset[str]:
    """Name the functions of a file that reach nothing but the language itself and each other."""
    found = {} if has_product else dict(_declared(root))
    bodies = {name: [_called(each) for each in _nodes(node) if each.type in _CALLS] for name, node in found.items()}
    local = set(found)
    for _ in range(4):
        more = {
            name
            for name in local
            if any(first not in local and first not in _OURS[language] and first for first in bodies[name])
        }
        local -= more
    return frozenset(local)


def _declared(root: Node) -> Iterator[tuple[str, Node]]:
    for node in _nodes(root):
        if node.type in ("function_declaration", "function_item"):
            yield raw(node.child_by_field_name("name")), node
        elif node.type == "variable_declarator":
            value = node.child_by_field_name("value")
            if value is not None and value.type in _FUNCTIONS:
                yield raw(node.child_by_field_name("name")), value


def _called(call: Node) -> str:
    """Give the first name of what is called: `a` of `a.b(c).d(e)`; empty where it begins with a value."""
    node: Node | None = call
    while node is not None and node.type not in _NAMES:
        following = node.child_by_field_name("function") or node.child_by_field_name("constructor")
        following = following or node.child_by_field_name("object") or node.child_by_field_name("operand")
        following = following or node.child_by_field_name("value") or node.child_by_field_name("path")
        if following is None and node.type in ("type_identifier", "self", "this", "super", "crate"):
            return raw(node)
        node = following
    return raw(node)


def _given(tree: Tree) -> Iterator[Given]:
    found: dict[tuple[str, str], list[Node]] = {}
    for owner, name, value in _bindings(tree.root, ""):
        plain = unwrapped(value, ("expression_list", "parenthesized_expression"))
        local = found.get((name, raw(plain))) if not owner and plain.type == "identifier" else None
        found.setdefault((owner, name), []).extend(local or [value])
    for (owner, name), values in found.items():
        said: list[str] = []
        kept: list[str] = []
        asked: list[str] = []
        for value in values:
            _look(value, tree, said, kept, asked)
        if said or asked:
            text = one_line(", ".join(map(even, values[:3])))
            yield Given(line_of(values[-1]), name, text, tuple(said), (*said, *kept), tuple(asked), owner)


def _bindings(node: Node, owner: str) -> Iterator[tuple[str, str, Node]]:
    """Give each name with its value and the function that it stands in; a function's results by its name."""
    for each in node.named_children:
        inner = owner
        if each.type in _TARGETS:
            left, right = (each.child_by_field_name(name) for name in _TARGETS[each.type])
            if left is not None and right is not None and right.type not in _FUNCTIONS:
                yield from ((owner, name.strip().rpartition(".")[2][:80], right) for name in raw(left).split(","))
            elif left is not None:
                inner = raw(left)
        elif each.type in _CALLS:
            inner = _of_test(each) or owner
        if each.type in _FUNCTIONS and each.child_by_field_name("name") is not None:
            inner = raw(each.child_by_field_name("name"))
        yield from _bindings(each, inner)
        if each.type in _FUNCTIONS:
            yield from (("", inner, value) for value in _results(each))


def _of_test(call: Node) -> str:
    """Give the name of the test that a call declares: its first argument, if that is a text."""
    arguments = call.child_by_field_name("arguments")
    nodes = arguments.named_children if arguments is not None else []
    return raw(nodes[0])[:80] if len(nodes) > 1 and nodes[0].type in ("string", "template_string") else ""


def _results(function: Node) -> Iterator[Node]:
    body = function.child_by_field_name("body")
    if body is None:
        return
    if not body.type.endswith("block"):
        yield body
        return
    waiting = list(body.named_children)
    last = waiting[-1] if waiting else None
    if function.type == "function_item" and last is not None and not last.type.endswith(("_statement", "_declaration")):
        yield last
    while waiting:
        each = waiting.pop()
        if each.type in ("return_statement", "return_expression"):
            yield from each.named_children
        elif each.type not in _FUNCTIONS:
            waiting += each.named_children


def _look(value: Node, tree: Tree, said: list[str], kept: list[str], asked: list[str]) -> None:
    waiting = [(value, 0)]
    while waiting:
        node, depth = waiting.pop()
        if is_literal(node) or node.type in _TEXTS:
            if raw(node) not in _EMPTY:
                (kept if depth else said).append(raw(node))
        elif node.type in _FUNCTIONS:
            continue
        elif _asks(node, tree):
            if depth == 0:
                asked.append(even(node))
                waiting += [(each, 1) for each in node.named_children]
        else:
            waiting += [(each, depth) for each in node.named_children]


def _asks(node: Node, tree: Tree) -> bool:
    if node.type not in _CALLS:
        return False
    name = _called(node)
    return bool(name) and name not in tree.local and name not in _OURS[tree.language]


# ── what is compared with what ──


def _uses(tree: Tree) -> Uses:
    compared: list[tuple[Side, Side]] = []
    mentioned: set[str] = set()
    for node in _nodes(tree.root):
        if node.type in _NAMES and not _is_declared(node):
            mentioned.add(raw(node))
        sides = [*_sides(node, tree)]
        compared += combinations(sides[:4], 2) if len(sides) > 1 else [(side, UNKNOWN) for side in sides]
    return Uses(tuple(compared), frozenset(mentioned))


def _is_declared(name: Node) -> bool:
    """Tell whether a name stands where it is given a value, or shown to other files."""
    parent = name.parent
    if parent is None:
        return False
    if parent.type in ("export_specifier", "expression_list"):
        return parent.type == "export_specifier" or _is_declared(parent)
    field = _TARGETS[parent.type][0] if parent.type in _TARGETS else "name"
    declared = parent.child_by_field_name(field)
    return declared is not None and declared.id == name.id


def _sides(node: Node, tree: Tree) -> Iterator[Side]:
    if node.type == "binary_expression":
        yield from (_side(each, tree) for each in node.named_children)
    elif node.type in ("for_in_statement", "range_clause", "for_expression"):
        values = node.child_by_field_name("right") or node.child_by_field_name("value")
        if values is not None:
            yield _side(values, tree)
    elif node.type == "macro_invocation" and raw(node).startswith("assert"):
        yield from _of_tokens(node)
    elif node.type in _CALLS:
        yield from (_side(each, tree) for each in _asserted(node))


def _asserted(call: Node) -> Iterator[Node]:
    """Give the arguments of an assertion: of `expect(a).toBe(b)` both."""
    function, arguments = call.child_by_field_name("function"), call.child_by_field_name("arguments")
    if function is None or arguments is None or not _ASSERTS.search(even(function).partition("(")[0]):
        return
    inner: Node | None = function
    while inner is not None:
        if inner.type in _CALLS:
            given = inner.child_by_field_name("arguments")
            yield from given.named_children if given is not None else ()
            break
        inner = inner.child_by_field_name("object")
    yield from arguments.named_children


def _side(node: Node, tree: Tree) -> Side:
    return Side(frozenset(_operands(node)), any(_asks(each, tree) for each in _nodes(node)))


def _operands(node: Node) -> Iterator[str]:
    if node.type in _CALLS:
        function = node.child_by_field_name("function")
        yield re.split(r"\.|::", raw(function))[-1]
        return
    if node.type in _NAMES:
        yield raw(node)
    for each in node.named_children:
        yield from _operands(each)


def _of_tokens(macro: Node) -> Iterator[Side]:
    """Read the arguments of a Rust macro, which are words only: one side for each, as far as commas tell."""
    tokens = next((each for each in macro.named_children if each.type == "token_tree"), None)
    names: list[str] = []
    calls = False
    for each in tokens.children if tokens is not None else ():
        if each.type == ",":
            yield Side(frozenset(names), calls)
            names, calls = [], False
        elif each.type == "identifier":
            names.append(raw(each))
        elif each.type == "token_tree":
            calls = calls or (bool(names) and names[-1] not in _OURS["rust"])
    if names:
        yield Side(frozenset(names), calls)
