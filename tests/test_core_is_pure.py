"""The core sees only its arguments: what it may import is on a list, and clocks, chance and identity are not on it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "src" / "ganger" / "core"
MODULES = sorted(CORE.glob("*.py"))
ALLOWED = {
    "__future__",
    "bisect",
    "collections",
    "collections.abc",
    "enum",
    "functools",
    "itertools",
    "msgspec",
    "msgspec.structs",
    "re",
    "typing",
    "unicodedata",
    "zlib",
}
BANNED_NAMES = {"open", "exec", "eval", "id", "input", "print", "__import__", "globals"}


def imported(tree: ast.AST) -> set[str]:
    """Every module that a syntax tree imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_core_imports_nothing_that_reaches_the_world(module: Path) -> None:
    outside = {name for name in imported(ast.parse(module.read_text())) if not name.startswith("ganger.core")}
    assert outside <= ALLOWED


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_core_calls_nothing_that_depends_on_the_process(module: Path) -> None:
    called = {
        node.func.id
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & BANNED_NAMES


def test_the_list_has_nothing_that_is_not_used() -> None:
    used = set().union(*(imported(ast.parse(module.read_text())) for module in MODULES))
    assert used >= ALLOWED


def test_hot_paths_load_no_heavy_module() -> None:
    script = (
        "import sys, ganger.cli.status\n"
        "heavy = {'click', 'rich', 'jinja2', 'psutil', 'msgspec', 'cryptography', 'subprocess', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"
