"""A run as the gate knows it, for tests: a workspace with a lease, and payloads of an agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganger.core.ids import RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.drivers.hooks import HookEvent
from ganger.worker_api.gate import Gate, Waiting
from ganger.worker_api.views import Header, Rules, RunView, SetRules, SetRun

RUN, OTHER = RunId("a.1"), RunId("b.1")
SECRET = "5e" * 32
NOW_MS = 1_000_000
RULES = Rules(protected=("**/conftest.py", ".github/**"), tests=("tests/**",))


def view(workspace: Path, *scope: str, run: RunId = RUN, secret: str = SECRET, **more: Any) -> RunView:
    """A live run whose lease is far from its end."""
    lease = Lease(Token(7), scope or ("src/**",), LeaseMode.exclusive, NOW_MS + 60_000)
    return RunView(run, Token(7), secret, str(workspace), lease, turn=1, **more)


def gate_of(*views: RunView, rules: Rules = RULES) -> Gate:
    """A gate that knows these runs."""
    gate = Gate()
    gate.take(SetRules(rules))
    for one in views:
        gate.take(SetRun(one))
    return gate


class Hook:
    """Puts questions to a gate as one run's agent would."""

    def __init__(
        self, gate: Gate, workspace: Path, agent: str = "claude", run: str = RUN, secret: str = SECRET
    ) -> None:
        self.gate, self.workspace, self.agent, self.run, self.secret = gate, workspace, agent, run, secret
        self.token = 7
        self._count = 0

    def header(self, event: HookEvent, length: int = 0) -> Header:
        """A header with a fresh number."""
        self._count += 1
        return Header(event, self.agent, self.run, self.token, self.secret, f"{self._count:032x}", length)

    def raw(self, event: HookEvent, payload: bytes, now_ms: int = NOW_MS) -> bytes | Waiting:
        """The answer to bytes of any kind."""
        return self.gate.question(self.header(event, len(payload)), payload, now_ms)

    def tool(self, name: str, arguments: dict[str, Any], now_ms: int = NOW_MS) -> str:
        """The reason of a denial; empty when the tool may be used."""
        payload = {"cwd": str(self.workspace), "tool_name": name, "tool_input": arguments}
        return reason(self.raw(HookEvent.pre_tool, json.dumps(payload).encode(), now_ms))

    def used(self, name: str, arguments: dict[str, Any], result: Any = "") -> None:
        """Tell that a tool was used."""
        payload = {"cwd": str(self.workspace), "tool_name": name, "tool_input": arguments, "tool_response": result}
        assert self.raw(HookEvent.post_tool, json.dumps(payload).encode()) == b""

    def write(self, path: str) -> str:
        """The reason why a file may not be written; empty when it may."""
        return self.tool("Write", {"file_path": path})

    def shell(self, command: str) -> str:
        """The reason why a command may not be run; empty when it may."""
        return self.tool("Bash", {"command": command})


def reason(answer: bytes | Waiting) -> str:
    """Why something was denied, in any dialect; empty when it was not."""
    assert isinstance(answer, bytes)
    if not answer:
        return ""
    said = json.loads(answer)
    said = said.get("hookSpecificOutput", said)
    return str(said.get("permissionDecisionReason") or said.get("reason") or "")
