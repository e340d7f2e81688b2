"""What is so: the fold of the journal, kept small enough to load in milliseconds however long the past is.

State holds the items of the fleet and what is open (live runs, open questions, a landing under way). Ended runs,
briefs, notes and boards are in the projections only. `evolve` is total: it takes every entry and never refuses.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId, PlanId, QuestionId, RunId, Seq, Token
from ganger.core.model import (
    EndKind,
    Evidence,
    Hold,
    ItemSpec,
    Lease,
    Question,
    RefusalCode,
    Report,
    Verdict,
    VerdictKind,
    WorkerId,
)
from ganger.core.patterns import PathRules, ScopeIndex

TRAIN_MEMORY_MAX = 64


class Stop(Struct, frozen=True, gc=False):
    """That a run is to end, and how."""

    end: EndKind
    reason: str


class Run(Struct, frozen=True, gc=False):
    """The facts about a live run. Its status is derived, see `lifecycle.run_status`."""

    id: RunId
    item: ItemId
    attempt: int
    base: Commit
    agent: str
    lease: Lease
    granted_ms: int
    turn: int = 0
    """Turns started; 0 before the first worker."""
    turn_due: bool = True
    """Whether a worker is to be started for turn `turn + 1`."""
    worker: WorkerId | None = None
    """The process of the last turn, living or not."""
    started_ms: int = 0
    """When that process was recorded."""
    exited_ms: int = 0
    """When it was recorded to be gone; 0 while it may live."""
    report: Report | None = None
    reported_ms: int = 0
    question: QuestionId = QuestionId("")
    """The open question it waits for; empty for none."""
    asked_turn: int = 0
    """The last turn that ended with a question; 0 for none."""
    evidence: Evidence | None = None
    verdict: Verdict | None = None
    rejections: int = 0
    """Verdicts against it so far."""
    accepted_seq: Seq = Seq(0)
    """Place in the queue for the train; 0 until accepted."""
    stop: Stop | None = None

    @property
    def has_worker(self) -> bool:
        """Whether a worker was started and is not yet recorded as gone."""
        return self.worker is not None and not self.exited_ms

    @property
    def turn_speaking(self) -> int:
        """The turn whose worker may speak: one that is due may have been started without that being recorded yet."""
        return self.turn + (self.turn_due and not self.has_worker)


class Item(Struct, frozen=True, gc=False):
    """The facts about an item. Its status is derived, see `lifecycle.item_status`."""

    spec: ItemSpec
    seq: Seq
    """Where it was added; the order among equals."""
    attempts: int = 0
    """Runs granted so far; their numbers are never used again."""
    failures: int = 0
    """Runs that ended and count against `attempts_max`."""
    cool_until_ms: int = 0
    run: RunId = RunId("")
    landed: Commit = Commit("")
    landed_ms: int = 0
    withdrawn: bool = False
    """Its plan has it no longer; its numbers stay taken."""
    stopped: str = ""
    """Why a person stopped it; empty when nobody did."""
    hold: Hold | None = None
    last_end: EndKind | None = None
    last_reason: str = ""
    waiting: tuple[RefusalCode, str] | None = None
    """The last recorded reason and holder that kept it from being admitted."""

    @property
    def given_up(self) -> bool:
        """Whether it has used up its attempts."""
        return self.failures >= self.spec.attempts_max and not self.landed and not self.run


class Landing(Struct, frozen=True, gc=False):
    """A landing that was allowed and is not yet recorded as done."""

    seq: Seq
    runs: tuple[RunId, ...]
    old: Commit
    new: Commit
    tree: Commit
    question: QuestionId = QuestionId("")
    """What it waits for; empty when it may go on."""


class Snapshot(Struct):
    """The stored form of a state at one position."""

    items: list[Item] = []
    runs: list[Run] = []
    questions: list[Question] = []
    plans: dict[PlanId, str] = {}
    landing: Landing | None = None
    questions_asked: int = 0
    train_size: int = TRAIN_MEMORY_MAX
    seq: Seq = Seq(0)
    at_ms: int = 0


class State:
    """The fold of the journal up to `seq`, with the indexes that make decisions cheap.

    `ready` holds the items that could be offered at some time without anything else happening first, ordered by
    priority and age; `leases` the scopes of live runs. Both follow from the rest and are not stored.
    """

    def __init__(self, snapshot: Snapshot | None = None, rules: PathRules | None = None) -> None:
        kept = snapshot or Snapshot()
        self.rules = rules or PathRules()
        self.items: dict[ItemId, Item] = {item.spec.id: item for item in kept.items}
        self.runs: dict[RunId, Run] = {run.id: run for run in kept.runs}
        self.questions: dict[QuestionId, Question] = {question.id: question for question in kept.questions}
        self.plans: dict[PlanId, str] = dict(kept.plans)
        self.landing = kept.landing
        self.questions_asked = kept.questions_asked
        self.train_size = kept.train_size
        self.seq = kept.seq
        self.at_ms = kept.at_ms
        self.touched_items: set[ItemId] = set()
        self.touched_runs: set[RunId] = set()
        self._ready: list[tuple[int, Seq, ItemId]] | None = None
        self._ready_keys: dict[ItemId, tuple[int, Seq, ItemId]] = {}
        self._dependents: dict[ItemId, set[ItemId]] | None = None
        self._leases: ScopeIndex[RunId] | None = None

    def snapshot(self) -> Snapshot:
        """Take what has to be stored."""
        return Snapshot(
            items=list(self.items.values()),
            runs=list(self.runs.values()),
            questions=list(self.questions.values()),
            plans=dict(self.plans),
            landing=self.landing,
            questions_asked=self.questions_asked,
            train_size=self.train_size,
            seq=self.seq,
            at_ms=self.at_ms,
        )

    @property
    def ready(self) -> list[tuple[int, Seq, ItemId]]:
        """Items that only time, room or a scope can still keep from being offered: (priority, age, id), sorted."""
        if self._ready is None:
            self._ready_keys = {item.spec.id: _order(item) for item in self.items.values() if self._is_ready(item)}
            self._ready = sorted(self._ready_keys.values())
        return self._ready

    @property
    def dependents(self) -> dict[ItemId, set[ItemId]]:
        """For each item, those that name it in `after`."""
        if self._dependents is None:
            self._dependents = {}
            for item in self.items.values():
                for before in item.spec.after:
                    self._dependents.setdefault(before, set()).add(item.spec.id)
        return self._dependents

    @property
    def leases(self) -> ScopeIndex[RunId]:
        """The scopes of live runs, whether their lease has run out or not."""
        if self._leases is None:
            self._leases = ScopeIndex(self.rules)
            for run in self.runs.values():
                self._leases.add(run.id, run.lease.scope)
        return self._leases

    def unmet(self, spec: ItemSpec) -> tuple[ItemId, ...]:
        """Name the items that must land before this one."""
        return tuple(i for i in spec.after if i not in self.items or not self.items[i].landed)

    def live_run(self, run: RunId, token: Token) -> Run | None:
        """The live run with that id and token, or None."""
        found = self.runs.get(run)
        return found if found is not None and found.lease.token == token else None

    @property
    def workers_busy(self) -> int:
        """Workers that live, or that are owed to a run just born."""
        return sum(1 for run in self.runs.values() if run.has_worker or (run.turn_due and not run.turn))

    def _is_ready(self, item: Item) -> bool:
        return not (
            item.run
            or item.landed
            or item.withdrawn
            or item.stopped
            or item.given_up
            or (item.hold is not None and item.hold.reason != "until")
            or self.unmet(item.spec)
        )

    def put_item(self, item: Item) -> None:
        """Store an item's new facts and keep the indexes right."""
        self.items[item.spec.id] = item
        self.touched_items.add(item.spec.id)
        self._refresh(item.spec.id)

    def _refresh(self, item_id: ItemId) -> None:
        if self._ready is None:
            return
        item = self.items.get(item_id)
        wanted = _order(item) if item is not None and self._is_ready(item) else None
        present = self._ready_keys.get(item_id)
        if wanted == present:
            return
        if present is not None:
            self._ready.remove(present)
            del self._ready_keys[item_id]
        if wanted is not None:
            insort(self._ready, wanted)
            self._ready_keys[item_id] = wanted

    def refresh_dependents(self, item_id: ItemId) -> None:
        """Look again at the items that wait for this one."""
        for dependent in self.dependents.get(item_id, ()):
            self.touched_items.add(dependent)
            self._refresh(dependent)

    def link(self, item: Item) -> None:
        """Note what a new or revised item depends on."""
        if self._dependents is not None:
            for before in item.spec.after:
                self._dependents.setdefault(before, set()).add(item.spec.id)

    def put_run(self, run: Run) -> None:
        """Store a live run's new facts."""
        if self._leases is not None and run.id not in self.runs:
            self._leases.add(run.id, run.lease.scope)
        self.runs[run.id] = run
        self.touched_runs.add(run.id)
        self.touched_items.add(run.item)

    def drop_run(self, run_id: RunId) -> Run | None:
        """Take an ended run out; its lease goes with it."""
        run = self.runs.pop(run_id, None)
        if run is not None:
            self.touched_runs.add(run_id)
            if self._leases is not None:
                self._leases.remove(run_id)
            if run.question:
                self.questions.pop(run.question, None)
        return run

    def take_touched(self) -> tuple[set[ItemId], set[RunId]]:
        """Return what changed since the last call, for the projections."""
        touched = self.touched_items, self.touched_runs
        self.touched_items, self.touched_runs = set(), set()
        return touched


