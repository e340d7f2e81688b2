"""One checkout for all runs that begin at one commit and can write nothing: their workspaces are links to it.

It lies in `shared/` of the state directory, under a name that says what it holds. A link to it is made when it is
whole, so that one to which no workspace leads is nobody's: it is removed before the next is made. Nothing of a
worker's is ever in it.
"""

from __future__ import annotations

from pathlib import Path

from ganger.git import trash
from ganger.service.places import Places

FOLDER = "shared"


def is_shared(state_dir: Path, place: Path) -> bool:
    """Whether a workspace is a link to a checkout that several runs may share."""
    return place.is_symlink() and place.readlink().parent == state_dir / FOLDER


def checkout_of(state_dir: Path, name: str) -> Path:
    """Where the checkout of this name lies, or would."""
    return state_dir / FOLDER / name


def drop_unused(state_dir: Path) -> None:
    """Remove the shared checkouts to which no workspace leads, half-made ones too; nobody may make one meanwhile."""
    workspaces, folder = Places(state_dir).workspaces, state_dir / FOLDER
    if not folder.is_dir():
        return
    places = list(workspaces.iterdir()) if workspaces.is_dir() else []
    used = {place.readlink().name for place in places if is_shared(state_dir, place)}
    for entry in list(folder.iterdir()):
        if entry.name not in used:
            trash.discard_below(folder, entry)
