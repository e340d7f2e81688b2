"""What a check's test runners recorded: the tests that ran, how each ended, and what became of the runner meanwhile.

Records are written by the programs of `inside/`, one file a session, each line sealed with a secret that only that
session had. What cannot be read, or whose seal does not fit, is a fault of the run: it never counts in its favour.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

SESSIONS_MAX = 64
"""Most sessions of runners that one check may record."""
RECORD_BYTES_MAX = 64 << 20
GUARD = "guard"
"""The file in which the guards of processes note what they saw."""
EXECUTED = frozenset({"passed", "failed", "error", "xfailed", "xpassed"})
"""Outcomes of tests whose body was run, or was tried."""
FAILED = frozenset({"failed", "error"})


class Ending(Struct, frozen=True):
    """How one test ended."""

    outcome: str
    """`passed`, `failed`, `error`, `skipped`, `xfailed`, `xpassed`, `deselected`, or `unknown` when it never ended."""
    file: str = ""
    """Relative to the tree; empty where the runner does not say."""


class Session(Struct, frozen=True):
    """One run of one runner."""

    runner: str
    ended: bool
    """Whether the runner came to its own end."""
    status: int = 0
    """The exit status that the runner gave itself."""
    patched: tuple[str, ...] = ()
    """Functions of the runner that were others at the end than at the start."""
    hooks: tuple[str, ...] = ()
    """Who had a say in what runs and what passes."""
    deceived: str = ""
    """What the runner makes of a test that fails; empty when it is a failure."""
    forged: bool = False
    """Whether a line's seal does not fit."""
    inside: tuple[str, ...] = ()
    """Modules that the runner's process loaded from the tree."""
    outside: tuple[str, ...] = ()
    """Modules that it loaded from elsewhere."""


class Seen(Struct, frozen=True):
    """All that was recorded in one run of a check."""

    sessions: tuple[Session, ...] = ()
    tests: Mapping[str, Ending] = {}

    @property
    def executed(self) -> int:
        """How many tests were executed."""
        return sum(test.outcome in EXECUTED for test in self.tests.values())

    @property
    def runners(self) -> str:
        """The runners, each once, in the order in which they began."""
        return "+".join(dict.fromkeys(session.runner for session in self.sessions))


class _Line(Struct, frozen=True):
    what: str
    runner: str = ""
    id: str = ""
    outcome: str = ""
    file: str = ""
    status: int = 0
    patched: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    deceived: str = ""
    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


_LINE = msgspec.json.Decoder(_Line)
Secrets = Mapping[str, bytes]


def lay_out(folder: Path, sessions: int) -> Secrets:
    """Put one-time secrets for so many sessions into a new folder; return them by name, for `read`."""
    folder.mkdir(parents=True)
    laid = {f"{number:02}": secrets.token_hex(32).encode() for number in range(sessions)}
    for name, secret in laid.items():
        (folder / f"{name}.secret").write_bytes(secret)
    return laid


def read(folder: Path, laid: Secrets) -> Seen:
    """Read all records of a run; sessions come in the order in which they began."""
    sessions: list[Session] = []
    tests: dict[str, Ending] = {}
    for name, secret in laid.items():
        path = folder / f"{name}.record"
        if not (folder / f"{name}.secret").exists():
            session, found = _read_session(_content(path), secret)
            sessions.append(session)
            for test_id, test in found.items():
                tests[test_id] = _worse(tests.get(test_id), test)
    guarded = _guarded(folder)
    if guarded and sessions:
        patched = tuple(sorted({*sessions[0].patched, *guarded}))
        sessions[0] = msgspec.structs.replace(sessions[0], patched=patched)
    return Seen(tuple(sessions), tests)


def _guarded(folder: Path) -> set[str]:
    """What the guards of node processes noted: names of functions that were others at the end."""
    names: set[str] = set()
    for row in _content(folder / GUARD).splitlines():
        try:
            names.update(msgspec.json.decode(row, type=tuple[str, ...]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            names.add("something that its guard could not name")
    return names


def _content(path: Path) -> bytes:
    """Read a record that code under test could reach: follow no link, wait for no pipe, read no more than the most."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read(RECORD_BYTES_MAX)


def _read_session(content: bytes, secret: bytes) -> tuple[Session, dict[str, Ending]]:
    session, tests, previous = Session("", ended=False), dict[str, Ending](), b""
    patched: set[str] = set()
    for row in content.splitlines():
        seal, _, text = row.partition(b" ")
        previous = hmac.new(secret, previous + text, "sha256").hexdigest().encode()
        line = _decoded(text) if hmac.compare_digest(seal, previous) else None
        if line is None:
            return msgspec.structs.replace(session, forged=True), tests
        patched.update(line.patched)
        if line.what == "start":
            session = msgspec.structs.replace(session, runner=line.runner)
        elif line.what == "test":
            tests[line.id] = _worse(tests.get(line.id), Ending(line.outcome, line.file))
        elif line.what == "end":
            session = Session(
                runner=session.runner,
                ended=True,
                status=line.status,
                hooks=line.hooks,
                deceived=line.deceived,
                inside=line.inside,
                outside=line.outside,
            )
    return msgspec.structs.replace(session, patched=tuple(sorted(patched))), tests


def _decoded(text: bytes) -> _Line | None:
    try:
        return _LINE.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _worse(one: Ending | None, other: Ending) -> Ending:
    """The outcome of a test that several sessions, or several of its parts, tell of."""
    if one is None:
        return other
    order = ("failed", "error", "unknown", "passed", "xpassed", "xfailed", "skipped", "deselected")
    rank = {outcome: number for number, outcome in enumerate(order)}
    return min(one, other, key=lambda ending: rank.get(ending.outcome, -1))