def _order(item: Item) -> tuple[int, Seq, ItemId]:
    return item.spec.priority, item.seq, item.spec.id


def evolve(state: State, entry: ev.Entry) -> None:
    """Let `entry` become true in `state`, in place."""
    state.seq, state.at_ms = entry.seq, entry.at_ms
    _EVOLVE[type(entry.event)](state, entry, entry.event)


def fold(entries: Iterable[ev.Entry], rules: PathRules | None = None) -> State:
    """Fold a whole journal from nothing."""
    state = State(rules=rules)
    for entry in entries:
        evolve(state, entry)
    return state


def _plan_added(state: State, entry: ev.Entry, event: ev.PlanAdded) -> None:
    state.plans[event.plan] = event.digest


def _item_added(state: State, entry: ev.Entry, event: ev.ItemAdded) -> None:
    item = Item(spec=event.spec, seq=entry.seq, hold=event.spec.hold)
    state.link(item)
    state.put_item(item)
    state.refresh_dependents(event.spec.id)


def _item_revised(state: State, entry: ev.Entry, event: ev.ItemRevised) -> None:
    old = state.items.get(event.spec.id)
    if old is None:
        return _item_added(state, entry, ev.ItemAdded(event.spec, event.brief))
    item = replace(old, spec=event.spec, hold=event.spec.hold, withdrawn=False)
    state._dependents = None
    state.put_item(item)
    return None


