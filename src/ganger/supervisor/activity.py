"""The clocks of living workers: when each last used processor time, printed something, changed its work.

Everything is what ganger sees itself, in the worker's own workspace and turn folder. Samples are taken sparingly,
because quiet workers cost nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ganger.core.effects import Clocks
from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId
from ganger.core.model import WorkerId
from ganger.drivers import process
from ganger.drivers.process_table import descendants, read_table
from ganger.git.beneath import read_file
from ganger.service.places import STARTED, Places
from ganger.supervisor.artefacts import Survey
from ganger.supervisor.stream import Stream

SAMPLE_MIN_MS, SAMPLE_MAX_MS = 250, 5_000
SAMPLES = 10
"""Looks at a worker in the time that it may be silent: one is stopped at most a tenth too late."""
CPU_STEP_MS = 50
"""Processor time that counts as a heartbeat between two samples."""
FRESH_MS = 10_000
"""A worker that is met later than this in its life was watched by somebody else before."""
JUMP_MS = 30_000
"""More than this between the store's clock and the monotonic one, from look to look, is a jump."""
SURVEY_SHARE = 0.02
SURVEY_LOOK_MS = 50
"""Most of a core, and most of one look, that looking over all workspaces takes: the fleet waits meanwhile."""


class Life:
    """One worker process, as far as it has been seen."""

    def __init__(self, run: Run, stream: Stream, workspace: Path, born_ms: int) -> None:
        self.turn, self.stream, self.born_ms = run.turn, stream, born_ms
        self.survey = Survey(workspace)
        self.heartbeat_ms = self.output_ms = self.artefact_ms = 0
        self.age_ms = 0
        self.caught_up = True
        self.cpu_ms = 0
        self.output_bytes = 0
        self.tip: Commit | None = None

    def start_anew(self, now_ms: int) -> None:
        """Count everything as seen just now."""
        self.heartbeat_ms = self.output_ms = self.artefact_ms = now_ms

    @property
    def clocks(self) -> Clocks:
        """What there is to tell."""
        same_calls = self.stream.told.same_calls
        return Clocks(self.heartbeat_ms, self.output_ms, self.artefact_ms, same_calls, self.age_ms)


class Activity:
    """The clocks of all living workers. `monotonic_ms` is a clock that neither jumps nor counts sleep."""

    def __init__(
        self,
        places: Places,
        tip_of: Callable[[RunId], Commit | None],
        stream_of: Callable[[Run], Stream],
        monotonic_ms: Callable[[], int] = process.monotonic_ms,
    ) -> None:
        self._places, self._tip_of, self._stream_of = places, tip_of, stream_of
        self._monotonic_ms = monotonic_ms
        self._lives: dict[RunId, Life] = {}
        self._next_ms = self._sampled_ms = 0
        self._last: tuple[int, int] | None = None

    def life(self, run: Run) -> Life | None:
        """The worker of the run's last turn, if it was ever seen to live."""
        life = self._lives.get(run.id)
        return life if life is not None and life.turn == run.turn else None

    def age_ms(self, life: Life) -> int:
        """How old the worker would be by now."""
        return max(self._monotonic_ms() - life.born_ms, 0)

    def look(self, runs: list[Run], silence_ms: int, now_ms: int) -> int:
        """Look at these living workers if it is time again; return when that is again, by the store's clock (ms).

        `silence_ms` is the shortest time for which one of them may be silent.
        """
        at_ms = self._monotonic_ms()
        fresh = [run for run in runs if self.life(run) is None]
        for run in fresh:
            self._lives[run.id] = self._meet(run, now_ms, at_ms)
        if self._jumped(now_ms, at_ms, silence_ms):
            # Nobody knows what a worker did while the clock was elsewhere, or the machine asleep: to stop one that
            # works costs its whole turn, to wait for a dead one costs one more window.
            for life in self._lives.values():
                life.start_anew(now_ms)
        for run in runs:
            self._lives[run.id].age_ms = max(at_ms - self._lives[run.id].born_ms, 0)
        if fresh or at_ms >= self._next_ms:
            every_ms = min(max(silence_ms // SAMPLES, SAMPLE_MIN_MS), SAMPLE_MAX_MS)
            self._sample(runs, min(every_ms, at_ms - self._sampled_ms), silence_ms // SAMPLES, now_ms, at_ms)
            self._sampled_ms = at_ms
            behind = any(not self._lives[run.id].caught_up for run in runs)
            self._next_ms = at_ms + (SAMPLE_MIN_MS if behind else every_ms)
        return now_ms + self._next_ms - at_ms

    def forget(self, but: set[RunId]) -> None:
        """Let go of the workers of all runs but these."""
        for run_id in self._lives.keys() - but:
            del self._lives[run_id]

    def _meet(self, run: Run, now_ms: int, at_ms: int) -> Life:
        """Begin to watch a worker; one that somebody else watched before counts as active."""
        assert run.worker is not None
        noted = read_file(self._places.turn(run.id, run.turn), (STARTED,), 64) or b""
        slept_ms = int(noted) if noted.strip().isdigit() else process.slept_ms()
        born_ms = process.born_ms(run.worker, slept_ms)
        life = Life(run, self._stream_of(run), self._places.workspace(run.id), born_ms)
        life.tip = self._tip_of(run.id)
        if at_ms - born_ms >= FRESH_MS:
            life.start_anew(now_ms)
        return life

    def _jumped(self, now_ms: int, at_ms: int, silence_ms: int) -> bool:
        """Whether the store's clock went another way than time since the last look."""
        last, self._last = self._last, (now_ms, at_ms)
        if last is None:
            return False
        return abs((now_ms - last[0]) - (at_ms - last[1])) > min(JUMP_MS, silence_ms // 2)

    def _sample(self, runs: list[Run], since_ms: int, survey_ms: int, now_ms: int, at_ms: int) -> None:
        """Look at each worker; `since_ms` is the time since the last sample, `survey_ms` that between two surveys."""
        spent = _cpu_ms([run.worker for run in runs if run.worker is not None])
        slice_s = min(SURVEY_LOOK_MS, since_ms * SURVEY_SHARE) / max(len(runs), 1) / 1000
        for run in runs:
            life = self._lives[run.id]
            cpu_ms = spent.get(run.worker, 0) if run.worker is not None else 0
            if abs(cpu_ms - life.cpu_ms) >= CPU_STEP_MS:
                life.cpu_ms, life.heartbeat_ms = cpu_ms, now_ms
            output_bytes = _size(self._places.turn(run.id, run.turn) / "output.log")
            if output_bytes != life.output_bytes:
                life.output_bytes, life.output_ms = output_bytes, now_ms
            if output_bytes:
                life.caught_up = life.stream.follow()
            tip = self._tip_of(run.id)
            if life.survey.look(at_ms, survey_ms, slice_s) or tip != life.tip:
                life.tip, life.artefact_ms = tip, now_ms


def _cpu_ms(workers: list[WorkerId]) -> dict[WorkerId, int]:
    """Processor time of each worker's whole tree, its shim's own left out, from one look at the process table."""
    if not workers:
        return {}
    table = read_table()
    spent = {}
    for worker in workers:
        shim = table.get(worker.pid)
        if shim is not None and shim.started == worker.started:
            tree = descendants(table, [worker.pid])
            spent[worker] = shim.reaped_cpu_ms + sum(table[pid].cpu_ms + table[pid].reaped_cpu_ms for pid in tree)
    return spent


def _size(file: Path) -> int:
    """Bytes in a file; 0 when there is none."""
    try:
        return file.lstat().st_size
    except OSError:
        return 0
