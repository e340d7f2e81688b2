"""Asking others about the runs that are to be granted: the driver, then predicates, then scorers.

They can hold back and refuse, and change nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.admission import wanted_by
from ganger.core.effects import Effect, Submit
from ganger.core.ids import ItemId, Seq
from ganger.core.model import Refusal, RefusalCode
from ganger.core.state import State
from ganger.service import scorers
from ganger.service.fleet import Fleet
from ganger.service.predicates import AGAIN_MS, Predicates, question_about
from ganger.service.reconcile_step import ReconcileStep, situation

DRIVER = "driver"


def driven(effects: tuple[Effect, ...], fleet: Fleet, step: ReconcileStep | None) -> tuple[tuple[Effect, ...], bool]:
    """Leave only those grants that the driver lets go, and tell whether it wants no more to be offered.

    Where it lets none go, a note of why stands in the place of each. Blocks for as long as the driver takes, at most
    its time limit, without the fleet's lock.
    """
    offered = tuple(command.item for effect in effects if (command := granting(effect)) is not None)
    if not offered or step is None:
        return effects, False
    answer = step.ask(fleet.look(lambda state, now_ms: situation(state, now_ms, offered)))
    if answer.reason:
        no = Refusal(RefusalCode.predicate, answer.reason, holder=DRIVER)
        answers, now_ms = dict.fromkeys(offered, no), fleet.now_ms()
        return tuple(each for effect in effects for each in _weighed(effect, answers, None, now_ms)), answer.stop
    return tuple(e for e in effects if (command := granting(e)) is None or command.item in answer.items), False


def weighed(effects: tuple[Effect, ...], fleet: Fleet, predicates: Predicates) -> tuple[Effect, ...]:
    """Put a note of its refusal in the place of each grant that is objected to.

    Blocks for as long as the slowest predicate takes, and then the slowest scorer, without the fleet's lock. Grants
    beyond what may be asked at once are left out: the next tick yields them again.
    """
    wanted = [command.item for effect in effects if (command := granting(effect)) is not None]
    if not wanted or not (predicates.programs or predicates.scorers):
        return effects
    asked = wanted[: predicates.at_once]
    questions = fleet.look(lambda state, _: tuple(question_about(state, item) for item in asked))
    answers = dict(zip(asked, predicates.ask(questions), strict=True))
    seq = None
    if predicates.scorers:
        (item,) = asked
        seq, answers[item] = _scored(item, fleet, predicates, answers[item])
    now_ms = fleet.now_ms()
    return tuple(each for effect in effects for each in _weighed(effect, answers, seq, now_ms))


def granting(effect: Effect) -> cmd.GrantRun | None:
    """The grant that an effect asks for, if it does."""
    return effect.command if isinstance(effect, Submit) and isinstance(effect.command, cmd.GrantRun) else None


def refused(item: ItemId, no: Refusal, now_ms: int) -> Submit:
    """The note that an item waits for whoever refused it."""
    return Submit(cmd.RecordWait(item, no.code, no.reason, no.holder, now_ms + AGAIN_MS))


def _scored(item: ItemId, fleet: Fleet, asked: Predicates, no: Refusal | None) -> tuple[Seq, Refusal | None]:
    """What the scorers say of a run that no predicate refuses, and up to which position they have seen the leases."""

    def look(state: State, now_ms: int) -> tuple[Seq, scorers.Weighing]:
        return state.seq, scorers.weighing(state, wanted_by(state.items[item].spec, fleet.policy))

    seq, weighing = fleet.look(look)
    return seq, no or scorers.objection(asked, weighing)


def _weighed(
    effect: Effect, answers: Mapping[ItemId, Refusal | None], seq: Seq | None, now_ms: int
) -> Iterator[Effect]:
    command = granting(effect)
    if command is None:
        yield effect
    elif command.item in answers:
        no = answers[command.item]
        if no is not None:
            yield refused(command.item, no, now_ms)
        else:
            yield effect if seq is None else Submit(replace(command, weighed=seq))
