"""A candidate that is good but for paths outside its scope waits for a person's word on exactly that commit."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import Commit
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.model import CheckState, Rung, Verdict, VerdictKind, Weakened, Weakening
from ganger.core.patterns import PathRules
from ganger.core.policy import Policy
from ganger.core.verdict import judge
from ganger.testing.builders import BASE, CANDIDATE, Story, evidence, result, spec

OFF = evidence(changed=("docs/x.md", "src/a.py"))
WEAK = (Weakened("tests/a.py", 3, Weakening.skipped, "test_a", "`pytest.skip()`"),)
OUTSIDE = "changes outside the scope src/**: docs/x.md"
FAILS = "check unit failed with exit status 1"
GUARDED = "changes protected files, which the plan does not name: conftest.py"
REJECTED, UNKNOWN, ACCEPTED = VerdictKind.rejected, VerdictKind.unknown, VerdictKind.accepted
ROWS: list[tuple[str, dict[str, Any], str, VerdictKind, Rung, tuple[str, ...]]] = [
    ("refused", {}, "refuse", REJECTED, Rung.committed, (OUTSIDE,)),
    ("asked about", {}, "inbox", UNKNOWN, Rung.committed, (OUTSIDE,)),
    ("allowed", {}, "allow", ACCEPTED, Rung.checked, ()),
    ("its checks fail", {"checks": (result(CheckState.failed),)}, "inbox", REJECTED, Rung.committed, (OUTSIDE, FAILS)),
    ("allowed, its checks fail", {"checks": (result(CheckState.failed),)}, "allow", REJECTED, Rung.in_scope, (FAILS,)),
    ("protected too", {"protected": ("conftest.py",)}, "inbox", REJECTED, Rung.committed, (OUTSIDE, GUARDED)),
    ("protected, though allowed", {"protected": ("conftest.py",)}, "allow", REJECTED, Rung.committed, (GUARDED,)),
    ("weakens tests too", {"weakened": WEAK}, "inbox", REJECTED, Rung.committed, (OUTSIDE, "weakens tests: …")),
    ("inside its scope", {"changed": ("src/a.py",)}, "inbox", ACCEPTED, Rung.checked, ()),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_is_judged(row: tuple[str, dict[str, Any], str, VerdictKind, Rung, tuple[str, ...]]) -> None:
    _, fields, setting, kind, rung, reasons = row
    found = judge(spec(), ("src/**",), replace(OFF, **fields), PathRules(), off_plan=setting)
    shown = tuple("weakens tests: …" if reason.startswith("weakens") else reason for reason in found.reasons)
    assert (found.kind, found.rung, shown) == (kind, rung, reasons)


def asked(**policy: Any) -> Story:
    """A run whose candidate waits for the answer."""
    story = Story(spec(), spec("b", scope=("docs/**",)), policy=Policy(off_plan="inbox", **policy))
    story.started("b")
    run = story.reported()
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, OFF))
    return story


def test_the_question_names_the_commit_the_paths_and_who_else_holds_them() -> None:
    story = asked()
    (question,) = story.state.questions.values()
    assert run_status(story.state, story.run()) is RunStatus.asking
    assert (question.kind, question.subject, question.options) == ("off_plan", CANDIDATE, ("allow", "refuse"))
    assert question.text == f"Accept {CANDIDATE[:12]} of login.1 all the same? It {OUTSIDE}"
    assert question.risk == "b.1 may change that meanwhile"


def test_allowed_by_name_exactly_that_commit_goes_on() -> None:
    story = asked()
    events = story.do(cmd.AnswerQuestion(story.run().question, "allow", "person:olga"))
    given = ev.VerdictGiven(story.run().id, CANDIDATE, Verdict(VerdictKind.accepted, Rung.checked, by="olga"))
    assert events[1:] == (given,)
    assert run_status(story.state, story.run()) is RunStatus.accepted
    assert not isinstance(story.decide(story.train("login")), cmd.Request)


def test_approving_one_version_does_not_approve_the_next() -> None:
    story = asked(turns_max=5)
    first = story.run().question
    story.do(cmd.AnswerQuestion(first, "refuse", "olga"))
    story.started(turn=2)
    run = story.run()
    story.do(cmd.ReportDone(run.id, run.lease.token))
    story.do(cmd.RecordExit(run.id, run.lease.token, 2, 0))
    other = replace(OFF, commit=Commit("9" * 40))
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 2, other))
    assert story.run().question not in ("", first), "the next version is asked about anew"
    assert story.why_not(cmd.AnswerQuestion(first, "allow", "olga"))[0] == "unknown_ref"
    assert run_status(story.state, story.run()) is RunStatus.asking


def test_an_answer_about_another_commit_changes_nothing() -> None:
    story = asked()
    run = story.run()
    story.state.runs[run.id] = replace(run, evidence=replace(OFF, commit=Commit("9" * 40)))
    events = story.do(cmd.AnswerQuestion(run.question, "allow", "olga"))
    assert [type(event) for event in events] == [ev.QuestionAnswered]


def test_where_it_is_refused_nobody_is_asked() -> None:
    story = Story(spec())
    run = story.reported()
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, OFF))
    assert not story.state.questions and run_status(story.state, story.run()) is RunStatus.starting
    assert run.base == BASE
