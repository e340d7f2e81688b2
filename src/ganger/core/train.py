"""Which candidates to test together next, and who is to blame when a combination fails: group testing as a value.

Everything is a prefix of one order. A combination is the first so many waiting candidates, each merged onto what
those before it made, so a longer one goes on where a shorter one ends: once the shorter has landed, what is known
about the longer still holds, since the trees are the same. Of fresh candidates one batch is tested and, at the same
time, the next on top of it; suspects are halved. Whoever is left alone with a failure is accused, leaves the order,
and is judged beside the train by tests of its own (`Case`): nobody is blamed for what was seen once only, nor for a
target that fails by itself.

A `Search` is a part of the state, so a restart goes on where the search was. It knows runs and commits only.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.ids import Commit, RunId

LANDED_MAX = 64
"""Landings remembered, among which the partner of a candidate that fails is looked for."""
GREEN_MAX = 64
"""Checks remembered to have passed."""
RED_CASES = 3
"""So many accused while nothing has passed have the target looked at; until then something that passes on it may show
that it is good."""
OFTEN = 1_000
"""As often as it may be asked for: it was run again until it had failed each time."""

Argv: TypeAlias = tuple[str, ...]
Place: TypeAlias = tuple[RunId, Commit]
"""A run that has landed, and the commit that contains it and those before it."""


class Trial(Struct, frozen=True, gc=False):
    """A test to run."""

    runs: tuple[RunId, ...]
    """The candidates to merge, in order; one where `onto` is given."""
    onto: Commit = Commit("")
    """The commit to merge onto; empty: the target as it is."""
    again: bool = False
    """Whether checks that are known to fail on this tree are run again."""
    bare: bool = False
    """Whether `onto` is tested without the candidate, by the candidate's checks."""


class Case(Struct, frozen=True, gc=False):
    """An accused candidate: alone with a failure, not yet told from a partner, from bad luck and from a red target.

    Places are counted along the landings since the search began: 0 is where it began, n the n-th landing.
    """

    run: RunId
    origin: Commit
    """Place 0."""
    path: tuple[Place, ...] = ()
    """Places 1, 2, … up to where it failed."""
    argv: tuple[Argv, ...] = ()
    """The checks that failed."""
    fault: str = ""
    """How, in words."""
    seen: int = 0
    """How often it was seen to fail."""
    is_fine_alone: bool = False
    """Whether the evidence says that it passes the same checks by itself."""
    good: int = -1
    """The last place on top of which it is known to pass; -1: none."""
    bad: int = 0
    """The first place on top of which it fails."""
    sound: bool = False
    """Whether what it fails on was seen to pass the same checks without it."""
    sure: int = -1
    """The place on top of which it was run again and failed each time; -1: none."""

    def at(self, place: int) -> Commit:
        """The commit at a place."""
        return self.path[place - 1][1] if place else self.origin

    @property
    def partner(self) -> RunId:
        """The landed candidate with which it fails; empty when it fails by itself, or nobody knows yet."""
        return self.path[self.bad - 1][0] if self.bad and 0 <= self.good == self.bad - 1 else RunId("")


class Ready(Struct, frozen=True, gc=False):
    """A combination that passed while the first part of it was being landed."""

    runs: tuple[RunId, ...]
    commits: tuple[Commit, ...]
    """After each of the runs."""
    tree: Commit


class Search(Struct, frozen=True, gc=False):
    """What is known about the candidates that wait, on top of one tip."""

    tip: Commit = Commit("")
    """The target as the last test found it, or the last landing left it; empty when nothing is known."""
    origin: Commit = Commit("")
    """The target as it was when this search began: everything since is a landing of the train."""
    landed: tuple[Place, ...] = ()
    """Landings since, one entry a run."""
    suspects: tuple[RunId, ...] = ()
    """In this order they fail together on the tip; two at least."""
    seen: int = 0
    """How often that was seen; 0 while it is only presumed, since the tip has changed."""
    argv: tuple[Argv, ...] = ()
    """The checks that failed."""
    fault: str = ""
    cases: tuple[Case, ...] = ()
    green: tuple[Argv, ...] = ()
    """Checks that have passed on top of where the search began."""
    red: Commit = Commit("")
    """A tip that fails by itself: nothing is tested on it."""
    ready: Ready | None = None


