"""`ganger salvage`: what a stopped worker left, told apart, and had back over nothing."""

from __future__ import annotations

import json

from builders import Fleet

from ganger.cli.shapes import SHAPES

LEFT = """
echo committed >> src/$item.txt; commit 'Half of it'
echo staged > staged.txt; git add staged.txt; echo changed >> src/$item.txt; echo untracked > new.txt; echo log > x.log
exit 3
"""


def test_what_a_failed_worker_left(fleet: Fleet) -> None:
    fleet.begin({"src/a.txt": "a\n", ".gitignore": "*.log\n"})
    none = fleet.ganger("salvage", "list")
    assert none.code == 2
    assert "nothing was salvaged" in none.err
    fleet.shell_agent("default", LEFT)
    fleet.configure()
    fleet.item("a", more="budget = { attempts_max = 1 }")
    fleet.ganger("run", str(fleet.plan()), "--trust")
    listed = fleet.ganger("salvage", "list")
    assert listed.code == 0
    assert listed.out.splitlines()[1].split()[:2] == ["a.1", "ended"] or "a.1" in listed.out
    assert "index, tree" in listed.out
    shown = fleet.ganger("salvage", "show", "a.1").out
    assert "staged, not committed:\n  staged.txt\n" in shown
    assert "tracked, not staged:\n  src/a.txt\n" in shown
    assert "untracked:\n  new.txt\n" in shown
    assert "Half of it" in shown
    assert "x.log" not in shown
    into = fleet.root / "back"
    assert fleet.ganger("salvage", "restore", "a.1", "--into", str(into)).out == f"{into}\n"
    assert fleet.git("status", "--porcelain", at=into).splitlines() == [" M src/a.txt", "A  staged.txt", "?? new.txt"]
    assert fleet.ganger("salvage", "restore", "a.1", "--branch", "back/a").code == 0
    assert fleet.git("show", "back/a:new.txt") == "untracked"
    for words, said in (
        (("--into", str(into)), "there is already something"),
        (("--branch", "back/a"), "there is already a branch"),
        (("--branch", "x", "--part", "stash"), "there is: head, index, tree"),
        ((), "say where to"),
        (("--branch", "x", "--into", "y"), "say where to"),
    ):
        done = fleet.ganger("salvage", "restore", "a.1", *words)
        assert (done.code, said in done.err) == (2, True), done
    assert "nothing was salvaged of a.9" in fleet.ganger("salvage", "show", "a.9").err
    assert "is no run" in fleet.ganger("salvage", "show", "a").err
    for asked in ("list", "show a.1", "restore a.1 --branch back/b"):
        value = json.loads(fleet.ganger("salvage", *asked.split(), "--json").out)
        assert set(value) == {"kind", "version", *SHAPES[value["kind"]]}
