"""Guards refuse a call before its effect: identifiers that nobody gave, a lookup left out, and whatever else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hooked_run import NOW_MS, RULES, Hook, gate_of, reason, view
from msgspec.structs import replace

from ganger.drivers.hooks import HookEvent, LookupRule, ProvenanceRule
from ganger.worker_api.gate import Gate
from ganger.worker_api.guards import GuardedCall, Memory
from ganger.worker_api.views import SetRules, SetRun

CLOSE, GET = "mcp__tracker__close", "mcp__tracker__get"
INVENTED = "nobody gave you the id {}: look it up with a tool first, and use what that gives"


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    rules = replace(RULES, provenance=(ProvenanceRule("mcp__tracker__*", ("id",)),))
    return Hook(gate_of(view(tmp_path, known="Fix T-17, see T-18."), rules=rules), tmp_path)


def test_an_identifier_from_the_brief_may_be_used(hook: Hook) -> None:
    assert hook.tool(CLOSE, {"id": "T-17"}) == ""
    assert hook.tool(CLOSE, {"id": "T-1"}) == INVENTED.format("'T-1'")
    assert hook.tool(CLOSE, {"id": ["T-18", "T-19"]}) == INVENTED.format("'T-19'")
    assert hook.tool("mcp__other__close", {"id": "T-1"}) == ""


def test_what_a_tool_gave_may_be_used_and_an_echo_may_not(hook: Hook) -> None:
    hook.used("Bash", {"command": "echo T-99"}, "T-99")
    assert hook.tool(CLOSE, {"id": "T-99"}) == INVENTED.format("'T-99'")
    hook.used("Grep", {"pattern": "T-"}, {"lines": ["see T-99", "and T-5x"]})
    assert hook.tool(CLOSE, {"id": "T-99"}) == ""
    assert hook.tool(CLOSE, {"id": "T-5"}) == INVENTED.format("'T-5'")


def test_what_failed_gave_nothing(hook: Hook) -> None:
    hook.used(GET, {"q": "x"}, {"is_error": True, "text": "no T-7"})
    assert hook.tool(CLOSE, {"id": "T-7"}) == INVENTED.format("'T-7'")


def test_a_lookup_comes_first(tmp_path: Path) -> None:
    rules = replace(RULES, lookups=(LookupRule(CLOSE, GET, "id"), LookupRule("deploy", GET)))
    hook = Hook(gate_of(view(tmp_path), rules=rules), tmp_path)
    assert hook.tool("deploy", {}) == f"use {GET} before deploy"
    hook.used(GET, {"id": "T-1"}, "open")
    assert hook.tool("deploy", {}) == ""
    assert hook.tool(CLOSE, {"id": "T-1"}) == ""
    assert hook.tool(CLOSE, {"id": "T-2"}) == f"use {GET} with the same id before {CLOSE}"


def test_without_a_rule_nobody_objects(tmp_path: Path) -> None:
    assert Hook(gate_of(view(tmp_path)), tmp_path).tool(CLOSE, {"id": "T-1"}) == ""


def test_a_packages_guard_may_refuse_and_its_failure_refuses_what_is_not_known_to_read(tmp_path: Path) -> None:
    def fussy(call: GuardedCall) -> str:
        return "not on a Friday" if call.tool == "deploy" else ""

    def broken(call: GuardedCall) -> str:
        raise RuntimeError

    for guard, said in ((fussy, "not on a Friday"), (broken, "the guard g failed: RuntimeError")):
        gate = Gate((("g", guard),))
        gate.take(SetRules(RULES))
        gate.take(SetRun(view(tmp_path)))
        hook = Hook(gate, tmp_path)
        assert hook.tool("deploy", {}) == said
        assert hook.tool("Read", {"file_path": "x"}) == ""
    assert hook.tool("Write", {"file_path": "src/x"}) == "the guard g failed: RuntimeError"


def test_memory_is_bounded() -> None:
    memory = Memory()
    hook = Hook(gate_of(view(Path("/w"))), Path("/w"))
    payload = {"tool_name": "Grep", "tool_input": {}, "tool_response": "x" * 60_000}
    from ganger.drivers.hooks import load_dialect

    asked = load_dialect("claude").read(HookEvent.post_tool, json.dumps(payload).encode())
    for _ in range(200):
        memory.use(asked)
    assert memory.chars <= 1 << 20
    assert reason(hook.raw(HookEvent.post_tool, json.dumps(payload).encode(), NOW_MS)) == ""
