"""The names of the hub's refs; all of them are below `refs/ganger/`.

target               copy of the user's target branch
candidate/<run>      what a run handed in
looked-at/<run>      what a run had when it was asked whether it can go on
keep/<run>/…         what was salvaged of a run
seed/<commit>        uncommitted work of the user's that runs begin with
seeded/<run>         where a run began that was given such work
prepared/<run>       an earlier candidate, merged onto where a run begins
train/<commit>       combined commits under test
landing              the commit on its way into the user's repository
"""

from __future__ import annotations

import re

from ganger.core.ids import Commit, RunId, is_run_id

TARGET = "refs/ganger/target"
LANDING = "refs/ganger/landing"
_NAME = re.compile(r"refs/ganger/(?:[A-Za-z0-9][A-Za-z0-9_./-]*)?")


def candidate_ref(run: RunId) -> str:
    """Name the ref that holds what a run handed in."""
    assert is_run_id(run), run
    return f"refs/ganger/candidate/{run}"


def looked_at_ref(run: RunId) -> str:
    """Name the ref that holds what a run had when it was asked whether it can go on."""
    assert is_run_id(run), run
    return f"refs/ganger/looked-at/{run}"


def keep_prefix(run: RunId) -> str:
    """Name the folder of refs that hold what was salvaged of a run."""
    assert is_run_id(run), run
    return f"refs/ganger/keep/{run}/"


def seed_ref(commit: Commit) -> str:
    """Name the ref that holds uncommitted work of the user's that runs begin with."""
    return f"refs/ganger/seed/{commit}"


def seeded_ref(run: RunId) -> str:
    """Name the ref that holds the commit at which a run began, where that is not its base."""
    assert is_run_id(run), run
    return f"refs/ganger/seeded/{run}"


def prepared_ref(run: RunId) -> str:
    """Name the ref that holds the merge of an earlier candidate with which a run begins."""
    assert is_run_id(run), run
    return f"refs/ganger/prepared/{run}"


def train_ref(commit: Commit) -> str:
    """Name the ref that holds a combined commit while it is tested and landed."""
    return f"refs/ganger/train/{commit}"


def checked_ref(name: str) -> str:
    """Return `name`; AssertionError unless it is the name of a ref of the hub, or the beginning of one."""
    if not _NAME.fullmatch(name) or ".." in name or "//" in name:
        raise AssertionError(f"not a ref of the hub: {name!r}")
    return name
