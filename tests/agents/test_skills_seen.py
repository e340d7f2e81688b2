"""The real agent programs find ganger's skills where `ganger skills install` puts them."""

from __future__ import annotations

import sys
from pathlib import Path

import install
import pytest
from programs import ALL, BIN, need

from ganger.cli.agents_install import write_whole
from ganger.drivers.port import load_driver
from ganger.service.skills import changes, folder_of, packaged
from ganger.testing.driver_suite import SECRET, Workshop
from ganger.testing.model_server import ModelServer
from ganger.testing.model_server.steps import Say

PATH = f"{BIN}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
WHERE = {
    "claude": ("CLAUDE_CONFIG_DIR", "claude"),
    "codex": ("CODEX_HOME", "codex"),
    "opencode": ("XDG_CONFIG_HOME", "config"),
    "pi": ("PI_CODING_AGENT_DIR", "pi"),
}
"""The variable with which the driver says where the settings are, and the folder in the run's own."""


@pytest.mark.parametrize("agent", [one for one in WHERE if install.pins()[one]["ci"] or ALL])
def test_the_model_is_told_of_every_skill(
    agent: str, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", SECRET)
    base = server.url(agent) + ("" if agent == "claude" else "/v1")
    settings = {"program": str(need(agent)), "base_url": base, "model": "m", "key_env": "CANARY_KEY"}
    shop = Workshop(tmp_path / "shop", load_driver(agent), settings, PATH)
    variable, folder = WHERE[agent]
    place = folder_of(agent, {variable: str(shop.place / "run" / "agent" / folder)})
    for change in changes(place, uninstall=False):
        write_whole(change.path, change.after)
    server.play(agent, Say(text="Done."))
    assert shop.run("# Mend the login").code == 0, shop.output()
    asked = server.state(agent).conversation
    for skill in packaged():
        assert skill.name in asked and skill.description[:60] in asked, f"{agent} does not tell of {skill.name}"
