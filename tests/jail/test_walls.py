"""What holds inside a jail: limits, networks, read-only kinds, what is shown; and that nothing survives it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from escape import jail_named
from test_escape import HERE
from test_reaper import ALL, assert_nothing_left, living, spec_of

from ganger.drivers import process
from ganger.drivers.process import Exit, run_check
from ganger.errors import ConfigError, WorldFailed
from ganger.jail import bubblewrap, kernel, system
from ganger.jail.bounds import Bounds, OfKind
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.jail.none import NoJail
from ganger.jail.port import Jail, Limits, Network, Reach
from ganger.service import containment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jails are made of what Linux has")
MECHANISMS = [name for name, works in HERE.items() if works]
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
REPEATS = int(os.environ.get("GANGER_REAP_REPEATS", "1"))


@pytest.fixture(params=MECHANISMS)
def jail(request: pytest.FixtureRequest) -> Jail:
    found: Jail = jail_named(request.param)
    return found


def ran(at: Path, jail: Jail, script: str, reach: Reach | None = None) -> tuple[Exit, str]:
    log = at / "log"
    log.unlink(missing_ok=True)
    place = at / "ws"
    place.mkdir(exist_ok=True)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(place)}
    ended = run_check(("sh", "-c", script), env, place, 30_000, log, jail, reach or Reach(writable=(place,)))
    return ended, log.read_text(errors="replace")


def test_the_end_of_a_program_is_seen_through_the_wall(tmp_path: Path, jail: Jail) -> None:
    assert [ran(tmp_path, jail, f"exit {code}")[0].code for code in (0, 1, 7, 126, 127)] == [0, 1, 7, 126, 127]
    killed, _ = ran(tmp_path, jail, "kill -9 $$")
    assert (killed.code, killed.signal) == (None, 9)
    lasting, _ = ran(tmp_path, jail, "sleep 600 & sleep 600 & exit 3")
    assert (lasting.code, lasting.left) == (3, 0)


def test_a_program_out_of_sight_is_not_started(tmp_path: Path, jail: Jail) -> None:
    tool = tmp_path / "tools/tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho here\n")
    tool.chmod(0o755)
    with pytest.raises(WorldFailed, match="not to be seen from inside the jail"):
        run_check((str(tool),), {}, tmp_path, 5_000, tmp_path / "log", jail)
    reach = Reach(readable=(tool.parent,))
    assert run_check((str(tool),), {}, tool.parent, 5_000, tmp_path / "log", jail, reach).code == 0
    assert (tmp_path / "log").read_text() == "here\n"


def test_without_the_network_there_is_at_most_a_loopback(tmp_path: Path, jail: Jail) -> None:
    loopback = (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
        "c = socket.create_connection(s.getsockname()); print('loopback')"
    )
    for network in Network:
        reach = Reach(writable=(tmp_path / "ws",), network=network)
        _, said = ran(tmp_path, jail, f'{PYTHON} -c "{loopback}" 2>/dev/null; grep -c . /proc/net/dev', reach)
        has = any("no loopback either" in gap for gap in jail.gaps) and network is not Network.open
        assert ("loopback" in said) == (not has)


def test_the_processes_of_a_jail_are_limited_and_only_they_count(tmp_path: Path) -> None:
    if os.getuid() == 0 or "bubblewrap" not in MECHANISMS:
        pytest.skip("the kernel does not limit root's")
    sleepers = [os.posix_spawn("/bin/sleep", ("sleep", "60"), {}) for _ in range(30)]
    try:
        reach = Reach(writable=(tmp_path / "ws",), limits=Limits(processes=20))
        storm = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo all"
        _, said = ran(tmp_path, jail_named("bubblewrap"), storm, reach)
        assert "all" not in said and "fork" in said
        _, said = ran(tmp_path, jail_named("bubblewrap"), "for i in 1 2 3; do sleep 0.1 & done; wait; echo all", reach)
        assert said == "all\n"
    finally:
        for pid in sleepers:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("limits", "script"),
    [
        (Limits(memory_mib=64), "x = bytearray(200 << 20)"),
        (Limits(files=32), "x = [open('/dev/null') for _ in range(40)]"),
        (Limits(file_mib=1), "open('big', 'wb').write(bytes(3 << 20))"),
        (Limits(cpu_s=1), "while True: pass"),
    ],
    ids=["memory", "files", "file", "cpu"],
)
def test_what_one_process_may_use_is_limited(tmp_path: Path, limits: Limits, script: str) -> None:
    for jail in (jail_named(MECHANISMS[0]), NoJail()):
        place = tmp_path / "ws"
        reach = Reach(writable=(place,), limits=limits)
        assert ran(tmp_path, jail, f'{PYTHON} -c "{script}" 2>/dev/null', reach)[0].code != 0
        if limits.cpu_s is None:
            assert ran(tmp_path, jail, f'{PYTHON} -c "{script}"', Reach(writable=(place,)))[0].code == 0


def test_a_read_only_kind_cannot_write_its_workspace(tmp_path: Path, jail: Jail) -> None:
    own, turn, spool = tmp_path / "run", tmp_path / "run/turn-1", tmp_path / "run/door/spool"
    for folder in (turn / "home", turn / "tmp", spool, tmp_path / "ws/.git/hooks", tmp_path / "objects"):
        folder.mkdir(parents=True)
    (tmp_path / "ws/.git/config").touch()
    bounds = Bounds(kinds={"reviewer": OfKind(read_only=True)})
    script = f"cat .git/config; echo x > made; echo x > {turn}/home/made; echo x > {spool}/made; echo x > {own}/made"
    for kind, written in (("reviewer", False), ("patcher", True)):
        (tmp_path / "ws/made").unlink(missing_ok=True)
        reach = bounds.of_worker(kind, tmp_path / "ws", own, turn, tmp_path / "objects", spool)
        ran(tmp_path, jail, script, reach)
        assert (tmp_path / "ws/made").exists() == written
        assert (turn / "home/made").exists() and (spool / "made").exists() and not (own / "made").exists()


def test_tools_in_a_home_are_shown_and_not_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for path in (".cargo/bin/cargo", ".local/share/keyrings/key", ".nvm/versions/node/v1/bin/node", ".rustup/version"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text("x")
    (home / ".cargo/credentials.toml").write_text("secret")
    (home / ".nvm/versions/node/v1/lib").mkdir()
    (home / ".local/bin").mkdir()
    (home / ".local/share/agent").mkdir()
    (home / ".local/share/agent/cli").write_text("x")
    (home / ".local/bin/agent").symlink_to(home / ".local/share/agent/cli")
    path = (
        ":".join(str(home / one) for one in (".cargo/bin", ".local/bin", ".nvm/versions/node/v1/bin")) + ":/usr/bin:."
    )
    found = {str(one.relative_to(home)) for one in system.tools(path, (home,)) if one.is_relative_to(home)}
    assert found == {
        *(".cargo/bin", ".local/bin", ".local/share/agent", ".rustup/version"),
        *(".nvm/versions/node/v1/bin", ".nvm/versions/node/v1/lib"),
    }


def test_the_checkout_is_not_a_tool_but_its_virtual_environment_may_be(tmp_path: Path) -> None:
    top = tmp_path / "proj"
    for folder in (".venv/bin", ".venv/lib", "src"):
        (top / folder).mkdir(parents=True)
    found = system.tools(f"{top}/.venv/bin:{top}", (top,))
    assert {str(one.relative_to(top)) for one in found if one.is_relative_to(top)} == {".venv/bin", ".venv/lib"}


SHOW_ETC = "cd /etc && find . ! -type d -exec sh -c 'for f; do echo $f; cat $f; done' sh {} + 2>&1 | sort; pwd -P"


@pytest.mark.skipif("bubblewrap" not in MECHANISMS, reason="bubblewrap does not work here")
def test_a_copy_of_etc_shows_the_same_and_cannot_be_written(tmp_path: Path) -> None:
    plain = jail_named("bubblewrap")
    quick = containment.furnished(plain, tmp_path)
    assert isinstance(quick, bubblewrap.Bubblewrap)
    assert len(quick.confine(("true",), Reach()).argv) < len(plain.confine(("true",), Reach()).argv)
    assert ran(tmp_path, quick, SHOW_ETC)[1] == ran(tmp_path, plain, SHOW_ETC)[1]
    _, said = ran(
        tmp_path, quick, "echo x > /etc/hosts; echo x > /etc/new; rm /etc/passwd; mkdir /etc/d; ls /etc/shadow"
    )
    assert said.count("ead-only file system") == 4 and "'/etc/shadow': No such file" in said
    (copy,) = (tmp_path / "etc").iterdir()
    assert containment.furnished(plain, tmp_path).confine(("true",), Reach()) == quick.confine(("true",), Reach())
    assert [copy] == list((tmp_path / "etc").iterdir())
    # What a person shows besides lies in there too.
    reach = Reach(writable=(tmp_path / "ws",), readable=(Path("/etc/login.defs"),))
    if reach.readable[0].exists():
        assert ran(tmp_path, quick, "cat /etc/login.defs", reach)[0].code == 0


def test_less_than_was_asked_for_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        choose(Mechanism.none, "T1", ())
    assert "no containment is T0" in caught.value.message
    assert "apt install bubblewrap" in caught.value.hint and 'tier_min = "T0"' in caught.value.hint
    assert choose(Mechanism.none, "T0", ()).tier == "T0"


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("shape", ALL)
def test_nothing_survives_a_jail(tmp_path: Path, jail: Jail, shape: str, repeat: int) -> None:
    tag = f"shape-{tmp_path.name}-{os.getpid()}-{time.monotonic_ns()}"
    shapes = Path(__file__).parent
    spec = spec_of(shape, tag, "stay", tmp_path, reach=Reach(writable=(tmp_path,), readable=(shapes,)))
    jail = type(jail)(*_with_tools(jail))
    worker = process.start(spec, jail)
    until = time.monotonic() + 20
    while b"ready" not in (tmp_path / "output").read_bytes():
        assert time.monotonic() < until, (tmp_path / "output").read_bytes()
        time.sleep(0.005)
    assert living(tag)
    process.stop(worker, 200)
    assert_nothing_left(tag, worker)
    ended = process.exit_of(tmp_path / "exit.json")
    assert ended is not None and ended.stopped and ended.left == 0


def _with_tools(jail: Jail) -> tuple[object, ...]:
    """The arguments of the same jail with this Python among its tools."""
    tools = tools_for("/usr/bin:/bin", ())
    if "bubblewrap" in jail.mechanism:
        return (bubblewrap.found(), "", tools, kernel.landlock_abi())
    return (tools, kernel.landlock_abi(), "mounts" in jail.mechanism)


def test_tools_that_look_into_a_home_are_told_where_theirs_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".rustup").mkdir()
    assert system.tool_homes({}) == {"RUSTUP_HOME": str(tmp_path / ".rustup")}
    assert system.tool_homes({"RUSTUP_HOME": "/nowhere", "PYENV_ROOT": str(tmp_path)}) == {"PYENV_ROOT": str(tmp_path)}
