"""How the recorders get into the test runners that a check starts: by its environment alone.

A check may start its runner through make, npm or a script, so its command line says nothing; and nothing is written
into the tree. Python finds the recorder as its `sitecustomize`, `node --test` as a reporter named by `NODE_OPTIONS`,
which also loads what gives Jest and Vitest one; Go and Cargo run their test binaries through a program named by
`GOFLAGS` and by the runner of the machine's target. Rust's documentation tests are read from what Cargo prints.
"""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ganger.verifier.counts import count_tests
from ganger.verifier.record import GUARD, Ending, Seen, Session

INSIDE = Path(__file__).parent / "inside"
PYTHON_RECORDER, NODE_RECORDER = INSIDE / "sitecustomize.py", INSIDE / "seen.mjs"
NODE_GUARD, GO_RECORDER = INSIDE / "guard.cjs", INSIDE / "go_exec.py"
NODE_RUNNERS, CARGO_RECORDER = INSIDE / "runners.cjs", INSIDE / "cargo_run.py"
RECORDERS = (
    *(PYTHON_RECORDER, NODE_RECORDER, NODE_GUARD, GO_RECORDER, CARGO_RECORDER, NODE_RUNNERS),
    *(INSIDE / name for name in ("sealed.cjs", "jest_seen.cjs", "vitest_seen.mjs")),
)
_NODE_WORDS = frozenset({"node", "npm", "npx", "pnpm", "yarn"})
_OWN_REPORTER = b"--test-reporter"
_MANIFEST_BYTES_MAX = 1 << 20


def environment(folder: Path, tools: Path, argv: Sequence[str], tree: Path, *, node_reports: bool) -> dict[str, str]:
    """What a check finds in its environment so that its tests are seen.

    `folder` is where the records go; in `tools`, which the check cannot write to, programs are put that it starts.
    `node_reports`: the node that it would find takes reporters.
    """
    env = {"GANGER_SEEN": str(folder), "PYTHONPATH": str(INSIDE)}
    if speaks(argv, tree, "go", "go.mod"):
        env["GOFLAGS"] = _go_flags(folder, tools, tree)
    if speaks(argv, tree, "cargo", "Cargo.toml"):
        env |= _cargo_runners(folder, tools, tree)
    if node_reports and is_node(argv, tree):
        words = [f'--require "{NODE_RUNNERS}"']
        if not _names_a_reporter(argv, tree):
            reporters = (("spec", "stdout"), (str(NODE_RECORDER), "/dev/null"))
            words += [f'--require "{NODE_GUARD}"']
            words += [f'"--test-reporter={name}" "--test-reporter-destination={to}"' for name, to in reporters]
            env["GANGER_GUARD"] = str(folder / GUARD)
        env["NODE_OPTIONS"] = " ".join(words)
    return env


def _go_flags(folder: Path, tools: Path, tree: Path) -> str:
    """Have go start its test binaries through our recorder; where a path cannot stand in `GOFLAGS`, print its tests."""
    program = _starting(GO_RECORDER, tools / "go-exec", tree, folder)
    return "-v" if program is None else f"-exec={program}"


def _cargo_runners(folder: Path, tools: Path, tree: Path) -> dict[str, str]:
    """Have Cargo start the binaries of this machine's target through our recorder, whatever its configuration says."""
    program = _starting(CARGO_RECORDER, tools / "cargo-run", tree, folder)
    targets = (f"{platform.machine()}_unknown_linux_{libc}".upper() for libc in ("gnu", "musl"))
    return {} if program is None else {f"CARGO_TARGET_{target}_RUNNER": str(program) for target in targets}


