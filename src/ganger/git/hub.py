"""The hub: ganger's own bare repository beside the user's, and the only place where git sees agents' work.

It has objects of its own (hard links to the user's where possible), so neither the user's gc nor a forced push takes
the ground from under it, and a configuration fixed here. All its refs are below `refs/ganger/`:

    target               copy of the user's target branch
    candidate/<run>      what a run handed in
    keep/<run>/…         what was salvaged of a run
    train/<n>            combined commits under test
    landing              the commit on its way into the user's repository
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ganger.core.ids import Commit, RunId, is_run_id
from ganger.errors import GitFailed, RepositoryError, StateDirError
from ganger.git import trash
from ganger.git.command import Git, oid, run_safe
from ganger.git.repository import Repository, read_ref, target_tip

TARGET = "refs/ganger/target"
LANDING = "refs/ganger/landing"
STALE_LOCK_S = 600
PACKS_MAX = 64
_REF = re.compile(r"refs/ganger/(?:[A-Za-z0-9][A-Za-z0-9_./-]*)?")
_SCRATCH = "ganger-scratch"
_TRUSTED = "ganger-trusted.config"

_CONFIG = """\
# Written by ganger; a change here is overwritten.
[core]
\trepositoryformatversion = {version}
\tbare = true
\tfilemode = true
\tignorecase = {ignorecase}
\tprecomposeunicode = {precompose}
\tlogAllRefUpdates = false
\thooksPath = /dev/null
\tfsmonitor = false
\tbigFileThreshold = 64m
\tfilesRefLockTimeout = 10000
\tpackedRefsTimeout = 10000
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tfsckObjects = true
[fetch]
\twriteCommitGraph = false
[receive]
\thideRefs = refs/
[uploadpack]
\tallowFilter = false
\tallowAnySHA1InWant = false
[pack]
\tthreads = 1
{extensions}{benign}"""
_BENIGN = ("badTimezone", "missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail",
           "missingEmail", "multipleAuthors", "zeroPaddedDate", "zeroPaddedFilemode")  # fmt: skip
"""Faults of old histories that do no harm; everything else that fsck finds refuses the object."""


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
        with _locked(hub_dir.with_name(hub_dir.name + ".lock")):
            if not (hub_dir / "ganger-complete").exists():
                _move_aside(hub_dir)
                _build(hub_dir, repo, target)
            hub = cls(hub_dir, repo, target, Git(hub_dir))
            if _borrows(hub_dir):
                raise StateDirError(f"{hub_dir} borrows objects of another repository", "move it away and start again")
            hub._fix_config()
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
        self.fetch(self.repo.common_dir, (f"+refs/heads/{self.target}:{TARGET}",))
        found = self.ref(TARGET)
        assert found is not None, "a fetched ref does not resolve"
        return found

    def fetch(self, source: Path, refspecs: Sequence[str]) -> None:
        """Fetch named refs from a repository of the user's or of ours, every new object checked; nothing else moves."""
        trusted = self.path / _TRUSTED
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
        found = read_ref(self.path, _checked_ref(name))
        return self.git.rev_parse(name) if found is None else found or None

    def refs(self, prefix: str) -> dict[str, Commit]:
        """List the refs below `prefix` (`refs/ganger/keep/login.2/`), sorted by name."""
        printed = self.git.text("for-each-ref", "--format=%(objectname) %(refname)", _checked_ref(prefix).rstrip("/"))
        pairs = (line.split(" ", 1) for line in printed.splitlines())
        return {name: Commit(found) for found, name in pairs}

    def set_ref(self, name: str, commit: Commit) -> None:
        """Let a ref of the hub name a commit, whatever it named before."""
        self.git.run("update-ref", _checked_ref(name), oid(commit))

    def drop_ref(self, name: str) -> None:
        """Remove a ref of the hub; one that is not there is no error."""
        self.git.run("update-ref", "-d", _checked_ref(name))

    def exists(self, commit: Commit) -> bool:
        """Whether the object is in the hub."""
        return self.git.has(commit)

    def tree_of(self, commit: Commit) -> Commit:
        """Return the tree of a commit; GitFailed when there is no such commit."""
        found = self.git.rev_parse(f"{oid(commit)}^{{tree}}")
        if found is None:
            raise GitFailed(("rev-parse", f"{commit}^{{tree}}"), 1, "no such commit in the hub")
        return found

    def is_ancestor(self, a: Commit, b: Commit) -> bool:
        """Whether `a` is `b` or can be reached from it."""
        return self.git.is_ancestor(a, b)

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

    def write_commit_graph(self) -> None:
        """Write the commit graph of the hub's refs: ancestry questions on long histories get faster."""
        self.git.run("commit-graph", "write", "--reachable", timeout_s=600)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new empty directory of our own, removed afterwards; for copies and temporary indexes."""
        root = self.path / _SCRATCH
        root.mkdir(mode=0o700, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        try:
            yield made
        finally:
            trash.discard_below(root, made)

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the hub's lock named `what` against all other processes and threads; freed by the kernel at a crash."""
        with _locked(self.path / f"ganger-{what}.lock"):
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

    def _fix_config(self) -> None:
        """Put the configuration back to what is fixed here, if anything changed it."""
        wanted = {"config": _config_text(self.repo, _object_format(self.path)), _TRUSTED: _trusted_text(self.repo)}
        for name, text in wanted.items():
            file = self.path / name
            if not file.exists() or file.read_text() != text:
                fresh = file.with_name(f"{name}.{os.getpid()}.new")
                fresh.write_text(text)
                fresh.replace(file)


