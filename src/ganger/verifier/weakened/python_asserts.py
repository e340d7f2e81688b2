"""What Python tests assert: `assert` statements, unittest's and mock's methods, `raises`, tolerances."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import partial

from msgspec import Struct

from ganger.verifier.weakened.suite import Assertion, one_line, substituted

EQUAL, CLOSE, PART, BOUND, TRUTH, FALSE, UNLIKE = 10, 8, 5, 4, 3, 6, 2
"""Ranks of relations: how much each says of its subject."""
DEFAULT_PLACES, DEFAULT_REL, DEFAULT_RTOL, DEFAULT_DECIMALS = 7, 1e-6, 1e-7, 6

_QUALIFIER = re.compile(r"(?<![\w.'\"])([A-Za-z_]\w*)\.(?=[A-Za-z_])")

_UNICODE = re.compile(r"(?<![\w\"'])u(?=[\"'])")
_OPERATORS: Mapping[type[ast.cmpop], tuple[str, int]] = {
    ast.Eq: ("==", EQUAL),
    ast.NotEq: ("!=", UNLIKE),
    ast.Is: ("is", EQUAL + 1),
    ast.IsNot: ("is not", UNLIKE),
    ast.Lt: ("<", BOUND),
    ast.LtE: ("<=", BOUND),
    ast.Gt: (">", BOUND),
    ast.GtE: (">=", BOUND),
    ast.In: ("contains", PART),
    ast.NotIn: ("lacks", PART),
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
METHODS = {
    "assertequal": ("==", EQUAL),
    "assertequals": ("==", EQUAL),
    "assertlistequal": ("==", EQUAL),
    "assertdictequal": ("==", EQUAL),
    "asserttupleequal": ("==", EQUAL),
    "assertsetequal": ("==", EQUAL),
    "assertsequenceequal": ("==", EQUAL),
    "assertmultilineequal": ("==", EQUAL),
    "assert_equal": ("==", EQUAL),
    "assert_array_equal": ("==", EQUAL),
    "assertcountequal": ("same items", EQUAL - 1),
    "assertnotequal": ("!=", UNLIKE),
    "assertis": ("is", EQUAL + 1),
    "assertisnot": ("is not", UNLIKE),
    "assertless": ("<", BOUND),
    "assertlessequal": ("<=", BOUND),
    "assertgreater": (">", BOUND),
    "assertgreaterequal": (">=", BOUND),
    "assertisinstance": ("isinstance", BOUND),
    "assertregex": ("matches", PART),
    "assertregexpmatches": ("matches", PART),
    "assertnotregex": ("lacks", PART),
}
_CLOSE = {
    "assertalmostequal": ("places", DEFAULT_PLACES, "delta"),
    "assertalmostequals": ("places", DEFAULT_PLACES, "delta"),
    "assert_almost_equal": ("decimal", DEFAULT_DECIMALS, "delta"),
    "assert_array_almost_equal": ("decimal", DEFAULT_DECIMALS, "delta"),
}
_RAISES = {
    "raises": "raises",
    "assertraises": "raises",
    "assertraisesregex": "raises",
    "assertraisesregexp": "raises",
    "warns": "warns",
    "assertwarns": "warns",
    "assertwarnsregex": "warns",
    "assertlogs": "logs",
    "deprecated_call": "warns",
}
_MOCK_RANKS = {
    "assert_called_once_with": 10,
    "assert_awaited_once_with": 10,
    "assert_has_calls": 8,
    "assert_called_with": 8,
    "assert_any_call": 6,
    "assert_called_once": 5,
    "assert_not_called": 5,
    "assert_called": 3,
}


class Place(Struct, frozen=True, gc=False):
    """Where a statement stands: under which conditions, and why what it asserts cannot fail, if so."""

    line: int
    under: tuple[str, ...] = ()
    void: str = ""


class Names(Struct, frozen=True, gc=False):
    """What names stand for: constants by their literal values, locals by what they were assigned."""

    literals: Mapping[str, str]
    assigned: Mapping[str, str]
    modules: frozenset[str] = frozenset()
    """Names of imported modules: `flask.Markup` is the same as a `Markup` that was imported from there."""

    def plain(self, text: str) -> str:
        """Write a text without the modules that its names are taken from."""
        if not self.modules:
            return text
        return _QUALIFIER.sub(lambda match: "" if match[1] in self.modules else match[0], text)


def text_of(node: ast.AST) -> str:
    """Write an expression out, the same way whatever its layout was; `u"x"` is `"x"`."""
    text = ast.unparse(node)
    return _UNICODE.sub("", text) if "u'" in text or 'u"' in text else text


def callee(node: ast.expr) -> str:
    """Give the last name of what is called: `raises` of `pytest.raises(...)`; empty where it has none."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def of_assert(statement: ast.Assert, place: Place, names: Names) -> Iterator[Assertion]:
    """Give what an `assert` statement insists on: one for each part of an `and`."""
    yield from _of_test(statement.test, place, names, False, f"assert {one_line(text_of(statement.test))}")


