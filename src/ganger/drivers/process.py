"""Starting, recognising and stopping the processes of workers and checks: the supervisor's side of `jail/reaper.py`.

Every program runs under a shim of its own that outlives the supervisor, reaps whatever the program leaves, and tells
in a file how it ended. What is kept of it is its `WorkerId`, its marker, and the path of that file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.core.model import WorkerId
from ganger.drivers.process_table import (
    REAPER,
    as_worker,
    born_ms,
    cpu_ms,
    find,
    identify,
    is_alive,
    kill_trees,
    monotonic_ms,
    pidfd,
    slept_ms,
    sweep,
    tell,
    wait,
)
from ganger.errors import WorldFailed
from ganger.jail import rights
from ganger.jail.marks import MARK
from ganger.jail.port import Confined, Jail, Reach

__all__ = [
    "MARK",
    "Exit",
    "ProcessSpec",
    "born_ms",
    "clean_env",
    "cpu_ms",
    "exit_of",
    "find",
    "is_alive",
    "monotonic_ms",
    "pidfd",
    "run_check",
    "slept_ms",
    "start",
    "stop",
    "sweep",
    "wait",
]

OUTPUT_MAX = 64 * 1024 * 1024
STOP_MARGIN_MS = 4_000
"""How much longer than its grace a shim may take to end its tree before it is killed itself."""
CHECK_MARGIN_MS = 20_000
EXIT_BYTES_MAX = 64 * 1024
KEPT_ENV = ("PATH", "HOME", "LANG", "LC_*", "TZ")
NEVER_KEPT = re.compile(
    r"(GIT|LD|DYLD|SSH|GPG|GANGER|AWS|DOCKER|DBUS|BASH_FUNC)_.*|PYTHON.*|(BASH_)?ENV|IFS|SHELLOPTS|PS4"
    r"|.*(TOKEN|KEY|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|COOKIE|SESSION).*",
    re.IGNORECASE,
)


# An imported module is compiled once, a script each time it runs: that would be a fifth of the shim's start.
_RUN_REAPER = (
    "import sys; sys.path.append(sys.argv[1].rsplit('/', 3)[0]); from ganger.jail import reaper; reaper.main()"
)


class ProcessSpec(Struct, frozen=True):
    """A program to start, and what becomes of what it prints."""

    argv: tuple[str, ...]
    env: dict[str, str]
    """The whole environment; only `GANGER_MARK` is added."""
    cwd: Path
    output_path: Path
    """Standard output and error, appended; a new file is readable by its owner only."""
    exit_path: Path
    """Where the shim tells how it ended; see `exit_of`."""
    marker: str
    """Tells all processes of this turn from all others, for example `login.2:17`."""
    stdin_path: Path | None = None
    keep_errors: bool = True
    """Whether standard error is kept too; otherwise it is dropped."""
    grace_ms: int = 5_000
    timeout_ms: int = 0
    """0: none."""
    output_max: int = OUTPUT_MAX
    """Bytes of output that are kept; the rest is read and dropped."""
    reach: Reach = Reach()
    umask: int = 0o077
    tied: bool = False
    """Stop the program when the thread that started it, or the launcher, ends, instead of outliving it."""


class Exit(Struct, frozen=True):
    """How a program ended, as its shim saw it."""

    code: int | None
    """None when a signal ended it, or when it could not be started (`fault`)."""
    signal: int | None
    timed_out: bool
    stopped: bool
    """Somebody asked for its end before it came."""
    started_ms: int
    ended_ms: int
    cpu_ms: int
    max_rss_kib: int
    """The largest resident size of one of its processes; about 9 MiB at least, which is the shim's before the exec."""
    survivors_killed: int
    """Processes it left behind, which were killed."""
    output_dropped: int
    """Bytes it printed that were not kept."""
    left: int
    """Processes that could not be killed; anything but 0 wants a person."""
    fault: str
    """Why the kernel would not execute it; empty when it did."""


def start(spec: ProcessSpec, jail: Jail) -> WorkerId:
    """Start a program under a shim of its own and return the shim's identity. It outlives this process.

    The launcher makes the shim where this process has one (`rights`); LauncherGone when that has ended. WorldFailed
    when the program does not exist, may not be executed or is out of the jail's sight, or the shim cannot be started.
    A record of an earlier end at `exit_path` is moved aside (`….old`), so that it cannot be taken for this one's.
    """
    # The program itself must exist, not only the jail's that is started in its place.
    program = _program(spec.argv, spec)
    if not jail.sees(program, spec.reach):
        raise WorldFailed(
            f"cannot start {spec.argv[0]}: {program} is not to be seen from inside the jail ({jail.tier})",
            "name its folder in [jail] readable, or put the program where PATH leads",
        )
    confined = jail.confine(spec.argv, spec.reach)
    launcher = rights.launcher()
    parent = os.getpid() if launcher is None else launcher.pid
    shim_spec = _shim_spec(spec, confined, _program(confined.argv, spec), parent)
    with suppress(FileNotFoundError):
        spec.exit_path.replace(spec.exit_path.with_name(spec.exit_path.name + ".old"))
    try:
        with tempfile.TemporaryFile(dir=spec.exit_path.parent) as file:
            file.write(shim_spec)
            file.seek(0)
            if launcher is not None:
                return as_worker(*launcher.start(file.fileno(), spec.marker, spec.output_path))
            pid = _spawn_shim(file.fileno(), spec)
    except OSError as error:
        raise WorldFailed(f"cannot start {spec.argv[0]}: {error}") from error
    worker = identify(pid)
    if worker is None:
        raise WorldFailed(f"cannot start {spec.argv[0]}: process {pid} was reaped by somebody else")
    return worker


