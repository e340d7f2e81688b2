"""Seeing what is: which workers live, which have ended and how, and who is active.

Activity is what ganger sees itself: output written, the workspace's branch moved, processor time used. What a worker
says counts only in that it is output. Samples are taken sparingly, because quiet workers cost nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ganger.core.effects import Exit, Observed
from ganger.core.ids import Commit, RunId
from ganger.core.model import QuestionKind, WorkerId
from ganger.core.state import Run, State
from ganger.drivers import process
from ganger.drivers.process_table import descendants, read_table

SAMPLE_MIN_MS, SAMPLE_MAX_MS = 250, 5_000
SAMPLES = 10
"""Looks at a worker in the time that it may be silent: one is stopped at most a tenth too late."""
CPU_STEP_MS = 50
"""Processor time that counts as activity between two samples."""
DIRTY_LOOK_MS = 2_000
STARTED = "started"
"""A file in a turn's folder that is there once its worker may have been started."""


class Places:
    """Where the files of a run lie, from one pure function each."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.workspaces = state_dir / "workspaces"

    def workspace(self, run: RunId) -> Path:
        """The private clone of a run."""
        return self.workspaces / run

    def run(self, run: RunId) -> Path:
        """Everything ganger keeps about a run."""
        return self.state_dir / "runs" / run

    def turn(self, run: RunId, turn: int) -> Path:
        """Brief, output, identity and exit record of one worker process."""
        return self.run(run) / f"turn-{turn}"

    def checks(self, run: RunId, turn: int) -> Path:
        """Logs of the checks on what a turn left."""
        return self.turn(run, turn) / "checks"

    def trains(self) -> Path:
        """Logs of the checks on combined trees."""
        return self.state_dir / "trains"


class Activity:
    """When each living worker was last seen to do something."""

    def __init__(self, places: Places, refs_of: Callable[[RunId], Iterable[Path]]) -> None:
        self._places, self._refs_of = places, refs_of
        self._seen: dict[RunId, tuple[int, ...]] = {}
        self._cpu_ms: dict[RunId, int] = {}
        self.active_ms: dict[RunId, int] = {}
        self.next_ms = 0

    def sample(self, runs: list[Run], silence_ms: int, now_ms: int) -> None:
        """Look at every living worker if it is time again; a worker seen for the first time counts as active.

        That first look may be by a supervisor that has just taken over: what happened before is not known to it, and
        stopping a worker that computes costs more than one more window for a dead one.
        """
        if now_ms < self.next_ms and all(run.id in self._seen for run in runs):
            return
        self.next_ms = now_ms + min(max(silence_ms // SAMPLES, SAMPLE_MIN_MS), SAMPLE_MAX_MS)
        cpu = _cpu_ms([run.worker for run in runs if run.worker is not None])
        for run in runs:
            seen = self._fingerprint(run)
            spent = cpu.get(run.worker, 0) if run.worker is not None else 0
            moved = self._seen.get(run.id) != seen or abs(spent - self._cpu_ms.get(run.id, 0)) >= CPU_STEP_MS
            if moved:
                self._seen[run.id], self._cpu_ms[run.id] = seen, spent
                self.active_ms[run.id] = now_ms
        self._forget({run.id for run in runs})

    def _forget(self, living: set[RunId]) -> None:
        for known in (self._seen, self._cpu_ms, self.active_ms):
            for run_id in [run_id for run_id in known if run_id not in living]:
                del known[run_id]

    def _fingerprint(self, run: Run) -> tuple[int, ...]:
        """Numbers that differ when the worker of this turn wrote output or moved its branch."""
        files = [self._places.turn(run.id, run.turn) / "output.log", *self._refs_of(run.id)]
        return (run.turn, *(number for file in files for number in _stat(file)))


def _cpu_ms(workers: list[WorkerId]) -> dict[WorkerId, int]:
    """Processor time of each worker's whole tree, its shim's own left out, from one look at the process table."""
    table = read_table()
    spent = {}
    for worker in workers:
        shim = table.get(worker.pid)
        if shim is not None and shim.started == worker.started:
            tree = descendants(table, [worker.pid])
            spent[worker] = shim.reaped_cpu_ms + sum(table[pid].cpu_ms + table[pid].reaped_cpu_ms for pid in tree)
    return spent


def _stat(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


class Observer:
    """Looks at processes, workspaces and the target."""

    def __init__(
        self,
        places: Places,
        refs_of: Callable[[RunId], Iterable[Path]],
        target: Callable[[], Commit],
        dirty: Callable[[], bool],
    ) -> None:
        self._places, self._target, self._dirty = places, target, dirty
        self._activity = Activity(places, refs_of)
        self._clean, self._clean_ms = True, 0

    def observe(self, state: State, now_ms: int) -> Observed:
        """See the world as far as decisions need it."""
        alive: list[Run] = []
        exits: dict[RunId, Exit] = {}
        for run in state.runs.values():
            if not run.has_worker or run.worker is None:
                continue
            if process.is_alive(run.worker):
                alive.append(run)
            else:
                exits[run.id] = self._exit(run)
        look_again_ms = None
        if alive:
            silence_ms = min(state.items[run.item].spec.silence_max_ms for run in alive)
            self._activity.sample(alive, silence_ms, now_ms)
            look_again_ms = self._activity.next_ms
        waiting = self._waits_for_clean(state)
        if waiting and now_ms >= self._clean_ms:
            self._clean, self._clean_ms = not self._dirty(), now_ms + DIRTY_LOOK_MS
        if waiting:
            look_again_ms = min(look_again_ms or self._clean_ms, self._clean_ms)
        return Observed(
            target=self._target(),
            alive=frozenset(run.id for run in alive),
            exits=exits,
            active_ms=dict(self._activity.active_ms),
            starting=frozenset(run.id for run in state.runs.values() if self._may_be_started(run)),
            workspaces=self._workspaces(),
            look_again_ms=look_again_ms,
            target_clean=self._clean if waiting else True,
        )

    def _may_be_started(self, run: Run) -> bool:
        """Whether the worker of the next turn may live already, without that being recorded."""
        if run.has_worker:
            return False
        folder = self._places.turn(run.id, run.turn + 1)
        return (folder / STARTED).exists() and not (folder / "exit.json").exists()

    def _waits_for_clean(self, state: State) -> bool:
        question = state.questions.get(state.landing.question) if state.landing is not None else None
        return question is not None and question.kind is QuestionKind.dirty_target

    def _exit(self, run: Run) -> Exit:
        ended = process.exit_of(self._places.turn(run.id, run.turn) / "exit.json")
        if ended is None:
            return Exit(run.turn, None, lost=True)
        return Exit(run.turn, ended.code, ended.signal, cpu_ms=ended.cpu_ms)

    def _workspaces(self) -> frozenset[RunId]:
        try:
            names = [entry.name for entry in self._places.workspaces.iterdir()]
        except FileNotFoundError:
            return frozenset()
        return frozenset(RunId(name) for name in names if not name.startswith("."))
