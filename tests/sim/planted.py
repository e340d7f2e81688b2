"""Bugs to plant: each takes one defence away, as a slip of the hand would, and names the rules that may notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import (
    admission,
    closing,
    consult,
    decide,
    empty_turns,
    evolve,
    family,
    foundation,
    known,
    landing,
    leases,
    lifecycle,
    messages,
    picking,
    reconcile,
    recovery,
    spawning,
    state,
    train,
    verdict,
)
from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core import loop as loop_core
from ganger.core.effects import CollectEvidence, EndRun, Land, Submit
from ganger.core.facts import Run
from ganger.core.ids import Commit, Seq
from ganger.core.model import (
    Budget,
    CiState,
    ItemSpec,
    Kind,
    LeaseMode,
    Question,
    Refusal,
    RefusalCode,
    Report,
    ReportKind,
    Usage,
    Writes,
)
from ganger.core.patterns import ScopeIndex
from ganger.core.policy import Policy
from ganger.journal.port import Transaction
from ganger.service import fleet as fleet_module
from ganger.service.fleet import Fleet
from ganger.supervisor import effects, loop
from ganger.testing import memory_store, simulated_world
from ganger.testing.simulated_fleet import Config
from ganger.testing.simulated_git import SimulatedGit
from ganger.testing.simulated_workers import Workspace
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


def _said_nothing(*args: Any) -> str:
    return ""


def _no_faults(*args: Any) -> tuple[str, ...]:
    return ()


# ── admission and picking ──


def _inverted(known: state.State, wanted: Any, now_ms: int, reserved: Any = None) -> Refusal | None:
    for holder in known.leases.overlapping(wanted.scope):
        if LeaseMode.exclusive not in (known.lease_of(holder).mode, wanted.mode):
            return Refusal(RefusalCode.overlap, "inverted", holder=holder)
    return None


_overlapping = ScopeIndex.overlapping


def _first_pattern_only(self: Any, scope: tuple[str, ...], **how: Any) -> Any:
    return _overlapping(self, scope[:1], **how)


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
    return decided if isinstance(decided, Refusal) else (replace(decided[0], counts=False), *decided[1:])


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
    evolve._EVOLVE[found] for found in (ev.RunEnded, ev.WorkerStarted, ev.RunLanded)
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


def _landed_forgotten(known: state.State, entry: Any, event: ev.RunLanded) -> None:
    run = known.runs.get(event.run)
    _run_landed(known, entry, event)
    if run is not None:
        known.put_item(replace(known.items[run.item], landed=Commit("")))


# ── landing ──

_decide_train = landing.decide_train
_next_trial, _known_of = train.next_trial, train.known_of


def _whole_order(suspects: int, waiting: int, batch: int, parallel: int) -> tuple[int, ...]:
    return (waiting,) if waiting else ()


def _never_again(search: train.Search, case: train.Case, retries: int) -> Any:
    return _next_trial(search, case, 0)


def _never_bare(search: train.Search, case: train.Case, retries: int) -> Any:
    return _next_trial(search, replace(case, sound=True), retries)


def _guessed(search: train.Search, run: Any, *more: Any) -> train.Search:
    found = _known_of(search, run, *more)
    cases = tuple(replace(c, good=c.bad - 1) if c.run == run and c.is_fine_alone else c for c in found.cases)
    return replace(found, cases=cases)


def _believe_train(known: state.State, command: Any, now_ms: int, policy: Any) -> Any:
    return _decide_train(known, replace(command, passed=bool(command.runs)), now_ms, policy)


# ── reconcile ──

_run_effects = reconcile._run_effects
_train_effects = reconcile._train_effects
_worker_effects = reconcile._worker_effects
_liveness = reconcile.liveness


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


def _evidence_of_living(known: Any, command: Any, *more: Any) -> Any:
    run = known.runs.get(command.run)
    if run is not None and run.has_worker:
        known.runs[run.id] = replace(run, exited_ms=1)
        try:
            return _evidence(known, command, *more)
        finally:
            known.runs[run.id] = run
    return _evidence(known, command, *more)


_evidence = decide._evidence


def _no_linger(known: Any, run: Any, *args: Any) -> Any:
    if run.stop is None and (run.report is not None or run.question):
        return
    yield from _worker_effects(known, run, *args)


def _never_silent(run: Any, spec: Any, clocks: Any, now_ms: int, policy: Any) -> Any:
    return _liveness(run, spec, replace(clocks, heartbeat_ms=now_ms), now_ms, policy)


def _starts_uncounted(known: Any, observed: Any, *more: Any) -> Any:
    return reconcile_starts(known, replace(observed, starting=frozenset()), *more)


reconcile_starts = reconcile._starts


def _wake_in_the_past(known: Any, observed: Any, now_ms: int, policy: Any, *more: Any) -> int | None:
    times = [when for run in known.runs.values() for when in reconcile._run_times(known, run, observed, now_ms, policy)]
    later = _next_wake_ms(known, observed, now_ms, policy, *more)
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
    return fleet.submit(effects.cmd.RecordEnd(run.id, run.lease.token, effect.end, effect.reason), fleet.acts_as)


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


def _both(name: str, value: Any) -> tuple[Swap, ...]:
    """Replace a function of admission's, under every name it is called by."""
    users = (admission, picking, decide, reconcile, loop_core, leases)
    return tuple((user, name, value) for user in users if name in user.__dict__)


