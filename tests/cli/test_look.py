"""What `ganger admit` reads is what the journal folds to, and reading it leaves no trace."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import json

from ganger.cli import admit, state
from ganger.cli.main import main
from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, PlanId, RunId
from ganger.core.model import ItemSpec
from ganger.core.policy import Policy
from ganger.errors import JournalCorrupt, StateDirError
from ganger.journal import store
from ganger.journal.queries import NoFleet
from ganger.journal.store import Store
from ganger.service import predicates
from ganger.service.door import POLICY, keep_policy
from ganger.service.fleet import Fleet


def grown(place: Path, notes: int) -> Fleet:
    """A fleet with a run that has said so much."""
    place.mkdir()
    keep_policy(place, Policy())
    fleet = Fleet(Store(place / "journal.db"), Policy())
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("src/**",))
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", ((spec, "do it"),)), "person:me")
    fleet.submit(cmd.GrantRun(ItemId("a"), Commit("1" * 40)), "person:me")
    token = fleet.look(lambda found, _: next(iter(found.runs.values())).lease.token)
    for number in range(notes):
        fleet.submit(cmd.AddNote(RunId("a.1"), token, f"{number}"), "worker:a.1")
    return fleet


@pytest.mark.parametrize("every", [4, 100_000], ids=["from a stored state", "from the first entry"])
def test_it_is_the_fold_of_the_journal(tmp_path: Path, every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SNAPSHOT_EVERY", every)
    fleet = grown(tmp_path / "state", 11)
    seen = state.look(tmp_path / "state")
    assert json.encode(seen.state.snapshot()) == json.encode(fleet.store.folded.snapshot())
    assert seen.state.seq == fleet.store.last_seq() > 11
    assert seen.now_ms >= seen.state.at_ms
    assert seen.policy == Policy()
    fleet.close()


def test_it_needs_no_lock_and_leaves_no_trace(tmp_path: Path) -> None:
    fleet = grown(tmp_path / "state", 1)
    with fleet.store.writing():
        assert state.look(tmp_path / "state").state.seq == 4
    fleet.close()
    before = digests(tmp_path / "state")
    code = "from pathlib import Path; from ganger.cli.state import look; import sys; look(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "state")], check=True)
    after = {name: found for name, found in digests(tmp_path / "state").items() if not name.endswith(("-shm", "-wal"))}
    assert after == before


def digests(place: Path) -> dict[str, str]:
    """Every file of a folder, with a digest of its content."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir() if path.is_file()}


def test_damage_is_an_error_and_never_an_answer(tmp_path: Path) -> None:
    fleet = grown(tmp_path / "state", 5)
    fleet.store.db.execute("UPDATE entries SET body=replace(CAST(body AS TEXT), ?, ?) WHERE seq=6", ('"2"', '"9"'))
    with pytest.raises(JournalCorrupt, match="entry 6 "):
        state.look(tmp_path / "state")
    fleet.store.db.execute("DELETE FROM entries WHERE seq=5")
    with pytest.raises(JournalCorrupt, match=r"entry 5 .* is missing"):
        state.look(tmp_path / "state")
    fleet.close()


def test_no_fleet_and_no_policy_are_said(tmp_path: Path) -> None:
    with pytest.raises(NoFleet):
        state.look(tmp_path)
    grown(tmp_path / "state", 0).close()
    (tmp_path / "state" / POLICY).write_text("{")
    with pytest.raises(StateDirError, match=r"policy\.json cannot be read"):
        state.look(tmp_path / "state")


def test_it_knows_the_names_of_what_is_kept() -> None:
    assert state.POLICY == POLICY
    assert admit.PREDICATES == predicates.KEPT


def test_admit_loads_nothing_heavy() -> None:
    script = (
        "import sys, ganger.cli.admit\n"
        "heavy = {'click', 'rich', 'jinja2', 'psutil', 'subprocess', 'asyncio', 'socket', 'tomllib', 'threading'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"


def test_what_a_worker_says_stays_on_its_own_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = grown(tmp_path / "state", 0)
    token = fleet.look(lambda found, _: next(iter(found.runs.values())).lease.token)
    forged = "hi\n      9 2026-01-01 00:00:00 person:me  VerdictGiven       a.1 accepted"
    fleet.submit(cmd.AddNote(RunId("a.1"), token, forged), "worker:a.1")
    fleet.close()
    for words in (("journal", "tail"), ("trace", "a")):
        assert main(["--state-dir", str(tmp_path / "state"), *words]) in (0, 1)
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if "accepted" in line and "worker:a.1" not in line] == []


def test_predicates_that_cannot_be_read_admit_nobody(tmp_path: Path) -> None:
    place = tmp_path / "state"
    grown(place, 0).close()
    (place / predicates.KEPT).write_text('{"programs"')
    with pytest.raises(StateDirError, match=r"predicates\.json cannot be read"):
        admit.objection(place, state.look(place), ItemId("a"))


@pytest.mark.parametrize("words", [("plan", "lint", "x" * 300), ("why", "\udcff"), ("trace", "\udcff")])
def test_an_argument_that_no_name_can_be_is_no_fault_of_ganger(tmp_path: Path, words: tuple[str, ...]) -> None:
    grown(tmp_path / "state", 0).close()
    assert main(["--state-dir", str(tmp_path / "state"), *words]) == 2