def begun(tip: Commit, suspects: tuple[RunId, ...] = ()) -> Search:
    """A search that knows nothing yet; who was suspected on another tip is looked at first."""
    return Search(tip=tip, origin=tip, suspects=suspects)


# ── what to test ──


def trials(
    search: Search,
    waiting: tuple[RunId, ...],
    batch: int,
    parallel: int,
    retries: int,
    under_way: frozenset[Trial] = frozenset(),
) -> tuple[Trial, ...]:
    """The tests to begin now: of the accused first, then combinations, with those under way `parallel` at most.

    `waiting` are the candidates, longest wait first; `batch` the most that are new in a combination; `retries` how
    often a failure is seen again before anybody is blamed for it.
    """
    busy = {trial if trial.onto else Trial(_left(search, trial.runs)) for trial in under_way}
    found = [trial for case in search.cases if case.run in waiting and (trial := next_trial(search, case, retries))]
    combined = order(search, waiting)
    bare = [trial for trial in found if trial.bare]
    if combined and len(search.cases) < RED_CASES:
        found = [trial for trial in found if not trial.bare]
    else:
        found = [trial for trial in found if trial not in bare[1:]]
    suspected = len(search.suspects) if combined[: len(search.suspects)] == search.suspects else 0
    wanted = max(1, parallel - len(found))
    found += [Trial(combined[:length]) for length in lengths(suspected, len(combined), batch, wanted)]
    fresh = [trial for trial in dict.fromkeys(found) if trial not in busy]
    return tuple(fresh[: max(parallel - len(under_way), 0)])


def order(search: Search, waiting: tuple[RunId, ...]) -> tuple[RunId, ...]:
    """The candidates to combine: suspects first, then the others as long as they have waited; the accused not."""
    suspects = search.suspects if set(search.suspects) <= set(waiting) else ()
    apart = {case.run for case in search.cases}.union(suspects)
    return (*suspects, *(run for run in waiting if run not in apart))