_item_refusal = admission.item_refusal


def _question_unheeded(known: Any, item: Any, now_ms: int) -> Any:
    return _item_refusal(known, replace(item, question=""), now_ms)


# ── means ──


def _reserve_nothing(known: Any, spec: Any, agent: str, policy: Any) -> Usage:
    return Usage(tokens=5_000)


def _charge_item_only(self: Any, item: Any, usage: Usage) -> None:
    account = f"item:{item}"
    self.accounts[account] = self.accounts.get(account, Usage()).plus(usage)


def _fresh_budget_after_a_crash(known: Any, entry: Any, event: Any) -> None:
    known.left_in_order = True
    _supervisor_started(known, entry, event)


_supervisor_started = evolve._EVOLVE[ev.SupervisorStarted]


def _no_budget_stop(run: Any, age_ms: int) -> str:
    return ""


def _repeat_for_ever(known: Any, command: Any, *more: Any) -> Any:
    run = lifecycle.find_run(known, command.run, command.token)
    if isinstance(run, Refusal) or run.stop or run.turn != command.turn or run.repeat or lifecycle.is_turn_over(run):
        return run if isinstance(run, Refusal) else ()
    return (ev.TurnRepeated(run.id, run.turn, command.why, command.reason),)


def _anybody_renews(known: Any, command: Any, now_ms: int) -> Any:
    held = known.held.get(command.lease)
    return (ev.LeaseExtended(held.id, now_ms + command.ttl_ms),) if held is not None else ()


def _expired_at_once(known: Any, now_ms: int) -> list[Any]:
    return [ev.LeaseEnded(lease, "expired") for lease in known.held]


def _never_stands(known: Any, holder: Any, now_ms: int) -> bool:
    return holder not in known.held


def _force_anything(known: Any, item: Any, now_ms: int, policy: Any, *, forced: bool) -> Any:
    return None if forced else admission.admit(known, item, now_ms, policy)


def _everybody_may(known: Any, command: Any, actor: str) -> Any:
    return None if actor.startswith("worker:") else _authority(known, command, actor)


def _epoch_unchecked(known: Any, command: Any, actor: str) -> Any:
    return _authority(known, command, "supervisor" if actor.startswith("supervisor") else actor)


_authority = fleet_module.authority_refusal


def _rewound_unkept(self: Any, run: Any, commit: Any) -> None:
    self._sweep(run)
    self.workspaces[run.id] = Workspace(commit, self.git.files(commit), run.base)


def _forget_hang(known: Any, entry: Any, event: Any) -> None:
    _turn_repeated(known, entry, event)
    if event.run in known.runs:
        known.put_run(replace(known.runs[event.run], repeats=()))


_turn_repeated = evolve._EVOLVE[ev.TurnRepeated]


def _never_recover(known: Any, command: Any, *more: Any) -> Any:
    return ()


def _one_number_for_two(known: Any, entry: Any, event: Any) -> None:
    run = known.runs.get(event.run)
    _run_rewound(known, entry, event)
    if run is not None and event.run in known.runs:
        known.put_run(replace(known.runs[event.run], turn=run.turn))


_run_rewound = evolve._EVOLVE[ev.RunRewound]


