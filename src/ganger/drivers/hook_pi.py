"""Hooks of pi, as version 0.87.1 runs them: an extension of ours asks the client. Its text is `extension`."""

from __future__ import annotations

import json
from collections.abc import Callable

from ganger.drivers.hooks import Dialect, HookEvent, plainly

DIALECT = Dialect(
    name="pi",
    events={
        HookEvent.pre_tool: "tool_call",
        HookEvent.post_tool: "tool_result",
        HookEvent.stop: "agent_before_settle",
    },
    write=plainly,
    hears=frozenset({HookEvent.post_tool}),
    reads=frozenset({"read", "grep", "find", "ls"}),
    shells=frozenset({"bash"}),
    writes={"write": ("path",), "edit": ("path",)},
)

_EXTENSION = """\
// Written by ganger: asks its gate before and after every tool, and before the agent settles. Without an answer, what
// writes is denied. What is said to the worker stands below what its tool gave.
import { spawnSync } from "node:child_process"

const COMMANDS: Record<string, string> = %COMMANDS%

type Said = { decision?: string; reason?: string; hookSpecificOutput?: { additionalContext?: string } }

function ask(event: string, payload: unknown): Said {
  const done = spawnSync("/bin/sh", ["-c", COMMANDS[event]], { input: JSON.stringify(payload), encoding: "utf8" })
  if (done.status !== 0) return { decision: "deny", reason: done.stderr || "the hook of ganger could not be run" }
  return done.stdout ? JSON.parse(done.stdout) : {}
}

export default function (pi: any) {
  const cwd = process.cwd()
  pi.on("tool_call", (ev: any) => {
    const said = ask("pre-tool", { cwd, tool_name: ev.toolName, tool_input: ev.input })
    return said.decision === "deny" ? { block: true, reason: said.reason } : undefined
  })
  pi.on("tool_result", (ev: any) => {
    const tool_response = { text: JSON.stringify(ev.content ?? ""), is_error: !!ev.isError }
    const used = { cwd, tool_name: ev.toolName, tool_input: ev.input, tool_response }
    const told = ask("post-tool", used).hookSpecificOutput?.additionalContext
    return told ? { content: [...(ev.content ?? []), { type: "text", text: told }] } : undefined
  })
  pi.on("agent_before_settle", () => {
    const said = ask("stop", { cwd })
    if (said.decision !== "deny") return undefined
    const entry = { type: "custom_message", customType: "ganger", display: true, content: said.reason }
    return { continue: true, entries: [entry] }
  })
}
"""


def extension(command: Callable[[HookEvent], str]) -> str:
    """The text of the extension, for `pi -e FILE`; `command` gives a line of `hooks.hook_command`."""
    return _EXTENSION.replace("%COMMANDS%", json.dumps({event.value: command(event) for event in DIALECT.events}))
