"""What a driver is: it says how to launch a turn of one agent product, and reads what comes back. It starts nothing."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Protocol, TypeAlias, cast, runtime_checkable

from msgspec import Meta, Struct

from ganger.core.ids import ItemId, RunId, Token
from ganger.errors import ConfigError

GROUP = "ganger.drivers"
"""The entry point group in which other packages offer drivers; each names a class without arguments."""
_BUILT_IN = {
    "acp": "ganger.drivers.acp:Acp",
    "claude": "ganger.drivers.claude_code:ClaudeCode",
    "codex": "ganger.drivers.codex:Codex",
    "command": "ganger.drivers.command:CommandDriver",
    "copilot": "ganger.drivers.copilot:Copilot",
    "gemini": "ganger.drivers.gemini:Gemini",
    "opencode": "ganger.drivers.opencode:OpenCode",
    "pi": "ganger.drivers.pi:Pi",
    "qwen": "ganger.drivers.qwen:Qwen",
}
"""Found without reading the metadata of every installed package."""
TOKENS_MAX, USD_MAX = 10**12, 10**6
"""More than one event can truthfully tell of; a figure beyond is no event."""


class Hooks(Struct, frozen=True):
    """What an agent is to call before and after what it does, as absolute paths; see `drivers.hooks.hook_command`."""

    client: str
    """The program that asks the gate."""
    slow: tuple[str, ...]
    """The program, with its first arguments, that is asked where there is no gate."""
    url: str = ""
    """Where the gate answers over HTTP; empty: programs are asked. For agents that can, and not for every event."""


class McpServer(Struct, frozen=True):
    """A server of tools that an agent is to be connected to: a program, or an address."""

    name: str
    command: tuple[str, ...] = ()
    """Started by the agent, speaks on its standard input and output. Empty: there is an address."""
    url: str = ""
    token_env: str = ""
    """Variable of the worker's environment that is sent as a bearer token to `url`."""


class Fork(Struct, frozen=True):
    """A conversation of another run, a copy of which a turn goes on with."""

    run: RunId
    session: str
    transcript: bytes
    """The agent's own file of it, as that run's agent left it: it may hold anything."""
    log: bytes = b""
    """That of `Conversation.log`, of the same moment."""


class Turn(Struct, frozen=True):
    """What a worker is to do now."""

    run: RunId
    item: ItemId
    turn: int
    """From 1; a rejected candidate goes back to its worker as the next turn of the same run."""
    token: Token
    brief: str
    workspace: Path
    """Where the worker is started; it may change everything below."""
    run_dir: Path
    """Ganger's own record of the run; the worker reads its brief there and writes nothing."""
    settings: Mapping[str, str]
    """The `[agents.NAME]` table."""
    state: Path = Path()
    """Of the agent, for all turns of the run: its home, its settings and its conversations."""
    session: str = ""
    """The conversation to go on with, as `Started` named it; empty: a new one."""
    fork: Fork | None = None
    """Only for a driver that can; `session` is empty then."""
    tier: str = "T0"
    """How strong the wall around the worker is; behind one, the agent need not ask before it does something."""
    hooks: Hooks | None = None
    mcp: tuple[McpServer, ...] = ()

    @property
    def brief_path(self) -> Path:
        """Where the supervisor writes `brief` before the launch."""
        return self.run_dir / f"brief.{self.turn}.md"


class Launch(Struct, frozen=True):
    """How to start a turn."""

    argv: tuple[str, ...]
    env: dict[str, str]
    """What the driver adds to the environment that every worker gets."""
    stdin: bytes
    files: Mapping[str, bytes] = {}
    """Settings of the agent: what is to lie in `Turn.state` before it starts, by relative paths."""
    keys: Mapping[str, str] = {}
    """Variables of the worker that hold secrets, with the variable of ganger's own environment that each is taken from.

    They stand in no argument and no record."""
    readable: tuple[Path, ...] = ()
    """Where the program and what belongs to it is installed: the wall is opened for reading there."""
    program: str = ""
    """What is asked for its version, where that is not the first argument."""
    members: Mapping[str, Mapping[str, object]] = {}
    """JSON files in `Turn.state` that the program keeps itself, each with what is to stand in it beside its own."""


class Product(Struct, frozen=True):
    """An agent program, as far as it can be known without starting it."""

    program: str
    """What it is called on PATH."""
    tested: tuple[str, ...]
    """Versions that the driver's tests have run."""
    version_args: tuple[str, ...] = ("--version",)


class ModelApi(Struct, frozen=True):
    """The interface of a model's provider that an agent speaks."""

    name: str
    """`anthropic`, `openai` or `gemini`."""
    path: str = ""
    """What the address in its settings (`base_url`) ends with."""


class Conversation(Struct, frozen=True):
    """Where an agent product keeps a conversation, below `Turn.state`, so that a copy can be taken."""

    file: str
    """A pattern: `*` is any part of a name, `{session}` the conversation's; of several that fit the longest counts.

    The lines of a `.jsonl` are added whole, so one without its end is still being written and belongs to no copy."""
    log: str = ""
    """For a database, that of what was written ahead (SQLite's `-wal`), which belongs to it. Empty: there is none."""
    named: bool = False
    """Whether it may be called as `agent.session_of` says before the agent has told."""


class Capabilities(Struct, frozen=True):
    """What an agent product can do, as far as ganger makes use of it."""

    resume: bool
    """A later turn continues the conversation of the one before; without it each turn gets the whole brief."""
    reports_by_exit: bool
    """Ending with status 0 and without a word says `done`; otherwise such a turn has said nothing."""
    fork: Conversation | None = None
    """What of another run a turn can go on with a copy of, see `Turn.fork`; None: it cannot."""


