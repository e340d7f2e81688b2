"""What a run stands on that has not landed yet: the accepted heads of what its item comes after, merged by ganger.

An item that may start on accepted work begins at a commit that ganger makes of the target and those heads. It lands
after them, and only if they land as they were: otherwise what it was made on never was, and it is offered again.
"""

from __future__ import annotations

from typing import TypeAlias

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import Foundation, Item, Run
from ganger.core.ids import Commit, RunId, item_of
from ganger.core.model import ItemSpec, Refusal, RefusalCode
from ganger.core.state import ACCEPTED, State

Head: TypeAlias = tuple[RunId, Commit]
"""A run that waits for the train, and its candidate."""
NAMED_MAX = 5


def heads(state: State, spec: ItemSpec) -> tuple[Head, ...]:
    """The accepted heads that a run of the item would stand on: of what it comes after and has not landed."""
    if spec.start_on != ACCEPTED:
        return ()
    found = (state.head_of(before) for before in spec.after if not state.lets_go(before))
    return tuple(head for head in found if head is not None)


def foundation_refusal(state: State, item: Item) -> Refusal | None:
    """Refuse an item whose heads are known not to go together."""
    made, wanted = item.foundation, heads(state, item.spec)
    if not wanted or made is None or made.heads != wanted or not made.conflicts:
        return None
    names = ", ".join(item_of(run) for run, _ in wanted)
    files = ", ".join(made.conflicts[:NAMED_MAX])
    reason = f"item {item.spec.id} waits: what {names} had accepted does not go together with the target in {files}"
    return Refusal(RefusalCode.not_ready, reason, "it begins once they have landed", wanted[0][0])


def is_made(state: State, item: Item, target: Commit) -> bool:
    """Whether the commit at which a run of the item would begin is there; the target itself always is."""
    wanted, made = heads(state, item.spec), item.foundation
    return not wanted or (made is not None and (made.heads, made.root) == (wanted, target))


def base_of(state: State, item: Item, target: Commit) -> Commit:
    """Where a run of the item begins; only where that `is_made`."""
    made = item.foundation
    return made.commit if heads(state, item.spec) and made is not None else target


def decide_base(state: State, command: cmd.RecordBase) -> tuple[ev.Event, ...] | Refusal:
    """Take the commit that was made of the target and the heads of what an item comes after."""
    item = state.items.get(command.item)
    if item is None or heads(state, item.spec) != command.heads:
        return Refusal(RefusalCode.conflict, f"item {command.item} does not stand on these heads any more")
    made = Foundation(command.root, command.heads, command.commit, command.conflicts)
    if item.foundation == made:
        return ()
    return (ev.BaseMade(command.item, command.root, command.heads, command.commit, command.conflicts),)


def grant_fault(state: State, item: Item, base: Commit) -> Refusal | None:
    """Refuse to begin anywhere else than at the commit that was made of the accepted heads."""
    wanted, made = heads(state, item.spec), item.foundation
    if not wanted or (made is not None and made.heads == wanted and made.commit == base and not made.conflicts):
        return None
    names = ", ".join(run for run, _ in wanted)
    reason = f"item {item.spec.id} begins on what {names} had accepted, and {base[:12]} is not made of that"
    return Refusal(RefusalCode.permit, reason, "a supervisor makes it")


def fault(state: State, run: Run) -> str:
    """Say why what a run stands on will not land as it was; empty while it may, and once it has."""
    for other, commit in run.stands_on:
        if state.head_of(item_of(other)) == (other, commit) or _has_landed(state, other, commit):
            continue
        live = state.runs.get(other)
        became = "was sent back" if live is not None else "ended without landing it"
        item = state.items.get(item_of(other))
        if item is not None and item.landed:
            became = "has landed as something else"
        return f"it stands on {commit[:12]} of {other}, which {became}"
    return ""


def may_land(state: State, run: Run) -> bool:
    """Whether everything that a run stands on has landed as it was."""
    return all(_has_landed(state, other, commit) for other, commit in run.stands_on)


def _has_landed(state: State, run: RunId, commit: Commit) -> bool:
    item = state.items.get(item_of(run))
    return item is not None and bool(item.landed) and item.landed_candidate == commit
