"""`ganger trace`: the whole story behind a name, and everything of it that is missing or does not match (RO3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from kept_fleet import KeptFleet

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId, QuestionId, RunId
from ganger.core.model import CheckState, EndKind
from ganger.errors import UsageError
from ganger.report.trace import Trace
from ganger.service.kept import DataClass
from ganger.service.prune import carry_out, prunings
from ganger.testing.builders import TIP


def told(story: Trace) -> list[str]:
    """What the lines say, without the lines' details."""
    return [f"{line.role}: {line.text}" for line in story.lines]


def types(story: Trace) -> list[str]:
    return [line.type for line in story.lines]


def missing(story: Trace) -> list[str]:
    return [one.text for one in story.mismatches]


def test_from_the_item_to_the_landing(fleet: KeptFleet) -> None:
    candidate = fleet.landed("a.1")
    story = fleet.trace("a")
    assert told(story) == [
        "person: plan plan: A plan",
        "person: item a added: A",
        "supervisor: a.1 granted src/** on bbbbbbbbbbbb",
        "supervisor: a.1 turn 1: worker started, pid 101",
        "worker: a.1 says done: all good",
        "supervisor: a.1 turn 1: worker exited with 0",
        f"supervisor: a.1 turn 1: candidate {candidate[:12]} changes src/a.py",
        "supervisor: a.1 accepted: checked",
        "supervisor: train of a.1 passed: dddddddddddd on bbbbbbbbbbbb",
        "supervisor: landing of a.1 started: bbbbbbbbbbbb to dddddddddddd",
        "supervisor: a.1 landed as dddddddddddd",
    ]
    details = [detail for line in story.lines for detail in line.details]
    assert details[0] == f"lease: token {fleet.tokens['a.1']}, exclusive, src/**"
    assert details[1] == f"manifest: agent default, tier T0, network open, token {fleet.tokens['a.1']}"
    assert details[2].startswith("prompt: sha256 ") and details[2].endswith(", runs/a.1/turn-1/brief.1.md")
    assert details[3:6] == [
        "output: runs/a.1/turn-1/output.log",
        f"commits: base bbbbbbbbbbbb, candidate {candidate[:12]}, tree eeeeeeeeeeee",
        "check unit: passed, exit 0, 1 s; runs/a.1/turn-1/checks/unit.log",
    ]
    assert (story.what, story.runs, story.mismatches, story.pruned) == ("item", ("a.1",), (), ())
    assert [line.seq for line in story.lines] == sorted(line.seq for line in story.lines)
    assert all(line.at_ms for line in story.lines)


def test_the_acts_of_persons_are_told_apart(fleet: KeptFleet) -> None:
    fleet.start("a.1")
    fleet.do(cmd.AskQuestion(RunId("a.1"), fleet.tokens["a.1"], "which?", ("x", "y")), "worker:a.1")
    fleet.do(cmd.RecordExit(RunId("a.1"), fleet.tokens["a.1"], 1, 0))
    fleet.do(cmd.ControlPlan(PlanId("plan"), "pause"), "person:olga")
    fleet.do(cmd.AnswerQuestion(QuestionId("q1"), "x", "olga"), "person:olga")
    fleet.do(cmd.ControlPlan(PlanId("plan"), "resume"), "person:piet")
    fleet.start("a.1", turn=2)
    fleet.report("a.1", turn=2)
    fleet.judge("a.1", turn=2, state=CheckState.failed)
    acts = [(line.role, line.actor, line.text) for line in fleet.trace("a").lines if line.role == "person"]
    assert acts[2:] == [
        ("person", "person:olga", "plan plan paused"),
        ("person", "person:olga", "q1 answered by olga: x"),
        ("person", "person:piet", "plan plan resumed"),
    ]
    assert types(fleet.trace("q1")) == types(fleet.trace("a.1"))
    assert fleet.trace("a.1").mismatches == ()


