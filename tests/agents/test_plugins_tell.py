"""What the plugins of opencode and pi do with what they are told after a tool: it stands below what the tool gave."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from programs import need

from ganger.drivers.hook_opencode import plugin
from ganger.drivers.hook_pi import extension
from ganger.drivers.hooks import HookEvent, Tell, load_dialect

TOLD = "Said to you just now:\n- from dana: use B"
OPENCODE = """
const { Ganger } = await import(%FILE%)
const hooks = await Ganger({ directory: "/" })
const output = %GIVEN%
await hooks["tool.execute.after"]({ tool: "bash", args: { command: "ls" } }, output)
console.log(JSON.stringify(output ?? null))
"""
PI = """
const handlers = {}
;(await import(%FILE%)).default({ on: (event, handler) => { handlers[event] = handler } })
const given = %GIVEN%
const answer = handlers.tool_result({ toolName: "bash", input: { command: "ls" }, ...given })
console.log(JSON.stringify({ ...given, ...answer }))
"""


def answered(agent: str, folder: Path, told: str, given: Any) -> Any:
    """What the model gets of what a tool gave, when the gate answers with `told`; empty for nothing."""
    node = need("node")
    dialect = load_dialect(agent)
    says = dialect.answer(HookEvent.post_tool, Tell(told)) if told else b""
    (folder / "answer").write_bytes(says)
    command = f"cat {shlex.quote(str(folder / 'answer'))}"
    file = folder / ("plugin.mjs" if agent == "opencode" else "extension.ts")
    file.write_text(plugin("true", command) if agent == "opencode" else extension(lambda _: command))
    script = (OPENCODE if agent == "opencode" else PI).replace("%FILE%", json.dumps(str(file)))
    (folder / "try.mjs").write_text(script.replace("%GIVEN%", json.dumps(given) if given is not None else "undefined"))
    done = subprocess.run(
        [node, "--disable-warning=ExperimentalWarning", str(folder / "try.mjs")],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


TEXT = [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    ("agent", "given", "heard"),
    [
        ("opencode", {"output": "a"}, {"output": f"a\n\n{TOLD}"}),
        ("opencode", {"content": TEXT}, {"content": [*TEXT, {"type": "text", "text": TOLD}]}),
        ("opencode", {"title": "x"}, {"title": "x", "output": f"\n\n{TOLD}"}),
        ("opencode", None, None),
        ("pi", {"content": TEXT}, {"content": [*TEXT, {"type": "text", "text": TOLD}]}),
        ("pi", {}, {"content": [{"type": "text", "text": TOLD}]}),
    ],
)
def test_it_stands_below_what_the_tool_gave(tmp_path: Path, agent: str, given: Any, heard: Any) -> None:
    assert answered(agent, tmp_path, TOLD, given) == heard


@pytest.mark.parametrize(
    ("agent", "given"), [("opencode", {"output": "a"}), ("opencode", {"content": TEXT}), ("pi", {"content": TEXT})]
)
def test_what_a_tool_gave_stays_as_it_is_where_nothing_is_said(tmp_path: Path, agent: str, given: Any) -> None:
    assert answered(agent, tmp_path, "", given) == given
