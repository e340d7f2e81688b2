"""Whom a notice concerns, and what becomes of it: scores with their reasons, one notice once, and no answer."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.broadcast import Notice, Recipient, Relation, Worker, recipients
from ganger.core.effects import CollectEvidence, Observed, Submit
from ganger.core.evolve import NOTIFIED_MAX
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.loop import Intent
from ganger.core.model import EndKind, LeaseMode, When
from ganger.core.patterns import PathRules, scope_matches, scope_overlap
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, Story, spec

RULES = PathRules()
WORKER = Worker(
    RunId("login.1"),
    ItemId("login"),
    PlanId("auth"),
    ("src/auth/**",),
    "Log in with a password",
    "Passwords are hashed by hash_secret; sessions expire.",
    ("src/auth/form.py",),
)
CHANGED, MAY = "has changed src/auth/form.py", "may change src/auth/**, which meets"
AFFECTED, MAYBE, UNRELATED = Relation.affected, Relation.maybe, Relation.unrelated


@pytest.mark.parametrize(
    ("text", "about", "plans", "relation", "score", "reasons"),
    [
        ("wait", ("src/auth/f*.py",), (), AFFECTED, 10, f"{CHANGED}; {MAY} src/auth/f*.py"),
        ("wait", ("src/*/new.py",), (), AFFECTED, 4, f"{MAY} src/*/new.py"),
        ("wait", ("docs/**",), (), UNRELATED, 0, ""),
        ("src/auth/form.py is gone.", (), (), AFFECTED, 10, f"{CHANGED}; may change src/auth/form.py"),
        ("see ./src/auth/x.py.", (), (), AFFECTED, 4, "may change src/auth/x.py"),
        ("see src/other/x.py", (), (), UNRELATED, 0, ""),
        ("login.1: wait", (), (), AFFECTED, 8, "login.1 is named"),
        ("let login wait", (), (), AFFECTED, 8, "login is named"),
        ("login.12 and logins", (), (), UNRELATED, 0, ""),
        ("wait", (), ("auth",), MAYBE, 2, "is of plan auth"),
        ("wait", (), ("other",), UNRELATED, 0, ""),
        ("hash_secret is slow", (), (), MAYBE, 1, "speaks of hash_secret too"),
        ("a password is slow", (), (), UNRELATED, 0, ""),
        ("the password of SESSIONS", (), (), MAYBE, 2, "speaks of password, SESSIONS too"),
        ("they are with you", (), (), UNRELATED, 0, ""),
        (
            "sessions expire, hashed by hash_secret",
            (),
            (),
            MAYBE,
            3,
            "speaks of hash_secret, sessions, expire, hashed too",
        ),
        (
            "hash_secret",
            ("src/**",),
            ("auth",),
            AFFECTED,
            13,
            f"{CHANGED}; {MAY} src/**; is of plan auth; speaks of hash_secret too",
        ),
    ],
)
def test_what_speaks_for_a_run(
    text: str, about: tuple[str, ...], plans: tuple[str, ...], relation: Relation, score: int, reasons: str
) -> None:
    (found,) = recipients(Notice(text, about, tuple(map(PlanId, plans))), [WORKER], RULES)
    assert (found.relation, found.score, "; ".join(found.reasons)) == (relation, score, reasons)


def test_the_highest_stands_first() -> None:
    others = [replace(WORKER, run=RunId(name), item=ItemId(name[0]), changed=()) for name in ("b.1", "a.1")]
    far = replace(WORKER, run=RunId("c.1"), item=ItemId("c"), scope=("docs/**",), changed=(), brief="", title="")
    found = recipients(Notice("wait", ("src/auth/form.py",)), [far, *others, WORKER], RULES)
    assert [one.run for one in found] == ["login.1", "a.1", "b.1", "c.1"]
    assert [one.relation for one in found] == [AFFECTED, AFFECTED, AFFECTED, UNRELATED]


def test_whoever_touches_the_path_is_affected_and_nobody_else_by_paths_alone() -> None:
    """Against a slow look at every path there is."""
    rng = Random(5)
    files = [f"{top}/{name}" for top in "abc" for name in ("x.py", "y.py", "z/x.py")]
    patterns = [*files, "a/**", "b/*.py", "**/x.py", "c/z/*", "?/y.py"]
    tops = {"a/**", "b/*.py", "**/x.py", "c/z/*", "?/y.py"}
    for _ in range(400):
        about = tuple(rng.sample(patterns, rng.randrange(3)))
        scope = tuple(rng.sample(patterns, rng.randrange(1, 3)))
        changed = tuple(rng.sample(files, rng.randrange(3)))
        worker = replace(WORKER, scope=scope, changed=changed, title="", brief="")
        (found,) = recipients(Notice("", about), [worker], RULES)
        touched = {path for path in files if scope_matches(about, path, RULES)}
        meets = touched & set(changed) or any(scope_matches(scope, path, RULES) for path in touched)
        if meets or not tops.intersection((*about, *scope)):
            assert (found.relation is AFFECTED) == bool(meets), (about, scope, changed)
        else:
            assert (found.relation is AFFECTED) == (scope_overlap(about, scope, RULES) is not None)


# What becomes of it

RUN, OTHER = RunId("login.1"), RunId("other.1")


def both() -> Story:
    shared: dict[str, Any] = {"mode": LeaseMode.shared}
    story = Story(spec("login", **shared), spec("other", **shared))
    story.started("login")
    story.started("other")
    return story


def say(text: str = "the server is down", *runs: RunId) -> cmd.Broadcast:
    return cmd.Broadcast(runs or (RUN, OTHER), text, "olga")


def notice(run: RunId, text: str = "the server is down") -> ev.MessageSent:
    return ev.MessageSent(run, text, When.notice, "olga")


def test_each_is_told_once() -> None:
    story = both()
    assert story.do(say("  the server is down\n", RUN, OTHER, RUN)) == (notice(RUN), notice(OTHER))


def test_the_same_within_the_window_is_one_for_each_run() -> None:
    story = both()
    story.do(say("the server is down", RUN))
    assert story.do(say()) == (notice(OTHER),)
    assert story.do(say()) == ()
    assert story.do(say("it is up again")) == (notice(RUN, "it is up again"), notice(OTHER, "it is up again"))
    story.now_ms += story.policy.same_within_ms - 1
    assert story.do(say()) == ()
    story.now_ms += 1
    assert story.do(say()) == (notice(RUN), notice(OTHER))


def test_it_counts_once_also_when_it_was_read_meanwhile() -> None:
    story = both()
    story.do(say("the server is down", RUN))
    story.do(cmd.GiveMessages(RUN, story.token(), 1, at_work=True))
    story.do(cmd.RecordRead(RUN, story.token(), tuple(one.seq for one in story.run().messages)))
    assert story.run().messages == ()
    assert story.do(say("the server is down", RUN)) == ()


def test_many_that_wait_become_one_delivery() -> None:
    story = both()
    for number in range(5):
        story.do(say(f"{number}", RUN))
    (given,) = story.do(cmd.GiveMessages(RUN, story.token(), 1, at_work=True))
    assert isinstance(given, ev.MessagesDelivered) and len(given.messages) == 5


def test_whoever_has_ended_is_passed_over() -> None:
    story = both()
    story.do(cmd.StopRun(RUN, EndKind.stopped, "not now"))
    assert story.do(say("x", RUN, OTHER, RunId("gone.1"))) == (notice(OTHER, "x"),)


def full(story: Story) -> cmd.Broadcast:
    for number in range(NOTIFIED_MAX):
        story.do(say(f"{number}", RUN))
    return say("one more", RUN)


@pytest.mark.parametrize(
    ("make", "code", "reason"),
    [
        (lambda _: say(" "), "invalid", "the message has 0 characters, from 1 to 4000 are taken"),
        (lambda _: say("x" * 4_001), "invalid", "the message has 4001 characters, from 1 to 4000 are taken"),
        (lambda _: say("x", RunId("gone.1")), "unknown_ref", "none of these runs is live: nobody would read it"),
        (full, "wrong_state", "20 notices were sent to login.1 in the last 600 s"),
    ],
)
def test_refusals(make: Any, code: str, reason: str) -> None:
    story = both()
    assert story.why_not(make(story)) == (code, reason)


def test_it_answers_no_question() -> None:
    story = both()
    story.do(cmd.AskQuestion(RUN, story.token(), "which?", ("a", "b")))
    question = story.run().question
    assert question
    assert story.do(say("a", RUN)) == (notice(RUN, "a"),)
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert story.run().question == question and question in story.state.questions
    assert not story.run().turn_due
    story.do(cmd.AnswerQuestion(question, "b", "olga"))
    assert story.do(cmd.GiveMessages(RUN, story.token(), 2)), "it comes with the turn that the answer gives"


def test_it_gives_nobody_a_turn() -> None:
    story = both()
    story.do(say("x", RUN))
    story.do(cmd.ReportDone(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    wanted = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent())
    assert not [one for one in wanted if isinstance(one, Submit) and isinstance(one.command, cmd.RepeatTurn)]
    assert [one for one in wanted if isinstance(one, CollectEvidence)]


def test_a_recipient_is_a_value() -> None:
    assert recipients(Notice("x"), [], RULES) == ()
    assert recipients(Notice("x"), [WORKER], RULES) == (Recipient(RUN, UNRELATED, 0, ()),)
