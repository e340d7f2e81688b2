"""Every recorded hook of every agent is read, and what is answered is what that agent understands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganger.drivers.hook_opencode import plugin
from ganger.drivers.hook_pi import extension
from ganger.drivers.hooks import (
    DIALECTS,
    Act,
    Allow,
    Answer,
    Asked,
    Deny,
    HookEvent,
    NotAPayload,
    Tell,
    hook_command,
    load_dialect,
    settings_like_claude,
    what_is_done,
)

DATA = Path(__file__).parent / "data"
AGENTS = ("claude", "codex", "copilot", "gemini", "openhands", "qwen")
NEXT = {"first.txt": "agent: first", "second.txt": "agent: second", "fine.txt": "agent: fine"}


def recorded(agent: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of the recordings of one agent, with what stood on a hook's standard input."""
    for part in ("deny", "stop"):
        for line in (DATA / f"{agent}.{part}.jsonl").read_text().splitlines():
            found = json.loads(line)
            yield found["event"], found["stdin"]


@pytest.mark.parametrize("agent", AGENTS)
def test_recorded_hooks_are_read(agent: str) -> None:
    dialect = load_dialect(agent)
    events = {name: event for event, name in dialect.events.items()}
    read: list[Asked] = []
    for name, stdin in recorded(agent):
        if name in events:
            read.append(dialect.read(events[name], json.dumps(stdin).encode()))
    assert {asked.event for asked in read} == set(HookEvent)
    tools = [asked for asked in read if asked.tool]
    assert {asked.act for asked in tools} == {Act.shell}
    assert {asked.command for asked in tools} >= {"echo forbidden > forbidden.txt"}
    assert {asked.cwd for asked in read} == {"/example/repo"}
    used = [asked for asked in tools if asked.event is HookEvent.post_tool]
    assert used and not any(asked.failed for asked in used)


@pytest.mark.parametrize("agent", AGENTS)
def test_another_events_payload_is_not_taken(agent: str) -> None:
    dialect = load_dialect(agent)
    names = {name: event for event, name in dialect.events.items()}
    if agent == "copilot":
        pytest.skip("its payloads do not name their event")
    for name, stdin in recorded(agent):
        for event in HookEvent:
            if dialect.events[event] != name and (name in names or event is HookEvent.stop):
                with pytest.raises(NotAPayload):
                    dialect.read(event, json.dumps(stdin).encode())


DENIED, KEPT, TOLD = Deny("no"), Deny("stay"), Tell("know")
LIKE_CLAUDE = {
    "hookEventName": "PreToolUse",
    "permissionDecision": "deny",
    "permissionDecisionReason": "no",
}


@pytest.mark.parametrize(
    ("agent", "event", "answer", "text"),
    [
        *((agent, HookEvent.pre_tool, Allow(), None) for agent in DIALECTS),
        *(
            (agent, HookEvent.pre_tool, DENIED, {"hookSpecificOutput": LIKE_CLAUDE})
            for agent in ("claude", "codex", "qwen")
        ),
        *(
            (agent, HookEvent.pre_tool, DENIED, {"decision": "deny", "reason": "no"})
            for agent in ("gemini", "openhands", "opencode", "pi")
        ),
        (
            "copilot",
            HookEvent.pre_tool,
            DENIED,
            {"permissionDecision": "deny", "permissionDecisionReason": "no"},
        ),
        *(
            (agent, HookEvent.stop, KEPT, {"decision": "block", "reason": "stay"})
            for agent in ("claude", "codex", "qwen", "copilot")
        ),
        *(
            (agent, HookEvent.stop, KEPT, {"decision": "deny", "reason": "stay"})
            for agent in ("gemini", "openhands", "pi")
        ),
        *((agent, HookEvent.stop, Allow(), None) for agent in DIALECTS),
        *(
            (
                agent,
                HookEvent.session_start,
                TOLD,
                {"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": "know"}},
            )
            for agent in ("claude", "codex", "gemini", "qwen", "openhands")
        ),
        ("copilot", HookEvent.session_start, TOLD, {"additionalContext": "know"}),
        ("copilot", HookEvent.prompt, TOLD, None),
        ("claude", HookEvent.stop, TOLD, None),
        ("claude", HookEvent.post_tool, DENIED, None),
    ],
)
def test_answers(agent: str, event: HookEvent, answer: Answer, text: dict[str, Any] | None) -> None:
    written = load_dialect(agent).answer(event, answer)
    assert (json.loads(written) if written else None) == text