def _item_withdrawn(state: State, entry: ev.Entry, event: ev.ItemWithdrawn) -> None:
    if event.item in state.items:
        state.put_item(replace(state.items[event.item], withdrawn=True))


def _item_waited(state: State, entry: ev.Entry, event: ev.ItemWaited) -> None:
    if event.item in state.items:
        state.put_item(replace(state.items[event.item], waiting=(event.code, event.holder)))


def _item_retried(state: State, entry: ev.Entry, event: ev.ItemRetried) -> None:
    if event.item in state.items:
        state.put_item(
            replace(state.items[event.item], failures=0, cool_until_ms=0, stopped="", hold=None, waiting=None)
        )


def _run_granted(state: State, entry: ev.Entry, event: ev.RunGranted) -> None:
    lease = Lease(Token(entry.seq), event.scope, event.mode, event.expires_ms)
    state.put_run(
        Run(
            id=event.run,
            item=event.item,
            attempt=event.attempt,
            base=event.base,
            agent=event.agent,
            lease=lease,
            granted_ms=entry.at_ms,
        )
    )
    if event.item in state.items:
        state.put_item(replace(state.items[event.item], run=event.run, attempts=event.attempt, waiting=None))


def _leases_renewed(state: State, entry: ev.Entry, event: ev.LeasesRenewed) -> None:
    for run_id, until_ms in event.until:
        if run_id in state.runs:
            run = state.runs[run_id]
            state.put_run(replace(run, lease=replace(run.lease, expires_ms=until_ms)))


def _worker_started(state: State, entry: ev.Entry, event: ev.WorkerStarted) -> None:
    """Begin a turn; what its worker said before its start was recorded stays."""
    run = state.runs.get(event.run)
    if run is not None:
        state.put_run(
            replace(
                run,
                turn=event.turn,
                turn_due=run.asked_turn == event.turn and not run.question,
                worker=event.worker,
                started_ms=entry.at_ms,
                exited_ms=0,
                evidence=None,
                verdict=None,
            )
        )


def _worker_exited(state: State, entry: ev.Entry, event: ev.WorkerExited) -> None:
    run = state.runs.get(event.run)
    if run is not None and run.turn == event.turn:
        state.put_run(replace(run, exited_ms=entry.at_ms))


def _run_reported(state: State, entry: ev.Entry, event: ev.RunReported) -> None:
    if event.run in state.runs:
        state.put_run(replace(state.runs[event.run], report=event.report, reported_ms=entry.at_ms))


def _shown_only(state: State, entry: ev.Entry, event: Any) -> None:
    """Notes, boards and supervisors coming and going change nothing that is decided upon."""


def _question_asked(state: State, entry: ev.Entry, event: ev.QuestionAsked) -> None:
    question = event.question
    state.questions[question.id] = question
    state.questions_asked += 1
    if question.run in state.runs:
        run = state.runs[question.run]
        state.put_run(replace(run, question=question.id, asked_turn=run.turn_speaking, reported_ms=entry.at_ms))
    elif state.landing is not None and question.subject == state.landing.new:
        state.landing = replace(state.landing, question=question.id)


def _question_answered(state: State, entry: ev.Entry, event: ev.QuestionAnswered) -> None:
    question = state.questions.pop(event.question, None)
    if question is None:
        return
    if question.run in state.runs:
        state.put_run(replace(state.runs[question.run], question=QuestionId(""), turn_due=True))
    elif state.landing is not None and state.landing.question == question.id:
        state.landing = replace(state.landing, question=QuestionId(""))


