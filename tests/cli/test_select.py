"""`ganger run --select` (DW12): only what it names is started; what names nothing is refused with a hint."""

from __future__ import annotations

import pytest
from builders import Fleet

NAMES = ("auth-1", "auth-2", "docs", "auth-3")


@pytest.fixture
def plan(fleet: Fleet) -> str:
    """Four items: `auth-2` waits for `docs`, and `auth-3` is a draft."""
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.new; echo $item >> $shared/began; commit work")
    fleet.configure()
    more = {"auth-2": 'after = ["docs"]', "auth-3": 'hold = "draft"'}
    for name in NAMES:
        fleet.item(name, scope=[f"src/{name}.new"], more=more.get(name, ""))
    return str(fleet.plan())


def began(fleet: Fleet) -> set[str]:
    return set((fleet.shared / "began").read_text().split())


def test_only_what_is_selected_is_started(fleet: Fleet, plan: str) -> None:
    """What a selected item waits for is not started for its sake."""
    night = fleet.json("run", plan, "--trust", "--quiet", "--select", "auth-*")
    assert began(fleet) == {"auth-1"}
    assert (night["reason"], night["exit"]) == ("pick_held", 5)
    assert fleet.statuses() == {"auth-1": "landed", "auth-2": "waiting", "docs": "ready", "auth-3": "held"}
    assert fleet.ganger("why", "auth-2").out == "auth-2: waits for docs\n"
    assert fleet.ganger("run", plan, "--quiet", "--select", "docs").code == 0
    assert began(fleet) == {"auth-1", "docs"}
    assert fleet.ganger("run", plan, "--quiet", "--select", "auth-[12]").code == 0
    assert fleet.landed_items() == ["auth-1", "docs", "auth-2"]


def test_a_dry_run_tells_of_the_selected_ones_alone(fleet: Fleet, plan: str) -> None:
    rows = fleet.json("run", plan, "--dry-run", "--select", "auth-*")["items"]
    assert [(row["item"], row["start"], row["hold"]) for row in rows] == [
        ("auth-1", True, None),
        ("auth-2", False, "dependency"),
        ("auth-3", False, "draft"),
    ]
    reasons = {row["item"]: row["refusal"]["reason"] for row in rows if row["refusal"]}
    assert reasons == {"auth-2": "item auth-2 waits for docs", "auth-3": "item auth-3 is held: draft"}
    assert not fleet.state.exists()


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("auht-1", "near: auth-1, auth-3, auth-2"),
        ("patcher", "it is a kind: items are selected by their ids"),
        ("zzz*", "ids are auth-1, auth-2, docs, auth-3"),
    ],
)
def test_what_selects_nothing_is_refused_with_a_hint(fleet: Fleet, plan: str, pattern: str, hint: str) -> None:
    for words in (("--trust",), ("--dry-run",)):
        done = fleet.ganger("run", plan, *words, "--select", pattern)
        assert done.code == 2, done
        message, _, said = done.err.strip().rpartition("\n\n")
        assert message.endswith(f"ganger: no item of plan plan matches --select '{pattern}'")
        assert said == hint
        assert not fleet.state.exists()


def test_selecting_what_is_held_starts_nothing_and_says_so(fleet: Fleet, plan: str) -> None:
    night = fleet.ganger("run", plan, "--trust", "--quiet", "--select", "auth-3")
    assert (night.code, night.out.splitlines()[:2]) == (
        5,
        ["pick_held: 0 of 4 items landed on main", "a person, the plan or the driver holds what is left"],
    )
    assert fleet.runs("auth-3") == []
    assert not (fleet.shared / "began").exists()
