"""What a hook of an agent product asks, in the same words for every product, and how its answer is written.

A dialect is data and one function: which field holds the tool's name, which tools read, write or run a shell, and how
an answer looks. It is told by its name; a new one is one module `hook_NAME` with a constant `DIALECT`. Nothing here
starts or writes anything, and reading a payload is total: whatever it holds gives an `Asked` or a `NotAPayload`.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TypeAlias, cast

from msgspec import Struct

from ganger.errors import ConfigError

PAYLOAD_BYTES_MAX = 2 << 20
"""A payload of a person's size is a thousandth of it; more would have everybody else wait."""
TARGET_CHARS_MAX = 400
PATHS_MAX = 1_000
DIALECTS = ("claude", "codex", "copilot", "gemini", "openhands", "opencode", "pi", "qwen")
Json: TypeAlias = Mapping[str, object]


class HookEvent(StrEnum):
    """When a hook asks."""

    pre_tool = "pre-tool"
    """A tool is about to be used; it may be denied."""
    post_tool = "post-tool"
    """A tool was used."""
    stop = "stop"
    """The agent wants to end its turn; it may be refused."""
    session_start = "session-start"
    """A conversation begins or goes on; context may be given."""
    prompt = "prompt"
    """The agent was told something; context may be given."""


class Act(StrEnum):
    """What a tool does."""

    read = "read"
    """It changes nothing of the repository."""
    write = "write"
    """It writes the files it names."""
    shell = "shell"
    """It runs a command."""
    other = "other"
    """Nobody here knows; a tool of the agent's own, or of a server it is connected to."""


class Asked(Struct, frozen=True):
    """One question of a hook."""

    event: HookEvent
    tool: str = ""
    act: Act = Act.other
    paths: tuple[str, ...] = ()
    """Files it would write, as the agent names them."""
    command: str = ""
    """What a shell would run."""
    cwd: str = ""
    """Where the agent works; relative names begin there. Empty when it does not say."""
    arguments: Json = {}
    result: str = ""
    """What came back, after the use; cut."""
    failed: bool = False
    took_ms: int = 0

    @property
    def target(self) -> str:
        """What the tool is used on, for a record: its files, its command, or nothing."""
        return (", ".join(self.paths) or self.command)[:TARGET_CHARS_MAX]


class Allow(Struct, frozen=True):
    """Go on."""


class Deny(Struct, frozen=True):
    """Do not use the tool, or do not end the turn; the model reads the reason."""

    reason: str


class Tell(Struct, frozen=True):
    """Go on, and know this."""

    text: str


Answer: TypeAlias = Allow | Deny | Tell


class NotAPayload(ValueError):
    """The bytes are no question of this agent; the message says why."""


class Dialect(Struct, frozen=True):
    """How one agent product asks and wants to be answered."""

    name: str
    events: Mapping[HookEvent, str]
    """What the product calls each event."""
    write: Callable[[Dialect, HookEvent, Answer], bytes]
    """The text of an answer, for standard output; empty where going on needs no words."""
    reads: frozenset[str]
    """Tools that change no file."""
    shells: frozenset[str]
    writes: Mapping[str, tuple[str, ...]] = {}
    """Tools that write files, with the arguments that name them."""
    tool_field: str = "tool_name"
    input_field: str = "tool_input"
    result_field: str = "tool_response"
    cwd_field: str = "cwd"
    timeout: int = 30
    """As the product counts it."""
    hears: frozenset[HookEvent] = frozenset({HookEvent.session_start, HookEvent.prompt})
    """With which events its model can be told something, where they exist."""

    def read(self, event: HookEvent, payload: bytes) -> Asked:
        """Read a payload; NotAPayload says what is wrong with it."""
        return asked_of(self, event, decode(payload))

    def answer(self, event: HookEvent, answer: Answer) -> bytes:
        """Write an answer."""
        return self.write(self, event, answer)


class ProvenanceRule(Struct, frozen=True):
    """A tool whose identifiers must have been seen before: in the brief, a prompt, or what another tool gave."""

    tool: str
    """A name, with `*` for anything."""
    fields: tuple[str, ...]


class LookupRule(Struct, frozen=True):
    """A tool that another one must be used before."""

    tool: str
    first: str
    field: str = ""
    """Where given, both must have been used with the same value of it."""


def load_dialect(name: str) -> Dialect:
    """The dialect of that name; ConfigError when there is none."""
    if name not in DIALECTS:
        raise ConfigError(f"there is no hook dialect {name!r}", f"there are {', '.join(DIALECTS)}")
    return cast(Dialect, importlib.import_module(f"ganger.drivers.hook_{name}").DIALECT)


