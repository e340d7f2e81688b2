"""Starting, recognising, watching and stopping real processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import msgspec
import pytest

import ganger
from ganger.core.model import WorkerId
from ganger.drivers import process, process_table, psutil_table
from ganger.drivers.process import ProcessSpec, clean_env, run_check
from ganger.errors import WorldFailed
from ganger.jail.none import NoJail
from ganger.jail.port import Confined, Network, Reach

SOURCE = str(Path(ganger.__file__).parents[1])
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def python(code):
    return (sys.executable, "-I", "-S", "-c", textwrap.dedent(code))


def spec(tmp_path, *argv, **options):
    fields = {
        "argv": argv,
        "env": PATH,
        "cwd": tmp_path,
        "output_path": tmp_path / "output",
        "exit_path": tmp_path / "exit.json",
        "marker": f"login.2:{tmp_path}",
        "grace_ms": 2_000,
    }
    return ProcessSpec(**{**fields, **options})


def run(tmp_path, *argv, **options):
    worker = process.start(spec(tmp_path, *argv, **options), NoJail())
    assert process.wait(worker, 20_000)
    return process.exit_of(tmp_path / "exit.json")


@pytest.fixture
def start(tmp_path):
    """Start a program; whatever is left of it is ended after the test."""
    workers = []

    def start(*argv, **options):
        workers.append(process.start(spec(tmp_path, *argv, **options), NoJail()))
        return workers[-1]

    yield start
    for worker in workers:
        process.stop(worker, 0, f"login.2:{tmp_path}")


def output_with(tmp_path, text, within_s=20):
    until = time.monotonic() + within_s
    while text not in (tmp_path / "output").read_bytes():
        assert time.monotonic() < until, (tmp_path / "output").read_bytes()
        time.sleep(0.005)
    return (tmp_path / "output").read_bytes()


def eventually(question, within_s=20):
    """Ask until the answer is true, and return it."""
    until = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < until
        time.sleep(0.005)
    return answer


class TestTheEnd:
    @pytest.mark.parametrize("code", [0, 1, 77, 255])
    def test_a_status(self, code, tmp_path):
        ended = run(tmp_path, "sh", "-c", f"exit {code}")
        assert (ended.code, ended.signal, ended.fault) == (code, None, "")
        assert not ended.timed_out and not ended.stopped and ended.survivors_killed == 0

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGHUP])
    def test_a_signal(self, number, tmp_path):
        ended = run(tmp_path, "sh", "-c", f"kill -{int(number)} $$; sleep 9")
        assert (ended.code, ended.signal) == (None, number)

    def test_a_broken_pipe_ends_a_program_as_it_does_in_a_shell(self, tmp_path):
        ended = run(tmp_path, "sh", "-c", "kill -0 $$; yes | head -1; exit 4")
        assert ended.code == 4
        assert b"Broken" not in (tmp_path / "output").read_bytes()

    def test_the_record_is_private_whole_and_counts(self, tmp_path):
        before = time.time_ns() // 1_000_000
        code = "x = b'x' * 60_000_000; e = __import__('time').process_time\nwhile e() < 0.3: pass"
        ended = run(tmp_path, "sh", "-c", 'exec "$@"', "sh", *python(code))
        assert before <= ended.started_ms <= ended.ended_ms <= time.time_ns() // 1_000_000
        assert 250 <= ended.cpu_ms < 5_000
        assert 50_000 < ended.max_rss_kib < 200_000
        for name in ("exit.json", "output"):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in tmp_path.iterdir()) == ["exit.json", "output"]

    def test_the_record_of_an_earlier_turn_is_not_taken_for_this_one(self, tmp_path, start):
        run(tmp_path, "sh", "-c", "exit 5")
        start("sleep", "100")
        assert process.exit_of(tmp_path / "exit.json") is None
        assert json.loads((tmp_path / "exit.json.old").read_text())["code"] == 5

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"code": "0"}', '{"code": 0}', "\0" * 100])
    def test_what_is_no_record_is_none(self, text, tmp_path):
        (tmp_path / "exit.json").write_text(text)
        assert process.exit_of(tmp_path / "exit.json") is None

    def test_the_record_survives_the_codec(self, tmp_path):
        ended = run(tmp_path, "true")
        assert msgspec.json.decode(msgspec.json.encode(ended), type=process.Exit) == ended


class TestWhatCannotStart:
    def test_no_such_program(self, tmp_path):
        with pytest.raises(WorldFailed, match="no such program on PATH"):
            run(tmp_path, "no-such-program-here")
        with pytest.raises(WorldFailed, match=r"\./nothing: there is no such program$"):
            run(tmp_path, "./nothing")
        assert list(tmp_path.iterdir()) == []

    def test_not_executable(self, tmp_path):
        (tmp_path / "plain").write_text("hello")
        with pytest.raises(WorldFailed, match="not an executable file"):
            run(tmp_path, "./plain")

    def test_a_directory(self, tmp_path):
        with pytest.raises(WorldFailed, match="not an executable file"):
            run(tmp_path, str(tmp_path))

    def test_no_directory_to_start_in(self, tmp_path):
        with pytest.raises(WorldFailed, match="no such directory"):
            run(tmp_path, "true", cwd=tmp_path / "gone")

    @pytest.mark.parametrize("argv", [(), ("",), ("true", "a\0b")])
    def test_nonsense(self, argv, tmp_path):
        with pytest.raises(WorldFailed):
            run(tmp_path, *argv)

    def test_no_place_for_its_record(self, tmp_path):
        with pytest.raises(WorldFailed, match="cannot start true"):
            run(tmp_path, "true", exit_path=tmp_path / "gone" / "exit.json")

    def test_what_only_the_kernel_knows_is_told_in_the_record(self, tmp_path):
        script = tmp_path / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        ended = run(tmp_path, "./script")
        assert (ended.code, ended.signal) == (None, None)
        assert "No such file" in ended.fault

    def test_the_wrapped_program_is_checked_too(self, tmp_path):
        class Broken(NoJail):
            def confine(self, argv, reach):
                return Confined(("no-such-jail", *argv))

        with pytest.raises(WorldFailed, match="no-such-jail"):
            process.start(spec(tmp_path, "true"), Broken())

    def test_the_jail_learns_what_the_worker_may_do(self, tmp_path):
        class Wrapping(NoJail):
            def confine(self, argv, reach):
                return Confined(("env", f"SEEN={reach.writable}{reach.network}", *argv))

        given = spec(tmp_path, "sh", "-c", "echo $SEEN", reach=Reach(writable=(tmp_path,), network=Network.none))
        process.wait(process.start(given, Wrapping()), 5_000)
        assert f"{tmp_path}".encode() in (tmp_path / "output").read_bytes()
        assert b"none" in (tmp_path / "output").read_bytes()


@linux
class TestIdentity:
    def test_a_worker_is_recognised(self, tmp_path, start):
        worker = start("sleep", "100")
        assert process.is_alive(worker)
        assert process.find(f"login.2:{tmp_path}") == worker

    @pytest.mark.parametrize(
        "other",
        [
            lambda worker: WorkerId(worker.pid, worker.started + 1, worker.boot),
            lambda worker: WorkerId(worker.pid, worker.started - 1, worker.boot),
            lambda worker: WorkerId(worker.pid, worker.started, "another-boot"),
            lambda worker: WorkerId(2**22 + 1, worker.started, worker.boot),
        ],
    )
    def test_another_process_of_that_number_is_not_it(self, other, start):
        worker = start("sleep", "100")
        stranger = other(worker)
        assert not process.is_alive(stranger)
        assert process.pidfd(stranger) is None
        assert process.wait(stranger, 0)
        assert process.cpu_ms(stranger) == 0 or stranger.boot == "another-boot"
        process.stop(stranger, 0)
        assert process.is_alive(worker)

    def test_a_zombie_is_dead_and_is_reaped(self, tmp_path, start):
        worker = start("true")
        until = time.monotonic() + 10
        while Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < until
        assert not process.is_alive(worker)
        assert not Path(f"/proc/{worker.pid}").exists()
        assert not process.is_alive(worker)

    def test_a_worker_whose_name_looks_like_a_process_table_line(self, tmp_path, start):
        program = tmp_path / ") Z 1 1 1"
        program.symlink_to("/bin/sleep")
        worker = start(str(program), "100")
        (child,) = eventually(lambda: process_table.descendants(process_table.read_table(), [worker.pid]))
        assert eventually(lambda: Path(f"/proc/{child}/comm").read_text() == ") Z 1 1 1\n")
        found = process_table.read_table()[child]
        assert found.alive and found.parent == worker.pid

    def test_a_pidfd_tells_the_end(self, start):
        worker = start("sleep", "100")
        descriptor = process.pidfd(worker)
        assert descriptor is not None
        try:
            assert not process.wait(worker, 20)
            threading.Timer(0.05, os.kill, (worker.pid, signal.SIGTERM)).start()
            assert process.wait(worker, 5_000)
        finally:
            os.close(descriptor)

    def test_find_is_not_fooled_by_a_copy_of_the_shim(self, tmp_path, start):
        fake = f"exec -a x {sys.executable} -I -S -c 'import time; print(1, flush=True); time.sleep(99)' "
        worker = start("bash", "-c", fake + str(process_table.REAPER))
        output_with(tmp_path, b"1")
        assert process.find(f"login.2:{tmp_path}") == worker
        assert process.find("login.2") is None


class TestTheSupervisorDies:
    def test_the_worker_goes_on_and_is_adopted(self, tmp_path):
        starter = f"""
            import os, signal, sys
            sys.path.insert(0, {SOURCE!r})
            from pathlib import Path
            import msgspec
            from ganger.drivers import process
            from ganger.jail.none import NoJail
            tmp = Path(sys.argv[1])
            worker = process.start(process.ProcessSpec(
                argv=("sh", "-c", "echo begun; while [ ! -e go ]; do sleep 0.02; done; echo ended; exit 9"),
                env={PATH!r}, cwd=tmp, output_path=tmp / "output", exit_path=tmp / "exit.json", marker="a.1:1"),
                NoJail())
            print(msgspec.json.encode(worker).decode(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
        program = [sys.executable, "-c", textwrap.dedent(starter), str(tmp_path)]
        died = subprocess.run(program, capture_output=True, check=False, timeout=30)
        assert died.returncode == -signal.SIGKILL, died.stderr
        worker = msgspec.json.decode(died.stdout, type=WorkerId)
        output_with(tmp_path, b"begun")
        assert process.is_alive(worker)
        assert process.exit_of(tmp_path / "exit.json") is None
        (tmp_path / "go").touch()
        assert process.wait(worker, 5_000)
        assert process.exit_of(tmp_path / "exit.json").code == 9
        assert output_with(tmp_path, b"ended") == b"begun\nended\n"

    @linux
    def test_a_check_ends_with_it(self, tmp_path):
        starter = f"""
            import sys
            sys.path.insert(0, {SOURCE!r})
            from pathlib import Path
            from ganger.drivers import process
            from ganger.jail.none import NoJail
            tmp = Path(sys.argv[1])
            process.run_check(["sh", "-c", "echo begun; setsid sleep 99 & sleep 99"], {PATH!r}, tmp, 0,
                tmp / "output", NoJail())
        """
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(starter), str(tmp_path)]) as supervisor:
            until = time.monotonic() + 20
            while not (tmp_path / "output").exists() and time.monotonic() < until:
                time.sleep(0.01)
            output_with(tmp_path, b"begun")
            worker = process.find(f"check:{tmp_path / 'output'}")
            supervisor.kill()
        assert process.wait(worker, 5_000)
        ended = process.exit_of(tmp_path / "output.exit.json")
        assert ended.stopped and ended.left == 0
        assert process_table.marked(f"check:{tmp_path / 'output'}") == []


