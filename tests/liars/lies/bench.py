"""The bench: a repository with a fleet of its own, on which candidates are judged as the supervisor judges them.

Nothing is simulated: the hub, the workspace, the checks, what is seen of them and the decision are the fleet's own;
only the worker is not started as a process, and nothing lands.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from msgspec import structs

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import Commit
from ganger.core.model import Evidence, ItemSpec, VerdictKind, WorkerId
from ganger.errors import GangerError
from ganger.git import workspace
from ganger.git.trash import discard_scratch
from ganger.service import wiring
from ganger.service.config import CONFIG_NAME
from ganger.supervisor.watch import Watch
from ganger.supervisor.world import RealWorld
from ganger.testing.builders import Story, add_plan
from lies.repository import ITEM, Repository
from lies.worker import Worker

NARROW, WITNESSED, HELD_OUT, WORDS, MAY_CHANGE = "narrow", "witnessed", "held-out", "words", "may-change"
""
"""Other items than `ITEM`: a narrow scope; a witness is needed; a check that no worker sees; words are enough; tests
may be changed."""
CHECK_TIMEOUT, PATIENCE = "8s", "90s"
"""How long a check of a liar may take, and one of honest work, on a machine that has other things to do."""


@dataclass(frozen=True)
class Switches:
    """The bench's defences; each may be switched off to see that it is needed."""

    protected: bool = True
    """Whether checks run with the base's version of protected files, and a candidate that changes one is refused."""
    tests: bool = True
    """Whether the base's tests are put back, must be executed, and run in addition."""
    weakened: str = "refuse"
    """What the policy says to weakened tests."""
    recorders: bool = True
    """Whether the checks let ganger's recorders see which tests run."""


@dataclass(frozen=True)
class Judged:
    """What the fleet made of one candidate."""

    kind: VerdictKind
    reasons: tuple[str, ...]
    evidence: Evidence | None
    """None when it could not be collected."""
    took_s: float

    @property
    def accepted(self) -> bool:
        """Whether it would land."""
        return self.kind is VerdictKind.accepted


class Bench:
    """One repository and its fleet below `root`."""

    def __init__(
        self, root: Path, repo: Repository, switches: Switches = Switches(), timeout: str = CHECK_TIMEOUT
    ) -> None:
        self.repo, self.root, self._switches = repo, root, switches
        self.top, self.count = root / "repo", 0
        self.top.mkdir(parents=True)
        _found(self.top, {**repo.files, "ganger.toml": _config(repo, switches, timeout)})
        environ = {"PATH": os.environ["PATH"], "HOME": str(root), "XDG_STATE_HOME": str(root / "state")}
        self.parts = wiring.gather(self.top, environ, "", {})
        self.policy = structs.replace(self.parts.policy, weakened=switches.weakened)
        wiring.place.prepare(self.parts.state_dir, self.parts.repository.common_dir)
        self.hub = wiring.open_hub(self.parts)
        self.base = Commit(self.hub.sync_target())
        self.specs = self._specs(root / "plan.toml")
        self._watch = Watch()
        self._world = RealWorld(
            self.parts.state_dir,
            self.parts.repository,
            self.hub,
            self.policy,
            {},
            wiring.jail(self.parts),
            (lambda path: wiring.is_protected(self.parts, path)) if switches.protected else _never,
            lambda path: wiring.is_test_file(self.parts, path),
            self._watch,
            bounds=self.parts.config.jail.bounds,
        )

    def add_base(
        self, files: Mapping[str, str] = MappingProxyType({}), whole: Mapping[str, str] | None = None
    ) -> Commit:
        """Put another base on the target: its first one with some files changed, or of `whole` files."""
        given = {**self.repo.files, **files} if whole is None else dict(whole)
        _commit(self.top, given, "Another base")
        return self.hub.sync_target()

    def close(self) -> None:
        """Leave nothing open."""
        self._watch.close()

    def judge(
        self, work: Callable[[Repository, Worker], bool], item: str = ITEM, base: Commit | None = None
    ) -> Judged | None:
        """Let somebody work in a workspace of its own, and judge what comes of it; None when `work` does not apply.

        `base` is an older commit of the target to start from.
        """
        self.count += 1
        spec, base = self.specs[item], base or self.base
        story = Story(policy=self.policy)
        story.do(add_plan(spec))
        run = story.do(cmd.GrantRun(spec.id, base))[0]
        assert isinstance(run, ev.RunGranted)
        place = self.parts.state_dir / "workspaces" / run.run
        workspace.create(self.hub, place, run.run, base)
        try:
            if not work(self.repo, Worker(place, base)):
                return None
            began = time.monotonic()
            return self._judged(story, spec, began)
        finally:
            if place.exists():
                discard_scratch(self.parts.state_dir, _into_scratch(self.parts.state_dir, place, self.count))

    def _judged(self, story: Story, spec: ItemSpec, began: float) -> Judged:
        run = story.state.runs[story.state.items[spec.id].run]
        token = run.lease.token
        story.do(cmd.RecordStart(run.id, token, 1, WorkerId(1, story.now_ms)))
        story.do(cmd.ReportDone(run.id, token))
        story.do(cmd.RecordExit(run.id, token, 1, 0))
        run = story.state.runs[run.id]
        try:
            evidence = self._world.collect(run, spec)
        except GangerError as error:
            return Judged(VerdictKind.unknown, (str(error),), None, time.monotonic() - began)
        decided = story.do(cmd.RecordEvidence(run.id, token, 1, evidence))
        verdict = next(event.verdict for event in decided if isinstance(event, ev.VerdictGiven))
        return Judged(verdict.kind, verdict.reasons, evidence, time.monotonic() - began)

    def _specs(self, path: Path) -> dict[str, ItemSpec]:
        narrow = ", ".join(f'"{pattern}"' for pattern in self.repo.scope)
        items = [_item(ITEM, '"**"', "unit"), _item(NARROW, narrow, "unit")]
        if self.repo.held_out:
            items.append(_item(HELD_OUT, narrow, "unit", "heldout"))
        path.write_text('[plan]\nid = "bench"\ntitle = "Bench"\n\n' + "\n".join(items))
        plan, _ = wiring.usable_plan(self.parts, path)
        specs: dict[str, ItemSpec] = {item.spec.id: item.spec for item in plan.items}
        own = specs[ITEM]
        if not self._switches.tests:
            specs = {name: structs.replace(spec, tests="may_change") for name, spec in specs.items()}
        return specs | {
            WITNESSED: structs.replace(own, witness=True),
            WORDS: structs.replace(own, changes="words"),
            MAY_CHANGE: structs.replace(own, tests="may_change"),
        }


