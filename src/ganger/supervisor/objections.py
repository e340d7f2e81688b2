"""Asking predicates about the runs that are to be granted. They can refuse, and change nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ganger.core import commands as cmd
from ganger.core.effects import Effect, Submit
from ganger.core.ids import ItemId
from ganger.core.model import Refusal
from ganger.service.fleet import Fleet
from ganger.service.predicates import AGAIN_MS, Predicates, question_about


def weighed(effects: tuple[Effect, ...], fleet: Fleet, predicates: Predicates) -> tuple[Effect, ...]:
    """Put a note of its refusal in the place of each grant that is objected to.

    Blocks for as long as the slowest predicate takes, without the fleet's lock. Grants beyond what may be asked
    at once are left out: the next tick yields them again.
    """
    wanted = [command.item for effect in effects if (command := granting(effect)) is not None]
    if not wanted or not predicates.programs:
        return effects
    asked = wanted[: predicates.at_once]
    questions = fleet.look(lambda state, _: tuple(question_about(state, item) for item in asked))
    answers = dict(zip(asked, predicates.ask(questions), strict=True))
    now_ms = fleet.now_ms()
    return tuple(each for effect in effects for each in _weighed(effect, answers, now_ms))


def granting(effect: Effect) -> cmd.GrantRun | None:
    """The grant that an effect asks for, if it does."""
    return effect.command if isinstance(effect, Submit) and isinstance(effect.command, cmd.GrantRun) else None


def _weighed(effect: Effect, answers: Mapping[ItemId, Refusal | None], now_ms: int) -> Iterator[Effect]:
    command = granting(effect)
    if command is None:
        yield effect
    elif command.item in answers:
        no = answers[command.item]
        yield (
            effect
            if no is None
            else Submit(cmd.RecordWait(command.item, no.code, no.reason, no.holder, now_ms + AGAIN_MS))
        )
