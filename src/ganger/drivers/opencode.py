"""opencode (`opencode run --format json`), as version 1.18.33 behaves.

Nothing in its stream says that it is over: the last step ends for the reason "stop", and the program ends. When a
provider names a time to wait, it waits that long without a word in its stream, so its log of errors is printed too.
It leaves shell commands running that it started. Another request, for a title, is avoided by giving one. It works
where a conversation was begun, wherever it is started; a copy is therefore moved by importing a record of it first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from ganger.drivers import agent
from ganger.drivers.agent import inner, text
from ganger.drivers.hook_opencode import plugin
from ganger.drivers.hooks import HookEvent
from ganger.drivers.port import (
    Capabilities,
    Conversation,
    DriverEvent,
    Hooks,
    Launch,
    McpServer,
    Message,
    ModelApi,
    Product,
    Started,
    ToolResult,
    Turn,
    TurnEnded,
    TurnOutcome,
)

KEY = "GANGER_AGENT_KEY"
PLUGIN = "ganger-plugin.js"
_PACKAGE, _PACKAGE_VERSION = "@opencode-ai/plugin", "1.18.33"
DATABASE, LOG, MOVE = "data/opencode/opencode.db", "data/opencode/opencode.db-wal", "move.json"
_IMPORT_FIRST = '"$0" import "$1" </dev/null && shift && exec "$0" "$@"'
"""Has the program import a file, and then becomes the program with the other arguments; only that gets the input."""
HEADLESS = ("run", "--format", "json", "--print-logs", "--log-level", "ERROR")
GUARDED = {"edit": "allow", "webfetch": "deny", "bash": {"*": "ask", "git *": "allow", "ganger *": "allow"}}
"""What it asks for in a run without a person is refused."""
_LOGGED = re.compile(rb'level=ERROR .*message="stream error".*error\.error="([^"]*)"')
_ENDS = {"stop": TurnOutcome.completed, "length": TurnOutcome.limited, "error": TurnOutcome.failed}


class OpenCode:
    """Runs `opencode run` with the brief on standard input."""

    name = "opencode"
    capabilities = Capabilities(resume=True, reports_by_exit=False, fork=Conversation(DATABASE, LOG))
    product = Product("opencode", ("1.18.33",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        if not settings.get("model"):
            return '`model` is missing: say which, for example model = "anthropic/claude-sonnet-4-5"'
        return agent.fault_of(self.product.program, settings, "ANTHROPIC_API_KEY")

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return ModelApi("openai", "/v1")

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder."""
        program = agent.program_of(self.product.program, turn.settings)
        plain, keys = agent.key_by_name(turn.settings, KEY)
        files = {"config/opencode/opencode.json": json.dumps(_config(turn)).encode()}
        if turn.hooks is not None:
            files |= _plugin(turn.hooks)
        argv = [program, *HEADLESS]
        if turn.fork is not None:
            files |= {DATABASE: turn.fork.transcript, LOG: turn.fork.log, MOVE: _record(turn, turn.fork.session)}
            first = ("/bin/sh", "-c", _IMPORT_FIRST, program, str(turn.state / MOVE))
            argv = [*first, *HEADLESS, "-s", turn.fork.session, "--fork"]
        else:
            argv += ["-s", turn.session] if turn.session else ["--title", turn.run]
        env = {
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_SHARE": "1",
            "XDG_CACHE_HOME": str(turn.state / "cache"),
            "XDG_CONFIG_HOME": str(turn.state / "config"),
            "XDG_DATA_HOME": str(turn.state / "data"),
            "XDG_STATE_HOME": str(turn.state / "state"),
        }
        stdin = turn.brief.encode(errors="replace")
        return Launch(tuple(argv), env | plain, stdin, files, keys, agent.installed_at(program), program=program)

    def interactive(self, turn: Turn) -> Launch:
        """The same, with its own screen."""
        return agent.for_a_person(self.launch(turn), HEADLESS)

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line of its stream, or of its log."""
        logged = _LOGGED.search(line) if line.startswith(b"timestamp=") else None
        if logged:
            return tuple(agent.refused(None, logged[1].decode(errors="replace")))
        return tuple(_read(agent.object_of(line)))


def _read(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    part = inner(said, "part")
    match said.get("type"):
        case "step_start":
            yield Started(text(said.get("sessionID")))
        case "text":
            yield Message(text(part.get("text")))
        case "tool_use":
            state = inner(part, "state")
            yield agent.call(part.get("tool"), state.get("input"))
            done = state.get("status") == "completed"
            yield ToolResult(done, guarded=done)
        case "step_finish":
            used = inner(part, "tokens")
            cache = inner(used, "cache")
            taken_in = (used.get("input"), cache.get("read"), cache.get("write"))
            yield agent.usage(taken_in, (used.get("output"), used.get("reasoning")), part.get("cost"))
            reason = text(part.get("reason"))
            if reason in _ENDS:
                yield TurnEnded(_ENDS[reason])
        case "error":
            yield Started(text(said.get("sessionID")))
            data = inner(said, "error", "data")
            told = said.get("timestamp")
            after = inner(data, "responseHeaders").get("retry-after")
            why = f"{text(data.get('message'))}" + (f" (retry-after: {after} s)" if after else "")
            at_ms = told if isinstance(told, int) else 0
            yield from agent.refused(data.get("statusCode"), why, at_ms)
            yield TurnEnded(TurnOutcome.failed)


def _record(turn: Turn, session: str) -> bytes:
    """A conversation as it is exported, without its messages: of one that is known, an import sets the folder only."""
    at = {"created": 0, "updated": 0}
    about = {"slug": turn.run, "projectID": "none", "directory": "/", "title": turn.run, "version": _PACKAGE_VERSION}
    return json.dumps({"info": {"id": session, **about, "time": at}, "messages": []}).encode()


def _plugin(hooks: Hooks) -> dict[str, bytes]:
    """Our plugin, and something in the place of a package that opencode would fetch for it and that it does not use.

    Without that package, and without a registry in reach, it would wait for more than a minute at every start.
    """
    asking = (agent.hook_line(hooks, "opencode", event) for event in (HookEvent.pre_tool, HookEvent.post_tool))
    wanted = {"dependencies": {_PACKAGE: _PACKAGE_VERSION}}
    at = {"": wanted, f"node_modules/{_PACKAGE}": {"version": _PACKAGE_VERSION}}
    lock = {"lockfileVersion": 3, "requires": True, "packages": at}
    package = {"name": _PACKAGE, "version": _PACKAGE_VERSION, "type": "module", "exports": {".": "./index.js"}}
    folder = "config/opencode"
    return {
        f"{folder}/package.json": json.dumps(wanted).encode(),
        f"{folder}/package-lock.json": json.dumps(lock).encode(),
        f"{folder}/node_modules/{_PACKAGE}/package.json": json.dumps(package).encode(),
        f"{folder}/node_modules/{_PACKAGE}/index.js": b"export const tool = (definition) => definition\n",
        PLUGIN: plugin(*asking).encode(),
    }


def _config(turn: Turn) -> dict[str, object]:
    settings = turn.settings
    own = "base_url" in settings
    model = f"ganger/{settings['model']}" if own else settings["model"]
    made: dict[str, object] = {
        "autoupdate": False,
        "share": "disabled",
        # Its own copies of the work tree, for its own undo.
        "snapshot": False,
        "model": model,
        "small_model": model,
        "permission": GUARDED if agent.is_guarded(turn) else "allow",
        "mcp": {one.name: _server(one) for one in turn.mcp},
        "plugin": [] if turn.hooks is None else [f"file://{turn.state / PLUGIN}"],
        # Otherwise what it may not do ends its turn, without a word.
        "experimental": {"continue_loop_on_deny": True},
    }
    if own:
        options = {"baseURL": settings["base_url"], "apiKey": f"{{env:{KEY}}}"}
        models = {settings["model"]: {"tool_call": True, "limit": {"context": 200_000, "output": 16_000}}}
        made["enabled_providers"] = ["ganger"]
        made["provider"] = {"ganger": {"npm": "@ai-sdk/openai-compatible", "options": options, "models": models}}
    return made


def _server(server: McpServer) -> dict[str, object]:
    if server.command:
        return {"type": "local", "command": list(server.command), "enabled": True}
    bearer = {"Authorization": f"Bearer {{env:{server.token_env}}}"} if server.token_env else {}
    return {"type": "remote", "url": server.url, "oauth": False, "headers": bearer, "enabled": True}
