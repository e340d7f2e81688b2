"""`ganger undo` on a real night: a landing taken back, brought back, done again; what stands against it is told."""

from __future__ import annotations

import shutil

import pytest
from builders import Fleet

TEXT = "".join(f"line {number}\n" for number in range(9))


def night(fleet: Fleet, check: str = "true", script: str = "echo worked >> src/$item.txt; commit work") -> str:
    """Two items that landed."""
    fleet.begin({"src/a.txt": TEXT, "src/b.txt": "b\n"})
    fleet.shell_agent("default", script)
    fleet.configure(checks={"unit": check})
    fleet.item("a")
    fleet.item("b")
    plan = str(fleet.plan())
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    return plan


def test_it_is_taken_off_the_target_by_a_tested_commit_and_told_everywhere(fleet: Fleet) -> None:
    plan = night(fleet)
    before = fleet.git("rev-parse", "main")
    done = fleet.ganger("undo", "a", "--why", "it is too slow")
    assert done.code == 0, done
    assert done.out == "a will be undone: no supervisor runs, so nothing happens until ganger up or ganger run\n"
    assert fleet.git("rev-parse", "main") == before
    assert "dana wants a undone\n" in fleet.ganger("status").out
    done = fleet.ganger("run", plan)
    assert done.code == 3, done
    assert (fleet.on_main("src/a.txt"), fleet.on_main("src/b.txt")) == (TEXT, "b\nworked\n")
    assert (fleet.repo / "src/a.txt").read_text() == TEXT
    tip = fleet.git("rev-parse", "main")
    assert fleet.git("rev-parse", "main^1") == before
    message = fleet.git("log", "-1", "--format=%B", "main")
    assert message.startswith("Undo a\n\nit is too slow\n\nGanger-Undo: a.1\n")
    assert message.rstrip().endswith("Asked-for-by: dana")
    by = f"undone by dana as {tip[:12]}"
    assert f"a {by} at " in fleet.ganger("show", "a").out
    assert f"a {by} at " in fleet.ganger("show", tip[:12]).out
    assert f"ended because {by}: it is too slow" in fleet.ganger("why", "a").out
    assert fleet.ganger("why", "a").code == 1
    verified = fleet.ganger("verify", "a")
    assert verified.code == 1 and "a has not landed: it is undone" in verified.both
    assert "1 undone, 1 landed" in fleet.ganger("status").out
    left = {row["item"]: row["standing"] for row in fleet.json("residual")["items"]}
    assert left["b"] == "verified" and left["a"] != "verified"
    assert "undone by dana" in fleet.ganger("report", "--text").out
    assert fleet.statuses() == {"a": "undone", "b": "landed"}
    fleet.assert_sound()
    assert fleet.ganger("undo", tip[:10]).code == 0
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert fleet.on_main("src/a.txt") == TEXT + "worked\n"
    assert fleet.statuses() == {"a": "landed", "b": "landed"}
    assert fleet.ganger("verify", "a").code == 0
    fleet.assert_sound()


def test_what_was_undone_is_done_again_when_a_person_says_so(fleet: Fleet) -> None:
    plan = night(fleet)
    assert fleet.ganger("undo", "a").code == 0
    night_over = fleet.ganger("run", plan)
    assert night_over.code == 3
    assert "1 item undone by you: ganger retry ITEM has it done again\n" in night_over.out
    assert fleet.ganger("retry", "a").out == "a is offered again\n"
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert fleet.on_main("src/a.txt") == TEXT + "worked\n"
    assert [run["id"] for run in fleet.runs("a")] == ["a.1", "a.2"]
    fleet.assert_sound()


def test_with_a_supervisor_it_is_waited_for(fleet: Fleet) -> None:
    night(fleet)
    up = fleet.ganger("up", "--trust")
    assert up.code == 0, up
    try:
        done = fleet.ganger("undo", "a", "--wait")
        assert done.code == 0, done
        assert done.out == f"a is undone as {fleet.git('rev-parse', 'main')[:12]}\n"
        assert fleet.on_main("src/a.txt") == TEXT
    finally:
        assert fleet.ganger("down").code == 0
    fleet.assert_sound()


def test_with_nobody_there_it_is_not_waited_for_long(fleet: Fleet) -> None:
    night(fleet)
    done = fleet.ganger("undo", "a", "--wait", "--why", "\x1b[31mred\nGanger-Item: b")
    assert (done.code, done.out) == (1, "")
    assert "no supervisor runs" in done.err


