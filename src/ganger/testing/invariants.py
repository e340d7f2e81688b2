"""What must hold (RELIABILITY §2.2), checked on the journal and the simulated world after every step.

The `Ledger` keeps its own, brute-force account of the journal: it shares no code with `core.state` or the decisions,
so that a fault in those shows as a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

import msgspec
from msgspec.structs import replace

from ganger.core import events as ev
from ganger.core.evolve import evolve
from ganger.core.ids import Commit, ItemId, QuestionId, RunId, item_of
from ganger.core.lifecycle import ItemStatus, RunStatus, edge_fault, item_status, run_status
from ganger.core.model import (
    CONSULTANT,
    PLANNER,
    SILENCE,
    Again,
    CheckState,
    CiState,
    EndKind,
    Evidence,
    ItemSpec,
    LeaseMode,
    Outcome,
    Question,
    QuestionKind,
    ReportKind,
    Rung,
    Usage,
    VerdictKind,
    When,
)
from ganger.core.patterns import PathRules, scope_matches
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.journal import codec
from ganger.testing.memory_store import Disk
from ganger.testing.simulated_git import SimulatedGit, differing

PATHS = tuple(f"{top}/{name}.txt" for top in ("a", "b", "c", "d", "shared", "a/sub", "docs") for name in "pqrst")
"""Every path that simulated workers and operators write."""
NOT_COUNTED = ("stopped", "interrupted", "limited", "expired", "finished", "unfounded", "dismissed", "unsent")


CALL_TOKENS_MAX = 4_000
"""The most that one call costs."""


class Violation(AssertionError):
    """An invariant does not hold; `rule` names it as RELIABILITY does."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


def fail(rule: str, message: str) -> NoReturn:
    """Report a violation."""
    raise Violation(rule, message)


class Facts(Protocol):
    """What the ledger may ask the world."""

    git: SimulatedGit
    swaps: set[tuple[Commit, Commit]]
    """Every move of the target that ganger made."""
    flaky: float
    """How often a check fails by chance."""
    ci_said: set[tuple[Commit, CiState]]
    """What CI said, of which commits."""

    def living(self, run: RunId) -> int:
        """Processes of the run that live, recorded or not."""
        ...

    def reachable(self, run: RunId) -> set[str]:
        """Contents that the hub's refs for the run reach."""
        ...

    def left(self, run: RunId) -> set[str]:
        """Contents that the run's worker committed or left in its workspace."""
        ...


class Said:
    """A message, as the journal and the world tell of it."""

    def __init__(self, event: ev.MessageSent) -> None:
        self.run, self.text = event.run, event.text
        self.turn = 0
        self.at_work = False
        self.handed = 0
        """How often a worker was handed it."""
        self.read = False


class Live:
    """A run that has not ended, as the journal tells it."""

    def __init__(self, token: int, event: ev.RunGranted, paths: frozenset[str]) -> None:
        self.token, self.item, self.base, self.scope, self.mode = token, event.item, event.base, event.scope, event.mode
        self.paths = paths
        self.expires_ms = event.expires_ms
        self.turn = 0
        self.working = False
        """Whether a worker of it is recorded to run."""
        self.found_nothing = False
        self.over = False
        """Whether it has spent what it may, and is to be stopped."""
        self.skipped = 0
        """Turn numbers that rewinds may have used up."""
        self.left: set[str] = set()
        """What its workspace held when it was to be rewound."""
        self.hangs = 0
        self.consulted = 0
        """How often an agent was asked for it."""
        self.reminded = False
        """Whether its worker was reminded, and no person has said anything since."""
        self.silent: set[int] = set()
        """Turns that ended without a word, of a worker that is to speak."""
        self.kind, self.lane, self.alone = event.kind, event.lane, event.alone
        self.stands_on = event.stands_on
        self.reserved = event.reserved
        self.spent: dict[int, Usage] = {}
        """By turn; the time a worker lived is added when it is gone."""
        self.spent_before: dict[int, Usage] = {}
        """The same when the night began."""
        self.started_ms = 0
        self.reports: set[int] = set()
        self.unclear: set[int] = set()
        """Turns said to be done without anything to show for it, and that it was unclear what was wanted."""
        self.looked_at: set[str] = set()
        """What it had left when evidence was taken."""
        self.done: set[int] = set()
        self.unguarded: set[int] = set()
        """Turns whose guard was called silent."""
        self.evidence: dict[Commit, Evidence] = {}
        self.accepted = Commit("")
        self.beyond: set[str] = set()
        """What a person allowed it to change besides, in the accepted commit."""
        self.spawner = event.spawner
        self.children: list[RunId] = []
        """All that it ever had."""
        self.parked = 0
        """The turn that ended for its children's sake; 0 for none, or when it went on since."""
        self.failures = 0
        """Failed tests that it was part of."""
        self.stopped = False


class Account:
    """An item, as the journal tells it."""

    def __init__(self, spec: ItemSpec) -> None:
        self.spec = spec
        self.failures = 0
        self.cool_until_ms = 0
        self.landed = self.withdrawn = self.stopped = self.undone = False
        self.asked = ""
        """The open question of how it is to be combined with what landed first."""
        self.attempts: set[int] = set()


class Outsider:
    """A lease that belongs to no run, as the journal tells it."""

    def __init__(self, event: ev.LeaseGranted, paths: frozenset[str]) -> None:
        self.mode, self.paths, self.expires_ms, self.alone = event.mode, paths, event.expires_ms, event.alone


