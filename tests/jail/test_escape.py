"""Nothing outside a jail is reached from inside, whatever is tried; without one, most of it is."""

import os
import subprocess
import sys

import pytest
from escape import KNOWN, Lab, attempts, jail_named, reached
from msgspec.structs import replace

from ganger.jail import kernel, landlock
from ganger.jail.bubblewrap import Bubblewrap
from ganger.jail.bubblewrap import found as bubblewrap_program
from ganger.jail.landlock import Landlock
from ganger.jail.port import Network, Reach

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jails are made of what Linux has")
ABI = kernel.landlock_abi()
HERE = {
    "bubblewrap": bool(bubblewrap_program()),
    "sealed": ABI >= landlock.ABI_MIN and kernel.can_seal(),
    "landlock": ABI >= 3,
}
GIT = {"ws/.git", "ws/.git/config", "ws/.git/hooks"}
SHARED_NETWORK = {"tcp", "tcp_six", "other_address", "heard 10", "heard b'reached'"}
"""What a program reaches that may use the network as its user does."""


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.close()


def all_reached(lab, mechanism, *args, **options):
    before = lab.seen()
    said = lab.attack(mechanism, *args, **options)
    return reached(before, lab.seen(), said, lab.heard + lab.datagrams()), said


@pytest.mark.parametrize("mechanism", ["bubblewrap", "sealed", "landlock"])
def test_nothing_is_reached(lab, mechanism):
    if not HERE[mechanism]:
        assert "CI" not in os.environ, f"{mechanism} must be there in CI"
        pytest.skip(f"no {mechanism} here")
    found, said = all_reached(lab, mechanism)
    assert set(said) == set(attempts())
    assert len(said) >= 300
    # Whatever is not kept stands in the words of the tier, and lies in the worker's own workspace.
    gaps = " ".join(jail_named(mechanism).gaps)
    assert ("git configuration of its own workspace" in gaps) == (mechanism in KNOWN)
    assert found == (GIT if mechanism in KNOWN else set())


@pytest.mark.skipif(not HERE["bubblewrap"], reason="no bubblewrap here")
def test_an_open_network_opens_nothing_else(lab):
    found, _ = all_reached(lab, "bubblewrap", Network.open)
    assert {"tcp", "heard 10"} <= found <= SHARED_NETWORK


def test_without_a_jail_most_is_reached(lab):
    found, said = all_reached(lab, "none", harmless=True)
    done = {name for name, row in said.items() if row["what"] == "done"}
    assert len(done) >= 150
    assert len([name for name in found if name.startswith(("hidden/", "shown/"))]) >= 150
    assert {"bystander", str(lab.host_tmp), "read_secret", "abstract_socket", "tcp", "heard 1", *GIT} <= found


@pytest.mark.skipif(not HERE["bubblewrap"], reason="no bubblewrap here")
def test_what_is_frozen_is_what_keeps_the_git_configuration(lab):
    found, _ = all_reached(lab, "bubblewrap", frozen=False)
    assert {"ws/.git/config", "ws/.git/hooks"} <= found <= GIT


@pytest.mark.skipif(not HERE["landlock"], reason="no Landlock here")
def test_landlock_alone_does_not_keep_modes_and_times(lab):
    class WithoutFilter(Landlock):
        def confine(self, argv, reach):
            confined = super().confine(argv, reach)
            return replace(confined, wall=replace(confined.wall, filter=""))

    found, _ = all_reached(lab, "landlock", jail=WithoutFilter((), ABI, seals=False), harmless=True)
    assert {"shown/shown-absolute-mode/victim", "shown/shown-absolute-times/victim"} <= found
    assert "shown/shown-absolute-append/victim" not in found


@pytest.mark.skipif(os.getuid() != 0 or not HERE["bubblewrap"], reason="needs root, to be somebody else")
def test_a_user_gets_the_same_jail_as_root():
    reach = Reach(network=Network.none)
    words = ("/bin/sh", "-c", "id -u; echo x > /usr/x || echo refused")
    argv = Bubblewrap(bubblewrap_program(), "", (), ABI).confine(words, reach).argv
    done = subprocess.run(
        ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", *argv],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
    assert (done.returncode, done.stdout) == (0, "12345\nrefused\n"), done
