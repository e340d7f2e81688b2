"""The train and the landing: who rides, what follows from the test, and what a person may say."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId, QuestionId, RunId
from ganger.core.landing import judged, next_trials, queue
from ganger.core.lifecycle import item_status
from ganger.core.loop import Intent, stop_reason, waits_for_person
from ganger.core.model import CheckState, EndKind, Evidence, QuestionKind
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.testing.builders import BASE, CANDIDATE, NOW_MS, TIP, TREE, Story, add_plan, result, spec

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


def next_train(state: State, policy: Policy) -> tuple[RunId, ...]:
    """The first test to begin now."""
    found = next_trials(state, policy, state.search.tip or BASE)
    return found[0].runs if found else ()


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


FAILED: dict[str, Any] = {"passed": False, "checks": (result(CheckState.failed),)}


def judge(story: Story, item: str, *, again: bool = True) -> tuple[ev.Event, ...]:
    """See the failure of an accused candidate again, find the target sound, and send the candidate back."""
    run = story.run(item)
    if again:
        seen = {"again": True, "checks": (result(CheckState.failed),)}
        story.do(cmd.RecordProbe(run.id, run.lease.token, CANDIDATE, BASE, passed=False, **seen))  # type: ignore[arg-type]
    story.do(cmd.RecordProbe(run.id, run.lease.token, CANDIDATE, BASE, passed=True, checks=(result(),), bare=True))
    assert [found.id for found in judged(story.state, story.policy)] == [run.id]
    return story.do(cmd.JudgeCandidate(run.id, run.lease.token))


def test_a_failed_batch_is_halved_until_the_culprit_is_alone_and_it_is_seen_again_before_it_is_blamed() -> None:
    story = story_of("a", "b", "c")
    assert kinds(story.do(story.train("a", "b", "c", **FAILED))) == ["TrainTested"]
    assert next_train(story.state, Policy()) == ("a.1", "b.1")
    assert kinds(story.do(story.train("a", **FAILED))) == ["TrainTested"]
    assert next_trials(story.state, Policy(), BASE)[0] == Trial((RunId("b.1"), RunId("c.1")))
    (event,) = judge(story, "a", again=False)
    assert event == ev.StopRequested(
        RunId("a.1"),
        EndKind.superseded,
        f"on top of the target at {BASE[:12]} check unit failed with exit status 1",
    )
    assert story.state.search.cases == ()


def test_one_seen_to_fail_once_is_tested_again() -> None:
    story = story_of("a")
    story.do(story.train("a", **FAILED))
    assert next_trials(story.state, Policy(), BASE) == (Trial((RunId("a.1"),), BASE, again=True),)
    assert next_trials(story.state, Policy(flaky_retries=0), BASE) == (Trial((RunId("a.1"),), BASE, bare=True),)
    judge(story, "a")


def test_bad_luck_is_recorded_as_flaky_and_blames_nobody() -> None:
    story = story_of("a")
    story.do(story.train("a", **FAILED))
    lucky = (result(flaky=True),)
    events = story.do(
        cmd.RecordProbe(RunId("a.1"), story.token("a"), CANDIDATE, BASE, passed=True, checks=lucky, again=True)
    )
    assert kinds(events) == ["CandidateProbed"] and isinstance(events[0], ev.CandidateProbed)
    assert events[0].checks[0].flaky and story.state.search.cases == ()
    assert next_train(story.state, Policy()) == ("a.1",)


def test_nobody_is_judged_about_whom_not_enough_is_known() -> None:
    story = story_of("a")
    story.do(story.train("a", **FAILED))
    assert story.why_not(cmd.JudgeCandidate(RunId("a.1"), story.token("a"))) == (
        "wrong_state",
        "not enough is known about a.1",
    )
    probe = cmd.RecordProbe(RunId("a.1"), story.token("a"), CANDIDATE, OTHER, passed=True)
    assert story.why_not(probe) == ("conflict", f"nobody waits for how a.1 does on {OTHER[:12]}")
    assert story.why_not(replace(probe, candidate=OTHER))[1].startswith("a.1 has another candidate than")


def with_evidence(*accepted: str) -> Story:
    """Candidates that passed their check by themselves, on the base."""
    story = Story(*(spec(name, scope=(f"{name}/**",)) for name in accepted))
    for name in accepted:
        run = story.reported(name)
        seen = Evidence(BASE, CANDIDATE, TIP, TIP, (f"{name}/x",), checks=(result(),))
        story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, seen))
    return story


def test_a_pair_that_fails_although_each_is_fine_alone_names_both() -> None:
    story = with_evidence("a", "b", "c")
    story.do(story.train("a", "b", **FAILED))
    story.do(story.train("a"))
    events = story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert kinds(events) == ["RunLanded"]
    assert next_trials(story.state, Policy(), TIP)[0] == Trial((RunId("b.1"),), TIP, again=True)
    probe = cmd.RecordProbe(RunId("b.1"), story.token("b"), CANDIDATE, TIP, passed=False, again=True)
    story.do(probe)
    pair, stop = story.do(cmd.JudgeCandidate(RunId("b.1"), story.token("b")))
    assert pair == ev.PairFound(RunId("b.1"), RunId("a.1"), TIP)
    assert isinstance(stop, ev.StopRequested) and stop.reason == (
        f"passes by itself, and so does a.1, which has landed as {TIP[:12]}, but both together do not:"
        " check unit failed with exit status 1"
    )
    assert next_train(story.state, Policy()) == ("c.1",)


def red() -> Story:
    story = story_of("a", policy=Policy(flaky_retries=0))
    story.do(story.train("a", **FAILED))
    probe = cmd.RecordProbe(RunId("a.1"), story.token("a"), CANDIDATE, BASE, passed=False, bare=True)
    events = story.do(replace(probe, checks=(result(CheckState.failed),)))
    assert kinds(events) == ["CandidateProbed", "TargetFoundRed", "QuestionAsked"]
    return story


def test_a_target_that_fails_by_itself_stops_landings_and_blames_nobody() -> None:
    story = red()
    (question,) = story.state.questions.values()
    assert (question.kind, question.subject) == (QuestionKind.red_target, BASE)
    assert question.text == (
        f"main fails by itself at {BASE[:12]} (check unit failed with exit status 1): nothing lands until it moves to"
        " a commit that does not."
    )
    assert next_trials(story.state, Policy(), BASE) == () and not judged(story.state, story.policy)
    assert story.run("a").stop is None
    assert waits_for_person(story.state, RunId("a.1"))


def test_landings_go_on_when_the_target_moves_to_a_good_tip() -> None:
    story = red()
    assert next_trials(story.state, Policy(), OTHER) == (Trial((RunId("a.1"),)),)
    events = story.do(story.train("a", old=OTHER))
    assert kinds(events) == ["TrainTested", "QuestionWithdrawn", "LandingStarted"]
    assert not story.state.questions and not story.state.search.red


def test_a_person_has_a_red_target_tried_again() -> None:
    story = red()
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "try again", "olga"))
    assert next_train(story.state, Policy()) == ("a.1",)


def test_what_passes_on_top_of_a_landing_lands_after_it_without_another_test() -> None:
    story = story_of("a", "b")
    story.do(story.train("a", commit=OTHER))
    both = story.train("a", "b", commits=(OTHER, TIP))
    assert kinds(story.do(both)) == ["TrainTested"]
    events = story.do(cmd.RecordLanding(OTHER, "landed", OTHER))
    assert kinds(events) == ["RunLanded", "LandingStarted"]
    assert events[1] == ev.LandingStarted((RunId("b.1"),), OTHER, TIP, TREE, (TIP,))


def test_what_began_before_a_landing_is_about_what_it_adds_to_it() -> None:
    story = story_of("a", "b")
    both = story.train("a", "b", commits=(OTHER, TIP), **FAILED)
    story.do(story.train("a", commit=OTHER))
    story.do(cmd.RecordLanding(OTHER, "landed", OTHER))
    (event,) = story.do(both)
    assert isinstance(event, ev.TrainTested) and (event.runs, event.old) == (("b.1",), OTHER)
    assert [case.run for case in story.state.search.cases] == ["b.1"]


@pytest.mark.parametrize("commits", [(TIP, TIP), ()])
def test_what_began_on_something_else_than_what_has_landed_is_void(commits: tuple[Commit, ...]) -> None:
    story = story_of("a", "b")
    both = story.train("a", "b", commits=commits)
    story.do(story.train("a", commit=OTHER))
    story.do(cmd.RecordLanding(OTHER, "landed", OTHER))
    assert story.why_not(both) == ("conflict", "it was tested on a target that has moved on")
    assert story.why_not(story.train("b", old=BASE, tip=BASE))[1] == "it was tested on a target that has moved on"
    assert kinds(story.do(story.train("b", old=BASE, tip=OTHER)))[0] == "TrainTested", "the target was moved back"


def test_one_that_does_not_merge_with_others_of_the_batch_only_waits_and_is_the_first_of_the_next() -> None:
    story = story_of("a", "b", "c")
    train = story.train("a", "b", "c", runs=(RunId("a.1"), RunId("c.1")), waits=((RunId("b.1"), ("x",)),))
    assert kinds(story.do(train)) == ["TrainTested", "LandingStarted"]
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert next_train(story.state, Policy()) == ("b.1",)


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


def lineless(story: Story, **fields: Any) -> tuple[ev.Event, ...]:
    """`a` conflicts with the target, in a file in which no lines can be marked."""
    conflicts, no_lines = ((RunId("a.1"), ("x", "y.png")),), ((RunId("a.1"), ("y.png",)),)
    return story.do(story.train("a", runs=(), passed=False, conflicts=conflicts, no_lines=no_lines, **fields))


def test_where_no_lines_can_be_marked_a_person_says_what_counts_before_it_is_worked_on_again() -> None:
    story = story_of("a")
    story.policy = Policy(combine="prepared")
    *_, stopped, asked = lineless(story)
    assert isinstance(stopped, ev.StopRequested) and isinstance(asked, ev.QuestionAsked)
    question = asked.question
    assert (question.kind, question.item, question.run, question.id) == ("no_lines", "a", "", "q1")
    assert question.text == (
        "a.1 changed y.png, and so did what landed first; no lines can be marked there. What counts?"
    )
    assert question.options == ("bring both together", "keep the target's", "keep that of a.1")
    story.do(cmd.RecordEnd(RunId("a.1"), story.token("a"), EndKind.superseded, "does not merge"))
    assert item_status(story.state, story.state.items[ItemId("a")], story.now_ms) == "held"
    grant = cmd.GrantRun(ItemId("a"), BASE)
    for one in (grant, replace(grant, force="olga")):
        assert story.why_not(one) == ("not_ready", "item a waits for the answer to q1")
    assert stop_reason(story.state, story.now_ms, story.policy, Intent(only=frozenset({ItemId("a")}))) == "blocked"
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "the logo of the target, with our colours", "olga"))
    assert not story.state.items[ItemId("a")].question
    story.do(grant)


def test_what_goes_on_from_a_landing_says_nothing_of_who_was_left_out() -> None:
    """That one may be gone by now: the result is about those that passed."""
    story = story_of("a", "b", "c")
    story.policy = Policy(combine="prepared")
    left_out = ((RunId("a.1"), ("y.png",)),)
    speculative = story.train(
        *("b", "c", "a"), runs=(RunId("b.1"), RunId("c.1")), commit=OTHER, commits=(TIP, OTHER), conflicts=left_out,
        no_lines=left_out,
    )  # fmt: skip
    story.do(story.train("b"))
    end(story)
    assert kinds(story.do(speculative)) == ["TrainTested"]
    assert not story.state.questions


def test_without_a_combine_step_nobody_is_asked_about_lines() -> None:
    assert kinds(lineless(story_of("a"))) == ["TrainTested", "StopRequested"]


def test_an_item_that_its_plan_has_no_longer_is_asked_about_no_more() -> None:
    story = story_of("a", "b")
    story.policy = Policy(combine="prepared")
    lineless(story)
    events = story.do(add_plan(B, C, digest="2"))
    assert kinds(events)[-2:] == ["ItemWithdrawn", "QuestionWithdrawn"]
    assert not story.state.questions and not story.state.items[ItemId("a")].question


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


def test_approving_one_version_does_not_approve_the_next() -> None:
    """An answer is to one question, which is about one commit; of the one before nothing is left to answer."""
    story = asking()
    story.do(cmd.RecordLanding(TIP, "moved", OTHER))
    again = story.train("a", "b", old=OTHER, commit=Commit("7" * 40))
    assert kinds(story.do(again)) == ["TrainTested", "LandingStarted", "QuestionAsked"]
    assert [question.subject for question in story.state.questions.values()] == ["7" * 40]
    before = len(story.entries)
    assert story.why_not(cmd.AnswerQuestion(QuestionId("q1"), "land", "olga")) == (
        "unknown_ref",
        "there is no open question q1",
    )
    assert len(story.entries) == before and story.state.landing is not None and story.state.landing.question == "q2"
    story.do(cmd.AnswerQuestion(QuestionId("q2"), "land", "olga"))
    assert story.state.landing is not None and story.state.landing.question == ""


def test_what_passes_on_top_of_a_landing_that_is_approved_is_asked_about_by_itself() -> None:
    story = story_of("a", "b", policy=Policy(landing_mode="ask"))
    story.do(story.train("a", commit=OTHER))
    story.do(story.train("a", "b", commits=(OTHER, TIP)))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "land", "olga"))
    events = story.do(cmd.RecordLanding(OTHER, "landed", OTHER))
    assert kinds(events) == ["RunLanded", "LandingStarted", "QuestionAsked"]
    assert story.state.landing is not None and story.state.landing.question == "q2"