def lengths(suspects: int, waiting: int, batch: int, parallel: int) -> tuple[int, ...]:
    """How many of the order each test takes, with `parallel` of them at once, the most wanted first.

    Suspects are cut into equal parts, two with up to two tests at once: a second one would tell less than it costs.
    Fresh candidates: a batch, and on top of it the next ones, as if it had passed.
    """
    if suspects > 1:
        ways = min(max(parallel, 2), suspects)
        return tuple(dict.fromkeys(-(-suspects * part // ways) for part in range(1, ways)))
    return tuple(dict.fromkeys(min(batch * part, waiting) for part in range(1, parallel + 1))) if waiting else ()


def next_trial(search: Search, case: Case, retries: int) -> Trial | None:
    """The next test for an accused candidate; None when it can be judged."""
    run = (case.run,)
    if case.is_fine_alone and case.good < 0 and case.bad:
        return Trial(run, case.origin)
    if case.seen <= retries:
        return Trial(run, case.at(case.bad), again=True)
    if case.good >= 0:
        if case.bad - case.good > 1:
            return Trial(run, case.at((case.good + case.bad) // 2))
        return _confirmed(case, retries)
    if case.sound or (case.argv and set(case.argv) <= set(search.green)):
        return _confirmed(case, retries) if case.is_fine_alone else None
    return Trial(run, case.at(case.bad), bare=True)


def _confirmed(case: Case, retries: int) -> Trial | None:
    """None when a candidate that passes somewhere was run again just where it is to be blamed for failing."""
    return Trial((case.run,), case.at(case.bad), again=True) if retries and case.sure != case.bad else None


def _left(search: Search, runs: tuple[RunId, ...]) -> tuple[RunId, ...]:
    """What a combination adds to the tip, once the first of it have landed."""
    landed = {run for run, _ in search.landed}
    return tuple(run for run in runs if run not in landed)


# ── what follows from a test ──


def after_pass(search: Search, old: Commit, argv: tuple[Argv, ...]) -> Search:
    """A combination has passed on `old`; it is landed next."""
    found = _on(search, old)
    return replace(found, green=tuple(dict.fromkeys((*argv, *found.green)))[:GREEN_MAX])


def after_failure(search: Search, runs: tuple[RunId, ...], old: Commit, argv: tuple[Argv, ...], fault: str) -> Search:
    """A combination has failed on `old`: fewer are suspected, or one is accused."""
    found = _on(search, old)
    inside = found.suspects[: len(runs)] == runs
    is_news = not any(case.run in runs for case in found.cases)
    if not runs or not is_news or (found.suspects and not inside):
        return found
    seen = (found.seen if inside else 0) + 1
    return _narrowed(replace(found, suspects=runs, seen=seen, argv=argv, fault=fault))


def after_landing(search: Search, runs: tuple[RunId, ...], commits: tuple[Commit, ...], new: Commit) -> Search:
    """These runs have landed: the target is at `new`; what is known about longer combinations stays."""
    after_each = commits if len(commits) == len(runs) else (new,) * len(runs)
    places = (*search.landed, *zip(runs, after_each, strict=True))
    origin = search.origin or search.tip
    if len(places) > LANDED_MAX:
        origin = places[-LANDED_MAX - 1][1]
    suspects, seen = search.suspects, search.seen
    if suspects[: len(runs)] == runs:
        suspects = suspects[len(runs) :]
    elif set(runs) & set(suspects):
        suspects = ()
    else:
        seen = 0
    cases = tuple(case for case in search.cases if case.run not in runs)
    after = replace(search, tip=new, origin=origin, landed=places[-LANDED_MAX:], suspects=suspects, seen=seen)
    return _narrowed(replace(after, cases=cases, ready=None))


def after_trial(search: Search, trial: Trial, passed: bool) -> Search:
    """An accused candidate, or what it fails on, was tested by itself."""
    case = next((case for case in search.cases if trial.runs == (case.run,)), None)
    places = [place for place in range(len(case.path) + 1) if case.at(place) == trial.onto] if case else []
    if case is None or not places:
        return search
    place = places[0]
    if trial.bare:
        if passed:
            return _with(search, replace(case, sound=True))
        is_red = trial.onto == search.tip
        return replace(search, cases=(), red=search.tip) if is_red else without(search, case.run)
    if passed and place >= case.bad:
        return without(search, case.run)
    if passed:
        return _with(search, replace(case, good=max(case.good, place)))
    seen = OFTEN if trial.again else case.seen + 1
    sure = place if trial.again else case.sure
    return _with(search, replace(case, bad=min(case.bad, place), seen=seen, sure=sure))


def without(search: Search, run: RunId) -> Search:
    """A candidate waits no more, or is given another chance: nothing is presumed of those it was suspected with."""
    cases = tuple(case for case in search.cases if case.run != run)
    suspects = () if run in search.suspects else search.suspects
    ready = None if search.ready is not None and run in search.ready.runs else search.ready
    return replace(search, cases=cases, suspects=suspects, ready=ready)


def known_of(search: Search, run: RunId, base: Commit, is_fine_alone: bool, has_same_tree: bool) -> Search:
    """Take what the evidence says about one just accused: whether it passes by itself, and on which place.

    Places before its base say nothing: the candidate holds what has landed up to there, and brings it along.
    """
    case = next(case for case in search.cases if case.run == run)
    first = max((place for place in range(case.bad + 1) if case.at(place) == base), default=-1)
    if first < 0:
        return _with(search, replace(case, is_fine_alone=is_fine_alone))
    good = 0 if is_fine_alone and has_same_tree and first < case.bad else -1
    bad, path, sure = case.bad - first, case.path[first:], max(case.sure - first, -1)
    known = {"good": good, "is_fine_alone": is_fine_alone, "sure": sure}
    return _with(search, replace(case, origin=base, path=path, bad=bad, **known))


def _on(search: Search, old: Commit) -> Search:
    """The search on this tip: what was known on another one is known no more, but presumed."""
    if search.tip == old:
        return search
    return begun(old, search.suspects)


def _narrowed(search: Search) -> Search:
    """Accuse whoever is left alone among the suspects."""
    if len(search.suspects) != 1:
        return search
    case = Case(
        run=search.suspects[0],
        origin=search.origin or search.tip,
        path=search.landed,
        argv=search.argv,
        fault=search.fault,
        seen=search.seen,
        bad=len(search.landed),
    )
    others = tuple(other for other in search.cases if other.run != case.run)
    return replace(search, suspects=(), seen=0, cases=(*others, case))


def _with(search: Search, case: Case) -> Search:
    return replace(search, cases=tuple(case if other.run == case.run else other for other in search.cases))
