"""`ganger agents list`, on programs that say what the real ones say, or something else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganger.drivers.port import Product
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.service.agents import find

PRODUCT = Product("agent", ("1.2.3",))


@pytest.mark.parametrize(
    ("script", "version", "works", "why"),
    [
        ("echo 'agent 1.2.3 (release)'", "1.2.3", True, ""),
        ("echo v1.3.0-beta.1.", "1.3.0-beta.1", True, ""),
        ("echo 'needs Node 24' >&2; exit 1", "", False, "it does not start: needs Node 24"),
        ("exit 3", "", False, "it does not start: it ends with 3"),
        ("echo hello", "", False, "it does not start: hello"),
    ],
)
def test_what_a_program_says(tmp_path: Path, script: str, version: str, works: bool, why: str) -> None:
    found = look(tmp_path, script)
    assert (found.version, found.works, found.why) == (version, works, why)
    assert found.is_tested is (version == "1.2.3")


def test_one_that_is_not_there(tmp_path: Path) -> None:
    found = find("agent", PRODUCT, str(tmp_path), tmp_path / "place", jail(tmp_path))
    assert (found.program, found.works, found.why) == ("", False, "agent is not on PATH")


def test_it_sees_nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-1.2.3")
    found = look(tmp_path, 'echo "${SOME_API_KEY:-none} $HOME"')
    assert found.why == f"it does not start: none {tmp_path / 'place' / 'home'}"


def look(tmp_path: Path, script: str):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "agent"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return find("agent", PRODUCT, f"{folder}:/usr/bin:/bin", tmp_path / "place", jail(tmp_path))


def jail(tmp_path: Path):
    return choose(Mechanism.auto, "T0", tools_for("/usr/bin:/bin", (tmp_path,)))


def test_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "codex").write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
    (folder / "codex").chmod(0o755)
    (folder / "pi").write_text("#!/bin/sh\necho 9.9.9\n")
    (folder / "pi").chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "ganger", "agents", "list"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()}
    assert lines["codex"] == "0.169.0 0.169.0 yes"
    assert lines["pi"] == "9.9.9 0.87.1 yes"
    assert lines["claude"] == "- 2.1.329 no: claude is not on PATH"
    assert "a version that was not tested" in done.stderr
    done = subprocess.run([*command, "--json"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    rows = {row["driver"]: row for row in json.loads(done.stdout)["agents"]}
    assert (rows["codex"]["is_tested"], rows["pi"]["is_tested"]) == (True, False)
    none = subprocess.run(command, env=env | {"PATH": os.defpath}, cwd=tmp_path, capture_output=True, check=False)
    assert none.returncode == 1
