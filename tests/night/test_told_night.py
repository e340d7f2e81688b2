"""What a person says to a worker on a real night: at its next tool call, in a turn of its own, or never."""

from __future__ import annotations

import json
from typing import Any

from builders import Fleet, ended

HOOK = """
hook() { printf '%s' "$2" | $GANGER_HOOK "$1" claude Read,Grep; }
used() { hook post-tool '{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"ls"}}'; }
"""
WAITS = (
    HOOK
    + """
cp "$GANGER_BRIEF_FILE" "$shared/brief.$GANGER_TURN"
touch "$shared/began.$GANGER_TURN"
if [ "$GANGER_TURN" = 1 ]; then
  while [ ! -e "$shared/go" ]; do sleep 0.05; done
fi
for n in 1 2 3; do used >> "$shared/heard.$GANGER_TURN"; echo >> "$shared/heard.$GANGER_TURN"; sleep 0.1; done
echo "worked in turn $GANGER_TURN" >> src/a.txt
commit work
"""
)


def begin(fleet: Fleet, script: str, more: str = "") -> None:
    """One item whose worker is a script, without walls, and a supervisor at work on it."""
    fleet.begin()
    fleet.shell_agent("default", script)
    jail = f'[jail]\nmechanism = "none"\ntier_min = "T0"\nwritable = ["{fleet.shared}"]\n'
    fleet.configure(more=f'[hooks]\ngate = "on"\n{jail}{more}')
    fleet.item("a")
    fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait((fleet.shared / "began.1").exists)


def over(fleet: Fleet) -> None:
    """Wait for the end of the night."""
    for process in fleet.started:
        assert ended(process).code == 0


def messages(fleet: Fleet) -> list[dict[str, Any]]:
    return list(fleet.json("show", "a.1")["messages"])


def heard(fleet: Fleet, turn: int) -> list[str]:
    """What a turn was told at its tool calls."""
    lines = (fleet.shared / f"heard.{turn}").read_text().splitlines()
    return [json.loads(line)["hookSpecificOutput"]["additionalContext"] for line in lines if line.strip()]


def test_a_worker_is_told_once_at_its_next_tool_call(fleet: Fleet) -> None:
    begin(fleet, WAITS)
    done = fleet.ganger("tell", "a", "use B, not A")
    assert done.code == 0, done
    assert done.out == "a.1 will be told with its next tool call, or in a turn of its own: ganger show a.1\n"
    assert [(row["state"], row["by"], row["due"]) for row in messages(fleet)] == [("queued", "dana", "steer")]
    (fleet.shared / "go").touch()
    over(fleet)
    assert heard(fleet, 1) == ["Said to you just now:\n- from dana: use B, not A"]
    (row,) = messages(fleet)
    assert (row["state"], row["turn"], row["at_work"]) == ("read", 1, 1)
    assert row["at_ms"] <= row["delivered_ms"] <= row["read_ms"]
    assert fleet.landed_items() == ["a"] and str(fleet.on_main("src/a.txt")).endswith("worked in turn 1\n")
    assert "told by dana (steer; read, turn 1): use B, not A\n" in fleet.ganger("show", "a.1").out
    assert "use B" not in fleet.ganger("inbox").both
    fleet.assert_sound()


def test_a_turn_that_ends_first_is_followed_by_one_that_is_told(fleet: Fleet) -> None:
    begin(fleet, WAITS)
    assert fleet.ganger("tell", "a.1", "and then B", "--after-turn").code == 0
    assert fleet.ganger("tell", "a.1", "when you come by", "--next-turn").code == 0
    (fleet.shared / "go").touch()
    over(fleet)
    assert heard(fleet, 1) == []
    said = "\n## Said to you\n\n- from dana: and then B\n- from dana: when you come by\n"
    assert said not in (fleet.shared / "brief.1").read_text()
    assert said in (fleet.shared / "brief.2").read_text()
    assert [(row["state"], row["turn"]) for row in messages(fleet)] == [("read", 2), ("read", 2)]
    assert fleet.on_main("src/a.txt") is not None
    assert str(fleet.on_main("src/a.txt")).endswith("worked in turn 1\nworked in turn 2\n")
    fleet.assert_sound()


ASKS = """
touch "$shared/began.$GANGER_TURN"
if [ "$GANGER_TURN" = 1 ]; then
  while [ ! -e "$shared/go" ]; do sleep 0.05; done
fi
ganger my-work > "$shared/work.1"
ganger my-work --json > "$shared/work.2"
echo worked >> src/a.txt
commit work
"""


def test_a_worker_that_asks_for_its_work_is_told_once_what_waits(fleet: Fleet) -> None:
    begin(fleet, ASKS)
    assert fleet.ganger("tell", "a", "use B, not A").code == 0
    assert fleet.ganger("tell", "a", "with its next turn", "--next-turn").code == 0
    (fleet.shared / "go").touch()
    over(fleet)
    first, again = (fleet.shared / "work.1").read_text(), json.loads((fleet.shared / "work.2").read_text())
    assert first.endswith("are checked.\n\nSaid to you just now:\n- from dana: use B, not A\n")
    assert (again["said"], first.startswith(again["brief"])) == ("", True)
    rows = messages(fleet)
    assert [(row["state"], row["turn"], row["at_work"]) for row in rows] == [("read", 1, 1), ("undeliverable", 0, 0)]
    assert fleet.landed_items() == ["a"]
    fleet.assert_sound()


def test_what_a_run_never_heard_is_shown(fleet: Fleet) -> None:
    begin(fleet, WAITS)
    assert fleet.ganger("tell", "a.1", "one more thing", "--next-turn").code == 0
    (fleet.shared / "go").touch()
    over(fleet)
    assert [row["state"] for row in messages(fleet)] == ["undeliverable"]
    seen = fleet.ganger("inbox")
    assert seen.code == 1
    assert "a.1 has ended without reading: one more thing\n    said by dana " in seen.out
    assert "never handed over" in seen.out
    done = fleet.ganger("tell", "a.1", "too late")
    assert done.code == 1 and "a.1 is no live run, and no item that has one" in done.err
    fleet.assert_sound()
