"""Where a fleet's state lies: the same from every way into a repository, and nobody else's."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from ganger.errors import RepositoryError, StateDirError
from ganger.git.repository import open_repository
from ganger.service.place import find_common_dir, prepare, state_dir


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    top = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    git = ["git", "-C", str(top), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    (top / "sub").mkdir()
    (top / "sub" / "file").write_text("x")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    subprocess.run([*git, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other"], check=True)
    (tmp_path / "link").symlink_to(top)
    return top


@pytest.mark.parametrize("way", ["repo", "repo/sub", "linked", "link/sub"])
def test_every_way_in_finds_the_same_fleet(repo: Path, tmp_path: Path, way: str) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert find_common_dir(tmp_path / way) == repo / ".git"
    assert state_dir(tmp_path / way, environ) == state_dir(repo, environ)


def test_quick_search_agrees_with_git(repo: Path, tmp_path: Path) -> None:
    for way in (repo, tmp_path / "linked"):
        found = open_repository(way)
        assert found.common_dir == find_common_dir(way)
        assert state_dir(way, {"XDG_STATE_HOME": "/s"}).name == found.repo_id


def test_outside_a_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="is not in a git repository"):
        find_common_dir(tmp_path)


def test_a_current_directory_that_is_gone_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RepositoryError, match="the current directory is gone"):
        find_common_dir(Path())


def test_override_goes_before_environment(tmp_path: Path) -> None:
    assert state_dir(tmp_path, {"GANGER_STATE": "/env"}, "/flag") == Path("/flag")
    assert state_dir(tmp_path, {"GANGER_STATE": "/env"}) == Path("/env")


def test_state_is_for_its_owner_alone_and_for_one_repository(tmp_path: Path) -> None:
    place = tmp_path / "state" / "x"
    prepare(place, tmp_path / "one" / ".git")
    prepare(place, tmp_path / "one" / ".git")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    with pytest.raises(StateDirError, match="belongs to the fleet of"):
        prepare(place, tmp_path / "two" / ".git")


def test_file_in_its_place_and_newer_record_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirError, match="cannot be made"):
        prepare(tmp_path / "file", tmp_path)
    place = tmp_path / "newer"
    prepare(place, tmp_path)
    (place / "fleet.json").write_text(json.dumps({"version": 2}))
    with pytest.raises(StateDirError, match="newer ganger"):
        prepare(place, tmp_path)
