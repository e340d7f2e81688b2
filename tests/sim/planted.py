"""Bugs to plant: each takes one defence away, as a slip of the hand would, and names the rules that may notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import admission, decide, landing, lifecycle, picking, reconcile, state, verdict
from ganger.core import events as ev
from ganger.core.effects import CollectEvidence, EndRun, Land, Submit
from ganger.core.ids import Seq
from ganger.core.model import LeaseMode, Refusal, RefusalCode, ReportKind
from ganger.core.patterns import ScopeIndex
from ganger.journal.port import Transaction
from ganger.service.fleet import Fleet
from ganger.supervisor import effects, loop
from ganger.testing import memory_store, simulated_world
from ganger.testing.simulated_fleet import Config
from ganger.testing.simulated_world import SimulatedWorld

Swap = tuple[Any, str, Any]


class Bug(Struct, frozen=True):
    """What to replace by what, and by which rules it is to be found."""

    name: str
    rules: tuple[str, ...]
    swaps: tuple[Swap, ...]
    seeds_max: int = 150
    config: Config | None = None
    """Where the bug shows in a rare corner only: a configuration that goes there on every seed."""


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Have the bug in the program for a while."""
    before = [(where, name, _get(where, name)) for where, name, _ in bug.swaps]
    try:
        for where, name, value in bug.swaps:
            _set(where, name, value)
        yield
    finally:
        for where, name, value in before:
            _set(where, name, value)


def _get(where: Any, name: Any) -> Any:
    return where[name] if isinstance(where, dict) else where.__dict__[name]


def _set(where: Any, name: Any, value: Any) -> None:
    if isinstance(where, dict):
        where[name] = value
    else:
        setattr(where, name, value)


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _no_faults(*args: Any) -> tuple[str, ...]:
    return ()


# ── admission and picking ──


def _inverted(known: state.State, item: state.Item, now_ms: int, reserved: Any = None) -> Refusal | None:
    for holder in known.leases.overlapping(item.spec.scope):
        run = known.runs[holder]
        if LeaseMode.exclusive not in (run.lease.mode, item.spec.mode):
            return Refusal(RefusalCode.overlap, "inverted", holder=holder)
    return None


_overlapping = ScopeIndex.overlapping


def _first_pattern_only(self: Any, scope: tuple[str, ...]) -> Any:
    return _overlapping(self, scope[:1])


def _unmet_ignores_running(self: state.State, spec: Any) -> tuple[Any, ...]:
    return tuple(i for i in spec.after if i not in self.items or not (self.items[i].landed or self.items[i].run))


# ── lifecycle ──


def _any_token(known: state.State, run_id: Any, token: Any) -> Any:
    run = known.runs.get(run_id)
    return run if run is not None else Refusal(RefusalCode.stale_token, "over")


def _report_again(known: state.State, run_id: Any, token: Any, report: Any) -> Any:
    run = lifecycle.find_run(known, run_id, token)
    return run if isinstance(run, Refusal) else (ev.RunReported(run.id, run.turn, report),)


_decide_end = lifecycle.decide_end


def _end_uncounted(*args: Any) -> Any:
    decided = _decide_end(*args)
    return decided if isinstance(decided, Refusal) else tuple(replace(event, counts=False) for event in decided)


def _stop_while_landing(known: state.State, command: Any) -> Any:
    run = known.runs.get(command.run)
    if run is None or run.stop is not None:
        return ()
    return (ev.StopRequested(run.id, command.end, command.reason),)


def _end_while_landing(known: state.State, command: Any, now_ms: int, policy: Any) -> Any:
    kept = known.landing
    known.landing = None
    try:
        return _decide_end(known, command, now_ms, policy)
    finally:
        known.landing = kept


# ── state ──

_run_ended, _worker_started, _run_landed = (
    state._EVOLVE[found] for found in (ev.RunEnded, ev.WorkerStarted, ev.RunLanded)
)


