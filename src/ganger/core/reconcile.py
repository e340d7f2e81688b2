"""What must be done in the world? Effects, from what is and what was observed: quiet when all is as it should be."""

from __future__ import annotations

from collections.abc import Iterator

from ganger.core import commands as cmd
from ganger.core.admission import hours_open_ms
from ganger.core.effects import (
    CleanWorkspace,
    CollectEvidence,
    Effect,
    EndRun,
    Exit,
    Land,
    Observed,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
)
from ganger.core.ids import RunId
from ganger.core.landing import next_train
from ganger.core.loop import Intent
from ganger.core.model import EndKind, QuestionKind, ReportKind
from ganger.core.picking import pick, worth_noting
from ganger.core.policy import Policy
from ganger.core.state import Run, State

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
    effects += _starts(state, observed, policy, intent)
    if intent.offer and observed.target:
        effects += _offers(state, observed, now_ms, policy, intent)
    for run_id in sorted(observed.workspaces):
        if run_id not in state.runs:
            effects.append(CleanWorkspace(run_id))
    return tuple(effects)


def _run_effects(
    state: State, run: Run, observed: Observed, now_ms: int, policy: Policy, intent: Intent
) -> Iterator[Effect]:
    seen = observed.exits.get(run.id)
    if run.has_worker and seen is not None and seen.turn == run.turn:
        yield Submit(_exit_command(run, seen))
    elif run.has_worker:
        yield from _worker_effects(state, run, observed, now_ms, policy)
    elif run.stop is not None:
        yield EndRun(run.id, run.stop.end, run.stop.reason)
    elif run.report is not None and run.report.kind is ReportKind.done and run.evidence is None and not run.turn_due:
        yield CollectEvidence(run.id, run.turn)
    if intent.stop and run.stop is None and _unfinished(state, run):
        yield Submit(cmd.StopRun(run.id, EndKind.interrupted, "the night was ended"))


def _unfinished(state: State, run: Run) -> bool:
    """Whether ending the night cuts this run short; questions and accepted candidates can wait for the next one."""
    return not run.question and not run.accepted_seq


def _exit_command(run: Run, seen: Exit) -> cmd.RecordExit:
    return cmd.RecordExit(run.id, run.lease.token, run.turn, seen.code, seen.signal, seen.lost, seen.cpu_ms)


def _worker_effects(state: State, run: Run, observed: Observed, now_ms: int, policy: Policy) -> Iterator[Effect]:
    """Stop a worker that should not live any more; ask for the end of one that is silent or too slow."""
    if run.stop is not None:
        yield StopWorker(run.id)
        return
    if _turn_over(run):
        if now_ms - run.reported_ms >= policy.linger_ms:
            yield StopWorker(run.id)
        return
    spec = state.items[run.item].spec
    if now_ms - run.started_ms >= spec.wall_max_ms:
        reason = f"the worker took longer than {spec.wall_max_ms / 1000:g} s"
        yield Submit(cmd.StopRun(run.id, EndKind.timed_out, reason))
    elif _silent_since(run, observed) + spec.silence_max_ms <= now_ms:
        reason = f"the worker showed no activity for {spec.silence_max_ms / 1000:g} s"
        yield Submit(cmd.StopRun(run.id, EndKind.stalled, reason))


def _turn_over(run: Run) -> bool:
    """Whether the worker has said its last word for this turn: it reported, asked, or was answered already."""
    return run.report is not None or bool(run.question) or run.turn_due


def _silent_since(run: Run, observed: Observed) -> int:
    return max(run.started_ms, observed.active_ms.get(run.id, 0))


def _renewals(state: State, observed: Observed, now_ms: int, policy: Policy) -> Iterator[tuple[RunId, int]]:
    """Leases to extend: of workers seen to be active, and of runs that wait for ganger or a person."""
    for run in state.runs.values():
        if run.stop is not None:
            continue
        ttl_ms = max(policy.lease_ttl_ms, state.items[run.item].spec.silence_max_ms)
        since = _silent_since(run, observed) if run.has_worker else now_ms
        if since + ttl_ms >= run.lease.expires_ms + ttl_ms // RENEW_SHARE:
            yield run.id, since + ttl_ms


def _train_effects(state: State, observed: Observed, policy: Policy) -> Iterator[Effect]:
    landing = state.landing
    if landing is None:
        runs = next_train(state, policy)
        if runs and observed.target:
            yield TestTrain(runs)
        return
    question = state.questions.get(landing.question)
    if question is None or (question.kind is QuestionKind.dirty_target and observed.target_clean):
        yield Land(landing.old, landing.new, landing.tree)


def _starts(state: State, observed: Observed, policy: Policy, intent: Intent) -> Iterator[Effect]:
    """Start the turns that are due, oldest run first, as far as there is room.

    A worker whose start is under way, or was cut off before it could be recorded, takes up room already and goes first.
    """
    due = [run for run in state.runs.values() if run.turn_due and run.stop is None and not run.has_worker]
    if intent.stop:
        return
    taken = {run.id for run in state.runs.values() if run.has_worker} | observed.starting
    room = policy.workers_max - len(taken)
    waiting = sorted((run for run in due if run.id not in taken), key=lambda run: run.lease.token)
    for run in (*(run for run in due if run.id in taken), *waiting[: max(room, 0)]):
        yield StartWorker(run.id, run.turn + 1)


def _offers(state: State, observed: Observed, now_ms: int, policy: Policy, intent: Intent) -> Iterator[Effect]:
    """Offer ready items while there is room, and note why one that is ready is kept waiting."""
    owed = sum(1 for run in state.runs.values() if run.turn_due and run.turn and run.stop is None)
    for found in pick(state, policy.workers_max - state.workers_busy - owed, now_ms, policy, intent):
        if found.refusal is None:
            yield Submit(cmd.GrantRun(found.item.spec.id, observed.target))
        elif worth_noting(found):
            refusal = found.refusal
            yield Submit(cmd.RecordWait(found.item.spec.id, refusal.code, refusal.reason, refusal.holder))


def next_wake_ms(state: State, observed: Observed, now_ms: int, policy: Policy) -> int | None:
    """When time alone will next give `reconcile` something to do; None when only an event can.

    What is due by now is not waited for: `reconcile` has asked for it already, and how that goes is an event.
    """
    times = [when for run in state.runs.values() for when in _run_times(state, run, observed, policy)]
    if state.workers_busy < policy.workers_max and state.ready:
        times += [*_offer_times(state), hours_open_ms(now_ms, policy)]
    if observed.look_again_ms is not None:
        times.append(observed.look_again_ms)
    return min((when for when in times if when > now_ms), default=None)


def _run_times(state: State, run: Run, observed: Observed, policy: Policy) -> Iterator[int]:
    spec = state.items[run.item].spec
    if run.has_worker and run.stop is None:
        if _turn_over(run):
            yield run.reported_ms + policy.linger_ms
        else:
            yield run.started_ms + spec.wall_max_ms
            yield _silent_since(run, observed) + spec.silence_max_ms
    if run.stop is None and not run.has_worker:
        ttl_ms = max(policy.lease_ttl_ms, spec.silence_max_ms)
        yield run.lease.expires_ms + ttl_ms // RENEW_SHARE - ttl_ms


def _offer_times(state: State) -> Iterator[int]:
    for _, _, item_id in state.ready:
        item = state.items[item_id]
        yield item.cool_until_ms
        if item.hold is not None and item.hold.reason == "until":
            yield item.hold.until_ms
