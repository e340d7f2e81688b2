"""Which of the commits that landed something a branch does not contain any more, as git says right now."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ganger.core.ids import Commit
from ganger.git.command import UserGit, oid

LOOK_S = 600.0


def lost_from(git: UserGit, more_objects: Path, tip: Commit, commits: Collection[Commit]) -> tuple[Commit, ...]:
    """Those of `commits` that are neither `tip` nor reached from it, in their order; all of them where `tip` is empty.

    One walk, however many there are. Objects are looked for in `more_objects` too: the user's repository may have
    thrown away what no branch of it contains. A commit that is in neither is contained in nothing.
    """
    if not tip or not commits:
        return tuple(commits)
    more = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(more_objects)}
    asked = "".join(f"{oid(commit)}\n" for commit in commits).encode()
    printed = git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", input=asked, env=more, timeout_s=LOOK_S)
    kinds = dict(line.split(" ", 1) for line in printed.decode().splitlines())
    there = [commit for commit in commits if kinds.get(commit) == "commit"]
    revisions = "".join(f"{commit}\n" for commit in (*there, f"^{oid(tip)}")).encode()
    walked = git.run("rev-list", "--stdin", input=revisions, env=more, timeout_s=LOOK_S)
    beyond = set(walked.decode().split())
    return tuple(commit for commit in commits if commit not in there or commit in beyond)
