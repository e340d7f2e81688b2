"""The cap of a lane holds for real processes: each worker notes when it begins and when it ends (AD3)."""

from __future__ import annotations

import pytest
from builders import Fleet

NAMES = "abc"


def peak(fleet: Fleet) -> int:
    """The most workers of the lane that were at work at once, from what they noted themselves."""
    now = most = 0
    for line in (fleet.shared / "noted").read_text().split():
        now += {"+": 1, "-": -1}[line]
        most = max(most, now)
    assert now == 0
    return most


def lane_of(fleet: Fleet, workers_max: int | None, meet: int) -> str:
    """A plan of three items in one lane and room for four workers; a worker waits until `meet` have begun."""
    fleet.begin()
    fleet.shell_agent(
        "default",
        'noted=$shared/noted; echo + >> "$noted"; tries=0\n'
        f'until [ $(grep -c + "$noted") -ge {meet} ] || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries+1)); done\n'
        'sleep 0.3; echo x >> src/$item.txt; commit work; echo - >> "$noted"; ganger done',
    )
    cap = "" if workers_max is None else f"workers_max = {workers_max}\n"
    fleet.configure(fleet="workers_max = 4\n", more=f'[lanes.text]\npaths = ["src/**"]\n{cap}')
    for name in NAMES:
        fleet.item(name, more='lane = "text"')
    return str(fleet.plan())


@pytest.mark.parametrize(("workers_max", "meet"), [(1, 1), (2, 2), (None, 3)])
def test_no_more_work_in_a_lane_than_it_takes(fleet: Fleet, workers_max: int | None, meet: int) -> None:
    """With a cap of one never two, with a cap of two never three; without a cap all three work at once."""
    night = fleet.ganger("run", lane_of(fleet, workers_max, meet), "--trust", "--quiet")
    assert night.code == 0, night
    assert peak(fleet) == meet
    assert sorted(fleet.landed_items()) == list(NAMES)
    assert all(run["lane"] == "text" for name in NAMES for run in fleet.runs(name))
    fleet.assert_sound()


def test_who_must_wait_for_a_lane_is_told_why(fleet: Fleet) -> None:
    plan = lane_of(fleet, 1, 2)
    night = fleet.start("run", plan, "--trust", "--quiet")
    fleet.wait(lambda: (fleet.shared / "noted").exists())
    held = {row["item"]: row for row in fleet.json("next")["items"]}
    first = next(name for name in NAMES if held.get(name, {}).get("hold") == "in_flight")
    for name in set(NAMES) - {first}:
        assert (held[name]["hold"], held[name]["curable"]) == ("scope_busy", True)
        assert held[name]["refusal"]["code"] == "lane_cap"
        assert held[name]["refusal"]["reason"] == "1 of 1 workers in lane text are busy"
    refused = fleet.json("admit", "--lane", "text")
    assert refused["admitted"] is False
    (fleet.shared / "noted").write_text("+\n+\n")
    assert night.wait(60) == 0
    night.communicate()
    assert sorted(fleet.landed_items()) == list(NAMES)
