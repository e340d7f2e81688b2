"""Effects carried out in the real world by a real fleet, and what is recorded of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import RUN, SPEC, Lab, git
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.effects import ReadPlan, Recover, Rewind, StartWorker
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId
from ganger.core.model import Again, ItemSpec, Refusal, Usage, When
from ganger.core.policy import Policy
from ganger.service.fleet import Accepted, Fleet
from ganger.supervisor.effects import carry_out

ANN = "person:ann"
SPENDS = (
    """sh -c 'echo "{\\"event\\": \\"usage\\", \\"tokens_in\\": 100, \\"usd\\": 0.25}"; echo two >a.txt; sleep 60'"""
)


class Night:
    """A fleet with one run, in the lab."""

    def __init__(self, root: Path) -> None:
        self.lab = Lab(root, SPENDS, {"output": "events"})
        self.fleet = Fleet(self.lab.store, Policy())
        self.do(add(SPEC))
        self.do(cmd.GrantRun(SPEC.id, self.lab.run.base))

    def do(self, command: cmd.Command) -> Accepted:
        reply = self.fleet.submit(command, ANN)
        assert not isinstance(reply, Refusal), reply.reason
        return reply

    @property
    def run(self) -> Run:
        return self.fleet.look(lambda state, _: state.runs[RUN])

    def start(self) -> Run:
        """Start the worker of the next turn, and wait until it has done its work."""
        assert isinstance(carry_out(StartWorker(RUN, self.run.turn + 1), self.fleet, self.lab.world), Accepted)
        until = time.monotonic() + 20
        while (self.lab.place / "a.txt").read_text() != "two\n":
            assert time.monotonic() < until
            time.sleep(0.01)
        return self.run

    def lose(self) -> None:
        """Kill the worker together with its shim, and record what is seen of that."""
        run = self.run
        assert run.worker is not None
        seen = self.fleet.look(lambda state, now_ms: self.lab.world.observe(state, now_ms))
        assert seen.alive == {RUN}
        os.kill(run.worker.pid, signal.SIGKILL)
        self.lab.world.stop(run)
        seen = self.fleet.look(lambda state, now_ms: self.lab.world.observe(state, now_ms))
        assert seen.exits[RUN].lost
        assert seen.usage[RUN] == Usage(250_000, 100, seen.usage[RUN].wall_ms) and 0 < seen.usage[RUN].wall_ms < 60_000
        self.do(cmd.RecordExit(RUN, run.lease.token, run.turn, None, lost=True))


def add(*specs: ItemSpec, digest: str = "1") -> cmd.AddPlan:
    return cmd.AddPlan(SPEC.plan, "P", "p.toml", digest, tuple((spec, "") for spec in specs))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    made = Night(tmp_path)
    yield made
    made.lab.close()


def test_run_whose_worker_vanished_goes_on_in_its_workspace(night: Night) -> None:
    night.start()
    night.lose()
    assert night.run.lost
    carry_out(Recover(RUN, 1), night.fleet, night.lab.world)
    assert night.run.repeat is not None and night.run.repeat.why is Again.lost and night.run.turn_due
    assert carry_out(Recover(RUN, 1), night.fleet, night.lab.world) is None
    night.start()
    brief = (night.lab.state_dir / "runs" / RUN / "turn-2" / "brief.2.md").read_text()
    assert "## The work goes on" in brief and "- not committed: `a.txt`" in brief


def test_run_that_diverged_does_not_go_on(night: Night) -> None:
    night.start()
    night.lose()
    git(night.lab.top, "commit", "-q", "--amend", "-m", "rewritten")
    carry_out(Recover(RUN, 1), night.fleet, night.lab.world)
    assert night.run.repeat is None and night.run.stop is not None
    assert "the target does not contain the commit it began with any more" in night.run.stop.reason


def test_rewound_run_starts_again_from_the_checkpoint(night: Night) -> None:
    night.start()
    night.do(cmd.RewindRun(RUN, night.lab.run.base, "not like that", ANN))
    effect = Rewind(RUN, night.lab.run.base)
    assert carry_out(effect, night.fleet, night.lab.world) is None, "its worker is not recorded to be gone"
    night.lab.world.stop(night.run)
    night.do(cmd.RecordExit(RUN, night.run.lease.token, 1, None, 15))
    assert carry_out(replace(effect, commit=Commit("1" * 40)), night.fleet, night.lab.world) is None
    assert (night.lab.place / "a.txt").read_text() == "two\n"
    carry_out(effect, night.fleet, night.lab.world)
    assert (night.lab.place / "a.txt").read_text() == "one\n"
    assert not night.run.rewind and night.run.turn_due
    assert carry_out(effect, night.fleet, night.lab.world) is None
    night.start()
    assert "- not like that\n" in (night.lab.state_dir / "runs" / RUN / "turn-2" / "brief.2.md").read_text()


B, C = (replace(SPEC, id=ItemId(name), scope=(f"{name}.txt",)) for name in ("b", "c"))


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        ("plan p.toml is not trusted", "plan p.toml is not trusted"),
        (add(SPEC), "nothing new"),
        (add(SPEC, B, C, digest="2"), "2 added"),
        (add(replace(SPEC, title="New"), B, digest="2"), "1 added, 1 revised"),
        (add(B, digest="2"), "1 added, 1 withdrawn"),
    ],
)
def test_plan_of_a_schedule_is_read_and_its_outcome_recorded(
    night: Night, read: cmd.AddPlan | str, outcome: str
) -> None:
    asked: list[str] = []

    def read_plan(path: str) -> cmd.AddPlan | str:
        asked.append(path)
        return read

    night.lab.world._read_plan = read_plan
    due_ms = night.fleet.now_ms() + 50
    night.do(cmd.SetSchedule("nightly", "p.toml", 0, due_ms))
    time.sleep(0.06)
    reply = carry_out(ReadPlan("nightly", "p.toml", due_ms), night.fleet, night.lab.world)
    assert isinstance(reply, Accepted) and reply.events[0].outcome == outcome  # type: ignore[union-attr]
    assert asked == ["p.toml"]


def test_refused_plan_is_recorded_with_the_reason(night: Night) -> None:
    of_another = cmd.AddPlan(PlanId("q"), "Q", "q.toml", "1", ((replace(SPEC, plan=PlanId("q")), ""),))
    refused = night.fleet.submit(of_another, ANN)
    assert isinstance(refused, Refusal)
    night.lab.world._read_plan = lambda path: of_another
    due_ms = night.fleet.now_ms() + 50
    night.do(cmd.SetSchedule("nightly", "q.toml", 0, due_ms))
    time.sleep(0.06)
    reply = carry_out(ReadPlan("nightly", "q.toml", due_ms), night.fleet, night.lab.world)
    assert isinstance(reply, Accepted) and reply.events[0].outcome == refused.reason  # type: ignore[union-attr]


def test_nothing_is_called_read_by_a_worker_that_was_started_before_it_was_said(night: Night) -> None:
    run = night.run
    night.lab.world.start(run, SPEC, 1)
    night.do(cmd.TellRun(RUN, "use B", When.steer, ANN))
    carry_out(StartWorker(RUN, 1), night.fleet, night.lab.world)
    assert night.run.turn == 1, "it is found by what it left"
    assert [one.turn for one in night.run.messages] == [0], "its brief was written before"
