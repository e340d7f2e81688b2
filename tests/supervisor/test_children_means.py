"""What of a family stands outside the journal: what the gateway and the hooks of a spawner are told."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.ids import QuestionId, RunId
from ganger.core.model import Budget, EndKind, Kind, Usage, Writes
from ganger.core.policy import Policy
from ganger.gateway.account import Cost
from ganger.gateway.desk import GRANT, LENT
from ganger.service.places import Places
from ganger.supervisor.hooked import _said
from ganger.supervisor.metered import Metered, left_of
from ganger.testing.builders import Story, spec

RUN = RunId("login.1")
POLICY = Policy(
    kinds=(Kind("patcher", spawn=("scout",)), Kind("scout", writes=Writes.none)), run_budget=Budget(tokens=1_000)
)


def begun() -> Story:
    story = Story(spec(), policy=POLICY)
    story.started()
    return story


def test_the_gateway_is_told_what_is_a_spawners_childrens_and_when_that_comes_back(tmp_path: Path) -> None:
    metered = Metered(tmp_path, {}, {}, tmp_path / "lock")
    folder = Places(tmp_path).turn(RUN, 1)
    folder.mkdir(parents=True)
    story = begun()

    def told() -> Cost | None:
        metered.tell_lent(story.state.runs.values())
        path = folder / LENT
        return msgspec.json.decode(path.read_bytes(), type=Cost) if path.exists() else None

    story.do(cmd.SpawnChild(RUN, story.token(), "scout", "Look", "Look!"))
    assert told() is None, "its turn is not sent to the gateway"
    (folder / GRANT).write_text("{}")
    assert told() == Cost(0, 200)
    child = story.started("login-c1")
    story.do(cmd.RecordUsage(child.id, child.lease.token, 1, Usage(tokens=30)))
    assert told() == Cost(0, 200), "all of it, whatever is spent"
    story.do(cmd.StopRun(child.id, EndKind.stopped, "x"))
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    story.do(cmd.RecordEnd(child.id, child.lease.token, EndKind.stopped, "x"))
    assert told() == Cost(0, 30)
    assert left_of(story.run()).tokens == 970


def test_a_worker_that_waits_for_its_children_has_said_so_to_its_hooks() -> None:
    story = begun()
    assert _said(story.run()) == ""
    story.do(cmd.SpawnChild(RUN, story.token(), "scout", "Look", "Look!"))
    story.do(cmd.ParkRun(RUN, story.token()))
    assert _said(story.run()) == "asked"
    child = story.run("login-c1")
    story.do(cmd.StopRun(child.id, EndKind.stopped, "x"))
    story.do(cmd.RecordEnd(child.id, child.lease.token, EndKind.stopped, "x"))
    parted: Run = story.run()
    assert parted.has_worker and _said(parted) == "asked", "its process may outlive what it waited for"
    assert _said(replace(parted, asked_turn=0)) == ""
    assert _said(replace(parted, asked_turn=0, question=QuestionId("q1"))) == "asked"
