"""What a worker says, as commands: the same words as the tools of the worker protocol (CONTRACTS §6).

Who speaks, and where to, comes from the environment that ganger gave the worker. Each command is a report or a
question; none of them makes anything accepted. Where nobody listens, what was said is kept and taken in later.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click
import msgspec

from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, say, say_json, tell, tell_error
from ganger.cli.reply import said
from ganger.core import commands as cmd
from ganger.core.ids import RunId, Token, is_run_id
from ganger.core.model import Outcome
from ganger.errors import UsageError
from ganger.service.worker_talk import (
    Done,
    HeardMail,
    Kept,
    Mail,
    MayWrite,
    Refused,
    Say,
    Unheard,
    fetch_mail,
    new_key,
    speak,
)
from ganger.worker_api.tool_relay import relay
from ganger.worker_api.tools import Me, TodoLine

TODO_BYTES_MAX = 64_000
KEPT = "no supervisor is running: this is kept, and taken in when one is back"


class _Me:
    """Who is speaking: the run of this environment."""

    def __init__(self) -> None:
        names = ("GANGER_RUN", "GANGER_TOKEN", "GANGER_DOOR", "GANGER_SECRET")
        run, token, door, self.secret = (os.environ.get(name, "") for name in names)
        if not is_run_id(run) or not token.isdecimal() or not door:
            raise UsageError(
                f"this is for workers that ganger started: {', '.join(names[:-1])} and {names[-1]} are not set",
                "a person uses ganger inbox, ganger answer, ganger stop",
            )
        self.run, self.token, self.door = RunId(run), Token(int(token)), Path(door)

    def say(self, command: cmd.WorkerCommand) -> Done | Refused | Kept:
        """Ask for something; an error when it can neither be heard nor kept."""
        return self._speak(Say(command, self.secret, new_key()))

    def may_write(self, path: str) -> Done | Refused | Kept:
        """Ask whether the run may write a file."""
        return self._speak(MayWrite(path, self.token, self.secret, new_key()))

    def has_heard(self, mail: Mail) -> None:
        """Say that the worker was shown what was said to it; that it was not said is no loss."""
        if mail.messages:
            with contextlib.suppress(OSError):
                speak(self.door, HeardMail(mail.messages, self.token, self.secret, new_key()))

    def _speak(self, message: Say | MayWrite) -> Done | Refused | Kept:
        try:
            answer = speak(self.door, message)
        except OSError as error:
            raise UsageError(f"{self.door} cannot be used: {error.strerror or error}", "end the turn") from error
        if isinstance(answer, Unheard):
            raise UsageError(answer.message, "ganger my-work says what is wanted")
        return answer


def _said(answer: Done | Refused | Kept, done: str, *, as_json: bool, unchanged: str = "") -> int:
    """Print what came of a command; returns the exit status."""
    if isinstance(answer, Kept):
        tell(KEPT)
        return said(None, 0, True, done, as_json=as_json)
    if isinstance(answer, Refused):
        return said(answer.refusal, 0, False, done, as_json=as_json)
    return said(None, answer.seq, answer.changed, done, as_json=as_json, unchanged=unchanged)


def _clean(text: str) -> str:
    """Words from the command line as text: bytes that are not UTF-8 become visible."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


