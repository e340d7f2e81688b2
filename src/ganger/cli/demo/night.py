"""Runs the demo: fetch, plan, run the night for real, answer its question, then look whether ganger kept its word."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from ganger.cli.demo import proof, story
from ganger.cli.demo.library import put_library
from ganger.cli.demo.repository import CONFIG, PLAN, make_repository
from ganger.cli.output import INTERRUPTED, NO, YES, say, say_json, span, tell
from ganger.drivers.background import run_in_front
from ganger.drivers.process import run_check
from ganger.errors import GangerError, UsageError
from ganger.jail.none import NoJail
from ganger.journal.queries import Reader
from ganger.service.place import JOURNAL

LOOK_S = 0.25
THINK_S = 1.0
"""How long the person who answers thinks about it."""
ANSWER_MS = 30_000


def run_demo(keep: Path | None, *, offline: bool, workers: int, as_json: bool) -> int:
    """Run the whole demo in a folder of its own and return its exit status: 0 when everything came out as it must.

    `keep` is the folder, which must be new or empty; without it one is made where temporary files go. It stays either
    way, because the report is in it.
    """
    began = time.monotonic()
    place = _folder(keep)
    tell(f"everything happens in {place}")
    repository, state, scratch = place / "library", place / "state", place / "scratch"
    scratch.mkdir()
    library, why = put_library(repository, scratch, offline=offline)
    if why:
        tell(f"not the library from the package index: {why}")
    tell(f"the library: {library.origin}\nthe workers: {repository / CONFIG}\nthe plan:    {repository / PLAN}\n")
    with _own_environment(scratch):
        base = make_repository(repository, library)
        here = ["-C", str(repository), "--state-dir", str(state)]
        with _answering(here, state, scratch):
            shown = ["--json"] if as_json else []
            night = [*here, "run", str(repository / PLAN), "--trust", "--workers", str(workers), *shown]
            # A process of its own, which gives up its rights; this one still has to look at what came of it.
            code = run_in_front([sys.executable, "-P", "-m", "ganger", *night], os.environ)
        if code == INTERRUPTED:
            return code
        tell("\nthe night is over; looking whether its word is good …")
        faults = proof.faults(repository, state, base, scratch)
    if as_json:
        took_ms = int((time.monotonic() - began) * 1000)
        say_json("ganger.demo", {"folder": str(place), "faults": faults, "took_ms": took_ms})
        return NO if faults else YES
    return _finish(place, here, faults, began)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="ganger-demo-")).resolve()
    place = keep.resolve()
    try:
        place.mkdir(parents=True, exist_ok=True)
        taken = any(place.iterdir())
    except OSError as error:
        raise UsageError(f"{keep} cannot be used: {error.strerror}", "name a folder that is not there yet") from error
    if taken:
        raise UsageError(f"{keep} is not empty", "name a folder that is not there yet")
    return place


@contextmanager
def _own_environment(scratch: Path) -> Iterator[None]:
    """Keep the person's own settings for ganger and git out of the demo."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("GANGER_", "GIT_")):
            del os.environ[name]
    os.environ["XDG_CONFIG_HOME"] = str(scratch / "config")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _answering(here: list[str], state: Path, scratch: Path) -> Iterator[None]:
    """While the block runs, be the person who answers the one question, with `ganger answer` in another process."""
    over = Event()

    def wait_and_answer() -> None:
        while not over.wait(LOOK_S):
            found = _open_question(state / JOURNAL)
            if found is not None:
                over.wait(THINK_S)
                _answer(here, found, scratch)
                return

    thread = Thread(target=wait_and_answer, name="answerer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _open_question(journal: Path) -> tuple[str, str] | None:
    """The question that the demo answers, and the answer; None while it is not asked."""
    if not journal.exists():
        return None
    try:
        reader = Reader(journal)
    except GangerError:
        return None
    try:
        asked = [row for row in reader.questions() if row.item == story.ANSWERED]
    finally:
        reader.close()
    return (asked[0].id, asked[0].recommend) if asked else None


def _answer(here: list[str], found: tuple[str, str], scratch: Path) -> None:
    tell(f"the demo answers for you: ganger answer {found[0]} '{found[1]}'")
    argv = [sys.executable, "-P", "-m", "ganger", *here, "answer", *found]
    ended = run_check(argv, os.environ, scratch, ANSWER_MS, scratch / "answer.log", NoJail())
    if ended.code != 0:
        tell(f"that did not work: {scratch / 'answer.log'} says why")


def _finish(place: Path, here: list[str], faults: list[str], began: float) -> int:
    reader = Reader(place / "state" / JOURNAL)
    try:
        say("\nWhat each item was there to show, and what came of it:\n")
        story.tell_it(reader)
        waiting = [row for row in reader.questions() if row.item == story.WAITING]
    finally:
        reader.close()
    say()
    if faults:
        say("This did not come out as it must:")
        for fault in faults:
            say(f"  {fault}")
    else:
        say("Checked: main holds exactly the honest work, and the library's own tests pass on a fresh clone of it.")
    say(f"It took {span(int((time.monotonic() - began) * 1000))}.")
    say()
    say(f"The report:  {place / 'state' / 'reports' / 'report.html'}")
    if waiting:
        say("One question is left for you. Answer it, run the plan again, and the last item lands:")
        say("  " + shlex.join([*_program(), *here, "answer", waiting[0].id, waiting[0].recommend]))
        say("  " + shlex.join([*_program(), *here, "run", str(place / "library" / PLAN)]))
    return NO if faults else YES


def _program() -> list[str]:
    """How a person calls this ganger."""
    if shutil.which("ganger"):
        return ["ganger"]
    beside = Path(sys.executable).with_name("ganger")
    return [str(beside)] if beside.exists() else [sys.executable, "-P", "-m", "ganger"]
