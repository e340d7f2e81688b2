"""How many tests a check executed, read from what its runner prints at the end.

The runner is known by the words of the command; the last matching line counts. What a runner prints can be forged by
the code it runs, so a count is only ever used against a candidate: a zero makes a pass void, a number proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct


class Counted(Struct, frozen=True):
    """The runner and how many tests it says it executed; None where it does not say."""

    runner: str
    executed: int | None


def count_tests(argv: Sequence[str], output: str) -> Counted:
    """Read the executed count of a known runner (pytest, unittest, go, cargo, node); runner `""` for any other."""
    for runner, known_by, read in _RUNNERS:
        if known_by(argv, output):
            return Counted(runner, read(output))
    return Counted("", None)


_PYTEST = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s.*$|^=*\s*no tests ran in", re.M)
_PYTEST_RAN = re.compile(r"(\d+) (passed|failed|errors?|xfailed|xpassed)\b")
_UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)
_GO_RAN = re.compile(r"^\s*--- (?:PASS|FAIL): ", re.M)
_GO_OK = re.compile(r"^ok\s+\S+\s+\S+(?!.*\[no tests to run\]).*$", re.M)
_CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed", re.M)
_NODE_TAP = re.compile(r"^[#\u2139] tests (\d+)$", re.M)
_JEST = re.compile(r"^\s*Tests:?\s+(.*?)(?:\(\d+\)|,? ?\d+ total)\s*$", re.M)
_JEST_RAN = re.compile(r"(\d+) (?:passed|failed)")
_MOCHA = re.compile(r"^\s*(\d+) (passing|failing)\b", re.M)


def _pytest(output: str) -> int | None:
    found = list(_PYTEST.finditer(output))
    if not found:
        return None
    summary = found[-1].group(1)
    return sum(int(number) for number, _ in _PYTEST_RAN.findall(summary)) if summary else 0


def _unittest(output: str) -> int | None:
    found = _UNITTEST.findall(output)
    return int(found[-1]) if found else None


def _go(output: str) -> int | None:
    ran = len(_GO_RAN.findall(output))
    if ran:
        return ran
    if _GO_OK.search(output):
        return None
    return 0 if "no test files" in output or "no tests to run" in output else None


def _cargo(output: str) -> int | None:
    found = _CARGO.findall(output)
    return sum(int(passed) + int(failed) for passed, failed in found) if found else None


def _node(output: str) -> int | None:
    tap = _NODE_TAP.findall(output)
    if tap:
        return int(tap[-1])
    jest = _JEST.findall(output)
    if jest:
        return sum(int(number) for number in _JEST_RAN.findall(jest[-1]))
    mocha = _MOCHA.findall(output)
    return sum(int(number) for number, _ in mocha) if mocha else None


def _says(*words: str) -> Callable[[Sequence[str], str], bool]:
    def known(argv: Sequence[str], output: str) -> bool:
        return any(word == part.rpartition("/")[2] for part in argv for word in words)

    return known


def _command(program: str, *second: str) -> Callable[[Sequence[str], str], bool]:
    def known(argv: Sequence[str], output: str) -> bool:
        return argv[0].rpartition("/")[2] == program and any(part in second for part in argv[1:])

    return known


_RUNNERS: tuple[tuple[str, Callable[[Sequence[str], str], bool], Callable[[str], int | None]], ...] = (
    ("pytest", _says("pytest", "py.test"), _pytest),
    ("unittest", _says("unittest"), _unittest),
    ("go", _command("go", "test"), _go),
    ("cargo", _command("cargo", "test", "nextest"), _cargo),
    ("node", _command("npm", "test", "t"), _node),
    ("node", _command("node", "--test"), _node),
    ("node", _says("jest", "vitest", "mocha"), _node),
)
