"""Runs the tests as `make test` does; the few that failed on a busy machine once more, each in a process of its own.

    python tests/again.py -n 2

A test that passes the second time is printed as FLAKY, with what it failed with, and is a fault of ours to be mended;
it does not keep a change from landing. More than `SECOND_LOOKS_MAX` failures, an error of collection, or a test that
fails twice do. Exit status: 0 all passed, 1 some did not, otherwise pytest's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECOND_LOOKS_MAX = 5
TESTS = Path(__file__).parent


class Failed:
    """A plugin that remembers what failed, in any of its phases."""

    def __init__(self) -> None:
        self.tests: dict[str, str] = {}
        """By the identifier of the test, the last line of what it failed with."""

        self.uncollected = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.uncollected |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tests[report.nodeid] = (report.longreprtext.strip().splitlines() or ["no reason"])[-1]


def main(args: list[str]) -> int:
    """Run all tests with pytest's arguments, then what failed again."""
    failed = Failed()
    status = int(pytest.main([*args, str(TESTS)], plugins=[failed]))
    alone = failed.tests if status == pytest.ExitCode.TESTS_FAILED and not failed.uncollected else {}
    if not 0 < len(alone) <= SECOND_LOOKS_MAX:
        return status
    still = 0
    for test, why in alone.items():
        second = subprocess.run([sys.executable, "-m", "pytest", test], check=False).returncode
        still += second != 0
        print(f"{'FAILED TWICE' if second else 'FLAKY'}: {test}: {why}", flush=True)
    return 1 if still else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