class TurnOutcome(StrEnum):
    """How an agent product says that its turn ended. It is a report, like everything a worker says."""

    completed = "completed"
    """It came to its own end."""
    failed = "failed"
    """It gave up: an error of the model, of the network, or of itself."""
    interrupted = "interrupted"
    """Somebody stopped it."""
    limited = "limited"
    """It reached a limit of turns, tokens or money."""


class Event(Struct, frozen=True, gc=False, tag_field="event"):
    """Base of all events: what the output of an agent product means, in the same words for every product."""


class Started(Event, frozen=True, tag="started"):
    """The agent runs; `session` is what a resume needs, empty where there is none."""

    session: str = ""
    model: str = ""


class Message(Event, frozen=True, tag="message"):
    """Text for a person to read, as the worker wrote it: it may hold anything."""

    text: str


class ToolCall(Event, frozen=True, tag="tool_call"):
    """The agent uses a tool; two calls of one name and digest ask for the same."""

    name: str
    digest: str
    """Of the arguments, see `digest_of`."""
    target: str = ""
    """What it is used on, for a person: a command or the names of files; empty where the arguments tell neither."""


class ToolResult(Event, frozen=True, tag="tool_result"):
    """A tool came back."""

    ok: bool
    guarded: bool = False
    """Whether the agent's hooks, where they work, were asked before that use."""


class Usage(Event, frozen=True, tag="usage"):
    """What was used: since the last such event, or in the whole turn so far."""

    tokens_in: Annotated[int, Meta(ge=0, le=TOKENS_MAX)] = 0
    tokens_out: Annotated[int, Meta(ge=0, le=TOKENS_MAX)] = 0
    usd: Annotated[float, Meta(ge=0, le=USD_MAX)] | None = None
    """None where the product does not say: unknown is not free."""
    whole_turn: bool = False
    """Whether these are the totals of the turn, and not only what came after the event before."""
    whole_conversation: bool = False
    """Whether they are the totals of the conversation, earlier turns that it was resumed from included."""
    usd_of_conversation: bool = False
    """Whether the money is that of the conversation, where the tokens are not."""


class WaitingForPermission(Event, frozen=True, tag="waiting_for_permission"):
    """The agent will not go on before somebody allows something."""

    tool: str = ""


class RateLimited(Event, frozen=True, tag="rate_limited"):
    """The provider refuses for now."""

    reset_at_ms: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    """When it will not any more, milliseconds since the epoch; 0 where it does not say."""
    reason: str = ""
    overload: bool = False
    """Too much for it at the moment, whoever asks: tried again soon. Otherwise a quota of ours is used up."""


class TurnEnded(Event, frozen=True, tag="turn_ended"):
    """The agent says that its turn is over; its process may live a little longer."""

    outcome: TurnOutcome


DriverEvent: TypeAlias = (
    Started | Message | ToolCall | ToolResult | Usage | WaitingForPermission | RateLimited | TurnEnded
)


def digest_of(arguments: bytes) -> str:
    """Name the arguments of a tool call by a short hash of their raw text."""
    return hashlib.blake2b(arguments, digest_size=12).hexdigest()


class Driver(Protocol):
    """One agent product. It changes nothing; only `fault` looks at the machine, for the programs it needs."""

    @property
    def name(self) -> str:
        """The word in `driver = "…"`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the product can do."""
        ...

    @property
    def product(self) -> Product | None:
        """The program that it starts; None where the settings name it."""
        ...

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say why a worker cannot be started with these settings, in a phrase a person can act on; `""` if it can."""
        ...

    def speaks(self, settings: Mapping[str, str]) -> ModelApi | None:
        """What it speaks with these settings; None when ganger cannot tell, or cannot give it another address."""
        ...

    def launch(self, turn: Turn) -> Launch:
        """Say how to start `turn`. Only for settings without a fault."""
        ...

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read one line of output, with or without its line end. Total: bytes of any kind give events or none."""
        ...


@runtime_checkable
class Conversational(Protocol):
    """What the driver of an agent is besides where a person can go on with a conversation at a terminal."""

    def interactive(self, turn: Turn) -> Launch:
        """Say how to start the agent for a person, in the conversation `turn.session`; nothing is on its input."""
        ...


REPORTS = "reports"
"""The setting of an agent whose driver cannot know it: `words` where its workers are to speak, `exit` where not."""


def must_speak(driver: Driver, settings: Mapping[str, str]) -> bool:
    """Whether a turn that ends without a word has said nothing; otherwise ending well says `done`."""
    return not driver.capabilities.reports_by_exit or settings.get(REPORTS) == "words"


def driver_names() -> tuple[str, ...]:
    """All drivers that are installed, sorted."""
    return tuple(sorted({point.name for point in metadata.entry_points(group=GROUP)} | set(_BUILT_IN)))


def load_driver(name: str) -> Driver:
    """Make the driver called `name`; ConfigError when there is none, or when it cannot be imported."""
    target = _BUILT_IN.get(name)
    if target is None:
        offered = {point.name: point.value for point in metadata.entry_points(group=GROUP)} | _BUILT_IN
        target = offered.get(name)
        if target is None:
            raise ConfigError(
                f"there is no driver {name!r}", f"drivers that are installed: {', '.join(sorted(offered))}"
            )
    module, _, attribute = target.partition(":")
    try:
        return cast(Driver, getattr(importlib.import_module(module), attribute)())
    except Exception as error:
        raise ConfigError(f"the driver {name!r} ({target}) cannot be loaded: {error}") from error
