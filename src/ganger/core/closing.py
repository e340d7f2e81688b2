"""What closes an item that has landed: CI, where that is required, and the target itself, which is read back.

Silence closes nothing: an answer that is `unknown` or `unavailable` leaves the item open, and it is asked again, each
time after a longer while. A night is complete only when what landed is seen on the target at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import AwaitedCi, Item, ReadBack
from ganger.core.ids import Commit, ItemId, QuestionId, question_id
from ganger.core.model import CI_CLOSES, CiState, Question, QuestionKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State

CLOSED = "closed"
"""With `ci.dependents`: what comes after an item waits until it is closed."""
ASK_AGAIN, CLOSE = "ask again", "close"
LOOK_AGAIN, LEAVE = "look again", "leave it"
QUESTIONS = (QuestionKind.ci_blocked, QuestionKind.target_lost)
NAMED_MAX = 5
Wanted = Callable[[Item], bool]
"""Whether a night is about an item."""


def landed_by(state: State, commit: Commit) -> tuple[Item, ...]:
    """The items that landed with a commit on which CI must be green, and are still on the target."""
    awaited = state.awaited.get(commit)
    found = (state.items.get(item) for item in awaited.items) if awaited is not None else ()
    return tuple(item for item in found if item is not None and item.landed == commit)


def awaited(state: State, is_wanted: Wanted) -> Iterator[tuple[Commit, AwaitedCi]]:
    """The commits on which CI must be green before an item is closed that the night is about."""
    for commit, facts in state.awaited.items():
        if any(is_wanted(item) for item in landed_by(state, commit)):
            yield commit, facts


def due(state: State, now_ms: int) -> Iterator[Commit]:
    """The commits about which CI is to be asked now."""
    for commit, facts in state.awaited.items():
        if facts.again_ms <= now_ms and landed_by(state, commit):
            yield commit


def patience_ends_ms(state: State, facts: AwaitedCi, policy: Policy, patience_ms: int | None) -> int:
    """Until when a night waits for CI: from the landing, or from its beginning where something landed before that."""
    patient_ms = policy.ci_patience_ms if patience_ms is None else min(policy.ci_patience_ms, patience_ms)
    return max(facts.since_ms, state.night_ms) + patient_ms


def is_waited_for(state: State, now_ms: int, policy: Policy, is_wanted: Wanted, patience_ms: int | None = None) -> bool:
    """Whether CI may still close something by itself, and that is worth waiting for."""
    return any(
        not facts.question and now_ms < patience_ends_ms(state, facts, policy, patience_ms)
        for _, facts in awaited(state, is_wanted)
    )


def decide_ci(state: State, command: cmd.RecordCi, now_ms: int, policy: Policy) -> tuple[ev.Event, ...] | Refusal:
    """Take what CI says of a commit: it closes what landed, a person is asked, or it is asked again."""
    facts = state.awaited.get(command.commit)
    if facts is None:
        return Refusal(RefusalCode.conflict, f"nothing waits for CI of {command.commit[:12]}")
    times = facts.asks if command.state is facts.state else 0
    pause_ms = min(policy.ci_every_ms * 2 ** min(times, 20), policy.ci_every_max_ms)
    closes = command.state in CI_CLOSES
    again_ms = 0 if closes else now_ms + pause_ms
    said = ev.CiSaid(command.commit, command.state, command.text, command.where, again_ms)
    if command.state is CiState.blocked and not facts.question:
        return (said, ev.QuestionAsked(_ask_blocked(state, command, now_ms)))
    runs_again = command.state is CiState.unknown and bool(facts.question)
    if facts.question and (closes or runs_again):
        return (said, ev.QuestionWithdrawn(facts.question, f"CI says {command.state}: {command.text}"))
    return (said,)


def _ask_blocked(state: State, command: cmd.RecordCi, now_ms: int) -> Question:
    items = landed_by(state, command.commit)
    names = ", ".join(item.spec.id for item in items)
    return Question(
        id=question_id(state.questions_asked + 1),
        kind=QuestionKind.ci_blocked,
        text=f"CI fails on {command.commit[:12]}, which landed {names}: {command.text}. It is not closed before that"
        " is green: have CI run again, or close it all the same.",
        options=(ASK_AGAIN, CLOSE),
        recommend=ASK_AGAIN,
        item=items[0].spec.id if len(items) == 1 else ItemId(""),
        asked_ms=now_ms,
        subject=command.commit,
    )


def answer_ci(state: State, question: Question, choice: str, by: str) -> tuple[ev.Event, ...]:
    """Take a person's word on a commit that CI fails: it is asked about again at once, or closed by that person."""
    answered = ev.QuestionAnswered(question.id, choice, by)
    commit = Commit(question.subject)
    return (answered, ev.CiWaived(commit, _name(by))) if choice == CLOSE and commit in state.awaited else (answered,)


def decide_waive(state: State, command: cmd.WaiveCi) -> tuple[ev.Event, ...] | Refusal:
    """Take a person's word that what landed is closed whatever CI says, or does not say."""
    facts = state.awaited.get(command.commit)
    if facts is None:
        return Refusal(RefusalCode.wrong_state, f"nothing that landed as {command.commit[:12]} waits for CI")
    by = _name(command.by)
    asked = (ev.QuestionWithdrawn(facts.question, f"{by} closed it"),) if facts.question else ()
    return (*asked, ev.CiWaived(command.commit, by))


