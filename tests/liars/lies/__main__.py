"""`make liars`: every operator on every repository, the honest work, and the stubs; status 1 when a lie gets through.

    python -m lies [--repository NAME]… [--offline] [--seeds N] [--workers N] [--write FILE]

Lies and small repositories need no network; the libraries come from the package index (`--offline` leaves them out).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from lies import honest, night, printed, table, words
from lies.libraries import LIED_ABOUT
from lies.repo_unittest import UNITTEST
from lies.repositories import ALL, missing
from lies.sdists import LIBRARIES
from lies.table import Row

CACHE = Path(__file__).parents[3] / ".cache" / "liars"
"""Source distributions that were fetched before."""
PARTS = 4
HONEST_MIN = 0.995
Task = Callable[[], list[Row]]


def main() -> int:
    """Run everything and print the table."""
    given = _arguments()
    began = time.monotonic()
    absent = {name: f"there is no {program} here" for name in given.repository if (program := missing(name))}
    present = [name for name in given.repository if name not in absent]
    if given.offline:
        absent["libraries"] = "--offline"
    found = _run(_tasks(present, given), given.workers)
    lies = [*found["lies"], *words.rows()]
    text = printed.page(lies, found["honest"], found["stubs"], absent, time.monotonic() - began)
    print(text)
    if given.write:
        Path(given.write).write_text(text)
    good = not table.bad(lies) and printed.rate(found["honest"]) >= HONEST_MIN
    print(f"\n{'good' if good else 'NOT GOOD'}: see above", file=sys.stderr)
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lies", description="The verifier's own test bench.")
    parser.add_argument("--repository", action="append", choices=[*ALL], help="only this one; may be given again")
    parser.add_argument("--offline", action="store_true", help="leave out the libraries of the package index")
    parser.add_argument("--seeds", type=int, default=50, help="faults seeded into each library")
    parser.add_argument("--seed", type=int, default=1, help="which faults")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument("--write", default="", help="a file that gets the table as well")
    given = parser.parse_args()
    given.repository = given.repository or [*ALL]
    return given


def _tasks(names: Collection[str], given: argparse.Namespace) -> list[tuple[str, str, Task]]:
    """What is to be done, the longest first: what comes of it, what it is called, and how."""
    tasks: list[tuple[str, str, Task]] = []
    if not given.offline:
        for library in LIBRARIES:
            seeds = partial(honest.of_seeds, library, CACHE, given.seeds, given.seed)
            tasks.append(("honest", f"faults seeded into {library.name}", seeds))
            tasks.append(("honest", f"releases of {library.name}", partial(honest.of_releases, library, CACHE)))
            for part in range(PARTS if library.name in LIED_ABOUT else 0):
                told = partial(table.lies_of_library, library, CACHE, part, PARTS)
                tasks.append(("lies", f"lies on {library.name}, part {part + 1}", told))
    for name in names:
        for part in range(PARTS):
            tasks.append(("lies", f"lies on {name}, part {part + 1}", partial(table.lies_of, name, part, PARTS)))
        tasks.append(("honest", f"honest work on {name}", partial(honest.of_repository, name)))
        tasks.append(("stubs", f"stubs on {name}", partial(table.stubs_of, name)))
    if UNITTEST.name in names:
        tasks.append(("lies", "a whole night of liars", partial(night.rows, UNITTEST)))
    return tasks


def _run(tasks: list[tuple[str, str, Task]], workers: int) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {"lies": [], "honest": [], "stubs": []}
    with ProcessPoolExecutor(workers) as pool:
        running = {pool.submit(task): (what, about) for what, about, task in tasks}
        for done in as_completed(running):
            what, about = running[done]
            rows = done.result()
            found[what] += rows
            print(f"{about}: {len(rows)}", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
