"""Predicates asked by a supervisor: what they refuse waits, all else goes on, and a slow one does not hold it up."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import SPEC, Lab
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.effects import CleanWorkspace, Effect, EndRun, Submit
from ganger.core.facts import Item
from ganger.core.ids import Commit, ItemId, PlanId, RunId
from ganger.core.loop import Intent
from ganger.core.model import EndKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.service.fleet import Accepted, Fleet
from ganger.service.predicates import AGAIN_MS, MARGIN_MS, PROGRAMS_MAX, Predicates
from ganger.service.tables import Predicate
from ganger.supervisor.loop import Supervisor
from ganger.supervisor.objections import weighed

BASE = Commit("1" * 40)
ODD = "import json, sys; n = json.load(sys.stdin)['request']['item']; print(n); sys.exit(int(n[1:]) % 2)"


class Night:
    """A fleet with items `i0`, `i1`, … in the lab, whose worker sleeps, and one predicate: a Python text."""

    def __init__(self, root: Path, items: int) -> None:
        self.lab = Lab(root, "sleep 60")
        self.fleet = Fleet(self.lab.store, Policy(workers_max=items))
        specs = [replace(SPEC, id=ItemId(f"i{n}"), scope=(f"{n}.txt",)) for n in range(items)]
        plan = cmd.AddPlan(PlanId("p"), "P", "p.toml", "0", tuple((spec, "Do it.") for spec in specs))
        assert isinstance(self.fleet.submit(plan, "person:ann"), Accepted)

    def predicates(self, text: str, timeout_ms: int = 5_000) -> Predicates:
        one = Predicate("odd", (sys.executable, "-I", "-S", "-c", text), timeout_ms)
        return Predicates(self.lab.state_dir, self.lab.top, (one,))

    def supervisor(self, predicates: Predicates) -> Supervisor:
        return Supervisor(self.fleet, self.lab.world, self.lab.watch, Intent(), predicates=predicates)

    def item(self, name: str) -> Item:
        return self.fleet.look(lambda state, _: state.items[ItemId(name)])

    def end(self) -> None:
        for run in self.fleet.look(lambda state, _: tuple(state.runs.values())):
            self.lab.world.keep(run)
        self.lab.close()


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    found = Night(tmp_path, 4)
    yield found
    found.end()


def test_what_is_refused_waits_and_the_others_start(night: Night) -> None:
    supervisor = night.supervisor(night.predicates(ODD))
    supervisor.tick()
    assert [bool(night.item(f"i{n}").run) for n in range(4)] == [True, False, True, False]
    waits = night.item("i1")
    assert waits.waiting == (RefusalCode.predicate, "odd")
    now_ms = night.fleet.now_ms()
    assert now_ms + AGAIN_MS - 5_000 < waits.again_ms <= now_ms + AGAIN_MS
    recorded = [entry.event for entry in night.lab.store.entries(subject="i1")]
    assert [event.reason for event in recorded if type(event).__name__ == "ItemWaited"] == ["predicate odd refused: i1"]
    refusal = night.fleet.submit(cmd.GrantRun(ItemId("i1"), BASE), "person:ann")
    assert isinstance(refusal, Refusal) and refusal.code is RefusalCode.predicate, "it is not granted meanwhile"


def test_a_slow_one_holds_a_tick_up_for_its_limit_and_no_longer(night: Night) -> None:
    supervisor = night.supervisor(night.predicates("import time; time.sleep(60)", 500))
    began = time.monotonic()
    supervisor.tick()
    took_ms = (time.monotonic() - began) * 1000
    assert took_ms < 500 + MARGIN_MS + 600, "four questions, one after the other, would take 2 s"
    assert all(night.item(f"i{n}").waiting == (RefusalCode.predicate, "odd") for n in range(4))
    assert not night.fleet.look(lambda state, _: state.runs)


def test_only_grants_are_weighed(night: Night) -> None:
    """Another predicate changes nothing but which grants become notes."""
    others: list[Effect] = [
        EndRun(RunId("x.1"), EndKind.stopped, ""),
        Submit(cmd.SweepLeases()),
        CleanWorkspace(RunId("y.1")),
    ]
    grants = [Submit(cmd.GrantRun(ItemId(f"i{n}"), BASE)) for n in range(4)]
    effects: tuple[Effect, ...] = (others[0], *grants[:2], others[1], *grants[2:], others[2])
    for text, refused in ((ODD, {1, 3}), ("raise SystemExit(1)", {0, 1, 2, 3}), ("", set[int]())):
        found = weighed(effects, night.fleet, night.predicates(text))
        assert [effect for effect in found if effect in others] == others
        told = [effect.command for effect in found if isinstance(effect, Submit)]
        for kind, expected in ((cmd.GrantRun, {0, 1, 2, 3} - refused), (cmd.RecordWait, refused)):
            assert [one.item for one in told if isinstance(one, kind)] == [f"i{n}" for n in sorted(expected)]
        assert len(found) == len(effects)
    assert weighed(effects, night.fleet, replace(night.predicates(ODD), programs=())) is effects


def test_grants_beyond_what_is_asked_at_once_wait_for_the_next_tick(tmp_path: Path) -> None:
    night = Night(tmp_path, PROGRAMS_MAX + 2)
    try:
        grants = tuple(Submit(cmd.GrantRun(ItemId(f"i{n}"), BASE)) for n in range(PROGRAMS_MAX + 2))
        one = night.predicates("")
        assert weighed(grants, night.fleet, one) == grants[:PROGRAMS_MAX]
        assert weighed(grants, night.fleet, replace(one, programs=3 * one.programs)) == grants[: PROGRAMS_MAX // 3]
    finally:
        night.end()
