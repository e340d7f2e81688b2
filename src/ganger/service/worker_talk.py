"""How a worker speaks to its fleet: one JSON line each way, through the socket of its run.

A worker holds nothing of the fleet but this socket and a secret. When nobody listens, or the jail has no sockets, what
it says is kept in a folder of the run, where the supervisor takes it in, once, by its key. Imports little: every word
of a worker waits for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from ganger.core.commands import ReportDone, ReportFail, WorkerCommand
from ganger.core.ids import RunId, Token
from ganger.core.model import Outcome, Refusal

RESULT = "result.json"
"""In `spool`: the report of a worker that writes a file rather than says something (`Result`)."""
SOCKET, SPOOL, ANSWERS, TAKEN = "sock", "spool", "answers", "taken"
"""What lies in the folder of a door; a worker writes only into `spool`."""
ENDED = "ended"
"""Lies there once the run has ended: the answer to whatever is still said."""
LINE_BYTES_MAX = 1 << 18
TIMEOUT_S = 30.0
ANSWER_S = 5.0
"""How long an answer to what was kept is waited for, where a supervisor seems to be there."""
LOOK_S = 0.02


class Say(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Carry out what a worker may ask for, for its own run."""

    command: WorkerCommand
    secret: str
    key: str
    """Makes saying it again harmless: 32 hexadecimal digits."""


class MayWrite(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """May this run write a file?"""

    path: str
    token: int
    secret: str
    key: str


class AskMail(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """What is said to this run? Whoever asks is handed it, and nobody else; it is never kept to be asked later."""

    token: int
    secret: str
    key: str


class HeardMail(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The worker was shown these messages."""

    messages: tuple[int, ...]
    token: int
    secret: str
    key: str


Message: TypeAlias = Say | MayWrite | AskMail | HeardMail


class Result(Struct, frozen=True, forbid_unknown_fields=True):
    """What a result file holds: a report with the run and the token it is for, or else it is none."""

    kind: Literal["ganger.result"]
    version: Literal[1]
    run: str
    token: int
    outcome: Literal["completed", "findings", "proposal", "no_evidence", "failed"]
    summary: str = ""
    evidence: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()

    def command(self) -> WorkerCommand:
        """The report, as it would be said."""
        run, token = RunId(self.run), Token(self.token)
        if self.outcome == "failed":
            return ReportFail(run, token, self.summary)
        return ReportDone(run, token, Outcome(self.outcome), self.summary, self.evidence, self.recommended)


class Done(Struct, frozen=True, tag=True):
    """It was carried out."""

    seq: int
    changed: bool = False
    added: tuple[str, ...] = ()
    """Items that came of it."""


class Refused(Struct, frozen=True, tag=True):
    """It was refused."""

    refusal: Refusal


class Unheard(Struct, frozen=True, tag=True):
    """It was not understood, or the fleet could not answer."""

    message: str


class Kept(Struct, frozen=True, tag=True):
    """Nobody has heard it yet; it is on disk, and will be taken in."""


class Mail(Struct, frozen=True, tag=True):
    """What is said to a run, from here on handed over."""

    text: str
    """Empty when nothing waits."""
    messages: tuple[int, ...] = ()


Answer: TypeAlias = Done | Refused | Unheard
encode = msgspec.json.Encoder().encode
decode_message = msgspec.json.Decoder(Message).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_result = msgspec.json.Decoder(Result).decode
_decode_mail = msgspec.json.Decoder(Mail | Refused | Unheard).decode


def new_key() -> str:
    """A key that nothing else has."""
    return uuid.uuid4().hex


def speak(door: Path, message: Message) -> Answer | Kept:
    """Say something and return the answer; OSError when it can neither be said nor kept."""
    try:
        return _exchange(door, message)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            return _decoded((door / ENDED).read_bytes())
        listened = isinstance(error, PermissionError) and (door / SOCKET).exists()
    _keep(door, message)
    until = time.monotonic() + (ANSWER_S if listened else 0)
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            return _decoded((door / ANSWERS / message.key).read_bytes())
        time.sleep(LOOK_S)
    return Kept()


def fetch_mail(door: Path, token: int, secret: str) -> Mail:
    """What is said to the run, handed over by this; empty where nobody can be reached."""
    try:
        answer = _decode_mail(_ask(door, AskMail(token, secret, new_key())))
    except (OSError, msgspec.MsgspecError):
        return Mail("")
    return answer if isinstance(answer, Mail) else Mail("")


def _exchange(door: Path, message: Message) -> Answer:
    return _decoded(_ask(door, message))


def _ask(door: Path, message: Message) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        with short_path(door, SOCKET) as path:
            connection.connect(path)
        connection.sendall(encode(message) + b"\n")
        with connection.makefile("rb") as lines:
            line = lines.readline()
    if not line:
        raise ConnectionResetError("the supervisor hung up")
    return line


def _decoded(line: bytes) -> Answer:
    answer: Answer = decode_answer(line)
    return answer


def _keep(door: Path, message: Message) -> None:
    """Put a message where it is found again: complete or not at all, and on disk before this returns."""
    name = f"{time.time_ns():020d}-{message.key}"
    part, whole = door / SPOOL / f".{name}", door / SPOOL / name
    with part.open("xb") as file:
        file.write(encode(message))
        file.flush()
        os.fsync(file.fileno())
    part.rename(whole)
    folder = os.open(door / SPOOL, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def short_path(folder: Path, name: str) -> Iterator[str]:
    """A name for a socket that fits into the 107 bytes the kernel allows, however deep its folder lies."""
    full = str(folder / name)
    if len(os.fsencode(full)) < 100 or not sys.platform.startswith("linux"):
        yield full
        return
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{name}"
    finally:
        os.close(handle)