class Ledger:
    """Follows the durable journal, entry by entry, and fails at the first that must not be there."""

    def __init__(self, disk: Disk, world: Facts, policy: Policy) -> None:
        self._disk, self._world, self._policy = disk, world, policy
        self._rules: PathRules = policy.paths
        self._paths: dict[tuple[str, ...], frozenset[str]] = {}
        self.seq = 0
        self.at_ms = 0
        self.runs: dict[RunId, Live] = {}
        self.items: dict[ItemId, Account] = {}
        self.ended: set[RunId] = set()
        self.passed: set[tuple[Commit, Commit]] = set()
        """Commits that passed as a whole, with their trees."""
        self.luck = False
        """Whether checks have failed by chance so far."""
        self.landing: ev.LandingStarted | None = None
        self.undos: dict[Commit, ev.UndoRequested] = {}
        self.landings = 0
        self.awaiting: dict[Commit, set[ItemId]] = {}
        """What landed and is not closed, by the commit on which CI must be green."""
        self.outsiders: dict[str, Outsider] = {}
        self.windows: dict[str, int] = {}
        self.due: dict[str, int] = {}
        """When each schedule is due next."""
        self.paid: list[tuple[ItemId, Usage]] = []
        """What ended runs of this night have spent."""
        self.in_order = True
        self.overshoot = 0
        """The most tokens that a run has spent beyond what was reserved for it."""
        self.drained = False
        """Whether a planner said, since the last new item, that nothing is left."""
        self.said: dict[int, Said] = {}
        self.untold: set[tuple[RunId, Commit]] = set()
        """Runs that are to be told, in the same breath, of what landed or was undone with a commit."""
        self.notices: dict[tuple[RunId, str], int] = {}
        """When a run was last given a notice of a person's, by its text."""
        self.known: set[int] = set()
        """The facts that stand."""
        self.told: set[RunId] = set()
        """Children whose result was said to their spawners."""
        self.questions: dict[QuestionId, Question] = {}
        """Asked, and not answered."""

    def catch_up(self) -> None:
        """Check what became durable since the last call."""
        while self.seq < len(self._disk.rows):
            row = self._disk.rows[self.seq]
            entry = codec.decode(row.seq, row.at_ms, row.actor, row.body, row.crc)
            if entry.seq != self.seq + 1 or entry.at_ms < self.at_ms:
                fail("I-5", f"entry {entry.seq} at {entry.at_ms} follows {self.seq} at {self.at_ms}")
            self.seq, self.at_ms = entry.seq, entry.at_ms
            self._see(entry)
        if self.untold:
            run, commit = min(self.untold)
            fail("WP10", f"{run} is not told of {commit}, which changes what it may change")

    def _see(self, entry: ev.Entry) -> None:
        check = _CHECKS.get(type(entry.event))
        if check is not None:
            check(self, entry, entry.event)

    def live(self, run: RunId, event: object) -> Live:
        """The live run an event is about; nothing may happen to a run that ended."""
        if run not in self.runs:
            fail("I-14", f"{type(event).__name__} of {run}, which is not live")
        return self.runs[run]

    def paths_of(self, scope: tuple[str, ...]) -> frozenset[str]:
        """The concrete paths of the simulated repository that a scope matches."""
        if scope not in self._paths:
            self._paths[scope] = frozenset(path for path in PATHS if scope_matches(scope, path, self._rules))
        return self._paths[scope]

    def added(self, entry: ev.Entry, event: ev.ItemAdded | ev.ItemRevised) -> None:
        if event.spec.kind != PLANNER:
            self.drained = self.drained and bool(event.spec.spawner or event.spec.question)
        elif isinstance(event, ev.ItemAdded) and self.drained:
            fail("LS4", f"{event.spec.id} asks again, after a planner has said that nothing is left")
        account = self.items.setdefault(event.spec.id, Account(event.spec))
        if account.landed:
            fail("I-14", f"item {event.spec.id} was revised after it had landed")
        account.spec, account.withdrawn = event.spec, False

    def withdrawn(self, entry: ev.Entry, event: ev.ItemWithdrawn) -> None:
        self.items[event.item].withdrawn = True

    def retried(self, entry: ev.Entry, event: ev.ItemRetried) -> None:
        account = self.items[event.item]
        self.drained = self.drained and account.spec.kind != PLANNER
        account.failures, account.cool_until_ms, account.stopped, account.undone = 0, 0, False, False

    def question_asked(self, entry: ev.Entry, event: ev.QuestionAsked) -> None:
        """Some questions keep an item from being worked on."""
        if event.question.kind is QuestionKind.no_lines:
            self.items[event.question.item].asked = event.question.id
        self.questions[event.question.id] = event.question
        if event.question.agent:
            if event.question.kind is not QuestionKind.worker or entry.actor != f"worker:{event.question.run}":
                fail("WP3", f"an agent is asked {event.question.id}, which is a person's ({event.question.kind})")
            if event.question.agent != self._policy.consult_agent:
                fail("WP3", f"{event.question.agent} is asked {event.question.id}, and is not configured for that")

    def question_escalated(self, entry: ev.Entry, event: ev.QuestionEscalated) -> None:
        """From here on only a person answers."""
        if event.question in self.questions:
            self.questions[event.question] = replace(self.questions[event.question], agent="")

    def question_answered(self, entry: ev.Entry, event: ev.QuestionAnswered) -> None:
        """WP3, I-19: a person answers; an agent only what it was asked, in its time, and never an approval."""
        question = self.questions[event.question]
        if event.by.startswith("agent:"):
            run = self.runs.get(RunId(entry.actor.removeprefix("worker:")))
            about = self.items[run.item].spec.question if run is not None else ""
            if question.kind is not QuestionKind.worker or about != question.id or question.run == entry.actor[7:]:
                fail("WP3", f"{entry.actor} answered {question.id} ({question.kind}), which it was not asked")
            if event.by != f"agent:{question.agent}" or entry.at_ms >= question.until_ms:
                fail("WP3", f"{event.by} answered {question.id} when it was a person's")
        elif not entry.actor.startswith("person:"):
            fail("I-19", f"{question.id} ({question.kind}) was answered by {entry.actor}")
        elif question.run in self.runs:
            self.runs[question.run].reminded = False
        self.question_over(entry, event)

    def question_over(self, entry: ev.Entry, event: ev.QuestionAnswered | ev.QuestionWithdrawn) -> None:
        """They do so no longer."""
        self.questions.pop(event.question, None)
        for account in self.items.values():
            if account.asked == event.question:
                account.asked = ""

    def granted(self, entry: ev.Entry, event: ev.RunGranted) -> None:
        account = self.items[event.item]
        if account.landed or account.undone or account.withdrawn or (account.stopped and not event.forced_by):
            fail("I-14", f"{event.run} was granted for an item that has landed, is withdrawn or was stopped")
        if any(live.item == event.item for live in self.runs.values()) or event.attempt in account.attempts:
            fail("I-13", f"{event.run} is the second live run, or the second of its number")
        if account.asked:
            fail("RC12", f"{event.run} was granted before {account.asked} is answered, which is about its item")
        if account.failures >= account.spec.attempts_max and not event.forced_by:
            fail("I-16", f"{event.run} was granted after {account.failures} failures")
        if entry.at_ms < account.cool_until_ms and not event.forced_by:
            fail("I-16", f"{event.run} was granted {account.cool_until_ms - entry.at_ms} ms before its pause was over")
        early = {item_of(run) for run, commit in event.stands_on if self._is_accepted(run, commit)}
        if event.stands_on and account.spec.start_on != "accepted":
            fail("IS4", f"{event.run} stands on what has not landed, and its item does not say so")
        missing = [
            before
            for before in account.spec.after
            if before not in self.items or not (self.items[before].landed or before in early)
        ]
        if missing:
            fail("I-14", f"{event.run} was granted before {missing[0]} had landed")
        if self._policy.ci_dependents == "closed":
            unclosed = [item for items in self.awaiting.values() for item in items if item in account.spec.after]
            if unclosed:
                fail("VT7", f"{event.run} was granted before CI had closed {unclosed[0]}")
        paths = self.paths_of(event.scope)
        above = self._above(event)
        for run_id, live in self.runs.items():
            if run_id not in above and LeaseMode.exclusive in (live.mode, event.mode) and live.paths & paths:
                fail("I-1", f"{event.run} and {run_id} both hold {sorted(live.paths & paths)[0]}")
        self._check_caps(event)
        if event.kind == CONSULTANT:
            self._check_consultant(event, account)
        else:
            self._check_alone(event.run, event.alone, entry.at_ms, above)
        self._check_child(event, above, paths)
        for name, other in self.outsiders.items():
            apart = entry.at_ms >= other.expires_ms or LeaseMode.exclusive not in (other.mode, event.mode)
            if not apart and other.paths & paths:
                fail("I-1", f"{event.run} and {name} both hold {sorted(other.paths & paths)[0]}")
        if event.forced_by and event.forced_by != "olga":
            fail("I-19", f"{event.run} was forced by {event.forced_by}")
        if event.depth > self._policy.depth_max and not event.forced_by:
            fail("I-16", f"{event.run} stands {event.depth} deep")
        account.attempts.add(event.attempt)
        if event.spawner:
            spawner = self.runs[event.spawner]
            spawner.children.append(event.run)
            spawner.reserved = spawner.reserved.minus(event.reserved)
        else:
            # A child takes nothing but what its spawner has: see `_check_child`.
            self._check_budget(event)
        self.runs[event.run] = Live(entry.seq, event, paths)

    def _check_consultant(self, event: ev.RunGranted, account: Account) -> None:
        """WP3: whoever is asked holds nothing, so that nobody waits for it, and is asked something that is open."""
        question = self.questions.get(account.spec.question)
        if event.scope or event.alone or question is None or not question.agent:
            fail("WP3", f"{event.run} holds {event.scope}, or answers what nobody asks an agent")
        live = self.runs[question.run]
        live.consulted += 1
        if live.consulted > 3:
            fail("WP3", f"{question.run} has asked agents {live.consulted} times")

    def _above(self, event: ev.RunGranted) -> list[RunId]:
        """The runs above a child, the nearest first."""
        found, name = [], event.spawner
        while name:
            if name not in self.runs:
                fail("DW8", f"{event.run} is a child of {name}, which is not live")
            found.append(name)
            name = self.runs[name].spawner
        return found

    def _check_child(self, event: ev.RunGranted, above: list[RunId], paths: frozenset[str]) -> None:
        """DW8, I-15: a child is one that its spawner may have, and lives on what that one has left."""
        if not above:
            return
        spawner = self.runs[above[0]]
        kind = self._policy.kind(spawner.kind)
        if event.kind not in kind.spawn or len(spawner.children) >= kind.spawn_max:
            fail("DW8", f"{event.run} is a {event.kind}, and child {len(spawner.children) + 1} of a {kind.name}")
        if spawner.stopped or not paths <= spawner.paths:
            fail("DW8", f"{event.run} is given {event.scope} by {above[0]}, which is ended or has not all of it")
        if spawner.parked and any(child in self.runs for child in spawner.children):
            fail("DW8", f"{event.run} is a child of {above[0]}, which waits for others")
        spawner.parked = 0
        for below, name in enumerate(above, 1):
            if below > self._policy.kind(self.runs[name].kind).spawn_depth:
                fail("DW8", f"{event.run} stands {below} below {name}")
        if sum(bool(live.spawner) for live in self.runs.values()) >= self._policy.children_max:
            fail("DW8", f"{event.run} is one child more than {self._policy.children_max}")
        for figure in ("usd_micros", "tokens", "wall_ms"):
            spent = sum(getattr(usage, figure) for usage in spawner.spent.values())
            has, gets = getattr(spawner.reserved, figure), getattr(event.reserved, figure)
            if has and not 0 < gets <= has - spent:
                fail("I-15", f"{event.run} gets {gets} of the {has - spent} {figure} that {above[0]} has left")

    def _is_accepted(self, run: RunId, commit: Commit) -> bool:
        live = self.runs.get(run)
        return live is not None and not live.stopped and live.accepted == commit

    def renewed(self, entry: ev.Entry, event: ev.LeasesRenewed) -> None:
        for run_id, until_ms in event.until:
            live = self.live(run_id, event)
            if live.stopped or until_ms <= live.expires_ms:
                fail("I-21", f"the lease of {run_id} was shortened, or renewed while it was being ended")
            live.expires_ms = until_ms

    def permit_renewed(self, entry: ev.Entry, event: ev.PermitRenewed) -> None:
        live = self.live(event.run, event)
        if live.turn or live.stopped:
            fail("I-8", f"the base of {event.run} was changed under its worker")
        live.base = event.base

    def started(self, entry: ev.Entry, event: ev.WorkerStarted) -> None:
        live = self.live(event.run, event)
        if not live.turn < event.turn <= live.turn + 1 + live.skipped:
            fail("I-12", f"turn {event.turn} of {event.run} follows turn {live.turn}")
        if 0 < live.parked < event.turn and any(child in self.runs for child in live.children):
            fail("DW8", f"{event.run} waits for its children, and goes on before they have ended")
        live.parked = live.parked if live.parked == event.turn else 0
        live.turn, live.skipped, live.started_ms = event.turn, 0, entry.at_ms
        live.working = True

    def exited(self, entry: ev.Entry, event: ev.WorkerExited) -> None:
        live = self.live(event.run, event)
        live.working = False
        lived = Usage(wall_ms=entry.at_ms - live.started_ms)
        live.spent[event.turn] = live.spent.get(event.turn, Usage()).plus(lived)

    def spent(self, entry: ev.Entry, event: ev.UsageRecorded) -> None:
        live = self.live(event.run, event)
        before = live.spent.get(event.turn, Usage())
        live.spent[event.turn] = Usage(event.usage.usd_micros, event.usage.tokens, before.wall_ms)
        if live.reserved.tokens and not live.stopped and event.turn not in live.reports:
            if live.over:
                fail("I-15", f"{event.run} has spent all of {live.reserved.tokens} tokens, and goes on")
            in_all = sum(usage.tokens for usage in live.spent.values())
            live.over = in_all >= live.reserved.tokens
            self.overshoot = max(self.overshoot, in_all - live.reserved.tokens)

    def repeated(self, entry: ev.Entry, event: ev.TurnRepeated) -> None:
        live = self.live(event.run, event)
        live.hangs += event.why is Again.hang
        if live.hangs > 1:
            fail("LR3", f"a silent turn of {event.run} is done over a second time")
        if event.why is Again.idle:
            if live.reminded or event.turn not in live.silent:
                fail("WP8", f"{event.run} is reminded again, or although it said something")
            if self._world.left(event.run) - live.looked_at:
                fail("WP8", f"{event.run} is reminded, and has left something new")
            if live.reserved.tokens and sum(usage.tokens for usage in live.spent.values()) >= live.reserved.tokens:
                fail("I-15", f"{event.run} is reminded, and has spent all that it may")
            live.reminded = True

    def parked(self, entry: ev.Entry, event: ev.RunParked) -> None:
        live = self.live(event.run, event)
        if not live.children:
            fail("DW8", f"{event.run} waits for children, and never had one")
        live.parked = event.turn

    def _check_result(self, event: ev.MessageSent) -> None:
        """WP6: what came of a child is said to its spawner, once, when it has ended."""
        if event.child not in self.runs[event.run].children or event.child not in self.ended:
            fail("WP6", f"{event.run} is told of {event.child}, which lives, or is no child of it")
        if event.child in self.told:
            fail("WP6", f"{event.run} is told twice what came of {event.child}")
        self.told.add(event.child)

    def message_sent(self, entry: ev.Entry, event: ev.MessageSent) -> None:
        if event.child:
            self._check_result(event)
        self.live(event.run, event)
        self.untold.discard((event.run, event.landing))
        if event.by and event.when is When.notice:
            since_ms = entry.at_ms - self._policy.same_within_ms
            before = self.notices.get((event.run, event.text))
            if before is not None and before > since_ms:
                fail("WP9", f"{event.run} is told {event.text!r} again after {entry.at_ms - before} ms")
            self.notices[event.run, event.text] = entry.at_ms
        if event.landing and any((one.run, one.text) == (event.run, event.text) for one in self.said.values()):
            fail("WP10", f"{event.run} is told twice that {event.landing} landed")
        self.said[entry.seq] = Said(event)
        self.runs[event.run].reminded &= not event.by

    def _moves(self, commit: Commit, changed: set[str], ours: tuple[RunId, ...]) -> None:
        """Note who must be told of what changes under it: whoever has begun and may change one of these files."""
        for run_id, live in self.runs.items():
            if run_id not in ours and live.turn and not live.stopped and live.paths & changed:
                self.untold.add((run_id, commit))

    def fact_added(self, entry: ev.Entry, event: ev.FactAdded) -> None:
        if bool(event.by) == bool(event.run):
            fail("WP10", f"fact {entry.seq} is nobody's word, or that of two")
        if event.run and not self.paths_of(event.about) <= self.live(event.run, event).paths:
            fail("WP10", f"the worker of {event.run} speaks of {event.about}, where it may change nothing")
        self.known.add(entry.seq)

    def fact_retracted(self, entry: ev.Entry, event: ev.FactRetracted) -> None:
        if event.fact not in self.known:
            fail("WP10", f"fact {event.fact} is struck out, and does not stand")
        self.known.remove(event.fact)

    def waits(self, run: RunId) -> bool:
        """Whether something is said to the run that is handed to nobody yet."""
        return any(one.run == run and not one.turn for one in self.said.values())

    def message_delivered(self, entry: ev.Entry, event: ev.MessagesDelivered) -> None:
        self.live(event.run, event)
        for seq in event.messages:
            said = self.said[seq]
            if said.run != event.run or said.turn:
                fail("I-17", f"message {seq} for {said.run} is handed to turn {event.turn} of {event.run} again")
            said.turn, said.at_work = event.turn, event.at_work

    def message_read(self, entry: ev.Entry, event: ev.MessagesRead) -> None:
        self.live(event.run, event)
        for seq in event.messages:
            if not self.said[seq].handed or self.said[seq].read:
                fail("I-17", f"message {seq} for {event.run} is called read, and nobody was handed it")
            self.said[seq].read = True

    def hand_brief(self, run: RunId, turn: int) -> None:
        """A worker begins that turn: it is handed what is meant to stand in its brief."""
        self._hand(one for one in self.said.values() if (one.run, one.turn, one.at_work) == (run, turn, False))

    def hand_at_work(self, messages: Iterable[int]) -> None:
        """A worker is handed these while it works."""
        self._hand(self.said[seq] for seq in messages)

    def _hand(self, messages: Iterable[Said]) -> None:
        for said in messages:
            said.handed += 1
            if said.handed > 1:
                fail("I-17", f"a worker of {said.run} is told the same a second time")

    def rewound(self, entry: ev.Entry, event: ev.RunRewound) -> None:
        live = self.live(event.run, event)
        live.skipped += 1
        live.reminded, live.parked = False, 0
        live.left |= self._world.left(event.run)

    def limited(self, entry: ev.Entry, event: ev.ProviderLimited) -> None:
        self.windows[event.provider] = max(self.windows.get(event.provider, 0), event.until_ms)

    def schedule_set(self, entry: ev.Entry, event: ev.ScheduleSet) -> None:
        self.due[event.name] = event.next_ms

    def schedule_fired(self, entry: ev.Entry, event: ev.ScheduleFired) -> None:
        if event.due_ms != self.due.pop(event.name, None) or event.due_ms > entry.at_ms:
            fail("LR7", f"schedule {event.name} was taken as fired for {event.due_ms}, which it was not due for")
        if event.next_ms:
            self.due[event.name] = event.next_ms

    def schedule_dropped(self, entry: ev.Entry, event: ev.ScheduleDropped) -> None:
        self.due.pop(event.name, None)

    def lease_granted(self, entry: ev.Entry, event: ev.LeaseGranted) -> None:
        name, paths = f"lease:{entry.seq}", self.paths_of(event.scope)
        for run_id, live in self.runs.items():
            if LeaseMode.exclusive in (live.mode, event.mode) and live.paths & paths:
                fail("I-1", f"{name} and {run_id} both hold {sorted(live.paths & paths)[0]}")
        for other_name, other in self.outsiders.items():
            apart = entry.at_ms >= other.expires_ms or LeaseMode.exclusive not in (other.mode, event.mode)
            if not apart and other.paths & paths:
                fail("I-1", f"{name} and {other_name} both hold {sorted(other.paths & paths)[0]}")
        self._check_alone(name, event.alone, entry.at_ms)
        self.outsiders[name] = Outsider(event, paths)

    def lease_extended(self, entry: ev.Entry, event: ev.LeaseExtended) -> None:
        lease = self.outsiders.get(event.lease)
        if lease is None or entry.at_ms >= lease.expires_ms or event.expires_ms <= lease.expires_ms:
            fail("I-1", f"{event.lease} was renewed after its time, or shortened")
        lease.expires_ms = event.expires_ms

    def lease_ended(self, entry: ev.Entry, event: ev.LeaseEnded) -> None:
        lease = self.outsiders.pop(event.lease)
        if event.reason == "expired" and entry.at_ms < lease.expires_ms:
            fail("I-21", f"{event.lease} was taken to have run out {lease.expires_ms - entry.at_ms} ms too soon")

    def _check_caps(self, event: ev.RunGranted) -> None:
        """I-16: as many of a kind and in a lane as may have a worker, or are owed their first one."""
        busy = [live for live in self.runs.values() if live.working or not (live.turn or live.stopped)]
        kind, lane = self._policy.kind(event.kind), self._policy.lane(event.lane) if event.lane else None
        full = kind.workers_max is not None and sum(live.kind == event.kind for live in busy) >= kind.workers_max
        if lane is not None and lane.workers_max is not None:
            full = full or sum(live.lane == lane.name for live in busy) >= lane.workers_max
        if full and not event.forced_by:
            fail("I-16", f"{event.run} was granted although its kind or its lane is full")

    def _check_alone(self, name: str, alone: bool, at_ms: int, above: Iterable[str] = ()) -> None:
        """Whoever must be alone is."""
        held = {other: lease.alone for other, lease in self.outsiders.items() if at_ms < lease.expires_ms}
        held |= {run_id: live.alone for run_id, live in self.runs.items()}
        for other, other_alone in held.items():
            if (alone or other_alone) and other not in above:
                fail("I-1", f"{name} and {other} work at the same time, and one of them runs alone")

    def _check_budget(self, event: ev.RunGranted) -> None:
        """I-15: what was spent and what is reserved stay within every cap."""
        plan = self.items[event.item].spec.plan
        of_plan = {item for item, account in self.items.items() if account.spec.plan == plan}
        caps = ((self._policy.fleet_budget, set(self.items)), (self._policy.plan_budget(plan), of_plan))
        for figure in ("usd_micros", "tokens", "wall_ms"):
            for budget, charged in caps:
                cap = getattr(budget, figure)
                paid = sum(getattr(usage, figure) for item, usage in self.paid if item in charged)
                due = sum(_drawn(live, figure) for live in self.runs.values() if live.item in charged)
                if cap is not None and paid + due + getattr(event.reserved, figure) > cap and not event.forced_by:
                    fail("I-15", f"with {event.run}, {paid + due} of {cap} {figure} and its own are taken")

    def supervisor(self, entry: ev.Entry, event: ev.SupervisorStarted) -> None:
        """A night begins, unless the supervisor before died."""
        if self.in_order:
            self.paid = []
            for live in self.runs.values():
                live.spent_before = dict(live.spent)
        self.in_order = False

    def supervisor_left(self, entry: ev.Entry, event: ev.SupervisorStopped) -> None:
        self.in_order = True

    def reported(self, entry: ev.Entry, event: ev.RunReported) -> None:
        live = self.live(event.run, event)
        if event.turn in live.reports:
            fail("I-4", f"the report of {event.run} on turn {event.turn} is in the journal twice")
        live.reports.add(event.turn)
        live.found_nothing = event.report.source == "worker" and event.report.outcome is Outcome.no_evidence
        if event.report.kind is ReportKind.done:
            live.done.add(event.turn)
        if event.report.source == SILENCE:
            live.silent.add(event.turn)
        if event.report.scope_confidence == "unclear" and not event.report.evidence:
            live.unclear.add(event.turn)

    def about_live(self, entry: ev.Entry, event: Any) -> None:
        self.live(event.run, event)

    def guard_silent(self, entry: ev.Entry, event: ev.GuardSilent) -> None:
        live = self.live(event.run, event)
        if event.turn in live.unguarded or event.used <= event.asked:
            fail("VT9", f"the guard of {event.run} was called silent in turn {event.turn} twice, or for nothing")
        live.unguarded.add(event.turn)

    def evidence(self, entry: ev.Entry, event: ev.EvidenceRecorded) -> None:
        live = self.live(event.run, event)
        if self._world.living(event.run):
            fail("I-9", f"evidence on {event.run} was taken while its worker lived")
        live.evidence[event.evidence.commit] = event.evidence
        live.looked_at |= self._world.left(event.run)

    def verdict(self, entry: ev.Entry, event: ev.VerdictGiven) -> None:
        live = self.live(event.run, event)
        if event.verdict.kind is not VerdictKind.accepted:
            if live.turn in live.unclear and event.commit == live.base:
                fail("WP5", f"{event.run} said that it was unclear what was wanted, and nobody is asked")
            return
        evidence = live.evidence.get(event.commit)
        if evidence is None or evidence.commit == evidence.base:
            fail("I-7", f"{event.run} was accepted without evidence on a commit of its own")
        changed = self._world.git.changed(live.base, event.commit)
        allowed_by = event.verdict.by
        if allowed_by and entry.actor != f"person:{allowed_by}":
            fail("I-19", f"{event.run} was allowed what its scope does not by {entry.actor}")
        if not changed or not (allowed_by or set(changed) <= live.paths):
            fail("I-3", f"{event.run} was accepted with {changed} outside {live.scope}")
        states = {result.name: result.state for result in evidence.checks}
        spec = self.items[live.item].spec
        needed = spec.checks if spec.rung >= Rung.checked else ()
        if any(states.get(check.name) is not CheckState.passed for check in needed):
            fail("I-7", f"{event.run} was accepted although {states}")
        live.accepted = event.commit
        live.beyond = set(changed) if allowed_by else set()

    def train(self, entry: ev.Entry, event: ev.TrainTested) -> None:
        if event.passed:
            self.passed.add((event.commit, event.tree))
        for run_id in () if event.passed else event.runs:
            if run_id in self.runs:
                self.runs[run_id].failures += 1
        self.luck = self.luck or bool(self._world.flaky)

    def probed(self, entry: ev.Entry, event: ev.CandidateProbed) -> None:
        live = self.live(event.run, event)
        self.luck = self.luck or bool(self._world.flaky)
        live.failures += not (event.passed or event.bare)

    def pair_found(self, entry: ev.Entry, event: ev.PairFound) -> None:
        """A pair that is named fails together, and passes each without the other, unless chance played a part."""
        live, git = self.live(event.run, event), self._world.git
        if self.luck:
            return
        for onto, state in ((event.commit, "fails"), (git.nodes[event.commit].parents[0], "passes")):
            made = git.merge(onto, live.accepted, "looked at")
            passes = not isinstance(made, tuple) and git.check_state(made) is CheckState.passed
            if passes is not (state == "passes"):
                fail("BX13", f"{event.run} and {event.other} are named as a pair, but on {onto[:12]} it never {state}")

    def _check_blame(self, live: Live, event: ev.StopRequested) -> None:
        """Nobody is blamed for what was seen once, nor for a target that fails by itself."""
        if event.end is not EndKind.superseded or "does not merge" in event.reason:
            return
        if live.failures <= self._policy.flaky_retries and not self._policy.flaky_retries > 1:
            fail("BX13", f"{event.run} is blamed for what was seen {live.failures} times: {event.reason}")
        _, found, rest = event.reason.partition("on top of the target at ")
        for commit in self._world.git.nodes if found else ():
            if commit.startswith(rest[:12]) and self._world.git.check_state(commit) is not CheckState.passed:
                fail("BX13", f"{event.run} is blamed for what {commit[:12]} does without it")

    def landing_started(self, entry: ev.Entry, event: ev.LandingStarted) -> None:
        if self.landing is not None:
            fail("I-13", "a landing was started while another was under way")
        if (event.new, event.tree) not in self.passed or self._world.git.tree(event.new) != event.tree:
            fail("I-8", f"{event.new} is to land, but its tree was not tested")
        for run_id in event.runs:
            live = self.live(run_id, event)
            if not live.accepted or live.stopped or live.expires_ms <= entry.at_ms:
                fail("I-1", f"{run_id} is to land without an acceptance or a live lease")
            gone = [one for _, one in live.stands_on if not self._world.git.is_ancestor(one, event.old)]
            if gone:
                fail("IS4", f"{run_id} is to land before {gone[0][:12]}, on which it stands")
            if not self._world.git.is_ancestor(live.accepted, event.new):
                fail("I-8", f"{run_id} is to land, but {event.new} does not contain its candidate")
        self.landing = event

    def abandoned(self, entry: ev.Entry, event: ev.LandingAbandoned) -> None:
        self.landing = None

    def landed(self, entry: ev.Entry, event: ev.RunLanded) -> None:
        live = self.live(event.run, event)
        account = self.items[live.item]
        landing = self.landing
        if landing is None or event.run not in landing.runs or event.commit != landing.new:
            fail("I-13", f"{event.run} landed without a landing")
        if (landing.old, landing.new) not in self._world.swaps:
            fail("I-8", f"{event.run} is recorded as landed, but the target was never moved to {event.commit}")
        if account.landed:
            fail("I-13", f"item {live.item} landed twice")
        if live.accepted in live.evidence:
            self._moves(event.commit, set(live.evidence[live.accepted].changed), landing.runs)
        account.landed = True
        self.landings += 1
        if event.awaits_ci is not self._policy.ci_required:
            fail("VT7", f"{event.run} landed, and waits for CI: {event.awaits_ci}")
        if event.awaits_ci:
            self.awaiting.setdefault(event.commit, set()).add(live.item)
        self._end(event.run)
        if all(run not in self.runs for run in landing.runs):
            self.landing = None

    def undo_requested(self, entry: ev.Entry, event: ev.UndoRequested) -> None:
        account = self.items[event.item]
        if entry.actor != "person:olga" or event.by != "olga":
            fail("I-19", f"{entry.actor} had {event.item} undone in the name of {event.by}")
        if account.landed is event.back or account.undone is not event.back:
            fail("I-14", f"{event.item} is to be undone, and is not there")
        self.undos[event.commit] = event

    def undo_tested(self, entry: ev.Entry, event: ev.UndoTested) -> None:
        if event.passed:
            self.passed.add((event.new, event.tree))

    def undo_dropped(self, entry: ev.Entry, event: ev.UndoDropped) -> None:
        del self.undos[event.commit]

    def undone(self, entry: ev.Entry, event: ev.LandingUndone) -> None:
        landing, account = self.landing, self.items[event.item]
        if landing is None or landing.undo != event.commit or landing.new != event.new:
            fail("I-13", f"{event.item} was undone without a landing")
        if (landing.old, landing.new) not in self._world.swaps:
            fail("I-8", f"{event.item} is recorded as undone, but the target was never moved to {event.new}")
        if account.landed is event.back:
            fail("I-13", f"{event.item} was undone twice")
        git = self._world.git
        self._moves(event.new, set(differing(git.files(landing.old), git.files(landing.new))), ())
        account.landed, account.undone = event.back, not event.back
        if event.awaits_ci is not (event.back and self._policy.ci_required):
            fail("VT7", f"{event.item} is {'back' if event.back else 'undone'}, and waits for CI: {event.awaits_ci}")
        for items in self.awaiting.values():
            items.discard(event.item)
        if event.awaits_ci:
            self.awaiting.setdefault(event.new, set()).add(event.item)
        self.landing = None
        del self.undos[event.commit]

    def ci_said(self, entry: ev.Entry, event: ev.CiSaid) -> None:
        if (event.commit, event.state) not in self._world.ci_said or event.commit not in self.awaiting:
            fail("VT7", f"CI is said to call {event.commit[:12]} {event.state}, and it never did")
        if event.state in ("green", "repaired_green"):
            del self.awaiting[event.commit]

    def ci_waived(self, entry: ev.Entry, event: ev.CiWaived) -> None:
        if entry.actor != f"person:{event.by}" or event.commit not in self.awaiting:
            fail("I-19", f"{event.commit[:12]} was closed without CI by {entry.actor}")
        del self.awaiting[event.commit]

    def target_read(self, entry: ev.Entry, event: ev.TargetRead) -> None:
        git = self._world.git
        wrong = [one for one in event.missing if event.tip and git.is_ancestor(one, event.tip)]
        if wrong:
            fail("VT4", f"{event.tip[:12]} is said not to contain {wrong[0][:12]}, and does")

    def loss_accepted(self, entry: ev.Entry, event: ev.LossAccepted) -> None:
        if entry.actor != f"person:{event.by}":
            fail("I-19", f"the loss of a landing was accepted by {entry.actor}")

    def stop_requested(self, entry: ev.Entry, event: ev.StopRequested) -> None:
        live = self.live(event.run, event)
        live.stopped = True
        self._check_blame(live, event)
        if live.turn in live.done and _blames_worker(event):
            fail("I-4", f"{event.run} reported that it is done, and is ended because {event.reason}")

    def run_ended(self, entry: ev.Entry, event: ev.RunEnded) -> None:
        live = self.live(event.run, event)
        if self.landing is not None and event.run in self.landing.runs:
            fail("I-13", f"{event.run} ended while it was being landed")
        if self._world.living(event.run):
            fail("I-12", f"{event.run} ended while its worker lived")
        lost = (self._world.left(event.run) | live.left) - self._world.reachable(event.run)
        if lost:
            fail("I-10", f"{event.run} ended, and {sorted(lost)[0]!r} is kept nowhere")
        account = self.items[live.item]
        waits = self.questions.get(account.spec.question)
        if waits is not None and waits.agent:
            fail("WP3", f"{event.run} ended, and {waits.id} still waits for its answer")
        filed = any(found.spec.parent == live.item and not found.spec.spawner for found in self.items.values())
        if account.spec.kind == PLANNER and event.end is EndKind.finished and live.found_nothing and not filed:
            self.drained = True
        account.failures += event.end not in NOT_COUNTED
        if event.cool_until_ms != self._cool_until_ms(account, entry.at_ms, event.end):
            fail("I-16", f"after {account.failures} failures, {event.run} is paused until {event.cool_until_ms}")
        account.cool_until_ms = event.cool_until_ms
        account.stopped = account.stopped or event.end in ("stopped", "unsent")
        self._end(event.run)

    def _cool_until_ms(self, account: Account, at_ms: int, end: EndKind) -> int:
        if end in NOT_COUNTED or end is EndKind.superseded:
            return 0
        pause_ms = self._policy.backoff_ms
        for _ in range(account.failures - 1):
            pause_ms = min(2 * pause_ms, self._policy.backoff_max_ms)
        return at_ms + pause_ms

    def _end(self, run: RunId) -> None:
        live = self.runs.pop(run)
        for child in live.children:
            if child in self.runs:
                fail("DW8", f"{run} has ended, and {child}, its child, lives")
            if child not in self.told:
                fail("WP6", f"{run} was never told what came of {child}")
        if live.spawner in self.runs:
            above = self.runs[live.spawner]
            spent = Usage()
            for usage in live.spent.values():
                spent = spent.plus(usage)
            above.reserved = above.reserved.plus(live.reserved).minus(spent)
        self.paid += [(live.item, usage) for usage in _of_tonight(live)]
        self.ended.add(run)

    def check_swap(self, old: Commit, new: Commit) -> None:
        """Check a move of the target by ganger, just before it happens: I-3, I-7, I-8."""
        self.catch_up()
        git, landing = self._world.git, self.landing
        if landing is None or (landing.old, landing.new) != (old, new):
            fail("I-8", f"the target is moved to {new} without a landing in the journal")
        if not git.is_ancestor(old, new):
            fail("I-8", f"{new} does not descend from the target {old}")
        if git.check_state(new) is not CheckState.passed:
            fail("I-8", f"the target is made red: {git.check_state(new)} at {new}")
        allowed: set[str] = set()
        for run_id in landing.runs:
            live = self.live(run_id, landing)
            before = [new for _, new in self._world.swaps if git.is_ancestor(new, old)]
            if any(git.is_ancestor(live.accepted, earlier) for earlier in before):
                fail("I-13", f"{run_id} is landed a second time")
            allowed |= set(git.changed(live.base, live.accepted)) & (live.paths | live.beyond)
            self._check_not_lost(run_id, live, old, new)
        if landing.undo:
            allowed = self._check_undo(landing)
        strange = set(differing(git.files(old), git.files(new))) - allowed
        if strange:
            fail("I-8", f"landing {new} changes {sorted(strange)[0]}, which no candidate of it changed in its scope")

    def _check_undo(self, landing: ev.LandingStarted) -> set[str]:
        """An undo takes back what somebody asked for, all of it, and nothing that came later; return its paths."""
        git = self._world.git
        if landing.runs or landing.undo not in self.undos:
            fail("I-14", f"{landing.undo} is undone, which nobody asked for")
        was, had = git.files(git.nodes[landing.undo].parents[0]), git.files(landing.undo)
        paths = set(differing(was, had))
        old, new = git.files(landing.old), git.files(landing.new)
        for path in paths:
            if new.get(path) != was.get(path):
                fail("I-8", f"undoing {landing.undo} leaves {path} as it is")
            if old.get(path) not in (had.get(path), was.get(path)):
                fail("I-8", f"undoing {landing.undo} loses a later change to {path}")
        return paths

    def _check_not_lost(self, run_id: RunId, live: Live, old: Commit, new: Commit) -> None:
        git = self._world.git
        mine, tip = git.files(live.accepted), git.files(new)
        others = [self.runs[run] for run in (self.landing.runs if self.landing else ()) if run != run_id]
        touched = {path for other in others for path in git.changed(other.base, other.accepted)}
        for path in git.changed(live.base, live.accepted):
            if path not in touched and tip.get(path) != mine.get(path):
                fail("I-8", f"landing {new} loses the change of {run_id} to {path}")


