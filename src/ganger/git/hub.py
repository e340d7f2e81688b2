"""The hub: ganger's own bare repository beside the user's, and the only place where git sees agents' work.

It has objects of its own (hard links to the user's where possible), so neither the user's gc nor a forced push takes
the ground from under it, and a configuration fixed in `founding`. All its refs are named in `refs`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ganger.core.ids import Commit
from ganger.errors import GitFailed, RepositoryError, StateDirError
from ganger.git import trash
from ganger.git.beneath import blame_it
from ganger.git.command import Git, oid
from ganger.git.founding import COMPLETE, TRUSTED, borrows, fix_config, found_hub, move_aside
from ganger.git.ref_files import read_ref
from ganger.git.refs import TARGET, checked_ref, train_ref
from ganger.git.repository import Repository, target_tip

STALE_LOCK_S = 600
PACKS_MAX = 64
_SCRATCH = "ganger-scratch"


@dataclass(frozen=True)
class Hub:
    """An open hub; methods raise GitFailed when git fails."""

    path: Path
    repo: Repository
    target: str
    git: Git

    @classmethod
    def open(cls, hub_dir: Path, repo: Repository, target: str) -> Hub:
        """Open the hub at `hub_dir`, making it first if need be.

        It is built beside and renamed into place, so a half-made one is never taken for a hub; the remains of a
        crash are moved aside. StateDirError when it borrows objects.
        """
        hub_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock_file(hub_dir.with_name(hub_dir.name + ".lock")):
            if not (hub_dir / COMPLETE).exists():
                move_aside(hub_dir)
                found_hub(hub_dir, repo, target)
            hub = cls(hub_dir, repo, target, Git(hub_dir))
            if borrows(hub_dir):
                raise StateDirError(f"{hub_dir} borrows objects of another repository", "move it away and start again")
            fix_config(hub_dir, repo)
        return hub

    @property
    def objects(self) -> Path:
        """The directory of its objects, from which workspaces borrow."""
        return self.path / "objects"

    def sync_target(self) -> Commit:
        """Bring `refs/ganger/target` to where the user's target branch is, also after a forced move; return it."""
        tip = target_tip(self.repo, self.target)
        if tip is None:
            raise RepositoryError(
                f"the target branch {self.target!r} is gone from {self.repo.top}", "restore it, or change fleet.target"
            )
        if self.ref(TARGET) == tip:
            return tip
        if self.reaches(tip):
            self.set_ref(TARGET, tip)
            return tip
        self.fetch(self.repo.common_dir, (f"+refs/heads/{self.target}:{TARGET}",))
        found = self.ref(TARGET)
        assert found is not None, "a fetched ref does not resolve"
        return found

    def fetch(self, source: Path, refspecs: Sequence[str]) -> None:
        """Fetch named refs from a repository of the user's or of ours, every new object checked; nothing else moves."""
        trusted = self.path / TRUSTED
        self.git.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-prune",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-show-forced-updates",
            "--end-of-options",
            str(source),
            *refspecs,
            timeout_s=600,
            env={"GIT_CONFIG_GLOBAL": str(trusted)},
        )
        self._roll_up()

    def ref(self, name: str) -> Commit | None:
        """Return what a ref of the hub names, None when there is no such ref."""
        found = read_ref(self.path, checked_ref(name))
        return self.git.rev_parse(name) if found is None else found or None

    def refs(self, prefix: str) -> dict[str, Commit]:
        """List the refs below `prefix` (`refs/ganger/keep/login.2/`), sorted by name."""
        printed = self.git.text("for-each-ref", "--format=%(objectname) %(refname)", checked_ref(prefix).rstrip("/"))
        pairs = (line.split(" ", 1) for line in printed.splitlines())
        return {name: Commit(found) for found, name in pairs}

    def set_ref(self, name: str, commit: Commit) -> None:
        """Let a ref of the hub name a commit, whatever it named before."""
        self.git.run("update-ref", checked_ref(name), oid(commit))

    def exists(self, commit: Commit) -> bool:
        """Whether the object is in the hub."""
        return self.git.has(commit)

    def reaches(self, commit: Commit) -> bool:
        """Whether a ref of ours names the commit, so that it is here with everything it needs."""
        return self.ref(train_ref(commit)) == commit

    def tree_of(self, commit: Commit) -> Commit:
        """Return the tree of a commit; GitFailed when there is no such commit."""
        return _tree_of(self.git, commit)

    def is_ancestor(self, a: Commit, b: Commit) -> bool:
        """Whether `a` is `b` or can be reached from it."""
        return _is_ancestor(self.git, a, b)

    def diff(self, a: Commit, b: Commit, paths: Sequence[str] = ()) -> bytes:
        """Return the patch between two commits or trees, raw; `paths` are taken literally."""
        return self.git.run(
            "--literal-pathspecs",
            "diff-tree",
            "-p",
            "-M",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            oid(a),
            oid(b),
            "--",
            *paths,
        )

    def log_subjects(self, base: Commit, commit: Commit) -> tuple[tuple[Commit, str], ...]:
        """List the commits of `base..commit`, newest first, with the first line of their messages (hostile text)."""
        printed = self.git.run(
            "log", "-z", "--no-show-signature", "--no-decorate", "--format=%H %s", f"{oid(base)}..{oid(commit)}", "--"
        )
        lines = (line.decode("utf-8", "backslashreplace") for line in printed.split(b"\0") if line)
        pairs = (line.partition(" ") for line in lines)
        return tuple((Commit(found), subject) for found, _, subject in pairs)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new empty directory of our own, removed afterwards; for copies and temporary indexes.

        WorldFailed when there is no room for it, or for what is put into it.
        """
        root = self.path / _SCRATCH
        try:
            root.mkdir(mode=0o700, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
            try:
                yield made
            finally:
                trash.discard_below(root, made)
        except OSError as error:
            blame_it(error)
            raise

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the hub's lock named `what` against all other processes and threads; freed by the kernel at a crash."""
        with lock_file(self.path / f"ganger-{what}.lock"):
            yield

    def recover(self, now_s: float) -> None:
        """Clear what crashes left in the hub: scratch of dead processes, and ref locks older than ten minutes."""
        root = self.path / _SCRATCH
        for left in root.iterdir() if root.is_dir() else ():
            owner = left.name.partition("-")[0]
            if owner.isdigit() and not _lives(int(owner)):
                trash.discard_below(root, left)
        locks = [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]
        for lock in locks:
            if not lock.name.startswith("ganger-") and now_s - lock.lstat().st_mtime > STALE_LOCK_S:
                trash.discard_below(self.path, lock)

    def _roll_up(self) -> None:
        """Join small packs when there are many: a fetch with object checks always leaves one, however small.

        A geometric repack keeps every object, reachable or not, so it takes nothing away from anybody.
        """
        packs = self.objects / "pack"
        if sum(1 for _ in packs.glob("*.pack")) < PACKS_MAX:
            return
        # A failure costs speed alone, and the next fetch tries again; what was fetched is there.
        with self.locked("repack"), contextlib.suppress(GitFailed):
            if sum(1 for _ in packs.glob("*.pack")) >= PACKS_MAX:
                self.git.run("repack", "-q", "-n", "-d", "--geometric=2", timeout_s=1800)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def lock_file(file: Path) -> Iterator[None]:
    """Hold a file's lock against all other processes and threads; freed by the kernel at a crash."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@lru_cache(4_096)
def _tree_of(git: Git, commit: Commit) -> Commit:
    found = git.rev_parse(f"{oid(commit)}^{{tree}}")
    if found is None:
        raise GitFailed(("rev-parse", f"{commit}^{{tree}}"), 1, "no such commit in the hub")
    return found


@lru_cache(4_096)
def _is_ancestor(git: Git, a: Commit, b: Commit) -> bool:
    return git.is_ancestor(a, b)
