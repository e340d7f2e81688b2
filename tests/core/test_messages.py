"""What is said to a run: claimed once, read only after it was handed over, and never heard once the run has ended."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.authority import authority_refusal
from ganger.core.effects import CollectEvidence, EndRun, Observed, Submit
from ganger.core.facts import Unread
from ganger.core.ids import Commit, RunId, Seq, Token
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent
from ganger.core.messages import QUEUED_MAX, moved_text
from ganger.core.model import PLANNER, Again, CheckState, EndKind, LeaseMode, When
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, CANDIDATE, TREE, Story, evidence, result, spec

UNDONE = Commit("7" * 40)

RUN = RunId("login.1")


def tell(text: str = "use B", when: When = When.steer, run: str = RUN) -> cmd.TellRun:
    return cmd.TellRun(RunId(run), text, when, "olga")


def give(story: Story, turn: int, *, at_work: bool = False) -> tuple[ev.Event, ...]:
    return story.do(cmd.GiveMessages(RUN, story.token(), turn, at_work))


def said(story: Story, *whens: When) -> list[Seq]:
    """Say one thing for each; returns their numbers."""
    for number, when in enumerate(whens):
        story.do(tell(f"{number}", when))
    return [one.seq for one in story.run().messages][-len(whens) :]


def wanted(story: Story) -> list[Any]:
    """What is to be done about the run."""
    return list(reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent()))


def test_it_waits_and_then_is_forgotten() -> None:
    story = Story(spec())
    story.started()
    assert story.do(tell("  use B\n")) == (ev.MessageSent(RUN, "use B", When.steer, "olga"),)
    (seq,) = (one.seq for one in story.run().messages)
    assert story.run().messages == (Unread(seq, When.steer),)
    assert give(story, 1, at_work=True) == (ev.MessagesDelivered(RUN, 1, (seq,), at_work=True),)
    assert story.run().messages == (Unread(seq, When.steer, 1, at_work=True),)
    assert story.do(cmd.RecordRead(RUN, story.token(), (seq,))) == (ev.MessagesRead(RUN, (seq,)),)
    assert story.run().messages == ()


def test_what_is_claimed_is_never_claimed_again() -> None:
    story = Story(spec())
    story.started()
    said(story, When.steer)
    assert give(story, 1, at_work=True)
    assert give(story, 1, at_work=True) == ()
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    story.do(cmd.RecordEvidence(RUN, story.token(), 1, evidence(checks=(result(CheckState.failed),))))
    assert give(story, 2) == (), "a crash may have lost it; it is not repeated"


def test_nothing_is_read_before_it_was_handed_over() -> None:
    story = Story(spec())
    story.started()
    seqs = said(story, When.steer, When.next_turn)
    assert story.do(cmd.RecordRead(RUN, story.token(), tuple(seqs))) == ()
    give(story, 1, at_work=True)
    assert story.do(cmd.RecordRead(RUN, story.token(), tuple(seqs))) == (ev.MessagesRead(RUN, (seqs[0],)),)


def test_what_stands_in_a_brief_is_read_when_its_worker_runs() -> None:
    story = Story(spec())
    story.granted()
    seqs = said(story, When.steer, When.after_turn, When.next_turn)
    assert give(story, 1) == (ev.MessagesDelivered(RUN, 1, tuple(seqs)),)
    assert story.do(cmd.RecordRead(RUN, story.token(), tuple(seqs))) == (), "only the start of its worker says that"
    late = said(story, When.steer)
    story.started()
    assert story.entries[-1].event == ev.MessagesRead(RUN, tuple(seqs))
    assert [one.seq for one in story.run().messages] == late, "it came after the brief was written"


@pytest.mark.parametrize(
    ("when", "at_work", "makes_a_turn"),
    [
        (When.steer, True, True),
        (When.after_turn, False, True),
        (When.next_turn, False, False),
        (When.notice, True, False),
    ],
)
def test_when_a_worker_is_told(when: When, at_work: bool, makes_a_turn: bool) -> None:
    story = Story(spec())
    story.started()
    story.append(ev.MessageSent(RUN, "x", when, "olga"))
    assert bool(story.decide(cmd.GiveMessages(RUN, story.token(), 1, at_work=True))) is at_work
    assert not any(isinstance(effect, Submit) for effect in wanted(story)), "not while it works"
    story.do(cmd.ReportDone(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    again = [effect.command for effect in wanted(story) if isinstance(effect, Submit)]
    turn = cmd.RepeatTurn(RUN, story.token(), 1, Again.told, "something was said to it")
    assert again == ([turn] if makes_a_turn else [])
    assert any(isinstance(effect, CollectEvidence) for effect in wanted(story)) is not makes_a_turn
    if not makes_a_turn:
        assert story.why_not(turn)[0] == "wrong_state"
        return
    story.do(turn)
    assert run_status(story.state, story.run()) is RunStatus.repeating and story.run().report is None
    assert give(story, 2) != ()
    story.started(turn=2)
    assert story.run().messages == ()
    story.do(cmd.ReportDone(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 2, 0))
    assert any(isinstance(effect, CollectEvidence) for effect in wanted(story)), "one message makes one turn"


def test_a_run_that_is_asked_for_no_change_is_told_before_it_ends() -> None:
    story = Story(spec(kind=PLANNER))
    story.reported()
    assert any(isinstance(effect, EndRun) for effect in wanted(story))
    said(story, When.steer)
    assert not any(isinstance(effect, EndRun) for effect in wanted(story))


def test_a_run_that_was_accepted_is_not_called_back() -> None:
    story = Story(spec())
    story.accepted()
    said(story, When.steer)
    turn = cmd.RepeatTurn(RUN, story.token(), 1, Again.told, "x")
    assert turn not in [effect.command for effect in wanted(story) if isinstance(effect, Submit)]
    assert story.why_not(turn) == ("wrong_state", "nothing that is said to login.1 wants another turn")


def test_a_message_answers_no_question() -> None:
    story = Story(spec())
    story.started()
    story.do(cmd.AskQuestion(RUN, story.token(), "which?", ("a", "b")))
    said(story, When.steer)
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert story.run().question and wanted(story) == []
    story.do(cmd.AnswerQuestion(story.run().question, "a", "olga"))
    assert give(story, 2), "it comes with the turn that the answer gives"


def test_after_a_hang_the_brief_is_the_same_to_the_letter() -> None:
    story = Story(spec())
    story.started()
    said(story, When.steer)
    story.do(cmd.RepeatTurn(RUN, story.token(), 1, Again.hang, "silent"))
    story.do(cmd.RecordExit(RUN, story.token(), 1, None, 15))
    assert give(story, 2) == ()
    story.started(turn=2)
    assert give(story, 2, at_work=True)


def gone(story: Story) -> cmd.TellRun:
    return tell(run="login.9")


def stopped(story: Story) -> cmd.TellRun:
    story.do(cmd.StopRun(RUN, EndKind.stopped, "not now"))
    return tell()


def too_many(story: Story) -> cmd.TellRun:
    said(story, *[When.next_turn] * QUEUED_MAX)
    return tell()


@pytest.mark.parametrize(
    ("make", "code", "reason"),
    [
        (gone, "unknown_ref", "run login.9 is not live: nobody would read it"),
        (stopped, "wrong_state", "login.1 is being ended (not now): nobody would read it"),
        (too_many, "wrong_state", "20 messages wait for login.1 already"),
        (lambda _: tell("  "), "invalid", "the message has 0 characters, from 1 to 4000 are taken"),
        (lambda _: tell("x" * 4_001), "invalid", "the message has 4001 characters, from 1 to 4000 are taken"),
        (lambda _: tell(when=When.notice), "invalid", "a notice is ganger's own"),
        (lambda _: cmd.GiveMessages(RUN, Token(99), 1), "stale_token", "token 99 is not that of login.1"),
        (lambda _: cmd.GiveMessages(RUN, _.token(), 2), "wrong_state", "login.1 is not in turn 2"),
        (lambda _: cmd.GiveMessages(RUN, _.token(), 1), "wrong_state", "login.1 is not in turn 1"),
    ],
)
def test_refusals(make: Any, code: str, reason: str) -> None:
    story = Story(spec())
    story.started()
    assert story.why_not(make(story)) == (code, reason)


@pytest.mark.parametrize("actor", ["worker:login.1", "supervisor"])
def test_only_a_person_says_something(actor: str) -> None:
    story = Story(spec())
    story.started()
    assert authority_refusal(story.state, tell(), actor) is not None
    assert authority_refusal(story.state, tell(), "person:olga") is None


# What lands under a run


def moved(scope: tuple[str, ...], *, began: bool = True, own: tuple[str, ...] = ()) -> tuple[list[ev.Event], Story]:
    """Land `login`, which changed src/a.py and docs/x, while `other` is live; returns what happened then."""
    shared = {"scope": ("src/**",), "mode": LeaseMode.shared}
    other = spec("other", **{**shared, "scope": scope})
    story = Story(spec("login", **shared), other)
    run = story.started("other") if began else story.granted("other")
    if own:
        story.do(cmd.ReportDone(run.id, run.lease.token))
        story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
        story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, evidence(commit=Commit("d" * 40), changed=own)))
    story.landing("login")
    assert story.state.landing is not None
    new = story.state.landing.new
    return list(story.do(cmd.RecordLanding(new, "landed", new))), story


def test_whoever_may_change_what_landed_is_told_once_and_the_contributor_is_not() -> None:
    events, story = moved(("src/**",))
    (note,) = [event for event in events if isinstance(event, ev.MessageSent)]
    assert note == ev.MessageSent(
        RunId("other.1"),
        f"login has landed as {note.landing[:12]}, after you began, and changed src/a.py. "
        "Your commits will be merged with that: do not undo or repeat it.",
        When.notice,
        landing=note.landing,
    )
    assert give_other(story, 1) == (ev.MessagesDelivered(RunId("other.1"), 1, (note_seq(story),), at_work=True),)


def note_seq(story: Story) -> Seq:
    return story.run("other").messages[0].seq


def give_other(story: Story, turn: int) -> tuple[ev.Event, ...]:
    return story.do(cmd.GiveMessages(RunId("other.1"), story.token("other"), turn, at_work=True))


@pytest.mark.parametrize(
    ("scope", "began", "own", "told"),
    [
        (("docs/**",), True, (), 0),
        (("src/b.py",), True, (), 0),
        (("src/*.py",), True, (), 1),
        (("src/*.py",), False, (), 0),
        (("docs/**",), True, ("docs/y",), 0),
    ],
)
def test_who_is_told(scope: tuple[str, ...], began: bool, own: tuple[str, ...], told: int) -> None:
    events, _ = moved(scope, began=began, own=own)
    assert sum(isinstance(event, ev.MessageSent) for event in events) == told


# What is undone under a run

BACK = Commit("8" * 40)


def undone(scope: tuple[str, ...], *, back: bool = False) -> list[ev.Event]:
    """Land and undo `login`, and bring it back if so, while `other` is live; returns what happened at the last."""
    shared: dict[str, Any] = {"scope": ("src/**",), "mode": LeaseMode.shared}
    story = Story(spec("login", **shared), spec("other", **{**shared, "scope": scope}))
    story.landing("login")
    assert story.state.landing is not None
    tip = story.state.landing.new
    story.do(cmd.RecordLanding(tip, "landed", tip))
    story.started("other")
    item = story.state.items[spec("login").id]
    story.do(cmd.UndoLanding("olga", item.spec.id))
    events = take_back(story, item.merge, tip, UNDONE)
    if not back:
        return events
    story.do(cmd.UndoLanding("olga", commit=UNDONE))
    return take_back(story, UNDONE, UNDONE, BACK)


def take_back(story: Story, commit: Commit, old: Commit, new: Commit) -> list[ev.Event]:
    story.do(cmd.RecordUndo(commit, old, new, TREE, passed=True, changed=("src/a.py", "docs/x")))
    return list(story.do(cmd.RecordLanding(new, "landed", new)))


def test_what_is_undone_is_told_as_what_lands() -> None:
    (note,) = [event for event in undone(("src/**",)) if isinstance(event, ev.MessageSent)]
    assert note == ev.MessageSent(
        RunId("other.1"),
        f"login was undone as {UNDONE[:12]}, after you began, and that changed src/a.py. "
        "The target holds its change no longer: do not build on it, and do not bring it back.",
        When.notice,
        landing=UNDONE,
    )


def test_what_is_back_again_is_told_as_well() -> None:
    (note,) = [event for event in undone(("docs/*", "src/a.py"), back=True) if isinstance(event, ev.MessageSent)]
    assert note.landing == BACK and note.text == (
        f"login was undone and is back again as {BACK[:12]}, after you began, and that changed src/a.py, docs/x. "
        "Your commits will be merged with that: do not undo or repeat it."
    )


@pytest.mark.parametrize("scope", [("lib/**",), ("src/b.py",)])
def test_whom_an_undoing_does_not_concern_is_told_nothing(scope: tuple[str, ...]) -> None:
    assert not [event for event in undone(scope) if isinstance(event, ev.MessageSent)]


def test_many_files_are_named_in_part() -> None:
    text = moved_text(spec().id, CANDIDATE, [f"f{number}" for number in range(12)])
    assert ", f9 and 2 more. " in text and "f10" not in text
