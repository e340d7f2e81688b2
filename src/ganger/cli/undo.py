"""`ganger undo`: have a landing taken back, or brought back, as a new tested commit on the target."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from ganger.cli.control import fleet_at
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, plain, say, say_json, tell
from ganger.cli.reply import answered, ask, asker, name_of, of_reply
from ganger.cli.state import look
from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId
from ganger.core.model import Refusal, RefusalCode
from ganger.core.undo import DIGITS_MIN, decide_undo
from ganger.git.merge import taken_back
from ganger.journal.queries import Reader, UndoRow
from ganger.plans.wording import harmless
from ganger.service import place, wiring
from ganger.service.fleet import Reply

LOOK_S = 0.2
ALONE_S = 5.0
"""How long a supervisor that is not there is waited for."""
WHY_CHARS_MAX = 2_000
_DIGITS = frozenset("0123456789abcdef")


@click.command()
@click.argument("ref")
@click.option("--why", default="", help="Stands in the commit, and wherever the undo is shown.")
@click.option("--wait", "waits", is_flag=True, help="Wait until it has landed, or cannot.")
@as_json
@click.pass_obj
def undo(app: App, ref: str, why: str, waits: bool, as_json: bool) -> int:
    """Undo the landing of REF, an item, as a new tested commit on the target; ganger retry then offers it again.

    REF is the item, the commit that landed it, or the commit of an earlier undo, which brings the item back. Whoever
    supervises the fleet works it out on the target as it is then, checks the whole and lands it, or asks you.

    Exit status: 0 it will be undone, or with --wait it is; 1 it is not: it conflicts, fails checks, or has not landed.
    """
    state_dir = fleet_at(app)
    command = _command(state_dir, ref, _on_one_line(why))
    reply: Reply | None = _conflict(app, state_dir, command)
    reply = reply if reply is not None else ask(state_dir, command)
    if isinstance(reply, Refusal) or not waits:
        name = str(command.item or ref)
        return answered(reply, f"{name} will be undone: {_next_step(state_dir, name)}", as_json=as_json)
    wanted = next((event.commit for event in reply.events if isinstance(event, ev.UndoRequested)), "")
    return _wait(state_dir, wanted or _open_wish(state_dir, command), of_reply(reply), as_json=as_json)


def _on_one_line(why: str) -> str:
    """A reason as it may stand in a commit, where a line of its own could be taken for a trailer."""
    words = why.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split()
    return harmless(" ".join(words))[:WHY_CHARS_MAX]


def _command(state_dir: Path, ref: str, why: str) -> cmd.UndoLanding:
    """What is meant by a name: an item, or else a commit."""
    reader = Reader(state_dir / place.JOURNAL)
    try:
        known = reader.item(ref) is not None
    finally:
        reader.close()
    by = name_of(asker())
    if not known and len(ref) >= DIGITS_MIN and _DIGITS.issuperset(ref):
        return cmd.UndoLanding(by, commit=ref, why=why)
    return cmd.UndoLanding(by, ItemId(ref), why=why)


def _conflict(app: App, state_dir: Path, command: cmd.UndoLanding) -> Refusal | None:
    """Say which files stand against it on the target as it is now; None when nothing does, or it is refused anyway."""
    found = decide_undo(look(state_dir).state, command)
    wanted = [event for event in found if isinstance(event, ev.UndoRequested)] if isinstance(found, tuple) else []
    if not wanted:
        return None
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    hub = wiring.open_hub(parts)
    tip = hub.sync_target()
    if not hub.is_ancestor(wanted[0].commit, tip):
        reason = f"{parts.policy.target} does not contain {wanted[0].commit[:12]}, which landed {wanted[0].item}"
        return Refusal(RefusalCode.conflict, reason, "ganger residual tells what is on the target")
    made = taken_back(hub, tip, wanted[0].commit, "", 0)
    if not isinstance(made, tuple):
        return None
    reason = f"undoing {wanted[0].item} conflicts with what has changed since: {', '.join(made)}"
    return Refusal(RefusalCode.conflict, reason, "undo what landed after it first, or revert it by hand")


def _next_step(state_dir: Path, ref: str) -> str:
    """What happens next, and where it is seen."""
    if place.is_supervised(state_dir):
        return f"the supervisor tests the target without it, and lands that (ganger show {ref})"
    return "no supervisor runs, so nothing happens until ganger up or ganger run"


def _open_wish(state_dir: Path, command: cmd.UndoLanding) -> Commit:
    """The commit that an earlier, open request of the same is about."""
    undos = look(state_dir).state.undos
    if command.commit:
        return next((commit for commit in undos if commit.startswith(command.commit)), Commit(""))
    return next((commit for commit, wish in undos.items() if wish.item == command.item), Commit(""))


def _wait(state_dir: Path, commit: str, reply: dict[str, object], *, as_json: bool) -> int:
    """Wait until it has landed, a person is needed, or nobody is there to do it."""
    reader = Reader(state_dir / place.JOURNAL)
    alone_s = 0.0
    try:
        while (row := _last(reader, commit)).state in ("asked", "landing") and alone_s < ALONE_S:
            alone_s = 0.0 if place.is_supervised(state_dir) else alone_s + LOOK_S
            time.sleep(LOOK_S)
    finally:
        reader.close()
    done = row.state == "landed"
    if as_json:
        say_json("ganger.undo", {**reply, "undo": plain(row)})
    elif row.state in ("asked", "landing"):
        tell("no supervisor runs, so nothing happens until ganger up or ganger run")
    elif done:
        say(f"{row.item} is {'back' if row.back else 'undone'} as {row.landed[:12]}")
    else:
        say(f"{row.item} is as it was: {row.reason or 'nobody wants that any more'}")
        tell("ganger inbox" if row.state == "stuck" else "")
    return YES if done else NO


def _last(reader: Reader, commit: str) -> UndoRow:
    """The newest wish to have a commit undone."""
    return [row for row in reader.undos() if row.undone == commit][-1]
