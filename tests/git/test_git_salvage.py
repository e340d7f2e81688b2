"""Salvage: what is kept of a workspace is told apart, and can be had back as it was, over nothing that is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from gitworld import RUN, commit, fingerprint, listing, python, sh, without_rights, write

from ganger.core.ids import Commit
from ganger.errors import GitFailed, UsageError
from ganger.git import salvage, trash, workspace
from ganger.git.hub import Hub

PREFIX = f"refs/ganger/keep/{RUN}/"


@pytest.fixture
def worked(space: Path) -> Path:
    """A workspace with a commit, something staged, something changed after that, and something untracked."""
    commit(space, {"committed.txt": "1\n", "both.txt": "committed\n"}, "First")
    write(space, {"staged.txt": "staged\n", "both.txt": "staged\n"})
    sh(space, "add", "staged.txt", "both.txt")
    write(
        space, {"both.txt": "in the tree\n", "README.md": "changed\n", "new dir/untracked.txt": "u\n", "x.log": "log"}
    )
    (space / "link").symlink_to("README.md")
    (space / "src/m1/f1.py").unlink()
    return space


def test_staged_changed_and_untracked_are_told_apart(hub: Hub, worked: Path, base: Commit) -> None:
    kept = workspace.keep(hub, worked, RUN)
    assert {ref.removeprefix(PREFIX) for ref in kept} == {"head", "index", "tree"}
    found = salvage.salvaged(hub, RUN)
    assert salvage.salvages(hub) == (found,)
    has = salvage.content(hub, found, base)
    assert [subject for _, subject in has.commits] == ["First"]
    assert has.staged == ("both.txt", "staged.txt")
    assert has.changed == ("README.md", "both.txt", "src/m1/f1.py")
    assert has.untracked == ("link", "new dir/untracked.txt")
    assert salvage.base_of(hub, found) == base


def texts(root: Path) -> dict[str, object]:
    """The files and links of a work tree, without ignored ones, by a digest of what they hold."""
    found = fingerprint(root, lambda name: name.split("/")[0] == ".git" or name.endswith(".log"))
    return {name: about[3] for name, about in found.items() if about[3]}


def test_a_directory_gets_everything_as_it_was(hub: Hub, worked: Path, tmp_path: Path) -> None:
    before = sh(worked, "status", "--porcelain", "--untracked-files=all").splitlines()
    files = texts(worked)
    workspace.keep(hub, worked, RUN)
    worked.rename(tmp_path / "gone")
    into = salvage.restore_into(hub, salvage.salvaged(hub, RUN), tmp_path / "back")
    hub.path.rename(tmp_path / "hub is gone too")
    assert sh(into, "status", "--porcelain", "--untracked-files=all").splitlines() == before
    assert texts(into) == files
    assert sh(into, "log", "--format=%s", "-1", "salvaged") == "First"
    assert sh(into, "for-each-ref", "--format=%(refname)", "refs/salvage").split() == [
        "refs/salvage/head",
        "refs/salvage/index",
        "refs/salvage/tree",
    ]
    sh(into, "fsck", "--strict")


def test_nothing_is_written_over(hub: Hub, worked: Path, user: Path, tmp_path: Path) -> None:
    workspace.keep(hub, worked, RUN)
    found = salvage.salvaged(hub, RUN)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").symlink_to("nowhere")
    before = fingerprint(user)
    for place in ("empty", "broken", "proj", "no such/dir"):
        with pytest.raises(UsageError, match="there is"):
            salvage.restore_into(hub, found, tmp_path / place)
    for branch, said in (("main", "already a branch"), ("-f", "cannot be the name"), ("a..b", "cannot be the name")):
        with pytest.raises(UsageError, match=said):
            salvage.restore_branch(hub, found.refs["tree"], branch)
    with pytest.raises(UsageError, match="'stash' is no part"):
        salvage.part(found, "stash")
    assert fingerprint(user) == before


def test_a_branch_gets_the_files_and_nothing_else_changes(hub: Hub, worked: Path, user: Path) -> None:
    workspace.keep(hub, worked, RUN)
    found = salvage.salvaged(hub, RUN)

    def rest() -> dict[str, tuple[object, ...]]:
        left_out = (".git/objects", ".git/refs/heads", ".git/logs", ".git/refs/ganger")
        return fingerprint(user, lambda name: name in (".git", ".git/refs") or name.startswith(left_out))

    before = rest()
    salvage.restore_branch(hub, salvage.part(found, "tree"), "back/login")
    assert sh(user, "show", "back/login:both.txt") == "in the tree"
    assert sh(user, "show", "back/login~1:both.txt") == "committed"
    salvage.restore_branch(hub, salvage.part(found, "index"), "back/staged")
    assert sh(user, "show", "back/staged:both.txt") == "staged"
    assert rest() == before
    assert sh(user, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/back/login",
        "refs/heads/back/staged",
        "refs/heads/main",
    ]


def test_both_sides_of_a_conflict_are_in_the_index(hub: Hub, space: Path) -> None:
    commit(space, {"a": "base\n"})
    sh(space, "checkout", "-q", "-b", "side")
    commit(space, {"a": "theirs\n"})
    sh(space, "checkout", "-q", f"ganger/{RUN}")
    commit(space, {"a": "ours\n"})
    sh(space, "merge", "side", check=False)
    assert "(add" not in sh(space, "status", "--porcelain")
    workspace.keep(hub, space, RUN)
    index = salvage.salvaged(hub, RUN).index
    assert index is not None
    texts = [hub.git.text("cat-file", "-p", f"{index}:a~{side}") for side in ("base", "ours", "theirs")]
    assert texts == ["base", "ours", "theirs"]


@pytest.mark.parametrize("broken", ["garbage", "link", "pipe", "missing blob"])
def test_an_index_that_cannot_be_read_stops_nothing(hub: Hub, worked: Path, tmp_path: Path, broken: str) -> None:
    index = worked / ".git/index"
    if broken == "missing blob":
        blob = sh(worked, "rev-parse", ":staged.txt")
        (worked / ".git/objects" / blob[:2] / blob[2:]).unlink()
    else:
        index.unlink()
        if broken == "garbage":
            index.write_bytes(b"DIRC\0\0\0\2\xff\xff\xff\xff" + b"x" * 500)
        elif broken == "link":
            index.symlink_to(tmp_path / "proj/.git/index")
        else:
            os.mkfifo(index)
    kept = workspace.keep(hub, worked, RUN)
    assert {ref.removeprefix(PREFIX) for ref in kept} == {"head", "tree"}


def test_the_newest_salvage_is_shown(hub: Hub, worked: Path, base: Commit) -> None:
    for number in range(12):
        write(worked, {"both.txt": f"number {number}\n"})
        workspace.keep(hub, worked, RUN)
    found = salvage.salvaged(hub, RUN)
    assert found.files == found.refs["tree-12"]
    assert hub.git.text("cat-file", "-p", f"{found.files}:both.txt") == "number 11"


def test_what_its_owner_may_not_read_is_kept_all_the_same(hub: Hub, worked: Path, user: Path) -> None:
    """Not by root, for whom modes mean nothing."""
    write(worked, {"shut/deep/a.txt": "a\n", "b.txt": "b\n"})
    for name, mode in (("b.txt", 0), ("shut/deep", 0), ("shut", 0o100), (".", 0)):
        (worked / name).chmod(mode)
    said = without_rights(
        "import pathlib; from ganger.git import hub, repository, workspace\n"
        f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
        f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
        f"print(*workspace.keep(h, pathlib.Path({str(worked)!r}), '{RUN}'))\n"
    )
    assert "tree" in said
    tree = salvage.salvaged(hub, RUN).files
    assert tree is not None
    assert listing(hub, tree) >= {"shut/deep/a.txt", "b.txt"}


def test_files_that_git_cannot_list_are_walked(hub: Hub, worked: Path, tmp_path: Path, user: Path) -> None:
    """A git that fails for `ls-files` alone, as it may for a work tree that it does not understand."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (
        '#!/bin/sh\ncase " $* " in *" ls-files "*-o*) echo fatal: cannot >&2; exit 128;; esac\nexec git-real "$@"\n'
    )
    said = _kept_by(folder, script, hub, user, worked)
    assert "tree" in said, said
    tree = salvage.salvaged(hub, RUN).files
    assert tree is not None
    assert listing(hub, tree) >= {"x.log", "new dir/untracked.txt", "both.txt", "link"}
    assert "src/m1/f1.py" not in listing(hub, tree)


