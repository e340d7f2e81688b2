"""What closes an item that landed: CI where that is required, and the target as it is read back."""

from __future__ import annotations

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import AskCi, Effect, Observed, ReadTarget
from ganger.core.ids import Commit, ItemId, QuestionId
from ganger.core.lifecycle import ItemStatus, item_status
from ganger.core.loop import Gate, Intent, StopReason, gate, stop_reason
from ganger.core.model import CiState
from ganger.core.policy import Policy
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.testing.builders import TIP, Story, add_plan, spec

MINUTE_MS = 60_000
WAITS = Policy(ci_required=True, ci_patience_ms=30 * MINUTE_MS, require_clean=False)
HOLDS = Policy(ci_required=True, ci_dependents="closed")
NEXT = Commit("f" * 40)
SEEN = Observed(target=TIP)


def landed(policy: Policy = WAITS) -> Story:
    story = Story(spec(), spec("after", after=(ItemId("login"),), scope=("docs/**",)), policy=policy)
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    return story


def alone(policy: Policy = WAITS) -> Story:
    story = Story(spec(), policy=policy)
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    return story


def says(story: Story, state: CiState, text: str = "unit") -> tuple[ev.Event, ...]:
    return story.do(cmd.RecordCi(TIP, state, text, "the forge"))


def status(story: Story, item: str = "login") -> ItemStatus:
    return item_status(story.state, story.state.items[ItemId(item)], story.now_ms)


def effects(story: Story, seen: Observed = SEEN) -> tuple[Effect, ...]:
    return reconcile(story.state, seen, story.now_ms, story.policy, Intent(offer=False))


def stops(story: Story, intent: Intent = Intent()) -> StopReason | None:  # noqa: B008 - a frozen value
    return stop_reason(story.state, story.now_ms, story.policy, intent)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (CiState.green, ItemStatus.landed),
        (CiState.repaired_green, ItemStatus.landed),
        (CiState.unknown, ItemStatus.awaiting_ci),
        (CiState.unavailable, ItemStatus.awaiting_ci),
        (CiState.blocked, ItemStatus.awaiting_ci),
    ],
)
def test_only_green_closes(said: CiState, found: ItemStatus) -> None:
    story = landed()
    assert status(story) is ItemStatus.awaiting_ci
    says(story, said)
    assert status(story) is found
    assert bool(story.state.awaited) is (found is ItemStatus.awaiting_ci)


def test_without_the_setting_nothing_waits() -> None:
    story = landed(Policy())
    assert status(story) is ItemStatus.landed and not story.state.awaited
    refused = story.why_not(cmd.RecordCi(TIP, CiState.green, ""))
    assert refused == ("conflict", f"nothing waits for CI of {TIP[:12]}")


