"""What the real world finds of a worker that a killed supervisor started and could not record."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import msgspec
import pytest
from lab import RUN, SPEC, Lab, git
from msgspec.structs import replace

from ganger.core.ids import Commit
from ganger.core.model import WorkerId
from ganger.core.state import State
from ganger.drivers import process
from ganger.errors import WorldFailed
from ganger.git import workspace
from ganger.git.repository import open_repository
from ganger.supervisor.world import GONE


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    made = Lab(tmp_path, request.param.format(out=tmp_path / "ran"))
    yield made
    made.close()


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


@pytest.mark.parametrize("lab", [LASTING], indirect=True)
def test_stopping_a_turn_spares_the_next_one_and_keeping_ends_both(lab: Lab) -> None:
    """The supervisor starts a turn as soon as the one before is gone, while what that left is still being swept up."""
    first = lab.world.start(lab.run, SPEC, 1)
    run = replace(lab.run, turn=1, worker=first)
    second = lab.world.start(run, SPEC, 2)
    lab.world.stop(run)
    assert not process.is_alive(first) and process.is_alive(second)
    lab.world.keep(run)
    assert not process.is_alive(second)


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
def test_a_workspace_that_was_made_for_an_earlier_permit_is_made_anew(lab: Lab) -> None:
    git(lab.top, "commit", "-q", "--allow-empty", "-m", "second")
    moved = replace(lab.run, base=Commit(git(lab.top, "rev-parse", "HEAD")))
    workspace.create(lab.hub, lab.place, RUN, lab.run.base)
    assert process.wait(lab.world.start(moved, SPEC, 1), 20_000)
    assert git(lab.place, "rev-parse", "HEAD") == moved.base
    assert ran(lab) == 1


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_manifest_says_under_what_it_was_started(lab: Lab) -> None:
    process.wait(lab.world.start(lab.run, SPEC, 1), 20_000)
    folder = lab.state_dir / "runs" / RUN / "turn-1"
    text = (folder / "manifest.json").read_text()
    assert '"token": 7' in text and '"tier": "T0"' in text and '"driver": "command"' in text
    manifest = json.loads(text)
    assert manifest["prompt_sha256"] == hashlib.sha256((folder / "brief.1.md").read_bytes()).hexdigest()
    assert manifest["item_sha256"] == hashlib.sha256(msgspec.json.encode(SPEC, order="sorted")).hexdigest()
    assert manifest["resume"] is False


@pytest.mark.parametrize("lab", [SHORT], indirect=True)
def test_repository_is_known_by_where_its_git_directory_lies(lab: Lab, tmp_path: Path) -> None:
    assert lab.world.observe(State(), 1_000).repo == open_repository(lab.top).repo_id
    lab.top.rename(tmp_path / "moved")
    assert lab.world._repo_id() == ""
    git(tmp_path / "moved", "worktree", "add", "-q", str(lab.top), "-b", "other")
    assert lab.world._repo_id() == open_repository(tmp_path / "moved").repo_id


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
