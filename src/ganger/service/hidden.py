"""The keys of agents' providers, kept out of what ganger keeps: what workers print, say and remember.

A worker that has a key can print it. It is overwritten where it stands as it is, by as many asterisks, so that whoever
reads on finds every place where it was; another form of it (base64, backwards) is not known.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ganger.git.beneath import directory

KEY_CHARS_MIN = 12
"""Shorter ones are no keys of a provider; anything might look like them."""
_CHUNK = 1 << 20


class Hidden:
    """Values that are to stand nowhere."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        kept = {value.encode(errors="surrogateescape") for value in values if len(value) >= KEY_CHARS_MIN}
        self._values = tuple(sorted(kept, key=len, reverse=True))

    def data(self, data: bytes) -> bytes:
        """The same, as long as before, without them."""
        for value in self._values:
            data = data.replace(value, b"*" * len(value))
        return data

    def text(self, text: str) -> str:
        """The same without them."""
        for value in self._values:
            text = text.replace(value.decode(errors="surrogateescape"), "*" * len(value))
        return text

    def below(self, top: Path) -> None:
        """Overwrite them in every plain file below a folder that a worker may have written; follow no link."""
        if not self._values:
            return
        with suppress(OSError), directory(top) as at:
            for _, _, names, folder in os.fwalk(".", dir_fd=at, follow_symlinks=False):
                for name in names:
                    with suppress(OSError):
                        self.file(name, folder)

    def file(self, name: str, at: int) -> None:
        """Overwrite them in a plain file that has no other name; OSError when it cannot be opened."""
        if not self._values:
            return
        handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        try:
            found = os.fstat(handle)
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                self._in_file(handle)
        finally:
            os.close(handle)

    def _in_file(self, handle: int) -> None:
        overlap = len(self._values[0]) - 1
        offset, before = 0, b""
        while chunk := os.pread(handle, _CHUNK, offset):
            seen, start = before + chunk, offset - len(before)
            for value in self._values:
                place = seen.find(value)
                while place >= 0:
                    os.pwrite(handle, b"*" * len(value), start + place)
                    place = seen.find(value, place + len(value))
            offset += len(chunk)
            # As it was: one value can begin another.
            before = seen[-overlap:]


def of_environment(names: Iterable[str], environ: Mapping[str, str]) -> Hidden:
    """What these variables hold, where they are set."""
    return Hidden(environ[name] for name in names if environ.get(name))
