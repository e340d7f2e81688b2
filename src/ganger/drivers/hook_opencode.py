"""Hooks of opencode, as version 1.18.33 runs them: a plugin of ours asks the client. Its text is `plugin`.

Under `opencode run` nothing keeps a turn from ending; the supervisor gives it another one.
"""

from __future__ import annotations

import json

from ganger.drivers.hooks import Dialect, HookEvent, plainly

DIALECT = Dialect(
    name="opencode",
    events={
        HookEvent.pre_tool: "tool.execute.before",
        HookEvent.post_tool: "tool.execute.after",
    },
    write=plainly,
    hears=frozenset({HookEvent.post_tool}),
    reads=frozenset(
        {"read", "grep", "glob", "list", "todowrite", "todoread", "webfetch", "websearch", "task", "skill", "lsp"}
    ),
    shells=frozenset({"bash"}),
    writes={
        "write": ("filePath",),
        "edit": ("filePath",),
        "multiedit": ("filePath",),
        "patch": ("patchText",),
        "apply_patch": ("patchText",),
    },
)

_PLUGIN = """\
// Written by ganger: asks its gate before and after every tool. Without an answer, what writes is denied.
// What is said to the worker stands below what its tool gave.
import { spawnSync } from "node:child_process"

const COMMANDS = %COMMANDS%

function ask(event, payload) {
  const done = spawnSync("/bin/sh", ["-c", COMMANDS[event]], { input: JSON.stringify(payload), encoding: "utf8" })
  if (done.status !== 0) return { decision: "deny", reason: done.stderr || "the hook of ganger could not be run" }
  return done.stdout ? JSON.parse(done.stdout) : {}
}

export const Ganger = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    const said = ask("pre-tool", { cwd: directory, tool_name: input.tool, tool_input: output.args })
    if (said.decision === "deny") throw new Error(said.reason)
  },
  "tool.execute.after": async (input, output) => {
    const { tool, args } = input
    const used = { cwd: directory, tool_name: tool, tool_input: args, tool_response: output?.output }
    const told = ask("post-tool", used).hookSpecificOutput?.additionalContext
    if (!told || !output) return
    // What a tool of an MCP server gave is a list of parts.
    if (Array.isArray(output.content)) output.content.push({ type: "text", text: told })
    else output.output = `${output.output ?? ""}\n\n${told}`
  },
})
"""


def plugin(pre_tool: str, post_tool: str) -> str:
    """The text of the plugin, for `opencode/plugin/ganger.js`; the arguments are lines of `hooks.hook_command`."""
    return _PLUGIN.replace("%COMMANDS%", json.dumps({"pre-tool": pre_tool, "post-tool": post_tool}))
