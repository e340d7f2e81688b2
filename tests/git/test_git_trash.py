"""Moving things into the trash, and removing them when their time has come."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gitworld import env, without_rights, write

from ganger.errors import WorldFailed
from ganger.git.trash import discard_below, discard_scratch, prune, to_trash


@pytest.fixture
def state(tmp_path: Path) -> Path:
    root = tmp_path / "state"
    write(root / "workspaces" / "a.1", {"src/x": "1", "src/deep/y": "2"})
    return root


def test_moved_and_idempotent(state: Path) -> None:
    moved = to_trash(state, state / "workspaces" / "a.1", 1000)
    assert moved == state / "trash" / "1000-a.1"
    assert (moved / "src" / "deep" / "y").read_text() == "2"
    assert to_trash(state, state / "workspaces" / "a.1", 2000) == moved
    assert to_trash(state, state / "workspaces" / "never", 3) == state / "trash" / "3-never"


def test_the_same_name_at_the_same_time_overwrites_nothing(state: Path) -> None:
    first = to_trash(state, state / "workspaces" / "a.1", 5)
    (state / "workspaces" / "a.1").mkdir()
    second = to_trash(state, state / "workspaces" / "a.1", 5)
    assert first != second
    assert (first / "src" / "x").read_text() == "1"


def test_outside_or_through_links_is_refused(state: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    write(precious, {"a": "1"})
    (state / "link").symlink_to(tmp_path)
    for path in (precious, state, state / ".." / "precious", state / "link" / "precious", state / "trash" / "x"):
        with pytest.raises(WorldFailed):
            to_trash(state, path, 1)
        with pytest.raises(WorldFailed):
            discard_below(state, path) if path != state / "trash" / "x" else discard_scratch(state, path)
    assert (precious / "a").read_text() == "1"


def test_a_link_itself_is_moved_not_what_it_names(state: Path, tmp_path: Path) -> None:
    write(tmp_path / "precious", {"a": "1"})
    (state / "workspaces" / "l.1").symlink_to(tmp_path / "precious")
    moved = to_trash(state, state / "workspaces" / "l.1", 1)
    assert moved.is_symlink()
    assert prune(state, 0, 10) == (moved,)
    assert (tmp_path / "precious" / "a").exists()


def test_only_what_is_due_goes(state: Path) -> None:
    old = to_trash(state, state / "workspaces" / "a.1", 1000)
    write(state / "workspaces" / "b.1", {"x": "1"})
    new = to_trash(state, state / "workspaces" / "b.1", 5000)
    (state / "trash" / "somebody's note").write_text("x")
    assert prune(state, 4000, 4999) == ()
    assert prune(state, 4000, 5000) == (old,)
    assert new.exists()
    assert not old.exists()
    assert (state / "trash" / "somebody's note").exists()
    assert prune(state / "no-such", 0, 10) == ()


def test_hostile_trees_are_removed_and_links_not_followed(state: Path, tmp_path: Path) -> None:
    write(tmp_path / "precious", {"a": "1"})
    tree = state / "workspaces" / "a.1"
    (tree / "out").symlink_to(tmp_path / "precious")
    (tree / ".lifted-0").mkdir()
    (tree / ".lifted-1").write_text("x")
    (tree / os.fsdecode(b"\xff\n")).write_text("x")
    os.mkfifo(tree / "pipe")
    at = os.open(tree, os.O_RDONLY)
    for number in range(3000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
        if number % 1000 == 0:
            os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)
    (tree / "src" / "deep").chmod(0o000)
    (tree / "src").chmod(0o555)
    moved = to_trash(state, tree, 1)
    assert prune(state, 0, 2) == (moved,)
    assert not moved.exists()
    assert (tmp_path / "precious" / "a").exists()


def test_rights_taken_away_are_taken_back(state: Path, tmp_path: Path) -> None:
    """As a user without special rights, for whom a mode of 000 means something."""
    tree = state / "workspaces" / "a.1"
    (tree / "src" / "deep").chmod(0o000)
    (tree / "src").chmod(0o555)
    moved = to_trash(state, tree, 1)
    script = (
        f"import pathlib; from ganger.git.trash import prune; print(len(prune(pathlib.Path({str(state)!r}), 0, 9)))"
    )
    without_rights(script)
    assert not moved.exists()


def test_a_mount_in_the_trash_is_left_alone(state: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    tree = state / "workspaces" / "a.1"
    (tree / "mnt").mkdir()
    moved = to_trash(state, tree, 1)
    script = (
        f"import subprocess, pathlib; m = {str(moved / 'mnt')!r};"
        "subprocess.run(['mount', '-t', 'tmpfs', 'none', m], check=True);"
        "pathlib.Path(m, 'precious').write_text('1');"
        "from ganger.git.trash import prune;"
        f"assert prune(pathlib.Path({str(state)!r}), 0, 9) == ();"
        "assert pathlib.Path(m, 'precious').read_text() == '1'"
    )
    done = subprocess.run(["unshare", "-m", sys.executable, "-c", script], env=env(), capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no private mounts here: {done.stderr[:80]}")
    assert done.returncode == 0, done.stderr
    assert [entry.name for entry in moved.iterdir()] == ["mnt"]
    assert prune(state, 0, 9) == (moved,)


def test_a_folder_that_becomes_a_link_while_it_is_removed_leads_nowhere(state: Path, tmp_path: Path) -> None:
    """Somebody swaps a folder of the trash for a link to what is precious, again and again, while it is emptied."""
    precious = tmp_path / "precious"
    write(precious, {f"{n}/{m}.txt": "1" for n in range(4) for m in range(4)})
    before = sorted(str(path) for path in precious.rglob("*"))
    over = threading.Event()

    def swap(folder: Path) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                folder.rename(folder.with_name("aside"))
                folder.symlink_to(precious)
                os.unlink(folder)
                folder.with_name("aside").rename(folder)

    for number in range(30):
        tree = state / "workspaces" / f"b.{number}"
        write(tree, {f"deep/{n}/{m}/x.txt": "1" for n in range(6) for m in range(3)})
        moved = to_trash(state, tree, number)
        over.clear()
        racer = threading.Thread(target=swap, args=(moved / "deep",))
        racer.start()
        prune(state, 0, 1000)
        over.set()
        racer.join()
        assert sorted(str(path) for path in precious.rglob("*")) == before
    while prune(state, 0, 1000):
        pass
    assert list((state / "trash").iterdir()) == []


def test_a_linked_root_and_a_linked_trash_are_refused(state: Path, tmp_path: Path) -> None:
    """Whoever could put a link in place of the state directory or its trash gets nothing removed behind it."""
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"1-mine/a.txt": "1", "workspaces/a.1/x": "1"})
    (state / "trash").symlink_to(elsewhere)
    with pytest.raises(WorldFailed, match="is no directory of its own"):
        prune(state, 0, 1000)
    with pytest.raises(WorldFailed):
        to_trash(state, state / "workspaces" / "a.1", 5)
    (tmp_path / "linked").symlink_to(elsewhere)
    with pytest.raises(WorldFailed):
        discard_below(tmp_path / "linked", tmp_path / "linked" / "1-mine")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["1-mine", "workspaces"]
    assert (elsewhere / "1-mine/a.txt").exists()


def test_scratch_is_discarded(state: Path) -> None:
    write(state / "scratch" / "check-1", {"a/b": "1"})
    discard_scratch(state, state / "scratch" / "check-1")
    assert list((state / "scratch").iterdir()) == []
    discard_scratch(state, state / "scratch" / "check-1")
    with pytest.raises(WorldFailed):
        discard_scratch(state, state / "workspaces" / "a.1")
