"""What must be done in the world? Effects, from what is and what was observed: quiet when all is as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import consult, family, foundation
from ganger.core.admission import changes_nothing, permit_refusal
from ganger.core.budget import overspent
from ganger.core.closing import due, is_read, patience_ends_ms
from ganger.core.effects import (
    AskCi,
    CleanWorkspace,
    Clocks,
    CollectEvidence,
    Effect,
    EndRun,
    Exit,
    Land,
    MakeBase,
    Observed,
    ReadPlan,
    ReadTarget,
    Recover,
    Rewind,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
    TestUndo,
)
from ganger.core.facts import Run
from ganger.core.hours import hours_open_ms
from ganger.core.ids import RunId
from ganger.core.landing import judged, next_trials
from ganger.core.leases import next_expiry_ms
from ganger.core.lifecycle import is_turn_over
from ganger.core.limits import grants_open_ms, window_refusal
from ganger.core.liveness import liveness, next_change_ms
from ganger.core.loop import Intent, StopReason, goes_on, planner_due, stop_reason, waits_for_person
from ganger.core.messages import wants_turn
from ganger.core.model import Again, EndKind, Liveness, QuestionKind, ReportKind, Usage
from ganger.core.picking import pick, worth_noting
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.undo import next_undo

RENEW_SHARE = 4
"""A lease is renewed when that would give it at least one such part of its length more."""


def reconcile(state: State, observed: Observed, now_ms: int, policy: Policy, intent: Intent) -> tuple[Effect, ...]:
    """Compare state and world; return what to do, in order. Pure, and idempotent once it is done."""
    effects: list[Effect] = []
    for run in state.runs.values():
        effects += _run_effects(state, run, observed, now_ms, policy, intent)
    renewals = tuple(_renewals(state, observed, now_ms, policy))
    if renewals:
        effects.append(Submit(cmd.RenewLeases(renewals)))
    effects += _train_effects(state, observed, policy)
    effects += _starts(state, observed, now_ms, policy, intent)
    if intent.offer and observed.target:
        effects += _offers(state, observed, now_ms, policy, intent)
        effects += _replans(state, now_ms, policy, intent)
    effects += _times(state, now_ms)
    effects += _closings(state, now_ms, intent)
    for run_id in sorted(observed.workspaces):
        if run_id not in state.runs:
            effects.append(CleanWorkspace(run_id))
    if not effects and not is_read(state, observed.target) and _is_over(state, now_ms, policy, intent):
        effects.append(ReadTarget(observed.target))
    return tuple(effects)


def _closings(state: State, now_ms: int, intent: Intent) -> Iterator[Effect]:
    """Ask CI about what has landed, when its time has come."""
    for commit in due(state, now_ms) if not intent.stop else ():
        yield AskCi(commit)


def _is_over(state: State, now_ms: int, policy: Policy, intent: Intent) -> bool:
    """Whether the night would end now, by itself: before it does, the target is read back."""
    return stop_reason(state, now_ms, policy, intent) not in (None, StopReason.interrupted)


def _run_effects(
    state: State, run: Run, observed: Observed, now_ms: int, policy: Policy, intent: Intent
) -> Iterator[Effect]:
    seen = observed.exits.get(run.id)
    yield from _limited(run, observed)
    yield from _unguarded(run, observed)
    if run.has_worker and seen is not None and seen.turn == run.turn:
        yield Submit(_exit_command(run, seen))
    elif run.has_worker:
        yield from _worker_effects(state, run, observed, now_ms, policy)
    elif run.stop is not None or (run.report is not None and family.living(state, run)):
        yield from _ending(state, run)
    elif run.rewind:
        yield Rewind(run.id, run.rewind)
    elif run.lost:
        yield Recover(run.id, run.turn)
    elif wants_turn(run):
        yield Submit(cmd.RepeatTurn(run.id, run.lease.token, run.turn, Again.told, "something was said to it"))
    elif run.report is not None and changes_nothing(state.items[run.item].spec):
        silent = "its worker ended without a word" if run.report.source != "worker" else ""
        said = silent or run.report.summary or f"its worker says: {run.report.outcome}"
        yield EndRun(run.id, EndKind.finished, said)
    elif fault := _permit_fault(run, observed, now_ms):
        yield Submit(cmd.StopRun(run.id, EndKind.expired, fault))
    elif _base_moved(run, observed):
        clean = observed.target_clean
        yield Submit(cmd.RenewPermit(run.id, run.lease.token, observed.target, observed.repo, clean))
    elif _is_unseen(run):
        yield CollectEvidence(run.id, run.turn)
    yield from _spending(run, observed)
    if run.stop is None and (why := family.dismissal(state, run)):
        yield Submit(cmd.StopRun(run.id, EndKind.dismissed, why))
    if run.stop is None and (why := consult.dismissal(state, run)):
        yield Submit(cmd.StopRun(run.id, EndKind.dismissed, why))
    if run.stop is None and (unfit := foundation.fault(state, run)):
        yield Submit(cmd.StopRun(run.id, EndKind.unfounded, unfit))
    if intent.stop and run.stop is None and _unfinished(state, run):
        yield Submit(cmd.StopRun(run.id, EndKind.interrupted, "the night was ended"))


def _ending(state: State, run: Run) -> Iterator[Effect]:
    """End a run that is to end; its children are waited for, as they are by one that has reported."""
    if run.stop is not None and not family.living(state, run):
        yield EndRun(run.id, run.stop.end, run.stop.reason)


def _is_unseen(run: Run) -> bool:
    """Whether a worker has said that it is done, and nobody has looked; not while a person is asked how to go on."""
    done = run.report is not None and run.report.kind is ReportKind.done
    return done and run.evidence is None and not run.turn_due and not run.question


def _permit_fault(run: Run, observed: Observed, now_ms: int) -> str:
    """Say why a run's first worker may not be started any more; a start that may be under way is waited for."""
    if _has_begun(run, observed) or not run.permit_ms or now_ms < run.permit_ms:
        return ""
    return "its start permit ran out before its worker was started"


