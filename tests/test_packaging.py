"""Whoever installs the package gets every file that it needs."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[1]


def test_every_file_that_is_no_python_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["ganger"]
    package = ROOT / "src" / "ganger"
    others = [path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(others) > 10
    left_out = [
        str(path.relative_to(package))
        for path in others
        if not any(PurePath("/", path.name).match(pattern.removeprefix("**/")) for pattern in patterns)
        and not {"__pycache__", ".mypy_cache"} & set(path.parts)
    ]
    assert left_out == []
