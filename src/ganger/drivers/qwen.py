"""Qwen Code (`qwen --output-format stream-json`), as version 0.24.4 behaves.

Its stream has Claude Code's form, but the usage of its `result` is that of the whole conversation; that of each answer
stands with the answer. It leaves shell commands running that it started. Its memory and its suggestions would ask the
model with tools of their own, and are off. It goes on only with conversations about the folder that it works in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

from ganger.drivers import agent, claude_code
from ganger.drivers.agent import inner, text
from ganger.drivers.gemini import HEADLESS, server
from ganger.drivers.hooks import load_dialect, settings_like_claude
from ganger.drivers.port import (
    Capabilities,
    Conversation,
    DriverEvent,
    Fork,
    Launch,
    ModelApi,
    Product,
    ToolResult,
    Turn,
    TurnEnded,
    TurnOutcome,
    Usage,
)

KEY = "OPENAI_API_KEY"
GUARDED = ("--approval-mode", "auto-edit", "--allowed-tools", "run_shell_command(git),run_shell_command(ganger)")


class Qwen:
    """Runs `qwen` with the brief on standard input."""

    name = "qwen"
    capabilities = Capabilities(
        resume=True, reports_by_exit=False, fork=Conversation(".qwen/projects/*/chats/{session}.jsonl")
    )
    product = Product("qwen", ("0.24.4",))

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        return agent.fault_of(self.product.program, settings, KEY)

    def speaks(self, settings: Mapping[str, str]) -> ModelApi:
        """What it speaks with its provider."""
        return ModelApi("openai", "/v1")

    def launch(self, turn: Turn) -> Launch:
        """Keep its settings and conversations in the run's own folder, which is its home."""
        settings = turn.settings
        program = agent.program_of(self.product.program, settings)
        plain, keys = agent.key_for(KEY, settings)
        argv = [program, *HEADLESS]
        argv += GUARDED if agent.is_guarded(turn) else ("--approval-mode", "yolo")
        if turn.fork is not None:
            argv += ["--resume", turn.fork.session, "--fork-session"]
        else:
            argv += ["--resume", turn.session] if turn.session else ["--session-id", agent.session_id(turn)]
        env = {"HOME": str(turn.state), "QWEN_CODE_SUPPRESS_YOLO_WARNING": "1"}
        # Those of the system stand over those of the repository, which could switch the hooks off.
        env["QWEN_CODE_SYSTEM_SETTINGS_PATH"] = str(turn.state / "qwen.json")
        env |= {"OPENAI_BASE_URL": settings["base_url"]} if "base_url" in settings else {}
        env |= {"OPENAI_MODEL": settings["model"]} if "model" in settings else {}
        files = {"qwen.json": json.dumps(_settings(turn)).encode()}
        if turn.fork is not None:
            # It knows itself to be where the links of a path lead.
            at = os.path.realpath(turn.workspace)
            name = f".qwen/projects/{claude_code.project_of(at)}/chats/{turn.fork.session}.jsonl"
            files[name] = _moved(turn.fork, at)
        stdin = turn.brief.encode(errors="replace")
        return Launch(tuple(argv), env | plain, stdin, files, keys, agent.installed_at(program))

    def interactive(self, turn: Turn) -> Launch:
        """The same, with its own screen."""
        return agent.for_a_person(self.launch(turn), HEADLESS)

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line of its stream."""
        return tuple(_read(agent.object_of(line)))


def _read(said: Mapping[str, object]) -> Iterator[DriverEvent]:
    if said.get("type") == "assistant":
        used = inner(said, "message", "usage")
        yield agent.usage((used.get("input_tokens"),), (used.get("output_tokens"),))
    if said.get("type") == "result":
        yield from agent.refused(None, text(inner(said, "error").get("message")))
    failed = bool(inner(said, "error"))
    for event in claude_code.read(said):
        if failed and isinstance(event, TurnEnded):
            yield TurnEnded(TurnOutcome.failed)
        elif isinstance(event, ToolResult):
            yield ToolResult(event.ok, guarded=event.ok)
        elif not isinstance(event, Usage):
            yield event


def _moved(fork: Fork, workspace: str) -> bytes:
    """A conversation as if it had been about another folder: that of its first record stands in every one."""
    about = agent.object_of(fork.transcript.partition(b"\n")[0]).get("cwd")
    return fork.transcript.replace(_about(about), _about(workspace))


def _about(folder: object) -> bytes:
    return b'"cwd":' + json.dumps(folder, ensure_ascii=False).encode(errors="replace")


def _settings(turn: Turn) -> dict[str, object]:
    hooks = turn.hooks
    made: dict[str, object] = {
        "security": {"auth": {"selectedType": "openai"}, "folderTrust": {"enabled": False}},
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "ui": {"enableFollowupSuggestions": False},
        "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
        "tools": {"toolSearch": {"enabled": False}},
        "mcpServers": {one.name: server(one, "httpUrl") for one in turn.mcp},
    }
    if "model" in turn.settings:
        made["model"] = {"name": turn.settings["model"]}
    if hooks is not None:
        dialect = load_dialect("qwen")
        made["disableAllHooks"] = False
        made["hooks"] = settings_like_claude(dialect, lambda event: agent.hook_line(hooks, "qwen", event), hooks.url)
    return made
