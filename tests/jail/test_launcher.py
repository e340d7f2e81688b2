"""The launcher: what it starts is as if the supervisor had, whoever of the two dies; and it lands, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_reaper import ALL, SHAPES, assert_nothing_left, living, spec_of

import ganger
from ganger.drivers import process
from ganger.drivers.process import ProcessSpec, run_check
from ganger.errors import LauncherGone, WorldFailed
from ganger.jail import kernel, lander, rights
from ganger.jail.landlock import ABI_MIN
from ganger.jail.none import NoJail
from ganger.jail.rights import Launcher, Terms

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the launcher is for what Linux has")
walled = pytest.mark.skipif(kernel.landlock_abi() < ABI_MIN, reason="there is no Landlock here")
SOURCE = str(Path(ganger.__file__).parents[1])
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
OLD, NEW = "1" * 40, "a" * 40


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with rights.launching() as found:
        yield found


def spec(at: Path, *argv: str, **options: object) -> ProcessSpec:
    fields = {
        **{"argv": argv, "env": PATH, "cwd": at, "output_path": at / "output", "exit_path": at / "exit.json"},
        **{"marker": f"login.2:{at}", "grace_ms": 500},
    }
    return ProcessSpec(**(fields | options))  # type: ignore[arg-type]


def eventually(question: Callable[[], object], within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < until
        time.sleep(0.005)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


LOOK = """
import json, os, signal
print(json.dumps({
    "env": dict(os.environ), "fds": sorted(os.listdir("/proc/self/fd")), "cwd": os.getcwd(),
    "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "umask": os.umask(0), "session": os.getsid(0) == os.getpid(),
    "args": __import__("sys").argv[1:],
}))
"""  # noqa: E501


def test_a_program_finds_the_same_with_and_without_a_launcher(tmp_path: Path) -> None:
    """Environment, descriptors, signals, mask, directory, session: the launcher leaves no trace in what it starts."""
    os.environ["GANGER_SECRET_OF_TEST"] = "x"
    handle = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(handle, True)
    argv = (sys.executable, "-I", "-S", "-c", LOOK, "an argument", "--ganger")
    try:
        seen = []
        for _ in range(2):
            (tmp_path / "output").unlink(missing_ok=True)
            worker = process.start(spec(tmp_path, *argv), NoJail())
            assert process.wait(worker, 20_000)
            seen.append(json.loads((tmp_path / "output").read_text()))
            if len(seen) == 1:
                made = rights.started()
                rights._own.append(made)
    finally:
        rights._own.clear()
        made.close()
        os.close(handle)
        del os.environ["GANGER_SECRET_OF_TEST"]
    assert seen[0] == seen[1]
    assert set(seen[1]["env"]) <= {"PATH", "GANGER_MARK", "LC_CTYPE"}
    assert len(seen[1]["fds"]) == 4 and seen[1]["session"]


def test_a_shim_is_known_by_its_mark_and_start(tmp_path: Path, launcher: Launcher) -> None:
    first = process.start(spec(tmp_path, "sleep", "100"), NoJail())
    marker = f"login.2:{tmp_path}"
    assert parent_of(first.pid) == launcher.pid
    assert process.find(marker) == first and process.is_alive(first)
    assert process.find(marker + "1") is None and process.find(marker[:-1]) is None
    environ = Path(f"/proc/{first.pid}/environ").read_bytes().rstrip(b"\0")
    assert environ == b"GANGER_MARK=" + os.fsencode(marker)
    process.stop(first, 100)
    assert process.find(marker) is None and not process.is_alive(first)
    ended = process.exit_of(tmp_path / "exit.json")
    assert ended is not None and (ended.stopped, ended.left) == (True, 0)
    eventually(lambda: not Path(f"/proc/{first.pid}").exists())


def test_the_longest_marker_fits_and_a_longer_one_is_refused(tmp_path: Path, launcher: Launcher) -> None:
    worker = process.start(spec(tmp_path, "sleep", "100", marker="m" * 8_192), NoJail())
    assert process.find("m" * 8_192) == worker
    process.stop(worker, 0)
    with pytest.raises(WorldFailed, match="marker is too long"):
        process.start(spec(tmp_path, "sleep", "100", marker="m" * 8_193), NoJail())


def test_what_cannot_be_started_is_told(tmp_path: Path, launcher: Launcher) -> None:
    with pytest.raises(WorldFailed, match=r"cannot start true: No such file or directory: .*/missing/output"):
        process.start(spec(tmp_path, "true", output_path=tmp_path / "missing/output"), NoJail())
    (tmp_path / "broken").write_text("#!/missing\n")
    (tmp_path / "broken").chmod(0o755)
    ended = run_check(("./broken",), PATH, tmp_path, 5_000, tmp_path / "log", NoJail())
    assert "No such file" in ended.fault
    assert run_check(("true",), PATH, tmp_path, 5_000, tmp_path / "log", NoJail()).code == 0


@pytest.mark.parametrize("shape", ALL)
def test_nothing_is_left_of_what_it_started(shape: str, tmp_path: Path, launcher: Launcher) -> None:
    tag = f"shape-{tmp_path.name}-{os.getpid()}-{time.monotonic_ns()}"
    worker = process.start(spec_of(shape, tag, "stay", tmp_path), NoJail())
    eventually(lambda: b"ready" in (tmp_path / "output").read_bytes())
    assert living(tag)
    process.stop(worker, 200)
    assert_nothing_left(tag, worker, within_s=0)


@pytest.mark.parametrize("shape", ["daemon", "refork", "storm"])
def test_a_sweep_through_it_ends_what_a_killed_shim_left(shape: str, tmp_path: Path, launcher: Launcher) -> None:
    tag = f"shape-{tmp_path.name}-{os.getpid()}-{time.monotonic_ns()}"
    worker = process.start(spec_of(shape, tag, "stay", tmp_path), NoJail())
    eventually(lambda: b"ready" in (tmp_path / "output").read_bytes())
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(worker, 1_000)
    assert process.sweep(f"{tag}:1") >= 1
    assert_nothing_left(tag, worker, within_s=0)


SUPERVISOR = f"""
import os, sys, time
sys.path.insert(0, {SOURCE!r})
from pathlib import Path
from ganger.drivers import process
from ganger.drivers.process import ProcessSpec
from ganger.jail import rights
from ganger.jail.none import NoJail
launcher = rights.keep_launcher()
at = Path(sys.argv[1])
for name, tied in (("free", False), ("tied", True)):
    (at / name).mkdir()
    spec = ProcessSpec(("sleep", "500"), {{"PATH": "/usr/bin:/bin"}}, at, at / name / "output", at / name / "exit.json",
                       f"{{name}}:{{at}}", tied=tied, grace_ms=200)
    worker = process.start(spec, NoJail())
    print(worker.pid, flush=True)
