"""The supervisor's side of the gate: starts it, tells it what it must know, hears what it has to tell, starts it again.

Nothing that is decided depends on the gate being there. Whoever finds none is answered by the slow path, from the file
that lies in the folder of each run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shlex
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from ganger.core.ids import RunId, Seq
from ganger.drivers.background import start_detached
from ganger.drivers.port import Hooks
from ganger.errors import GangerError
from ganger.service import place
from ganger.service.places import Places
from ganger.service.worker_door import prepare
from ganger.service.worker_talk import short_path
from ganger.worker_api.gate_server import CONTROL, HOOKS, PORT
from ganger.worker_api.views import (
    RULES,
    SOCKET,
    VIEW,
    Asking,
    AskLacks,
    AskNews,
    Down,
    DropRun,
    Heard,
    Lacks,
    News,
    Rules,
    RunView,
    SetRules,
    SetRun,
    Settled,
    Used,
    decode_up,
    encode,
)

log = logging.getLogger("ganger.gate")
FOLDER = "gate"
"""In the state directory."""
START_S = 10.0
SEND_S = 2.0
PING_S = 2.0
"""A gate that is quiet for so long is asked whether it is there; one that does not answer in that time is ended."""
"""A gate that takes nothing for so long is ended, and another one started."""
END_S = 2.0
AGAIN_S, AGAIN_MAX_S = 0.05, 5.0
"""Pause before a gate that ended is started again; doubles with each that ended at once."""
STEADY_S = 10.0
SETTLE_S = 5.0
_PACKAGE = Path(__file__).parent
_COMPILED = _PACKAGE / "ganger-hook"
_ROOT = _PACKAGE.parents[1]
_RUN_GATE = "import sys; sys.path.insert(0, sys.argv[1]); from ganger.worker_api import gate_server as g; g.main()"

_RUN_SLOW = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ganger.__main__ import main; sys.exit(main())"
"""Deaf to PYTHONPATH and the like."""


def is_compiled() -> bool:
    """Whether there is a compiled client."""
    return os.access(_COMPILED, os.X_OK)


def hooks() -> Hooks:
    """What agents are told to call: the compiled client where it was built, or else the one in Python."""
    plain = (sys.executable, "-I", "-S", str(_PACKAGE / "client.py"))
    client = (str(_COMPILED),) if is_compiled() else plain
    return Hooks(shlex.join(client), (sys.executable, "-P", "-m", "ganger", "hook"))


def workers_hooks() -> Hooks:
    """What the agents of workers are: they can say what stands in their hooks' environment."""
    return Hooks(hooks().client, (sys.executable, "-I", "-c", _RUN_SLOW, str(_ROOT), "hook"))


class Postman(Protocol):
    """Who knows what is said to runs."""

    def claim(self, asked: AskNews) -> tuple[str, tuple[Seq, ...]]:
        """What a worker is told now, and which messages that is; they are told to nobody else from here on."""
        ...

    def heard(self, heard: Heard) -> None:
        """The worker went on after that."""
        ...


