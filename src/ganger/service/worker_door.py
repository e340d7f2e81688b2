"""The supervisor's side of what workers say: a socket for each live run, and the folder of what was said before.

Whoever speaks through a run's socket speaks for that run and no other, only with its secret, and only what a worker may
ask for. Nothing that comes from there is trusted to be well-formed, short, or a plain file.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import re
import secrets
import selectors
import socket
import stat
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from ganger.core import commands as cmd
from ganger.core.admission import admit_write
from ganger.core.events import ItemAdded
from ganger.core.ids import RunId, Seq, Token
from ganger.core.model import Refusal, RefusalCode
from ganger.core.state import State
from ganger.errors import GangerError, JournalFailed
from ganger.service import mail, place
from ganger.service.fleet import Fleet
from ganger.service.hidden import Hidden
from ganger.service.places import Places
from ganger.service.worker_talk import (
    ANSWERS,
    ENDED,
    LINE_BYTES_MAX,
    RESULT,
    SOCKET,
    SPOOL,
    TAKEN,
    Answer,
    AskMail,
    Done,
    HeardMail,
    Mail,
    MayWrite,
    Message,
    Refused,
    Unheard,
    decode_message,
    decode_result,
    encode,
    short_path,
)

log = logging.getLogger("ganger.door")
SECRET = "door.secret"  # noqa: S105 - the name of a file
SECRET_BYTES = 32
TALKS_MAX = 8
"""Connections of one run at a time; more are cut."""
TALK_S = 10.0
SPOOLED_MAX = 256
"""Messages of one run that are taken in at a time."""
_SPOOLED = re.compile(r"[0-9]{20}-([0-9a-f]{32})")
_KEY = re.compile(r"[0-9a-f]{32}")


def secret_of(state_dir: Path, run: RunId, token: Token) -> str:
    """What the worker of a run must know to speak for it; made from a secret of the fleet, which is made if need be."""
    path = state_dir / SECRET
    try:
        of_fleet = path.read_bytes()
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            _write_once(path, secrets.token_bytes(SECRET_BYTES))
        of_fleet = path.read_bytes()
    return hmac.new(of_fleet, f"{run}:{token}".encode(), hashlib.sha256).hexdigest()


def _write_once(path: Path, content: bytes) -> None:
    """Make a file that is there complete or not at all; FileExistsError when somebody else was first."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(fresh, path)
    finally:
        fresh.unlink()


