"""Beginning with the user's uncommitted work: what is frozen, and what a run then has changed itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitworld import RUN, commit, fingerprint, listing, sh, show, write

from ganger.core.ids import Commit
from ganger.errors import RepositoryError
from ganger.git import seeding, workspace
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.merge import combine


def dirty(user: Path) -> None:
    """Leave work of every sort: staged, changed, both, removed, renamed, untracked, ignored, a mode, a link."""
    write(user, {"src/m0/f0.py": "staged\n"})
    sh(user, "add", "src/m0/f0.py")
    write(user, {"src/m0/f0.py": "staged and changed\n", "README.md": "# mine\n", "new/deep.txt": "untracked\n"})
    write(user, {"ignored.log": "log\n", "secret.env": "key\n"})
    (user / ".git/info").mkdir(exist_ok=True)
    (user / ".git/info/exclude").write_text("secret.env\n")
    (user / "src/m1/f1.py").unlink()
    (user / "src/m2/f2.py").rename(user / "src/m2/renamed.py")
    (user / "src/m3/f3.py").chmod(0o755)
    (user / "link").symlink_to("README.md")


@pytest.fixture
def seed(hub: Hub, user: Path, base: Commit) -> Commit:
    dirty(user)
    found = seeding.freeze(hub)
    assert found is not None
    return found


def is_object(path: str) -> bool:
    """Objects are left out: git renews the time of one that it would have written, wherever it finds it."""
    return path.startswith(".git/objects/")


def test_exactly_the_uncommitted_work_is_frozen_and_nothing_is_written(hub: Hub, user: Path, base: Commit) -> None:
    dirty(user)
    before, objects = fingerprint(user, is_object), set((user / ".git/objects").rglob("*"))
    seed = seeding.freeze(hub)
    assert seed is not None
    assert fingerprint(user, is_object) == before
    assert seeding.parent_of(hub, seed) == base
    assert {(change.status, change.path) for change in changed_paths(hub, base, seed)} == {
        ("M", "src/m0/f0.py"),
        ("M", "README.md"),
        ("A", "new/deep.txt"),
        ("D", "src/m1/f1.py"),
        ("D", "src/m2/f2.py"),
        ("A", "src/m2/renamed.py"),
        ("M", "src/m3/f3.py"),
        ("A", "link"),
    }
    assert show(hub, seed, "src/m0/f0.py") == "staged and changed\n"
    assert set((user / ".git/objects").rglob("*")) == objects
    assert seeding.freeze(hub) == seed, "the same files are the same commit"
    assert hub.refs("refs/ganger/seed/") == {f"refs/ganger/seed/{seed}": seed}


def test_the_configuration_of_the_user_says_what_is_ignored_and_converted(hub: Hub, user: Path) -> None:
    sh(user, "config", "core.autocrlf", "true")
    (user / "README.md").write_bytes(b"# hello\r\n")
    assert seeding.freeze(hub) is None, "only line ends that git would convert differ"
    (user / "README.md").write_bytes(b"# more\r\n")
    seed = seeding.freeze(hub)
    assert seed is not None
    assert show(hub, seed, "README.md") == "# more\n"


def test_a_clean_tree_is_no_seed_and_one_without_a_commit_is_refused(hub: Hub, user: Path) -> None:
    assert seeding.freeze(hub) is None
    sh(user, "checkout", "-q", "--orphan", "fresh")
    with pytest.raises(RepositoryError, match="has no commit checked out"):
        seeding.freeze(hub)


def test_what_the_worker_changed_is_only_its_own(hub: Hub, seed: Commit, base: Commit, tmp_path: Path) -> None:
    space = tmp_path / "state/workspaces" / RUN
    began = seeding.baseline(hub, RUN, base, seed)
    workspace.create(hub, space, RUN, began)
    assert (space / "src/m0/f0.py").read_text() == "staged and changed\n"
    assert (space / "new/deep.txt").read_text() == "untracked\n"
    assert not (space / "ignored.log").exists()
    assert not (space / "secret.env").exists()
    commit(space, {"src/m7/f7.py": "its own\n", "more.py": "new\n"})
    handed_in = workspace.fetch_candidate(hub, space, RUN)
    assert handed_in is not None
    own, entangled = seeding.own_change(hub, RUN, base, handed_in)
    assert entangled == ()
    assert {change.path for change in changed_paths(hub, base, own)} == {"src/m7/f7.py", "more.py"}
    assert hub.is_ancestor(base, own)
    assert hub.diff(base, own) == hub.diff(began, handed_in), "byte for byte the worker's own"
    assert combine(hub, base, [(RUN, own, "Land")], 1000).tree == hub.tree_of(own)
    assert seeding.own_change(hub, RUN, base, began) == (base, ())


def test_lines_that_both_changed_are_named(hub: Hub, seed: Commit, base: Commit, tmp_path: Path) -> None:
    space = tmp_path / "state/workspaces" / RUN
    workspace.create(hub, space, RUN, seeding.baseline(hub, RUN, base, seed))
    made = commit(space, {"src/m0/f0.py": "on top of the uncommitted\n", "new/deep.txt": "changed\n", "x.py": "x\n"})
    workspace.fetch_candidate(hub, space, RUN)
    own, entangled = seeding.own_change(hub, RUN, base, made)
    assert set(entangled) == {"src/m0/f0.py", "new/deep.txt"}
    assert {change.path for change in changed_paths(hub, base, own)} >= {"x.py"}


def test_a_candidate_that_left_its_baseline_is_taken_as_it_is(
    hub: Hub, seed: Commit, base: Commit, tmp_path: Path
) -> None:
    space = tmp_path / "state/workspaces" / RUN
    workspace.create(hub, space, RUN, seeding.baseline(hub, RUN, base, seed))
    sh(space, "reset", "-q", "--hard", base)
    made = commit(space, {"x.py": "x\n"})
    workspace.fetch_candidate(hub, space, RUN)
    assert seeding.own_change(hub, RUN, base, made) == (made, ())
    other = hub.refs("refs/ganger/seeded/")
    assert list(other) == [f"refs/ganger/seeded/{RUN}"]


def test_a_target_that_moved_meanwhile_is_begun_from_with_what_fits(hub: Hub, seed: Commit, user: Path) -> None:
    moved = combine_on_main(hub, user, {"src/m0/f0.py": "landed\n", "src/m4/f4.py": "landed\n"})
    began = seeding.baseline(hub, RUN, moved, seed)
    assert show(hub, began, "src/m0/f0.py") == "landed\n"
    assert show(hub, began, "src/m4/f4.py") == "landed\n"
    assert show(hub, began, "README.md") == "# mine\n"
    assert "Left-Out: src/m0/f0.py (conflicts with the target)" in hub.git.text("log", "-1", "--format=%B", began)
    assert seeding.parent_of(hub, began) == moved


def combine_on_main(hub: Hub, user: Path, files: dict[str, str]) -> Commit:
    """Let the target move without touching the user's work tree."""
    other = user.parent / "clone"
    sh(user.parent, "clone", "-q", str(user), str(other))
    made = commit(other, files)
    sh(user, "fetch", "-q", str(other), "main")
    sh(user, "update-ref", "refs/heads/main", made)
    assert hub.sync_target() == made
    return made


def test_a_checkpoint_is_put_back_onto_the_baseline(hub: Hub, seed: Commit, base: Commit, tmp_path: Path) -> None:
    space = tmp_path / "state/workspaces" / RUN
    began = seeding.baseline(hub, RUN, base, seed)
    workspace.create(hub, space, RUN, began)
    made = commit(space, {"x.py": "x\n"})
    workspace.fetch_candidate(hub, space, RUN)
    own, _ = seeding.own_change(hub, RUN, base, made)
    again = seeding.begun_again(hub, RUN, base, own)
    assert hub.is_ancestor(began, again)
    assert listing(hub, again) == listing(hub, made)
    assert seeding.begun_again(hub, RUN, base, base) == began
    repeated, entangled = seeding.own_change(hub, RUN, base, again)
    assert (hub.tree_of(repeated), entangled) == (hub.tree_of(own), ())


def test_a_run_that_was_not_seeded_is_as_ever(hub: Hub, space: Path, base: Commit) -> None:
    made = commit(space, {"x.py": "x\n"})
    workspace.fetch_candidate(hub, space, RUN)
    assert seeding.own_change(hub, RUN, base, made) == (made, ())
    assert seeding.begun_again(hub, RUN, base, made) == made
