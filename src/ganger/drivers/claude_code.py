"""Claude Code (`claude -p`), as version 2.1.329 behaves.

An error of the API ends in a `result` of subtype "success" with `is_error`; the exit status is 1. With partial messages
the stream tells what each answer of the model costs when it begins and ends, and moves while the model writes.
The key is seen by the agent's own shell commands: `CLAUDE_CODE_SUBPROCESS_ENV_SCRUB` would hide it, and force the mode
in which every command needs a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ganger.drivers import agent
from ganger.drivers.agent import count, inner, objects, text
from ganger.drivers.hooks import load_dialect, settings_like_claude
from ganger.drivers.port import (
    TOKENS_MAX,
    USD_MAX,
    Capabilities,
    Conversation,
    DriverEvent,
    Launch,
    McpServer,
    Message,
    ModelApi,
    Product,
    RateLimited,
    Started,
    ToolResult,
    Turn,
    TurnEnded,
    TurnOutcome,
    Usage,
    WaitingForPermission,
)

KEY = "ANTHROPIC_API_KEY"
TOKENS = ("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
"""Variables of the same name that hold another kind of key."""
GUARDED_TOOLS = ("Bash(git add:*)", "Bash(git commit:*)", "Bash(git status:*)", "Bash(git diff:*)", "Bash(ganger:*)")
"""What it may do unasked, besides reading and editing, where its own guard stays on."""
HEADLESS = ("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages")
PERSONS_KEY = "GANGER_AGENT_KEY"
"""Under its own name it would ask the person whether the key may be used, and keep the answer."""
_OTHER = re.compile(r"[^A-Za-z0-9]")
RETRIES = 2
"""Its own default of ten would wait for minutes over a wrong key; ganger waits by its own rules."""


class ClaudeCode:
    """Runs `claude -p` with the brief on standard input."""

    name = "claude"
    capabilities = Capabilities(
        resume=True, reports_by_exit=False, fork=Conversation("claude/projects/*/{session}.jsonl")
    )
    product = Product("claude", ("2.1.329",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        return agent.fault_of(self.product.program, settings, KEY)

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return ModelApi("anthropic")

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder."""
        program = agent.program_of(self.product.program, turn.settings)
        named = turn.settings.get("key_env", "")
        plain, keys = agent.key_for(named if named in TOKENS else KEY, turn.settings)
        files = {"settings.json": json.dumps(_settings(turn)).encode()}
        argv = [program, *HEADLESS]
        if turn.fork is not None:
            # It looks for a conversation among those of the folder that it works in.
            at = f"claude/projects/{project_of(str(turn.workspace))}/{turn.fork.session}.jsonl"
            files[at] = turn.fork.transcript
            argv += ["--resume", turn.fork.session, "--fork-session"]
        argv += ["--resume", turn.session] if turn.session else ["--session-id", agent.session_id(turn)]
        argv += ["--model", turn.settings["model"]] if "model" in turn.settings else []
        argv += ["--settings", str(turn.state / "settings.json"), "--strict-mcp-config"]
        if turn.mcp:
            files["mcp.json"] = json.dumps({"mcpServers": {one.name: _server(one) for one in turn.mcp}}).encode()
            argv += ["--mcp-config", str(turn.state / "mcp.json")]
        guarded = ["--permission-mode", "acceptEdits", "--allowedTools", *GUARDED_TOOLS]
        argv += guarded if agent.is_guarded(turn) else ["--dangerously-skip-permissions"]
        env = {
            "CLAUDE_CONFIG_DIR": str(turn.state / "claude"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": str(RETRIES),
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
            # Few tools: the model is to see them without looking for them.
            "ENABLE_TOOL_SEARCH": "false",
            # Root may skip its questions only where it believes to be in a sandbox.
            "IS_SANDBOX": "1",
        }
        env |= {"ANTHROPIC_BASE_URL": turn.settings["base_url"]} if "base_url" in turn.settings else {}
        stdin = turn.brief.encode(errors="replace")
        return Launch(tuple(argv), env | plain, stdin, files, keys, agent.installed_at(program))

    def interactive(self, turn: Turn) -> Launch:
        """Ask the person nothing that was settled with the launch: its trust, its key, its first steps."""
        launch = agent.for_a_person(self.launch(turn), HEADLESS)
        settings = {**_settings(turn), "skipDangerousModePermissionPrompt": True}
        if KEY in {**launch.keys, **launch.env}:
            settings["apiKeyHelper"] = f"printenv {PERSONS_KEY}"
        trusted = {str(turn.workspace): {"hasTrustDialogAccepted": True}}
        return replace(
            launch,
            files={**launch.files, "settings.json": json.dumps(settings).encode()},
            members={"claude/.claude.json": {"hasCompletedOnboarding": True, "projects": trusted}},
            keys={PERSONS_KEY if name == KEY else name: source for name, source in launch.keys.items()},
            env={PERSONS_KEY if name == KEY else name: value for name, value in launch.env.items()},
        )

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line of its stream."""
        return tuple(read(agent.object_of(line)))


def project_of(workspace: str) -> str:
    """What the folder with the conversations about a workspace is called; Qwen Code has the same."""
    return _OTHER.sub("-", workspace)


def read(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    """What one object of the stream means; Qwen Code speaks the same."""
    match said.get("type"):
        case "system":
            yield from _system(said)
        case "stream_event":
            yield from _costs(inner(said, "event"))
        case "assistant":
            yield from _answer(inner(said, "message"))
        case "user":
            for block in objects(inner(said, "message").get("content")):
                if block.get("type") == "tool_result":
                    yield ToolResult(block.get("is_error") is not True, guarded=not _was_unfit(block))
        case "rate_limit_event":
            yield from _limit(inner(said, "rate_limit_info"))
        case "result":
            yield from _result(said)


def _system(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    match said.get("subtype"):
        case "init":
            yield Started(text(said.get("session_id")), text(said.get("model")))
        case "api_retry":
            yield from agent.refused(said.get("error_status"), text(said.get("error")))
        case "permission_denied":
            yield WaitingForPermission(text(said.get("tool_name")))


def _costs(event: Mapping[str, object]) -> Iterator[DriverEvent]:
    """What an answer of the model takes in is told when it begins, what it gives out when it ends."""
    match event.get("type"):
        case "message_start":
            yield Usage(tokens_in=_taken_in(inner(event, "message", "usage")))
        case "message_delta":
            yield Usage(tokens_out=count(inner(event, "usage").get("output_tokens"), TOKENS_MAX))


def _answer(message: Mapping[str, object]) -> Iterator[DriverEvent]:
    for block in objects(message.get("content")):
        if block.get("type") == "text":
            yield Message(text(block.get("text")))
        elif block.get("type") == "tool_use":
            yield agent.call(block.get("name"), block.get("input"))


def _was_unfit(result: Mapping[str, object]) -> bool:
    """Whether a call was turned down before anybody was asked, as that of a tool that does not exist."""
    said = result.get("content")
    words = said if isinstance(said, str) else "".join(text(part.get("text")) for part in objects(said))
    return result.get("is_error") is True and words.startswith("<tool_use_error>")


def _limit(told: Mapping[str, object]) -> Iterator[DriverEvent]:
    if told.get("status") == "rejected":
        reset_ms = count(told.get("resetsAt"), 1 << 40) * 1_000
        yield RateLimited(reset_ms, text(told.get("rateLimitType")) or "usage limit")


def _result(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    usage = inner(said, "usage")
    cost = said.get("total_cost_usd")
    usd = min(float(cost), float(USD_MAX)) if isinstance(cost, int | float) and cost >= 0 else None
    tokens = _taken_in(usage), count(usage.get("output_tokens"), TOKENS_MAX)
    # A conversation that is gone on with goes on counting its money, and not its tokens.
    yield Usage(*tokens, usd, whole_turn=True, usd_of_conversation=True)
    if said.get("is_error") is True:
        yield from agent.refused(said.get("api_error_status"), text(said.get("result")))
    yield TurnEnded(_outcome(said))


def _outcome(said: Mapping[str, object]) -> TurnOutcome:
    subtype = text(said.get("subtype"))
    if subtype.startswith("error_max"):
        return TurnOutcome.limited
    if subtype == "error_during_execution":
        return TurnOutcome.interrupted
    return TurnOutcome.failed if said.get("is_error") is True or subtype != "success" else TurnOutcome.completed


def _taken_in(usage: Mapping[str, object]) -> int:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return min(sum(count(usage.get(name), TOKENS_MAX) for name in names), TOKENS_MAX)


def _settings(turn: Turn) -> dict[str, object]:
    """Settings that stand over those of the repository: what it finds there cannot switch the hooks off."""
    made: dict[str, object] = {"disableAllHooks": False, "includeCoAuthoredBy": False, "cleanupPeriodDays": 3650}
    hooks = turn.hooks
    if hooks is not None:
        asking = settings_like_claude(
            load_dialect("claude"), lambda event: agent.hook_line(hooks, "claude", event), hooks.url
        )
        made["hooks"] = asking
    return made


def _server(server: McpServer) -> dict[str, object]:
    if server.command:
        return {"type": "stdio", "command": server.command[0], "args": list(server.command[1:])}
    bearer = {"Authorization": f"Bearer ${{{server.token_env}}}"} if server.token_env else {}
    return {"type": "http", "url": server.url, "headers": bearer}