def test_a_run_is_told_without_its_neighbours(fleet: KeptFleet) -> None:
    fleet.start("a.1")
    fleet.do(cmd.AskQuestion(RunId("a.1"), fleet.tokens["a.1"], "which?"), "worker:a.1")
    fleet.do(cmd.AnswerQuestion(QuestionId("q1"), "that one", "olga"), "person:olga")
    fleet.do(cmd.StopRun(RunId("a.1"), EndKind.failed, "over"))
    fleet.do(cmd.RecordExit(RunId("a.1"), fleet.tokens["a.1"], 1, 1))
    fleet.do(cmd.RecordEnd(RunId("a.1"), fleet.tokens["a.1"], EndKind.failed, "over"))
    fleet.do(cmd.RetryItem(ItemId("a")), "person:olga")
    fleet.landed("b.1")
    fleet.landed("a.2")
    first, second = fleet.trace("a.1"), fleet.trace("a.2")
    assert types(first) == [
        *("PlanAdded", "ItemAdded", "RunGranted", "WorkerStarted", "QuestionAsked", "QuestionAnswered"),
        *("StopRequested", "WorkerExited", "RunEnded"),
    ]
    assert not [line for line in (*first.lines, *second.lines) if "b.1" in line.text]
    assert not [line for line in second.lines if "a.1" in line.text or "q1" in line.text]
    both = fleet.trace("a")
    assert both.runs == ("a.1", "a.2")
    assert "ItemRetried" in types(both)


def test_a_landing_that_is_asked_about(tmp_path: Path) -> None:
    fleet = KeptFleet(tmp_path / "asks", landing_mode="ask")
    fleet.landed("a.1")
    fleet.do(cmd.AnswerQuestion(QuestionId("q1"), "reject", "olga"), "person:olga")
    story = fleet.trace("q1")
    assert (story.what, story.runs) == ("question", ("a.1",))
    assert types(story) == types(fleet.trace("a.1")) == types(fleet.trace(TIP[:10]))
    acts = [line.text for line in story.lines if line.role == "person"]
    assert acts[2] == "q1 answered by olga: reject"
    assert f"landing of {TIP[:12]} abandoned: olga refused the landing of {TIP[:12]}" in acts
    assert story.mismatches == ()
    fleet.close()


def test_by_candidate_and_by_lease(fleet: KeptFleet) -> None:
    candidate = fleet.landed("a.1")
    whole = fleet.trace("a.1").lines
    for ref, what in ((candidate, "commit"), (candidate[:8], "commit"), (f"lease:{fleet.tokens['a.1']}", "lease")):
        story = fleet.trace(ref)
        assert (story.what, story.runs, story.lines) == (what, ("a.1",), whole), ref


def test_a_lease_of_somebody_whom_ganger_did_not_start(fleet: KeptFleet) -> None:
    held = fleet.do(cmd.AcquireLease("olga", scope=("web/**",)), "person:olga")
    story = fleet.trace(f"lease:{held.seq}")
    assert told(story) == ["person: olga holds web/**"]
    assert story.lines[0].details == (f"lease: token {held.seq}, exclusive, web/**",)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("c", "nothing is called 'c'"),
        ("a.7", "there is no run a.7"),
        ("q9", "there is no question q9"),
        ("lease:999", "there is no lease lease:999, and no run was granted at that entry"),
        ("abcdef0123", "nothing is called 'abcdef0123', and no entry speaks of such a commit"),
        ("abc", "nothing is called 'abc'"),
    ],
)
def test_nothing_has_that_name(fleet: KeptFleet, ref: str, message: str) -> None:
    fleet.landed("a.1")
    with pytest.raises(UsageError) as refused:
        fleet.trace(ref)
    assert refused.value.message == message


