"""Whom a notice concerns: live runs, scored by the paths they may change or have changed, by plan, and by words.

A run that touches a path of the notice, or that is named in it, is told unless a person says otherwise; one that only
shares the plan or words with it is offered; the others are not shown. What is returned is a proposal: a person chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.patterns import PathRules, scope_matches, scope_overlap

WORDS_MIN = 2
"""So many words in common may be no chance; one that programs use as a name will do."""
WORD_POINTS_MAX = 3
NAMED_MAX = 5
"""Files or words that a reason names."""


class Relation(StrEnum):
    """What a run has to do with a notice."""

    affected = "affected"
    """It touches what the notice is about, or is named in it."""
    maybe = "maybe"
    """It shares the plan, or words."""
    unrelated = "unrelated"
    """Nothing speaks for it."""


class Notice(Struct, frozen=True):
    """What is to be said, and what it is about."""

    text: str
    about: tuple[str, ...] = ()
    """Patterns of paths, besides the paths that the text names."""
    plans: tuple[PlanId, ...] = ()


class Worker(Struct, frozen=True):
    """What is known of a live run."""

    run: RunId
    item: ItemId
    plan: PlanId
    scope: tuple[str, ...]
    title: str
    brief: str
    changed: tuple[str, ...] = ()
    """Files that it has changed so far."""


class Recipient(Struct, frozen=True):
    """How a run stands to a notice."""

    run: RunId
    relation: Relation
    score: int
    reasons: tuple[str, ...]


def recipients(notice: Notice, workers: Iterable[Worker], rules: PathRules) -> tuple[Recipient, ...]:
    """Score the runs, the highest first; those that nothing speaks for come last, with 0 points."""
    found = [_score(notice, worker, rules) for worker in workers]
    return tuple(sorted(found, key=lambda one: (-one.score, one.run)))


def _score(notice: Notice, worker: Worker, rules: PathRules) -> Recipient:
    paths = _paths_named(notice.text)
    sure = [
        *_is_named(notice, worker),
        *_has_changed(notice, worker, paths, rules),
        *_may(notice, worker, paths, rules),
    ]
    loose = [*_of_plan(notice, worker), *_words(notice, worker)]
    relation = Relation.affected if sure else Relation.maybe if loose else Relation.unrelated
    score = sum(points for points, _ in (*sure, *loose))
    return Recipient(worker.run, relation, score, tuple(why for _, why in (*sure, *loose)))


def _is_named(notice: Notice, worker: Worker) -> list[tuple[int, str]]:
    names = set(_NAME.findall(notice.text))
    return [(8, f"{name} is named") for name in (worker.run, worker.item) if name in names][:1]


def _has_changed(notice: Notice, worker: Worker, paths: tuple[str, ...], rules: PathRules) -> list[tuple[int, str]]:
    met = [path for path in worker.changed if path in paths or scope_matches(notice.about, path, rules)]
    return [(6, f"has changed {_listed(met)}")] if met else []


def _may(notice: Notice, worker: Worker, paths: tuple[str, ...], rules: PathRules) -> list[tuple[int, str]]:
    met = scope_overlap(notice.about, worker.scope, rules)
    if met is not None:
        return [(4, f"may change {met[1]}, which meets {met[0]}")]
    named = [path for path in paths if scope_matches(worker.scope, path, rules)]
    return [(4, f"may change {_listed(named)}")] if named else []


def _of_plan(notice: Notice, worker: Worker) -> list[tuple[int, str]]:
    return [(2, f"is of plan {worker.plan}")] if worker.plan in notice.plans else []


def _words(notice: Notice, worker: Worker) -> list[tuple[int, str]]:
    theirs = set(_WORD.findall(f"{worker.title}\n{worker.brief}"))
    lower = {word.lower() for word in theirs}
    names = [word for word in _in_order(notice.text) if word in theirs and _is_program_name(word)]
    words = [word for word in _in_order(notice.text) if word.lower() in lower and _says_something(word)]
    shared = list(dict.fromkeys((*names, *words)))
    if not names and len(shared) < WORDS_MIN:
        return []
    return [(min(len(shared), WORD_POINTS_MAX), f"speaks of {_listed(shared)} too")]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*[A-Za-z0-9]")
_WORD = re.compile(r"[^\W\d]\w{2,}")
_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+-]+)+|[\w@+-]+\.[a-z]{2,5}\b")
_COMMON = frozenset(
    _WORD.findall(
        """
        about above after again also and any anything are because been before being below between both but can
        cannot could change changed changes code did does doing done down each every everything file files for from
        had has have here how into its itself just like made make many more most must need needs new not nothing now
        off old once one only other our out over own please same should some something such than that the their them
        then there these they this those through under until use used uses using very was way well were what when
        where which while who whose why will with without work would you your all
        """
    )
)
"""Words that say nothing about what a text is about."""


def _in_order(text: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(text)))


def _is_program_name(word: str) -> bool:
    """Whether a word looks like a name in a program: `parse_date`, `HttpServer`."""
    return "_" in word.strip("_") or re.search(r"[a-z][A-Z]", word) is not None


def _says_something(word: str) -> bool:
    return word.lower() not in _COMMON


def _paths_named(text: str) -> tuple[str, ...]:
    """What in a text looks like the path of a file."""
    return tuple(dict.fromkeys(path.rstrip(".").removeprefix("./") for path in _PATH.findall(text)))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