@click.command("my-work")
@as_json
def my_work(as_json: bool) -> int:
    """Print the brief of this run again: what to do, its limits, what was wrong before, the answers.

    What was said to the run since then, and waits for its worker, follows it, once.

    Exit status: 0 there it is; 1 there is none yet.
    """
    me = _Me()
    turns = sorted(me.door.parent.glob("turn-*/brief.*.md"), key=lambda path: path.stat().st_mtime)
    if not turns:
        tell_error(f"{me.run} has no brief yet")
        return NO
    brief = turns[-1].read_text(encoding="utf-8")
    mail = fetch_mail(me.door, me.token, me.secret)
    if as_json:
        say_json("ganger.my-work", {"run": me.run, "brief": brief, "said": mail.text})
    else:
        say(brief)
        if mail.text:
            say(mail.text)
    sys.stdout.flush()
    me.has_heard(mail)
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
@as_json
def done(
    summary: str,
    outcome: str,
    evidence: tuple[str, ...],
    recommended: tuple[str, ...],
    scope_confidence: str,
    as_json: bool,
) -> int:
    """Say that the item is done. Commit first: your commits are checked, not your words.

    Exit status: 0 it is taken; 1 refused, as when the run has ended or has spoken already.
    """
    me = _Me()
    answer = me.say(
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
    return _said(answer, "reported: end your turn now, ganger checks your commits", as_json=as_json)


@click.command()
@click.argument("question")
@click.option("--option", "options", multiple=True, help="A possible answer; at most four.")
@click.option("--recommend", default="", help="The option you would choose.")
@click.option("--risk", default="", help="What can go wrong.")
@click.option(
    "--audience",
    type=click.Choice(["person", "consult"]),
    default="person",
    help="consult: an agent is asked first, if the fleet has one for that. What needs leave needs a person.",
)
@as_json
def ask(question: str, options: tuple[str, ...], recommend: str, risk: str, audience: str, as_json: bool) -> int:
    """Ask a person, and end the turn: the answer comes with the next one.

    Exit status: 0 it is taken; 1 refused, as when the run has ended or has spoken already.
    """
    me = _Me()
    choices = tuple(map(_clean, options))
    said = (_clean(question), choices, _clean(recommend), _clean(risk), audience)
    command = cmd.AskQuestion(me.run, me.token, *said)
    return _said(me.say(command), "asked: end your turn now, the answer comes with the next one", as_json=as_json)


@click.command()
@click.argument("reason")
@as_json
def fail(reason: str, as_json: bool) -> int:
    """Give up on the item and say why. What you did is kept.

    Exit status: 0 it is taken; 1 refused, as when the run has ended or has spoken already.
    """
    me = _Me()
    answer = me.say(cmd.ReportFail(me.run, me.token, _clean(reason)))
    return _said(answer, "reported: end your turn now", as_json=as_json)


@click.command()
@click.argument("text")
@click.option("--fact", is_flag=True, help="Tell it to other workers, as your word that nobody has checked.")
@click.option("--about", multiple=True, help="Of a fact: a pattern of paths in your scope; repeatable.")
@as_json
def note(text: str, fact: bool, about: tuple[str, ...], as_json: bool) -> int:
    """Say something to be shown to a person. Nobody acts on it.

    With --fact it is told to those who work on these paths after you (all of your scope, or --about).

    Exit status: 0 it is taken; 1 refused, as when the run has ended or has spoken already.
    """
    me = _Me()
    command = cmd.AddNote(me.run, me.token, _clean(text), fact, tuple(map(_clean, about)))
    return _said(me.say(command), "noted", as_json=as_json)


@click.command()
@click.argument("board", required=False)
@as_json
def todos(board: str | None, as_json: bool) -> int:
    """Replace the progress board with BOARD, or with what stdin holds.

    BOARD is JSON: [{"text": "…", "state": "pending|in_progress|completed"}, …], at most 12 lines are kept. One
    without a state is pending.

    Exit status: 0 it is taken; 1 refused, as when the run has ended or has spoken already.
    """
    me = _Me()
    text = board if board is not None else sys.stdin.read(TODO_BYTES_MAX)
    try:
        lines = tuple(line.todo for line in msgspec.json.decode(_clean(text), type=tuple[TodoLine, ...]))
    except msgspec.MsgspecError as error:
        raise UsageError(f"the board is not what it should be: {error}", "ganger todos --help") from error
    if len(lines) > cmd.TODOS_MAX:
        tell(f"only the first {cmd.TODOS_MAX} of {len(lines)} are kept")
    return _said(me.say(cmd.SetTodos(me.run, me.token, lines)), "the board is replaced", as_json=as_json)


@click.command("follow-up")
@click.option("--title", required=True, help="What is to be done, on one line.")
@click.option("--brief", required=True, help="What whoever does it must know.")
@click.option("--scope", multiple=True, required=True, help="A path pattern it would change; repeatable.")
@as_json
def follow_up(title: str, brief: str, scope: tuple[str, ...], as_json: bool) -> int:
    """File work that you came upon as an item of its own; yours stays as it is.

    A planner's items are offered to workers at once, those of any other worker wait for a person.

    Exit status: 0 it is taken; 1 refused, as when the run has ended or has spoken already.
    """
    me = _Me()
    command = cmd.FileFollowUp(me.run, me.token, _clean(title), _clean(brief), tuple(map(_clean, scope)))
    answer = me.say(command)
    filed = f"filed as {', '.join(answer.added)}" if isinstance(answer, Done) else "filed"
    return _said(answer, filed, as_json=as_json, unchanged="filed already")


@click.command()
@click.argument("kind")
@click.option("--title", default="", help="What it is to do, on one line; else the brief's first.")
@click.option("--brief", required=True, help="All it is to know: it sees the repository, and nothing of your work.")
@click.option("--scope", multiple=True, help="A path pattern it may change, inside your scope; repeatable.")
@click.option("--agent", default="", help="Another agent of ganger.toml than yours.")
@click.option("--inherit", is_flag=True, help="It begins with a copy of your conversation, if your agent can.")
@click.option("--fresh", is_flag=True, help="It knows nothing of yours; this stands over --inherit, and its kind.")
@as_json
def spawn(
    kind: str, title: str, brief: str, scope: tuple[str, ...], agent: str, inherit: bool, fresh: bool, as_json: bool
) -> int:
    """Hand a part of your work to a child of KIND, where your kind may have such children.

    It works beside you, on what is left of your budget. What came of it is said to you when it has ended; `ganger wait`
    ends your turn until then.

    Exit status: 0 it is begun; 1 refused, with the reason.
    """
    me = _Me()
    title, brief = _clean(title) or cmd.title_of(_clean(brief)), _clean(brief)
    seeding = "fresh" if fresh else "inherit" if inherit else ""
    asked = (_clean(kind), title, brief, tuple(map(_clean, scope)), _clean(agent), seeding)
    command = cmd.SpawnChild(me.run, me.token, *asked)
    answer = me.say(command)
    begun = f"begun as {', '.join(answer.added)}" if isinstance(answer, Done) else "begun"
    return _said(answer, begun, as_json=as_json, unchanged="a child of yours does that already")


@click.command()
@as_json
def wait(as_json: bool) -> int:
    """End the turn until all your children have ended; what came of them is in your next brief.

    Exit status: 0 it is taken; 1 refused, as when there is nothing to wait for.
    """
    me = _Me()
    text = "parked: end your turn now, the next one begins when your children have ended"
    return _said(me.say(cmd.ParkRun(me.run, me.token)), text, as_json=as_json, unchanged="parked already")


@click.command()
def mcp() -> int:
    """Speak MCP on standard input and output: these commands as tools, for an agent that is not given them anyway.

    Exit status: 0 the input has ended; 1 there is no MCP here (`pip install 'ganger[agents]'`).
    """
    me = _Me()
    if (me.door / "tools").exists():
        return relay(str(me.door))
    try:
        from ganger.worker_api.tool_server import serve_own
    except ImportError:
        tell_error("there is no MCP here", "use the commands: ganger done, ganger ask, ganger fail")
        return NO
    turn = os.environ.get("GANGER_TURN", "")
    return serve_own(Me(me.run, me.token, int(turn) if turn.isdecimal() else 0, me.secret), me.door)


@click.command("may-write")
@click.argument("path")
@as_json
def may_write(path: str, as_json: bool) -> int:
    """Ask whether this run may write PATH, relative to the repository's top; writes nothing and promises nothing.

    Exit status: 0 it may; 1 it may not, with the reason.
    """
    answer = _Me().may_write(_clean(path))
    if isinstance(answer, Kept):
        tell_error("nobody can say: no supervisor is running", "your scope is in your brief: ganger my-work")
        return NO
    return _said(answer, "", as_json=as_json, unchanged=f"{_clean(path)} may be written")
