"""Seeing what is: which workers live, what they do and have spent, how others have ended, and what the target is.

Nothing here believes what a worker says of its work; what it says about its use of a provider is taken as told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from ganger.core.effects import Clocks, Exit, Limit, Observed
from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId
from ganger.core.model import QuestionKind, Usage
from ganger.core.state import State
from ganger.drivers import process
from ganger.service.places import STARTED, Places
from ganger.supervisor.activity import Activity
from ganger.supervisor.metered import Tally, is_metered
from ganger.supervisor.stream import Price, Reads, Stream, read_out

DIRTY_LOOK_MS = 2_000
SILENCE_MS = 600_000
"""Stands for the shortest silence while no worker lives."""
RESET_MAX_MS = 8 * 24 * 3_600_000
"""The longest windows of providers are a week."""


METER_MS = 250
"""How often the output of a worker is read whose run has a limit of money or tokens."""


class Observer:
    """Looks at processes, workspaces and the target."""

    def __init__(
        self,
        places: Places,
        tip_of: Callable[[RunId], Commit | None],
        target: Callable[[], Commit],
        dirty: Callable[[], bool],
        repo: Callable[[], str],
        reads: Callable[[str], Reads],
        prices: Mapping[str, Price],
        needs_clean: Callable[[State], bool] = lambda state: False,
        monotonic_ms: Callable[[], int] = process.monotonic_ms,
        must_speak: Callable[[str], bool] = lambda agent: False,
    ) -> None:
        """`reads` gives, for an agent's name, how its lines are understood; `tip_of` the tip of a run's own branch.

        `needs_clean` tells whether it matters for the next grant that the target is not being changed by hand;
        `must_speak` whether an agent that ends without a word has said nothing.
        """
        self._must_speak = must_speak
        self._places, self._target, self._dirty, self._repo = places, target, dirty, repo
        self._reads, self._prices, self._needs_clean = reads, prices, needs_clean
        self._streams: dict[RunId, tuple[int, Stream]] = {}
        self._tallies: dict[RunId, tuple[int, Tally | None]] = {}
        self._activity = Activity(places, tip_of, self._stream, monotonic_ms)
        self._clean, self._clean_ms = True, 0

    def observe(self, state: State, now_ms: int) -> Observed:
        """See the world as far as decisions need it."""
        manned = [run for run in state.runs.values() if run.has_worker and run.worker is not None]
        alive = [run for run in manned if run.worker is not None and process.is_alive(run.worker)]
        over = [run for run in manned if run not in alive]
        silence_ms = min((state.items[run.item].spec.silence_max_ms for run in alive), default=SILENCE_MS)
        look_again_ms = self._activity.look(alive, silence_ms, now_ms)
        metered = [run for run in alive if run.reserved.usd_micros or run.reserved.tokens]
        for run in metered:
            self._stream(run).follow()
        for run in manned:
            if (tally := self._tally(run)) is not None:
                tally.follow()
        read, unread = self._read_out(over)
        waiting = self._waits_for_clean(state) or self._needs_clean(state)
        if waiting and now_ms >= self._clean_ms:
            self._clean, self._clean_ms = not self._dirty(), now_ms + DIRTY_LOOK_MS
        times = [
            *([look_again_ms] if alive else []),
            *([now_ms + METER_MS] if metered else []),
            *([self._clean_ms] if waiting else []),
            *([now_ms + 1] if unread else []),
        ]
        self._forget({run.id for run in manned})
        return Observed(
            target=self._target(),
            alive=frozenset(run.id for run in (*alive, *unread)),
            exits={run.id: self._exit(run) for run in read},
            clocks={run.id: self._clocks(run) for run in alive}
            | {run.id: Clocks(now_ms, now_ms, now_ms) for run in unread},
            usage={run.id: self._usage(run, over=run in read) for run in manned},
            limits=self._limits(manned, now_ms),
            repo=self._repo(),
            starting=frozenset(run.id for run in state.runs.values() if self._may_be_started(run)),
            workspaces=self._workspaces(),
            look_again_ms=min(times, default=None),
            target_clean=self._clean if waiting else True,
        )

    def uses(self, state: State) -> dict[RunId, tuple[int, int]]:
        """The last turn of each run with a worker, and how often it used tools about which hooks should have asked.

        Left out are those of which it is known that this was oftener than they did.
        """
        manned = [run for run in state.runs.values() if run.has_worker and run.turn != run.unguarded]
        return {run.id: (run.turn, self._stream(run).told.guarded) for run in manned}

    def _stream(self, run: Run) -> Stream:
        """The output of the run's last turn, as far as it was read."""
        turn, stream = self._streams.get(run.id, (0, None))
        if stream is None or turn != run.turn:
            folder, reads = self._places.turn(run.id, run.turn), self._reads(run.agent)
            before = functools.partial(self._used_before, run)
            stream = Stream(folder, reads, self._prices.get(run.agent), before)
            self._streams[run.id] = run.turn, stream
        return stream

    def _used_before(self, run: Run, session: str) -> Usage:
        """What a conversation had used when the last turn began, as earlier turns of the run tell."""
        for turn in range(run.turn - 1, 0, -1):
            told = read_out(self._places.turn(run.id, turn), self._reads(run.agent), self._prices.get(run.agent))
            if told.session == session and told.conversation != Usage():
                return told.conversation
        return Usage()

    def _read_out(self, over: list[Run]) -> tuple[list[Run], list[Run]]:
        """Read what the workers that have ended printed last; tell them apart from those where that takes longer.

        Those count as living until it is done: what a turn cost often stands in its last line.
        """
        read: list[Run] = []
        unread: list[Run] = []
        for run in over:
            (read if self._stream(run).follow(ended=True) else unread).append(run)
        return read, unread

    def _clocks(self, run: Run) -> Clocks:
        life = self._activity.life(run)
        assert life is not None, run.id
        return life.clocks

    def _usage(self, run: Run, *, over: bool) -> Usage:
        """What a turn used: by the gateway's record where it goes through that, or else as the agent tells."""
        tally, lived = self._tally(run), Usage(wall_ms=self._lived_ms(run))
        return (tally.usage(over=over) if tally is not None else self._stream(run).told.usage).plus(lived)

    def _tally(self, run: Run) -> Tally | None:
        """The gateway's record of the run's last turn; None when it has none."""
        turn, tally = self._tallies.get(run.id, (0, None))
        if turn != run.turn:
            folder = self._places.turn(run.id, run.turn)
            tally = Tally(folder) if is_metered(folder) else None
            self._tallies[run.id] = run.turn, tally
        return tally

    def _lived_ms(self, run: Run) -> int:
        """How long the worker has lived; of one that was never seen to live, what its shim's record says."""
        life = self._activity.life(run)
        ended = process.exit_of(self._places.turn(run.id, run.turn) / "exit.json")
        if ended is None:
            return life.age_ms if life is not None else 0
        told_ms = max(ended.ended_ms - ended.started_ms, 0)
        return told_ms if life is None else min(max(told_ms, life.age_ms), self._activity.age_ms(life))

    def _limits(self, runs: list[Run], now_ms: int) -> dict[RunId, Limit]:
        """The limits that were met; a time that no provider would name counts as none."""
        found = {}
        for run in runs:
            tally = self._tally(run)
            limit = self._stream(run).told.limit or (tally.limit if tally is not None else None)
            if limit is not None:
                until_ms = limit.until_ms if limit.until_ms <= now_ms + RESET_MAX_MS else 0
                found[run.id] = Limit(until_ms, limit.reason, limit.overload)
        return found

    def _forget(self, manned: set[RunId]) -> None:
        self._activity.forget(manned)
        for run_id in self._streams.keys() - manned:
            del self._streams[run_id]
        for run_id in self._tallies.keys() - manned:
            del self._tallies[run_id]

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
        must_speak = self._must_speak(run.agent)
        return Exit(run.turn, ended.code, ended.signal, cpu_ms=ended.cpu_ms, must_speak=must_speak)

    def _workspaces(self) -> frozenset[RunId]:
        try:
            names = [entry.name for entry in self._places.workspaces.iterdir()]
        except FileNotFoundError:
            return frozenset()
        return frozenset(RunId(name) for name in names if not name.startswith("."))
