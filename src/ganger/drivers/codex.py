"""Codex CLI (`codex exec --json`), as version 0.169.0 behaves.

Its hooks run only where somebody has trusted them, or with the flag that is given here; without either they are left
out without a word. Its own sandbox keeps `.git` read-only unless that is named as writable; behind a wall of ganger's
it is switched off. What a conversation used is told at the end of a turn, for the whole of the conversation. Of a copy
that would be what its source used too, so nothing of that is left in the copy.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from ganger.drivers import agent
from ganger.drivers.agent import count, inner, text
from ganger.drivers.hooks import load_dialect, settings_like_claude
from ganger.drivers.port import (
    TOKENS_MAX,
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
)

KEY = "OPENAI_API_KEY"
HEADLESS = ("exec", "--json", "--skip-git-repo-check")
FORKED = "codex/sessions/2026/01/01/rollout-2026-01-01T00-00-00-{}.jsonl"
"""It looks for a conversation by the end of this name; of the day it asks only that there is one."""
BASE_URL = "https://api.openai.com/v1"
_TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search")
_CALL_FIELDS = ("command", "changes", "server", "tool", "arguments", "query")
_LIMIT = re.compile(r"hit your usage limit|usage_limit_reached|insufficient_quota|429 Too Many Requests|Quota exceeded")
_OVERLOAD = re.compile(r"high demand|overloaded|50[0-9] |server_is_overloaded")
_AT = re.compile(r"[Tt]ry again at (?:([A-Z][a-z]{2}) (\d{1,2})\w*, (\d{4}),? )?(\d{1,2}):(\d\d) ([AP]M)")
_DAY = timedelta(days=1)
_USED = re.compile(rb'"type":"(?:token_count|token_usage_record)"')
"""Stands in a record's own members only: in a text the quotes would be escaped."""


