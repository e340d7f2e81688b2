"""Liveness: what must hold when everything has come to rest, and what a living supervisor must not let pass."""

from __future__ import annotations

from ganger.core.admission import means_refusal
from ganger.core.facts import Item
from ganger.core.lifecycle import is_turn_over
from ganger.core.loop import StopReason, waits_for_person
from ganger.core.model import EndKind
from ganger.core.state import State
from ganger.testing.invariants import fail
from ganger.testing.simulated_fleet import Config
from ganger.testing.simulated_world import SimulatedWorld

STALL_MARGIN = 1.1


def check_stalled(state: State, store_ms: int, now_ms: int, present_since_ms: int, world: SimulatedWorld) -> None:
    """I-22: a worker that is silent for 1.1 times what it may be is being stopped, if a supervisor was there.

    `now_ms` is the true time, `store_ms` what the store's clock says.
    """
    for run in state.runs.values():
        if not run.has_worker or run.worker is None or run.stop is not None:
            continue
        process = world.processes[run.worker.pid]
        spec = state.items[run.item].spec
        if not process.alive or run.repeat is not None or is_turn_over(run):
            continue
        since_ms = max(process.moved_ms, now_ms - (store_ms - run.started_ms), present_since_ms)
        if now_ms - since_ms > STALL_MARGIN * spec.silence_max_ms:
            fail("I-22", f"{run.id} is silent for {now_ms - since_ms} ms, and {spec.silence_max_ms} ms are allowed")
        if now_ms - max(process.born_ms, present_since_ms) > STALL_MARGIN * spec.wall_max_ms:
            fail("I-22", f"{run.id} works for longer than {spec.wall_max_ms} ms")


def check_rest(state: State, now_ms: int, stop: StopReason, world: SimulatedWorld, config: Config) -> None:
    """I-20, I-21, I-12: each item has an end or a visible wait, each run a question, and nothing lives."""
    alive = [process.run for process in world.processes.values() if process.alive]
    if alive:
        fail("I-12", f"the night is over ({stop}), and a worker of {alive[0]} lives")
    for run in state.runs.values():
        landing = state.landing
        held = landing.question if landing is not None else state.search.red
        waits = run.question or (held and run.accepted_seq) or (run.parked and waits_for_person(state, run.id))
        if not waits:
            fail("I-20", f"the night is over ({stop}), and {run.id} waits for nothing that a person sees")
    answering = {state.items[run.item].spec.question for run in state.runs.values()}
    for question in state.questions.values():
        if question.agent and question.id not in answering:
            fail("WP3", f"the night is over ({stop}), and {question.id} waits for an agent that is gone")
    for undo in state.undos.values():
        if not undo.question and (state.landing is None or not state.landing.question):
            fail("I-20", f"the night is over ({stop}), and nobody sees what the undo of {undo.item} waits for")
    for item in state.items.values():
        if not is_at_rest(state, item, now_ms, config):
            fail("I-20", f"the night is over ({stop}), and item {item.spec.id} has neither an end nor a reason to wait")
    left = set(world.workspaces) - set(state.runs)
    if left:
        fail("I-10", f"the night is over ({stop}), and the workspace of {sorted(left)[0]} is still there")
    if stop is StopReason.complete and not all(i.landed or i.withdrawn or i.finished for i in state.items.values()):
        fail("I-20", "the night is said to be complete, and something has not landed")
    if stop is StopReason.complete:
        _check_closed(state, world)
    if config.answers and stop is StopReason.blocked and world.tidy:
        fail("I-20", "the operator answers everything, and the night ends blocked")


def _check_closed(state: State, world: SimulatedWorld) -> None:
    """VT4, VT7: a night is complete only when the target shows what landed, and CI closed it."""
    for item in state.items.values():
        if item.landed and not world.git.is_ancestor(item.landed, world.target):
            fail("VT4", f"the night is said to be complete, and {world.target[:12]} does not contain {item.spec.id}")
        unclosed = world.ledger is not None and item.landed in world.ledger.awaiting
        if state.awaited_of(item) is not None or unclosed:
            fail("VT7", f"the night is said to be complete, and CI has not closed {item.spec.id}")


def is_at_rest(state: State, item: Item, now_ms: int, config: Config) -> bool:
    """Whether the item has landed, was given up or withdrawn, or waits for something that a person can see."""
    if item.landed or item.undone is not None or item.withdrawn or item.stopped or item.question or item.run:
        return True
    if item.failures >= item.spec.attempts_max and item.last_end not in (None, EndKind.landed):
        return True
    if item.hold is not None and (item.hold.reason != "until" or now_ms < item.hold.until_ms):
        return True
    if any(before in state.items for before in state.unmet(item.spec)):
        return True
    if state.plans[item.spec.plan].paused or state.plans[item.spec.plan].stopped or item.finished or item.terminal:
        return True
    if means_refusal(state, item, now_ms, config.policy) is not None:
        return True
    lane = config.policy.lane(item.spec.lane) if item.spec.lane else None
    alone = lane is not None and lane.exclusive
    overlapping = set(state.leases.overlapping(item.spec.scope))
    holders = [run for run in state.runs.values() if alone or run.lease.alone or run.id in overlapping]
    landing_waits = state.landing is not None and bool(state.landing.question)
    return any(run.question or (run.parked and waits_for_person(state, run.id)) or landing_waits for run in holders)
