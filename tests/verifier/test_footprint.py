"""What a check leaves in the tree it checks, seen from outside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ganger.service.protected import is_protected, is_test_file
from ganger.verifier.footprint import Footprint, footprint, survey, writes

FILES = {"app.py": b"one\n", "tests/test_app.py": b"assert True\n", "data.txt": b"x\n", "build/kept.py": b"y\n"}


def lay_out(top: Path) -> dict[bytes, tuple[str, str]]:
    """The files, and the tree that git would have of them."""
    for name, content in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return {
        name.encode(): ("100644", hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
        for name, content in FILES.items()
    }


def rewrite(top: Path, name: str) -> None:
    """Change a file and put its content and its times back."""
    path, about = top / name, (top / name).stat()
    path.write_bytes(b"assert False\n")
    path.write_bytes(FILES[name])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


TABLE: list[tuple[str, Callable[[Path], object], Footprint]] = [
    ("nothing", lambda top: None, Footprint()),
    ("reads", lambda top: (top / "app.py").read_bytes(), Footprint()),
    (
        "a test changed",
        lambda top: (top / "tests/test_app.py").write_text(""),
        Footprint(written=("tests/test_app.py",)),
    ),
    ("product changed", lambda top: (top / "app.py").write_text("two\n"), Footprint(written=("app.py",))),
    ("deleted", lambda top: (top / "data.txt").unlink(), Footprint(written=("data.txt",))),
    ("mode changed", lambda top: (top / "app.py").chmod(0o755), Footprint(written=("app.py",))),
    (
        "a link instead",
        lambda top: ((top / "app.py").unlink(), (top / "app.py").symlink_to("/x")),
        Footprint(written=("app.py",)),
    ),
    (
        "a pipe instead",
        lambda top: ((top / "app.py").unlink(), os.mkfifo(top / "app.py")),
        Footprint(written=("app.py",)),
    ),
    (
        "a test changed and put back",
        lambda top: rewrite(top, "tests/test_app.py"),
        Footprint(restored=("tests/test_app.py",)),
    ),
    ("product changed and put back", lambda top: rewrite(top, "app.py"), Footprint()),
    ("a module added", lambda top: (top / "json.py").write_text(""), Footprint(added=("json.py",))),
    ("a plugin added", lambda top: (top / "tests/conftest.py").write_text(""), Footprint(added=("tests/conftest.py",))),
    ("a setting added", lambda top: (top / "pytest.ini").write_text(""), Footprint(added=("pytest.ini",))),
    ("a link added", lambda top: (top / "lib").symlink_to("/usr"), Footprint(added=("lib",))),
    ("output added", lambda top: (top / "tests/out.json").write_text("{}"), Footprint()),
    (
        "a cache added",
        lambda top: ((top / "__pycache__").mkdir(), (top / "__pycache__/app.pyc").write_text("")),
        Footprint(),
    ),
    (
        "into a folder that was there",
        lambda top: (top / "build/new.py").write_text(""),
        Footprint(added=("build/new.py",)),
    ),
]


@pytest.mark.parametrize(("act", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_left(tmp_path: Path, act: Callable[[Path], object], expected: Footprint) -> None:
    known = lay_out(tmp_path)
    before = survey(tmp_path)
    act(tmp_path)
    assert footprint(tmp_path, before, is_protected, is_test_file, lambda: known) == expected


def test_what_the_base_does_too_is_no_fault() -> None:
    base = Footprint(("a.lock",), ("tests/a.py",), ("gen.py",))
    assert writes(base, base) == ()
    assert writes(base, Footprint(("a.lock", "b.py"), ("tests/a.py", "tests/b.py"), ("gen.py", "json.py"))) == (
        "it changed the tree that it checks: b.py",
        "it changed and put back the tree that it checks: tests/b.py",
        "it added files to the tree that it checks: json.py",
    )
