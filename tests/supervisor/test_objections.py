"""Programs asked by a supervisor: what they refuse waits, all else goes on, and a slow one does not hold it up."""

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
from ganger.core.events import ItemWaited
from ganger.core.facts import Item
from ganger.core.ids import Commit, ItemId, PlanId, RunId
from ganger.core.loop import Intent, StopReason
from ganger.core.model import EndKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.service.fleet import Accepted, Fleet
from ganger.service.predicates import AGAIN_MS, PROGRAMS_MAX, Predicates
from ganger.service.programs import MARGIN_MS
from ganger.service.reconcile_step import ReconcileStep
from ganger.service.tables import Driver, Predicate, Scorer
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

    def scorers(self, text: str) -> Predicates:
        one = Scorer("near", (sys.executable, "-I", "-S", "-c", text), 5_000)
        return Predicates(self.lab.state_dir, self.lab.top, (), (one,))

    def supervisor(self, predicates: Predicates) -> Supervisor:
        return Supervisor(self.fleet, self.lab.world, self.lab.watch, Intent(), predicates=predicates)

    def driven(self, text: str, timeout_ms: int = 5_000) -> Supervisor:
        driver = Driver((sys.executable, "-I", "-S", "-c", text), timeout_ms)
        step = ReconcileStep(self.lab.state_dir, self.lab.top, driver)
        return Supervisor(self.fleet, self.lab.world, self.lab.watch, Intent(), driver=step)

    def granted(self) -> list[str]:
        return sorted(self.fleet.look(lambda state, _: [run.item for run in state.runs.values()]))

    def waits(self) -> set[str]:
        """The reasons that are recorded for items that wait."""
        return {e.event.reason for e in self.lab.store.entries() if isinstance(e.event, ItemWaited)}

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


SAME_PARITY = (
    "import json, sys; asked = json.load(sys.stdin); n = lambda scope: int(scope[0].split('.')[0]) % 2\n"
    "print(json.dumps({'scores': [float(n(asked['wanted']['scope']) == n(one['scope'])) for one in asked['held']]}))"
)


def test_a_scorer_is_asked_about_each_grant_beside_those_before(night: Night) -> None:
    """The first two share nothing; each later one is too close to one of them, although all are wanted in one tick."""
    supervisor = night.supervisor(night.scorers(SAME_PARITY))
    for _ in range(4):
        supervisor.tick()
    assert night.granted() == ["i0", "i1"]
    assert night.waits() == {
        f"item i{n} is coupled with {n - 2}.txt, held by i{n - 2}.1: scorer near puts it at 1, and 0.5 is too close"
        for n in (2, 3)
    }


def test_a_scorer_that_crashes_lets_one_work_alone(night: Night) -> None:
    supervisor = night.supervisor(night.scorers("raise OSError"))
    for _ in range(4):
        supervisor.tick()
    assert night.granted() == ["i0"], "beside it nothing is held, so nobody is asked"
    assert night.waits() == {"scorer near could not be asked: it exited with 1"}


def test_a_lease_that_is_granted_while_scorers_are_asked_is_seen(night: Night) -> None:
    """What was weighed before it is refused by the core, and weighed again."""
    grants = (Submit(cmd.GrantRun(ItemId("i0"), BASE)),)
    (weighed_grant,) = weighed(grants, night.fleet, night.scorers(SAME_PARITY))
    taken = night.fleet.submit(cmd.AcquireLease("olga", scope=("2.txt",)), "person:olga")
    assert isinstance(taken, Accepted)
    assert isinstance(weighed_grant, Submit)
    refused = night.fleet.submit(weighed_grant.command, "supervisor")
    assert isinstance(refused, Refusal) and refused.code is RefusalCode.conflict
    (noted,) = weighed(grants, night.fleet, night.scorers(SAME_PARITY))
    assert isinstance(noted, Submit) and isinstance(noted.command, cmd.RecordWait)


def test_a_driver_lets_go_what_it_chooses(night: Night) -> None:
    only = (
        "import json, sys; offered = json.load(sys.stdin)['offered']\n"
        "some = [i for i in offered if i in ('i1', 'i3')]\n"
        "print(json.dumps({'decision': 'go', 'only': some, 'reason': 'odd ones'}))"
    )
    supervisor = night.driven(only)
    supervisor.tick()
    assert (night.granted(), night.waits()) == (["i1", "i3"], set())
    supervisor.tick()
    assert night.granted() == ["i1", "i3"]
    assert night.waits() == {"the driver let nothing of it go: odd ones"}


NOT_ASKED = {
    "import time; time.sleep(60)": "it took longer than 0.6 s",
    "print('go')": "its answer is no decision: JSON is malformed: invalid character (byte 0)",
    "raise OSError": "it exited with 1",
    "print('{\"decision\": \"go\"}' + ' ' * 70_000)": "it printed more than 64 KiB",
}


@pytest.mark.parametrize("text", NOT_ASKED)
def test_without_an_answer_of_the_driver_nothing_is_granted_and_a_person_sees_why(night: Night, text: str) -> None:
    began = time.monotonic()
    night.driven(text, 600).tick()
    assert (time.monotonic() - began) * 1000 < 600 + MARGIN_MS + 800
    assert night.granted() == []
    assert night.waits() == {f"the driver could not be asked: {NOT_ASKED[text]}"}
    assert all(night.item(f"i{n}").again_ms > night.fleet.now_ms() for n in range(4)), "it is asked again later"


def test_a_driver_that_says_stop_has_nothing_more_offered(night: Night) -> None:
    supervisor = night.driven('print(\'{"decision": "stop", "reason": "enough"}\')')
    supervisor.tick()
    assert not supervisor.intent.offer
    assert (night.granted(), night.waits()) == ([], {"the driver said stop: enough"})
    assert supervisor.tick() is StopReason.pick_held
