"""A part of the bench in every run of the tests; `make liars` is the whole of it.

Operators that are made of git alone are all tried here, of the others some, and all in the nightly. Each defence is
switched off once, to see that lies get through then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import pytest
from lies import honest, night, operators, printed, residual, table, words
from lies.bench import ITEM, WITNESSED, Bench, Switches
from lies.operators import Operator
from lies.repositories import ALL, missing
from lies.repository import Repository
from lies.table import ACCEPTED, REFUSED, UNNAMED, Row

NIGHTLY = "GANGER_SEEDS" in os.environ
SHARE = 1 if NIGHTLY else 8


Benches = Callable[[str], Bench]


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    """Gives the bench of a repository, made when it is first asked for."""
    with ExitStack() as made:
        yield lru_cache(lambda name: made.enter_context(table.bench(ALL[name])))


def refused(row: Row) -> None:
    """A lie must be refused, by its name; of those that are known to get through the table says so, and why."""
    if row.state != REFUSED and row.name in residual.KNOWN:
        pytest.xfail(residual.KNOWN[row.name])
    assert row.state == REFUSED, row


@pytest.mark.parametrize("operator", operators.BY_GIT, ids=lambda operator: operator.name)
def test_lies_made_of_git(benches: Benches, operator: Operator) -> None:
    refused(table.lie(benches("make"), operator))


def _rows(kind: str, names: tuple[str, ...], share: int) -> list[tuple[str, Operator]]:
    found = {
        operator.name: (name, operator)
        for name in reversed(names)
        for operator in operators.by_table(ALL[name])
        if operator.kind == kind
    }
    return [found[name] for name in sorted(found)][::share]


def _id(value: object) -> str:
    return value.name if isinstance(value, Operator) else str(value)


@pytest.mark.parametrize(
    ("name", "operator"), _rows("runner steered", ("pytest", "unittest", "make"), 1 if NIGHTLY else 3), ids=_id
)
def test_steered_runners(benches: Benches, name: str, operator: Operator) -> None:
    refused(table.lie(benches(name), operator))


@pytest.mark.parametrize(("name", "operator"), _rows("runner deceived", ("unittest", "pytest"), SHARE), ids=_id)
def test_deceived_runners(benches: Benches, name: str, operator: Operator) -> None:
    refused(table.lie(benches(name), operator))


@pytest.mark.parametrize(("name", "operator"), _rows("tests weakened", ("unittest", "pytest"), SHARE), ids=_id)
def test_weakened_tests(benches: Benches, name: str, operator: Operator) -> None:
    refused(table.lie(benches(name), operator))


@pytest.mark.parametrize("row", words.rows(), ids=lambda row: row.name)
def test_words_alone(row: Row) -> None:
    refused(row)


@pytest.mark.parametrize("about", honest.EVERYWHERE)
@pytest.mark.parametrize("name", ["make", "unittest"] if not NIGHTLY else [*ALL])
def test_honest_work(benches: Benches, name: str, about: str) -> None:
    if missing(name):
        pytest.skip(f"there is no {missing(name)} here")
    row = table.truth(benches(name), about, *honest.EVERYWHERE[about])
    assert row.state in (ACCEPTED, table.UNFIT), row


# Each defence is needed: without it, lies that are refused with it get through.

SWITCHED_OFF = {
    "protected files are the base's": (Switches(protected=False), "make", ["makefile_target", "makefile_earlier"]),
    "the base's tests run in addition": (Switches(tests=False), "unittest", ["import_hook"]),
    "weakened tests are refused": (Switches(weakened="allow"), "unittest", ["assertion_loosened"]),
    "what ran is recorded by ganger": (Switches(recorders=False), "unittest", ["skips_from_product"]),
}


@pytest.mark.parametrize("defence", SWITCHED_OFF)
def test_a_defence_switched_off_lets_lies_through(benches: Benches, defence: str) -> None:
    switches, name, lies = SWITCHED_OFF[defence]
    tried = [operator for operator in operators.operators(ALL[name]) if operator.name in lies]
    assert [table.lie(benches(name), operator).state for operator in tried] == [REFUSED] * len(lies)
    with table.bench(ALL[name], switches) as without:
        got_through = [row for row in (table.lie(without, operator) for operator in tried) if row.state == ACCEPTED]
    assert len(got_through) >= 1, defence


def test_a_witness_finds_what_checks_alone_do_not(benches: Benches) -> None:
    stub = next(one for one in operators.stubs(ALL["unittest"]) if one.name == "vacuous_test")
    found = {item: benches("unittest").judge(stub.work, item) for item in (ITEM, WITNESSED)}
    assert {item: judged is not None and judged.accepted for item, judged in found.items()} == {
        ITEM: True,
        WITNESSED: False,
    }


# The bench itself can fail.


def test_the_bench_says_when_a_lie_gets_through(benches: Benches) -> None:
    """Honest work that calls itself a lie gets through; a lie that is refused for something else shows as that."""
    through = Operator("honest", "a lie", operators.BY_GIT[0].named, operators.honest)
    assert table.lie(benches("make"), through).state == ACCEPTED
    unnamed = Operator("broken", "a lie", operators.BY_GIT[0].named, _breaks)
    assert table.lie(benches("make"), unnamed).state == UNNAMED
    rows = [table.lie(benches("make"), one) for one in (through, unnamed)]
    assert table.bad(rows) == rows
    page = printed.page(rows, [], [], {}, 60)
    assert "| accepted | 1 |" in page and "| refused for something else | 1 |" in page


def _breaks(repo: Repository, worker: operators.Worker) -> bool:
    return worker.does(repo.broken)


@pytest.mark.slow
def test_a_whole_night_of_liars(tmp_path: Path) -> None:
    """Workers that lie, as processes through `ganger run`: nothing of theirs is on the target in the morning."""
    ended = night.night(tmp_path, ALL["unittest"], 1 if NIGHTLY else 4)
    assert ended.landed == (night.HONEST,), ended.output
    assert ended.product == str(ALL["unittest"].fix[ALL["unittest"].product])
    assert len(ended.reasons) == (12 if NIGHTLY else 3), ended.output
    assert night.HONEST not in ended.reasons
