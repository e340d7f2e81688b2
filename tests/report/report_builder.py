"""Nights as real journals: every fact goes in through `Fleet.submit` and `decide`, as it does when agents work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ganger.core import commands as cmd
from ganger.core.decide import decide
from ganger.core.ids import Commit, ItemId, PlanId, QuestionId, RunId
from ganger.core.model import (
    Again,
    Check,
    CheckResult,
    CheckState,
    EndKind,
    Evidence,
    Hold,
    ItemSpec,
    Liveness,
    Outcome,
    RecoveryFacts,
    Refusal,
    RefusalCode,
    Usage,
    WorkerId,
)
from ganger.core.policy import Policy
from ganger.core.train import Trial, next_trial
from ganger.journal.queries import Reader
from ganger.journal.store import Store
from ganger.service.fleet import Accepted, Fleet

BEGIN_MS = 1_795_212_000_000
"""Friday, 20 November 2026, 22:00 UTC."""
MIN = 60_000
LEASE_MS = 48 * 60 * MIN
"""Nobody renews leases here, so they last."""
UNIT = Check("unit", ("python", "-m", "pytest", "-q"))
LINT = Check("lint", ("ruff", "check"))


def commit(name: str) -> Commit:
    """A commit id that follows from a name."""
    return Commit(hashlib.sha1(name.encode()).hexdigest())


def spec(item: str, title: str = "", **fields: object) -> ItemSpec:
    """An item with a check of its own scope, unless told otherwise."""
    base: dict[str, object] = {"scope": (f"src/{item}/**",), "checks": (UNIT,)}
    return ItemSpec(ItemId(item), PlanId("night"), title or f"The {item} item", **(base | fields))


class Night:
    """A fleet whose clock the test holds; `state_dir` is laid out as the supervisor does."""

    def __init__(self, state_dir: Path, policy: Policy | None = None) -> None:
        self.state_dir = state_dir
        state_dir.mkdir(parents=True, exist_ok=True)
        self.now_ms = BEGIN_MS
        self.store = Store(state_dir / "journal.db", clock=lambda: self.now_ms)
        self.fleet = Fleet(self.store, policy or Policy(workers_max=64, lease_ttl_ms=LEASE_MS))
        self.target = commit("target")
        self._pid = 1_000
        self._bulk = None

    def close(self) -> None:
        """Close the journal."""
        self.fleet.close()

    def reader(self) -> Reader:
        """A look at the journal; the caller closes it."""
        return Reader(self.state_dir / "journal.db")

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Put everything inside into one transaction, for large nights."""
        with self.store.writing() as writing:
            self._bulk = writing
            try:
                yield
            finally:
                self._bulk = None

    def say(self, command: cmd.Command, actor: str = "supervisor", minutes: float = 0) -> None:
        """Let `minutes` pass and submit a command, which must be accepted."""
        self.now_ms += int(minutes * MIN)
        if self._bulk is not None:
            decision = decide(self._bulk.state, command, self.now_ms, self.fleet.policy)
            assert not isinstance(decision, Refusal), decision
            self._bulk.now_ms = self.now_ms
            self._bulk.append(decision, actor)
            return
        reply = self.fleet.submit(command, actor)
        assert isinstance(reply, Accepted), reply

    def _run(self, run: str):  # type: ignore[no-untyped-def]
        state = self.store.folded if self._bulk is not None else self.store.catch_up()
        return state.runs[RunId(run)]

    def token(self, run: str) -> int:
        """The token of a live run."""
        return self._run(run).lease.token

    def plan(self, *items: ItemSpec, brief: str = "Do it.", digest: str = "1") -> None:
        """Have the fleet take over a plan."""
        pairs = tuple((item, brief) for item in items)
        self.say(cmd.AddPlan(PlanId("night"), "Night", "plans/night.toml", digest, pairs), "person:ada")

    def supervisor(self, pid: int, reason: str = "", minutes: float = 0) -> None:
        """A supervisor takes over, or with a reason leaves."""
        self.say(cmd.RecordSupervisor(pid, "tor", "0.1", reason), minutes=minutes)

    def grant(self, item: str, minutes: float = 0) -> str:
        """Start a run and its worker; returns the run."""
        self.say(cmd.GrantRun(ItemId(item), self.target), minutes=minutes)
        state = self.store.folded
        run = state.items[ItemId(item)].run
        self.start(run)
        return run

    def start(self, run: str, minutes: float = 0) -> None:
        """Start the worker of the turn that is due."""
        self._pid += 1
        worker = WorkerId(self._pid, self._pid, "boot")
        self.say(cmd.RecordStart(RunId(run), self.token(run), self._run(run).turn + 1, worker), minutes=minutes)

    def exit(self, run: str, code: int | None = 0, minutes: float = 0, **how: object) -> None:
        """The worker of a run is gone."""
        found = self._run(run)
        self.say(cmd.RecordExit(RunId(run), found.lease.token, found.turn, code, **how), minutes=minutes)

    def done(self, run: str, summary: str = "", minutes: float = 0, outcome: Outcome = Outcome.completed) -> None:
        """The worker says that it is done, and ends."""
        report = cmd.ReportDone(RunId(run), self.token(run), outcome=outcome, summary=summary)
        self.say(report, f"worker:{run}", minutes)
        self.exit(run, minutes=0.05, cpu_ms=12_000)

    def result(
        self, run: str, name: str = "unit", state: CheckState = CheckState.passed, **fields: object
    ) -> CheckResult:
        """What a check showed, with its log in place."""
        turn = self._run(run).turn if run in self.store.folded.runs else 1
        return self._result(f"runs/{run}/turn-{turn}/checks/{name}.log", name, state, fields)

    def train_result(self, name: str = "unit", state: CheckState = CheckState.passed, **fields: object) -> CheckResult:
        """What a check on a combined tree showed, with its log in place."""
        return self._result(f"trains/{self.now_ms}/{name}.log", name, state, fields)

    def _result(self, log: str, name: str, state: CheckState, fields: dict[str, object]) -> CheckResult:
        exit_code = {CheckState.passed: 0, CheckState.failed: 1, CheckState.ran_nothing: 0}.get(state)
        base: dict[str, object] = {
            "argv": ("pytest",),
            "exit_code": exit_code,
            "took_ms": 3_200,
            "executed": 0 if state is CheckState.ran_nothing else 42,
            "runner": "pytest",
            "log": log,
        }
        if state is CheckState.failed:
            base["tail"] = "E   assert 1 == 2\nFAILED tests/test_x.py::test_sum\n1 failed, 41 passed in 3.1s\n"
        if self._bulk is None:
            (self.state_dir / log).parent.mkdir(parents=True, exist_ok=True)
            (self.state_dir / log).write_text("the whole output\n")
        return CheckResult(name=name, state=state, **(base | fields))

    def evidence(
        self, run: str, *checks: CheckResult, minutes: float = 1, unchecked: bool = False, **fields: object
    ) -> None:
        """Ganger looks at the candidate; without `commit=` it holds one change inside the scope."""
        found = self._run(run)
        item = str(found.item)
        name = f"{run}/{found.turn}"
        base: dict[str, object] = {
            "commit": commit(name),
            "tree": commit(name + "t"),
            "checked_tree": commit(name + "t"),
            "changed": (f"src/{item}/__init__.py", f"src/{item}/main.py"),
            "took_ms": int(minutes * MIN * 0.9),
            "checks": () if unchecked else checks or (self.result(run),),
        }
        evidence = Evidence(base=found.base, **(base | fields))
        self.say(cmd.RecordEvidence(RunId(run), found.lease.token, found.turn, evidence), minutes=minutes)

    def nothing(self, run: str) -> None:
        """Ganger looks, and nothing was committed."""
        base = self._run(run).base
        self.evidence(run, commit=base, tree=base, checked_tree=base, changed=(), checks=(), minutes=0.1)

    def accepted(self, item: str, work: float = 10, minutes: float = 0) -> str:
        """A run that does its work well and waits for the train."""
        run = self.grant(item, minutes)
        self.done(run, f"{item} is done", work)
        self.evidence(run)
        return run

    def train(
        self,
        *runs: str,
        passed: bool = True,
        checks: tuple[CheckResult, ...] = (),
        conflicts: tuple[tuple[str, tuple[str, ...]], ...] = (),
        minutes: float = 2,
    ) -> Commit:
        """Test candidates together; returns the tested commit."""
        left_out = tuple((RunId(run), paths) for run, paths in conflicts)
        everyone = [*runs, *(run for run, _ in conflicts)]
        members = tuple((RunId(run), self.token(run), self._run(run).evidence.commit) for run in everyone)
        new = commit("+".join(runs) + self.target)
        result = self.train_result(state=CheckState.passed if passed else CheckState.failed)
        self.say(
            cmd.RecordTrain(
                members=members,
                runs=tuple(RunId(run) for run in runs),
                old=self.target,
                commit=new,
                tree=commit("tree" + new),
                passed=passed and bool(runs),
                checks=checks or ((result,) if runs else ()),
                conflicts=left_out,
                took_ms=int(minutes * MIN * 0.8),
                commits=(*(commit("+".join(runs[:last]) + self.target) for last in range(1, len(runs))), new)[
                    : len(runs)
                ],
            ),
            minutes=minutes,
        )
        return new

    def probe(self, run: str, passed: bool = False) -> None:
        """An accused candidate, or what it fails on, is tested by itself."""
        trial, found = self._next_trial(run), self._run(run)
        assert trial is not None
        checks = (self.train_result(state=CheckState.passed if passed else CheckState.failed),)
        given = (RunId(run), found.lease.token, found.evidence.commit, trial.onto, passed, checks)
        self.say(cmd.RecordProbe(*given, again=trial.again, bare=trial.bare, took_ms=24_000), minutes=0.5)

    def judge(self, run: str) -> None:
        """Enough is known about an accused candidate: it goes back to its worker."""
        self.say(cmd.JudgeCandidate(RunId(run), self.token(run)))

    def send_back(self, run: str) -> None:
        """An accused candidate fails again and by itself, on a target that is good: it goes back to its worker."""
        while (trial := self._next_trial(run)) is not None:
            self.probe(run, passed=trial.bare)
        self.judge(run)

    def _next_trial(self, run: str) -> Trial | None:
        search = self.store.catch_up().search
        case = next(case for case in search.cases if case.run == run)
        return next_trial(search, case, self.fleet.policy.flaky_retries)

    def landing(self, new: Commit, state: str = "landed", detail: tuple[str, ...] = (), tip: str = "") -> None:
        """What became of the landing under way."""
        self.say(cmd.RecordLanding(new, state, Commit(tip or new), detail), minutes=0.05)
        if state == "landed":
            self.target = new

    def land(self, *runs: str, minutes: float = 2) -> None:
        """A train that passes and lands."""
        self.landing(self.train(*runs, minutes=minutes))

    def stop(self, run: str, end: EndKind, reason: str, minutes: float = 0) -> None:
        """Have a run end, and end it."""
        self.say(cmd.StopRun(RunId(run), end, reason), minutes=minutes)
        self.end(run)

    def end(self, run: str, minutes: float = 0.1) -> None:
        """The run that was stopped is over; its work is kept."""
        found = self._run(run)
        if found.has_worker:
            self.exit(run, None, minutes=0.05, signal=15)
        kept = (f"refs/ganger/keep/{run}/head", f"refs/ganger/keep/{run}/dirty")
        stop = found.stop
        self.say(cmd.RecordEnd(RunId(run), found.lease.token, stop.end, stop.reason, kept), minutes=minutes)

    def usage(self, run: str, usd_micros: int, tokens: int) -> None:
        """What the turn of a run has spent so far."""
        found = self._run(run)
        self.say(cmd.RecordUsage(RunId(run), found.lease.token, found.turn, Usage(usd_micros, tokens)))

    def ask(self, run: str, text: str, *options: str, recommend: str = "", risk: str = "", minutes: float = 0) -> None:
        """The worker asks and ends its turn."""
        asked = cmd.AskQuestion(RunId(run), self.token(run), text, options, recommend, risk)
        self.say(asked, f"worker:{run}", minutes)
        self.exit(run, minutes=0.05)

    def answer(self, question: str, choice: str, minutes: float = 0) -> None:
        """A person answers."""
        self.say(cmd.AnswerQuestion(QuestionId(question), choice, "ada"), "person:ada", minutes)

    def wait(self, item: str, holder: str, code: RefusalCode = RefusalCode.overlap, reason: str = "") -> None:
        """A ready item is not admitted."""
        why = reason or f"item {item} wants src/**, which overlaps src/** held by {holder}"
        self.say(cmd.RecordWait(ItemId(item), code, why, holder))


