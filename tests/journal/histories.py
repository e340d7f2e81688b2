"""Random histories of a fleet in a real journal, made by asking it for all sorts of things."""

from __future__ import annotations

from pathlib import Path
from random import Random

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, QuestionId
from ganger.core.model import EndKind, Hold, Todo, WorkerId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Accepted, Fleet
from ganger.testing.builders import BASE, CANDIDATE, TREE, add_plan, evidence, result, spec
from ganger.testing.journal_suite import Clock

SCOPES = (("src/**",), ("docs/**",), ("src/a.py",), ("tests/**", "docs/x.md"))


def history(place: Path, seed: int, steps: int = 150) -> Fleet:
    """A fleet with a history of this many requests, some of which were refused."""
    rng, clock = Random(seed), Clock()
    policy = Policy(landing_mode=rng.choice(("auto", "ask")), workers_max=3, turns_max=rng.choice((1, 2)))
    fleet = Fleet(Store(place / "journal.db", clock=clock), policy)
    for number in range(steps):
        clock.now_ms += rng.randrange(20_000)
        command = _command(fleet, rng, number)
        if command is not None:
            reply = fleet.submit(command, rng.choice(("person:olga", "supervisor", "worker:x")), _key(rng, number))
            assert isinstance(reply, Accepted) or reply.reason
    return fleet


def _key(rng: Random, number: int) -> str:
    return f"key {number}" if rng.random() < 0.2 else ""


def _command(fleet: Fleet, rng: Random, number: int) -> cmd.Command | None:
    state = fleet.store.catch_up()
    if number == 0 or rng.random() < 0.04:
        hold = Hold("draft") if rng.random() < 0.1 else None
        items = [spec(f"i{n}", scope=rng.choice(SCOPES), hold=hold, priority=rng.randrange(3)) for n in range(6)]
        return add_plan(*items[: rng.randrange(3, 7)], digest=str(number))
    if state.landing is not None and rng.random() < 0.5:
        seen = rng.choice(("landed", "landed", "moved", "dirty", "blocked"))
        return cmd.RecordLanding(state.landing.new, seen, BASE, ("a.txt",))
    if state.questions and rng.random() < 0.3:
        question = rng.choice(sorted(state.questions))
        return cmd.AnswerQuestion(question, rng.choice(state.questions[question].options or ("yes",)), "olga")
    if not state.runs or rng.random() < 0.2:
        return rng.choice(
            [
                cmd.GrantRun(ItemId(f"i{rng.randrange(6)}"), BASE),
                cmd.RetryItem(ItemId(f"i{rng.randrange(6)}")),
                cmd.AnswerQuestion(QuestionId("q99"), "x", "olga"),
                cmd.RecordSupervisor(number, "host", "1", rng.choice(("", "the night is over"))),
            ]
        )
    return _about_a_run(fleet, rng, number)


def _about_a_run(fleet: Fleet, rng: Random, number: int) -> cmd.Command:
    state = fleet.store.catch_up()
    run = state.runs[rng.choice(sorted(state.runs))]
    token = run.lease.token
    commit = Commit(f"{number:040x}")
    seen = evidence(commit=commit, changed=(rng.choice(("src/a.py", "docs/x.md", "tests/t.py")),), checks=(result(),))
    accepted = [r for r in state.runs.values() if r.accepted_seq and r.stop is None]
    wanted: list[cmd.Command] = [
        cmd.RecordStart(run.id, token, run.turn + 1, WorkerId(number + 1, number)),
        cmd.RecordStart(run.id, token, run.turn + 1, WorkerId(number + 1, number)),
        cmd.ReportDone(run.id, token, summary=f"done \u202e {number}"),
        cmd.RecordExit(run.id, token, run.turn, rng.choice((0, 0, 1, None)), cpu_ms=number),
        cmd.RecordExit(run.id, token, run.turn, 0),
        cmd.RecordEvidence(run.id, token, run.turn, seen),
        cmd.RecordEvidence(run.id, token, run.turn, seen),
        cmd.AskQuestion(run.id, token, "which?", ("x", "y"), "x"),
        cmd.AddNote(run.id, token, f"note {number}"),
        cmd.SetTodos(run.id, token, (Todo("a", "pending"),)),
        cmd.RenewLeases(((run.id, run.lease.expires_ms + 1_000),)),
        cmd.RecordWait(run.item, cmd.RefusalCode.overlap, "busy", run.id),
        cmd.StopRun(run.id, rng.choice((EndKind.stopped, EndKind.stalled)), "enough"),
        cmd.RecordEnd(run.id, token, EndKind.failed if run.stop is None else run.stop.end, "over", ("refs/keep/x",)),
    ]
    if accepted and rng.random() < 0.7:
        members = tuple((r.id, r.lease.token, r.evidence.commit) for r in accepted if r.evidence is not None)
        runs = tuple(member[0] for member in members)
        return cmd.RecordTrain(members, runs, BASE, CANDIDATE, TREE, rng.random() < 0.7, (result(),))
    return rng.choice(wanted)