def _base_moved(run: Run, observed: Observed) -> bool:
    """Whether the target moved since the permit was given: it is for one base, and is then given anew for the tip."""
    return not _has_begun(run, observed) and not run.stands_on and observed.target not in ("", run.base)


def _has_begun(run: Run, observed: Observed) -> bool:
    """Whether a run's first worker was started, or may be under way; or will never be."""
    over = run.stop is not None or run.report is not None or bool(run.question) or run.parked
    as_it_is = bool(run.spawner) or not run.lease.scope
    return bool(run.turn) or over or as_it_is or run.id in observed.starting


def _limited(run: Run, observed: Observed) -> Iterator[Effect]:
    """Hand in the limit that a worker's provider told it of, before its end: that is then no failure."""
    limit = observed.limits.get(run.id)
    if limit is not None and run.has_worker and run.stop is None and run.repeat is None and not is_turn_over(run):
        yield Submit(cmd.RecordLimit(run.id, run.lease.token, limit.until_ms, limit.reason, limit.overload))


def _unguarded(run: Run, observed: Observed) -> Iterator[Effect]:
    """Note a guard that does not work, before the worker's end: the run may end with it."""
    found = observed.silent.get(run.id)
    if found is not None and found.turn == run.turn != run.unguarded:
        yield Submit(cmd.RecordSilence(run.id, run.lease.token, found.turn, found.used, found.asked))


def _spending(run: Run, observed: Observed) -> Iterator[Effect]:
    """Hand in what the last turn has spent."""
    usage = observed.usage.get(run.id)
    if usage is not None and run.turn:
        known = run.turn_spent
        if usage.usd_micros > known.usd_micros or usage.tokens > known.tokens:
            yield Submit(cmd.RecordUsage(run.id, run.lease.token, run.turn, Usage(usage.usd_micros, usage.tokens)))


def _unfinished(state: State, run: Run) -> bool:
    """Whether ending the night cuts this run short; questions and accepted candidates can wait for the next one."""
    return not run.question and not run.accepted_seq and not (run.parked and waits_for_person(state, run.id))


def _exit_command(run: Run, seen: Exit) -> cmd.RecordExit:
    token, how = run.lease.token, (seen.code, seen.signal, seen.lost, seen.cpu_ms, seen.must_speak)
    return cmd.RecordExit(run.id, token, run.turn, *how)


def _worker_effects(state: State, run: Run, observed: Observed, now_ms: int, policy: Policy) -> Iterator[Effect]:
    """Stop a worker that should not live any more; act on one that is silent, too slow or has spent too much."""
    if run.stop is not None or run.rewind or (run.repeat is not None and not is_turn_over(run)):
        yield StopWorker(run.id, run.turn)
        return
    if is_turn_over(run):
        if now_ms - run.reported_ms >= policy.linger_ms:
            yield StopWorker(run.id, run.turn)
        return
    spec = state.items[run.item].spec
    clocks = _clocks(run, observed, now_ms)
    over = overspent(run, clocks.age_ms)
    if clocks.age_ms >= spec.wall_max_ms:
        reason = f"the worker took longer than {spec.wall_max_ms / 1000:g} s"
        yield Submit(cmd.StopRun(run.id, EndKind.timed_out, reason))
    elif over:
        yield Submit(cmd.StopRun(run.id, EndKind.over_budget, over))
    else:
        judged = liveness(run, spec, clocks, now_ms, policy)
        if judged.liveness is Liveness.stalled:
            yield Submit(cmd.RepeatTurn(run.id, run.lease.token, run.turn, Again.hang, judged.reason))
        elif _is_news(run, judged.liveness):
            yield Submit(cmd.FlagRun(run.id, run.lease.token, judged.liveness, judged.reason))


