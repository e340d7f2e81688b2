"""The gateway of a fleet, kept running; what its turns are granted, and what they have spent by its own record."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import select
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from ganger import __version__
from ganger.core.effects import Limit as ProviderLimit
from ganger.core.facts import Run
from ganger.core.ids import RunId
from ganger.core.model import Usage
from ganger.drivers.background import start_detached
from ganger.drivers.port import Driver
from ganger.errors import GangerError, WorldFailed
from ganger.gateway.account import Account, Charged, Cost, Limit, Limited
from ganger.gateway.contact import About, ask, end
from ganger.gateway.desk import GRANT, LENT, RECORD, Grant, entries, key_for
from ganger.gateway.prices import Price
from ganger.jail.port import Way
from ganger.service import place
from ganger.service.places import Places

log = logging.getLogger("ganger.gateway")
SOCKET, PORT = "gateway.sock", "gateway.port"
KEY = "GANGER_MODEL_KEY"
"""Stands for the variable with the key of a turn, in the settings that its driver is given."""
START_S, AGAIN_S = 15.0, 1.0
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_ROOT = Path(__file__).parents[2]
_RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ganger.gateway.__main__ import main; main(sys.argv[1:])"


class Pass(Struct, frozen=True):
    """How a turn comes to its model."""

    settings: Mapping[str, str]
    """The driver's, with the gateway in the place of the provider."""
    keys: Mapping[str, str]
    """What the variables are worth that these settings name."""
    way: Way


class Metered:
    """The gateway, from the first turn that needs it on. Safe for threads."""

    def __init__(self, state_dir: Path, prices: Mapping[str, Price], keys: Mapping[str, str], lock: Path) -> None:
        """`keys` are the variables with the providers' keys that agents' settings name; `lock` is the supervisor's."""
        self._state_dir, self._prices, self._keys, self._lock_path = state_dir, prices, keys, lock
        self._places = Places(state_dir)
        self._socket = state_dir / SOCKET
        told = json.dumps([__version__, sorted(keys.items())]).encode()
        # Whoever reads this learns nothing of the keys: they are long and random.
        self._mark = hashlib.sha256(told).hexdigest()
        self._lock = threading.Lock()
        self._watched = 0
        self._over = threading.Event()
        self._lent: dict[RunId, tuple[int, Usage]] = {}
        """What the gateway was last told of each run's children, and in which turn."""

    def tell_lent(self, runs: Iterable[Run]) -> None:
        """Let the gateway know what is the children's of these runs by now, before any of those can spend it."""
        for run in runs:
            told = run.turn_speaking, run.lent
            folder = self._places.turn(run.id, run.turn_speaking)
            if run.children and self._lent.get(run.id) != told and (folder / GRANT).exists():
                place.replace_file(folder / LENT, msgspec.json.encode(Cost(run.lent.usd_micros, run.lent.tokens)))
                self._lent[run.id] = told

    def admit(self, run: Run, turn: int, driver: Driver, settings: Mapping[str, str], own: Price | None) -> Pass | None:
        """Grant a turn what is left of its run's reservation; None where the agent cannot be sent to a gateway.

        `own` is the price of the agent, for models that have none of their own. WorldFailed when there is no gateway.
        """
        api = driver.speaks(settings)
        if api is None:
            return None
        about = self.ensure()
        key = key_for(run.id, turn, secrets.token_urlsafe(24))
        named = settings.get("key_env", "")
        grant = Grant(
            run=run.id,
            turn=turn,
            key=key,
            api=api.name,
            upstream=_without(settings.get("base_url", ""), api.path),
            key_env=named,
            limit=left_of(run),
            lent=Cost(run.lent.usd_micros, run.lent.tokens),
            prices={"*": own, **self._prices} if own is not None else self._prices,
        )
        place.replace_file(self._places.turn(run.id, turn) / GRANT, msgspec.json.encode(grant))
        sent = {**settings, "base_url": f"http://127.0.0.1:{about.port}{api.path}", "key_env": KEY}
        return Pass(sent, {KEY: key}, Way(about.port, str(self._socket), f"{run.id}~{turn}"))

    def ensure(self) -> About:
        """See to it that the gateway runs; the one of an earlier supervisor goes on, unless its keys are others."""
        with self._lock:
            about = ask(self._socket)
            if about is not None and about.mark != self._mark:
                end(self._socket)
                about = None
            if about is None:
                about = self._started()
            if about.pid != self._watched:
                self._watched = about.pid
                threading.Thread(target=self._watch, args=(about.pid,), name="gateway", daemon=True).start()
            return about

    def _started(self) -> About:
        folder = self._state_dir
        argv = [sys.executable, "-I", "-X", "utf8", "-c", _RUN, str(_ROOT), "--runs", str(self._places.runs)]
        argv += ["--socket", str(self._socket), "--port", str(_port_before(folder)), "--mark", self._mark]
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        pid = start_detached([*argv, "--lock", str(self._lock_path)], env | dict(self._keys), folder / "gateway.log")
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            about = ask(self._socket)
            if about is not None and about.pid == pid:
                place.replace_file(folder / PORT, str(about.port).encode())
                return about
            if _has_ended(pid):
                break
            time.sleep(0.02)
        raise WorldFailed(f"the gateway does not start: see {folder / 'gateway.log'}", "pip install 'ganger[agents]'")

    def _watch(self, pid: int) -> None:
        """Start another gateway when this one ends while it is wanted."""
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                select.select([handle], [], [])
            finally:
                os.close(handle)
        _has_ended(pid)
        while not self._over.wait(AGAIN_S):
            try:
                self.ensure()
            except GangerError as error:
                log.warning("%s", error)
                continue
            return

    def close(self, *, workers_live: bool) -> None:
        """Let go of the gateway; it ends, unless workers go on that need it."""
        self._over.set()
        if self._watched and not workers_live:
            end(self._socket)


