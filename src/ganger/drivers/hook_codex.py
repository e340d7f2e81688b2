"""Hooks of Codex, as version 0.169.0 speaks them. One that is not trusted by its hash is skipped in silence."""

from __future__ import annotations

from ganger.drivers.hooks import Dialect, HookEvent, like_claude

DIALECT = Dialect(
    name="codex",
    events={
        HookEvent.pre_tool: "PreToolUse",
        HookEvent.post_tool: "PostToolUse",
        HookEvent.stop: "Stop",
        HookEvent.session_start: "SessionStart",
        HookEvent.prompt: "UserPromptSubmit",
    },
    write=like_claude,
    hears=frozenset({HookEvent.session_start, HookEvent.prompt, HookEvent.post_tool}),
    reads=frozenset({"view_image", "update_plan", "web_search", "read_file", "list_dir", "grep_files"}),
    shells=frozenset({"Bash", "shell", "exec_command"}),
    writes={"apply_patch": ("command", "input", "patch")},
)
