"""Scorers: programs that say how close two scopes are which share no path (`[scorers.NAME]`, and packages).

What overlaps by pattern is refused by the core, whatever anybody scores: a scorer can only add refusals. It is asked
about a scope that somebody wants beside each disjoint scope that is held, unless both are shared, and answers with a
score from 0 to 1 for each; from its threshold on they may not be held at once. A scorer that crashes, is too slow or
answers anything else refuses: what cannot be asked is not taken for a yes.

An answer is about the leases that were there when it was given. `weighed` goes with the command, and the core refuses
it when another lease was granted since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import metadata

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ganger.core.admission import Wanted
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.core.patterns import PathRules, scope_overlap
from ganger.core.state import State
from ganger.plans.wording import harmless
from ganger.service import programs
from ganger.service.predicate_host import VALUE
from ganger.service.predicates import REASON_CHARS_MAX, Held, Predicates, hosted, leases_of
from ganger.service.programs import Answer, Call
from ganger.service.tables import PREDICATE_DEFAULT_MS, Scorer

GROUP = "ganger.scorers"


class Side(Struct, frozen=True):
    """The scope that is wanted, as a scorer sees it."""

    name: str
    """What it is wanted for: `item login`, `lane auth`, `scope docs/**`."""
    scope: tuple[str, ...]
    mode: str


class Overlap(Struct, frozen=True, kw_only=True, tag_field="kind", tag="ganger.overlap"):
    """What a scorer reads: how close is this scope to each of these, of which it shares no path with any?"""

    version: int = 1
    wanted: Side
    held: tuple[Held, ...]


class Scores(Struct, frozen=True, forbid_unknown_fields=True):
    """What a scorer answers: a score for each lease in `held`, in that order."""

    scores: tuple[float, ...]
    """0: they have nothing to do with each other; 1: they are as good as one."""


class Weighing(Struct, frozen=True):
    """A scope that is wanted, and the leases it must be scored against."""

    wanted: Wanted
    against: tuple[Held, ...]


def weighing(state: State, wanted: Wanted) -> Weighing:
    """What is to be scored before `wanted` may be held: the live leases that the core would let be held beside it."""
    return Weighing(wanted, tuple(one for one in leases_of(state) if is_open(wanted, one, state.rules)))


def is_open(wanted: Wanted, held: Held, rules: PathRules) -> bool:
    """Whether the core leaves it open that both are held at once, so that a scorer may say something about it."""
    both_shared = wanted.mode is LeaseMode.shared and held.mode == LeaseMode.shared.value
    return not both_shared and scope_overlap(wanted.scope, held.scope, rules) is None


def objection(asked: Predicates, weighing: Weighing) -> Refusal | None:
    """Ask every scorer, side by side; the first refusal in the order of the configuration, or None.

    Takes as long as the slowest answer. Nobody is asked when nothing is held that may be held beside it.
    """
    if not weighing.against or not asked.scorers:
        return None
    question = programs.encoded(Overlap(wanted=_side(weighing.wanted), held=weighing.against))
    calls = [Call(one.argv, one.timeout_ms, question) for one in asked.scorers]
    answers = programs.ask(asked.state_dir, asked.folder, calls)
    refusals = (_refusal(one, answer, weighing) for one, answer in zip(asked.scorers, answers, strict=True))
    return next((refusal for refusal in refusals if refusal is not None), None)


def _side(wanted: Wanted) -> Side:
    return Side(wanted.name, wanted.scope, wanted.mode.value)


def _refusal(scorer: Scorer, answer: Answer, weighing: Weighing) -> Refusal | None:
    """What an answer means; None when it finds nothing too close."""
    scores = _scores(answer, len(weighing.against))
    if isinstance(scores, str):
        return _no(scorer, f"scorer {scorer.name} could not be asked: {scores}")
    for score, held in zip(scores, weighing.against, strict=True):
        if score >= scorer.threshold:
            near = f"{', '.join(held.scope)}, held by {held.holder}"
            scored = f"scorer {scorer.name} puts it at {score:g}, and {scorer.threshold:g} is too close"
            refused = _no(scorer, f"{weighing.wanted.name} is coupled with {near}: {scored}")
            return replace(refused, way=f"wait for {held.holder}", holder=held.holder)
    return None


def _no(scorer: Scorer, reason: str) -> Refusal:
    return Refusal(RefusalCode.predicate, harmless(reason)[:REASON_CHARS_MAX], holder=scorer.name)


def _scores(answer: Answer, count: int) -> tuple[float, ...] | str:
    """The scores of an answer; a text says why it is none."""
    if answer.fault:
        return answer.fault
    try:
        scores = msgspec.json.decode(answer.text, type=Scores).scores
    except msgspec.MsgspecError as error:
        return f"its answer is no scores: {error}"
    if len(scores) != count:
        return f"it gave {len(scores)} scores for {count} leases"
    beyond = next((score for score in scores if not 0 <= score <= 1), None)
    return scores if beyond is None else f"it gave the score {beyond:g}, must be 0 to 1"


def with_installed(scorers: Sequence[Scorer]) -> tuple[Scorer, ...]:
    """Add the scorers that installed packages offer: each a function, run in a process of its own."""
    offered: Iterable[metadata.EntryPoint] = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return (*scorers, *(Scorer(point.name, hosted(point, VALUE), PREDICATE_DEFAULT_MS) for point in offered))
