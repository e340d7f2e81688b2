"""Real repositories for the tests of `ganger.git`: a user's repository, a hub of it, and workspaces."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gitworld import RUN, commit, sh, write

from ganger.core.ids import Commit
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.repository import Repository, open_repository


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a home of its own: the developer's git configuration is neither read nor written."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user's repository with one commit on `main`."""
    top = tmp_path / "proj"
    top.mkdir()
    sh(top, "init", "-q", "-b", "main")
    write(top, {f"src/m{n}/f{n}.py": f"value = {n}\n" * 5 for n in range(8)})
    commit(top, {"README.md": "# hello\n", "tests/test_a.py": "def test_a(): pass\n", ".gitignore": "*.log\n"})
    return top


@pytest.fixture
def repo(user: Path) -> Repository:
    return open_repository(user)


@pytest.fixture
def hub(tmp_path: Path, repo: Repository) -> Hub:
    return Hub.open(tmp_path / "state" / "hub.git", repo, "main")


@pytest.fixture
def base(hub: Hub) -> Commit:
    return hub.sync_target()


@pytest.fixture
def space(hub: Hub, base: Commit, tmp_path: Path) -> Path:
    """The workspace of `RUN`, at the base."""
    path = tmp_path / "state" / "workspaces" / RUN
    workspace.create(hub, path, RUN, base)
    return path
