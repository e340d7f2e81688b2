"""`ganger run --seed-dirty` where nothing is committed: a repository without a commit, or a plain directory."""

from __future__ import annotations

import subprocess

import pytest
from builders import Fleet, tree_digest

WORK = "cat notes.txt >> src/$item.txt; test -e secret.env && echo seen >> src/$item.txt; commit work; ganger done"
FILES = {"src/a.txt": "a\n", "src/c.txt": "c\n", "notes.txt": "mine\n", ".gitignore": "*.env\n", "secret.env": "S\n"}


def begin(fleet: Fleet, plain: bool) -> str:
    """Files, settings and a plan that nobody committed; the plan's path."""
    if not plain:
        fleet.git("init", "--quiet", "--initial-branch", "trunk")
    fleet.write(FILES)
    fleet.shell_agent("default", WORK)
    fleet.configure()
    settings = fleet.repo / "ganger.toml"
    settings.write_text(settings.read_text().replace('target = "main"\n', ""))
    fleet.item("a")
    fleet.item("c")
    plan = fleet.plan()
    assert fleet.git("ls-files") == "" if not plain else not (fleet.repo / ".git").exists()
    return str(plan)


@pytest.mark.parametrize("plain", (False, True), ids=("unborn", "plain"))
def test_work_on_files_that_nobody_committed(fleet: Fleet, plain: bool) -> None:
    plan = begin(fleet, plain)
    before = tree_digest(fleet.repo)
    refused = fleet.ganger("run", plan, "--trust")
    assert refused.code == 2, "without the option as ever"
    done = fleet.ganger("run", plan, "--trust", "--seed-dirty")
    assert done.code == 0, done
    assert f"nothing is committed in {fleet.repo}: your files are worked on as they are now" in done.err
    assert tree_digest(fleet.repo) == before, "not a byte of the user's directory was written, git's own included"
    standin = fleet.state / "standin/.git"
    branch = "main" if plain else "trunk"
    at = fleet.state / "standin"
    assert fleet.git("show", f"{branch}:src/a.txt", at=at) == "a\nmine"
    assert fleet.git("show", f"{branch}:src/c.txt", at=at) == "c\nmine"
    assert "secret.env" not in fleet.git("ls-tree", "-r", "--name-only", branch, at=at)
    shown = fleet.ganger("diff", "a").out
    assert "+mine" in shown
    assert shown.count("diff --git") == 1, "the files of the person are no part of what the worker changed"
    assert fleet.statuses() == {"a": "landed", "c": "landed"}
    assert fleet.ganger("verify", "a", "--rung", "landed").code == 0
    assert fleet.ganger("report").code == 0
    assert fleet.ganger("config", "explain").code == 0
    assert fleet.ganger("lease", "acquire", "--scope", "other/**", "--holder", "me").code == 0
    no_branch = fleet.ganger("salvage", "restore", "a.1", "--branch", "mine")
    assert f"nothing is committed in {fleet.repo}: it can have no branch" in no_branch.err

    command = next(line for line in done.err.splitlines() if line.startswith("to have what landed in "))
    command = command.partition(": ")[2]
    assert str(standin) in command
    subprocess.run(["sh", "-c", command], cwd=fleet.root, env=fleet.env, check=True)
    assert (fleet.repo / "src/a.txt").read_text() == "a\nmine\n"
    assert (fleet.repo / "secret.env").read_text() == "S\n"
    again = fleet.ganger("run", plan, "--trust", "--seed-dirty")
    assert again.code == 0
    assert "to have what landed" not in again.err, "there is nothing more to bring"
    assert fleet.git("diff-tree", "-r", "refs/ganger/yours", branch, at=at) == ""


def test_what_the_user_changes_meanwhile_is_taken_in_and_prevails(fleet: Fleet) -> None:
    plan = begin(fleet, plain=True)
    assert fleet.ganger("run", plan, "--trust", "--seed-dirty").code == 0
    (fleet.repo / "src/a.txt").write_text("mine alone\n")
    (fleet.repo / "new.txt").write_text("new\n")
    fleet.item("new", scope=("src/new.txt",))
    again = fleet.ganger("run", str(fleet.plan()), "--trust", "--seed-dirty")
    assert again.code == 0, again
    assert "changed both by you and by what landed, and as you have it from now on: src/a.txt" in again.err
    at = fleet.state / "standin"
    assert fleet.git("show", "main:src/a.txt", at=at) == "mine alone"
    assert fleet.git("show", "main:src/c.txt", at=at) == "c\nmine"
    assert fleet.git("show", "main:new.txt", at=at) == "new"
    assert fleet.git("show", "main:src/new.txt", at=at) == "mine"
    assert (fleet.repo / "src/a.txt").read_text() == "mine alone\n"


def test_once_there_is_a_commit_the_fleet_beside_it_says_so(fleet: Fleet) -> None:
    plan = begin(fleet, plain=False)
    assert fleet.ganger("run", plan, "--trust", "--seed-dirty").code == 0
    fleet.git("add", "src/a.txt")
    fleet.git("commit", "--quiet", "-m", "First")
    for options in ((), ("--seed-dirty",)):
        refused = fleet.ganger("run", plan, "--trust", *options)
        assert refused.code == 2
        assert "has commits by now, and this fleet works beside it" in refused.err
    assert fleet.statuses() == {"a": "landed", "c": "landed"}, "what there is can be looked at"


def test_a_home_or_the_state_itself_is_not_taken_for_work(fleet: Fleet) -> None:
    plan = begin(fleet, plain=True)
    refused = fleet.ganger("-C", str(fleet.home), "run", plan, "--trust", "--seed-dirty")
    assert refused.code == 2
    assert "holds your home directory" in refused.err
    inside = str(fleet.repo / "state")
    refused = fleet.ganger("--state-dir", inside, "run", plan, "--trust", "--seed-dirty")
    assert refused.code == 2
    assert "holds the state directory" in refused.err


def test_a_plain_directory_is_found_again_from_below_without_naming_its_state(fleet: Fleet) -> None:
    plan = begin(fleet, plain=True)
    env = {"GANGER_STATE": ""}
    done = fleet.start("run", plan, "--trust", "--seed-dirty", env=env)
    assert done.wait(120) == 0
    done.communicate()
    for folder in (fleet.repo, fleet.repo / "src"):
        shown = fleet.start("status", "--json", env=env, cwd=folder)
        out, _ = shown.communicate(timeout=60)
        assert shown.returncode == 0
        assert b'"landed"' in out
