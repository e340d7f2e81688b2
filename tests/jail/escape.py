"""A lab for attempts to escape: victims outside a jail, the attempts of `attacks.py` inside, and what was reached.

`python escape.py bubblewrap|sealed|landlock|none [open]` prints what came of each.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import attacks

from ganger.drivers.process import run_check
from ganger.jail import kernel
from ganger.jail.bounds import FROZEN
from ganger.jail.bubblewrap import Bubblewrap, found
from ganger.jail.choice import tools_for, version_of
from ganger.jail.landlock import Landlock
from ganger.jail.none import NoJail
from ganger.jail.port import Network, Reach

SECRET = "CANARY-7c1f"
LIBC = ctypes.CDLL(None, use_errno=True)
KNOWN = {"landlock": {"git_hook", "git_config", "git_config_replaced", "git_config_away", "git_hooks_away", "git_away"}}
"""What the tier's own text says it does not keep: the git configuration of the worker's own workspace."""


def jail_named(name, closed=()):
    """The jail of a mechanism."""
    tools = tools_for("/usr/bin:/bin", closed)
    abi = kernel.landlock_abi()
    if name == "bubblewrap":
        return Bubblewrap(found(), version_of(found()), tools, abi)
    return NoJail() if name == "none" else Landlock(tools, abi, seals=name == "sealed")


class Lab:
    """Victims, a bystander, listeners; all that is outside."""

    def __init__(self, root):
        self.root = root
        self.workspace, self.state, self.home = root / "ws", root / "state", root / "home"
        self.heard = []
        for folder in ("hooks", "objects"):
            (self.workspace / ".git" / folder).mkdir(parents=True)
        (self.workspace / ".git/config").write_text("[core]\n")
        (self.home / ".ssh").mkdir(parents=True)
        (self.home / ".ssh/id_ed25519").write_text(SECRET)
        (self.state / "runs/other.1").mkdir(parents=True)
        for name in ("journal.db", "door.secret", "runs/other.1/brief.md"):
            (self.state / name).write_text(SECRET)
        (root / "secret").write_text(SECRET)
        for name in attempts():
            if name.startswith(("hidden-", "shown-")):
                at = root / name.partition("-")[0] / name
                at.mkdir(parents=True)
                (at / "victim").write_text("untouched\n")
        self.bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.tag = f"ganger-{os.getpid()}-{root.name}"
        self.host_tmp = Path("/tmp", self.tag)
        self.listeners = [*self._listen(), self._datagrams()]
        self.shm = LIBC.shmget(os.getpid(), 16, 0o1600)

    def _listen(self):
        for family, address in ((socket.AF_UNIX, str(self.root / "sock")), (socket.AF_UNIX, f"\0{self.tag}"),
                                (socket.AF_INET6, ("::", 0))):  # fmt: skip
            handle = socket.socket(family, socket.SOCK_STREAM)
            if family == socket.AF_INET6:
                handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            handle.bind(address)
            handle.listen()
            threading.Thread(target=self._serve, args=(handle,), daemon=True).start()
            yield handle
        handle = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        handle.bind(f"\0{self.tag}-d")
        yield handle

    def _serve(self, handle):
        while True:
            try:
                connection, _ = handle.accept()
            except OSError:
                return
            self.heard.append(str(handle.family))
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2)
                connection.recv(16)  # closed at once, the other side may fail to send what it reached

    def _datagrams(self):
        handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        handle.bind(("127.0.0.1", 0))
        handle.setblocking(False)
        return handle

    def close(self):
        """Leave nothing behind."""
        self.bystander.kill()
        self.bystander.wait()
        for handle in self.listeners:
            handle.close()
        if self.shm >= 0:
            LIBC.shmctl(self.shm, 0, None)
        for left in (self.host_tmp, *(Path(folder, self.tag) for folder in ("/dev/shm", "/run", "/usr"))):
            left.unlink(missing_ok=True)

    def attack(self, mechanism, network=Network.none, *, harmless=False, frozen=True, jail=None):
        """Let all attempts be made in a jail; returns what each said, by name."""
        jail = jail or jail_named(mechanism, (self.home, self.state, self.root / "hidden"))
        about = {
            "root": str(self.root), "workspace": str(self.workspace), "attacks": str(Path(attacks.__file__).parent),
            "supervisor": os.getpid(), "bystander": self.bystander.pid, "secret": str(self.root / "secret"),
            "home": str(self.home), "state": str(self.state), "socket": str(self.root / "sock"),
            "abstract": self.tag, "port": self.listeners[2].getsockname()[1],
            "udp": self.listeners[-1].getsockname()[1], "address": _address(), "mapped": 0,
            "pids": mechanism == "bubblewrap", "own_loopback": mechanism in ("bubblewrap", "sealed"),
            "shm_key": os.getpid(), "shm_name": self.tag, "host_tmp": str(self.host_tmp), "harmless": harmless,
        }  # fmt: skip
        (self.workspace / "lab.json").write_text(json.dumps(about))
        git = self.workspace / ".git"
        reach = Reach(
            writable=(self.workspace, git),
            readable=(self.root / "shown", Path(attacks.__file__).parent),
            frozen=tuple(self.workspace / name for name in FROZEN) if frozen else (),
            network=network,
        )
        argv = ("/usr/bin/python3", "-B", attacks.__file__, "lab.json")
        if not os.path.exists(argv[0]):
            argv = (sys.executable, *argv[1:])
        kept = os.open(self.root / "shown", os.O_RDONLY)
        os.set_inheritable(kept, True)
        try:
            ended = run_check(argv, {"PATH": "/usr/bin:/bin"}, self.workspace, 120_000, self.root / "log", jail, reach)
        finally:
            os.close(kept)
        text = (self.root / "log").read_text()
        assert ended.code == 0, (ended, text[-2000:])
        return {row["name"]: row for row in map(json.loads, text.splitlines())}

    def seen(self):
        """Everything outside that an attempt could change, each with what it is like."""
        found = {"bystander": self.bystander.poll()}
        for top in ("hidden", "shown", "state", "home", "secret"):
            for path in (self.root / top, *sorted((self.root / top).rglob("*"))):
                found[str(path.relative_to(self.root))] = _like(path)
        for name in FROZEN:
            found[f"ws/{name}"] = _like(self.workspace / name)
        found["ws/.git"] = os.lstat(self.workspace / ".git").st_ino if (self.workspace / ".git").exists() else None
        found |= {f"ws/.git/hooks/{one.name}": "new" for one in (self.workspace / ".git/hooks").glob("*")}
        for place in (self.host_tmp, *(Path(folder, self.tag) for folder in ("/dev/shm", "/run", "/usr"))):
            found[str(place)] = place.exists()
        return found

    def datagrams(self):
        """What came through sockets that need no connection."""
        heard = []
        for handle in self.listeners[3:]:
            handle.setblocking(False)
            try:
                heard.append(handle.recv(100))
            except BlockingIOError:
                continue
        return heard


def _like(path):
    try:
        at = os.lstat(path)
    except FileNotFoundError:
        return None
    names = os.listxattr(path, follow_symlinks=False)
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    return at.st_mode, at.st_uid, at.st_gid, at.st_nlink, at.st_mtime_ns, at.st_size, content, tuple(names)


def _address():
    """An address of this machine that is not loopback; empty when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            handle.connect(("192.0.2.1", 9))
            return handle.getsockname()[0]
        except OSError:
            return ""


def attempts():
    """The names of all attempts."""
    names = []
    for place in ("hidden", "shown"):
        for spelling in attacks.SPELLINGS:
            step = 1 if spelling is attacks.absolute else 3 if place == "hidden" else 2
            names += [f"{place}-{spelling.__name__}-{write.__name__}" for write in attacks.WRITES[::step]]
    return names + [special.__name__ for special in attacks.SPECIALS]


def reached(before, after, said, heard):
    """What the attempts reached: changed things outside, secrets that they read, listeners that heard of them."""
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    told = {name for name, row in said.items() if "CANARY" in row["detail"] and row["what"] == "done"}
    return changed | told | {f"heard {one}" for one in heard}


def main():
    mechanism, network = sys.argv[1], Network(sys.argv[2] if len(sys.argv) > 2 else "none")
    lab = Lab(Path(tempfile.mkdtemp(prefix="escape-")))
    try:
        before = lab.seen()
        said = lab.attack(mechanism, network, harmless=mechanism == "none")
        for name, row in said.items():
            print(f"{row['what']:8} {name}: {row['detail'][:150]}")
        print(len(said), "attempts; reached:", sorted(reached(before, lab.seen(), said, lab.heard + lab.datagrams())))
    finally:
        lab.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