@pytest.mark.parametrize(
    ("agent", "tool", "arguments", "act", "paths"),
    [
        ("claude", "Read", {"file_path": "a"}, Act.read, ()),
        ("claude", "Write", {"file_path": "a", "content": "b"}, Act.write, ("a",)),
        ("claude", "NotebookEdit", {"notebook_path": "a"}, Act.write, ("a",)),
        (
            "codex",
            "apply_patch",
            {"command": "*** Begin Patch\n*** Add File: a b\n+x\n*** Move to: c\n"},
            Act.write,
            ("a b", "c"),
        ),
        ("codex", "Bash", {"command": ["bash", "-lc", "ls"]}, Act.shell, ()),
        ("gemini", "replace", {"file_path": "/w/a"}, Act.write, ("/w/a",)),
        ("gemini", "read_file", {"absolute_path": "/w/a"}, Act.read, ()),
        ("copilot", "create", {"path": "a"}, Act.write, ("a",)),
        ("copilot", "view", {"path": "a"}, Act.read, ()),
        ("openhands", "file_editor", {"command": "view", "path": "a"}, Act.read, ()),
        ("openhands", "file_editor", {"command": "create", "path": "a"}, Act.write, ("a",)),
        ("opencode", "edit", {"filePath": "a"}, Act.write, ("a",)),
        ("opencode", "apply_patch", {"patchText": "*** Update File: a\n@@\n"}, Act.write, ("a",)),
        ("pi", "edit", {"path": "a", "edits": []}, Act.write, ("a",)),
        ("qwen", "write_file", {"file_path": "a"}, Act.write, ("a",)),
        ("claude", "mcp__x__y", {"id": "1"}, Act.other, ()),
        ("claude", "mcp__x__y", {"files": [{"path": "a"}, "b"]}, Act.write, ("a", "b")),
        ("claude", "mcp__x__y", {"patch": "--- a/x\n+++ b/y\n"}, Act.write, ("x", "y")),
    ],
)
def test_what_a_tool_does(agent: str, tool: str, arguments: dict[str, Any], act: Act, paths: tuple[str, ...]) -> None:
    found = what_is_done(load_dialect(agent), tool, arguments)
    assert found[:2] == (act, paths)


def test_a_shell_that_is_told_where_it_runs() -> None:
    payload = {"cwd": "/w", "tool_name": "Bash", "tool_input": {"command": "ls", "workdir": "sub"}}
    assert load_dialect("codex").read(HookEvent.pre_tool, json.dumps(payload).encode()).cwd == "/w/sub"


def test_settings_name_one_command_an_event_and_no_secret() -> None:
    dialect = load_dialect("claude")
    made = settings_like_claude(
        dialect, lambda event: hook_command("'/opt/a b/ganger-hook'", dialect, event, ("/py", "-m", "ganger", "hook"))
    )
    assert set(made) == {"PreToolUse", "PostToolUse", "Stop", "SessionStart", "UserPromptSubmit"}
    [entry] = made["PreToolUse"]  # type: ignore[misc]
    assert entry["matcher"] == "*"
    command = entry["hooks"][0]["command"]
    assert command.startswith("'/opt/a b/ganger-hook' pre-tool claude Agent,BashOutput,")
    assert command.endswith(" /py -m ganger hook")


def test_plugins_hold_their_commands() -> None:
    assert '{"pre-tool": "/x \'a\\"b\'", "post-tool": "/y"}' in plugin("/x 'a\"b'", "/y")
    assert '"stop": "/c stop"' in extension(lambda event: f"/c {event}")


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_told_is_told_exactly_where_its_model_hears_it(name: str) -> None:
    """What is claimed for an event whose answer the agent does not read would be lost."""
    dialect = load_dialect(name)
    assert dialect.hears - {HookEvent.session_start, HookEvent.prompt} <= dialect.events.keys()
    for event in dialect.events:
        assert (b"use B" in dialect.answer(event, Tell("use B"))) is (event in dialect.hears), event
    tells_at_work = HookEvent.post_tool in dialect.hears
    assert tells_at_work is (name != "openhands")
