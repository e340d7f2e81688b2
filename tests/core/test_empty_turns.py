"""A turn that leaves nothing: one reminder for whoever says nothing, a person where it was unclear what was wanted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Exit, Observed, StartWorker, Submit
from ganger.core.ids import Commit, QuestionId, RunId
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent
from ganger.core.model import SILENCE, Again, CheckState, EndKind, Evidence, Outcome, QuestionKind, Usage, When
from ganger.core.policy import Policy
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, CANDIDATE, NOW_MS, Story, evidence, result, spec

RUN = RunId("login.1")
NOTHING = evidence(commit=BASE, changed=(), checks=())
FAILED = evidence(checks=(result(CheckState.failed),))
REMINDED = ev.TurnRepeated(RUN, 1, Again.idle, "turn 1 ended without a word and without a change")


def silent(story: Story, turn: int, *, must_speak: bool = True) -> None:
    """Have a turn end without a word."""
    story.started(turn=turn)
    story.do(cmd.RecordExit(RUN, story.token(), turn, 0, must_speak=must_speak))


def seen(story: Story, turn: int, found: Evidence = NOTHING) -> tuple[ev.Event, ...]:
    return story.do(cmd.RecordEvidence(RUN, story.token(), turn, found))


def kinds(events: tuple[ev.Event, ...]) -> list[str]:
    return [type(event).__name__ for event in events]


def story_of(turns_max: int = 3, **fields: Any) -> Story:
    return Story(spec(**fields), policy=Policy(turns_max=turns_max))


def test_a_silent_turn_is_reminded_once_and_the_second_ends_the_run() -> None:
    story = story_of()
    silent(story, 1)
    assert story.run().report is not None and story.run().report.source == SILENCE
    assert seen(story, 1) == (REMINDED,)
    assert run_status(story.state, story.run()) is RunStatus.repeating and story.run().reminded
    silent(story, 2)
    events = seen(story, 2)
    assert kinds(events) == ["EvidenceRecorded", "VerdictGiven", "StopRequested"]
    assert events[-1] == ev.StopRequested(
        RUN,
        EndKind.rejected,
        "no report: the worker was reminded to say what became of it, and ended without a word again; "
        "nothing was committed: the candidate is the commit it started from",
    )


def test_a_program_that_does_not_speak_is_judged_as_before() -> None:
    story = story_of()
    silent(story, 1, must_speak=False)
    assert story.run().report is not None and story.run().report.source == "exit"
    assert kinds(seen(story, 1)) == ["EvidenceRecorded", "VerdictGiven"]
    assert story.run().turn_due and not story.run().reminded


@pytest.mark.parametrize("must_speak", [True, False])
def test_a_silent_turn_with_a_commit_is_judged(must_speak: bool) -> None:
    story = story_of()
    silent(story, 1, must_speak=must_speak)
    assert kinds(seen(story, 1, evidence())) == ["EvidenceRecorded", "VerdictGiven"]
    assert story.run().accepted_seq


def test_only_something_new_counts_as_left() -> None:
    story = story_of()
    story.reported()
    assert seen(story, 1, FAILED)
    silent(story, 2)
    assert kinds(seen(story, 2, FAILED)) == ["TurnRepeated"], "that candidate was refused before"
    silent(story, 3)
    assert kinds(seen(story, 3, replace(FAILED, commit=Commit("f" * 40))))[-1] == "StopRequested", "no turn is left"


def test_an_empty_commit_is_nothing() -> None:
    story = story_of()
    silent(story, 1)
    assert kinds(seen(story, 1, evidence(changed=(), checks=()))) == ["TurnRepeated"]


@pytest.mark.parametrize(("turns_max", "reminded"), [(1, False), (2, True), (3, True)])
def test_it_takes_one_of_the_turns(turns_max: int, reminded: bool) -> None:
    story = story_of(turns_max)
    silent(story, 1)
    assert (kinds(seen(story, 1)) == ["TurnRepeated"]) is reminded
    if not reminded:
        assert story.run().stop is not None
        return
    story.reported(turn=2)
    again = seen(story, 2, FAILED)
    assert any(isinstance(event, ev.StopRequested) for event in again) is (turns_max == 2)


def test_who_has_spent_all_is_not_reminded() -> None:
    story = story_of()
    run = story.granted()
    story.state.put_run(replace(run, reserved=Usage(tokens=1_000)))
    silent(story, 1)
    story.do(cmd.RecordUsage(RUN, story.token(), 1, Usage(tokens=1_000)))
    assert kinds(seen(story, 1)) == ["EvidenceRecorded", "VerdictGiven"]
    fresh = story_of()
    run = fresh.granted()
    fresh.state.put_run(replace(run, reserved=Usage(tokens=1_000)))
    silent(fresh, 1)
    fresh.do(cmd.RecordUsage(RUN, fresh.token(), 1, Usage(tokens=999)))
    assert kinds(seen(fresh, 1)) == ["TurnRepeated"]


def wanted(story: Story, intent: Intent) -> list[Any]:
    return list(reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, intent))


def test_a_night_that_is_ended_reminds_nobody() -> None:
    story = story_of()
    silent(story, 1)
    seen(story, 1)
    assert StartWorker(RUN, 2) in wanted(story, Intent())
    assert StartWorker(RUN, 2) in wanted(story, Intent(offer=False)), "a drained night lets its runs come to an end"
    ended = wanted(story, Intent(offer=False, stop=True))
    assert StartWorker(RUN, 2) not in ended
    assert any(isinstance(one, Submit) and isinstance(one.command, cmd.StopRun) for one in ended)


def test_it_waits_for_the_allowed_hours() -> None:
    minute = (NOW_MS // 60_000) % 1_440
    story = Story(spec(), policy=Policy(turns_max=3))
    silent(story, 1)
    story.policy = Policy(turns_max=3, hours=((minute + 60, minute + 120),))
    (repeated,) = seen(story, 1)
    assert isinstance(repeated, ev.TurnRepeated) and 59 * 60_000 < repeated.not_before_ms - NOW_MS <= 60 * 60_000
    assert StartWorker(RUN, 2) not in wanted(story, Intent())


@pytest.mark.parametrize("human", ["told", "answered", "rewound", "nothing", "notice"])
def test_what_a_person_says_lets_it_be_reminded_again(human: str) -> None:
    story = story_of(turns_max=3)
    silent(story, 1)
    seen(story, 1)
    turn = 2
    match human:
        case "told":
            story.do(cmd.TellRun(RUN, "use B", When.next_turn, "olga"))
        case "answered":
            story.started(turn=2)
            story.do(cmd.AskQuestion(RUN, story.token(), "which?"))
            story.do(cmd.RecordExit(RUN, story.token(), 2, 0, must_speak=True))
            assert story.run().reminded
            story.do(cmd.AnswerQuestion(QuestionId("q1"), "that one", "person:olga"))
            turn = 3
        case "rewound":
            story.do(cmd.RewindRun(RUN, BASE, "", "olga"))
            story.do(cmd.RecordRewind(RUN, story.token(), BASE))
            turn = story.run().turn + 1
        case "notice":
            story.append(ev.MessageSent(RUN, "it moved", When.notice))
    silent(story, turn)
    again = kinds(seen(story, turn)) == ["TurnRepeated"]
    assert again is (human in ("told", "answered", "rewound"))


def test_what_is_observed_says_whether_it_must_speak() -> None:
    story = story_of()
    story.started()
    for must_speak in (True, False):
        observed = Observed(target=BASE, exits={RUN: Exit(1, 0, must_speak=must_speak)})
        (effect,) = (e for e in reconcile(story.state, observed, NOW_MS, story.policy, Intent()))
        assert isinstance(effect, Submit)
        assert effect.command == cmd.RecordExit(RUN, story.token(), 1, 0, must_speak=must_speak)


# ── done with nothing to show for it ──

VAGUE: dict[str, Any] = {"scope": ("**",), "checks": ()}


def vague_story(brief: str = "", **fields: Any) -> Story:
    story = Story()
    item = spec(**{**VAGUE, **fields})
    story.do(cmd.AddPlan(item.plan, "A plan", "plan.toml", "1", ((item, brief),)))
    return story


@pytest.mark.parametrize(
    ("brief", "fields", "said", "asks"),
    [
        # It was unclear what was wanted.
        ("Do it.", {"scope": ("src/**",)}, {"scope_confidence": "unclear"}, True),
        ("Do it.", {"scope": ("src/**",)}, {"scope_confidence": "unclear", "outcome": Outcome.no_evidence}, True),
        ("Do it.", {"scope": ("src/**",)}, {"scope_confidence": "unclear", "evidence": ("a.py:3",)}, False),
        # Nothing but a title.
        ("", {}, {}, True),
        ("", {}, {"outcome": Outcome.no_evidence}, True),
        ("", {}, {"evidence": ("it is so already",)}, False),
        # One fact is enough not to be vague.
        ("Do it.", {}, {}, False),
        ("", {"scope": ("src/**",)}, {}, False),
        ("", {"checks": spec().checks}, {}, False),
        # Clear, and nothing was found to do.
        ("Do it.", {"scope": ("src/**",)}, {"outcome": Outcome.no_evidence}, False),
    ],
)
def test_done_with_nothing_to_show_for_it(brief: str, fields: dict[str, Any], said: dict[str, Any], asks: bool) -> None:
    story = vague_story(brief, **fields)
    story.started()
    story.do(cmd.ReportDone(RUN, story.token(), **said))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0, must_speak=True))
    events = seen(story, 1)
    if not asks:
        assert kinds(events) == ["EvidenceRecorded", "VerdictGiven"], "judged as ever"
        return
    (asked,) = events
    assert isinstance(asked, ev.QuestionAsked) and asked.question.kind is QuestionKind.worker
    assert asked.question.run == RUN and run_status(story.state, story.run()) is RunStatus.asking
    story.do(cmd.AnswerQuestion(asked.question.id, "make it blue", "person:olga"))
    assert StartWorker(RUN, 2) in wanted(story, Intent())
    story.started(turn=2)
    assert story.do(cmd.ReportDone(RUN, story.token())), "the next turn speaks for itself"


def test_with_a_commit_it_is_judged_however_unclear() -> None:
    story = vague_story()
    story.started()
    story.do(cmd.ReportDone(RUN, story.token(), scope_confidence="unclear"))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert kinds(seen(story, 1, evidence(checks=()))) == ["EvidenceRecorded", "VerdictGiven"]
    assert story.run().evidence is not None and story.run().evidence.commit == CANDIDATE


def test_what_a_person_reads() -> None:
    story = vague_story()
    story.started()
    story.do(cmd.ReportDone(RUN, story.token(), Outcome.findings, "I looked around"))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    (asked,) = seen(story, 1)
    assert isinstance(asked, ev.QuestionAsked)
    assert asked.question.text == (
        "What is wanted of login? Its worker says findings and its item says little more than a title, "
        'with nothing to show for it: "I looked around"'
    )