def _of_test(test: ast.expr, place: Place, names: Names, is_negated: bool, text: str) -> Iterator[Assertion]:
    made = partial(_made, place, names, text)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _of_test(test.operand, place, names, not is_negated, text)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and not is_negated:
        for value in test.values:
            yield from _of_test(value, place, names, False, f"assert {one_line(text_of(value))}")
    elif isinstance(test, ast.BoolOp) and not is_negated:
        is_always = any(isinstance(value, ast.Constant) and value.value for value in test.values)
        first = next(_of_test(test.values[0], place, names, False, text), None)
        subject = first.subject if first is not None else text_of(test)
        yield made(subject, "or", text_of(test), 1, void="always true" if is_always else "")
    elif isinstance(test, ast.Compare) and not is_negated:
        left = test.left
        for operator, right in zip(test.ops, test.comparators, strict=True):
            yield _of_comparison(left, operator, right, made)
            left = right
    elif isinstance(test, ast.Call) and callee(test) == "isinstance" and len(test.args) == 2 and not is_negated:
        yield made(text_of(test.args[0]), "isinstance", text_of(test.args[1]), BOUND)
    elif isinstance(test, ast.Call) and callee(test) in ("all", "any") and test.args and not is_negated:
        yield made(text_of(test.args[0]), callee(test), "", PART if callee(test) == "all" else TRUTH)
    elif isinstance(test, ast.Call) and callee(test) in ("isclose", "allclose", "array_equal") and len(test.args) >= 2:
        yield _of_isclose(test, made)
    else:
        is_always = is_true(test) and not is_negated
        relation = ("is falsy", FALSE) if is_negated else ("is truthy", TRUTH)
        yield made(text_of(test), relation[0], "", relation[1], void="always true" if is_always else "")


def _of_isclose(test: ast.Call, made: partial[Assertion]) -> Assertion:
    if callee(test) == "array_equal":
        return made(text_of(test.args[0]), "==", text_of(test.args[1]), EQUAL)
    widths = [_number(word.value) for word in test.keywords if word.arg in ("rel_tol", "abs_tol", "rtol", "atol")]
    width = max((each for each in widths if each is not None), default=1e-9)
    return made(text_of(test.args[0]), "is close to", text_of(test.args[1]), CLOSE, width=width)


