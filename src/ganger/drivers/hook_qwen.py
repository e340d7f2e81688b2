"""Hooks of Qwen Code, as version 0.24.4 speaks them."""

from __future__ import annotations

from ganger.drivers.hooks import Dialect, HookEvent, like_claude

DIALECT = Dialect(
    name="qwen",
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
            "read_file",
            "read_many_files",
            "list_directory",
            "glob",
            "search_file_content",
            "grep_search",
            "web_fetch",
            "web_search",
            "save_memory",
            "todo_write",
            "task",
            "tool_search",
            "exit_plan_mode",
        }
    ),
    shells=frozenset({"run_shell_command"}),
    writes={
        "write_file": ("file_path",),
        "edit": ("file_path",),
        "replace": ("file_path",),
    },
)
