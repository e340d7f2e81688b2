"""Real tools that rewrite Python code, and real libraries rewritten by them: work that people have done for them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lies.seeded import passes

_RUFF = (sys.executable, "-m", "ruff")
_FIX = (*_RUFF, "check", "--fix", "--exit-zero", "--isolated", "--no-cache", "--quiet")
PACKAGES = ("black", "isort", "autoflake", "pyupgrade", "docformatter", "flynt")
"""From the package index, besides what is installed here."""
TOOLS: Mapping[str, tuple[str, ...]] = {
    "ruff format": (*_RUFF, "format", "--isolated", "--no-cache", "--quiet"),
    "ruff, imports": (*_FIX, "--select", "I"),
    "ruff, upgrades": (*_FIX, "--unsafe-fixes", "--select", "UP,FURB,PERF"),
    "ruff, simplifications": (*_FIX, "--unsafe-fixes", "--select", "C4,SIM,RET,PIE,RSE"),
    "ruff, pytest style": (*_FIX, "--unsafe-fixes", "--select", "PT"),
    "ruff, commas and quotes": (*_FIX, "--select", "Q,COM,ISC"),
    "ruff, what is not used": (*_FIX, "--unsafe-fixes", "--select", "F401,F841,B007"),
    "black": ("black", "--quiet", "--line-length", "100"),
    "black, narrow": ("black", "--quiet", "--line-length", "60"),
    "isort": ("isort", "--quiet", "--force-single-line-imports"),
    "autoflake": ("autoflake", "--in-place", "--remove-all-unused-imports", "--remove-unused-variables"),
    "pyupgrade": ("pyupgrade", "--py39-plus", "--exit-zero-even-if-changed"),
    "docformatter": ("docformatter", "--in-place"),
    "flynt": ("flynt", "--quiet", "--transform-concats"),
    "2to3, idioms": (sys.executable, "-W", "ignore", "-m", "lib2to3", "-w", "-n", "-f", "idioms", "-f", "isinstance"),
}
"""By what they do: the command that takes files; one that does not begin with a path comes from `PACKAGES`."""


def install(into: Path) -> None:
    """Put the tools of the package index into a folder of their own, once."""
    if into.exists():
        return
    fresh = Path(tempfile.mkdtemp(dir=into.parent))
    argv = (sys.executable, "-m", "pip", "install", "--quiet", "--target", str(fresh), *PACKAGES)
    subprocess.run(argv, check=True, capture_output=True, timeout=600)
    try:
        fresh.rename(into)
    except OSError:
        # Another process was quicker.
        shutil.rmtree(fresh)


def rewritten(files: Mapping[str, str], tests: str, installed: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Give what each tool makes of a library, files that differ only; not where its tests fail then."""
    for about, command in TOOLS.items():
        top = Path(tempfile.mkdtemp(prefix="liars-tools-"))
        try:
            changed = _rewritten(files, top, command, installed)
            if changed and passes(top, tests):
                yield about, changed
        finally:
            shutil.rmtree(top, ignore_errors=True)


def _rewritten(files: Mapping[str, str], top: Path, command: tuple[str, ...], installed: Path) -> dict[str, str]:
    for path, text in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    # What is protected is no work for a tool.
    paths = sorted(path for path in files if path.endswith(".py") and not path.endswith("conftest.py"))
    argv = command if command[0] == sys.executable else (sys.executable, "-m", *command)
    env = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(top), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*argv, *paths], cwd=top, env=env, check=False, capture_output=True, timeout=120)
    found = {path: (top / path).read_text() for path in paths}
    return {path: text for path, text in found.items() if text != files[path]}
