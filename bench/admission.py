"""What one decision costs while many leases live: may this item, lane or scope be had now? In process.

What lives was admitted one by one: directories with their tests, one in twenty files at the root or deep in a common
folder, three in ten shared; every other lease belongs to a run. Half of what is asked for is free, half is held, and
one question in twenty has a pattern without a directory (`**/x7.py`). Nothing is asked twice. Figures are time of the
processor, which other work on the machine does not change. The baseline asks every lease in turn, with the same algebra
and a warm cache.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from bench.patterns import USUAL, odd
from bench.table import median, percentile, rows, us
from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import admit, admit_scope
from ganger.core.decide import decide
from ganger.core.evolve import evolve
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq
from ganger.core.model import ItemSpec, Lane, LeaseMode, Refusal
from ganger.core.patterns import PathRules, ScopeIndex, scope_overlap
from ganger.core.policy import Policy
from ganger.core.state import State

SIZES = (100, 1_000, 10_000)
ASKED = 2_000
LANES = 1_000
BASE = Commit("0" * 40)
HOUR_MS = 3_600_000
Draw = tuple[tuple[str, ...], LeaseMode]


def main() -> None:
    """Print the table."""
    found = [row for live in SIZES for row in measured(live)]
    rows("One decision while leases live", found)


def measured(live: int) -> list[tuple[str, str, str, str]]:
    """Time each kind of question on a fleet with so many live leases."""
    rng = random.Random(3)
    state, policy = fleet([*held(live, rng), *wanted(live, rng)], live)
    items = [state.items[ItemId(f"item-{n}")] for n in range(live, live + ASKED)]
    asked = [scope for scope, _ in wanted(live, random.Random(4))]
    lanes = [f"lane{rng.randrange(LANES)}" for _ in range(ASKED)]
    shared, exclusive = LeaseMode.shared, LeaseMode.exclusive
    now_ms = state.at_ms
    linear, _ = timed(lambda n: scan(state, items[n].spec.scope), 5)

    def acquire(n: int, lane: bool) -> object:
        command = cmd.AcquireLease("olga", lane=lanes[n]) if lane else cmd.AcquireLease("olga", scope=asked[n])
        return decide(state, command, now_ms, policy)

    found: list[tuple[str, Callable[[int], object]]] = [
        ("admit an item", lambda n: admit(state, items[n], now_ms, policy)),
        ("grant a run", lambda n: decide(state, cmd.GrantRun(items[n].spec.id, BASE), now_ms, policy)),
        ("admit a scope", lambda n: admit_scope(state, "", asked[n], shared, now_ms, policy, autopick=False)),
        ("admit a lane", lambda n: admit_scope(state, lanes[n], (), exclusive, now_ms, policy, autopick=True)),
        ("acquire a scope", lambda n: acquire(n, lane=False)),
        ("acquire a lane", lambda n: acquire(n, lane=True)),
    ]
    return [row(f"{live:>6,} leases: {name}", *timed(ask, ASKED), linear) for name, ask in found]


def timed(ask: Callable[[int], object], count: int) -> tuple[list[float], float]:
    """Seconds of each question, sorted, and the share of those that were not refused."""
    taken = []
    free = 0
    for n in range(count):
        began = time.thread_time()
        answer = ask(n)
        taken.append(time.thread_time() - began)
        free += not isinstance(answer, Refusal)
    return sorted(taken), free / count


def row(name: str, taken: list[float], free: float, linear: list[float]) -> tuple[str, str, str, str]:
    """One line of the table."""
    return (
        f"{name}, {free:.0%} free",
        f"p50 {us(median(taken))}, p99 {us(percentile(taken, 0.99))}",
        f"{median(taken) / median(linear):.4f} × asking every lease ({us(median(linear))})",
        "p50 ≤ 100 µs, p99 ≤ 1 ms",
    )


def held(live: int, rng: random.Random) -> list[Draw]:
    """Draw scopes that can live together, and how each is held."""
    index: ScopeIndex[int] = ScopeIndex(PathRules())
    found: list[Draw] = []
    n = 0
    while len(found) < live:
        n += 1
        scope = rng.choice(((f"docs/**/x{n}",), (f"NOTES{n}.md",))) if rng.random() < 0.05 else USUAL["directories"](n)
        shared = rng.random() < 0.3
        if next(index.overlapping(scope, shared=shared), None) is None:
            index.add(n, scope, shared=shared)
            found.append((scope, LeaseMode.shared if shared else LeaseMode.exclusive))
    return found


def wanted(live: int, rng: random.Random) -> list[Draw]:
    """Draw scopes to ask for: about half of them are free."""
    found = []
    for n in range(ASKED):
        usual = USUAL["directories"](rng.randrange(live) + (n % 2) * 2 * live)
        scope = odd(n, rng) if rng.random() < 0.05 else usual
        found.append((scope, LeaseMode.shared if rng.random() < 0.3 else LeaseMode.exclusive))
    return found


def fleet(drawn: Sequence[Draw], live: int) -> tuple[State, Policy]:
    """A fleet with an item for each scope; the first `live` scopes are held, every other one by somebody else."""
    lanes = tuple(Lane(f"lane{n}", (f"src/area{n % 40}/mod{n}/**",)) for n in range(LANES))
    policy = Policy(workers_max=2 * live, lanes=lanes, autopick=tuple(lane.name for lane in lanes[:20]))
    state = State()
    facts: list[ev.Event] = [ev.PlanAdded(PlanId("big"), "Big", "big.toml", "0")]
    facts += [ev.ItemAdded(spec(n, *each), "Do it.") for n, each in enumerate(drawn)]
    for n, (scope, mode) in enumerate(drawn[:live]):
        item = ItemId(f"item-{n}")
        if n % 2:
            facts.append(ev.LeaseGranted(f"person-{n}", scope, mode, n + HOUR_MS))
        else:
            facts.append(ev.RunGranted(RunId(f"{item}.1"), item, 1, BASE, scope, mode, n + HOUR_MS, "default"))
    for number, fact in enumerate(facts):
        evolve(state, ev.Entry(Seq(number + 1), number // 100, "supervisor", fact))
    assert len(state.runs) + len(state.held) == live
    return state, policy


def spec(n: int, scope: tuple[str, ...], mode: LeaseMode) -> ItemSpec:
    """The item of a scope."""
    return ItemSpec(ItemId(f"item-{n}"), PlanId("big"), f"Change {n}", scope, mode=mode)


def scan(state: State, scope: tuple[str, ...]) -> int:
    """Find what overlaps by asking every lease."""
    leases = [*(run.lease for run in state.runs.values()), *(held.lease for held in state.held.values())]
    return sum(scope_overlap(scope, lease.scope, state.rules) is not None for lease in leases)


if __name__ == "__main__":
    main()
