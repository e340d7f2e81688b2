"""Gemini CLI (`gemini --output-format stream-json`), as version 0.61.0 behaves.

Ended by a signal, it says status 0; after an error of the API, the status of HTTP modulo 256. It leaves shell commands
running that it started. Its shell knows neither the global configuration of git nor hooks of git. Its conversations
lack the call of a tool that is still in use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ganger.drivers import agent
from ganger.drivers.agent import inner, text
from ganger.drivers.hooks import load_dialect, settings_like_claude
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
    Usage,
)

KEY, SYSTEM, FORKED = "GEMINI_API_KEY", "gemini.json", "forked.jsonl"
HEADLESS = ("--output-format", "stream-json")
GUARDED = ("--approval-mode", "auto_edit", "--allowed-tools", "run_shell_command(git),run_shell_command(ganger)")


class Gemini:
    """Runs `gemini` with the brief on standard input."""

    name = "gemini"
    capabilities = Capabilities(
        resume=True, reports_by_exit=False, fork=Conversation(".gemini/tmp/*/chats/session-*-{session:.8}.jsonl")
    )
    product = Product("gemini", ("0.61.0",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        return agent.fault_of(self.product.program, settings, KEY)

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return ModelApi("gemini")

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder, which is its home."""
        settings = turn.settings
        program = agent.program_of(self.product.program, settings)
        plain, keys = agent.key_for(KEY, settings)
        argv = [program, *HEADLESS]
        argv += GUARDED if agent.is_guarded(turn) else ("--approval-mode", "yolo")
        if turn.fork is not None:
            # What it makes of it gets a name of its own.
            argv += ["--session-file", str(turn.state / FORKED)]
        else:
            argv += ["--resume", turn.session] if turn.session else ["--session-id", agent.session_id(turn)]
        env = {"HOME": str(turn.state), "GEMINI_CLI_TRUST_WORKSPACE": "true", "NO_BROWSER": "1"}
        # Those of the system stand over those of the repository, which could switch the hooks off. They are passed over
        # where a folder above can be written by others, as below /tmp.
        env["GEMINI_CLI_SYSTEM_SETTINGS_PATH"] = str(turn.state / SYSTEM)
        env |= {"GOOGLE_GEMINI_BASE_URL": settings["base_url"]} if "base_url" in settings else {}
        own = json.dumps(_settings(turn)).encode()
        files = {".gemini/settings.json": own, SYSTEM: own}
        files |= {FORKED: turn.fork.transcript} if turn.fork is not None else {}
        stdin = turn.brief.encode(errors="replace")
        return Launch(tuple(argv), env | plain, stdin, files, keys, agent.installed_at(program))

    def interactive(self, turn: Turn) -> Launch:
        """The same, with its own screen."""
        return agent.for_a_person(self.launch(turn), HEADLESS)

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line of its stream."""
        return tuple(_read(agent.object_of(line)))


def _read(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    match said.get("type"):
        case "init":
            yield Started(text(said.get("session_id")), text(said.get("model")))
        case "message" if said.get("role") == "assistant":
            yield Message(text(said.get("content")))
        case "tool_use":
            yield agent.call(said.get("tool_name"), said.get("parameters"))
        case "tool_result":
            yield ToolResult(said.get("status") == "success")
        case "error":
            yield from agent.refused(None, text(said.get("message")), agent.moment_ms(said.get("timestamp")))
        case "result":
            used = inner(said, "stats")
            told = agent.usage((used.get("input_tokens"),), (used.get("output_tokens"),))
            yield Usage(told.tokens_in, told.tokens_out, whole_turn=True)
            why = text(inner(said, "error").get("message"))
            yield from agent.refused(None, why, agent.moment_ms(said.get("timestamp"))) if why else ()
            yield TurnEnded(TurnOutcome.completed if said.get("status") == "success" else TurnOutcome.failed)


def _settings(turn: Turn) -> dict[str, object]:
    hooks = turn.hooks
    made: dict[str, object] = {
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "mcpServers": {one.name: server(one, "httpUrl") for one in turn.mcp},
    }
    if "model" in turn.settings:
        made["model"] = {"name": turn.settings["model"]}
    if hooks is not None:
        dialect = load_dialect("gemini")
        made["hooksConfig"] = {"enabled": True}
        made["hooks"] = settings_like_claude(dialect, lambda event: agent.hook_line(hooks, "gemini", event))
    return made


def server(one: McpServer, address: str) -> dict[str, object]:
    """A server of tools in settings of this form; Qwen Code has it too."""
    if one.command:
        return {"command": one.command[0], "args": list(one.command[1:]), "trust": True}
    bearer = {"Authorization": f"Bearer ${{{one.token_env}}}"} if one.token_env else {}
    return {address: one.url, "headers": bearer, "trust": True}
