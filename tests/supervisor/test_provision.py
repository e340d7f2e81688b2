"""What a workspace is given before a worker sees it: whole, or nothing of it is there."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import RUN, Lab, git
from msgspec.structs import replace

from ganger.core.ids import RunId
from ganger.errors import WorldFailed
from ganger.jail.none import NoJail
from ganger.jail.port import Reach
from ganger.service.provisioning import Provisioning
from ganger.supervisor.provision import PORT_FIRST, PORT_LAST, Provisioner

OTHER = RunId("a.2")
SETUP = (
    sys.executable,
    "-c",
    "import os, pathlib; p = pathlib.Path('deps/lib'); p.mkdir(parents=True); (p / 'x').write_text('made')\n"
    "count = pathlib.Path(os.environ['COUNT']); count.write_text(count.read_text() + 'x' if count.exists() else 'x')",
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, "true")
    (made.top / ".gitignore").write_text("deps/\n.venv/\n")
    (made.top / "lock.json").write_text("1\n")
    git(made.top, "add", "-A")
    git(made.top, "commit", "-q", "-m", "Ignore dependencies")
    made.run = replace(made.run, base=made.hub.sync_target())
    yield made
    made.close()


def provisioner(lab: Lab, wanted: Provisioning) -> Provisioner:
    return Provisioner(lab.state_dir, lab.hub, NoJail(), wanted=wanted)


def ours(lab: Lab) -> list[str]:
    """Everything of workspaces, records and half-made things that there is."""
    places = (lab.state_dir / "workspaces", lab.state_dir / "scratch", lab.state_dir / "provision/runs")
    return sorted(
        str(path.relative_to(lab.state_dir)) for place in places if place.is_dir() for path in place.iterdir()
    )


def test_folders_are_linked_from_the_checkout_and_are_no_files_of_the_worker(lab: Lab) -> None:
    (lab.top / "deps/lib").mkdir(parents=True)
    (lab.top / "deps/lib/x").write_text("mine\n")
    (lab.top / "deps/one").write_text("1\n")
    found = provisioner(lab, Provisioning(linked=("deps",)))
    found.make(RUN, lab.run.base, lab.run.base)
    assert (lab.place / "deps/lib/x").read_text() == "mine\n"
    assert found.is_made(RUN)
    assert found.within(Reach(), RUN).readable == (lab.top / "deps",)
    assert git(lab.place, "status", "--porcelain") == ""
    (lab.place / "b.txt").write_text("work\n")
    assert "deps" not in str(lab.hub.git.run("ls-tree", "-r", "--name-only", lab_snapshot(lab)))
    (lab.place / "deps/lib").unlink()
    (lab.place / "deps/lib").symlink_to("/etc")
    assert found.within(Reach(), RUN).readable == (lab.top / "deps",), "what a worker links later opens nothing"


def lab_snapshot(lab: Lab) -> str:
    from ganger.git import workspace

    return workspace.snapshot(lab.hub, lab.place, lab.run.base, "x", whole=True)


def test_the_setup_runs_once_for_the_same_key(lab: Lab, tmp_path: Path) -> None:
    wanted = Provisioning(
        setup=SETUP, setup_key=("lock.json",), linked=("deps",), env={"COUNT": str(tmp_path / "count")}
    )
    found = provisioner(lab, wanted)
    found.make(RUN, lab.run.base, lab.run.base)
    (lab.top / "a.txt").write_text("two\n")
    git(lab.top, "commit", "-q", "-a", "-m", "Not what the key is about")
    found.make(OTHER, lab.hub.sync_target(), lab.hub.sync_target())
    for run in (RUN, OTHER):
        assert (lab.state_dir / "workspaces" / run / "deps/lib/x").read_text() == "made"
    assert (tmp_path / "count").read_text() == "x"
    (lab.top / "lock.json").write_text("2\n")
    git(lab.top, "commit", "-q", "-a", "-m", "What the key is about")
    found.make(RunId("a.3"), lab.hub.sync_target(), lab.hub.sync_target())
    assert (tmp_path / "count").read_text() == "xx"
    assert found.environment(RUN) == {"COUNT": str(tmp_path / "count")}


def test_a_setup_without_linked_folders_runs_in_each_workspace(lab: Lab, tmp_path: Path) -> None:
    found = provisioner(lab, Provisioning(setup=SETUP, env={"COUNT": str(tmp_path / "count")}))
    found.make(RUN, lab.run.base, lab.run.base)
    found.make(OTHER, lab.run.base, lab.run.base)
    assert (tmp_path / "count").read_text() == "xx"
    assert (lab.place / "deps/lib/x").read_text() == "made"


def test_each_workspace_has_ports_of_its_own(lab: Lab) -> None:
    found = provisioner(lab, Provisioning(ports=3))
    blocks = []
    for number in range(1, 5):
        run = RunId(f"a.{number}")
        found.make(run, lab.run.base, lab.run.base)
        ports = [int(found.environment(run)[f"GANGER_PORT_{n}"]) for n in range(3)]
        assert ports == list(range(ports[0], ports[0] + 3))
        blocks += ports
    assert len(set(blocks)) == 12
    assert all(PORT_FIRST <= port < PORT_LAST for port in blocks)
    lab.world.clean(RUN)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", blocks[1]))
        found.make(RunId("a.5"), lab.run.base, lab.run.base)
        assert int(found.environment(RunId("a.5"))["GANGER_PORT_0"]) not in blocks
    found.make(RunId("a.6"), lab.run.base, lab.run.base)
    assert found.environment(RunId("a.6"))["GANGER_PORT_0"] == str(blocks[0]), "those of one that is gone are free"


def _tracked(lab: Lab) -> None:
    (lab.top / "deps").mkdir()
    (lab.top / "deps/x").write_text("tracked\n")
    git(lab.top, "add", "-f", "deps/x")
    git(lab.top, "commit", "-q", "-m", "Tracked")
    lab.run = replace(lab.run, base=lab.hub.sync_target())


def _unignored(lab: Lab) -> None:
    (lab.top / "other").mkdir()
    (lab.top / "other/x").write_text("x\n")


FAULTS: dict[str, tuple[Provisioning, Callable[[Lab], None], str]] = {
    "no such folder": (Provisioning(linked=("deps",)), lambda _: None, "has no folder deps"),
    "a setup that makes none": (Provisioning(setup=("true",), linked=("deps",)), lambda _: None, "made no folder deps"),
    "a setup that fails": (Provisioning(setup=("false",), linked=("deps",)), lambda _: None, "`false` exited with 1"),
    "a setup that is not there": (Provisioning(setup=("no-such-program",)), lambda _: None, "no-such-program"),
    "a setup in the workspace that fails": (Provisioning(setup=("false",)), lambda _: None, "`false` exited with 1"),
    "a setup that takes too long": (
        Provisioning(setup=("sleep", "9"), setup_timeout_ms=300),
        lambda _: None,
        "ran out of time",
    ),
    "a folder that is tracked": (Provisioning(linked=("deps",)), _tracked, "but the repository has it"),
    "a folder that is not ignored": (Provisioning(linked=("other",)), _unignored, "no .gitignore of the target"),
    "no ports": (Provisioning(ports=PORT_LAST), lambda _: None, "free ports in a row"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_step_leaves_nothing(lab: Lab, fault: str) -> None:
    wanted, prepare, said = FAULTS[fault]
    prepare(lab)
    found = provisioner(lab, wanted)
    refs = lab.hub.refs("refs/ganger/")
    for _ in range(2):
        with pytest.raises(WorldFailed, match=said):
            found.make(RUN, lab.run.base, lab.run.base)
        assert ours(lab) == []
        assert lab.hub.refs("refs/ganger/") == refs
        assert not found.is_made(RUN)


def test_a_setup_that_failed_is_not_tried_at_every_tick(lab: Lab, tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = f"echo x >> {count}; exit 3"
    found = provisioner(lab, Provisioning(setup=("sh", "-c", script), linked=("deps",)))
    for _ in range(3):
        with pytest.raises(WorldFailed, match="exited with 3"):
            found.make(RUN, lab.run.base, lab.run.base)
    assert count.read_text() == "x\n"


def test_whoever_dies_in_the_middle_leaves_one_that_is_not_taken_for_made(lab: Lab) -> None:
    """A child dies before each of its steps; what it left is put away, and the next try makes all of it."""
    (lab.top / "deps").mkdir()
    (lab.top / "deps/x").write_text("x\n")
    wanted = Provisioning(linked=("deps",), ports=2)
    for step in range(1, 60):
        found = provisioner(lab, wanted)
        child = os.fork()
        if child == 0:
            left = step

            def dying(event: str, _: object) -> None:
                nonlocal left
                if event in ("subprocess.Popen", "os.mkdir", "os.rename", "os.symlink"):
                    left -= 1
                    if left == 0:
                        os._exit(9)

            sys.addaudithook(dying)
            found.make(RUN, lab.run.base, lab.run.base)
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert died != found.is_made(RUN), step
        if not died:
            assert step > 10
            return
        if lab.place.exists():
            lab.world.clean(RUN)
        found.make(RUN, lab.run.base, lab.run.base)
        assert (lab.place / "deps/x").read_text() == "x\n"
        assert len(found.environment(RUN)) == 2
        lab.world.clean(RUN)
    raise AssertionError("too many steps")


def test_nothing_that_is_there_already_is_taken_away(lab: Lab) -> None:
    found = provisioner(lab, Provisioning(ports=1))
    found.make(RUN, lab.run.base, lab.run.base)
    (lab.place / "b.txt").write_text("work\n")
    with pytest.raises(WorldFailed, match="there is already something"):
        found.make(RUN, lab.run.base, lab.run.base)
    assert (lab.place / "b.txt").read_text() == "work\n"
    assert json.loads((lab.state_dir / "provision/runs" / RUN).read_text())["ports"]
