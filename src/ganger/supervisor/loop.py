"""The tick, and the loop around it: wakes when something happened, sleeps when nothing did."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.effects import (
    CollectEvidence,
    Effect,
    StartWorker,
    Submit,
    TestTrain,
)
from ganger.core.ids import ItemId, RunId
from ganger.core.loop import Intent, StopReason, stop_reason
from ganger.core.model import EndKind, Refusal
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.errors import GangerError, JournalFailed, LauncherGone, LaunchRefused
from ganger.service.fleet import Accepted, Fleet, Reply
from ganger.service.kinds_in_force import KindsInForce
from ganger.service.predicates import NO_PREDICATES, Predicates
from ganger.service.reconcile_step import ReconcileStep
from ganger.supervisor.crew import Crew
from ganger.supervisor.effects import World, carry_out
from ganger.supervisor.objections import driven, weighed

log = logging.getLogger("ganger.supervisor")
TRIES_MAX = 4
"""Failed tries of an effect before its run is ended."""
RETRY_MS = 500
"""Wait after the first failed try; doubles with each."""
RETRY_MAX_MS = 60_000
KINDS_MS = 2_000
"""How often kinds that are not in force as they are written down are looked at again, when nothing else happens."""
LEAVE_S = 5.0
"""How long a supervisor that leaves waits for what its threads are doing."""


class Ticked(Struct, frozen=True):
    """What a tick found to do."""

    effects: tuple[Effect, ...]
    wake_ms: int | None
    """When time alone gives the next tick something to do (store clock); None: only an event can."""
    stop: StopReason | None
    """Why the night is over; None while it is not."""


def look_around(
    fleet: Fleet,
    world: World,
    intent: Intent,
    starting: Callable[[], frozenset[RunId]] = frozenset,
    testing: Callable[[], frozenset[Trial]] = frozenset,
) -> Ticked:
    """Observe and reconcile, in one look at the newest state; changes nothing.

    `starting` tells for which runs a worker is being started, besides those that the world shows to be started, and
    `testing` which tests of the train are being run. Both are asked before the state is read: a start that is recorded
    meanwhile is then counted twice rather than not at all.
    """
    under_way, tested = starting(), testing()
    return fleet.look(lambda state, now_ms: _look(fleet, world, intent, under_way, tested, state, now_ms))


def _look(
    fleet: Fleet,
    world: World,
    intent: Intent,
    under_way: frozenset[RunId],
    tested: frozenset[Trial],
    state: State,
    now_ms: int,
) -> Ticked:
    observed = world.observe(state, now_ms)
    observed = replace(observed, starting=observed.starting | under_way, testing=tested)
    effects = reconcile(state, observed, now_ms, fleet.policy, intent)
    stop = None if effects else stop_reason(state, now_ms, fleet.policy, intent)
    return Ticked(effects, next_wake_ms(state, observed, now_ms, fleet.policy, intent.patience_ms), stop)


class Trouble(Struct):
    """How often an effect failed in a row, and when it may be tried again."""

    count: int
    again_ms: int
    reason: str


class Bench:
    """The effects under way: one at a time per key, and none again before its pause after a failure is over."""

    def __init__(self, fleet: Fleet, world: World) -> None:
        self._fleet, self._world = fleet, world
        self.busy: set[str] = set()
        self.troubles: dict[str, Trouble] = {}
        self._starting: set[RunId] = set()
        self._testing: set[Trial] = set()
        self._lock = threading.Lock()

    def starting(self) -> frozenset[RunId]:
        """Runs whose worker is being started."""
        with self._lock:
            return frozenset(self._starting)

    def testing(self) -> frozenset[Trial]:
        """Tests of the train that are being run."""
        with self._lock:
            return frozenset(self._testing)

    def take(self, effect: Effect, now_ms: int) -> bool:
        """Claim an effect; False when its key is busy or resting."""
        with self._lock:
            trouble = self.troubles.get(effect.key)
            if effect.key in self.busy or (trouble is not None and now_ms < trouble.again_ms):
                return False
            self.busy.add(effect.key)
            if isinstance(effect, StartWorker):
                self._starting.add(effect.run)
            if isinstance(effect, TestTrain):
                self._testing.add(effect.trial)
            return True

    def work(self, effect: Effect) -> Reply | None:
        """Carry out a claimed effect and let go of it; a failure is noted and, in the end, ends its run."""
        try:
            reply = carry_out(effect, self._fleet, self._world)
            if isinstance(reply, Refusal):
                log.info("refused %s: %s", type(effect).__name__, reply.reason)
            self._settle(effect, reply)
            return reply
        except (JournalFailed, LauncherGone):
            raise
        except GangerError as error:
            self._failed(effect, error)
            return None
        finally:
            with self._lock:
                self.busy.discard(effect.key)
                if isinstance(effect, StartWorker):
                    self._starting.discard(effect.run)
                if isinstance(effect, TestTrain):
                    self._testing.discard(effect.trial)

    def next_retry_ms(self, now_ms: int) -> int | None:
        """When the first resting effect may be tried again; None when none rests.

        A pause that is over by `now_ms` is nothing to wake up for: what was still wanted has been taken by then.
        """
        with self._lock:
            times = [trouble.again_ms for trouble in self.troubles.values() if trouble.again_ms > now_ms]
        return min(times) if times else None

    def _settle(self, effect: Effect, reply: Reply | None) -> None:
        """Forget earlier trouble, unless what was done changed nothing: asked for again at once, it would spin."""
        if isinstance(effect, Submit) or reply is None or (isinstance(reply, Accepted) and reply.events):
            with self._lock:
                self.troubles.pop(effect.key, None)
        else:
            self._rest(effect, reply.reason if isinstance(reply, Refusal) else "it changed nothing")

    def _rest(self, effect: Effect, reason: str) -> int:
        """Have an effect pause, each time in a row for longer; returns how many times that is."""
        now_ms = self._fleet.now_ms()
        with self._lock:
            before = self.troubles.get(effect.key)
            count = (before.count if before else 0) + 1
            pause_ms = min(RETRY_MS * 2 ** min(count - 1, 20), RETRY_MAX_MS)
            self.troubles[effect.key] = Trouble(count, now_ms + pause_ms, reason)
        return count

    def _failed(self, effect: Effect, error: GangerError) -> None:
        count = self._rest(effect, error.message)
        log.warning("%s failed (%d): %s", effect.key, count, error.message)
        if isinstance(effect, StartWorker) and isinstance(error, LaunchRefused):
            self._fleet.submit(cmd.StopRun(effect.run, EndKind.unsent, error.message), self._fleet.acts_as)
            return
        if count < TRIES_MAX:
            return
        if isinstance(effect, StartWorker) and not self._speaks(effect):
            reason = f"the worker could not be started: {error.message}"
            self._fleet.submit(cmd.StopRun(effect.run, EndKind.failed, reason), self._fleet.acts_as)
        if isinstance(effect, CollectEvidence):
            self._ask_about(effect, error.message)

    def _ask_about(self, effect: CollectEvidence, reason: str) -> None:
        """Say that nothing could be observed; what becomes of that is a person's to say, and then begins anew."""
        run = self._fleet.look(lambda state, _: state.runs.get(effect.run))
        if run is not None:
            command = cmd.RecordNoEvidence(run.id, run.lease.token, effect.turn, reason)
            self._fleet.submit(command, self._fleet.acts_as)
            with self._lock:
                self.troubles.pop(effect.key, None)

    def _speaks(self, effect: StartWorker) -> bool:
        """Whether the worker that could not be started, as it seems, has reported or asked: then it was started."""
        run = self._fleet.look(lambda state, _: state.runs.get(effect.run))
        return run is not None and (run.report is not None or bool(run.question))


