"""What the report says of a question that an agent answered in a person's place."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_builder import LEASE_MS, Night, spec

from ganger.core import commands as cmd
from ganger.core.ids import QuestionId, RunId
from ganger.core.model import Outcome
from ganger.core.policy import Policy
from ganger.report.data import collect
from ganger.report.shape import AnomalyKind
from ganger.report.text import render_text


@pytest.mark.parametrize("by_agent", [True, False])
def test_an_answer_that_no_person_gave_is_named(tmp_path: Path, by_agent: bool) -> None:
    policy = Policy(workers_max=8, lease_ttl_ms=LEASE_MS, consult_agent="critic", consult_window_ms=600_000)
    night = Night(tmp_path, policy)
    night.plan(spec("a"))
    run = RunId(night.grant("a"))
    night.say(cmd.AskQuestion(run, night.token(run), "left or right?", audience="consult"), f"worker:{run}")
    critic = RunId("a-consult-1.1")
    if by_agent:
        said = cmd.ReportDone(critic, night.token(critic), Outcome.findings, "left")
        night.say(said, f"worker:{critic}", minutes=1)
    else:
        night.say(cmd.AnswerQuestion(QuestionId("q1"), "left", "ada"), "person:ada", minutes=1)
    reader = night.reader()
    data = collect(reader, tmp_path, 0, night.now_ms)
    reader.close()
    night.close()
    found = [(one.subject, one.text, one.said) for one in data.anomalies if one.kind is AnomalyKind.advised]
    text = "q1 was answered by agent critic, and not by a person: left or right?"
    assert found == ([("a.1", text, "left")] if by_agent else [])
    assert ("Questions that an agent answered" in render_text(data)) is by_agent
