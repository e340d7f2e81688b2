"""What a person does: look into the inbox, answer, stop, retry."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganger.cli.main import App
from ganger.cli.output import NO, YES, clock, plain, say, say_json, tell, tell_error
from ganger.core import commands as cmd
from ganger.core.ids import ItemId, QuestionId, RunId, is_question_id, is_run_id
from ganger.core.model import EndKind, Refusal, RefusalCode
from ganger.errors import StateDirError, UsageError
from ganger.journal.queries import QuestionRow, Reader
from ganger.service import place
from ganger.service.door import submit
from ganger.service.fleet import Reply
from ganger.service.wiring import person


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def inbox(app: App, as_json: bool) -> int:
    """List what waits for you, landings first, then questions of workers, oldest first.

    Exit status: 0 something waits for you; 1 nothing does.
    """
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        questions = sorted(reader.questions(), key=lambda row: (row.kind == "worker", row.asked_ms))
    finally:
        reader.close()
    if as_json:
        say_json("ganger.inbox", {"questions": [plain(question) for question in questions]})
    elif questions:
        _print_questions(questions)
    else:
        tell("nothing waits for you")
    return YES if questions else NO


def _print_questions(questions: list[QuestionRow]) -> None:
    for row in questions:
        about = row.run or row.subject[:12]
        say(f"{row.id}  {row.text}")
        say(f"    about {about}, asked {clock(row.asked_ms)}" + (f"; risk: {row.risk}" if row.risk else ""))
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
@click.pass_obj
def answer(app: App, question: str, choice: str) -> int:
    """Answer QUESTION (q7) with CHOICE: one of its options, or any text where a worker asked."""
    if not is_question_id(question):
        raise UsageError(f"{question!r} is not a question: they are called q1, q2, …", "ganger inbox lists them")
    state_dir = _fleet_dir(app)
    command = cmd.AnswerQuestion(
        QuestionId(question), choice.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), person()
    )
    return _answered(submit(state_dir, command, person()), f"{question} answered: {choice}")


@click.command()
@click.argument("run_or_item")
@click.option("--reason", default="stopped by hand", help="Why; it is shown wherever the run is.")
@click.pass_obj
def stop(app: App, run_or_item: str, reason: str) -> int:
    """Stop a run (login.2), or the live run of an item; its work is kept, and the item waits for `ganger retry`."""
    state_dir = _fleet_dir(app)
    run = run_or_item
    if not is_run_id(run):
        reader = Reader(state_dir / place.JOURNAL)
        try:
            item = reader.item(run_or_item)
        finally:
            reader.close()
        if item is None or not item.run:
            tell_error(f"{run_or_item} has no live run" if item else f"there is no item or run {run_or_item}")
            return NO
        run = item.run
    reply = submit(state_dir, cmd.StopRun(RunId(run), EndKind.stopped, reason), person())
    return _answered(reply, f"{run} will be stopped; its work is kept")


@click.command()
@click.argument("item")
@click.pass_obj
def retry(app: App, item: str) -> int:
    """Offer an item again that was given up, stopped or held."""
    return _answered(submit(_fleet_dir(app), cmd.RetryItem(ItemId(item)), person()), f"{item} is offered again")


def _fleet_dir(app: App) -> Path:
    state_dir = app.state_dir()
    Reader(state_dir / place.JOURNAL).close()
    return state_dir


def _answered(reply: Reply, done: str) -> int:
    if isinstance(reply, Refusal):
        tell_error(f"refused ({reply.code}): {reply.reason}", reply.way)
        return 2 if reply.code is RefusalCode.invalid else NO
    say(done if reply.events else f"{done} (it was so already)")
    return YES
