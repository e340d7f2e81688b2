"""What follows from a turn that left nothing new behind: a reminder, a question to a person, or a rejection.

A worker that is to speak and said nothing is reminded once, in a turn of its own; whatever a person says to the run
after that, it may be reminded again. One that says it is done, with nothing to show for it, is taken at its word only
where it was clear what was wanted; otherwise a person is asked.
"""

from __future__ import annotations

from ganger.core import events as ev
from ganger.core.budget import overspent
from ganger.core.facts import Item, Run
from ganger.core.hours import closed_until_ms
from ganger.core.ids import question_id
from ganger.core.model import SILENCE, Again, Evidence, Question, QuestionKind
from ganger.core.policy import Policy
from ganger.core.state import State

EVERYTHING = "**"
UNCLEAR = "unclear"
SUMMARY_CHARS_SHOWN = 400


def has_turn_left(run: Run, policy: Policy) -> bool:
    """Whether a run may have another turn after this one: a rejection used one up, and so did a reminder."""
    return run.rejections + run.reminded + 1 < policy.turns_max


def left_nothing(run: Run, evidence: Evidence) -> bool:
    """Whether there is no candidate, or only one that was looked at before."""
    return not evidence.changed or evidence.commit in (evidence.base, *run.checkpoints)


def is_silent(run: Run) -> bool:
    """Whether the last turn of a worker that is to speak ended without a word."""
    return run.report is not None and run.report.source == SILENCE


def reminder(run: Run, evidence: Evidence, now_ms: int, policy: Policy) -> ev.TurnRepeated | None:
    """Another turn for a worker that said nothing and left nothing; None where it is not to be reminded.

    It takes one of the run's turns and waits for the allowed hours like any other, and what was reserved pays for it.
    """
    if not is_silent(run) or not left_nothing(run, evidence) or run.reminded:
        return None
    if not has_turn_left(run, policy) or overspent(run, 0):
        return None
    reason = f"turn {run.turn} ended without a word and without a change"
    return ev.TurnRepeated(run.id, run.turn, Again.idle, reason, closed_until_ms(now_ms, policy))


def no_report(run: Run, evidence: Evidence) -> str:
    """Why a run ends whose worker was reminded, and said nothing again; empty for any other."""
    if not (run.reminded and is_silent(run) and left_nothing(run, evidence)):
        return ""
    return "no report: the worker was reminded to say what became of it, and ended without a word again"


def is_vague(item: Item) -> bool:
    """Whether nothing but its title says what is wanted: it has no brief, no check, and may change everything."""
    return not item.brief_crc and not item.spec.checks and EVERYTHING in item.spec.scope


def bounce(state: State, run: Run, evidence: Evidence, now_ms: int) -> ev.QuestionAsked | None:
    """The question that takes the place of a `done` with nothing to show for it; None where the word stands.

    It is asked where the worker says that it was unclear what was wanted, or where the item says next to nothing.
    """
    report, item = run.report, state.items[run.item]
    if report is None or report.source != "worker" or report.evidence or not left_nothing(run, evidence):
        return None
    if report.scope_confidence != UNCLEAR and not is_vague(item):
        return None
    unclear = report.scope_confidence == UNCLEAR
    why = "and that it was unclear what was wanted" if unclear else "and its item says little more than a title"
    said = f': "{report.summary[:SUMMARY_CHARS_SHOWN]}"' if report.summary else ""
    wanted = f"What is wanted of {item.spec.id}?"
    text = f"{wanted} Its worker says {report.outcome} {why}, with nothing to show for it{said}"
    return ev.QuestionAsked(
        Question(
            id=question_id(state.questions_asked + 1),
            kind=QuestionKind.worker,
            text=text,
            run=run.id,
            item=run.item,
            asked_ms=now_ms,
        )
    )
