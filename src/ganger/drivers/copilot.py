"""Copilot CLI (`copilot --output-format json`), as version 1.0.102 behaves with a model of one's own.

Ended by a signal, it says status 0. Its stream holds no tokens, so what it costs is unknown; and it names its
conversation only at the end of a turn, so one that was cut off begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ganger.drivers import agent
from ganger.drivers.agent import inner, text
from ganger.drivers.hooks import load_dialect
from ganger.drivers.port import (
    Capabilities,
    Conversation,
    DriverEvent,
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

KEY, ACCOUNT_KEY = "COPILOT_PROVIDER_API_KEY", "COPILOT_GITHUB_TOKEN"
HEADLESS = ("--output-format", "json", "--no-ask-user")
CONVERSATION = "copilot/session-state/{session}/events.jsonl"
GUARDED = ("--allow-tool", "write", "--allow-tool", "shell(git:*)", "--allow-tool", "shell(ganger:*)")


class Copilot:
    """Runs `copilot` with the brief on standard input."""

    name = "copilot"
    capabilities = Capabilities(resume=True, reports_by_exit=False, fork=Conversation(CONVERSATION, named=True))
    product = Product("copilot", ("1.0.102",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        if "base_url" in settings and not settings.get("model"):
            return '`model` is missing: an own server needs one, for example model = "qwen3-coder"'
        return agent.fault_of(self.product.program, settings, ACCOUNT_KEY)

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return ModelApi("openai", "/v1")

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder."""
        settings = turn.settings
        program = agent.program_of(self.product.program, settings)
        plain, keys = agent.key_for(KEY if "base_url" in settings else ACCOUNT_KEY, settings)
        argv = [program, *HEADLESS, "--no-auto-update", "--disable-builtin-mcps"]
        argv += GUARDED if agent.is_guarded(turn) else ("--allow-all",)
        files = {}
        if turn.fork is not None:
            # It has no fork of its own: the copy is one under another name, which stands in its records.
            own = agent.session_id(turn)
            forked = turn.fork.transcript.replace(turn.fork.session.encode(), own.encode())
            files[CONVERSATION.format(session=own)] = forked
            argv += [f"--resume={own}"]
        else:
            argv += [f"--resume={turn.session}"] if turn.session else ["--session-id", agent.session_id(turn)]
        env = {"COPILOT_HOME": str(turn.state / "copilot"), "COPILOT_AUTO_UPDATE": "false"}
        env |= {"COPILOT_MODEL": settings["model"]} if "model" in settings else {}
        if "base_url" in settings:
            env |= {
                "COPILOT_OFFLINE": "true",
                "COPILOT_PROVIDER_BASE_URL": settings["base_url"],
                "COPILOT_PROVIDER_TYPE": "openai",
                "COPILOT_PROVIDER_WIRE_API": "completions",
            }
        if turn.hooks is not None:
            files["copilot/hooks/ganger.json"] = json.dumps(_hooks(turn)).encode()
        if turn.mcp:
            servers = {one.name: _server(one) for one in turn.mcp}
            files["mcp.json"] = json.dumps({"mcpServers": servers}).encode()
            argv += ["--additional-mcp-config", f"@{turn.state / 'mcp.json'}"]
        stdin = turn.brief.encode(errors="replace")
        return Launch(tuple(argv), env | plain, stdin, files, keys, agent.installed_at(program))

    def interactive(self, turn: Turn) -> Launch:
        """The same, with its own screen; the folder is its work's and trusted for that."""
        trusted = {"trustedFolders": [str(turn.workspace)]}
        return replace(agent.for_a_person(self.launch(turn), HEADLESS), members={"copilot/config.json": trusted})

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line of its stream."""
        return tuple(_read(agent.object_of(line)))


def _read(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    data = inner(said, "data")
    match said.get("type"):
        case "assistant.message" if data.get("content"):
            yield Message(text(data.get("content")))
        case "tool.execution_start":
            yield agent.call(data.get("toolName"), data.get("arguments"))
        case "tool.execution_complete":
            yield ToolResult(data.get("success") is True)
        case "session.error":
            yield from agent.refused(data.get("statusCode"), text(data.get("message")))
        case "result":
            yield Started(text(said.get("sessionId")))
            yield TurnEnded(TurnOutcome.completed if said.get("exitCode") == 0 else TurnOutcome.failed)


def _hooks(turn: Turn) -> dict[str, object]:
    hooks, dialect = turn.hooks, load_dialect("copilot")
    assert hooks is not None
    handlers = {
        name: [{"type": "command", "bash": agent.hook_line(hooks, "copilot", event), "timeoutSec": dialect.timeout}]
        for event, name in dialect.events.items()
    }
    return {"version": 1, "hooks": handlers}


def _server(server: McpServer) -> dict[str, object]:
    if server.command:
        return {"type": "local", "command": server.command[0], "args": list(server.command[1:]), "tools": ["*"]}
    bearer = {"Authorization": f"Bearer ${{{server.token_env}}}"} if server.token_env else {}
    return {"type": "http", "url": server.url, "headers": bearer, "tools": ["*"]}