print(launcher.pid, flush=True)
time.sleep(500)
"""


@pytest.mark.parametrize("how", ["killed", "interrupted", "terminated"])
def test_when_the_supervisor_ends_workers_go_on_and_the_rest_does_not(how: str, tmp_path: Path) -> None:
    numbers = {"killed": signal.SIGKILL, "interrupted": signal.SIGINT, "terminated": signal.SIGTERM}
    argv = [sys.executable, "-c", SUPERVISOR, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0) as supervisor:
        assert supervisor.stdout is not None
        free, tied, launcher = (int(supervisor.stdout.readline()) for _ in range(3))
        # A Ctrl-C reaches the whole group of the terminal: the launcher must still be there for what follows.
        os.killpg(supervisor.pid, numbers[how])
    eventually(lambda: not is_there(launcher) and not is_there(tied), 5)
    ended = process.exit_of(tmp_path / "tied/exit.json")
    assert ended is not None and ended.stopped
    found = process.find(f"free:{tmp_path}")
    assert found is not None and found.pid == free and process.is_alive(found)
    process.stop(found, 100, f"free:{tmp_path}")
    assert not is_there(free)


ASKING = f"""
import os, sys, threading, time
sys.path.insert(0, {SOURCE!r})
from pathlib import Path
from ganger.drivers import process
from ganger.drivers.process import ProcessSpec
from ganger.jail import rights
from ganger.jail.none import NoJail
launcher = rights.keep_launcher()
launcher.marked("")
at = Path(sys.argv[1])
print(launcher.pid, flush=True)
sys.stdin.readline()
spec = ProcessSpec(("sleep", "500"), {{}}, at, at / "output", at / "exit.json", f"late:{{at}}")
threading.Thread(target=lambda: process.start(spec, NoJail()), daemon=True).start()
time.sleep(0.5)
print("asked", flush=True)
time.sleep(500)
"""


def test_what_a_killed_supervisor_asked_for_last_is_not_begun(tmp_path: Path) -> None:
    """Its successor looks for the worker, finds none and starts one: a second must not come after that."""
    argv = [sys.executable, "-c", ASKING, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdin is not None and supervisor.stdout is not None
        launcher = int(supervisor.stdout.readline())
        os.kill(launcher, signal.SIGSTOP)
        supervisor.stdin.write(b"go\n")
        supervisor.stdin.flush()
        assert supervisor.stdout.readline() == b"asked\n"
        supervisor.kill()
    os.kill(launcher, signal.SIGCONT)
    eventually(lambda: not is_there(launcher), 5)
    found = process.find(f"late:{tmp_path}")
    if found is not None:
        process.stop(found, 0)
    assert found is None and not (tmp_path / "output").exists()


def test_it_does_not_hear_requests_to_end(tmp_path: Path, launcher: Launcher) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(launcher.pid, number)
    assert run_check(("true",), PATH, tmp_path, 5_000, tmp_path / "log", NoJail()).code == 0
    assert not launcher.is_gone


def test_its_death_is_an_error_of_its_own_and_the_workers_go_on(tmp_path: Path) -> None:
    made = Launcher()
    rights._own.append(made)
    try:
        worker = process.start(spec(tmp_path, "sleep", "100"), NoJail())
        os.kill(made.pid, signal.SIGKILL)
        eventually(lambda: made.is_gone)
        with pytest.raises(LauncherGone, match="has ended, and without it there is no going on"):
            process.start(spec(tmp_path, "true", output_path=tmp_path / "other"), NoJail())
        assert process.is_alive(worker)
    finally:
        rights._own.remove(made)
        made.close()
    process.stop(worker, 0)


def test_a_check_that_its_death_ends_has_not_failed(tmp_path: Path) -> None:
    """The check is told to stop like one whose time is over: nobody may take that for a verdict."""
    made = Launcher()
    rights._own.append(made)
    killer = f"sleep 0.3; kill -9 {made.pid}; sleep 100"
    try:
        with pytest.raises(LauncherGone):
            run_check(("sh", "-c", killer), PATH, tmp_path, 60_000, tmp_path / "log", NoJail())
    finally:
        rights._own.remove(made)
        made.close()


# Landings


def terms(at: Path, *git: str) -> Terms:
    common = str((at / "repo/.git").resolve())
    (at / "repo/.git").mkdir(parents=True, exist_ok=True)
    git = git or ("/bin/sh", "-c", 'echo "$0 $*"; echo "$GIT_REFLOG_ACTION" >&2; exit 3')
    return Terms(git, {"PATH": "/usr/bin:/bin"}, f"{at}/hub.git", common, "main", "refs/ganger/landing")


STEPS = [
    (f"update-ref -m|ganger: land 0123|refs/heads/main {NEW} {OLD}", True),
    (f"update-ref -m|ganger: land 0123|refs/heads/other {NEW} {OLD}", False),
    (f"update-ref -m|why|refs/heads/main {NEW} {OLD}", False),
    (f"update-ref refs/heads/main {NEW} {OLD}", False),
    (f"update-ref -m|ganger: land 0123|refs/heads/main {NEW}", False),
    (f"update-ref -m|ganger: land 0123|refs/heads/main HEAD {OLD}", False),
    ("update-ref -d refs/ganger/landing", True),
    ("update-ref -d refs/heads/main", False),
    ("update-ref --stdin", False),
    (f"merge --ff-only --no-autostash --no-stat --quiet --no-overwrite-ignore {NEW}", True),
    ("merge --ff-only --no-autostash --no-stat --quiet --no-overwrite-ignore topic", False),
    (f"merge --no-autostash --no-stat --quiet --no-overwrite-ignore {NEW}", False),
    (f"reset --hard {NEW}", False),
    ("clean -fdx", False),
    ("gc", False),
    (f"-c core.hooksPath=x update-ref -m|ganger: land 0123|refs/heads/main {NEW} {OLD}", False),
    ("status --porcelain=v1 -z --untracked-files=no --no-renames --ignore-submodules=dirty", True),
    ("status", False),
]


@pytest.mark.parametrize(("line", "allowed"), STEPS)
def test_only_steps_of_a_landing_are_carried_out(line: str, allowed: bool, tmp_path: Path, launcher: Launcher) -> None:
    words, *rest = line.split("|")
    args = words.split(" ") + ([rest[0], *rest[1].split(" ")] if rest else [])
    launcher.agree(terms(tmp_path))
    assert launcher.lands(args) == allowed
    if allowed:
        code, out, err = launcher.git(args, tmp_path / "repo", "ganger: land 0123", 10)
        assert (code, out.decode().split()[-1], err) == (3, args[-1], b"ganger: land 0123\n")
    else:
        with pytest.raises(OSError, match="that is no step of a landing"):
            launcher.git(args, tmp_path / "repo", "", 10)


def test_a_landing_stays_in_its_repository(tmp_path: Path, launcher: Launcher) -> None:
    launcher.agree(terms(tmp_path))
    args = ("update-ref", "-d", "refs/ganger/landing")
    linked, foreign, other = tmp_path / "linked", tmp_path / "foreign", tmp_path / "other"
    (tmp_path / "repo/.git/worktrees/linked").mkdir(parents=True)
    for folder, text in ((linked, "repo/.git/worktrees/linked"), (foreign, "other/.git/worktrees/x")):
        folder.mkdir()
        (folder / ".git").write_text(f"gitdir: {tmp_path}/{text}\n")
    (other / ".git").mkdir(parents=True)
    (tmp_path / "dressed").symlink_to(other)
    for folder, is_its in ((tmp_path / "repo", True), (linked, True), (foreign, False), (other, False)):
        if is_its:
            assert launcher.git(args, folder, "", 10)[0] == 3
        else:
            with pytest.raises(OSError, match="that is no step of a landing"):
                launcher.git(args, folder, "", 10)
    for folder in (tmp_path / "dressed", tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError, match="that is no step of a landing"):
            launcher.git(args, folder, "", 10)


def test_the_terms_are_settled_once(tmp_path: Path, launcher: Launcher) -> None:
    args = ("update-ref", "-d", "refs/ganger/landing")
    with pytest.raises(OSError, match="that is no step of a landing"):
        launcher.git(args, tmp_path, "", 10)
    launcher.agree(terms(tmp_path))
    with pytest.raises(OSError, match="the terms of landings are settled"):
        launcher.agree(terms(tmp_path, "/bin/echo"))
    assert launcher.git(args, tmp_path / "repo", "", 10)[0] == 3


def test_a_git_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path, launcher: Launcher) -> None:
    tag = f"late-{tmp_path.name}-{os.getpid()}-{time.monotonic_ns()}"
    launcher.agree(terms(tmp_path, "/bin/sh", "-c", f"sleep 500 & exec {sys.executable} {SHAPES} deaf {tag} stay"))
    with pytest.raises(TimeoutError):
        launcher.git(("update-ref", "-d", "refs/ganger/landing"), tmp_path / "repo", "", 0.3)
    eventually(lambda: not living(tag), 5)


def test_what_a_git_started_does_not_outlive_it_when_both_are_to_end(tmp_path: Path, launcher: Launcher) -> None:
    tag = f"late-{tmp_path.name}-{os.getpid()}-{time.monotonic_ns()}"
    deaf = f'trap "" TERM; exec {sys.executable} {SHAPES} double_fork {tag} stay'
    launcher.agree(terms(tmp_path, "/bin/sh", "-c", f"({deaf}) & exec sleep 500"))
    with pytest.raises(TimeoutError):
        launcher.git(("update-ref", "-d", "refs/ganger/landing"), tmp_path / "repo", "", 1)
    eventually(lambda: not living(tag), 5)


def test_a_git_that_a_signal_ends_is_told_so(tmp_path: Path, launcher: Launcher) -> None:
    launcher.agree(terms(tmp_path, "/bin/sh", "-c", "kill -9 $$"))
    assert launcher.git(("update-ref", "-d", "refs/ganger/landing"), tmp_path / "repo", "", 10)[0] == -9


@pytest.mark.parametrize("text", [b"{", b"[]", b"7", b"{}", b'{"do": "rm"}', b'{"do": "start"}', b'{"do": "end"}'])
def test_what_is_no_request_is_answered_and_changes_nothing(text: bytes, tmp_path: Path, launcher: Launcher) -> None:
    launcher._channel.send(text)
    assert "fault" in json.loads(launcher._channel.recv(4_096))
    before = sorted(os.listdir(f"/proc/{launcher.pid}/fd"))
    with open("/dev/null") as file:
        socket.send_fds(launcher._channel, [text], [file.fileno()] * 3)
        assert "fault" in json.loads(launcher._channel.recv(4_096))
    assert sorted(os.listdir(f"/proc/{launcher.pid}/fd")) == before
    assert len(before) <= 6, [os.readlink(f"/proc/{launcher.pid}/fd/{fd}") for fd in before]
    assert run_check(("true",), PATH, tmp_path, 5_000, tmp_path / "log", NoJail()).code == 0


def test_shapes_are_whole_lines() -> None:
    """A line break, or words before or after, is no way around."""
    where = {"hub": "/h", "common_dir": "/c", "branch": "main", "holds": "refs/ganger/landing"}
    good = ["merge", "--ff-only", "--no-autostash", "--no-stat", "--quiet", "--no-overwrite-ignore", NEW]
    assert lander.is_landing(where, good)
    for bad in ([*good, "x"], good[:-1], [*good[:-1], NEW + "\n"], [*good[:-1], "-" + NEW], ["-p", *good]):
        assert not lander.is_landing(where, bad)


# Rights

VANDAL = f"""
import errno, os, shutil, sys, tempfile, threading
sys.path.insert(0, {SOURCE!r})
from pathlib import Path
from ganger.jail import rights
own, theirs = Path(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3] == "walled":
    rights.give_up(own)

