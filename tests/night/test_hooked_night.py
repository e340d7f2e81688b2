"""Hooks of a worker in its jail are answered by the gate of the supervisor, and what they told is in the journal."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from builders import Fleet

ASK = """
hook() { printf '%s' "$2" | $GANGER_HOOK "$1" claude Read,Grep >> "$shared/answers" 2>> "$shared/errors"
  echo " -> $?" >> "$shared/answers"; }
about='{"hook_event_name":"PreToolUse","cwd":"'"$PWD"'"'
write() { hook pre-tool "$about"',"tool_name":"Write","tool_input":{"file_path":"'"$1"'"}}'; }
sh_() { hook pre-tool "$about"',"tool_name":"Bash","tool_input":{"command":"'"$1"'"}}'; }
slowly() { printf '%s' '{"tool_name":"Write","tool_input":{"file_path":"'"$1"'"}}' \\
  | ganger hook pre-tool --agent claude >> "$shared/answers" 2>> "$shared/errors"
  echo " -> $?" >> "$shared/answers"; }
stop() { hook stop '{"hook_event_name":"Stop","cwd":"'"$PWD"'"}'; }
"""
WORK = (
    ASK
    + """
write src/a.txt
write src/b.txt
slowly src/a.txt
slowly src/b.txt
sh_ 'rm -rf src/b.txt'
sh_ 'git push origin main'
stop
echo x >> src/a.txt
stop
hook post-tool '{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"ls"},"duration_ms":7}'
commit work
stop
ganger done --summary x
stop
"""
)


def night(fleet: Fleet, script: str, mechanism: str = "auto", hooks: str = 'gate = "on"') -> None:
    """A night with one item, whose worker is a script in the jail that is named."""
    fleet.begin()
    fleet.shell_agent("default", script)
    tier = "T0" if mechanism == "none" else "T1"
    jail = f'[jail]\nmechanism = "{mechanism}"\ntier_min = "{tier}"\n'
    jail += f'writable = ["{fleet.shared}"]\nreadable = ["{fleet.root}/agents"]\n'
    fleet.configure(more=f"[hooks]\n{hooks}\n{jail}")
    fleet.item("a")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 0, done


def answers(fleet: Fleet) -> list[str]:
    """What each hook was answered, shortly, with its exit status."""
    found = []
    for line in (fleet.shared / "answers").read_text().splitlines():
        text, _, code = line.rpartition(" -> ")
        said = json.loads(text) if text.strip() else {}
        said = said.get("hookSpecificOutput", said)
        found.append(f"{code} {said.get('permissionDecisionReason', said.get('reason', ''))}".strip())
    return found


@pytest.mark.parametrize("mechanism", ["bubblewrap", "none"])
def test_a_worker_in_its_jail_is_answered(fleet: Fleet, mechanism: str) -> None:
    night(fleet, WORK, mechanism)
    outside = "src/b.txt is outside the scope src/a.txt; ask, or leave it"
    none = "Nothing is committed: commit your work, or say ganger fail or ganger done --outcome no_evidence."
    assert answers(fleet) == [
        "0",
        f"0 {outside}",
        "0",
        f"0 {outside}",
        f"0 {outside}",
        "0 nothing is pushed from a workspace: commit, and ganger fetches your branch itself",
        f"0 The turn is not over: {none}",
        f"0 The turn is not over: {none} Not committed: src/a.txt; commit or take back these changes.",
        "0",
        "0",
        "0",
    ]
    assert (fleet.shared / "errors").read_text() == ""
    told = [entry["event"] for entry in entries(fleet) if entry["event"]["type"] == "ToolsUsed"]
    uses = [use for event in told for use in event["uses"]]
    assert [(use["tool"], use.get("target", ""), bool(use.get("denied"))) for use in uses] == [
        ("Write", "src/b.txt", True),
        ("Bash", "rm -rf src/b.txt", True),
        ("Bash", "git push origin main", True),
        ("stop", "", True),
        ("stop", "", True),
        ("Bash", "ls", False),
    ]
    assert uses[-1]["took_ms"] == 7
    fleet.assert_sound()


def test_where_the_jail_has_no_sockets_the_slow_path_answers(fleet: Fleet) -> None:
    script = ASK.replace("claude Read,Grep", f"claude Read,Grep {sys.executable} -P -m ganger hook")
    night(fleet, f"{script}\nwrite src/a.txt\nwrite src/b.txt\nstop\necho x >> src/a.txt\ncommit work\n", "landlock")
    assert answers(fleet) == ["0", "0 src/b.txt is outside the scope src/a.txt; ask, or leave it", "0"]
    assert fleet.landed_items() == ["a"]


def test_hooks_can_be_off(fleet: Fleet) -> None:
    night(fleet, 'echo "[$GANGER_HOOK]" > "$shared/hook"\necho x >> src/a.txt\ncommit work', hooks='gate = "off"')
    assert (fleet.shared / "hook").read_text() == "[]\n"
    assert not (fleet.state / "gate").exists()


def entries(fleet: Fleet) -> list[dict[str, Any]]:
    """The journal."""
    printed = fleet.ganger("journal", "export").out
    return [json.loads(line) for line in printed.splitlines()]
