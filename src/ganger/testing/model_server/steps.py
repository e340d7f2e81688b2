"""What a scripted model does, one step for each request of an agent that offers tools.

A script is TOML or JSON: a list `step`, or a list `case`, each with a text `when` and steps of its own:

    [[step]]
    do = "sh"
    command = "make test"
    expect = "2 failed"          # must stand in the newest messages of the request; otherwise it is told as unmet
    delay_ms = 200
    usage = { tokens_in = 1200, tokens_out = 80 }

    [[case]]                     # of several cases, a request gets the first whose text is in its conversation
    when = "# Fix the parser"
    [[case.step]]
    do = "say"
    text = "Done."

`say` ends the turn, `error`, `limit` and `hang` are answers of their own; all others become a call of a tool. When no
step is left, the answer is a text that says so, and it is counted.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

OVER = "The script is over."


class Spent(Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer is said to have cost."""

    tokens_in: int = 100
    tokens_out: int = 10


class Step(Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True):
    """Base of all steps."""

    text: str = ""
    """Said before the tool is called."""
    expect: str = ""
    delay_ms: int = 0
    usage: Spent = Spent()


class Sh(Step, frozen=True, kw_only=True, tag="sh"):
    """Run a shell command in the workspace."""

    command: str


class Write(Step, frozen=True, kw_only=True, tag="write"):
    """Write a whole file."""

    path: str
    content: str


class Read(Step, frozen=True, kw_only=True, tag="read"):
    """Read a file; some agents refuse to edit what they have not read."""

    path: str


class Edit(Step, frozen=True, kw_only=True, tag="edit"):
    """Replace one text of a file by another; Codex replaces whole lines only."""

    path: str
    old: str
    new: str


class Call(Step, frozen=True, kw_only=True, tag="call"):
    """Call a tool by its own name, or by the last part of it: `done` finds `mcp__ganger__done`."""

    tool: str
    arguments: dict[str, Any] = {}


class Say(Step, frozen=True, kw_only=True, tag="say"):
    """Say `text` and end the turn."""


class Error(Step, frozen=True, kw_only=True, tag="error"):
    """Refuse with a status of HTTP, for so many requests in a row."""

    status: int = 500
    times: int = 1


class Limit(Step, frozen=True, kw_only=True, tag="limit"):
    """Refuse because a quota is used up, saying when it is not any more."""

    reset_s: int = 3_600
    times: int = 1


class Hang(Step, frozen=True, kw_only=True, tag="hang"):
    """Begin to answer and stop in the middle, until the agent goes away."""


AnyStep: TypeAlias = Sh | Write | Read | Edit | Call | Say | Error | Limit | Hang


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """The steps for one conversation."""

    step: tuple[AnyStep, ...] = ()
    when: str = ""
    """A text of its conversation; empty: any."""


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What a session answers."""

    step: tuple[AnyStep, ...] = ()
    case: tuple[Case, ...] = ()
    side: str = "Scripted."
    """The answer to requests without tools: titles, summaries, routers."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, the steps without one last."""
        return (*self.case, Case(self.step)) if self.step or not self.case else self.case


def decode(data: bytes) -> Script:
    """Read a script in JSON; msgspec.MsgspecError says what is wrong with it."""
    return msgspec.json.decode(data, type=Script)


def load(path: Path) -> Script:
    """Read a script file, TOML or JSON; OSError, tomllib.TOMLDecodeError or msgspec.MsgspecError."""
    data = path.read_bytes()
    return decode(data) if data.lstrip().startswith(b"{") else msgspec.convert(tomllib.loads(data.decode()), Script)
