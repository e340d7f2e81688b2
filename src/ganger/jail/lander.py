"""What may be done in the user's repository for a supervisor that has given up its rights: landings, and nothing else.

The launcher starts git there only with arguments that have one of the shapes below. What stays the same for as long as
a supervisor runs are the terms, which it told before it gave anything up. Only the standard library: see `reaper`.
"""

# Importing pathlib would take longer than everything else here.
# ruff: noqa: PTH112, PTH118, PTH120, PTH123

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

REASON = re.compile(r"ganger: [ -~]{1,200}")
"""What a landing leaves in the log of the branch."""
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_landing(terms: dict[str, Any], args: Sequence[str]) -> bool:
    """Whether the arguments are those of one step of a landing by these terms (`rights.Terms`)."""
    return any(
        len(shape) == len(args) and all(_fits(hole, arg) for hole, arg in zip(shape, args, strict=True))
        for shape in _shapes(terms)
    )


def is_of(terms: dict[str, Any], folder: str) -> bool:
    """Whether a folder is a work tree of the repository that landings go to."""
    dot_git = os.path.join(folder, ".git")
    if os.path.isdir(dot_git):
        found = dot_git
    else:
        try:
            with open(dot_git, encoding="utf-8", errors="surrogateescape") as file:
                word, _, found = file.read(8_192).partition("\n")[0].partition(" ")
        except OSError:
            return False
        if word != "gitdir:":
            return False
    real = os.path.realpath(os.path.join(folder, found))
    common: str = terms["common_dir"]
    return real == common or os.path.dirname(real) == os.path.join(common, "worktrees")


def _shapes(terms: dict[str, Any]) -> Iterator[tuple[str | re.Pattern[str], ...]]:
    holds = terms["holds"]
    yield (
        *("-c", "core.logAllRefUpdates=false", "fetch", "--quiet", "--no-tags", "--no-prune"),
        *("--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules", "--no-show-forced-updates"),
        *("--end-of-options", terms["hub"], f"+{holds}:{holds}"),
    )
    yield ("update-ref", "-m", REASON, f"refs/heads/{terms['branch']}", _OID, _OID)
    yield ("update-ref", "-d", holds)
    yield ("merge", "--ff-only", "--no-autostash", "--no-stat", "--quiet", "--no-overwrite-ignore", _OID)
    # It changes nothing, but what the user has configured to look at files may keep things of its own.
    yield ("status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")


def _fits(hole: str | re.Pattern[str], arg: str) -> bool:
    return hole == arg if isinstance(hole, str) else hole.fullmatch(arg) is not None