def test_ci_is_asked_at_once_and_then_after_longer_and_longer() -> None:
    story = alone()
    pauses = []
    for _ in range(8):
        assert AskCi(TIP) in effects(story)
        says(story, CiState.unknown, "not ended: unit")
        assert AskCi(TIP) not in effects(story)
        again_ms = story.state.awaited[TIP].again_ms
        assert (next_wake_ms(story.state, SEEN, story.now_ms, story.policy) or 0) <= again_ms
        pauses.append((again_ms - story.now_ms) // 1_000)
        story.now_ms = again_ms
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    says(story, CiState.unavailable, "HTTP status 500")
    assert (story.state.awaited[TIP].again_ms - story.now_ms) // 1_000 == 30, "another answer begins anew"


def test_what_comes_after_waits_for_the_landing_or_for_ci() -> None:
    assert status(landed(), "after") is ItemStatus.ready
    story = landed(HOLDS)
    assert status(story, "after") is ItemStatus.waiting
    assert story.why_not(cmd.GrantRun(ItemId("after"), TIP))[1] == "item after waits for login"
    says(story, CiState.green)
    assert status(story, "after") is ItemStatus.ready
    assert story.decide(cmd.GrantRun(ItemId("after"), TIP))


def test_a_night_waits_as_long_as_it_is_patient() -> None:
    story = alone()
    says(story, CiState.unknown)
    assert stops(story) is None
    assert gate(story.state, story.now_ms, story.policy, Intent())[0] is Gate.race
    assert stops(story, Intent(patience_ms=0)) is StopReason.review_or_ci_unresolved
    story.now_ms += 30 * MINUTE_MS - 1
    assert stops(story) is None
    assert next_wake_ms(story.state, SEEN, story.now_ms, story.policy) == story.now_ms + 1
    story.now_ms += 1
    assert stops(story) is StopReason.review_or_ci_unresolved
    story.append(ev.SupervisorStarted(1, "host", "1"))
    assert stops(story) is None, "the next night is as patient again"
    assert gate(story.state, story.now_ms + 30 * MINUTE_MS, story.policy, Intent())[0] is Gate.blocked


def test_a_person_is_asked_about_what_ci_blocks() -> None:
    story = alone()
    says(story, CiState.blocked, "failed: unit (failure)")
    asked = story.state.questions[QuestionId("q1")]
    assert asked.text == (
        f"CI fails on {TIP[:12]}, which landed login: failed: unit (failure). It is not closed before that is green:"
        " have CI run again, or close it all the same."
    )
    assert (asked.kind, asked.options, asked.subject) == ("ci_blocked", ("ask again", "close"), TIP)
    assert stops(story) is StopReason.review_or_ci_unresolved
    story.now_ms += 30_000
    assert AskCi(TIP) in effects(story), "somebody may have run it again"
    says(story, CiState.blocked, "failed: unit (failure)")
    assert list(story.state.questions) == ["q1"], "the same is asked once"
    says(story, CiState.repaired_green)
    assert not story.state.questions and status(story) is ItemStatus.landed


def test_a_check_that_runs_again_is_not_blocked_any_more() -> None:
    story = alone()
    says(story, CiState.blocked, "failed: unit (failure)")
    says(story, CiState.unknown, "not ended: unit")
    assert not story.state.questions and stops(story) is None
    says(story, CiState.blocked, "failed: unit (failure)")
    assert list(story.state.questions) == ["q2"]


@pytest.mark.parametrize(("choice", "found"), [("close", ItemStatus.landed), ("ask again", ItemStatus.awaiting_ci)])
def test_what_a_person_answers(choice: str, found: ItemStatus) -> None:
    story = alone()
    says(story, CiState.blocked, "failed: unit (failure)")
    events = story.do(cmd.AnswerQuestion(QuestionId("q1"), choice, "person:olga"))
    assert status(story) is found
    assert (ev.CiWaived(TIP, "olga") in events) is (choice == "close")
    assert (AskCi(TIP) in effects(story)) is (choice == "ask again")


def test_a_person_closes_what_ci_never_speaks_of() -> None:
    story = alone()
    says(story, CiState.unknown, "no check ran on this commit")
    assert story.do(cmd.WaiveCi(TIP, "person:olga")) == (ev.CiWaived(TIP, "olga"),)
    assert status(story) is ItemStatus.landed
    assert story.why_not(cmd.WaiveCi(TIP, "olga"))[0] == "wrong_state"


# ── the target is read back ──


def test_the_target_is_read_before_a_night_ends() -> None:
    story = alone(Policy())
    assert effects(story) == (ReadTarget(TIP),)
    story.do(cmd.RecordTargetRead(TIP))
    assert effects(story) == () and stops(story) is StopReason.complete
    assert effects(story, Observed(target=NEXT)) == (ReadTarget(NEXT),), "it was moved since"
    story.do(cmd.RecordTargetRead(NEXT))
    assert story.decide(cmd.RecordTargetRead(NEXT)) == ()


def test_where_nothing_landed_nothing_is_read() -> None:
    assert effects(Story(policy=Policy())) == ()


def test_what_is_gone_from_the_target_is_not_complete() -> None:
    story = alone(Policy())
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    asked = story.state.questions[QuestionId("q1")]
    assert asked.text == (
        f"main at {NEXT[:12]} does not contain what landed login ({TIP[:12]}): somebody moved it away."
        " Put it back, or leave it so; ganger's hub has every commit."
    )
    assert stops(story) is StopReason.review_or_ci_unresolved
    story.do(cmd.RecordTargetRead(TIP))
    assert not story.state.questions and stops(story) is StopReason.complete, "somebody put it back"


def test_a_loss_that_a_person_knows_of_is_asked_about_once() -> None:
    story = alone(Policy())
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    assert ev.LossAccepted((TIP,), "olga") in story.do(cmd.AnswerQuestion(QuestionId("q1"), "leave it", "olga"))
    assert effects(story, Observed(target=NEXT)) == (ReadTarget(NEXT),)
    assert story.do(cmd.RecordTargetRead(NEXT, (TIP,))) == (ev.TargetRead(NEXT, (TIP,)),)
    assert stops(story) is StopReason.drained, "it is known, and yet not complete"
    story.do(cmd.RecordTargetRead(TIP))
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    assert list(story.state.questions) == ["q2"], "it was back, and is gone once more"


def test_looking_again_reads_again() -> None:
    story = alone(Policy())
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "look again", "olga"))
    assert effects(story, Observed(target=NEXT)) == (ReadTarget(NEXT),)
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    assert list(story.state.questions) == ["q2"]


def test_a_night_about_other_items_is_complete() -> None:
    story = alone(Policy())
    story.do(add_plan(plan="other"))
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    story.do(cmd.AnswerQuestion(QuestionId("q1"), "leave it", "olga"))
    story.do(cmd.RecordTargetRead(NEXT, (TIP,)))
    assert stops(story, Intent(plan=add_plan(plan="other").plan)) is StopReason.complete
