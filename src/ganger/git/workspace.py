"""The workspace of a run: a private clone that borrows the hub's objects, and what comes back out of it.

Nothing is ever pushed into a workspace, and git never runs in one once it is handed over: `quarantine` carries its
commits into the hub, `snapshot` its files.
"""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ganger.core.ids import Commit, RunId, is_run_id
from ganger.errors import GitFailed, WorldFailed
from ganger.git import trash
from ganger.git.beneath import directory, open_up
from ganger.git.combining import lay_over
from ganger.git.command import Git, oid
from ganger.git.hub import Hub
from ganger.git.quarantine import all_refs, carry, carry_each, carry_index, workspace_ref
from ganger.git.refs import TARGET, candidate_ref, keep_prefix
from ganger.git.snapshot import snapshot

__all__ = ["branch_of", "create", "exists", "fetch_candidate", "is_readable", "keep", "ref_files", "snapshot", "tip"]

_WRITERS = 2
"""Processes that write the files of a new workspace, if there are at least a hundred."""
_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
\tignorecase = {ignorecase}
\tprecomposeunicode = {precompose}
\tfsmonitor = false
[user]
\tname = ganger worker {run}
\temail = {run}@ganger.invalid
[commit]
\tgpgsign = false
[gc]
\tauto = 0
\tpruneExpire = never
\treflogExpire = never
\treflogExpireUnreachable = never
[maintenance]
\tauto = false
{extensions}"""


def create(hub: Hub, path: Path, run: RunId, base: Commit, files: Commit | None = None) -> None:
    """Make the workspace of a run at `path`, its branch checked out at `base`.

    With `files`, a commit, they lie there as changes of `base` that are not committed. It appears at `path` complete
    or not at all. WorldFailed when something is there already.
    """
    if exists(path):
        raise WorldFailed(f"there is already something at {path}", "salvage it and move it to the trash first")
    _create(hub, path, base, run, f"refs/heads/{branch_of(run)}", files)


def create_to_read(hub: Hub, path: Path, base: Commit) -> None:
    """Make a checkout of a commit for several runs that write nothing: as a workspace, but on no branch."""
    _create(hub, path, base, "", "")


def _create(hub: Hub, path: Path, base: Commit, run: str, branch: str, files: Commit | None = None) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _drop_half_made(path)
    making = Path(tempfile.mkdtemp(prefix=_half_made_prefix(path), dir=path.parent))
    git_dir = making / ".git"
    _write_git_dir(hub, git_dir, base, run or "reader", branch)
    # Writing the files takes most of the time, and one process cannot keep even one disk busy.
    Git(git_dir, making).run("-c", f"checkout.workers={_WRITERS}", "read-tree", "-m", "-u", oid(base))
    if files is not None:
        lay_over(hub, making, base, files)
    making.rename(path)


def exists(path: Path) -> bool:
    """Whether anything is at `path`, a broken link included."""
    return path.is_symlink() or path.exists()


def branch_of(run: RunId) -> str:
    """Name the branch on which a run works in its workspace."""
    assert is_run_id(run), run
    return f"ganger/{run}"


def tip(path: Path, run: RunId) -> Commit | None:
    """Return what the run's branch names, as the files of the workspace say; None when there is no such thing."""
    return workspace_ref(path, f"refs/heads/{branch_of(run)}")


def is_readable(path: Path) -> bool:
    """Whether there is a directory with a git directory in it, neither of them a link."""
    try:
        with directory(path, (".git",)):
            return True
    except OSError:
        return False


def ref_files(path: Path, run: RunId) -> tuple[Path, ...]:
    """Return the directories to watch for a commit on the run's branch.

    The second sees the first being made again after git packed the refs and removed it.
    """
    heads = path / ".git" / "refs" / "heads"
    return ((heads / branch_of(run)).parent, heads)


def fetch_candidate(hub: Hub, path: Path, run: RunId, ref: str = "") -> Commit | None:
    """Bring the run's branch into the hub as `refs/ganger/candidate/<run>`, every object checked; return its commit.

    `ref` is another name for it, for whoever only looks: the candidate stays what was judged.

    None when the workspace or the branch is gone. GitFailed when the objects are missing or faulty, WorldFailed when
    there is more than ganger will copy; the ref then stays as it was.
    """
    commit = tip(path, run)
    if commit is None:
        return None
    ref = ref or candidate_ref(run)
    if hub.ref(ref) != commit:
        carry(hub, path, {ref: commit})
    return commit


def keep(hub: Hub, path: Path, run: RunId) -> tuple[str, ...]:
    """Salvage a workspace into refs below `refs/ganger/keep/<run>/`; return those that hold it, each read back.

    `head` is the run's branch, `checked-out` what HEAD names if that is something else, `other-<n>` further branches
    and stashes, `index` a commit of what was staged if that is not what was committed, `tree` a commit of the files as
    they lie there. A ref that names something else already is not touched: the new one gets a number (`tree-2`). Of a
    broken workspace as much is kept as can be read, `()` when it is gone. GitFailed when the hub itself fails, or
    nobody can say which files there are: then it is not kept, and must stay.
    """
    if not path.is_dir() or path.is_symlink():
        return ()
    if not is_readable(path):
        open_up(path)
    have = hub.refs(keep_prefix(run))
    wanted = _to_keep(path, run, have)
    fresh = {ref: commit for ref, commit in wanted.items() if ref not in have}
    made = set(carry_each(hub, path, fresh)) if fresh else set()
    kept = {ref: commit for ref, commit in wanted.items() if ref in have or ref in made}
    kept |= _keep_index(hub, path, run, have, kept)
    kept |= _keep_files(hub, path, run, have, kept)
    _verify(hub, run, kept)
    return tuple(kept)


