"""What a repository and a machine offer without any configuration, and a `ganger.toml` made of it.

Only names and small files are looked at; nothing of the repository is run, and no link is followed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from ganger.core.ids import name_fault
from ganger.errors import ConfigError
from ganger.plans.source import read_text
from ganger.service.tables import AUTOPICK

FILE_BYTES_MAX = 1024 * 1024
ENTRIES_MAX = 20_000
"""Directory entries looked at in search of tests."""
DEPTH_MAX = 5
LANES_MAX = 20

AGENTS: Mapping[str, tuple[str, ...]] = {
    "claude": ('key_env = "ANTHROPIC_API_KEY"', 'price = "reported"'),
    "codex": ('key_env = "OPENAI_API_KEY"',),
    "gemini": ('key_env = "GEMINI_API_KEY"',),
    "opencode": ('model = "anthropic/claude-sonnet-4-5"', 'key_env = "ANTHROPIC_API_KEY"'),
    "pi": ('model = "anthropic/claude-sonnet-4-5"', 'key_env = "ANTHROPIC_API_KEY"'),
    "qwen": ('key_env = "OPENAI_API_KEY"',),
    "copilot": ('key_env = "COPILOT_GITHUB_TOKEN"',),
    "openhands": (),
    "mini": (),
    "aider": (),
}
"""Agent programs, with the settings that the driver of the same name needs; none where there is no such driver."""

_SKIPPED = frozenset(
    {"node_modules", "vendor", "target", "build", "dist", "out", "venv", "env", "site-packages", "__pycache__"}
)
_PYTHON_TEST = re.compile(r"test_.*\.py|.*_test\.py")
_PYTEST_SECTION = re.compile(r"^\[(?:tool:)?pytest\]", re.MULTILINE)
_USES_PYTEST = re.compile(r"^[ \t]*(?:import pytest|from pytest )", re.MULTILINE)
_USES_UNITTEST = re.compile(r"^[ \t]*(?:import unittest|from unittest)", re.MULTILINE)
_TEST_TARGET = re.compile(r"^test[ \t]*:(?!=)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NO_NPM_TEST = "no test specified"


class Detected(Struct, frozen=True):
    """What was found; each part may be empty."""

    checks: dict[str, str]
    """Commands by the name of the check, as `run` of ganger.toml."""
    agents: tuple[str, ...]
    """Agent programs on `PATH`."""
    lanes: tuple[str, ...]
    """Top-level folders."""


def detect(repo_top: Path, search_path: str | None = None) -> Detected:
    """Look at a work tree; programs are looked for on `search_path`, by default that of this process."""
    checks = dict(_checks(repo_top, search_path))
    if not checks and _TEST_TARGET.search(_read(repo_top / "Makefile") or _read(repo_top / "GNUmakefile")):
        checks["make-test"] = "make test"
    agents = tuple(name for name in AGENTS if shutil.which(name, path=search_path))
    return Detected(checks, agents, _lanes(repo_top))


def render_toml(detected: Detected, target: str) -> str:
    """Write a `ganger.toml` with comments, which loads without a fault."""
    parts = [
        "# What ganger does in this repository. `ganger config explain` shows every setting and where it comes from.",
        "\n[fleet]",
        _rendered_target(target),
        '# workers_max = 4\n# allowed_hours = "20:00-07:00"',
        *_rendered_lanes(detected),
        *_rendered_checks(detected),
        '\n[verify]\nrung = "checked"  # what an item must reach before it may land\n# protected = ["scripts/ci/**"]',
        '\n[landing]\nmode = "auto"  # auto | ask: each landing waits for you',
        *_rendered_agents(detected),
    ]
    return "\n".join(parts) + "\n"


def _checks(top: Path, search_path: str | None) -> Iterator[tuple[str, str]]:
    if python := _python_check(top, "python" if shutil.which("python", path=search_path) else "python3"):
        yield python
    if (top / "go.mod").is_file():
        yield "go-test", "go test ./..."
    if (top / "Cargo.toml").is_file():
        yield "cargo-test", "cargo test"
    if _has_npm_test(top):
        yield "npm-test", "npm test"


def _python_check(top: Path, python: str) -> tuple[str, str] | None:
    pytest = ("pytest", f"{python} -m pytest -q")
    if _configures_pytest(top):
        return pytest
    tests = [path for path in _files(top) if _PYTHON_TEST.fullmatch(path.name)]
    if not tests:
        return None
    texts = [_read(path) for path in tests[:50]]
    plain = any(_USES_UNITTEST.search(text) for text in texts) and not any(_USES_PYTEST.search(text) for text in texts)
    if not plain:
        return pytest
    # Discovery from the top finds only tests in packages and those beside it.
    folder = tests[0].relative_to(top).parts[0]
    if tests[0].parent == top or (top / folder / "__init__.py").is_file():
        return "unittest", f"{python} -m unittest -q"
    # A name that would need quoting is left to pytest, which finds tests by itself.
    return ("unittest", f"{python} -m unittest discover -q -s {folder}") if _PLAIN.fullmatch(folder) else pytest


def _configures_pytest(top: Path) -> bool:
    names = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "conftest.py", "tests/conftest.py")
    if any((top / name).is_file() for name in names):
        return True
    if any(_PYTEST_SECTION.search(_read(top / name)) for name in ("tox.ini", "setup.cfg")):
        return True
    try:
        tool = tomllib.loads(_read(top / "pyproject.toml")).get("tool", {})
    except (ValueError, RecursionError):
        return False
    return isinstance(tool, dict) and "pytest" in tool


def _has_npm_test(top: Path) -> bool:
    try:
        package = json.loads(_read(top / "package.json") or "{}")
    except (ValueError, RecursionError):
        return False
    scripts = package.get("scripts") if isinstance(package, dict) else None
    test = scripts.get("test") if isinstance(scripts, dict) else None
    return isinstance(test, str) and bool(test.strip()) and _NO_NPM_TEST not in test


def _lanes(top: Path) -> tuple[str, ...]:
    try:
        with os.scandir(top) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False) and not _is_skipped(one.name)]
    except OSError:
        return ()
    return tuple(sorted(names)[:LANES_MAX])


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def _files(top: Path) -> Iterator[Path]:
    """Walk the regular files, nearest first, within the bounds on entries and depth."""
    seen = 0
    level = [top]
    for _ in range(DEPTH_MAX):
        below: list[Path] = []
        for directory in level:
            for entry in _entries(directory):
                seen += 1
                if seen > ENTRIES_MAX:
                    return
                if entry.is_dir(follow_symlinks=False):
                    below.extend([] if _is_skipped(entry.name) else [Path(entry.path)])
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
        level = below


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _read(path: Path) -> str:
    """Read a small text; empty when there is none that can be read."""
    try:
        return "" if path.is_symlink() else read_text(path, FILE_BYTES_MAX)
    except ConfigError:
        return ""


def _rendered_target(target: str) -> str:
    # The name of a branch may be any bytes, but a TOML file only holds UTF-8.
    if target and target.isprintable() and " " not in target:
        return f"target = {_quoted(target)}  # branch that landings move"
    return '# target = "main"  # branch that landings move; left out: the one checked out'


def _rendered_lanes(detected: Detected) -> Iterator[str]:
    """Make a lane of each folder whose name can name one: it binds nobody who does not ask for it."""
    names = [name for name in detected.lanes if not name_fault(name) and name != AUTOPICK]
    if names:
        yield '\n# Names for scopes: an item with lane = "…" may change what is below these folders.\n[lanes]'
        yield from (f"{name} = {{ paths = [{_quoted(f'{name}/**')}] }}" for name in names)


def _rendered_checks(detected: Detected) -> Iterator[str]:
    for name, run in detected.checks.items():
        yield f'\n[checks.{name}]\nrun = {_quoted(run)}\ntimeout = "10m"'
    if not detected.checks:
        yield "\n# No test command was found. An item is landed only on the word of a check:\n# [checks.unit]"
        yield '# run = "…"\n# timeout = "10m"'


def _rendered_agents(detected: Detected) -> Iterator[str]:
    if detected.agents:
        yield f"\n# Agents found on PATH: {', '.join(detected.agents)}."
    for name in detected.agents:
        if AGENTS.get(name):
            yield "\n".join((f'# [agents.{name}]\n# driver = "{name}"', *(f"# {line}" for line in AGENTS[name])))
    yield "\n# Any program that reads its brief from standard input and works in its current directory is an agent too."
    yield '# [agents.fixer]\n# driver = "command"\n# run = "ruff check --fix ."'


def _quoted(text: str) -> str:
    """Write a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08X}" for char in escaped) + '"'
