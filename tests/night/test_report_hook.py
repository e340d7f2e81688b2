"""The report that every night ends with: there is one however it ended, and it opens no door."""

from __future__ import annotations

import re
import signal

import pytest
from builders import Fleet, ended


def begin(fleet: Fleet, script: str) -> str:
    fleet.begin()
    fleet.shell_agent("default", script)
    fleet.configure()
    fleet.item("a", more="budget = { attempts_max = 1 }")
    return str(fleet.plan())


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        ("echo x >> src/$item.txt; commit work", 0, "landed"),
        ("echo no; exit 3", 3, "the worker exited with status 3"),
        ("ganger ask 'Left <b>or</b> right?' --option left", 5, "Left &lt;b&gt;or&lt;/b&gt; right?"),
    ],
)
def test_every_night_ends_with_a_report(fleet: Fleet, script: str, code: int, word: str) -> None:
    done = fleet.ganger("run", begin(fleet, script), "--trust")
    assert done.code == code, done
    path = fleet.state / "reports/report.html"
    assert done.out.endswith(f"report: {path}\n")
    page = path.read_text()
    assert word in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page)
    assert path.stat().st_mode & 0o777 == 0o600
    text = fleet.ganger("report", "--text")
    assert text.code == 0, text
    again = fleet.ganger("report", "--out", str(fleet.root / "mine/report.html"))
    assert (again.code, again.out) == (0, f"{fleet.root}/mine/report.html\n")


def test_an_interrupted_night_has_one_too(fleet: Fleet) -> None:
    plan = begin(fleet, 'touch "$shared/up"; sleep 1000')
    night = fleet.start("run", plan, "--trust")
    fleet.wait(lambda: (fleet.shared / "up").exists())
    night.send_signal(signal.SIGINT)
    done = ended(night)
    assert done.code == 130, done
    assert "interrupted" in (fleet.state / "reports/report.html").read_text()
    fleet.assert_sound()


def test_a_report_that_cannot_be_written_takes_nothing_from_the_night(fleet: Fleet) -> None:
    plan = begin(fleet, "echo x >> src/$item.txt; commit work")
    fleet.state.mkdir()
    (fleet.state / "reports").touch()
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert "the report could not be written: " in done.err
    assert fleet.landed_items() == ["a"]
    refused = fleet.ganger("report", "--out", str(fleet.repo / "src/a.txt/page.html"))
    assert refused.code == 2, refused
    assert "name another place with --out" in refused.err
