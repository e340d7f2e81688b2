"""What is left of a run whose worker is gone, from the hub and the disk: git never runs in the workspace itself."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from ganger.core.facts import Run
from ganger.core.ids import Commit
from ganger.core.model import RecoveryFacts
from ganger.errors import GitFailed, RepositoryError, WorldFailed
from ganger.git import workspace
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.refs import candidate_ref, looked_at_ref, seeded_ref


def look(hub: Hub, place: Path, run: Run) -> RecoveryFacts:
    """Find the facts by which a run is judged to be resumable or not.

    A branch whose objects are missing or damaged descends from nothing: only a person goes on from there.
    """
    head = workspace.tip(place, run.id)
    carried = head is not None and _carried(hub, place, run)
    candidate = head if carried else hub.ref(candidate_ref(run.id))
    target = _target(hub)
    return RecoveryFacts(
        workspace=workspace.is_readable(place),
        head=head or Commit(""),
        descends=head is not None and carried and hub.is_ancestor(run.base, head),
        base_on_target=target is not None and hub.is_ancestor(run.root or run.base, target),
        landed=(
            target is not None and candidate not in (None, run.base) and hub.is_ancestor(candidate or run.base, target)
        ),
    )


def unchanged(hub: Hub, run: Run) -> RecoveryFacts:
    """The facts of a run that could write nothing: it stands where it began."""
    target = _target(hub)
    return RecoveryFacts(
        workspace=True,
        head=run.base,
        descends=True,
        base_on_target=target is not None and hub.is_ancestor(run.base, target),
        landed=False,
    )


def _carried(hub: Hub, place: Path, run: Run) -> bool:
    """Bring the branch into the hub; whether all of it was there and good."""
    try:
        return workspace.fetch_candidate(hub, place, run.id, looked_at_ref(run.id)) is not None
    except (GitFailed, WorldFailed):
        return False


def _target(hub: Hub) -> Commit | None:
    try:
        return hub.sync_target()
    except RepositoryError:
        return None


class Held(Struct, frozen=True):
    """What a workspace holds beyond the commit at which its run began."""

    commits: tuple[tuple[Commit, str], ...]
    """Newest first, each with the first line of its message, as the worker wrote it."""
    uncommitted: tuple[str, ...]
    """Paths that differ from the newest of them."""


def held(hub: Hub, place: Path, run: Run) -> Held | None:
    """List what an earlier turn left in a workspace; None when that cannot be read."""
    try:
        began = hub.ref(seeded_ref(run.id)) or run.base
        head = workspace.fetch_candidate(hub, place, run.id) or began
        files = workspace.snapshot(hub, place, head, f"Uncommitted changes of {run.id}")
        commits = hub.log_subjects(began, head)
        return Held(commits, tuple(sorted({change.path for change in changed_paths(hub, head, files)})))
    except (GitFailed, WorldFailed):
        return None
