"""Reads Rust files: functions with `#[test]` and its kin, `#[ignore]`, `#[should_panic]`, the `assert` macros."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ganger.verifier.weakened import trees
from ganger.verifier.weakened.suite import Assertion, Call, Case, Content, Note, Row, Suite, Table, once, one_line
from ganger.verifier.weakened.trees import EQUAL, PART, TRUTH, UNLIKE, even, line_of, raw
from ganger.verifier.weakened.trees_given import given_and_uses

if TYPE_CHECKING:
    from tree_sitter import Node

_TEST = re.compile(r"(?:\w+::)*(?:test|rstest|test_case|quickcheck|wasm_bindgen_test)\b")
_OPERATORS = ("==", "!=", "<=", ">=", "<", ">")
_RANKS = {"==": EQUAL, "!=": UNLIKE}


def read(path: str, content: bytes) -> Suite:
    """Read one file; raises ValueError where it cannot be parsed."""
    root = trees.parse("rust", content)
    given, uses = given_and_uses(root, "rust", has_product="tests/" not in path)
    return Suite(path, "rust", tuple(trees.named(_cases(path, root, "", ()))), given=given, uses=uses)


def _cases(path: str, node: Node, prefix: str, skips: tuple[Note, ...]) -> Iterator[Case]:
    attributes: list[Node] = []
    own = list(skips)
    for each in node.named_children:
        if each.type == "inner_attribute_item" and "cfg(" in raw(each):
            own.append(Note(line_of(each), one_line(raw(each)), prefix.removesuffix("::"), True))
        elif each.type == "attribute_item":
            attributes.append(each)
            continue
        elif each.type == "mod_item":
            body, name = each.child_by_field_name("body"), raw(each.child_by_field_name("name"))
            if body is not None:
                yield from _cases(path, body, f"{prefix}{name}::", (*own, *_disabled(attributes, f"{prefix}{name}")))
        elif each.type in ("impl_item", "trait_item"):
            body = each.child_by_field_name("body")
            if body is not None:
                yield from _cases(path, body, prefix, tuple(own))
        elif each.type == "function_item":
            yield _case(path, each, prefix, attributes, tuple(own))
        if "comment" not in each.type:
            attributes = []


def _case(path: str, node: Node, prefix: str, attributes: Sequence[Node], skips: tuple[Note, ...]) -> Case:
    name = prefix + raw(node.child_by_field_name("name"))
    source = "\n".join([*(raw(each) for each in attributes), raw(node)])
    parameters = node.child_by_field_name("parameters")
    names = [raw(each.child_by_field_name("pattern")) for each in parameters.named_children] if parameters else []
    return Case(
        path, name, line_of(node), source, any(_TEST.match(_attribute(each)) for each in attributes),
        once(partial(_content, node, name, tuple(attributes), skips)), parameters=tuple(filter(None, names)),
        outer=skips,
    )  # fmt: skip


def _attribute(node: Node) -> str:
    return raw(node).removeprefix("#[").removesuffix("]").strip()


def _disabled(attributes: Sequence[Node], owner: str) -> Iterator[Note]:
    """Give the attributes that keep a test or a module from being compiled or run."""
    for each in attributes:
        text = _attribute(each)
        if text.startswith("ignore") or (text.startswith("cfg(") and text.replace(" ", "") != "cfg(test)"):
            conditional = text.startswith("cfg(") and "any()" not in text
            yield Note(line_of(each), one_line(raw(each)), owner, conditional)


def _content(node: Node, name: str, attributes: tuple[Node, ...], skips: tuple[Note, ...]) -> Content:
    body = node.child_by_field_name("body")
    panics = [each for each in attributes if _attribute(each).startswith("should_panic")]
    xfails = tuple(Note(line_of(each), one_line(raw(each)), name) for each in panics)
    found = _Found()
    if body is not None:
        _walk(body, (), "", found)
    rows = [each for each in attributes if re.match(r"(?:\w+::)*(?:case|test_case)\b", _attribute(each))]
    tables = (Table(line_of(rows[0]), (), tuple(Row(line_of(each), even(each)) for each in rows)),) if rows else ()
    return Content(
        tuple(found.assertions), (*tables, *found.tables), tuple(found.calls),
        (*skips, *_disabled(attributes, name)), xfails,
        is_trivial=body is not None and all("comment" in each.type for each in body.named_children),
    )  # fmt: skip


class _Found:
    """What a walk through one function found."""

    def __init__(self) -> None:
        self.assertions: list[Assertion] = []
        self.tables: list[Table] = []
        self.calls: list[Call] = []


def _loop(node: Node) -> Iterator[Table]:
    """Give the rows of a loop over an array."""
    values = node.child_by_field_name("value")
    while values is not None and values.type in ("reference_expression", "call_expression", "field_expression"):
        values = values.named_children[0] if values.named_child_count else None
    if values is not None and values.type == "array_expression":
        rows = (trees.row(each, ("tuple_expression",)) for each in values.named_children if "comment" not in each.type)
        yield Table(line_of(node), (even(node.child_by_field_name("pattern")),), tuple(rows))


def _walk(node: Node, under: tuple[str, ...], void: str, found: _Found) -> None:
    for each in node.named_children:
        if each.type == "macro_invocation":
            found.assertions += _of_macro(each, under, void)
        elif each.type == "if_expression":
            test = even(each.child_by_field_name("condition"))
            then, other = each.child_by_field_name("consequence"), each.child_by_field_name("alternative")
            if then is not None:
                _walk(then, (*under, test), void or ("never reached" if test == "false" else ""), found)
            if other is not None:
                _walk(other, (*under, f"not ({test})"), void, found)
            continue
        elif each.type == "for_expression":
            found.tables += _loop(each)
        elif each.type == "call_expression":
            function, given = each.child_by_field_name("function"), each.child_by_field_name("arguments")
            arguments = tuple(even(argument) for argument in given.named_children) if given is not None else ()
            if function is not None and function.type == "identifier":
                found.calls.append(Call(line_of(each), raw(function), arguments, void))
        _walk(each, under, void, found)
        if _is_return(each) and node.type == "block":
            void = void or "never reached"
        test = _leaving(each)
        if test:
            void = void or ("never reached" if test == "true" else "")
            under = (*under, f"not ({test})")


def _leaving(node: Node) -> str:
    """Give the condition of a statement that may end the test; empty for any other statement."""
    branch = node.named_children[0] if node.type == "expression_statement" and node.named_child_count else None
    then = branch.child_by_field_name("consequence") if branch is not None else None
    if branch is None or then is None or not any(map(_is_return, then.named_children)):
        return ""
    return even(branch.child_by_field_name("condition"))


def _is_return(node: Node) -> bool:
    return node.type == "expression_statement" and any(each.type == "return_expression" for each in node.named_children)


def _of_macro(node: Node, under: tuple[str, ...], void: str) -> Iterator[Assertion]:
    name = raw(node.child_by_field_name("macro")).rpartition("::")[2].removeprefix("debug_")
    tokens = next((each for each in node.named_children if each.type == "token_tree"), None)
    arguments = _split(tokens) if tokens is not None else []
    if name in ("panic", "unreachable"):
        condition = " and ".join(under) or "this line"
        yield Assertion(line_of(node), trees.text_of(node), condition, "fails if reached", rank=PART, void=void)
    if not name.startswith(("assert", "prop_assert")) or not arguments:
        return
    subject, relation, expected, rank = arguments[0], name, "", PART
    if name.endswith(("assert_eq", "assert_ne")) and len(arguments) > 1:
        relation, expected = ("==" if name.endswith("eq") else "!="), arguments[1]
        rank = _RANKS[relation]
        if _is_value(subject) and not _is_value(expected):
            subject, expected = expected, subject
    elif name in ("assert", "prop_assert"):
        subject, relation, expected, rank = _compared(arguments[0])
    elif len(arguments) > 1:
        expected = arguments[1]
    if not void and (subject == "true" or trees.is_same(subject, relation, expected, _is_value(subject))):
        void = "always true"
    text, full = trees.text_of(node), f"{subject} {expected}"
    yield Assertion(line_of(node), text, subject, relation, expected, rank, None, "", under, void, full)


def _compared(text: str) -> tuple[str, str, str, int]:
    """Split `a == b` at its operator, outside of brackets and strings; bare truth where there is none."""
    depth = 0
    words = text.split(" ")
    for nth, word in enumerate(words):
        if word in _OPERATORS and depth == 0:
            left, right = " ".join(words[:nth]), " ".join(words[nth + 1 :])
            return left, word, right, _RANKS.get(word, 4)
        depth += sum(map(word.count, "([{")) - sum(map(word.count, ")]}"))
    if text.startswith("! "):
        return text[2:], "is false", "", TRUTH
    return text, "is true", "", TRUTH


def _is_value(text: str) -> bool:
    return re.fullmatch(r"-? ?[\d_.]+\w*|\"[^\"]*\"|true|false|None", text) is not None


def _split(tokens: Node) -> list[str]:
    """Split the arguments of a macro at its commas."""
    found: list[list[str]] = [[]]
    for each in tokens.children[1:-1]:
        if each.type == "," or raw(each) == ",":
            found.append([])
        elif "comment" not in each.type:
            found[-1].append(even(each))
    return [re.sub(r" ?([.()\[\]]) ?", r"\1", " ".join(words)) for words in found if words]