class Words(msgspec.Struct):
    """What the people and workers of a night write; a hostile night writes worse."""

    title: str = "Log in with a password"
    summary: str = "Everything is implemented and all tests pass."
    question: str = "Which hash should passwords have?"
    options: tuple[str, ...] = ("argon2id", "bcrypt")
    risk: str = "hashes cannot be changed later without a migration"
    path: str = "src/other/settings.py"
    reason: str = "the library is missing"
    tail: str = "E   assert 1 == 2\nFAILED tests/test_x.py::test_sum\n"
    host: str = "tor"
    note: str = "halfway"


def full_night(state_dir: Path, words: Words | None = None) -> Night:
    """A night with something in every section and every kind of anomaly; about nine hours long."""
    words = words or Words()
    night = Night(state_dir, Policy(workers_max=6, backoff_ms=MIN, turns_max=2, lease_ttl_ms=LEASE_MS))
    title = words.title
    night.plan(
        spec("schema", "Tables for users and sign-ins"),
        spec("login", title, after=(ItemId("schema"),), checks=(UNIT, LINT)),
        spec("logout", "Log out everywhere", after=(ItemId("login"),)),
        spec("api", "Version the public interface"),
        spec("search", "Search by name", after=(ItemId("api"),)),
        spec("billing", f"Invoices in PDF {title}"),
        spec("mail", "Send mail through a queue"),
        spec("cache", f"Cache what is read often {title}", attempts_max=2),
        spec("warm", "Warm the cache at start", after=(ItemId("cache"),)),
        spec("ui", "Dark mode"),
        spec("docs", "A page about sign-in"),
        spec("perf", "Twice as fast", attempts_max=3),
        spec("draft", "Not yet thought through", hold=Hold("draft")),
        spec("later", "In December", hold=Hold("until", BEGIN_MS + 20 * 24 * 60 * MIN)),
        spec("slow", "The long one"),
        spec("rest", "What nobody got to", priority=900),
    )
    night.supervisor(4711)
    _evening(night, words)
    _midnight(night, words)
    _morning(night, words)
    return night


