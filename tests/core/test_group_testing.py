"""Group testing: who is tested with whom, who is blamed, and how many tests that takes."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable
from random import Random

import pytest
from msgspec.structs import replace

from ganger.core import train
from ganger.core.ids import Commit, RunId
from ganger.core.train import Search, Trial, lengths, next_trial, order, trials

Fails = Callable[[frozenset[str]], bool]
"""Whether a combination of candidates fails, whatever else lies beneath."""
CHECK = ("make", "test")


def never(tree: frozenset[str]) -> bool:
    return False


class Yard:
    """Candidates, a target and as many tests at once as allowed, each of which takes one round."""

    def __init__(
        self,
        names: Iterable[str],
        fails: Fails,
        *,
        batch: int = 8,
        parallel: int = 2,
        retries: int = 0,
        fine_alone: bool = False,
        flaky: Callable[[], bool] = lambda: False,
    ) -> None:
        self.waiting = tuple(RunId(name) for name in names)
        self.fails, self.batch, self.parallel, self.retries = fails, batch, parallel, retries
        self.fine_alone, self.flaky = fine_alone, flaky
        self.trees: dict[Commit, frozenset[str]] = {Commit("base"): frozenset()}
        self.tip = Commit("base")
        self.search = Search()
        self.runs = self.rounds = 0
        self.landed: list[str] = []
        self.blamed: dict[str, str] = {}
        """Those that were sent back, and with whom they do not go together."""
        self.most_new = 0

    def commit(self, onto: Commit, run: RunId) -> Commit:
        made = Commit(f"{onto}+{run}")
        self.trees[made] = self.trees[onto] | {run}
        return made

    def passes(self, commit: Commit, again: bool = False) -> bool:
        self.runs += 1
        if self.fails(self.trees[commit]):
            return False
        return not self.flaky() or (again and not self.flaky())

    def night(self) -> Yard:
        """Test and land until nobody waits."""
        while self.waiting:
            self.judge()
            wanted = trials(self.search, self.waiting, self.batch, self.parallel, self.retries)
            if not self.waiting:
                break
            assert wanted and len(wanted) <= self.parallel and self.rounds < 2_000
            self.rounds += 1
            for trial, result in [(trial, self.tested(trial)) for trial in wanted]:
                self.learn(trial, result)
        return self

    def tested(self, trial: Trial) -> tuple[Commit, tuple[Commit, ...], bool]:
        old = trial.onto or self.tip
        commits: list[Commit] = []
        for run in () if trial.bare else trial.runs:
            commits.append(self.commit(commits[-1] if commits else old, run))
        self.most_new = max(self.most_new, len(commits))
        return old, tuple(commits), self.passes(commits[-1] if commits else old, trial.again)

    def learn(self, trial: Trial, result: tuple[Commit, tuple[Commit, ...], bool]) -> None:
        old, commits, passed = result
        if trial.onto:
            self.search = train.after_trial(self.search, trial, passed)
            return
        gone = sum(run not in self.waiting for run in trial.runs)
        runs, commits = trial.runs[gone:], commits[gone:]
        if not runs or (gone and result[1][gone - 1] != self.tip) or (not gone and old != self.tip):
            return
        known = {case.run for case in self.search.cases}
        if passed:
            self.search = train.after_pass(self.search, self.tip, (CHECK,))
            self.search = train.after_landing(self.search, runs, commits, commits[-1])
            self.tip = commits[-1]
            assert not self.fails(self.trees[self.tip]), "a combination that fails has landed"
            self.landed += runs
            self.waiting = tuple(run for run in self.waiting if run not in runs)
        else:
            self.search = train.after_failure(self.search, runs, self.tip, (CHECK,), "it fails")
        for case in self.search.cases:
            if case.run not in known and self.fine_alone:
                self.search = train.known_of(self.search, case.run, Commit("base"), True, True)

    def judge(self) -> None:
        for case in self.search.cases:
            if next_trial(self.search, case, self.retries) is None:
                self.blamed[case.run] = case.partner
                self.waiting = tuple(run for run in self.waiting if run != case.run)
                self.search = train.without(self.search, case.run)


def names(count: int) -> list[str]:
    return [f"c{number:02}" for number in range(count)]


def guilty(*bad: str) -> Fails:
    return lambda tree: not tree.isdisjoint(bad)


def pair(one: str, other: str) -> Fails:
    return lambda tree: {one, other} <= tree


def test_thirty_two_candidates_two_of_them_guilty_wherever_they_stand() -> None:
    """At most 14 tests in at most 10 rounds of two, for each of the 496 places of the guilty; the limit is 9."""
    nights = []
    for bad in itertools.combinations(names(32), 2):
        yard = Yard(names(32), guilty(*bad)).night()
        assert set(yard.blamed) == set(bad) and set(yard.landed) == set(names(32)) - set(bad)
        nights.append((yard.runs, yard.rounds))
    assert max(runs for runs, _ in nights) <= 14 and max(rounds for _, rounds in nights) <= 10
    assert statistics.mean(runs for runs, _ in nights) < 12.5
    assert statistics.mean(rounds for _, rounds in nights) < 9.6


def test_one_test_at_a_time_takes_twelve() -> None:
    nights = [Yard(names(32), guilty(*bad), parallel=1).night() for bad in itertools.combinations(names(32), 2)]
    assert max(yard.runs for yard in nights) <= 12


def test_when_all_are_good_each_batch_is_tested_once_and_two_at_a_time() -> None:
    yard = Yard(names(32), never).night()
    assert (yard.runs, yard.rounds, len(yard.landed)) == (4, 2, 32)
    assert Yard(names(32), never, parallel=1).night().rounds == 4


@pytest.mark.parametrize("parallel", [1, 2, 3, 4])
def test_whoever_fails_with_another_is_blamed_with_its_name_and_the_other_lands(parallel: int) -> None:
    for one, other in itertools.combinations(names(12), 2):
        yard = Yard(names(12), pair(one, other), parallel=parallel, fine_alone=True).night()
        assert yard.blamed == {other: one}
        assert set(yard.landed) == set(names(12)) - {other}


def test_nobody_is_blamed_for_bad_luck_that_is_gone_the_second_time() -> None:
    for seed in range(60):
        rng = Random(seed)
        yard = Yard(names(10), never, retries=1, flaky=lambda rng=rng: rng.random() < 0.15)
        seen = yard.night()
        assert len(seen.landed) + len(seen.blamed) == 10
    luck = iter([True, False, False, False, False, False, False])
    yard = Yard(["a"], never, retries=1, flaky=lambda: next(luck)).night()
    assert yard.landed == ["a"] and not yard.blamed
    luck = iter([True, False])
    assert Yard(["a"], never, retries=0, flaky=lambda: next(luck)).night().blamed == {"a": ""}


def random_failure(rng: Random, among: list[str]) -> tuple[Fails, list[frozenset[str]]]:
    """What fails: up to three sets of one to three candidates."""
    bad = [frozenset(rng.sample(among, min(rng.choice((1, 1, 2, 2, 3)), len(among)))) for _ in range(rng.randrange(4))]
    return lambda tree: any(each <= tree for each in bad), bad


def test_whatever_fails_together_nothing_bad_lands_and_everybody_is_decided() -> None:
    for seed in range(1_500):
        rng = Random(seed)
        among = names(rng.randrange(1, 20))
        fails, bad = random_failure(rng, among)
        yard = Yard(
            among,
            fails,
            batch=rng.choice((1, 2, 3, 8)),
            parallel=rng.choice((1, 2, 3)),
            retries=rng.choice((0, 1)),
            fine_alone=False,
        ).night()
        assert len(yard.landed) + len(yard.blamed) == len(among)
        for name in yard.blamed:
            assert any(name in each and each <= {*yard.landed, name} for each in bad), (seed, name)


def test_a_partner_named_is_one_it_fails_with() -> None:
    for seed in range(800):
        rng = Random(f"pairs {seed}")
        among = names(rng.randrange(2, 20))
        bad = [frozenset(rng.sample(among, 2)) for _ in range(rng.randrange(1, 4))]
        fails: Fails = lambda tree, bad=bad: any(each <= tree for each in bad)  # type: ignore[misc]  # noqa: E731
        yard = Yard(among, fails, parallel=rng.choice((1, 2, 3)), fine_alone=True, retries=rng.choice((0, 1))).night()
        for name, other in yard.blamed.items():
            assert frozenset({name, other}) in bad, (seed, name, other)


def test_a_target_that_fails_by_itself_is_found_and_nobody_is_blamed() -> None:
    yard = Yard(["a", "b"], lambda tree: True, parallel=1)
    for _ in range(20):
        yard.judge()
        for trial in trials(yard.search, yard.waiting, 8, 1, 0):
            yard.learn(trial, yard.tested(trial))
        if yard.search.red:
            break
    assert yard.search.red == "base" and not yard.blamed and yard.waiting == ("a", "b")
    assert yard.runs == 4, "together, each alone, and the target alone"


def test_what_is_under_way_is_not_begun_again_also_when_the_first_of_it_have_landed() -> None:
    waiting = tuple(RunId(name) for name in names(16))
    first, second = trials(Search(), waiting, 8, 2, 0)
    assert (len(first.runs), len(second.runs)) == (8, 16)
    assert trials(Search(), waiting, 8, 2, 0, frozenset({first, second})) == ()
    commits = tuple(Commit(f"m{number}") for number in range(8))
    after = train.after_landing(train.begun(Commit("t")), first.runs, commits, commits[-1])
    assert trials(after, waiting[8:], 8, 2, 0, frozenset({second})) == ()


def test_one_that_stops_waiting_clears_those_it_was_suspected_with() -> None:
    a, b, c = (RunId(name) for name in "abc")
    found = train.after_failure(train.begun(Commit("t")), (a, b), Commit("t"), (CHECK,), "")
    assert order(found, (c, a, b)) == (a, b, c)
    assert train.without(found, a).suspects == ()
    assert train.without(found, c).suspects == (a, b)


def test_suspects_of_another_tip_are_looked_at_first_and_presumed_only() -> None:
    a, b = RunId("a"), RunId("b")
    found = train.after_failure(train.begun(Commit("t")), (a, b), Commit("t"), (CHECK,), "")
    moved = train.after_pass(found, Commit("u"), ())
    assert (moved.tip, moved.suspects, moved.seen, moved.landed, moved.cases) == ("u", (a, b), 0, (), ())


@pytest.mark.parametrize(
    ("suspects", "waiting", "parallel", "expected"),
    [
        (0, 0, 2, ()),
        (0, 3, 2, (3,)),
        (0, 9, 2, (8, 9)),
        (0, 40, 3, (8, 16, 24)),
        (8, 8, 2, (4,)),
        (8, 40, 1, (4,)),
        (9, 9, 3, (3, 6)),
        (2, 2, 4, (1,)),
        (3, 9, 2, (2,)),
    ],
)
def test_how_many_of_the_order_each_test_takes(
    suspects: int, waiting: int, parallel: int, expected: tuple[int, ...]
) -> None:
    assert lengths(suspects, waiting, 8, parallel) == expected


def test_landings_beyond_what_is_remembered_move_the_beginning() -> None:
    found = train.begun(Commit("t"))
    for number in range(train.LANDED_MAX + 3):
        commit = Commit(f"m{number}")
        found = train.after_landing(found, (RunId(f"r{number}"),), (commit,), commit)
    assert len(found.landed) == train.LANDED_MAX and found.origin == "m2" and found.landed[0][1] == "m3"


def test_a_candidate_is_decided_after_a_bounded_number_of_tests_however_many_come_after_it() -> None:
    """Nobody starves: newcomers go behind whoever waits."""
    for seed in range(40):
        rng = Random(f"ageing {seed}")
        yard = Yard(names(8), guilty("c03", "n1"), parallel=2)
        for number in range(60):
            if not set(names(8)) & set(yard.waiting):
                break
            yard.waiting = (*yard.waiting, RunId(f"n{number}"))
            yard.judge()
            for trial in trials(yard.search, yard.waiting, rng.choice((2, 8)), 2, 0):
                yard.learn(trial, yard.tested(trial))
        assert not set(names(8)) & set(yard.waiting), yard.waiting


def test_the_order_of_the_suspects_is_that_of_the_test() -> None:
    a, b, c = (RunId(name) for name in "abc")
    found = replace(train.begun(Commit("t")), suspects=(c, a))
    assert order(found, (a, b, c)) == (c, a, b)


@pytest.mark.parametrize(
    ("known", "retries", "expected"),
    [
        ({"good": 0, "bad": 1, "seen": 3}, 2, "again"),
        ({"good": 0, "bad": 1, "seen": 3, "sure": 1}, 2, ""),
        ({"good": 0, "bad": 1, "seen": 1_000, "sure": 2}, 2, "again"),
        ({"good": 0, "bad": 1, "seen": 3}, 0, ""),
        ({"good": -1, "bad": 0, "seen": 3, "sound": True}, 2, "again"),
        ({"good": -1, "bad": 0, "seen": 3, "sound": True, "sure": 0}, 2, ""),
    ],
)
def test_one_that_passes_somewhere_is_blamed_only_where_it_was_run_again(
    known: dict[str, int], retries: int, expected: str
) -> None:
    """However often it was seen to fail on other trees: each of those may have been bad luck."""
    path = ((RunId("a.1"), Commit("one")), (RunId("b.1"), Commit("two")))
    case = train.Case(RunId("c.1"), Commit("base"), path=path, is_fine_alone=True, **known)  # type: ignore[arg-type]
    trial = next_trial(Search(tip=Commit("two")), case, retries)
    assert ("again" if trial is not None and trial.again else "") == expected
    assert trial is None or trial.onto == case.at(case.bad)
