"""The hub learns the target's history in the background: once for each tip, and not at every tick after a failure."""

from __future__ import annotations

from pathlib import Path

from lab import git

from ganger.core.ids import Commit
from ganger.git import history
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.supervisor.history import EVERY_MS, Background


def joined(background: Background) -> None:
    """Wait until nothing is being learnt."""
    assert background._thread is not None
    background._thread.join(20)
    assert not background._thread.is_alive()


def test_each_tip_is_learnt_once(tmp_path: Path) -> None:
    top = tmp_path / "repo"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    git(top, "commit", "-q", "--allow-empty", "-m", "Begin here")
    hub = Hub.open(tmp_path / "hub.git", open_repository(top), "main")
    background, first = Background(hub), hub.sync_target()
    background.nudge(Commit(""), 0)
    assert background._thread is None
    background.nudge(first, 0)
    joined(background)
    known, thread = history.read(hub.path / history.FOLDER), background._thread
    assert known is not None and known.tip == first and known.mention("here") is not None
    background.nudge(first, 10 * EVERY_MS)
    assert background._thread is thread
    background.nudge(Commit("d" * 40), 20 * EVERY_MS)
    joined(background)
    failed = background._thread
    assert failed is not thread and history.read(hub.path / history.FOLDER) is not None
    background.nudge(Commit("d" * 40), 20 * EVERY_MS + 1)
    assert background._thread is failed
    background.nudge(Commit("d" * 40), 21 * EVERY_MS)
    joined(background)
    assert background._thread is not failed
