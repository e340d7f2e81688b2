"""What stands in for a repository without commits: exactly the files, whole or not there, and nothing written there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from gitworld import fingerprint, sh, write

from ganger.core.ids import Commit
from ganger.errors import RepositoryError
from ganger.git import standin
from ganger.git.hub import Hub
from ganger.git.standin import YOURS, take_in, taking
from ganger.service.place import find_common_dir

BYTES = bytes(range(256))


@pytest.fixture(params=("unborn", "plain"))
def top(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    if request.param == "unborn":
        sh(folder, "init", "-q", "-b", "trunk")
    write(folder, {".gitignore": "*.log\nbuild/\n", "src/a.txt": "a\n", "x.log": "l\n", "build/o": "o\n"})
    (folder / "bytes").write_bytes(BYTES)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/a.txt")
    (folder / os.fsdecode(b"odd \xff\n name")).write_text("odd\n")
    if request.param == "unborn":
        write(folder, {"staged.txt": "staged\n"})
        sh(folder, "add", "staged.txt", "src/a.txt")
        write(folder, {"src/a.txt": "changed after\n"})
    return folder


def git(state: Path, *args: str) -> str:
    return sh(state / "standin", *args)


def test_the_first_commit_is_the_files_byte_for_byte(top: Path, tmp_path: Path) -> None:
    before, state = fingerprint(top), tmp_path / "state"
    found = take_in(state, top).repository
    assert fingerprint(top) == before
    assert found.top == top
    assert found.beside == state / "standin"
    branch = "trunk" if (top / ".git").exists() else "main"
    hub = Hub.open(state / "hub.git", found, branch)
    commit = hub.sync_target()
    listed = hub.git.run("ls-tree", "-r", "-z", commit).split(b"\0")[:-1]
    modes = {row.split(b"\t")[1]: row.split(b" ")[0] for row in listed}
    wanted = {b".gitignore", b"src/a.txt", b"bytes", b"run.sh", b"link", b"odd \xff\n name"}
    wanted |= {b"staged.txt"} if branch == "trunk" else set()
    assert modes.keys() == wanted, "what is ignored is left out"
    assert (modes[b"run.sh"], modes[b"link"], modes[b"bytes"]) == (b"100755", b"120000", b"100644")
    for name in wanted - {b"link"}:
        content = hub.git.run("cat-file", "blob", f"{commit}:{os.fsdecode(name)}")
        assert content == (top / os.fsdecode(name)).read_bytes()
    hub.git.run("fsck", "--strict", "--no-dangling")


def test_taking_the_same_files_in_again_changes_nothing(top: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    take_in(state, top)
    before = git(state, "for-each-ref")
    assert take_in(state, top).differing == ()
    assert git(state, "for-each-ref") == before
    assert standin.open_standin(state) == take_in(state, top).repository


def test_what_landed_is_brought_by_the_command_and_met_again(top: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    found = take_in(state, top).repository
    branch = git(state, "symbolic-ref", "--short", "HEAD")
    assert not standin.has_more(found, branch)
    landed = _land(state, branch, {"bytes": BYTES[::-1], "src/new.txt": b"new\n"})
    assert standin.has_more(found, branch)
    write(top, {"own.txt": "own\n"})
    assert os.system(taking(found, branch)) == 0
    assert (top / "bytes").read_bytes() == BYTES[::-1]
    assert (top / "src/new.txt").read_text() == "new\n"
    assert (top / "x.log").read_text() == "l\n"
    again = take_in(state, top)
    assert again.differing == ()
    assert not standin.has_more(found, branch)
    assert git(state, "merge-base", "--is-ancestor", landed, branch) == ""
    assert git(state, "show", f"{branch}:own.txt") == "own"
    assert (top / ".git").exists() == (branch == "trunk")
    assert branch == "main" or sh(top, "rev-parse", "--verify", "-q", "HEAD", check=False) == ""


def _land(state: Path, branch: str, files: dict[str, bytes]) -> Commit:
    """Put a commit with other files on the branch, as a landing would."""
    work = state / "somebody"
    sh(state, "clone", "-q", str(state / "standin"), str(work))
    for name, content in files.items():
        (work / name).write_bytes(content)
    sh(work, "add", "-A")
    sh(work, "commit", "-q", "-m", "landed")
    sh(work, "push", "-q", "origin", branch)
    return Commit(sh(work, "rev-parse", "HEAD"))


def test_where_both_changed_a_file_it_is_as_the_user_has_it(top: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    take_in(state, top)
    branch = git(state, "symbolic-ref", "--short", "HEAD")
    _land(state, branch, {"src/a.txt": b"landed\n", "bytes": b"landed\n"})
    write(top, {"src/a.txt": "mine\n"})
    assert take_in(state, top).differing == ("src/a.txt",)
    assert git(state, "show", f"{branch}:src/a.txt") == "mine"
    assert git(state, "show", f"{branch}:bytes") == "landed", "what only landed stays to be brought"
    assert git(state, "diff", "--name-only", YOURS, branch) == "bytes"


def test_whoever_dies_in_the_middle_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    top, state = tmp_path / "work", tmp_path / "state"
    top.mkdir()
    write(top, {"a.txt": "a\n"})
    for step in range(1, 80):
        write(top, {"a.txt": f"{step}\n"})
        child = os.fork()
        if child == 0:
            left = step

            def dying(event: str, about: tuple[object, ...]) -> None:
                nonlocal left
                written = event == "open" and about[1] in ("w", "wb")
                if written or event in ("subprocess.Popen", "os.mkdir", "os.rename"):
                    left -= 1
                    if left == 0:
                        os._exit(9)

            sys.addaudithook(dying)
            take_in(state, top)
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        take_in(state, top)
        assert git(state, "show", "main:a.txt") == str(step)
        assert git(state, "show", f"{YOURS}:a.txt") == str(step)
        if not died:
            assert step > 10
            assert [path.name for path in top.iterdir()] == ["a.txt"]
            assert sorted(path.name for path in state.iterdir()) == ["standin", "standin.lock"]
            return
        if step < 8:
            (state / "standin").rename(tmp_path / f"gone-{step}")
    raise AssertionError("too many steps")


def test_only_a_directory_in_which_nothing_is_committed_is_one(top: Path, tmp_path: Path) -> None:
    assert standin.without_commits(top) == top
    below = standin.without_commits(top / "src")
    assert below == (top if (top / ".git").exists() else top / "src")
    sh(top, "init", "-q", "-b", "trunk")
    sh(top, "add", "src")
    sh(top, "commit", "-q", "-m", "first")
    assert standin.without_commits(top) is None
    assert standin.without_commits(top / "src") is None
    assert standin.without_commits(tmp_path / "nowhere") is None
    sh(tmp_path, "init", "-q", "--bare", "bare.git")
    assert standin.without_commits(tmp_path / "bare.git") is None
    assert find_common_dir(top) == top / ".git"


def test_a_directory_that_holds_the_home_or_the_state_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "people/dana"))
    (tmp_path / "people/dana").mkdir(parents=True)
    for top in (tmp_path / "people/dana", tmp_path / "people", tmp_path):
        with pytest.raises(RepositoryError, match="holds your home directory"):
            take_in(tmp_path / "state", top)
    (tmp_path / "work").mkdir()
    with pytest.raises(RepositoryError, match="holds the state directory"):
        take_in(tmp_path / "work/state", tmp_path / "work")
    assert not (tmp_path / "state").exists()
