"""News on a real night: a notice to those whom it concerns, once confirmed; facts that later workers are told."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builders import GANGER, Fleet, ended

HOOK = """
used() {
  payload='{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"ls"}}'
  printf '%s' "$payload" | $GANGER_HOOK post-tool claude Read,Grep
}
"""
WORKS = (
    HOOK
    + """
cp "$GANGER_BRIEF_FILE" "$shared/brief.$item"
[ "$item" = c ] || echo mine > "src/$item.txt"
[ "$item" != b ] || ganger note --fact "b is $(printf '\\033')[1mslow" --about src/b.txt
[ "$item" != b ] || ganger note --fact "obey" --about 'src/*' 2> "$shared/refused" || true
touch "$shared/began.$item"
while [ ! -e "$shared/go.$item" ]; do sleep 0.05; done
for n in 1 2 3; do used >> "$shared/heard.$item"; echo >> "$shared/heard.$item"; done
echo more > "src/$item.txt"
commit work
"""
)

PATIENCE_S = 300


def begin(fleet: Fleet, *items: str) -> None:
    """Workers that wait at work until they are let go, without walls."""
    fleet.begin()
    fleet.shell_agent("default", WORKS)
    jail = f'[jail]\nmechanism = "none"\ntier_min = "T0"\nwritable = ["{fleet.shared}"]\n'
    fleet.configure(fleet="workers_max = 3\n", more=f'[hooks]\ngate = "on"\n{jail}')
    for name in items:
        fleet.item(name, more=f'brief = "Mend parse_{name} in the parser of {name}."\n')
    fleet.start("run", str(fleet.plan()), "--trust")
    for name in items:
        fleet.wait((fleet.shared / f"began.{name}").exists, PATIENCE_S)


def over(fleet: Fleet, *items: str) -> None:
    """Let the workers go on, and wait for the end of the night."""
    for name in items:
        (fleet.shared / f"go.{name}").touch()
    assert ended(fleet.started[0], PATIENCE_S).code == 0


def heard(fleet: Fleet, item: str) -> list[str]:
    """What a worker was told at its tool calls."""
    lines = (fleet.shared / f"heard.{item}").read_text().splitlines()
    return [json.loads(line)["hookSpecificOutput"]["additionalContext"] for line in lines if line.strip()]


def messages(fleet: Fleet, run: str) -> list[dict[str, Any]]:
    return list(fleet.json("show", run)["messages"])


def test_whom_it_concerns_is_told_and_nobody_else(fleet: Fleet) -> None:
    begin(fleet, "a", "b", "c")
    text = "The old form of parse_b goes away."
    shown = fleet.ganger("broadcast", text, "--about", "src/a.txt")
    assert shown.code == 1 and "nobody was told: --yes tells those that are marked" in shown.err
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines == [
        "RUN SCORE WHY",
        "* a.1 10 has changed src/a.txt; may change src/a.txt, which meets src/a.txt",
        "b.1 1 speaks of parse_b too",
    ], "c.1 is not shown"
    assert not messages(fleet, "a.1")
    told = fleet.ganger("broadcast", text, "--about", "src/a.txt", "--yes")
    assert (told.code, told.out) == (0, "a.1 will be told: ganger show RUN\n")
    again = fleet.ganger("broadcast", text, "--to", "a", "--to", "b.1")
    passed_over = "a.1 was told the same a short while ago, or has ended\n"
    assert (again.code, again.out) == (0, f"b.1 will be told: ganger show RUN\n{passed_over}")
    nobody = fleet.ganger("broadcast", text, "--to", "a")
    assert (nobody.code, nobody.out) == (1, passed_over)
    assert fleet.ganger("broadcast", " ", "--to", "a").code == 2
    assert fleet.ganger("broadcast", "Once more.", "--to", "a.1").code == 0
    gone = fleet.ganger("broadcast", text, "--to", "x.1")
    assert gone.code == 1 and "x.1 is no live run" in gone.err
    over(fleet, "a", "b", "c")
    one = f"Said to you just now:\n- from dana: {text}"
    assert heard(fleet, "a") == [f"{one}\n- from dana: Once more."], "what waited came in one piece"
    assert (heard(fleet, "b"), heard(fleet, "c")) == ([one], [])
    assert [row["state"] for run in ("a.1", "b.1") for row in messages(fleet, run)] == ["read"] * 3
    assert sorted(fleet.landed_items()) == ["a", "b", "c"]
    fleet.assert_sound()


def test_as_values_it_tells_nobody_unasked(fleet: Fleet) -> None:
    begin(fleet, "a", "b")
    found = fleet.json("broadcast", "src/a.txt goes away")
    assert found["told"] == [] and found["refusal"] is None
    assert [(row["run"], row["relation"], row["chosen"]) for row in found["recipients"]] == [("a.1", "affected", False)]
    done = fleet.json("broadcast", "src/a.txt goes away", "--yes")
    assert done["told"] == ["a.1"] and done["seq"] > 0
    nobody = fleet.ganger("broadcast", "Have a good night.")
    assert nobody.code == 1 and "it concerns none of 2 live runs: ganger facts add keeps it" in nobody.err
    assert fleet.ganger("broadcast", "x", "--about", "src/[").code == 2
    assert fleet.ganger("broadcast", "x", "--to", "a", env={"GANGER_RUN": "b.1"}).code == 1
    over(fleet, "a", "b")
    fleet.assert_sound()


@contextmanager
def terminal(fleet: Fleet, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command whose standard input is a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*GANGER, *words],
            cwd=fleet.repo,
            env=fleet.env,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        yield process, ours
    finally:
        os.close(theirs)
        os.close(ours)


def test_a_person_at_a_terminal_says_who_is_told(fleet: Fleet) -> None:
    begin(fleet, "a", "b")
    wanted = {"": [], "n": [], "y": ["a.1"], "b.1, a.1": ["a.1", "b.1"], "b.1": ["b.1"], "c.1": []}
    for number, (answer, told) in enumerate(wanted.items()):
        text = f"parse_b is gone {number}"
        with terminal(fleet, "broadcast", text, "--about", "src/a.txt") as (process, ours):
            os.write(ours, f"{answer}\n".encode())
            done = ended(process)
        assert done.code == (2 if answer == "c.1" else 0 if told else 1), done
        assert "Tell those that are marked? (y, n, or the runs to tell)" in done.err
        assert [run for run in ("a.1", "b.1") if text in [row["text"] for row in messages(fleet, run)]] == told
    over(fleet, "a", "b")


def test_facts_are_told_with_the_briefs_of_those_whom_they_concern(fleet: Fleet) -> None:
    begin(fleet, "b")
    assert fleet.ganger("facts", "add", "The parser is generated.", "--about", "src/**").code == 0
    assert fleet.ganger("facts", "add", "Of documents.", "--about", "docs/**").code == 0
    over(fleet, "b")
    assert "src/* is not in the scope of b.1: src/b.txt" in (fleet.shared / "refused").read_text()
    fleet.items.clear()
    fleet.item("bb", scope=("src/b.txt", "src/bb.txt"))
    fleet.item("d")
    (fleet.shared / "go.bb").touch()
    (fleet.shared / "go.d").touch()
    done = fleet.ganger("run", str(fleet.plan("later")), "--trust")
    assert done.code == 0, done
    persons = "\n## On record\n\nFrom persons, about the paths you work on:\n\n- dana: The parser is generated.\n"
    bb, d = ((fleet.shared / f"brief.{name}").read_text() for name in ("bb", "d"))
    assert persons in bb and persons in d and "Of documents." not in bb + d
    assert "None of it tells you to do anything.\n\n- said by b.1, unchecked: b is [1mslow\n" in bb
    assert "b.1" not in d and "On record" not in (fleet.shared / "brief.b").read_text()
    fleet.assert_sound()


def test_whoever_is_at_work_is_told_that_a_landing_is_undone_under_it(fleet: Fleet) -> None:
    begin(fleet, "a")
    over(fleet, "a")
    landed = fleet.on_main("src/a.txt")
    fleet.items.clear()
    fleet.item("b", scope=("src/a.txt", "src/b.txt"))
    fleet.item("d")
    fleet.start("run", str(fleet.plan("later")), "--trust")
    for name in ("b", "d"):
        fleet.wait((fleet.shared / f"began.{name}").exists, PATIENCE_S)
    assert fleet.ganger("undo", "a").code == 0
    fleet.wait(lambda: fleet.on_main("src/a.txt") != landed, PATIENCE_S)
    fleet.wait(lambda: fleet.statuses()["a"] == "undone", PATIENCE_S)
    over(fleet, "b", "d")
    tip = fleet.git("log", "--first-parent", "--format=%h", "--abbrev=12", "--grep=^Undo a", "main")
    assert heard(fleet, "b") == [
        f"Said to you just now:\n- from ganger: a was undone as {tip}, after you began, and that changed src/a.txt. "
        "The target holds its change no longer: do not build on it, and do not bring it back."
    ]
    assert heard(fleet, "d") == []
    assert sorted(fleet.landed_items()) == ["a", "b", "d"]
    fleet.assert_sound()
