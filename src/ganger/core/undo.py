"""Undoing a landing: what a person may have undone, what must pass before it is, and what becomes of it.

An undo is a commit of its own on top of the target: the target as it is, less what one commit brought. It is tested as
a whole and lands like a batch, by the same compare-and-swap; where the target has moved it is worked out and tested
again. While a person waits for one, no further batch is tested, so that it is not outrun for ever.
"""

from __future__ import annotations

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.closing import CLOSED
from ganger.core.facts import Item, Landing, Undo
from ganger.core.ids import Commit, question_id, run_id
from ganger.core.model import Check, ItemSpec, Question, QuestionKind, Refusal, RefusalCode
from ganger.core.patterns import scope_overlap
from ganger.core.policy import Policy
from ganger.core.state import State

AGAIN, LEAVE = "try again", "leave it"
DIGITS_MIN = 7
"""So many digits of a commit name one."""
Decided = tuple[ev.Event, ...] | Refusal


def next_undo(state: State) -> Undo | None:
    """The undo to work out now: the oldest that waits for nobody; None when there is none, or something is landing."""
    if state.landing is not None:
        return None
    return next((undo for undo in state.undos.values() if not undo.question), None)


def decide_undo(state: State, command: cmd.UndoLanding) -> Decided:
    """Take a person's word that a landing, or an undo, is to be undone; the same word twice counts once."""
    item = _named(state, command)
    if isinstance(item, Refusal):
        return item
    name, undone = item.spec.id, item.undone
    back = undone is not None and bool(command.commit)
    if undone is not None and not back:
        reason = f"item {name} was undone by {undone.by} as {undone.commit[:12]}"
        return Refusal(RefusalCode.wrong_state, reason, f"ganger undo {undone.commit[:12]} brings it back")
    if undone is None and not item.landed:
        return Refusal(RefusalCode.wrong_state, f"item {name} has not landed: there is nothing to undo")
    commit = undone.commit if undone is not None else item.merge
    if not commit:
        reason = f"item {name} landed as {item.landed[:12]}, and the journal does not say by which commit of that alone"
        return Refusal(RefusalCode.wrong_state, reason, "revert it by hand")
    if commit in state.undos:
        return ()
    return (ev.UndoRequested(commit, name, run_id(name, item.attempts), command.by, command.why, back),)


def _named(state: State, command: cmd.UndoLanding) -> Item | Refusal:
    """The item that a request is about."""
    if not command.commit:
        found = state.items.get(command.item)
        return found or Refusal(RefusalCode.unknown_ref, f"there is no item {command.item}", "ganger plan board")
    if len(command.commit) < DIGITS_MIN:
        return Refusal(RefusalCode.invalid, f"{command.commit} could be many commits", f"give {DIGITS_MIN} digits")
    items = [item for item in state.items.values() if _brought(item).startswith(command.commit)]
    if len(items) == 1:
        return items[0]
    reason = "which of several is meant" if items else "nothing of it is shipped, or undone, by a commit of ganger's"
    return Refusal(RefusalCode.unknown_ref, f"{command.commit}: {reason}", "name the item instead")


def _brought(item: Item) -> Commit:
    """The commit by which an item is where it is: on the target, or off it again."""
    return item.undone.commit if item.undone is not None else item.merge


def required(state: State, undo: Undo) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    """The checks that must pass on the target less that change, and those that may fail as they did before it.

    The first are those of the item, and of what has landed since on the same paths or comes after it. A check that no
    other item has may ask for the very change that is undone: where it failed before the change as well, that it fails
    without it says nothing.
    """
    item = state.items[undo.item]
    touched = [other for other in state.items.values() if _is_touched(state, item, other)]
    elsewhere = {check.argv for other in state.items.values() if other is not item for check in other.spec.checks}
    own = tuple(check for check in item.spec.checks if check.argv not in elsewhere and not undo.back)
    shared = tuple(check for check in item.spec.checks if check not in own)
    return (*shared, *(check for other in touched for check in other.spec.checks)), own


def _is_touched(state: State, item: Item, other: Item) -> bool:
    """Whether another item is shipped and could stand on this one's change."""
    if other is item or not other.landed:
        return False
    if item.spec.id in other.spec.after:
        return True
    return other.landed_ms >= item.landed_ms and _share_paths(state, item.spec, other.spec)


def _share_paths(state: State, one: ItemSpec, other: ItemSpec) -> bool:
    return scope_overlap(one.scope, other.scope, state.rules) is not None


def decide_tested(state: State, command: cmd.RecordUndo, now_ms: int, policy: Policy) -> Decided:
    """Take how an undo did: start its landing, or have a person say what becomes of it."""
    undo = state.undos.get(command.commit)
    if undo is None or undo.question:
        return Refusal(RefusalCode.conflict, f"nobody waits for an undo of {command.commit[:12]}")
    if state.landing is not None:
        return Refusal(RefusalCode.conflict, "a landing is under way")
    tested = ev.UndoTested(
        commit=command.commit,
        item=undo.item,
        old=command.old,
        new=command.new,
        tree=command.tree,
        passed=command.passed,
        checks=command.checks,
        reason=command.reason,
        took_ms=command.took_ms,
        changed=command.changed,
    )
    if command.passed:
        return (tested, ev.LandingStarted((), command.old, command.new, command.tree, undo=undo.commit))
    asked = Question(
        id=question_id(state.questions_asked + 1),
        kind=QuestionKind.undo,
        text=(
            f"{_what(undo)}, asked for by {undo.by}, cannot land on {policy.target} at {command.old[:12]}:"
            f" {command.reason}. Nothing was changed."
        ),
        options=(AGAIN, LEAVE),
        recommend=LEAVE,
        item=undo.item,
        asked_ms=now_ms,
        subject=undo.commit,
    )
    return (tested, ev.QuestionAsked(asked))


def _what(undo: Undo) -> str:
    return f"Bringing back {undo.item}" if undo.back else f"Undoing {undo.item}"


def answer_undo(state: State, question: Question, choice: str, by: str) -> tuple[ev.Event, ...]:
    """Take a person's word on an undo that could not land."""
    answered = ev.QuestionAnswered(question.id, choice, by)
    undo = state.undos.get(Commit(question.subject))
    if undo is None or choice != LEAVE:
        return (answered,)
    return (answered, ev.UndoDropped(undo.commit, undo.item, by))


def landed(state: State, landing: Landing, policy: Policy) -> tuple[ev.Event, ...]:
    """What follows once the target was moved to the undo; what is back again is closed like what lands."""
    undo = state.undos[landing.undo]
    waits = undo.back and policy.ci_required
    holds = waits and policy.ci_dependents == CLOSED
    return (
        ev.LandingUndone(undo.commit, undo.item, undo.run, landing.new, undo.by, undo.why, undo.back, waits, holds),
    )
