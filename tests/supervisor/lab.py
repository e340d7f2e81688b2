"""A real world with one run on a small repository, for tests of what it does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import ItemSpec, Lease, LeaseMode
from ganger.core.policy import Policy
from ganger.drivers.command import CommandDriver
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail.none import NoJail
from ganger.journal.store import Store
from ganger.supervisor.watch import Watch
from ganger.supervisor.world import RealWorld

RUN = RunId("a.1")
SPEC = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("a.txt",), agent="hand")


def git(place: Path, *arguments: str) -> str:
    """Run plain git in a repository; return what it printed."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        ["git", *identity, *arguments], cwd=place, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


class Lab:
    """The user's repository at `top`, and a world whose only agent, `hand`, is the program `run`."""

    def __init__(self, root: Path, run: str, settings: Mapping[str, str] | None = None) -> None:
        self.top = root / "repo"
        self.top.mkdir()
        git(self.top, "init", "-q", "-b", "main")
        (self.top / "a.txt").write_text("one\n")
        git(self.top, "add", "a.txt")
        git(self.top, "commit", "-q", "-m", "first")
        self.state_dir = root / "state"
        self.state_dir.mkdir()
        self.store = Store(self.state_dir / "journal.db")
        repository = open_repository(self.top)
        self.hub = Hub.open(self.state_dir / "hub.git", repository, "main")
        base = self.hub.sync_target()
        self.watch = Watch()
        agents = {"hand": (CommandDriver(), {"run": run, **(settings or {})})}
        never: Callable[[str], bool] = lambda path: False  # noqa: E731
        self.world = RealWorld(
            self.state_dir, repository, self.hub, Policy(), agents, NoJail(), never, never, self.watch
        )
        lease = Lease(Token(7), SPEC.scope, LeaseMode.exclusive, 1 << 50)
        self.run = Run(RUN, SPEC.id, 1, Commit(base), "hand", lease, 0)

    @property
    def place(self) -> Path:
        """The run's workspace."""
        return self.state_dir / "workspaces" / RUN

    def close(self) -> None:
        """Leave nothing behind."""
        self.world.keep(self.run)
        self.store.close()
        self.watch.close()
