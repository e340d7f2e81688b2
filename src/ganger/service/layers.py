"""Settings from several places, one over the other, with the place each effective value came from.

From weakest to strongest: built in, the user's file, the project's file, the environment, flags. A setting is known
by being asked for: what nobody asked for is, in the end, an unknown key.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

from msgspec import Struct

from ganger.errors import ConfigError
from ganger.plans.port import Faults
from ganger.plans.source import read_text
from ganger.plans.toml_file import parse as parse_toml
from ganger.plans.toml_lines import TomlLines
from ganger.plans.values import Unfit
from ganger.plans.wording import harmless, listed, shown

T = TypeVar("T")
Key: TypeAlias = tuple[str, ...]
"""`("fleet", "workers_max")`."""

Found: TypeAlias = tuple[T, object, tuple[str, int, str]]
"""A source's value of a key: parsed, raw, and its source, line and path."""

CONFIG_BYTES_MAX = 1024 * 1024
ENVIRONMENT_PREFIX = "GANGER_"
BUILT_IN = "built-in"
NO_LIMIT = "no limit"
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,12}\.[0-9]{1,12}")


class Setting(Struct, frozen=True):
    """The effective value of one key, for `ganger config explain`."""

    key: str
    value: str
    """As it would be written in the file, with characters that do not print written out; or `no limit`."""
    source: str
    """`built-in`, `user`, `project`, `environment` or `flag`."""
    line: int = 0
    """In the file of that source; 0 where there is none."""
    path: str = ""
    """The file, or the name of the environment variable."""
    overrides: tuple[str, ...] = ()
    """Weaker sources that say something else, weakest first; without the built-in value."""


class Layer:
    """One configuration file; a missing one has nothing in it."""

    def __init__(self, source: str, path: Path, label: str) -> None:
        self.source = source
        self.faults = Faults(label)
        text = self._read(path)
        data = parse_toml(text, self.faults)
        self.data = data or {}
        self.lines = TomlLines("" if data is None else text)

    def _read(self, path: Path) -> str:
        # A link that leads nowhere is a mistake and not a missing file.
        if not os.path.lexists(path):
            return ""
        try:
            return read_text(path, CONFIG_BYTES_MAX)
        except ConfigError as error:
            self.faults.error(0, error.message, error.hint)
            return ""

    def get(self, key: Key) -> object:
        """Give the raw value of a key; None when it is not set (TOML has no null)."""
        value: object = self.data
        for part in key:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return value


