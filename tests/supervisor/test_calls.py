"""What hooks told of tools: in the journal a little later, in the clocks at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Clocks
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import ItemSpec, ToolUse
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.report.words import in_words
from ganger.service.fleet import Accepted, Fleet
from ganger.supervisor.calls import CallLog
from ganger.worker_api.views import Used

RUN = RunId("a.1")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(Store(tmp_path / "journal.db"), Policy())
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="a", scope=("src/**",))
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", ((spec, "do it"),)), "person:me")
    assert isinstance(fleet.submit(cmd.GrantRun(ItemId("a"), Commit("1" * 40)), "supervisor"), Accepted)
    yield fleet
    fleet.close()


def told(fleet: Fleet) -> list[tuple[ToolUse, ...]]:
    return [entry.event.uses for entry in fleet.store.entries() if isinstance(entry.event, ev.ToolsUsed)]


def token(fleet: Fleet) -> Token:
    return fleet.look(lambda state, _: state.runs[RUN].lease.token)


def test_uses_are_handed_in_together(fleet: Fleet) -> None:
    calls = CallLog(fleet)
    for number in range(450):
        calls.add(Used(RUN, token(fleet), "Bash", f"make {number}", 3))
    calls.add(Used(RUN, token(fleet), "Write", "docs/x", denied="outside"))
    calls.close()
    found = told(fleet)
    assert [len(uses) for uses in found] == [200, 200, 51]
    assert found[0][0] == ToolUse("Bash", "make 0", 3)
    assert found[2][-1] == ToolUse("Write", "docs/x", denied="outside")


def test_of_a_run_that_is_over_nothing_is_kept(fleet: Fleet) -> None:
    calls = CallLog(fleet)
    calls.add(Used(RUN, Token(99), "Bash"))
    calls.add(Used(RunId("b.1"), Token(1), "Bash"))
    calls.close()
    assert told(fleet) == []


def test_without_targets_only_the_tool_is_kept(fleet: Fleet) -> None:
    calls = CallLog(fleet, targets=False)
    calls.add(Used(RUN, token(fleet), "Bash", "cat secret"))
    calls.close()
    assert told(fleet) == [(ToolUse("Bash"),)]


def test_texts_are_cut(fleet: Fleet) -> None:
    calls = CallLog(fleet)
    calls.add(Used(RUN, token(fleet), "B" * 1_000, "x" * 1_000, -5, denied="y" * 1_000))
    calls.close()
    assert told(fleet) == [(ToolUse("B" * 400, "x" * 400, 0, denied="y" * 400),)]


def test_a_tool_that_is_used_is_a_heartbeat(fleet: Fleet) -> None:
    clock = [10_000]
    calls = CallLog(fleet, monotonic_ms=lambda: clock[0])
    calls.add(Used(RUN, token(fleet), "Bash"))
    clock[0] += 300
    other = RunId("b.1")
    clocks = {RUN: Clocks(5, 6, 7), other: Clocks(1, 2, 3)}
    assert calls.heard(clocks, 1_000) == {RUN: Clocks(700, 6, 7), other: Clocks(1, 2, 3)}
    assert calls.heard({RUN: Clocks(900, 6, 7)}, 1_000) == {RUN: Clocks(900, 6, 7)}
    assert calls.heard({other: Clocks(1, 2, 3)}, 1_000) == {other: Clocks(1, 2, 3)}
    assert calls.heard({RUN: Clocks(5, 6, 7)}, 1_000) == {RUN: Clocks(5, 6, 7)}
    calls.close()


def test_a_use_is_told_in_words() -> None:
    uses = (ToolUse("Bash", "ls"), ToolUse("Read"), ToolUse("Write", "docs/x", denied="outside its scope"))
    assert in_words(ev.ToolsUsed(RUN, uses)) == "a.1: used Bash and Read; Write denied: outside its scope"
