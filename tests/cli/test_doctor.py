"""The doctor finds each seeded fault, with a remedy, and mends what it may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

CONFIG = """
[fleet]
target = "main"
[checks.unit]
run = "true"
[agents.hand]
driver = "command"
run = "true"
"""
PLAN = """
[plan]
id = "p"
title = "P"
[[item]]
id = "a"
title = "A"
scope = ["a.txt"]
checks = []
agent = "hand"
hold = "draft"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    top = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    (top / "ganger.toml").write_text(CONFIG)
    (top / "plan.toml").write_text(PLAN)
    git = ["git", "-C", str(top), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    return tmp_path


def ganger(lab: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(lab), "GANGER_STATE": str(lab / "state")}
    argv = [sys.executable, "-m", "ganger", "-C", str(lab / "repo"), *args]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)


def findings(lab: Path, *args: str) -> tuple[int, dict[str, Any]]:
    done = ganger(lab, "doctor", "--json", *args)
    return done.returncode, {row["what"]: row for row in json.loads(done.stdout)["findings"]}


def test_all_is_well_before_and_after_a_night(lab: Path) -> None:
    assert findings(lab)[0] == 0
    assert ganger(lab, "run", "plan.toml", "--trust", "--quiet").returncode == 2
    assert ganger(lab, "run", str(lab / "repo" / "plan.toml"), "--trust", "--quiet").returncode == 5
    code, found = findings(lab)
    assert code == 0
    assert found["tables"]["state"] == "as the journal gives them"


def test_containment_is_never_overstated(lab: Path) -> None:
    found = findings(lab)[1]["containment"]
    assert found["state"].startswith("T1 (bubblewrap ")
    assert "it shares the kernel" in found["state"]
    config = lab / "repo" / "ganger.toml"
    given = config.read_text()
    config.write_text(f'{given}\n[jail]\nmechanism = "none"\ntier_min = "T0"\n')
    code, rows = findings(lab)
    assert (code, rows["containment"]["state"][:20]) == (0, "T0 (no containment);")
    assert "install bubblewrap" in rows["containment"]["remedy"]
    config.write_text(f'{given}\n[jail]\nmechanism = "none"\n')
    code, rows = findings(lab)
    assert (code, rows["containment"]["serious"]) == (1, True)
    assert 'tier_min = "T0"' in rows["containment"]["remedy"]
    refused = ganger(lab, "run", str(lab / "repo" / "plan.toml"), "--trust", "--quiet")
    assert (refused.returncode, "cannot keep workers from the rest of it" in refused.stderr) == (2, True)
    assert not (lab / "state").exists()


@pytest.mark.parametrize(
    ("old", "new", "what", "says"),
    [
        ('run = "true"\n[agents', 'run = "no-such-program-at-all"\n[agents', "checks", "no-such-program-at-all"),
        ('driver = "command"\nrun = "true"', 'driver = "nothing"\nrun = "true"', "agents", "nothing"),
        ('target = "main"', 'target = "nowhere"', "repository and configuration", "nowhere"),
        ("[fleet]", "[feet]", "repository and configuration", "feet"),
    ],
)
def test_seeded_fault_is_found_with_a_remedy(lab: Path, old: str, new: str, what: str, says: str) -> None:
    path = lab / "repo" / "ganger.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    code, found = findings(lab)
    faults = [row for row in found.values() if row["remedy"] and row["serious"]]
    assert code == 1
    assert says in found[what]["state"] and found[what]["remedy"]
    assert [row["what"] for row in faults] == [what]


def test_stale_tables_are_found_and_mended(lab: Path) -> None:
    ganger(lab, "run", str(lab / "repo" / "plan.toml"), "--trust", "--quiet")
    db = apsw.Connection(str(lab / "state" / "journal.db"))
    db.execute("UPDATE items SET title='forged'")
    db.close()
    code, found = findings(lab)
    assert code == 1
    assert found["tables"]["state"] == "the table items differs from what the journal gives"
    assert findings(lab, "--fix")[0] == 0
    assert findings(lab)[0] == 0


def test_damaged_journal_is_found(lab: Path) -> None:
    ganger(lab, "run", str(lab / "repo" / "plan.toml"), "--trust", "--quiet")
    db = apsw.Connection(str(lab / "state" / "journal.db"))
    db.execute("UPDATE entries SET body=replace(cast(body AS TEXT), 'draft', 'drawn') WHERE seq=2")
    db.close()
    code, found = findings(lab)
    assert code == 1
    assert "entry 2" in found["journal"]["state"]
