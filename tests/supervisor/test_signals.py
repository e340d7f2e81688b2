"""Short nights in which a worker hangs, is limited, vanishes or spends: what the supervisor sees of it, and does."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import RUN, SPEC, Lab
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.loop import Intent, StopReason
from ganger.core.model import Again, Budget, Check, EndKind, Liveness, Refusal
from ganger.core.policy import Policy
from ganger.service.fleet import Fleet
from ganger.supervisor.loop import Supervisor

AGENT = f"{sys.executable} -m ganger.testing.scripted_agent"
GOOD = [{"do": "write", "path": "a.txt", "text": "two\n"}, {"do": "commit", "message": "Make it two"}]
NIGHT_S = 30.0


class Night:
    """One item for a scripted agent, and a supervisor in this process."""

    def __init__(self, root: Path) -> None:
        self.lab = Lab(root, AGENT, {"output": "events"})
        policy = Policy(target="main", stop_grace_ms=200, backoff_ms=0, backoff_max_ms=0, progress_ms=1_500)
        self.fleet = Fleet(self.lab.store, replace(policy, priced=frozenset({"hand"}), stagger_ms=0))

    def spend(self, *steps: dict[str, object], patience_ms: int | None = None) -> StopReason:
        """Let the agent take these steps, until the night is over."""
        script = json.dumps({"step": steps})
        spec = replace(SPEC, checks=(Check("there", ("test", "-s", "a.txt")),), silence_max_ms=1_500, attempts_max=1)
        brief = f"```script\n{script}\n```\n"
        added = self.fleet.submit(cmd.AddPlan(SPEC.plan, "P", "p.toml", "1", ((spec, brief),)), "person:ann")
        assert not isinstance(added, Refusal), added
        supervisor = Supervisor(self.fleet, self.lab.world, self.lab.watch, Intent(patience_ms=patience_ms))

        def too_long() -> None:
            supervisor.intent = Intent(False, True)
            self.lab.watch.wake()

        timer = threading.Timer(NIGHT_S, too_long)
        timer.start()
        try:
            return supervisor.run()
        finally:
            timer.cancel()

    def events(self, *kinds: type) -> list[ev.Event]:
        return [entry.event for entry in self.lab.store.entries(0) if isinstance(entry.event, kinds)]

    def prompt(self, turn: int) -> tuple[bytes, str]:
        """What a turn was told, and the hash its manifest has of it."""
        folder = self.lab.state_dir / "runs" / RUN / f"turn-{turn}"
        return (folder / "stdin").read_bytes(), json.loads((folder / "manifest.json").read_bytes())["prompt_sha256"]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    made = Night(tmp_path)
    yield made
    made.lab.close()


def turn(number: int, *steps: dict[str, object]) -> dict[str, object]:
    return {"do": "turn", "number": number, "steps": steps}


def test_hang_is_done_over_once_with_the_identical_brief(night: Night) -> None:
    assert night.spend(turn(1, {"do": "hang"}), *GOOD) is StopReason.complete
    (repeated,) = night.events(ev.TurnRepeated)
    assert isinstance(repeated, ev.TurnRepeated) and repeated.why is Again.hang
    assert night.prompt(1) == night.prompt(2)


def test_second_hang_on_the_identical_brief_is_the_end(night: Night) -> None:
    assert night.spend({"do": "hang"}) is not StopReason.complete
    assert len(night.events(ev.TurnRepeated)) == 1 and len(night.events(ev.WorkerStarted)) == 2
    (ended,) = night.events(ev.RunEnded)
    assert isinstance(ended, ev.RunEnded) and "for the second time on the identical brief" in ended.reason


@pytest.mark.parametrize(
    "steps",
    [
        ({"do": "spin", "seconds": 4},),
        ({"do": "call", "name": "bash", "times": 20, "every_s": 0.2},),
    ],
)
def test_worker_that_gets_nowhere_is_flagged_and_left_alone(night: Night, steps: tuple[dict[str, object], ...]) -> None:
    assert night.spend(*steps, *GOOD) is StopReason.complete
    flags = [event.liveness for event in night.events(ev.RunFlagged) if isinstance(event, ev.RunFlagged)]
    assert Liveness.spinning in flags and Liveness.stalled not in flags
    assert len(night.events(ev.WorkerStarted)) == 1


def test_worker_that_changes_files_is_advancing(night: Night) -> None:
    assert night.spend(
        {"do": "churn", "path": "notes", "times": 20, "every_s": 0.2}, {"do": "delete", "path": "notes"}, *GOOD
    ) is (StopReason.complete)
    flags = [event.liveness for event in night.events(ev.RunFlagged) if isinstance(event, ev.RunFlagged)]
    assert Liveness.spinning not in flags and Liveness.stalled not in flags


def test_limited_worker_goes_on_when_the_window_opens(night: Night) -> None:
    limited = {"do": "limited", "reset_in_s": 3, "reason": "five-hour limit"}
    begun = {"do": "write", "path": "a.txt", "text": "begun\n"}
    assert night.spend(turn(1, begun, limited, {"do": "hang"}), *GOOD) is StopReason.complete
    (window,) = night.events(ev.ProviderLimited)
    (repeated,) = night.events(ev.TurnRepeated)
    first, second = night.events(ev.WorkerStarted)
    assert isinstance(repeated, ev.TurnRepeated) and isinstance(window, ev.ProviderLimited)
    assert repeated.why is Again.limited and repeated.not_before_ms >= window.until_ms
    starts = [entry.at_ms for entry in night.lab.store.entries(0) if entry.event in (first, second)]
    assert starts[1] >= window.until_ms
    told = night.prompt(2)[0].decode()
    assert "Turn 1 of this attempt was cut off: five-hour limit." in told and "- not committed: `a.txt`" in told


def test_a_busy_provider_is_asked_again_after_a_while(night: Night) -> None:
    busy = {"do": "limited", "reason": "overloaded", "overload": True}
    assert night.spend(turn(1, busy, {"do": "hang"}), *GOOD) is StopReason.complete
    (window,) = night.events(ev.ProviderLimited)
    assert isinstance(window, ev.ProviderLimited) and window.overload
    first, second = (entry.at_ms for entry in night.lab.store.entries(0) if isinstance(entry.event, ev.WorkerStarted))
    assert second >= window.until_ms >= first + 1_000


def test_a_quota_without_an_end_ends_the_run_and_no_attempt_is_lost(night: Night) -> None:
    used_up = {"do": "limited", "reason": "monthly quota"}
    assert night.spend(used_up, {"do": "hang"}, patience_ms=60_000) is StopReason.provider_limit
    (ended,) = night.events(ev.RunEnded)
    assert isinstance(ended, ev.RunEnded) and ended.end is EndKind.limited and not ended.counts
    assert ended.reason == "provider hand refuses, and does not say until when: monthly quota"
    item = night.fleet.look(lambda state, _: state.items[SPEC.id])
    assert (item.failures, item.terminal) == (0, False)


@pytest.mark.parametrize("ending", [(), ({"do": "crash"},)])
def test_usage_of_a_turn_is_recorded_however_it_ends(night: Night, ending: tuple[dict[str, object], ...]) -> None:
    uses = [{"do": "use", "tokens_in": 100, "tokens_out": 10, "usd": 0.25}] * 3
    night.spend(*uses, *GOOD, *ending)
    recorded = night.events(ev.UsageRecorded)
    last = recorded[-1]
    assert isinstance(last, ev.UsageRecorded)
    assert (last.usage.usd_micros, last.usage.tokens) == (750_000, 330)


def test_a_worker_that_has_spent_what_it_may_is_stopped_in_the_middle_of_its_work(night: Night) -> None:
    """BX8: reserved at the grant, metered during the turn, stopped at the cap, at most a look's time too late."""
    night.fleet.policy = replace(night.fleet.policy, run_budget=Budget(tokens=1_000), fleet_budget=Budget(tokens=5_000))
    call = ({"do": "use", "tokens_in": 90, "tokens_out": 10}, {"do": "sleep", "seconds": 0.3})
    assert night.spend(*(call * 40), *GOOD) is StopReason.drained
    (granted,) = night.events(ev.RunGranted)
    (ended,) = night.events(ev.RunEnded)
    assert isinstance(granted, ev.RunGranted) and granted.reserved.tokens == 1_000
    assert isinstance(ended, ev.RunEnded) and ended.end is EndKind.over_budget
    spent = night.fleet.look(lambda state, _: state.accounts["fleet"].tokens)
    assert 1_000 <= spent <= 1_500
