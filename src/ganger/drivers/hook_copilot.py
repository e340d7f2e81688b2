"""Hooks of Copilot CLI, as version 1.0.102 speaks them. A payload does not name its event."""

from __future__ import annotations

from ganger.drivers.hooks import Allow, Answer, Dialect, HookEvent, Tell, encode


def _write(dialect: Dialect, event: HookEvent, answer: Answer) -> bytes:
    """Its answers stand at the top level."""
    if isinstance(answer, Allow):
        return b""
    if isinstance(answer, Tell):
        return encode({"additionalContext": answer.text}) if event in dialect.hears else b""
    if event is HookEvent.pre_tool:
        return encode({"permissionDecision": "deny", "permissionDecisionReason": answer.reason})
    return encode({"decision": "block", "reason": answer.reason}) if event is HookEvent.stop else b""


DIALECT = Dialect(
    name="copilot",
    events={
        HookEvent.pre_tool: "preToolUse",
        HookEvent.post_tool: "postToolUse",
        HookEvent.stop: "agentStop",
        HookEvent.session_start: "sessionStart",
        HookEvent.prompt: "userPromptSubmitted",
    },
    write=_write,
    hears=frozenset({HookEvent.session_start, HookEvent.post_tool}),
    reads=frozenset(
        {
            "view",
            "grep",
            "glob",
            "rg",
            "web_fetch",
            "web_search",
            "report_intent",
            "read_bash",
            "stop_bash",
            "list_bash",
            "update_todo",
            "task",
            "skill",
        }
    ),
    shells=frozenset({"bash"}),
    writes={
        "create": ("path",),
        "edit": ("path",),
        "str_replace_editor": ("path",),
        "apply_patch": (
            "input",
            "patch",
        ),
    },
    tool_field="toolName",
    input_field="toolArgs",
    result_field="toolResult",
)
