"""What a worker says, as commands: the same words as the tools of the worker protocol (CONTRACTS §6).

The run and its token come from the environment that ganger gave the worker. Each command is a report or a question;
none of them makes anything accepted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from ganger.cli.output import NO, YES, say, tell, tell_error
from ganger.core import commands as cmd
from ganger.core.ids import RunId, Token, is_run_id
from ganger.core.model import Outcome, Refusal, Todo
from ganger.errors import UsageError
from ganger.service.door import submit
from ganger.service.fleet import Reply

TODO_BYTES_MAX = 64_000


class _Me:
    """Who is speaking: the run of this environment."""

    def __init__(self) -> None:
        run, token, state = (os.environ.get(name, "") for name in ("GANGER_RUN", "GANGER_TOKEN", "GANGER_STATE"))
        if not is_run_id(run) or not token.isdecimal() or not state:
            raise UsageError(
                "this is for workers that ganger started: GANGER_RUN, GANGER_TOKEN and GANGER_STATE are not set",
                "a person uses ganger inbox, ganger answer, ganger stop",
            )
        self.run, self.token, self.state_dir = RunId(run), Token(int(token)), Path(state)

    def submit(self, command: cmd.Command) -> Reply:
        return submit(self.state_dir, command, f"worker:{self.run}")


def _clean(text: str) -> str:
    """Words from the command line as text: bytes that are not UTF-8 become visible."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _answered(reply: Reply, accepted: str) -> int:
    if isinstance(reply, Refusal):
        tell_error(f"refused ({reply.code}): {reply.reason}", reply.way)
        return NO
    say(accepted)
    return YES


@click.command("my-work")
def my_work() -> int:
    """Print the brief of this run again: what to do, its limits, what was wrong before, the answers."""
    me = _Me()
    turns = sorted((me.state_dir / "runs" / me.run).glob("turn-*/brief.*.md"), key=lambda path: path.stat().st_mtime)
    if not turns:
        tell_error(f"{me.run} has no brief yet")
        return NO
    say(turns[-1].read_text(encoding="utf-8"))
    return YES


@click.command()
@click.option("--summary", default="", help="What you did, in a few sentences.")
@click.option(
    "--outcome",
    type=click.Choice([outcome.value for outcome in Outcome]),
    default="completed",
    help="What there is: a change, something to read, a proposal, or nothing to do.",
)
@click.option("--evidence", multiple=True, help="Where it can be seen; repeatable.")
@click.option("--recommended", multiple=True, help="What should be done next; repeatable.")
@click.option(
    "--scope-confidence",
    type=click.Choice(["clear", "unclear"]),
    default="clear",
    help="Whether it was clear what was wanted.",
)
def done(
    summary: str, outcome: str, evidence: tuple[str, ...], recommended: tuple[str, ...], scope_confidence: str
) -> int:
    """Say that the item is done. Commit first: your commits are checked, not your words."""
    me = _Me()
    reply = me.submit(
        cmd.ReportDone(
            run=me.run,
            token=me.token,
            outcome=Outcome(outcome),
            summary=_clean(summary),
            evidence=tuple(map(_clean, evidence)),
            recommended=tuple(map(_clean, recommended)),
            scope_confidence=scope_confidence,
        )
    )
    return _answered(reply, "reported: end your turn now, ganger checks your commits")


@click.command()
@click.argument("question")
@click.option("--option", "options", multiple=True, help="A possible answer; at most four.")
@click.option("--recommend", default="", help="The option you would choose.")
@click.option("--risk", default="", help="What can go wrong.")
def ask(question: str, options: tuple[str, ...], recommend: str, risk: str) -> int:
    """Ask a person, and end the turn: the answer comes with the next one."""
    me = _Me()
    choices = tuple(map(_clean, options))
    command = cmd.AskQuestion(me.run, me.token, _clean(question), choices, _clean(recommend), _clean(risk))
    return _answered(me.submit(command), "asked: end your turn now, the answer comes with the next one")


@click.command()
@click.argument("reason")
def fail(reason: str) -> int:
    """Give up on the item and say why. What you did is kept."""
    me = _Me()
    return _answered(me.submit(cmd.ReportFail(me.run, me.token, _clean(reason))), "reported: end your turn now")


@click.command()
@click.argument("text")
def note(text: str) -> int:
    """Say something to be shown to a person. Nobody acts on it."""
    me = _Me()
    return _answered(me.submit(cmd.AddNote(me.run, me.token, _clean(text))), "noted")


@click.command()
@click.argument("board", required=False)
def todos(board: str | None) -> int:
    """Replace the progress board with BOARD, or with what stdin holds.

    BOARD is JSON: [{"text": "…", "state": "pending|in_progress|completed"}, …], at most 12 lines are kept.
    """
    me = _Me()
    text = board if board is not None else sys.stdin.read(TODO_BYTES_MAX)
    try:
        lines = msgspec.json.decode(_clean(text), type=tuple[Todo, ...])
    except msgspec.MsgspecError as error:
        raise UsageError(f"the board is not what it should be: {error}", "ganger todos --help") from error
    if len(lines) > cmd.TODOS_MAX:
        tell(f"only the first {cmd.TODOS_MAX} of {len(lines)} are kept")
    return _answered(me.submit(cmd.SetTodos(me.run, me.token, lines)), "the board is replaced")
