"""What is said to a run: by a person, or by ganger when the target has moved under it; each is handed over once.

A message is queued, then delivered: the journal says to which turn and by which way before it is handed over, so that
a crash in between can lose it, visibly, and never repeats it. It is read when the worker went on after it had been
handed over. What is not read when its run ends never will be. A message answers no question and approves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.evolve import NOTIFIED_MAX, text_mark
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, item_of
from ganger.core.lifecycle import find_run
from ganger.core.model import Again, Refusal, RefusalCode, ReportKind, When
from ganger.core.patterns import scope_matches
from ganger.core.policy import Policy
from ganger.core.state import State

QUEUED_MAX = 20
"""Messages of persons that may wait for one run."""
NAMED_MAX = 10
"""Files that a notice names."""
PRESSING = frozenset({When.steer, When.after_turn})
"""What gives a run another turn when its worker has ended without it."""
AT_ONCE = frozenset({When.steer, When.notice})
"""What a worker is told while it works."""
Decided: TypeAlias = tuple[ev.Event, ...] | Refusal


def decide_tell(state: State, command: cmd.TellRun) -> Decided:
    """Take a person's message to a live run."""
    run = state.runs.get(command.run)
    if run is None:
        reason = f"run {command.run} is not live: nobody would read it"
        return Refusal(RefusalCode.unknown_ref, reason, "ganger status lists the live runs")
    if run.stop is not None:
        reason = f"{run.id} is being ended ({run.stop.reason}): nobody would read it"
        return Refusal(RefusalCode.wrong_state, reason)
    if command.when is When.notice:
        return Refusal(RefusalCode.invalid, "a notice is ganger's own", "steer, after-turn or next-turn")
    text = command.text.strip()
    if not text or len(text) > cmd.NOTE_CHARS_MAX:
        reason = f"the message has {len(text)} characters, from 1 to {cmd.NOTE_CHARS_MAX} are taken"
        return Refusal(RefusalCode.invalid, reason)
    if sum(not one.turn and one.when is not When.notice for one in run.messages) >= QUEUED_MAX:
        return Refusal(RefusalCode.wrong_state, f"{QUEUED_MAX} messages wait for {run.id} already", "let it read them")
    return (ev.MessageSent(run.id, text, command.when, command.by),)


def decide_broadcast(state: State, command: cmd.Broadcast, now_ms: int, policy: Policy) -> Decided:
    """Take a person's notice to several runs.

    Those that ended meanwhile are passed over, and those that were told the same a short while ago.
    """
    text = command.text.strip()
    if not text or len(text) > cmd.NOTE_CHARS_MAX:
        reason = f"the message has {len(text)} characters, from 1 to {cmd.NOTE_CHARS_MAX} are taken"
        return Refusal(RefusalCode.invalid, reason)
    live = [run for name in dict.fromkeys(command.runs) if (run := state.runs.get(name)) and run.stop is None]
    if not live:
        return Refusal(RefusalCode.unknown_ref, "none of these runs is live: nobody would read it", "ganger status")
    recent = {run.id: [one for one in run.notified if now_ms - one[2] < policy.same_within_ms] for run in live}
    fresh = [run for run in live if text_mark(text) not in [one[:2] for one in recent[run.id]]]
    open_ = [run for run in fresh if len(recent[run.id]) < NOTIFIED_MAX]
    if fresh and not open_:
        reason = f"{NOTIFIED_MAX} notices were sent to {fresh[0].id} in the last {policy.same_within_ms // 1000} s"
        return Refusal(RefusalCode.wrong_state, reason, "let it read them")
    return tuple(ev.MessageSent(run.id, text, When.notice, command.by) for run in open_)


def decide_give(state: State, command: cmd.GiveMessages) -> Decided:
    """Claim what waits for a run, before it is handed to the worker of a turn; what is claimed is never claimed again.

    With its brief a worker is given everything. After a hang it gets the brief of before, letter by letter, so that
    nothing is claimed for it.
    """
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.stop is not None or command.turn != run.turn_speaking or (not command.at_work and not run.turn_due):
        return Refusal(RefusalCode.wrong_state, f"{run.id} is not in turn {command.turn}")
    if not command.at_work and run.repeat is not None and run.repeat.why is Again.hang:
        return ()
    found = tuple(one.seq for one in run.messages if not one.turn and (one.when in AT_ONCE or not command.at_work))
    return (ev.MessagesDelivered(run.id, command.turn, found, command.at_work),) if found else ()