class Tally:
    """What a turn has spent, read on from where the last look ended."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD
        self._offset = 0
        self._part = b""
        self._account = Account(Limit())
        self._refused: ProviderLimit | None = None

    def follow(self) -> None:
        """Read what was added."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return
        self._offset += len(added)
        *lines, self._part = (self._part + added).split(b"\n")
        for entry in entries(lines):
            self._account.take(entry)
            if isinstance(entry, Limited):
                self._refused = ProviderLimit(entry.until_ms, entry.reason, entry.overload)
            elif isinstance(entry, Charged) and entry.cost.tokens:
                self._refused = None

    def usage(self, *, over: bool) -> Usage:
        """What it has spent: calls that have ended by what they used, open ones by nothing yet.

        When the turn is `over`, they count with the most: nobody will hear their answer.
        """
        spent = self._account.charged
        if over:
            spent = spent.plus(self._account.reserved)
        return Usage(usd_micros=spent.usd_micros, tokens=spent.tokens)

    @property
    def limit(self) -> ProviderLimit | None:
        """The provider's last refusal, unless it has answered again since."""
        return self._refused


def is_metered(folder: Path) -> bool:
    """Whether a turn was sent to the gateway: then only the gateway's record says what it spent."""
    return (folder / GRANT).exists()


def left_of(run: Run) -> Limit:
    """What is left of a run's reservation."""
    spent, reserved = run.drawn, run.reserved
    return Limit(
        max(reserved.usd_micros - spent.usd_micros, 0) if reserved.usd_micros else None,
        max(reserved.tokens - spent.tokens, 0) if reserved.tokens else None,
    )


def _without(address: str, path: str) -> str:
    """The address of a provider without what the API adds to it."""
    if not address:
        return ""
    parts = urlsplit(address.rstrip("/"))
    return urlunsplit(parts._replace(path=parts.path.removesuffix(path), query="", fragment=""))


def _port_before(folder: Path) -> int:
    """The port at which workers know the gateway; 0 before there was one."""
    try:
        port = int((folder / PORT).read_bytes())
    except (OSError, ValueError):
        return 0
    return port if 0 < port < 1 << 16 else 0


def _has_ended(pid: int) -> bool:
    """Whether a process has ended; a child of ours is then gone for good."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        return False