def tried(what, action):
    try:
        action()
        print(what, "done")
    except OSError as error:
        print(what, errno.errorcode[error.errno])

def every(place):
    tried("overwrite", lambda: (place / "file").write_text("x"))
    tried("append", lambda: open(place / "file", "a").close())
    tried("cut off", lambda: os.truncate(place / "file", 0))
    tried("new", lambda: (place / "new").write_text("x"))
    tried("unlink", lambda: (place / "file").unlink())
    tried("rename", lambda: (place / "other").rename(place / "moved"))
    tried("folder", lambda: (place / "made").mkdir())
    tried("link", lambda: (place / "link").symlink_to("/"))
    tried("hard", lambda: os.link(place / "third", place / "hard"))
    tried("remove", lambda: shutil.rmtree(place / "full"))
    tried("fifo", lambda: os.mkfifo(place / "fifo"))

every(theirs)
thread = threading.Thread(target=lambda: tried("thread", lambda: (theirs / "by-thread").write_text("x")))
thread.start()
thread.join()
tried("child", lambda: os.waitpid(os.posix_spawn("/bin/touch", ["touch", str(theirs / "by-child")], {{}}), 0))
tried("move out", lambda: (own / "fourth").rename(theirs / "fourth"))
tried("move in", lambda: (theirs / "other").rename(own / "taken"))
tried("read", lambda: (theirs / "file").read_text() if (theirs / "file").exists() else None)
tried("null", lambda: open("/dev/null", "w").close())
tried("temporary", lambda: tempfile.NamedTemporaryFile().close())
print("OWN")
every(own)
tried("across", lambda: (own / "moved").rename(own / "made/moved"))
"""


def vandalised(tmp_path: Path, how: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
    for name in ("own", "theirs"):
        (tmp_path / name / "full/inner").mkdir(parents=True)
        for file in ("file", "other", "third", "fourth", "full/inner/file"):
            (tmp_path / name / file).write_text("precious")
    argv = [sys.executable, "-c", VANDAL, str(tmp_path / "own"), str(tmp_path / "theirs"), how]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": "/tmp"})
    assert done.returncode == 0, done.stderr
    theirs, own = done.stdout.split("OWN\n")
    left = sorted(str(path.relative_to(tmp_path / "theirs")) for path in (tmp_path / "theirs").rglob("*"))
    return _became(theirs), _became(own), left


def _became(lines: str) -> dict[str, str]:
    return {what: became for what, _, became in (line.rpartition(" ") for line in lines.splitlines())}


@walled
def test_who_has_given_up_rights_writes_only_at_home(tmp_path: Path) -> None:
    theirs, own, left = vandalised(tmp_path, "walled")
    allowed = {what for what, became in theirs.items() if became == "done"}
    assert allowed == {"child", "read", "null", "temporary"}
    assert set(theirs.values()) - {"done"} <= {errno.errorcode[errno.EACCES], errno.errorcode[errno.EXDEV]}
    assert left == ["file", "fourth", "full", "full/inner", "full/inner/file", "other", "third"]
    assert {path.read_text() for path in (tmp_path / "theirs").rglob("*") if path.is_file()} == {"precious"}
    assert set(own.values()) == {"done"}


def test_without_giving_them_up_everything_can_be_done(tmp_path: Path) -> None:
    """The negative control."""
    theirs, own, left = vandalised(tmp_path, "free")
    refused = {what for what, became in theirs.items() if became != "done"}
    assert refused == {"move in"}, "it was renamed before"
    assert set(own.values()) == {"done"} and "by-child" in left and "by-thread" in left
