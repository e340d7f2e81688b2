"""Predicates: programs that may refuse a run, and nothing else (`[predicates.NAME]`, and packages that offer some).

Each reads a question as JSON on its standard input. Exit status 0: no objection. 1: refused, the first line of its
standard output is the reason. Everything else (another status, a signal, too slow, too much output, bytes that are no
text, a program that is not there) counts as refused too: what cannot be asked is not taken for a yes.

They run side by side, each under a shim of its own that ends its whole process tree, in an environment built from
nothing but what checks get, with a home and a folder for temporary files that are gone afterwards.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from itertools import chain
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.ids import ItemId, LeaseId, RunId
from ganger.core.model import Lease, Refusal, RefusalCode, WorkerId
from ganger.core.state import State
from ganger.drivers import process
from ganger.errors import StateDirError, WorldFailed
from ganger.git.trash import discard_scratch
from ganger.jail.none import NoJail
from ganger.plans.wording import harmless
from ganger.service import place
from ganger.service.predicate_host import NO_OBJECTION, OBJECTION
from ganger.service.tables import PREDICATE_DEFAULT_MS, Predicate

GROUP = "ganger.predicates"
KEPT = "predicates.json"
SCRATCH = "scratch"
PROGRAMS_MAX = 8
"""Most programs asked at once, unless there are more predicates: they would take the time from each other."""
OUTPUT_MAX = 64 * 1024
REASON_CHARS_MAX = 500
AGAIN_MS = 60_000
"""How long a refused item is not asked about again."""
MARGIN_MS = 250
"""How much longer than its time limit a program's shim may take to start and end it, before it is given up."""


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
    """The predicates of a fleet, and where they run."""

    state_dir: Path
    folder: Path
    """Their working directory: the top of the user's work tree."""
    programs: tuple[Predicate, ...]

    @property
    def at_once(self) -> int:
        """How many questions may be asked at once."""
        return max(1, PROGRAMS_MAX // max(1, len(self.programs)))

    def ask(self, questions: Sequence[Question]) -> tuple[Refusal | None, ...]:
        """Ask every predicate every question, all side by side; for each question the first refusal, or None.

        Takes as long as the slowest answer: about the longest time limit, at most. Refusals come in the order of the
        predicates, whichever answers first. At most `at_once` questions.
        """
        if len(questions) > self.at_once:
            raise AssertionError(f"{len(questions)} questions at once are more than {self.at_once}")
        if not self.programs:
            return (None,) * len(questions)
        scratch = self.state_dir / SCRATCH / uuid.uuid4().hex
        asked = [[_Asked(one, question, self.folder, scratch) for one in self.programs] for question in questions]
        answers = [[one.answer() for one in of_question] for of_question in asked]
        with suppress(WorldFailed):
            # What a program has made undeletable is left to the next supervisor, which clears this folder.
            discard_scratch(self.state_dir, scratch)
        return tuple(next((no for no in of_question if no is not None), None) for of_question in answers)


NO_PREDICATES = Predicates(Path(), Path(), ())


def question_about(state: State, item: ItemId) -> Question:
    """The question whether a run of `item` may start now."""
    spec = state.items[item].spec
    holders: Iterable[RunId | LeaseId] = chain(state.runs, state.held)
    leases = tuple(_held(holder, state.lease_of(holder)) for holder in holders)
    request = Request(spec.id, spec.plan, spec.scope, spec.lane, spec.agent, spec.kind)
    return Question(request=request, leases=leases)


def _held(holder: RunId | LeaseId, lease: Lease) -> Held:
    return Held(holder, lease.scope, lease.mode.value)


def with_installed(programs: Sequence[Predicate]) -> tuple[Predicate, ...]:
    """Add the predicates that installed packages offer: each a function, run in a process of its own."""
    offered = sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)
    return (*programs, *(_hosted(point) for point in offered))


def _hosted(point: metadata.EntryPoint) -> Predicate:
    place_of = str(point.dist.locate_file("")) if point.dist is not None else ""
    argv = (sys.executable, "-P", "-m", "ganger.service.predicate_host", point.value, place_of)
    return Predicate(point.name, argv, PREDICATE_DEFAULT_MS)


class _Kept(Struct, frozen=True):
    folder: str
    programs: tuple[Predicate, ...]


