"""What is on record for all runs: facts that persons put there, and what workers noted as facts, checked by nobody.

A fact stands until a person strikes it out, and the journal keeps both. Where workers have noted too many, the oldest
of theirs gives way: whoever says much displaces what workers said, and never what a person did. A worker speaks of the
paths of its own run and of no others.
"""

from __future__ import annotations

from typing import TypeAlias

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import Run
from ganger.core.ids import RunId, Seq
from ganger.core.lifecycle import find_run
from ganger.core.model import Refusal, RefusalCode
from ganger.core.patterns import covers, parse, scope_fault
from ganger.core.state import State

STANDING_MAX = 500
"""Facts of persons that stand at a time, and as many of workers."""
OF_RUN_MAX = 20
"""Facts that the workers of one run may note."""
ABOUT_MAX = 20
"""Patterns that say what a fact is about."""
GAVE_WAY = "newer notes of workers took its place"
Decided: TypeAlias = tuple[ev.Event, ...] | Refusal


def one_line(text: str) -> str:
    """The text on one line, without characters that are not drawn: it can begin no heading and hide nothing."""
    return " ".join("".join(char for char in text if char.isprintable() or char.isspace()).split())


def decide_fact(state: State, command: cmd.AddFact) -> Decided:
    """Put a person's fact on record; without `about` it is about everything."""
    text = one_line(command.text)
    refusal = _refusal(state, text, command.about)
    if refusal is not None:
        return refusal
    if sum(not run for run in state.known.values()) >= STANDING_MAX:
        reason = f"{STANDING_MAX} facts of persons stand already"
        return Refusal(RefusalCode.wrong_state, reason, "ganger facts list, then ganger facts retract what is past")
    return (ev.FactAdded(text, command.by, command.about),)


def decide_noted(state: State, command: cmd.AddNote) -> Decided:
    """Put what a worker notes as a fact on record; it is about its run's scope, or a part of that."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    text = one_line(command.text)
    refusal = _refusal(state, text, command.about) or _beyond(state, run, command.about)
    if refusal is not None:
        return refusal
    if run.facts >= OF_RUN_MAX:
        return Refusal(RefusalCode.wrong_state, f"{run.id} has noted {OF_RUN_MAX} facts already", "go on without")
    noted = ev.FactAdded(text, about=command.about or run.lease.scope, run=run.id)
    return (*_room(state.known), noted)


def _refusal(state: State, text: str, about: tuple[str, ...]) -> Refusal | None:
    if not text or len(text) > cmd.FACT_CHARS_MAX:
        reason = f"the fact has {len(text)} characters, from 1 to {cmd.FACT_CHARS_MAX} are taken"
        return Refusal(RefusalCode.invalid, reason)
    if len(about) > ABOUT_MAX:
        return Refusal(RefusalCode.invalid, f"it is about {len(about)} patterns, the most is {ABOUT_MAX}")
    faults = [fault for pattern in about if (fault := scope_fault(pattern, state.rules))]
    return Refusal(RefusalCode.invalid, faults[0]) if faults else None


def _beyond(state: State, run: Run, about: tuple[str, ...]) -> Refusal | None:
    """A worker that could speak of any path could speak to every other worker."""
    scope = [parse(text, state.rules) for text in run.lease.scope]
    for pattern in about:
        if not any(covers(ours, parse(pattern, state.rules)) for ours in scope):
            reason = f"{pattern} is not in the scope of {run.id}: {', '.join(run.lease.scope)}"
            return Refusal(RefusalCode.forbidden, reason, "leave --about out, or use ganger note for a person to see")
    return None


def _room(known: dict[Seq, RunId]) -> tuple[ev.Event, ...]:
    """What gives way to another fact of a worker's: the oldest of theirs, where there are too many."""
    of_workers = [seq for seq, run in known.items() if run]
    return (ev.FactRetracted(min(of_workers), "", GAVE_WAY),) if len(of_workers) >= STANDING_MAX else ()


def decide_retract(state: State, command: cmd.RetractFact) -> Decided:
    """Strike a fact out: from here on nobody is told of it."""
    if command.fact not in state.known:
        return Refusal(RefusalCode.unknown_ref, f"no fact {command.fact} stands", "ganger facts list")
    return (ev.FactRetracted(command.fact, command.by, one_line(command.why)[: cmd.FACT_CHARS_MAX]),)