def _evening(night: Night, words: Words) -> None:
    """Work begins: one item lands, a claim is refused, a worker edits what is not its own."""
    schema, api = night.grant("schema", 1), night.grant("api", 0.2)
    billing, cache = night.grant("billing", 0.1), night.grant("cache", 0.1)
    night.wait("ui", schema)
    night.wait("mail", schema)
    night.wait("docs", "", RefusalCode.fleet_cap, "6 of 6 workers are busy")
    night.done(schema, "Both tables are there.", 14)
    night.ask(billing, words.question, *words.options, recommend=words.options[0], risk=words.risk, minutes=3)
    night.evidence(schema, night.result(schema, executed=61), minutes=2)
    night.done(api, words.summary, 4)
    night.nothing(api)
    night.start(api, 0.2)
    night.done(cache, words.summary, 6)
    night.evidence(cache, changed=("src/cache/lru.py", words.path), unchecked=True)
    night.land(schema, minutes=3)
    night.start(cache, 0.2)
    night.wait("login", cache)
    login, ui = night.grant("login", 0.5), night.grant("ui", 0.2)
    night.done(cache, "Now inside the scope.", 9)
    night.evidence(cache, night.result(cache, state=CheckState.failed, tail=words.tail))
    night.end(cache)
    night.done(api, "Really done.", 5)
    night.evidence(api, auto_committed=True)
    night.done(ui, "Dark mode is there.", 5)
    night.evidence(ui)
    night.done(login, "Passwords work.", 21)
    night.evidence(login, night.result(login), night.result(login, "lint", executed=None, runner=""), minutes=2)
    both = night.train(api, ui, login, passed=False, minutes=4)
    assert both
    night.train(api, passed=True, minutes=3)
    night.landing(commit(api + night.target), "moved", tip=commit("by somebody else"))
    night.target = commit("by somebody else")
    night.landing(night.train(api, minutes=3))
    night.train(ui, passed=False, minutes=3)
    night.send_back(ui)
    night.end(ui)


