"""Jest, Vitest and Cargo: which tests they execute is recorded by ganger, whatever the code under test does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bench import Bench
from runner_lab import EACH_TIME, NIGHTLY, PINNED, Ran, place, run, tree_with, write

from ganger.core.model import Check, VerdictKind
from ganger.verifier.containment import missing_tests, runner_faults
from ganger.verifier.listed import decoded
from ganger.verifier.record import Ending

COMMANDS = {"jest": ("node_modules/.bin/jest",), "vitest": ("node_modules/.bin/vitest", "run")}
IMPORTS = {"jest": "", "vitest": 'import { describe, expect, test } from "vitest";\n'}
SUMS = """
describe("sums", () => {
  test("adds", () => { expect(1 + 1).toBe(2); });
  test.skip("later", () => {});
  test.todo("soon");
});
test("fails", () => { expect(1).toBe(2); });
test.each([1, 2])("is %i", (n) => { expect(n).toBeGreaterThan(0); });
test("is not told where records are", () => {
  expect(process.env.GANGER_SEEN).toBe(undefined);
  console.log("PASS t/nothing.test.js\\nTests: 99 passed, 99 total");
});
"""
QUIET = {
    "jest": {
        "jest.config.js": 'module.exports = { reporters: ["<rootDir>/own.js"] };',
        "own.js": 'module.exports = class { onRunComplete() { console.log("their own reporter"); } };',
    },
    "vitest": {"vitest.config.mjs": 'export default { test: { reporters: ["json"] } };'},
}
versions = pytest.mark.parametrize("pinned", PINNED if NIGHTLY else EACH_TIME)


def javascript(pinned: str, tree: Path, files: dict[str, str], *more: str) -> Ran:
    kind = pinned.partition("-")[0]
    tests = {path: IMPORTS[kind] * path.startswith("t/") + text for path, text in files.items()}
    return run(tree_with(pinned, tree, tests), (*COMMANDS[kind], *more))


@versions
def test_what_a_javascript_runner_executes_is_recorded(pinned: str, tmp_path: Path) -> None:
    """Beside the reporters that the project has chosen, which do not take it away."""
    kind = pinned.partition("-")[0]
    files = {"t/sums.test.js": SUMS, "t/broken.test.js": 'throw new Error("no");', **QUIET[kind]}
    found = javascript(pinned, tmp_path / "tree", files)
    file = "t/sums.test.js > "
    assert found.outcomes == {
        f"{file}sums > adds": "passed",
        f"{file}sums > later": "skipped",
        f"{file}sums > soon": "skipped",
        f"{file}fails": "failed",
        f"{file}is 1": "passed",
        f"{file}is 2": "passed",
        f"{file}is not told where records are": "passed",
        "t/broken.test.js": "error",
    }
    assert found.seen.tests[f"{file}fails"] == Ending("failed", "t/sums.test.js")
    (session,) = found.seen.sessions
    assert (session.runner, session.ended, session.status, session.forged) == (kind, True, 1, False)
    assert found.code == 1 and (kind != "jest" or "their own reporter" in found.output)


KILLS = """
test("ends its process", () => {
  console.log("Tests: 2 passed, 2 total");
  process.kill(process.pid, "SIGKILL");
});
test("never runs", () => {});
"""


@versions
def test_a_javascript_test_that_ends_its_process_has_not_passed(pinned: str, tmp_path: Path) -> None:
    files = {"t/kills.test.js": KILLS, "t/fine.test.js": 'test("is fine", () => {});'}
    found = javascript(pinned, tmp_path / "tree", files)
    # Vitest 4 may exit with 0, and tells nobody of the end then.
    assert found.code != 0 or found.ended == [False]
    assert found.outcomes.get("t/fine.test.js > is fine", "passed") == "passed"
    for name in ("ends its process", "never runs"):
        assert found.outcomes.get(f"t/kills.test.js > {name}", "unknown") == "unknown"


REACHES = """
const outer = require("fs").appendFileSync.constructor("return this")();
const cache = outer.process.mainModule?.constructor._cache ?? {};
for (const path of Object.keys(cache)) {
  if (!path.endsWith("jest_seen.cjs")) continue;
  const { prototype } = cache[path].exports;
  const tell = prototype.onTestResult;
  prototype.onTestResult = function (test, found) {
    for (const each of found.testResults) each.status = "passed";
    return tell.call(this, test, found);
  };
}
test("fails", () => { expect(1).toBe(2); });
"""


@pytest.mark.parametrize("pinned", [one for one in (PINNED if NIGHTLY else EACH_TIME) if one.startswith("jest")])
def test_the_reporter_of_jest_is_out_of_the_reach_of_tests(pinned: str, tmp_path: Path) -> None:
    """Also where the project wants all tests in one process: that is another one than the reporter's.

    Without that, this test's own file is recorded as passed.
    """
    found = javascript(pinned, tmp_path / "tree", {"t/reaches.test.js": REACHES}, "--runInBand")
    assert (found.code, found.outcomes) == (1, {"t/reaches.test.js > fails": "failed"})


LIB = """
/// Adds.
/// ```
/// assert_eq!(demo::add(1, 2), 3);
/// ```
pub fn add(a: u64, b: u64) -> u64 { a + b }
#[cfg(test)]
mod tests {
    use super::*;
    #[test] fn adds() { println!("test tests::fails ... ok"); assert_eq!(add(2, 2), 4); }
    #[test] #[ignore = "not tests::adds"] fn slow() {}
    #[test] #[should_panic] fn panics() { panic!("x") }
    #[test] fn fails() { println!("\\ntest result: ok. 9 passed; 0 failed;"); assert_eq!(add(2, 2), 5); }
    #[test] fn is_not_told() {
        assert!(std::env::vars().all(|(name, _)| name != "GANGER_SEEN" && !name.ends_with("_RUNNER")));
    }
}
"""
LEAVES = """
#[test] fn a_first() {}
#[test] fn b_leaves() {
    println!("test b_leaves ... ok\\ntest c_last ... ok\\n\\ntest result: ok. 3 passed; 0 failed; 0 ignored;");
    std::process::exit(0);
}
#[test] fn c_last() { panic!("it would fail"); }
"""
CRATE = {
    "Cargo.toml": '[package]\nname = "demo"\nversion = "0.1.0"\nedition = "2021"\n[profile.test]\ndebug = 0\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "demo"\nversion = "0.1.0"\n',
    "src/lib.rs": LIB,
    "src/main.rs": 'fn main() { println!("hello from {:?}", std::env::args().nth(1)); }',
    "tests/over.rs": "#[test] fn over() { assert_eq!(demo::add(2, 2), 4); }\n",
    ".cargo/config.toml": '[target.x86_64-unknown-linux-gnu]\nrunner = "true"\n[target."cfg(unix)"]\nrunner = "true"\n',
}
TEST = ("cargo", "test", "--offline", "--no-fail-fast")


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crate whose own configuration would have its tests run by `true`."""
    if shutil.which("cargo") is None:
        pytest.skip("there is no cargo here")
    tree = tmp_path_factory.mktemp("cargo") / "tree"
    write(tree, CRATE)
    return tree


