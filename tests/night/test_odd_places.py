"""Nights in places and with settings that are not as one would expect."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import Fleet

HONEST = 'echo x >> "src/$item.txt"; commit "Change $item"'


@pytest.fixture
def fleet(tmp_path: Path):
    made = Fleet(tmp_path / "lab")
    made.begin()
    made.shell_agent("default", HONEST)
    made.item("a")
    yield made
    left = made.close()
    assert not left, f"the test left processes: {left}"


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="what a jail shows is named by paths with bubblewrap")
def test_a_link_on_the_way_to_the_state_changes_nothing(fleet: Fleet) -> None:
    (fleet.root / "elsewhere").mkdir()
    fleet.state.parent.mkdir(parents=True, exist_ok=True)
    link = fleet.root / "link"
    link.symlink_to(fleet.root / "elsewhere")
    fleet.state = link / "state"
    fleet.configure()
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet")
    assert done.code == 0, done
    assert fleet.on_main("src/a.txt") == "a\nx\n"


def test_a_network_that_nobody_can_keep_away_is_refused(fleet: Fleet) -> None:
    fleet.configure(more='[jail]\nmechanism = "none"\ntier_min = "T0"\nnetwork = "none"\n')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert (done.code, done.out) == (2, "")
    assert '`jail.network` = "none" cannot be held: T0' in done.err


def test_a_folder_to_link_to_that_is_not_there_is_told_before_the_night(fleet: Fleet) -> None:
    fleet.configure(more='[workspace]\nlinked = ["node_modules"]\n')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert (done.code, done.out) == (2, "")
    assert "`workspace.linked` names node_modules, and" in done.err
    assert "make it there" in done.err
