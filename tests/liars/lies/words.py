"""Lies of words alone: reports for others, twice, or too late. The fleet refuses them without a look at any code."""

from __future__ import annotations

import re
from collections.abc import Callable

from ganger.core import commands as cmd
from ganger.core.commands import Command
from ganger.core.ids import RunId, Token
from ganger.core.model import EndKind, Refusal
from ganger.testing.builders import CANDIDATE, Story, evidence, spec
from lies.table import ACCEPTED, REFUSED, UNNAMED, Row

KIND = "words"
RECORDS_NOTHING = "it is acknowledged, and nothing is recorded"


def _two() -> Story:
    """Two runs at work."""
    story = Story(spec("login", scope=("src/**",)), spec("logout", scope=("lib/**",)))
    story.started("login")
    story.started("logout")
    return story


def _report_for_another_run() -> tuple[Story, Command]:
    story = _two()
    return story, cmd.ReportDone(story.run("logout").id, story.token("login"))


def _token_of_another_run() -> tuple[Story, Command]:
    story = _two()
    return story, cmd.ReportDone(story.run("login").id, story.token("logout"))


def _token_made_up() -> tuple[Story, Command]:
    story = _two()
    return story, cmd.ReportDone(story.run("login").id, Token(story.token("login") + 7))


def _run_made_up() -> tuple[Story, Command]:
    story = _two()
    return story, cmd.ReportDone(RunId("login.9"), story.token("login"))


def _report_after_the_end() -> tuple[Story, Command]:
    story = _two()
    run = story.run("login")
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "it crashed"))
    return story, cmd.ReportDone(run.id, run.lease.token)


def _report_after_the_lease() -> tuple[Story, Command]:
    """A worker's lease has run out; what it reports may be looked at, but does not land."""
    story = _two()
    run = story.run("login")
    story.now_ms = run.lease.expires_ms + 1
    story.do(cmd.ReportDone(run.id, run.lease.token))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.RecordEvidence(run.id, run.lease.token, 1, evidence()))
    return story, story.train("login")


def _same_report_twice() -> tuple[Story, Command]:
    """After a candidate was accepted, its worker says `done` once more."""
    story = Story(spec("login"))
    run = story.accepted("login")
    return story, cmd.ReportDone(run.id, run.lease.token)


def _evidence_of_its_own() -> tuple[Story, Command]:
    """A worker that still works hands in evidence itself."""
    story = _two()
    run = story.run("login")
    return story, cmd.RecordEvidence(run.id, run.lease.token, 1, evidence())


def _evidence_twice() -> tuple[Story, Command]:
    story = Story(spec("login"))
    run = story.accepted("login")
    return story, cmd.RecordEvidence(run.id, run.lease.token, 1, evidence())


def _landing_of_something_else() -> tuple[Story, Command]:
    """A train that tested another commit than the one that was accepted."""
    story = Story(spec("login"))
    run = story.accepted("login")
    other = CANDIDATE.replace(CANDIDATE[0], "9")
    return story, story.train("login", members=((run.id, run.lease.token, other),))


LIES: dict[str, tuple[Callable[[], tuple[Story, Command]], str]] = {
    "report_for_another_run": (_report_for_another_run, "is not that of"),
    "token_of_another_run": (_token_of_another_run, "is not that of"),
    "token_made_up": (_token_made_up, "is not that of"),
    "run_made_up": (_run_made_up, "is not live"),
    "report_after_the_end": (_report_after_the_end, "is not live|ended"),
    "report_after_the_lease": (_report_after_the_lease, "lease of login.1 has run out"),
    "same_report_twice": (_same_report_twice, RECORDS_NOTHING),
    "evidence_of_its_own": (_evidence_of_its_own, "turn"),
    "evidence_twice": (_evidence_twice, "not waiting"),
    "landing_of_something_else": (_landing_of_something_else, "commit|candidate|accepted"),
}
"""What is tried, and what the refusal must hold."""


def rows() -> list[Row]:
    """Try each."""
    found = []
    for name, (tell, named) in LIES.items():
        story, command = tell()
        decided = story.decide(command)
        reason = decided.reason if isinstance(decided, Refusal) else "" if decided else RECORDS_NOTHING
        said = ACCEPTED if not reason else REFUSED if re.search(named, reason) else UNNAMED
        found.append(Row(name, KIND, "any", said, reason, 0))
    return found