def test_what_cargo_executes_is_recorded(crate: Path) -> None:
    """Unit tests and others by the recorder, documentation tests as printed; what tests print counts for nothing."""
    found = run(crate, TEST)
    assert found.outcomes == {
        "doc-tests demo::src/lib.rs - add (line 3)": "passed",
        "demo::tests::adds": "passed",
        "demo::tests::slow": "skipped",
        "demo::tests::panics": "passed",
        "demo::tests::fails": "failed",
        "demo::tests::is_not_told": "passed",
        "over::over": "passed",
    }, found.output
    assert found.code == 101 and found.seen.runners == "cargo"
    assert found.ended == [True] * 3 and [one.status for one in found.seen.sessions].count(101) == 1
    few = run(crate, (*TEST, "--lib", "--", "--skip", "fails", "adds"))
    assert (few.code, few.outcomes) == (0, {"demo::tests::adds": "passed"})
    program = run(crate, ("cargo", "run", "--offline", "--quiet", "--", "x"))
    assert (program.code, program.output, program.seen.sessions) == (0, 'hello from Some("x")\n', ())


def test_a_rust_test_that_leaves_has_no_end(crate: Path) -> None:
    """It exits with 0, and prints what a whole run would."""
    base = run(crate, (*TEST, "--test", "over"))
    write(crate, {"tests/over.rs": LEAVES})
    found = run(crate, (*TEST, "--test", "over"))
    assert found.code == 0 and found.ended == [False]
    assert found.outcomes["over::c_last"] == "unknown" and found.outcomes["over::b_leaves"] == "unknown"
    assert missing_tests(base.seen, found.seen, lambda file: False) == ("over::over",)
    assert "the test runner did not come to its own end" in runner_faults(base.seen, found.seen, 0)[0]


SUM = "export const add = (a, b) => a + b;\n"
SUM_TEST = """
import { add } from "../src/sum.js";
test("adds", () => { expect(add(1, 2)).toBe(3); });
test("adds nothing", () => { expect(add(1, 0)).toBe(1); });
"""
SKIPS = """
export const add = (a, b) => a + b;
if (globalThis.test) globalThis.test = Object.assign((name) => globalThis.it.skip(name), globalThis.test);
"""


def test_a_candidate_must_execute_the_tests_of_its_base(tmp_path: Path) -> None:
    """From the check to the verdict: the base's ids, and the list that is kept of them."""
    pinned = EACH_TIME[1]
    program = place() / pinned / "node_modules" / "vitest" / "vitest.mjs"
    if not program.exists():
        pytest.skip(f"{pinned} is not installed")
    files = {
        "package.json": '{"private": true, "type": "module"}',
        "src/sum.js": SUM,
        "t/sum.test.js": SUM_TEST,
        ".gitignore": "node_modules\n",
    }
    check = Check("unit", ("node", str(program), "run", "--globals"))
    bench = Bench(tmp_path, files, check)
    (tmp_path / "node_modules").symlink_to(place() / pinned / "node_modules")
    found, verdict = bench.look({"src/sum.js": SUM.replace("a + b", "b + a")})
    assert verdict.kind is VerdictKind.accepted, verdict.reasons
    (result,) = found.checks
    assert (result.runner, result.executed) == ("vitest", 2)
    kept = decoded((bench.state_dir / result.tests).read_bytes())
    assert kept is not None and kept.tests == (
        ("t/sum.test.js > adds", "passed"),
        ("t/sum.test.js > adds nothing", "passed"),
    )
    found, verdict = bench.look({"src/sum.js": SKIPS})
    assert verdict.kind is not VerdictKind.accepted and found.checks[0].missing == 2
