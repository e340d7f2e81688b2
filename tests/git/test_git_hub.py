"""The hub: made at once or not at all, with objects of its own, following the user's target branch."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gitworld import commit, fingerprint, python, sh, write

from ganger.core.ids import Commit
from ganger.errors import GitFailed, RepositoryError, StateDirError
from ganger.git.hub import Hub
from ganger.git.refs import TARGET
from ganger.git.repository import Repository, open_repository


def test_made_with_hard_links_and_nothing_but_the_target(hub: Hub, user: Path, base: Commit) -> None:
    assert sh(user, "rev-parse", "main") == base
    assert hub.refs("refs/ganger/") == {TARGET: base}
    assert hub.git.text("for-each-ref") == f"{base} commit\t{TARGET}"
    assert hub.git.call("remote").stdout == b""
    ours = {path.stat().st_ino for path in hub.objects.rglob("*") if path.is_file()}
    theirs = {path.stat().st_ino for path in (user / ".git/objects").rglob("*") if path.is_file()}
    assert theirs <= ours
    assert not (hub.objects / "info/alternates").exists()
    assert not (hub.path / "hooks").exists()
    hub.git.run("fsck", "--strict")


def test_the_user_sees_nothing_of_it(user: Path, tmp_path: Path, repo: Repository) -> None:
    commit(user, {"a": "1"})
    sh(user, "stash", "list")
    write(user, {"a": "dirty", "untracked": "x"})
    before = fingerprint(user)
    hub = Hub.open(tmp_path / "state" / "hub.git", repo, "main")
    hub.sync_target()
    Hub.open(tmp_path / "state" / "hub.git", repo, "main")
    assert fingerprint(user) == before


def test_survives_the_users_gc_and_a_forced_move(hub: Hub, user: Path, base: Commit) -> None:
    lost = commit(user, {"lost.txt": "precious\n"})
    assert hub.sync_target() == lost
    hub.set_ref("refs/ganger/keep/x.1/head", lost)
    sh(user, "reset", "-q", "--hard", "HEAD~1")
    moved = commit(user, {"other.txt": "x\n"})
    sh(user, "reflog", "expire", "--expire=now", "--all")
    sh(user, "gc", "-q", "--prune=now", "--aggressive")
    assert sh(user, "cat-file", "-t", lost, check=False) == ""
    assert hub.sync_target() == moved
    assert hub.exists(lost)
    assert hub.git.run("cat-file", "-p", f"{lost}:lost.txt") == b"precious\n"
    hub.git.run("fsck", "--strict", "--connectivity-only")


def test_follows_the_target_and_says_when_it_is_gone(hub: Hub, user: Path, base: Commit) -> None:
    for number in range(3):
        made = commit(user, {"n": str(number)})
        assert hub.sync_target() == made == hub.ref(TARGET)
    sh(user, "pack-refs", "--all")
    assert hub.sync_target() == made
    sh(user, "checkout", "-q", "--detach")
    sh(user, "branch", "-D", "main")
    with pytest.raises(RepositoryError, match="is gone"):
        hub.sync_target()


def test_a_repository_that_borrows_is_copied(user: Path, tmp_path: Path) -> None:
    borrower = tmp_path / "borrower"
    sh(tmp_path, "clone", "-q", "--shared", str(user), str(borrower))
    made = commit(borrower, {"b": "1"})
    hub = Hub.open(tmp_path / "state2" / "hub.git", open_repository(borrower), "main")
    assert not (hub.objects / "info/alternates").exists()
    assert hub.sync_target() == made
    hub.git.run("fsck", "--strict")
    assert set(hub.refs("refs/ganger/")) == {TARGET}


def test_a_half_made_hub_is_moved_aside(user: Path, repo: Repository, tmp_path: Path) -> None:
    where = tmp_path / "state" / "hub.git"
    write(where, {"objects/x": "half"})
    write(where.with_name("hub.git.making"), {"objects/y": "half"})
    hub = Hub.open(where, repo, "main")
    assert hub.ref(TARGET) == sh(user, "rev-parse", "main")
    aside = sorted(path.name for path in where.parent.iterdir())
    assert aside == ["hub.git", "hub.git.aside-1", "hub.git.lock", "hub.git.making.aside-1"]
    assert (where.parent / "hub.git.aside-1/objects/x").read_text() == "half"


def test_a_crash_at_each_step_of_making_is_harmless(user: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for number in range(1, 12):
        script = (
            "import os, pathlib\n"
            "from ganger.git import command, hub, repository\n"
            f"left = {number}\n"
            f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
            "def dying(event, args):\n"
            "    global left\n"
            "    if event in ('subprocess.Popen', 'os.rename', 'open') and 'hub.git' in str(args):\n"
            "        left -= 1\n"
            "        if left == 0: os._exit(0)\n"
            "import sys; sys.addaudithook(dying)\n"
            f"hub.Hub.open(pathlib.Path({str(state / f'{number}')!r}) / 'hub.git', repo, 'main')\n"
        )
        python(script)
        hub = Hub.open(state / str(number) / "hub.git", open_repository(user), "main")
        assert hub.sync_target() == sh(user, "rev-parse", "main")
        hub.git.run("fsck", "--strict")


def test_two_may_open_it_at_once(user: Path, repo: Repository, tmp_path: Path) -> None:
    where = tmp_path / "state" / "hub.git"
    with ThreadPoolExecutor(4) as pool:
        hubs = list(pool.map(lambda _: Hub.open(where, repo, "main"), range(4)))
    assert len({hub.ref(TARGET) for hub in hubs}) == 1
    assert sorted(path.name for path in where.parent.iterdir()) == ["hub.git", "hub.git.lock"]


def test_its_configuration_is_put_back_and_borrowing_refused(hub: Hub, repo: Repository) -> None:
    (hub.path / "config").write_text("[core]\n\tfsmonitor = /bin/evil\n[alias]\n\tx = !touch /tmp/x\n")
    again = Hub.open(hub.path, repo, "main")
    assert again.git.text("config", "core.fsmonitor") == "false"
    assert again.git.call("config", "alias.x").stdout == b""
    assert again.git.text("config", "--type=int", "gc.auto") == "0"
    assert again.git.text("config", "--file", str(hub.path / "config"), "transfer.fsckObjects") == "true"
    (hub.objects / "info").mkdir(exist_ok=True)
    (hub.objects / "info/alternates").write_text("/elsewhere\n")
    with pytest.raises(StateDirError, match="borrows objects"):
        Hub.open(hub.path, repo, "main")


def test_pushing_into_it_is_refused(hub: Hub, user: Path) -> None:
    sh(user, "push", "-q", str(hub.path), "HEAD:refs/ganger/target2", "HEAD:refs/heads/x", check=False)
    assert set(hub.refs("refs/ganger/")) == {TARGET}
    assert hub.git.rev_parse("refs/heads/x") is None


def test_a_repository_of_another_user_that_git_trusts(user: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("changing owners needs root")
    for path in [user, *user.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    with pytest.raises(RepositoryError, match="belongs to another user"):
        open_repository(user)
    (tmp_path / "home/.gitconfig").write_text(f"[safe]\n\tdirectory = {user}\n")
    repo = open_repository(user)
    hub = Hub.open(tmp_path / "state" / "hub.git", repo, "main")
    sh(user, "update-ref", "refs/heads/main", sh(user, "commit-tree", "HEAD^{tree}", "-m", "x"))
    assert hub.sync_target() == sh(user, "rev-parse", "main")


def test_a_sha256_repository(tmp_path: Path) -> None:
    top = tmp_path / "sha"
    top.mkdir()
    sh(top, "init", "-q", "--object-format=sha256", "-b", "main")
    first = commit(top, {"a": "1"})
    assert len(first) == 64
    hub = Hub.open(tmp_path / "s" / "hub.git", open_repository(top), "main")
    assert hub.sync_target() == first
    again = Hub.open(tmp_path / "s" / "hub.git", open_repository(top), "main")
    assert commit(top, {"a": "2"}) == again.sync_target()


def test_questions_about_history(hub: Hub, user: Path, base: Commit) -> None:
    first = commit(user, {"a b": "1\n"}, "one")
    second = commit(user, {"README.md": "two\n"}, "two\n\nbody \x1b[31m")
    hub.sync_target()
    assert hub.is_ancestor(base, second)
    assert hub.is_ancestor(second, second)
    assert not hub.is_ancestor(second, base)
    assert hub.tree_of(second) == sh(user, "rev-parse", "HEAD^{tree}")
    assert hub.log_subjects(base, second) == ((second, "two"), (first, "one"))
    patch = hub.diff(base, second)
    assert b"+two" in patch
    assert b"a b" in patch
    assert b"+two" not in hub.diff(base, second, ("a b",))
    assert hub.diff(base, second, (":(glob)**",)) == b""
    assert not hub.exists(Commit("1" * 40))
    with pytest.raises(GitFailed):
        hub.tree_of(Commit("1" * 40))
    with pytest.raises(GitFailed):
        hub.is_ancestor(base, Commit("1" * 40))
    assert hub.is_ancestor(base, second)


def test_refs_are_its_own_only(hub: Hub, base: Commit) -> None:
    for name in (
        "refs/heads/x",
        "refs/ganger/../heads/x",
        "refs/ganger/-x",
        "HEAD",
        "refs/ganger/a b",
        "refs/ganger//x",
    ):
        with pytest.raises(AssertionError):
            hub.set_ref(name, base)
    hub.set_ref("refs/ganger/train/1", base)
    assert hub.refs("refs/ganger/train/") == {"refs/ganger/train/1": base}


def test_what_crashes_leave_is_cleared(hub: Hub, base: Commit) -> None:
    with hub.scratch() as mine:
        dead = hub.path / "ganger-scratch" / "4194399-x"
        write(dead, {"a": "1"})
        lock = hub.path / "refs/ganger/target.lock"
        lock.write_text("")
        hub.recover(time.time())
        assert lock.exists()
        assert not dead.exists()
        assert mine.exists()
        hub.recover(time.time() + 1000)
        assert not lock.exists()
        assert (hub.path / "ganger-complete").exists()
    assert list((hub.path / "ganger-scratch").iterdir()) == []


def test_many_small_packs_are_joined_and_nothing_is_lost(hub: Hub, user: Path, base: Commit) -> None:
    blobs = []
    for number in range(70):
        blob = hub.git.run("hash-object", "-w", "--stdin", input=b"%d" % number).decode().strip()
        pack = hub.objects / "pack" / "pack"
        hub.git.run("pack-objects", "-q", str(pack), input=blob.encode() + b"\n")
        blobs.append(blob)
    hub.git.run("prune-packed")
    made = commit(user, {"a": "1"})
    assert hub.sync_target() == made
    assert len(list((hub.objects / "pack").glob("*.pack"))) < 5
    found = hub.git.run("cat-file", "--batch-check=%(objecttype)", input="\n".join(blobs).encode())
    assert found.split() == [b"blob"] * 70
    hub.git.run("fsck", "--strict")
