"""What is hidden is overwritten where it stands, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganger.service import hidden
from ganger.service.hidden import Hidden, of_environment

KEY, LONGER = "sk-0123456789abcdef", "sk-0123456789abcdef-and-more"
STARS = "*" * len(KEY)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"key={KEY};", f"key={STARS};"),
        (f"{KEY}{KEY}", STARS * 2),
        (f"{LONGER} {KEY}", "*" * len(LONGER) + f" {STARS}"),
        (f"\udcff Bäume {KEY}", f"\udcff Bäume {STARS}"),
        ("short of it: sk-0123456789abcde", "short of it: sk-0123456789abcde"),
        ("", ""),
    ],
)
def test_text_and_bytes(before: str, after: str) -> None:
    found = Hidden([KEY, LONGER, "short"])
    assert found.text(before) == after
    assert found.data(os.fsencode(before)) == os.fsencode(after)
    assert Hidden().text(before) == before


def test_what_is_too_short_for_a_key_hides_nothing() -> None:
    assert Hidden(["true", "", "12345678901"]).text("true 12345678901") == "true 12345678901"


def test_only_what_is_set_is_known() -> None:
    found = of_environment(("A_KEY", "B_KEY", "C_KEY"), {"A_KEY": KEY, "B_KEY": "", "D_KEY": LONGER})
    assert found.text(f"{KEY} {LONGER}") == f"{STARS} {STARS}-and-more"


def test_files_keep_their_length_and_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "_CHUNK", 7)
    (tmp_path / "deep/er").mkdir(parents=True)
    text = f"x{KEY}yy{LONGER}zzz{KEY[:-1]}" + "w" * 20 + KEY
    file = tmp_path / "deep/er/log"
    file.write_text(text)
    before = file.stat()
    Hidden([KEY, LONGER]).below(tmp_path)
    assert file.read_text() == Hidden([KEY, LONGER]).text(text)
    assert KEY not in file.read_text()
    assert (file.stat().st_ino, file.stat().st_size) == (before.st_ino, before.st_size)


def test_no_link_is_followed_and_no_file_with_another_name_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("linked", "hard", "in-folder"):
        (outside / name).write_text(KEY)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside / "linked")
    (inside / "folder").symlink_to(outside)
    os.link(outside / "hard", inside / "hard")
    os.mkfifo(inside / "pipe")
    (inside / "own").write_text(KEY)
    Hidden([KEY]).below(inside)
    assert [(outside / name).read_text() for name in ("linked", "hard", "in-folder")] == [KEY] * 3
    assert (inside / "own").read_text() == STARS
    (tmp_path / "root").symlink_to(outside)
    Hidden([KEY]).below(tmp_path / "root")
    assert (outside / "in-folder").read_text() == KEY
    Hidden([KEY]).below(tmp_path / "not there")
