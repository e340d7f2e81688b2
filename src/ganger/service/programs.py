"""Asking programs of the configuration questions, with limits: of time, of output, and of what they leave behind.

Each reads its question as JSON on its standard input and answers on its standard output and by its exit status. They
run side by side, each under a shim of its own that ends its whole process tree, in an environment built from nothing
but what checks get, with a home and a folder for temporary files that are gone afterwards. Whatever goes wrong is a
fault in the answer: what that means is up to whoever asks, and never a yes.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.model import WorkerId
from ganger.drivers import process
from ganger.errors import WorldFailed
from ganger.git.trash import discard_scratch
from ganger.jail.none import NoJail

SCRATCH = "scratch"
OUTPUT_MAX = 64 * 1024
MARGIN_MS = 250
"""How much longer than its time limit a program's shim may take to start and end it, before it is given up."""


class Call(Struct, frozen=True):
    """One program that is to be asked one question."""

    argv: tuple[str, ...]
    timeout_ms: int
    question: bytes
    statuses: tuple[int, ...] = (0,)
    """The exit statuses that are answers."""


class Answer(Struct, frozen=True):
    """What a program answered; with a `fault`, nothing follows from the rest."""

    status: int = 0
    text: str = ""
    """Its standard output."""
    fault: str = ""
    """Why it is no answer, in a line; empty when it is one."""


def ask(state_dir: Path, folder: Path, calls: Sequence[Call]) -> tuple[Answer, ...]:
    """Make all calls side by side, in the working directory `folder`; the answers come in their order.

    Takes as long as the slowest answer: about the longest time limit, at most. Nothing of the programs is left running.
    """
    if not calls:
        return ()
    scratch = state_dir / SCRATCH / uuid.uuid4().hex
    asked = [_Asked(call, folder, scratch) for call in calls]
    answers = tuple(one.answer() for one in asked)
    with suppress(WorldFailed):
        # What a program has made undeletable is left to the next supervisor, which clears this folder.
        discard_scratch(state_dir, scratch)
    return answers


def encoded(question: Struct) -> bytes:
    """A question as a program reads it."""
    return msgspec.json.encode(question)


class _Asked:
    """One call under way."""

    def __init__(self, call: Call, folder: Path, scratch: Path) -> None:
        self._call = call
        self._room = scratch / uuid.uuid4().hex
        self._worker: WorkerId | None = None
        self._fault = ""
        self._until = time.monotonic() + (call.timeout_ms + MARGIN_MS) / 1000
        try:
            self._start(folder)
        except WorldFailed as failed:
            self._fault = failed.message
        except OSError as error:
            self._fault = f"{scratch} cannot be used: {error.strerror}"

    def _start(self, folder: Path) -> None:
        for part in ("home", "tmp"):
            (self._room / part).mkdir(parents=True)
        (self._room / "question.json").write_bytes(self._call.question)
        homes = {"HOME": str(self._room / "home"), "TMPDIR": str(self._room / "tmp")}
        self._worker = process.start(
            process.ProcessSpec(
                argv=self._call.argv,
                env=process.clean_env(os.environ) | homes,
                cwd=folder,
                stdin_path=self._room / "question.json",
                output_path=self._room / "answer",
                exit_path=self._room / "exit.json",
                marker=self._marker,
                grace_ms=0,
                timeout_ms=self._call.timeout_ms,
                keep_errors=False,
                output_max=OUTPUT_MAX,
                tied=True,
            ),
            NoJail(),
        )

    @property
    def _marker(self) -> str:
        return f"asked:{self._room}"

    def answer(self) -> Answer:
        """Wait for the answer."""
        ended = self._ended()
        fault = self._fault if ended is None else _fault_of(ended, self._call)
        if fault or ended is None or ended.code is None:
            return Answer(fault=fault)
        try:
            return Answer(ended.code, (self._room / "answer").read_bytes().decode())
        except UnicodeDecodeError:
            return Answer(fault="it printed bytes that are no text")

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


def _fault_of(ended: process.Exit, call: Call) -> str:
    """Say why an end is no answer; empty when it is one."""
    if ended.fault:
        return ended.fault
    if ended.timed_out or ended.stopped:
        return f"it took longer than {call.timeout_ms / 1000:g} s"
    if ended.code is None:
        return f"signal {ended.signal} ended it"
    if ended.code not in call.statuses:
        return f"it exited with {ended.code}"
    if ended.output_dropped:
        return f"it printed more than {OUTPUT_MAX // 1024} KiB"
    return f"{ended.left} processes that it started cannot be ended" if ended.left else ""
