"""Hooks of Claude Code, as version 2.1.329 speaks them."""

from __future__ import annotations

from ganger.drivers.hooks import Dialect, HookEvent, like_claude

DIALECT = Dialect(
    name="claude",
    events={
        HookEvent.pre_tool: "PreToolUse",
        HookEvent.post_tool: "PostToolUse",
        HookEvent.stop: "Stop",
        HookEvent.session_start: "SessionStart",
        HookEvent.prompt: "UserPromptSubmit",
    },
    write=like_claude,
    hears=frozenset({HookEvent.session_start, HookEvent.prompt, HookEvent.post_tool}),
    reads=frozenset(
        {
            *("Read", "Grep", "Glob", "LS", "NotebookRead", "TodoWrite", "TodoRead", "WebFetch", "WebSearch"),
            *("Task", "Agent", "ToolSearch", "BashOutput", "TaskOutput", "KillShell", "ExitPlanMode"),
        }
    ),
    shells=frozenset({"Bash"}),
    writes={
        "Write": ("file_path",),
        "Edit": ("file_path",),
        "MultiEdit": ("file_path",),
        "NotebookEdit": ("notebook_path",),
    },
)