class Codex:
    """Runs `codex exec` with the brief on standard input."""

    name = "codex"
    capabilities = Capabilities(
        resume=True, reports_by_exit=False, fork=Conversation("codex/sessions/*/*/*/rollout-*-{session}.jsonl")
    )
    product = Product("codex", ("0.169.0",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        return agent.fault_of(self.product.program, settings, KEY)

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return ModelApi("openai", "/v1")

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder."""
        program = agent.program_of(self.product.program, turn.settings)
        plain, keys = agent.key_for(KEY, turn.settings)
        files = {"codex/config.toml": _config(turn).encode()}
        argv = [program, *HEADLESS]
        hooks = turn.hooks
        if hooks is not None:
            asking = settings_like_claude(load_dialect("codex"), lambda event: agent.hook_line(hooks, "codex", event))
            files["codex/hooks.json"] = json.dumps({"hooks": asking}).encode()
            argv.append("--dangerously-bypass-hook-trust")
        if turn.fork is not None:
            lines = turn.fork.transcript.splitlines(keepends=True)
            files[FORKED.format(turn.fork.session)] = b"".join(line for line in lines if not _USED.search(line))
            argv += ["fork", turn.fork.session]
        argv += ["resume", turn.session, "-"] if turn.session else ["-"]
        env = {"CODEX_HOME": str(turn.state / "codex")}
        stdin = turn.brief.encode(errors="replace")
        return Launch(tuple(argv), env | plain, stdin, files, keys, agent.installed_at(program))

    def interactive(self, turn: Turn) -> Launch:
        """Without its daemon, which would outlive the terminal."""
        launch = agent.for_a_person(self.launch(turn), HEADLESS, ("--no-daemon",))
        return agent.for_a_person(launch, ("resume", turn.session, "-"), ("resume", turn.session))

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line of its stream."""
        return tuple(_read(agent.object_of(line)))


def _read(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    match said.get("type"):
        case "thread.started":
            yield Started(text(said.get("thread_id")))
        case "item.started":
            yield from _begun(inner(said, "item"))
        case "item.completed":
            yield from _done(inner(said, "item"))
        case "turn.completed":
            used = inner(said, "usage")
            tokens_in, tokens_out = used.get("input_tokens"), used.get("output_tokens")
            yield Usage(count(tokens_in, TOKENS_MAX), count(tokens_out, TOKENS_MAX), whole_conversation=True)
            yield TurnEnded(TurnOutcome.completed)
        case "error":
            yield from _refused(text(said.get("message")))
        case "turn.failed":
            yield from _refused(text(inner(said, "error").get("message")))
            yield TurnEnded(TurnOutcome.failed)


def _begun(item: Mapping[str, object]) -> Iterator[DriverEvent]:
    kind = text(item.get("type"))
    if kind in _TOOLS:
        asked = {name: item[name] for name in _CALL_FIELDS if name in item}
        name = f"{text(item.get('server'))}.{text(item.get('tool'))}" if kind == "mcp_tool_call" else kind
        yield agent.call(name, asked)


def _done(item: Mapping[str, object]) -> Iterator[DriverEvent]:
    kind = item.get("type")
    if kind == "agent_message":
        yield Message(text(item.get("text")))
    elif kind in _TOOLS:
        done = item.get("status") == "completed"
        # A patch that does not fit is turned down before anybody is asked.
        yield ToolResult(done, guarded=kind == "command_execution" or (kind == "file_change" and done))


def _refused(message: str) -> Iterator[DriverEvent]:
    if _LIMIT.search(message):
        yield RateLimited(_reset_ms(message, time.time()), message[:200])
    elif _OVERLOAD.search(message):
        yield RateLimited(reason=message[:200], overload=True)


def _reset_ms(message: str, now_s: float) -> int:
    """When a limit ends, as the message says it for a person: a time of day, or a date and a time; 0 if it does not.

    A time of day without a date is the nearest one, before or after.
    """
    found = _AT.search(message)
    if found is None:
        return 0
    month, day, year, hour, minute, half = found.groups()
    now = datetime.fromtimestamp(now_s).astimezone()
    at = now.replace(hour=int(hour) % 12 + (12 if half == "PM" else 0), minute=int(minute), second=0, microsecond=0)
    try:
        if month:
            named = datetime.strptime(f"{month} {day} {year}", "%b %d %Y").astimezone()
            at = at.replace(year=named.year, month=named.month, day=named.day)
        else:
            at = min((at - _DAY, at, at + _DAY), key=lambda one: abs(one - now))
    except ValueError:
        return 0
    # It names the minute only; the limit may end at the end of it.
    return int(at.timestamp()) * 1_000 + 60_000


def _config(turn: Turn) -> str:
    """Its `config.toml`: everything that is not of this run is left out, and nothing is looked up outside."""
    settings = turn.settings
    guarded = agent.is_guarded(turn)
    lines = [f"model = {_quoted(settings['model'])}"] if "model" in settings else []
    lines += [
        'model_provider = "ganger"',
        'approval_policy = "never"',
        f'sandbox_mode = "{"workspace-write" if guarded else "danger-full-access"}"',
        "check_for_update_on_startup = false",
        # A login shell would set another PATH, on which `ganger` is not.
        "allow_login_shell = false",
        "[model_providers.ganger]",
        'name = "ganger"',
        f"base_url = {_quoted(settings.get('base_url', BASE_URL))}",
        'wire_api = "responses"',
        f"env_key = {_quoted(KEY)}",
        "request_max_retries = 2",
        "stream_max_retries = 2",
        "[shell_environment_policy]",
        'inherit = "all"',
        "ignore_default_excludes = true",
        f"exclude = [{_quoted(KEY)}]",
        "[features]",
        "plugins = false",
        "apps = false",
        "remote_plugin = false",
        "[analytics]",
        "enabled = false",
        # What the repository says about Codex is the worker's to write.
        f"[projects.{_quoted(str(turn.workspace))}]",
        'trust_level = "untrusted"',
    ]
    if guarded:
        roots = json.dumps([str(turn.workspace / ".git")], ensure_ascii=False)
        lines += ["[sandbox_workspace_write]", "network_access = true", f"writable_roots = {roots}"]
    for server in turn.mcp:
        lines += _server(server)
    return "\n".join(lines) + "\n"


def _server(server: McpServer) -> list[str]:
    lines = [f"[mcp_servers.{_quoted(server.name)}]", 'default_tools_approval_mode = "approve"']
    if server.command:
        arguments = json.dumps(list(server.command[1:]), ensure_ascii=False)
        return [*lines, f"command = {_quoted(server.command[0])}", f"args = {arguments}"]
    bearer = [f"bearer_token_env_var = {_quoted(server.token_env)}"] if server.token_env else []
    return [*lines, f"url = {_quoted(server.url)}", *bearer]


def _quoted(value: str) -> str:
    """A text of TOML: JSON's quotes and escapes are among its own."""
    return json.dumps(value, ensure_ascii=False)
