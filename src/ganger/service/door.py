"""How other processes reach the supervisor's fleet: a Unix socket in the state directory, one JSON line each way.

While a supervisor runs, commands go through it, so that many share one sync of the disk and nobody has to load the
state. Without one, whoever asks opens the journal itself; the answers are the same. The socket lies in a directory
that only its owner can enter (mode 0700).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.commands import Command
from ganger.core.model import Refusal
from ganger.core.policy import Policy
from ganger.errors import GangerError, StateDirError
from ganger.journal.store import Store
from ganger.service import place
from ganger.service.fleet import Accepted, Fleet, Reply
from ganger.service.worker_door import Listener

SOCKET_NAME = "ganger.sock"
POLICY = "policy.json"
LINE_BYTES_MAX = 4 << 20
TIMEOUT_S = 30.0


class Ask(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Carry out a command."""

    command: Command
    actor: str
    key: str = ""


class Tell(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Leave: `down`, with `now` also stopping the workers; or `wake`, look at the journal again."""

    what: str
    now: bool = False


class Fault(Struct, frozen=True, tag=True):
    """The supervisor could not answer."""

    message: str


Message = Ask | Tell

_encode = msgspec.json.Encoder().encode
_decode_message = msgspec.json.Decoder(Message).decode


class _RefusalAnswer(Struct, frozen=True, tag="Refusal"):
    """A refusal on the wire, told apart from an acceptance by its tag."""

    refusal: Refusal


_decode_answer = msgspec.json.Decoder(Accepted | _RefusalAnswer | Fault).decode


class Door:
    """The supervisor's side: accepts connections and answers each line, one thread per connection."""

    def __init__(self, state_dir: Path, fleet: Fleet, on_tell: Callable[[Tell], None]) -> None:
        self._fleet, self._on_tell = fleet, on_tell
        self._path = state_dir / SOCKET_NAME
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        with _short_path(state_dir) as short:
            self._socket.bind(short)
        self._path.chmod(0o600)
        self._socket.listen(128)
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the socket away; connections are cut, what was acknowledged stays."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="door-client", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            while line := lines.readline(LINE_BYTES_MAX):
                connection.sendall(_encode(self._answer(line)) + b"\n")
        self._open.discard(connection)

    def _answer(self, line: bytes) -> Accepted | _RefusalAnswer | Fault:
        try:
            message = _decode_message(line)
            if isinstance(message, Tell):
                self._on_tell(message)
                return Accepted(self._fleet.store.folded.seq)
            reply = self._fleet.submit(message.command, message.actor, message.key)
            return _RefusalAnswer(reply) if isinstance(reply, Refusal) else reply
        except (msgspec.MsgspecError, GangerError) as error:
            return Fault(str(error))


def ask_supervisor(state_dir: Path, command: Command, actor: str, key: str = "") -> Reply | None:
    """Submit through the running supervisor; None when there is none, or when it went away before it answered.

    After a None the outcome may be unknown: the caller submits again itself with the same `key`, which is harmless.
    """
    answer = _exchange(state_dir, Ask(command, actor, key))
    if isinstance(answer, _RefusalAnswer):
        return answer.refusal
    return answer if isinstance(answer, Accepted) else None


def tell_supervisor(state_dir: Path, tell: Tell) -> bool:
    """Tell the running supervisor something; False when there is none."""
    return isinstance(_exchange(state_dir, tell), Accepted)


def _exchange(state_dir: Path, message: Message) -> Accepted | _RefusalAnswer | Fault | None:
    try:
        with Client(state_dir) as client:
            return client.exchange(message)
    except (OSError, msgspec.MsgspecError):
        return None


class Client:
    """One connection to the supervisor, for any number of messages."""

    def __init__(self, state_dir: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        try:
            with _short_path(state_dir) as short:
                self._socket.connect(short)
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def exchange(self, message: Message) -> Accepted | _RefusalAnswer | Fault:
        """Send a message and wait for its answer; OSError when the supervisor is gone."""
        self._socket.sendall(_encode(message) + b"\n")
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("the supervisor hung up")
        answer: Accepted | _RefusalAnswer | Fault = _decode_answer(line)
        return answer


def keep_policy(state_dir: Path, policy: Policy) -> None:
    """Store the policy in force, so that every process that submits decides alike; StateDirError when it cannot be."""
    place.replace_file(state_dir / POLICY, msgspec.json.encode(policy))


def kept_policy(state_dir: Path) -> Policy:
    """The policy in force; StateDirError when no fleet was ever opened there."""
    try:
        return msgspec.json.decode((state_dir / POLICY).read_bytes(), type=Policy)
    except FileNotFoundError as error:
        raise StateDirError(f"there is no fleet at {state_dir}", "ganger init, then ganger run PLAN") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise StateDirError(f"{state_dir / POLICY} cannot be read: {error}", "ganger run writes it anew") from error


def submit(state_dir: Path, command: Command, actor: str) -> Reply:
    """Carry out a command from any process: through the running supervisor, or else on the journal itself."""
    key = uuid.uuid4().hex
    reply = ask_supervisor(state_dir, command, actor, key)
    if reply is not None:
        return reply
    policy = kept_policy(state_dir)
    fleet = Fleet(Store(state_dir / place.JOURNAL, policy.paths), policy)
    try:
        # A person may answer a question that a worker asked while no supervisor listened.
        Listener(state_dir, fleet).take_in_all()
        return fleet.submit(command, actor, key)
    finally:
        fleet.close()


@contextlib.contextmanager
def _short_path(state_dir: Path) -> Iterator[str]:
    """A name for the socket that fits into the 107 bytes the kernel allows, however deep the state directory lies."""
    full = str(state_dir / SOCKET_NAME)
    if len(os.fsencode(full)) < 100 or not sys.platform.startswith("linux"):
        yield full
        return
    handle = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_NAME}"
    finally:
        os.close(handle)