def prepare(state_dir: Path, run: RunId) -> Path:
    """Make the folder of a run's door; returns that part of it into which its workers write."""
    door = Places(state_dir).door(run)
    for name in (SPOOL, ANSWERS, TAKEN):
        (door / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    return door / SPOOL


class Listener:
    """Carries out what workers say, from wherever it comes."""

    def __init__(self, state_dir: Path, fleet: Fleet, hidden: Hidden = Hidden()) -> None:  # noqa: B008 - never changes
        """What is `hidden` is not taken in."""
        self._state_dir, self._fleet, self._places, self._hidden = state_dir, fleet, Places(state_dir), hidden

    def take_in_all(self) -> None:
        """Take in what workers of live runs said while nobody listened."""
        for run, token in self._fleet.look(lambda state, _: live(state)).items():
            self.take_in(run, token)

    def ended(self, runs: Iterable[RunId]) -> list[RunId]:
        """Those of some runs that are not live any more; none where the fleet cannot be looked at."""
        with contextlib.suppress(GangerError):
            alive = self._fleet.look(lambda state, _: live(state))
            return [run for run in runs if run not in alive]
        return []

    def end(self, run: RunId) -> None:
        """Leave word for a worker that speaks when its run has ended: nobody will take in what it says."""
        refusal = Refusal(RefusalCode.stale_token, f"run {run} is not live: it ended", "stop working on it")
        with contextlib.suppress(OSError):
            place.replace_file(self._places.door(run) / ENDED, encode(Refused(refusal)))

    def answer(self, run: RunId, token: Token, line: bytes) -> Answer | Mail:
        """Answer one message of a worker of a run, whatever it holds."""
        try:
            message = _read(self._hidden.data(line))
            if not hmac.compare_digest(message.secret.encode(), secret_of(self._state_dir, run, token).encode()):
                return Refused(Refusal(RefusalCode.forbidden, f"this is not the secret of {run}", "end the turn"))
            if not _KEY.fullmatch(message.key):
                return Unheard("a key is 32 hexadecimal digits")
            return self._carry_out(run, message)
        except msgspec.MsgspecError as error:
            return Unheard(f"that was not understood: {error}")
        except JournalFailed:
            return Unheard("the fleet cannot write its journal")
        except GangerError as error:
            return Unheard(error.message)

    def _carry_out(self, run: RunId, message: Message) -> Answer | Mail:
        if isinstance(message, AskMail):
            return self._mail(run, Token(message.token))
        if isinstance(message, HeardMail):
            heard = cmd.RecordRead(run, Token(message.token), tuple(map(Seq, message.messages)))
            reply = self._fleet.submit(heard, self._fleet.acts_as)
            return Refused(reply) if isinstance(reply, Refusal) else Done(int(reply.seq), bool(reply.events))
        if isinstance(message, MayWrite):
            found = self._fleet.look(lambda state, now_ms: _may_write(state, run, message, now_ms, self._fleet))
            return Done(0) if found is None else Refused(found)
        reply = self._fleet.submit(message.command, f"worker:{run}", f"{run}:{message.key}")
        if isinstance(reply, Refusal):
            return Refused(reply)
        added = tuple(str(event.spec.id) for event in reply.events if isinstance(event, ItemAdded))
        return Done(int(reply.seq), bool(reply.events), added)

    def _mail(self, run: RunId, token: Token) -> Mail:
        """Hand over what is said to the worker of a run."""
        turn = self._fleet.look(lambda state, _: state.runs[run].turn_speaking if run in state.runs else 0)
        text, messages = mail.claim(self._fleet, self._state_dir, run, token, turn)
        return Mail(text, tuple(map(int, messages)))

    def take_in(self, run: RunId, token: Token) -> None:
        """Carry out what lies in the folder of a run, in the order of its names, and put each aside."""
        folder = self._places.door(run)
        self._take_result(run, token, folder)
        try:
            names = sorted(path.name for path in (folder / SPOOL).iterdir() if _SPOOLED.fullmatch(path.name))
        except OSError:
            return
        for name in names[:SPOOLED_MAX]:
            answer = self.answer(run, token, _content(folder / SPOOL / name))
            place.replace_file(folder / ANSWERS / name.rpartition("-")[2], encode(answer))
            # Another process that takes in at the same time has carried out the same, by its key.
            with contextlib.suppress(FileNotFoundError):
                (folder / SPOOL / name).rename(folder / TAKEN / name)

    def _take_result(self, run: RunId, token: Token, folder: Path) -> None:
        """Take in a result file, once, as soon as it is one; a part of one, or another's, is none."""
        path = folder / SPOOL / RESULT
        content = self._hidden.data(_content(path))
        if not content or len(content) > LINE_BYTES_MAX:
            return
        try:
            found = decode_result(content)
            written = path.stat(follow_symlinks=False).st_mtime_ns
        except (msgspec.MsgspecError, OSError):
            return
        if (found.run, found.token) != (run, token):
            return
        # The same words in a later turn are another report; the same file is the same one, also after a crash.
        key = hashlib.sha256(content + str(written).encode()).hexdigest()[:32]
        try:
            reply = self._fleet.submit(found.command(), f"worker:{run}", f"{run}:{key}")
        except GangerError as error:
            log.warning("the result of %s: %s", run, error.message)
            return
        answer = Refused(reply) if isinstance(reply, Refusal) else Done(int(reply.seq), bool(reply.events))
        place.replace_file(folder / ANSWERS / RESULT, encode(answer))
        with contextlib.suppress(FileNotFoundError):
            path.rename(folder / TAKEN / f"{key}.json")


class WorkerDoor:
    """Serves the runs it is told to; one thread waits, and one for each connection answers.

    What was said before it was made has been taken in when it is there, so nobody who looks then finds a worker gone
    that has spoken.
    """

    def __init__(self, state_dir: Path, fleet: Fleet, hidden: Hidden = Hidden()) -> None:  # noqa: B008 - never changes
        self._state_dir, self._places = state_dir, Places(state_dir)
        self._listener = Listener(state_dir, fleet, hidden)
        self._listener.take_in_all()
        self._lock = threading.Lock()
        self._wanted: dict[RunId, Token] = {}
        self._sockets: dict[RunId, socket.socket] = {}
        self._talks: dict[RunId, int] = {}
        self._selector = selectors.DefaultSelector()
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._selector.register(self._read_end, selectors.EVENT_READ, None)
        self._over = False
        self._thread = threading.Thread(target=self._listen, name="worker-door", daemon=True)
        self._thread.start()

    def serve(self, runs: Mapping[RunId, Token]) -> None:
        """Listen to the workers of exactly these runs from now on, and take in what they have left."""
        with self._lock:
            self._wanted = dict(runs)
        self._poke()

    def close(self) -> None:
        """Listen no more; what workers say from now on is kept in their folders."""
        self._over = True
        self._poke()
        self._thread.join(timeout=5)
        os.close(self._write_end)
        os.close(self._read_end)

    def _poke(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_end, b"w")

    def _listen(self) -> None:
        while not self._over:
            self._settle()
            for key, _ in self._selector.select():
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._read_end, 65_536)
                else:
                    self._accept(key.data)
        for run in self._listener.ended(self._sockets):
            self._listener.end(run)
        for run in list(self._sockets):
            self._shut(run)
        self._selector.close()

    def _settle(self) -> None:
        """Open and close sockets so that they are those of the wanted runs, and take in what lies there."""
        with self._lock:
            wanted = dict(self._wanted)
        gone = [run for run in self._sockets if run not in wanted]
        for run in self._listener.ended(gone):
            self._listener.end(run)
        for run in gone:
            self._shut(run)
        for run, token in wanted.items():
            try:
                if run not in self._sockets:
                    self._open(run)
                self._listener.take_in(run, token)
            except (OSError, GangerError) as error:
                log.warning("the door of %s: %s", run, error)

    def _open(self, run: RunId) -> None:
        prepare(self._state_dir, run)
        folder = self._places.door(run)
        with contextlib.suppress(FileNotFoundError):
            (folder / SOCKET).unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(folder, SOCKET) as path:
            listening.bind(path)
        (folder / SOCKET).chmod(0o600)
        listening.listen(16)
        listening.setblocking(False)
        self._sockets[run] = listening
        self._selector.register(listening, selectors.EVENT_READ, run)

    def _shut(self, run: RunId) -> None:
        listening = self._sockets.pop(run)
        self._selector.unregister(listening)
        listening.close()
        with contextlib.suppress(OSError):
            (self._places.door(run) / SOCKET).unlink()

    def _accept(self, run: RunId) -> None:
        try:
            connection, _ = self._sockets[run].accept()
        except (OSError, KeyError):
            return
        with self._lock:
            token = self._wanted.get(run)
            busy = self._talks.get(run, 0)
            if token is None or busy >= TALKS_MAX:
                connection.close()
                return
            self._talks[run] = busy + 1
        threading.Thread(target=self._talk, args=(connection, run, token), name=f"door-{run}", daemon=True).start()

    def _talk(self, connection: socket.socket, run: RunId, token: Token) -> None:
        try:
            connection.settimeout(TALK_S)
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
                line = lines.readline(LINE_BYTES_MAX + 1)
                connection.sendall(encode(self._listener.answer(run, token, line)) + b"\n")
        finally:
            with self._lock:
                self._talks[run] -= 1


def live(state: State) -> dict[RunId, Token]:
    """The live runs with their tokens."""
    return {run.id: run.lease.token for run in state.runs.values()}


def _may_write(state: State, run: RunId, message: MayWrite, now_ms: int, fleet: Fleet) -> Refusal | None:
    live = state.runs.get(run)
    if live is None or live.lease.token != message.token:
        return Refusal(RefusalCode.stale_token, f"run {run} is not live with this token", "stop working on it")
    return admit_write(live.lease, message.path, now_ms, fleet.policy.paths)


def _read(line: bytes) -> Message:
    if len(line) > LINE_BYTES_MAX:
        raise msgspec.ValidationError(f"it is longer than {LINE_BYTES_MAX} bytes")
    message: Message = decode_message(line)
    return message


def _content(path: Path) -> bytes:
    """What a plain file holds, one byte more than is allowed at most; nothing for whatever else lies there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b""
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(LINE_BYTES_MAX + 1)
    finally:
        os.close(handle)