def test_a_clone_that_knows_no_journal_is_told_of_it(fleet: Fleet) -> None:
    plan = night(fleet)
    clone = fleet.root / "clone"

    def asked() -> tuple[int, str]:
        fleet.git("clone", "-q", "--no-hardlinks", ".", str(clone))
        found = fleet.ganger("-C", str(clone), "--state-dir", str(fleet.root / "no-state"), "verify", "a")
        shutil.rmtree(clone)
        return found.code, found.out

    assert asked()[0] == 0
    assert fleet.ganger("undo", "a", "--why", "\x1b[31mred\nGanger-Item: b").code == 0
    assert fleet.ganger("run", plan).code == 3
    code, said = asked()
    assert code == 1
    assert f"landed a, and {fleet.git('rev-parse', 'main')[:12]} took it back" in said
    message = fleet.git("log", "-1", "--format=%B", "main")
    assert "\x1b" not in message and "\nGanger-Item: b" not in message
    assert fleet.ganger("undo", fleet.git("rev-parse", "main")).code == 0
    assert fleet.ganger("run", plan).code == 0
    assert asked()[0] == 0


def test_one_that_conflicts_changes_nothing_and_names_the_files(fleet: Fleet) -> None:
    night(fleet)
    mine = fleet.commit({"src/a.txt": TEXT + "worked\nand mine\n"}, "Mine")
    done = fleet.ganger("undo", "a")
    assert (done.code, done.out) == (1, "")
    assert "undoing a conflicts with what has changed since: src/a.txt" in done.err
    assert fleet.git("rev-parse", "main") == mine
    assert "undone" not in fleet.ganger("status").out
    fleet.assert_sound()


def test_one_that_conflicts_by_the_time_it_is_worked_out_asks(fleet: Fleet) -> None:
    plan = night(fleet)
    assert fleet.ganger("undo", "a").code == 0
    mine = fleet.commit({"src/a.txt": TEXT + "worked\nand mine\n"}, "Mine")
    done = fleet.ganger("run", plan)
    assert done.code == 5, done
    assert fleet.git("rev-parse", "main") == mine
    (question,) = fleet.json("inbox")["questions"]
    assert question["kind"] == "undo" and "what has changed since conflicts with it: src/a.txt" in question["text"]
    assert fleet.ganger("answer", question["id"], "leave it").code == 0
    assert fleet.ganger("run", plan).code == 0
    assert fleet.statuses()["a"] == "landed"
    fleet.assert_sound()


def test_one_that_fails_checks_does_not_land_and_says_which(fleet: Fleet) -> None:
    """The later item needs what the earlier one brought: nobody sees that before the whole is tested."""
    script = "case $item in a) echo made > src/made.txt;; b) cp src/made.txt src/also.txt;; esac; commit work"
    fleet.begin({"src/a.txt": "a\n", "check.sh": "! test -e src/also.txt || test -e src/made.txt\n"})
    fleet.shell_agent("default", script)
    fleet.configure(checks={"unit": "sh check.sh"})
    fleet.item("a", scope=["src/made.txt"])
    fleet.item("b", scope=["src/also.txt"], more='after = ["a"]')
    plan = str(fleet.plan())
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    tip = fleet.git("rev-parse", "main")
    assert fleet.ganger("undo", "a").code == 0
    done = fleet.ganger("run", plan)
    assert done.code == 5, done
    assert fleet.git("rev-parse", "main") == tip
    (question,) = fleet.json("inbox")["questions"]
    assert "check unit failed with exit status 1" in question["text"]
    assert "dana wants a undone, which cannot land: check unit failed" in fleet.ganger("status").out
    fleet.assert_sound()


@pytest.mark.parametrize("others", [0, 1])
def test_a_check_that_asks_for_the_very_change_is_let_off_where_only_that_item_has_it(
    fleet: Fleet, others: int
) -> None:
    fleet.begin({"src/a.txt": "a\n", "src/b.txt": "b\n"})
    fleet.shell_agent("default", "echo worked >> src/$item.txt; commit work")
    fleet.configure(checks={"asks": "grep -q worked src/a.txt"})
    fleet.item("a", more='checks = ["asks"]')
    fleet.item("b", more=f'after = ["a"]\nchecks = {["asks"] if others else []}\nrung = "in-scope"')
    plan = str(fleet.plan())
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert fleet.ganger("undo", "a").code == 0
    assert fleet.ganger("run", plan).code == (5 if others else 3)
    assert (fleet.on_main("src/a.txt") == "a\n") is not bool(others)
    fleet.assert_sound()
