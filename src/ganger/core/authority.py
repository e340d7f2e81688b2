"""Who may ask for what: a worker only for what concerns its own run, the supervisor only while it is the one.

Actors are `person:NAME`, `worker:RUN` and `supervisor` or `supervisor:EPOCH`, where the epoch is the position at
which that supervisor took over (RELIABILITY I-19, I-25).
"""

from __future__ import annotations

from typing import get_args

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import RunId
from ganger.core.model import Refusal, RefusalCode
from ganger.core.state import State

ROLES = ("person", "worker", "supervisor")
WORKERS_MAY: frozenset[type] = frozenset(get_args(cmd.WorkerCommand))
PERSONS_ONLY: frozenset[type] = frozenset(
    {
        *(cmd.AnswerQuestion, cmd.RetryItem, cmd.RewindRun, cmd.ControlPlan, cmd.SetSchedule, cmd.DropSchedule),
        *(cmd.CloseBreaker, cmd.RecordPruning, cmd.UndoLanding, cmd.WaiveCi, cmd.TellRun),
        *(cmd.Broadcast, cmd.AddFact, cmd.RetractFact),
    }
)
"""Acts of a person: ganger itself never does them."""


def authority_refusal(state: State, command: cmd.Command, actor: str) -> Refusal | None:
    """Refuse what is not the actor's to ask for."""
    role, _, name = actor.partition(":")
    what = type(command).__name__
    if role not in ROLES:
        return Refusal(RefusalCode.forbidden, f"{actor or 'nobody'} is neither a person, a worker nor the supervisor")
    if role == "worker":
        return _worker_refusal(command, name, what)
    force = getattr(command, "force", "")
    if force and (role != "person" or force != name):
        return Refusal(RefusalCode.forbidden, f"{actor} may not force {what}: only a person does, by name")
    if role == "supervisor":
        if type(command) in PERSONS_ONLY:
            return Refusal(RefusalCode.forbidden, f"{what} is a person's to ask for, not the supervisor's")
        takes_over = isinstance(command, cmd.RecordSupervisor) and not command.reason
        if name and name != str(state.epoch) and not takes_over:
            reason = f"another supervisor has taken over at entry {state.epoch}; this one began at {name}"
            return Refusal(RefusalCode.forbidden, reason, "leave the fleet to it")
    return None


def _worker_refusal(command: cmd.Command, run: str, what: str) -> Refusal | None:
    if type(command) not in WORKERS_MAY:
        return Refusal(
            RefusalCode.forbidden, f"the worker of {run} may not ask for {what}", "report, or ask a question"
        )
    if getattr(command, "run", "") != run:
        return Refusal(RefusalCode.forbidden, f"the worker of {run} may speak for its own run only", "end the turn")
    return None


def forbade(state: State, command: cmd.Command, actor: str, refusal: Refusal) -> tuple[ev.Event, ...]:
    """The record of an attempt by a live run's worker, once per run and kind of request."""
    role, _, name = actor.partition(":")
    run = state.runs.get(RunId(name)) if role == "worker" else None
    what = type(command).__name__
    if run is None or what in run.forbidden:
        return ()
    return (ev.Forbade(actor, what, refusal.reason, run.id),)
