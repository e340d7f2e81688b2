"""Predicates: programs that may refuse a run, and nothing else (`[predicates.NAME]`, and packages that offer some).

Each reads a question as JSON on its standard input. Exit status 0: no objection. 1: refused, the first line of its
standard output is the reason. Everything else (another status, a signal, too slow, too much output, bytes that are no
text, a program that is not there) counts as refused too: what cannot be asked is not taken for a yes. How programs
are asked, and within which limits, is `service.programs`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.ids import ItemId, LeaseId, RunId
from ganger.core.model import ItemSpec, Lease, Refusal, RefusalCode
from ganger.core.state import State
from ganger.errors import StateDirError
from ganger.plans.wording import harmless
from ganger.service import place, programs
from ganger.service.predicate_host import NO_OBJECTION, OBJECTION
from ganger.service.programs import Answer, Call
from ganger.service.tables import PREDICATE_DEFAULT_MS, Predicate, Scorer

GROUP = "ganger.predicates"
KEPT = "predicates.json"
PROGRAMS_MAX = 8
"""Most programs asked at once, unless there are more predicates: they would take the time from each other."""
REASON_CHARS_MAX = 500
AGAIN_MS = 60_000
"""How long a refused item is not asked about again."""


class Held(Struct, frozen=True):
    """A live lease, as a predicate sees it."""

    holder: str
    scope: tuple[str, ...]
    mode: str


class Request(Struct, frozen=True):
    """The run that would be granted, as a predicate sees it."""

    item: str
    plan: str
    scope: tuple[str, ...]
    lane: str
    agent: str
    kind: str


class Question(Struct, frozen=True, kw_only=True, tag_field="kind", tag="ganger.predicate"):
    """What a predicate reads: may this run start, beside these leases?"""

    version: int = 1
    request: Request
    leases: tuple[Held, ...]


class Predicates(Struct, frozen=True):
    """The programs of a fleet that may refuse, and where they run."""

    state_dir: Path
    folder: Path
    """Their working directory: the top of the user's work tree."""
    programs: tuple[Predicate, ...]
    scorers: tuple[Scorer, ...] = ()
    """Those that may find two disjoint scopes too close, see `service.scorers`."""

    @property
    def at_once(self) -> int:
        """How many questions may be asked at once.

        With scorers one: what they say of a scope depends on what is granted before.
        """
        return 1 if self.scorers else max(1, PROGRAMS_MAX // max(1, len(self.programs)))

    def ask(self, questions: Sequence[Question]) -> tuple[Refusal | None, ...]:
        """Ask every predicate every question, all side by side; for each question the first refusal, or None.

        Takes as long as the slowest answer: about the longest time limit, at most. Refusals come in the order of the
        predicates, whichever answers first. At most `at_once` questions.
        """
        if len(questions) > self.at_once:
            raise AssertionError(f"{len(questions)} questions at once are more than {self.at_once}")
        statuses = (NO_OBJECTION, OBJECTION)
        calls = [
            Call(one.argv, one.timeout_ms, programs.encoded(question), statuses)
            for question in questions
            for one in self.programs
        ]
        answers = iter(programs.ask(self.state_dir, self.folder, calls))
        of_each = [[_refusal(one, next(answers)) for one in self.programs] for _ in questions]
        return tuple(next((no for no in of_question if no is not None), None) for of_question in of_each)


def _refusal(predicate: Predicate, answer: Answer) -> Refusal | None:
    """What an answer means; None when there is no objection."""
    name = predicate.name
    if answer.fault:
        reason = harmless(f"predicate {name} could not be asked: {answer.fault}")[:REASON_CHARS_MAX]
    elif answer.status == NO_OBJECTION:
        return None
    else:
        said = harmless(answer.text.partition("\n")[0].strip()[:REASON_CHARS_MAX])[:REASON_CHARS_MAX]
        reason = f"predicate {name} refused: {said or 'it gave no reason'}"
    return Refusal(RefusalCode.predicate, reason, holder=name)


NO_PREDICATES = Predicates(Path(), Path(), ())


def question_about(state: State, item: ItemId) -> Question:
    """The question whether a run of `item` may start now."""
    spec = state.items[item].spec
    return Question(request=request_for(spec), leases=leases_of(state))


def request_for(spec: ItemSpec) -> Request:
    """The run that an item would be given to."""
    return Request(spec.id, spec.plan, spec.scope, spec.lane, spec.agent, spec.kind)


def leases_of(state: State) -> tuple[Held, ...]:
    """The leases of all runs, and of those whom ganger did not start."""
    holders: Iterable[RunId | LeaseId] = chain(state.runs, state.held)
    return tuple(_held(holder, state.lease_of(holder)) for holder in holders)


def _held(holder: RunId | LeaseId, lease: Lease) -> Held:
    return Held(holder, lease.scope, lease.mode.value)


def with_installed(programs: Sequence[Predicate]) -> tuple[Predicate, ...]:
    """Add the predicates that installed packages offer: each a function, run in a process of its own."""
    offered = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return (*programs, *(Predicate(point.name, hosted(point), PREDICATE_DEFAULT_MS) for point in offered))


def hosted(point: metadata.EntryPoint, *mode: str) -> tuple[str, ...]:
    """The command that asks a function of a package; with the mode `value`, it answers with what that returns."""
    place_of = str(point.dist.locate_file("")) if point.dist is not None else ""
    return (sys.executable, "-P", "-m", "ganger.service.predicate_host", point.value, place_of, *mode)


class _Kept(Struct, frozen=True):
    folder: str
    programs: tuple[Predicate, ...]
    scorers: tuple[Scorer, ...] = ()


def keep(predicates: Predicates) -> None:
    """Leave the programs that a person agreed to for other processes of this fleet; StateDirError when it cannot."""
    kept = _Kept(os.fspath(predicates.folder), predicates.programs, predicates.scorers)
    place.replace_file(predicates.state_dir / KEPT, msgspec.json.encode(kept))


def kept(state_dir: Path) -> Predicates:
    """The programs of the fleet in `state_dir`; none before its first supervisor. StateDirError when unreadable."""
    path = state_dir / KEPT
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return Predicates(state_dir, state_dir, ())
    except (OSError, msgspec.MsgspecError) as error:
        raise StateDirError(f"{path} cannot be read: {error}", "ganger run writes it anew") from error
    return Predicates(state_dir, Path(found.folder), found.programs, found.scorers)