def _never(path: str) -> bool:
    return False


def _item(name: str, scope: str, *checks: str, more: str = "") -> str:
    named = ", ".join(f'"{check}"' for check in checks)
    return (
        f'[[item]]\nid = "{name}"\ntitle = "Durations understand days"\nscope = [{scope}]\nlarge = true\n'
        f"checks = [{named}]\n{more}\n"
    )


def _config(repo: Repository, switches: Switches, timeout: str) -> str:
    check = repo.check if switches.recorders else f'sh -c "env -i PATH=$PATH HOME=$HOME {repo.check}"'
    checks = {"unit": check} | ({"heldout": repo.held_out} if repo.held_out else {})
    tables = [f"[checks.{name}]\nrun = '''{run}'''\ntimeout = \"{timeout}\"\n" for name, run in checks.items()]
    head = '[agents.default]\ndriver = "command"\nrun = "true"\n\n[landing]\nflaky_retries = 0\n\n'
    head += f"[jail]\nreadable = {json.dumps(list(repo.readable))}\n\n"
    return head + "\n".join(tables)


def _found(top: Path, files: Mapping[str, str]) -> None:
    """Make the user's repository with one commit of these files, after one that is older."""
    _git(top, "init", "--quiet", "--initial-branch=main")
    _commit(top, {"README.md": "# to come\n"}, "Begin")
    _commit(top, files, "Read durations")


def _commit(top: Path, files: Mapping[str, str], message: str) -> None:
    """Commit a tree of these files and, where there is one, of the configuration that lies there."""
    for path in _git(top, "ls-files").splitlines():
        if path not in files and path != CONFIG_NAME:
            (top / path).unlink()
    for path, text in files.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        if text.startswith("#!"):
            place.chmod(0o755)
    _git(top, "add", "--all")
    _git(top, "commit", "--quiet", "--allow-empty", "--message", message)


def _git(top: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    identity = ("-c", "user.name=Dana", "-c", "user.email=dana@example.org", "-c", "core.quotepath=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=top, env=env, check=True, capture_output=True, text=True)
    return done.stdout


def _into_scratch(state_dir: Path, place: Path, number: int) -> Path:
    scratch = state_dir / "scratch" / f"worker-{number}"
    scratch.parent.mkdir(exist_ok=True)
    place.rename(scratch)
    return scratch
