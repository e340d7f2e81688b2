"""`make liars`: every operator on every repository, the honest work, and the stubs; status 1 when a lie gets through.

    python -m lies [--repository NAME]… [--offline] [--seeds N] [--workers N] [--shard I/N] [--only WORD]… [--anew]
                   [--write FILE]

Lies and small repositories need no network; the libraries come from the package index (`--offline` leaves them out).
What a task found is kept, and not looked for again as long as the verifier and the bench are the same, so that a run
can be stopped and gone on with, or be done in shards; the page is made when nothing is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

import ganger
from lies import honest, night, printed, table, words
from lies.libraries import LIED_ABOUT
from lies.repo_unittest import UNITTEST
from lies.repositories import ALL, missing
from lies.sdists import LIBRARIES
from lies.table import Row

CACHE = Path(__file__).parents[3] / ".cache" / "liars"
"""Source distributions that were fetched before, and what tasks found."""
VERIFIER = ("verifier", "supervisor/evidence.py", "core/verdict.py", "service/protected.py")
"""What is tried, below the package: when it changes, all is tried again."""
PARTS = 4
HONEST_MIN = 0.995


@dataclass(frozen=True)
class Task:
    """One part of the bench."""

    what: str
    about: str
    run: Callable[[], list[Row]]


@dataclass(frozen=True)
class Done:
    """What a task found."""

    rows: list[Row]
    took_s: float


def main() -> int:
    """Run everything that is not known, and print the table."""
    given = _arguments()
    absent = {name: f"there is no {program} here" for name in given.repository if (program := missing(name))}
    present = [name for name in given.repository if name not in absent]
    if given.offline:
        absent["libraries"] = "--offline"
    tasks = _tasks(present, given)
    kept = CACHE / "results" / _fingerprint(given)
    kept.mkdir(parents=True, exist_ok=True)
    number, of = map(int, given.shard.split("/"))
    mine = [
        task for task in tasks[number - 1 :: of] if not given.only or any(word in task.about for word in given.only)
    ]
    _run([task for task in mine if given.anew or not _place(kept, task).exists()], given.workers, kept)
    left = [task.about for task in tasks if not _place(kept, task).exists()]
    if left:
        print(f"{len(left)} of {len(tasks)} tasks are left: {', '.join(left)}", file=sys.stderr)
        return 0
    return _tell(tasks, kept, absent, given.write)


def _tell(tasks: Iterable[Task], kept: Path, absent: dict[str, str], write: str) -> int:
    found: dict[str, list[Row]] = {"lies": [], "honest": [], "stubs": []}
    took_s = 0.0
    for task in tasks:
        done = msgspec.json.decode(_place(kept, task).read_bytes(), type=Done)
        found[task.what] += done.rows
        took_s += done.took_s
    lies = [*found["lies"], *words.rows()]
    text = printed.page(lies, found["honest"], found["stubs"], absent, took_s)
    print(text)
    if write:
        Path(write).write_text(text)
    good = not table.bad(lies) and printed.rate(found["honest"]) >= HONEST_MIN
    print(f"\n{'good' if good else 'NOT GOOD'}: see above", file=sys.stderr)
    return 0 if good else 1


def _fingerprint(given: argparse.Namespace) -> str:
    """Give one word for all that decides on what is found: the verifier, the bench, and what was asked for."""
    package = Path(ganger.__file__).parent
    files = [
        path for name in VERIFIER for path in ((package / name).rglob("*") if "." not in name else [package / name])
    ]
    files += Path(__file__).parent.glob("*.py")
    digest = hashlib.sha256(f"{given.seeds} {given.seed} {sys.version}".encode())
    for path in sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _place(kept: Path, task: Task) -> Path:
    return kept / f"{task.what}-{re.sub(r'[^a-z0-9]+', '-', task.about.lower())}.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lies", description="The verifier's own test bench.")
    parser.add_argument("--repository", action="append", choices=[*ALL], help="only this one; may be given again")
    parser.add_argument("--offline", action="store_true", help="leave out the libraries of the package index")
    parser.add_argument("--seeds", type=int, default=25, help="faults seeded into each library")
    parser.add_argument("--seed", type=int, default=1, help="which faults")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument("--shard", default="1/1", help="only each N-th task, from the I-th on: I/N")
    parser.add_argument("--only", action="append", default=[], help="only tasks whose name holds it")
    parser.add_argument("--anew", action="store_true", help="do again what was done before")
    parser.add_argument("--write", default="", help="a file that gets the table as well")
    given = parser.parse_args()
    given.repository = given.repository or [*ALL]
    return given


def _tasks(names: Collection[str], given: argparse.Namespace) -> list[Task]:
    """What is to be done: what needs no network first, then what is slowest."""
    tasks: list[Task] = []
    for name in names:
        for part in range(PARTS):
            tasks.append(Task("lies", f"lies on {name}, part {part + 1}", partial(table.lies_of, name, part, PARTS)))
        tasks.append(Task("honest", f"honest work on {name}", partial(honest.of_repository, name)))
        tasks.append(Task("stubs", f"stubs on {name}", partial(table.stubs_of, name)))
    if UNITTEST.name in names:
        tasks.append(Task("lies", "a whole night of liars", partial(night.rows, UNITTEST)))
    for library in () if given.offline else LIBRARIES:
        name = library.name
        seeds = partial(honest.of_seeds, library, CACHE, given.seeds, given.seed)
        tasks.append(Task("honest", f"faults seeded into {name}", seeds))
        tasks.append(Task("honest", f"releases of {name}", partial(honest.of_releases, library, CACHE)))
        tasks.append(Task("honest", f"files of releases of {name}", partial(honest.of_splits, library, CACHE)))
        tasks.append(Task("honest", f"{name} rewritten by tools", partial(honest.of_tools, library, CACHE)))
    for library in () if given.offline else LIBRARIES:
        for part in range(PARTS if library.name in LIED_ABOUT else 0):
            told = partial(table.lies_of_library, library, CACHE, part, PARTS)
            tasks.append(Task("lies", f"lies on {library.name}, part {part + 1}", told))
    return tasks


def _run(tasks: list[Task], workers: int, kept: Path) -> None:
    with ProcessPoolExecutor(workers) as pool:
        running = {pool.submit(_timed, task): task for task in tasks}
        for ended in as_completed(running):
            task, done = running[ended], ended.result()
            _place(kept, task).write_bytes(msgspec.json.encode(done))
            print(f"{task.about}: {len(done.rows)} in {done.took_s:.0f} s", file=sys.stderr, flush=True)


def _timed(task: Task) -> Done:
    began = time.monotonic()
    return Done(task.run(), time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
