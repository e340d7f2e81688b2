"""A disk that writes down everything SQLite asks of it, in order, so that every power cut can be tried afterwards.

While a `RecordingDisk` is entered, databases of this process are opened on it unless they name another VFS. The real
files are written as usual, with the locks and the shared memory of SQLite's own unix VFS.

What is seen are the calls at the seam between SQLite and its VFS. What the unix VFS does below it is known, not seen:
the first sync of a log or rollback journal by a handle also syncs the folder it is in, and so does a removal that asks
for it (`os_unix.c`, `UNIXFILE_DIRSYNC`; seen with strace on SQLite 3.54). The folder's own place in its parent is not
SQLite's matter and not recorded, nor is the shared memory, which SQLite makes anew after a power cut.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import apsw
from msgspec import Struct


class Created(Struct, frozen=True):
    """A name in the folder got a new, empty file."""

    name: str
    file: int
    """Number of the file; never used again, so that a name can have several files one after the other."""


class Wrote(Struct, frozen=True):
    """Bytes were put into a file."""

    file: int
    offset: int
    data: bytes


class Truncated(Struct, frozen=True):
    """A file was cut to a size (bytes)."""

    file: int
    size: int


class Removed(Struct, frozen=True):
    """A name was taken out of the folder."""

    name: str


class Synced(Struct, frozen=True):
    """Everything done to a file before this is durable; so are all names, if `folder`. File 0 is the folder alone."""

    file: int
    folder: bool = False


class Acknowledged(Struct, frozen=True):
    """Somebody was told that these entries, each position with its body, are in the journal."""

    entries: tuple[tuple[int, bytes], ...]


Change: TypeAlias = Created | Wrote | Truncated | Removed
"""What a power cut can lose, until it is synced."""
Operation: TypeAlias = Change | Synced | Acknowledged


class RecordingDisk(apsw.VFS):
    """Records what is done to the files of a folder that was empty when recording began."""

    NAME = "recording"

    def __init__(self) -> None:
        super().__init__(self.NAME, "unix", makedefault=True)
        self.log: list[Operation] = []
        self._files: dict[str, int] = {}
        self._created = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next database be opened on the disk that was the default before."""
        self.unregister()

    def acknowledge(self, *entries: tuple[int, bytes]) -> None:
        """Note that these entries are owed from here on."""
        self.log.append(Acknowledged(entries))

    def number(self, name: str) -> int:
        """The file that has this name; a new one is noted for a name that has none."""
        if name not in self._files:
            self._created += 1
            self._files[name] = self._created
            self.log.append(Created(name, self._created))
        return self._files[name]

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a file; nameless ones are SQLite's own scratch and mean nothing after a power cut."""
        if name is None:
            return apsw.VFSFile("unix", name, flags)
        return RecordedFile(self, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:
        """Remove a file."""
        super().xDelete(name, sync_folder)
        short = Path(name).name
        if self._files.pop(short, 0):
            self.log.append(Removed(short))
        if sync_folder:
            self.log.append(Synced(0, folder=True))


class RecordedFile(apsw.VFSFile):
    """A handle on one file of a `RecordingDisk`."""

    def __init__(self, disk: RecordingDisk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._file = disk.number(Path(path).name)
        logs = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
        self._syncs_folder = bool(flags[0] & apsw.SQLITE_OPEN_CREATE) and bool(flags[0] & logs)

    def xWrite(self, data: bytes, offset: int) -> None:
        """Write."""
        super().xWrite(data, offset)
        self._disk.log.append(Wrote(self._file, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        """Cut."""
        super().xTruncate(size)
        self._disk.log.append(Truncated(self._file, size))

    def xSync(self, flags: int) -> None:
        """Sync, for the first time together with the folder if this is a log."""
        super().xSync(flags)
        self._disk.log.append(Synced(self._file, self._syncs_folder))
        self._syncs_folder = False
