"""Beginning with the user's uncommitted work: frozen as a baseline, so that a worker's change is only its own.

The user's checkout is only read: its index is copied, and what git makes of the files goes into a directory of ours,
by the user's own configuration, since it is they who say what is ignored and how files are converted.
"""

from __future__ import annotations

import os
from pathlib import Path

from ganger.core.ids import Commit, RunId
from ganger.errors import GitFailed, RepositoryError
from ganger.git.beneath import copy_file, directory
from ganger.git.changes import ABSENT_MODE, changed_paths, path_text
from ganger.git.command import Git, UserGit, oid
from ganger.git.hub import Hub
from ganger.git.quarantine import format_config
from ganger.git.refs import seed_ref, seeded_ref
from ganger.git.snapshot import commit_tree
from ganger.git.trees import Edits, Entry, edit_tree

INDEX_BYTES_MAX = 1 << 30
SEED_TIMEOUT_S = 600
_MESSAGE = "Uncommitted work of {whose}\n\nIt is not part of what is handed in, and does not land.\n"


def freeze(hub: Hub) -> Commit | None:
    """Return a commit of the user's work tree on its HEAD: tracked changes and untracked, not ignored files.

    The hub keeps it as `refs/ganger/seed/<commit>`; the same files give the same commit. None when nothing differs
    from HEAD. RepositoryError when HEAD has no commit, or git cannot read the files.
    """
    user = hub.repo.git
    head = user.rev_parse("HEAD^{commit}")
    if head is None:
        raise RepositoryError(
            f"{hub.repo.top} has no commit checked out, so nothing can be said to differ from it",
            "commit what is there, or leave --seed-dirty out",
        )
    with hub.scratch() as scratch:
        store, tree = frozen_tree(user, hub.repo.common_dir / "objects", format_config(hub), scratch)
        git = Git(store)
        tree_of_head, time_of_head = git.text("log", "-1", "--no-show-signature", "--format=%T %ct", oid(head)).split()
        if tree == tree_of_head:
            return None
        commit = commit_tree(git, tree, (head,), _MESSAGE.format(whose="a person"), int(time_of_head))
        (store / "packed-refs").write_text(f"{commit} refs/frozen\n")
        hub.fetch(store, [f"+refs/frozen:{seed_ref(commit)}"])
        return commit


def frozen_tree(user: UserGit, objects: Path | None, config: str, scratch: Path) -> tuple[Path, Commit]:
    """Write the files of a work tree, as git would commit all of them, to a new bare repository in `scratch`.

    Returns that repository, with this `config`, and the tree in it. `objects` are those of the user's repository, which
    it borrows, and of which git may set the times anew; None when there are none, and the files lie in a plain
    directory.
    """
    store = _store(objects, config, scratch / "frozen.git")
    env = {"GIT_INDEX_FILE": str(scratch / "index"), "GIT_OBJECT_DIRECTORY": str(store / "objects")}
    if objects is None:
        env |= {"GIT_DIR": str(store), "GIT_WORK_TREE": str(user.path)}
    else:
        _copy_index(Path(user.text("rev-parse", "--absolute-git-dir")), scratch / "index")
    ours = ("-c", "core.splitIndex=false", "-c", "core.untrackedCache=false", "-c", "advice.addEmbeddedRepo=false")
    try:
        user.run(*ours, "add", "--all", "--", ":/", env=env, timeout_s=SEED_TIMEOUT_S)
        return store, Commit(user.run(*ours, "write-tree", env=env).decode("ascii").strip())
    except GitFailed as failed:
        raise RepositoryError(
            f"the uncommitted work in {user.path} cannot be frozen: {failed.message}",
            "make those files readable or ignored, or leave --seed-dirty out",
        ) from failed


def _store(objects: Path | None, config: str, making: Path) -> Path:
    """Make a bare repository of ours that borrows the user's objects; what is written goes into it alone."""
    for name in ("refs", "objects/info", "objects/pack"):
        (making / name).mkdir(parents=True)
    if objects is not None:
        if "\n" in str(objects):
            raise RepositoryError(f"a line break in the path of the repository: {str(objects)!r}", "rename it")
        (making / "objects/info/alternates").write_bytes(os.fsencode(objects) + b"\n")
    (making / "HEAD").write_text("ref: refs/frozen\n")
    (making / "config").write_text(config)
    return making


