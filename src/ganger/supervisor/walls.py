"""The supervisor's own wall: it hands what it must do elsewhere to a launcher, and gives up the right to the rest."""

from __future__ import annotations

import sys
from pathlib import Path

from ganger.errors import UsageError
from ganger.git.command import user_git
from ganger.git.hub import Hub
from ganger.git.refs import LANDING
from ganger.jail import rights


def put_up(state_dir: Path, hub: Hub) -> str:
    """Let this process write only below `state_dir` from here on, for good; empty, or why it keeps its rights.

    The jail must have been chosen, and the hub made: neither can be done afterwards. Landings are settled with the
    first call. WorldFailed when there can be no launcher, UsageError when this night would land elsewhere.
    """
    fault = fault_of_walls()
    if not sys.platform.startswith("linux"):
        return fault
    found = rights.launcher()
    launcher = found or rights.keep_launcher()
    git, env = user_git()
    repository = hub.repo
    terms = rights.Terms(git, env, str(hub.path), str(repository.common_dir), hub.target, LANDING)
    if found is None:
        launcher.agree(terms)
    elif not launcher.keeps_to(terms):
        raise UsageError("the target branch is another one than when this began", "end this and start it again")
    if fault or rights.has_given_up():
        return fault
    if rights.has_threads():
        return "something that was loaded has threads of its own, which would keep them"
    rights.give_up(state_dir)
    return ""


def fault_of_walls() -> str:
    """Why a supervisor on this machine would keep its rights; empty when it gives them up."""
    if not sys.platform.startswith("linux"):
        return "there is no Landlock here"
    return rights.fault_of_giving_up()
