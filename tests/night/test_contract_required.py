"""With `verify.contract = "required"`, a plan of which an item says too little or wants too much is not begun."""

from __future__ import annotations

import json

import pytest
from builders import Fleet

KEEPS = 'brief = "Put one more line below it."'
FILES = {f"src/{number}.txt": "" for number in range(20)} | {f"src/{name}.txt": f"{name}\n" for name in "ab"}
REQUIRED = '[verify]\ncontract = "required"\n'


def begin(fleet: Fleet, contract: str = REQUIRED) -> None:
    fleet.begin(FILES)
    fleet.shell_agent("default", "touch $shared/began; echo x >> src/$item.txt; commit work")
    fleet.configure(more=contract)
    fleet.item("a", more=KEEPS)


@pytest.mark.parametrize(
    ("scope", "fields", "verdict"),
    [
        ("src/b.txt", "", "item `b` needs clarification: no `brief`"),
        ("src/b.txt", 'brief = "Fix it"', "item `b` needs clarification: a `brief` of fewer than 5 words"),
        ("src/**", KEEPS, "item `b` is to be cut up: a scope that holds 22 of 22 tracked files"),
    ],
)
def test_nothing_is_launched(fleet: Fleet, scope: str, fields: str, verdict: str) -> None:
    begin(fleet)
    fleet.item("b", scope=[scope], more=fields)
    tip = fleet.git("rev-parse", "main")
    for words in (("run",), ("run", "--dry-run"), ("up",)):
        done = fleet.ganger(*words, str(fleet.plan()), "--trust")
        assert (done.code, done.out) == (2, ""), done
        assert f"{verdict} (" in done.err
        assert "correct the plan; nothing was changed" in done.err
    assert not fleet.state.exists()
    assert fleet.git("rev-parse", "main") == tip


def test_the_same_plan_is_begun_where_it_is_only_advised(fleet: Fleet) -> None:
    begin(fleet, "")
    fleet.item("b")
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet")
    assert done.code == 0, done
    assert "warning: item `b` needs clarification: no `brief`" in done.err
    assert sorted(fleet.landed_items()) == ["a", "b"]


def test_of_a_tracker_only_what_keeps_the_contract_is_launched(fleet: Fleet) -> None:
    begin(fleet)
    rows = [
        {"id": "a", "description": "Put one more line below it."},
        {"id": "b", "description": "Fix it"},
    ]
    beads = fleet.root / "issues.jsonl"
    beads.write_text(
        "".join(json.dumps(row | {"title": "T", "labels": [f"scope:src/{row['id']}.txt"]}) + "\n" for row in rows)
    )
    night = fleet.json("run", str(beads), "--trust", "--quiet")
    assert (night["reason"], night["exit"], night["items"]) == ("pick_held", 5, {"landed": 1})
    assert fleet.landed_items() == ["a"]
    assert "~ issues.jsonl:2: unparseable: item `b` needs clarification" in fleet.ganger("next").out


def test_a_plan_for_another_branch_is_not_begun(fleet: Fleet) -> None:
    begin(fleet, "")
    fleet.git("branch", "release")
    fleet.items = [fleet.items[0] + 'target = "release"\n']
    plan = str(fleet.plan())
    refused = fleet.ganger("run", plan, "--trust")
    assert (refused.code, fleet.state.exists()) == (2, False)
    assert "item `a`: `target` is `release`, and this fleet lands on `main`" in refused.err
    assert fleet.ganger("run", plan, "--trust", "--quiet", "--target", "release").code == 0
    assert "Ganger-Item: a" in fleet.git("log", "-1", "--format=%B", "release")
    assert fleet.on_main("src/a.txt") == "a\n"