def _question_withdrawn(state: State, entry: ev.Entry, event: ev.QuestionWithdrawn) -> None:
    question = state.questions.pop(event.question, None)
    if question is not None and state.landing is not None and state.landing.question == question.id:
        state.landing = replace(state.landing, question=QuestionId(""))


def _evidence_recorded(state: State, entry: ev.Entry, event: ev.EvidenceRecorded) -> None:
    if event.run in state.runs:
        state.put_run(replace(state.runs[event.run], evidence=event.evidence))


def _verdict_given(state: State, entry: ev.Entry, event: ev.VerdictGiven) -> None:
    if event.run in state.runs:
        accepted = event.verdict.kind is VerdictKind.accepted
        state.put_run(
            replace(
                state.runs[event.run],
                verdict=event.verdict,
                rejections=state.runs[event.run].rejections + (event.verdict.kind is VerdictKind.rejected),
                accepted_seq=entry.seq if accepted else Seq(0),
                turn_due=event.again,
                report=None if event.again else state.runs[event.run].report,
            )
        )


def _train_tested(state: State, entry: ev.Entry, event: ev.TrainTested) -> None:
    taken = len(event.runs)
    if event.passed:
        state.train_size = min(max(state.train_size, taken) * 2, TRAIN_MEMORY_MAX)
    elif taken:
        state.train_size = max(1, taken // 2)


def _landing_started(state: State, entry: ev.Entry, event: ev.LandingStarted) -> None:
    state.landing = Landing(entry.seq, event.runs, event.old, event.new, event.tree)
    state.touched_runs.update(event.runs)


def _landing_abandoned(state: State, entry: ev.Entry, event: ev.LandingAbandoned) -> None:
    if state.landing is not None and state.landing.new == event.new:
        state.questions.pop(state.landing.question, None)
        state.touched_runs.update(state.landing.runs)
        state.landing = None


def _run_landed(state: State, entry: ev.Entry, event: ev.RunLanded) -> None:
    landing = state.landing
    if landing is not None:
        left = tuple(run for run in landing.runs if run != event.run)
        if not left:
            state.questions.pop(landing.question, None)
        state.landing = replace(landing, runs=left) if left else None
    run = state.drop_run(event.run)
    if run is not None and run.item in state.items:
        item = replace(state.items[run.item], run=RunId(""), landed=event.commit, landed_ms=entry.at_ms)
        state.put_item(replace(item, last_end=EndKind.landed, last_reason=""))
        state.refresh_dependents(run.item)


def _stop_requested(state: State, entry: ev.Entry, event: ev.StopRequested) -> None:
    run = state.runs.get(event.run)
    if run is not None and run.stop is None:
        state.put_run(replace(run, stop=Stop(event.end, event.reason), turn_due=False, accepted_seq=Seq(0)))


def _run_ended(state: State, entry: ev.Entry, event: ev.RunEnded) -> None:
    run = state.drop_run(event.run)
    if run is None or run.item not in state.items:
        return
    item = state.items[run.item]
    state.put_item(
        replace(
            item,
            run=RunId(""),
            failures=item.failures + event.counts,
            cool_until_ms=event.cool_until_ms,
            stopped=(event.reason or "no reason given") if event.end is EndKind.stopped else item.stopped,
            last_end=event.end,
            last_reason=event.reason,
        )
    )


_EVOLVE: dict[type, Callable[[State, ev.Entry, Any], None]] = {
    ev.PlanAdded: _plan_added,
    ev.ItemAdded: _item_added,
    ev.ItemRevised: _item_revised,
    ev.ItemWithdrawn: _item_withdrawn,
    ev.ItemWaited: _item_waited,
    ev.ItemRetried: _item_retried,
    ev.RunGranted: _run_granted,
    ev.LeasesRenewed: _leases_renewed,
    ev.WorkerStarted: _worker_started,
    ev.WorkerExited: _worker_exited,
    ev.RunReported: _run_reported,
    ev.NoteAdded: _shown_only,
    ev.TodosSet: _shown_only,
    ev.QuestionAsked: _question_asked,
    ev.QuestionAnswered: _question_answered,
    ev.QuestionWithdrawn: _question_withdrawn,
    ev.EvidenceRecorded: _evidence_recorded,
    ev.VerdictGiven: _verdict_given,
    ev.TrainTested: _train_tested,
    ev.LandingStarted: _landing_started,
    ev.LandingAbandoned: _landing_abandoned,
    ev.RunLanded: _run_landed,
    ev.StopRequested: _stop_requested,
    ev.RunEnded: _run_ended,
    ev.SupervisorStarted: _shown_only,
    ev.SupervisorStopped: _shown_only,
}
