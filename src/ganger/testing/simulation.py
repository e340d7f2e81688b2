"""A fleet's nights in virtual time: the real core, journal port, `look_around`, `Bench` and `carry_out`; all else is
simulated and drawn from one seed.

    python -m ganger.testing.simulation --seed 7 --trace
    python -m ganger.testing.simulation --seed 0 --seeds 2000 --short
    python -m ganger.testing.simulation --seed 7 --shrink

Each seed has two halves: faults and a restless operator, in which nothing unsafe may happen; then everything heals,
and every item must reach an end or a visible wait. The same seed gives the same trace, wherever it runs.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import time
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.effects import Effect, StartWorker, Submit
from ganger.core.facts import Run
from ganger.core.ids import ItemId, RunId
from ganger.core.loop import Intent, StopReason
from ganger.core.model import CONSULTANT, PLANNER, Refusal
from ganger.core.state import State
from ganger.errors import JournalFailed
from ganger.journal import codec
from ganger.service.fleet import Accepted, Fleet, Reply
from ganger.supervisor.loop import Bench, look_around
from ganger.testing.invariants import Ledger, Violation, check_fold, fail
from ganger.testing.memory_store import Disk, MemoryStore
from ganger.testing.rest import check_rest, check_stalled
from ganger.testing.simulated_fleet import HOUR_MS, Config, chance, plan, short, swarm
from ganger.testing.simulated_operator import act, answer, mend, regret
from ganger.testing.simulated_world import SimulatedWorld, refuse_by_chance

START_MS = 1_800_000_000_000
SKEW_MAX_MS = 600_000
"""How far the clocks of two machines are apart at most."""
HEALED_MAX_MS = 72 * HOUR_MS
"""How long after healing everything may take at most."""
STEPS_MAX = 60_000
SAME_MAX = 25
"""How often an effect may be carried out in a row without anything coming of it."""


class Crash(BaseException):
    """The supervisor's process dies here."""


class Trace(Struct, frozen=True):
    """What came of a seed."""

    seed: int
    digest: str
    entries: int
    virtual_ms: int
    points: int
    crashes: int
    landed: int
    stop: StopReason
    lines: tuple[str, ...] = ()


Act: TypeAlias = Callable[[], None]


class Shift:
    """One supervisor process, from its start to its death or its leaving."""

    def __init__(self, sim: Simulation, number: int, intent: Intent) -> None:
        self.number, self.intent = number, intent
        self.store = MemoryStore(sim.disk, sim.config.policy.paths, sim.clock, sim.mono, sim.commit_point)
        self.fleet = Fleet(self.store, sim.config.policy)
        self.bench = Bench(self.fleet, sim.world)
        self.up_ms = sim.now_ms
        self.next_ms: int | None = None
        self.quiet_since = (0, 0, 0)
        """Journal length, time and number of ticks since the journal last grew."""
        self.repeats: dict[str, tuple[int, int]] = {}


