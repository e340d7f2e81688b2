"""What a worker can say, as tools (CONTRACTS §6): their schemas, and the message each call becomes.

The commands of the same names (`cli/worker.py`) become the same messages. No tool can change policy, budget, protected
paths or another run, or have anything accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from ganger.core import commands as cmd
from ganger.core.ids import RunId, Token
from ganger.core.model import Outcome, Todo
from ganger.service.worker_talk import Answer, Done, Kept, MayWrite, Message, Refused, Say, Unheard, new_key

Text = Annotated[str, Meta(max_length=cmd.SUMMARY_CHARS_MAX)]
Line = Annotated[str, Meta(max_length=cmd.NOTE_CHARS_MAX)]
ENDED = "End your turn now."


class Me(Struct, frozen=True):
    """Who is speaking."""

    run: RunId
    token: Token
    turn: int
    secret: str


class Call(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all tools' arguments."""

    once: ClassVar[bool] = False
    """Whether the same said again in one turn is the same report, and gets the same answer."""
    said: ClassVar[str] = ""
    """What the worker is told when it is taken."""

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        raise NotImplementedError


class MyWork(Call, frozen=True):
    """Your brief again: what to do, your limits, what was wrong before, the answers to your questions."""


class MayWriteFile(Call, frozen=True):
    """Whether you may write a file, with the reason if not. It promises nothing; your scope is what counts."""

    path: Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the repository's top.")]


class Board(Call, frozen=True):
    """Replace your progress board, which a person can see."""

    said: ClassVar[str] = "The board is replaced."
    todos: Annotated[tuple[TodoLine, ...], Meta(max_length=100, description=f"The first {cmd.TODOS_MAX} are kept.")]

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        return cmd.SetTodos(me.run, me.token, tuple(line.todo for line in self.todos))


