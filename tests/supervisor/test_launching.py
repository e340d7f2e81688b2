"""What is written and opened before an agent starts, although an earlier turn could write there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ganger.drivers.port import Launch
from ganger.errors import WorldFailed
from ganger.jail.port import Reach
from ganger.supervisor.launching import keys_of, opened, prepare_state, write_settings


def test_settings_are_written_for_the_owner_only(tmp_path: Path) -> None:
    state = prepare_state(tmp_path / "runs" / "a.1" / "agent")
    write_settings(state, {"codex/config.toml": b"x", "deep/er/still": b"y"})
    write_settings(state, {"codex/config.toml": b"again"})
    assert (state / "codex/config.toml").read_bytes() == b"again"
    assert stat.S_IMODE((state / "codex/config.toml").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == stat.S_IMODE((state / "deep/er").stat().st_mode) == 0o700
    assert sorted(path.name for path in (state / "codex").iterdir()) == ["config.toml"]


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    outside, state = tmp_path / "outside", prepare_state(tmp_path / "agent")
    outside.mkdir()
    (state / "codex").symlink_to(outside)
    with pytest.raises(WorldFailed, match="cannot be written"):
        write_settings(state, {"codex/config.toml": b"x"})
    assert not list(outside.iterdir())


def test_what_an_agent_has_put_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    outside, state = tmp_path / "outside.toml", prepare_state(tmp_path / "agent")
    outside.write_bytes(b"the user's")
    (state / "settings.json").symlink_to(outside)
    os.mkfifo(state / "other.json")
    write_settings(state, {"settings.json": b"ours", "other.json": b"ours"})
    assert outside.read_bytes() == b"the user's"
    assert (state / "settings.json").read_bytes() == (state / "other.json").read_bytes() == b"ours"
    assert not (state / "settings.json").is_symlink()


def test_keys_come_from_the_environment_by_name() -> None:
    launch = Launch(("agent",), {}, b"", keys={"ANTHROPIC_API_KEY": "MY_KEY"})
    assert keys_of(launch, {"MY_KEY": "sk-1", "OTHER": "x"}) == {"ANTHROPIC_API_KEY": "sk-1"}
    for environ in ({}, {"MY_KEY": ""}):
        with pytest.raises(WorldFailed, match="the variable MY_KEY is not set: the agent has no key"):
            keys_of(launch, environ)


def test_the_wall_is_opened_for_the_agent_and_no_further() -> None:
    launch = Launch(("agent",), {}, b"", readable=(Path("/opt/agent"),))
    reach = opened(Reach((Path("/w"),), (Path("/r"),), (Path("/w/.git/config"),)), Path("/s"), launch)
    assert reach == Reach((Path("/w"), Path("/s")), (Path("/r"), Path("/opt/agent")), (Path("/w/.git/config"),))
