"""Starting git: what it inherits, its time limit, its version."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from gitworld import sh

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git.command import Git, UserGit, oid, version_fault
from ganger.git.hub import Hub


@pytest.mark.parametrize(
    ("printed", "fault"),
    [
        ("git version 2.38.0", ""),
        ("git version 2.39.5 (Apple Git-154)", ""),
        ("git version 3.0", ""),
        ("git version 2.37.9", "git version 2.37.9 is too old, ganger needs 2.38"),
        ("git version 1.99.0", "git version 1.99.0 is too old, ganger needs 2.38"),
        ("hub 4", "does not say its version as git does: 'hub 4'"),
    ],
)
def test_version_gate(printed: str, fault: str) -> None:
    assert version_fault(printed) == fault


def test_nothing_of_the_environment_reaches_git(hub: Hub, base: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere", "GIT_INDEX_FILE": "/nowhere/index"}
    hostile |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "alias.canary", "GIT_CONFIG_VALUE_0": "!echo ran"}
    hostile |= {"GIT_TRACE": "1", "GIT_NAMESPACE": "x", "GIT_OBJECT_DIRECTORY": "/nowhere", "LD_PRELOAD_X": "1"}
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    assert hub.git.rev_parse("refs/ganger/target") == base
    assert hub.git.call("canary").code != 0
    assert hub.repo.git.rev_parse("refs/heads/main") == base


def test_a_home_with_a_hostile_configuration_is_not_read(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "home" / ".gitconfig").write_text("[alias]\n\tcanary = !echo ran\n[user]\n\tname = Me\n")
    assert hub.git.call("canary").code != 0
    assert hub.git.call("config", "user.name").stdout == b""
    assert UserGit(hub.repo.top).text("config", "user.name") == "Me"


def test_the_time_limit_ends_the_whole_group(hub: Hub, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    started = time.monotonic()
    script = f"!sleep 3; touch {canary}"
    with pytest.raises(GitFailed) as failed:
        hub.git.run("-c", f"alias.slow={script}", "slow", timeout_s=0.2)
    assert failed.value.code == -1
    assert time.monotonic() - started < 2.5
    assert "no end after 0.2 s" in str(failed.value)


def test_failure_carries_arguments_status_and_reason(hub: Hub) -> None:
    with pytest.raises(GitFailed) as failed:
        hub.git.run("cat-file", "-p", "0" * 40)
    assert failed.value.argv[0] == "cat-file"
    assert failed.value.code == 128
    assert "Not a valid object name" in failed.value.stderr


def test_a_name_that_looks_like_an_option_is_a_name(hub: Hub, user: Path) -> None:
    assert hub.git.rev_parse("--git-dir") is None
    assert hub.git.rev_parse("-x") is None
    with pytest.raises(AssertionError):
        oid(Commit("--upload-pack=touch"))
    with pytest.raises(AssertionError):
        hub.diff(Commit("HEAD"), Commit("--output=x"))
    assert not (user / "x").exists()


def test_stdin_is_closed_and_bytes_go_in(hub: Hub) -> None:
    found = hub.git.run("hash-object", "-w", "--stdin", input=b"\x00\xff").decode().strip()
    assert hub.git.run("cat-file", "blob", found) == b"\x00\xff"
    assert hub.git.run("hash-object", "--stdin").decode().strip() == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_relative_entries_of_path_are_dropped(hub: Hub) -> None:
    assert all(entry.startswith("/") for entry in os.environ["PATH"].split(":"))
    seen = Git(hub.path).text("-c", "alias.env=!printenv", "env")
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert not names & {"HOME", "USER", "SSH_AUTH_SOCK"}


def test_sh_of_the_tests_is_plain_git(user: Path) -> None:
    assert sh(user, "rev-parse", "--is-inside-work-tree") == "true"
