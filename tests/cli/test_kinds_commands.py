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


def test_kinds_of_a_package_are_shown_and_told_and_one_in_the_way_is_not_run(fleet: Fleet) -> None:
    trace = fleet.shared / "run"
    spy = f"import pathlib\npathlib.Path({str(trace)!r}).write_text('run')\n"
    site = fleet.root / "site"
    for folder, rule in ((site, "Of the package."), (fleet.repo, "Of the repository.")):
        (folder / "acme_kinds/kinds").mkdir(parents=True)
        (folder / "acme_kinds/__init__.py").write_text(spy)
        (folder / "acme_kinds/kinds/auditor.md").write_text("+++\nwrites = 'none'\n+++\n- Audit.\n")
        (folder / "acme_kinds/rules.md").write_text(f"- {rule}\n")
    fleet.begin()
    fleet.shell_agent(
        "default", 'cp "$GANGER_BRIEF_FILE" "$shared/told"; ganger done --outcome findings --summary "Seen."'
    )
    fleet.configure()
    user = fleet.home / ".config" / "ganger" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[rules]\npackages = ["acme_kinds"]\n')
    env = {"PYTHONPATH": str(site)}
    shown = fleet.ganger("kinds", "show", "auditor", env=env)
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    path = site / "acme_kinds"
    assert f'writes "none" package acme_kinds {path}/kinds/auditor.md:2' in lines, shown
    assert f"{path}/rules.md package acme_kinds" in lines and "- Of the package." in lines
    listed = {line.split()[0]: line for line in fleet.ganger("kinds", "list", env=env).out.splitlines()}
    assert "package acme_kinds" in listed["auditor"]
    fleet.item("a", more='kind = "auditor"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust", env=env)
    assert fleet.statuses() == {"a": "finished"}, done
    told = (fleet.shared / "told").read_text()
    assert "- Of the package.\n\n## As a auditor\n\n- Audit." in told and "- Of the repository." not in told
    assert not trace.exists()
    missing = fleet.ganger("kinds", "list")
    assert missing.code == 2 and f"{user}:2: `rules.packages` names `acme_kinds`, which is not installed" in missing.err