class Layers:
    """All places that a setting can come from."""

    def __init__(self, files: tuple[Layer, ...], environ: Mapping[str, str], flags: Mapping[str, str]) -> None:
        self.files = files
        self.settings: dict[Key, Setting] = {}
        self._environ = environ
        self._flags = flags
        self._faults = {(layer.source, layer.faults.path): layer.faults for layer in files}
        self._written = frozenset(layer.source for layer in files) - {BUILT_IN}
        self._of_texts = {"environment": Faults("environment"), "flag": Faults("flags")}
        self._scalars: dict[Key, None] = {}
        self._sections: set[Key] = set()

    def take(self, key: Key, parse: Callable[[object], T], default: object) -> T:
        """Give the effective value of a key, which the environment and flags can set too.

        `default` is the built-in value as a file would say it. A value that does not fit is recorded, also where a
        stronger one covers it, and passed over.
        """
        self.settings[key] = Setting(harmless(".".join(key)), written(default), BUILT_IN)
        effective = self._strongest(key, parse)
        return parse(default) if effective is None else effective

    def take_limit(self, key: Key, parse: Callable[[object], T]) -> T | None:
        """Give a limit that the environment and flags can set too; None where nobody has set one."""
        self.settings[key] = Setting(harmless(".".join(key)), NO_LIMIT, BUILT_IN)
        return self._strongest(key, parse)

    def take_from_files(self, key: Key, parse: Callable[[object], T]) -> T | None:
        """Give the effective value of a key that only files can set and that has no built-in value."""
        self.settings[key] = Setting(harmless(".".join(key)), "", BUILT_IN)
        effective = None
        for value, raw, source in self._in_files(key, parse):
            effective = value
            self._cover(key, raw, source)
        return effective

    def tables(self, *section: str) -> dict[str, list[str]]:
        """List the tables of a section, as in `[checks.NAME]`, with all keys that any file gives each."""
        self._sections.add(section)
        found: dict[str, list[str]] = {}
        for layer in self.files:
            outer = layer.get(section)
            for name, table in outer.items() if isinstance(outer, dict) else ():
                if isinstance(table, dict):
                    keys = found.setdefault(name, [])
                    keys.extend(key for key in table if key not in keys)
        return found

    def is_set(self, key: Key) -> bool:
        """Whether anybody has set a key: its value is not the built-in one."""
        return self.settings[key].source != BUILT_IN

    def is_written(self, key: Key) -> bool:
        """Whether the effective value of a key stands in a file, and not in the environment or a flag of this once."""
        return self.settings[key].source in self._written

    def error(self, keys: tuple[Key, ...], message: str, hint: str = "") -> None:
        """Record a fault where the first of `keys` that is set stands: a key, or the header of a table."""
        for key in keys:
            setting = self.settings.get(key)
            if setting and setting.source != BUILT_IN:
                faults = self._of_texts.get(setting.source) or self._faults[setting.source, setting.path]
                faults.error(setting.line, f"{shown_key(key)} {message}", hint)
                return
            for layer in reversed(self.files):
                if layer.get(key) is not None:
                    layer.faults.error(layer.lines.of(*key), f"{shown_key(key)} {message}", hint)
                    return

    def effective(self) -> tuple[Setting, ...]:
        """Give all settings that have a value, sorted by key."""
        every = (setting for setting in self.settings.values() if setting.value)
        return tuple(sorted(every, key=lambda setting: setting.key))

    def refuse_unknown(self) -> None:
        """Record every key that was not asked for."""
        for layer in self.files:
            self._refuse_in(layer, layer.data, ())
        self._refuse_environment(self._of_texts["environment"])
        scalars = [".".join(key) for key in self._scalars]
        for name in self._flags:
            if name not in scalars:
                faults = self._of_texts["flag"]
                faults.error(0, f"unknown key {shown(name)}", faults.suggest(name, scalars))

    def raise_faults(self) -> None:
        """Raise one ConfigError that lists everything recorded, if there is anything."""
        # A key that two parts of ganger ask for is wrong once.
        every = (*self._faults.values(), *self._of_texts.values())
        found = dict.fromkeys(fault.text for faults in every for fault in faults.in_order())
        if found:
            raise ConfigError("\n".join(found), "correct the configuration; nothing was changed")

    def _strongest(self, key: Key, parse: Callable[[object], T]) -> T | None:
        self._scalars[key] = None
        effective = None
        for value, raw, source in (*self._in_files(key, parse), *self._in_texts(key, parse)):
            effective = value
            self._cover(key, raw, source)
        return effective

    def _cover(self, key: Key, raw: object, source: tuple[str, int, str]) -> None:
        old = self.settings[key]
        covered = old.overrides if old.source == BUILT_IN else (*old.overrides, old.source)
        self.settings[key] = Setting(old.key, written(raw), *source, covered)

    def _in_files(self, key: Key, parse: Callable[[object], T]) -> Iterator[Found[T]]:
        for layer in self.files:
            raw = layer.get(key)
            if raw is None:
                continue
            try:
                yield parse(raw), raw, (layer.source, layer.lines.of(*key), layer.faults.path)
            except Unfit as unfit:
                layer.faults.error(layer.lines.of(*key), f"{shown_key(key)} {unfit.message}", unfit.hint)

    def _in_texts(self, key: Key, parse: Callable[[object], T]) -> Iterator[Found[T]]:
        variable, dotted = environment_name(key), ".".join(key)
        texts = (("environment", self._environ.get(variable), variable), ("flag", self._flags.get(dotted), ""))
        for source, text, path in texts:
            if text is None:
                continue
            try:
                yield *_parse_text(parse, text), (source, 0, path)
            except Unfit as unfit:
                self._of_texts[source].error(0, f"{shown(path or dotted)} {unfit.message}", unfit.hint)

    def _refuse_in(self, layer: Layer, table: dict[str, object], at: Key) -> None:
        for name, value in table.items():
            key = (*at, name)
            line = layer.lines.of(*key)
            if key in self.settings:
                continue
            if not self._has_below(key):
                layer.faults.error(line, f"unknown key {shown_key(key)}", self._near(layer.faults, key))
            elif isinstance(value, dict):
                self._refuse_in(layer, value, key)
            else:
                layer.faults.error(line, f"{shown_key(key)} must be a table", f"write [{shown_key(key)[1:-1]}]")

    def _has_below(self, key: Key) -> bool:
        """Whether anything known begins with `key`: a section, a table of one, or a table with settings in it."""
        if any(key[: len(section)] == section and len(key) <= len(section) + 1 for section in self._sections):
            return True
        return any(known[: len(key)] == key for known in self.settings)

    def _near(self, faults: Faults, key: Key) -> str:
        """Name the nearest known key: in the same table, or of the same name in another."""
        outer, last = key[:-1], key[-1]
        beside = {known[len(outer)] for known in self.settings if known[: len(outer)] == outer}
        inside = (section for section in self._sections if section[: len(outer)] == outer and len(section) > len(outer))
        beside |= {section[len(outer)] for section in inside}
        if hint := faults.suggest(last, sorted(beside)):
            return hint
        elsewhere = sorted(".".join(known) for known in self.settings if known[-1] == last)
        return f"did you mean {shown(elsewhere[0])}?" if elsewhere else f"known here: {listed(sorted(beside), 20)}"

    def _refuse_environment(self, faults: Faults) -> None:
        """Record variables that look like settings and are none; other variables of ganger's are left alone."""
        names = {environment_name(key): key for key in self._scalars}
        sections = tuple({f"{ENVIRONMENT_PREFIX}{key[0].upper()}_" for key in self._scalars})
        shortened = {f"{ENVIRONMENT_PREFIX}{key[-1].upper()}": name for name, key in names.items()}
        for name in sorted(self._environ):
            if name in names:
                continue
            if name in shortened:
                faults.error(0, f"unknown setting {shown(name)}", f"did you mean {shown(shortened[name])}?")
            elif name.startswith(sections):
                faults.error(0, f"unknown setting {shown(name)}", faults.suggest(name, sorted(names)))