def hook_command(client: str, dialect: Dialect, event: HookEvent, slow: tuple[str, ...]) -> str:
    """The line that an agent's settings name: the client, what it is asked, and whom it asks when no gate answers.

    It holds no secret; who asks is known by the environment of the run. `client` is quoted as a shell wants it, and
    `slow` begins with an absolute path.
    """
    return f"{client} {shlex.join((event, dialect.name, ','.join(sorted(dialect.reads)), *slow))}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def decode(payload: bytes) -> Json:
    """Read a JSON object strictly: of bounded size and depth, no name twice, no number that JSON has not."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise NotAPayload(f"it is longer than {PAYLOAD_BYTES_MAX >> 20} MiB")
    try:
        found = json.loads(payload, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise NotAPayload("it is nested too deeply") from None
    except NotAPayload:
        raise
    except ValueError as error:
        raise NotAPayload(f"it is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise NotAPayload("it is not a JSON object")
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotAPayload("a name stands twice in one object")
    return made


def _no_constant(text: str) -> object:
    raise NotAPayload(f"{text} is no number of JSON")


def asked_of(dialect: Dialect, event: HookEvent, payload: Json) -> Asked:
    """Make a question of a payload; NotAPayload when it is another event's, or names no tool where it must."""
    named = payload.get("hook_event_name", payload.get("event_type", payload.get("hookName")))
    if named is not None and named != dialect.events.get(event):
        raise NotAPayload(f"it is of the event {str(named)[:60]!r}")
    cwd = _text(payload, dialect.cwd_field)
    if event not in (HookEvent.pre_tool, HookEvent.post_tool):
        return Asked(event, cwd=cwd)
    tool = _text(payload, dialect.tool_field)
    if not tool:
        raise NotAPayload("it names no tool")
    arguments = _object_at(payload, dialect.input_field)
    act, paths, command = what_is_done(dialect, tool, arguments)
    if act is Act.shell:
        cwd = str(PurePosixPath(cwd, next((_text(arguments, key) for key in _CWD_KEYS if _text(arguments, key)), "")))
    asked = Asked(event, tool, act, paths, command, cwd, arguments)
    return asked if event is HookEvent.pre_tool else _used(dialect, asked, payload)


def what_is_done(dialect: Dialect, tool: str, arguments: Json) -> tuple[Act, tuple[str, ...], str]:
    """What a use of a tool does: its act, the files it writes, and the command it runs.

    A tool that nobody knows is taken for one that writes when its arguments name a file, and for a shell when they
    hold a command.
    """
    if tool in dialect.reads:
        return Act.read, (), ""
    if tool in dialect.shells:
        command = command_of(arguments)
        if command is None:
            raise NotAPayload(f"{tool[:60]} without a command")
        return Act.shell, (), command
    if tool in dialect.writes:
        if arguments.get("command") == "view":
            return Act.read, (), ""
        paths = _paths_at(arguments, dialect.writes[tool])
        if not paths:
            raise NotAPayload(f"{tool[:60]} names no file")
        return Act.write, paths, ""
    if command := command_of(arguments):
        return Act.shell, (), command
    paths = _paths_at(arguments, PATH_KEYS)
    return (Act.write if paths else Act.other), paths, ""


PATH_KEYS = (
    *("file_path", "filePath", "path", "notebook_path", "absolute_path", "filename", "file"),
    *("paths", "files", "file_paths", "target_file", "destination", "new_path", "patch", "input", "edits", "changes"),
)
"""Arguments that name files, in tools that nobody knows: a patch names them inside."""
_CWD_KEYS = ("workdir", "cwd", "directory", "dir_path")
"""Arguments of a shell tool that say where its command runs."""
_COMMAND_KEYS = ("command", "cmd", "script")
_SHELLS = re.compile(r"(?:.*/)?(?:ba|da|z|k)?sh")
_PATCHED = re.compile(
    r"^(?:\*\*\* (?:Add|Update|Delete) File: |\*\*\* Move to: |\+\+\+ (?:b/)?|--- (?:a/)?)(\S.*)$", re.M
)


def command_of(arguments: Json) -> str | None:
    """The command line of a shell tool; None when there is none. A list of words is one command."""
    for key in _COMMAND_KEYS:
        value = arguments.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            if len(value) == 3 and _SHELLS.fullmatch(value[0]) and value[1] in ("-c", "-lc"):
                return cast(str, value[2])
            return shlex.join(value)
    return None


def target_of(arguments: Json) -> str:
    """What a use of a tool that nobody need know is about: its command or its files, cut; empty for neither."""
    return (command_of(arguments) or ", ".join(_paths_at(arguments, PATH_KEYS)))[:TARGET_CHARS_MAX]