def _of_comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr, made: partial[Assertion]) -> Assertion:
    relation, rank = _OPERATORS[type(operator)]
    if isinstance(operator, (ast.In, ast.NotIn)):
        if not is_literal(left) and is_literal(right):
            void = "always true" if isinstance(operator, ast.NotIn) and text_of(right) in ("()", "[]") else ""
            return made(
                text_of(left), "one of" if relation == "contains" else "none of", text_of(right), PART, void=void
            )
        return made(text_of(right), relation, text_of(left), PART)
    if is_literal(left) and not is_literal(right):
        left, right, relation = right, left, _MIRRORED.get(relation, relation)
    same = text_of(left) == text_of(right)
    if same and relation in ("==", "is", "<=", ">=") and not any(isinstance(each, ast.Call) for each in ast.walk(left)):
        return made(text_of(left), relation, text_of(right), rank, void="always true")
    if isinstance(right, ast.Constant):
        if relation == "==" and right.value is True:
            return made(text_of(left), "is truthy", "", TRUTH)
        if relation == "==" and right.value is False:
            return made(text_of(left), "is falsy", "", FALSE)
        if relation == "is" and (right.value is None or isinstance(right.value, bool)):
            relation, rank = "==", EQUAL
    if relation in ("==", "!=") and isinstance(right, ast.Call) and callee(right) == "approx" and right.args:
        return _of_approx(left, right, relation, made)
    return made(text_of(left), relation, text_of(right), rank, void=_constant_void(left, relation, right))


def _constant_void(left: ast.expr, relation: str, right: ast.expr) -> str:
    """Say that two numbers or texts are compared that nothing can change."""
    if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
        is_true = (left.value == right.value) == (relation in ("==", "is", "<=", ">="))
        return "always true" if is_true else ""
    return ""


def _of_approx(left: ast.expr, approx: ast.Call, relation: str, made: partial[Assertion]) -> Assertion:
    widths = {word.arg: _number(word.value) for word in approx.keywords}
    for name, value in zip(("rel", "abs", "nan_ok"), approx.args[1:], strict=False):
        widths[name] = _number(value)
    given = [each for name, each in widths.items() if name in ("rel", "abs") and each is not None]
    rank = CLOSE if relation == "==" else UNLIKE
    return made(text_of(left), "is about", text_of(approx.args[0]), rank, width=max(given, default=DEFAULT_REL))


def of_call(call: ast.Call, place: Place, names: Names) -> tuple[Assertion, ...]:
    """Give what a call that stands as a statement insists on; nothing where it is no assertion we know."""
    name = callee(call)
    low = name.lower()
    text = one_line(text_of(call))
    made = partial(_made, place, names, text)
    args = call.args
    if low in ("asserttrue", "assert_", "failunless") and args:
        return tuple(_of_test(args[0], place, names, False, text))
    if low in ("assertfalse", "failif") and args:
        return tuple(_of_test(args[0], place, names, True, text))
    if low in ("assertisnone", "assertisnotnone") and args:
        is_none = low == "assertisnone"
        return (made(text_of(args[0]), "==" if is_none else "is not", "None", EQUAL if is_none else UNLIKE),)
    if low in ("assertin", "assertnotin") and len(args) >= 2:
        operator = ast.In() if low == "assertin" else ast.NotIn()
        return (_of_comparison(args[0], operator, args[1], made),)
    if low in _CLOSE and len(args) >= 2:
        return (_of_almost(call, low, made),)
    if low == "assert_allclose" and len(args) >= 2:
        rtol, atol = _keyword(call, "rtol"), _keyword(call, "atol")
        width = max(DEFAULT_RTOL if rtol is None else rtol, atol or 0.0)
        return (made(text_of(args[0]), "is about", text_of(args[1]), CLOSE, width=width),)
    if low in METHODS and len(args) >= 2:
        return (_of_method(low, args, made),)
    if low in _RAISES:
        # raises(Error, function, argument)
        body = ", ".join(text_of(arg) for arg in args[1:])
        return (of_raises(call, body, place, names),) if low.startswith(("raises", "assertraises")) and body else ()
    if name in _MOCK_RANKS and isinstance(call.func, ast.Attribute):
        expected = ", ".join(text_of(each) for each in (*args, *(word.value for word in call.keywords)))
        return (made(text_of(call.func.value), name, expected, _MOCK_RANKS[name]),)
    if low in ("fail", "fnmatch_lines", "re_match_lines", "no_fnmatch_line") and isinstance(call.func, ast.Attribute):
        if low == "fail":
            return (made(" and ".join(place.under) or "this line", "fails if reached", "", PART),)
        return (made(text_of(call.func.value), name, ", ".join(text_of(arg) for arg in args), PART),)
    return ()


