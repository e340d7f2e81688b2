"""Hooks without a gate: of a person's own session, and of a worker that sees the journal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hooked_run import SECRET, reason

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, PlanId, RunId
from ganger.core.model import ItemSpec
from ganger.core.policy import Policy
from ganger.drivers.hooks import HookEvent, load_dialect
from ganger.journal.store import Store
from ganger.service import place
from ganger.service.door import keep_policy
from ganger.service.fleet import Accepted, Fleet
from ganger.service.places import Places
from ganger.worker_api.slow import answer
from ganger.worker_api.views import RULES, VIEW, Rules, RunView, encode

RUN = RunId("a.1")
HELD = "src/x is held by a.1; wait for it, or ganger stop a.1: its work is kept"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", str(made)], check=True)
    (made / "src").mkdir()
    return made


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    state = tmp_path / "state"
    state.mkdir()
    keep_policy(state, Policy())
    fleet = Fleet(Store(state / "journal.db"), Policy())
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="a", scope=("src/**",))
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", ((spec, "do it"),)), "person:me")
    assert isinstance(fleet.submit(cmd.GrantRun(ItemId("a"), Commit("1" * 40)), "supervisor"), Accepted)
    yield fleet
    fleet.close()


def person(repo: Path, tool: str, arguments: dict[str, Any], cwd: Path | None = None) -> str:
    """What a person's own session is told."""
    environ = {"GANGER_STATE": str(repo.parent / "state"), "HOME": str(repo.parent)}
    payload = {"cwd": str(cwd or repo), "tool_name": tool, "tool_input": arguments}
    return ask(environ, payload, repo)


def ask(environ: dict[str, str], payload: Any, start: Path, now_ms: int = 0) -> str:
    text = json.dumps(payload).encode()
    return reason(answer(environ, HookEvent.pre_tool, load_dialect("claude"), text, start, now_ms or now()))


def now() -> int:
    return time.time_ns() // 1_000_000


def test_a_person_is_told_who_holds_a_file(repo: Path, fleet: Fleet) -> None:
    assert person(repo, "Write", {"file_path": "src/x"}) == HELD
    assert person(repo, "Write", {"file_path": str(repo / "src/x")}) == HELD
    assert person(repo, "Write", {"file_path": "x"}, repo / "src") == HELD
    assert person(repo, "Bash", {"command": "echo x > src/x"}) == HELD
    assert person(repo, "Write", {"file_path": "docs/x"}) == ""
    assert person(repo, "Write", {"file_path": "/elsewhere/src/x"}) == ""
    assert person(repo, "Read", {"file_path": "src/x"}) == ""
    fleet.submit(cmd.StopRun(RUN, cmd.EndKind.stopped, "enough"), "person:me")
    token = fleet.look(lambda state, _: state.runs[RUN].lease.token)
    fleet.submit(cmd.RecordEnd(RUN, token, cmd.EndKind.stopped, "enough"), "supervisor")
    assert person(repo, "Write", {"file_path": "src/x"}) == ""


@pytest.mark.parametrize(
    ("cwd", "path", "held"),
    [
        (".", "repo/src/x", True),
        (".", "repo/docs/x", False),
        (".", "src/x", False),
        ("linked", "src/x", True),
        ("linked/src", "x", True),
        ("linked", "docs/x", False),
        ("linked", "../repo/src/x", True),
        ("repo", "../linked/src/x", True),
        ("repo", "inner/src/x", True),
        ("repo", "other/src/x", False),
        ("repo", "link/x", True),
    ],
)
def test_the_checkout_is_that_of_the_file_whatever_is_worked_in(
    repo: Path, fleet: Fleet, tmp_path: Path, cwd: str, path: str, held: bool
) -> None:
    git = ("git", "-C", str(repo), "-c", "user.name=x", "-c", "user.email=x@example.invalid")
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    for made in (tmp_path / "linked", repo / "inner"):
        subprocess.run([*git, "worktree", "add", "-q", "--detach", str(made)], check=True, capture_output=True)
        (made / "src").mkdir()
    subprocess.run(["git", "init", "-q", str(repo / "other")], check=True)
    (repo / "link").symlink_to("src")
    keep_apart(tmp_path, repo)
    environ = {"XDG_STATE_HOME": str(tmp_path / "states"), "HOME": str(tmp_path)}
    for tool, arguments in (("Write", {"file_path": path}), ("Bash", {"command": f"rm {path}"})):
        payload = {"cwd": str(tmp_path / cwd), "tool_name": tool, "tool_input": arguments}
        assert ask(environ, payload, tmp_path) == (HELD if held else "")


