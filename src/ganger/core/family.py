"""Runs and the children that their workers have had started: who lives, whose means are whose, who waits for whom."""

from __future__ import annotations

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.model import Lease, Report, ReportKind
from ganger.core.state import State


def living(state: State, run: Run) -> list[Run]:
    """The children of a run that have not ended."""
    return [state.runs[child] for child in run.children if child in state.runs]


def writing(state: State, run: Run) -> list[Run]:
    """Those of them that may change something: each holds a part of the run's scope."""
    return [child for child in living(state, run) if not state.items[child.item].spec.reads]


def has_news(state: State, run: Run) -> bool:
    """Whether a child of the run lives, or has ended without the run's worker having been told."""
    return bool(living(state, run)) or any(one.child and not one.turn for one in run.messages)


def dismissal(state: State, run: Run) -> str:
    """Say why a child is to be stopped now; empty when it is not: its spawner ends, or is done and needs it no longer.

    A child that is being landed is waited for.
    """
    spawner = state.runs.get(run.spawner)
    if spawner is None or (state.landing is not None and run.id in state.landing.runs):
        return ""
    if spawner.stop is not None:
        return f"{spawner.id}, which had it done, is being ended"
    done = spawner.report is not None and spawner.report.kind is ReportKind.done
    return f"{spawner.id}, which had it done, is done itself" if done else ""


def report_fault(run: Run, report: Report) -> str:
    """Say why a child may not report like that; empty when it may: its spawner has to read it all."""
    if not run.spawner:
        return ""
    for what, texts in (("evidence", report.evidence), ("recommended", report.recommended)):
        if len(texts) > cmd.CONTEXT_MAX:
            return f"{what} has {len(texts)} entries, a child may give {cmd.CONTEXT_MAX}"
        longest = max(map(len, texts), default=0)
        if longest > cmd.CONTEXT_CHARS_MAX:
            return f"an entry of {what} has {longest} characters, the most is {cmd.CONTEXT_CHARS_MAX}"
    if len(report.summary) > cmd.NOTE_CHARS_MAX:
        return f"a child's summary has {len(report.summary)} characters, the most is {cmd.NOTE_CHARS_MAX}"
    return ""


def after_grant(state: State, child: Run) -> None:
    """Take from a spawner what is reserved for its new child."""
    spawner = state.runs.get(child.spawner)
    if spawner is not None:
        lent = spawner.lent.plus(child.reserved)
        spawner = replace(spawner, children=(*spawner.children, child.id), lent=lent)
        state.put_run(replace(spawner, lease=_lease(state, spawner)))


def after_end(state: State, child: Run) -> None:
    """Give a spawner back what its child has not spent; and its turn, when it waited for that one as the last."""
    spawner = state.runs.get(child.spawner)
    if spawner is None:
        return
    lent = spawner.lent.minus(child.reserved).plus(child.drawn)
    spawner = replace(spawner, lent=lent, lease=_lease(state, spawner))
    if spawner.parked and spawner.stop is None and not living(state, spawner):
        spawner = replace(spawner, parked=False, turn_due=True)
    state.put_run(spawner)


def _lease(state: State, run: Run) -> Lease:
    """A run's lease without what its living children hold of it."""
    return replace(run.lease, lent=tuple(pattern for child in living(state, run) for pattern in child.lease.scope))


def after_park(state: State, run: Run, at_ms: int) -> None:
    """End a run's turn until its children have ended, which they may have: then its next one is due.

    One whose start is not yet on record stays due: that is made up for.
    """
    parked = bool(living(state, run))
    over = replace(run, asked_turn=run.turn_speaking, reported_ms=at_ms, repeat=None, lost=False)
    state.put_run(replace(over, parked=parked, turn_due=run.turn_due or not parked))