def test_a_listing_that_was_killed_says_nothing_of_the_workspace(
    hub: Hub, worked: Path, tmp_path: Path, user: Path
) -> None:
    """Else a machine without memory would make every workspace a broken one, of which little is kept."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = '#!/bin/sh\ncase " $* " in *" ls-files "*-o*) kill -9 $$;; esac\nexec git-real "$@"\n'
    said = _kept_by(folder, script, hub, user, worked)
    assert said.startswith("GitFailed git ls-files"), said
    assert not any("tree" in ref for ref in hub.refs(PREFIX))


def _kept_by(folder: Path, script: str, hub: Hub, user: Path, space: Path) -> str:
    """Keep a workspace with a `git` of the test's making first on PATH; returns what was said."""
    real = shutil.which("git")
    assert real is not None
    (folder / "git").write_text(script.replace("git-real", real))
    (folder / "git").chmod(0o755)
    return python(
        "import os, pathlib\n"
        f"os.environ['PATH'] = {str(folder)!r} + ':' + os.environ['PATH']\n"
        "from ganger.errors import GangerError\n"
        "from ganger.git import hub, repository, workspace\n"
        f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
        f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
        "try:\n"
        f"    print(*workspace.keep(h, pathlib.Path({str(space)!r}), '{RUN}'))\n"
        "except GangerError as error:\n"
        "    print(type(error).__name__, error)\n"
    )


def test_a_workspace_whose_files_cannot_be_listed_at_all_stays(
    hub: Hub, worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its top is no directory any more when it is looked at."""
    with pytest.raises(GitFailed):
        workspace.snapshot(hub, worked / "README.md", hub.sync_target(), "x", whole=True)


def test_the_trash_tells_what_it_has_of_a_run(hub: Hub, worked: Path) -> None:
    state = hub.path.parent
    first = trash.to_trash(state, worked, 5)
    worked.mkdir()
    second = trash.to_trash(state, worked, 5)
    worked.mkdir()
    third = trash.to_trash(state, worked, 40)
    assert trash.in_trash(state, RUN) == (first, second, third)
    assert trash.in_trash(state, "login.11") == ()
    assert trash.to_trash(state, worked, 50) == third
