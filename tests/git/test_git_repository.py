"""Finding the user's repository, and what is said about one that ganger cannot work on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from gitworld import commit, fingerprint, sh, write

from ganger.errors import RepositoryError
from ganger.git.repository import (
    Repository,
    check_target,
    checked_out_at,
    detect_target,
    is_dirty,
    open_repository,
    target_tip,
)


def test_found_from_everywhere_as_the_same(user: Path, repo: Repository, tmp_path: Path) -> None:
    sh(user, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    (tmp_path / "link").symlink_to(user)
    for start in (user / "src" / "m1", tmp_path / "linked" / "src", tmp_path / "link", tmp_path / "link" / "src"):
        assert open_repository(start) == repo
    assert repo.top == user
    assert repo.common_dir == user / ".git"
    assert repo.repo_id.startswith("proj-")
    assert repo.identity == ("ganger", "ganger@localhost")


def test_configuration_is_read(user: Path) -> None:
    sh(user, "config", "core.ignorecase", "true")
    sh(user, "config", "core.precomposeunicode", "true")
    sh(user, "config", "user.name", "Ada L\nx")
    repo = open_repository(user)
    assert (repo.rules.fold_case, repo.rules.normalize) == (True, True)
    assert repo.identity == ("Ada L\nx", "ganger@localhost")


def test_two_repositories_of_one_name_differ(tmp_path: Path) -> None:
    ids = set()
    for place in ("a", "b"):
        top = tmp_path / place / "we ird; näme"
        top.mkdir(parents=True)
        sh(top, "init", "-q")
        commit(top, {"x": "1"})
        ids.add(open_repository(top).repo_id)
    assert len(ids) == 2
    assert all(name.replace("-", "").replace("_", "").isalnum() and name.isascii() for name in ids)


def _nothing(root: Path) -> None:
    return


def _bare(root: Path) -> None:
    sh(root, "init", "-q", "--bare")


def _unborn(root: Path) -> None:
    sh(root, "init", "-q")


def _shallow(root: Path) -> None:
    source = root.parent / "source"
    source.mkdir()
    sh(source, "init", "-q")
    commit(source, {"a": "1"})
    commit(source, {"a": "2"})
    sh(root.parent, "clone", "-q", "--depth=1", f"file://{source}", str(root))


def _partial(root: Path) -> None:
    sh(root, "init", "-q")
    commit(root, {"a": "1"})
    sh(root, "config", "core.repositoryformatversion", "1")
    sh(root, "config", "extensions.partialClone", "origin")


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (_nothing, "is not inside a git repository", "git init"),
        (_bare, "is a bare repository", "a clone of it"),
        (_unborn, "has no commit on any branch", "first commit"),
        (_shallow, "is a shallow clone", "--unshallow"),
        (_partial, "is a partial clone", "without --filter"),
    ],
)
def test_unusable_repositories(make: Callable[[Path], None], message: str, hint: str, tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    make(root)
    with pytest.raises(RepositoryError) as raised:
        open_repository(root)
    assert message in raised.value.message
    assert str(root) in raised.value.message
    assert hint in raised.value.hint


def test_inside_the_git_directory_and_a_missing_one(user: Path) -> None:
    with pytest.raises(RepositoryError, match=r"inside a \.git directory"):
        open_repository(user / ".git" / "objects")
    with pytest.raises(RepositoryError, match="is not a directory"):
        open_repository(user / "nope")


def test_a_git_directory_kept_elsewhere(tmp_path: Path) -> None:
    top = tmp_path / "work"
    top.mkdir()
    sh(top, "init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere.git"))
    commit(top, {"a": "1"})
    repo = open_repository(top)
    assert (repo.top, repo.common_dir) == (top, tmp_path / "elsewhere.git")
    assert repo.repo_id.startswith("elsewhere-")


@pytest.mark.parametrize(
    "name",
    (
        *("-f", "--help", "a..b", "a b", "x.lock", "@{-1}", "-", "", "a\nb", "a\x1b[0m", "a\u202eb", "HEAD", "/x"),
        *("x/", "@", "a~1", "a^", "a:b", "a?", "a[", "a\\b", "a" * 300, "\udcff"),
    ),
)
def test_names_that_are_no_branch(repo: Repository, name: str) -> None:
    with pytest.raises(RepositoryError, match="cannot be the name of a branch"):
        check_target(repo, name)


def test_targets(repo: Repository, user: Path) -> None:
    tip = sh(user, "rev-parse", "main")
    assert check_target(repo, "main") == tip
    sh(user, "branch", "feature/ünï-1")
    assert check_target(repo, "feature/ünï-1") == tip
    sh(user, "tag", "v1")
    with pytest.raises(RepositoryError, match="has no branch 'v1'"):
        check_target(repo, "v1")
    with pytest.raises(RepositoryError, match="has no branch 'mian'; nearest: main"):
        check_target(repo, "mian")


def test_detection(repo: Repository, user: Path) -> None:
    assert detect_target(repo) == "main"
    sh(user, "checkout", "-q", "--orphan", "fresh")
    with pytest.raises(RepositoryError, match="has no commit yet"):
        detect_target(repo)
    sh(user, "checkout", "-q", "-f", "main")
    sh(user, "checkout", "-q", "--detach")
    with pytest.raises(RepositoryError, match="detached HEAD") as raised:
        detect_target(repo)
    assert "fleet.target" in raised.value.hint


def test_the_tip_is_always_the_newest(repo: Repository, user: Path) -> None:
    for number in range(20):
        if number % 3 == 0:
            sh(user, "pack-refs", "--all")
        made = sh(user, "commit-tree", "HEAD^{tree}", "-m", str(number))
        sh(user, "update-ref", "refs/heads/main", made)
        assert target_tip(repo, "main") == made
    sh(user, "pack-refs", "--all")
    assert target_tip(repo, "main") == made
    sh(user, "branch", "main2", "main~0")
    sh(user, "branch", "x/y")
    assert target_tip(repo, "x") is None
    assert target_tip(repo, "ain") is None
    sh(user, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    assert target_tip(repo, "alias") == made
    sh(user, "update-ref", "-d", "refs/heads/main2")
    assert target_tip(repo, "main2") is None


def test_where_a_branch_is_checked_out(repo: Repository, user: Path, tmp_path: Path) -> None:
    odd = tmp_path / "with space\nand line"
    sh(user, "worktree", "add", "-q", str(odd), "-b", "side")
    assert checked_out_at(repo, "main") == user
    assert checked_out_at(repo, "side") == odd
    assert checked_out_at(repo, "sid") is None
    odd.rename(tmp_path / "gone")
    assert checked_out_at(repo, "side") is None


def test_dirt_is_seen_and_nothing_is_touched(user: Path) -> None:
    assert is_dirty(user) == ()
    write(user, {"README.md": "changed\n", "new": "untracked\n", "staged": "s\n", "x.log": "ignored\n"})
    (user / "src/m1/f1.py").unlink()
    sh(user, "add", "staged")
    os.utime(user / "src/m2/f2.py")
    (user / os.fsdecode(b"b\xff\\\n")).write_text("x")
    sh(user, "add", "--", os.fsdecode(b"b\xff\\\n"))
    before = fingerprint(user)
    assert is_dirty(user) == ("README.md", "b\\xff\\\n", "src/m1/f1.py", "staged")
    assert fingerprint(user) == before


def test_the_users_fsmonitor_is_not_started(user: Path, tmp_path: Path) -> None:
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    program.chmod(0o755)
    sh(user, "config", "core.fsmonitor", str(program))
    assert is_dirty(user) == ()
    assert not (tmp_path / "canary").exists()
