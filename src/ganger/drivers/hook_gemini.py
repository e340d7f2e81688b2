"""Hooks of Gemini CLI, as version 0.61.0 speaks them. Its word that a stop was refused before is not true."""

from __future__ import annotations

from ganger.drivers.hooks import Dialect, HookEvent, plainly

DIALECT = Dialect(
    name="gemini",
    events={
        HookEvent.pre_tool: "BeforeTool",
        HookEvent.post_tool: "AfterTool",
        HookEvent.stop: "AfterAgent",
        HookEvent.session_start: "SessionStart",
        HookEvent.prompt: "BeforeAgent",
    },
    write=plainly,
    hears=frozenset({HookEvent.session_start, HookEvent.prompt, HookEvent.post_tool}),
    reads=frozenset(
        {
            "read_file",
            "read_many_files",
            "list_directory",
            "glob",
            "search_file_content",
            "grep_search",
            "google_web_search",
            "web_fetch",
            "save_memory",
            "write_todos",
        }
    ),
    shells=frozenset({"run_shell_command"}),
    writes={
        "write_file": ("file_path",),
        "replace": ("file_path",),
    },
    timeout=30_000,
)
