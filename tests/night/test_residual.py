"""A plan is complete only when the target says so: what workers claim, and what was recorded, takes nothing off."""

from __future__ import annotations

import json

from builders import Fleet


def standings(fleet: Fleet) -> dict[str, str]:
    return {one["item"]: one["standing"] for one in fleet.json("residual")["items"]}


def test_claims_stay_on_the_list_until_the_target_has_them(fleet: Fleet) -> None:
    """One item is done, one is only said to be, one is not even said to be."""
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
    fleet.shell_agent("liar", "ganger done --summary 'all good'")
    fleet.shell_agent("bad", "exit 3")
    fleet.configure()
    once = "budget = { attempts_max = 1 }"
    fleet.item("a")
    fleet.item("b", agent="liar", more=once)
    fleet.item("c", agent="bad", more=once)
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 3 and not done.out.startswith("complete"), done
    assert standings(fleet) == {"a": "verified", "b": "quiet_incomplete", "c": "open"}
    told = fleet.ganger("residual", "plan")
    assert told.code == 1
    assert told.out.splitlines()[0].startswith("b: quiet_incomplete (said to be done ")
    assert told.out.splitlines()[1] == "c: open: c has not landed: it is given_up"
    assert told.err == "1 open, 1 quiet_incomplete, 1 verified\n"
    assert fleet.ganger("residual", "other").code == 2
    fleet.git("update-ref", "refs/heads/main", "main~1")
    assert standings(fleet)["a"] == "quiet_incomplete", "what was taken back is not done, whatever was recorded"


def test_an_item_is_not_closed_before_ci_is_green(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
    answers = fleet.root / "ci.json"
    fleet.configure(more=f'[ci]\nsource = "file"\npath = "{answers}"\nrequired = true\npatience = "0s"\n')
    fleet.item("a")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert (done.code, fleet.statuses()) == (5, {"a": "awaiting_ci"}), done
    landed = fleet.json("show", "a")["landed"]
    said = {
        "": ("unavailable", 4),
        "[]": ("unknown", 3),
        '[{"name": "unit", "conclusion": "failure"}]': ("blocked", 1),
        '[{"name": "unit", "status": "queued"}]': ("unknown", 3),
    }
    for runs, (state, code) in said.items():
        answers.write_text(f'{{"{landed}": {runs}}}')
        assert fleet.ganger("ci", "a").code == fleet.ganger("ci", landed).code == fleet.ganger("ci").code == code
        told = fleet.ganger("residual")
        assert told.code == 1 and f"a: quiet_incomplete: awaits CI of {landed[:12]}: {state}: " in told.out, told
        assert standings(fleet) == {"a": "quiet_incomplete"}
    runs_again = [{"name": "unit", "conclusion": end, "attempt": n} for n, end in enumerate(("failure", "success"), 1)]
    answers.write_text(json.dumps({landed: runs_again}))
    assert fleet.ganger("ci", "a").out == "repaired_green: passed when run again: unit\n"
    assert (fleet.ganger("residual").code, standings(fleet)) == (0, {"a": "verified"})
    assert fleet.ganger("ci", "nothing").code == 2


def test_a_program_is_asked_only_when_somebody_agreed(fleet: Fleet) -> None:
    fleet.begin()
    answer = '[{"name": "unit", "conclusion": "success"}]'
    fleet.commit({"ci.sh": f"echo '{answer}'\n"})
    fleet.configure(more='[ci]\nsource = "command"\nrun = "sh ci.sh"\n')
    refused = fleet.ganger("ci")
    assert refused.code == 2 and "nobody has agreed to run sh ci.sh" in refused.err
    assert fleet.ganger("ci", "--trust").out == "green: passed: unit\n"
    assert fleet.ganger("ci", "--trust", env={"GANGER_RUN": "a.1"}).code == 1
