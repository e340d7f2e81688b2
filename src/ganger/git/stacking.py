"""The commit at which a run begins that stands on accepted work: the target merged with those candidates."""

from __future__ import annotations

from collections.abc import Sequence

from ganger.core.ids import Commit, ItemId, RunId, item_of
from ganger.git.hub import Hub
from ganger.git.merge import combine
from ganger.git.refs import train_ref


def base_of(
    hub: Hub, item: ItemId, root: Commit, heads: Sequence[tuple[RunId, Commit]]
) -> tuple[Commit, tuple[str, ...]]:
    """Merge the heads onto the target, in order; the commit, or an empty one and the files that conflict.

    The same arguments give the same commit, which the hub keeps. What the heads bring is in its history as they are,
    so that git, once they have landed, finds nothing in what is made on top but its own change.
    """
    named = [(run, commit, f"What {item} begins on: {item_of(run)}\n\nGanger-Run: {run}\n") for run, commit in heads]
    when_s = int(hub.git.text("log", "-1", "--no-show-signature", "--format=%ct", root))
    made = combine(hub, root, named, when_s * 1000)
    if made.conflicts:
        return Commit(""), tuple(dict.fromkeys(path for paths in made.conflicts.values() for path in paths))
    hub.set_ref(train_ref(made.commit), made.commit)
    return made.commit, ()