class Simulation:
    """The stage: virtual time, the queue of what happens next, and the supervisor of the hour."""

    def __init__(self, seed: int, config: Config, keep_lines: bool = False) -> None:
        self.seed, self.config = seed, config
        self.rng = chance(f"events {seed}")
        self.operator_rng = chance(f"operator {seed}")
        self.regret_rng = chance(f"regret {seed}")
        self.now_ms = START_MS
        self.healed = False
        self.jumped_ms = START_MS
        self.skew_ms = 0
        """How far the machine's clock is off."""
        self.disk = Disk()
        self.world: SimulatedWorld = SimulatedWorld(self, config.policy)
        self.ledger = self.world.ledger = Ledger(self.disk, self.world, config.policy)
        self.client = Fleet(MemoryStore(self.disk, config.policy.paths, self.client_clock, self.mono), config.policy)
        self.client.on_growth = self.wake
        self.shift: Shift | None = None
        self.shift_before: Fleet | None = None
        """The fleet as the last supervisor had it open."""
        self.stopped: StopReason | None = None
        self.points = self.crashes = self.shifts = self._order = self._depth = self._said = 0
        self._queue: list[tuple[int, int, int, Act]] = []
        self._acks: list[tuple[int, bytes]] = []
        self._lines: list[str] | None = [] if keep_lines else None
        self._digest = hashlib.blake2b(digest_size=16)
        self.added = plan(config, chance(f"plan {seed}"), self.now_ms)

    # ── the run of a seed ──

    def run(self) -> Trace:
        """Play the seed to its end; Violation when something does not hold."""
        self.person(self.added)
        self.later(0, self._open)
        self.later(self.config.faults_ms, self._heal)
        self.later(60_000, self._answers)
        if self.config.actions:
            self.later(self.config.action_every_ms, self._acts)
        if self.config.regrets:
            self.later(200_000, self._regrets)
        if self.config.strength("jump"):
            self.later(500_000, self._jump)
        steps = 0
        while not (self.stopped is StopReason.complete or (self.healed and self.stopped)):
            steps += 1
            if not self._queue or steps > STEPS_MAX or self.now_ms > self._limit_ms():
                fail("I-20", f"no end after {steps} steps, {(self.now_ms - START_MS) // 1000} s, healed: {self.healed}")
            self._step_outermost()
        return self._finish(self.stopped)

    def _limit_ms(self) -> int:
        return START_MS + self.config.faults_ms + HEALED_MAX_MS

    def _step_outermost(self) -> None:
        try:
            self._next(None)
        except (Crash, JournalFailed) as death:
            self.note(f"the supervisor died: {death}")
            self.crashes += 1
            self._gone(self.rng.randrange(100, 20_000))

    def _next(self, end_ms: int | None) -> bool:
        """Let the next thing happen, if it does before `end_ms`; tell whether it did."""
        if not self._queue or (end_ms is not None and self._queue[0][0] > end_ms):
            return False
        at_ms, _, _, do = heappop(self._queue)
        self.now_ms = max(self.now_ms, at_ms)
        do()
        self.ledger.catch_up()
        self.world.check_now()
        return True

    def _finish(self, stop: StopReason) -> Trace:
        check_rest(self.newest(), self.newest().at_ms, stop, self.world, self.config)
        check_fold(self.disk, self.newest(), self.config.policy.paths, 4 if self.seed % 8 == 0 else 0)
        for seq, body in self._acks:
            if self.disk.rows[seq - 1].body != body:
                fail("I-4", f"what was acknowledged as entry {seq} is not there")
        last = self.disk.rows[-1].hash.hex()
        self.note(f"end {stop} {last}")
        return Trace(
            self.seed,
            self._digest.hexdigest(),
            len(self.disk.rows),
            self.now_ms - START_MS,
            self.points,
            self.crashes,
            self.ledger.landings,
            stop,
            tuple(self._lines or ()),
        )

    # ── time ──

    def mono(self) -> int:
        """A clock that is never set."""
        return self.now_ms

    def clock(self) -> int:
        """The machine's clock, which may be set forward and back."""
        return self.now_ms + self.skew_ms

    def client_clock(self) -> int:
        """The clock of the machine on which persons and workers submit: it may be another one."""
        return self.clock() + int(self.config.strength("skew") * SKEW_MAX_MS)

    def saw_jump(self) -> None:
        """The supervisor has noticed that the clock was set, and gives every worker a new chance."""
        self.jumped_ms = self.now_ms

    def later(self, delay_ms: int, act: Act) -> None:
        """Have something done after a while."""
        self._order += 1
        heappush(self._queue, (self.now_ms + delay_ms, self._order, 0, act))

    def interlude(self, most_ms: int) -> None:
        """Let time pass in the middle of an effect; others act meanwhile, the supervisor's other threads too."""
        slow = 1 + 2 * self.strength("slow")
        end_ms = self.now_ms + int(self.rng.randrange(most_ms + 1) * slow)
        self._depth += 1
        try:
            while self._next(end_ms):
                pass
        finally:
            self._depth -= 1
        self.now_ms = max(self.now_ms, end_ms)

    def strength(self, fault: str) -> float:
        """Intensity of a fault now."""
        return 0.0 if self.healed else self.config.strength(fault)

    def point(self, name: str) -> None:
        """A point of an effect at which the supervisor may die, or the effect fail."""
        self.points += 1
        if self.points == self.config.crash_at or self.rng.random() < self.strength("crash") * 0.04:
            raise Crash(name)
        if self.rng.random() < self.strength("fail") * 0.12:
            self.note(f"failed {name}")
            raise refuse_by_chance(name)

    def commit_point(self, when: str) -> None:
        """Before and after each commit of the supervisor's."""
        self.points += 1
        if self.points == self.config.crash_at or self.rng.random() < self.strength("crash") * 0.01:
            raise Crash(f"{when} a commit")
        if when == "before" and self.rng.random() < self.strength("disk") * 0.01:
            raise JournalFailed("the disk is full")

    @property
    def is_well(self) -> bool:
        """Whether faults are over."""
        return self.healed

    def note(self, text: str) -> None:
        """Put a line into the trace."""
        line = f"{self.now_ms - START_MS:>10} {text}"
        self._digest.update(line.encode())
        if self._lines is not None:
            self._lines.append(line)

    # ── the supervisor ──

    def _open(self, intent: Intent | None = None) -> None:
        """A supervisor starts."""
        if self.shift is not None:
            return
        self.shifts += 1
        if self.rng.random() < 0.3:
            self.client_store().store_snapshot()
        self.shift = Shift(self, self.shifts, intent or Intent())
        self.world.new_supervisor()
        self.stopped = None
        self.note(f"supervisor {self.shifts}")
        self._tick_in(0)
        left, self.shift_before = self.shift_before, self.shift.fleet
        self.shift.fleet.take_over(self.shifts, "host", "1")
        if left is not None:
            self._check_fenced(left)

    def client_store(self) -> MemoryStore:
        """The handle that persons and workers share."""
        assert isinstance(self.client.store, MemoryStore)
        return self.client.store

    def _check_fenced(self, left: Fleet) -> None:
        """I-25: whatever an earlier supervisor still submits, after a long pause for example, is refused."""
        for command in (cmd.GrantRun(ItemId("i0"), self.world.target), cmd.SweepLeases(), cmd.RenewLeases(())):
            reply = self.client.submit(command, left.acts_as)
            if left.acts_as != "supervisor" and not isinstance(reply, Refusal):
                fail("I-25", f"{left.acts_as} was given {type(command).__name__} after another had taken over")

    def _gone(self, back_ms: int) -> None:
        """The supervisor is gone; another one starts after a while."""
        self.shift = None
        if self.rng.random() < self.strength("away"):
            back_ms += self.rng.randrange(HOUR_MS)
        self.later(back_ms, self._open)

    def wake(self) -> None:
        """Tell the supervisor that something happened; a deaf one does not hear it every time."""
        if self.rng.random() >= self.strength("deaf"):
            self._tick_in(self.rng.randrange(0, 50))

    def _tick_in(self, delay_ms: int) -> None:
        shift = self.shift
        at_ms = self.now_ms + delay_ms
        if shift is None or (shift.next_ms is not None and shift.next_ms <= at_ms):
            return
        shift.next_ms = at_ms
        self.later(delay_ms, lambda: self._guarded(shift, lambda: self._tick(shift, at_ms)))

    def _guarded(self, shift: Shift, do: Act) -> None:
        """Do something of a supervisor's if it is still the one at work."""
        if shift is self.shift:
            do()

    def _tick(self, shift: Shift, at_ms: int) -> None:
        """One tick, as `supervisor.loop.Supervisor.tick` takes it, slow effects as events of their own."""
        if shift.next_ms != at_ms:
            return
        shift.next_ms = None
        ticked = look_around(shift.fleet, self.world, shift.intent, shift.bench.starting, shift.bench.testing)
        self._check_quiet(shift)
        now_ms = shift.fleet.now_ms()
        quick = False
        self._check_windows(shift, ticked.effects, now_ms)
        for effect in ticked.effects:
            if not shift.bench.take(effect, now_ms):
                continue
            if isinstance(effect, Submit):
                quick = self._work(shift, effect) or quick
            else:
                self._queue_work(shift, effect)
        state, store_ms = shift.fleet.look(lambda state, now_ms: (state, now_ms))
        check_stalled(state, store_ms, self.now_ms, max(shift.up_ms, self.jumped_ms), self.world)
        if quick:
            self._tick_in(0)
        elif ticked.stop is not None and not shift.bench.busy:
            self._leave(shift, ticked.stop)
        else:
            times = [when for when in (ticked.wake_ms, shift.bench.next_retry_ms(now_ms)) if when is not None]
            if times:
                self._tick_in(max(min(times) - now_ms, 1))

    def _check_windows(self, shift: Shift, effects: tuple[Effect, ...], now_ms: int) -> None:
        """No worker is started while its provider is known to refuse."""
        for effect in effects:
            if not isinstance(effect, StartWorker):
                continue
            provider = self.config.policy.provider(shift.store.folded.runs[effect.run].agent)
            until_ms = self.ledger.windows.get(provider, 0)
            if until_ms > now_ms:
                fail("BX9", f"a worker of {effect.run} is started {until_ms - now_ms} ms before {provider} opens")

    def _leave(self, shift: Shift, stop: StopReason) -> None:
        again = look_around(shift.fleet, self.world, shift.intent, shift.bench.starting, shift.bench.testing)
        if again.effects:
            fail("quiet", f"at rest, but a second look gives {again.effects[0]}")
        self.note(f"the night is over: {stop}")
        self.shift = None
        self.stopped = stop
        person = (StopReason.blocked, StopReason.review_or_ci_unresolved)
        if stop in person and self.healed and self.config.answers:
            waits = not self.newest().questions
            answer(self, self.operator_rng, True)
            self.stopped = None
            # Where nobody is asked, CI has not said so yet, and is given its time.
            self.later(self.config.policy.ci_every_max_ms if waits else 0, self._open)
        elif stop is StopReason.interrupted or not self.healed:
            self.stopped = stop if stop is StopReason.complete else None
            self.later(self.rng.randrange(60_000, 900_000), self._open)

    def _queue_work(self, shift: Shift, effect: Effect) -> None:
        self.later(self.rng.randrange(0, 20), lambda: self._guarded(shift, lambda: self._slow(shift, effect)))

    def _slow(self, shift: Shift, effect: Effect) -> None:
        """Carry out a slow effect when a thread is free."""
        if self._depth >= self.config.policy.effects_max:
            self.later(500, lambda: self._guarded(shift, lambda: self._slow(shift, effect)))
            return
        self._work(shift, effect)
        self._tick_in(0)

    def _work(self, shift: Shift, effect: Effect) -> bool:
        """Carry out a claimed effect; tell whether the journal grew by it."""
        before = len(self.disk.rows)
        reply = shift.bench.work(effect)
        self._acknowledged(reply)
        self.ledger.catch_up()
        grew = isinstance(reply, Accepted) and bool(reply.events)
        self.note(f"{type(effect).__name__} {getattr(effect, 'run', '')} {type(reply).__name__} {len(self.disk.rows)}")
        length, times = shift.repeats.get(effect.key, (0, 0))
        times = times + 1 if length == before == len(self.disk.rows) and effect.key not in shift.bench.troubles else 0
        shift.repeats[effect.key] = len(self.disk.rows), times
        if times > SAME_MAX:
            fail("quiet", f"{effect} was carried out {times} times in a row, and nothing came of it")
        return grew

    def _check_quiet(self, shift: Shift) -> None:
        """A supervisor that has nothing to do sleeps: at most 100 looks in 2 s without the journal growing."""
        length, since_ms, ticks = shift.quiet_since
        if length != len(self.disk.rows) or self.now_ms - since_ms > 2_000:
            length, since_ms, ticks = len(self.disk.rows), self.now_ms, 0
        shift.quiet_since = length, since_ms, ticks + 1
        if ticks > 100:
            fail("quiet", f"{ticks} looks in {self.now_ms - since_ms} ms, and nothing happened")

    # ── the others ──

    def _acknowledged(self, reply: Reply | None) -> None:
        if isinstance(reply, Accepted):
            first = reply.seq - len(reply.events) + 1
            self._acks += [(first + n, codec.encode(event)) for n, event in enumerate(reply.events)]

    def say(self, command: cmd.Command, run: RunId) -> Reply:
        """Submit as a worker, now and then twice with one key."""
        self._said += 1
        key = f"{run} {self._said}" if self._said % 8 == 0 else ""
        reply = self.client.submit(command, f"worker:{run}", key)
        self._acknowledged(reply)
        self.note(f"{run} says {type(command).__name__}: {type(reply).__name__}")
        if key and isinstance(reply, Accepted) and reply.events:
            again = self.client.submit(command, f"worker:{run}", key)
            if not isinstance(again, Accepted) or again.events:
                fail("I-4", f"the repetition of {key} was not recognised")
        return reply

    def hear(self, command: cmd.Command) -> Reply | None:
        """Submit as the supervisor, if there is one, what a worker's hooks told."""
        if self.shift is None:
            return None
        reply = self.client.submit(command, self.shift.fleet.acts_as)
        self._acknowledged(reply)
        return reply

    def person(self, command: cmd.Command) -> Reply:
        """Submit as a person."""
        reply = self.client.submit(command, "person:olga")
        self._acknowledged(reply)
        self.note(f"olga: {type(command).__name__}: {type(reply).__name__}")
        if isinstance(command, cmd.AddPlan) and isinstance(reply, Accepted):
            wanted = {spec.id for spec, _ in command.items}
            for item in self.newest().items.values():
                if not (
                    item.spec.id in wanted
                    or item.withdrawn
                    or item.landed
                    or item.spec.parent
                    or item.spec.kind == PLANNER
                ):
                    fail("I-14", f"item {item.spec.id} is in its plan no longer, and not withdrawn")
        return reply

    def newest(self) -> State:
        """The newest state, as persons and workers see it."""
        return self.client.store.catch_up()

    def behaviour(self, run: Run, turn: int) -> tuple[str, Random]:
        """Which behaviour the worker of a turn has: later attempts are more often honest."""
        rng = chance(f"{self.seed} {run.id} {turn}")
        honest = (run.attempt > 1 or turn > 1) and rng.random() < 0.5
        if run.kind in (PLANNER, CONSULTANT):
            return ("plans" if run.kind == PLANNER else "advises"), rng
        if not run.lease.scope:
            return ("looks" if rng.random() < 0.7 else "spawns"), rng
        return ("honest" if honest else rng.choice(self.config.habits)), rng

    def _answers(self) -> None:
        if not self.healed or self.config.answers:
            answer(self, self.operator_rng, self.healed)
        self.later(self.operator_rng.randrange(30_000, 600_000), self._answers)

    def _acts(self) -> None:
        if not self.healed:
            act(self, self.operator_rng.choice(self.config.actions), self.operator_rng)
            self.later(self.operator_rng.randrange(2 * self.config.action_every_ms), self._acts)

    def _regrets(self) -> None:
        if not self.healed:
            regret(self, self.regret_rng)
            self.later(self.regret_rng.randrange(300_000), self._regrets)

    def end_night(self) -> None:
        """The operator ends the night: workers are stopped, and the supervisor leaves."""
        if self.shift is not None:
            self.shift.intent = replace(self.shift.intent, offer=False, stop=True)
            self._tick_in(0)

    def _jump(self) -> None:
        """The machine's clock is set, forward or back, by up to a day."""
        if not self.healed:
            most_ms = self.rng.choice((HOUR_MS, 24 * HOUR_MS))
            self.skew_ms += int(self.rng.randrange(-most_ms, most_ms) * self.strength("jump"))
            self.note(f"the clock is off by {self.skew_ms}")
            self.later(self.rng.randrange(500_000, 2_000_000), self._jump)

    def _heal(self) -> None:
        """Faults end, and the operator's work tree is in order."""
        self.healed = True
        self.world.tidy, self.world.blocked, self.world.rebasing, self.world.flaky = True, False, False, 0.0
        if self.world.git.check_state(self.world.target) != "passed":
            mend(self.world)
        self.note("healed")
        self.later(60_000, self._open)
        self.wake()


