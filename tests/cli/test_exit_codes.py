"""The exit status is the verdict: what commands end with is what `ganger exit-codes` says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Done, Fleet

from ganger.cli.ending import EXIT_OF, MEANS
from ganger.cli.kernel import FLEET_EXIT, GATE_EXIT, LIVENESS_EXIT, RECOVERY_EXIT
from ganger.cli.main import SUMMARIES
from ganger.cli.other import EXIT_CODES
from ganger.core.fleet_plan import FleetVerdict
from ganger.core.loop import Gate, StopReason
from ganger.core.model import Liveness, Recovery


def allowed(command: str) -> set[int]:
    """The codes that the table gives for a command."""
    return {int(code) for name, code, _ in EXIT_CODES if name in ("every command", command)}


def begin(fleet: Fleet, script: str = "echo x >> src/$item.txt; commit work", more: str = "") -> str:
    fleet.begin()
    fleet.shell_agent("default", script)
    fleet.configure(more=more)
    fleet.item("a", more="budget = { attempts_max = 1 }")
    return str(fleet.plan())


def test_the_table_names_commands_that_there_are() -> None:
    assert {name for name, _, _ in EXIT_CODES} <= {"every command", *SUMMARIES}
    assert len(set(EXIT_CODES)) == len(EXIT_CODES)


def test_the_table_has_every_verdict_of_the_kernel() -> None:
    """A new reason to stop, or a new verdict, has an exit status from the day it is made."""
    assert set(EXIT_OF) == set(MEANS) == set(StopReason)
    assert {*GATE_EXIT, *FLEET_EXIT, *LIVENESS_EXIT, *RECOVERY_EXIT} == {*Gate, *FleetVerdict, *Liveness, *Recovery}
    told = {(name, means.partition(":")[0]): int(code) for name, code, means in EXIT_CODES}
    assert {reason: told["run", reason] for reason in StopReason} == EXIT_OF
    assert told["gate", "stale"] == 4 and told["liveness", "unknown"] == 5 and told["resume-check", "diverged"] == 3


def test_what_a_night_ends_with(fleet: Fleet, here: Callable[..., Done]) -> None:
    plan = begin(fleet)
    seen: dict[str, set[int]] = defaultdict(set)

    def expect(code: int, *words: str) -> None:
        done = here(*words)
        assert done.code == code, (words, done)
        seen[words[0]].add(code)

    expect(2, "run", plan)
    expect(2, "status")
    expect(2, "inbox")
    expect(1, "down")
    expect(0, "run", plan, "--dry-run")
    expect(0, "run", plan, "--trust")
    expect(0, "run", plan)
    expect(0, "status")
    expect(1, "inbox")
    expect(0, "verify", "a")
    expect(0, "why", "a")
    expect(0, "show", "a")
    expect(0, "diff", "a")
    expect(0, "log", "a")
    expect(0, "report")
    expect(0, "doctor")
    expect(1, "retry", "a")
    expect(1, "stop", "a")
    expect(1, "stop", "a.1")
    expect(1, "answer", "q1", "x")
    expect(2, "answer", "a", "x")
    expect(2, "show", "nothing")
    expect(2, "why", "nothing")
    expect(2, "done")
    expect(0, "journal", "verify")
    expect(0, "journal", "replay", "--check")
    expect(0, "config", "explain")
    expect(3, "gate")
    expect(5, "next")
    expect(5, "fleet-plan", "--target", "1")
    expect(0, "resume-check", "a.1")
    expect(2, "liveness", "a.1")
    expect(0, "trace", "a")
    expect(1, "pause", "plan")
    expect(1, "breaker", "list")
    expect(1, "schedule", "list")
    expect(1, "lease", "list")
    expect(0, "lease", "acquire", "--scope", "docs/**")
    expect(1, "admit", "a")
    expect(1, "admit", "--scope", "docs/**")
    expect(2, "admit", "--lane", "none")
    expect(6, "lease", "renew", "lease:1", "1")
    expect(0, "admit", "--scope", "src/**")
    fleet.git("update-ref", "refs/heads/main", "main~1")
    expect(1, "verify", "a")
    for command, codes in seen.items():
        assert codes <= allowed(command)


@pytest.mark.parametrize(
    ("script", "more", "code"),
    [
        ("exit 3", "", 3),
        ('ganger ask "Which?"', "", 5),
        ("echo x >> src/$item.txt", '[landing]\nmode = "ask"\n', 5),
    ],
)
def test_a_night_that_is_not_complete(fleet: Fleet, script: str, more: str, code: int) -> None:
    plan = begin(fleet, script, more)
    assert fleet.ganger("run", plan, "--trust").code == code
    assert code in allowed("run")
    assert fleet.ganger("why", "a").code == (0 if more else 1)
    assert fleet.ganger("verify", "a").code == 1
    assert fleet.ganger("inbox").code == (0 if code == 5 else 1)


def test_a_fault_of_ganger_is_one_line_and_a_file(fleet: Fleet, tmp_path: Path) -> None:
    plan = begin(fleet)
    assert fleet.ganger("run", plan, "--trust").code == 0
    (fleet.state / "journal.db-wal").unlink(missing_ok=True)
    (fleet.state / "policy.json").unlink()
    (fleet.state / "policy.json").mkdir()
    done = fleet.ganger("retry", "a")
    assert done.code in (2, 70), done
    assert "Traceback" not in done.both
    assert done.code in allowed("retry")