def keep_apart(tmp_path: Path, repo: Path) -> None:
    """Give the fleet the state directory that its repository, and no other, has."""
    own = place.state_dir(repo, {"XDG_STATE_HOME": str(tmp_path / "states")})
    own.parent.mkdir(parents=True)
    own.symlink_to(tmp_path / "state")


@pytest.mark.parametrize(
    ("command", "held"),
    [
        ("rm -rf src", "src/x"),
        ("mv src away", "src/x"),
        ("cp docs/y src", "src/y"),
        ("cp docs/y src/", "src/y"),
        ("mkdir src/new", ""),
        ("rm -rf docs", ""),
        ("rm -rf ../repo", "src/x"),
    ],
)
def test_a_folder_stands_for_the_files_in_it(repo: Path, fleet: Fleet, command: str, held: str) -> None:
    (repo / "docs").mkdir()
    for name in ("src/x", "docs/y"):
        (repo / name).write_text("")
    assert person(repo, "Bash", {"command": command}) == HELD.replace("src/x", held) * bool(held)


def test_without_a_fleet_nothing_is_held(repo: Path, tmp_path: Path) -> None:
    assert person(repo, "Write", {"file_path": "src/x"}) == ""
    (tmp_path / "plain").mkdir()
    assert person(repo, "Write", {"file_path": "src/x"}, tmp_path / "plain") == ""


def test_with_a_journal_that_cannot_be_read_nothing_is_written(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/journal.db").write_bytes(b"no database" * 1_000)
    assert person(repo, "Write", {"file_path": "docs/x"}).startswith("ganger cannot say whether this may be done (")
    assert person(repo, "Read", {"file_path": "docs/x"}) == ""


def test_a_worker_that_sees_the_journal_is_answered_by_it(repo: Path, fleet: Fleet, tmp_path: Path) -> None:
    state = tmp_path / "state"
    lease = fleet.look(lambda found, _: found.runs[RUN].lease)
    folder = Places(state).run(RUN)
    folder.mkdir(parents=True)
    (folder / RULES).write_bytes(encode(Rules()))
    (folder / VIEW).write_bytes(encode(RunView(RUN, lease.token, "", str(repo), lease)))
    environ = {
        "GANGER_DOOR": str(folder / "door"),
        "GANGER_RUN": RUN,
        "GANGER_TOKEN": str(lease.token),
        "GANGER_SECRET": SECRET,
    }
    write = {"tool_name": "Write", "tool_input": {"file_path": "src/x"}}
    assert ask(environ, write, repo) == ""
    assert ask(environ, write, repo, lease.expires_ms) == "the lease has run out; stop working on it"
    outside = {"tool_name": "Write", "tool_input": {"file_path": "docs/x"}}
    assert ask(environ, outside, repo) == "docs/x is outside the scope src/**; ask, or leave it"
    fleet.submit(cmd.StopRun(RUN, cmd.EndKind.stopped, "enough"), "person:me")
    fleet.submit(cmd.RecordEnd(RUN, lease.token, cmd.EndKind.stopped, "enough"), "supervisor")
    assert "not live with this token" in ask(environ, write, repo)
    assert ask(environ, {"tool_name": "Read", "tool_input": {}}, repo) == ""


def test_what_is_no_question_is_denied(repo: Path, fleet: Fleet) -> None:
    assert "it names no tool" in ask({}, {"tool_input": {}}, repo)


def test_without_an_input_nothing_is_written(tmp_path: Path) -> None:
    line = f"exec {shlex.quote(sys.executable)} -P -m ganger hook pre-tool --agent claude <&-"
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", line], env=environ, cwd=tmp_path, capture_output=True, check=True)
    assert "the call was not understood: it is not JSON" in reason(done.stdout)
