"""A train on real git: candidates that wait in a real fleet, and a real supervisor that lands them.

What their workers would have done is put there beforehand, so that a benchmark or a test is about the train alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId
from ganger.core.loop import Intent, StopReason
from ganger.core.model import Check, CheckResult, CheckState, Evidence, ItemSpec, LeaseMode, Refusal, Rung, WorkerId
from ganger.core.policy import Policy
from ganger.git.command import UserGit
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail.none import NoJail
from ganger.journal.store import Store
from ganger.service.fleet import Fleet
from ganger.supervisor.effects import World
from ganger.supervisor.loop import Supervisor
from ganger.supervisor.watch import Watch
from ganger.supervisor.world import RealWorld

IDENTITY = "depot <depot@localhost>"
GONE = WorkerId(1 << 22, 1, "another boot")
"""A worker of a boot long ago."""


class Candidate(Struct, frozen=True):
    """What somebody made: files and their text; None removes one."""

    name: str
    files: Mapping[str, str | None]
    is_fine_alone: bool = False
    """Whether its evidence says that its check passed."""


class Opened:
    """The parts of a depot's fleet as one process has them open."""

    def __init__(self, root: Path, policy: Policy) -> None:
        """`root` holds the folders `repo` and `state`."""
        state_dir, repository = root / "state", open_repository(root / "repo")
        self.store = Store(state_dir / "journal.db")
        self.fleet = Fleet(self.store, policy)
        self.hub = Hub.open(state_dir / "hub.git", repository, "main")
        self.watch = Watch()
        never: Callable[[str], bool] = lambda path: False  # noqa: E731
        self.world = RealWorld(state_dir, repository, self.hub, policy, {}, NoJail(), never, never, self.watch)


def supervise(fleet: Fleet, world: World, watch: Watch) -> StopReason:
    """Land what can be landed, until nothing more can be done."""
    fleet.take_over(os.getpid(), "depot", "1")
    return Supervisor(fleet, world, watch, Intent(offer=False)).run()


class Depot:
    """A repository with one branch per candidate on its first commit, and a fleet in which all are accepted."""

    def __init__(
        self,
        root: Path,
        files: Mapping[str, str],
        candidates: Sequence[Candidate],
        argv: tuple[str, ...],
        policy: Policy,
    ) -> None:
        """`argv` is every candidate's check."""
        self.top, self.state_dir = root / "repo", root / "state"
        self.top.mkdir(parents=True)
        self.state_dir.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("fast-import", "--quiet", "--done", given=_stream(files, candidates))
        self.git("reset", "-q", "--hard")
        self.base = Commit(self.git("rev-parse", "main"))
        self.policy, self.candidates, self.check = policy, tuple(candidates), Check("all", argv, 60_000)
        self._open()
        self.hub.sync_target()
        branches = (f"+refs/heads/candidate/{one.name}:refs/ganger/candidate/{one.name}.1" for one in candidates)
        self.hub.fetch(self.top / ".git", tuple(branches))
        self._accept()

    def _open(self) -> None:
        """Open the fleet as it is, as a supervisor's process does."""
        opened = Opened(self.top.parent, self.policy)
        self.store, self.fleet, self.hub, self.watch = opened.store, opened.fleet, opened.hub, opened.watch
        self.world: World = opened.world

    def reopen(self) -> None:
        """Open it again after `close`, with what another process has made of it meanwhile."""
        self._open()

    def git(self, *args: str, given: bytes = b"") -> str:
        """Run plain git in the repository; return what it printed."""
        own = ("-c", "user.name=depot", "-c", "user.email=depot@localhost")
        env = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        return UserGit(self.top).run(*own, *args, input=given, env=env).decode().strip()

    def commit(self, files: Mapping[str, str], message: str = "by hand") -> Commit:
        """Have a person commit to the target."""
        for name, text in files.items():
            (self.top / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return Commit(self.git("rev-parse", "HEAD"))

    def do(self, command: cmd.Command) -> None:
        """Have the fleet carry out a command; AssertionError with the reason when it is refused."""
        person = isinstance(command, (cmd.AddPlan, cmd.AnswerQuestion, cmd.UndoLanding))
        reply = self.fleet.submit(command, "person:olga" if person else "supervisor")
        assert not isinstance(reply, Refusal), reply.reason

    def night(self) -> StopReason:
        """Land what can be landed, until nothing more can be done."""
        return supervise(self.fleet, self.world, self.watch)

    def landed(self) -> set[str]:
        """The items that are on the target."""
        return self.fleet.look(lambda state, _: {str(i.spec.id) for i in state.items.values() if i.landed})

    def reasons(self) -> dict[str, str]:
        """Why the others are not."""
        return self.fleet.look(
            lambda state, _: {str(i.spec.id): i.last_reason for i in state.items.values() if not i.landed}
        )

    def close(self) -> None:
        """Leave nothing behind."""
        self.watch.close()
        self.store.close()

    def _accept(self) -> None:
        """Have each candidate accepted, in their order."""
        specs = [
            ItemSpec(
                id=ItemId(one.name),
                plan=PlanId("depot"),
                title=f"Change {one.name}",
                scope=("**",),
                mode=LeaseMode.shared,
                checks=(self.check,),
                rung=Rung.in_scope,
                attempts_max=1,
            )
            for one in self.candidates
        ]
        items = tuple((spec, "Do it.") for spec in specs)
        self.do(cmd.AddPlan(PlanId("depot"), "Depot", "depot.toml", "1", items))
        for one in self.candidates:
            self.do(cmd.GrantRun(ItemId(one.name), self.base, force=""))
            run = self._run_of(one)
            token = run.lease.token
            self.do(cmd.RecordStart(run.id, token, 1, GONE))
            self.do(cmd.ReportDone(run.id, token))
            self.do(cmd.RecordExit(run.id, token, 1, 0))
            commit = Commit(self.git("rev-parse", f"candidate/{one.name}"))
            tree = Commit(self.git("rev-parse", f"candidate/{one.name}^{{tree}}"))
            passed = (CheckResult("all", self.check.argv, CheckState.passed, 0, 1),) if one.is_fine_alone else ()
            evidence = Evidence(self.base, commit, tree, tree, tuple(sorted(one.files)), checks=passed)
            self.do(cmd.RecordEvidence(run.id, token, 1, evidence))

    def _run_of(self, one: Candidate) -> Run:
        return self.fleet.look(lambda state, _: state.runs[RunId(f"{one.name}.1")])


def _stream(files: Mapping[str, str], candidates: Sequence[Candidate]) -> bytes:
    """The repository as `git fast-import` reads it."""
    parts = [_commit("main", "", "start", files, 1)]
    parts += [_commit(f"candidate/{one.name}", "main", one.name, one.files, 2) for one in candidates]
    return "".join((*parts, "done\n")).encode()


def _commit(branch: str, parent: str, message: str, files: Mapping[str, str | None], when_s: int) -> str:
    head = f"commit refs/heads/{branch}\ncommitter {IDENTITY} {1_700_000_000 + when_s} +0000\n{_data(message)}"
    head += f"from refs/heads/{parent}\n" if parent else ""
    body = (f"D {path}\n" if text is None else f"M 644 inline {path}\n{_data(text)}" for path, text in files.items())
    return head + "".join(body) + "\n"


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
