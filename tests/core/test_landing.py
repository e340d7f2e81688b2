"""The train and the landing: who rides, what follows from the test, and what a person may say."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId, QuestionId, RunId
from ganger.core.landing import next_train, queue
from ganger.core.model import CheckState, EndKind, Evidence, QuestionKind
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, CANDIDATE, NOW_MS, TIP, Story, result, spec

A, B, C = (spec(name, scope=(f"{name}/**",), checks=()) for name in "abc")
OTHER = Commit("9" * 40)


def story_of(*accepted: str, policy: Policy | None = None) -> Story:
    story = Story(A, B, C, policy=policy)
    for name in accepted:
        run = story.reported(name)
        seen = Evidence(base=BASE, commit=CANDIDATE, tree=TIP, checked_tree=TIP, changed=(f"{name}/x",))
        story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, seen))
    return story


def kinds(events: tuple[ev.Event, ...]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_the_queue_is_in_the_order_of_acceptance() -> None:
    story = story_of("c", "a", "b")
    assert [run.id for run in queue(story.state)] == ["c.1", "a.1", "b.1"]
    assert next_train(story.state, Policy()) == ("c.1", "a.1", "b.1")
    assert next_train(story.state, Policy(train_max=2)) == ("c.1", "a.1")


def test_a_stopped_candidate_does_not_ride() -> None:
    story = story_of("a", "b")
    story.do(cmd.StopRun(RunId("a.1"), EndKind.stopped, "no"))
    assert next_train(story.state, Policy()) == ("b.1",)


def test_no_train_while_a_landing_is_under_way() -> None:
    story = story_of("a", "b")
    story.do(story.train("a"))
    assert next_train(story.state, Policy()) == ()
    assert story.why_not(story.train("b")) == ("conflict", "a landing is under way")


def test_a_train_that_passed_starts_the_landing() -> None:
    story = story_of("a", "b")
    assert kinds(story.do(story.train("a", "b"))) == ["TrainTested", "LandingStarted"]
    assert story.state.landing is not None
    assert story.state.landing.runs == ("a.1", "b.1")


def test_a_failed_batch_is_halved_until_the_culprit_is_alone() -> None:
    story = story_of("a", "b", "c")
    failed = {"passed": False, "checks": (result(CheckState.failed),)}
    assert kinds(story.do(story.train("a", "b", "c", **failed))) == ["TrainTested"]
    assert next_train(story.state, Policy()) == ("a.1",)
    events = story.do(story.train("a", **failed))
    assert isinstance(events[1], ev.StopRequested)
    assert (events[1].end, events[1].reason) == (
        EndKind.superseded,
        f"passes by itself, but on top of the target at {BASE[:12]} check unit failed with exit status 1",
    )


def test_a_train_that_passed_lets_the_next_one_grow() -> None:
    story = story_of("a", "b", "c")
    story.do(story.train("a", "b", "c", passed=False))
    story.do(story.train("a"))
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert next_train(story.state, Policy()) == ("b.1", "c.1")


def test_failing_without_a_named_check() -> None:
    story = story_of("a")
    event = story.do(story.train("a", passed=False))[1]
    assert isinstance(event, ev.StopRequested)
    assert event.reason == f"passes by itself, but on top of the target at {BASE[:12]} fails"


def test_what_does_not_merge_goes_back_and_the_others_land() -> None:
    story = story_of("a", "b")
    train = story.train("a", "b", runs=(RunId("b.1"),), conflicts=((RunId("a.1"), ("x", "y")),))
    events = story.do(train)
    assert kinds(events) == ["TrainTested", "StopRequested", "LandingStarted"]
    assert isinstance(events[1], ev.StopRequested)
    assert events[1].reason == f"does not merge with the target at {BASE[:12]}: x, y"


def test_nothing_merges() -> None:
    story = story_of("a")
    train = story.train("a", runs=(), passed=False, conflicts=((RunId("a.1"), ("x",)),))
    assert kinds(story.do(train)) == ["TrainTested", "StopRequested"]
    assert story.state.train_size == 64


def expire(story: Story) -> None:
    story.now_ms = story.run("a").lease.expires_ms


def stop(story: Story) -> None:
    story.do(cmd.StopRun(RunId("a.1"), EndKind.stopped, "no"))


def end(story: Story) -> None:
    stop(story)
    story.do(cmd.RecordEnd(RunId("a.1"), story.token("a"), EndKind.stopped, "no"))


STALE = "token {token} of a.1 may not land: the run is not waiting"
REFUSED: list[tuple[str, Any, dict[str, Any], tuple[str, str]]] = [
    ("lease", expire, {}, ("lease_expired", "the lease of a.1 has run out")),
    ("stopped", stop, {}, ("stale_token", STALE)),
    ("ended", end, {}, ("stale_token", STALE)),
    (
        "another commit",
        None,
        {"members": ((RunId("a.1"), 0, OTHER),)},
        ("conflict", f"a.1 was accepted with another commit than {OTHER[:12]}"),
    ),
    ("members", None, {"runs": ()}, ("invalid", "the train's runs are not its members")),
    ("strangers", None, {"runs": (RunId("a.1"), RunId("b.1"))}, ("invalid", "the train's runs are not its members")),
]


@pytest.mark.parametrize(("before", "fields", "refusal"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_train_is_checked_in_the_transaction_that_allows_the_landing(
    before: Any, fields: dict[str, Any], refusal: tuple[str, str]
) -> None:
    story = story_of("a", "b")
    token = story.token("a")
    given = dict(fields)
    if "members" in given:
        given["members"] = tuple((run, token, commit) for run, _, commit in given["members"])
    train = story.train("a", **given)
    if before is not None:
        before(story)
    assert story.why_not(train) == (refusal[0], refusal[1].format(token=token))


def test_an_old_token_does_not_land() -> None:
    story = story_of("a")
    train = story.train("a", members=((RunId("a.1"), story.token("a") - 1, CANDIDATE),))
    assert story.why_not(train)[0] == "stale_token"


def test_a_candidate_that_was_not_accepted_does_not_land() -> None:
    story = story_of()
    story.reported("a")
    assert story.why_not(story.train("a"))[0] == "stale_token"


def test_landed_ends_run_and_lease() -> None:
    story = story_of("a", "b")
    story.do(story.train("a", "b"))
    assert kinds(story.do(cmd.RecordLanding(TIP, "landed", TIP))) == ["RunLanded", "RunLanded"]
    assert story.state.landing is None and not story.state.runs
    assert story.state.items[ItemId("a")].landed == TIP
    assert list(story.state.leases.overlapping(("**",))) == []


def test_a_lease_may_run_out_while_the_landing_is_under_way() -> None:
    story = story_of("a")
    story.do(story.train("a"))
    story.now_ms += 10**9
    assert kinds(story.do(cmd.RecordLanding(TIP, "landed", TIP))) == ["RunLanded"]


def test_a_moved_target_abandons_the_landing_and_the_candidate_waits_again() -> None:
    story = story_of("a")
    story.do(story.train("a"))
    (event,) = story.do(cmd.RecordLanding(TIP, "moved", OTHER))
    assert event == ev.LandingAbandoned(TIP, f"main moved to {OTHER[:12]} while the train was under way")
    assert next_train(story.state, Policy()) == ("a.1",)


def test_a_target_that_is_gone() -> None:
    story = story_of("a")
    story.do(story.train("a"))
    (event,) = story.do(cmd.RecordLanding(TIP, "moved", Commit("")))
    assert isinstance(event, ev.LandingAbandoned) and event.reason.startswith("main moved to nowhere")


HINDRANCES = [
    (
        "dirty",
        QuestionKind.dirty_target,
        "main is checked out with changes of yours (x; y): commit, stash or move them, and the landing goes on.",
    ),
    ("blocked", QuestionKind.trust, "main cannot be moved (x; y): put that right, then answer `try again`."),
]


@pytest.mark.parametrize(("state", "kind", "text"), HINDRANCES)
def test_what_stands_against_a_landing_is_asked_once(state: str, kind: QuestionKind, text: str) -> None:
    story = story_of("a")
    story.do(story.train("a"))
    (event,) = story.do(cmd.RecordLanding(TIP, state, BASE, ("x", "y")))
    assert isinstance(event, ev.QuestionAsked)
    asked = event.question
    assert (asked.kind, asked.text, asked.options, asked.subject) == (kind, text, ("try again",), TIP)
    assert story.do(cmd.RecordLanding(TIP, state, BASE, ("x", "y"))) == ()
    story.do(cmd.AnswerQuestion(asked.id, "try again", "olga"))
    assert story.state.landing is not None and story.state.landing.question == ""


def test_another_hindrance_takes_the_place_of_the_first() -> None:
    story = story_of("a")
    story.do(story.train("a"))
    story.do(cmd.RecordLanding(TIP, "dirty", BASE, ("x",)))
    events = story.do(cmd.RecordLanding(TIP, "blocked", BASE, ("y",)))
    assert kinds(events) == ["QuestionWithdrawn", "QuestionAsked"]
    assert list(story.state.questions) == ["q2"] and story.state.landing is not None
    assert story.state.landing.question == "q2"


def test_what_lands_although_it_was_asked_about_needs_no_answer() -> None:
    story = story_of("a")
    story.do(story.train("a"))
    story.do(cmd.RecordLanding(TIP, "dirty", BASE))
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert story.state.questions == {}


def test_a_landing_that_is_not_under_way_is_refused() -> None:
    story = story_of("a")
    assert story.why_not(cmd.RecordLanding(TIP, "landed", TIP)) == (
        "conflict",
        f"no landing of {TIP[:12]} is under way",
    )
    story.do(story.train("a"))
    assert story.why_not(cmd.RecordLanding(OTHER, "landed", TIP))[0] == "conflict"
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert story.why_not(cmd.RecordLanding(TIP, "landed", TIP))[0] == "conflict"


def asking() -> Story:
    story = story_of("a", "b", policy=Policy(landing_mode="ask"))
    events = story.do(story.train("a", "b"))
    assert kinds(events) == ["TrainTested", "LandingStarted", "QuestionAsked"]
    return story


def test_a_landing_that_needs_a_person_says_what_and_which_commit() -> None:
    (question,) = asking().state.questions.values()
    assert question.text == f"Land a, b on main? Tested as a whole in commit {TIP[:12]}."
    assert (question.options, question.recommend, question.asked_ms) == (("land", "reject"), "land", NOW_MS)


def test_a_person_lets_it_land() -> None:
    story = asking()
    assert kinds(story.do(cmd.AnswerQuestion(QuestionId("q1"), "land", "olga"))) == ["QuestionAnswered"]
    assert story.state.landing is not None and story.state.landing.question == ""


def test_a_person_refuses_and_the_items_are_held() -> None:
    story = asking()
    events = story.do(cmd.AnswerQuestion(QuestionId("q1"), "reject", "olga"))
    assert kinds(events) == ["QuestionAnswered", "LandingAbandoned", "StopRequested", "StopRequested"]
    assert isinstance(events[2], ev.StopRequested)
    assert (events[2].end, events[2].reason) == (EndKind.stopped, f"olga refused the landing of {TIP[:12]}")
    assert story.state.landing is None


def test_an_answer_must_be_one_of_the_choices() -> None:
    assert asking().why_not(cmd.AnswerQuestion(QuestionId("q1"), "maybe", "olga")) == (
        "invalid",
        "'maybe' is no answer to q1",
    )
