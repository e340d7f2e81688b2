"""Numbers of runs, questions and leases: each given once, whoever asks at the same time, and never again (AD8)."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, RunId, Token
from ganger.core.model import EndKind, Kind, Refusal, RefusalCode, WorkerId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Accepted, Fleet
from ganger.testing.builders import BASE, add_plan, spec

ASKERS = 100
POLICY = Policy(workers_max=1_000)


def ask(path: Path, number: int, gate: int) -> None:
    """One process: wait for the gate, then have a run granted, a question asked and a lease given."""
    os.read(gate, 1)
    fleet = Fleet(Store(path), POLICY)
    granted = fleet.submit(cmd.GrantRun(ItemId(f"i{number}"), BASE), "supervisor")
    assert isinstance(granted, Accepted), granted
    event = granted.events[0]
    assert isinstance(event, ev.RunGranted)
    asked = fleet.submit(cmd.AskQuestion(event.run, Token(granted.seq), "which?"), f"worker:{event.run}")
    assert isinstance(asked, Accepted), asked
    held = fleet.submit(cmd.AcquireLease(f"editor {number}", scope=(f"e{number}/**",)), "person:olga")
    assert isinstance(held, Accepted), held
    fleet.close()


def test_a_hundred_processes_get_different_numbers(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(Fleet(Store(path), POLICY)) as fleet:
        fleet.submit(add_plan(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(ASKERS))), "person:olga")
    gate, opener = os.pipe()
    children = []
    for number in range(ASKERS):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(opener)
                ask(path, number, gate)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(gate)
    os.close(opener)
    assert ended(children) == [0] * ASKERS
    with closing(Store(path)) as store:
        state = store.catch_up()
        entries = store.entries(limit=10_000)
        asked = [one.event.question.id for one in entries if isinstance(one.event, ev.QuestionAsked)]
        runs = [one.event.run for one in entries if isinstance(one.event, ev.RunGranted)]
        leases = [one.seq for one in entries if isinstance(one.event, ev.RunGranted | ev.LeaseGranted)]
        assert sorted(asked, key=lambda name: int(name[1:])) == [f"q{n + 1}" for n in range(ASKERS)]
        assert sorted(runs) == sorted(f"i{n}.1" for n in range(ASKERS))
        assert len(set(leases)) == len(leases) == 2 * ASKERS
        assert sorted([*(run.lease.token for run in state.runs.values()), *map(int, leased(state.held))]) == leases


def leased(held: object) -> list[str]:
    """The positions in the ids of held leases."""
    return [str(name).partition(":")[2] for name in held]  # type: ignore[attr-defined]


def ended(children: list[int], seconds: float = 60) -> list[int]:
    """Exit codes of processes; those that do not end are killed."""
    deadline, codes = time.monotonic() + seconds, dict.fromkeys(children, -1)
    left = set(children)
    while left and time.monotonic() < deadline:
        for child in list(left):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                codes[child] = os.waitstatus_to_exitcode(status)
                left.discard(child)
        time.sleep(0.01)
    for child in left:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return list(codes.values())


@pytest.mark.parametrize("between", ["nothing", "retried", "withdrawn", "restarted", "snapshot"])
def test_a_number_is_never_used_again(tmp_path: Path, between: str) -> None:
    """Whatever happens to the item between two runs, the next one has the next number, and a greater token."""
    path = tmp_path / "journal.db"
    policy = Policy(backoff_ms=0, backoff_max_ms=0)
    fleet, tokens, questions = Fleet(Store(path), policy), [], []
    fleet.submit(add_plan(spec("a", attempts_max=50)), "person:olga")
    for attempt in range(1, 5):
        granted = fleet.submit(cmd.GrantRun(ItemId("a"), BASE), "supervisor")
        assert isinstance(granted, Accepted), granted
        run, token = RunId(f"a.{attempt}"), Token(granted.seq)
        assert run in fleet.store.folded.runs
        fleet.submit(cmd.RecordStart(run, token, 1, WorkerId(attempt, 1)), "supervisor")
        asked = fleet.submit(cmd.AskQuestion(run, token, "which?"), f"worker:{run}")
        assert isinstance(asked, Accepted) and isinstance(asked.events[0], ev.QuestionAsked)
        questions.append(asked.events[0].question.id)
        tokens.append(token)
        fleet.submit(cmd.StopRun(run, EndKind.failed, "over"), "person:olga")
        fleet.submit(cmd.RecordExit(run, token, 1, 0), "supervisor")
        assert isinstance(fleet.submit(cmd.RecordEnd(run, token, EndKind.failed, "over"), "supervisor"), Accepted)
        fleet = _between(fleet, path, policy, between, attempt)
    assert tokens == sorted(set(tokens))
    assert questions == ["q1", "q2", "q3", "q4"]
    fleet.close()


def _between(fleet: Fleet, path: Path, policy: Policy, what: str, attempt: int) -> Fleet:
    if what == "retried":
        fleet.submit(cmd.RetryItem(ItemId("a")), "person:olga")
    if what == "withdrawn":
        fleet.submit(add_plan(spec("b", scope=("b/**",)), digest=f"without {attempt}"), "person:olga")
        fleet.submit(add_plan(spec("a", attempts_max=50), digest=f"with {attempt}"), "person:olga")
    if what in ("restarted", "snapshot"):
        assert isinstance(fleet.store, Store)
        if what == "snapshot":
            fleet.store._store_snapshot(fleet.store.catch_up())
        fleet.close()
        return Fleet(Store(path), policy)
    return fleet


def ask_for_room(path: Path, number: int, gate: int, policy: Policy) -> int:
    """One process: wait for the gate, then ask for a run; 10 when it was given one, 11 when the fleet was full."""
    os.read(gate, 1)
    with closing(Fleet(Store(path), policy)) as fleet:
        reply = fleet.submit(cmd.GrantRun(ItemId(f"i{number}"), BASE), "supervisor")
    if isinstance(reply, Refusal):
        return 11 if reply.code in (RefusalCode.fleet_cap, RefusalCode.kind_cap) else 12
    return 10


@pytest.mark.parametrize("policy", [Policy(workers_max=8), Policy(workers_max=100, kinds=(Kind("patcher", 8),))])
def test_of_fifty_that_ask_at_once_exactly_as_many_as_may_are_given_a_run(tmp_path: Path, policy: Policy) -> None:
    path = tmp_path / "journal.db"
    with closing(Fleet(Store(path), policy)) as fleet:
        fleet.submit(add_plan(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(50))), "person:olga")
    gate, opener = os.pipe()
    children = []
    for number in range(50):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(opener)
                code = ask_for_room(path, number, gate, policy)
            finally:
                os._exit(code)
        children.append(child)
    os.close(gate)
    os.close(opener)
    codes = ended(children)
    assert (codes.count(10), codes.count(11)) == (8, 42)
    with closing(Store(path)) as store:
        assert store.catch_up().workers_busy == 8
