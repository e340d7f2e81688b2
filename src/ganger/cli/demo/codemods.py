"""Small honest tools for the demo's workers: each rewrites Python files and nothing else, with the standard library.

    python -m ganger.cli.demo.codemods docstrings src/module.py src/package
    python -m ganger.cli.demo.codemods rename old_name new_name src/module.py

A folder stands for the Python files below it. Prints the files it changed; exit status 2 for a command line that
makes no sense.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

Edit: TypeAlias = tuple[int, int, str]
"""Replace the characters [from, to) of a text."""
Defined: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def main(arguments: list[str]) -> int:
    """Carry out one command line."""
    name, *rest = arguments or [""]
    if name == "apply-answer" and len(rest) == 3:
        return apply_answer(Path(rest[0]), rest[1], rest[2])
    if name not in TOOLS or len(rest) <= TOOLS[name][0]:
        print(f"codemods: {' '.join(arguments)!r} makes no sense; tools: {', '.join(TOOLS)}", file=sys.stderr)
        return 2
    takes, tool = TOOLS[name]
    for path in _files(rest[takes:]):
        before = path.read_text(encoding="utf-8")
        after = tool(before, *rest[:takes])
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{name}: {path}")
    return 0


def _files(names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def apply_answer(path: Path, old: str, new: str) -> int:
    """Replace `old` by `new`, in which `{answer}` is what a person answered, as the worker's brief has it."""
    brief = Path(os.environ["GANGER_BRIEF_FILE"]).read_text(encoding="utf-8")
    answers = re.findall(r"^ *answered: (.*)$", brief, re.MULTILINE)
    if not answers:
        print("codemods: the brief holds no answer", file=sys.stderr)
        return 1
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new.replace("{answer}", answers[-1])), encoding="utf-8")
    return 0


def docstrings(text: str) -> str:
    """Give each public class and function without a docstring one that says its name in words."""
    lines = Lines(text)
    edits = []
    for node in _definitions(text):
        first = node.body[0]
        if node.name.startswith("_") or ast.get_docstring(node) is not None or first.lineno == node.lineno:
            continue
        decorators = first.decorator_list if isinstance(first, Defined) else []
        line = min([first.lineno, *(decorator.lineno for decorator in decorators)])
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|_+", " ", node.name).strip().capitalize()
        at = lines.at(line, 0)
        edits.append((at, at, f'{" " * first.col_offset}"""{words}."""\n'))
    return apply(text, edits)


def return_hints(text: str) -> str:
    """Write `-> None` on each function that returns nothing."""
    lines = Lines(text)
    edits = []
    for node in _definitions(text):
        if isinstance(node, ast.ClassDef) or node.returns is not None or _gives_something(node):
            continue
        at = lines.at(*_colon_of(text, node))
        edits.append((at, at, " -> None"))
    return apply(text, edits)


def _gives_something(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function returns a value, yields, or only raises; what functions inside it do does not count."""
    stack: list[ast.AST] = list(node.body)
    while stack:
        found = stack.pop()
        if isinstance(found, ast.Yield | ast.YieldFrom) or (isinstance(found, ast.Return) and found.value is not None):
            return True
        if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(found))
    return isinstance(node.body[-1], ast.Raise)


def _colon_of(text: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    """The place (line from 1, column in characters) of the colon that ends a signature."""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.start < (node.lineno, node.col_offset) or token.type != tokenize.OP:
            continue
        depth += (token.string in "([{") - (token.string in ")]}")
        if token.string == ":" and depth == 0:
            return token.start
    raise AssertionError(f"{node.name} has no colon")


def none_tests(text: str) -> str:
    """Write `is None` for `== None`, and `is not None` for `!= None`."""
    lines = Lines(text)
    edits = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            continue
        right = node.comparators[0]
        if isinstance(right, ast.Constant) and right.value is None and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            start, end = lines.of_bytes(*_end(node.left)), lines.of_bytes(right.lineno, right.col_offset)
            edits.append((start, end, " is " if isinstance(node.ops[0], ast.Eq) else " is not "))
    return apply(text, edits)


def object_bases(text: str) -> str:
    """Write `class Name:` for `class Name(object):`."""
    return re.sub(r"^([ \t]*class \w+)\(object\):", r"\1:", text, flags=re.MULTILINE)


def sort_imports(text: str) -> str:
    """Sort each block of imports at the top level: the standard library first, then others, then relative ones.

    A block with comments in it is left alone, because nobody can say where they belong afterwards.
    """
    lines = Lines(text)
    edits = []
    for block in _import_blocks(ast.parse(text)):
        start, end = lines.at(block[0].lineno, 0), lines.of_bytes(*_end(block[-1]))
        if "#" not in text[start:end] and ";" not in text[start:end]:
            edits.append((start, end, _sorted_imports(block)))
    return apply(text, edits)


def _import_blocks(module: ast.Module) -> Iterator[list[ast.Import | ast.ImportFrom]]:
    block: list[ast.Import | ast.ImportFrom] = []
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            block.append(node)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _sorted_imports(block: list[ast.Import | ast.ImportFrom]) -> str:
    sections: dict[int, list[tuple[bool, str, str]]] = {}
    for node in block:
        if isinstance(node, ast.ImportFrom):
            node.names.sort(key=lambda alias: alias.name)
        parts = [node] if isinstance(node, ast.ImportFrom) else [ast.Import([alias]) for alias in node.names]
        for part in parts:
            module = part.names[0].name if isinstance(part, ast.Import) else f"{'.' * part.level}{part.module or ''}"
            entry = (isinstance(part, ast.ImportFrom), module, ast.unparse(part))
            sections.setdefault(_section(module), []).append(entry)
    return "\n\n".join("\n".join(line for _, _, line in sorted(sections[key])) for key in sorted(sections))


def _section(module: str) -> int:
    if module == "__future__":
        return 0
    if module.startswith("."):
        return 3
    return 1 if module.partition(".")[0] in sys.stdlib_module_names else 2


def rename(text: str, old: str, new: str) -> str:
    """Give a name another name wherever it stands as a word of the language, not in texts or comments."""
    lines = Lines(text)
    edits = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string == old:
            edits.append((lines.at(*token.start), lines.at(*token.end), new))
    return apply(text, edits)


def header(text: str, line: str) -> str:
    """Make `line` the first line, behind a `#!`."""
    if line in text.splitlines()[:3]:
        return text
    first, rest = ("", text) if not text.startswith("#!") else (text.partition("\n")[0] + "\n", text.partition("\n")[2])
    return f"{first}{line}\n{rest}"


TOOLS: dict[str, tuple[int, Callable[..., str]]] = {
    "docstrings": (0, docstrings),
    "return-hints": (0, return_hints),
    "none-tests": (0, none_tests),
    "object-bases": (0, object_bases),
    "sort-imports": (0, sort_imports),
    "rename": (2, rename),
    "header": (1, header),
}
"""For each tool, how many words it takes before the files."""


class Lines:
    """Turns places in a text (line from 1, column from 0) into offsets."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """The offset of a column counted in characters."""
        return self._starts[line - 1] + column

    def of_bytes(self, line: int, column: int) -> int:
        """The offset of a column counted in bytes of UTF-8, as `ast` counts."""
        return self.at(line, len(self._lines[line - 1].encode()[:column].decode()))


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Make edits that do not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _definitions(text: str) -> Iterator[Defined]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, Defined))


def _end(node: ast.expr | ast.stmt) -> tuple[int, int]:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