def environment_name(key: Key) -> str:
    """Name the variable that sets a key: `GANGER_FLEET_WORKERS_MAX`."""
    return ENVIRONMENT_PREFIX + "_".join(key).upper()


def shown_key(key: Key) -> str:
    """Render a key in back-quotes, harmless and shortened."""
    return shown(".".join(key))


def written(raw: object) -> str:
    """Write a raw value as a file would say it, on one line that is safe to print."""
    if isinstance(raw, list | tuple):
        return "[" + ", ".join(written(one) for one in raw) + "]"
    if isinstance(raw, dict):
        return "{ " + ", ".join(f"{harmless(str(key))} = {written(one)}" for key, one in raw.items()) + " }"
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return harmless(json.dumps(raw, ensure_ascii=False))
    return harmless(str(raw))


def _parse_text(parse: Callable[[object], T], text: str) -> tuple[T, object]:
    """Parse a value that came as text: as text, or else as what it looks like; gives the raw value too."""
    raw: object
    try:
        return parse(text), text
    except Unfit:
        if _WHOLE_NUMBER.fullmatch(text):
            raw = int(text)
        elif _DECIMAL.fullmatch(text):
            raw = float(text)
        elif text in ("true", "false"):
            raw = text == "true"
        else:
            raise
    return parse(raw), raw
