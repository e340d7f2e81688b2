"""The server of workers' tools (MCP) of a fleet, kept running, and the way to it from a worker's jail."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import sys
import threading
import time
from pathlib import Path

import msgspec

from ganger.core.facts import Run
from ganger.core.ids import RunId
from ganger.drivers.background import start_detached
from ganger.drivers.port import McpServer
from ganger.errors import GangerError, WorldFailed
from ganger.service import place
from ganger.service.hook_settings import MCP_CALLS_MAX
from ganger.service.places import Places
from ganger.service.worker_door import secret_of
from ganger.worker_api import tool_relay
from ganger.worker_api.tools import GRANT

log = logging.getLogger("ganger.tools")
FOLDER, SOCKET, ABOUT = "tools", "tools", "tools.json"
ME = "me"
START_S, AGAIN_S = 20.0, 1.0
_ROOT = Path(__file__).parents[2]
_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from ganger.worker_api.tool_server import main; main(sys.argv[1:])"
)


def relay_of(door: Path) -> McpServer:
    """The server as a run's worker reaches it, through the folder of its door."""
    return McpServer("ganger", (sys.executable, "-I", "-S", tool_relay.__file__, str(door)))


class Tooled:
    """The server, from the first worker on that speaks MCP. Safe for threads."""

    def __init__(self, state_dir: Path, calls_max: int = MCP_CALLS_MAX) -> None:
        self._calls_max = calls_max
        self._state_dir, self._places = state_dir, Places(state_dir)
        self._folder = state_dir / FOLDER
        self._lock = threading.Lock()
        self._pid = 0
        self._runs: set[RunId] = set()
        self._over = threading.Event()

    def admit(self, run: Run, turn: int, children: tuple[str, ...] = ()) -> McpServer:
        """Let the worker of a turn, which may have children of these kinds, reach the server.

        WorldFailed when there is none.
        """
        with self._lock:
            if not self._pid:
                self._start()
            self._runs.add(run.id)
            door = self._open(run.id)
        secret = secret_of(self._state_dir, run.id, run.lease.token)
        place.replace_file(door / GRANT, "\n".join(children).encode())
        place.replace_file(door / ME, f"{run.id}~{run.lease.token}~{turn}~{secret}".encode())
        return relay_of(door)

    def _open(self, run: RunId) -> Path:
        """Give the server's socket a name in the folder of a run's door."""
        door = self._places.door(run)
        fresh = door / f".{SOCKET}.{secrets.token_hex(8)}"
        os.link(self._folder / SOCKET, fresh)
        fresh.replace(door / SOCKET)
        return door

    def _start(self) -> None:
        """Start a server; with the lock held."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = (sys.executable, "-I", "-X", "utf8", "-c", _RUN, str(_ROOT), "--state", str(self._state_dir))
        env = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        log_path = self._state_dir / "tools.log"
        asked = ("--socket", str(self._folder / SOCKET), "--calls-max", str(self._calls_max))
        pid = start_detached([*argv, *asked], env, log_path)
        until = time.monotonic() + START_S
        while not self._is_up(pid):
            if time.monotonic() >= until or os.waitpid(pid, os.WNOHANG)[0] == pid:
                raise WorldFailed(
                    f"the server of workers' tools does not start: see {log_path}", 'set hooks.mcp = "off"'
                )
            time.sleep(0.02)
        self._pid = pid
        threading.Thread(target=self._watch, args=(pid,), name="tools", daemon=True).start()

    def _is_up(self, pid: int) -> bool:
        try:
            return bool(msgspec.json.decode((self._folder / ABOUT).read_bytes())["pid"] == pid)
        except (OSError, msgspec.MsgspecError):
            return False

    def _watch(self, pid: int) -> None:
        """Start another server when this one ends, and open it to those who had the one before."""
        handle = os.pidfd_open(pid)
        try:
            select.select([handle], [], [])
        finally:
            os.close(handle)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        while not self._over.wait(AGAIN_S):
            with self._lock:
                try:
                    self._start()
                except GangerError as error:
                    log.warning("%s", error)
                    continue
                for run in list(self._runs):
                    try:
                        self._open(run)
                    except OSError:
                        self._runs.discard(run)
                return

    def close(self) -> None:
        """End the server."""
        self._over.set()
        with self._lock:
            if self._pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, 15)