def _midnight(night: Night, words: Words) -> None:
    """Workers die, a supervisor is killed, a candidate does not merge, a check is flaky."""
    login, billing = "login.1", "billing.1"
    mail, docs = night.grant("mail", 2), night.grant("docs", 0.1)
    night.exit(mail, None, minutes=18, signal=9)
    night.end(mail)
    night.supervisor(4999, minutes=40)
    night.exit(docs, None, lost=True)
    night.say(cmd.RecordRecovery(RunId(docs), night.token(docs), 1, RecoveryFacts(workspace=False)))
    night.end(docs)
    cache = night.grant("cache", 2)
    perf = night.grant("perf", 0.1)
    docs = night.grant("docs", 0.1)
    night.done(docs, "A page.", 8)
    night.evidence(docs)
    flaky = night.train_result(flaky=True)
    night.landing(night.train(login, checks=(flaky,), conflicts=((docs, ("docs/index.md", words.path)),), minutes=4))
    night.end(docs)
    night.say(cmd.ReportFail(RunId(cache), night.token(cache), words.reason), f"worker:{cache}", 12)
    night.exit(cache)
    night.end(cache)
    night.say(cmd.AddNote(RunId(perf), night.token(perf), words.note), f"worker:{perf}")
    night.stop(perf, EndKind.stalled, "the worker showed no activity for 600 s", 11)
    perf = night.grant("perf", 3)
    night.stop(perf, EndKind.timed_out, "the worker took longer than 2700 s", 45)
    assert billing


