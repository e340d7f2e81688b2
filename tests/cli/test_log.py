"""`ganger log`: every agent's output in the same words, harmless, while it grows and when everything else is gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from builders import GANGER, Fleet, quoted

from ganger.cli.transcript import Transcript
from ganger.drivers.port import load_driver
from ganger.report.safe import printable

STREAMS = Path(__file__).parents[1] / "drivers" / "streams"
RECORDED = sorted(path for path in STREAMS.glob("*/*.jsonl") if path.parent.name != "acp")
SAID = ["  Creating the file.", "  ALL-DONE: work.txt is committed."]
COMMIT = "git add -A && git commit -q -m 'agent: add work.txt' && git log --oneline | head -1"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
"""What no terminal may be sent, besides the line feed."""


def lines_of(agent: str, printed: bytes, piece: int = 0) -> list[str]:
    """The lines shown of an output that comes in pieces of so many bytes."""
    transcript = Transcript(load_driver(agent), {})
    every = piece or max(len(printed), 1)
    shown = [line for at in range(0, len(printed), every) for line in transcript.lines(printed[at : at + every], False)]
    return [*shown, *transcript.lines(b"", True)]


@pytest.mark.parametrize("agent", sorted({path.parent.name for path in RECORDED}))
def test_every_agent_is_told_in_the_same_words(agent: str) -> None:
    shown = lines_of(agent, (STREAMS / agent / "basic.out.jsonl").read_bytes())
    assert [line for line in shown if line.startswith("  ")] == SAID
    uses = [line for line in shown if line.startswith("uses ")]
    assert len(uses) == 4
    assert "echo hello > work.txt" in uses[0] and COMMIT in uses[3]
    assert shown[-1].startswith("turn completed")
    failed = lines_of(agent, (STREAMS / agent / "error.out.jsonl").read_bytes())
    assert failed[-1].startswith("turn failed") and failed[-2].startswith("| "), "its own words say why"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.name}")
@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_it_may_come_in_any_pieces(path: Path, piece: int) -> None:
    printed = path.read_bytes()[:20_000]
    assert lines_of(path.parent.name, printed, piece) == lines_of(path.parent.name, printed)


def says(text: str) -> bytes:
    return json.dumps({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (says("fine\nturn completed, 1 tokens"), ["  fine", "  turn completed, 1 tokens"]),
        (b"turn completed\n", ["| turn completed"]),
        (b"  uses Bash: rm -rf /\n", ["|   uses Bash: rm -rf /"]),
        (b'{"type": "unknown"}\n\n', []),
        (b'{"type": "result", "subtype": "success", "is_error": tru', []),
        (b"killed by \xff\x1b[2J", ["| killed by \\xff\x1b[2J"]),
        (b"x" * (2 << 20), ["| " + "x" * (1 << 20) + " (cut)"]),
    ],
)
def test_nothing_it_prints_passes_for_words_of_ours(printed: bytes, shown: list[str]) -> None:
    assert lines_of("claude", printed) == shown


EVIL = "before \x1b[2J\x1b]0;owned\x07 \x9b31m\u202e after\rover"
EVENTS = "\n".join(
    json.dumps(event)
    for event in (
        {"event": "started", "session": "s1", "model": "m"},
        {"event": "message", "text": EVIL},
        {"event": "tool_call", "name": "bash\x1b[5m"},
        {"event": "usage", "tokens_in": 1200, "tokens_out": 34, "whole_turn": True},
        {"event": "turn_ended", "outcome": "completed"},
    )
)
TOLD = [
    "conversation s1, model m",
    f"  {printable(EVIL)}",
    r"uses bash\x1b[5m",
    r"| \x1b[31mraw",
    "turn completed, 1,234 tokens",
]


def evil(fleet: Fleet, begun: str = "true") -> None:
    """A plan of one item, whose agent prints events with all that a terminal would act on."""
    said = fleet.root / "agents" / "said.jsonl"
    fleet.shell_agent("default", "")
    said.write_text(EVENTS + "\n")
    first, last = EVENTS.rpartition("\n")[::2]
    (fleet.root / "agents" / "first").write_text(first + "\n\x1b[31mraw\n")
    (fleet.root / "agents" / "last").write_text(last + "\n")
    place = fleet.root / "agents"
    fleet.shell_agent(
        "told", f"cat {place}/first\n{begun}\necho x >> src/$item.txt; commit work\ncat {place}/last; ganger done >&2"
    )
    run = fleet.agents.pop("told")
    told = f'[agents.told]\ndriver = "command"\noutput = "events"\nrun = {quoted(run)}\n'
    fleet.configure(more=f"{told}")
    fleet.item("a", agent="told")


def test_no_control_byte_reaches_the_terminal_and_the_end_outlives_the_workspace(fleet: Fleet) -> None:
    fleet.begin()
    evil(fleet)
    assert fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet").code == 0
    assert not (fleet.state / "workspaces" / "a.1").exists(), "the worker and its workspace are gone"
    stored = next((fleet.state / "runs/a.1").glob("turn-1/output.log")).read_bytes()
    assert b"\x1b[31mraw" in stored, "it is kept as it was printed"
    whole = fleet.ganger("log", "a").out.splitlines()
    assert whole[:5] == TOLD
    assert fleet.ganger("log", "a", "-n", "2").out.splitlines() == whole[-2:]
    raw = fleet.ganger("log", "a", "--raw").out
    assert r"\x1b[31mraw" in raw and '"event": "message"' in raw
    assert fleet.ganger("log", "a", "--json", "--last", "2").code == 2
    pieces = fleet.ganger("log", "a", "--json").out
    events = [event for line in pieces.splitlines() for event in json.loads(line)["events"]]
    assert [event["event"] for event in events] == ["started", "message", "tool_call", "usage", "turn_ended"]
    for shown in ("\n".join(whole), raw, pieces):
        assert not CONTROL.search(shown)


def test_a_live_one_is_followed_in_those_words(fleet: Fleet) -> None:
    fleet.begin()
    evil(fleet, f"while [ ! -e {fleet.shared}/go ]; do sleep 0.05; done")
    night = fleet.start("run", str(fleet.plan()), "--trust", "--quiet")
    fleet.wait(lambda: (fleet.state / "runs/a.1/turn-1/output.log").exists())
    fleet.wait(lambda: len(fleet.ganger("log", "a").out.splitlines()) >= 4)
    following = fleet.start("log", "a", "-f", "-n", "2")
    assert following.stdout is not None
    begun = [following.stdout.readline().decode().rstrip("\n") for _ in range(2)]
    assert begun == TOLD[2:4], "what it printed last, while it still works"
    (fleet.shared / "go").touch()
    rest, _ = following.communicate(timeout=60)
    assert night.wait(60) == 0
    night.communicate()
    assert TOLD[4] in rest.decode().splitlines()


def test_an_item_is_followed_from_before_its_first_run(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent(
        "default",
        f"echo it is $item; while [ ! -e {fleet.shared}/go ]; do sleep 0.05; done\n"
        "echo x >> src/$item.txt; commit work; ganger done >&2",
    )
    fleet.configure(fleet="workers_max = 1\n")
    fleet.item("a")
    fleet.item("b", more='after = ["a"]')
    night = fleet.start("run", str(fleet.plan()), "--trust", "--quiet")
    fleet.wait(lambda: (fleet.state / "runs/a.1/turn-1/output.log").exists())
    refused = fleet.ganger("log", "b")
    assert (refused.code, refused.err) == (
        2,
        "ganger: item b has had no run yet\n\nganger why b says what it waits for\n",
    )
    following = fleet.start("log", "b", "--follow")
    assert following.stderr is not None
    assert following.stderr.readline() == b"item b has had no run yet: waiting for one\n"
    (fleet.shared / "go").touch()
    out, err = following.communicate(timeout=60)
    assert (following.returncode, out.splitlines()[0], err) == (0, b"it is b", b"")
    assert night.wait(60) == 0
    night.communicate()


def test_an_item_that_will_have_no_run_is_not_waited_for(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "ganger fail no >&2")
    fleet.configure()
    fleet.item("a")
    fleet.item("b", more="hold = 'draft'")
    fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet")
    assert fleet.ganger("log", "b", "--follow").err.startswith("ganger: item b has had no run yet\n")


@pytest.mark.parametrize("words", [("log",), ("status",), ("inbox", "--json")])
def test_who_reads_no_more_is_no_fault(fleet: Fleet, words: tuple[str, ...]) -> None:
    fleet.begin()
    evil(fleet)
    fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet")
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "wb") as gone:
        done = subprocess.run([*GANGER, *words], cwd=fleet.repo, env=fleet.env, stdout=gone, stderr=subprocess.PIPE)
    assert (done.returncode in (0, 1), done.stderr) == (True, b"")


def test_an_output_that_cannot_be_written_is_said(fleet: Fleet) -> None:
    fleet.begin()
    evil(fleet)
    fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*GANGER, "log"], cwd=fleet.repo, env=fleet.env, stdout=full, stderr=subprocess.PIPE)
    assert done.stderr == b"ganger: the output cannot be written: No space left on device\n"
    assert done.returncode == 70
