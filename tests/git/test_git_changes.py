"""What changed between two trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gitworld import RUN, commit, sh, write

from ganger.core.ids import Commit
from ganger.git.changes import changed_paths, path_text
from ganger.git.hub import Hub
from ganger.git.workspace import fetch_candidate


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain/a.py", "plain/a.py"),
        ("ünï/日本".encode(), "ünï/日本"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"back\\slash", "back\\slash"),
        (b"a\nb\x1b[31m", "a\nb\x1b[31m"),
        (b"caf\xc3", "caf\\xc3"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
    ],
)
def test_text_of_a_path(raw: bytes, text: str) -> None:
    assert path_text(raw) == text


def test_every_kind_of_change(hub: Hub, space: Path, base: Commit) -> None:
    (space / "src/m0/f0.py").rename(space / "src/m0/renamed.py")
    (space / "src/m1/f1.py").chmod(0o755)
    (space / "src/m2/f2.py").unlink()
    (space / "src/m2/f2.py").symlink_to("x")
    (space / os.fsdecode(b"odd\n\xff")).write_text("1")
    inner = space / "inner"
    inner.mkdir()
    sh(inner, "init", "-q")
    linked = commit(inner, {"a": "1"})
    made = commit(space, {"README.md": "changed\n", "tests/test_a.py": "x"})
    assert fetch_candidate(hub, space, RUN) == made
    found = {change.path: change for change in changed_paths(hub, base, made)}
    assert {path: change.status for path, change in found.items()} == {
        "README.md": "M",
        "inner": "A",
        "odd\n\\xff": "A",
        "src/m0/f0.py": "D",
        "src/m0/renamed.py": "A",
        "src/m1/f1.py": "M",
        "src/m2/f2.py": "T",
        "tests/test_a.py": "M",
    }
    assert found["odd\n\\xff"].raw == b"odd\n\xff"
    assert (found["inner"].new_mode, found["inner"].new_oid) == ("160000", linked)
    assert (found["src/m1/f1.py"].old_mode, found["src/m1/f1.py"].new_mode) == ("100644", "100755")
    assert found["src/m0/f0.py"].new_oid == "0" * 40
    assert [change.raw for change in changed_paths(hub, base, made)] == sorted(change.raw for change in found.values())
    assert changed_paths(hub, base, base) == ()
    assert changed_paths(hub, hub.tree_of(base), hub.tree_of(made)) == changed_paths(hub, base, made)


def test_settings_of_the_user_hide_nothing(hub: Hub, user: Path, base: Commit) -> None:
    write(user, {".gitattributes": "*.py -diff export-ignore\n"})
    sh(user, "config", "diff.noprefix", "true")
    made = commit(user, {"src/m1/f1.py": "x\n"})
    hub.sync_target()
    assert {change.path for change in changed_paths(hub, base, made)} == {".gitattributes", "src/m1/f1.py"}
