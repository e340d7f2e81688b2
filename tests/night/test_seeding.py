"""`ganger run --seed-dirty`: workers see what is not committed, and it never lands."""

from __future__ import annotations

from builders import Fleet, tree_digest


def test_workers_begin_with_uncommitted_work_and_it_does_not_land(fleet: Fleet) -> None:
    fleet.begin()
    fleet.git("switch", "--quiet", "--create", "mine")
    fleet.shell_agent("default", "cat half/done.txt src/b.txt >> src/$item.txt; commit work; ganger done --summary ok")
    fleet.configure()
    fleet.item("a")
    fleet.item("c")
    plan = str(fleet.plan())
    fleet.write({"half/done.txt": "half done\n", "src/b.txt": "b, changed\n"})
    fleet.git("add", "src/b.txt")
    before = tree_digest(fleet.repo, lambda name: name.startswith((".git/objects", ".git/refs", ".git/logs/refs")))
    done = fleet.ganger("run", plan, "--trust", "--seed-dirty")
    assert done.code == 0, done
    assert sorted(fleet.landed_items()) == ["a", "c"]
    assert fleet.on_main("src/a.txt") == "a\nhalf done\nb, changed\n"
    assert fleet.on_main("src/b.txt") == "b\n"
    assert fleet.on_main("half/done.txt") is None
    shown = fleet.ganger("diff", "a").out
    assert "+half done" in shown
    assert "src/b.txt" not in shown
    after = tree_digest(fleet.repo, lambda name: name.startswith((".git/objects", ".git/refs", ".git/logs/refs")))
    assert after == before
    assert len(fleet.hub_refs("refs/ganger/seeded/")) == 2
    began = fleet.git("rev-parse", "refs/ganger/seeded/a.1", at=fleet.state / "hub.git")
    told = (fleet.state / "runs/a.1/turn-1/brief.1.md").read_text()
    assert f"a commit that you did not make: {began[:12]}" in told
    fleet.assert_sound()


def test_the_control_without_it_workers_see_only_what_is_committed(fleet: Fleet) -> None:
    fleet.begin()
    fleet.git("switch", "--quiet", "--create", "mine")
    fleet.shell_agent(
        "default", "ls half >> src/$item.txt 2>&1 || echo none >> src/$item.txt; commit work; ganger done"
    )
    fleet.configure()
    fleet.item("a")
    plan = str(fleet.plan())
    fleet.write({"half/done.txt": "half done\n"})
    assert fleet.ganger("run", plan, "--trust").code == 0
    assert "none" in str(fleet.on_main("src/a.txt"))
