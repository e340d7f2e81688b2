"""As many verdicts and human acts stand in the journal as were given, each with who gave it (RO2)."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
sys.path.insert(0, str(Path(__file__).parents[1] / "night"))

import builders
from random_story import MAKERS, POLICY, a_plan

from ganger.cli import night
from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.authority import PERSONS_ONLY, WORKERS_MAY
from ganger.core.loop import Intent
from ganger.core.model import Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.journal.port import Journal
from ganger.journal.store import Store
from ganger.service import place, wiring
from ganger.service.fleet import Fleet, Reply
from ganger.testing.builders import Story

MACHINE = (ev.EvidenceRecorded, ev.VerdictGiven, ev.TrainTested, ev.RunLanded, ev.RunEnded)
"""What ganger finds out and decides itself."""
HUMAN = (ev.QuestionAnswered, ev.ItemRetried, ev.RunRewound, ev.PlanPaused, ev.PlanResumed, ev.PlanSteered)


class Counting(Fleet):
    """A fleet that counts what it tells those who ask: each event by its type and by who asked."""

    def __init__(self, store: Journal, policy: Policy) -> None:
        super().__init__(store, policy)
        self.given: Counter[tuple[str, str]] = Counter()
        self.forbidden = 0

    def submit(self, command: cmd.Command, actor: str, key: str = "") -> Reply:
        reply = super().submit(command, actor, key)
        if isinstance(reply, Refusal):
            self.forbidden += reply.code is RefusalCode.forbidden
        else:
            self.given.update((type(event).__name__, actor) for event in reply.events)
        return reply


def recorded(store: Store) -> Counter[tuple[str, str]]:
    """The entries of a journal by type and actor."""
    found: Counter[tuple[str, str]] = Counter()
    after = 0
    while entries := store.entries(after):
        found.update((type(entry.event).__name__, entry.actor) for entry in entries)
        after = entries[-1].seq
    return found


def roles(found: Counter[tuple[str, str]], kinds: tuple[type, ...]) -> set[str]:
    """Who stands beside these events: `person`, `worker`, `supervisor`."""
    names = {kind.__name__ for kind in kinds}
    return {actor.partition(":")[0] for name, actor in found if name in names}


def asker(command: cmd.Command, state: State, rng: Random) -> str:
    """Who asks for a command; now and then somebody who may not."""
    if rng.random() < 0.1:
        return rng.choice(("person:mallory", "supervisor:1", *(f"worker:{run}" for run in state.runs)))
    if type(command) in PERSONS_ONLY:
        return rng.choice(("person:olga", "person:dana"))
    if type(command) in WORKERS_MAY:
        return f"worker:{getattr(command, 'run', 'a.1')}"
    return "supervisor"


@pytest.mark.parametrize("seed", range(4))
def test_every_reply_of_a_random_story_is_what_is_recorded(tmp_path: Path, seed: int) -> None:
    rng, story = Random(seed), Story(policy=POLICY)
    makers, weights = [maker for _, maker in MAKERS], [weight for weight, _ in MAKERS]
    with closing(Store(tmp_path / "journal.db", POLICY.paths, lambda: story.now_ms)) as store:
        fleet = Counting(store, POLICY)
        fleet.submit(a_plan(story, rng), "person:olga")
        for _ in range(300):
            story.now_ms += rng.choice((0, 1, 1_000, 7_000))
            story.state = store.catch_up()
            command = rng.choices(makers, weights)[0](story, rng)
            fleet.submit(command, asker(command, story.state, rng))
        found = recorded(store)
    forbade = Counter({key: count for key, count in found.items() if key[0] == "Forbade"})
    assert found - forbade == fleet.given
    assert 0 < forbade.total() <= fleet.forbidden
    assert roles(found, HUMAN) == {"person"}
    assert "worker" not in roles(found, MACHINE)
    assert {"person:olga", "person:dana", "supervisor"} < {actor for _, actor in found}


WORK = """
case $item$GANGER_TURN in
a1) ganger ask 'Which?' --option x --option y ;;
b1) ganger done ;;
*)  echo x >> src/$item.txt; commit work; ganger done ;;
esac
"""


def person(lab: builders.Fleet) -> None:
    """Answer whatever is asked, through the door, until all has landed or a minute is over; then end the night."""
    until = time.monotonic() + 60
    while set(lab.statuses().values()) != {"landed"} and time.monotonic() < until:
        for question in lab.json("inbox")["questions"]:
            lab.ganger("answer", question["id"], "land" if "land" in question["options"] else "x")
    lab.ganger("down", "--now")


def test_a_night_with_a_person_and_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker asks, another is rejected once, each landing waits for a word: all of it counted and recorded."""
    lab = builders.Fleet(tmp_path / "lab")
    lab.begin()
    lab.shell_agent("default", WORK)
    lab.configure(more='[landing]\nmode = "ask"\n')
    for name in "ab":
        lab.item(name)
    plan_file = lab.plan()
    for name in set(os.environ) - set(lab.env):
        monkeypatch.delenv(name)
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    parts = wiring.gather(lab.repo, lab.env, "", {})
    wiring.open_fleet(parts).close()
    fleet = Counting(Store(parts.state_dir / place.JOURNAL, parts.policy.paths), parts.policy)
    plan, _ = wiring.usable_plan(parts, plan_file)
    answering = threading.Thread(target=person, args=(lab,))
    with closing(fleet), wiring.supervising(parts.state_dir, "run"):
        fleet.submit(wiring.add_plan(plan), wiring.person())
        answering.start()
        night.supervise(parts, fleet, Intent(plan=plan.id), shown=False, stays=True)
        assert isinstance(fleet.store, Store)
        found = recorded(fleet.store)
    answering.join()
    assert found == fleet.given
    assert roles(found, (ev.QuestionAnswered,)) == {"person"}
    assert roles(found, (ev.RunReported, ev.QuestionAsked)) == {"worker", "supervisor"}
    assert roles(found, MACHINE) == {"supervisor"}
    by_type = Counter(name for name, _ in found.elements())
    assert (by_type["VerdictGiven"], by_type["RunLanded"], by_type["TrainTested"] >= 1) == (3, 2, True)
    assert found["QuestionAnswered", "person:dana"] == by_type["QuestionAnswered"] >= 2
    assert {actor for name, actor in found if name == "RunReported"} == {"worker:a.1", "worker:b.1"}
    assert not lab.close()
    lab.assert_sound()