def _copy_index(git_dir: Path, into: Path) -> None:
    try:
        with directory(git_dir) as at:
            copy_file(at, "index", into, INDEX_BYTES_MAX)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RepositoryError(f"the index in {git_dir} cannot be read: {error}", "leave --seed-dirty out") from error


def baseline(hub: Hub, run: RunId, base: Commit, seed: Commit) -> Commit:
    """Return the commit on `base` at which a run begins that was seeded: `base` with the uncommitted work on top.

    A file in which that work conflicts with `base` is as in `base`. The hub keeps it as `refs/ganger/seeded/<run>`.
    """
    tree, conflicts = merged(hub, parent_of(hub, seed), base, seed)
    if conflicts:
        tree = edit_tree(hub, tree, as_in(hub, base, tree, conflicts))
    when_s = int(hub.git.text("log", "-1", "--no-show-signature", "--format=%ct", oid(seed)))
    left = "".join(f"\nLeft-Out: {ascii(path_text(raw))[1:-1]} (conflicts with the target)" for raw in conflicts)
    commit = commit_tree(hub.git, tree, (base,), _MESSAGE.format(whose="a person") + left, when_s)
    hub.set_ref(seeded_ref(run), commit)
    return commit


def parent_of(hub: Hub, commit: Commit) -> Commit:
    """Return the first parent of a commit of ours."""
    found = hub.git.rev_parse(f"{oid(commit)}^1")
    assert found is not None, f"{commit} has no parent"
    return found


def as_in(hub: Hub, base: Commit, tree: Commit, paths: tuple[bytes, ...]) -> Edits:
    """Say what `tree` lacks to have some paths, and whatever a conflict made beside them, as `base` has them."""
    wanted = set(paths)
    return {
        change.raw: None if change.old_mode == ABSENT_MODE else Entry(change.old_mode, change.old_oid)
        for change in changed_paths(hub, base, tree)
        if change.raw in wanted
    }


def own_change(hub: Hub, run: RunId, base: Commit, candidate: Commit) -> tuple[Commit, tuple[str, ...]]:
    """Return what a run itself changed, as a commit on `base`, and the files in which that is not possible.

    It is possible where the worker did not touch lines that the uncommitted work touched too. For a run that was not
    seeded, and for a candidate that does not stand on its baseline, that is `candidate` itself.
    """
    began = hub.ref(seeded_ref(run))
    if began is None or not hub.is_ancestor(began, candidate):
        return candidate, ()
    if hub.tree_of(candidate) == hub.tree_of(began):
        return base, ()
    tree, conflicts = merged(hub, began, base, candidate)
    when_s = int(hub.git.text("log", "-1", "--no-show-signature", "--format=%ct", oid(candidate)))
    message = f"What {run} changed\n\nGanger-Handed-In: {candidate}\n"
    commit = commit_tree(hub.git, tree, (base,), message, when_s)
    return commit, tuple(path_text(raw) for raw in conflicts)


def begun_again(hub: Hub, run: RunId, base: Commit, checkpoint: Commit) -> Commit:
    """Return where the workspace of a run is put back to: for one that was seeded, a checkpoint on its baseline."""
    began = hub.ref(seeded_ref(run))
    if began is None or hub.is_ancestor(began, checkpoint):
        return checkpoint
    if checkpoint == base:
        return began
    tree, _ = merged(hub, base, checkpoint, began)
    when_s = int(hub.git.text("log", "-1", "--no-show-signature", "--format=%ct", oid(checkpoint)))
    return commit_tree(hub.git, tree, (began, checkpoint), f"Checkpoint of {run}, with the uncommitted work", when_s)


def merged(hub: Hub, base: Commit, ours: Commit, theirs: Commit) -> tuple[Commit, tuple[bytes, ...]]:
    """Merge two commits as if `base` were where they part; the tree, with marks of conflict, and the paths of those.

    Their histories may be anything: git is shown three commits of ours that hold the same trees.
    """
    root = commit_tree(hub.git, hub.tree_of(base), (), "base", 0)
    sides = [commit_tree(hub.git, hub.tree_of(side), (root,), name, 0) for side, name in ((ours, "a"), (theirs, "b"))]
    args = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", *(oid(side) for side in sides))
    done = hub.git.call(*args)
    if done.code not in (0, 1):
        raise GitFailed(args, done.code, done.stderr)
    tree, *paths = done.stdout.split(b"\0")
    return Commit(tree.decode("ascii").strip()), tuple(dict.fromkeys(raw for raw in paths if raw))