class TodoLine(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the board."""

    text: Line
    state: Annotated[str, Meta(max_length=40, description="pending, in_progress or completed.")] = "pending"

    @property
    def todo(self) -> Todo:
        """The line as it is put on the board."""
        return Todo(self.text, self.state)


class Ask(Call, frozen=True):
    """Ask a person. Your turn ends with it; the answer comes with the next one."""

    once: ClassVar[bool] = True
    said: ClassVar[str] = f"Asked. {ENDED} The answer comes with the next one."
    question: Line
    options: Annotated[tuple[Line, ...], Meta(max_length=4, description="Possible answers.")] = ()
    recommend: Annotated[Line, Meta(description="The option you would choose.")] = ""
    risk: Annotated[Line, Meta(description="What can go wrong.")] = ""
    audience: Annotated[
        Literal["person", "consult"],
        Meta(description="consult: an agent first, if there is one for that. What needs leave needs a person."),
    ] = "person"

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        said = (self.question, self.options, self.recommend, self.risk, self.audience)
        return cmd.AskQuestion(me.run, me.token, *said)


class ReportedDone(Call, frozen=True):
    """Say that the item is done. Commit first: your commits are checked, not your words."""

    once: ClassVar[bool] = True
    said: ClassVar[str] = f"Reported. {ENDED} Your commits are checked now."
    summary: Text = ""
    outcome: Annotated[Outcome, Meta(description="A change, something to read, a proposal, or nothing to do.")] = (
        Outcome.completed
    )
    evidence: Annotated[tuple[Line, ...], Meta(max_length=50, description="Where it can be seen.")] = ()
    recommended: Annotated[tuple[Line, ...], Meta(max_length=50, description="What should be done next.")] = ()
    scope_confidence: Literal["clear", "unclear"] = "clear"

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        return cmd.ReportDone(
            run=me.run,
            token=me.token,
            outcome=self.outcome,
            summary=self.summary,
            evidence=self.evidence,
            recommended=self.recommended,
            scope_confidence=self.scope_confidence,
        )


class GaveUp(Call, frozen=True):
    """Give up on the item and say why. What you did is kept."""

    once: ClassVar[bool] = True
    said: ClassVar[str] = f"Reported. {ENDED}"
    reason: Text

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        return cmd.ReportFail(me.run, me.token, self.reason)


class Noted(Call, frozen=True):
    """Say something to be shown to a person, or as a fact to those who work on these paths. Nobody acts on it."""

    said: ClassVar[str] = "Noted."
    text: Line
    fact: Annotated[bool, Meta(description="Tell it to other workers, as your word that nobody has checked.")] = False
    about: Annotated[
        tuple[Line, ...], Meta(max_length=20, description="Of a fact: patterns of paths in your scope.")
    ] = ()

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        return cmd.AddNote(me.run, me.token, self.text, self.fact, self.about)


class FollowUp(Call, frozen=True):
    """File work that you came upon as an item of its own; yours stays as it is."""

    once: ClassVar[bool] = True
    said: ClassVar[str] = "Filed."
    title: Line
    brief: Text
    scope: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=100, description="Patterns of what it changes.")]

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        return cmd.FileFollowUp(me.run, me.token, self.title, self.brief, self.scope)


class Spawn(Call, frozen=True):
    """Hand a part of your work to a child, which works beside you on your budget; you are told what came of it."""

    once: ClassVar[bool] = True
    said: ClassVar[str] = "A child of yours does that already."
    kind: Line
    brief: Annotated[Text, Meta(description="All it is to know: it sees the repository, and nothing of your work.")]
    scope: Annotated[
        tuple[Line, ...], Meta(max_length=100, description="What it may change, inside your scope; or is about.")
    ] = ()
    title: Annotated[Line, Meta(description="What it is to do, on one line.")] = ""
    agent: Annotated[Line, Meta(description="Another agent than yours.")] = ""
    seeding: Annotated[
        Literal["", "fresh", "inherit"], Meta(description="inherit: it begins with a copy of your conversation.")
    ] = ""

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        title = self.title or cmd.title_of(self.brief)
        return cmd.SpawnChild(me.run, me.token, self.kind, title, self.brief, self.scope, self.agent, self.seeding)


class Wait(Call, frozen=True):
    """End your turn until all your children have ended; what came of them is in your next brief."""

    once: ClassVar[bool] = True
    said: ClassVar[str] = f"Parked. {ENDED} The next one begins when your children have ended."

    def command(self, me: Me) -> cmd.WorkerCommand:
        """What is asked of the fleet."""
        return cmd.ParkRun(me.run, me.token)


TOOLS: Mapping[str, type[Call]] = {
    "my_work": MyWork,
    "may_write": MayWriteFile,
    "todos": Board,
    "ask": Ask,
    "done": ReportedDone,
    "fail": GaveUp,
    "note": Noted,
    "follow_up": FollowUp,
    "spawn": Spawn,
    "wait": Wait,
}
WITH_GRANT = frozenset({"spawn", "wait"})
"""Offered only to those whose kind may have children."""
GRANT = "children"
"""In the folder of a door: the kinds of children that the run may have, one a line."""


def offered(kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The schemas of the tools of a worker that may have children of these kinds."""
    found = {name: schema(tool) for name, tool in TOOLS.items() if kinds or name not in WITH_GRANT}
    if kinds:
        found["spawn"]["properties"]["kind"] = {"enum": list(kinds)}
    return found


def schema(tool: type[Call]) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, without references."""
    (top,), parts = msgspec.json.schema_components((tool,), ref_template="{name}")
    found: dict[str, Any] = _inlined(parts[top["$ref"]], parts)
    return found


def _inlined(node: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(value, parts) for value in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(parts[node["$ref"]], parts)
    # The names of our own types say nothing to a model; a property may be called so too.
    return {
        name: _inlined(value, parts) for name, value in node.items() if name != "title" or not isinstance(value, str)
    }


def read(name: str, arguments: Mapping[str, Any]) -> Call:
    """A call of a tool; ValueError says what is wrong with it."""
    tool = TOOLS.get(name)
    if tool is None:
        raise ValueError(f"there is no tool {name!r}")
    try:
        return msgspec.convert(arguments, tool)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def message(call: Call, me: Me) -> Message:
    """What is said to the fleet; what ends a turn has the same key however often it is said."""
    if isinstance(call, MayWriteFile):
        return MayWrite(call.path, me.token, me.secret, new_key())
    said = msgspec.json.encode((me.run, me.token, me.turn, type(call).__name__, call))
    key = hashlib.sha256(said).hexdigest()[:32] if call.once else new_key()
    return Say(call.command(me), me.secret, key)


def told(call: Call, answer: Answer | Kept) -> tuple[str, bool]:
    """What the worker is told of an answer, and whether it was what it wanted."""
    match answer:
        case Refused(refusal):
            return f"Refused: {refusal.reason}" + (f". {refusal.way}" if refusal.way else ""), False
        case Unheard(text):
            return f"Not understood: {text}", False
        case Kept():
            return "No supervisor is running: this is kept, and taken in when one is back.", True
        case Done(added=added) if added:
            what = "Begun" if isinstance(call, Spawn) else "Filed"
            return f"{what} as {', '.join(added)}.", True
        case _:
            return call.said or "Yes.", True
