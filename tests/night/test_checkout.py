"""The user's checkout before and after a night: byte for byte the same, but for the landing."""

from __future__ import annotations

import pytest
from builders import Fleet, tree_digest

HOOKS = (
    *(
        "pre-commit",
        "commit-msg",
        "post-commit",
        "prepare-commit-msg",
        "post-checkout",
        "post-merge",
        "pre-merge-commit",
    ),
    *("pre-push", "reference-transaction", "pre-auto-gc", "post-rewrite", "fsmonitor-watchman", "post-index-change"),
)


QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""For the test's own looks, which are not to leave a canary either."""


def lived_in(fleet: Fleet) -> None:
    """A repository in the middle of somebody's work: hooks, config, a stash, other branches, tags, ignored files."""
    fleet.begin(
        {"src/a.txt": "a\n", "src/b.txt": "b\n", "mine.txt": "one\n", "gone.txt": "x\n", ".gitignore": "*.log\n"}
    )
    fleet.git("tag", "--annotate", "v1", "--message", "First")
    fleet.git("branch", "other")
    fleet.write({"mine.txt": "stashed\n"})
    fleet.git("stash", "push", "--quiet", "--message", "for later")
    for name in HOOKS:
        hook = fleet.repo / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> '{fleet.root}/canary'\n")
        hook.chmod(0o755)
    with (fleet.repo / ".git/config").open("a") as file:
        file.write(f'[alias]\n\tnight = log\n[core]\n\tfsmonitor = "{fleet.repo}/.git/hooks/fsmonitor-watchman"\n')
        file.write(
            f'\tpager = "touch {fleet.root}/canary; cat"\n[credential]\n\thelper = store\n[user]\n\tname = Dana\n'
        )
    fleet.write({"ignored.log": "log\n", "untracked file.txt": "mine\n", "src/übrig.txt": "mine\n"})


def busy(fleet: Fleet) -> None:
    """Changes in the index, in the work tree, and a removed file."""
    fleet.write({"mine.txt": "staged\n"})
    fleet.git("add", "mine.txt")
    fleet.write({"mine.txt": "staged and changed again\n"})
    (fleet.repo / "gone.txt").unlink()


def footprint(fleet: Fleet) -> dict[str, object]:
    """All that is the user's: the tree, the index, the stash, refs, config and hooks; not ours, not objects."""

    def ours(name: str) -> bool:
        parts = name.split("/")
        return parts[:2] == [".git", "objects"] or name in (".git/refs/heads/main", ".git/logs/refs/heads/main")

    refs = fleet.git(*QUIET, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return {
        "files": tree_digest(fleet.repo, lambda name: ours(name) or name.startswith(".git/refs/ganger")),
        "refs": [ref for ref in refs if not ref.startswith("refs/heads/main ")],
        "stash": fleet.git(*QUIET, "stash", "list", "--format=%H %gs"),
        "canary": (fleet.root / "canary").exists(),
    }


def plan_of_two(fleet: Fleet) -> str:
    fleet.shell_agent("default", "echo worked >> src/$item.txt; commit work; ganger done --summary ok")
    fleet.configure()
    fleet.item("a")
    fleet.item("b")
    return str(fleet.plan())


def test_a_night_while_the_user_is_on_another_branch(fleet: Fleet) -> None:
    lived_in(fleet)
    fleet.git(*QUIET, "switch", "--quiet", "other")
    busy(fleet)
    plan = plan_of_two(fleet)
    (fleet.root / "canary").unlink(missing_ok=True)
    before, tip = footprint(fleet), fleet.git("rev-parse", "main")
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert footprint(fleet) == before
    assert not before["canary"]
    assert sorted(fleet.landed_items()) == ["a", "b"]
    assert fleet.git("merge-base", tip, "main") == tip
    assert fleet.ganger("report").code == fleet.ganger("doctor").code == fleet.ganger("verify", "a").code == 0
    assert fleet.ganger("diff", "a").out.count("+worked") == 1
    assert footprint(fleet) == before
    fleet.assert_sound()


def test_a_clean_checkout_of_the_target_is_forwarded(fleet: Fleet) -> None:
    lived_in(fleet)
    (fleet.root / "canary").unlink(missing_ok=True)
    plan = plan_of_two(fleet)
    before = footprint(fleet)
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert (fleet.repo / "src/a.txt").read_text() == "a\nworked\n"
    after = footprint(fleet)
    assert fleet.git(*QUIET, "status", "--porcelain", "--untracked-files=no") == ""
    changed = {name for name, digest in after["files"].items() if before["files"].get(name) != digest}  # type: ignore[attr-defined]
    assert changed <= {"src/a.txt", "src/b.txt", ".git/index", ".git/ORIG_HEAD", ".git/logs/HEAD"}
    assert not set(before["files"]) - set(after["files"])  # type: ignore[call-overload]
    assert (after["refs"], after["stash"], after["canary"]) == (before["refs"], before["stash"], False)
    fleet.assert_sound()


@pytest.mark.parametrize("how", ["worktree", "subfolder", "link"])
def test_every_way_into_the_repository_finds_the_same_fleet(fleet: Fleet, how: str) -> None:
    lived_in(fleet)
    plan = plan_of_two(fleet)
    places = {"worktree": fleet.root / "linked", "subfolder": fleet.repo / "src", "link": fleet.root / "link"}
    if how == "worktree":
        fleet.git(*QUIET, "worktree", "add", "--quiet", str(places[how]), "other")
    elif how == "link":
        places[how].symlink_to(fleet.repo)
    env = {"GANGER_STATE": ""}
    done = fleet.ganger("run", plan, "--trust", cwd=places[how], env=env)
    assert done.code == 0, done
    assert sorted(fleet.landed_items()) == ["a", "b"]
    kept = list((fleet.home / ".state/ganger").iterdir())
    assert len(kept) == 1
    assert kept[0].stat().st_mode & 0o777 == 0o700
    assert '"landed": 2' in fleet.ganger("status", "--json", env=env).out