def _planner_for_ever(known: Any, entry: Any, event: Any) -> None:
    _run_ended(known, entry, event)
    known.plans = {plan: replace(facts, drained=False, quiet_replans=0) for plan, facts in known.plans.items()}


def _landed(self: state.State, item: Any) -> bool:
    return bool(item.landed)


def _no_fault(known: state.State, run: Any) -> str:
    return ""


def _believed(known: state.State, target: Commit) -> bool:
    return True


def _off_plan_allowed(*args: Any, **settings: Any) -> Any:
    return verdict.judge(*args, **{**settings, "off_plan": "allow"})


def _undo_untested(effect: Any, fleet: Any, world: Any) -> Any:
    wanted = fleet.look(lambda state, _: state.undos.get(effect.commit))
    undid = world.undo(wanted, (), ())
    passed = bool(undid.commit)
    told = cmd.RecordUndo(effect.commit, undid.old, undid.commit, undid.tree, passed, reason=undid.reason)
    return fleet.submit(told, fleet.acts_as)


def _undo_wished_for_ever(known: Any, entry: Any, event: Any) -> None:
    wish = known.undos.get(event.commit)
    _landing_undone(known, entry, event)
    if wish is not None:
        known.undos[event.commit] = wish


_landing_undone = evolve._EVOLVE[ev.LandingUndone]


def _as_decided(state: Any, decided: Any) -> Any:
    return decided


def _unlike_any(text: str) -> tuple[int, int]:
    return -1, len(text)


def _taken_back_whole(self: Any, onto: Any, commit: Any, message: str) -> Any:
    """As if nothing had landed since: the target as it was before the change."""
    return self.commit(self.files(self.nodes[commit].parents[0]), (onto,), message)


SHARED = Config(items=6, policy=Policy(workers_max=6))
TALK = Config(items=4, habits=("honest", "floods"), actions=("tell",), action_every_ms=60_000)
REGRETS = Config(items=4, regrets=True, actions=("red", "commit"), action_every_ms=60_000, faults_ms=2_000_000)
REWINDS = Config(items=3, actions=("rewind",), action_every_ms=20_000, faults=(("crash", 0.9), ("slow", 0.9)))
CUT_STARTS = Config(
    habits=("hangs", "too_slow"), actions=("stop",), action_every_ms=60_000, faults=(("crash", 1.0), ("away", 1.0))
)

POOR = Config(
    items=5,
    habits=("spends", "honest"),
    policy=Policy(fleet_budget=Budget(tokens=15_000), run_budget=Budget(tokens=6_000), priced=frozenset({"default"})),
)
UNLUCKY = Config(items=5, faults=(("flaky", 1.0),), faults_ms=2_000_000)
REDDENED = Config(items=5, actions=("red",), action_every_ms=60_000, faults_ms=2_000_000)
CROWD = Config(items=8, habits=("half", "half", "honest"), policy=Policy(workers_max=8))
PLANNING = Config(items=2, policy=Policy(planner="default"))
CLOSED = Config(items=5, policy=Policy(ci_required=True, ci_dependents="closed"))
STACKED = Config(
    items=6,
    stacked=True,
    actions=("retry", "commit"),
    action_every_ms=30_000,
    policy=Policy(landing_mode="ask", train_max=1, turns_max=3),
)
FORCED = Config(items=3, actions=("force", "commit"), action_every_ms=60_000)

CONFLICTING = Config(
    items=8,
    habits=("honest",),
    actions=("commit",),
    action_every_ms=30_000,
    policy=Policy(workers_max=8, combine="prepared"),
)

# ── children ──


def _given_anew(known: state.State, child: Run) -> None:
    """What a child may spend is not taken from its spawner."""
    spawner = known.runs.get(child.spawner)
    if spawner is not None:
        known.put_run(replace(spawner, children=(*spawner.children, child.id)))


def _park_for_nothing(known: state.State, run: Run, at_ms: int) -> None:
    known.put_run(replace(run, parked=False, turn_due=True, asked_turn=run.turn_speaking, reported_ms=at_ms))


def _ends_alone(known: state.State, run: Run) -> Iterator[Any]:
    if run.stop is not None:
        yield EndRun(run.id, run.stop.end, run.stop.reason)


_with_result = spawning._with_result