def manifest(fleet: KeptFleet, **changes: object) -> None:
    path = fleet.turn_dir("a.1") / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def behind_its_back(fleet: KeptFleet, statement: str) -> None:
    """Change a table, as a fault of ours would."""
    db = apsw.Connection(str(fleet.state_dir / "journal.db"))
    db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda f: manifest(f, token=1), ["a.1 turn 1: its manifest says token 1, the journal 4"]),
        (lambda f: manifest(f, agent="other"), ["a.1 turn 1: its manifest says agent other, the journal default"]),
        (lambda f: manifest(f, run="b.1"), ["a.1 turn 1: its manifest says run b.1, the journal a.1"]),
        (
            lambda f: (f.turn_dir("a.1") / "manifest.json").unlink(),
            ["a.1 turn 1: its manifest is missing"],
        ),
        (
            lambda f: f.write("a.1", 1, {"manifest.json": "{"}),
            ["a.1 turn 1: its manifest cannot be read (Input data was truncated)"],
        ),
        (
            lambda f: f.write("a.1", 1, {"brief.1.md": "Do something else."}),
            [
                "a.1 turn 1: its prompt has the hash X, its manifest says Y",
            ],
        ),
        (
            lambda f: (f.turn_dir("a.1") / "brief.1.md").unlink(),
            ["prompt of a.1 turn 1 is missing, and no pruning of it is recorded"],
        ),
        (
            lambda f: (f.turn_dir("a.1") / "output.log").unlink(),
            ["output of a.1 turn 1 is missing, and no pruning of it is recorded"],
        ),
        (
            lambda f: (f.turn_dir("a.1") / "checks" / "unit.log").unlink(),
            ["log runs/a.1/turn-1/checks/unit.log is missing, and no pruning of it is recorded"],
        ),
        (
            lambda f: f.write("a.1", 1, {"checks/unit.log": "passed, honestly\n"}),
            ["runs/a.1/turn-1/checks/unit.log has the hash X, the journal says Y"],
        ),
    ],
    ids=[
        *("token", "agent", "another run's", "no manifest", "broken manifest", "other prompt", "no prompt"),
        *("no output", "no log", "other log"),
    ],
)
def test_what_does_not_match_is_told(fleet: KeptFleet, change: Callable[[KeptFleet], object], texts: list[str]) -> None:
    fleet.landed("a.1")
    change(fleet)
    found = missing(fleet.trace("a"))
    assert len(found) == len(texts)
    for text, wanted in zip(found, texts, strict=True):
        assert text.partition(" the hash ")[0] == wanted.partition(" the hash ")[0]
    assert missing(fleet.trace("a.1")) == found


def test_a_landing_that_nothing_speaks_for(fleet: KeptFleet) -> None:
    """Entries are taken out of the index, as if they had never been: the story has holes, and they are told."""
    fleet.landed("a.1")
    behind_its_back(fleet, "UPDATE entries SET subject='' WHERE type IN ('VerdictGiven', 'EvidenceRecorded')")
    behind_its_back(
        fleet,
        "DELETE FROM mentions WHERE seq IN (SELECT seq FROM entries WHERE type IN ('VerdictGiven','TrainTested'))",
    )
    assert missing(fleet.trace("a.1")) == [
        "dddddddddddd is landed, and no passing test of its tree eeeeeeeeeeee is recorded",
        "a.1 landed, and no verdict accepts it",
        "a.1 landed as dddddddddddd, and no test of that commit has it",
    ]


def test_what_was_pruned_is_told_as_such(fleet: KeptFleet) -> None:
    fleet.landed("a.1")
    due = prunings(fleet.state_dir, tuple(DataClass), 0, fleet.now_ms)
    list(carry_out(fleet.state_dir, due, fleet.now_ms, lambda command: fleet.submit(command, "person:olga")))
    story = fleet.trace("a.1")
    at = story.lines[-1].seq
    assert story.mismatches == ()
    assert story.lines[-1].text == "a.1: checks, output and prompts pruned"
    assert story.pruned == (
        f"prompt of a.1 turn 1 was pruned (#{at})",
        f"output of a.1 turn 1 was pruned (#{at})",
        f"log runs/a.1/turn-1/checks/unit.log was pruned (#{at})",
    )


def test_a_train_that_failed_is_part_of_the_story(fleet: KeptFleet) -> None:
    fleet.start("a.1")
    fleet.report("a.1")
    fleet.land("a.1", fleet.judge("a.1"), passed=False)
    story = fleet.trace("a.1")
    assert "supervisor: train of a.1 failed: dddddddddddd on bbbbbbbbbbbb" in told(story)
    assert story.mismatches == ()