def keep(predicates: Predicates) -> None:
    """Leave the predicates that a person agreed to for other processes of this fleet; StateDirError when it cannot."""
    kept = _Kept(os.fspath(predicates.folder), predicates.programs)
    place.replace_file(predicates.state_dir / KEPT, msgspec.json.encode(kept))


def kept(state_dir: Path) -> Predicates:
    """The predicates of the fleet in `state_dir`; none before its first supervisor. StateDirError when unreadable."""
    path = state_dir / KEPT
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return Predicates(state_dir, state_dir, ())
    except (OSError, msgspec.MsgspecError) as error:
        raise StateDirError(f"{path} cannot be read: {error}", "ganger run writes it anew") from error
    return Predicates(state_dir, Path(found.folder), found.programs)


class _Asked:
    """One predicate that was asked one question."""

    def __init__(self, predicate: Predicate, question: Question, folder: Path, scratch: Path) -> None:
        self._predicate = predicate
        self._room = scratch / uuid.uuid4().hex
        self._worker: WorkerId | None = None
        self._fault = ""
        self._until = time.monotonic() + (predicate.timeout_ms + MARGIN_MS) / 1000
        try:
            self._start(question, folder)
        except WorldFailed as failed:
            self._fault = failed.message
        except OSError as error:
            self._fault = f"{scratch} cannot be used: {error.strerror}"

    def _start(self, question: Question, folder: Path) -> None:
        for part in ("home", "tmp"):
            (self._room / part).mkdir(parents=True)
        (self._room / "question.json").write_bytes(msgspec.json.encode(question))
        homes = {"HOME": str(self._room / "home"), "TMPDIR": str(self._room / "tmp")}
        self._worker = process.start(
            process.ProcessSpec(
                argv=self._predicate.argv,
                env=process.clean_env(os.environ) | homes,
                cwd=folder,
                stdin_path=self._room / "question.json",
                output_path=self._room / "answer",
                exit_path=self._room / "exit.json",
                marker=self._marker,
                grace_ms=0,
                timeout_ms=self._predicate.timeout_ms,
                keep_errors=False,
                output_max=OUTPUT_MAX,
                tied=True,
            ),
            NoJail(),
        )

    @property
    def _marker(self) -> str:
        return f"predicate:{self._room}"

    def answer(self) -> Refusal | None:
        """Wait for the answer; None when there is no objection. Nothing of the program is left running."""
        reason = self._reason()
        return Refusal(RefusalCode.predicate, reason, holder=self._predicate.name) if reason else None

    def _reason(self) -> str:
        name = self._predicate.name
        ended = self._ended()
        fault = self._fault if ended is None else _fault_of(ended, self._predicate.timeout_ms)
        output = b"" if fault else (self._room / "answer").read_bytes()
        try:
            text = output.decode()
        except UnicodeDecodeError:
            fault = "it printed bytes that are no text"
        if fault:
            return harmless(f"predicate {name} could not be asked: {fault}")[:REASON_CHARS_MAX]
        if ended is None or ended.code == NO_OBJECTION:
            return ""
        said = harmless(text.partition("\n")[0].strip()[:REASON_CHARS_MAX])[:REASON_CHARS_MAX]
        return f"predicate {name} refused: {said or 'it gave no reason'}"

    def _ended(self) -> process.Exit | None:
        """How the program ended; None, with a fault, when that is not known."""
        if self._worker is None:
            return None
        left_ms = max(0, int((self._until - time.monotonic()) * 1000))
        if not process.wait(self._worker, left_ms):
            process.stop(self._worker, 0, self._marker)
        ended = process.exit_of(self._room / "exit.json")
        if ended is None:
            process.sweep(self._marker)
            self._fault = "its shim was killed"
        return ended


def _fault_of(ended: process.Exit, timeout_ms: int) -> str:
    """Say why an end is no answer; empty when it is one."""
    if ended.fault:
        return ended.fault
    if ended.timed_out or ended.stopped:
        return f"it took longer than {timeout_ms / 1000:g} s"
    if ended.code is None:
        return f"signal {ended.signal} ended it"
    if ended.code not in (NO_OBJECTION, OBJECTION):
        return f"it exited with {ended.code}"
    if ended.output_dropped:
        return f"it printed more than {OUTPUT_MAX // 1024} KiB"
    return f"{ended.left} processes that it started cannot be ended" if ended.left else ""
