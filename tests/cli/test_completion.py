"""Completion, by a real bash that has read what `ganger completion bash` prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganger.cli.completion import SHELLS
from ganger.cli.main import SUMMARIES, main
from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.model import ItemSpec
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Fleet
from ganger.service.place import JOURNAL
from ganger.testing.builders import BASE


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet with the items `login`, `logout` and `search`, a run of the first, and its question."""
    place = tmp_path_factory.mktemp("state")
    fleet = Fleet(Store(place / JOURNAL), Policy())
    names = ("login", "logout", "search")
    specs = [(ItemSpec(ItemId(n), PlanId("auth"), n, (f"{n}/**",)), "") for n in names]
    fleet.submit(cmd.AddPlan(PlanId("auth"), "Auth", "auth.toml", "0", tuple(specs)), "person:ann")
    fleet.submit(cmd.GrantRun(ItemId("login"), BASE), "person:ann")
    token = fleet.look(lambda state, _: state.runs[RunId("login.1")].lease.token)
    fleet.submit(cmd.AskQuestion(RunId("login.1"), token, "Which?", ("a", "b")), "worker:login.1")
    fleet.close()
    return place


def bash(tmp_path: Path, state: Path, line: str) -> list[str]:
    """What a real bash offers at the end of a command line."""
    program = tmp_path / "bin" / "ganger"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ganger "$@"\n')
    program.chmod(0o755)
    words = line.split(" ")
    script = (
        'eval "$(ganger completion bash)"\n'
        f"COMP_WORDS=({' '.join(word or chr(34) * 2 for word in words)}); COMP_CWORD={len(words) - 1}\n"
        "_ganger_completion ganger\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "GANGER_STATE": str(state), "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()


LINES = {
    "ganger sta": ["status"],
    "ganger re": ["resume", "report", "retry", "rewind", "resume-check", "residual"],
    "ganger plan li": ["lint"],
    "ganger retry l": ["logout", "login"],
    "ganger retry --n": ["--now"],
    "ganger retry --now lo": ["logout", "login"],
    "ganger plan stop a": ["auth"],
    "ganger show log": ["logout", "login", "login.1"],
    "ganger admit s": ["search"],
    "ganger admit --s": ["--shared", "--scope"],
    "ganger stop login.": ["login.1"],
    "ganger liveness ": ["login.1"],
    "ganger pause ": ["auth"],
    "ganger answer ": ["q1"],
    "ganger done --outcome f": ["findings"],
    "ganger nonsense x": [],
    "ganger retry nobody": [],
}


@pytest.mark.parametrize("line", LINES)
def test_what_bash_offers(tmp_path: Path, fleet: Path, line: str) -> None:
    assert bash(tmp_path, fleet, line) == LINES[line]


@pytest.mark.parametrize("damage", ["none", "empty", "garbage", "folder"])
def test_without_a_fleet_that_can_be_read_there_is_nothing_and_no_error(tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    if damage == "folder":
        (state / JOURNAL).mkdir()
    elif damage != "none":
        (state / JOURNAL).write_bytes(b"" if damage == "empty" else b"\x00garbage" * 500)
    assert bash(tmp_path, state, "ganger show ") == []


def test_names_that_a_shell_would_act_on_are_not_offered(tmp_path: Path) -> None:
    """Nobody can make such an item; a journal that was tampered with could hold one."""
    fleet = Fleet(Store(tmp_path / JOURNAL), Policy())
    specs = [(ItemSpec(ItemId(n), PlanId("p"), n, ("x",)), "") for n in ("good", "$(touch pwned)", "a b", "\x1b[31m")]
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "0", tuple(specs)), "person:ann")
    fleet.close()
    assert bash(tmp_path, tmp_path, "ganger retry ") == ["good"]


def test_it_loads_little(fleet: Path) -> None:
    """What a press of the key costs is what is imported; `python -m bench questions` measures it."""
    env = os.environ | {"GANGER_STATE": str(fleet), "_GANGER_COMPLETE": "bash_complete"}
    env |= {"COMP_WORDS": "ganger show lo", "COMP_CWORD": "2"}
    argv = [sys.executable, "-X", "importtime", "-m", "ganger"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["plain,logout", "plain,login", "plain,login.1"]
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    ours = {name for name in loaded if name.startswith("ganger.") and name.count(".") == 2}
    assert ours == {
        "ganger.cli.completion",
        "ganger.cli.main",
        "ganger.cli.options",
        "ganger.cli.output",
        "ganger.core.ids",
        "ganger.git.naming",
        "ganger.journal.queries",
        "ganger.plans.values",
        "ganger.plans.wording",
        "ganger.report.safe",
        "ganger.service.place",
    }
    assert not loaded & {"asyncio", "msgspec", "rich", "tomllib"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    shown = capsys.readouterr()
    assert f"_GANGER_COMPLETE={shell}_complete" in shown.out and "ganger" in shown.out and not shown.err


def test_every_command_can_be_completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("_GANGER_COMPLETE", "bash_complete"), ("COMP_WORDS", "ganger "), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    assert main([]) == 0
    assert [line.partition(",")[2] for line in capsys.readouterr().out.split()] == list(SUMMARIES)