def _shim_spec(spec: ProcessSpec, confined: Confined, program: str, parent: int) -> bytes:
    fields = {
        "program": program,
        "argv": confined.argv,
        "wall": msgspec.to_builtins(confined.wall),
        "env": spec.env | {MARK: spec.marker},
        "cwd": str(spec.cwd),
        "stdin_path": None if spec.stdin_path is None else str(spec.stdin_path),
        "output_path": str(spec.output_path),
        "keep_errors": spec.keep_errors,
        "exit_path": str(spec.exit_path),
        "grace_ms": spec.grace_ms,
        "timeout_ms": spec.timeout_ms,
        "output_max": spec.output_max,
        "umask": spec.umask,
        "parent": parent if spec.tied else 0,
    }
    return json.dumps(fields).encode()


def _spawn_shim(spec_fd: int, spec: ProcessSpec) -> int:
    # No subprocess.Popen: it warns when it is forgotten while its process lives, and that is what happens here.
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _RUN_REAPER, str(REAPER)],
        # /proc/PID/environ keeps this for as long as the shim lives, for the worker to read: no secrets.
        {MARK: spec.marker},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, spec_fd, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, spec.output_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600),
        ],
        setsigmask=(),
        setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP),
    )


def _program(argv: Sequence[str], spec: ProcessSpec) -> str:
    """Find the file that `argv` starts, by the environment and directory it will have; WorldFailed if there is none."""
    if not spec.cwd.is_dir():
        raise WorldFailed(f"cannot start a program in {spec.cwd}: there is no such directory")
    if not argv or not argv[0]:
        raise WorldFailed("cannot start a program without a name")
    if any("\0" in text for text in (*argv, *spec.env, *spec.env.values())):
        raise WorldFailed(f"cannot start {argv[0]!r}: an argument or the environment holds a NUL character")
    name = argv[0]
    found = shutil.which(str(spec.cwd / name) if "/" in name else name, path=spec.env.get("PATH", os.defpath))
    if found is not None:
        return str(Path(spec.cwd, found))
    path = spec.cwd / name
    if "/" in name and path.exists():
        raise WorldFailed(f"cannot start {name}: it is not an executable file")
    where = "" if "/" in name else f" on PATH ({spec.env.get('PATH', os.defpath)})"
    raise WorldFailed(f"cannot start {name}: there is no such program{where}")


def exit_of(exit_path: Path) -> Exit | None:
    """Read how a program ended; None while it runs, when its shim died without telling, or if it is no such record.

    A shim that is not alive and has left no record was killed: the end is unknown, and survivors need a `sweep`.
    """
    try:
        with exit_path.open("rb") as file:
            return msgspec.json.decode(file.read(EXIT_BYTES_MAX), type=Exit)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def stop(worker: WorkerId, grace_ms: int, marker: str = "") -> None:
    """Stop a worker and everything it started; returns when nothing of it is left.

    The tree is asked to end, killed after `grace_ms` (or the grace of its spec, if that is shorter), and if the shim
    does not manage that, it is killed too. With `marker`, what a shim that died before has left is also swept.
    """
    tell(worker, signal.SIGTERM)
    if not wait(worker, grace_ms):
        tell(worker, signal.SIGINT)
        if not wait(worker, STOP_MARGIN_MS):
            kill_trees(lambda: [worker.pid] if is_alive(worker) else [])
    if marker:
        sweep(marker)


def run_check(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    timeout_ms: int,
    output_path: Path,
    jail: Jail,
    reach: Reach | None = None,
) -> Exit:
    """Run a program to its end, or to its time limit, and leave nothing of it running.

    How it ended is also kept beside `output_path`, as `….exit.json`. The program ends with the calling thread, or the
    launcher, should that die. WorldFailed when it cannot be started, or its end could not be observed: nothing follows
    from that.
    """
    exit_path = output_path.with_name(output_path.name + ".exit.json")
    marker = f"check:{output_path}"
    spec = ProcessSpec(
        argv=tuple(argv),
        env=dict(env),
        cwd=cwd,
        output_path=output_path,
        exit_path=exit_path,
        marker=marker,
        grace_ms=0,
        timeout_ms=timeout_ms,
        reach=reach or Reach(),
        # A check must see the permissions that it would see in a person's shell.
        umask=0o022,
        tied=True,
    )
    worker = start(spec, jail)
    try:
        wait(worker, timeout_ms + CHECK_MARGIN_MS if timeout_ms else 2**31 - 1)
    finally:
        if is_alive(worker):
            stop(worker, 0, marker)
    launcher = rights.launcher()
    if launcher is not None and launcher.is_gone:
        raise launcher.gone()
    ended = exit_of(exit_path)
    if ended is None:
        sweep(marker)
        raise WorldFailed(f"cannot tell how the check {argv[0]} ended: its shim was killed")
    return ended


def clean_env(base: Mapping[str, str], keep: Sequence[str] = KEPT_ENV) -> dict[str, str]:
    """Make the environment of a worker from `base`: what `keep` names (`*` matches anything), and `TERM=dumb`.

    Of PATH only absolute entries stay: another would let a repository bring its own `git`. Names that carry secrets
    or steer other programs (tokens, keys, `GIT_*`, `PYTHON*`, `LD_*`, …) never pass, not even when `keep` names them.
    """
    env = {
        name: value
        for name, value in base.items()
        if any(fnmatchcase(name, pattern) for pattern in keep) and not NEVER_KEPT.fullmatch(name)
    }
    if "PATH" in env:
        env["PATH"] = os.pathsep.join(entry for entry in env["PATH"].split(os.pathsep) if entry.startswith("/"))
    env["TERM"] = "dumb"
    return env
