"""Pruning: kept files of runs that ended long ago go into the trash, and the journal notes whose loss nobody saw.

Files go first, the record follows: whoever dies between the two leaves a run that is looked at again the next time,
finds nothing more to move, and is recorded then. Nothing is pruned on the word of a journal that cannot be read.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ganger.core.commands import RecordPruning
from ganger.core.ids import RunId
from ganger.core.patterns import PathRules
from ganger.errors import JournalCorrupt
from ganger.git.trash import to_trash
from ganger.journal import check
from ganger.journal.queries import Reader, RunRow
from ganger.journal.store import Store
from ganger.service import place
from ganger.service.fleet import Reply
from ganger.service.kept import DataClass, files_of


class Pruning(Struct, frozen=True):
    """What is to be pruned of one run."""

    run: RunId
    classes: tuple[DataClass, ...]
    """Those that there are files of, or were, and that are not recorded as pruned."""
    paths: tuple[Path, ...]
    """What is moved; empty when an earlier try got as far as that."""
    size: int
    """Bytes, without what cannot be read."""
    unreviewed: bool
    """Whether the item has not landed and no person has decided on it since the run ended."""


def prunings(state_dir: Path, classes: Iterable[DataClass], older_than_ms: int, now_ms: int) -> tuple[Pruning, ...]:
    """What there is to prune of runs that ended `older_than_ms` ago or earlier, the oldest first; changes nothing.

    JournalCorrupt when any entry of the journal does not hold or cannot be read.
    """
    live = _live_runs(state_dir / place.JOURNAL)
    wanted = tuple(sorted(set(classes)))
    reader = Reader(state_dir / place.JOURNAL)
    try:
        ended = [run for run in reader.runs_ended(now_ms - older_than_ms) if run.id not in live]
        found = [_pruning(reader, state_dir, run, wanted) for run in ended]
    finally:
        reader.close()
    return tuple(one for one in found if one.classes)


def carry_out(
    state_dir: Path, due: Iterable[Pruning], now_ms: int, submit: Callable[[RecordPruning], Reply]
) -> Iterator[tuple[Pruning, Reply]]:
    """Move the files of each into the trash and have it recorded; yields each with what the fleet replied."""
    for one in due:
        for path in one.paths:
            to_trash(state_dir, path, now_ms)
        names = tuple(name.value for name in one.classes)
        yield one, submit(RecordPruning(one.run, names, one.unreviewed))


def _live_runs(journal: Path) -> frozenset[str]:
    """The live runs, folded from a journal all of which was looked at."""
    Reader(journal).close()
    store = Store(journal)
    try:
        verified = check.verify(store)
        if verified.faults:
            raise JournalCorrupt(
                f"{journal}: {verified.fault}; nothing is pruned", verified.fault_seq, "ganger journal verify says more"
            )
        return frozenset(check.refold(store, PathRules()).runs)
    finally:
        store.close()


def _pruning(reader: Reader, state_dir: Path, run: RunRow, wanted: tuple[DataClass, ...]) -> Pruning:
    recorded = {name for row in reader.prunings(run.id) for name in json.loads(row.classes)}
    there = [(name, path) for name, path in files_of(state_dir, run.id) if name in wanted]
    paths = tuple(path for _, path in there)
    once = _once_there(reader, run.id)
    present = {name for name, _ in there}
    classes = tuple(name for name in wanted if name in present or (name in once and name not in recorded))
    return Pruning(RunId(run.id), classes, paths, sum(map(_size, paths)), not reader.is_decided(run))


def _once_there(reader: Reader, run: str) -> set[DataClass]:
    """The classes that there must have been files of, as the journal tells."""
    turns = reader.turns(run)
    found = {DataClass.prompts, DataClass.output} if turns else set[DataClass]()
    logs = [one["log"] for turn in turns if turn.evidence for one in json.loads(turn.evidence)["checks"]]
    return found | ({DataClass.checks} if any(logs) else set())


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder however deep; links count as themselves and are not followed."""
    size, left = 0, [path]
    while left:
        at = left.pop()
        with suppress(OSError):
            found = at.lstat()
            if stat.S_ISDIR(found.st_mode):
                left += at.iterdir()
            else:
                size += found.st_size
    return size
