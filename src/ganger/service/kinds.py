"""Kinds as files: settings in TOML between two lines of `+++`, and below them what workers of that kind are told.

    +++
    intent = "Finds something out and reports it; changes nothing."
    writes = "none"
    +++
    - Name for each finding the file and line that shows it.

A kind is called as its file. From weakest to strongest: those that ship with ganger, those of installed packages that
the user's configuration names (`kind_packages`), `kinds/NAME.md` beside that configuration, `.ganger/kinds/NAME.md` of
the project. The settings are those of `[kinds.NAME]`, and a stronger place wins key by key; the texts stand one behind
the other. `rules.md` beside each `kinds` folder holds what every worker is told, whatever its kind: a place adds to it,
and none takes anything away.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from ganger.errors import ConfigError
from ganger.plans.port import Faults
from ganger.plans.source import read_text
from ganger.plans.toml_file import parse as parse_toml
from ganger.plans.toml_lines import TomlLines
from ganger.service.kind_packages import KINDS, RULES_FILE, Shipped
from ganger.service.layers import BUILT_IN, Layer

FENCE = "+++"
RULES = "rules"
"""What the file with the rules for all kinds is called; no kind can be called so."""
BYTES_MAX = 64 * 1024
FILES_MAX = 200
PROJECT_FOLDER = ".ganger"
_PACKAGED = Path(__file__).parents[1] / "kinds"


class Place(NamedTuple):
    """Where files of kinds can lie."""

    source: str
    """As in `layers.Setting.source`."""
    folder: Path
    rules: Path
    label: Callable[[Path], str]
    """How messages name a file of it."""
    must_be: bool = False
    """Whether it is a fault that nothing is there."""


class Told(Struct, frozen=True):
    """What one file says to workers."""

    source: str
    path: str
    text: str
    """Empty where the file has settings only."""
    sha256: str
    """Of the whole file, settings included."""


class Rulebook(Struct, frozen=True):
    """What workers are told besides their item."""

    base: tuple[Told, ...] = ()
    """In force for every kind, weakest place first."""
    kinds: Mapping[str, tuple[Told, ...]] = {}
    """The files of each kind, weakest place first."""
    intents: Mapping[str, str] = {}

    def told(self, kind: str) -> str:
        """What a worker of a kind is told: the rules for all, then what is said of its kind; may be empty."""
        base = [one.text for one in self.base if one.text]
        own = [text for text in (self.intents.get(kind, ""), *(one.text for one in self.kinds.get(kind, ()))) if text]
        sections = ["## Rules", *base] if base else []
        return "\n\n".join([*sections, *([f"## As a {kind}", *own] if own else [])])

    def files_of(self, kind: str) -> tuple[Told, ...]:
        """The files from which that comes."""
        return (*self.base, *self.kinds.get(kind, ()))

    @property
    def of_project(self) -> tuple[Told, ...]:
        """The files that the repository brings with it, sorted by path: a person agrees to them."""
        every = (*self.base, *(one for files in self.kinds.values() for one in files))
        return tuple(sorted((one for one in every if one.source == "project"), key=lambda one: one.path))

    @property
    def digest(self) -> str:
        """What a person agrees to: SHA-256 over the project's files, of which there may be none, in hexadecimal."""
        found = "".join(f"{one.sha256} {one.path}\n" for one in self.of_project)
        return hashlib.sha256(f"told to workers:\n{found}".encode(errors="backslashreplace")).hexdigest()


NO_RULES = Rulebook()


class ToldFile(Layer):
    """A file of a kind, as a layer of `[kinds.NAME]`; or one with rules, which sets nothing."""

    def __init__(self, source: str, path: Path, label: str, kind: str = "") -> None:
        self.source, self.faults, self.kind = source, Faults(label), kind
        content = self._read(path)
        front, text = split(content, self.faults)
        if not kind and front:
            self.faults.error(1, "holds settings, and these rules are for every kind", "put them into a kind's file")
        # An empty line in the place of the opening fence: lines keep their numbers.
        settings = parse_toml(f"\n{front}", self.faults) if kind else {}
        self.data = {"kinds": {kind: settings}} if kind and settings is not None else {}
        self.lines = _FrontLines(f"\n{front}")
        _refuse_hidden(content, self.faults)
        digest = hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()
        self.told = Told(source, label, text.strip(), digest)

    def _read(self, path: Path) -> str:
        try:
            return read_text(path, BYTES_MAX)
        except ConfigError as error:
            self.faults.error(0, error.message, error.hint)
            return ""


class _FrontLines(TomlLines):
    """The lines of a front matter's keys, by their place in `[kinds.NAME]`."""

    def of(self, *path: str | int) -> int:
        return super().of(*path[2:])


