"""Making a hub, and keeping its configuration as it is fixed here."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from ganger.core.ids import Commit
from ganger.errors import GitFailed, RepositoryError
from ganger.git.command import Git, run_safe
from ganger.git.refs import TARGET
from ganger.git.repository import Repository

COMPLETE = "ganger-complete"
"""A file that is there when the hub was made to the end."""
TRUSTED = "ganger-trusted.config"
"""The only "global" configuration that a fetch of the hub reads."""

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
BENIGN = ("badTimezone", "missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail",
          "missingEmail", "multipleAuthors", "zeroPaddedDate", "zeroPaddedFilemode")  # fmt: skip
"""Faults of old histories that do no harm; everything else that fsck finds refuses the object."""


def found_hub(hub_dir: Path, repo: Repository, target: str) -> None:
    """Make the hub at `hub_dir`: built beside it and renamed, so that it is there complete or not at all."""
    making = hub_dir.with_name(hub_dir.name + ".making")
    move_aside(making)
    if not _linked(making, repo, target):
        move_aside(making)
        _fetched(making, repo, target)
    git = Git(making)
    tip = git.rev_parse(f"refs/heads/{target}^{{commit}}") or git.rev_parse(TARGET)
    if tip is None:
        raise RepositoryError(f"the target branch {target!r} is gone from {repo.top}", "name one that exists")
    git.run("update-ref", "--stdin", input=_only_target(git, tip))
    (making / "HEAD").write_text("ref: refs/heads/ganger-has-no-branches\n")
    (making / "config").write_text(_config_text(repo, _object_format(making)))
    (making / COMPLETE).write_text("")
    making.rename(hub_dir)


def fix_config(hub_dir: Path, repo: Repository) -> None:
    """Put the configuration of a hub back to what is fixed here, if anything changed it."""
    wanted = {"config": _config_text(repo, _object_format(hub_dir)), TRUSTED: _trusted_text(repo)}
    for name, text in wanted.items():
        file = hub_dir / name
        if not file.exists() or file.read_text() != text:
            fresh = file.with_name(f"{name}.{os.getpid()}.new")
            fresh.write_text(text)
            fresh.replace(file)


def _linked(making: Path, repo: Repository, target: str) -> bool:
    """Clone with hard links; False when the user's repository borrows objects itself, or git will not link them."""
    if borrows(repo.common_dir):
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
    return not borrows(making)


def _fetched(making: Path, repo: Repository, target: str) -> None:
    """Copy the history of the target branch instead; the user's own old objects are taken as they are."""
    kind = repo.git.text("rev-parse", "--show-object-format")
    run_safe(
        making.parent, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--end-of-options",
        str(making),
    )  # fmt: skip
    (making / TRUSTED).write_text(_trusted_text(repo))
    Git(making).run(
        "-c", "transfer.fsckObjects=false", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
        "--no-recurse-submodules", "--end-of-options", str(repo.common_dir), f"+refs/heads/{target}:{TARGET}",
        timeout_s=1800, env={"GIT_CONFIG_GLOBAL": str(making / TRUSTED)},
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
    faults = "".join(f"\t{name} = ignore\n" for name in BENIGN)
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


def borrows(git_dir: Path) -> bool:
    """Whether a repository has objects of another's."""
    return (git_dir / "objects" / "info" / "alternates").exists()


def move_aside(path: Path) -> None:
    """Rename what a crash left at `path` to a free name beside it; it is nothing we may delete."""
    if not path.is_symlink() and not path.exists():
        return
    aside = (path.with_name(f"{path.name}.aside-{number}") for number in count(1))
    path.rename(next(name for name in aside if not name.exists()))