def _morning(night: Night, words: Words) -> None:
    """The last items: one that waits for a clean checkout, one that is at work, one that cools."""
    search = night.accepted("search", 17, 5)
    night.stop(night.grant("logout", 1), EndKind.stopped, words.reason, 4)
    mail = night.grant("mail", 1)
    night.exit(mail, 0, minutes=12)
    night.evidence(mail, night.result(mail, state=CheckState.ran_nothing))
    night.start(mail, 0.2)
    slow = night.grant("slow", 2)
    night.landing(night.train(search, minutes=3), "dirty", ("M " + words.path,))
    night.exit(mail, 3, minutes=6)
    night.end(mail)
    assert slow
    night.now_ms += 10_000


def hard_day(night: Night, words: Words | None = None) -> None:
    """After a full night: workers that hang, spin, reach a limit or their fence, and a fleet that is held back."""
    words = words or Words()
    noon, parked = PlanId("noon"), PlanId("parked")
    items = [spec("hang"), spec("spin"), spec("limit"), spec("ideas", "Ask for more", kind="planner", checks=())]
    flops = [spec(f"flop{n}") for n in range(2)]
    plans = {noon: [*items, *flops], parked: [spec("parked", f"Set aside {words.title}")]}
    for plan, specs in plans.items():
        pairs = tuple((msgspec.structs.replace(one, plan=plan), "Do it.") for one in specs)
        night.say(cmd.AddPlan(plan, plan, f"plans/{plan}.toml", "1", pairs), "person:ada", 1)
    night.say(cmd.ControlPlan(parked, "stop", words.reason), "person:ada")
    hang, spin, limit, ideas = (night.grant(one.id, 1) for one in items)
    _hangs_and_spins(night, words, hang, spin)
    for number in range(2):
        night.stop(night.grant(f"flop{number}"), EndKind.failed, words.reason, 1)
    _limited_and_finished(night, words, limit, ideas)
    night.say(cmd.AcquireLease("olga", scope=("vendor/**", "tools/**"), ttl_ms=120 * MIN), "person:olga")
    night.say(cmd.AcquireLease("script", scope=("elsewhere/x",), ttl_ms=60 * MIN), "person:olga")


