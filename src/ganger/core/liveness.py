"""Does a worker get anywhere? Judged per run from what was seen of it, never from what it says (CONTRACTS §5)."""

from __future__ import annotations

from msgspec import Struct

from ganger.core.effects import Clocks
from ganger.core.facts import Run
from ganger.core.model import ItemSpec, Liveness
from ganger.core.policy import Policy


class Judged(Struct, frozen=True):
    """A run's liveness and why."""

    liveness: Liveness
    reason: str


def liveness(run: Run, spec: ItemSpec, clocks: Clocks, now_ms: int, policy: Policy) -> Judged:
    """Judge the worker of a run's last turn by its clocks.

    Not knowing is not dead: a worker that was never seen is `unknown` until it has been silent for as long as any
    other may be. One that only computes is not stalled, however long; it is spinning when nothing comes of it.
    """
    silent_ms = now_ms - max(run.started_ms, clocks.active_ms)
    if silent_ms >= spec.silence_max_ms:
        return Judged(Liveness.stalled, f"the worker showed no activity for {spec.silence_max_ms / 1000:g} s")
    if not clocks.active_ms:
        return Judged(Liveness.unknown, "the worker was not yet seen to do anything")
    if clocks.same_calls >= policy.same_calls_max:
        return Judged(Liveness.spinning, f"the worker made the same call {clocks.same_calls} times in a row")
    fruitless_ms = now_ms - max(run.started_ms, clocks.artefact_ms)
    if fruitless_ms >= policy.progress_ms:
        since = f"for {policy.progress_ms / 1000:g} s"
        return Judged(Liveness.spinning, f"the worker is active, but changed no file and made no commit {since}")
    return Judged(Liveness.advancing, "the worker is at work")


def next_change_ms(run: Run, spec: ItemSpec, clocks: Clocks, policy: Policy) -> tuple[int, ...]:
    """When time alone may change the judgement."""
    silent = max(run.started_ms, clocks.active_ms) + spec.silence_max_ms
    return silent, max(run.started_ms, clocks.artefact_ms) + policy.progress_ms
