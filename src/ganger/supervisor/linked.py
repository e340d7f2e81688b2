"""Folders of dependencies that workspaces, and the check-outs in which checks run, share by links.

Each is a real folder whose entries lead to what is shared: nobody who works there can replace what others see, and in
a jail what they lead to is read-only. What names the tree around the shared folder (scripts and editable installs of
a Python environment, packages of a node workspace) is made to name the tree it is linked into: it would otherwise
lead to another version of the code that is worked on.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from ganger.core.ids import Commit
from ganger.errors import WorldFailed
from ganger.git.changes import path_text
from ganger.verifier.footprint import Survey, survey

TEXT_BYTES_MAX = 1 << 20
"""A file that is larger is no script, and none that says where code lies."""
REST = 10
"""A digest is believed for so many times as long as it took to make."""
_SCOPED = "@"
_ENVIRONMENT = "pyvenv.cfg"
_SITES = "lib*/python*/site-packages"


class Linked(Struct, frozen=True):
    """One folder that is shared."""

    name: str
    """Where it lies in every tree, as git writes paths."""
    source: Path
    """Where its entries lie."""
    tree: Path
    """The tree that it was made for: the user's main work tree, or the one in which the setup ran."""


LinkedFor = Callable[[Commit], tuple[Linked, ...]]
"""Tells the folders that belong to a base."""


def none_linked(base: Commit) -> tuple[Linked, ...]:
    """No folder is linked."""
    return ()


def link(place: Path, linked: Linked) -> None:
    """Give a tree a shared folder; it has nothing of that name, and no link among the folders above it."""
    _link_all(linked.source, place / linked.name, place, linked)


def _link_all(source: Path, folder: Path, place: Path, linked: Linked) -> None:
    folder.mkdir(parents=True)
    for entry in sorted(source.iterdir()):
        if _is_laid_out(entry, linked):
            _link_all(entry, folder / entry.name, place, linked)
        else:
            _link_one(entry, folder / entry.name, place, linked)


def _is_laid_out(entry: Path, linked: Linked) -> bool:
    """Whether a folder inside is a real one too, because what names the tree may lie in it."""
    if entry.is_symlink() or not entry.is_dir():
        return False
    if entry.parent == linked.source and entry.name.startswith(_SCOPED):
        return True
    sites = _sites(linked)
    return bool(sites) and (entry == linked.source / "bin" or any(site.is_relative_to(entry) for site in sites))


def _link_one(entry: Path, at: Path, place: Path, linked: Linked) -> None:
    inside = Path(os.path.normpath(entry.parent / entry.readlink())) if entry.is_symlink() else None
    if inside is not None and inside.is_relative_to(linked.tree):
        at.symlink_to(os.path.relpath(inside, entry.parent))
        return
    content = _naming_the_tree(entry, linked)
    if content is None:
        at.symlink_to(entry)
        return
    at.write_bytes(_tree_in_text(linked.tree).sub(lambda _: os.fsencode(place), content))
    at.chmod(entry.stat().st_mode & 0o777)


def _naming_the_tree(entry: Path, linked: Linked) -> bytes | None:
    """The content of a script or of a file that says where code lies, if it names the tree; None otherwise."""
    steers = entry.parent == linked.source / "bin" or entry.suffix == ".pth" or entry.name.startswith("__editable__")
    if not _sites(linked) or not steers or entry.is_symlink() or not entry.is_file():
        return None
    if entry.stat().st_size > TEXT_BYTES_MAX:
        return None
    content = entry.read_bytes()
    return content if _tree_in_text(linked.tree).search(content) else None


def _tree_in_text(tree: Path) -> re.Pattern[bytes]:
    """Matches the path of a tree, but not one that only begins with the same letters."""
    return re.compile(re.escape(os.fsencode(tree)) + rb"(?![^/\s'\":;,)\]])")


def _sites(linked: Linked) -> tuple[Path, ...]:
    """Where a Python environment has its packages; nothing for other folders."""
    if not (linked.source / _ENVIRONMENT).is_file():
        return ()
    return tuple(sorted(site for site in linked.source.glob(_SITES) if not site.parent.is_symlink()))


def refuse_copies(linked: Linked) -> None:
    """WorldFailed when a Python environment has a copy of the tree's own code: that would be used, not the worker's."""
    for site in _sites(linked):
        for package, folder in (*_installed(site), *_led_to(site)):
            if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(linked.tree)):
                raise WorldFailed(
                    f"{linked.name} has {package} installed from {folder}: its copy would be tested, not the change",
                    "install only what the project depends on there, or the project itself in place (pip install -e)",
                )


class _Origin(Struct):
    """`direct_url.json` of a package that was installed from a place, by the specification of that name."""

    url: str = ""
    dir_info: dict[str, bool] | None = None


def _installed(site: Path) -> Iterator[tuple[str, Path]]:
    """The packages that were copied from a folder, each with that folder."""
    for file in sorted(site.glob("*.dist-info/direct_url.json")):
        try:
            origin = msgspec.json.decode(file.read_bytes(), type=_Origin)
        except (OSError, msgspec.MsgspecError):
            continue
        parts = urlsplit(origin.url)
        if parts.scheme == "file" and origin.dir_info is not None and not origin.dir_info.get("editable"):
            yield file.parent.name.partition("-")[0], Path(unquote(parts.path))


def _led_to(site: Path) -> Iterator[tuple[str, Path]]:
    """Folders that are named in another way than the tree itself is, so that they cannot be made to lead elsewhere."""
    for file in sorted(site.glob("*.pth")):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("/") and os.path.realpath(line) != os.path.normpath(line):
                yield file.name, Path(line)


def in_the_way(names: Iterable[str], tree: Collection[bytes]) -> tuple[str, ...]:
    """Say which of these folders a tree has itself, or cannot have because a file stands above or in their place."""
    return tuple(name for name in names if any(_meets(path, os.fsencode(name)) for path in tree))


def _meets(path: bytes, name: bytes) -> bool:
    return path == name or path.startswith(name + b"/") or name.startswith(path + b"/")


class Digests:
    """Tells the state of shared folders by the names, sizes, modes and times of their files; contents are not read."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[float, str]] = {}

    def of(self, folders: Iterable[Linked]) -> str:
        """One hash for all of them; empty when there are none."""
        found = [f"{one.name}\0{self._of_one(one.source)}" for one in folders]
        return hashlib.sha256("\0\0".join(found).encode("utf-8", "surrogateescape")).hexdigest() if found else ""

    def _of_one(self, source: Path) -> str:
        until, known = self._known.get(source, (0.0, ""))
        began = time.monotonic()
        if began < until:
            return known
        digest = hashlib.sha256()
        for path, mark in sorted(survey(source).items()):
            digest.update(path + f"\0{mark.mode} {mark.size} {mark.mtime_ns} {mark.inode}\0".encode("ascii"))
        ended = time.monotonic()
        self._known[source] = (ended + REST * (ended - began), digest.hexdigest())
        return digest.hexdigest()


def changed(linked: Linked, before: Survey) -> tuple[str, ...]:
    """List the files of a shared folder that are not as they were, as paths of the tree it is linked into."""
    after = survey(linked.source)
    paths = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    return tuple(f"{linked.name}/{path_text(path)}" for path in sorted(paths))
