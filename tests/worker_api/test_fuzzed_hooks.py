"""Payloads of any kind: none ends the gate, none opens it, and none keeps it busy."""

from __future__ import annotations

import json
import os
import posixpath
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hooked_run import NOW_MS, OTHER, RUN, SECRET, Hook, gate_of, reason, view

from ganger.drivers.hooks import Act, HookEvent, load_dialect, what_is_done
from ganger.worker_api.gate import AGAIN, FORGED, STALE
from ganger.worker_api.views import Header, read_header, write_header

COUNT = int(os.environ.get("GANGER_FUZZED_HOOKS", "100000"))
SEED = int(os.environ.get("GANGER_SEED", "1"))
VALUES: tuple[Any, ...] = (
    *("", "src/a.py", "docs/x.md", "./src/../docs/x.md", "/etc/passwd", "src/\ud800", "a\0b", ".git/config", "~/x"),
    *(
        None,
        True,
        0,
        -1,
        1e308,
        2**70,
        [],
        {},
        ["src/a.py", "docs/x.md"],
        {"file_path": "docs/x.md"},
        [[[]]],
        "x" * 3_000,
    ),
)
NAMES = ("Write", "Edit", "MultiEdit", "Bash", "Read", "Grep", "NotebookEdit", "mcp__x__put", "", "write", "Task")
KEYS = ("file_path", "path", "command", "notebook_path", "edits", "cwd", "content", "tool_name", "tool_input")
COMMANDS = (
    "ls",
    "rm -rf docs",
    "echo x > docs/x.md",
    "cd $X && rm y",
    "git push",
    "echo 'x",
    "a $(b `c",
    ">",
    "x <<E\n",
)
BYTES = (
    b"{",
    b"}",
    b'"',
    b"\\",
    b",",
    b":",
    b"NaN",
    b"[[[[",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"1e999",
    b"\n",
    b"0" * 40,
)


def payload(chance: random.Random, cwd: str) -> bytes:
    """A payload: a well-formed one, one with strange values, or one whose bytes are broken."""
    arguments: dict[str, Any] = {"file_path": chance.choice(("src/a.py", "docs/x.md", "../x", "src/b"))}
    name = chance.choice(NAMES)
    if name == "Bash":
        arguments = {"command": chance.choice(COMMANDS)}
    for _ in range(chance.choice((0, 0, 1, 2))):
        arguments[chance.choice(KEYS)] = chance.choice(VALUES)
    found: dict[str, Any] = {"cwd": cwd, "hook_event_name": "PreToolUse", "tool_name": name, "tool_input": arguments}
    if chance.random() < 0.2:
        found[chance.choice((*found, "x"))] = chance.choice(VALUES)
    text = json.dumps(found).encode()
    if chance.random() < 0.5:
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(BYTES) + text[at + chance.choice((0, 0, 1, 1, 20)) :]
    return text


def would_write_outside(text: bytes, workspace: str) -> bool:
    """Whether an agent that reads leniently would write outside `src`, or nobody can read what it would do."""
    try:
        found = json.loads(text)
        tool = found["tool_name"]
        key = "notebook_path" if tool == "NotebookEdit" else "file_path"
        if tool not in ("Write", "Edit", "MultiEdit", "NotebookEdit"):
            return False
        arguments = found["tool_input"]
        cwd = found["cwd"] if isinstance(found.get("cwd"), str) else workspace
        full = posixpath.normpath(posixpath.join(workspace, cwd, arguments[key]))
    except (ValueError, RecursionError, KeyError, TypeError):
        return True
    return not full.startswith(f"{workspace}/src/")


