"""Workspaces: made, committed in, snapshotted, salvaged."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from gitworld import RUN, commit, fingerprint, listing, python, sh, show, without_rights, write

from ganger.core.ids import Commit, RunId
from ganger.errors import GitFailed, WorldFailed
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.refs import candidate_ref
from ganger.git.repository import open_repository
from ganger.git.workspace import fetch_candidate, keep, snapshot

PREFIX = "refs/ganger/keep/login.1/"


def kept(refs: tuple[str, ...]) -> set[str]:
    return {ref.removeprefix(PREFIX) for ref in refs}


def message(hub: Hub, made: Commit) -> str:
    return hub.git.text("log", "-1", "--format=%B", made)


def test_a_workspace_is_an_ordinary_clean_clone(space: Path, base: Commit, user: Path) -> None:
    assert sh(space, "status", "--porcelain", "--branch") == "## ganger/login.1"
    assert sh(space, "rev-parse", "HEAD") == base
    assert sh(space, "remote") == ""
    assert sh(space, "config", "user.name") == "ganger worker login.1"
    assert sh(space, "config", "user.email") == "login.1@ganger.invalid"
    assert (space / "src/m1/f1.py").read_text() == (user / "src/m1/f1.py").read_text()
    sh(space, "fsck", "--strict")
    assert sh(space, "config", "gc.auto") == "0"
    assert list((space / ".git/hooks").iterdir()) == []
    assert not any(path.is_file() for path in (space / ".git/objects").rglob("??/*"))


def test_making_one_leaves_the_user_alone(hub: Hub, base: Commit, user: Path, tmp_path: Path) -> None:
    before = fingerprint(user)
    workspace.create(hub, tmp_path / "w" / "a.1", RunId("a.1"), base)
    assert fingerprint(user) == before


def test_nothing_half_made_is_taken_for_one(hub: Hub, space: Path, base: Commit) -> None:
    with pytest.raises(WorldFailed, match="already something"):
        workspace.create(hub, space, RUN, base)
    leftover = space.parent / f".making-{RUN}-x"
    write(leftover, {"a": "1"})
    space.rename(space.with_name("moved"))
    with pytest.raises(GitFailed):
        workspace.create(hub, space, RUN, Commit("1" * 40))
    assert not workspace.exists(space)
    workspace.create(hub, space, RUN, base)
    assert sorted(path.name for path in space.parent.iterdir()) == [RUN, "moved"]


def test_where_to_watch_for_commits(space: Path) -> None:
    for round_number in range(2):
        watched = [path for path in workspace.ref_files(space, RUN) if path.exists()]
        before = [path.stat().st_mtime_ns for path in watched]
        commit(space, {"a": str(round_number)})
        assert before != [path.stat().st_mtime_ns for path in watched]
        sh(space, "pack-refs", "--all")


def test_the_tip_is_what_the_branch_names(hub: Hub, space: Path, base: Commit, tmp_path: Path) -> None:
    assert workspace.tip(space, RUN) == base
    made = commit(space, {"a": "1"})
    assert workspace.tip(space, RUN) == made
    sh(space, "checkout", "-q", "-b", "another")
    commit(space, {"a": "2"})
    sh(space, "pack-refs", "--all")
    assert workspace.tip(space, RUN) == made
    sh(space, "branch", "-q", "-D", f"ganger/{RUN}")
    assert workspace.tip(space, RUN) is None
    assert workspace.tip(tmp_path / "none", RUN) is None


def test_what_can_be_read_as_a_workspace(space: Path, tmp_path: Path) -> None:
    assert workspace.is_readable(space)
    (tmp_path / "link").symlink_to(space)
    (tmp_path / "empty").mkdir()
    for name in ("link", "empty", "none"):
        assert not workspace.is_readable(tmp_path / name)
    (space / ".git").rename(space / "git")
    (space / ".git").symlink_to("git")
    assert not workspace.is_readable(space)


def test_a_candidate_arrives(hub: Hub, space: Path, base: Commit) -> None:
    assert fetch_candidate(hub, space, RUN) == base
    for number in range(3):
        made = commit(space, {"new.py": f"{number}\n"})
        assert fetch_candidate(hub, space, RUN) == made == hub.ref(candidate_ref(RUN))
        assert show(hub, made, "new.py") == f"{number}\n"
    sh(space, "commit", "-q", "--amend", "-m", "rewritten")
    assert fetch_candidate(hub, space, RUN) == sh(space, "rev-parse", "HEAD")
    sh(space, "gc", "-q", "--prune=now")
    sh(space, "pack-refs", "--all")
    commit(space, {"more.py": "x\n"})
    sh(space, "repack", "-q", "-a", "-d")
    assert fetch_candidate(hub, space, RUN) == sh(space, "rev-parse", "HEAD")
    hub.git.run("fsck", "--strict")
    (space / ".git").rename(space.parent / "gone")
    assert sh(hub.path, "cat-file", "-t", str(hub.ref(candidate_ref(RUN)))) == "commit"


def test_a_big_candidate_arrives(hub: Hub, space: Path) -> None:
    made = commit(space, {f"many/{n}.txt": f"{n}\n" * 3 for n in range(300)})
    assert fetch_candidate(hub, space, RUN) == made
    hub.git.run("fsck", "--strict")


def test_no_candidate(hub: Hub, space: Path) -> None:
    commit(space, {"a": "1"})
    sh(space, "checkout", "-q", "--detach")
    sh(space, "branch", "-D", "ganger/login.1")
    assert fetch_candidate(hub, space, RUN) is None
    assert fetch_candidate(hub, space / "nope", RUN) is None


def test_a_sha256_workspace(tmp_path: Path) -> None:
    top = tmp_path / "sha"
    top.mkdir()
    sh(top, "init", "-q", "--object-format=sha256", "-b", "main")
    base = commit(top, {"a": "1", "d": "1"})
    hub = Hub.open(tmp_path / "s" / "hub.git", open_repository(top), "main")
    space = tmp_path / "s" / "w"
    workspace.create(hub, space, RUN, base)
    made = commit(space, {"a": "2"})
    assert fetch_candidate(hub, space, RUN) == made
    write(space, {"b": "3"})
    (space / "d").unlink()
    assert listing(hub, snapshot(hub, space, made, "m")) == {"a", "b"}


@pytest.mark.parametrize("fault", ["missing", "corrupt", "foreign", "dotgit", "modules"])
def test_faulty_objects_do_not_arrive(hub: Hub, space: Path, base: Commit, tmp_path: Path, fault: str) -> None:
    first = commit(space, {"a": "1\n"})
    assert fetch_candidate(hub, space, RUN) == first
    made = commit(space, {"a": "2\n"})
    blob = sh(space, "rev-parse", "HEAD:a")
    place = space / ".git/objects" / blob[:2] / blob[2:]
    if fault == "missing":
        place.unlink()
    elif fault == "corrupt":
        place.chmod(0o600)
        place.write_bytes(b"x" * 30)
    elif fault == "foreign":
        (tmp_path / "foreign").mkdir()
        place.rename(tmp_path / "foreign" / "secret")
        place.symlink_to(tmp_path / "foreign" / "secret")
    elif fault == "dotgit":
        inner = sh(space, "mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
        made = plant(space, made, f"040000 tree {inner}\t.git\n")
    else:
        text = b'[submodule "x"]\n\tpath = x\n\turl = u\n\tupdate = !touch /tmp/canary\n'
        modules = sh(space, "hash-object", "-w", "--stdin", stdin=text)
        made = plant(space, made, f"100644 blob {modules}\t.gitmodules\n")
    with pytest.raises(GitFailed):
        fetch_candidate(hub, space, RUN)
    assert hub.ref(candidate_ref(RUN)) == first
    hub.git.run("fsck", "--strict")


def plant(space: Path, parent: Commit, entry: str) -> Commit:
    """Commit a tree that git itself would refuse to make."""
    tree = sh(space, "mktree", "--missing", stdin=(sh(space, "ls-tree", "HEAD") + "\n" + entry).encode())
    made = sh(space, "commit-tree", tree, "-p", parent, "-m", "planted")
    sh(space, "update-ref", "refs/heads/ganger/login.1", made)
    return Commit(made)


def test_objects_of_other_repositories_stay_out(hub: Hub, space: Path, base: Commit, tmp_path: Path) -> None:
    """An agent that knows an object id of a private repository cannot have ganger fetch it through alternates."""
    private = tmp_path / "private"
    private.mkdir()
    sh(private, "init", "-q")
    secret = commit(private, {"secret": "key\n"})
    with (space / ".git/objects/info/alternates").open("a") as file:
        file.write(f"{private}/.git/objects\n")
    sh(space, "update-ref", "refs/heads/ganger/login.1", secret)
    with pytest.raises(GitFailed):
        fetch_candidate(hub, space, RUN)
    assert not hub.exists(secret)
    assert "head" not in kept(keep(hub, space, RUN))
    assert not hub.exists(secret)


def test_a_snapshot_holds_what_is_there(hub: Hub, space: Path, base: Commit, user: Path) -> None:
    assert snapshot(hub, space, base, "m") == base
    (space / "README.md").unlink()
    (space / "src/m1/f1.py").chmod(0o755)
    (space / "src/m2/f2.py").unlink()
    (space / "src/m2/f2.py").symlink_to("/etc/passwd")
    write(space, {"new/deep/x": "1\n", "ignored.log": "x", "tests/test_a.py": "changed\n"})
    before = fingerprint(space)
    made = snapshot(hub, space, base, "Uncommitted")
    assert fingerprint(space) == before
    assert listing(hub, made) == listing(hub, base) - {"README.md"} | {"new/deep/x"}
    modes = hub.git.text("ls-tree", "-r", made)
    assert "100755 blob" in next(line for line in modes.splitlines() if line.endswith("f1.py"))
    assert "120000 blob" in next(line for line in modes.splitlines() if line.endswith("f2.py"))
    assert show(hub, made, "src/m2/f2.py") == "/etc/passwd"
    assert show(hub, made, "tests/test_a.py") == "changed\n"
    assert hub.git.text("log", "-1", "--format=%an %ae %cn %ce|%P|%s", made) == (
        f"ganger ganger@localhost ganger ganger@localhost|{base}|Uncommitted"
    )
    assert snapshot(hub, space, base, "Uncommitted") == made
    sh(space, "add", "-A")
    assert hub.tree_of(made) == sh(space, "write-tree")


def test_files_and_directories_that_change_places(hub: Hub, space: Path, base: Commit) -> None:
    (space / "README.md").unlink()
    write(space, {"README.md/inner": "1"})
    for file in (space / "src/m1").iterdir():
        file.unlink()
    (space / "src/m1").rmdir()
    write(space, {"src/m1": "a file now\n"})
    (space / "src/m2/f2.py").rename(space / "f2")
    (space / "src/m2").rmdir()
    (space / "src/m2").symlink_to("/etc")
    made = snapshot(hub, space, base, "m")
    expected = listing(hub, base) - {"README.md", "src/m1/f1.py", "src/m2/f2.py"}
    assert listing(hub, made) == expected | {"README.md/inner", "src/m1", "src/m2", "f2"}
    assert show(hub, made, "src/m2") == "/etc"


def test_odd_things_do_not_stop_a_snapshot(
    hub: Hub, space: Path, base: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [
        b"new\nline",
        b"\xff\xfe",
        b"tab\t",
        b"esc\x1b[31m",
        b'quo"te',
        b"back\\slash",
        b"-dash",
        b" space ",
        b":(top)x",
    ]
    for name in odd:
        (space / os.fsdecode(name)).write_text("odd\n")
    os.mkfifo(space / "pipe")
    (space / "README.md").unlink()
    os.mkfifo(space / "README.md")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(space)  # a socket's whole path must fit into 107 bytes
        server.bind("sock")
        made = snapshot(hub, space, base, "m")
    assert listing(hub, made) == listing(hub, base) - {"README.md"} | {os.fsdecode(name) for name in odd}
    assert "Left-Out: README.md (not a file, directory or link)" in message(hub, made)


def test_unreadable_files_are_named_and_the_rest_is_taken(hub: Hub, space: Path, base: Commit, user: Path) -> None:
    write(space, {"secret": "x", "closed/inner": "x", "fine": "y\n", "README.md": "changed"})
    for name in ("secret", "closed", "README.md"):
        (space / name).chmod(0o000)
    script = (
        "import pathlib; from ganger.git import hub, repository, workspace\n"
        f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
        f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
        f"print(workspace.snapshot(h, pathlib.Path({str(space)!r}), {base!r}, 'm'))\n"
    )
    made = Commit(without_rights(script).strip())
    assert listing(hub, made) == listing(hub, base) | {"fine"}
    said = message(hub, made)
    assert "Left-Out: secret (Permission denied)" in said
    assert "Left-Out: README.md (Permission denied)" in said
    assert "closed" in said
    for name in ("secret", "closed", "README.md"):
        (space / name).chmod(0o700)


def test_embedded_repositories_are_taken_as_files(hub: Hub, space: Path, base: Commit) -> None:
    for place in ("vendor/lib", "vendor/lib/sub/deeper", "plain"):
        (space / place).mkdir(parents=True)
        sh(space / place, "init", "-q")
        commit(space / place, {"code.c": place, ".gitignore": "*.o\n", "x.o": "ignored"})
    write(space, {"empty-repo/a": "1"})
    sh(space / "empty-repo", "init", "-q")
    made = snapshot(hub, space, base, "m")
    new = listing(hub, made) - listing(hub, base)
    places = ("vendor/lib", "vendor/lib/sub/deeper", "plain")
    assert new == {f"{place}/{name}" for place in places for name in ("code.c", ".gitignore")} | {"empty-repo/a"}
    assert "160000" not in hub.git.text("ls-tree", "-r", made)


def test_submodules_stay_what_they_were_unless_everything_is_wanted(
    hub: Hub, user: Path, tmp_path: Path, space: Path
) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    sh(lib, "init", "-q")
    commit(lib, {"lib.c": "1"})
    sh(user, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib), "libs/one")
    sh(user, "commit", "-q", "-m", "submodule")
    base = hub.sync_target()
    path = tmp_path / "state" / "workspaces" / "sub.1"
    workspace.create(hub, path, RunId("sub.1"), base)
    assert snapshot(hub, path, base, "m") == base
    assert snapshot(hub, path, base, "m", whole=True) == base
    sh(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    commit(path / "libs/one", {"lib.c": "2", "more.c": "3"})
    write(path, {"x": "1"})
    made = snapshot(hub, path, base, "m")
    assert listing(hub, made) == listing(hub, base) | {"x"}
    assert "Left-Out: libs/one (a submodule: its commit stays as it was)" in message(hub, made)
    everything = snapshot(hub, path, base, "m", whole=True)
    assert listing(hub, everything) == listing(hub, base) - {"libs/one"} | {"x", "libs/one/lib.c", "libs/one/more.c"}
    assert show(hub, everything, "libs/one/lib.c") == "2"


def test_line_ends_are_converted_as_the_tree_says(hub: Hub, space: Path, base: Commit) -> None:
    made = commit(
        space, {".gitattributes": "*.txt text eol=crlf\n*.bad working-tree-encoding=UTF-16\n", "a.txt": "1\n"}
    )
    assert fetch_candidate(hub, space, RUN) == made
    (space / "a.txt").write_bytes(b"1\r\n2\r\n")
    assert show(hub, snapshot(hub, space, made, "m"), "a.txt") == "1\n2\n"
    (space / "x.bad").write_bytes(b"odd")
    unconverted = snapshot(hub, space, made, "m")
    assert show(hub, unconverted, "x.bad") == "odd"
    assert show(hub, unconverted, "a.txt") == "1\r\n2\r\n"


def test_everything_is_kept(hub: Hub, space: Path, base: Commit) -> None:
    head = commit(space, {"committed": "1\n"})
    write(space, {"stashed": "first\n"})
    sh(space, "stash", "-q", "-u")
    write(space, {"stashed": "second\n"})
    sh(space, "stash", "-q", "-u")
    stashes = sh(space, "rev-list", "-g", "stash").split()
    sh(space, "checkout", "-q", "-b", "side/line")
    side = commit(space, {"side": "1\n"})
    sh(space, "checkout", "-q", "--detach")
    detached = commit(space, {"detached": "1\n"})
    write(space, {"untracked": "u\n", "committed": "dirty\n"})
    refs = keep(hub, space, RUN)
    assert kept(refs) == {"head", "checked-out", "other-1", "other-2", "other-3", "tree"}
    found = hub.refs(PREFIX)
    assert found[PREFIX + "head"] == head
    assert found[PREFIX + "checked-out"] == detached
    assert {found[PREFIX + f"other-{n}"] for n in (1, 2, 3)} == {side, *stashes}
    assert show(hub, found[PREFIX + "tree"], "untracked") == "u\n"
    assert show(hub, found[PREFIX + "tree"], "committed") == "dirty\n"
    space.rename(space.with_name("elsewhere"))
    hub.git.run("fsck", "--strict")
    assert keep(hub, space, RUN) == ()


def test_keeping_again_loses_nothing(hub: Hub, space: Path, base: Commit) -> None:
    commit(space, {"a": "1\n"})
    write(space, {"b": "first\n"})
    first = keep(hub, space, RUN)
    before = hub.refs(PREFIX)
    assert keep(hub, space, RUN) == first
    assert hub.refs(PREFIX) == before
    write(space, {"b": "second\n"})
    assert kept(keep(hub, space, RUN)) == {"head", "tree-2"}
    sh(space, "commit", "-q", "--amend", "-m", "other")
    assert kept(keep(hub, space, RUN)) == {"head-2", "tree-3"}
    after = hub.refs(PREFIX)
    assert before.items() <= after.items()
    assert {show(hub, after[PREFIX + name], "b") for name in ("tree", "tree-2", "tree-3")} == {"first\n", "second\n"}


@pytest.mark.parametrize("broken", ["no-git", "git-file", "git-link", "head", "objects", "refs-loop", "empty"])
def test_a_broken_workspace_is_kept_as_far_as_possible(
    hub: Hub, space: Path, base: Commit, tmp_path: Path, broken: str
) -> None:
    commit(space, {"a": "1\n"})
    write(space, {"b": "2\n"})
    git_dir = space / ".git"
    if broken == "head":
        (git_dir / "HEAD").write_bytes(b"\xff\x00garbage")
        (git_dir / "refs/heads/ganger/login.1").write_text("1" * 40 + "\n")
    elif broken == "objects":
        (git_dir / "objects").rename(tmp_path / "objects")
        (git_dir / "objects").write_text("x")
    elif broken == "refs-loop":
        (git_dir / "HEAD").write_text("ref: refs/heads/loop\n")
        (git_dir / "refs/heads/loop").write_text("ref: refs/heads/loop\n")
    else:
        git_dir.rename(tmp_path / "moved")
        if broken == "git-file":
            git_dir.write_text(f"gitdir: {tmp_path}/moved\n")
        elif broken == "git-link":
            git_dir.symlink_to(tmp_path / "moved")
        elif broken == "empty":
            for file in ("a", "b"):
                (space / file).unlink()
    refs = keep(hub, space, RUN)
    assert "tree" in kept(refs)
    assert ("head" in kept(refs)) == (broken == "refs-loop")
    expected = set() if broken == "empty" else {"a", "b"}
    assert listing(hub, hub.refs(PREFIX)[PREFIX + "tree"]) >= expected


def test_a_failing_hub_is_an_error(hub: Hub, space: Path) -> None:
    write(space, {"b": "2\n"})
    (hub.path / "refs/ganger/keep").write_text("in the way")
    with pytest.raises(GitFailed):
        keep(hub, space, RUN)


def corrupt(space: Path, name: str) -> None:
    """Spoil the loose object that a revision of the workspace names."""
    found = sh(space, "rev-parse", name)
    place = space / ".git/objects" / found[:2] / found[2:]
    place.chmod(0o600)
    place.write_bytes(b"x" * 30)


def worked_in(space: Path) -> None:
    """Leave a commit, a branch whose only new file is corrupt, and a file that is not committed."""
    commit(space, {f"many/{n}.txt": f"{n}\n" for n in range(60)})
    sh(space, "checkout", "-q", "-b", "side")
    commit(space, {"side": "spoilt\n"})
    sh(space, "checkout", "-q", f"ganger/{RUN}")
    corrupt(space, "side:side")
    write(space, {"b": "2\n"})


def test_faulty_objects_of_a_branch_do_not_stop_the_rest(hub: Hub, space: Path) -> None:
    worked_in(space)
    assert kept(keep(hub, space, RUN)) == {"head", "tree"}
    hub.git.run("fsck", "--strict")


@pytest.mark.parametrize("name", ["head", "other-1", "tree"])
def test_a_locked_ref_is_an_error_whatever_else_is_at_fault(hub: Hub, space: Path, name: str) -> None:
    worked_in(space)
    sh(space, "branch", "good", "HEAD~1")
    commit(space, {"c": "3\n"})
    write(space, {"b": "3\n"})
    hub.git.run("config", "core.filesRefLockTimeout", "50")
    lock = hub.path / PREFIX / f"{name}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with pytest.raises(GitFailed) as failed:
        keep(hub, space, RUN)
    assert str(lock) in failed.value.stderr
    lock.unlink()
    assert kept(keep(hub, space, RUN)) >= {"head", "tree"}
    assert show(hub, hub.refs(PREFIX)[PREFIX + "tree"], "b") == "3\n"


HARD_TIMES = {
    "refs": ("(h.path / 'refs/ganger').chmod(0o500)", "(h.path / 'refs/ganger').chmod(0o700)"),
    "objects": (
        "[p.chmod(0o500) for p in [h.objects, *h.objects.iterdir()]]",
        "[p.chmod(0o700) for p in [h.objects, *h.objects.iterdir()]]",
    ),
    "unreadable": (
        "[p.chmod(0) for p in (h.objects / 'pack').iterdir()]",
        "[p.chmod(0o600) for p in (h.objects / 'pack').iterdir()]",
    ),
    "scratch": ("resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))", "..."),
    "pack": ("resource.setrlimit(resource.RLIMIT_FSIZE, (2000, most))", "..."),
}
"""How a hub fails, and how that ends: its refs cannot be written, its objects, or not be read; its disk is full."""


@pytest.mark.parametrize("how", HARD_TIMES)
def test_what_fails_on_the_side_of_the_hub_is_an_error(hub: Hub, space: Path, user: Path, how: str) -> None:
    worked_in(space)
    before, after = HARD_TIMES[how]
    hub.git.run("repack", "-q", "-a", "-d")
    said = without_rights(
        "import pathlib, resource; from ganger.errors import GangerError\n"
        "from ganger.git import hub, repository, workspace\n"
        f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
        f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        f"{before}\n"
        "try:\n"
        f"    print('kept', workspace.keep(h, pathlib.Path({str(space)!r}), '{RUN}'))\n"
        "except GangerError as error:\n"
        "    print(type(error).__name__, error)\n"
        f"{after}\n"
    )
    assert said.startswith("WorldFailed" if how == "scratch" else "GitFailed"), said
    assert kept(keep(hub, space, RUN)) == {"head", "tree"}


def test_files_are_not_left_out_because_the_disk_is_full(hub: Hub, space: Path, user: Path) -> None:
    write(space, {"long": "x" * 9_000})
    said = python(
        "import pathlib, resource; from ganger.errors import WorldFailed\n"
        "from ganger.git import hub, repository, workspace\n"
        f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
        f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "try:\n"
        f"    print('kept', workspace.keep(h, pathlib.Path({str(space)!r}), '{RUN}'))\n"
        "except WorldFailed as error:\n"
        "    print(error)\n"
    )
    assert "File too large" in said
    keep(hub, space, RUN)
    assert show(hub, hub.refs(PREFIX)[PREFIX + "tree"], "long") == "x" * 9_000


def test_a_crash_at_each_step_of_keeping_loses_nothing(hub: Hub, space: Path, user: Path) -> None:
    head = commit(space, {"a": "1\n"})
    write(space, {"b": "2\n"})
    for number in range(1, 14):
        script = (
            "import os, pathlib, sys; from ganger.git import hub, repository, workspace\n"
            f"repo = repository.open_repository(pathlib.Path({str(user)!r}))\n"
            f"h = hub.Hub.open(pathlib.Path({str(hub.path)!r}), repo, 'main')\n"
            f"left = {number}\n"
            "def dying(event, args):\n"
            "    global left\n"
            "    if event in ('subprocess.Popen', 'os.mkdir', 'os.rename', 'os.remove'):\n"
            "        left -= 1\n"
            "        if left == 0: os._exit(0)\n"
            "sys.addaudithook(dying)\n"
            f"workspace.keep(h, pathlib.Path({str(space)!r}), 'login.1')\n"
        )
        python(script)
        assert kept(keep(hub, space, RUN)) == {"head", "tree"}
        found = hub.refs(PREFIX)
        assert set(found) == {PREFIX + "head", PREFIX + "tree"}
        assert found[PREFIX + "head"] == head
        for ref in found:
            hub.git.run("update-ref", "-d", ref)
