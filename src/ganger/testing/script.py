"""The scripts of `testing.scripted_agent`: what an agent can be told to do, and how that is read.

Each step is one of the classes below; its `do` is the class's name in snake case, its other keys the class's fields.
"""

from __future__ import annotations

import re
import signal
from typing import TypeAlias

import msgspec
from msgspec import Struct, field

from ganger.core.model import Outcome, Todo

_FENCE = re.compile(r"^```script[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_FOREVER_S = 86_400.0


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


class ScriptError(Exception):
    """The script, or one of its steps, makes no sense or cannot be done."""


class Step(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag=_snake):
    """Something the agent does."""


class Write(Step, frozen=True):
    """Write a file, with the directories above it."""

    path: str
    text: str


class Append(Step, frozen=True):
    """Add to the end of a file."""

    path: str
    text: str


class Replace(Step, frozen=True):
    """Replace the only occurrence of a text in a file."""

    path: str
    old: str
    new: str


class Delete(Step, frozen=True):
    """Delete a file."""

    path: str


class Run(Step, frozen=True):
    """Run a program and wait for it; `expect` is the exit status it must have, null for any."""

    argv: tuple[str, ...]
    expect: int | None = 0


class Commit(Step, frozen=True):
    """Commit everything in the workspace."""

    message: str


class EmptyCommit(Step, frozen=True):
    """Make a commit without a change: a lie that a subject line cannot show."""

    message: str


class Say(Step, frozen=True):
    """Print a line."""

    text: str


class Done(Step, frozen=True):
    """Report that the item is done."""

    summary: str = ""
    outcome: Outcome = Outcome.completed
    evidence: tuple[str, ...] = ()


class Fail(Step, frozen=True):
    """Report that the worker gives up."""

    reason: str


class Ask(Step, frozen=True):
    """Ask a person; the turn ends, whatever steps follow."""

    question: str
    options: tuple[str, ...] = ()
    recommend: str = ""


class Note(Step, frozen=True):
    """Tell something that nobody acts on."""

    text: str


class Todos(Step, frozen=True):
    """Replace the board."""

    items: tuple[Todo, ...]


class Sleep(Step, frozen=True):
    """Do nothing for some seconds."""

    seconds: float


class Hang(Step, frozen=True):
    """Say nothing any more; without CPU time, unless `busy`."""

    busy: bool = False


class Churn(Step, frozen=True):
    """Write a file anew, again and again, each time with something else, and commit nothing."""

    path: str
    times: int = 1
    every_s: float = 0.0


class Use(Step, frozen=True):
    """Tell by an event that tokens were used; `usd` is null when the product does not say."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = None
    whole_turn: bool = False


class Limited(Step, frozen=True):
    """Tell by an event that the provider refuses, until so many seconds from now; null when it does not say.

    `overload`: it is busy, rather than a quota used up.
    """

    reset_in_s: float | None = None
    reason: str = "rate limit"
    overload: bool = False


class Call(Step, frozen=True):
    """Tell by events that a tool is called with the same arguments so many times."""

    name: str
    arguments: dict[str, str] = {}
    times: int = 1
    every_s: float = 0.0


class Spin(Step, frozen=True):
    """Use CPU time for some seconds, and change nothing."""

    seconds: float


class Crash(Step, frozen=True):
    """Die of a signal."""

    signal: int = int(signal.SIGKILL)


class Exit(Step, frozen=True):
    """End at once with a status, whatever steps follow."""

    code: int = 0


class Fork(Step, frozen=True):
    """Leave processes behind that outlive the agent, each an orphan in a session of its own."""

    count: int = 1
    seconds: float = _FOREVER_S
    ignore_sigterm: bool = False


class IgnoreSigterm(Step, frozen=True):
    """Do not end when asked to."""


class Flood(Step, frozen=True):
    """Print that many bytes."""

    bytes: int


class Attempt(Step, frozen=True):
    """Take these steps only in the attempt of this number (from 1, the one that `$GANGER_RUN` ends with)."""

    number: int
    steps: tuple[AnyStep, ...]


class Turn(Step, frozen=True):
    """Take these steps only in the turn of this number (from 1, `$GANGER_TURN`)."""

    number: int
    steps: tuple[AnyStep, ...]


class Once(Step, frozen=True):
    """Take these steps only the first time in this workspace; `name` tells one such group from another."""

    name: str
    steps: tuple[AnyStep, ...]


AnyStep: TypeAlias = (
    Write
    | Append
    | Replace
    | Delete
    | Run
    | Commit
    | EmptyCommit
    | Say
    | Done
    | Fail
    | Ask
    | Note
    | Todos
    | Sleep
    | Hang
    | Churn
    | Use
    | Limited
    | Call
    | Spin
    | Crash
    | Exit
    | Fork
    | IgnoreSigterm
    | Flood
    | Attempt
    | Turn
    | Once
)


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent does, in order."""

    step: tuple[AnyStep, ...] = field(default=())


def parse(text: str) -> Script:
    """Read a script, TOML or JSON; ScriptError says which step is wrong, and how."""
    try:
        if text.lstrip().startswith("{"):
            return msgspec.json.decode(text.encode(), type=Script)
        return msgspec.toml.decode(text, type=Script)
    except msgspec.ValidationError as error:
        raise ScriptError(f"the script does not fit: {_placed(str(error))}") from error
    except msgspec.DecodeError as error:
        raise ScriptError(f"the script cannot be read: {error}") from error


def _placed(message: str) -> str:
    """Say "step 2, text: what" for msgspec's "what - at `$.step[1].text`"."""
    what, _, where = message.partition(" - at ")
    found = re.fullmatch(r"`\$\.step\[(\d+)\]\.?(.*)`", where)
    if found is None:
        return message
    return f"step {int(found[1]) + 1}{f', {found[2]}' if found[2] else ''}: {what}"


def fenced_script(brief: str) -> str:
    """Cut the script out of a brief: what stands between a line "```script" and a line "```"."""
    found = _FENCE.search(brief)
    if found is None:
        raise ScriptError("the brief holds no script: it begins with a line ```script and ends with a line ```")
    return found[1]
