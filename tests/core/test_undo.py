"""Undoing a landing: who may have what undone, what must pass, and what becomes of the item."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.authority import authority_refusal
from ganger.core.decide import decide
from ganger.core.effects import Land, Observed, TestTrain, TestUndo
from ganger.core.ids import Commit, ItemId, QuestionId
from ganger.core.lifecycle import item_status
from ganger.core.loop import Intent
from ganger.core.model import Check, CheckState, CiState, Refusal
from ganger.core.reconcile import reconcile
from ganger.core.undo import required
from ganger.testing.builders import BASE, NOW_MS, TIP, TREE, Story, evidence, result, spec

LOGIN, MENU = (spec(name, scope=(f"{name}/**",)) for name in ("login", "menu"))
UNDONE, BACK = Commit("7" * 40), Commit("8" * 40)


def accepted(story: Story, item: str) -> None:
    """Have a candidate accepted that changes a file of its own scope."""
    run = story.reported(item)
    checks = (result(),) if story.state.items[run.item].spec.checks else ()
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, evidence(changed=(f"{item}/x",), checks=checks)))


def landed(*items: str, specs: tuple[Any, ...] = (LOGIN, MENU)) -> Story:
    """Items that landed together as `TIP`."""
    story = Story(*specs)
    for item in items:
        accepted(story, item)
    story.do(story.train(*items))
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    return story


def ask(story: Story, item: str = "login", **fields: str) -> tuple[ev.Event, ...]:
    return story.do(cmd.UndoLanding("olga", ItemId(item), **fields))


def did(story: Story, commit: Commit, new: Commit = UNDONE, **fields: Any) -> cmd.RecordUndo:
    return cmd.RecordUndo(**{"commit": commit, "old": TIP, "new": new, "tree": TREE, "passed": True, **fields})


def undone(story: Story) -> None:
    ask(story)
    story.do(did(story, story.state.items[ItemId("login")].merge))
    story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))


def kinds(events: tuple[ev.Event, ...]) -> list[str]:
    return [type(event).__name__ for event in events]


def status(story: Story, item: str = "login") -> str:
    return item_status(story.state, story.state.items[ItemId(item)], story.now_ms)


def test_it_is_asked_for_tested_and_landed_and_the_item_is_undone_by_name() -> None:
    story = landed("login")
    assert ask(story, why="too slow") == (
        ev.UndoRequested(TIP, ItemId("login"), "login.1", "olga", "too slow", False),  # type: ignore[arg-type]
    )
    assert kinds(story.do(did(story, TIP))) == ["UndoTested", "LandingStarted"]
    assert kinds(story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))) == ["LandingUndone"]
    item = story.state.items[ItemId("login")]
    assert (item.landed, item.merge, status(story)) == ("", "", "undone")
    assert item.last_reason == "undone by olga as 777777777777: too slow"
    assert not story.state.undos and story.state.landing is None and story.state.search.tip == UNDONE


def test_of_a_batch_only_the_one_that_is_meant_is_undone() -> None:
    story = landed("login", "menu")
    own = {item: story.state.items[ItemId(item)].merge for item in ("login", "menu")}
    assert own == {"login": Commit(f"{1:040}"), "menu": TIP}
    (event,) = ask(story)
    assert isinstance(event, ev.UndoRequested) and event.commit == own["login"]
    story.do(did(story, own["login"]))
    story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))
    assert (status(story), status(story, "menu")) == ("undone", "landed")


REFUSED = [
    ({"item": "nobody"}, "unknown_ref", "there is no item nobody"),
    ({"item": "menu"}, "wrong_state", "item menu has not landed: there is nothing to undo"),
    ({"commit": "abc"}, "invalid", "abc could be many commits"),
    ({"commit": "0" * 12}, "unknown_ref", "000000000000: nothing of it is shipped, or undone, by a commit of ganger's"),
]


@pytest.mark.parametrize(("given", "code", "reason"), REFUSED)
def test_what_cannot_be_undone(given: dict[str, Any], code: str, reason: str) -> None:
    assert landed("login").why_not(cmd.UndoLanding("olga", **given)) == (code, reason)


def test_a_landing_of_an_old_journal_whose_own_commit_nobody_noted_is_not_guessed() -> None:
    story = Story(LOGIN)
    accepted(story, "login")
    story.do(story.train("login"))
    story.append(ev.RunLanded(story.run().id, TIP))
    assert story.why_not(cmd.UndoLanding("olga", ItemId("login")))[1] == (
        "item login landed as dddddddddddd, and the journal does not say by which commit of that alone"
    )


def test_the_same_wish_twice_counts_once_and_a_commit_says_the_same_as_the_item() -> None:
    story = landed("login")
    ask(story)
    assert ask(story) == () == story.do(cmd.UndoLanding("olga", commit=TIP[:9]))


@pytest.mark.parametrize("actor", ["worker:login.1", "supervisor", "supervisor:7"])
def test_only_a_person_has_something_undone(actor: str) -> None:
    refusal = authority_refusal(landed("login").state, cmd.UndoLanding("olga", ItemId("login")), actor)
    assert refusal is not None and refusal.code == "forbidden"


def test_an_undone_item_is_offered_again_only_when_a_person_says_so() -> None:
    story = landed("login")
    undone(story)
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE)) == (
        "wrong_state",
        "item login was undone by olga as 777777777777",
    )
    assert kinds(story.do(cmd.RetryItem(ItemId("login")))) == ["ItemRetried"]
    assert status(story) == "ready"
    assert story.granted().id == "login.2"
    assert story.why_not(cmd.UndoLanding("olga", commit=UNDONE))[0] == "unknown_ref"


def test_undoing_the_undo_brings_it_back_and_that_can_be_undone_too() -> None:
    story = landed("login")
    undone(story)
    assert story.why_not(cmd.UndoLanding("olga", ItemId("login"))) == (
        "wrong_state",
        "item login was undone by olga as 777777777777",
    )
    (asked,) = story.do(cmd.UndoLanding("olga", commit=UNDONE[:8]))
    assert isinstance(asked, ev.UndoRequested) and (asked.commit, asked.back) == (UNDONE, True)
    assert story.why_not(cmd.RetryItem(ItemId("login")))[1] == "item login is about to be brought back"
    story.do(did(story, UNDONE, BACK))
    story.do(cmd.RecordLanding(BACK, "landed", BACK))
    item = story.state.items[ItemId("login")]
    assert (item.landed, item.merge, item.undone, status(story)) == (BACK, BACK, None, "landed")
    (again,) = ask(story)
    assert isinstance(again, ev.UndoRequested) and again.commit == BACK


@pytest.mark.parametrize(("dependents", "after"), [("landed", "ready"), ("closed", "waiting")])
def test_what_is_brought_back_is_closed_by_ci_like_what_lands(dependents: str, after: str) -> None:
    story = landed("login", specs=(LOGIN, spec("menu", scope=("menu/**",), after=(ItemId("login"),))))
    story.policy = replace(story.policy, ci_required=True, ci_dependents=dependents)
    undone(story)
    assert not story.state.awaited
    story.do(cmd.UndoLanding("olga", commit=UNDONE[:8]))
    story.do(did(story, UNDONE, BACK))
    story.do(cmd.RecordLanding(BACK, "landed", BACK))
    assert (status(story), status(story, "menu")) == ("awaiting_ci", after)
    story.do(cmd.RecordCi(BACK, CiState.green, "", "the forge"))
    assert (status(story), status(story, "menu")) == ("landed", "ready")


def test_what_depends_on_it_waits_again() -> None:
    story = landed("login", specs=(LOGIN, spec("menu", scope=("menu/**",), after=(ItemId("login"),))))
    assert status(story, "menu") == "ready"
    undone(story)
    assert status(story, "menu") == "waiting" and not story.state.ready


def test_one_that_fails_lands_nothing_and_asks_a_person() -> None:
    story = landed("login")
    ask(story)
    failed = did(story, TIP, passed=False, reason="check unit failed with exit status 1")
    events = story.do(failed)
    assert kinds(events) == ["UndoTested", "QuestionAsked"] and isinstance(events[1], ev.QuestionAsked)
    assert events[1].question.text == (
        "Undoing login, asked for by olga, cannot land on main at dddddddddddd: check unit failed with exit status 1."
        " Nothing was changed."
    )
    assert story.state.landing is None and wanted(story) == []
    assert story.why_not(failed)[0] == "conflict"
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "try again", "olga"))
    assert wanted(story) == [TestUndo(TIP)]
    story.do(failed)
    assert kinds(story.do(cmd.AnswerQuestion(QuestionId("q2"), "leave it", "olga"))) == [
        "QuestionAnswered",
        "UndoDropped",
    ]
    assert not story.state.undos and status(story) == "landed"


def wanted(story: Story, target: str = TIP) -> list[object]:
    effects = reconcile(story.state, Observed(Commit(target)), NOW_MS, story.policy, Intent(offer=False))
    return [effect for effect in effects if isinstance(effect, TestUndo | TestTrain | Land)]


def test_while_it_waits_no_further_batch_is_tested_and_a_moved_target_has_it_tested_again() -> None:
    story = landed("login")
    accepted(story, "menu")
    ask(story)
    assert wanted(story) == [TestUndo(TIP)]
    assert wanted(story, "") == []
    story.do(did(story, TIP))
    assert wanted(story) == [Land(TIP, UNDONE, TREE)]
    story.do(cmd.RecordLanding(UNDONE, "moved", BACK))
    assert wanted(story) == [TestUndo(TIP)]
    story.do(did(story, TIP))
    story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))
    assert [type(effect) for effect in wanted(story, UNDONE)] == [TestTrain]


def test_a_batch_that_was_tested_on_the_target_before_it_does_not_land() -> None:
    story = landed("login")
    accepted(story, "menu")
    batch = story.train("menu", old=TIP, commit=BACK, tip=TIP)
    ask(story)
    story.do(did(story, TIP))
    assert story.why_not(batch) == ("conflict", "a landing is under way")
    story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))
    assert story.why_not(batch) == ("conflict", "it was tested on a target that has moved on")


def test_a_dirty_checkout_makes_it_wait_like_any_landing() -> None:
    story = landed("login")
    ask(story)
    story.do(did(story, TIP))
    assert kinds(story.do(cmd.RecordLanding(UNDONE, "dirty", TIP, ("a.py",)))) == ["QuestionAsked"]
    assert story.state.landing is not None and story.state.landing.question == "q1"
    story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))
    assert not story.state.questions and status(story) == "undone"


def test_the_checks_that_must_pass() -> None:
    """Of the item, of what landed since on its paths, and of what comes after it; its own apart."""
    own, shared = Check("own", ("grep", "x")), Check("unit", ("true",))
    more = {name: Check(name, (name,)) for name in ("later", "elsewhere", "after", "early")}
    specs = (
        spec("early", scope=("src/**",), checks=(more["early"],)),
        spec("login", scope=("src/**",), checks=(own, shared)),
        spec("later", scope=("src/a/**",), checks=(more["later"], shared)),
        spec("elsewhere", scope=("docs/**",), checks=(more["elsewhere"],)),
        spec("after", scope=("tests/**",), checks=(more["after"],), after=(ItemId("login"),)),
    )
    story = Story(*specs)
    for name, at in (("early", "1"), ("login", "2"), ("later", "3"), ("elsewhere", "4"), ("after", "5")):
        story.now_ms += 1
        commit = Commit(at * 40)
        story.append(ev.RunGranted(f"{name}.1", ItemId(name), 1, BASE, (), "shared", 1, "sh"))  # type: ignore[arg-type]
        story.append(ev.RunLanded(f"{name}.1", commit, commit))  # type: ignore[arg-type]
    ask(story)
    (wish,) = story.state.undos.values()
    must, alone = required(story.state, wish)
    assert [check.name for check in must] == ["unit", "later", "unit", "after"]
    assert alone == (own,)


def test_a_test_of_what_nobody_wants_undone_any_more_is_refused() -> None:
    story = landed("login")
    refused = decide(story.state, did(story, TIP), NOW_MS, story.policy)
    assert isinstance(refused, Refusal) and refused.reason == "nobody waits for an undo of dddddddddddd"


def test_a_red_target_does_not_hinder_the_undo_that_mends_it() -> None:
    story = landed("login", specs=(LOGIN, spec("menu", scope=("menu/**",), checks=())))
    accepted(story, "menu")
    story.do(story.train("menu", old=TIP, commit=BACK, passed=False, checks=(result(CheckState.failed),)))
    run = story.run("menu")
    probe = {"candidate": run.evidence.commit if run.evidence else "", "onto": TIP}
    failed = (result(CheckState.failed),)
    story.do(cmd.RecordProbe(run.id, run.lease.token, passed=False, again=True, checks=failed, **probe))  # type: ignore[arg-type]
    story.do(cmd.RecordProbe(run.id, run.lease.token, passed=False, bare=True, checks=failed, **probe))  # type: ignore[arg-type]
    assert story.state.search.red == TIP and wanted(story) == []
    ask(story)
    assert wanted(story) == [TestUndo(TIP)]
    story.do(did(story, TIP))
    events = story.do(cmd.RecordLanding(UNDONE, "landed", UNDONE))
    assert kinds(events) == ["LandingUndone", "QuestionWithdrawn"]
    assert not story.state.search.red
