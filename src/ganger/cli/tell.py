"""Saying something to the worker of a live run."""

from __future__ import annotations

import click

from ganger.cli.control import fleet_at
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.reply import answered, ask, asker, name_of
from ganger.cli.state import look
from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.ids import ItemId, RunId, is_run_id
from ganger.core.model import Refusal, RefusalCode, When
from ganger.core.state import State


@click.command("tell")
@click.argument("run_or_item")
@click.argument("text")
@click.option("--steer", "when", flag_value="steer", default="steer", help="While it works (this is the default).")
@click.option("--after-turn", "when", flag_value="after-turn", help="When its turn is over, in a turn of its own.")
@click.option("--next-turn", "when", flag_value="next-turn", help="With its next turn, if there is one anyway.")
@as_json
@click.pass_obj
def tell_run(app: App, run_or_item: str, text: str, when: str, as_json: bool) -> int:
    """Tell the worker of a live run (login.2), or of the live run of an item, TEXT.

    While it works it is told with its next tool call, where its agent has hooks for that; a turn that ends before is
    followed by one in which it is told. It is told once, and `ganger show RUN` says how far that has got: queued,
    delivered, read, or undeliverable when the run has ended. It answers no question and approves nothing.

    Exit status: 0 it will be told; 1 there is no such live run.
    """
    state_dir = fleet_at(app)
    run = live_run(look(state_dir).state, run_or_item)
    if run is None:
        reason = f"{run_or_item} is no live run, and no item that has one"
        return answered(Refusal(RefusalCode.unknown_ref, reason, "ganger status lists them"), "", as_json=as_json)
    reply = ask(state_dir, cmd.TellRun(run.id, as_text(text), When(when), name_of(asker())))
    return answered(reply, f"{run.id} will be told {expected(run, When(when))}: ganger show {run.id}", as_json=as_json)


def live_run(state: State, ref: str) -> Run | None:
    """The live run of that name, or of the item of that name; None where there is none."""
    if is_run_id(ref):
        return state.runs.get(RunId(ref))
    item = state.items.get(ItemId(ref))
    return state.runs.get(item.run) if item is not None else None


def expected(run: Run, when: When) -> str:
    """Say when a run is told something, as things are."""
    if run.accepted_seq:
        return "if its candidate does not land, with its next turn"
    if run.question:
        return f"with its next turn, after the answer to {run.question}"
    if run.turn_due or not run.turn:
        return "with the turn that is about to begin"
    if when is When.next_turn:
        return "with its next turn, if there is one"
    if when is When.after_turn or not run.has_worker:
        return "in a turn of its own"
    return "with its next tool call, or in a turn of its own"


def as_text(text: str) -> str:
    """Words from the command line as text: bytes that are not UTF-8 are replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