def _told_twice(known: state.State, event: ev.Event) -> Iterator[ev.Event]:
    found = list(_with_result(known, event))
    return iter([*found, *(one for one in found if isinstance(one, ev.MessageSent))])


def _never_told(known: state.State, event: ev.Event) -> Iterator[ev.Event]:
    return (one for one in _with_result(known, event) if not isinstance(one, ev.MessageSent))


def _nobody(known: state.State, run: Run) -> list[Run]:
    return []


FAMILIES = Config(
    items=3,
    habits=("spawns", "spawns", "spawns", "honest"),
    faults=(("crash", 0.3), ("fail", 0.2)),
    faults_ms=900_000,
    policy=Policy(
        kinds=(
            Kind("patcher", spawn=("scout", "patcher"), spawn_depth=2, spawn_max=3),
            Kind("scout", writes=Writes.none, spawn=("scout",), spawn_max=3),
        ),
        agents=("default", "other"),
        depth_max=3,
        children_max=4,
        workers_max=6,
        backoff_ms=0,
        run_budget=Budget(tokens=20_000),
        priced=frozenset({"default", "other"}),
    ),
)

# ── what is said, and what is not ──

_reminder, _said, _born_of, _outcomes, _leave = (
    *(empty_turns.reminder, consult._said, consult._granted, consult._follows, lifecycle.ask_leave),
)


def _reminded_again(run: Run, *rest: Any) -> Any:
    return _reminder(replace(run, reminded=False), *rest)


def _always(*args: Any) -> bool:
    return True


def _never_late(question: Question, report: Report, now_ms: int) -> ev.Event:
    return _said(question, report, 0)


def _holding(run: Run, spec: ItemSpec, *rest: Any) -> ev.RunGranted:
    return replace(_born_of(run, spec, *rest), scope=spec.scope)


def _unheeded(known: state.State, event: ev.Event, now_ms: int) -> Iterator[ev.Event]:
    """What a consultant says is heard, and that it ends is not."""
    return _outcomes(known, event, now_ms) if isinstance(event, ev.RunReported) else iter(())


def _asks_agent(*args: Any) -> ev.QuestionAsked:
    """An agent is asked what is a person's to allow."""
    asked = _leave(*args)
    return ev.QuestionAsked(replace(asked.question, agent="other", until_ms=1 << 60))


HANGS = Config(items=4, habits=("hangs", "hangs_once", "ignores_stop", "honest"))
QUIET = Config(
    items=4,
    habits=("says_nothing", "says_nothing", "silent_exit", "unsure", "honest"),
    policy=Policy(turns_max=4, backoff_ms=0, breaker_max=99),
)
CONSULTS = Config(
    items=4,
    habits=("consults", "consults", "consults", "honest"),
    faults=(("crash", 0.5), ("away", 0.5), ("slow", 1.0), ("deaf", 0.5)),
    faults_ms=2_000_000,
    policy=Policy(
        turns_max=3, workers_max=4, backoff_ms=0, breaker_max=99, consult_agent="other", consult_window_ms=20_000
    ),
)
STRAYS = Config(items=4, habits=("outside", "honest"), policy=Policy(off_plan="inbox", consult_agent="other"))