def _of_tonight(live: Live) -> list[Usage]:
    """What a run has spent since the night began."""
    before = live.spent_before
    return [usage.minus(before.get(turn, Usage())) for turn, usage in live.spent.items()]


def _drawn(live: Live, figure: str) -> int:
    """What a live run has spent tonight, and what it may still spend of what was reserved for it."""
    spent = sum(getattr(usage, figure) for usage in live.spent.values())
    tonight = sum(getattr(usage, figure) for usage in _of_tonight(live))
    return int(tonight + max(getattr(live.reserved, figure) - spent, 0))


def _blames_worker(event: ev.StopRequested) -> bool:
    if event.end in (EndKind.stalled, EndKind.timed_out):
        return True
    return event.end is EndKind.failed and event.reason.startswith(
        ("the worker exited", "the worker was", "the worker vanished")
    )


class Edges:
    """The statuses of runs and items, which change along legal edges only (LC1)."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._runs: dict[RunId, RunStatus] = {}
        self._items: dict[ItemId, ItemStatus] = {}

    def check(self, now_ms: int, seq: int) -> None:
        """Look at what the last event has touched."""
        items, runs = self._state.take_touched()
        for run_id in runs:
            run = self._state.runs.get(run_id)
            if run is None:
                self._runs.pop(run_id, None)
                continue
            status = run_status(self._state, run)
            if fault := edge_fault(self._runs.get(run_id, status), status):
                fail("LC1", f"at entry {seq}, {run_id}: {fault}")
            self._runs[run_id] = status
        for item_id in items:
            found = item_status(self._state, self._state.items[item_id], now_ms)
            if fault := edge_fault(self._items.get(item_id, found), found):
                fail("LC1", f"at entry {seq}, item {item_id}: {fault}")
            self._items[item_id] = found


def check_fold(disk: Disk, folded: State, rules: PathRules, prefixes: int) -> None:
    """I-6: folding the journal anew gives the same state; every truncated journal folds; both are deterministic."""
    state = State(rules=rules)
    step = max(1, len(disk.rows) // prefixes) if prefixes else len(disk.rows) + 1
    edges = Edges(state)
    for row in disk.rows:
        evolve(state, codec.decode(row.seq, row.at_ms, row.actor, row.body, row.crc))
        edges.check(row.at_ms, row.seq)
        if prefixes and row.seq % step == 0:
            through = State(codec.decode_snapshot(codec.encode_snapshot(state.snapshot())), rules)
            if canonical(through) != canonical(state) or through.ready != state.ready:
                fail("I-6", f"the state at entry {row.seq} does not survive a snapshot")
    if canonical(state) != canonical(folded):
        fail("I-6", "folding the journal again gives another state")
    if state.ready != folded.ready or {*state.leases.overlapping(("**",))} != {*folded.leases.overlapping(("**",))}:
        fail("I-6", "the indexes kept along the way differ from those of a fresh fold")


def canonical(state: State) -> bytes:
    """A state as bytes, the same for equal states whatever the order in which they came about."""
    built = msgspec.to_builtins(state.snapshot())
    built["items"].sort(key=lambda row: row["spec"]["id"])
    built["runs"].sort(key=lambda row: row["id"])
    built["questions"].sort(key=lambda row: row["id"])
    return msgspec.json.encode(built, order="deterministic")


_CHECKS: dict[type, Callable[[Ledger, ev.Entry, Any], None]] = {
    ev.ItemAdded: Ledger.added,
    ev.ItemRevised: Ledger.added,
    ev.ItemWithdrawn: Ledger.withdrawn,
    ev.ItemRetried: Ledger.retried,
    ev.RunGranted: Ledger.granted,
    ev.PermitRenewed: Ledger.permit_renewed,
    ev.LeasesRenewed: Ledger.renewed,
    ev.WorkerStarted: Ledger.started,
    ev.WorkerExited: Ledger.exited,
    ev.UsageRecorded: Ledger.spent,
    ev.TurnRepeated: Ledger.repeated,
    ev.RunFlagged: Ledger.about_live,
    ev.RunRewound: Ledger.rewound,
    ev.WorkspaceRewound: Ledger.about_live,
    ev.Forbade: Ledger.about_live,
    ev.ProviderLimited: Ledger.limited,
    ev.ScheduleSet: Ledger.schedule_set,
    ev.ScheduleFired: Ledger.schedule_fired,
    ev.ScheduleDropped: Ledger.schedule_dropped,
    ev.LeaseGranted: Ledger.lease_granted,
    ev.LeaseExtended: Ledger.lease_extended,
    ev.LeaseEnded: Ledger.lease_ended,
    ev.SupervisorStarted: Ledger.supervisor,
    ev.SupervisorStopped: Ledger.supervisor_left,
    ev.RunReported: Ledger.reported,
    ev.RunParked: Ledger.parked,
    ev.NoteAdded: Ledger.about_live,
    ev.FactAdded: Ledger.fact_added,
    ev.FactRetracted: Ledger.fact_retracted,
    ev.MessageSent: Ledger.message_sent,
    ev.MessagesDelivered: Ledger.message_delivered,
    ev.MessagesRead: Ledger.message_read,
    ev.ToolsUsed: Ledger.about_live,
    ev.GuardSilent: Ledger.guard_silent,
    ev.TodosSet: Ledger.about_live,
    ev.EvidenceRecorded: Ledger.evidence,
    ev.QuestionAsked: Ledger.question_asked,
    ev.QuestionAnswered: Ledger.question_answered,
    ev.QuestionEscalated: Ledger.question_escalated,
    ev.QuestionWithdrawn: Ledger.question_over,
    ev.VerdictGiven: Ledger.verdict,
    ev.TrainTested: Ledger.train,
    ev.CandidateProbed: Ledger.probed,
    ev.PairFound: Ledger.pair_found,
    ev.TargetFoundRed: Ledger.about_live,
    ev.LandingStarted: Ledger.landing_started,
    ev.LandingAbandoned: Ledger.abandoned,
    ev.RunLanded: Ledger.landed,
    ev.UndoRequested: Ledger.undo_requested,
    ev.UndoTested: Ledger.undo_tested,
    ev.UndoDropped: Ledger.undo_dropped,
    ev.LandingUndone: Ledger.undone,
    ev.CiSaid: Ledger.ci_said,
    ev.CiWaived: Ledger.ci_waived,
    ev.TargetRead: Ledger.target_read,
    ev.LossAccepted: Ledger.loss_accepted,
    ev.StopRequested: Ledger.stop_requested,
    ev.RunEnded: Ledger.run_ended,
}
