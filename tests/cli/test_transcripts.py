"""Flows as text: what is typed and what it prints, in `transcripts/*.txt`.

A transcript begins with the name of a setup below. A line `$ …` is a command; what follows is its output, then what it
printed to standard error with a `! ` before each line, and `[n]` when its exit status is not 0. What differs from time
to time stands in angle brackets. `GANGER_TRANSCRIPTS=write pytest tests/cli/test_transcripts.py` writes them anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Done, Fleet, ended

FOLDER = Path(__file__).parent / "transcripts"
WORK = "echo worked >> src/$item.txt; commit work; ganger done --summary 'It is made.'"


def empty(fleet: Fleet) -> None:
    """A repository, and nothing of ganger's."""
    fleet.begin({"src/a.txt": "a\n", "src/b.txt": "b\n", "README.md": "hello\n"})


def planned(fleet: Fleet, script: str = WORK, more: str = "") -> None:
    """Two items, the second after the first, one worker at a time."""
    empty(fleet)
    fleet.shell_agent("sh", script)
    fleet.configure(checks={"unit": "test -e README.md"}, fleet="workers_max = 1\n", more=more)
    brief = 'brief = "Write a line into the file, so that one sees that it was done."\n'
    fleet.item("a", agent="sh", more=brief + "budget = { attempts_max = 1 }")
    fleet.item("b", agent="sh", more=brief + 'after = ["a"]')
    fleet.plan().rename(fleet.repo / "plan.toml")


def asking(fleet: Fleet) -> None:
    """The first item's worker asks before it works."""
    ask = "ganger ask 'Which colour?' --option red --option 'dark blue' --recommend red --risk 'It is hard to change.'"
    planned(fleet, f"[ $GANGER_RUN.$GANGER_TURN = a.1.1 ] && {{ {ask}; exit; }}\n{WORK}")


def straying(fleet: Fleet) -> None:
    """Each worker also changes a file that it must not."""
    planned(fleet, "echo worked >> src/$item.txt; echo more >> README.md; commit work; ganger done")


def dirty(fleet: Fleet) -> None:
    """The target is checked out, with a change of the user's."""
    planned(fleet)
    fleet.write({"src/b.txt": "mine\n"})


def careful(fleet: Fleet) -> None:
    """Each landing waits for a person's word."""
    planned(fleet, more='[landing]\nmode = "ask"\n')


def laned(fleet: Fleet) -> None:
    """Two lanes that may be given instead of each other, and no fleet yet."""
    lanes = '[lanes]\nautopick = ["docs", "src"]\n[lanes.docs]\npaths = ["docs/**"]\n[lanes.src]\npaths = ["src/**"]\n'
    planned(fleet, more=lanes)


SETUPS: dict[str, Callable[[Fleet], None]] = {
    function.__name__: function for function in (empty, planned, asking, straying, dirty, careful, laned)
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(fleet: Fleet, here: Callable[..., Done], path: Path) -> None:
    lines = path.read_text().splitlines()
    SETUPS[lines[0].removeprefix("# ")](fleet)
    found = [lines[0]]
    for line in lines[1:]:
        if line.startswith("$ "):
            found += ["", line, *played(fleet, here, shlex.split(line.removeprefix("$ ")))]
    text = "\n".join(found) + "\n"
    assert "this is a fault of ganger" not in text
    if os.environ.get("GANGER_TRANSCRIPTS") == "write":
        path.write_text(text)
    assert text == path.read_text()


def played(fleet: Fleet, here: Callable[..., Done], words: list[str]) -> list[str]:
    """Run one line of a transcript and give what it printed, with stable names for what is not."""
    if words[0] == "ganger" and words[1:2] in (["run"], ["up"], ["down"], ["diff"]):
        done = fleet.ganger(*words[1:])
    elif words[0] == "ganger":
        done = here(*words[1:])
    else:
        pipe = subprocess.PIPE
        done = ended(subprocess.Popen(words, cwd=fleet.repo, env=fleet.env, stdout=pipe, stderr=pipe))
    lines = steady(fleet, done.out).splitlines()
    lines += [f"! {line}".rstrip() for line in steady(fleet, done.err).splitlines()]
    return lines + ([f"[{done.code}]"] if done.code else [])


def steady(fleet: Fleet, text: str) -> str:
    """Put names for what differs from run to run: places, times, commits, process ids, durations."""
    for place, name in ((fleet.state, "<state>"), (fleet.repo, "<repo>"), (fleet.root, "<root>")):
        text = text.replace(str(place), name)
    for pattern, name in (
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "<when>"),
        (r"(?m)^\d\d:\d\d:\d\d\b", "<time>"),
        (r"T1 \((?:bubblewrap|Landlock)[^)]*\)", "T1 (<mechanism>)"),
        (r"(_ms\": )\d{13}\b", r"\1<when>"),
        (r"\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{12}|[0-9a-f]{16})\b", "<commit>"),
        (r"\bindex [0-9a-f]+\.\.[0-9a-f]+", "index <blobs>"),
        (r"\b(pid|supervisor) \d+", r"\1 <pid>"),
        (r"\bon \S+ \(ganger", "on <host> (ganger"),
        (r"(?<![\w.])\d+(?:m\d+)?s\b", "<span>"),
        (r"\btoken \d+", "token <token>"),
        (r" +<when> +", " <when> "),
        (r" +<span>", " <span>"),
        (r"<span> +", "<span> "),
    ):
        text = re.sub(pattern, name, text)
    return text
