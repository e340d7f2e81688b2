"""What is so: the fold of the journal, kept small enough to load in milliseconds however long the past is.

State holds the items of the fleet and what is open (live runs, leases, open questions, a landing under way). Ended
runs, briefs, notes and boards are in the projections only. It changes only by `core.evolve`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import TypeAlias

from ganger.core.facts import (
    AwaitedCi,
    Breaker,
    HeldLease,
    Item,
    PlanFacts,
    Run,
    Schedule,
    Snapshot,
    Undo,
    Window,
)
from ganger.core.ids import Commit, ItemId, LeaseId, PlanId, QuestionId, RunId, Seq, Token
from ganger.core.model import NOTHING, ItemSpec, Lease, LeaseMode, Question, RefusalCode, Usage
from ganger.core.patterns import PathRules, ScopeIndex

Order: TypeAlias = tuple[int, int, Seq, ItemId]
"""Where a ready item stands: priority, failed tries, age, id."""
ACCEPTED = "accepted"
"""With `start_on`: a run may begin on work that has not landed yet."""
ACCOUNTS_MAX = 66
"""An item stands at most so deep below one of a plan, less the first two accounts."""


class State:
    """The fold of the journal up to `seq`, with the indexes that make decisions cheap.

    `ready` holds the items that could be offered at some time without anything else happening first, ordered by
    priority, freshness and age; `leases` the scopes that are held; `reserved` those that ready items wait for. They
    and the counts of busy workers follow from the rest and are not stored.
    """

    def __init__(self, snapshot: Snapshot | None = None, rules: PathRules | None = None) -> None:
        kept = snapshot or Snapshot()
        self.rules = rules or PathRules()
        self.items: dict[ItemId, Item] = {item.spec.id: item for item in kept.items}
        self.runs: dict[RunId, Run] = {}
        self.questions: dict[QuestionId, Question] = {question.id: question for question in kept.questions}
        self.plans: dict[PlanId, PlanFacts] = dict(kept.plans)
        self.held: dict[LeaseId, HeldLease] = {held.id: held for held in kept.held}
        self.accounts: dict[str, Usage] = dict(kept.accounts)
        """What was spent on each account: `fleet` and `plan:NAME` in this night, `item:NAME` ever."""
        self.streaks: dict[str, tuple[str, ...]] = dict(kept.streaks)
        """For each breaker's key: the items of its last fruitless results in a row."""
        self.breakers: dict[str, Breaker] = dict(kept.breakers)
        self.windows: dict[str, Window] = dict(kept.windows)
        self.schedules: dict[str, Schedule] = dict(kept.schedules)
        self.landing = kept.landing
        self.awaited: dict[Commit, AwaitedCi] = dict(kept.awaited)
        """For each commit on which CI must be green: what landed with it, and what CI said."""
        self.read_back = kept.read_back
        """What the target was seen to contain of what landed."""
        self.undos: dict[Commit, Undo] = {undo.commit: undo for undo in kept.undos}
        """What persons want undone, in the order in which they asked."""
        self.known: dict[Seq, RunId] = dict(kept.known)
        """The facts that stand, with the run whose worker noted it; empty for a person's."""
        self.questions_asked = kept.questions_asked
        self.search = kept.search
        """What the train knows about the candidates that wait."""
        self.epoch = kept.epoch
        """Position at which the supervisor of the hour took over."""
        self.night_ms = kept.night_ms
        """When this night began: a supervisor that follows one that crashed goes on with its night."""
        self.left_in_order = kept.left_in_order
        self.granted = kept.granted
        """Runs granted so far."""
        self.seq = kept.seq
        self.at_ms = kept.at_ms
        self.outstanding: dict[str, Usage] = {}
        """What live runs may still spend, on each account."""
        self.busy: Counter[str] = Counter()
        """Busy workers: all under the empty key, and by `kind:NAME`, `lane:NAME`, `agent:NAME`."""
        self.ends: list[tuple[int, LeaseId]] = sorted((held.lease.expires_ms, held.id) for held in kept.held)
        """When the leases without a run run out, the next one first."""
        self.alone: set[RunId | LeaseId] = {held.id for held in kept.held if held.lease.alone}
        """Holders that must be alone."""
        self.touched_items: set[ItemId] = set()
        self.touched_runs: set[RunId] = set()
        self._ready: list[Order] | None = None
        self._ready_keys: dict[ItemId, Order] = {}
        self._dependents: dict[ItemId, set[ItemId]] | None = None
        self._leases: ScopeIndex[RunId | LeaseId] | None = None
        self._reserved: ScopeIndex[ItemId] | None = None
        self._reserved_keys: set[ItemId] = set()
        for run in kept.runs:
            self.put_run(run)
        self.take_touched()

    def snapshot(self) -> Snapshot:
        """Take what has to be stored."""
        return Snapshot(
            items=list(self.items.values()),
            runs=list(self.runs.values()),
            questions=list(self.questions.values()),
            plans=dict(self.plans),
            held=list(self.held.values()),
            accounts=dict(self.accounts),
            streaks=dict(self.streaks),
            breakers=dict(self.breakers),
            windows=dict(self.windows),
            schedules=dict(self.schedules),
            landing=self.landing,
            awaited=dict(self.awaited),
            read_back=self.read_back,
            undos=list(self.undos.values()),
            known=list(self.known.items()),
            questions_asked=self.questions_asked,
            search=self.search,
            epoch=self.epoch,
            night_ms=self.night_ms,
            left_in_order=self.left_in_order,
            granted=self.granted,
            seq=self.seq,
            at_ms=self.at_ms,
        )

    @property
    def ready(self) -> list[Order]:
        """Items that only time, room or a scope can still keep from being offered: (priority, tries, age, id)."""
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
    def leases(self) -> ScopeIndex[RunId | LeaseId]:
        """The scopes of live runs and of leases without a run, whether the lease has run out or not."""
        if self._leases is None:
            self._leases = ScopeIndex(self.rules)
            for run in self.runs.values():
                self._leases.add(run.id, run.lease.scope, shared=run.lease.mode is LeaseMode.shared)
            for held in self.held.values():
                self._leases.add(held.id, held.lease.scope, shared=held.lease.mode is LeaseMode.shared)
        return self._leases

    @property
    def reserved(self) -> ScopeIndex[ItemId]:
        """The scopes that ready items were recorded to wait for."""
        if self._reserved is None:
            self._reserved = ScopeIndex(self.rules)
            self._reserved_keys = set()
            for item in self.items.values():
                if item.waiting is not None:
                    self._reserve(item)
        return self._reserved

    def lease_of(self, holder: RunId | LeaseId) -> Lease:
        """The lease of a live run, or one that belongs to no run."""
        held = self.held.get(LeaseId(holder))
        return held.lease if held is not None else self.runs[RunId(holder)].lease

    def unmet(self, spec: ItemSpec) -> tuple[ItemId, ...]:
        """Name the items that must land before this one, or be closed, or be accepted where that is enough."""
        early = spec.start_on == ACCEPTED
        return tuple(i for i in spec.after if not self.lets_go(i) and not (early and self.head_of(i)))

    def lets_go(self, item_id: ItemId) -> bool:
        """Whether what comes after an item may begin, on the target as it is."""
        item = self.items.get(item_id)
        return item is not None and self._lets_go(item)

    def _lets_go(self, item: Item) -> bool:
        awaited = self.awaited_of(item)
        return bool(item.landed) and (awaited is None or not awaited.holds)

    def head_of(self, item_id: ItemId) -> tuple[RunId, Commit] | None:
        """The run of an item whose candidate waits for the train, with that; None when there is none."""
        item = self.items.get(item_id)
        run = self.runs.get(item.run) if item is not None else None
        if run is None or not run.accepted_seq or run.stop is not None or run.evidence is None:
            return None
        return run.id, run.evidence.commit

    def awaited_of(self, item: Item) -> AwaitedCi | None:
        """What an item that has landed waits for before it is closed; None when it waits for nothing."""
        found = self.awaited.get(item.landed) if item.landed else None
        return found if found is not None and item.spec.id in found.items else None

    def live_run(self, run: RunId, token: Token) -> Run | None:
        """The live run with that id and token, or None."""
        found = self.runs.get(run)
        return found if found is not None and found.lease.token == token else None

    @property
    def workers_busy(self) -> int:
        """Workers that live, or that are owed to a run just born."""
        return self.busy[""]

    def accounts_of(self, spec: ItemSpec) -> tuple[str, ...]:
        """The accounts that an item's spending is charged to: fleet, plan, the item, and those that stand above it."""
        accounts = ["fleet", f"plan:{spec.plan}", f"item:{spec.id}"]
        above = self.items.get(spec.parent)
        while above is not None and len(accounts) < ACCOUNTS_MAX:
            accounts.append(f"item:{above.spec.id}")
            above = self.items.get(above.spec.parent)
        return tuple(accounts)

    def charge(self, item: ItemId, usage: Usage) -> None:
        """Book what a run of an item has spent."""
        found = self.items.get(item)
        if found is not None and usage != NOTHING:
            for account in self.accounts_of(found.spec):
                self.accounts[account] = self.accounts.get(account, NOTHING).plus(usage)

    def _is_ready(self, item: Item) -> bool:
        return not (
            item.run
            or item.landed
            or item.finished
            or item.undone is not None
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

    def put_revised(self, item: Item) -> None:
        """Store an item whose plan or parent may be another now; what its live run may spend moves along."""
        run = self.runs.get(item.run)
        self._count(run, None)
        self.put_item(item)
        self._count(None, run)

    def _refresh(self, item_id: ItemId) -> None:
        item = self.items.get(item_id)
        if self._reserved is not None and item is not None:
            self._reserve(item)
        if self._ready is None:
            return
        wanted = _order(item) if item is not None and self._is_ready(item) else None
        present = self._ready_keys.get(item_id)
        if wanted == present:
            return
        if present is not None:
            self._ready.pop(bisect_left(self._ready, present))
            del self._ready_keys[item_id]
        if wanted is not None:
            insort(self._ready, wanted)
            self._ready_keys[item_id] = wanted

    def _reserve(self, item: Item) -> None:
        """Keep the index of scopes that are waited for."""
        if self._reserved is None:
            return
        if item.spec.id in self._reserved_keys:
            self._reserved.remove(item.spec.id)
            self._reserved_keys.discard(item.spec.id)
        if item.waiting is not None and item.waiting[0] is RefusalCode.overlap and self._is_ready(item):
            self._reserved.add(item.spec.id, item.spec.scope, shared=item.spec.mode is LeaseMode.shared)
            self._reserved_keys.add(item.spec.id)

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

    def forget_links(self) -> None:
        """Have the dependencies read anew, after an item's have changed."""
        self._dependents = None

    def put_run(self, run: Run) -> None:
        """Store a live run's new facts."""
        before = self.runs.get(run.id)
        head = self.head_of(run.item)
        if self._leases is not None and before is None:
            self._leases.add(run.id, run.lease.scope, shared=run.lease.mode is LeaseMode.shared)
        self._count(before, run)
        self.runs[run.id] = run
        self.touched_runs.add(run.id)
        self.touched_items.add(run.item)
        if self.head_of(run.item) != head:
            self.refresh_dependents(run.item)

    def drop_run(self, run_id: RunId) -> Run | None:
        """Take an ended run out; its lease goes with it."""
        run = self.runs.pop(run_id, None)
        if run is not None:
            self._count(run, None)
            self.touched_runs.add(run_id)
            if self._leases is not None:
                self._leases.remove(run_id)
            for question in run.questions:
                self.questions.pop(question, None)
        return run

    def put_held(self, held: HeldLease) -> None:
        """Store a lease that belongs to no run."""
        if self._leases is not None and held.id not in self.held:
            self._leases.add(held.id, held.lease.scope, shared=held.lease.mode is LeaseMode.shared)
        self._forget_end(held.id)
        insort(self.ends, (held.lease.expires_ms, held.id))
        self.held[held.id] = held
        if held.lease.alone:
            self.alone.add(held.id)

    def drop_held(self, lease: LeaseId) -> None:
        """Take such a lease out."""
        self._forget_end(lease)
        if self.held.pop(lease, None) is not None:
            self.alone.discard(lease)
            if self._leases is not None:
                self._leases.remove(lease)

    def _forget_end(self, lease: LeaseId) -> None:
        if lease in self.held:
            self.ends.pop(bisect_left(self.ends, (self.held[lease].lease.expires_ms, lease)))

    def _count(self, before: Run | None, after: Run | None) -> None:
        """Keep the counts and what is outstanding when a run's facts change."""
        for run, sign in ((before, -1), (after, 1)):
            if run is None:
                continue
            if run.is_busy:
                for key in ("", f"kind:{run.kind}", f"lane:{run.lease.lane}", f"agent:{run.agent}"):
                    self.busy[key] += sign
            if run.lease.alone:
                self.alone.discard(run.id) if sign < 0 else self.alone.add(run.id)
            if run.reserved != NOTHING and run.item in self.items:
                for account in self.accounts_of(self.items[run.item].spec):
                    kept = self.outstanding.get(account, NOTHING)
                    changed = kept.plus(run.outstanding) if sign > 0 else kept.minus(run.outstanding)
                    self.outstanding[account] = changed

    def take_touched(self) -> tuple[set[ItemId], set[RunId]]:
        """Return what changed since the last call, for the projections."""
        touched = self.touched_items, self.touched_runs
        self.touched_items, self.touched_runs = set(), set()
        return touched


def _order(item: Item) -> Order:
    """Priority, then freshness (fewest tries), then age."""
    return item.spec.priority, item.failures, item.seq, item.spec.id
