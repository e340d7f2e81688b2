"""`ganger kinds`: what kinds there are, where their settings come from, and agreeing to what they tell."""

from __future__ import annotations

from builders import Fleet


def set_up(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.configure(more="[kinds.scout]\nworkers_max = 3\n")
    fleet.write({".ganger/kinds/guard.md": '+++\nintent = "Watches"\nspawn = ["scout"]\n+++\n- Watch the gate.\n'})


def test_kinds_are_listed_with_where_they_are_described(fleet: Fleet) -> None:
    set_up(fleet)
    done = fleet.ganger("kinds", "list")
    assert done.code == 0, done
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert rows["KIND"].split() == ["KIND", "WRITES", "WORKERS", "FROM", "INTENT"]
    assert rows["guard"].split() == ["guard", "scope", "-", "project", "Watches"]
    assert rows["scout"].split()[:5] == ["scout", "none", "3", "built-in,", "project"]
    found = {one["name"]: one for one in fleet.json("kinds", "list")["kinds"]}
    assert {"scout", "patcher", "tester", "reviewer", "planner", "selector", "guard"} <= set(found)
    assert found["guard"]["spawn"] == ["scout"] and found["guard"]["from"] == ["project"]
    assert (found["tester"]["writes"], found["reviewer"]["writes"], found["patcher"]["writes"]) == (
        "tests",
        "none",
        "scope",
    )


def test_a_kind_is_shown_with_the_source_of_each_value_and_what_it_tells(fleet: Fleet) -> None:
    set_up(fleet)
    done = fleet.ganger("kinds", "show", "scout")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    at = (fleet.repo / "ganger.toml").read_text().splitlines().index("workers_max = 3") + 1
    assert f"workers_max 3 project ganger.toml:{at}" in lines
    assert 'writes "none" built-in ganger/kinds/scout.md:3' in lines
    assert "ganger/kinds/rules.md built-in" in lines
    assert lines.index("## Rules") < lines.index("## As a scout")
    found = fleet.json("kinds", "show", "guard")
    assert (found["name"], found["intent"], found["workers_max"]) == ("guard", "Watches", None)
    assert [(one["key"], one["source"], one["line"]) for one in found["settings"]] == [
        ("kinds.guard.intent", "project", 2),
        ("kinds.guard.spawn", "project", 3),
    ]
    assert found["told"].endswith("## As a guard\n\nWatches\n\n- Watch the gate.")
    wrong = fleet.ganger("kinds", "show", "gaurd")
    assert wrong.code == 2 and wrong.err == "ganger: there is no kind 'gaurd'\n\ndid you mean `guard`?\n"


def test_what_only_looks_is_over_with_its_report_in_a_rehearsal_too(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.configure()
    fleet.item("a", more='kind = "scout"')
    fleet.item("b")
    done = fleet.ganger("simulate", "--plan", str(fleet.plan()))
    assert done.code == 0 and done.out.startswith("2 of 2 items land in "), done


def test_agreeing_says_to_what(fleet: Fleet) -> None:
    set_up(fleet)
    unasked = fleet.ganger("kinds", "agree")
    assert unasked.code == 2 and "  .ganger/kinds/guard.md: 1 lines, sha256 " in unasked.err
    assert not fleet.state.exists()
    found = fleet.json("kinds", "agree", "--trust")
    assert [one["path"] for one in found["files"]] == [".ganger/kinds/guard.md"]
    assert found["digest"] in (fleet.state / "trusted.json").read_text()


def test_agreeing_to_nothing_says_so(fleet: Fleet) -> None:
    """It is something to agree to where files told something before."""
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.configure()
    unasked = fleet.ganger("kinds", "agree")
    assert unasked.code == 2
    assert unasked.err.startswith("Workers would be told nothing by files of this repository.\n")
    assert fleet.ganger("kinds", "agree", "--trust").out == "agreed: this repository tells nothing\n"
