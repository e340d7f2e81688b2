"""What a person does: look into the inbox, answer, stop, retry."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from msgspec.structs import replace

from ganger.cli.admit import has_scorers, objection
from ganger.cli.control import fleet_at
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, clock, plain, say, say_json, tell
from ganger.cli.reply import answered, ask, asker, name_of
from ganger.cli.state import look
from ganger.core import commands as cmd
from ganger.core.admission import admit
from ganger.core.ids import Commit, ItemId, QuestionId, RunId, is_question_id, is_run_id
from ganger.core.model import EndKind, Refusal, RefusalCode
from ganger.errors import StateDirError, UsageError
from ganger.git.repository import checked_out_at, is_dirty, target_tip
from ganger.journal.queries import MessageRow, QuestionRow, Reader
from ganger.service import place, wiring
from ganger.service.fleet import Reply


def overview(app: App) -> int:
    """What `ganger` alone says: what needs you, then what runs."""
    from ganger.cli.status import show

    try:
        state_dir = app.state_dir()
        reader = Reader(state_dir / place.JOURNAL)
    except StateDirError as error:
        tell(f"{error.message}\n\n{error.hint}; ganger --help lists the commands")
        return YES
    try:
        _print_questions(reader.questions())
    finally:
        reader.close()
    show(state_dir, as_json=False)
    return YES


@click.command()
@as_json
@click.pass_obj
def inbox(app: App, as_json: bool) -> int:
    """List what waits for you, landings first, then questions of workers, oldest first.

    Below that, what you said to runs that have ended without reading it.

    Exit status: 0 something waits for you; 1 nothing does.
    """
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        questions = sorted(reader.questions(), key=lambda row: (bool(row.agent), row.kind == "worker", row.asked_ms))
        unheard = reader.unheard(_this_night_ms(reader))
    finally:
        reader.close()
    if as_json:
        rows = {"questions": [plain(question) for question in questions], "unheard": [plain(row) for row in unheard]}
        say_json("ganger.inbox", rows)
        return YES if questions else NO
    if questions:
        _print_questions(questions)
    else:
        tell("nothing waits for you")
    _print_unheard(unheard)
    return YES if questions else NO


def _this_night_ms(reader: Reader) -> int:
    """When the supervisor of the hour, or the last one, took over; 0 when there was none."""
    supervisors = reader.supervisors()
    return supervisors[-1].started_ms if supervisors else 0


def _print_unheard(rows: list[MessageRow]) -> None:
    """What was said to runs that have ended without reading it: nothing is to be done, but nobody has heard it."""
    for row in rows:
        how = f"handed to turn {row.turn}, not known to be read" if row.turn else "never handed over"
        say(f"{row.run} has ended without reading: {row.text}")
        say(f"    said by {row.by} {clock(row.at_ms)}, {how}")


def _print_questions(questions: list[QuestionRow]) -> None:
    for row in questions:
        about = row.run or row.subject[:12]
        say(f"{row.id}  {row.text}")
        say(f"    about {about}, asked {clock(row.asked_ms)}" + (f"; risk: {row.risk}" if row.risk else ""))
        if row.agent:
            say(f"    agent {row.agent} is asked first, until {clock(row.until_ms)}; you can answer before it does")
        if row.passed:
            say(f"    {row.passed}")
        options = json.loads(row.options)
        for option in options:
            say(
                f"    ganger answer {row.id} {_quoted(option)}"
                + ("   (recommended)" if option == row.recommend else "")
            )
        if not options:
            say(f"    ganger answer {row.id} TEXT")
        say()


def _quoted(option: str) -> str:
    return option if option.isalnum() else "'" + option.replace("'", "'\\''") + "'"


@click.command()
@click.argument("question")
@click.argument("choice")
@as_json
@click.pass_obj
def answer(app: App, question: str, choice: str, as_json: bool) -> int:
    """Answer QUESTION (q7) with CHOICE: one of its options, or any text where a worker asked.

    Exit status: 0 it is answered; 1 it is not open any more; 2 it is none, or CHOICE is none of its options.
    """
    if not is_question_id(question):
        raise UsageError(f"{question!r} is not a question: they are called q1, q2, …", "ganger inbox lists them")
    said = choice.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    command = cmd.AnswerQuestion(QuestionId(question), said, asker())
    return answered(ask(fleet_at(app), command), f"{question} answered: {choice}", as_json=as_json)


@click.command()
@click.argument("run_or_item")
@click.option("--reason", default="stopped by hand", help="Why; it is shown wherever the run is.")
@as_json
@click.pass_obj
def stop(app: App, run_or_item: str, reason: str, as_json: bool) -> int:
    """Stop a run (login.2), or the live run of an item; its work is kept, and the item waits for `ganger retry`.

    Exit status: 0 it will be stopped; 1 there is no such live run.
    """
    state_dir = fleet_at(app)
    run = run_or_item if is_run_id(run_or_item) else _live_run(state_dir, run_or_item)
    reply: Reply
    if run:
        reply = ask(state_dir, cmd.StopRun(RunId(run), EndKind.stopped, reason))
    else:
        reply = Refusal(RefusalCode.unknown_ref, f"{run_or_item} has no live run, or there is no such item")
    return answered(reply, f"{run} will be stopped; its work is kept", as_json=as_json)


def _live_run(state_dir: Path, item: str) -> str:
    """The live run of an item; empty when it has none, or there is no such item."""
    reader = Reader(state_dir / place.JOURNAL)
    try:
        found = reader.item(item)
    finally:
        reader.close()
    return found.run if found is not None else ""


@click.command()
@click.argument("item")
@click.option("--now", is_flag=True, help="Give it to a new run at once, whatever others come before.")
@click.option("--force", is_flag=True, help="With --now: although a limit refuses it, by your name.")
@as_json
@click.pass_obj
def retry(app: App, item: str, now: bool, force: bool, as_json: bool) -> int:
    """Offer an item again that was given up, stopped or held.

    Exit status: 0 it is offered, or with --now given to a run; 1 it is not.
    """
    if force and not now:
        raise click.UsageError("--force is for --now: what is only offered waits its turn")
    state_dir = fleet_at(app)
    reply = ask(state_dir, cmd.RetryItem(ItemId(item)))
    if now and not isinstance(reply, Refusal):
        seen = look(state_dir)
        refusal = objection(state_dir, seen, ItemId(item))
        grant = replace(_grant(app, item, name_of(asker()) if force else ""), overruled=refusal is not None)
        if not force and has_scorers(state_dir):
            grant = replace(grant, weighed=seen.state.seq)
        reply = refusal if refusal is not None and not force else ask(state_dir, grant)
        given = f"{item} is given to {_live_run(state_dir, item)}" if not isinstance(reply, Refusal) else ""
        return answered(reply, given, as_json=as_json)
    unchanged = "" if isinstance(reply, Refusal) or reply.events else _why_unchanged(state_dir, item)
    return answered(reply, f"{item} is offered again", as_json=as_json, unchanged=unchanged)


def _grant(app: App, item: str, force: str) -> cmd.GrantRun:
    """The command that gives an item to a run on the target as it is now."""
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    at = checked_out_at(parts.repository, parts.policy.target)
    return cmd.GrantRun(
        ItemId(item),
        target_tip(parts.repository, parts.policy.target) or Commit(""),
        parts.repository.repo_id,
        clean=at is None or not is_dirty(at),
        force=force,
    )


def _why_unchanged(state_dir: Path, item: str) -> str:
    """Say that there was nothing to take back, and what the item waits for."""
    seen = look(state_dir)
    refusal = admit(seen.state, seen.state.items[ItemId(item)], seen.now_ms, seen.policy)
    waits = refusal.reason if refusal is not None else "it is offered already"
    return f"nothing was changed, {item} was neither given up, stopped nor held: {waits}"
