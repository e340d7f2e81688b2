"""`ganger journal`, `ganger trace` and `ganger prune` as commands: what they print, their JSON, their exit status."""

from __future__ import annotations

import json
from typing import Any

import apsw
import click
import pytest
from kept_fleet import KeptFleet

from ganger.cli import records
from ganger.cli.main import App
from ganger.journal import codec


class Called:
    """How a command ended."""

    def __init__(self, fleet: KeptFleet, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        capsys.readouterr()
        command: click.Command = {"journal": records.journal, "trace": records.trace, "prune": records.prune}[words[0]]
        app = App(fleet.state_dir, str(fleet.state_dir))
        self.code = command.main(list(words[1:]), prog_name=words[0], standalone_mode=False, obj=app)
        self.out, self.err = capsys.readouterr()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def broken(fleet: KeptFleet) -> None:
    """Damage an entry, and append one that a newer ganger wrote."""
    fleet.close()
    db = apsw.Connection(str(fleet.state_dir / "journal.db"))
    db.execute("UPDATE entries SET body=CAST(body || ' ' AS BLOB) WHERE seq=5")
    seq, at_ms, previous = db.execute("SELECT seq+1, at_ms, hash FROM entries ORDER BY seq DESC").fetchone()
    body = b'{"type":"PlanPaused","plan":"plan","v":9}'
    row = (seq, at_ms, body, codec.crc(body), codec.link(previous, seq, at_ms, "x", body))
    db.execute("INSERT INTO entries VALUES (?,?,'PlanPaused','','x',NULL,?,?,?)", row)
    db.close()


SHAPES = {
    ("journal", "tail", "-n", "1"): ("ganger.journal-entry", {"seq", "at_ms", "actor", "crc", "hash", "event"}),
    ("journal", "export"): ("ganger.journal-entry", {"seq", "at_ms", "actor", "crc", "hash", "event"}),
    ("journal", "verify"): ("ganger.journal-verify", {"entries", "head", "fault", "faults"}),
    ("journal", "replay"): ("ganger.journal-replay", {"entries", "rebuilt", "checked", "faults"}),
    ("trace", "a"): ("ganger.trace", {"ref", "what", "runs", "lines", "mismatches", "pruned"}),
    ("prune", "--dry-run"): ("ganger.prune", {"dry_run", "runs", "unseen"}),
}


@pytest.mark.parametrize("words", list(SHAPES), ids=" ".join)
def test_every_shape(fleet: KeptFleet, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    fleet.landed("a.1")
    called = Called(fleet, capsys, *words, "--json")
    kind, keys = SHAPES[words]
    assert called.code == 0 and called.out.isascii()
    for line in called.lines:
        assert (list(line)[:2], line["kind"], line["version"]) == (["kind", "version"], kind, 1)
        assert set(line) == keys | {"kind", "version"}


def test_tail_and_export_tell_the_same_of_an_entry(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.landed("a.1")
    every = Called(fleet, capsys, "journal", "export", "--json").lines
    assert [line["seq"] for line in every] == list(range(1, fleet.fleet.store.last_seq() + 1))
    assert Called(fleet, capsys, "journal", "tail", "-n", "3", "--json").lines == every[-3:]
    bare = Called(fleet, capsys, "journal", "export").lines
    assert [{name: value for name, value in line.items() if name not in ("kind", "version")} for line in every] == bare


def test_tail_says_every_entry_in_words(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.landed("a.1")
    last = Called(fleet, capsys, "journal", "tail").out.splitlines()[-1]
    assert last.split(maxsplit=4)[3:] == ["supervisor", "RunLanded          a.1 landed as dddddddddddd"]


def test_verify_lists_everything(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.landed("a.1")
    count = fleet.fleet.store.last_seq()
    broken(fleet)
    called = Called(fleet, capsys, "journal", "verify")
    assert called.code == 1
    assert called.err.splitlines() == [
        "ganger: entry 5 has a wrong checksum",
        f"ganger: entry {count + 1} is a PlanPaused of version 9, this ganger knows up to version 1:"
        " a newer ganger wrote it",
        "the 4 entries before the first of these hold",
    ]
    told = Called(fleet, capsys, "journal", "verify", "--json").lines[0]
    assert told["faults"][1] == {
        **{"seq": count + 1, "kind": "PlanPaused", "version": 9, "known": 1},
        "text": told["faults"][1]["text"],
    }


def test_replay_of_what_cannot_be_read(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.landed("a.1")
    broken(fleet)
    for words in (("replay",), ("replay", "--check"), ("replay", "--rebuild")):
        called = Called(fleet, capsys, "journal", *words)
        assert called.code == 1, words
        assert "entry 5" in called.err


def test_replay_checks_state_tables_indexes_and_manifests(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.landed("a.1")
    fleet.failed("b.1")
    fine = Called(fleet, capsys, "journal", "replay", "--check")
    assert fine.code == 0
    assert fine.out.endswith(" entries folded: state, tables and manifests are what they give\n")
    db = apsw.Connection(str(fleet.state_dir / "journal.db"))
    db.execute("DELETE FROM turns; DELETE FROM mentions WHERE subject LIKE 'lease:%'")
    db.close()
    manifest = fleet.turn_dir("a.1") / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"T0"', '"T0","turn":7'))
    fleet.turn_dir("b.1", 9).mkdir()
    fleet.turn_dir("c.1").mkdir(parents=True)
    found = Called(fleet, capsys, "journal", "replay", "--check", "--json")
    assert (found.code, found.lines[0]["faults"]) == (
        1,
        [
            "the table turns differs from what the journal gives",
            "the table mentions differs from what the journal gives",
            "b.1 turn 9: there is a folder of it, and the journal knows none",
            "c.1: there is a folder of it, and the journal knows no such run",
        ],
    )
    assert Called(fleet, capsys, "journal", "replay", "--rebuild").code == 0
    again = Called(fleet, capsys, "journal", "replay", "--check")
    assert [line for line in again.err.splitlines() if line][:3] == [
        "ganger: a.1 turn 1: its manifest says turn 7, the journal 1",
        "ganger: b.1 turn 9: there is a folder of it, and the journal knows none",
        "ganger: c.1: there is a folder of it, and the journal knows no such run",
    ]


def test_a_story_ends_with_what_does_not_match(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.landed("a.1")
    assert Called(fleet, capsys, "trace", "a").code == 0
    (fleet.turn_dir("a.1") / "output.log").unlink()
    told = Called(fleet, capsys, "trace", "a.1")
    assert told.code == 1
    at = next(line.seq for line in fleet.trace("a").lines if line.type == "WorkerStarted")
    assert told.out.splitlines()[-1] == (
        f"MISMATCH #{at}: output of a.1 turn 1 is missing, and no pruning of it is recorded"
    )


def test_prune_says_what_it_did(fleet: KeptFleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.failed("a.1")
    before = fleet.tree()
    young = Called(fleet, capsys, "prune")
    assert (young.code, young.out, young.err) == (0, "", "0 runs pruned\n")
    only_told = Called(fleet, capsys, "prune", "--older-than", "0s", "--dry-run")
    assert only_told.err == "1 run would be pruned, 1 of them unseen by anybody\n"
    assert fleet.tree() == before
    pruned = Called(fleet, capsys, "prune", "--older-than", "0s", "--class", "output", "--json")
    assert pruned.lines[0]["runs"] == [
        {
            "run": "a.1",
            "classes": ["output"],
            "paths": [f"runs/a.1/turn-1/{name}" for name in ("home", "output.log", "tmp")],
            "bytes": 11,
            "unreviewed": True,
            "refused": "",
        }
    ]
    assert pruned.lines[0]["unseen"] == 1
    assert fleet.trace("a").pruned == (f"output of a.1 turn 1 was pruned (#{fleet.fleet.store.last_seq()})",)


@pytest.mark.parametrize("text", ["soon", "-1d", "3", "10000000d"])
def test_an_age_that_is_none(fleet: KeptFleet, capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(click.UsageError, match="--older-than"):
        Called(fleet, capsys, "prune", f"--older-than={text}")