def split(content: str, faults: Faults) -> tuple[str, str]:
    """Split a file into its settings and its text; without an opening fence all of it is text."""
    first, _, rest = content.partition("\n")
    if first.rstrip() == "---":
        faults.error(1, "begins with `---`", f"settings are TOML, between two lines of `{FENCE}`")
    if first.rstrip() != FENCE:
        return "", content
    lines = rest.split("\n")
    end = next((number for number, line in enumerate(lines) if line.rstrip() == FENCE), None)
    if end is None:
        faults.error(1, f"opens its settings with `{FENCE}` and does not close them", f"end them with `{FENCE}`")
        return "", ""
    return "\n".join(lines[:end]), "\n".join(lines[end + 1 :])


def _refuse_hidden(content: str, faults: Faults) -> None:
    """Record the first character that would be told to an agent and not be seen by the person who agrees."""
    for number, line in enumerate(content.split("\n"), 1):
        hidden = next((char for char in line if not char.isprintable() and char != "\t"), "")
        if hidden:
            faults.error(number, f"holds U+{ord(hidden):04X}, which does not show", "take it out")
            return


def places(repo_top: Path, user_config: Path | None, packages: Iterable[Shipped] = ()) -> tuple[Place, ...]:
    """Where files of kinds can lie, weakest first; `user_config` is the user's configuration file, if there can be."""
    found = [Place(BUILT_IN, _PACKAGED, _PACKAGED / RULES_FILE, lambda path: f"ganger/kinds/{path.name}")]
    found += [Place(one.source, one.folder / KINDS, one.folder / RULES_FILE, str, must_be=True) for one in packages]
    if user_config is not None:
        own = user_config.parent
        found.append(Place("user", own / KINDS, own / RULES_FILE, str))
    project = repo_top / PROJECT_FOLDER

    def below(path: Path) -> str:
        return str(path.relative_to(repo_top))

    return (*found, Place("project", project / KINDS, project / RULES_FILE, below))


def read_place(place: Place) -> tuple[ToldFile, ...]:
    """Read the files of one place: its rules first, then its kinds by name; faults are in the files."""
    # A link that leads nowhere is a mistake and not a missing file.
    rules = [place.rules] if os.path.lexists(place.rules) else []
    found = [ToldFile(place.source, path, place.label(path)) for path in rules]
    paths = listed_in(place.folder)
    for path in paths[:FILES_MAX]:
        if path == place.rules:
            continue
        found.append(ToldFile(place.source, path, place.label(path), path.stem if path != place.folder else ""))
        if path.stem == RULES:
            found[-1].faults.error(0, "is the name of no kind", "rules for every kind lie beside the folder `kinds`")
    if place.must_be and not found:
        found.append(ToldFile(place.source, place.folder, place.label(place.folder)))
    if len(paths) > FILES_MAX:
        found[-1].faults.error(0, f"is the last of {FILES_MAX} files that are read, and there are {len(paths)}")
    return tuple(found)


def listed_in(folder: Path) -> list[Path]:
    """The files of kinds in a folder; the folder itself, which then has the fault, where that cannot be looked into."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".md" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError:
        return [folder]


def rulebook(files: Iterable[ToldFile], intents: Mapping[str, str]) -> Rulebook:
    """Put together what workers are told; `files` come weakest first."""
    base, kinds = [], dict[str, tuple[Told, ...]]()
    for file in files:
        if file.kind:
            kinds[file.kind] = (*kinds.get(file.kind, ()), file.told)
        else:
            base.append(file.told)
    return Rulebook(tuple(base), kinds, intents)


def read_again(where: tuple[Place, ...], before: Rulebook) -> Rulebook:
    """Read what workers are told anew; settings, intents among them, stay as they were. ConfigError names faults."""
    files = [file for place in where for file in read_place(place)]
    faults = [fault.text for file in files for fault in file.faults.in_order()]
    if faults:
        raise ConfigError("\n".join(faults), "correct them; what was told before stays in force")
    return rulebook(files, before.intents)


class InForce(NamedTuple):
    """What is told to workers that start now."""

    rulebook: Rulebook = NO_RULES
    left_out: str = ""
    """Why something newer that lies on disk is not in force; empty when nothing is."""


class Rules:
    """What workers are told at each start: read anew, and in force where a person has agreed to it."""

    def __init__(self, where: tuple[Place, ...], begun: Rulebook, is_agreed: Callable[[str], bool]) -> None:
        """`begun` is what somebody agreed to when the supervisor began; `is_agreed` knows a digest of the project's."""
        self._where, self._last, self._is_agreed = where, begun, is_agreed

    def now(self) -> InForce:
        """What is in force; where the newest cannot be, all of it stays as it was at the start before."""
        try:
            found = read_again(self._where, self._last)
        except ConfigError as error:
            return InForce(self._last, error.message)
        if found.digest == self._last.digest or self._is_agreed(found.digest):
            self._last = found
            return InForce(found)
        names = ", ".join(_differing(self._last, found))
        return InForce(self._last, f"nobody has agreed to {names} as it is now")


def _differing(before: Rulebook, found: Rulebook) -> list[str]:
    """The project's files that are new, gone or others."""
    known, seen = ({one.path: one.sha256 for one in book.of_project} for book in (before, found))
    return sorted(path for path in known | seen if known.get(path) != seen.get(path))
