"""Runs that write nothing share one checkout: made once, gone with the last of them, whole or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import RUN, SPEC, Lab, git
from msgspec.structs import replace

from ganger.core.ids import RunId
from ganger.core.model import RecoveryFacts
from ganger.drivers.process import run_check
from ganger.errors import ConfigError, WorldFailed
from ganger.git import seeding
from ganger.jail.bounds import Bounds, OfKind
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.jail.none import NoJail
from ganger.service.provisioning import Provisioning
from ganger.supervisor.evidence import freeze
from ganger.supervisor.forecast import Seer
from ganger.supervisor.provision import Provisioner
from ganger.supervisor.sharing import drop_unused

OTHER = RunId("b.1")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, "sh -c 'echo mine > mine'")
    (made.top / ".gitignore").write_text("deps/\n")
    git(made.top, "add", "-A")
    git(made.top, "commit", "-q", "-m", "Ignore dependencies")
    made.run = replace(made.run, base=made.hub.sync_target())
    yield made
    made.close()


def provisioner(lab: Lab, wanted: Provisioning = Provisioning()) -> Provisioner:  # noqa: B008 - a frozen value
    return Provisioner(lab.state_dir, lab.hub, NoJail(), wanted=wanted)


def read(found: Provisioner, lab: Lab, run: RunId) -> Path:
    """Let a run share a checkout of its base; return that."""
    found.make(run, lab.run.base, lab.run.base, shared=True)
    return (lab.state_dir / "workspaces" / run).readlink()


def checkouts(lab: Lab) -> list[str]:
    folder = lab.state_dir / "shared"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_it_is_made_once_and_goes_with_the_last_who_reads_it(lab: Lab) -> None:
    (lab.top / "deps").mkdir()
    (lab.top / "deps/x").write_text("x\n")
    found = provisioner(lab, Provisioning(linked=("deps",), ports=1))
    first = read(found, lab, RUN)
    assert read(found, lab, OTHER) == first
    assert len(checkouts(lab)) == 1
    assert (first / "a.txt").read_text() == "one\n"
    assert (first / "deps/x").read_text() == "x\n"
    assert git(first, "rev-parse", "HEAD") == lab.run.base
    assert found.environment(RUN) != found.environment(OTHER), "ports are each run's own"
    git(lab.top, "commit", "-q", "--allow-empty", "-m", "Later")
    later = RunId("c.1")
    found.make(later, lab.hub.sync_target(), lab.run.base, shared=True)
    assert (lab.state_dir / "workspaces" / later).readlink() != first, "another commit, another checkout"
    found.release(RUN)
    assert first.is_dir()
    lab.world.clean(OTHER)
    assert not first.exists()
    found.release(later)
    assert checkouts(lab) == []
    assert not (lab.state_dir / "trash").exists()


def test_a_setup_runs_once_in_it(lab: Lab, tmp_path: Path) -> None:
    wanted = Provisioning(setup=("sh", "-c", f"echo x >> {tmp_path}/count; echo made > made"))
    found = provisioner(lab, wanted)
    for run in (RUN, OTHER):
        assert (read(found, lab, run) / "made").read_text() == "made\n"
    assert (tmp_path / "count").read_text() == "x\n"
    failing = provisioner(lab, Provisioning(setup=("false",)))
    with pytest.raises(WorldFailed, match="exited with 1"):
        read(failing, lab, RunId("c.1"))
    assert len(checkouts(lab)) == 1
    assert not failing.is_made(RunId("c.1"))


def test_whoever_dies_in_the_middle_leaves_nothing_that_is_taken_for_whole(lab: Lab) -> None:
    (lab.top / "deps").mkdir()
    (lab.top / "deps/x").write_text("x\n")
    wanted = Provisioning(linked=("deps",), ports=1)
    for step in range(1, 60):
        found = provisioner(lab, wanted)
        child = os.fork()
        if child == 0:
            left = step

            def dying(event: str, about: tuple[object, ...]) -> None:
                nonlocal left
                written = event == "open" and about[1] == "wb"
                if written or event in ("subprocess.Popen", "os.mkdir", "os.rename", "os.symlink", "os.remove"):
                    left -= 1
                    if left == 0:
                        os._exit(9)

            sys.addaudithook(dying)
            found.make(RUN, lab.run.base, lab.run.base, shared=True)
            found.release(RUN)
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        if found.is_shared(RUN):
            whole = (lab.place / "a.txt").read_text(), (lab.place / "deps/x").read_text()
            assert whole == ("one\n", "x\n"), "a workspace leads to nothing but a whole one"
            found.release(RUN)
        if step % 2:
            drop_unused(lab.state_dir)
            assert checkouts(lab) == [], step
        assert (read(found, lab, RUN) / "deps/x").read_text() == "x\n", step
        found.release(RUN)
        if not died:
            assert step > 15
            return
    raise AssertionError("too many steps")


@pytest.mark.parametrize("mechanism", (Mechanism.bubblewrap, Mechanism.landlock))
def test_the_wall_keeps_it_as_it_is(lab: Lab, tmp_path: Path, mechanism: Mechanism) -> None:
    """The control is the same worker of a kind that may write."""
    try:
        jail = choose(mechanism, "T1", tools_for("/usr/bin:/bin", ()))
    except ConfigError as error:
        pytest.skip(error.message)
    found = provisioner(lab)
    checkout = read(found, lab, RUN)
    own, turn, door = (tmp_path / name for name in ("own", "turn", "door"))
    for folder in (own, turn / "home", turn / "tmp", door):
        folder.mkdir(parents=True)
    attempts = (
        "echo x > a.txt; echo x > new; rm a.txt; mv a.txt b.txt; chmod 777 a.txt; ln -s /etc evil; mkdir d; "
        "echo x > .git/HEAD; echo x > .git/hooks/post-checkout; truncate -s 0 a.txt; rm -rf .git; "
        f"echo x > {checkout}/a.txt; rm {lab.place}; ln -sfn /tmp {lab.place}; cat a.txt; echo own > {turn}/home/own"
    )
    for kinds, kept in (({"scout": OfKind(read_only=True)}, True), ({}, False)):
        reach = Bounds(kinds=kinds).of_worker("scout", lab.place, own, turn, lab.hub.objects, door)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(turn / "home")}
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        run_check(("sh", "-c", attempts), env, lab.place, 20_000, log, jail, found.within(reach, RUN))
        assert (turn / "home/own").read_text() == "own\n", log.read_text()
        unchanged = sorted(path.name for path in checkout.iterdir()) == [".git", ".gitignore", "a.txt"]
        unchanged = unchanged and (checkout / "a.txt").read_text() == "one\n" and (checkout / ".git/index").exists()
        assert unchanged == kept, log.read_text()
        assert found.is_shared(RUN)


def test_nothing_of_it_is_evidence_salvage_or_forecast(lab: Lab) -> None:
    """Not even what a person had not committed and the checkout shows."""
    (lab.top / "half.txt").write_text("half done\n")
    (lab.top / "a.txt").write_text("two\n")
    seed = seeding.freeze(lab.hub)
    assert seed is not None
    began = seeding.baseline(lab.hub, RUN, lab.run.base, seed)
    found = provisioner(lab)
    found.make(RUN, began, began, shared=True)
    assert (lab.place / "half.txt").read_text() == "half done\n"
    assert found.begins_at(RUN) == began
    assert freeze(lab.hub, lab.run, lab.place) == (lab.run.base, False)
    assert lab.world.keep(lab.run) == ()
    assert lab.hub.refs("refs/ganger/keep/") == {}
    assert Seer(lab.hub, lambda run: lab.place).look([lab.run], 1).runs == ()
    facts = lab.world.recover(lab.run, SPEC)
    assert facts == RecoveryFacts(workspace=True, head=lab.run.base, descends=True, base_on_target=True, landed=False)


def test_a_worker_that_may_write_is_not_let_into_one(lab: Lab) -> None:
    """As when the kind was changed between two nights; the world of the lab has no wall."""
    checkout = read(provisioner(lab), lab, RUN)
    worker = lab.world.start(lab.run, SPEC, 2)
    lab.world.stop(replace(lab.run, turn=2, worker=worker))
    assert not lab.place.is_symlink()
    assert not checkout.exists()
    assert lab.world.keep(lab.run)


def test_one_whose_checkout_is_gone_is_made_anew(lab: Lab) -> None:
    checkout = read(provisioner(lab), lab, RUN)
    checkout.rename(lab.state_dir / "away")
    worker = lab.world.start(lab.run, SPEC, 2)
    lab.world.stop(replace(lab.run, turn=2, worker=worker))
    assert (lab.place / "a.txt").exists()