def _is_news(run: Run, found: Liveness) -> bool:
    """Whether a person wants to know: a worker began to spin, or gets somewhere again after that."""
    return (found is Liveness.spinning) != (run.flag is Liveness.spinning) and found is not Liveness.unknown


def _clocks(run: Run, observed: Observed, now_ms: int) -> Clocks:
    """What was seen of a living worker; one whose age nobody could read is as old as the journal says."""
    seen = observed.clocks.get(run.id, Clocks())
    return seen if seen.age_ms else replace(seen, age_ms=now_ms - run.started_ms)


def _renewals(state: State, observed: Observed, now_ms: int, policy: Policy) -> Iterator[tuple[RunId, int]]:
    """Leases to extend: of workers seen to be active, and of runs that wait for ganger or a person."""
    for run in state.runs.values():
        if run.stop is not None:
            continue
        ttl_ms = max(policy.lease_ttl_ms, state.items[run.item].spec.silence_max_ms)
        since = max(run.started_ms, _clocks(run, observed, now_ms).active_ms) if run.has_worker else now_ms
        if since + ttl_ms >= run.lease.expires_ms + ttl_ms // RENEW_SHARE:
            yield run.id, since + ttl_ms


def _train_effects(state: State, observed: Observed, policy: Policy) -> Iterator[Effect]:
    landing = state.landing
    if landing is None:
        for run in judged(state, policy):
            yield Submit(cmd.JudgeCandidate(run.id, run.lease.token))
        undo = next_undo(state)
        if undo is not None and observed.target:
            yield TestUndo(undo.commit)
            return
        for trial in next_trials(state, policy, observed.target, observed.testing):
            yield TestTrain(trial.runs, trial.onto, trial.again, trial.bare)
        return
    question = state.questions.get(landing.question)
    if question is None or (question.kind is QuestionKind.dirty_target and observed.target_clean):
        yield Land(landing.old, landing.new, landing.tree)


def _replans(state: State, now_ms: int, policy: Policy, intent: Intent) -> Iterator[Effect]:
    """Ask the planner for new items when nothing goes on by itself: just when the night would be over otherwise."""
    if not policy.planner or goes_on(state, now_ms, policy, intent):
        return
    plan = planner_due(state, policy, intent)
    if plan is not None:
        yield Submit(cmd.AskPlanner(plan))


def _times(state: State, now_ms: int) -> Iterator[Effect]:
    """Note leases that have run out, ask persons what no agent answered, and read plans whose time has come."""
    for question in consult.late(state, now_ms):
        yield Submit(cmd.EscalateQuestion(question.id))
    expiry_ms = next_expiry_ms(state)
    if expiry_ms is not None and expiry_ms <= now_ms:
        yield Submit(cmd.SweepLeases())
    for name, schedule in sorted(state.schedules.items()):
        if 0 < schedule.next_ms <= now_ms:
            yield ReadPlan(name, schedule.path, schedule.next_ms)


def _starts(state: State, observed: Observed, now_ms: int, policy: Policy, intent: Intent) -> Iterator[Effect]:
    """Start the turns that are due, oldest run first, as far as there is room.

    A worker whose start is under way, or was cut off before it could be recorded, takes up room already and goes first.
    One of a run that is to be rewound may live too, until the rewinding has ended it.
    """
    due = [run for run in state.runs.values() if run.turn_due and run.stop is None and not run.has_worker]
    due = [run for run in due if _may_start(state, run, observed, now_ms, policy)]
    if intent.stop:
        return
    taken = {run.id for run in state.runs.values() if run.has_worker or run.rewind} | observed.starting
    room = policy.workers_max - len(taken)
    living = Counter(key for run in state.runs.values() if run.id in taken for key in own_keys(run))
    for run in due:
        if run.id in taken:
            yield StartWorker(run.id, run.turn + 1)
    for run in sorted((run for run in due if run.id not in taken), key=lambda run: run.lease.token):
        if room > 0 and has_own_room(run, living, policy):
            room -= 1
            living.update(own_keys(run))
            yield StartWorker(run.id, run.turn + 1)


def _may_start(state: State, run: Run, observed: Observed, now_ms: int, policy: Policy) -> bool:
    """Whether a turn that is due may begin: its time has come, its provider is open, its permit still good."""
    if start_ms(run) > now_ms or window_refusal(state, run.agent, now_ms, policy) is not None:
        return False
    return not _permit_fault(run, observed, now_ms) and not _base_moved(run, observed)