@linux
class TestWhatAWorkerInherits:
    def test_its_environment_is_what_was_given(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MY_TOKEN", "hush-supervisor")
        odd = {"A": "", "B": "a\nb=c", "C": "é\udcff", **PATH}
        run(tmp_path, "cat", "/proc/self/environ", env=odd)
        entries = (tmp_path / "output").read_bytes().rstrip(b"\0").split(b"\0")
        expected = [f"{name}={value}".encode(errors="surrogateescape") for name, value in odd.items()]
        assert sorted(entries) == sorted([*expected, f"GANGER_MARK=login.2:{tmp_path}".encode()])

    def test_the_shim_holds_no_secret(self, tmp_path, start, monkeypatch):
        monkeypatch.setenv("MY_TOKEN", "hush-supervisor")
        worker = start("sh", "-c", "echo up; sleep 99", env={**PATH, "API_KEY": "hush-worker"})
        output_with(tmp_path, b"up")
        for name in ("environ", "cmdline"):
            assert b"hush" not in Path(f"/proc/{worker.pid}/{name}").read_bytes()
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"hush" not in kept

    def test_only_three_descriptors(self, tmp_path):
        with open(os.devnull) as file:
            leak = os.dup2(file.fileno(), 77)
        try:
            run(tmp_path, "sh", "-c", "ls /proc/$$/fd; ls -l /proc/$$/fd/0 /proc/$$/fd/1")
        finally:
            os.close(leak)
        text = (tmp_path / "output").read_text()
        assert text.split()[:3] == ["0", "1", "2"] and "77" not in text.split()
        assert "/dev/null" in text and "pipe:" in text

    def test_its_own_session_no_core_private_files_and_default_signals(self, tmp_path, start):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        try:
            worker = start(
                "sh", "-c", "ulimit -c; ulimit -Hc; umask; grep -E 'Sig(Ign|Blk)' /proc/self/status; echo up; sleep 99"
            )
            lines = output_with(tmp_path, b"up").decode().split("\n")
        finally:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        assert lines[:3] == ["0", "0", "0077"]
        # 32 and 33 belong to the C library, which lets nobody change them.
        assert all(int(line.split()[1], 16) & ~(3 << 31) == 0 for line in lines[3:5])
        assert os.getsid(worker.pid) == worker.pid
        (child,) = [p for p in process_table.read_table().values() if p.parent == worker.pid]
        assert os.getsid(child.pid) == child.pid

    def test_a_worker_that_signals_its_group_does_not_hit_its_shim(self, tmp_path):
        ended = run(tmp_path, "sh", "-c", "kill -9 0; sleep 9")
        assert ended.signal == signal.SIGKILL

    def test_its_input(self, tmp_path):
        (tmp_path / "brief").write_text("do it\n")
        run(tmp_path, "cat", stdin_path=tmp_path / "brief")
        assert (tmp_path / "output").read_text() == "do it\n"

    def test_the_directory_of_its_program_is_seen_from_the_workspace(self, tmp_path):
        (tmp_path / "here").mkdir()
        script = tmp_path / "here" / "tool"
        script.write_text("#!/bin/sh\npwd\n")
        script.chmod(0o755)
        assert run(tmp_path, "./tool", cwd=tmp_path / "here").code == 0
        assert (tmp_path / "output").read_text().strip() == str(tmp_path / "here")


class TestOutput:
    def test_both_streams_are_kept_in_order_and_appended(self, tmp_path):
        (tmp_path / "output").write_bytes(b"before\n")
        run(tmp_path, "sh", "-c", "echo one; echo two >&2; printf '\\377\\000'; echo three")
        assert (tmp_path / "output").read_bytes() == b"before\none\ntwo\n\xff\x00three\n"

    def test_a_flood_is_cut_and_the_worker_goes_on(self, tmp_path):
        ended = run(tmp_path, "sh", "-c", "head -c 5000000 /dev/zero; echo later; exit 3", output_max=1_000_000)
        kept = (tmp_path / "output").read_bytes()
        assert ended.code == 3
        assert ended.output_dropped == 4_000_006
        assert kept[:1_000_000].count(0) == 1_000_000
        assert kept[1_000_000:] == b"\n[ganger: what was printed after the first 1000000 bytes is not kept]\n"

    def test_exactly_as_much_as_is_kept_is_no_flood(self, tmp_path):
        ended = run(tmp_path, "head", "-c", "100000", "/dev/zero", output_max=100_000)
        assert ended.output_dropped == 0
        assert (tmp_path / "output").stat().st_size == 100_000

    def test_the_worker_cannot_rewrite_what_it_printed(self, tmp_path):
        run(
            tmp_path,
            *python("import os; print('first', flush=True)\ntry: os.ftruncate(1, 0)\nexcept OSError: print('no')"),
        )
        assert (tmp_path / "output").read_bytes() == b"first\nno\n"

    def test_a_link_in_the_place_of_the_output_is_not_followed(self, tmp_path):
        (tmp_path / "target").write_text("mine")
        (tmp_path / "output").symlink_to(tmp_path / "target")
        with pytest.raises(WorldFailed):
            run(tmp_path, "echo", "yours")
        assert (tmp_path / "target").read_text() == "mine"

    def test_what_an_outlived_child_printed_is_kept(self, tmp_path):
        ended = run(tmp_path, "sh", "-c", "(echo child; sleep 99) & sleep 0.2")
        assert ended.survivors_killed >= 1
        assert (tmp_path / "output").read_bytes() == b"child\n"

    def test_a_full_disk_does_not_stop_the_worker(self, tmp_path):
        if not os.access("/dev/full", os.W_OK):
            pytest.skip("no /dev/full")
        ended = run(tmp_path, "sh", "-c", "echo lost; exit 6", output_path=Path("/dev/full"))
        assert (ended.code, ended.output_dropped) == (6, 5)


class TestStopping:
    def test_the_polite_way_leaves_time_to_clean_up(self, tmp_path, start):
        worker = start("sh", "-c", "trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.02; done")
        output_with(tmp_path, b"up")
        process.stop(worker, 2_000)
        assert output_with(tmp_path, b"tidy")
        ended = process.exit_of(tmp_path / "exit.json")
        assert (ended.code, ended.stopped) == (0, True)

    def test_children_have_the_grace_too(self, tmp_path, start):
        child = "trap 'sleep 0.2; echo child tidy; exit' TERM; echo up; while :; do sleep 0.02; done"
        worker = start("sh", "-c", f'sh -c "{child}" & sleep 99')
        output_with(tmp_path, b"up")
        process.stop(worker, 3_000)
        assert b"child tidy" in (tmp_path / "output").read_bytes()

    @linux
    def test_a_stopped_worker_hears_it(self, tmp_path, start):
        worker = start("sh", "-c", "trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.02; done")
        output_with(tmp_path, b"up")
        for pid in process_table.descendants(process_table.read_table(), [worker.pid]):
            os.kill(pid, signal.SIGSTOP)
        process.stop(worker, 2_000)
        assert b"tidy" in (tmp_path / "output").read_bytes()

    def test_the_caller_can_be_less_patient_than_the_spec(self, tmp_path, start):
        worker = start("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done", grace_ms=60_000)
        output_with(tmp_path, b"up")
        began = time.monotonic()
        process.stop(worker, 100)
        assert time.monotonic() - began < 1.5
        assert process.exit_of(tmp_path / "exit.json").signal == signal.SIGKILL

    def test_one_that_has_ended_is_no_error(self, tmp_path, start):
        worker = start("true")
        assert process.wait(worker, 5_000)
        process.stop(worker, 1_000)
        process.stop(worker, 1_000, "login.2:none")
        assert not process.exit_of(tmp_path / "exit.json").stopped


class TestActivity:
    def test_cpu_time_of_the_living_and_the_dead_counts(self, tmp_path, start):
        burn = "e = __import__('time').process_time\nwhile e() < 0.15: pass"
        code = f"""
            import os, time
            def burn():
                {burn.replace(chr(10), chr(10) + " " * 16)}
            if os.fork() == 0:
                burn(); os._exit(0)
            os.wait(); print("one", flush=True)
            burn(); print("two", flush=True)
            time.sleep(99)
        """
        worker = start(*python(code))
        output_with(tmp_path, b"one")
        assert process.cpu_ms(worker) >= 140
        output_with(tmp_path, b"two")
        used = process.cpu_ms(worker)
        assert used >= 280
        time.sleep(0.2)
        assert process.cpu_ms(worker) - used <= 10

    def test_a_hanging_worker_uses_none(self, start, tmp_path):
        worker = start("sh", "-c", "echo up; sleep 99")
        output_with(tmp_path, b"up")

        def is_at_rest():
            before = process.cpu_ms(worker)
            time.sleep(0.3)
            return process.cpu_ms(worker) == before

        assert eventually(is_at_rest)


class TestChecks:
    def check(self, tmp_path, *argv, timeout_ms=10_000):
        return run_check(argv, PATH, tmp_path, timeout_ms, tmp_path / "log", NoJail())

    def test_passes_and_fails(self, tmp_path):
        assert self.check(tmp_path, "true").code == 0
        assert self.check(tmp_path, "false").code == 1
        assert self.check(tmp_path, "sh", "-c", "echo why; kill -6 $$").signal == signal.SIGABRT
        assert (tmp_path / "log").read_text() == "why\n"

    def test_its_time_limit_ends_everything(self, tmp_path):
        began = time.monotonic()
        ended = self.check(tmp_path, "sh", "-c", "trap '' TERM; setsid sleep 99 & sleep 99", timeout_ms=300)
        assert time.monotonic() - began < 3
        assert ended.timed_out and ended.signal == signal.SIGKILL and ended.survivors_killed >= 1
        assert process_table.marked(f"check:{tmp_path / 'log'}") == []

    def test_it_sees_the_permissions_of_a_shell(self, tmp_path):
        self.check(tmp_path, "sh", "-c", "umask")
        assert (tmp_path / "log").read_text() == "0022\n"

    def test_a_program_that_is_missing(self, tmp_path):
        with pytest.raises(WorldFailed, match="no such program"):
            self.check(tmp_path, "no-such-check")

    @linux
    def test_an_end_that_was_not_seen_is_not_a_failure(self, tmp_path):
        with pytest.raises(WorldFailed, match="its shim was killed"):
            self.check(tmp_path, "sh", "-c", "setsid sleep 99 & kill -9 $PPID; sleep 99")
        assert process_table.marked(f"check:{tmp_path / 'log'}") == []

    def test_an_interrupt_ends_it(self, tmp_path):
        # Whoever was started in the background of a shell has SIGINT ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                self.check(tmp_path, "sh", "-c", "sleep 99")
        finally:
            signal.signal(signal.SIGINT, before)
        assert process_table.marked(f"check:{tmp_path / 'log'}") == []
        assert process.exit_of(tmp_path / "log.exit.json").stopped


class TestCleanEnvironment:
    @pytest.mark.parametrize(
        ("name", "value", "kept"),
        [
            ("PATH", "/bin:bin::.:/usr/bin", "/bin:/usr/bin"),
            ("HOME", "/home/me", "/home/me"),
            ("LANG", "de_DE.UTF-8", "de_DE.UTF-8"),
            ("LC_ALL", "C", "C"),
            ("TZ", "UTC", "UTC"),
            ("TERM", "xterm", "dumb"),
            ("EDITOR", "vi", None),
            ("XDG_RUNTIME_DIR", "/run/user/1", None),
            ("DISPLAY", ":0", None),
            ("http_proxy", "http://u:p@x", None),
        ],
    )
    def test_what_is_kept(self, name, value, kept):
        assert clean_env({name: value}).get(name) == kept

    @pytest.mark.parametrize(
        "name",
        [
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "OPENAI_API_KEY",
            "OPENAI_APIKEY",
            "anthropic_api_key",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_PROFILE",
            "DB_PASSWORD",
            "PGPASSWORD",
            "NPM_AUTH",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "SESSION_COOKIE",
            "LC_TOKEN",
            "GIT_DIR",
            "GIT_CONFIG_COUNT",
            "GIT_SSH_COMMAND",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "LD_PRELOAD",
            "DYLD_INSERT_LIBRARIES",
            "SSH_AUTH_SOCK",
            "GPG_AGENT_INFO",
            "DBUS_SESSION_BUS_ADDRESS",
            "DOCKER_HOST",
            "BASH_ENV",
            "BASH_FUNC_ls%%",
            "ENV",
            "IFS",
            "GANGER_STATE",
        ],
    )
    def test_what_never_passes(self, name):
        assert clean_env({name: "x"}, keep=("*",)) == {"TERM": "dumb"}
        assert clean_env({name: "x"}, keep=(name,)) == {"TERM": "dumb"}

    def test_more_can_be_named(self):
        base = {"EDITOR": "vi", "XDG_A": "1", "XDG_B": "2", "HOME": "/h"}
        assert clean_env(base, keep=("EDITOR", "XDG_*")) == {"EDITOR": "vi", "XDG_A": "1", "XDG_B": "2", "TERM": "dumb"}


class TestWithoutProc:
    """What stands in for /proc elsewhere, held against /proc where there is one."""

    def test_it_sees_the_same_processes(self, start, tmp_path):
        worker = start("sh", "-c", "echo up; sleep 99")
        output_with(tmp_path, b"up")
        pid, parent, alive, *_ = psutil_table.look(worker.pid)
        assert (pid, parent, alive) == (worker.pid, os.getpid(), True)
        assert worker.pid in psutil_table.pids()
        assert psutil_table.environment(worker.pid) == [f"GANGER_MARK=login.2:{tmp_path}".encode()]
        assert os.fsencode(process_table.REAPER) in psutil_table.command_line(worker.pid)
        assert psutil_table.boot().isdigit()

    def test_it_sees_nothing_where_there_is_nothing(self):
        nobody = 2**22 + 1
        assert psutil_table.look(nobody) is None
        assert psutil_table.environment(nobody) == psutil_table.command_line(nobody) == []


@linux
def test_starting_keeps_nothing_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run(tmp_path, "true")
    assert len(os.listdir("/proc/self/fd")) == before
