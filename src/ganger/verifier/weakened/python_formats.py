"""Reads `"…{!r}…".format(x)` as the f-string that means the same, so that tests are compared by what they say.

Tools rewrite one into the other (ruff, pyupgrade, flynt). Where both are not exactly the same, the call stays a call:
a field that looks into its argument, a format that is computed, an argument that is left out, used in another order,
or used twice and not a mere name.
"""

from __future__ import annotations

import ast
import itertools
import string
from typing import TypeAlias


class _Formats(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        callee = node.func
        if not (
            isinstance(callee, ast.Attribute) and callee.attr == "format" and isinstance(callee.value, ast.Constant)
        ):
            return node
        text = callee.value.value
        parts = _parts(text, node) if isinstance(text, str) else None
        return ast.copy_location(ast.JoinedStr(parts), node) if parts is not None else node


def as_f_strings(tree: ast.Module, text: str) -> ast.Module:
    """The tree of `text` with such calls replaced; the same tree where there are none."""
    return ast.fix_missing_locations(_Formats().visit(tree)) if ".format(" in text else tree


def _parts(text: str, call: ast.Call) -> list[ast.expr] | None:
    """The parts of the f-string; None where there is none that means the same."""
    given: dict[str, ast.expr] = {str(index): value for index, value in enumerate(call.args)}
    given |= {one.arg: one.value for one in call.keywords if one.arg is not None}
    if len(given) != len(call.args) + len(call.keywords) or any(isinstance(one, ast.Starred) for one in call.args):
        return None
    try:
        fields = _fields(text)
    except ValueError:
        return None
    used = [name for _, name, _, _ in fields if name is not None]
    once = list(dict.fromkeys(used))
    if once != list(given) or any(used.count(name) > 1 and not isinstance(given[name], ast.Name) for name in once):
        return None
    parts: list[ast.expr] = []
    literals = ""
    for literal, name, spec, conversion in fields:
        literals += literal
        if name is None:
            continue
        if "{" in spec:
            return None
        within = ast.JoinedStr([ast.Constant(spec)]) if spec else None
        parts += [ast.Constant(literals)] if literals else []
        parts.append(ast.FormattedValue(given[name], ord(conversion) if conversion else -1, within))
        literals = ""
    return [*parts, ast.Constant(literals)] if literals else parts


_Field: TypeAlias = tuple[str, str | None, str, str]
"""A text, the name of the argument behind it, its format, its conversion; None where no argument follows."""


def _fields(text: str) -> list[_Field]:
    """Take a format apart, arguments without a name by their numbers; ValueError where it is none."""
    found = [(literal, name, spec or "", kind or "") for literal, name, spec, kind in string.Formatter().parse(text)]
    names = [name for _, name, _, _ in found if name is not None]
    if any(kind not in ("", "r", "s", "a") for _, _, _, kind in found):
        raise ValueError("no such conversion")
    if "" not in names:
        return found
    if any(name.isdecimal() for name in names):
        raise ValueError("numbers are given by hand and by themselves")
    numbers = itertools.count()
    return [(literal, str(next(numbers)) if name == "" else name, spec, kind) for literal, name, spec, kind in found]
