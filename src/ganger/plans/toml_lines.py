"""On which lines the keys of a TOML text stand, which the standard library's parser does not tell."""

from __future__ import annotations

import bisect
import re
import tomllib
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the top: `("item", 3, "checks", 0, "run")`."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}'''
    r"""|'{3}.*?'{3,5}"""
    r'''|"(?:\\.|[^"\\\n])*"'''
    r"""|'[^'\n]*'"""
    r"""|[^,\]}\n#]+""",
    re.DOTALL,
)


class TomlLines:
    """The lines of one text that `tomllib` has accepted; of any other text it finds what it can."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[KeyPath, int] = {(): 1}
        self._counts: dict[KeyPath, int] = {}
        try:
            self._statements()
        except (_NotToml, RecursionError):
            # What was found so far stands; everything else answers with its table's header.
            return

    def of(self, *path: str | int) -> int:
        """Give the line (from 1) on which `path` is written, or else the nearest table or list around it."""
        for end in range(len(path), -1, -1):
            if (line := self._lines.get(path[:end])) is not None:
                return line
        raise AssertionError("the top always has a line")

    def _statements(self) -> None:
        table: KeyPath = ()
        while self._skip_blank() < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text.startswith("[", self._at):
                table = self._header(1)
            else:
                self._pair(table)

    def _header(self, brackets: int) -> KeyPath:
        line = self._line()
        self._at += brackets
        *outer, last = self._key()
        path: KeyPath = ()
        for part in outer:
            path = self._entered((*path, part))
        path = (*path, last)
        if brackets == 2:
            self._lines.setdefault(path, line)
            self._counts[path] = self._counts.get(path, 0) + 1
            path = self._entered(path)
        self._lines[path] = line
        self._skip_blank()
        self._at += brackets
        return path

    def _entered(self, path: KeyPath) -> KeyPath:
        """Step into the newest table where `path` is an array of tables."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._skip_blank()
        self._expect("=")
        self._value(path)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip_blank()
            match = _KEY_PART.match(self._text, self._at)
            if match is None:
                raise _NotToml
            self._at = match.end()
            raw = match.group()
            parts.append(raw if raw[0] not in "\"'" else _unquoted(raw))
            dot = _DOT.match(self._text, self._at)
            if dot is None:
                return parts
            self._at = dot.end()

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._elements(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            match = _SCALAR.match(self._text, self._at)
            if match is None:
                raise _NotToml
            self._at = match.end()

    def _elements(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() < len(self._text) and self._text[self._at] != "]":
            self._lines[*path, index] = self._line()
            self._value((*path, index))
            index += 1
            self._skip_comma()
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip_blank() < len(self._text) and self._text[self._at] != "}":
            self._pair(path)
            self._skip_comma()
        self._expect("}")

    def _skip_comma(self) -> None:
        if self._skip_blank() < len(self._text) and self._text[self._at] == ",":
            self._at += 1

    def _expect(self, char: str) -> None:
        if not self._text.startswith(char, self._at):
            raise _NotToml
        self._at += 1

    def _skip_blank(self) -> int:
        match = _BLANK.match(self._text, self._at)
        assert match is not None, "the pattern matches the empty text"
        self._at = match.end()
        return self._at

    def _line(self) -> int:
        return bisect.bisect_right(self._starts, self._at)


class _NotToml(ValueError):
    """The scanner met something that is not TOML."""


def _unquoted(raw: str) -> str:
    try:
        value = tomllib.loads(f"key = {raw}")["key"]
    except tomllib.TOMLDecodeError:
        raise _NotToml from None
    return str(value)