class Waker(Protocol):
    """What the loop sleeps on."""

    def wake(self) -> None:
        """End the sleep; from any thread."""
        ...

    def sleep(self, timeout_ms: int | None) -> None:
        """Wait until woken, or until something watched happened, or for so long."""
        ...


class Supervisor:
    """One fleet's supervisor: owns the pool for slow effects and the sleep between ticks."""

    def __init__(
        self,
        fleet: Fleet,
        world: World,
        waker: Waker,
        intent: Intent,
        *,
        once: bool = False,
        predicates: Predicates = NO_PREDICATES,
        driver: ReconcileStep | None = None,
        kinds: KindsInForce | None = None,
    ) -> None:
        self.fleet, self.world, self.waker, self.predicates = fleet, world, waker, predicates
        self.driver, self._kinds = driver, kinds
        self.intent = intent
        self.once = once
        self.bench = Bench(fleet, world)
        self.on_tick: Callable[[], None] = lambda: None
        """Called after each tick, for showing progress."""
        self.leave = False
        """Set by `down`: end the loop and let the workers go on."""
        self.stays = False
        """Set by `up`: go on although nothing is left to do, until told otherwise."""
        self.cut_off = False
        """After `run`: whether it left while threads were still at work."""
        self._crew = Crew(fleet.policy.effects_max)
        self._fatal: BaseException | None = None
        fleet.on_growth = waker.wake

    def run(self) -> StopReason:
        """Tick until the night is over; JournalFailed if the journal can no longer be written, LauncherGone."""
        try:
            while True:
                reason = self.tick()
                self.on_tick()
                if self._fatal is not None:
                    raise self._fatal
                if reason is not None or self.leave:
                    return reason or StopReason.interrupted
        finally:
            self.cut_off = not self._crew.leave(LEAVE_S if self.leave else None)

    def tick(self) -> StopReason | None:
        """Look, start what is to be done, and sleep unless something quick was done."""
        ticked = look_around(self.fleet, self.world, self.intent, self.bench.starting, self.bench.testing)
        if self._kinds is not None and self._kinds.look():
            # Looked at only after the state: whoever adds an item of a new kind has described that kind before.
            return None
        now_ms = self.fleet.now_ms()
        quick = 0
        effects, stop = driven(ticked.effects, self.fleet, self.driver)
        if stop:
            self.intent = replace(self.intent, offer=False)
        for effect in weighed(effects, self.fleet, self.predicates):
            if isinstance(effect, Submit):
                quick += self._submit(effect, now_ms)
        for effect in self._crew.by_importance(e for e in ticked.effects if not isinstance(e, Submit)):
            if self._crew.has_room(effect) and self.bench.take(effect, now_ms):
                self._crew.start(effect, self._work)
        if quick:
            return None
        if ticked.stop is not None and not self.bench.busy and not self.stays:
            return ticked.stop
        self.waker.sleep(self._pause_ms(ticked.wake_ms, now_ms))
        return None

    def _submit(self, effect: Submit, now_ms: int) -> bool:
        """Submit a command; tell whether it changed anything, so that another look is worth it at once."""
        if self._is_beyond_once(effect) or not self.bench.take(effect, now_ms):
            return False
        reply = self.bench.work(effect)
        if not isinstance(reply, Accepted) or not reply.events:
            return False
        if self.once and not self.intent.once and isinstance(effect.command, cmd.GrantRun):
            item = effect.command.item
            if self.fleet.look(lambda state, _: bool(state.items[item].run)):
                self.intent = replace(self.intent, once=ItemId(item))
        return True

    def _is_beyond_once(self, effect: Submit) -> bool:
        """Whether the one item of `--once` was found earlier in this tick, and this grants another."""
        once = self.intent.once
        return bool(once) and isinstance(effect.command, cmd.GrantRun) and effect.command.item != once

    def _pause_ms(self, wake_ms: int | None, now_ms: int) -> int | None:
        kinds_ms = now_ms + KINDS_MS if self._kinds is not None and self._kinds.is_waited_for else None
        times = [when for when in (wake_ms, self.bench.next_retry_ms(now_ms), kinds_ms) if when is not None]
        return max(min(times) - now_ms, 1) if times else None

    def _work(self, effect: Effect) -> None:
        try:
            self.bench.work(effect)
        except BaseException as error:
            self._fatal = error
        finally:
            self.waker.wake()