def simulate(seed: int, config: Config | None = None, *, lines: bool = False) -> Trace:
    """Play one seed, with its own configuration or the given one; Violation when an invariant does not hold."""
    sim = Simulation(seed, config or swarm(seed), lines)
    sim.world.flaky = sim.strength("flaky") * 0.2
    logging.getLogger("ganger.supervisor").setLevel(logging.ERROR)
    try:
        return sim.run()
    except Violation as violation:
        violation.add_note(f"seed {seed} at {sim.now_ms - START_MS} ms, {len(sim.disk.rows)} entries")
        if lines:
            violation.add_note("\n".join(sim._lines or ()))
        raise


def main(arguments: list[str]) -> int:
    """Play seeds and print what was found; 0 when every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m ganger.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--trace", action="store_true", help="print what happened")
    parser.add_argument("--short", action="store_true", help="play short nights")
    parser.add_argument("--shrink", action="store_true", help="reduce --seed to the smallest night that fails alike")
    options = parser.parse_args(arguments)
    if options.shrink:
        # shrink plays nights by way of this module.
        from ganger.testing import shrink

        return shrink.main(["--seed", str(options.seed), *(["--short"] if options.short else [])])
    draw = short if options.short else swarm
    began = time.process_time()
    virtual_ms = entries = bad = landed = crashes = 0
    for seed in range(options.seed, options.seed + options.seeds):
        try:
            trace = simulate(seed, draw(seed), lines=options.trace)
        except Violation as violation:
            bad += 1
            print(f"seed {seed}: {violation}", *(violation.__notes__ if options.trace else ()), sep="\n")
            continue
        virtual_ms, entries, landed = virtual_ms + trace.virtual_ms, entries + trace.entries, landed + trace.landed
        crashes += trace.crashes
        if options.trace:
            print(*trace.lines, sep="\n")
        if options.seeds == 1:
            print(f"seed {seed}: {trace.digest} {trace.stop}, {trace.landed} landed, {trace.entries} entries")
    took_s = time.process_time() - began
    hours = virtual_ms / HOUR_MS
    print(
        f"{options.seeds} seeds, {bad} with a violation; {entries} entries, {landed} landings, {crashes} crashes,"
        f" {hours:.0f} fleet-hours in {took_s:.1f} CPU-s: {hours / took_s * 60:.0f} fleet-hours per CPU-minute",
        file=sys.stderr,
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