def _lease_stays(known: state.State, entry: Any, event: ev.RunEnded) -> None:
    lease_of = known.leases
    scope = known.runs[event.run].lease.scope if event.run in known.runs else ()
    _run_ended(known, entry, event)
    if scope:
        lease_of.add(event.run, scope)


def _run_stays(known: state.State, entry: Any, event: ev.RunEnded) -> None:
    run = known.runs.get(event.run)
    _run_ended(known, entry, event)
    if run is not None:
        known.runs[event.run] = run


def _early_report_forgotten(known: state.State, entry: Any, event: ev.WorkerStarted) -> None:
    _worker_started(known, entry, event)
    if event.run in known.runs:
        known.runs[event.run] = replace(known.runs[event.run], report=None, reported_ms=0)


def _size_stays(known: state.State, entry: Any, event: Any) -> None:
    known.train_size = max(known.train_size, 2)


def _landed_forgotten(known: state.State, entry: Any, event: ev.RunLanded) -> None:
    run = known.runs.get(event.run)
    _run_landed(known, entry, event)
    if run is not None:
        known.put_item(replace(known.items[run.item], landed=state.Commit("")))


# ── landing ──

_decide_train = landing.decide_train


def _believe_train(known: state.State, command: Any, now_ms: int, policy: Any) -> Any:
    return _decide_train(known, replace(command, passed=bool(command.runs)), now_ms, policy)


# ── reconcile ──

_run_effects = reconcile._run_effects
_train_effects = reconcile._train_effects
_worker_effects = reconcile._worker_effects
_silent_since = reconcile._silent_since


def _end_living(known: Any, run: Any, *args: Any) -> Any:
    if run.stop is not None:
        yield EndRun(run.id, run.stop.end, run.stop.reason)
    else:
        yield from _run_effects(known, run, *args)


def _collect_early(known: Any, run: Any, *args: Any) -> Any:
    done = run.report is not None and run.report.kind is ReportKind.done
    if done and run.evidence is None and run.has_worker and run.stop is None:
        yield CollectEvidence(run.id, run.turn)
    yield from _run_effects(known, run, *args)


def _evidence_of_living(known: Any, command: Any, policy: Any) -> Any:
    run = known.runs.get(command.run)
    if run is not None and run.has_worker:
        known.runs[run.id] = replace(run, exited_ms=1)
        try:
            return _evidence(known, command, policy)
        finally:
            known.runs[run.id] = run
    return _evidence(known, command, policy)


_evidence = decide._evidence


def _no_linger(known: Any, run: Any, *args: Any) -> Any:
    if run.stop is None and (run.report is not None or run.question):
        return
    yield from _worker_effects(known, run, *args)


def _never_silent(run: Any, observed: Any) -> int:
    return 1 << 60


def _starts_uncounted(known: Any, observed: Any, policy: Any, intent: Any) -> Any:
    return reconcile_starts(known, replace(observed, starting=frozenset()), policy, intent)


reconcile_starts = reconcile._starts


def _wake_in_the_past(known: Any, observed: Any, now_ms: int, policy: Any) -> int | None:
    times = [when for run in known.runs.values() for when in reconcile._run_times(known, run, observed, policy)]
    later = _next_wake_ms(known, observed, now_ms, policy)
    times += [later] if later is not None else []
    return max(min(times), now_ms) if times else None


_next_wake_ms = reconcile.next_wake_ms


def _land_unasked(known: Any, observed: Any, policy: Any) -> Any:
    if known.landing is not None:
        yield Land(known.landing.old, known.landing.new, known.landing.tree)
    else:
        yield from _train_effects(known, observed, policy)


# ── carrying out ──


def _end_without_keeping(effect: Any, fleet: Any, world: Any) -> Any:
    run = effects._run(fleet, effect.run)
    if run is None or run.has_worker:
        return None
    world._sweep(run)
    return fleet.submit(effects.cmd.RecordEnd(run.id, run.lease.token, effect.end, effect.reason), effects.ACTOR)


def _keep_leaves_them_alive(self: Any, run: Any) -> tuple[str, ...]:
    return self._keep(run.id)


