"""Who may ask for what: every actor, every command."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.authority import PERSONS_ONLY, WORKERS_MAY, authority_refusal, forbade
from ganger.core.ids import ItemId, LeaseId, RunId, Token
from ganger.core.model import EndKind
from ganger.testing.builders import BASE, Story, spec

RUN = RunId("login.1")
KNOWN: dict[str, Any] = {"run": RUN, "token": 1, "turn": 1}
COMMANDS = {kind.__name__: kind for kind in get_args(cmd.Command)}
OF_WORKERS = {"ReportDone", "ReportFail", "AskQuestion", "AddNote", "SetTodos", "FileFollowUp", "SpawnChild", "ParkRun"}
OF_PERSONS = {
    *("AnswerQuestion", "RetryItem", "RewindRun", "ControlPlan", "SetSchedule", "DropSchedule"),
    *("CloseBreaker", "RecordPruning", "UndoLanding", "WaiveCi", "TellRun"),
    *("Broadcast", "AddFact", "RetractFact"),
}


def any_command(kind: type[cmd.Request]) -> Any:
    needed = kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
    return kind(**{name: KNOWN.get(name, "x") for name in needed})


def supervised() -> Story:
    """A fleet whose supervisor took over at entry 3."""
    story = Story(spec())
    story.do(cmd.RecordSupervisor(7, "host", "1"))
    return story


def refused(command: Any, actor: str, story: Story | None = None) -> str:
    found = authority_refusal((story or supervised()).state, command, actor)
    assert found is None or found.code.value == "forbidden"
    return found.reason if found is not None else ""


def test_the_lists_are_those_of_this_table() -> None:
    assert {kind.__name__ for kind in WORKERS_MAY} == OF_WORKERS
    assert {kind.__name__ for kind in PERSONS_ONLY} == OF_PERSONS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_actor_and_every_command(name: str) -> None:
    command = any_command(COMMANDS[name])
    foreign = f"the worker of login.1 may not ask for {name}"
    of_person = f"{name} is a person's to ask for, not the supervisor's"
    late = "another supervisor has taken over at entry 3; this one began at 2"
    assert refused(command, "worker:login.1") == ("" if name in OF_WORKERS else foreign)
    assert refused(command, "person:olga") == ""
    assert refused(command, "supervisor:3") == (of_person if name in OF_PERSONS else "")
    assert refused(command, "supervisor") == (of_person if name in OF_PERSONS else "")
    takes_over = name == "RecordSupervisor"
    assert refused(command, "supervisor:2") == (of_person if name in OF_PERSONS else "" if takes_over else late)


@pytest.mark.parametrize("name", sorted(OF_WORKERS))
def test_a_worker_speaks_for_its_own_run_only(name: str) -> None:
    expected = "the worker of login.2 may speak for its own run only"
    assert refused(any_command(COMMANDS[name]), "worker:login.2") == expected
    assert refused(any_command(COMMANDS[name]), "worker:") == "the worker of  may speak for its own run only"


def test_a_supervisor_that_was_replaced_may_take_over_but_not_say_that_it_left_in_good_order() -> None:
    story = supervised()
    assert refused(cmd.RecordSupervisor(7, "host", "1"), "supervisor:2", story) == ""
    late = "another supervisor has taken over at entry 3; this one began at 2"
    assert refused(cmd.RecordSupervisor(7, "host", "1", "drained"), "supervisor:2", story) == late
    assert refused(cmd.RecordSupervisor(7, "host", "1", "drained"), "supervisor:3", story) == ""


FORCED: list[Any] = [
    cmd.GrantRun(ItemId("login"), BASE, force="olga"),
    cmd.AcquireLease("olga", "auth", force="olga"),
    cmd.ReleaseLease(LeaseId("lease:1"), Token(1), force="olga"),
]


@pytest.mark.parametrize("command", FORCED)
def test_only_a_person_forces_and_by_their_own_name(command: Any) -> None:
    what = type(command).__name__
    assert refused(command, "person:olga") == ""
    for actor in ("supervisor:3", "supervisor", "person:ben", "person"):
        assert refused(command, actor) == f"{actor} may not force {what}: only a person does, by name"
    assert refused(command, "worker:login.1") == f"the worker of login.1 may not ask for {what}"


def test_an_attempt_is_recorded_once_per_run_and_kind_of_request() -> None:
    story = Story(spec())
    story.started()
    stop, end = cmd.StopRun(RUN, EndKind.stopped, "no"), cmd.RetryItem(ItemId("login"))
    refusal = authority_refusal(story.state, stop, "worker:login.1")
    assert refusal is not None
    (event,) = forbade(story.state, stop, "worker:login.1", refusal)
    reason = "the worker of login.1 may not ask for StopRun"
    assert event == ev.Forbade("worker:login.1", "StopRun", reason, RUN)
    story.append(event)
    assert forbade(story.state, stop, "worker:login.1", refusal) == ()
    assert len(forbade(story.state, end, "worker:login.1", refusal)) == 1
    assert forbade(story.state, stop, "worker:gone.1", refusal) == ()
    assert forbade(story.state, stop, "supervisor:login.1", refusal) == ()


def test_whoever_has_no_role_may_ask_for_nothing() -> None:
    for actor, name in (("hook:olga", "hook:olga"), ("", "nobody"), ("robot", "robot")):
        assert refused(cmd.SweepLeases(), actor) == f"{name} is neither a person, a worker nor the supervisor"
