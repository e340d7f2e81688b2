"""The facts of a project: what its workers are to be told about the paths they work on."""

from __future__ import annotations

import click
import msgspec

from ganger.cli.control import fleet_at
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, clock, plain, say, say_json, tell
from ganger.cli.reply import answered, ask, asker, name_of
from ganger.cli.tell import as_text
from ganger.core import commands as cmd
from ganger.core.ids import Seq
from ganger.core.model import Refusal
from ganger.journal.queries import FactRow, Reader
from ganger.report.safe import printable
from ganger.service.place import JOURNAL


@click.group()
def facts() -> None:
    """Keep what workers should know: each is told, with its brief, what is on record about the paths it works on.

    What workers note themselves (ganger note --fact) stands among it, as their own word that nobody has checked.
    """


@facts.command()
@click.argument("text")
@click.option("--about", multiple=True, metavar="PATTERN", help="Paths it is about; repeatable. Without: everything.")
@as_json
@click.pass_obj
def add(app: App, text: str, about: tuple[str, ...], as_json: bool) -> int:
    """Put TEXT on record, on one line. It is told from the next brief on; ganger broadcast tells those at work.

    Exit status: 0 it is on record; 1 too much is already.
    """
    said = as_text(text)
    reply = ask(fleet_at(app), cmd.AddFact(said, name_of(asker()), tuple(map(as_text, about))))
    number = 0 if isinstance(reply, Refusal) else reply.seq
    return answered(reply, f"on record as {number}: ganger facts retract {number} strikes it out", as_json=as_json)


@facts.command()
@click.argument("number", type=click.IntRange(1))
@click.argument("why", default="")
@as_json
@click.pass_obj
def retract(app: App, number: int, why: str, as_json: bool) -> int:
    """Strike out the fact with that NUMBER, for the reason WHY; it stays on record, and nobody is told of it any more.

    Exit status: 0 it is struck out; 1 no such fact stands.
    """
    reply = ask(fleet_at(app), cmd.RetractFact(Seq(number), name_of(asker()), as_text(why)))
    return answered(reply, f"{number} is struck out", as_json=as_json)


@facts.command("list")
@click.option("--all", "every", is_flag=True, help="Those that were struck out as well.")
@as_json
@click.pass_obj
def list_facts(app: App, every: bool, as_json: bool) -> int:
    """List the facts that stand, the newest first.

    Exit status: 0 there are some; 1 there are none.
    """
    reader = Reader(fleet_at(app) / JOURNAL)
    try:
        rows = reader.facts(every=every)
    finally:
        reader.close()
    if as_json:
        say_json("ganger.facts", {"facts": [_values(row) for row in rows]})
    elif rows:
        for row in rows:
            say(_line(row))
    else:
        tell("no fact is on record: ganger facts add TEXT")
    return YES if rows else NO


def _values(row: FactRow) -> dict[str, object]:
    return {**plain(row), "about": list(_about(row))}


def _line(row: FactRow) -> str:
    who = f"{row.run}, unchecked" if row.run else row.by
    about = f" (about {', '.join(_about(row))})" if _about(row) else ""
    why = f": {row.why}" if row.why else ""
    gone = f"\n    struck out by {row.ended_by or 'ganger'} {clock(row.ended_ms)}{why}" if row.ended_ms else ""
    head = printable(f"{row.seq}  {clock(row.at_ms)}  {who}: {row.text}{about}")
    return head + printable(gone, keep_newlines=True)


def _about(row: FactRow) -> tuple[str, ...]:
    return msgspec.json.decode(row.about, type=tuple[str, ...])
