"""A user's repository with a fleet of its own, driven through the real command line, and looked at from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GANGER = (sys.executable, "-m", "ganger")
QUICK = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "300ms"\nstop_grace = "300ms"\n'
"""`[recovery]` of a test: waits that a person would want are cut short."""


@dataclass(frozen=True)
class Done:
    """How a command ended; text with bytes that are not UTF-8 as surrogates."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return self.out + self.err


class Fleet:
    """A repository at `repo` with a `main` branch, its fleet's state at `state`, and a home that nobody else uses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo, self.state, self.home = root / "proj", root / "state", root / "home"
        self.shared = root / "shared"
        """What workers may write besides their own; `$shared` in their scripts."""
        for folder in (self.repo, self.home, self.shared, root / "tmp", root / "agents"):
            folder.mkdir(parents=True, exist_ok=True)
        self.items: list[str] = []
        self.agents: dict[str, str] = {}
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONHASHSEED") if name in os.environ}
        return kept | {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / ".state"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "TMPDIR": str(self.root / "tmp"),
            "GANGER_STATE": str(self.state),
            "GIT_CONFIG_NOSYSTEM": "1",
            "USER": "dana",
            "LOGNAME": "dana",
        }

    # The repository

    def git(self, *args: str, check: bool = True, at: Path | None = None, **env: str) -> str:
        """Run git as the user would, in the repository."""
        identity = ("-c", "user.name=Dana", "-c", "user.email=dana@example.org")
        done = subprocess.run(
            ["git", *identity, *args], cwd=at or self.repo, env=self.env | env, capture_output=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"git {args} exited {done.returncode}: {done.stderr.decode(errors='replace')}")
        return os.fsdecode(done.stdout).rstrip("\n")

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, text in files.items():
            path = self.repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    def commit(self, files: Mapping[str, str | bytes], message: str = "Change") -> str:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def begin(self, files: Mapping[str, str | bytes] | None = None) -> None:
        """Make the repository with a first commit on `main`."""
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit(files or {f"src/{name}.txt": f"{name}\n" for name in "abcdefghij"}, "Begin")

    def on_main(self, path: str) -> str | None:
        """The content of a file on the target; None when it is not there."""
        done = subprocess.run(
            ["git", "show", f"main:{path}"], cwd=self.repo, env=self.env, capture_output=True, check=False
        )
        return None if done.returncode else os.fsdecode(done.stdout)

    def landed_items(self) -> list[str]:
        """The items of the merge commits on `main`, oldest first: one for each landing."""
        printed = self.git(
            "log", "--first-parent", "--reverse", "--format=%(trailers:key=Ganger-Item,valueonly)", "main"
        )
        return [line for line in printed.splitlines() if line]

    # Configuration and plan

    def configure(
        self, *, checks: Mapping[str, str] | None = None, recovery: str = QUICK, fleet: str = "", more: str = ""
    ) -> None:
        """Write ganger.toml with the agents that were made; it is no part of a commit."""
        found = checks if checks is not None else {"unit": "true"}
        parts = [f'[fleet]\ntarget = "main"\n{fleet}', f"[recovery]\n{recovery}", more]
        if "[jail]" not in more:
            shown = f"readable = [{quoted(str(self.root / 'agents'))}]\nwritable = [{quoted(str(self.shared))}]\n"
            parts.append(f"[jail]\n{shown}")
        parts += [f"[checks.{name}]\nrun = {quoted(run)}\n" for name, run in found.items()]
        parts += [f'[agents.{name}]\ndriver = "command"\nrun = {quoted(run)}\n' for name, run in self.agents.items()]
        (self.repo / "ganger.toml").write_text("\n".join(parts))

    def shell_agent(self, name: str, script: str) -> None:
        """Make an agent that runs a shell script; it finds `$item` and a `commit MESSAGE` function."""
        path = self.root / "agents" / f"{name}.sh"
        path.write_text(f"shared={shlex.quote(str(self.shared))}\n{SHELL_HEAD}\n{script}\n")
        self.agents[name] = f"sh {shlex.quote(str(path))}"

    def item(self, name: str, *, agent: str = "default", scope: Iterable[str] = (), more: str = "") -> None:
        """Add an item to the plan."""
        patterns = ", ".join(quoted(pattern) for pattern in scope or (f"src/{name}.txt",))
        self.items.append(
            f"[[item]]\nid = {quoted(name)}\ntitle = {quoted('Do ' + name)}\nagent = {quoted(agent)}\n"
            f"scope = [{patterns}]\n{more}\n"
        )

    def plan(self, name: str = "plan") -> Path:
        """Write the plan of the items so far, outside the repository."""
        path = self.root / f"{name}.toml"
        checks = "" if "checks" in "".join(self.items) else 'checks = ["unit"]\n'
        path.write_text(f'[plan]\nid = {quoted(name)}\ntitle = "A night"\n{checks}\n' + "\n".join(self.items))
        return path

    # Commands

    def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        program: tuple[str, ...] = GANGER,
    ) -> subprocess.Popen[bytes]:
        """Start a command; whoever calls this waits for it, or else `close` ends it."""
        process = subprocess.Popen(
            [*program, *args],
            cwd=cwd or self.repo,
            env=self.env | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started = [*(one for one in self.started if one.returncode is None), process]
        return process

    def close(self) -> dict[int, str]:
        """End every process of the fleet; returns those that there were."""
        left = self.processes()
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            if process.returncode is None:
                process.communicate()
        return left

    def ganger(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
    ) -> Done:
        """Run a command to its end."""
        return ended(self.start(*args, env=env, cwd=cwd), timeout)

    def json(self, *args: str) -> dict[str, Any]:
        """What a command says with `--json`; its exit status does not matter."""
        done = self.ganger(*args, "--json")
        value = json.loads(done.out)
        assert isinstance(value, dict), done
        return value

    def statuses(self) -> dict[str, str]:
        """The status of every item."""
        return {item["id"]: item["status"] for item in self.json("plan", "board")["items"]}

    def runs(self, item: str) -> list[dict[str, Any]]:
        """The runs of an item, oldest first."""
        found: list[dict[str, Any]] = self.json("show", item)["runs"]
        return found

    def wait(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something holds, looking often."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to hold in time"
            time.sleep(0.03)

    def noted(self) -> list[int]:
        """The workers that wrote `$GANGER_RUN $$` into `$shared/pids`: their numbers out here, 0 for the ended."""
        path = self.shared / "pids"
        return [self._outside(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _outside(self, line: str) -> int:
        run, inside = line.split()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                numbers = Path(f"/proc/{pid}/status").read_text().partition("NSpid:")[2].split("\n")[0].split()
                if (
                    numbers[-1] == inside
                    and f"GANGER_RUN={run}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
                ):
                    return pid
        return 0

    # What must hold after any night

    def assert_sound(self) -> None:
        """The record holds, and nothing lives, lies about or borrows that should not."""
        verified, replayed = self.ganger("journal", "verify"), self.ganger("journal", "replay", "--check")
        assert verified.code == 0, verified
        assert replayed.code == 0, replayed
        assert not self.processes(), self.processes()
        places = self.state / "workspaces"
        assert not [place.name for place in places.iterdir()] if places.exists() else True
        assert not list((self.state / "scratch").iterdir()) if (self.state / "scratch").exists() else True
        assert not [lock for lock in (self.state / "hub.git").rglob("*.lock") if not lock.name.startswith("ganger-")]
        assert not list((self.repo / ".git").rglob("*.lock"))

    def hub_refs(self, prefix: str) -> dict[str, str]:
        """The hub's refs below a prefix, each with the kind of object it resolves to."""
        printed = self.git(
            "--git-dir", str(self.state / "hub.git"), "for-each-ref", "--format=%(refname) %(objecttype)", prefix
        )
        return dict(line.split(" ") for line in printed.splitlines())

    def processes(self) -> dict[int, str]:
        """Every living process that belongs to this fleet: by its environment, its directory, or what it has open."""
        return {pid: about for pid, about in everybody(str(self.root)).items() if pid != os.getpid()}


