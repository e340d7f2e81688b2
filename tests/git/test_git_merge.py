"""Trees that ganger makes: check-outs, verified trees, combined candidates."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from gitworld import RUN, commit, listing, sh, show, write

from ganger.core.ids import Commit, RunId
from ganger.errors import WorldFailed
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.merge import NO_COMMON_HISTORY, checkout_tree, combine, with_protected_from
from ganger.git.trees import Entry, edit_tree
from ganger.git.workspace import fetch_candidate


def is_protected(path: str) -> bool:
    return path.startswith((".github/", "conf")) or path.endswith("conftest.py")


def is_test(path: str) -> bool:
    return path.rpartition("/")[2].startswith("test_")


def candidate(hub: Hub, base: Commit, run: str, root: Path, files: dict[str, str]) -> Commit:
    """Let a run change files; return its candidate."""
    space = root / "runs" / run
    workspace.create(hub, space, RunId(run), base)
    commit(space, files, f"work of {run}")
    made = fetch_candidate(hub, space, RunId(run))
    assert made is not None
    return made


def test_a_checkout_is_exactly_the_tree(hub: Hub, space: Path, base: Commit, tmp_path: Path) -> None:
    (space / "link").symlink_to("/etc/passwd")
    (space / os.fsdecode(b"odd\n\xff")).write_text("odd")
    (space / "README.md").chmod(0o755)
    made = commit(space, {"src/new.py": "x\n"})
    fetch_candidate(hub, space, RUN)
    into = tmp_path / "scratch" / "one"
    checkout_tree(hub, made, into)
    found = {str(path.relative_to(into)) for path in into.rglob("*") if not path.is_dir() or path.is_symlink()}
    assert found == listing(hub, made)
    assert (into / "link").is_symlink()
    assert os.access(into / "README.md", os.X_OK)
    assert not os.access(into / "src/new.py", os.X_OK)
    with pytest.raises(WorldFailed, match="not empty"):
        checkout_tree(hub, made, into)


def test_a_checkout_does_not_leave_its_directory(hub: Hub, space: Path, base: Commit, tmp_path: Path) -> None:
    """A tree whose link and directory share a name must not write through the link."""
    target = tmp_path / "outside"
    target.mkdir()
    blob = sh(space, "hash-object", "-w", "--stdin", stdin=str(target).encode())
    inner = sh(space, "mktree", stdin=f"100644 blob {blob}\tplanted\n".encode())
    tree = sh(space, "mktree", stdin=f"120000 blob {blob}\tdir\n040000 tree {inner}\tdir2\n".encode())
    made = Commit(sh(space, "commit-tree", tree, "-p", base, "-m", "x"))
    sh(space, "update-ref", "refs/heads/ganger/login.1", made)
    fetch_candidate(hub, space, RUN)
    checkout_tree(hub, made, tmp_path / "co")
    assert list(target.iterdir()) == []


@pytest.fixture
def verified(hub: Hub, user: Path) -> Commit:
    """A base with protected files and tests."""
    files = {"conftest.py": "base\n", ".github/ci.yml": "base\n", "conf/a": "base\n", "conf/b": "base\n"}
    commit(user, files | {"tests/test_b.py": "base\n", "tests/sub/conftest.py": "base\n", "tests/data": "base\n"})
    return hub.sync_target()


def test_the_verifier_comes_from_the_base(hub: Hub, verified: Commit, tmp_path: Path) -> None:
    space = tmp_path / "w"
    workspace.create(hub, space, RUN, verified)
    for gone in ("tests/test_a.py", "tests/test_b.py", "conf/a", "conf/b", "tests/data"):
        (space / gone).unlink()
    (space / "conf").rmdir()
    (space / ".github/ci.yml").chmod(0o755)
    changes = {"conf": "a file in the way\n", "conftest.py": "evil\n", "src/conftest.py": "added\n"}
    changes |= {"tests/test_c.py": "new test\n", "src/m1/f1.py": "work\n", "src/deep/er/conftest.py": "added\n"}
    made = commit(space, changes)
    assert fetch_candidate(hub, space, RUN) == made
    tree = with_protected_from(hub, hub.tree_of(made), hub.tree_of(verified), is_protected, is_test)
    assert listing(hub, tree) == listing(hub, verified) - {"tests/data"} | {"tests/test_c.py"}
    assert {show(hub, tree, name) for name in ("conftest.py", "conf/a", "conf/b", "tests/sub/conftest.py")} == {
        "base\n"
    }
    assert show(hub, tree, "src/m1/f1.py") == "work\n"
    assert show(hub, tree, "tests/test_b.py") == "base\n"
    assert "100644 blob" in hub.git.text("ls-tree", tree, ".github/ci.yml")
    again = with_protected_from(hub, tree, hub.tree_of(verified), is_protected, is_test)
    assert again == tree
    hub.git.run("fsck", "--strict")


def test_an_untouched_verifier_changes_nothing(hub: Hub, verified: Commit, tmp_path: Path) -> None:
    made = candidate(hub, verified, "a.1", tmp_path, {"src/m1/f1.py": "x\n", "tests/test_a.py": "changed test\n"})
    tree = hub.tree_of(made)
    assert with_protected_from(hub, tree, hub.tree_of(verified), is_protected, is_test) == tree
    assert with_protected_from(hub, verified, verified, lambda _: True, lambda _: True) == verified


def test_editing_trees_is_as_good_as_an_index(hub: Hub, base: Commit, tmp_path: Path) -> None:
    """Random edits, compared with git's own index."""
    chance = random.Random(7)
    names = [b"a", b"b", b"a.b", b"a-b", b"a0", b"new\nline", b"\xff", b"sp ace"]
    blob = Commit(hub.git.run("hash-object", "-w", "--stdin", input=b"x").decode().strip())
    tree = hub.tree_of(base)
    index = hub.git.with_index(tmp_path / "index", tmp_path)
    for _ in range(40):
        paths = {b"/".join(chance.choices(names, k=chance.randint(1, 3))) for _ in range(6)}
        sets = {path for path in paths if not any(other.startswith(path + b"/") for other in paths)}
        edits = {path: Entry(chance.choice(("100644", "100755", "120000")), blob) for path in sets}
        removed = [os.fsencode(path) for path in chance.sample(sorted(listing(hub, tree)), k=2)]
        removed = [path for path in removed if path not in edits]
        index.run("read-tree", tree)
        lines = b"".join(b"0 " + b"0" * 40 + b"\t" + path + b"\0" for path in removed)
        lines += b"".join(f"{entry.mode} {entry.oid}\t".encode() + path + b"\0" for path, entry in edits.items())
        index.run("update-index", "-z", "--add", "--replace", "--index-info", input=lines)
        expected = index.text("write-tree")
        tree = edit_tree(hub, tree, {**dict.fromkeys(removed), **edits})
        assert tree == expected, hub.git.text("diff-tree", "-r", tree, expected)
    emptied = edit_tree(hub, tree, {os.fsencode(path): None for path in listing(hub, tree)})
    assert emptied == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    hub.git.run("fsck", "--strict")