def _start_again(self: Any, run: Any, spec: Any, turn: int) -> Any:
    self.records.pop((run.id, turn), None)
    return _start(self, run, spec, turn)


_start = SimulatedWorld.start
_where = SimulatedWorld._where


def _where_unseen(self: Any, old: Any, new: Any) -> Any:
    found = _where(self, old, new)
    return replace(found, state="moved") if found is not None else None


def _where_not_compared(self: Any, old: Any, new: Any) -> Any:
    found = _where(self, old, new)
    return found if found is not None and found.state == "landed" else None


def _retry_at_once(self: Any, now_ms: int) -> int | None:
    return min((trouble.again_ms for trouble in self.troubles.values()), default=None)


def _never_rest(self: Any, effect: Any, reply: Any) -> None:
    self.troubles.pop(effect.key, None)


def _take_busy(self: Any, effect: Any, now_ms: int) -> bool:
    self.busy.add(effect.key)
    return isinstance(effect, Submit) or not any(t.again_ms > now_ms for t in self.troubles.values())


_commit_queued = Fleet._decide


def _key_ignored(self: Any, writing: Transaction, waiting: Any) -> Any:
    waiting.key = ""
    return _commit_queued(self, writing, waiting)


_append = memory_store.MemoryStore.append


def _clock_may_go_back(self: Any, event: Any, actor: str, now_ms: int, key: str) -> Any:
    return _append(self, event, actor, now_ms - (self.folded.seq % 7) * 1_000, key)


def _withdraw_idle_only(known: Any, command: Any) -> Any:
    decided = _add_plan(known, command)
    if isinstance(decided, Refusal):
        return decided
    return tuple(e for e in decided if not (isinstance(e, ev.ItemWithdrawn) and known.items[e.item].run))


_add_plan = decide._add_plan


def _questions_vanish(known: state.State, entry: Any, event: ev.QuestionAsked) -> None:
    known.questions_asked += 1
    known.seq = Seq(entry.seq)


def _faults_but_ran_nothing(spec: Any, results: Any) -> tuple[str, ...]:
    ran_nothing = any(result.state == "ran_nothing" for result in results)
    return () if ran_nothing else _check_faults(spec, results)


_check_faults = verdict.check_faults


CUT_STARTS = Config(
    habits=("hangs", "too_slow"), actions=("stop",), action_every_ms=60_000, faults=(("crash", 1.0), ("away", 1.0))
)

