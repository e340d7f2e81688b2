"""Which landings a branch does not contain any more, against asking git about each."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ganger.core.ids import Commit
from ganger.git.command import UserGit
from ganger.git.reading_back import lost_from

WHO = ("-c", "user.name=Dana", "-c", "user.email=dana@example.org")


def git(at: Path, *args: str) -> str:
    done = subprocess.run(["git", *WHO, *args], cwd=at, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"})
    return done.stdout.decode().strip()


def committed(at: Path, name: str) -> Commit:
    git(at, "commit", "--quiet", "--allow-empty", "--message", name)
    return Commit(git(at, "rev-parse", "HEAD"))


def test_what_a_branch_contains(tmp_path: Path) -> None:
    repo, hub = tmp_path / "repo", tmp_path / "hub"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    first, second = committed(repo, "one"), committed(repo, "two")
    git(repo, "checkout", "--quiet", "-b", "side", first)
    side = committed(repo, "aside")
    git(repo, "checkout", "--quiet", "main")
    git(repo, "merge", "--quiet", "--no-ff", "--message", "both", "side")
    merged = Commit(git(repo, "rev-parse", "HEAD"))
    gone = committed(repo, "gone")
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(hub))
    git(repo, "reset", "--quiet", "--hard", merged)
    user, objects, nowhere = UserGit(repo), hub / "objects", Commit("0" * 39 + "1")
    every = (gone, side, nowhere, merged, first, second)
    assert lost_from(user, objects, merged, every) == (gone, nowhere)
    assert lost_from(user, objects, first, every) == (gone, side, nowhere, merged, second)
    assert lost_from(user, objects, gone, (first, gone)) == ()
    assert lost_from(user, objects, merged, ()) == ()
    assert lost_from(user, objects, Commit(""), (first, gone)) == (first, gone), "there is no such branch any more"


def test_a_commit_that_was_thrown_away_is_lost_and_not_an_error(tmp_path: Path) -> None:
    repo, hub = tmp_path / "repo", tmp_path / "hub"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    kept, gone = committed(repo, "kept"), committed(repo, "gone")
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(hub))
    git(repo, "reset", "--quiet", "--hard", kept)
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")
    assert lost_from(UserGit(repo), hub / "objects", kept, (kept, gone)) == (gone,)
    assert lost_from(UserGit(repo), tmp_path / "no-hub", kept, (kept, gone)) == (gone,)
