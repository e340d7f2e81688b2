"""What the real world finds of a worker that a killed supervisor started and could not record."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import ItemSpec, Lease, LeaseMode, WorkerId
from ganger.core.policy import Policy
from ganger.core.state import Run
from ganger.drivers import process
from ganger.drivers.command import CommandDriver
from ganger.errors import WorldFailed
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail.none import NoJail
from ganger.journal.store import Store
from ganger.supervisor.watch import Watch
from ganger.supervisor.world import GONE, RealWorld

RUN = RunId("a.1")
SPEC = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("a.txt",), agent="hand")


class Lab:
    """A world with one run on a small repository; its worker appends a line to a file outside."""

    def __init__(self, root: Path, run: str) -> None:
        top = root / "repo"
        subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
        git = ["git", "-C", str(top), "-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        self.state_dir = root / "state"
        self.state_dir.mkdir()
        Store(self.state_dir / "journal.db").close()
        repository = open_repository(top)
        hub = Hub.open(self.state_dir / "hub.git", repository, "main")
        hub.sync_target()
        self.watch = Watch()
        agents = {"hand": (CommandDriver(), {"run": run})}
        never: Callable[[str], bool] = lambda path: False  # noqa: E731
        self.world = RealWorld(self.state_dir, repository, hub, Policy(), agents, NoJail(), never, never, self.watch)
        lease = Lease(Token(7), SPEC.scope, LeaseMode.exclusive, 1 << 50)
        self.run = Run(RUN, SPEC.id, 1, Commit(head), "hand", lease, 0)


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    made = Lab(tmp_path, request.param.format(out=tmp_path / "ran"))
    yield made
    made.world.keep(made.run)
    made.watch.close()


def ran(lab: Lab) -> int:
    path = lab.state_dir.parent / "ran"
    return len(path.read_text().splitlines()) if path.exists() else 0


LASTING = "sh -c 'echo x >> {out}; exec sleep 60'"
SHORT = "sh -c 'echo x >> {out}'"


@pytest.mark.parametrize("lab", [LASTING], indirect=True)
def test_living_worker_is_found_and_not_started_again(lab: Lab) -> None:
    first = lab.world.start(lab.run, SPEC, 1)
    assert lab.world.start(lab.run, SPEC, 1) == first
    until = time.monotonic() + 20
    while not ran(lab) and time.monotonic() < until:
        time.sleep(0.01)
    lab.world.stop(replace(lab.run, worker=first))
    assert ran(lab) == 1


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_ended_worker_is_not_started_again(lab: Lab) -> None:
    first = lab.world.start(lab.run, SPEC, 1)
    assert process.wait(first, 20_000)
    assert lab.world.start(lab.run, SPEC, 1) == GONE
    assert ran(lab) == 1


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_worker_that_ends_while_it_is_looked_for_is_not_started_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look for living ones comes back empty-handed, and the record appears during that very look."""
    first = lab.world.start(lab.run, SPEC, 1)
    look = process.find

    def slow_look(marker: str) -> WorkerId | None:
        assert process.wait(first, 20_000)
        return look(marker)

    monkeypatch.setattr(process, "find", slow_look)
    assert lab.world.start(lab.run, SPEC, 1) == GONE
    assert ran(lab) == 1


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_start_that_was_cut_off_before_the_process_is_made_good(lab: Lab) -> None:
    folder = lab.state_dir / "runs" / RUN / "turn-1"
    folder.mkdir(parents=True)
    (folder / "started").touch()
    assert process.wait(lab.world.start(lab.run, SPEC, 1), 20_000)
    assert ran(lab) == 1


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_manifest_says_under_what_it_was_started(lab: Lab) -> None:
    process.wait(lab.world.start(lab.run, SPEC, 1), 20_000)
    text = (lab.state_dir / "runs" / RUN / "turn-1" / "manifest.json").read_text()
    assert '"token": 7' in text and '"tier": "T0"' in text and '"driver": "command"' in text


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_environment_of_a_worker_has_no_secret_of_ours(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    env = lab.world._environment(lab.run, 1, lab.state_dir)
    assert "hush" not in env.values() and "GIT_DIR" not in env
    assert env["GANGER_TOKEN"] == "7" and env["HOME"] != os.environ.get("HOME")


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_agent_that_is_not_configured_is_said_plainly(lab: Lab) -> None:
    with pytest.raises(WorldFailed, match="there is no agent other"):
        lab.world.start(replace(lab.run, agent="other"), SPEC, 1)
