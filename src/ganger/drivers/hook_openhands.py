"""Hooks of OpenHands, as version 1.16.0 speaks them."""

from __future__ import annotations

from ganger.drivers.hooks import Dialect, HookEvent, plainly

DIALECT = Dialect(
    name="openhands",
    events={
        HookEvent.pre_tool: "PreToolUse",
        HookEvent.post_tool: "PostToolUse",
        HookEvent.stop: "Stop",
        HookEvent.session_start: "SessionStart",
        HookEvent.prompt: "UserPromptSubmit",
    },
    write=plainly,
    reads=frozenset({"think", "finish", "task_tracker", "grep", "glob"}),
    shells=frozenset({"terminal", "execute_bash"}),
    writes={
        "file_editor": ("path",),
        "str_replace_editor": ("path",),
    },
    cwd_field="working_dir",
)