SHELL_HEAD = """\
item=${GANGER_RUN%.*}
commit() { git add --all && git -c user.name=a -c user.email=a@b.invalid commit --quiet -m "$1"; }
"""


def quoted(text: str) -> str:
    """The text as TOML writes it."""
    return json.dumps(text)


def ended(process: subprocess.Popen[bytes], timeout: float = 120) -> Done:
    """Wait for a command that was started."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end after {timeout} s: {os.fsdecode(out)}{os.fsdecode(err)}") from None
    return Done(process.returncode, os.fsdecode(out), os.fsdecode(err))


def everybody(root: str) -> dict[int, str]:
    """Living processes that name `root` in environment or command line, stand in it, or have a file of it open."""
    wanted = os.fsencode(root)
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                about = Path(f"/proc/{name}/cmdline").read_bytes()
                if _belongs(name, about, wanted):
                    found[int(name)] = os.fsdecode(about.replace(b"\0", b" "))
    return found


def _belongs(pid: str, about: bytes, wanted: bytes) -> bool:
    if Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
        return False
    if wanted in about or wanted in Path(f"/proc/{pid}/environ").read_bytes():
        return True
    links = [f"/proc/{pid}/cwd", *(f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))]
    return any(wanted in os.fsencode(link) for link in _targets(links))


def _targets(links: Iterable[str]) -> Iterator[str]:
    for link in links:
        with contextlib.suppress(OSError):
            yield os.readlink(link)


def tree_digest(top: Path, leave_out: Callable[[str], bool] = lambda name: False) -> dict[str, str]:
    """Every file, link and folder below `top` with its mode and a digest of its content."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            shown = os.fsdecode(os.path.relpath(path, os.fsencode(top)))
            if leave_out(shown):
                continue
            status = os.lstat(path)
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = Path(os.fsdecode(path)).read_bytes()
            else:
                content = b""
            found[shown] = f"{status.st_mode:o} {hashlib.sha256(content).hexdigest()}"
    return found
