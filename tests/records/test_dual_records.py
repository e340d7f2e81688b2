"""The journal is the source: tables and manifests must agree with it, and are named where they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import click
import pytest
from kept_fleet import KeptFleet

from ganger.cli import records
from ganger.cli.main import App


@pytest.fixture
def journal(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `ganger journal …` on a fleet with a landed item and nobody at work; returns status and output."""
    fleet.landed("a.1")
    fleet.close()

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        command: click.Command = records.journal
        code = command.main(list(words), standalone_mode=False, obj=App(fleet.state_dir, str(fleet.state_dir)))
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def change(state_dir: Path, sql: str) -> None:
    db = apsw.Connection(str(state_dir / "journal.db"))
    db.execute(sql)
    assert db.changes() == 1
    db.close()


ROWS = {
    "DELETE FROM turns": "turns",
    "UPDATE turns SET evidence=''": "turns",
    "UPDATE turns SET verdict=replace(verdict, 'accepted', 'rejected')": "turns",
    "UPDATE items SET landed='' WHERE id='a'": "items",
    "UPDATE items SET landed='d', status='landed' WHERE id='b'": "items",
    "DELETE FROM trains": "trains",
    "UPDATE runs SET landed=''": "runs",
}


@pytest.mark.parametrize("sql", ROWS)
def test_a_row_that_differs_is_named_and_made_anew(
    fleet: KeptFleet, journal: Callable[..., tuple[int, str]], sql: str
) -> None:
    assert journal("replay", "--check")[0] == 0
    change(fleet.state_dir, sql)
    code, told = journal("replay", "--check")
    assert code == 1 and f"the table {ROWS[sql]} differs from what the journal gives" in told
    assert journal("replay", "--rebuild")[0] == 0
    assert journal("replay", "--check")[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"base":"b', '"base":"c', "its manifest says base c"),
        ('"token":', '"token":1', "its manifest says token 1"),
        ('"agent":"default"', '"agent":"other"', "its manifest says agent other, the journal default"),
        ('{"', "{", "its manifest cannot be read"),
    ],
)
def test_a_manifest_that_was_edited_is_named(
    fleet: KeptFleet, journal: Callable[..., tuple[int, str]], old: str, new: str, told: str
) -> None:
    path = fleet.turn_dir("a.1") / "manifest.json"
    path.write_text(path.read_text().replace(old, new, 1))
    code, shown = journal("replay", "--check")
    assert code == 1 and f"a.1 turn 1: {told}" in shown


def test_a_manifest_that_is_gone_is_named(fleet: KeptFleet, journal: Callable[..., tuple[int, str]]) -> None:
    (fleet.turn_dir("a.1") / "manifest.json").unlink()
    code, shown = journal("replay", "--check")
    assert code == 1 and "a.1 turn 1: its manifest is missing" in shown


def test_text_that_was_edited_in_the_journal_is_named(
    fleet: KeptFleet, journal: Callable[..., tuple[int, str]]
) -> None:
    change(fleet.state_dir, "UPDATE entries SET body=replace(body, 'accepted', 'rejected') WHERE type='VerdictGiven'")
    code, shown = journal("verify")
    assert code == 1 and "has a wrong checksum" in shown
