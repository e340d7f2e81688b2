"""The board as a file: generated, never read, right again after anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganger.cli import mirror
from ganger.core import commands as cmd
from ganger.core.ids import ItemId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Fleet
from ganger.testing.builders import BASE, add_plan, spec


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(Store(tmp_path / "journal.db"), Policy())
    items = (spec(), spec("odd", scope=("docs/**",), title="a|b `c` <script> *d*\x1b[31m"))
    fleet.submit(add_plan(*items), "person:olga")
    return fleet


def board(tmp_path: Path) -> str:
    return (tmp_path / mirror.BOARD).read_text()


def test_it_shows_every_item_as_the_journal_has_it(fleet: Fleet, tmp_path: Path) -> None:
    mirror.write(tmp_path)
    assert board(tmp_path).splitlines()[2:6] == [
        "## plan",
        "",
        "| item | where it is | title | last word |",
        "| --- | --- | --- | --- |",
    ]
    assert "| `login` | ready | Login |  |" in board(tmp_path)
    assert "| `odd` | ready | a\\|b \\`c\\` &lt;script&gt; \\*d\\*" in board(tmp_path)
    assert "\x1b" not in board(tmp_path)


def test_what_somebody_writes_into_it_changes_nothing_and_is_written_over(fleet: Fleet, tmp_path: Path) -> None:
    mirror.write(tmp_path)
    before = board(tmp_path)
    (tmp_path / mirror.BOARD).write_text(before.replace("| ready |", "| landed |"))
    with mirror.kept(tmp_path):
        assert board(tmp_path) == before
    assert fleet.look(lambda state, _: state.items[ItemId("login")].landed) == ""


def test_a_crash_between_journal_and_board_is_repaired_at_the_next_start(fleet: Fleet, tmp_path: Path) -> None:
    mirror.write(tmp_path)
    fleet.submit(cmd.GrantRun(ItemId("login"), BASE), "supervisor")
    assert "| `login` | ready |" in board(tmp_path)
    with mirror.kept(tmp_path):
        assert "| `login` | running |" in board(tmp_path)
        (tmp_path / mirror.BOARD).unlink()
    assert "| `login` | running |" in board(tmp_path)
