"""Installed packages that bring kinds: `kinds/*.md` and `rules.md` in their folder, found without importing them.

The user's own configuration names them, in `rules.packages`; nothing looks for packages that nobody named, and no code
of one is run.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple
from zipimport import zipimporter

from ganger.plans import values
from ganger.plans.values import Unfit
from ganger.plans.wording import shown
from ganger.service.layers import Key, Layer, Layers, shown_key

PACKAGES: Key = ("rules", "packages")
KINDS, RULES_FILE = "kinds", "rules.md"


class Shipped(NamedTuple):
    """An installed package that brings kinds."""

    name: str
    folder: Path

    @property
    def source(self) -> str:
        """As in `layers.Setting.source`."""
        return f"package {self.name}"


def names(value: object) -> tuple[str, ...]:
    """Take a list of names of top-level packages, weakest first."""
    found = values.texts(value)
    for at, name in enumerate(found):
        if not name.isidentifier():
            hint = "name the outermost package" if "." in name else 'as in packages = ["acme_kinds"]'
            raise Unfit(f"holds {shown(name)}, which is no name of a top-level package", hint)
        if name in found[:at]:
            raise Unfit(f"names {shown(name)} twice")
    return found


def find_named(user: Layer | None, repo_top: Path) -> tuple[Shipped, ...]:
    """Find the packages that the user's file names, weakest first; what is wrong with one is recorded there.

    A value that is no list of names is left to whoever asks `layers` for it.
    """
    raw = None if user is None else user.get(PACKAGES)
    if user is None or raw is None:
        return ()
    try:
        wanted = names(raw)
    except Unfit:
        return ()
    importlib.invalidate_caches()
    found = []
    for name in wanted:
        try:
            found.append(Shipped(name, _folder_of(name, repo_top)))
        except Unfit as unfit:
            user.faults.error(user.lines.of(*PACKAGES), f"{shown_key(PACKAGES)} {unfit.message}", unfit.hint)
    return tuple(found)


def refuse_of_project(layers: Layers) -> None:
    """Record that the repository names packages: what those say, workers would be told in its user's name."""
    layers.take_from_files(PACKAGES, names)
    for layer in layers.files:
        if layer.source == "project" and layer.get(PACKAGES) is not None:
            message = f"{shown_key(PACKAGES)} cannot be set by a repository: what packages say counts as the user's own"
            layer.faults.error(layer.lines.of(*PACKAGES), message, "name them in your own config.toml")


def _folder_of(name: str, repo_top: Path) -> Path:
    """The folder of a package that brings kinds; Unfit says why it has none that could be read."""
    spec = _spec(name)
    if spec is None:
        where = f"{sys.executable} -m pip install PACKAGE puts it there"
        raise Unfit(f"names {shown(name)}, which is not installed where ganger is", where)
    if spec.submodule_search_locations is None:
        raise Unfit(f"names {shown(name)}, a module without a folder", "name a package")
    if isinstance(spec.loader, zipimporter):
        raise Unfit(f"names {shown(name)}, which lies in an archive: {spec.origin}", "install it as files")
    if spec.origin is None or not spec.has_location:
        places = ", ".join(map(str, spec.submodule_search_locations))
        raise Unfit(
            f"names {shown(name)}, a namespace package without a folder of its own: {places}", "it lacks __init__.py"
        )
    folder = Path(spec.origin).parent
    if _is_of_repository(folder, repo_top):
        hint = "a repository's kinds lie in its .ganger, where you agree to them"
        raise Unfit(f"names {shown(name)}, which this repository brings itself: {folder}", hint)
    if not (folder / KINDS).is_dir() and not (folder / RULES_FILE).exists():
        raise Unfit(f"names {shown(name)}, which brings no kinds", f"{folder} has neither {KINDS}/ nor {RULES_FILE}")
    return folder


def _spec(name: str) -> ModuleSpec | None:
    """What importing that name would load, without doing so; the working directory, anybody's, is not looked into."""
    here = os.path.realpath(Path.cwd())
    entries = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]
    return next(_found(name, entries), None)


def _found(name: str, entries: list[str]) -> Iterator[ModuleSpec]:
    for finder in sys.meta_path:
        spec = PathFinder.find_spec(name, entries) if finder is PathFinder else finder.find_spec(name, None)
        if spec is not None:
            yield spec


def _is_of_repository(folder: Path, repo_top: Path) -> bool:
    """Whether a package is part of the repository, and not of an environment that only lies in its folder."""
    place, top = Path(os.path.realpath(folder)), Path(os.path.realpath(repo_top))
    installed = (os.path.realpath(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))
    return place.is_relative_to(top) and not any(place.is_relative_to(site) for site in installed)
