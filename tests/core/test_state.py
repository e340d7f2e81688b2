"""The fold: total, deterministic, the same through a snapshot, with indexes that are those of a fresh fold."""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from random_story import indexes

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.evolve import _EVOLVE, evolve, fold
from ganger.core.ids import ItemId, RunId, Seq
from ganger.core.model import PLANNER, EndKind, RefusalCode, VerdictKind
from ganger.core.state import State
from ganger.testing.builders import BASE, NOW_MS, TIP, Story, evidence, spec
from ganger.testing.invariants import canonical
from ganger.testing.simulation import Simulation, swarm


def test_every_event_is_evolved() -> None:
    assert set(_EVOLVE) == set(get_args(ev.Event))


NAMES = {
    "run": ("a.1", "b.1", "z.9"),
    "item": ("a", "b", "z"),
    "plan": ("plan", "other"),
    "lease": ("lease:3", "lease:9"),
    "name": ("nightly", "weekly"),
    "key": ("agent:default", "check:unit"),
    "commit": (BASE, TIP),
    "new": (BASE, TIP),
    "question": ("q1", "q2"),
}


def any_event(kind: type, rng: Random) -> ev.Event:
    """An event of a kind, about things that exist or not."""
    run, item = rng.choice(NAMES["run"]), rng.choice(NAMES["item"])
    built = {
        "run": run,
        "item": item,
        "runs": (run,),
        "until": ((run, rng.randrange(10**6)),),
        "spec": spec(item, after=rng.choice(((), ("b",))), kind=rng.choice(("patcher", PLANNER)), parent=ItemId("z")),
        "scope": ("src/**",),
        "question": {"id": "q1", "kind": "worker", "text": "?", "run": run} if kind is ev.QuestionAsked else "q1",
        "report": {"kind": "done"},
        "worker": {"pid": 1, "started": 1},
        "evidence": evidence(),
        "verdict": {"kind": rng.choice(list(VerdictKind)), "rung": 3},
        "code": RefusalCode.overlap if kind is ev.ItemWaited else rng.choice((0, 1)),
        "usage": {"tokens": rng.randrange(99)},
        "reserved": {"tokens": rng.randrange(99)},
    }
    hints = get_type_hints(kind)
    values = {name: built.get(name, _any(name, hints[name], rng)) for name in kind.__struct_fields__}
    return msgspec.convert({**msgspec.to_builtins(values), "type": kind.__name__}, kind)


def _any(name: str, hint: Any, rng: Random) -> Any:
    """A value for a field that nothing special is known of."""
    hint = getattr(hint, "__supertype__", hint)
    if name in NAMES:
        return rng.choice(NAMES[name])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return rng.choice(list(hint))
    if hint is bool:
        return rng.random() < 0.5
    if hint is int:
        return rng.randrange(9)
    if hint is str:
        return "x"
    return () if get_origin(hint) is tuple else None


@pytest.mark.parametrize("seed", range(20))
def test_the_fold_is_total(seed: int) -> None:
    """Any events in any order, about anything: it never raises, and two folds are equal."""
    rng = Random(seed)
    kinds = get_args(ev.Event)
    entries = [ev.Entry(Seq(n), n * 10, "x", any_event(rng.choice(kinds), rng)) for n in range(1, 300)]
    one, other = fold(entries), fold(entries)
    assert canonical(one) == canonical(other)
    kept, rebuilt = indexes(one), indexes(State(one.snapshot(), one.rules))
    for found in (kept, rebuilt):
        # An item that is added twice, or after a run of its own or an item below it, leaves others; no decision does.
        del found["dependents"], found["outstanding"]
    assert kept == rebuilt


@pytest.mark.parametrize("seed", range(10))
def test_indexes_kept_along_the_way_are_those_of_a_fresh_fold(seed: int) -> None:
    sim = Simulation(seed, swarm(seed))
    sim.run()
    entries = sim.client.store.entries(limit=10**6)
    kept = State()
    for entry in entries:
        evolve(kept, entry)
        assert kept.ready == sorted(kept.ready)
        list(kept.leases.overlapping(("src/**",)))
        list(kept.reserved.overlapping(("src/**",)))
    fresh = fold(entries)
    assert indexes(kept) == indexes(fresh)
    assert set(kept.leases.overlapping(("**",))) == {*fresh.runs, *fresh.held}


@pytest.mark.parametrize("seed", range(10))
def test_every_truncation_folds_and_survives_a_snapshot(seed: int) -> None:
    sim = Simulation(seed, swarm(seed))
    sim.run()
    entries = sim.client.store.entries(limit=10**6)
    for length in range(0, len(entries), 7):
        state = fold(entries[:length])
        again = State(msgspec.msgpack.decode(msgspec.msgpack.encode(state.snapshot()), type=type(state.snapshot())))
        for entry in entries[length : length + 40]:
            evolve(state, entry)
            evolve(again, entry)
        assert canonical(state) == canonical(again)
        assert indexes(state) == indexes(again)


def test_a_lease_is_born_and_ends_with_its_run() -> None:
    story = Story(spec())
    assert list(story.state.leases.overlapping(("src/x",))) == []
    story.granted()
    assert list(story.state.leases.overlapping(("src/x",))) == ["login.1"]
    story.do(cmd.RecordEnd(RunId("login.1"), story.token(), EndKind.failed, "no"))
    assert list(story.state.leases.overlapping(("src/x",))) == []


def test_landing_makes_ready_what_waited_for_it() -> None:
    story = Story(spec(), spec("after", after=("login",)), spec("later", after=("after",)))
    assert [item for _, _, _, item in story.state.ready] == ["login"]
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert [item for _, _, _, item in story.state.ready] == ["after"]


def test_a_run_that_ends_takes_its_question_with_it() -> None:
    story = Story(spec())
    run = story.started()
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.append(ev.RunEnded(run.id, EndKind.failed, "over"))
    assert story.state.questions == {}


def test_touched_things_are_told_once() -> None:
    story = Story(spec())
    story.state.take_touched()
    story.granted()
    assert story.state.take_touched() == ({ItemId("login")}, {RunId("login.1")})
    assert story.state.take_touched() == (set(), set())


def test_the_times_are_those_of_the_entries() -> None:
    story = Story(spec())
    story.now_ms += 7
    assert story.granted().granted_ms == NOW_MS + 7
    assert story.state.at_ms == NOW_MS + 7
