"""What becomes of a run whose worker fell silent or vanished, and of one that a person rewinds."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Clocks, Effect, EndRun, Observed, Recover, Rewind, StartWorker, StopWorker, Submit
from ganger.core.ids import Commit, ItemId, QuestionId, RunId
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent
from ganger.core.model import NOTHING, Again, EndKind, Liveness, Recovery, RecoveryFacts, Report, ReportKind
from ganger.core.reconcile import reconcile
from ganger.core.recovery import judge_recovery
from ganger.testing.builders import BASE, CANDIDATE, TIP, Story, evidence, spec

RUN = RunId("login.1")
GOOD = RecoveryFacts(workspace=True, head=CANDIDATE, descends=True)

# workspace, head, descends, base on target, landed
JUDGED: list[tuple[RecoveryFacts, Recovery, str]] = [
    (GOOD, Recovery.resumable, "its workspace and its base are as they should be"),
    (RecoveryFacts(True, BASE, True), Recovery.resumable, "its workspace and its base are as they should be"),
    (
        RecoveryFacts(True, CANDIDATE, True, landed=True),
        Recovery.complete,
        "the target contains its candidate already",
    ),
    (RecoveryFacts(False, landed=True), Recovery.complete, "the target contains its candidate already"),
    (RecoveryFacts(False), Recovery.unresumable, "its workspace is gone or cannot be read"),
    (RecoveryFacts(True), Recovery.unresumable, "its workspace has no branch of its own any more"),
    (
        RecoveryFacts(True, CANDIDATE, False),
        Recovery.diverged,
        "its branch does not descend from the commit it began with",
    ),
    (
        RecoveryFacts(True, CANDIDATE, True, base_on_target=False),
        Recovery.diverged,
        "the target does not contain the commit it began with any more",
    ),
]


@pytest.mark.parametrize(("facts", "recovery", "reason"), JUDGED)
def test_what_can_be_made_of_it(facts: RecoveryFacts, recovery: Recovery, reason: str) -> None:
    found = judge_recovery(facts)
    assert (found.recovery, found.reason) == (recovery, reason)


def test_every_recovery_is_reached() -> None:
    assert {row[1] for row in JUDGED} == set(Recovery)


def look(story: Story, **seen: Any) -> tuple[Effect, ...]:
    return reconcile(story.state, Observed(target=BASE, **seen), story.now_ms, story.policy, Intent())


def lose(story: Story, turn: int = 1) -> None:
    story.do(cmd.RecordExit(RUN, story.token(), turn, None, lost=True))


def lost() -> Story:
    story = Story(spec())
    story.started()
    lose(story)
    return story


def recover(story: Story, facts: RecoveryFacts, turn: int = 1) -> tuple[ev.Event, ...]:
    return story.do(cmd.RecordRecovery(RUN, story.token(), turn, facts))


# ── lost ──


def test_a_worker_that_vanished_is_looked_for_first() -> None:
    story = lost()
    assert look(story) == (Recover(RUN, 1),)
    assert run_status(story.state, story.run()) is RunStatus.recovering


def test_a_resumable_run_goes_on_with_another_turn() -> None:
    story = lost()
    (event,) = recover(story, GOOD)
    assert isinstance(event, ev.TurnRepeated) and event.why is Again.lost
    assert look(story) == (StartWorker(RUN, 2),)


ENDED = [
    (
        RecoveryFacts(False),
        "the worker vanished, and the run is unresumable: its workspace is gone or cannot be read",
    ),
    (
        RecoveryFacts(True, CANDIDATE, False),
        "the worker vanished, and the run is diverged: its branch does not descend from the commit it began with",
    ),
]


@pytest.mark.parametrize(("facts", "reason"), ENDED)
def test_a_run_that_cannot_go_on_by_itself_ends(facts: RecoveryFacts, reason: str) -> None:
    story = lost()
    assert recover(story, facts) == (ev.StopRequested(RUN, EndKind.failed, reason),)
    assert look(story) == (EndRun(RUN, EndKind.failed, reason),)


def test_a_complete_run_is_judged_like_one_that_reported() -> None:
    story = lost()
    expected = ev.RunReported(RUN, 1, Report(ReportKind.done, source="exit"))
    assert recover(story, RecoveryFacts(True, CANDIDATE, True, landed=True)) == (expected,)


def test_a_run_whose_worker_vanishes_again_and_again_ends() -> None:
    story = lost()
    for turn in (1, 2, 3):
        assert isinstance(recover(story, GOOD, turn)[0], ev.TurnRepeated)
        story.started(turn=turn + 1)
        lose(story, turn + 1)
    assert recover(story, GOOD, 4) == (ev.StopRequested(RUN, EndKind.failed, "the worker vanished 4 times"),)


def test_recovery_is_for_the_lost_only() -> None:
    story = Story(spec())
    story.started()
    expected = ("wrong_state", "login.1 is not waiting to be recovered")
    assert story.why_not(cmd.RecordRecovery(RUN, story.token(), 1, GOOD)) == expected
    lose(story)
    assert story.why_not(cmd.RecordRecovery(RUN, story.token(), 2, GOOD)) == expected


def test_who_had_spoken_before_it_vanished_is_not_lost() -> None:
    story = Story(spec())
    run = story.started()
    story.do(cmd.ReportDone(RUN, run.lease.token))
    lose(story)
    assert not story.run().lost


# ── silent ──


def hang(story: Story, turn: int = 1) -> tuple[ev.Event, ...]:
    return story.do(cmd.RepeatTurn(RUN, story.token(), turn, Again.hang, "it is silent"))


def test_a_silent_worker_is_stopped_and_its_turn_done_over_once() -> None:
    story = Story(spec())
    story.started()
    assert hang(story) == (ev.TurnRepeated(RUN, 1, Again.hang, "it is silent"),)
    assert hang(story) == ()
    assert look(story) == (StopWorker(RUN, 1),)
    story.do(cmd.RecordExit(RUN, story.token(), 1, None, 9))
    assert story.run().stop is None
    assert look(story) == (StartWorker(RUN, 2),)


def test_the_second_time_is_the_end_of_run_and_item() -> None:
    story = Story(spec(attempts_max=9))
    story.started()
    hang(story)
    story.do(cmd.RecordExit(RUN, story.token(), 1, None, 9))
    story.started(turn=2)
    reason = "it is silent, for the second time on the identical brief"
    assert hang(story, 2) == (ev.StopRequested(RUN, EndKind.stalled, reason),)
    story.do(cmd.RecordExit(RUN, story.token(), 2, None, 9))
    story.do(cmd.RecordEnd(RUN, story.token(), EndKind.stalled, reason))
    item = story.state.items[ItemId("login")]
    assert item.given_up and item.failures == 1
    assert story.state.ready == []
    story.do(cmd.RetryItem(ItemId("login")))
    assert story.granted().id == "login.2"


def test_who_speaks_after_all_is_heard() -> None:
    story = Story(spec())
    run = story.started()
    hang(story)
    story.do(cmd.ReportDone(RUN, run.lease.token))
    assert story.run().repeat is None
    story.do(cmd.RecordExit(RUN, run.lease.token, 1, None, 9))
    assert run_status(story.state, story.run()) is RunStatus.reported


def test_who_is_gone_does_not_hang() -> None:
    """Its end was recorded while the look that called it silent was under way: what it left is looked at first."""
    story = lost()
    assert hang(story) == ()
    assert look(story) == (Recover(RUN, 1),)


NO_REPEAT = [Again.lost, Again.limited, Again.rewound]


@pytest.mark.parametrize("why", NO_REPEAT)
def test_a_turn_is_repeated_on_demand_for_a_hang_only(why: Again) -> None:
    story = Story(spec())
    story.started()
    expected = ("invalid", f"a turn is not repeated on demand because of {why}")
    assert story.why_not(cmd.RepeatTurn(RUN, story.token(), 1, why, "x")) == expected


def test_another_turn_and_one_that_is_over_do_not_hang() -> None:
    story = Story(spec())
    story.started()
    assert hang(story, 2) == ()
    story.do(cmd.ReportDone(RUN, story.token()))
    assert hang(story) == ()


def test_a_repetition_that_was_recorded_for_an_earlier_turn_is_not_this_ones() -> None:
    story = Story(spec())
    story.started()
    story.append(ev.TurnRepeated(RUN, 7, Again.hang, "x"))
    assert story.run().repeat is None


# ── rewound ──


def two_turns() -> Story:
    """A run whose first candidate was rejected and whose second worker works."""
    story = Story(spec())
    run = story.reported()
    story.do(cmd.RecordEvidence(RUN, run.lease.token, 1, evidence(changed=("x",))))
    story.started(turn=2)
    return story


def rewind(story: Story, commit: Commit = CANDIDATE, note: str = "not that way") -> tuple[ev.Event, ...]:
    return story.do(cmd.RewindRun(RUN, commit, note, "olga"))


def test_a_run_is_rewound_to_a_checkpoint_and_goes_on_from_there() -> None:
    story = two_turns()
    assert rewind(story) == (ev.RunRewound(RUN, CANDIDATE, "not that way", "olga"),)
    assert run_status(story.state, story.run()) is RunStatus.rewinding
    assert look(story) == (StopWorker(RUN, 2),)
    story.do(cmd.RecordExit(RUN, story.token(), 2, None, 9))
    assert story.run().stop is None and not story.run().lost
    assert look(story) == (Rewind(RUN, CANDIDATE),)
    done = cmd.RecordRewind(RUN, story.token(), CANDIDATE)
    assert story.do(done) == (ev.WorkspaceRewound(RUN, CANDIDATE),)
    assert story.do(done) == ()
    assert look(story) == (StartWorker(RUN, 3),)


def test_the_base_is_a_checkpoint_and_what_ganger_did_not_make_is_none() -> None:
    assert isinstance(rewind(two_turns(), BASE)[0], ev.RunRewound)
    refused = two_turns().decide(cmd.RewindRun(RUN, TIP, "", "olga"))
    assert not isinstance(refused, tuple)
    assert (refused.code.value, refused.reason) == ("invalid", f"{TIP[:12]} is no checkpoint of login.1")
    assert refused.way == f"one of: {BASE[:12]}, {CANDIDATE[:12]}"


def test_while_its_worker_lives_no_workspace_is_rewound() -> None:
    story = two_turns()
    rewind(story)
    expected = ("wrong_state", "the worker of login.1 is not known to be gone")
    assert story.why_not(cmd.RecordRewind(RUN, story.token(), CANDIDATE)) == expected


def test_what_a_rewound_turn_came_to_is_forgotten() -> None:
    story = Story(spec())
    story.accepted()
    rewind(story)
    run = story.run()
    assert (run.report, run.evidence, run.verdict, run.accepted_seq) == (None, None, None, 0)
    assert run.checkpoints == (CANDIDATE,)


def test_the_question_of_a_rewound_turn_is_withdrawn() -> None:
    story = two_turns()
    story.do(cmd.AskQuestion(RUN, story.token(), "which?"))
    events = rewind(story)
    assert events[1:] == (ev.QuestionWithdrawn(QuestionId("q1"), "login.1 was rewound"),)
    assert story.state.questions == {} and not story.run().question


def test_a_worker_that_asks_after_it_was_stopped_or_rewound_is_told_that_its_turn_is_over() -> None:
    spoken = ("conflict", "login.1 has already made its report for this turn")
    for end in (lambda story: rewind(story), lambda story: story.do(cmd.StopRun(RUN, EndKind.stopped, "no"))):
        story = two_turns()
        story.do(cmd.AskQuestion(RUN, story.token(), "which?"))
        end(story)
        assert story.why_not(cmd.AskQuestion(RUN, story.token(), "which?")) == spoken


def not_begun(story: Story) -> None:
    story.granted()


def being_landed(story: Story) -> None:
    story.landing()


def being_ended(story: Story) -> None:
    story.started()
    story.do(cmd.StopRun(RUN, EndKind.stopped, "no"))


NOT_REWOUND: list[tuple[Any, tuple[str, str]]] = [
    (Story.ended, ("unknown_ref", "run login.1 is not live: only a live run is rewound")),
    (not_begun, ("wrong_state", "login.1 has not begun yet: there is nothing to rewind")),
    (being_landed, ("wrong_state", "login.1 is being landed or ended")),
    (being_ended, ("wrong_state", "login.1 is being landed or ended")),
]


@pytest.mark.parametrize(("before", "expected"), NOT_REWOUND)
def test_what_cannot_be_rewound(before: Any, expected: tuple[str, str]) -> None:
    story = Story(spec())
    before(story)
    assert story.why_not(cmd.RewindRun(RUN, BASE, "", "olga")) == expected


def test_a_note_has_an_end() -> None:
    expected = ("invalid", "the note has 4001 characters, 4000 is the most")
    assert two_turns().why_not(cmd.RewindRun(RUN, BASE, "x" * 4_001, "olga")) == expected


def test_another_checkpoint_than_the_one_asked_for_is_not_taken_note_of() -> None:
    story = two_turns()
    rewind(story)
    assert story.do(cmd.RecordRewind(RUN, story.token(), BASE)) == ()


# ── tokens ──

BY_TOKEN: list[Any] = [
    lambda token: cmd.RepeatTurn(RUN, token, 1, Again.hang, "x"),
    lambda token: cmd.RecordRecovery(RUN, token, 1, GOOD),
    lambda token: cmd.RecordLimit(RUN, token, 0, "x"),
    lambda token: cmd.RecordRewind(RUN, token, BASE),
    lambda token: cmd.RecordUsage(RUN, token, 1, NOTHING),
]


@pytest.mark.parametrize("command", BY_TOKEN)
def test_another_token_is_stale(command: Any) -> None:
    story = Story(spec())
    story.started()
    token = story.token() + 1
    assert story.why_not(command(token)) == ("stale_token", f"token {token} is not that of login.1")


# ── liveness in the tick ──


def test_a_worker_that_begins_to_spin_is_flagged_once_and_never_stopped() -> None:
    story = Story(spec(silence_max_ms=10**9, wall_max_ms=10**9))
    story.started()
    story.now_ms += 900_000
    clocks = {RUN: Clocks(heartbeat_ms=story.now_ms)}
    (flag, *rest) = look(story, clocks=clocks)
    assert isinstance(flag, Submit) and isinstance(flag.command, cmd.FlagRun)
    assert flag.command.reason == "the worker is active, but changed no file and made no commit for 900 s"
    assert all(isinstance(e, Submit) and isinstance(e.command, cmd.RenewLeases) for e in rest)
    story.do(flag.command)
    assert not [e for e in look(story, clocks=clocks) if e == flag]
    back = look(story, clocks={RUN: Clocks(heartbeat_ms=story.now_ms, artefact_ms=story.now_ms)})
    assert any(isinstance(e, Submit) and isinstance(e.command, cmd.FlagRun) for e in back)


def test_the_candidates_of_all_turns_are_checkpoints() -> None:
    story = two_turns()
    story.do(cmd.ReportDone(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 2, 0))
    story.do(cmd.RecordEvidence(RUN, story.token(), 2, evidence(commit=TIP)))
    assert story.run().checkpoints == (CANDIDATE, TIP)


def test_what_was_noted_of_one_worker_is_not_that_of_the_next() -> None:
    story = Story(spec())
    story.started()
    story.do(cmd.FlagRun(RUN, story.token(), Liveness.spinning, "why"))
    hang(story)
    story.do(cmd.RecordExit(RUN, story.token(), 1, None, 9))
    assert story.started(turn=2).flag is None
