"""pi (`pi --mode json`), as version 0.87.1 behaves.

It ends with status 0 also after an error of the API: only `stopReason` tells, and after an error it may try again. Its
last line holds the whole conversation, which can be more than anybody reads: the end is seen before. It asks nobody
before it does something and has no guard to switch on; it knows no MCP. The price of a model it was only told about
counts as unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ganger.drivers import agent
from ganger.drivers.agent import inner, objects, text
from ganger.drivers.hook_pi import extension
from ganger.drivers.port import (
    Capabilities,
    Conversation,
    DriverEvent,
    Launch,
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
EXTENSION = "ganger-extension.ts"
FORKED = "forked.jsonl"
HEADLESS = ("--mode", "json")
SPEAKS = {
    "openai-completions": ModelApi("openai", "/v1"),
    "openai-responses": ModelApi("openai", "/v1"),
    "anthropic-messages": ModelApi("anthropic"),
    "google-generative-ai": ModelApi("gemini", "/v1beta"),
}
APIS = tuple(SPEAKS)
SETTINGS = {"retry": {"enabled": True, "maxRetries": 1, "baseDelayMs": 1_000}}
"""It tries again once; ganger waits for everything longer."""
_OUTCOMES = {
    "stop": TurnOutcome.completed,
    "error": TurnOutcome.failed,
    "aborted": TurnOutcome.interrupted,
    "length": TurnOutcome.limited,
}


class Pi:
    """Runs `pi --mode json` with the brief on standard input."""

    name = "pi"
    capabilities = Capabilities(
        resume=True, reports_by_exit=False, fork=Conversation("pi/sessions/*/*_{session}.jsonl")
    )
    product = Product("pi", ("0.87.1",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        if settings.get("api", APIS[0]) not in APIS:
            return f"`api` is {', '.join(APIS)}, not {settings['api']!r}"
        if not settings.get("model"):
            return '`model` is missing: say which, for example model = "anthropic/claude-sonnet-4-5"'
        return agent.fault_of(self.product.program, settings, "ANTHROPIC_API_KEY", frozenset({"api"}))

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return SPEAKS[settings.get("api", APIS[0])]

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder."""
        settings = turn.settings
        program = agent.program_of(self.product.program, settings)
        plain, keys = agent.key_by_name(settings, KEY)
        files = {"pi/settings.json": json.dumps(SETTINGS).encode()}
        argv = [program, "--offline", "--no-approve", *HEADLESS]
        if turn.fork is not None:
            files[FORKED] = turn.fork.transcript
            argv += ["--fork", str(turn.state / FORKED)]
        argv += ["--session-id", turn.session or agent.session_id(turn)]
        if "base_url" in settings:
            files["pi/models.json"] = json.dumps({"providers": {"ganger": _provider(settings)}}).encode()
            argv += ["--provider", "ganger"]
        argv += ["--model", settings["model"]]
        hooks = turn.hooks
        if hooks is not None:
            files[EXTENSION] = extension(lambda event: agent.hook_line(hooks, "pi", event)).encode()
            argv += ["-e", str(turn.state / EXTENSION)]
        env = {"PI_CODING_AGENT_DIR": str(turn.state / "pi"), "PI_OFFLINE": "1", "PI_TELEMETRY": "0"}
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
        case "session":
            yield Started(text(said.get("id")))
        case "message_end":
            yield from _message(inner(said, "message"))
        case "tool_execution_start":
            yield agent.call(said.get("toolName"), said.get("args"))
        case "tool_execution_end":
            done = said.get("isError") is not True
            yield ToolResult(done, guarded=done or said.get("toolName") == "bash")
        case "turn_end":
            reason = text(inner(said, "message").get("stopReason"))
            if reason in _OUTCOMES:
                yield TurnEnded(_OUTCOMES[reason])


def _message(message: Mapping[str, object]) -> Iterator[DriverEvent]:
    if message.get("role") != "assistant":
        return
    used = inner(message, "usage")
    taken_in = (used.get("input"), used.get("cacheRead"), used.get("cacheWrite"))
    yield agent.usage(taken_in, (used.get("output"),), inner(used, "cost").get("total"))
    for block in objects(message.get("content")):
        if block.get("type") == "text":
            yield Message(text(block.get("text")))
    if message.get("stopReason") == "error":
        yield from agent.refused(None, text(message.get("errorMessage")))


def _provider(settings: Mapping[str, str]) -> dict[str, object]:
    return {
        "baseUrl": settings["base_url"],
        "api": settings.get("api", APIS[0]),
        "apiKey": f"${KEY}",
        "models": [{"id": settings["model"]}],
    }