def _of_method(low: str, args: list[ast.expr], made: partial[Assertion]) -> Assertion:
    relation, rank = METHODS[low]
    left, right = args[0], args[1]
    if is_literal(left) and not is_literal(right) and relation in ("==", "is", "!=", *_MIRRORED):
        left, right, relation = right, left, _MIRRORED.get(relation, relation)
    if relation == "is" and isinstance(right, ast.Constant) and (right.value is None or isinstance(right.value, bool)):
        relation, rank = "==", EQUAL
    if relation == "==" and isinstance(right, ast.Constant) and isinstance(right.value, bool):
        return made(text_of(left), "==", text_of(right), rank)
    same = text_of(left) == text_of(right) and not any(isinstance(each, ast.Call) for each in ast.walk(left))
    void = "always true" if same and relation in ("==", "is") else _constant_void(left, relation, right)
    return made(text_of(left), relation, text_of(right), rank, void=void)


def _of_almost(call: ast.Call, low: str, made: partial[Assertion]) -> Assertion:
    word, default, delta = _CLOSE[low]
    width = _keyword(call, delta)
    if width is None:
        places = _keyword(call, word)
        if places is None and len(call.args) > 2:
            places = _number(call.args[2])
        width = 10.0 ** -min(max(default if places is None else places, -300), 300)
    left, right = call.args[0], call.args[1]
    if is_literal(left) and not is_literal(right):
        left, right = right, left
    return made(text_of(left), "is about", text_of(right), CLOSE, width=width)


def of_raises(call: ast.Call, body: str, place: Place, names: Names) -> Assertion:
    """Give what `with pytest.raises(Error, match=...)` and its kin insist on of the statements in them."""
    relation = _RAISES[callee(call).lower()]
    error = text_of(call.args[0]) if call.args else ""
    match = next(
        (text_of(word.value) for word in call.keywords if word.arg in ("match", "expected_regex", "check")), ""
    )
    if callee(call).lower().endswith(("regex", "regexp")) and len(call.args) > 1:
        match = text_of(call.args[1])
    return _made(place, names, one_line(text_of(call)), body, relation, error, EQUAL, extra=match)


def is_raises(call: ast.expr) -> bool:
    """Tell whether an expression opens a block that must raise, warn or log."""
    return isinstance(call, ast.Call) and callee(call).lower() in _RAISES


def swallows(call: ast.expr) -> bool:
    """Tell whether a block forgives failed assertions: `suppress(Exception)`."""
    return (
        isinstance(call, ast.Call)
        and callee(call) == "suppress"
        and any(callee(arg) in ("Exception", "BaseException", "AssertionError") for arg in call.args)
    )


def _made(
    place: Place,
    names: Names,
    text: str,
    subject: str,
    relation: str,
    expected: str,
    rank: int,
    *,
    width: float | None = None,
    extra: str = "",
    void: str = "",
) -> Assertion:
    subject = names.plain(subject)
    expected = names.plain(substituted(expected, names.literals))
    full = f"{subject} {expected}"
    for _ in range(3):
        longer = substituted(full, names.assigned)
        if longer == full:
            break
        full = longer
    return Assertion(
        place.line, text, subject, relation, expected, rank, width, substituted(extra, names.literals), place.under,
        place.void or void, full,
    )  # fmt: skip


def is_literal(node: ast.expr) -> bool:
    """Tell whether an expression is made of constants only."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return is_literal(node.operand)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return all(is_literal(each) for each in node.elts)
    if isinstance(node, ast.Dict):
        return all(each is not None and is_literal(each) for each in (*node.keys, *node.values))
    return False


def is_true(node: ast.expr) -> bool:
    """Tell whether an expression is true whatever the program does."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, (ast.Tuple, ast.List)):
        return bool(node.elts)
    return isinstance(node, (ast.Lambda, ast.JoinedStr))


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        try:
            return float(node.value)
        except OverflowError:
            return None
    return None


def _keyword(call: ast.Call, name: str) -> float | None:
    return next((_number(word.value) for word in call.keywords if word.arg == name), None)
