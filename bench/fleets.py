"""Large fleets to measure on: 10,000 items, 50 live runs, and as many events as asked for, through the real store."""

from __future__ import annotations

from pathlib import Path

from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId, PlanId, RunId
from ganger.core.model import Check, ItemSpec, Lane, LeaseMode, WorkerId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.door import keep_policy

ITEMS, LIVE = 10_000, 50
BATCH = 5_000
BASE = Commit("0" * 40)


def lane(number: int) -> Lane:
    """The `number`-th lane."""
    return Lane(f"lane{number}", (f"src/lane{number}/**",))


def spec(number: int, lanes: int = 0) -> ItemSpec:
    """The `number`-th item: a scope of its own or one of the lanes, one check, every fourth after the one before."""
    held = lane(number % lanes) if lanes else None
    return ItemSpec(
        id=ItemId(f"item-{number}"),
        plan=PlanId("big"),
        title=f"Change module {number}",
        scope=held.paths if held else (f"src/mod{number}/**", f"tests/mod{number}/*.py"),
        lane=held.name if held else "",
        after=(ItemId(f"item-{number - 1}"),) if number % 4 == 3 else (),
        checks=(Check("unit", ("python", "-m", "pytest", "-q")),),
    )


def build(state_dir: Path, events: int, lanes: int = 0, live: int = LIVE) -> Store:
    """Make a fleet with `events` entries: 10,000 items (with `lanes`, each in one of so many), `live` runs, notes.

    Every fourth item has a run, or every one where there are that many.
    """
    state_dir.mkdir(parents=True)
    step = min(4, ITEMS // live)
    policy = Policy(workers_max=live, lanes=tuple(lane(number) for number in range(lanes)))
    keep_policy(state_dir, policy)
    store = Store(state_dir / "journal.db")
    facts: list[ev.Event] = [ev.PlanAdded(PlanId("big"), "Big", "big.toml", "0")]
    facts += [ev.ItemAdded(spec(number, lanes), "Do it well.") for number in range(ITEMS)]
    for number in range(live):
        facts.append(
            ev.RunGranted(
                run=RunId(f"item-{number * step}.1"),
                item=ItemId(f"item-{number * step}"),
                attempt=1,
                base=BASE,
                scope=spec(number * step, lanes).scope,
                lane=spec(number * step, lanes).lane,
                mode=LeaseMode.exclusive,
                expires_ms=1 << 60,
                agent="default",
            )
        )
        facts.append(ev.WorkerStarted(RunId(f"item-{number * step}.1"), 1, WorkerId(1 << 22, 1, "gone")))
    _append(store, facts[:events])
    written = len(facts)
    while written < events:
        size = min(BATCH, events - written)
        notes = [
            ev.NoteAdded(RunId(f"item-{(written + i) % live * step}.1"), f"note {written + i}") for i in range(size)
        ]
        _append(store, notes)
        written += size
    return store


def _append(store: Store, facts: list[ev.Event]) -> None:
    for start in range(0, len(facts), BATCH):
        with store.writing() as writing:
            writing.append(facts[start : start + BATCH], "supervisor")