def patched(text: str) -> tuple[str, ...]:
    """The files that a patch names, in the form of Codex or of `diff`."""
    return tuple(dict.fromkeys(name.strip() for name in _PATCHED.findall(text) if name.strip() != "/dev/null"))


def _paths_at(arguments: Json, keys: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for key in keys:
        _gather(arguments.get(key), key, found)
    return tuple(dict.fromkeys(found))


def _gather(value: object, key: str, found: list[str]) -> None:
    if isinstance(value, str) and value:
        in_patch = patched(value) if "\n" in value else ()
        if in_patch or key not in ("patch", "input", "edits", "changes"):
            found.extend(in_patch or (value,))
    elif isinstance(value, list):
        for each in value[:PATHS_MAX]:
            if isinstance(each, str):
                _gather(each, key, found)
            elif isinstance(each, dict):
                found.extend(path for name in PATH_KEYS[:6] if isinstance(path := each.get(name), str) and path)


def _used(dialect: Dialect, asked: Asked, payload: Json) -> Asked:
    result = payload.get(dialect.result_field)
    took = payload.get("duration_ms")
    failed = isinstance(result, dict) and bool(
        result.get("is_error") or result.get("error") or result.get("resultType") in ("failure", "denied")
    )
    text = result if isinstance(result, str) else json.dumps(result)
    return Asked(
        asked.event,
        asked.tool,
        asked.act,
        asked.paths,
        asked.command,
        asked.cwd,
        asked.arguments,
        text[:65_536],
        failed,
        took if isinstance(took, int) and 0 <= took < 1 << 53 else 0,
    )


def _text(payload: Json, key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _object_at(payload: Json, key: str) -> Json:
    value = payload.get(key)
    if isinstance(value, str):
        value = decode(value.encode(errors="surrogatepass"))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotAPayload(f"{key} is not an object")
    return value


# ── answers that several products share ──────────────────────────────────────────────────────────────────────────


def like_claude(dialect: Dialect, event: HookEvent, answer: Answer) -> bytes:
    """The answer in the form that Claude Code brought up and others took over."""
    if isinstance(answer, Allow):
        return b""
    if isinstance(answer, Tell):
        if event not in dialect.hears:
            return b""
        return encode(
            {"hookSpecificOutput": {"hookEventName": dialect.events[event], "additionalContext": answer.text}}
        )
    if event is HookEvent.pre_tool:
        return encode(
            {
                "hookSpecificOutput": {
                    "hookEventName": dialect.events[event],
                    "permissionDecision": "deny",
                    "permissionDecisionReason": answer.reason,
                }
            }
        )
    return encode({"decision": "block", "reason": answer.reason}) if event is HookEvent.stop else b""


def plainly(dialect: Dialect, event: HookEvent, answer: Answer) -> bytes:
    """The answer as `{"decision": "deny", "reason": …}`, and context as Claude Code's."""
    if isinstance(answer, Deny):
        return encode({"decision": "deny", "reason": answer.reason})
    return like_claude(dialect, event, answer)


def encode(value: Json) -> bytes:
    """Write an answer; text that is no Unicode is escaped."""
    return json.dumps(value).encode()


def settings_like_claude(dialect: Dialect, command: Callable[[HookEvent], str], url: str = "") -> dict[str, object]:
    """The value of `hooks` in settings of that form: every tool is asked about.

    With `url`, of an agent that can ask over HTTP; at the start of a session it cannot.
    """

    def handler(event: HookEvent) -> dict[str, object]:
        if url and event is not HookEvent.session_start:
            return _over_http(dialect, event, url)
        return {"type": "command", "command": command(event), "timeout": dialect.timeout}

    return {
        name: [{"matcher": "*", "hooks": [handler(event)]}]
        if event in (HookEvent.pre_tool, HookEvent.post_tool)
        else [{"hooks": [handler(event)]}]
        for event, name in dialect.events.items()
    }


def _over_http(dialect: Dialect, event: HookEvent, url: str) -> dict[str, object]:
    """A handler that asks the gate itself; who asks is taken from the environment, so no secret stands in it."""
    named = {"Authorization": "Bearer ${GANGER_SECRET}", "X-Ganger-Run": "${GANGER_RUN}"}
    return {
        "type": "http",
        "url": f"{url}/{event}/{dialect.name}",
        "headers": named | {"X-Ganger-Token": "${GANGER_TOKEN}"},
        "allowedEnvVars": ["GANGER_SECRET", "GANGER_RUN", "GANGER_TOKEN"],
        "timeout": dialect.timeout,
    }
