"""Does the night go on? Exactly one reason when it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.loop import Intent, StopReason, stop_reason
from ganger.core.model import EndKind, Hold
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, TIP, Story, add_plan, spec


def land(story: Story) -> None:
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))


def ask(story: Story) -> None:
    run = story.started()
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))


def ask_alive(story: Story) -> None:
    run = story.started()
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))


def dirty(story: Story) -> None:
    story.landing()
    story.do(cmd.RecordLanding(TIP, "dirty", BASE, ("x",)))


def stop_asking(story: Story) -> None:
    ask(story)
    story.do(cmd.StopRun(RunId("login.1"), EndKind.stopped, "no"))


def withdraw(story: Story) -> None:
    story.do(add_plan(digest="2"))


END, STOP, ONCE = Intent(), Intent(offer=False, stop=True), Intent(once=ItemId("login"))
ROWS: list[tuple[str, dict[str, Any], Callable[[Story], Any] | None, Intent, StopReason | None]] = [
    ("something is ready", {}, None, END, None),
    ("a worker works", {}, Story.started, END, None),
    ("a run starts", {}, Story.granted, END, None),
    ("a candidate waits", {}, Story.accepted, END, None),
    ("a landing is under way", {}, Story.landing, END, None),
    ("everything landed", {}, land, END, StopReason.complete),
    ("everything was withdrawn", {}, withdraw, END, StopReason.complete),
    ("it cools", {}, Story.ended, END, None),
    ("it is given up", {"attempts_max": 1}, Story.ended, END, StopReason.drained),
    ("it is held", {"hold": Hold("draft")}, None, END, StopReason.drained),
    ("it is held for a year", {"hold": Hold("until", 1 << 45)}, None, END, StopReason.drained),
    ("it asks", {}, ask, END, StopReason.blocked),
    ("it asks and lives", {}, ask_alive, END, None),
    ("it asked and is being stopped", {}, stop_asking, END, None),
    ("the target is dirty", {}, dirty, END, StopReason.blocked),
    ("the night is ended", {}, None, STOP, StopReason.interrupted),
    ("the night is ended with a worker", {}, Story.started, STOP, None),
    ("the night is ended with a question", {}, ask, STOP, StopReason.interrupted),
    ("the one item landed", {}, land, ONCE, StopReason.once),
    ("the one item is under way", {}, Story.started, ONCE, None),
    ("another plan", {}, None, Intent(plan=PlanId("other")), StopReason.complete),
    ("nothing is offered", {}, None, Intent(offer=False), StopReason.drained),
]


@pytest.mark.parametrize(("fields", "before", "intent", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_the_night(
    fields: dict[str, Any], before: Callable[[Story], Any] | None, intent: Intent, reason: StopReason | None
) -> None:
    story = Story(spec(**fields))
    if before is not None:
        before(story)
    assert stop_reason(story.state, story.now_ms, intent) is reason


def test_an_empty_fleet_is_complete() -> None:
    assert stop_reason(Story().state, 0, Intent()) is StopReason.complete


def test_what_waits_for_the_scope_of_an_asking_run_waits_for_that_person() -> None:
    story = Story(spec(), spec("other"))
    ask(story)
    assert stop_reason(story.state, story.now_ms, Intent()) is StopReason.blocked


def test_what_is_free_goes_on_while_another_asks() -> None:
    story = Story(spec(), spec("other", scope=("docs/**",)))
    ask(story)
    assert stop_reason(story.state, story.now_ms, Intent()) is None


def test_the_hours_do_not_end_a_night() -> None:
    story = Story(spec(), policy=Policy(hours=((0, 1),)))
    assert stop_reason(story.state, story.now_ms, Intent()) is None


def test_something_that_waits_for_what_is_given_up() -> None:
    story = Story(spec(attempts_max=1), spec("after", after=("login",), scope=("docs/**",)))
    story.ended()
    assert stop_reason(story.state, story.now_ms, Intent()) is StopReason.drained
