"""Landing in the user's repository: exactly the tested commit, or nothing at all."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gitworld import commit, fingerprint, python, sh, write

from ganger.core.ids import Commit, RunId
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.landing import LandResult, LandState, land
from ganger.git.merge import combine
from ganger.git.repository import Repository, open_repository, target_tip
from ganger.git.workspace import fetch_candidate

Tested = tuple[Commit, Commit]
"""A combined commit and its tree."""


def prepared(hub: Hub, base: Commit, root: Path, run: str, files: dict[str, str]) -> Tested:
    """Let a run change files and combine its candidate onto the base."""
    space = root / "runs" / run
    workspace.create(hub, space, RunId(run), base)
    commit(space, files, f"work of {run}")
    found = fetch_candidate(hub, space, RunId(run))
    assert found is not None
    made = combine(hub, base, [(RunId(run), found, f"Land {run}: x")], 1_700_000_000_000)
    return made.commit, made.tree


@pytest.fixture
def new(hub: Hub, base: Commit, tmp_path: Path) -> Tested:
    return prepared(hub, base, tmp_path, "a.1", {"src/m1/f1.py": "landed\n", "added": "a\n"})


def away(user: Path) -> None:
    """Check something else out, so that `main` is checked out nowhere."""
    sh(user, "checkout", "-q", "-b", "elsewhere")


def only_ours(key: str) -> bool:
    """Name what a landing on a branch that is not checked out may touch: the branch, its log, new objects."""
    ours = (".git/objects", ".git/refs/heads", ".git/logs/refs/heads")
    return key.startswith(ours) or key in (".git", ".git/refs", ".git/refs/ganger")


def test_onto_a_branch_that_is_checked_out_nowhere(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path
) -> None:
    away(user)
    write(user, {"README.md": "dirty, but that is another branch\n", "added": "mine\n"})
    sh(user, "config", "core.logAllRefUpdates", "always")
    before = fingerprint(user, only_ours)
    refs = sh(user, "for-each-ref").replace(base, "BASE")
    result = land(repo, hub, "main", base, *new)
    assert result == LandResult(LandState.landed, new[0])
    assert sh(user, "rev-parse", "main") == new[0]
    assert fingerprint(user, only_ours) == before
    assert sh(user, "for-each-ref").replace(base, "BASE").replace(new[0], "BASE") == refs
    assert sh(user, "reflog", "main", "--format=%gs").splitlines()[0] == f"ganger: land {new[0][:12]}"
    sh(user, "fsck", "--strict", "--connectivity-only")
    assert list((user / ".git/refs/ganger").iterdir()) == []
    assert not (user / ".git/logs/refs/ganger").exists()
    assert not (user / ".git/FETCH_HEAD").exists()


def test_into_a_clean_work_tree(repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path) -> None:
    write(user, {"untracked": "mine\n", "x.log": "ignored\n"})
    result = land(repo, hub, "main", base, *new)
    assert result == LandResult(LandState.landed, new[0])
    assert sh(user, "status", "--porcelain") == "?? untracked"
    assert (user / "src/m1/f1.py").read_text() == "landed\n"
    assert (user / "added").read_text() == "a\n"
    assert sh(user, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert sh(user, "reflog", "-1", "--format=%gs").startswith(f"ganger: land {new[0][:12]}")
    assert list((user / ".git/refs/ganger").iterdir()) == []
    assert not (user / ".git/FETCH_HEAD").exists()


def test_into_a_linked_work_tree(hub: Hub, base: Commit, new: Tested, user: Path, tmp_path: Path) -> None:
    away(user)
    linked = tmp_path / "linked"
    sh(user, "worktree", "add", "-q", str(linked), "main")
    assert land(open_repository(linked), hub, "main", base, *new).state is LandState.landed
    assert (linked / "added").read_text() == "a\n"
    assert sh(linked, "status", "--porcelain") == ""
    assert not (user / "added").exists()


def test_again_is_as_good_as_once(repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path) -> None:
    land(repo, hub, "main", base, *new)
    before = fingerprint(user)
    assert land(repo, hub, "main", base, *new) == LandResult(LandState.landed, new[0])
    assert fingerprint(user) == before
    later = commit(user, {"later": "x"})
    assert land(repo, hub, "main", base, *new) == LandResult(LandState.landed, later)


def test_a_branch_that_moved_is_left_where_it_is(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path
) -> None:
    moved = commit(user, {"other": "x"})
    before = fingerprint(user)
    assert land(repo, hub, "main", base, *new) == LandResult(LandState.moved, moved)
    assert fingerprint(user) == before
    sh(user, "checkout", "-q", "--detach")
    sh(user, "branch", "-D", "main")
    assert land(repo, hub, "main", base, *new) == LandResult(LandState.moved, Commit(""))


@pytest.mark.parametrize("staged", [False, True])
def test_a_dirty_work_tree_is_not_touched(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path, staged: bool
) -> None:
    write(user, {"README.md": "dirty\n", "tests/test_a.py": "dirty\n"})
    if staged:
        sh(user, "add", "-A")
    before = fingerprint(user)
    result = land(repo, hub, "main", base, *new)
    assert result == LandResult(LandState.dirty, base, ("README.md", "tests/test_a.py"))
    assert fingerprint(user) == before


@pytest.mark.parametrize(("name", "ignored"), [("added", False), ("added.log", True)])
def test_files_in_the_way_are_not_overwritten(
    repo: Repository, hub: Hub, base: Commit, user: Path, tmp_path: Path, name: str, ignored: bool
) -> None:
    """Not even ignored ones, which git by itself takes for expendable."""
    space = tmp_path / "runs" / "x.1"
    workspace.create(hub, space, RunId("x.1"), base)
    write(space, {name: "theirs\n"})
    sh(space, "add", "-f", name)
    commit(space, {})
    found = fetch_candidate(hub, space, RunId("x.1"))
    assert found is not None
    made = combine(hub, base, [(RunId("x.1"), found, "Land x: x")], 0)
    write(user, {name: "mine\n"})
    before = fingerprint(user, only_ours)
    result = land(repo, hub, "main", base, made.commit, made.tree)
    assert result.state is LandState.blocked
    assert result.tip == base
    assert name in result.detail
    assert (user / name).read_text() == "mine\n"
    after = fingerprint(user, only_ours)
    assert {key for key in before | after if before.get(key) != after.get(key)} <= {".git/ORIG_HEAD"}


def test_an_operation_in_progress_is_waited_for(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path
) -> None:
    sh(user, "bisect", "start")
    assert land(repo, hub, "main", base, *new).state is LandState.dirty
    sh(user, "bisect", "bad")
    sh(user, "bisect", "good", base, check=False)
    sh(user, "bisect", "reset")
    sh(user, "checkout", "-q", "-b", "side", base)
    commit(user, {"README.md": "side\n"})
    sh(user, "checkout", "-q", "main")
    tip = commit(user, {"README.md": "main\n"})
    sh(user, "rebase", "side", check=False)
    moved = prepared(hub, hub.sync_target(), user.parent, "late.1", {"late": "x"})
    result = land(repo, hub, "main", tip, *moved)
    assert result == LandResult(LandState.dirty, tip, ("a rebase of main is in progress",))
    sh(user, "rebase", "--abort")
    sh(user, "merge", "-q", "side", check=False)
    result = land(repo, hub, "main", tip, *moved)
    assert result == LandResult(LandState.dirty, tip, (f"a merge is in progress in {user}",))
    sh(user, "merge", "--abort")
    assert land(repo, hub, "main", tip, *moved).state is LandState.landed


def test_a_locked_index_blocks(repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path) -> None:
    (user / ".git/index.lock").write_text("")
    result = land(repo, hub, "main", base, *new)
    assert result.state is LandState.blocked
    assert "index.lock" in " ".join(result.detail)
    (user / ".git/index.lock").unlink()
    assert land(repo, hub, "main", base, *new).state is LandState.landed


def test_hooks_and_settings_of_the_user_stay_out_of_it(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path, tmp_path: Path
) -> None:
    sh(user, "tag", "v1")
    sh(user, "update-ref", "refs/ganger-other/x", base)
    for name in ("post-merge", "reference-transaction", "post-checkout", "pre-auto-gc", "post-index-change"):
        hook = user / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\nexit 1\n")
        hook.chmod(0o755)
    settings = {"fetch.prune": "true", "fetch.pruneTags": "true", "merge.ff": "false", "merge.autoStash": "true"}
    settings |= {
        "gc.auto": "1",
        "protocol.file.allow": "never",
        "fetch.writeCommitGraph": "true",
        "pull.rebase": "true",
    }
    for name, value in settings.items():
        sh(user, "config", name, value)
    refs = sh(user, "for-each-ref").replace(f"{base} commit\trefs/heads/main", "")
    assert land(repo, hub, "main", base, *new).state is LandState.landed
    assert not (tmp_path / "canary").exists()
    assert sh(user, "for-each-ref").replace(f"{new[0]} commit\trefs/heads/main", "") == refs
    assert not (user / ".git/objects/info/commit-graphs").exists()


def test_line_ends_in_the_checkout_are_as_the_user_configured(hub: Hub, base: Commit, new: Tested, user: Path) -> None:
    sh(user, "config", "core.autocrlf", "true")
    assert land(open_repository(user), hub, "main", base, *new).state is LandState.landed
    assert (user / "added").read_bytes() == b"a\r\n"
    assert sh(user, "status", "--porcelain") == ""


def test_only_what_was_tested(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path, tmp_path: Path
) -> None:
    before = fingerprint(user)
    with pytest.raises(AssertionError, match="does not hold the tested tree"):
        land(repo, hub, "main", base, new[0], hub.tree_of(base))
    unrelated = commit(user, {"x": "1"})
    sh(user, "reset", "-q", "--hard", base)
    hub.set_ref("refs/ganger/train/1", base)
    sh(user, "update-ref", "refs/heads/tmp", unrelated)
    hub.fetch(user, ("+refs/heads/tmp:refs/ganger/train/2",))
    sh(user, "update-ref", "-d", "refs/heads/tmp")
    with pytest.raises(AssertionError, match="does not descend"):
        land(repo, hub, "main", unrelated, *new)
    assert sh(user, "rev-parse", "main") == base
    assert {key for key in before if key.startswith("src")} <= set(fingerprint(user))


def _land_in_a_process(user: str, hub_dir: str, old: str, new: Tested, results: object) -> None:
    repo = open_repository(Path(user))
    hub = Hub.open(Path(hub_dir), repo, "main")
    results.put(land(repo, hub, "main", Commit(old), *new).state.value)  # type: ignore[attr-defined]


@pytest.mark.parametrize("checked_out", [False, True])
def test_of_two_at_once_one_lands(
    repo: Repository, hub: Hub, base: Commit, user: Path, tmp_path: Path, checked_out: bool
) -> None:
    first = prepared(hub, base, tmp_path, "a.1", {"a": "1\n"})
    second = prepared(hub, base, tmp_path, "b.1", {"b": "1\n"})
    if not checked_out:
        away(user)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    args = [(str(user), str(hub.path), base, made, results) for made in (first, second)]
    children = [context.Process(target=_land_in_a_process, args=each) for each in args]
    for child in children:
        child.start()
    states = sorted(results.get(timeout=60) for _ in children)
    for child in children:
        child.join()
        child.close()
    results.close()
    results.join_thread()
    assert states == ["landed", "moved"]
    assert target_tip(repo, "main") in (first[0], second[0])


@pytest.mark.parametrize(("last_step", "checked_out"), [("update-ref", False), ("merge", True)])
def test_a_user_who_is_faster_wins(
    repo: Repository, hub: Hub, base: Commit, new: Tested, user: Path, last_step: str, checked_out: bool
) -> None:
    """The branch moves in the last moment, after all looking: the landing must not move it back."""
    other = sh(user, "commit-tree", "HEAD^{tree}", "-p", base, "-m", "faster")
    if not checked_out:
        away(user)
    script = (
        "import pathlib, sys; from ganger.git import hub, repository, landing\n"
        f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
        f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
        "def faster(event, args):\n"
        f"    if event == 'subprocess.Popen' and {last_step!r} in args[1] and {new[0]!r} in args[1] \\\n"
        "            and h.path != args[2]:\n"
        f"        pathlib.Path({str(user / '.git/refs/heads/main')!r}).write_text({other + chr(10)!r})\n"
        "sys.addaudithook(faster)\n"
        f"print(landing.land(repo, h, 'main', {base!r}, *{new!r}))\n"
    )
    printed = python(script)
    assert "'moved'" in printed
    assert other in printed
    assert sh(user, "rev-parse", "main") == other


def test_landings_take_turns(repo: Repository, hub: Hub, base: Commit, new: Tested) -> None:
    with ThreadPoolExecutor(1) as pool:
        with hub.locked("landing"):
            waiting = pool.submit(land, repo, hub, "main", base, *new)
            time.sleep(0.3)
            assert target_tip(repo, "main") == base
        assert waiting.result(timeout=60).state is LandState.landed


@pytest.mark.parametrize("checked_out", [False, True])
def test_a_crash_at_each_step_is_harmless(
    repo: Repository, hub: Hub, user: Path, tmp_path: Path, checked_out: bool
) -> None:
    if not checked_out:
        away(user)
    for number in range(1, 12):
        base = hub.sync_target()
        new = prepared(hub, base, tmp_path, f"r.{number}", {f"file{number}": "x\n"})
        script = (
            "import os, pathlib, sys; from ganger.git import command, hub, repository, landing\n"
            "command.git_program()\n"
            f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
            f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
            f"left = {number}\n"
            "def dying(event, args):\n"
            "    global left\n"
            "    if event == 'subprocess.Popen':\n"
            "        left -= 1\n"
            "        if left == 0: os._exit(0)\n"
            "sys.addaudithook(dying)\n"
            f"landing.land(repo, h, 'main', {base!r}, *{new!r})\n"
        )
        python(script)
        assert target_tip(repo, "main") in (base, new[0])
        assert land(repo, hub, "main", base, *new) == LandResult(LandState.landed, new[0])
        assert hub.sync_target() == new[0]
        assert sh(user, "status", "--porcelain") == ""
    left = sh(user, "for-each-ref", "refs/ganger")
    assert left == "" or "refs/ganger/landing" in left