@pytest.mark.slow
def test_no_payload_opens_the_gate_or_ends_it(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    (workspace / "src").mkdir(parents=True)
    hook = Hook(gate_of(view(workspace)), workspace)
    chance = random.Random(SEED)
    took: list[float] = []
    denied = allowed = 0
    for _ in range(COUNT):
        text = payload(chance, str(workspace))
        began = time.perf_counter()
        answer = hook.raw(HookEvent.pre_tool, text)
        took.append(time.perf_counter() - began)
        if len(took) % 64 == 0:
            hook.gate.out.clear()
        why = reason(answer)
        assert "a fault of ganger" not in why, text
        if why:
            denied += 1
        else:
            allowed += 1
            assert not would_write_outside(text, str(workspace)), text
    assert denied > COUNT / 4
    assert allowed > COUNT / 10
    took.sort()
    assert took[int(len(took) * 0.99)] < 0.005


HUGE: dict[str, Callable[[], bytes]] = {
    "100 MB": lambda: b'{"tool_name":"Write","tool_input":{"file_path":"' + b"x" * 100_000_000 + b'"}}',
    "100,000 deep": lambda: b'{"tool_name":"Write","tool_input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects deep": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of a million digits": lambda: b'{"tool_name":"Write","x":' + b"9" * 1_000_000 + b"}",
    "not a number": lambda: b'{"tool_name":"Write","tool_input":{"file_path":"src/a.py","x":NaN}}',
    "one name twice": lambda: b'{"tool_name":"Read","tool_name":"Write","tool_input":{"file_path":"src/a.py"}}',
    "one name twice, inside": lambda: b'{"tool_name":"Write","tool_input":{"file_path":"src/a","file_path":"docs/x"}}',
    "half a character": lambda: b'{"tool_name":"Write","tool_input":{"file_path":"src/\\ud800"}}',
    "no text": lambda: b'{"tool_name":"Write","tool_input":{"file_path":"\xff"}}',
    "nothing": lambda: b"",
    "a list": lambda: b"[]",
    "another event": lambda: b'{"hook_event_name":"Stop","tool_name":"Write","tool_input":{"file_path":"src/a.py"}}',
    "no tool": lambda: b'{"tool_input":{"file_path":"src/a.py"}}',
    "no file": lambda: b'{"tool_name":"Write","tool_input":{}}',
    "no command": lambda: b'{"tool_name":"Bash","tool_input":{}}',
    "arguments that are no object": lambda: b'{"tool_name":"Write","tool_input":[1]}',
    "a shell that never ends its quotes": lambda: json.dumps(
        {"tool_name": "Bash", "tool_input": {"command": "echo '" + "$(" * 50_000 + " > docs/x.md"}}
    ).encode(),
}


@pytest.mark.parametrize("name", HUGE)
def test_monstrous_payloads_are_denied_at_once(tmp_path: Path, name: str) -> None:
    hook = Hook(gate_of(view(tmp_path)), tmp_path)
    text = HUGE[name]()
    began = time.perf_counter()
    denied = reason(hook.raw(HookEvent.pre_tool, text))
    assert time.perf_counter() - began < 0.5
    assert denied or name.startswith("a shell"), name
    assert reason(hook.raw(HookEvent.stop, b"{")) == ""


def test_forged_replayed_and_foreign_calls_are_refused(tmp_path: Path) -> None:
    other = "0f" * 32
    gate = gate_of(view(tmp_path / "a"), view(tmp_path / "b", run=OTHER, secret=other))
    write = json.dumps(
        {"cwd": str(tmp_path / "a"), "tool_name": "Write", "tool_input": {"file_path": "src/x"}}
    ).encode()
    read = json.dumps({"tool_name": "Read", "tool_input": {"file_path": "src/x"}}).encode()

    def ask(text: bytes, number: int, run: str = RUN, secret: str = SECRET, token: int = 7) -> str:
        header = Header(HookEvent.pre_tool, "claude", run, token, secret, f"{number:032x}", len(text))
        return reason(gate.question(header, text, NOW_MS))

    assert ask(write, 1) == ""
    assert ask(write, 1) == AGAIN
    assert ask(write, 2, token=6) == STALE
    assert ask(write, 2, token=8) == STALE
    assert ask(read, 3, token=6) == ""
    chance = random.Random(SEED)
    secrets = [other, "", "0" * 64, SECRET[:-1], SECRET + "0", SECRET.upper()]
    for number in range(10_000):
        wrong = chance.choice([*secrets, f"{chance.getrandbits(256):064x}"])
        assert ask(write, 10 + number, secret=wrong) == FORGED
        assert ask(read, 10 + number, secret=wrong) == FORGED
    assert ask(write, 4, run=OTHER, secret=SECRET) == FORGED
    assert ask(write, 4, run="c.1") == FORGED
    assert ask(write, 5) == ""


def test_a_header_is_read_strictly() -> None:
    header = Header(HookEvent.stop, "codex", "a.1", 7, SECRET, "0" * 32, 12)
    line = write_header(header)
    assert read_header(line) == header
    chance = random.Random(SEED)
    for _ in range(5_000):
        at = chance.randrange(len(line))
        broken = line[:at] + chance.choice((b"", b" ", b"\0", b"\xff", b"\n")) + line[at + 1 :]
        found = read_header(broken)
        assert found is None or write_header(found) == broken


@pytest.mark.parametrize("agent", ["claude", "codex", "copilot", "gemini", "openhands", "opencode", "pi", "qwen"])
def test_reading_arguments_is_total(agent: str) -> None:
    dialect, chance = load_dialect(agent), random.Random(SEED)
    tools = (*dialect.reads, *dialect.shells, *dialect.writes, "unknown")
    for _ in range(2_000):
        arguments = {chance.choice((*KEYS, "patch", "input", "files")): chance.choice(VALUES) for _ in range(3)}
        try:
            act, paths, command = what_is_done(dialect, chance.choice(tools), arguments)
        except ValueError:
            continue
        assert (act is Act.write) == bool(paths)
        assert act is Act.shell or not command
