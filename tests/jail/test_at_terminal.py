"""A program at a person's terminal: its end is waited for, told, and brought about once nobody may be there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ganger.jail import at_terminal
from ganger.jail.port import Confined

SH = "/bin/sh"


def run(tmp_path: Path, script: str, *, wanted: bool = True, program: str = SH) -> int:
    env = {"PATH": "/usr/bin:/bin", "WHERE": str(tmp_path)}
    return at_terminal.run(program, Confined(("sh", "-c", script)), env, tmp_path, lambda: wanted)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -INT $$", -2)])
def test_its_end_is_told(tmp_path: Path, script: str, code: int) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)]
    assert run(tmp_path, script) == code
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)] == before


def test_it_has_its_own_environment_and_folder(tmp_path: Path) -> None:
    assert run(tmp_path, 'test "$PWD" = "$WHERE" && test -z "$HOME" && umask > mask') == 0
    assert (tmp_path / "mask").read_text() == "0077\n"


@pytest.mark.parametrize(("script", "code"), [("exec sleep 300", -15), ("trap '' TERM; exec sleep 300", -9)])
def test_once_it_is_not_wanted_it_ends(tmp_path: Path, script: str, code: int) -> None:
    assert run(tmp_path, script, wanted=False) == code


def test_what_cannot_be_started_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "true", program="/no/such/program") == 127
    assert "/no/such/program cannot be started" in capfd.readouterr().err