def test_its_price_is_that_of_the_difference(hub: Hub, base: Commit) -> None:
    """Directories that are equal on both sides are not even looked at: it works when they are not there."""
    blobs = [hub.git.run("hash-object", "-w", "--stdin", input=text).decode().strip() for text in (b"base", b"new")]
    trees = []
    for blob in blobs:
        inner = f"040000 tree {'1' * 40}\tgone\n100644 blob {blob}\tconftest.py\n100644 blob {blob}\twork.py\n"
        below = hub.git.run("mktree", "--missing", input=inner.encode()).decode().strip()
        outer = f"040000 tree {'2' * 40}\tgone\n040000 tree {below}\ttests\n"
        trees.append(Commit(hub.git.run("mktree", "--missing", input=outer.encode()).decode().strip()))
    tree = with_protected_from(hub, trees[1], trees[0], is_protected, is_test)
    assert show(hub, tree, "tests/conftest.py") == "base"
    assert show(hub, tree, "tests/work.py") == "new"
    assert hub.git.text("rev-parse", f"{tree}:gone") == "2" * 40


def test_candidates_are_combined_in_order(hub: Hub, base: Commit, tmp_path: Path) -> None:
    first = candidate(hub, base, "a.1", tmp_path, {"src/m1/f1.py": "one\n", "a": "1\n"})
    second = candidate(hub, base, "b.1", tmp_path, {"src/m2/f2.py": "two\n"})
    clash = candidate(hub, base, "c.1", tmp_path, {"src/m1/f1.py": "other\n", "a": "2\n", "c": "3\n"})
    train = [
        (RunId("a.1"), first, "Land a: First\n\nGanger-Item: a\nGanger-Run: a.1"),
        (RunId("c.1"), clash, "Land c: Clash"),
        (RunId("b.1"), second, "Land b: Second"),
    ]
    made = combine(hub, base, train, 1_700_000_000_123)
    assert made.merged == ("a.1", "b.1")
    assert made.conflicts == {"c.1": ("a", "src/m1/f1.py")}
    assert made.tree == hub.tree_of(made.commit)
    assert show(hub, made.commit, "src/m1/f1.py") == "one\n"
    assert show(hub, made.commit, "src/m2/f2.py") == "two\n"
    assert hub.is_ancestor(first, made.commit)
    assert not hub.is_ancestor(clash, made.commit)
    shown = hub.git.text("log", "--first-parent", "--format=%P|%s|%an|%at", f"{base}..{made.commit}").splitlines()
    top = hub.git.text("rev-parse", f"{made.commit}^1")
    assert shown == [
        f"{top} {second}|Land b: Second|ganger|1700000000",
        f"{base} {first}|Land a: First|ganger|1700000000",
    ]
    assert hub.git.text("log", "-1", "--format=%(trailers:key=Ganger-Run,valueonly)", top) == "a.1"
    assert combine(hub, base, train, 1_700_000_000_123) == made
    assert combine(hub, base, train, 1_700_000_001_123).commit != made.commit