def _starting(recorder: Path, program: Path, tree: Path, folder: Path) -> Path | None:
    """A program of ours that starts a recorder; None where its path has spaces, which neither Go nor Cargo takes."""
    if re.search(r"\s", str(program)):
        return None
    if not program.exists():
        words = [sys.executable, "-S", "-E", str(recorder), str(tree), str(folder)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
    return program


def speaks(argv: Sequence[str], tree: Path, program: str, manifest: str) -> bool:
    """Whether a check may run tests of a language: it starts its program, or the tree has its manifest at the top."""
    return argv[0].rpartition("/")[2] == program or (tree / manifest).is_file()


def is_node(argv: Sequence[str], tree: Path) -> bool:
    """Whether a check may run tests with node."""
    return not _NODE_WORDS.isdisjoint(part.rpartition("/")[2] for part in argv) or (tree / "package.json").is_file()


def _names_a_reporter(argv: Sequence[str], tree: Path) -> bool:
    """Whether the project chooses a reporter: node wants as many destinations as reporters, so ours cannot join it."""
    if any(_OWN_REPORTER.decode() in part for part in argv):
        return True
    manifest = tree / "package.json"
    if not manifest.is_file() or manifest.is_symlink():
        return False
    with manifest.open("rb") as file:
        return _OWN_REPORTER in file.read(_MANIFEST_BYTES_MAX)


def node_takes_reporters(version: str) -> bool:
    """Whether a node of this version (`v20.20.2`) takes `--test-reporter` from `NODE_OPTIONS`."""
    found = re.match(r"v(\d+)\.(\d+)\.", version)
    return found is not None and (int(found[1]), int(found[2])) >= (18, 15) and int(found[1]) != 19


# ── what Go and Cargo print ──

_GO_TEST = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \([\d.]+s\)$")
_GO_PACKAGE = re.compile(r"^(ok|FAIL)\s*\t(\S+)\t")
_CARGO_TARGET = re.compile(r"^\s+(?:Running (?:unittests )?(\S+)(?: \(.*\))?|Doc-tests (\S+))$")
_CARGO_TEST = re.compile(r"^test (\S.*?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
_DOC_TESTS = "doc-tests "
_CARGO_END = re.compile(r"^test result: (ok|FAILED)\. ")
_WORDS = {
    **{"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"},
    **{"ok": "passed", "FAILED": "failed", "ignored": "skipped"},
}


def seen_of(argv: Sequence[str], tree: Path, recorded: Seen, output: str) -> Seen:
    """What was recorded, with what no recorder sees: Rust's documentation tests; without a record what was printed."""
    if not recorded.sessions:
        return printed(argv, tree, output)
    if not speaks(argv, tree, "cargo", "Cargo.toml"):
        return recorded
    documented = {name: test for name, test in _printed_by_cargo(output).tests.items() if name.startswith(_DOC_TESTS)}
    return replace(recorded, tests={**documented, **recorded.tests})


def printed(argv: Sequence[str], tree: Path, output: str) -> Seen:
    """Read the tests of Go and Cargo from what they print; what the code under test prints can look the same."""
    if speaks(argv, tree, "go", "go.mod"):
        return _printed_by_go(output)
    if speaks(argv, tree, "cargo", "Cargo.toml"):
        return _printed_by_cargo(output)
    return Seen()


def _printed_by_go(output: str) -> Seen:
    tests: dict[str, Ending] = {}
    sessions: list[Session] = []
    waiting: list[tuple[str, str]] = []
    for line in output.splitlines():
        if found := _GO_TEST.match(line):
            waiting.append((found[2], _WORDS[found[1]]))
        elif found := _GO_PACKAGE.match(line):
            sessions.append(Session("go", ended=True, status=int(found[1] != "ok")))
            tests |= {f"{found[2]}.{name}": Ending(outcome) for name, outcome in waiting}
            waiting = []
    return Seen(tuple(sessions), tests)


def _printed_by_cargo(output: str) -> Seen:
    tests: dict[str, Ending] = {}
    sessions: list[Session] = []
    target = ""
    for line in output.splitlines():
        if found := _CARGO_TARGET.match(line):
            target = found[1] or f"{_DOC_TESTS}{found[2]}"
            sessions.append(Session("cargo", ended=False))
        elif found := _CARGO_TEST.match(line):
            tests[f"{target}::{found[1]}"] = Ending(_WORDS[found[2]])
        elif (found := _CARGO_END.match(line)) and sessions:
            sessions[-1] = Session("cargo", ended=True, status=int(found[1] != "ok"))
    return Seen(tuple(sessions), tests)


def executed_of(argv: Sequence[str], seen: Seen, output: str) -> tuple[str, int | None]:
    """The runners and how many tests were executed: as recorded, otherwise as printed; None where nobody says."""
    if seen.sessions:
        return seen.runners, seen.executed
    counted = count_tests(argv, output)
    return counted.runner, counted.executed
