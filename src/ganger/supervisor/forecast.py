"""Conflicts seen before they happen: live workspaces compared two by two, again only where one of them has changed.

What is foreseen is no fact about the fleet and changes by the minute, so it is kept beside the journal, in one file.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId
from ganger.errors import GangerError
from ganger.git import workspace
from ganger.git.forecast import Grade, Pair, Touch, common, touches
from ganger.git.hub import Hub
from ganger.git.looking import Ground, fetch_together, look
from ganger.supervisor.artefacts import walk

log = logging.getLogger("ganger.supervisor")
FILE = "forecast.json"
EVERY_MS = 10_000
"""Between the beginnings of two looks."""
PAIRS_MAX = 10_000
"""Pairs remembered, among them those that cannot come back."""
NAMED_MAX = 5
AT_ONCE = min(4, os.cpu_count() or 1)
"""Workspaces frozen at a time; nearly all of it is waiting for git."""


class Foreseen(Struct, frozen=True, omit_defaults=True):
    """Two runs whose changes meet."""

    run: RunId
    """The one that began later."""
    other: RunId
    grade: str
    """`same-file`, `adjacent`, `ungradable` or `same-lines`."""
    paths: tuple[str, ...]
    conflicts: tuple[str, ...] = ()
    """Files that would not merge as they are."""

    @property
    def needs_person(self) -> bool:
        """Whether it cannot be told how closely they meet, so that somebody has to look."""
        return self.grade == Grade.ungradable.label


class Forecast(Struct, frozen=True):
    """What was foreseen at one look."""

    at_ms: int
    runs: tuple[RunId, ...]
    """Those compared."""
    foreseen: tuple[Foreseen, ...] = ()
    unseen: tuple[tuple[RunId, str], ...] = ()
    """Workspaces that could not be looked at, and why."""


Mark = tuple[Commit | None, int]
"""Where the branch of a workspace is, and a number that is another when its files are."""


class Seer:
    """Looks at workspaces; knows what has not changed since the last look."""

    def __init__(self, hub: Hub, place_of: Callable[[str], Path]) -> None:
        self._hub, self._place_of = hub, place_of
        self._marks: dict[RunId, Mark] = {}
        self._commits: dict[RunId, Commit] = {}
        self._grounds: dict[RunId, Ground] = {}
        self._touches: dict[tuple[Commit, Commit], Touch] = {}
        self.snapshots = self.merges = 0
        """Workspaces frozen and pairs merged so far."""

    def look(self, runs: Sequence[Run], now_ms: int) -> Forecast:
        """Compare the workspaces of these runs as they are; those that cannot be read are named, and left out.

        Left out are also those that are links: checkouts that several runs share, who change nothing.
        """
        own = [run for run in runs if not self._place_of(run.id).is_symlink()]
        ordered = sorted(own, key=lambda run: run.lease.token)
        for gone in self._marks.keys() - {run.id for run in ordered}:
            self._forget(gone)
        unseen = self._freeze(ordered)
        seen = [run.id for run in ordered if run.id in self._commits]
        pairs = [(one, other) for one, other in combinations(seen, 2) if self._commits[one] != self._commits[other]]
        self._merge([(self._commits[one], self._commits[other]) for one, other in pairs], self._bases(ordered, pairs))
        foreseen = []
        for one, other in pairs:
            touch = self._touches[self._commits[one], self._commits[other]]
            if touch.conflicts or touch.grade is not Grade.none:
                foreseen.append(Foreseen(other, one, touch.grade.label, touch.paths, touch.conflicts))
        foreseen.sort(key=lambda found: (not found.conflicts, -RANK[found.grade], found.run, found.other))
        return Forecast(now_ms, tuple(seen), tuple(foreseen), tuple(unseen))

    def _freeze(self, runs: Sequence[Run]) -> list[tuple[RunId, str]]:
        """Have what changed workspaces hold as commits in the hub; say of which that cannot be, and why."""
        marks = {run.id: self._mark(run) for run in runs}
        changed = [run for run in runs if self._marks.get(run.id) != marks[run.id]]
        if not changed:
            return []
        fetch_together(self._hub, [(self._place_of(run.id), run.id) for run in changed])
        with ThreadPoolExecutor(AT_ONCE, "forecast") as pool:
            looks = list(pool.map(self._look, changed))
        unseen = []
        for run, found in zip(changed, looks, strict=True):
            if isinstance(found, GangerError):
                self._forget(run.id)
                unseen.append((run.id, found.message))
            else:
                self.snapshots += 1
                self._commits[run.id], self._grounds[run.id] = found
                self._marks[run.id] = marks[run.id]
        return unseen

    def _mark(self, run: Run) -> Mark:
        place = self._place_of(run.id)
        return workspace.tip(place, run.id), [found for found in walk(place) if found is not None][-1]

    def _look(self, run: Run) -> tuple[Commit, Ground] | GangerError:
        try:
            return look(self._hub, self._place_of(run.id), run.id, run.base, self._grounds.get(run.id))
        except GangerError as error:
            return error

    def _forget(self, run: RunId) -> None:
        self._marks.pop(run, None)
        self._commits.pop(run, None)
        self._grounds.pop(run, None)

    def _bases(self, runs: Sequence[Run], pairs: Sequence[tuple[RunId, RunId]]) -> Mapping[Pair, Commit]:
        """Where two runs parted, when each has only commits of its own since its base: where their bases did."""
        base_of = {run.id: run.base for run in runs}
        found = {}
        for one, other in pairs:
            if self._grounds[one].is_linear and self._grounds[other].is_linear:
                same = base_of[one] == base_of[other]
                base = base_of[one] if same else common(self._hub, base_of[one], base_of[other])
                if base is not None:
                    found[self._commits[one], self._commits[other]] = base
        return found

    def _merge(self, pairs: Sequence[Pair], bases: Mapping[Pair, Commit]) -> None:
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in self._touches]
        if len(self._touches) > PAIRS_MAX:
            self._touches = {pair: self._touches[pair] for pair in pairs if pair in self._touches}
        if fresh:
            self.merges += len(fresh)
            self._touches.update(zip(fresh, touches(self._hub, fresh, bases), strict=True))


RANK = {grade.label: grade.value for grade in Grade}


class Background:
    """Looks again and again while two workspaces or more are there, in a thread of its own, and keeps what it saw."""

    def __init__(self, seer: Seer, state_dir: Path) -> None:
        self._seer, self._file = seer, state_dir / FILE
        self._thread: threading.Thread | None = None
        self._next_ms = 0

    def nudge(self, runs: Sequence[Run], now_ms: int) -> None:
        """Begin a look if the last one is over and its time has come; returns at once."""
        if now_ms < self._next_ms or (self._thread is not None and self._thread.is_alive()) or len(runs) < 2:
            return
        self._next_ms = now_ms + EVERY_MS
        self._thread = threading.Thread(target=self._look, args=(tuple(runs), now_ms), name="forecast", daemon=True)
        self._thread.start()

    def _look(self, runs: tuple[Run, ...], now_ms: int) -> None:
        try:
            write(self._file, self._seer.look(runs, now_ms))
        except (GangerError, OSError) as error:
            log.info("no conflicts could be foreseen: %s", error)


def write(file: Path, forecast: Forecast) -> None:
    """Keep a forecast; the file is there whole or not at all."""
    fresh = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    fresh.write_bytes(msgspec.json.encode(forecast))
    fresh.replace(file)


def read(state_dir: Path) -> Forecast | None:
    """The last forecast; None when there is none that can be read."""
    try:
        return msgspec.json.decode((state_dir / FILE).read_bytes(), type=Forecast)
    except (OSError, msgspec.MsgspecError):
        return None


def notices(forecast: Forecast | None, run: RunId) -> tuple[str, ...]:
    """What the worker of a run should know of those that began before it, a line each; the closest first."""
    found = [one for one in forecast.foreseen if one.run == run] if forecast is not None else []
    close = [one for one in found if one.conflicts or RANK[one.grade] > Grade.same_file]
    return tuple(f"- {sentence(one)}" for one in close)


def sentence(found: Foreseen) -> str:
    """Say in a line how two runs meet."""
    paths = found.conflicts or found.paths
    more = f" and {len(paths) - NAMED_MAX} more" if len(paths) > NAMED_MAX else ""
    named = ", ".join(paths[:NAMED_MAX]) + more
    if found.conflicts:
        return f"{found.run} and {found.other} would not merge as they are: {named} ({found.grade})"
    if found.needs_person:
        return f"{found.run} and {found.other} change {named}, where nobody can tell lines apart: look at both"
    return f"{found.run} and {found.other} change {named} ({found.grade})"