def test_a_single_candidate_is_a_merge_commit_too(hub: Hub, base: Commit, tmp_path: Path) -> None:
    one = candidate(hub, base, "a.1", tmp_path, {"a": "1\n"})
    made = combine(hub, base, [(RunId("a.1"), one, "Land a: A")], 5000)
    assert hub.git.text("log", "-1", "--format=%P", made.commit) == f"{base} {one}"
    assert made.tree == hub.tree_of(one)


def test_nothing_to_combine(hub: Hub, base: Commit, tmp_path: Path) -> None:
    empty = combine(hub, base, [], 0)
    assert (empty.commit, empty.tree, empty.merged, empty.conflicts) == (base, hub.tree_of(base), (), {})
    clash = candidate(hub, base, "a.1", tmp_path, {"README.md": "a\n"})
    other = candidate(hub, base, "b.1", tmp_path, {"README.md": "b\n"})
    alone = combine(hub, clash, [(RunId("b.1"), other, "x")], 0)
    assert (alone.commit, alone.merged, alone.conflicts) == (clash, (), {"b.1": ("README.md",)})


def test_unrelated_and_odd_conflicts(hub: Hub, space: Path, base: Commit, user: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\n\xff")
    write(space, {odd: "ours\n"})
    made = commit(space, {})
    fetch_candidate(hub, space, RUN)
    other = candidate(hub, base, "b.1", tmp_path, {odd: "theirs\n"})
    assert combine(hub, made, [(RunId("b.1"), other, "x")], 0).conflicts == {"b.1": ("odd\n\\xff",)}
    sh(user, "checkout", "-q", "--orphan", "fresh")
    commit(user, {"z": "1"})
    sh(user, "branch", "-f", "main")
    moved = hub.sync_target()
    assert combine(hub, moved, [(RUN, made, "x")], 0).conflicts == {RUN: (NO_COMMON_HISTORY,)}
