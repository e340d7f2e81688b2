"""What the report says of landings that are not closed, not there any more, or claim what they do not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from report_builder import LEASE_MS, Night, commit, spec

from ganger.core import commands as cmd
from ganger.core.model import CiState
from ganger.core.policy import Policy
from ganger.report.data import collect
from ganger.report.html import render_html
from ganger.report.shape import AnomalyKind, ReportData
from ganger.report.text import render_text


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    found = Night(tmp_path, Policy(workers_max=8, lease_ttl_ms=LEASE_MS, turns_max=1, ci_required=True))
    found.plan(spec("a"), spec("b"))
    yield found
    found.close()


def told(night: Night) -> ReportData:
    reader = night.reader()
    try:
        return collect(reader, night.state_dir, 0, 0)
    finally:
        reader.close()


def shown(data: ReportData) -> tuple[str, str]:
    """The whole report as text on one line, and as a page."""
    return " ".join(render_text(data).split()), render_html(data)


@pytest.mark.parametrize(
    ("state", "kind", "line"),
    [
        (None, AnomalyKind.ci_open, "CI has not closed it: not asked yet"),
        (CiState.unknown, AnomalyKind.ci_open, "CI has not closed it: unknown: <i>forge</i>"),
        (CiState.unavailable, AnomalyKind.ci_open, "CI has not closed it: unavailable: <i>forge</i>"),
        (CiState.blocked, AnomalyKind.ci_blocked, "CI has not closed it: blocked: <i>forge</i>"),
        (CiState.green, None, "CI says green: <i>forge</i>"),
    ],
)
def test_what_ci_says_of_a_landing(night: Night, state: CiState | None, kind: AnomalyKind | None, line: str) -> None:
    night.land(night.accepted("a"))
    landed = night.target
    if state is not None:
        night.say(cmd.RecordCi(landed, state, "<i>forge</i>"))
    data = told(night)
    found = [(one.kind, one.text) for one in data.anomalies]
    assert found == ([(kind, f"a landed as {landed[:12]}. {line}.")] if kind else [])
    assert [one.ci for one in data.landed] == [line]
    text, page = shown(data)
    assert line in text and line.replace("<", "&lt;").replace(">", "&gt;") in page and "<i>forge" not in page


def test_what_is_blocked_comes_first_and_what_a_person_closed_is_said(night: Night) -> None:
    night.land(night.accepted("a"))
    night.supervisor(1, minutes=1)
    night.supervisor(2, minutes=5)
    night.say(cmd.RecordCi(night.target, CiState.blocked, "failed: unit"))
    kinds = [one.kind for one in told(night).anomalies]
    assert kinds == [AnomalyKind.ci_blocked, AnomalyKind.supervisor_died]
    night.answer("q1", "close")
    assert [one.ci for one in told(night).landed] == ["closed by ada although CI is not green (blocked: failed: unit)"]
    assert AnomalyKind.ci_blocked not in [one.kind for one in told(night).anomalies]


def test_a_landing_that_is_gone(night: Night) -> None:
    night.land(night.accepted("a"))
    landed, tip = night.target, commit("before")
    night.say(cmd.RecordCi(landed, CiState.green, "unit"))
    night.say(cmd.RecordTargetRead(tip, (landed,)))
    text = f"The target at {tip[:12]} does not contain {landed[:12]}, which landed a."
    assert [(one.kind, one.text) for one in told(night).anomalies] == [(AnomalyKind.landing_lost, text)]
    assert all(text in page for page in shown(told(night)))
    night.say(cmd.RecordTargetRead(landed))
    assert not told(night).anomalies


def test_claims_that_were_not_so(night: Night) -> None:
    run = night.grant("a")
    night.done(run, "all done", 10)
    flag = "0123456789ab (fix: x): claims fix, but changes only documentation"
    night.evidence(run, claims=(flag,))
    night.land(run)
    night.say(cmd.RecordCi(night.target, CiState.green, "unit"))
    liar = night.grant("b")
    night.done(liar, "all done too", 10)
    night.nothing(liar)
    night.end(liar)
    data = told(night)
    assert [one.text for one in data.anomalies if one.kind is AnomalyKind.claims] == [f"{flag}."]
    assert [one.claims for one in data.landed] == [(flag,)]
    why = "nothing was committed: the candidate is the commit it started from"
    (left,) = data.still_open
    assert left.claim == f"said to be done and was not, once; b.1 turn 1: {why}"
    assert all(flag in page and left.claim in page for page in shown(data))