class Gatekeeper:
    """One gate of a fleet, for as long as its supervisor lives. Safe for threads."""

    def __init__(
        self,
        state_dir: Path,
        rules: Rules,
        lacks: Callable[[RunId], tuple[str, ...]],
        told: Callable[[Used], None],
        post: Postman | None = None,
        asked: Callable[[Asking], None] = lambda asking: None,
        over_http: bool = False,
    ) -> None:
        """`lacks` says what a run lacks to end its turn, `told` hears of every use of a tool; both on other threads.

        So does `asked`, of every question before one, and `post`, of what is said to runs; without one nothing is.
        """
        self._post = post
        self._places, self._folder = Places(state_dir), state_dir / FOLDER
        self._state_dir, self._rules, self._lacks, self._told = state_dir, rules, lacks, told
        self._asked = asked
        self._lock = threading.Lock()
        self._wanted: Mapping[RunId, RunView] = {}
        self._sent: dict[RunId, RunView] = {}
        self._gate: socket.socket | None = None
        self._settled: dict[int, threading.Event] = {}
        self._numbers = 0
        self.pid = 0
        """Of the gate that runs; 0 while none does."""
        self.starts = 0
        self._over = threading.Event()
        self._with_rules: set[RunId] = set()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.replace_file(self._folder / RULES, encode(rules))
        if over_http != (self._port() is not None):
            place.replace_file(self._folder / PORT, b"0" if over_http else b"")
        self._thread = threading.Thread(target=self._keep, name="gatekeeper", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the gate answers over HTTP; empty where it does not, or did not begin yet."""
        return f"http://127.0.0.1:{port}" if (port := self._port()) else ""

    def _port(self) -> int | None:
        """The port of the gate's HTTP, 0 before the first gate; None where there is to be none."""
        try:
            return int((self._folder / PORT).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def serve(self, views: Mapping[RunId, RunView]) -> None:
        """Have the gate answer for exactly these runs from now on."""
        with self._lock:
            before, self._wanted = self._wanted, views
            for run, view in views.items():
                if before.get(run) is not view and before.get(run) != view:
                    self._leave_view(view)
            self._push()

    def settle(self, within_s: float = SETTLE_S) -> bool:
        """Wait until the gate holds what was pushed, and what it told is heard; False when that takes longer."""
        done = threading.Event()
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with self._lock:
                self._numbers += 1
                self._settled[self._numbers] = done
                self._send(Settled(self._numbers))
            if done.wait(0.2):
                return True
        return False

    def close(self) -> None:
        """End the gate."""
        self._over.set()
        with self._lock:
            if self._gate is not None:
                with contextlib.suppress(OSError):
                    self._gate.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=START_S)

    # The gate's life

    def _keep(self) -> None:
        pause_s = AGAIN_S
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._run_one()
            except (OSError, GangerError, msgspec.MsgspecError) as error:
                log.warning("the gate: %s", error)
            finally:
                self._end()
            pause_s = AGAIN_S if time.monotonic() - began > STEADY_S else min(2 * pause_s, AGAIN_MAX_S)
            self._over.wait(pause_s)

    def _run_one(self) -> None:
        """Start a gate, push everything to it, and listen until it ends."""
        argv = (sys.executable, "-I", "-X", "utf8", "-c", _RUN_GATE, str(_ROOT), str(self._folder))
        env = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.pid = start_detached(argv, env, self._state_dir / "gate.log")
        self.starts += 1
        gate = self._connected()
        with self._lock:
            self._gate = gate
            self._sent = {}
            self._send(SetRules(self._rules))
            self._push()
        log.info("the gate is process %d", self.pid)
        self._listen(gate)

    def _listen(self, gate: socket.socket) -> None:
        """Hear the gate until it ends, or has nothing to say although it is asked."""
        data, quiet = b"", 0
        while quiet < 2:
            if not select.select((gate,), (), (), PING_S)[0]:
                quiet += 1
                with self._lock:
                    self._send(Settled(0))
                continue
            quiet = 0
            more = gate.recv(1 << 18)
            if not more:
                return
            *lines, data = (data + more).split(b"\n")
            for line in lines:
                self._hear(line)
        log.warning("the gate does not answer: another one is started")

    def _connected(self) -> socket.socket:
        until = time.monotonic() + START_S
        while True:
            gate = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with short_path(self._folder, CONTROL) as path:
                    gate.connect(path)
                break
            except OSError:
                gate.close()
                if time.monotonic() >= until or self._over.is_set() or _ended(self.pid):
                    raise
                time.sleep(0.01)
        # Only sending has a limit: there may be nothing to hear for a whole night.
        gate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(SEND_S))
        return gate

    def _end(self) -> None:
        """Let go of the gate that ended, or is to."""
        with self._lock:
            if self._gate is not None:
                self._gate.close()
            self._gate, self._sent = None, {}
        if not self.pid:
            return
        until = time.monotonic() + END_S
        while not _ended(self.pid):
            if time.monotonic() >= until:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.005)
        self.pid = 0

    # Telling it

    def _push(self) -> None:
        """Send what has changed since; with the lock held."""
        if self._gate is None:
            return
        for run in [run for run in self._sent if run not in self._wanted]:
            del self._sent[run]
            self._send(DropRun(run))
        for run, view in self._wanted.items():
            sent = self._sent.get(run)
            if sent is view or sent == view:
                continue
            if sent is None:
                self._open_door(run)
            self._sent[run] = view
            self._send(SetRun(view))

    def _send(self, message: Down) -> None:
        if self._gate is None:
            return
        try:
            self._gate.sendall(encode(message) + b"\n")
        except OSError as error:
            log.warning("the gate takes nothing: %s", error)
            with contextlib.suppress(OSError):
                self._gate.shutdown(socket.SHUT_RDWR)

    def _open_door(self, run: RunId) -> None:
        """Give the socket of the gate a name in the folder of a run, which its worker sees."""
        try:
            prepare(self._state_dir, run)
            door = self._places.door(run)
            fresh = door / f".{SOCKET}.{os.getpid()}"
            os.link(self._folder / HOOKS, fresh)
            fresh.replace(door / SOCKET)
        except OSError as error:
            log.warning("the gate of %s: %s", run, error)

    def _leave_view(self, view: RunView) -> None:
        """Leave word for the slow path; the worker reads it, so there is no secret in it."""
        folder = self._places.run(view.run)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = folder / f".{VIEW}"
            if view.run not in self._with_rules:
                os.link(self._folder / RULES, fresh)
                fresh.replace(folder / RULES)
                self._with_rules.add(view.run)
            fresh.write_bytes(encode(replace(view, secret="", known="")))
            fresh.replace(folder / VIEW)
        except OSError as error:
            log.warning("what the slow path knows of %s: %s", view.run, error)

    # Hearing it

    def _hear(self, line: bytes) -> None:
        message = decode_up(line)
        if isinstance(message, Used):
            self._told(message)
        elif isinstance(message, Asking):
            self._asked(message)
        elif isinstance(message, AskLacks):
            threading.Thread(target=self._say_lacks, args=(message,), name="gate-lacks", daemon=True).start()
        elif isinstance(message, AskNews):
            threading.Thread(target=self._say_news, args=(message,), name="gate-news", daemon=True).start()
        elif isinstance(message, Heard):
            if self._post is not None:
                self._post.heard(message)
        else:
            done = self._settled.pop(message.number, None)
            if done is not None:
                done.set()

    def _say_news(self, asked: AskNews) -> None:
        """Answer what is said to a run; where that cannot be found out it is told nothing."""
        text, messages = "", tuple[Seq, ...]()
        try:
            if self._post is not None:
                text, messages = self._post.claim(asked)
        except (GangerError, OSError) as error:
            log.warning("what is said to %s: %s", asked.run, error)
        with self._lock:
            self._send(News(asked.ask, asked.run, text, messages))

    def _say_lacks(self, asked: AskLacks) -> None:
        """Answer what a run lacks; what cannot be found out does not hold it up."""
        try:
            found = self._lacks(asked.run)
        except (GangerError, OSError) as error:
            log.warning("what %s lacks: %s", asked.run, error)
            found = ()
        with self._lock:
            self._send(Lacks(asked.ask, found))


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def _ended(pid: int) -> bool:
    """Whether our child has ended; it is then reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
