"""A client of the Agent Client Protocol, run in the place of a worker: one turn of an agent, told in our own events.

    python -m ganger.drivers.acp_client ORDER     the brief is on standard input

It speaks JSON-RPC, a message a line, with the agent that it starts, and prints the events that the driver `command`
reads. It ends with 0 when the agent came to its own end, with 1 when it did not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from ganger.drivers.agent import inner, refused

VERSION = 1
OUTCOMES = {
    "end_turn": "completed",
    "cancelled": "interrupted",
    "max_tokens": "limited",
    "max_turn_requests": "limited",
}
TAKEN_IN = ("inputTokens", "cachedReadTokens", "cachedWriteTokens", "input_tokens")
GIVEN_OUT = ("outputTokens", "thoughtTokens", "output_tokens")
Json = Mapping[str, Any]


class AgentFailed(Exception):
    """The agent answered with an error, or went away."""


class Talk:
    """The exchange with one agent."""

    def __init__(self, to: IO[bytes], of: IO[bytes], *, allow: bool, tell: Callable[[Json], None]) -> None:
        """`allow` is the answer to whatever it asks for; `tell` takes our events."""
        self._to, self._of, self._allow, self._tell = to, of, allow, tell
        self._number = 0
        self._called: set[str] = set()
        self.is_quiet = True
        """Whether what it tells is passed over, which is what was said in earlier turns; some tell that too late."""

    def ask(self, method: str, **params: object) -> Json:
        """Ask the agent, and answer what it asks meanwhile; AgentFailed when the answer is an error."""
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        while line := self._of.readline():
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if not isinstance(message, dict):
                continue
            if "method" in message:
                self._hear(message)
            elif message.get("id") == number:
                if "error" in message:
                    raise AgentFailed(json.dumps(message["error"], ensure_ascii=False)[:2_000])
                result = message.get("result")
                return result if isinstance(result, dict) else {}
        raise AgentFailed(f"it ended while {method} was not answered")

    def _send(self, message: Json) -> None:
        try:
            self._to.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            self._to.flush()
        except OSError as error:
            raise AgentFailed(f"it listens no more: {error.strerror}") from error

    def _hear(self, message: Json) -> None:
        params = message.get("params")
        told = params if isinstance(params, dict) else {}
        if message["method"] == "session/update" and not self.is_quiet:
            update = told.get("update")
            self._update(update if isinstance(update, dict) else {})
        elif message["method"] == "session/request_permission":
            self._send({"id": message.get("id"), "result": {"outcome": self._permission(told)}})
        elif "id" in message:
            error = {"code": -32601, "message": f"{message['method']} is not offered"}
            self._send({"id": message["id"], "error": error})

    def _update(self, update: Json) -> None:
        status = update.get("status")
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                content = update.get("content")
                if isinstance(content, dict) and isinstance(content.get("text"), str):
                    self._tell({"event": "message", "text": content["text"]})
            case "tool_call":
                self._call(update)
            case "tool_call_update" if status in ("completed", "failed"):
                self._tell({"event": "tool_result", "ok": status == "completed"})

    def _call(self, call: Json) -> None:
        """Tell of a call, once."""
        number = str(call.get("toolCallId"))
        if number not in self._called:
            self._called.add(number)
            name = call.get("kind") or call.get("title") or "tool"
            arguments = call.get("rawInput") or {"title": call.get("title")}
            self._tell({"event": "tool_call", "name": str(name)[:200], "arguments": arguments})

    def _permission(self, told: Json) -> Json:
        """Choose the answer that holds for this once, of the kind that was agreed on."""
        call = told.get("toolCall")
        call = call if isinstance(call, dict) else {}
        # Some tell of a call only by asking for it.
        self._call(call)
        if not self._allow:
            self._tell({"event": "waiting_for_permission", "tool": str(call.get("title"))[:200]})
        wanted = ("allow_once", "allow_always") if self._allow else ("reject_once", "reject_always")
        options = [one for one in told.get("options", ()) if isinstance(one, dict)]
        for kind in wanted:
            for option in options:
                if option.get("kind") == kind:
                    return {"outcome": "selected", "optionId": option.get("optionId")}
        return {"outcome": "cancelled"}


def turn(talk: Talk, order: Json, brief: str, tell: Callable[[Json], None]) -> str:
    """Take one turn; returns its outcome. AgentFailed when it cannot be taken."""
    capabilities = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
    info = {"name": "ganger", "version": "1"}
    talk.ask("initialize", protocolVersion=VERSION, clientCapabilities=capabilities, clientInfo=info)
    place = {"cwd": order["cwd"], "mcpServers": order["servers"]}
    session = order["session"]
    if session:
        talk.ask("session/load", sessionId=session, **place)
    else:
        session = talk.ask("session/new", **place).get("sessionId", "")
    tell({"event": "started", "session": session})
    talk.is_quiet = False
    ended = talk.ask("session/prompt", sessionId=session, prompt=[{"type": "text", "text": brief}])
    used = ended.get("usage") or inner(ended, "_meta", "quota", "token_count")
    if isinstance(used, dict) and used:
        tokens_in = sum(_count(used, name) for name in TAKEN_IN)
        tokens_out = sum(_count(used, name) for name in GIVEN_OUT)
        tell({"event": "usage", "tokens_in": tokens_in, "tokens_out": tokens_out, "whole_turn": True})
    return OUTCOMES.get(ended.get("stopReason", ""), "failed")


def _count(used: Json, name: str) -> int:
    value = used.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def main(arguments: list[str]) -> int:
    """Take the turn that the order asks for."""
    order = json.loads(Path(arguments[0]).read_bytes())
    brief = sys.stdin.buffer.read().decode(errors="replace")
    with subprocess.Popen(order["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        try:
            outcome = turn(Talk(agent.stdin, agent.stdout, allow=order["allow"], tell=_print), order, brief, _print)
        except AgentFailed as failure:
            print(failure, file=sys.stderr)
            for limit in refused(None, str(failure)):
                _print({"event": "rate_limited", "reason": limit.reason, "overload": limit.overload})
            outcome = "failed"
        _print({"event": "turn_ended", "outcome": outcome})
        agent.stdin.close()
        agent.terminate()
    return 0 if outcome == "completed" else 1


def _print(event: Json) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