def decide_read(state: State, command: cmd.RecordRead) -> Decided:
    """Note that a worker went on after messages were handed to it while it worked."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    found = tuple(one.seq for one in run.messages if one.seq in command.messages and one.at_work)
    return (ev.MessagesRead(run.id, found),) if found else ()


def with_read(state: State, decided: Decided) -> Decided:
    """Add that a worker read what stands in its brief, when it is recorded to run."""
    if isinstance(decided, Refusal):
        return decided
    return tuple(found for event in decided for found in (event, *_read_with(state, event)))


def _read_with(state: State, event: ev.Event) -> Iterator[ev.Event]:
    if isinstance(event, ev.WorkerStarted):
        run = state.runs[event.run]
        found = tuple(one.seq for one in run.messages if one.turn == event.turn and not one.at_work)
        if found:
            yield ev.MessagesRead(run.id, found)


def wants_turn(run: Run) -> bool:
    """Whether a run whose worker ended without what is said to it gets another turn, before anything is looked at."""
    if not any(not one.turn and one.when in PRESSING for one in run.messages):
        return False
    busy = run.has_worker or run.turn_due or run.stop is not None or bool(run.rewind) or bool(run.question)
    return not busy and run.evidence is None and run.report is not None and run.report.kind is ReportKind.done


def decide_turn(state: State, command: cmd.RepeatTurn) -> Decided:
    """Give a run another turn because of what is said to it."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.turn != command.turn or not wants_turn(run):
        return Refusal(RefusalCode.wrong_state, f"nothing that is said to {run.id} wants another turn")
    return (ev.TurnRepeated(run.id, run.turn, Again.told, command.reason),)


def with_moved(state: State, decided: Decided) -> Decided:
    """Add what other runs are told of what lands or is undone: those that hold or changed a file that changes by it."""
    if isinstance(decided, Refusal):
        return decided
    ours = {event.run for event in decided if isinstance(event, ev.RunLanded)}
    others = [run for run in state.runs.values() if run.id not in ours and run.turn and run.stop is None]
    return (*decided, *(note for event in decided for note in _moved(state, event, others)))


def _moved(state: State, event: ev.Event, others: Iterable[Run]) -> Iterator[ev.Event]:
    """What the others are told of one event."""
    if isinstance(event, ev.RunLanded):
        evidence = state.runs[event.run].evidence if event.run in state.runs else None
        for run, met in _met(state, evidence.changed if evidence is not None else (), others):
            text = moved_text(item_of(event.run), event.commit, met)
            yield ev.MessageSent(run.id, text, When.notice, landing=event.commit)
    elif isinstance(event, ev.LandingUndone):
        undo = state.undos.get(event.commit)
        for run, met in _met(state, undo.changed if undo is not None else (), others):
            yield ev.MessageSent(run.id, undone_text(event, met), When.notice, landing=event.new)


def _met(state: State, changed: tuple[str, ...], others: Iterable[Run]) -> Iterator[tuple[Run, list[str]]]:
    """The runs that hold or changed some of these files, each with those."""
    for run in others:
        own = run.evidence.changed if run.evidence is not None else ()
        met = [path for path in changed if path in own or scope_matches(run.lease.scope, path, state.rules)]
        if met:
            yield run, met


def moved_text(item: ItemId, commit: Commit, paths: list[str]) -> str:
    """Say what landed under a run, and which of its files that changed."""
    return (
        f"{item} has landed as {commit[:12]}, after you began, and changed {_named(paths)}. "
        "Your commits will be merged with that: do not undo or repeat it."
    )


def undone_text(event: ev.LandingUndone, paths: list[str]) -> str:
    """Say what was undone under a run, or is back again, and which of its files that changed."""
    if event.back:
        return (
            f"{event.item} was undone and is back again as {event.new[:12]}, after you began, and that changed "
            f"{_named(paths)}. Your commits will be merged with that: do not undo or repeat it."
        )
    return (
        f"{event.item} was undone as {event.new[:12]}, after you began, and that changed {_named(paths)}. "
        "The target holds its change no longer: do not build on it, and do not bring it back."
    )


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED_MAX} more" if len(paths) > NAMED_MAX else ""
    return ", ".join(paths[:NAMED_MAX]) + more