def candidate_ref(run: RunId) -> str:
    """Name the ref that holds what a run handed in."""
    assert is_run_id(run), run
    return f"refs/ganger/candidate/{run}"


def keep_prefix(run: RunId) -> str:
    """Name the folder of refs that hold what was salvaged of a run."""
    assert is_run_id(run), run
    return f"refs/ganger/keep/{run}/"


def train_ref(number: int) -> str:
    """Name the ref of the `number`-th train."""
    return f"refs/ganger/train/{number}"


def _build(hub_dir: Path, repo: Repository, target: str) -> None:
    making = hub_dir.with_name(hub_dir.name + ".making")
    _move_aside(making)
    if not _linked(making, repo, target):
        _move_aside(making)
        _fetched(making, repo, target)
    git = Git(making)
    tip = git.rev_parse(f"refs/heads/{target}^{{commit}}") or git.rev_parse(TARGET)
    if tip is None:
        raise RepositoryError(f"the target branch {target!r} is gone from {repo.top}", "name one that exists")
    git.run("update-ref", "--stdin", input=_only_target(git, tip))
    (making / "HEAD").write_text("ref: refs/heads/ganger-has-no-branches\n")
    (making / "config").write_text(_config_text(repo, _object_format(making)))
    (making / "ganger-complete").write_text("")
    making.rename(hub_dir)


def _linked(making: Path, repo: Repository, target: str) -> bool:
    """Clone with hard links; False when the user's repository borrows objects itself, or git will not link them."""
    if _borrows(repo.common_dir):
        return False
    try:
        run_safe(
            making.parent,
            "clone",
            "--quiet",
            "--bare",
            "--local",
            "--no-tags",
            "--single-branch",
            f"--branch={target}",
            "--template=",
            "--end-of-options",
            str(repo.common_dir),
            str(making),
            timeout_s=1800,
        )
    except GitFailed as failed:
        if failed.code == -1:
            raise
        return False
    return not _borrows(making)


def _fetched(making: Path, repo: Repository, target: str) -> None:
    """Copy the history of the target branch instead; the user's own old objects are taken as they are."""
    kind = repo.git.text("rev-parse", "--show-object-format")
    run_safe(
        making.parent, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--end-of-options",
        str(making),
    )  # fmt: skip
    (making / _TRUSTED).write_text(_trusted_text(repo))
    Git(making).run(
        "-c", "transfer.fsckObjects=false", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
        "--no-recurse-submodules", "--end-of-options", str(repo.common_dir), f"+refs/heads/{target}:{TARGET}",
        timeout_s=1800, env={"GIT_CONFIG_GLOBAL": str(making / _TRUSTED)},
    )  # fmt: skip


def _only_target(git: Git, tip: Commit) -> bytes:
    """Return the `update-ref` orders that leave `refs/ganger/target` as the only ref."""
    printed = git.text("for-each-ref", "--format=%(refname)").splitlines()
    orders = [f"delete {name}" for name in printed if name != TARGET]
    return "".join(f"{order}\n" for order in [f"update {TARGET} {tip}", *orders]).encode("utf-8", "surrogateescape")


def _object_format(git_dir: Path) -> str:
    return "sha256" if "sha256" in (git_dir / "config").read_text() else "sha1"


def _config_text(repo: Repository, object_format: str) -> str:
    sha256 = object_format == "sha256"
    faults = "".join(f"\t{name} = ignore\n" for name in _BENIGN)
    return _CONFIG.format(
        version=1 if sha256 else 0,
        ignorecase=str(repo.rules.fold_case).lower(),
        precompose=str(repo.rules.normalize).lower(),
        extensions="[extensions]\n\tobjectFormat = sha256\n" if sha256 else "",
        benign=f'[fetch "fsck"]\n{faults}',
    )


def _trusted_text(repo: Repository) -> str:
    """Return the only "global" configuration of a fetch: git read this repository for the user, so it may for us."""
    paths = dict.fromkeys((repo.common_dir, repo.top, repo.common_dir.parent))
    quoted = (str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for path in paths)
    return "[safe]\n" + "".join(f'\tdirectory = "{path}"\n' for path in quoted)


def _borrows(git_dir: Path) -> bool:
    return (git_dir / "objects" / "info" / "alternates").exists()


def _move_aside(path: Path) -> None:
    """Rename what a crash left at `path` to a free name beside it; it is nothing we may delete."""
    if not path.is_symlink() and not path.exists():
        return
    aside = (path.with_name(f"{path.name}.aside-{number}") for number in count(1))
    path.rename(next(name for name in aside if not name.exists()))


def _checked_ref(name: str) -> str:
    if not _REF.fullmatch(name) or ".." in name or "//" in name:
        raise AssertionError(f"not a ref of the hub: {name!r}")
    return name


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