def _name(by: str) -> str:
    """The name of a person, who may be given as an actor."""
    return by.removeprefix("person:")


def moot(state: State, item: Item) -> tuple[ev.Event, ...]:
    """Take back what was asked about CI of a landing of which nothing is left on the target once `item` is gone."""
    facts = state.awaited_of(item)
    others = [other for other in landed_by(state, item.landed) if other.spec.id != item.spec.id]
    if facts is None or not facts.question or others:
        return ()
    return (ev.QuestionWithdrawn(facts.question, f"{item.spec.id} was undone"),)


def landings(state: State) -> tuple[Commit, ...]:
    """The commits that are recorded to have landed something which was not undone."""
    return tuple(dict.fromkeys(item.landed for item in state.items.values() if item.landed))


def is_read(state: State, target: Commit) -> bool:
    """Whether the target was read back as it is."""
    seen = state.read_back
    return (seen.is_new and seen.tip == target) or not any(item.landed for item in state.items.values())


def lost(state: State, is_wanted: Wanted) -> tuple[Item, ...]:
    """Items that are recorded as landed, and that the target did not contain when it was read back."""
    missing = set(state.read_back.missing)
    return tuple(item for item in state.items.values() if item.landed in missing and is_wanted(item))


def decide_read(state: State, command: cmd.RecordTargetRead, now_ms: int, policy: Policy) -> tuple[ev.Event, ...]:
    """Take what the target contains of what landed; what it does not is for a person to explain."""
    before = state.read_back
    seen = ev.TargetRead(command.tip, command.missing)
    if before.is_new and (before.tip, before.missing) == (command.tip, command.missing):
        return ()
    unknown = tuple(commit for commit in command.missing if commit not in before.accepted)
    if before.question and unknown and set(command.missing) == set(before.missing):
        return (seen,)
    withdrawn = (ev.QuestionWithdrawn(before.question, "the target was read again"),) if before.question else ()
    if not unknown:
        return (seen, *withdrawn)
    return (seen, *withdrawn, ev.QuestionAsked(_ask_lost(state, unknown, command.tip, now_ms, policy)))


def _ask_lost(state: State, missing: tuple[Commit, ...], tip: Commit, now_ms: int, policy: Policy) -> Question:
    names = [f"{item.spec.id} ({item.landed[:12]})" for item in state.items.values() if item.landed in missing]
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    where = f"{policy.target} at {tip[:12]}" if tip else f"{policy.target}, which is gone,"
    return Question(
        id=question_id(state.questions_asked + 1),
        kind=QuestionKind.target_lost,
        text=f"{where} does not contain what landed {', '.join(names[:NAMED_MAX])}{more}: somebody moved it away."
        f" Put it back, or leave it so; ganger's hub has every commit.",
        options=(LEAVE, LOOK_AGAIN),
        asked_ms=now_ms,
        subject=tip,
    )


def answer_lost(state: State, question: Question, choice: str, by: str) -> tuple[ev.Event, ...]:
    """Take a person's word on landings that are gone: they are left so, or looked for again."""
    answered = ev.QuestionAnswered(question.id, choice, by)
    missing = state.read_back.missing
    return (answered, ev.LossAccepted(missing, _name(by))) if choice == LEAVE and missing else (answered,)


# ── what follows from the entries ──


def after_landing(state: State, item: Item, holds: bool, at_ms: int) -> None:
    """Note that what has just landed waits for CI."""
    facts = state.awaited.get(item.landed, AwaitedCi((), at_ms, holds))
    state.awaited[item.landed] = replace(facts, items=(*facts.items, item.spec.id))


def after_ci(state: State, said: ev.CiSaid) -> None:
    """Note what CI said; what is green is closed."""
    facts = state.awaited.get(said.commit)
    if facts is None:
        return
    if said.state in CI_CLOSES:
        close(state, said.commit)
        return
    asks = facts.asks + 1 if facts.state is said.state else 1
    state.awaited[said.commit] = replace(facts, state=said.state, text=said.text, asks=asks, again_ms=said.again_ms)


def close(state: State, commit: Commit) -> None:
    """Take what landed with a commit as closed; what waited for that may begin."""
    facts = state.awaited.pop(commit, None)
    for item in facts.items if facts is not None else ():
        state.touched_items.add(item)
        state.refresh_dependents(item)


def after_question(state: State, question: Question) -> None:
    """Note that a person is asked about a commit that CI fails, or about landings that are gone."""
    facts = state.awaited.get(Commit(question.subject))
    if question.kind is QuestionKind.target_lost:
        state.read_back = replace(state.read_back, question=question.id)
    elif facts is not None:
        state.awaited[Commit(question.subject)] = replace(facts, question=question.id)


def after_answer(state: State, question: Question) -> None:
    """Note that such a question is open no more: CI is asked again, and the target read again, at once."""
    facts = state.awaited.get(Commit(question.subject))
    if facts is not None and facts.question == question.id:
        state.awaited[Commit(question.subject)] = replace(facts, question=QuestionId(""), again_ms=0)
    if state.read_back.question == question.id:
        state.read_back = replace(state.read_back, question=QuestionId(""), is_new=False)


def after_read(state: State, seen: ev.TargetRead) -> None:
    """Note what the target contains; what is back there is forgotten to be known as gone."""
    before = state.read_back
    accepted = tuple(commit for commit in before.accepted if commit in seen.missing)
    state.read_back = ReadBack(seen.tip, seen.missing, accepted, before.question, is_new=True)
