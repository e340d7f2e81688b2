"""A real repository, a worker's change to it, and what the verifier makes of that: no night, no supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import Check, Evidence, ItemSpec, Lease, LeaseMode, Verdict
from ganger.core.policy import Policy
from ganger.core.verdict import judge
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail.none import NoJail
from ganger.service.protected import is_protected, is_test_file
from ganger.supervisor.evidence import Checker, collect

RUN = RunId("a.1")
PYTEST = Check("unit", (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"))
UNITTEST = Check("unit", (sys.executable, "-m", "unittest"))
Files = Mapping[str, str | bytes | None]
"""Contents by path; None takes a file away."""


def git(place: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        ["git", *identity, *arguments], cwd=place, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


def write(place: Path, files: Files) -> None:
    for name, content in files.items():
        path = place / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


class Bench:
    """A repository of these files, and the verifier."""

    def __init__(self, root: Path, files: Files, check: Check = PYTEST, policy: Policy | None = None) -> None:
        self.root, self.top, self.state_dir = root, root / "repo", root / "state"
        self.top.mkdir(parents=True)
        self.state_dir.mkdir()
        git(self.top, "init", "-q", "-b", "main")
        write(self.top, files)
        git(self.top, "add", "-A")
        git(self.top, "commit", "-q", "-m", "first")
        self.hub = Hub.open(self.state_dir / "hub.git", open_repository(self.top), "main")
        self.base = Commit(self.hub.sync_target())
        self.check = check
        self.policy = policy or Policy(flaky_retries=0)
        self.checker = Checker(self.state_dir, self.hub, NoJail(), is_protected, is_test_file)
        self._looks = 0

    def spec(self, **fields: object) -> ItemSpec:
        """The item: anything may change, and the check must pass."""
        given = {"scope": ("**",), "checks": (self.check,), **fields}
        return ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", **given)  # type: ignore[arg-type]

    def look(self, change: Files, **fields: object) -> tuple[Evidence, Verdict]:
        """What is found of a worker that leaves this change."""
        self._looks += 1
        place = self.state_dir / "workspaces" / str(self._looks)
        workspace.create(self.hub, place, RUN, self.base)
        write(place, change)
        return self.look_at(place, **fields)

    def look_at(self, place: Path, **fields: object) -> tuple[Evidence, Verdict]:
        """What is found in a workspace."""
        spec = self.spec(**fields)
        lease = Lease(Token(7), spec.scope, LeaseMode.exclusive, 1 << 50)
        run = Run(RUN, spec.id, 1, self.base, "hand", lease, 0)
        rules = self.policy.paths
        logs = self.state_dir / "logs" / place.name
        found = collect(self.checker, self.hub, run, spec, place, logs, is_test_file, rules, self.policy)
        policy = self.policy
        return found, judge(spec, spec.scope, found, rules, weakened=policy.weakened, witness=policy.witness)
