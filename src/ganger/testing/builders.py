"""Small values and histories for tests: items, evidence, and a state driven by commands."""

from __future__ import annotations

from typing import Any

from ganger.core import commands as cmd
from ganger.core.decide import decide
from ganger.core.events import Entry, Event
from ganger.core.evolve import evolve
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq, Token
from ganger.core.model import Check, CheckResult, CheckState, Evidence, ItemSpec, Refusal, WorkerId
from ganger.core.policy import Policy
from ganger.core.state import State

NOW_MS = 1_800_000_000_000
BASE, CANDIDATE, TIP, TREE = (Commit(digit * 40) for digit in "bcde")


def spec(name: str = "login", **fields: Any) -> ItemSpec:
    """An item with one check, in `src/**`."""
    given = {"title": name.title(), "scope": ("src/**",), "checks": (Check("unit", ("true",)),), **fields}
    return ItemSpec(id=ItemId(name), plan=PlanId("plan"), **given)


def result(state: CheckState = CheckState.passed, name: str = "unit", **fields: Any) -> CheckResult:
    """How a check ended."""
    code = {CheckState.passed: 0, CheckState.failed: 1, CheckState.ran_nothing: 0}.get(state)
    return CheckResult(name=name, argv=("true",), state=state, **{"exit_code": code, "took_ms": 1_000, **fields})


def evidence(**fields: Any) -> Evidence:
    """Evidence on a good candidate."""
    given = {"commit": CANDIDATE, "tree": TREE, "checked_tree": TREE, "changed": ("src/a.py",), "checks": (result(),)}
    return Evidence(**{"base": BASE, **given, **fields})


class Story:
    """A state that commands are tried on, one after the other, at a time that only moves when told to."""

    def __init__(self, *specs: ItemSpec, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.state = State(rules=self.policy.paths)
        self.now_ms = NOW_MS
        self.entries: list[Entry] = []
        if specs:
            self.do(add_plan(*specs))

    def decide(self, command: cmd.Command) -> tuple[Event, ...] | Refusal:
        """What the command would do now."""
        return decide(self.state, command, self.now_ms, self.policy)

    def do(self, command: cmd.Command) -> tuple[Event, ...]:
        """Carry the command out; AssertionError with the reason when it is refused."""
        decided = self.decide(command)
        assert not isinstance(decided, Refusal), decided.reason
        for event in decided:
            self.append(event)
        return decided

    def append(self, event: Event) -> None:
        """Let an event happen."""
        entry = Entry(Seq(self.state.seq + 1), self.now_ms, "test", event)
        self.entries.append(entry)
        evolve(self.state, entry)

    def why_not(self, command: cmd.Command) -> tuple[str, str]:
        """Code and reason of the refusal."""
        decided = self.decide(command)
        assert isinstance(decided, Refusal), decided
        return decided.code.value, decided.reason

    def run(self, item: str = "login", attempt: int = 1) -> Run:
        """A live run."""
        return self.state.runs[RunId(f"{item}.{attempt}")]

    def token(self, item: str = "login", attempt: int = 1) -> Token:
        """The token of a live run."""
        return self.run(item, attempt).lease.token

    def granted(self, item: str = "login") -> Run:
        """Give an item to a run."""
        self.do(cmd.GrantRun(ItemId(item), BASE))
        return self.state.runs[self.state.items[ItemId(item)].run]

    def started(self, item: str = "login", turn: int = 1) -> Run:
        """Give an item to a run and start its worker."""
        run = self.granted(item) if not self.state.items[ItemId(item)].run else self._live(item)
        self.do(cmd.RecordStart(run.id, run.lease.token, turn, WorkerId(100 + turn, NOW_MS)))
        return self._live(item)

    def reported(self, item: str = "login", turn: int = 1) -> Run:
        """Have a worker started, report and exit."""
        run = self.started(item, turn)
        self.do(cmd.ReportDone(run.id, run.lease.token))
        self.do(cmd.RecordExit(run.id, run.lease.token, turn, 0))
        return self._live(item)

    def accepted(self, item: str = "login", turn: int = 1) -> Run:
        """Have a candidate accepted."""
        run = self.reported(item, turn)
        self.do(cmd.RecordEvidence(run.id, run.lease.token, turn, evidence()))
        return self._live(item)

    def train(self, *items: str, **fields: Any) -> cmd.RecordTrain:
        """A train of accepted candidates that passed, unless `fields` say otherwise."""
        runs = [self._live(item) for item in items]
        given = {"runs": tuple(run.id for run in runs), "passed": True, **fields}
        members = tuple((run.id, run.lease.token, CANDIDATE) for run in runs)
        shown = {"members": members, "old": BASE, "commit": TIP, "tree": TREE, **given}
        count = len(shown["runs"])
        before = tuple(Commit(f"{n:040}") for n in range(1, count))
        shown.setdefault("commits", (*before, shown["commit"]) if count else ())
        return cmd.RecordTrain(**shown)

    def landing(self, item: str = "login") -> Run:
        """Have a candidate's landing started."""
        self.accepted(item)
        self.do(self.train(item))
        return self._live(item)

    def ended(self, item: str = "login", end: Any = "failed", reason: str = "it crashed") -> None:
        """Give an item to a run and end that."""
        run = self.granted(item)
        self.do(cmd.RecordEnd(run.id, run.lease.token, end, reason))

    def _live(self, item: str) -> Run:
        return self.state.runs[self.state.items[ItemId(item)].run]


def add_plan(*specs: ItemSpec, digest: str = "1", plan: str = "plan") -> cmd.AddPlan:
    """A plan of these items."""
    return cmd.AddPlan(PlanId(plan), "A plan", "plans/plan.toml", digest, tuple((one, "Do it.") for one in specs))