def _to_keep(path: Path, run: RunId, have: Mapping[str, Commit]) -> dict[str, Commit]:
    """Say which hub ref is to hold which commit of the workspace."""
    prefix = keep_prefix(run)
    wanted: dict[str, Commit] = {}
    for name, source in (("head", f"refs/heads/{branch_of(run)}"), ("checked-out", "HEAD")):
        commit = workspace_ref(path, source)
        if commit is not None and commit not in wanted.values():
            wanted[_free_ref(prefix + name, commit, {**have, **wanted})] = commit
    for commit in all_refs(path):
        if commit not in wanted.values():
            wanted[_free_ref(prefix + "other-1", commit, {**have, **wanted})] = commit
    return wanted


def _keep_index(
    hub: Hub, path: Path, run: RunId, have: Mapping[str, Commit], kept: Mapping[str, Commit]
) -> dict[str, Commit]:
    def named(commit: Commit) -> str:
        return _free_ref(f"{keep_prefix(run)}index", commit, {**have, **kept})

    checked_out = next((commit for ref, commit in kept.items() if "/checked-out" in ref), None)
    parent = checked_out or _parent(hub, run, kept)
    return carry_index(hub, path, parent, f"Index of {run} as it was left", named)


def _keep_files(
    hub: Hub, path: Path, run: RunId, have: Mapping[str, Commit], kept: Mapping[str, Commit]
) -> dict[str, Commit]:
    commit = snapshot(hub, path, _parent(hub, run, kept), f"Files of {run} as they were left", whole=True)
    ref = _free_ref(f"{keep_prefix(run)}tree", commit, {**have, **kept})
    if ref not in have:
        hub.set_ref(ref, commit)
    return {ref: commit}


def _parent(hub: Hub, run: RunId, kept: Mapping[str, Commit]) -> Commit:
    """Return the commit that what was not committed is put on."""
    parent = next(iter(kept.values()), None) or hub.ref(candidate_ref(run)) or hub.ref(TARGET)
    assert parent is not None, "the hub has lost its target"
    return parent


def _free_ref(wanted: str, commit: Commit, taken: Mapping[str, Commit]) -> str:
    """Return `wanted`, or the same with the next number, so that no ref with another commit is overwritten."""
    stem, _, digits = wanted.rpartition("-")
    if not digits.isdigit():
        stem, digits = wanted, "1"
    number = int(digits)
    name = wanted
    while taken.get(name, commit) != commit:
        number += 1
        name = f"{stem}-{number}"
    return name


def _verify(hub: Hub, run: RunId, kept: Mapping[str, Commit]) -> None:
    """Read back what was kept: every ref names its commit, and all that it reaches is in the hub's own store."""
    found = hub.refs(keep_prefix(run))
    missing = [ref for ref, commit in kept.items() if found.get(ref) != commit]
    if missing:
        raise GitFailed(("for-each-ref",), 1, f"not there after being written: {', '.join(missing)}")
    if kept:
        hub.git.run("rev-list", "--objects", "--quiet", *(oid(commit) for commit in kept.values()), "--not", TARGET)


def _write_git_dir(hub: Hub, git_dir: Path, base: Commit, who: str, branch: str) -> None:
    """Write the git directory as `git init` would, by hand: it saves three children a workspace.

    `who` is the name that its commits bear; without a `branch` HEAD is the commit itself.
    """
    for name in ("objects/info", "objects/pack", "refs/heads/ganger", "refs/tags", "hooks", "info"):
        (git_dir / name).mkdir(parents=True)
    if "\n" in str(hub.objects):
        raise WorldFailed(f"a line break in the path of the hub: {hub.objects!r}", "use another state directory")
    sha256 = len(oid(base)) == 64
    config = _CONFIG.format(
        version=1 if sha256 else 0,
        run=who,
        ignorecase=str(hub.repo.rules.fold_case).lower(),
        precompose=str(hub.repo.rules.normalize).lower(),
        extensions="[extensions]\n\tobjectFormat = sha256\n" if sha256 else "",
    )
    (git_dir / "objects/info/alternates").write_bytes(os.fsencode(hub.objects) + b"\n")
    (git_dir / "config").write_text(config)
    if branch:
        (git_dir / branch).write_text(f"{base}\n")
    (git_dir / "HEAD").write_text(f"ref: {branch}\n" if branch else f"{base}\n")


def _half_made_prefix(path: Path) -> str:
    return f".making-{path.name}-"


def _drop_half_made(path: Path) -> None:
    """Remove what a crash left of earlier attempts to make this workspace: no agent ever had it."""
    for left in path.parent.glob(glob.escape(_half_made_prefix(path)) + "*"):
        trash.discard_below(path.parent, left)