BUGS = (
    Bug("the train forgets tokens and leases", ("I-1", "I-14"), ((landing, "_members_refusal", _nothing),)),
    Bug(
        "no overlap check",
        ("I-1",),
        ((admission, "overlap_refusal", _nothing), (picking, "overlap_refusal", _nothing)),
    ),
    Bug(
        "the overlap check is inverted",
        ("I-1",),
        ((admission, "overlap_refusal", _inverted), (picking, "overlap_refusal", _inverted)),
    ),
    Bug(
        "only the first pattern of a scope counts", ("I-1", "I-6"), ((ScopeIndex, "overlapping", _first_pattern_only),)
    ),
    Bug("a running dependency is enough", ("I-14", "I-6"), ((state.State, "unmet", _unmet_ignores_running),)),
    Bug("any token will do", ("I-1", "I-14", "I-4"), ((lifecycle, "find_run", _any_token),)),
    Bug("a report is recorded each time", ("I-4",), ((lifecycle, "_report", _report_again),)),
    Bug("failed attempts are not counted", ("I-16", "I-20"), ((lifecycle, "decide_end", _end_uncounted),)),
    Bug(
        "a run is stopped in the middle of its landing",
        ("I-13", "I-14", "I-1", "I-20"),
        ((lifecycle, "decide_stop", _stop_while_landing), (lifecycle, "decide_end", _end_while_landing)),
    ),
    Bug("the pause after a failure is left out", ("I-16",), ((lifecycle, "cooldown_ms", lambda failures, policy: 0),)),
    Bug("the lease of an ended run stays", ("I-6", "I-20", "crash"), ((state._EVOLVE, ev.RunEnded, _lease_stays),)),
    Bug("an ended run stays", ("I-14", "I-6", "crash"), ((state._EVOLVE, ev.RunEnded, _run_stays),)),
    Bug("an early report is forgotten", ("I-4",), ((state._EVOLVE, ev.WorkerStarted, _early_report_forgotten),), 600),
    Bug("a landed item is forgotten", ("I-14", "I-13"), ((state._EVOLVE, ev.RunLanded, _landed_forgotten),)),
    Bug("a failed batch is not halved", ("I-20", "quiet"), ((state._EVOLVE, ev.TrainTested, _size_stays),), 600),
    Bug("a failed train is believed", ("I-8",), ((landing, "decide_train", _believe_train),)),
    Bug(
        "a worker that lives has its run ended", ("I-12", "quiet", "I-20"), ((reconcile, "_run_effects", _end_living),)
    ),
    Bug(
        "evidence is taken while the worker lives",
        ("I-9",),
        ((reconcile, "_run_effects", _collect_early), (decide, "_evidence", _evidence_of_living)),
    ),
    Bug("a worker lingers for ever", ("I-20", "I-12"), ((reconcile, "_worker_effects", _no_linger),)),
    Bug("silence is never noticed", ("I-22", "I-20"), ((reconcile, "_silent_since", _never_silent),)),
    Bug("starts under way are not counted", ("I-16",), ((reconcile, "_starts", _starts_uncounted),), 400),
    Bug("leases are never renewed", ("I-20", "quiet"), ((reconcile, "_renewals", lambda *args: iter(())),)),
    Bug("the next wake lies in the past", ("quiet",), ((loop, "next_wake_ms", _wake_in_the_past),)),
    Bug("an old failure is waited for", ("quiet",), ((loop.Bench, "next_retry_ms", _retry_at_once),)),
    Bug(
        "a landing that cannot go on is tried without a pause",
        ("quiet",),
        ((loop.Bench, "_settle", _never_rest), (reconcile, "_train_effects", _land_unasked)),
    ),
    Bug("nothing committed is good enough", ("I-7", "I-3"), ((verdict, "_commit_faults", _no_faults),), 400),
    Bug("changes outside the scope are accepted", ("I-3",), ((verdict, "_scope_faults", _no_faults),)),
    Bug("failed checks are accepted", ("I-7",), ((verdict, "check_faults", _no_faults),)),
    Bug("a check that ran nothing counts as passed", ("I-7",), ((verdict, "check_faults", _faults_but_ran_nothing),)),
    Bug("a run ends and nothing is kept", ("I-10",), ((effects, "_end", _end_without_keeping),)),
    Bug(
        "salvage leaves the worker alive",
        ("I-12",),
        ((SimulatedWorld, "keep", _keep_leaves_them_alive),),
        200,
        CUT_STARTS,
    ),
    Bug("a worker that was started is not adopted", ("I-12",), ((SimulatedWorld, "start", _start_again),)),
    Bug("a landing is not recognised after a crash", ("I-13",), ((SimulatedWorld, "_where", _where_unseen),), 400),
    Bug("the target is moved without comparing", ("I-11",), ((SimulatedWorld, "_where", _where_not_compared),), 400),
    Bug("one effect at a time is not kept", ("I-12", "I-13", "I-1", "crash"), ((loop.Bench, "take", _take_busy),)),
    Bug("an idempotency key is ignored", ("I-4",), ((Fleet, "_decide", _key_ignored),)),
    Bug("the journal's clock goes back", ("I-5",), ((memory_store.MemoryStore, "append", _clock_may_go_back),)),
    Bug("an item withdrawn while it runs is kept", ("I-14",), ((decide, "_add_plan", _withdraw_idle_only),), 400),
    Bug("a question is not shown", ("I-20", "I-6"), ((state._EVOLVE, ev.QuestionAsked, _questions_vanish),)),
    Bug(
        "what the target lost comes back with a candidate",
        ("I-8",),
        ((simulated_world, "is_based_on", lambda git, base, target: True),),
        400,
    ),
)