def own_keys(run: Run) -> tuple[str, str]:
    """What a run's worker counts as, besides as a worker."""
    return f"kind:{run.kind}", f"lane:{run.lease.lane}"


def has_own_room(run: Run, living: Mapping[str, int], policy: Policy) -> bool:
    """Whether its kind and its lane have room for one more besides the workers that live or are being started."""
    lane = policy.lane(run.lease.lane) if run.lease.lane else None
    caps = policy.kind(run.kind).workers_max, lane.workers_max if lane is not None else None
    return all(cap is None or living.get(key, 0) < cap for key, cap in zip(own_keys(run), caps, strict=True))


def start_ms(run: Run) -> int:
    """Before this instant the run's next worker is not started."""
    return run.repeat.not_before_ms if run.repeat is not None else 0


def _offers(state: State, observed: Observed, now_ms: int, policy: Policy, intent: Intent) -> Iterator[Effect]:
    """Offer ready items while there is room, and note why one that is ready is kept waiting."""
    due = [run for run in state.runs.values() if run.turn_due and run.turn and run.stop is None]
    owed = [run for run in due if _may_start(state, run, observed, now_ms, policy)]
    room = policy.workers_max - state.workers_busy - len(owed)
    if intent.granted_max is not None:
        room = min(room, intent.granted_max - state.granted)
    dirty = permit_refusal("", clean=observed.target_clean, policy=policy)
    for found in pick(state, room, now_ms, policy, intent, [key for run in owed for key in own_keys(run)]):
        if found.refusal is None and dirty is not None:
            if found.item.waiting != (dirty.code, dirty.holder):
                yield Submit(cmd.RecordWait(found.item.spec.id, dirty.code, dirty.reason, dirty.holder))
        elif found.refusal is None and not foundation.is_made(state, found.item, observed.target):
            yield MakeBase(found.item.spec.id, foundation.heads(state, found.item.spec))
        elif found.refusal is None:
            base = foundation.base_of(state, found.item, observed.target)
            yield Submit(cmd.GrantRun(found.item.spec.id, base, observed.repo, observed.target_clean))
        elif worth_noting(found):
            refusal = found.refusal
            yield Submit(cmd.RecordWait(found.item.spec.id, refusal.code, refusal.reason, refusal.holder))


def next_wake_ms(
    state: State, observed: Observed, now_ms: int, policy: Policy, patience_ms: int | None = None
) -> int | None:
    """When time alone will next give `reconcile` something to do; None when only an event can.

    What is due by now is not waited for: `reconcile` has asked for it already, and how that goes is an event.
    """
    times = [when for run in state.runs.values() for when in _run_times(state, run, observed, now_ms, policy)]
    times += _other_times(state)
    for facts in state.awaited.values():
        times += (facts.again_ms, patience_ends_ms(state, facts, policy, patience_ms))
    if state.workers_busy < policy.workers_max and state.ready:
        times += [*_offer_times(state, policy), hours_open_ms(now_ms, policy)]
    if observed.look_again_ms is not None:
        times.append(observed.look_again_ms)
    return min((when for when in times if when > now_ms), default=None)


def _run_times(state: State, run: Run, observed: Observed, now_ms: int, policy: Policy) -> Iterator[int]:
    spec = state.items[run.item].spec
    if run.has_worker and run.stop is None:
        if is_turn_over(run):
            yield run.reported_ms + policy.linger_ms
        else:
            clocks = _clocks(run, observed, now_ms)
            yield now_ms + spec.wall_max_ms - clocks.age_ms
            yield from next_change_ms(run, spec, clocks, policy)
            if run.reserved.wall_ms:
                yield now_ms + run.reserved.wall_ms - run.drawn.wall_ms - clocks.age_ms
    if run.stop is None and not run.has_worker:
        ttl_ms = max(policy.lease_ttl_ms, spec.silence_max_ms)
        yield run.lease.expires_ms + ttl_ms // RENEW_SHARE - ttl_ms
        yield start_ms(run)
        yield from (window.until_ms for window in state.windows.values())
        if not run.turn:
            yield run.permit_ms


def _offer_times(state: State, policy: Policy) -> Iterator[int]:
    for _, _, _, item_id in state.ready:
        item = state.items[item_id]
        yield item.cool_until_ms
        yield item.again_ms
        if item.hold is not None and item.hold.reason == "until":
            yield item.hold.until_ms
    if state.ready:
        yield from (grants_open_ms(state, provider, policy) for provider in state.windows)
        yield from (window.until_ms for window in state.windows.values())
        yield from (breaker.until_ms for breaker in state.breakers.values())


def _other_times(state: State) -> Iterator[int]:
    yield from (schedule.next_ms for schedule in state.schedules.values())
    yield from consult.ends_ms(state)
    expiry_ms = next_expiry_ms(state)
    if expiry_ms is not None:
        yield expiry_ms
