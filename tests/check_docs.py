"""Checks what a machine can check about the documentation; run by `make check`. Exit status 1 lists what is wrong."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)|<img[^>]* src=\"([^\"]+)\"")
CODE_PATH = re.compile(r"`((?:src|tests|docs|bench)/[A-Za-z0-9_./-]+)(?:::([A-Za-z0-9_]+))?`")
AGENTS_LINES_MAX = 100
AVOID = ("epic", "worktree", "persona", "daemon", "orchestrator", "ticket")
"""Words the glossary replaces; `git worktree` is git's own."""


def documents() -> list[Path]:
    """Every document that is ours."""
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def broken_links() -> Iterator[str]:
    """Relative links that lead nowhere."""
    for path in documents():
        for found in LINK.finditer(path.read_text()):
            target = found.group(1) or found.group(3)
            if "://" not in target and not (path.parent / target).exists():
                yield f"{path.relative_to(ROOT)}: link to {target}, which there is not"


def missing_code() -> Iterator[str]:
    """Files and tests that a document names and that do not exist."""
    for path in documents():
        for found in CODE_PATH.finditer(path.read_text()):
            name, test = found.groups()
            target = ROOT / name
            if not target.exists():
                yield f"{path.relative_to(ROOT)}: names {name}, which there is not"
            elif test and test not in _functions(target):
                yield f"{path.relative_to(ROOT)}: names {name}::{test}, which there is not"


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def capability_rows() -> Iterator[str]:
    """Rows of the capability table without a test."""
    for line in (ROOT / "docs" / "capabilities.md").read_text().splitlines():
        if re.match(r"\| [A-Z]{2}\d+ ", line) and not CODE_PATH.search(line):
            yield f"docs/capabilities.md: {line.split('|')[1].strip()} names no test"


def words_to_avoid() -> Iterator[str]:
    """Words for which the glossary has another."""
    for path in documents():
        if path.name in ("CHANGELOG.md", "README.md") or "adr" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for word in AVOID:
                if re.search(rf"(?<!git )\b{word}s?\b", line, re.IGNORECASE):
                    yield f"{path.relative_to(ROOT)}:{number}: {word!r} is not a word of the glossary"


def stale_reference() -> Iterator[str]:
    """A generated reference that is not what the program says now."""
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "make_reference.py"), "--check"], capture_output=True)
    if done.returncode:
        yield "docs/reference.md is stale: python docs/make_reference.py"


def long_agents() -> Iterator[str]:
    """AGENTS.md beyond its size."""
    lines = len((ROOT / "AGENTS.md").read_text().splitlines())
    if lines > AGENTS_LINES_MAX:
        yield f"AGENTS.md has {lines} lines, the most is {AGENTS_LINES_MAX}"


def main() -> int:
    """Run every check."""
    checks = (broken_links, missing_code, capability_rows, words_to_avoid, stale_reference, long_agents)
    faults = [fault for check in checks for fault in check()]
    for fault in faults:
        print(fault)
    print(f"{len(documents())} documents checked, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
