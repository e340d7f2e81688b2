"""Every way a power cut could leave the files, given what was recorded up to then (crash-state enumeration).

Until it is synced, each change can reach the platter, not reach it, reach it before an older one, or reach it in part:
only a beginning or an end of a write, cut at a sector or in the middle of one, or only the size without the data.
What is not modelled: sectors that hold something else than the old or the new bytes, and syncs that lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from random import Random
from typing import assert_never

from msgspec import Struct

from ganger.testing.recording_disk import Acknowledged, Change, Created, Operation, Removed, Synced, Truncated, Wrote

SECTOR = 512
SINGLES_MAX = 64
"""Of the changes pending at a moment, how many of the newest are each tried alone; subsets of all are drawn too."""
DRAWN = 8
"""Random subsets at each moment, unless more are asked for."""


class Part(StrEnum):
    """What of a change reached the platter."""

    all = "all"
    none = "none"
    beginning = "beginning"
    """The bytes before the cut."""
    end = "end"
    """The bytes from the cut on."""
    size = "size"
    """The file is as long as it would be; where it grew there are zeros."""


class Rest(StrEnum):
    """What became of the other pending changes."""

    kept = "kept"
    lost = "lost"
    earlier = "earlier"
    """The older ones were kept, the younger ones lost."""
    drawn = "drawn"
    """Each at random."""


class Moment(Struct, frozen=True):
    """What stood where after a number of recorded operations."""

    after: int
    durable: dict[int, bytes]
    """Each file's synced content."""
    names: dict[str, int]
    """The synced names and their files."""
    pending: tuple[Change, ...]
    owed: dict[int, bytes]
    """Body by position of every entry that was acknowledged."""


class Cut(Struct, frozen=True):
    """One outcome of a power cut at a moment."""

    rest: Rest
    at: int = -1
    """The pending change that has a fate of its own; -1 for none."""
    part: Part = Part.none
    where: int = 0
    """The byte of that change at which it was torn; the seed for `Rest.drawn`."""


def moments(log: Iterable[Operation], heed_syncs: bool = True) -> Iterator[Moment]:
    """Give what stood where after each operation of a recording, the first one after one operation.

    Without `heed_syncs` nothing ever becomes durable: what a disk that does not sync would leave.
    """
    durable: dict[int, bytes] = {}
    names: dict[str, int] = {}
    pending: tuple[Change, ...] = ()
    owed: dict[int, bytes] = {}
    for after, operation in enumerate(log, 1):
        match operation:
            case Synced() if heed_syncs:
                done = tuple(change for change in pending if _is_done(change, operation))
                durable, names = _applied(durable, names, ((change, Part.all, 0) for change in done))
                pending = tuple(change for change in pending if not _is_done(change, operation))
            case Synced():
                pass
            case Acknowledged():
                owed = {**owed, **dict(operation.entries)}
            case _:
                pending = (*pending, operation)
        yield Moment(after, durable, names, pending, owed)


def _is_done(change: Change, sync: Synced) -> bool:
    if isinstance(change, Created | Removed):
        return sync.folder
    return change.file == sync.file


def cuts(moment: Moment, drawn: int = DRAWN) -> Iterator[Cut]:
    """List what a power cut at a moment could leave; the same list each time, `drawn` random subsets at its end."""
    yield Cut(Rest.lost)
    if not moment.pending:
        return
    yield Cut(Rest.kept)
    for at in range(max(0, len(moment.pending) - SINGLES_MAX), len(moment.pending)):
        yield Cut(Rest.kept, at, Part.none)
        yield Cut(Rest.lost, at, Part.all)
        for part, where in _tears(moment.pending[at]):
            yield Cut(Rest.kept, at, part, where)
            yield Cut(Rest.earlier, at, part, where)
    for number in range(drawn):
        yield Cut(Rest.drawn, where=number)


def _tears(change: Change) -> Iterator[tuple[Part, int]]:
    if not isinstance(change, Wrote):
        return
    yield Part.size, 0
    length = len(change.data)
    for where in range(SECTOR - change.offset % SECTOR, length, SECTOR):
        yield Part.beginning, where
        yield Part.end, where
    for where in sorted({1, length // 2 | 1, length - 1} & set(range(1, length))):
        yield Part.beginning, where


def files_after(moment: Moment, cut: Cut) -> dict[str, bytes]:
    """What is in the folder when the power is back: content by name."""
    rng = Random(f"{moment.after} {cut.where}")  # noqa: S311 - which bytes are lost, not a secret
    fates = [_fate(number, change, cut, rng) for number, change in enumerate(moment.pending)]
    durable, names = _applied(moment.durable, moment.names, fates)
    return {name: durable.get(file, b"") for name, file in names.items()}


def _fate(number: int, change: Change, cut: Cut, rng: Random) -> tuple[Change, Part, int]:
    if number == cut.at:
        return change, cut.part, cut.where
    match cut.rest:
        case Rest.kept:
            return change, Part.all, 0
        case Rest.lost:
            return change, Part.none, 0
        case Rest.earlier:
            return change, Part.all if number < cut.at else Part.none, 0
        case Rest.drawn:
            parts = list(Part) if isinstance(change, Wrote) else [Part.all, Part.none]
            part = rng.choice((Part.all, Part.all, Part.none, *parts))
            return change, part, rng.randrange(len(change.data) + 1) if isinstance(change, Wrote) else 0
        case _:
            assert_never(cut.rest)


def _applied(
    durable: dict[int, bytes], names: dict[str, int], fates: Iterable[tuple[Change, Part, int]]
) -> tuple[dict[int, bytes], dict[str, int]]:
    contents: dict[int, bytearray] = {}
    names = dict(names)
    for change, part, where in fates:
        if part is Part.none:
            continue
        match change:
            case Created():
                names[change.name] = change.file
            case Removed():
                names.pop(change.name, None)
            case Wrote() | Truncated():
                content = contents.setdefault(change.file, bytearray(durable.get(change.file, b"")))
                _put(content, change, part, where)
            case _:
                assert_never(change)
    return {**durable, **{file: bytes(content) for file, content in contents.items()}}, names


def _put(content: bytearray, change: Wrote | Truncated, part: Part, where: int) -> None:
    """Let what reached the platter of one change show in a file's content."""
    if isinstance(change, Truncated):
        _grow(content, change.size)
        del content[change.size :]
        return
    start, end = change.offset, change.offset + len(change.data)
    match part:
        case Part.beginning:
            end = start + where
        case Part.end:
            start += where
        case Part.size:
            _grow(content, end)
            return
        case Part.all | Part.none:
            pass
        case _:
            assert_never(part)
    _grow(content, end)
    content[start:end] = change.data[start - change.offset : end - change.offset]


def _grow(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))
