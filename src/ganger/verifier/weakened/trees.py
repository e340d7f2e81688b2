"""Syntax trees of languages other than Python, by tree-sitter (the extra `parsers`); without it lines are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from ganger.verifier.weakened.suite import Assertion, Case, Constant, Note, Row, one_line

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

LEAVES_MAX = 20_000
"""Words of one expression or function that are written out."""
EQUAL, CLOSE, PART, BOUND, TRUTH, FALSE, UNLIKE = 10, 8, 5, 4, 3, 6, 2
"""Ranks of relations: how much each says of its subject."""
_GRAMMARS = {
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
}
_WHOLE = ("string", "template_string", "interpreted_string_literal", "raw_string_literal", "string_literal", "regex")
_LITERALS = re.compile(r"(?:string|number|integer|float|int_|rune|char_|boolean|true|false|null|nil|undefined|regex)")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED = {"==": "!=", "!=": "==", "===": "!==", "!==": "===", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_EVEN = {"===": "==", "!==": "!="}
_RANKS = {"==": EQUAL, "!=": UNLIKE, "<": BOUND, "<=": BOUND, ">": BOUND, ">=": BOUND}


@lru_cache(maxsize=8)
def _parser(language: str) -> Parser | None:
    try:
        tree_sitter = import_module("tree_sitter")
        module, function = _GRAMMARS[language]
        grammar = getattr(import_module(module), function)()
    except ImportError:
        return None
    parser: Parser = tree_sitter.Parser(tree_sitter.Language(grammar))
    return parser


def is_available(language: str) -> bool:
    """Tell whether the parser of a language is installed."""
    return _parser(language) is not None


def parse(language: str, content: bytes) -> Node:
    """Parse a file; raises ValueError where its parser is not installed, or finds faults in it."""
    parser = _parser(language)
    tree = parser.parse(content) if parser is not None else None
    if tree is None or tree.root_node.has_error:
        raise ValueError(language)
    return tree.root_node


def line_of(node: Node) -> int:
    """Give the line at which something starts, from 1."""
    return int(node.start_point[0]) + 1


def raw(node: Node | None) -> str:
    """Give the source of a node as it stands; empty for none."""
    return "" if node is None or node.text is None else node.text.decode("utf-8", "replace")


def even(node: Node | None) -> str:
    """Write a node out with one space between its words and without comments; empty for none."""
    if node is None:
        return ""
    found: list[str] = []
    waiting = [node]
    while waiting and len(found) < LEAVES_MAX:
        each = waiting.pop()
        if "comment" in each.type:
            continue
        if not each.child_count or each.type in _WHOLE:
            text = raw(each)
            if each.type not in ("\n", ";") and text:
                found.append(text)
        else:
            waiting += reversed(each.children)
    text = re.sub(r" ?([.()\[\]{}]) ?", r"\1", " ".join(found)).replace(" ,", ",")
    return re.sub(r",(?=[)\]}])", "", text).strip(" ,")


def text_of(node: Node) -> str:
    """Write a node out on one line, as it stands."""
    return one_line(raw(node))


def unwrapped(node: Node, types: Iterable[str]) -> Node:
    """Take away what only wraps an expression: parentheses, `await`."""
    while node.type in types and node.named_child_count:
        node = node.named_children[0]
    return node


def is_literal(node: Node) -> bool:
    """Tell whether an expression is a plain value."""
    return _LITERALS.match(node.type) is not None


def literals(constants: Mapping[str, Node]) -> tuple[Constant, ...]:
    """Give the names of a file that stand for values, not for functions."""
    values = ((name, node) for name, node in constants.items() if "function" not in node.type)
    return tuple(Constant(line_of(node), name, raw(node)) for name, node in values)


def named(cases: Iterable[Case]) -> Iterator[Case]:
    """Number the tests that have one name in one file: all of them run."""
    seen: dict[str, int] = {}
    for case in cases:
        seen[case.name] = nth = seen.get(case.name, 0) + 1
        if nth == 1:
            yield case
        else:
            yield Case(
                case.path, f"{case.name} ({nth})", case.line, case.source, case.is_collected, case.content,
                case.why_not, case.parameters, case.is_setup, case.outer,
            )  # fmt: skip


def row(node: Node, list_types: Iterable[str]) -> Row:
    """Make one row of a table; the elements of a list are its parts."""
    parts = [each for each in node.named_children if "comment" not in each.type] if node.type in list_types else [node]
    texts = tuple(even(each) for each in parts)
    return Row(line_of(node), even(node), texts)


def comparison(
    node: Node, line: int, text: str, under: tuple[str, ...], void: str, *, is_negated: bool, wrappers: Iterable[str]
) -> Assertion | None:
    """Read `a == b` as what is asserted, or its opposite; None where it is no comparison."""
    node = unwrapped(node, wrappers)
    left, operator, right = (node.child_by_field_name(name) for name in ("left", "operator", "right"))
    if left is None or operator is None or right is None or operator.type not in _NEGATED:
        return None
    relation = _NEGATED[operator.type] if is_negated else operator.type
    relation = _EVEN.get(relation, relation)
    if is_literal(left) and not is_literal(right):
        left, right, relation = right, left, _MIRRORED.get(relation, relation)
    subject, expected = even(left), even(right)
    if not void and is_same(subject, relation, expected, is_literal(left) and is_literal(right)):
        void = "always true"
    full = f"{subject} {expected}"
    return Assertion(line, text, subject, relation, expected, _RANKS[relation], None, "", under, void, full)


def is_same(subject: str, relation: str, expected: str, are_literals: bool) -> bool:
    """Tell whether a comparison holds whatever the program does."""
    is_equality = relation in ("==", "<=", ">=")
    if subject == expected:
        return is_equality and "(" not in subject
    return are_literals and relation == "!="


def note(node: Node, owner: str, *, conditional: bool = False) -> Note:
    """Make a note of a node."""
    return Note(line_of(node), one_line(raw(node)), owner, conditional)