def _hangs_and_spins(night: Night, words: Words, hang: str, spin: str) -> None:
    """One worker hangs and is replaced, one spins and reaches for what is not its own."""
    reason = "the worker showed no activity for 600 s"
    night.say(cmd.RepeatTurn(RunId(hang), night.token(hang), 1, Again.hang, reason), minutes=12)
    night.exit(hang, None, signal=15)
    night.start(hang, 5)
    night.usage(hang, 1_250_000, 48_000)
    night.say(cmd.FlagRun(RunId(spin), night.token(spin), Liveness.spinning, "the same call 12 times in 300 s"))
    refused = night.fleet.submit(cmd.RetryItem(ItemId("cache")), f"worker:{spin}")
    assert isinstance(refused, Refusal), refused
    night.usage(spin, 310_000, 9_000)
    night.say(cmd.RewindRun(RunId(spin), night.target, words.note, "ada"), "person:ada", 2)
    night.exit(spin, None, signal=15)


def _limited_and_finished(night: Night, words: Words, limit: str, ideas: str) -> None:
    """A provider refuses, a planner says its word, and old results are pruned that nobody has looked at."""
    until_ms = night.now_ms + 90 * MIN
    night.say(cmd.RecordLimit(RunId(limit), night.token(limit), until_ms, words.reason), minutes=1)
    night.exit(limit, None, signal=15)
    night.done(ideas, "Nothing is left to do.", 2, Outcome.no_evidence)
    ended = cmd.RecordEnd(RunId(ideas), night.token(ideas), EndKind.finished, "Nothing is left to do.")
    night.say(ended)
    for run in ("mail.1", "perf.1"):
        night.say(cmd.RecordPruning(RunId(run), ("output",), unreviewed=True), "person:ada")


def pair_night(night: Night) -> None:
    """Two candidates that are good alone and fail together: the first lands, the second is sent back."""
    night.plan(spec("a"), spec("b"))
    first, second = night.accepted("a"), night.accepted("b")
    night.train(first, second, passed=False)
    night.land(first)
    night.send_back(second)
    night.end(second)


def twice_night(night: Night) -> None:
    """A candidate is in two batches that fail: it gets away from the first, and is sent back for the second."""
    night.plan(spec("a"), spec("b"), spec("c"))
    first, second = night.accepted("a"), night.accepted("b")
    night.train(first, second, passed=False)
    night.land(first)
    night.probe(second, passed=True)
    third = night.accepted("c")
    night.train(second, third, passed=False)
    night.train(second, passed=False)
    night.send_back(second)
    night.end(second)


def red_night(night: Night) -> None:
    """A candidate is accused on a target that fails without it as well."""
    night.plan(spec("a"))
    run = night.accepted("a")
    night.train(run, passed=False)
    night.probe(run)
    night.probe(run)


def flaky_night(night: Night) -> None:
    """A candidate fails once by itself on top of the target, passes when it is run again, and lands."""
    night.plan(spec("a"))
    run = night.accepted("a")
    night.train(run, passed=False)
    night.probe(run, passed=True)
    night.land(run)


def large_night(state_dir: Path, items: int, runs: int, workers: int = 8) -> Night:
    """A night of many: `items` in the plan, `runs` of them worked on; nine in ten land, the others are rejected."""
    night = Night(state_dir, Policy(workers_max=workers, turns_max=1, lease_ttl_ms=LEASE_MS))
    night.plan(*(spec(f"item-{n}", f"The change number {n}", attempts_max=1) for n in range(items)))
    night.supervisor(1)
    with night.bulk():
        for first in range(0, runs, workers):
            started = [night.grant(f"item-{n}", 0.02) for n in range(first, min(first + workers, runs))]
            for run in started:
                night.done(run, "done", 0.1 + len(run) % 3)
            good = []
            for number, run in enumerate(started, first):
                if number % 10 == 3:
                    night.evidence(run, night.result(run, state=CheckState.failed), minutes=0.1)
                    night.end(run)
                else:
                    night.evidence(run, minutes=0.1)
                    good.append(run)
            night.land(*good, minutes=0.3)
    return night
