"""Landings that wait: for a dirty checkout of the target, and for a person's word."""

from __future__ import annotations

from builders import Done, Fleet, tree_digest


def begin(fleet: Fleet, more: str = "") -> str:
    """One item whose work is quick; `main` is checked out."""
    fleet.begin({"src/a.txt": "a\n", "src/b.txt": "b\n", "mine.txt": "one\n"})
    fleet.shell_agent("default", "echo worked >> src/$item.txt; commit work")
    fleet.configure(more=more)
    fleet.item("a")
    return str(fleet.plan())


def files(fleet: Fleet) -> dict[str, str]:
    return tree_digest(fleet.repo, lambda name: name.startswith((".git/objects", ".git/refs/ganger")))


def waiting(fleet: Fleet, plan: str) -> Done:
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 5, done
    assert done.out.startswith("review_or_ci_unresolved: 0 of 1 item landed on main\n")
    assert "\n1 question for you: ganger inbox\n" in done.out
    return done


def test_a_dirty_checkout_makes_the_landing_wait(fleet: Fleet) -> None:
    plan = begin(fleet)
    fleet.write({"mine.txt": "changed\n"})
    before = files(fleet)
    waiting(fleet, plan)
    assert files(fleet) == before
    question = fleet.json("inbox")["questions"][0]
    assert question["kind"] == "dirty_target"
    assert "mine.txt" in question["text"]
    waiting(fleet, plan)
    assert files(fleet) == before
    assert len(fleet.json("inbox")["questions"]) == 1
    fleet.git("stash", "push", "--quiet")
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert (fleet.repo / "src/a.txt").read_text() == "a\nworked\n"
    assert fleet.ganger("inbox").code == 1
    assert fleet.runs("a")[0]["id"] == "a.1"
    assert len(fleet.runs("a")) == 1
    fleet.assert_sound()


def test_after_the_user_commits_it_is_tested_again_on_what_is_there(fleet: Fleet) -> None:
    plan = begin(fleet)
    fleet.write({"mine.txt": "changed\n"})
    waiting(fleet, plan)
    mine = fleet.commit({"mine.txt": "changed\n"}, "Mine")
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert fleet.git("rev-parse", "main^1") == mine
    assert fleet.on_main("src/a.txt") == "a\nworked\n"
    assert fleet.on_main("mine.txt") == "changed\n"
    assert len(fleet.runs("a")) == 1
    fleet.assert_sound()


def test_what_the_user_commits_meanwhile_can_make_the_work_obsolete(fleet: Fleet) -> None:
    plan = begin(fleet)
    fleet.write({"src/a.txt": "mine\n"})
    waiting(fleet, plan)
    fleet.commit({"src/a.txt": "mine\n"}, "Mine")
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert fleet.on_main("src/a.txt") == "mine\nworked\n"
    assert [run["ending"] for run in fleet.runs("a")] == ["superseded", "landed"]
    fleet.assert_sound()


def test_try_again_is_an_answer_too(fleet: Fleet) -> None:
    plan = begin(fleet)
    fleet.write({"mine.txt": "changed\n"})
    waiting(fleet, plan)
    assert fleet.ganger("answer", "q1", "whatever").code == 2
    assert fleet.ganger("answer", "q1", "try again").code == 0
    waiting(fleet, plan)
    assert fleet.json("inbox")["questions"][0]["id"] == "q2"


def test_an_untracked_file_in_the_way_is_not_overwritten(fleet: Fleet) -> None:
    fleet.begin({"src/a.txt": "a\n"})
    fleet.shell_agent("default", "echo theirs > src/new.txt; commit work")
    fleet.configure()
    fleet.item("a", scope=["src/new.txt"])
    plan = str(fleet.plan())
    fleet.write({"src/new.txt": "mine\n"})
    waiting(fleet, plan)
    assert (fleet.repo / "src/new.txt").read_text() == "mine\n"
    assert "src/new.txt" in fleet.json("inbox")["questions"][0]["text"]
    (fleet.repo / "src/new.txt").unlink()
    assert fleet.ganger("answer", "q1", "try again").code == 0
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert (fleet.repo / "src/new.txt").read_text() == "theirs\n"
    fleet.assert_sound()


def test_each_landing_asks_when_that_is_wanted(fleet: Fleet) -> None:
    plan = begin(fleet, '[landing]\nmode = "ask"\n')
    tip = fleet.git("rev-parse", "main")
    waiting(fleet, plan)
    question = fleet.json("inbox")["questions"][0]
    assert (question["kind"], question["options"]) == ("approve_landing", ["land", "reject"])
    assert fleet.git("rev-parse", "main") == tip
    assert fleet.ganger("answer", question["id"], "land").code == 0
    done = fleet.ganger("run", plan)
    assert done.code == 0, done
    assert fleet.git("rev-parse", "main") == question["subject"]
    fleet.assert_sound()


def test_a_landing_that_is_refused_goes_away(fleet: Fleet) -> None:
    plan = begin(fleet, '[landing]\nmode = "ask"\n')
    tip = fleet.git("rev-parse", "main")
    waiting(fleet, plan)
    assert fleet.ganger("answer", "q1", "reject").code == 0
    done = fleet.ganger("run", plan)
    assert done.code == 3, done
    assert fleet.git("rev-parse", "main") == tip
    assert fleet.statuses() == {"a": "held"}
    assert fleet.runs("a")[0]["ending"] == "stopped"
    assert "worked" in fleet.git(
        "--git-dir", str(fleet.state / "hub.git"), "show", "refs/ganger/keep/a.1/tree:src/a.txt"
    )
    assert fleet.ganger("retry", "a").code == 0
    waiting(fleet, plan)
    assert fleet.ganger("answer", "q2", "land").code == 0
    assert fleet.ganger("run", plan).code == 0
    fleet.assert_sound()