BUGS = (
    Bug("the train forgets tokens and leases", ("I-1", "I-14", "crash"), ((landing, "_members_refusal", _nothing),)),
    Bug(
        "no overlap check",
        ("I-1",),
        _both("scope_refusal", _nothing),
    ),
    Bug(
        "the overlap check is inverted",
        ("I-1",),
        _both("scope_refusal", _inverted),
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
    Bug("the lease of an ended run stays", ("I-6", "I-20", "crash"), ((evolve._EVOLVE, ev.RunEnded, _lease_stays),)),
    Bug("an ended run stays", ("I-14", "I-6", "crash"), ((evolve._EVOLVE, ev.RunEnded, _run_stays),)),
    Bug("an early report is forgotten", ("I-4",), ((evolve._EVOLVE, ev.WorkerStarted, _early_report_forgotten),), 600),
    Bug("a landed item is forgotten", ("I-14", "I-13"), ((evolve._EVOLVE, ev.RunLanded, _landed_forgotten),)),
    Bug("a failed batch is not halved", ("I-20", "quiet"), ((train, "lengths", _whole_order),), 600),
    Bug(
        "a candidate is blamed for what was seen once",
        ("BX13",),
        ((train, "next_trial", _never_again), (landing, "next_trial", _never_again)),
        40,
        UNLUCKY,
    ),
    Bug(
        "a candidate is blamed for a red target",
        ("BX13",),
        ((train, "next_trial", _never_bare), (landing, "next_trial", _never_bare)),
        200,
        REDDENED,
    ),
    Bug("the partner of a candidate is guessed", ("BX13",), ((train, "known_of", _guessed),), 400, CROWD),
    Bug("the accused are never judged", ("I-20", "quiet"), ((reconcile, "judged", lambda *args: []),)),
    Bug("an undo lands untested", ("I-8",), ((effects, "_undo", _undo_untested),), 100, REGRETS),
    Bug(
        *("an undo is carried out again and again", ("I-13", "I-14", "I-20", "quiet", "crash")),
        *(((evolve._EVOLVE, ev.LandingUndone, _undo_wished_for_ever),), 100, REGRETS),
    ),
    Bug(
        *("an undo takes along what came later", ("I-8",)),
        *(((SimulatedGit, "taken_back", _taken_back_whole),), 200, REGRETS),
    ),
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
    Bug("silence is never noticed", ("I-22", "I-20"), ((reconcile, "liveness", _never_silent),)),
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
    Bug("changes outside the scope are accepted", ("I-3",), ((verdict, "off_plan_faults", _no_faults),)),
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
    Bug("a question is not shown", ("I-20", "I-6"), ((evolve._EVOLVE, ev.QuestionAsked, _questions_vanish),)),
    Bug(
        "what the target lost comes back with a candidate",
        ("I-8",),
        ((simulated_world, "is_based_on", lambda git, base, target: True),),
        400,
    ),
    Bug("nobody has to be alone", ("I-1",), ((admission, "_alone_refusal", _nothing),), 600),
    Bug("the leases of others do not count", ("I-1",), ((admission, "stands", _never_stands),), 600),
    Bug("a lease is renewed for anybody, at any time", ("I-1",), ((leases, "decide_renew", _anybody_renews),), 4_000),
    Bug("leases without a run end too soon", ("I-21", "crash"), ((leases, "expired", _expired_at_once),)),
    Bug(
        "a person forces two into one scope",
        ("I-1", "I-13", "I-14", "I-16"),
        ((decide, "_barrier", _force_anything),),
        600,
    ),
    Bug("kinds and lanes have no caps", ("I-16",), _both("own_cap_refusal", _nothing), 600),
    Bug("what is reserved is not looked up", ("I-15",), _both("reservation", _reserve_nothing), 200, POOR),
    Bug("only the item pays", ("I-15",), ((state.State, "charge", _charge_item_only),), 2_000),
    Bug(
        "a crash opens a fresh budget",
        ("I-15",),
        ((evolve._EVOLVE, ev.SupervisorStarted, _fresh_budget_after_a_crash),),
        2_000,
    ),
    Bug(
        "nobody is stopped for what it spends",
        ("I-15",),
        ((decide, "overspent", _no_budget_stop), (reconcile, "overspent", _no_budget_stop)),
        2_000,
    ),
    Bug(
        "a silent turn is done over again and again",
        ("LR3",),
        ((recovery, "decide_repeat", _repeat_for_ever),),
        150,
        HANGS,
    ),
    Bug("it is forgotten that a turn hung", ("LR3",), ((evolve._EVOLVE, ev.TurnRepeated, _forget_hang),), 150, HANGS),
    Bug("the provider's window is not looked at", ("BX9",), ((reconcile, "window_refusal", _nothing),), 4_000),
    Bug("workers may ask for anything", ("I-19",), ((fleet_module, "authority_refusal", _everybody_may),)),
    Bug("an old supervisor goes on", ("I-25",), ((fleet_module, "authority_refusal", _epoch_unchecked),)),
    Bug("a rewind keeps nothing", ("I-10",), ((SimulatedWorld, "rewind", _rewound_unkept),), 2_000),
    Bug(
        "a rewound turn's number is used twice",
        ("I-4", "I-12", "I-13"),
        ((evolve._EVOLVE, ev.RunRewound, _one_number_for_two),),
        600,
        REWINDS,
    ),
    Bug("a lost worker's run is never judged", ("I-20", "quiet"), ((recovery, "decide_recovery", _never_recover),)),
    Bug("whatever CI says closes an item", ("VT7",), ((closing, "CI_CLOSES", frozenset(CiState)),)),
    Bug("what comes after does not wait for CI", ("VT7",), ((state.State, "_lets_go", _landed),), 600, CLOSED),
    Bug("nobody waits for what a person says", ("RC12",), _both("item_refusal", _question_unheeded), 200, CONFLICTING),
    Bug("the target is not read back", ("VT4",), ((reconcile, "is_read", _believed),), 600, FORCED),
    Bug(
        "what stands on others lands before them",
        ("IS4", "I-8"),
        ((landing, "may_land", _believed), (Run, "grounds", property(lambda run: (run.root or run.base,)))),
        600,
        STACKED,
    ),
    Bug("nobody notices that the ground is gone", ("I-20",), ((foundation, "fault", _no_fault),), 600, STACKED),
    Bug("nobody is told what lands under it", ("WP10",), ((messages, "with_moved", _as_decided),), 150, SHARED),
    Bug(
        "nobody is told what is undone under it",
        ("WP10",),
        ((evolve._EVOLVE, ev.UndoTested, _nothing),),
        600,
        replace(REGRETS, items=6, policy=Policy(workers_max=6)),
    ),
    Bug("the same is said again and again", ("WP9",), ((messages, "text_mark", _unlike_any),), 150, TALK),
    Bug("a worker speaks to all others", ("WP10",), ((known, "_beyond", _nothing),), 150, TALK),
    Bug(
        "a spawner ends before its children",
        ("DW8",),
        ((reconcile, "_ending", _ends_alone), (lifecycle, "living", _nobody)),
        150,
        FAMILIES,
    ),
    Bug("children spend what nobody gave them", ("I-15",), ((family, "after_grant", _given_anew),), 150, FAMILIES),
    Bug("a parked turn waits for nobody", ("DW8",), ((family, "after_park", _park_for_nothing),), 150, FAMILIES),
    Bug("a result is told twice", ("WP6",), ((spawning, "_with_result", _told_twice),), 150, FAMILIES),
    Bug("a result is told to nobody", ("WP6",), ((spawning, "_with_result", _never_told),), 150, FAMILIES),
    Bug("children of one run write the same", ("I-1",), ((spawning, "_scope_refusal", _nothing),), 150, FAMILIES),
    Bug("nobody counts the generations", ("DW8",), ((spawning, "_depth_refusal", _nothing),), 150, FAMILIES),
    Bug("nobody counts the children", ("DW8",), ((spawning, "_number_refusal", _nothing),), 150, FAMILIES),
    Bug("any kind may have any children", ("DW8",), ((spawning, "_grant_refusal", _nothing),), 150, FAMILIES),
    Bug("a child's report has no end", ("DW7",), ((lifecycle, "report_fault", _said_nothing),), 150, FAMILIES),
    Bug("a silent worker is reminded for ever", ("WP8",), ((empty_turns, "reminder", _reminded_again),), 150, QUIET),
    Bug("who has left something is reminded as well", ("WP8",), ((empty_turns, "left_nothing", _always),), 150, QUIET),
    Bug("an unclear done is taken at its word", ("WP5",), ((empty_turns, "bounce", _nothing),), 150, QUIET),
    Bug("an agent answers when its time is over", ("WP3",), ((consult, "_said", _never_late),), 600, CONSULTS),
    Bug("who is asked holds what it reads", ("WP3", "I-1", "I-20"), ((consult, "_granted", _holding),), 150, CONSULTS),
    Bug("an agent that fails is waited for", ("WP3",), ((consult, "_follows", _unheeded),), 150, CONSULTS),
    Bug("agents are asked without end", ("WP3",), ((consult, "CONSULTS_MAX", 99),), 150, CONSULTS),
    Bug("whatever is asked, an agent is", ("WP3", "I-19"), ((lifecycle, "ask_leave", _asks_agent),), 150, STRAYS),
    Bug("anybody's answer is a person's leave", ("I-3",), ((decide, "judge", _off_plan_allowed),)),
    Bug(
        "a planner is asked for ever",
        ("LS4", "I-20"),
        ((evolve._EVOLVE, ev.RunEnded, _planner_for_ever),),
        40,
        PLANNING,
    ),
)
