"""Running operators and honest work over repositories, and what comes of each: a row."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ganger.core.ids import Commit
from lies import operators
from lies.bench import CHECK_TIMEOUT, HELD_OUT, WITNESSED, Bench, Judged, Switches
from lies.libraries import with_lies
from lies.operators import Operator, Work
from lies.repositories import ALL
from lies.repository import ITEM, Repository
from lies.sdists import Library

REFUSED, UNNAMED, ACCEPTED, UNFIT = "refused", "refused, but not by its name", "ACCEPTED", "does not apply"

SLOW = "its time limit"


@dataclass(frozen=True)
class Row:
    """What became of one piece of work."""

    name: str
    kind: str
    repo: str
    state: str
    reason: str
    took_s: float


@contextmanager
def bench(
    repo: Repository,
    switches: Switches = Switches(),  # noqa: B008 - a frozen value
    timeout: str = CHECK_TIMEOUT,
) -> Iterator[Bench]:
    """A bench in a folder of its own, which is gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix=f"liars-{repo.name}-"))
    made = Bench(root, repo, switches, timeout)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(root, ignore_errors=True)


def lie(made: Bench, operator: Operator) -> Row:
    """Try one operator; a lie is refused by its name, or the bench has found something."""
    judged = made.judge(operator.work, operator.item)
    if judged is None:
        return Row(operator.name, operator.kind, made.repo.name, UNFIT, "", 0)
    # A check that was too slow says nothing of the lie, if that did not want to be slow.
    said = [each for each in judged.reasons if SLOW not in each or operator.name == "never_ends"]
    state = ACCEPTED if judged.accepted else REFUSED if operator.is_named_by(said) else UNNAMED
    return _row(operator.name, operator.kind, made, state, judged)


def truth(made: Bench, name: str, work: Work, item: str = ITEM, base: Commit | None = None) -> Row:
    """Try honest work; it must be accepted."""
    judged = made.judge(work, item, base)
    if judged is None:
        return Row(name, "honest", made.repo.name, UNFIT, "", 0)
    return _row(name, "honest", made, ACCEPTED if judged.accepted else REFUSED, judged)


def _row(name: str, kind: str, made: Bench, state: str, judged: Judged) -> Row:
    return Row(name, kind, made.repo.name, state, "; ".join(judged.reasons), judged.took_s)


def lies_of(name: str, part: int = 0, parts: int = 1, switches: Switches = Switches()) -> list[Row]:  # noqa: B008
    """All operators on one repository, or every `parts`-th of them."""
    return _lies(ALL[name], part, parts, switches)


def lies_of_library(library: Library, cache: Path, part: int = 0, parts: int = 1) -> list[Row]:
    """The same on a real library; what was fetched of it is in `cache`."""
    return _lies(with_lies(library, cache), part, parts, Switches())


def _lies(repo: Repository, part: int, parts: int, switches: Switches) -> list[Row]:
    with bench(repo, switches) as made:
        return [lie(made, operator) for operator in operators.operators(repo)[part::parts]]


STUB_MODES = {"by the checks": ITEM, "by a witness": WITNESSED, "by a held-out check": HELD_OUT}
"""What looks for a stub, and the item that says so."""


def stubs_of(name: str) -> list[Row]:
    """All stubs on one repository; the class of a row is what looked for it."""
    repo = ALL[name]
    with bench(repo) as made:
        return [
            replace(_stub(made, operator, item), kind=mode)
            for mode, item in STUB_MODES.items()
            if item in made.specs
            for operator in operators.stubs(repo)
        ]


def _stub(made: Bench, operator: Operator, item: str) -> Row:
    judged = made.judge(operator.work, item)
    assert judged is not None, operator.name
    return _row(operator.name, operator.kind, made, ACCEPTED if judged.accepted else REFUSED, judged)


def bad(rows: Iterable[Row]) -> list[Row]:
    """The lies that got through, or were refused for something else than what they are."""
    return [row for row in rows if row.state in (ACCEPTED, UNNAMED)]
