"""A fleet whose runs have files on disk, laid out as the supervisor lays them out, without processes or git."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import CheckState, EndKind, WorkerId
from ganger.core.policy import Policy
from ganger.journal.clock import wall_ms
from ganger.journal.queries import Reader
from ganger.journal.store import Store
from ganger.report.trace import Trace, trace
from ganger.service.door import keep_policy
from ganger.service.fleet import Accepted, Fleet, Reply
from ganger.service.places import Places
from ganger.testing.builders import BASE, TIP, TREE, add_plan, evidence, result, spec
from ganger.verifier.listed import encoded
from ganger.verifier.record import Seen

DAY_MS = 86_400_000
BEGIN_MS = wall_ms() - DAY_MS


class KeptFleet:
    """Runs of items `a` and `b` of plan `plan`, a minute between any two commands."""

    def __init__(self, state_dir: Path, landing_mode: str = "auto") -> None:
        state_dir.mkdir(exist_ok=True)
        self.state_dir, self.now_ms = state_dir, BEGIN_MS
        self.policy = Policy(backoff_ms=0, backoff_max_ms=0, workers_max=4, landing_mode=landing_mode)
        keep_policy(state_dir, self.policy)
        self.fleet = Fleet(Store(state_dir / "journal.db", clock=lambda: self.now_ms), self.policy)
        self.tokens: dict[str, Token] = {}
        self.closed = False
        self.do(add_plan(spec("a"), spec("b", scope=("docs/**",))), "person:olga")

    def close(self) -> None:
        """Close the journal; a second time does nothing."""
        if not self.closed:
            self.fleet.close()
        self.closed = True

    def submit(self, command: cmd.Command, actor: str = "supervisor") -> Reply:
        self.now_ms += 60_000
        return self.fleet.submit(command, actor)

    def do(self, command: cmd.Command, actor: str = "supervisor") -> Accepted:
        reply = self.submit(command, actor)
        assert isinstance(reply, Accepted), reply
        return reply

    def start(self, run: str, turn: int = 1) -> None:
        """Grant the run and start a turn, with its files."""
        if run not in self.tokens:
            granted = self.do(cmd.GrantRun(ItemId(run.partition(".")[0]), BASE))
            self.tokens[run] = Token(granted.seq)
        folder = self.turn_dir(run, turn)
        (folder / "home" / "cache").mkdir(parents=True)
        (folder / "tmp").mkdir()
        brief = f"Do {run}, turn {turn}.\n"
        Places(self.state_dir).brief(run, turn).write_text(brief)
        self.write(run, turn, {"stdin": brief, "output.log": "hello\n", "exit.json": "{}", "home/cache/x": "12345"})
        manifest = {"run": run, "turn": turn, "token": self.tokens[run], "base": BASE, "agent": "default", "tier": "T0"}
        manifest |= {"jail": {"network": "open"}}
        manifest["prompt_sha256"] = hashlib.sha256(brief.encode()).hexdigest()
        self.write(run, turn, {"manifest.json": msgspec.json.encode(manifest).decode()})
        self.do(cmd.RecordStart(RunId(run), self.tokens[run], turn, WorkerId(100 + turn, 1)))

    def turn_dir(self, run: str, turn: int = 1) -> Path:
        return Places(self.state_dir).turn(run, turn)

    def write(self, run: str, turn: int, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.turn_dir(run, turn) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def report(self, run: str, turn: int = 1) -> None:
        self.do(cmd.ReportDone(RunId(run), self.tokens[run], summary="all good"), f"worker:{run}")
        self.do(cmd.RecordExit(RunId(run), self.tokens[run], turn, 0))

    def judge(
        self,
        run: str,
        turn: int = 1,
        state: CheckState = CheckState.passed,
        path: str = "src/a.py",
        seen: Seen | None = None,
    ) -> Commit:
        """Hand in evidence with one check, its log, and the list of what was seen; returns the candidate."""
        self.write(run, turn, {"checks/unit.log": f"{state.value}\n"})
        log = self.turn_dir(run, turn) / "checks" / "unit.log"
        digest = hashlib.sha256(log.read_bytes()).hexdigest()
        check = result(state, log=str(log.relative_to(self.state_dir)), log_sha256=digest)
        if seen is not None:
            listed = log.with_suffix(".tests.json")
            listed.write_bytes(encoded(seen))
            digest = hashlib.sha256(listed.read_bytes()).hexdigest()
            kept = {"tests": str(listed.relative_to(self.state_dir)), "tests_sha256": digest}
            check = msgspec.structs.replace(check, executed=seen.executed, runner=seen.runners, **kept)
        candidate = Commit(hashlib.sha1(f"{run} {turn}".encode()).hexdigest())
        about = evidence(commit=candidate, checks=(check,), changed=(path,))
        self.do(cmd.RecordEvidence(RunId(run), self.tokens[run], turn, about))
        return candidate

    def land(self, run: str, candidate: Commit, passed: bool = True) -> None:
        members = ((RunId(run), self.tokens[run], candidate),)
        self.do(cmd.RecordTrain(members, (RunId(run),), BASE, TIP, TREE, passed, (result(),)))
        if passed and self.policy.landing_mode == "auto":
            self.do(cmd.RecordLanding(TIP, "landed", TIP))

    def landed(self, run: str) -> Commit:
        """A run from its grant to its landing."""
        self.start(run)
        self.report(run)
        candidate = self.judge(run, path="docs/x.md" if run.startswith("b") else "src/a.py")
        self.land(run, candidate)
        return candidate

    def failed(self, run: str, end: EndKind = EndKind.failed, actor: str = "supervisor") -> None:
        """A run that was started and ended without anything to show."""
        self.start(run)
        self.do(cmd.StopRun(RunId(run), end, "over"), actor)
        self.do(cmd.RecordExit(RunId(run), self.tokens[run], 1, 1))
        self.do(cmd.RecordEnd(RunId(run), self.tokens[run], end, "over", ("refs/ganger/keep/x",)))

    def trace(self, ref: str) -> Trace:
        with closing(Reader(self.state_dir / "journal.db")) as reader:
            return trace(reader, self.state_dir, ref)

    def tree(self) -> dict[str, bytes]:
        """Every file below the state directory but the database's own, with its content."""
        return {name: path.read_bytes() for name, path in self._files(self.state_dir.rglob("*"))}

    def _files(self, paths: Iterable[Path]) -> list[tuple[str, Path]]:
        found = [(str(path.relative_to(self.state_dir)), path) for path in paths if path.is_file()]
        return [(name, path) for name, path in sorted(found) if not name.startswith("journal.")]
