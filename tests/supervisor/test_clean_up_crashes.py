"""Clean-ups that die at each of their steps: no byte that a worker left is where nobody could find it again.

A step is a change that the process makes to the file system itself, or a git that it starts. The process ends before
the step, without a chance to tidy, as it would by a signal.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import RUN, Lab, git

from ganger.git import trash, workspace
from ganger.git.refs import keep_prefix

STEPS = ("subprocess.Popen", "os.rename")
"""What a clean-up is made of; removals too (`REMOVALS`) where the clean-up is one."""
REMOVALS = ("os.remove", "os.rmdir", "os.rename")
STEPS_MAX = 300
DIED = 9
FAILED = 3


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, "true")
    yield made
    made.close()


def dies_at(step: int, clean_up: Callable[[], object], steps: tuple[str, ...] = STEPS) -> bool:
    """Do a clean-up in a child that ends before its `step`-th step (from 1); False when it has fewer."""
    child = os.fork()
    if child == 0:
        left = step

        def dying(event: str, _: Any) -> None:
            nonlocal left
            if event in steps:
                left -= 1
                if left == 0:
                    os._exit(DIED)

        try:
            sys.addaudithook(dying)
            clean_up()
        except BaseException:
            os._exit(FAILED)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED), f"step {step}: exit {code}"
    return code == DIED


def worked_in(lab: Lab, number: int) -> set[bytes]:
    """Make a workspace with work of every sort; returns what its files hold, and nobody else's."""
    workspace.create(lab.hub, lab.place, RUN, lab.run.base)
    texts = {name: f"{name} of {number}\n".encode() for name in ("a.txt", "staged", "b/new", "deep/er/untracked")}
    for name in ("a.txt", "b/new", "staged", "deep/er/untracked"):
        file = lab.place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(texts[name])
        if name == "b/new":
            git(lab.place, "add", "-A")
            git(lab.place, "commit", "-q", "-m", f"work {number}")
        elif name == "staged":
            git(lab.place, "add", "staged")
            texts["changed"] = b"changed again in %d\n" % number
            file.write_bytes(texts["changed"])
    return set(texts.values())


def lost(lab: Lab, wanted: set[bytes]) -> set[bytes]:
    """Which contents nobody finds any more: not in the workspace, nor in the trash, nor behind a ref of the hub."""
    found = {text for text in wanted if kept(lab, {text})}
    for root in (lab.place, lab.state_dir / "trash"):
        files = [file for file in root.rglob("*") if file.is_file() and not file.is_symlink()]
        found |= {file.read_bytes() for file in files} & wanted
        objects = {file.parent.name + file.name for file in files}
        found |= {text for text in wanted if _blob(text) in objects}
    return wanted - found


def _blob(text: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


def kept(lab: Lab, wanted: set[bytes]) -> bool:
    """Whether the hub's refs alone reach all of it."""
    reachable = set(lab.hub.git.text("rev-list", "--objects", "--no-object-names", "--all").split())
    return all(_blob(text) in reachable for text in wanted)


def test_putting_a_workspace_away(lab: Lab) -> None:
    for step in range(1, STEPS_MAX):
        wanted = worked_in(lab, step)
        died = dies_at(step, lambda: lab.world.clean(RUN))
        assert lost(lab, wanted) == set(), step
        assert lab.place.exists() or kept(lab, wanted), f"step {step}: moved away before it was kept"
        lab.world.clean(RUN)
        assert kept(lab, wanted), step
        assert not lab.place.exists()
        if not died:
            assert step > 15, "the steps were not seen"
            return
    raise AssertionError("too many steps")


def test_rewinding_a_workspace(lab: Lab) -> None:
    for step in range(1, STEPS_MAX, 4):
        wanted = worked_in(lab, step)
        died = dies_at(step, lambda: lab.world.rewind(lab.run, lab.run.base))
        assert lost(lab, wanted) == set(), step
        lab.world.rewind(lab.run, lab.run.base)
        assert kept(lab, wanted), step
        assert (lab.place / "a.txt").read_text() == "one\n"
        assert sorted(path.name for path in lab.place.parent.iterdir()) == [RUN], "something half made stays"
        lab.world.clean(RUN)
        if not died:
            assert step > 15, "the steps were not seen"
            return
    raise AssertionError("too many steps")


def test_emptying_the_trash(lab: Lab) -> None:
    """What is in there is kept in the hub, and what is half removed is removed the next time."""
    for step in range(1, STEPS_MAX, 13):
        wanted = worked_in(lab, step)
        lab.world.clean(RUN)
        died = dies_at(step, lambda: trash.prune(lab.state_dir, 0, 1 << 50), REMOVALS)
        assert kept(lab, wanted), step
        trash.prune(lab.state_dir, 0, 1 << 50)
        assert list((lab.state_dir / "trash").iterdir()) == []
        if not died:
            assert step > 15, "the steps were not seen"
            return
    raise AssertionError("too many steps")


def test_clearing_after_a_crash(lab: Lab) -> None:
    """Scratch of the dead goes, the refs and what they hold stay."""
    wanted = worked_in(lab, 0)
    lab.world.keep(lab.run)
    root = lab.hub.path / "ganger-scratch"
    for step in range(1, STEPS_MAX):
        for name in ("4194303-x", f"{os.getpid()}-mine"):
            (root / name / "deep").mkdir(parents=True, exist_ok=True)
            (root / name / "deep/file").write_text("x")
        died = dies_at(step, lambda: lab.hub.recover(2e9), REMOVALS)
        assert kept(lab, wanted)
        lab.hub.recover(2e9)
        assert [path.name for path in root.iterdir()] == [f"{os.getpid()}-mine"]
        if not died:
            assert step > 3, "the steps were not seen"
            return
    raise AssertionError("too many steps")


def test_the_control_a_clean_up_that_does_not_keep_first_is_caught(lab: Lab) -> None:
    """The negative control: a trash that is emptied of what was never kept has lost it, and this file's eyes see it."""
    wanted = worked_in(lab, 1)
    trash.to_trash(lab.state_dir, lab.place, 1)
    assert lost(lab, wanted) == set()
    trash.prune(lab.state_dir, 0, 1 << 50)
    assert lost(lab, wanted) == wanted
    assert lab.hub.refs(keep_prefix(RUN)) == {}
